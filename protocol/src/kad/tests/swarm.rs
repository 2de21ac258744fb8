//! Many machines together, in virtual time: a network that builds itself from one known peer, and one that loses a
//! third of its peers.

use std::collections::BTreeMap;

use super::super::testing::Peers;
use super::super::*;
use crate::rng::{Stream, purpose_key};

enum Event {
    Request(u32, u32, RequestId, Request<u32>),
    Response(u32, u32, RequestId, Response<u32>),
}

/// All machines and what is between them: 20 to 80 ms one way, nothing is lost.
struct Swarm {
    machines: Vec<Option<Kad<u32>>>,
    rngs: Vec<Stream>,
    delays: Stream,
    peers: Peers,
    config: Config,
    now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    sent: u64,
    counters: Counters,
    done: Vec<(u32, Outcome<u32>, QueryStats)>,
}

impl Swarm {
    /// `n` machines that know nobody but peer 0, which comes first.
    fn new(n: u32, config: Config) -> Self {
        let mut swarm = Self {
            machines: (0..n).map(|_| Some(Kad::default())).collect(),
            rngs: (0..n).map(|i| Stream::new(purpose_key(1, "protocol"), i.into())).collect(),
            delays: Stream::new(purpose_key(1, "delays"), 0),
            peers: Peers::new(n, 9),
            config,
            now: Instant::ZERO,
            events: BTreeMap::new(),
            sent: 0,
            counters: Counters::default(),
            done: Vec::new(),
        };
        for machine in 0..n {
            swarm.on(machine, |k, cx| {
                k.start(cx);
                if machine > 0 {
                    k.on_seen(cx, 0);
                }
            });
            swarm.run(Duration::from_millis(200));
        }
        swarm
    }

    fn on<R>(&mut self, at: u32, act: impl FnOnce(&mut Kad<u32>, &mut Context<'_, u32>) -> R) -> Option<R> {
        let kad = self.machines[at as usize].as_mut()?;
        let mut out = Vec::new();
        let result = act(
            kad,
            &mut Context {
                now: self.now,
                own: at,
                config: &self.config,
                services: &self.peers,
                rng: &mut self.rngs[at as usize],
                counters: &mut self.counters,
                out: &mut out,
            },
        );
        for output in out {
            let event = match output {
                Output::Send { to, id, request } => Event::Request(to, at, id, request),
                Output::Respond { to, id, response } => Event::Response(to, at, id, response),
                Output::QueryDone { outcome, stats, .. } => {
                    self.done.push((at, outcome, stats));
                    continue;
                }
            };
            self.sent += 1;
            let delay = Duration::from_millis(20 + self.delays.below(60));
            self.events.insert((self.now + delay, self.sent), event);
        }
        Some(result)
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = |(i, k): (usize, &Option<Kad<u32>>)| Some((k.as_ref()?.poll_timeout()?, i as u32));
            let timer = self.machines.iter().enumerate().filter_map(due).min().filter(|(at, _)| *at <= end);
            let event = self.events.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= end);
            match (timer, event) {
                (None, None) => break,
                (Some((at, machine)), event) if event.is_none_or(|other| at <= other) => {
                    self.now = at;
                    self.on(machine, |k, cx| k.handle_timeout(cx));
                }
                (Some(_) | None, Some(_) | None) => {
                    let ((at, _), event) = self.events.pop_first().expect("just seen");
                    self.now = at;
                    match event {
                        Event::Request(to, from, id, request) => {
                            // Whoever asks here serves too.
                            self.on(to, |k, cx| {
                                k.on_seen(cx, from);
                                k.on_request(cx, from, id, request);
                            });
                        }
                        Event::Response(to, from, id, response) => {
                            self.on(to, |k, cx| k.on_response(cx, from, id, response));
                        }
                    }
                }
            }
        }
        self.now = end;
    }

    fn take_done(&mut self) -> Vec<(u32, Outcome<u32>, QueryStats)> {
        core::mem::take(&mut self.done)
    }
}

