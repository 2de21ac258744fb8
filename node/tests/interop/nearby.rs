//! Peers on one local network find each other by mDNS (cargo feature `mdns`). Needs a network interface with multicast.

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_one_network_meet() {
    let start = async |seed| {
        let mut config = config(seed);
        config.listen = vec!["/ip4/0.0.0.0/tcp/0".to_owned()];
        config.net.mdns = true;
        Ours::with(config).await
    };
    let (one, other) = (start(1).await, start(2).await);
    until("the other", &one.handle, |s| s.peer(&id_of(2)).is_some()).await;
    one.stop().await;
    other.stop().await;
}
