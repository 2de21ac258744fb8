//! Which events are recorded, in which order they are written, and what they are then.

use std::sync::Arc;

use hyperspace_protocol::gossip::{Ihave, Prune};
use hyperspace_protocol::time::Duration;

use super::*;

const TOPIC: TopicRef = TopicRef(0);

fn id(peer: u8) -> PeerId {
    PeerId::from_public_key([peer; 32])
}

/// Ten peers and three scheduled messages of peer 0; `later` are contents of messages that peer 1 adds.
fn table(later: &[u8]) -> MessageTable {
    let table = MessageTable::new(3, (0..10).map(id).collect(), vec!["t".into(), "u".into()], false, true);
    for index in 0..3 {
        table.store_at(index, 0, TOPIC, Instant::ZERO, Box::new([index as u8]));
    }
    for content in later {
        table.store(1, TopicRef(1), Instant::ZERO, Box::new([*content]));
    }
    table
}

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn read(mut bytes: &[u8]) -> Vec<TraceEvent> {
    std::iter::from_fn(|| TraceEvent::parse_delimited(&mut bytes).expect("just written")).collect()
}

fn written(logs: Vec<TraceLog>, table: &MessageTable) -> (Vec<u8>, Written) {
    let mut bytes = Vec::new();
    let written = write(logs, table, 3, &mut bytes).expect("a vector takes everything");
    (bytes, written)
}

#[test]
fn only_sampled_peers_are_recorded() {
    let recorded = |sample: &Sample| {
        let log = TraceLog::new(sample, 4, 4);
        (0..10).filter(|peer| log.records(*peer)).collect::<Vec<_>>()
    };
    assert_eq!(recorded(&Sample::default()), [0; 0]);
    assert_eq!(recorded(&Sample::of(vec![9, 5, 7, 5, 3, 70], 71)), [5, 7]);
    assert_eq!(recorded(&Sample::of(vec![9, 5, 7], 7)), [5]);
    assert_eq!(recorded(&Sample::every(3, 10)), [6]);
    assert_eq!(recorded(&Sample::every(1, 10)), [4, 5, 6, 7]);
    assert_eq!(recorded(&Sample::every(0, 10)), [0; 0]);
    let mut log = TraceLog::new(&Sample::of(vec![5], 10), 4, 4);
    for peer in 0..10 {
        log.push(at(1), peer, Traced::Publish(0));
    }
    let (bytes, counts) = written(vec![log, TraceLog::default()], &table(&[]));
    assert_eq!(counts, Written { events: 1, dropped: 0 });
    assert_eq!(read(&bytes)[0].peer_id, Some(id(5).to_multihash().to_vec()));
}

