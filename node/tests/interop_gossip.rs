//! Gossip with stock rust-libp2p peers at their default settings: strict validation, signed messages.

mod support;

use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways() {
    let mut ours = Ours::start(1).await;
    let mut stock = Stock::start(2).await;
    ours.handle.subscribe(TOPIC).await.expect("subscribed");
    stock.subscribe(TOPIC).await;
    stock.dial(&ours.address).await;
    stock.publish(TOPIC, r#"{"from":"stock"}"#).await;
    let message = ours.message().await;
    assert_eq!(payload(&message), r#"{"from":"stock"}"#);
    assert_eq!(hyperspace_protocol::machine::Message::id(&message).source(), stock.id);

    stock.meshed(ours.handle.own()).await;
    ours.meshed(stock.id).await;
    ours.handle.publish(TOPIC, r#"{"from":"ours"}"#).await.expect("published");
    let message = stock.message().await;
    assert_eq!(payload_of(&message), r#"{"from":"ours"}"#);
    assert_eq!(message.source, Some(hyperspace_node::net::to_libp2p(&ours.handle.own())));
    ours.stop().await;
}
