//! What unit tests of this module share: peers that are numbers, static networks of them with perfect tables, and a
//! machine with its driver in one struct.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::*;
use crate::rng::{Stream, purpose_key};

/// Peers 0, 1, ..., as a driver knows them.
pub(super) struct Peers {
    pub(super) ids: Vec<Key>,
    /// Peers per address group; 0 for none.
    pub(super) group_size: u32,
    /// Values that start with this byte are not valid; of two the one with the greater second byte is better.
    pub(super) invalid: u8,
}

impl Peers {
    pub(super) fn new(n: u32, salt: u64) -> Self {
        let id = |i: u32| Key::new(&[&salt.to_be_bytes()[..], &i.to_be_bytes()].concat());
        Self { ids: (0..n).map(id).collect(), group_size: 0, invalid: 255 }
    }

    /// The same, numbered by rising key.
    pub(super) fn sorted(n: u32, salt: u64) -> Self {
        let mut peers = Self::new(n, salt);
        peers.ids.sort_by_key(|id| *id.place());
        peers
    }

    pub(super) fn len(&self) -> u32 {
        self.ids.len() as u32
    }

    /// The `n` peers closest to a place, closest first, without `except`: by brute force.
    pub(super) fn closest(&self, to: &KadKey, n: usize, except: u32) -> Vec<u32> {
        let mut all: Vec<u32> = (0..self.len()).filter(|p| *p != except).collect();
        all.sort_by_key(|p| self.key(*p).distance(to));
        all.truncate(n);
        all
    }
}

impl Services<u32> for Peers {
    fn key(&self, contact: u32) -> KadKey {
        *self.ids[contact as usize].place()
    }
    fn id(&self, contact: u32) -> Key {
        self.ids[contact as usize].clone()
    }
    fn group(&self, contact: u32) -> Option<u64> {
        (self.group_size > 0).then(|| (contact / self.group_size.max(1)).into())
    }
    fn valid(&self, _: &Key, value: &[u8]) -> bool {
        value.first() != Some(&self.invalid)
    }
    fn better(&self, _: &Key, old: &[u8], new: &[u8]) -> bool {
        new.get(1) > old.get(1)
    }
}

/// A network at rest in which every bucket of every peer has all the peers it may have, or `k` of them at random.
pub(super) struct Perfect {
    pub(super) peers: Peers,
    pub(super) config: Config,
    /// Made when first asked.
    tables: RefCell<BTreeMap<u32, Rc<Table<u32>>>>,
    /// A peer nobody knows of, who does the asking.
    pub(super) stranger: Option<u32>,
}

impl Perfect {
    pub(super) fn new(n: u32, salt: u64, config: Config) -> Self {
        let tables = RefCell::new(BTreeMap::new());
        Self { peers: Peers::sorted(n, salt), config, tables, stranger: None }
    }

    /// Peers that share exactly `depth` leading bits with `own`, as a range of numbers.
    pub(super) fn bucket(&self, own: &KadKey, depth: usize) -> core::ops::Range<u32> {
        let edge = |rest: u8| {
            let mut bytes = *own.as_bytes();
            bytes[depth / 8] ^= 0x80 >> (depth % 8);
            let keep = 0xffu8.checked_shl(7 - depth as u32 % 8).expect("below 8");
            bytes[depth / 8] = bytes[depth / 8] & keep | rest & !keep;
            bytes[depth / 8 + 1..].fill(rest);
            KadKey::from_bytes(bytes)
        };
        let before = |key: KadKey, inclusive: bool| {
            self.peers.ids.partition_point(|p| *p.place() < key || inclusive && *p.place() == key) as u32
        };
        before(edge(0), false)..before(edge(0xff), true)
    }

    pub(super) fn table(&self, of: u32) -> Rc<Table<u32>> {
        if let Some(table) = self.tables.borrow().get(&of) {
            return table.clone();
        }
        let own = self.peers.key(of);
        let mut rng = Stream::new(purpose_key(1, "perfect"), of.into());
        let mut table = Table::default();
        // As deep as there is anybody.
        for depth in 0..64 {
            let range = self.bucket(&own, depth);
            let others: Vec<u32> = match range.len() {
                n if n <= 4 * self.config.k => {
                    let mut all: Vec<u32> = range.filter(|p| Some(*p) != self.stranger).collect();
                    rng.shuffle(&mut all);
                    all
                }
                n => (0..4 * self.config.k).map(|_| range.start + rng.below(n as u64) as u32).collect(),
            };
            for other in others {
                if table.buckets().find(|b| b.depth == depth).is_none_or(|b| b.contacts.len() < self.config.k)
                    && Some(other) != self.stranger
                {
                    table.seen(&own, other, &self.config, &self.peers);
                }
            }
        }
        self.tables.borrow_mut().insert(of, Rc::new(table));
        self.tables.borrow()[&of].clone()
    }

