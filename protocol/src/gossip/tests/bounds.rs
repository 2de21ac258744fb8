//! What remote peers can make a machine hold is bounded, and nothing they send makes it panic.

use std::net::{IpAddr, Ipv4Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::Verdict;
use super::super::cache::HISTORY_MAX;
use super::super::frame::{Frame, Ihave, Prune};
use super::super::neighbour::DEPARTED_MAX;
use super::super::testing::*;
use super::super::validation::RecentlyAccepted;
use super::*;
use crate::identity::PeerId;
use crate::machine::{Output, PeerInfo, PeerRef, TopicRef};

#[test]
fn the_history_is_bounded_even_without_heartbeats() {
    let config = Config { heartbeat_interval: Duration::ZERO, ..plain(Version::V1_2) };
    let mut lab = Lab::with_peers(config, 2);
    let last = HISTORY_MAX as u32 + 10;
    (0..=last).for_each(|n| drop(lab.frame(0, Frame::Message(message(n, 0)))));
    assert_eq!(lab.gossip.history.len(), HISTORY_MAX);
    assert_eq!(
        lab.frame(1, iwant(&[10, 11, last])),
        [11, last].map(|n| send(1, Frame::Message(message(n, 0))))
    );
}

#[test]
fn a_full_history_still_opens_and_closes_windows() {
    let mut lab = Lab::with_peers(Config { history_length: 2, history_gossip: 1, ..plain(Version::V1_2) }, 1);
    lab.frame(0, Frame::Message(message(0, 0)));
    lab.beat(1);
    let last = HISTORY_MAX as u32 + 10;
    (1..=last).for_each(|n| drop(lab.frame(0, Frame::Message(message(n, 0)))));
    lab.beat(1);
    assert_eq!(lab.gossip.history.len(), HISTORY_MAX);
    lab.beat(1);
    assert_eq!(lab.gossip.history.len(), 0);
}

#[test]
fn messages_waiting_for_more_copies_are_bounded() {
    let mut lab = Lab::with_peers(scored(), 1);
    let max = RecentlyAccepted::<Text>::MAX;
    (0..max as u32 + 50).for_each(|n| drop(lab.frame(0, Frame::Message(message(n, 0)))));
    assert_eq!(lab.gossip.recent.len(), max);
    lab.wait(Duration::from_secs(1));
    lab.frame(0, Frame::Message(message(9999, 0)));
    assert_eq!(lab.gossip.recent.len(), 1);
}

fn stranger(n: u32) -> PeerInfo {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    let ip = IpAddr::V4(Ipv4Addr::from_bits(n));
    PeerInfo { id: PeerId::from_public_key(bytes), outbound: false, explicit: false, ip }
}

#[test]
fn departed_peers_are_bounded_and_the_first_to_expire_goes_first() {
    let mut lab = Lab::with_peers(scored(), 0);
    for n in 0..DEPARTED_MAX as u32 + 5 {
        lab.connect_as(0, stranger(n));
        lab.frame_judged(0, Frame::Message(message(n, 0)), Verdict::Reject);
        lab.disconnect(0);
        lab.wait(Duration::from_millis(1));
    }
    assert_eq!(lab.gossip.neighbours.departed_len(), DEPARTED_MAX);
    let score = |lab: &mut Lab, n| {
        lab.connect_as(0, stranger(n));
        let score = lab.score(0);
        lab.disconnect(0);
        score
    };
    assert_eq!([4, 5].map(|n| score(&mut lab, n)), [0.0, -1.0]);
    lab.wait(Duration::from_secs(31));
    lab.beat(1);
    lab.now = lab.gossip.poll_timeout().expect("heartbeats are on") + Duration::from_secs(60);
    lab.run(|g, cx| g.handle_timeout(cx));
    assert_eq!(lab.gossip.neighbours.departed_len(), 0);
}

#[test]
fn what_is_held_per_neighbour_is_bounded_under_a_flood() {
    let config = Config { idontwant_max: 20, ihave_ids_max: 50, topics_max: 7, ..plain(Version::V1_2) };
    let mut lab = Lab::with_peers(config, 1);
    let mut id = 1_000;
    for _ in 0..12 {
        for _ in 0..100 {
            id += 1;
            lab.frame(0, Frame::Idontwant(id));
            lab.frame(0, ihave(&[id]));
            lab.frame(0, subscribe(id));
            lab.frame(0, Frame::Graft(TopicRef(id)));
            lab.frame(0, Frame::Prune(Box::new(Prune { topic: TopicRef(id), backoff: None, px: vec![] })));
            lab.frame(0, Frame::Message(message(id, id)));
        }
        let n = lab.gossip.neighbours.get(PeerRef(0)).expect("connected");
        assert!(lab.gossip.unwanted.len() <= 60);
        assert!(n.topics.len() == 7 && n.asked <= 50 && n.ihave_frames <= 10);
        // Ten IHAVEs per heartbeat, at four heartbeats within the follow-up time.
        assert!(lab.gossip.promises.len() <= 40, "{}", lab.gossip.promises.len());
        assert!(
            n.topic_stats.iter().all(|s| s.topic == TopicRef(0)),
            "no counters for topics not subscribed to"
        );
        lab.beat(1);
    }
    assert_eq!(lab.gossip.unwanted.len(), 40, "the newest two heartbeats' worth is left after the third");
}

#[test]
fn iwants_for_the_whole_history_leave_one_entry_per_message() {
    let mut lab = Lab::with_peers(plain(Version::V1_2), 1);
    (0..100).for_each(|n| drop(lab.publish(message(n, 0))));
    let all: Vec<u32> = (0..200).collect();
    (0..5).for_each(|_| drop(lab.frame(0, iwant(&all))));
    assert_eq!(lab.gossip.served.len(), 100);
}

/// One thing that happens to a machine.
#[derive(Clone, Debug)]
enum Event {
    Connect { peer: u32, outbound: bool, explicit: bool, ip: u8 },
    Disconnect(u32),
    Frame { from: u32, frame: Frame<Text>, verdict: u8 },
    Publish(Text),
    Subscribe(u32),
    Unsubscribe(u32),
    Wait(u64),
    AppScore(u32, f64),
    Heartbeats(u32),
}

const PEERS: u32 = 24;

fn any_topic() -> impl Strategy<Value = u32> {
    0u32..3
}

fn any_text() -> impl Strategy<Value = Text> {
    (0u32..40, any_topic(), prop_oneof![Just(10usize), Just(2000)], 0u8..30)
        .prop_map(|(number, topic, size, author)| Text { number, topic, size, author })
}

fn any_frame() -> impl Strategy<Value = Frame<Text>> {
    let ids = || vec(0u32..60, 0..30);
    let backoff = prop_oneof![
        Just(None),
        Just(Some(Duration::ZERO)),
        Just(Some(Duration::MAX)),
        (0u64..90).prop_map(|s| Some(Duration::from_secs(s)))
    ];
    prop_oneof![
        4 => any_text().prop_map(Frame::Message),
        3 => vec((any_topic(), prop::bool::weighted(0.8)), 0..4)
            .prop_map(|c| Frame::Subscriptions(c.into_iter().map(|(t, w)| (TopicRef(t), w)).collect::<Vec<_>>().into())),
        3 => any_topic().prop_map(|t| Frame::Graft(TopicRef(t))),
        2 => (any_topic(), backoff, vec(0u32..40, 0..20)).prop_map(|(t, backoff, px)| {
            let px = px.into_iter().map(peer_id).collect();
            Frame::Prune(Box::new(Prune { topic: TopicRef(t), backoff, px }))
        }),
        2 => (any_topic(), ids()).prop_map(|(t, ids)| Frame::Ihave(Ihave { topic: TopicRef(t), ids }.into())),
        2 => ids().prop_map(|ids| Frame::Iwant(ids.into())),
        2 => (0u32..60).prop_map(Frame::Idontwant),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let peer = || 0..PEERS;
    prop_oneof![
        6 => (peer(), any::<bool>(), prop::bool::weighted(0.1), 0u8..3)
            .prop_map(|(peer, outbound, explicit, ip)| Event::Connect { peer, outbound, explicit, ip }),
        2 => peer().prop_map(Event::Disconnect),
        20 => (0..PEERS + 2, any_frame(), 0u8..3)
            .prop_map(|(from, frame, verdict)| Event::Frame { from, frame, verdict }),
        1 => (Just(u32::MAX), any_frame(), 0u8..3)
            .prop_map(|(from, frame, verdict)| Event::Frame { from, frame, verdict }),
        2 => any_text().prop_map(Event::Publish),
        2 => any_topic().prop_map(Event::Subscribe),
        1 => any_topic().prop_map(Event::Unsubscribe),
        2 => (0u64..200_000).prop_map(Event::Wait),
        1 => (peer(), -20_000.0..2_000.0).prop_map(|(p, s)| Event::AppScore(p, s)),
        4 => (1u32..4).prop_map(Event::Heartbeats),
    ]
}

fn any_config() -> impl Strategy<Value = Config> {
    (0..6usize, 0..3usize, any::<bool>(), any::<bool>(), prop::bool::weighted(0.1), 0..20usize).prop_map(
        |(profile, version, scores, flood_publish, static_mesh, px_peers)| {
            let config = profiles()[profile].1.clone();
            let opportunistic_graft_ticks = 2;
            let (version, topics_max) = (VERSIONS[version], 2);
            let (idontwant_max, ihave_ids_max, explicit_check_ticks) = (3, 20, 3);
            Config {
                version,
                scores,
                flood_publish,
                static_mesh,
                px_peers,
                opportunistic_graft_ticks,
                topics_max,
                idontwant_max,
                ihave_ids_max,
                explicit_check_ticks,
                ..config
            }
        },
    )
}

/// A machine and who is connected to it.
struct Stage {
    lab: Lab,
    connected: std::collections::BTreeMap<u32, PeerInfo>,
}

impl Stage {
    fn play(&mut self, event: Event) -> Vec<Output<Text>> {
        let lab = &mut self.lab;
        match event {
            Event::Connect { peer, outbound, explicit, ip } => {
                let ip = IpAddr::V4(Ipv4Addr::from_bits(ip.into()));
                let info = PeerInfo { id: peer_id(peer), outbound, explicit, ip };
                if self.connected.contains_key(&peer) {
                    return vec![];
                }
                self.connected.insert(peer, info);
                lab.connect_as(peer, info)
            }
            Event::Disconnect(peer) => {
                self.connected.remove(&peer);
                lab.disconnect(peer)
            }
            Event::Frame { from, frame, verdict } => {
                let verdict = [Verdict::Accept, Verdict::Reject, Verdict::Ignore][usize::from(verdict)];
                lab.frame_judged(from, frame, verdict)
            }
            Event::Publish(text) => lab.publish(text),
            Event::Subscribe(topic) => lab.run(|g, cx| g.subscribe(cx, TopicRef(topic))),
            Event::Unsubscribe(topic) => lab.run(|g, cx| g.unsubscribe(cx, TopicRef(topic))),
            Event::Wait(ms) => {
                lab.wait(Duration::from_millis(ms));
                lab.run(|g, cx| g.handle_timeout(cx))
            }
            Event::AppScore(peer, score) => {
                lab.app_score(peer, score);
                vec![]
            }
            Event::Heartbeats(n) => {
                let out = lab.beat(n);
                self.check_degrees();
                out
            }
        }
    }

    /// After a heartbeat no mesh is larger than D_hi and the outbound and opportunistic grafts on top of it.
    fn check_degrees(&self) {
        let config = &self.lab.config.gossip;
        let extra = if config.hardened() {
            config.mesh_degree_outbound + config.opportunistic_graft_peers
        } else {
            0
        };
        for mesh in self.lab.gossip.topics.iter().filter(|_| !config.static_mesh) {
            assert!(mesh.peers.len() <= config.mesh_degree_max + extra, "{mesh:?}");
        }
    }

    fn check_mesh(&self) {
        let config = &self.lab.config.gossip;
        for mesh in &self.lab.gossip.topics {
            let mut peers = mesh.peers.to_vec();
            peers.sort_unstable();
            peers.dedup();
            assert_eq!(peers.len(), mesh.peers.len(), "no peer twice: {mesh:?}");
            for peer in peers {
                let n = self.lab.gossip.neighbours.get(peer).expect("a link is a connection");
                if !config.static_mesh {
                    assert!(n.topics.contains(&mesh.topic), "{peer:?} is not in the topic");
                    assert!(!n.info.explicit, "{peer:?} is explicit");
                }
            }
        }
    }

    fn check_bounds(&self) {
        let config = &self.lab.config.gossip;
        let gossip = &self.lab.gossip;
        let refusals = u64::from(config.idontwant_max) * config.idontwant_ttl * u64::from(PEERS);
        assert!(gossip.unwanted.len() as u64 <= refusals);
        assert!(gossip.served.len() <= (gossip.history.len() + 40) * PEERS as usize);
        for (peer, n) in gossip.neighbours.iter() {
            assert!(n.topics.len() <= config.topics_max);
            assert!(n.topic_stats.len() <= 3 && n.asked as usize <= config.ihave_ids_max);
            assert_eq!(n.ip_peers as usize, self.connected.values().filter(|i| i.ip == n.info.ip).count());
            assert!(self.lab.score(peer.0).is_finite());
        }
        assert_eq!(gossip.neighbours.iter().count(), self.connected.len());
        assert!(gossip.promises.len() <= self.connected.len() * 60, "one id of 60 per peer at most");
        assert!(
            gossip.fanout.len() <= 3 && gossip.fanout.iter().all(|f| f.peers.len() <= config.mesh_degree)
        );
        assert!(gossip.neighbours.departed_len() <= PEERS as usize);
    }

    fn check_outbox(&self, out: &[Output<Text>]) {
        for output in out {
            match output {
                Output::Send { to, frame } => {
                    assert!(self.connected.contains_key(&to.0), "{frame:?} to {to:?}, who is not connected");
                }
                Output::Connect { id } => assert!(self.connected.values().all(|i| i.id != *id)),
                Output::Deliver { .. } => {}
                Output::Disconnect { .. }
                | Output::Request { .. }
                | Output::Respond { .. }
                | Output::Event(_)
                | Output::Agent(_) => panic!("never asked for"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn nothing_that_arrives_makes_a_machine_panic_or_break_an_invariant(
        config in any_config(),
        events in vec(any_event(), 1..250),
    ) {
        let mut stage = Stage { lab: Lab::new(config), connected: Default::default() };
        for event in events {
            let out = stage.play(event);
            stage.check_outbox(&out);
            stage.check_mesh();
            stage.check_bounds();
        }
    }
}
