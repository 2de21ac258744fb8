//! Whatever comes in, in whatever order: no panic, and every bound holds.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::gossip::{Ihave, Prune};
use crate::kad::{Record, Request as Dht, Response as Answer};
use crate::request::Protocol;

/// Queries of the application at once, peers followed, and keys of every kind in these tests.
const QUERIES_MAX: usize = 2;
const FOLLOWED_MAX: usize = 3;
const KEYS: u8 = 4;

/// Something that happens to the peer.
#[derive(Clone, Debug)]
enum Step {
    Connect {
        peer: u32,
        serves: bool,
    },
    Disconnect(u32),
    Frame(u32, Frame<Note>),
    /// What a peer truly says on its own topic, a heartbeat or the card: from anybody who is connected.
    Hear {
        author: u32,
        seq: u64,
        whole: bool,
    },
    Publish(Note),
    Subscribe(u32, bool),
    Discovered(u32),
    Request(u32, Request<u32>),
    /// Of whom, to a request number of whose choice.
    Response(u32, u32, Response<u32>),
    Failed(Protocol, u32),
    /// To the request on its way at this place, by whom it was asked of.
    Answer(usize, Response<u32>),
    Failure(usize),
    /// To all requests for cards on their way, by the card of that seq of whoever was asked.
    Cards(u64),
    Command(Command),
    Wait(u64),
    Timers(u32),
    Restart(bool),
}

/// The driver's view of a run.
struct Stage {
    lab: Lab,
    connected: BTreeSet<u32>,
    /// Topics the application wants.
    wanted: BTreeSet<u32>,
    /// Requests on their way: to whom, and their numbers.
    asked: Vec<(u32, u32, Protocol)>,
    next_token: u64,
    next_note: u32,
    /// Queries that have not ended.
    open: BTreeSet<u64>,
}

impl Stage {
    fn new(buckets: u32, dht: Option<kad::Config>) -> Self {
        let mut lab = Lab::new();
        lab.world.buckets = buckets;
        lab.config.gossip = gossip::Config::rust();
        lab.config.cards.followed_max = FOLLOWED_MAX;
        lab.config.dht = dht;
        lab.feed(Input::Start);
        Self {
            lab,
            connected: BTreeSet::new(),
            wanted: BTreeSet::new(),
            asked: Vec::new(),
            next_token: 0,
            next_note: 10_000,
            open: BTreeSet::new(),
        }
    }

    fn play(&mut self, step: Step) -> Outbox {
        match step {
            Step::Connect { peer, serves } if self.connected.insert(peer) => self.lab.connect(peer, serves),
            Step::Connect { .. } => Vec::new(),
            Step::Disconnect(peer) => {
                self.connected.remove(&peer);
                self.lab.feed(Input::Disconnected { peer: PeerRef(peer) })
            }
            Step::Frame(from, frame) => self.lab.frame(from, frame),
            Step::Hear { author, seq, whole } => {
                let Some(from) = self.connected.first() else { return Vec::new() };
                self.next_note += 1;
                let card = card(author, seq, &["0"]);
                let d = if whole { text(&card) } else { beat(&card) };
                let note = announcement(&self.lab.world, self.next_note, author, &d);
                self.lab.frame(*from, Frame::Message(note))
            }
            Step::Publish(note) => self.lab.feed(Input::Publish(note)),
            Step::Subscribe(topic, true) => {
                self.wanted.insert(topic);
                self.lab.feed(Input::Subscribe(TopicRef(topic)))
            }
            Step::Subscribe(topic, false) => {
                self.wanted.remove(&topic);
                self.lab.feed(Input::Unsubscribe(TopicRef(topic)))
            }
            Step::Discovered(contact) => self.lab.feed(Input::Discovered(contact)),
            Step::Request(from, request) => self.requested(from, request),
            Step::Response(from, number, response) => self.lab.respond(from, number, response),
            Step::Failed(protocol, number) => {
                self.lab.feed(Input::RequestFailed { protocol, id: RequestId(number) })
            }
            Step::Answer(at, response) => match self.take(at) {
                Some((to, number, _)) => self.lab.respond(to, number, response),
                None => Vec::new(),
            },
            Step::Failure(at) => match self.take(at) {
                Some((_, number, protocol)) => {
                    self.lab.feed(Input::RequestFailed { protocol, id: RequestId(number) })
                }
                None => Vec::new(),
            },
            Step::Cards(seq) => {
                let (cards, rest) =
                    self.asked.drain(..).partition(|(_, _, protocol)| *protocol == Protocol::Card);
                self.asked = rest;
                let has = |to| Response::Card(Some(published(&card(to, seq, &["0"]))));
                let cards: Vec<(u32, u32, Protocol)> = cards;
                cards.into_iter().flat_map(|(to, n, _)| self.lab.respond(to, n, has(to))).collect()
            }
            Step::Command(command) => self.commanded(command),
            Step::Wait(ms) => self.timers(Duration::from_millis(ms)),
            Step::Timers(n) => {
                let mut out = Vec::new();
                for _ in 0..n {
                    let due = self.lab.peer.poll_timeout().expect("gossip's heartbeat");
                    out.append(&mut self.timers(due.since(self.lab.now)));
                }
                out
            }
            Step::Restart(keeps_state) => self.restarted(keeps_state),
        }
    }