    /// Whom `from` knows closest to a place.
    pub(super) fn answer(&self, of: u32, to: &KadKey, except: Option<u32>) -> Vec<(u32, KadKey)> {
        let own = self.peers.key(of);
        let closest = self.table(of).closest(&own, to, self.config.k, except, true, &self.peers);
        closest.into_iter().map(|c| (c, self.peers.key(c))).collect()
    }

    /// Runs one path to its end, every answer taking equally long.
    pub(super) fn lookup(&self, from: u32, to: KadKey) -> ClosestPeers<u32> {
        let seeds = self.answer(from, &to, None);
        let mut path = ClosestPeers::new(to, Limits::of(&self.config), seeds);
        let mut on_the_way = VecDeque::new();
        loop {
            match path.next(Instant::ZERO) {
                Step::Ask(contact) => on_the_way.push_back(contact),
                Step::Wait => {
                    let asked = on_the_way.pop_front().expect("it waits for somebody");
                    path.on_success(&self.peers.key(asked), self.answer(asked, &to, Some(from)));
                }
                Step::Late(_) => panic!("no time passes"),
                Step::Done => return path,
            }
        }
    }
}

/// One machine, peer 0, with everything its driver lends.
pub(super) struct Lab {
    pub(super) kad: Kad<u32>,
    pub(super) peers: Peers,
    pub(super) config: Config,
    pub(super) now: Instant,
    rng: Stream,
    counters: Counters,
}

impl Lab {
    /// A machine among `n` peers, of whom it has seen none. It does nothing by itself.
    pub(super) fn new(n: u32, config: Config) -> Self {
        Self {
            kad: Kad::default(),
            peers: Peers::new(n, 5),
            config,
            now: Instant::ZERO,
            rng: Stream::new(1, 1),
            counters: Counters::default(),
        }
    }

    /// A machine that knows all of peers 1..n, more than `k` per bucket if need be.
    pub(super) fn with_contacts(n: u32, config: Config) -> Self {
        let mut lab = Self::new(n, config);
        let roomy = Config { k: 128, ..lab.config.clone() };
        for peer in 1..n {
            lab.kad.table.seen(&lab.peers.key(0), peer, &roomy, &lab.peers);
        }
        lab
    }

    /// Runs `act` and returns the whole outbox.
    pub(super) fn run<R>(
        &mut self,
        act: impl FnOnce(&mut Kad<u32>, &mut Context<'_, u32>) -> R,
    ) -> (R, Vec<Output<u32>>) {
        let mut out = Vec::new();
        let mut cx = Context {
            now: self.now,
            own: 0,
            config: &self.config,
            services: &self.peers,
            rng: &mut self.rng,
            counters: &mut self.counters,
            out: &mut out,
        };
        (act(&mut self.kad, &mut cx), out)
    }

    pub(super) fn seen(&mut self, contact: u32) -> Vec<Output<u32>> {
        self.run(|k, cx| k.on_seen(cx, contact)).1
    }

    pub(super) fn request(&mut self, from: u32, request: Request<u32>) -> Vec<Output<u32>> {
        self.run(|k, cx| k.on_request(cx, from, RequestId(77), request)).1
    }

    /// The response to a request.
    pub(super) fn ask(&mut self, from: u32, request: Request<u32>) -> Option<Response<u32>> {
        let mut out = self.request(from, request);
        assert!(out.len() <= 1, "{out:?}");
        let Output::Respond { to, id: RequestId(77), response } = out.pop()? else {
            panic!("no response: {out:?}");
        };
        assert_eq!(to, from);
        Some(response)
    }

    pub(super) fn respond(&mut self, from: u32, id: u32, response: Response<u32>) -> Vec<Output<u32>> {
        self.run(|k, cx| k.on_response(cx, from, RequestId(id), response)).1
    }

    /// Lets time pass and runs the timers.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Output<u32>> {
        self.now += time;
        self.run(|k, cx| k.handle_timeout(cx)).1
    }

    pub(super) fn count(&self, what: Count) -> u64 {
        self.counters.get(what)
    }

    /// Every counter that is not zero.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        let all = Count::NAMES.map(|(what, name)| (name, self.count(what)));
        all.into_iter().filter(|(_, n)| *n > 0).collect()
    }
}

/// Settings with which a machine does nothing by itself.
pub(super) fn quiet(config: Config) -> Config {
    Config {
        refresh_interval: Duration::ZERO,
        replicate_interval: Duration::ZERO,
        republish_interval: Duration::ZERO,
        reprovide_interval: Duration::ZERO,
        ..config
    }
}
