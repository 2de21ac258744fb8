//! The same over QUIC (cargo feature `quic`).

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways_over_quic() {
    let mut config = config(1);
    config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()];
    let mut ours = Ours::with(config).await;
    assert!(ours.address.to_string().ends_with("/quic-v1"), "{}", ours.address);
    let mut stock = Stock::start(2).await;
    ours.handle.subscribe(TOPIC).await.expect("subscribed");
    stock.subscribe(TOPIC).await;
    stock.dial(&ours.address).await;
    stock.publish(TOPIC, r#"{"from":"stock"}"#).await;
    assert_eq!(payload(&ours.message().await), r#"{"from":"stock"}"#);

    stock.meshed(ours.handle.own()).await;
    ours.meshed(stock.id).await;
    ours.handle.publish(TOPIC, r#"{"from":"ours"}"#).await.expect("published");
    assert_eq!(payload_of(&stock.message().await), r#"{"from":"ours"}"#);
    ours.stop().await;
}