    fn take(&mut self, at: usize) -> Option<(u32, u32, Protocol)> {
        let at = at.checked_rem(self.asked.len())?;
        Some(self.asked.swap_remove(at))
    }

    /// An answer to a request goes to the asker under its number, and there is no second one.
    fn requested(&mut self, from: u32, request: Request<u32>) -> Outbox {
        let out = self.lab.request(from, 4711, request);
        let is_answer = |output: &Output<Note>| matches!(output, Output::Respond { to, id, .. } if (*to, id.0) == (from, 4711));
        let (answers, rest): (Outbox, Outbox) = out.into_iter().partition(is_answer);
        assert!(answers.len() <= 1, "{answers:?}");
        rest
    }

    fn commanded(&mut self, command: Command) -> Outbox {
        let Command::Query { query, .. } = command else { return self.lab.command(command) };
        let token = self.next_token;
        self.next_token += 1;
        self.open.insert(token);
        self.lab.query(token, query)
    }

    fn timers(&mut self, time: Duration) -> Outbox {
        let out = self.lab.pass(time);
        assert_eq!(self.lab.pass(Duration::ZERO), [], "twice does nothing");
        assert!(self.lab.peer.poll_timeout().is_some_and(|due| due > self.lab.now));
        out
    }

    fn restarted(&mut self, keeps_state: bool) -> Outbox {
        self.lab.peer.restart(keeps_state);
        self.connected.clear();
        self.wanted.clear();
        self.open.clear();
        self.lab.feed(Input::Start)
    }

    fn check_outbox(&mut self, out: &[Output<Note>]) {
        for output in out {
            match output {
                Output::Send { to, .. } => assert!(self.connected.contains(&to.0), "{output:?}"),
                Output::Request { to, id, request } => {
                    assert!(*to < PEERS);
                    self.asked.push((*to, id.0, request.protocol()));
                }
                Output::Event(event) => match &**event {
                    Event::QueryDone { token, .. } | Event::QueryRefused { token, .. } => {
                        assert!(self.open.remove(token), "{token} was not open");
                    }
                    Event::CardUpdated(peer) | Event::CardExpired(peer) => {
                        assert!(self.lab.peer.cards().is_some());
                        assert_ne!(*peer, id(PEERS), "nobody has heard of it");
                    }
                },
                Output::Deliver { .. } | Output::Connect { .. } => {}
                Output::Respond { .. } | Output::Disconnect { .. } | Output::Agent(_) => {
                    panic!("never asked for: {output:?}")
                }
            }
        }
    }