#[test]
fn events_are_ordered_by_time_peer_and_recording() {
    let sample = Sample::every(1, 10);
    let pushes = [
        (3, 8, Traced::AddPeer(0)),
        (2, 1, Traced::AddPeer(1)),
        (3, 2, Traced::AddPeer(2)),
        (3, 8, Traced::AddPeer(3)),
        (1, 9, Traced::AddPeer(4)),
        (3, 2, Traced::AddPeer(5)),
    ];
    let of_lanes = |width: u32, pushes: &[(u64, u32, Traced)]| {
        let mut logs: Vec<_> =
            (0..10u32.div_ceil(width)).map(|i| TraceLog::new(&sample, i * width, width)).collect();
        for (nanos, peer, what) in pushes {
            logs[(peer / width) as usize].push(at(*nanos), *peer, what.clone());
        }
        written(logs, &table(&[])).0
    };
    let bytes = of_lanes(10, &pushes);
    let order: Vec<u8> = read(&bytes)
        .into_iter()
        .map(|event| match event.what {
            Some(What::AddPeer(add)) => add.peer_id.expect("set")[6],
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, [4, 1, 2, 5, 0, 3]);
    assert_eq!(of_lanes(3, &pushes), bytes);
    // An engine that runs peer by peer.
    let mut by_peer = pushes;
    by_peer.sort_by_key(|(_, peer, _)| *peer);
    assert_eq!(of_lanes(4, &by_peer), bytes);
}

#[test]
fn time_does_not_go_back_at_a_peer() {
    let mut log = TraceLog::new(&Sample::every(1, 10), 0, 10);
    for (nanos, peer) in [(5, 1), (3, 2), (4, 1), (4, 2), (6, 1)] {
        log.push(at(nanos), peer, Traced::AddPeer(0));
    }
    let told = |event: TraceEvent| {
        let peer = event.peer_id.expect("set")[6];
        (event.timestamp.expect("set") - 1_773_835_200_000_000_000, peer)
    };
    let order: Vec<_> = read(&written(vec![log], &table(&[])).0).into_iter().map(told).collect();
    assert_eq!(order, [(3, 2), (4, 2), (5, 1), (5, 1), (6, 1)]);
}

#[test]
fn messages_that_were_not_scheduled_have_ids_that_do_not_depend_on_their_handles() {
    let trace = |first: u32, second: u32, table: &MessageTable| {
        let mut log = TraceLog::new(&Sample::of(vec![1], 10), 0, 10);
        log.push(at(1), 1, Traced::Publish(first));
        log.push(at(2), 1, Traced::Publish(second));
        log.push(at(3), 1, Traced::Publish(2));
        written(vec![log], table).0
    };
    let bytes = trace(3, 4, &table(&[7, 8]));
    assert_eq!(trace(4, 3, &table(&[8, 7])), bytes);
    let seqnos: Vec<u8> = read(&bytes)
        .into_iter()
        .map(|event| match event.what {
            Some(What::PublishMessage(message)) => message.message_id.expect("set")[45],
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seqnos, [3, 4, 2]);
}

#[test]
fn every_peer_has_its_share_and_what_is_beyond_is_counted() {
    let sample = Sample::every(1, 4);
    let share = ENTRIES_MAX / 4;
    let ids = Arc::new(vec![0; share as usize / 2]);
    let mut log = TraceLog::new(&sample, 0, 4);
    let iwant = || Traced::SendRpc { to: 0, frame: Frame::Iwant(ids.clone()) };
    log.push(at(1), 2, iwant());
    log.push(at(2), 2, iwant());
    // It would fit, but the trace would have a gap.
    log.push(at(3), 2, Traced::Publish(0));
    log.push(at(4), 3, Traced::Publish(0));
    assert_eq!((log.events.len(), log.dropped), (2, 2));
    assert_eq!(log.left, [Some(share), Some(share), Some(0), Some(share - 1)]);
    assert_eq!(size_of::<Recorded>(), 40);
}

/// What the events of peer 9 are in the file.
fn translated(pushes: impl IntoIterator<Item = Traced>) -> Vec<What> {
    let mut log = TraceLog::new(&Sample::of(vec![9], 10), 8, 2);
    for what in pushes {
        log.push(at(5), 9, what);
    }
    let events = read(&written(vec![log], &table(&[])).0).into_iter();
    let checked = |event: TraceEvent| {
        assert_eq!(event.timestamp, Some(1_773_835_200_000_000_005));
        assert_eq!(event.peer_id, Some(id(9).to_multihash().to_vec()));
        event.what.expect("set")
    };
    events.map(checked).collect()
}

fn peer_id() -> Option<Vec<u8>> {
    Some(id(2).to_multihash().to_vec())
}

fn message_id(number: u8) -> Vec<u8> {
    [&id(0).to_multihash()[..], &[0, 0, 0, 0, 0, 0, 0, number]].concat()
}

fn topic() -> Option<String> {
    Some("t".into())
}

#[test]
fn handles_become_names() {
    let frame = Frame::Message(table(&[]).handle(1));
    let pushes = [
        Traced::Publish(1),
        Traced::Reject { message: 1, from: 2, reason: Reason::Failed },
        Traced::Duplicate { message: 1, from: 2 },
        Traced::Deliver { message: 1, from: 2 },
        Traced::AddPeer(2),
        Traced::RemovePeer(2),
        Traced::RecvRpc { from: 2, frame: frame.clone() },
        Traced::SendRpc { to: 2, frame: frame.clone() },
        Traced::DropRpc { to: 2, frame },
        Traced::Join(TOPIC),
        Traced::Leave(TOPIC),
        Traced::Graft { peer: 2, topic: TOPIC },
        Traced::Prune { peer: 2, topic: TOPIC },
    ];
    let (message_id, received_from) = (Some(message_id(1)), peer_id());
    let (id, from) = (|| message_id.clone(), || received_from.clone());
    let reason = Some("validation failed".to_owned());
    let reject = RejectMessage { message_id: id(), received_from: from(), reason, topic: topic() };
    let message = MessageMeta { message_id: id(), topic: topic() };
    let meta = RpcMeta { messages: vec![message.clone()], ..RpcMeta::default() };
    let rpc = PeerRpc { peer_id: peer_id(), meta: Some(meta) };
    let mesh = MeshChange { peer_id: peer_id(), topic: topic() };
    let expected = [
        What::PublishMessage(message),
        What::RejectMessage(reject),
        What::DuplicateMessage(DuplicateMessage { message_id: id(), received_from: from(), topic: topic() }),
        What::DeliverMessage(DeliverMessage { message_id: id(), topic: topic(), received_from: from() }),
        What::AddPeer(AddPeer { peer_id: peer_id(), proto: None }),
        What::RemovePeer(RemovePeer { peer_id: peer_id() }),
        What::RecvRpc(rpc.clone()),
        What::SendRpc(rpc.clone()),
        What::DropRpc(rpc),
        What::Join(Join { topic: topic() }),
        What::Leave(Leave { topic: topic() }),
        What::Graft(mesh.clone()),
        What::Prune(mesh),
    ];
    assert_eq!(translated(pushes), expected);
}

#[test]
fn a_frame_becomes_an_rpc() {
    let prune = Prune { topic: TOPIC, backoff: Some(Duration::from_secs(60)), px: vec![id(3)] };
    let frames = [
        Frame::Subscriptions(Arc::new(vec![(TOPIC, true), (TopicRef(1), false)])),
        Frame::Ihave(Arc::new(Ihave { topic: TOPIC, ids: vec![2, 1] })),
        Frame::Iwant(Arc::new(vec![1])),
        Frame::Graft(TOPIC),
        Frame::Prune(Box::new(prune)),
        Frame::Idontwant(1),
    ];
    let subscription = vec![
        SubMeta { subscribe: Some(true), topic: topic() },
        SubMeta { subscribe: Some(false), topic: Some("u".into()) },
    ];
    let ids = || vec![IdsMeta { message_ids: vec![message_id(1)] }];
    let ihave = IhaveMeta { topic: topic(), message_ids: vec![message_id(2), message_id(1)] };
    let peers = vec![id(3).to_multihash().to_vec()];
    let none = ControlMeta::default;
    let control = [
        ControlMeta { ihave: vec![ihave], ..none() },
        ControlMeta { iwant: ids(), ..none() },
        ControlMeta { graft: vec![GraftMeta { topic: topic() }], ..none() },
        ControlMeta { prune: vec![PruneMeta { topic: topic(), peers }], ..none() },
        ControlMeta { idontwant: ids(), ..none() },
    ];
    let with_control = |control| RpcMeta { control: Some(control), ..RpcMeta::default() };
    let mut expected = vec![RpcMeta { subscription, ..RpcMeta::default() }];
    expected.extend(control.map(with_control));
    let sent = translated(frames.map(|frame| Traced::SendRpc { to: 2, frame }));
    let rpc = |meta| What::SendRpc(PeerRpc { peer_id: peer_id(), meta: Some(meta) });
    assert_eq!(sent, expected.into_iter().map(rpc).collect::<Vec<_>>());
}