fn key(n: u8) -> Key {
    Key::new(&[n])
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

/// Small buckets, so that nobody knows everybody.
fn config() -> Config {
    Config { k: 6, beta: 6, alpha: 3, alpha_stalled: 6, requests_max: 200, ..Config::spec() }
}

#[test]
fn a_network_that_built_itself_finds_the_closest_of_all() {
    let n = 120;
    let mut swarm = Swarm::new(n, config());
    swarm.run(minutes(12));
    for asker in 0..n {
        swarm.on(asker, |k, cx| k.find_node(cx, key(asker as u8))).expect("it runs").expect("not busy");
    }
    swarm.run(minutes(1));
    let done = swarm.take_done();
    assert_eq!(done.len(), n as usize);
    let mut exact = 0;
    for (asker, outcome, stats) in done {
        let expected = swarm.peers.closest(key(asker as u8).place(), 6, asker);
        let Outcome::Nodes(found) = outcome else { panic!("{outcome:?}") };
        assert_eq!(found[0], expected[0], "asked by {asker}");
        assert!(stats.complete && stats.failures == 0 && (1..=4).contains(&stats.hops), "{stats:?}");
        exact += u32::from(found == expected);
    }
    // Nobody honest looks like anything else.
    let suspicious =
        [Count::Unasked, Count::WrongKind, Count::Surplus, Count::OwnReferral, Count::RequestTimeout];
    assert_eq!(suspicious.map(|what| swarm.counters.get(what)), [0; 5]);
    // Buckets at rest would have everybody exact; these are as a network of its own making left them.
    assert!(exact >= n * 95 / 100, "{exact} of {n}");
}

#[test]
fn values_and_providers_outlive_a_third_of_the_network() {
    let n = 90;
    let mut swarm = Swarm::new(n, config());
    swarm.run(minutes(12));
    for i in 0..10 {
        swarm
            .on(i, |k, cx| k.put_value(cx, key(i as u8), &[0, i as u8]))
            .expect("it runs")
            .expect("not busy");
        swarm.on(i, |k, cx| k.provide(cx, key(i as u8))).expect("it runs").expect("not busy");
    }
    swarm.run(minutes(1));
    for (_, outcome, stats) in swarm.take_done() {
        let all_six =
            [Outcome::Stored { sent: 6, confirmed: 6 }, Outcome::Provided { sent: 6 }].contains(&outcome);
        assert!(all_six && stats.complete, "{outcome:?} {stats:?}");
    }
    // The publishers and 20 others are gone, without a word.
    for gone in (0..10).chain(70..90) {
        swarm.machines[gone] = None;
    }
    // Holders put the values again.
    swarm.run(minutes(90));
    swarm.take_done();
    for asker in 10..70u32 {
        let wanted = key((asker % 10) as u8);
        swarm.on(asker, |k, cx| k.get_value(cx, wanted.clone())).expect("it runs").expect("not busy");
        swarm.on(asker, |k, cx| k.get_providers(cx, wanted)).expect("it runs").expect("not busy");
    }
    swarm.run(minutes(2));
    let done = swarm.take_done();
    assert_eq!(done.len(), 120);
    for (asker, outcome, _) in done {
        match outcome {
            Outcome::Value(value) => {
                assert_eq!(value.map(|r| r.value[1]), Some((asker % 10) as u8), "asked by {asker}");
            }
            Outcome::Providers(providers) => assert_eq!(providers, [asker % 10], "asked by {asker}"),
            Outcome::Nodes(_) | Outcome::Stored { .. } | Outcome::Provided { .. } => panic!("{outcome:?}"),
        }
    }
    // After two days nobody put them again any more.
    swarm.run(minutes(49 * 60));
    for machine in swarm.machines.iter().flatten() {
        assert!(machine.records().is_none_or(Records::is_empty));
        assert!(machine.providers().is_none_or(Providers::is_empty));
    }
}

#[test]
fn the_same_network_twice_is_the_same() {
    let digest = |extra: u64| {
        let mut swarm = Swarm::new(30, config());
        swarm.run(minutes(10 + extra));
        (swarm.sent, swarm.counters, format!("{:?}", swarm.machines))
    };
    assert!(digest(0) == digest(0));
    assert!(digest(0) != digest(1));
}