    fn check_bounds(&self) {
        let peer = &self.lab.peer;
        assert!(peer.poll_timeout().is_some_and(|due| due >= self.lab.now), "a timer in the past");
        assert_eq!(self.lab.tokens(), self.open.len(), "every query open has a token, and no other");
        assert!(self.open.len() <= QUERIES_MAX);
        assert!(peer.dht().is_none() || self.lab.config.dht.is_some());
        if let Some(kad) = peer.dht() {
            // The table's upkeep and the stores' have one query each.
            assert!(kad.queries() <= QUERIES_MAX + 2);
            assert!(kad.table().len() < PEERS as usize);
        }
        let mut expected = BTreeMap::new();
        if let Some(cards) = peer.cards() {
            let store = cards.tracker().store();
            assert!(store.len() <= FOLLOWED_MAX);
            assert!(cards.fetches.len() <= store.len() && cards.fetches.keys().all(|p| store.is_followed(p)));
            for followed in store.followed() {
                if let Some(topic) = self.lab.world.card_topic(followed) {
                    *expected.entry(topic).or_insert(0) += 1;
                }
            }
            let counted: BTreeMap<_, _> = cards.topics.iter().map(|(topic, w)| (*topic, w.peers)).collect();
            assert_eq!(counted, expected);
        }
        for topic in 0..CARD_TOPICS + PEERS {
            let is_wanted = self.wanted.contains(&topic) || expected.contains_key(&TopicRef(topic));
            assert_eq!(peer.gossip.mesh_peers(TopicRef(topic)).is_some(), is_wanted, "topic {topic}");
        }
    }
}

fn any_peer() -> impl Strategy<Value = u32> + Clone {
    1u32..8
}

fn any_followed() -> impl Strategy<Value = u32> + Clone {
    1u32..5
}

fn any_topic() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..2, CARD_TOPICS..CARD_TOPICS + 8]
}

fn any_key() -> impl Strategy<Value = Key> {
    // Now and then a card's or a tag's.
    (0..KEYS).prop_map(|n| match n {
        0 => card::card_key(&id(0)),
        1 => card::tag_key("0"),
        _ => Key::new(&[n]),
    })
}

fn any_card() -> impl Strategy<Value = Card> {
    (0u32..8, 0u64..4, 0usize..4)
        .prop_map(|(owner, seq, tags)| card(owner, seq, &["0", "1", "2"][..tags.min(3)]))
}

fn any_note() -> impl Strategy<Value = Note> {
    let d = prop_oneof![
        3 => any_card().prop_map(|card| text(&card)),
        3 => any_card().prop_map(|card| beat(&card)),
        1 => Just("{}".to_owned()),
    ];
    let envelope = prop_oneof![
        6 => Just(Inspection::Bare),
        1 => Just(Inspection::Invalid),
        3 => (0u64..900_000, 0u32..9)
            .prop_map(|(ts, nonce)| Inspection::Valid { ts: UnixMillis(ts), nonce }),
    ];
    (0u32..400, any_topic(), 0u32..8, any::<bool>(), envelope, d).prop_map(
        |(number, topic, author, own_topic, envelope, d)| {
            let topic = if own_topic { CARD_TOPICS + author } else { topic };
            Note { author, envelope, d: d.into(), ..note(number, topic) }
        },
    )
}

fn any_frame() -> impl Strategy<Value = Frame<Note>> {
    let topic = || any_topic().prop_map(TopicRef);
    let ids = || vec(0u32..400, 0..9);
    prop_oneof![
        6 => any_note().prop_map(Frame::Message),
        2 => vec((topic(), any::<bool>()), 0..4).prop_map(|all| Frame::Subscriptions(Arc::new(all))),
        1 => topic().prop_map(Frame::Graft),
        1 => (topic(), prop::option::of(0u64..1 << 40)).prop_map(|(topic, backoff)| {
            let backoff = backoff.map(Duration::from_secs);
            Frame::Prune(Box::new(Prune { topic, backoff, px: vec![id(3)] }))
        }),
        1 => (topic(), ids()).prop_map(|(topic, ids)| Frame::Ihave(Arc::new(Ihave { topic, ids }))),
        1 => ids().prop_map(|ids| Frame::Iwant(Arc::new(ids))),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    (any_key(), 0usize..40, prop::option::of(0u64..1 << 50)).prop_map(|(key, length, ttl)| Record {
        key,
        value: vec![b'{'; length].into(),
        ttl: ttl.map(Duration::from_nanos),
    })
}

fn contacts() -> impl Strategy<Value = Vec<u32>> {
    vec(0..PEERS, 0..9)
}

fn any_request() -> impl Strategy<Value = Request<u32>> {
    prop_oneof![
        Just(Request::Card),
        any_key().prop_map(|key| Request::Dht(Dht::FindNode(key))),
        any_key().prop_map(|key| Request::Dht(Dht::GetValue(key))),
        any_key().prop_map(|key| Request::Dht(Dht::GetProviders(key))),
        any_record().prop_map(|record| Request::Dht(Dht::PutValue(record))),
        (any_key(), contacts())
            .prop_map(|(key, providers)| Request::Dht(Dht::AddProvider { key, providers })),
    ]
}

fn any_response() -> impl Strategy<Value = Response<u32>> {
    prop_oneof![
        2 => prop::option::weighted(0.8, any_card())
            .prop_map(|card| Response::Card(card.as_ref().map(published))),
        4 => contacts().prop_map(|closer| Response::Dht(Answer::Nodes { closer })),
        1 => Just(Response::Dht(Answer::Stored)),
        1 => (prop::option::of(any_record()), contacts())
            .prop_map(|(record, closer)| Response::Dht(Answer::Value { record, closer })),
        1 => (contacts(), contacts())
            .prop_map(|(providers, closer)| Response::Dht(Answer::Providers { providers, closer })),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    let query = prop_oneof![
        any_key().prop_map(Query::FindNode),
        any_key().prop_map(Query::Provide),
        any_key().prop_map(Query::FindProviders),
        any_record().prop_map(|record| Query::PutValue(record.key, record.value)),
        any_key().prop_map(Query::GetValue),
    ];
    // One peer of these has no topic and no contact.
    let other = || prop_oneof![9 => any_followed(), 1 => Just(PEERS)].prop_map(id);
    prop_oneof![
        3 => query.prop_map(|query| Command::Query { token: 0, query }),
        1 => any_card().prop_map(Command::Announce),
        5 => other().prop_map(Command::Follow),
        1 => other().prop_map(Command::Unfollow),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let protocol = prop_oneof![Just(Protocol::Dht), Just(Protocol::Card)];
    prop_oneof![
        4 => (any_peer(), any::<bool>()).prop_map(|(peer, serves)| Step::Connect { peer, serves }),
        1 => any_peer().prop_map(Step::Disconnect),
        8 => (any_peer(), any_frame()).prop_map(|(peer, frame)| Step::Frame(peer, frame)),
        6 => (any_followed(), 0u64..4, prop::bool::weighted(0.3))
            .prop_map(|(author, seq, whole)| Step::Hear { author, seq, whole }),
        3 => (0u64..4).prop_map(Step::Cards),
        1 => any_note().prop_map(Step::Publish),
        2 => (any_topic(), any::<bool>()).prop_map(|(topic, wanted)| Step::Subscribe(topic, wanted)),
        1 => (0..PEERS).prop_map(Step::Discovered),
        3 => (any_peer(), any_request()).prop_map(|(from, request)| Step::Request(from, request)),
        2 => (any_peer(), 0u32..40, any_response()).prop_map(|(from, id, r)| Step::Response(from, id, r)),
        1 => (protocol, 0u32..40).prop_map(|(protocol, number)| Step::Failed(protocol, number)),
        8 => (any::<usize>(), any_response()).prop_map(|(at, response)| Step::Answer(at, response)),
        1 => any::<usize>().prop_map(Step::Failure),
        8 => any_command().prop_map(Step::Command),
        2 => (0u64..400_000).prop_map(Step::Wait),
        3 => (1u32..6).prop_map(Step::Timers),
        1 => any::<bool>().prop_map(Step::Restart),
    ]
}

fn any_dht() -> impl Strategy<Value = Option<kad::Config>> {
    let config = (any::<bool>(), any::<bool>(), 0u64..3).prop_map(|(keep_stale, short, interval)| {
        let interval = seconds(interval * 60);
        let query_timeout = if short { seconds(15) } else { seconds(60) };
        kad::Config {
            keep_stale,
            query_timeout,
            queries_max: QUERIES_MAX,
            own_max: 3,
            refresh_interval: interval,
            replicate_interval: interval,
            republish_interval: interval,
            reprovide_interval: interval,
            record_ttl: seconds(500),
            ..quiet()
        }
    });
    prop::option::weighted(0.9, config)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn nothing_that_comes_in_makes_a_peer_panic_or_break_a_bound(
        buckets in 0u32..3,
        dht in any_dht(),
        steps in vec(any_step(), 1..200),
    ) {
        let mut stage = Stage::new(buckets, dht);
        for step in steps {
            let out = stage.play(step);
            stage.check_outbox(&out);
            stage.check_bounds();
        }
    }
}
