//! Finding a memory by its id, wherever it is held, and the memories of a session.

use std::collections::{BTreeMap, BTreeSet};

use super::held::{held, known};
use super::methods::{self, Purpose};
use super::record::{Entry, Memory, Tombstone};
use super::wire::{Ask, Tell};
use super::write::Kind;
use super::{What, wire};
use crate::identity::PeerId;
use crate::primitive::agent::Agent;
use crate::primitive::call::CallId;
use crate::primitive::env::Env;
use crate::primitive::error::{Code, Error};
use crate::primitive::params::{Name, Text};
use crate::ring::{Position, REPLICAS};
use crate::time::Instant;

/// A look-up under way.
#[derive(Debug)]
pub(super) struct Find {
    id: Name,
    /// Who waits, and for what; `None` once it is answered.
    call: Option<(CallId, Purpose)>,
    best: Option<Entry>,
    /// Who knew that.
    from: PeerId,
    /// When the best so far has to do, and whether that is past.
    deadline: Instant,
    late: bool,
    /// Whether there is somebody to ask.
    asks: bool,
    /// What each peer that answered knew.
    knew: Vec<(PeerId, Option<Entry>)>,
}

/// A list under way: first who has what, then the texts of one page.
#[derive(Debug)]
pub(super) struct Listing {
    call: CallId,
    session: Name,
    limit: usize,
    offset: usize,
    /// When each memory was created, and who holds it.
    ids: BTreeMap<Name, (u64, PeerId)>,
    /// The page, once it is known.
    page: Option<Vec<(u64, Name)>>,
    texts: BTreeMap<Name, Memory>,
    /// Whether somebody who may alone hold something was not asked, or did not answer.
    partial: bool,
}

impl Agent {
    /// Looks up a memory for a call: here and at the other replicas, as a copy may have missed a change; if there is none
    /// here, at all that may hold it.
    pub(super) fn find(&mut self, env: &mut Env<'_>, call: CallId, id: Name, purpose: Purpose) {
        let best = known(env, &id);
        let at = Position::of(id.as_bytes());
        let near = self.memory.place.near(env, at);
        let others: Vec<PeerId> = match &best {
            // That is for good.
            Some(Entry::Tombstone(_)) => Vec::new(),
            Some(Entry::Memory(_)) => near.into_iter().take(REPLICAS).collect(),
            None => near,
        };
        let others: Vec<PeerId> = others.into_iter().filter(|peer| *peer != env.own).collect();
        let ask = Ask::Get(id.clone());
        let deadline = env.now + env.config.memory.search_wait;
        let find = Find {
            id,
            call: Some((call, purpose)),
            best,
            from: env.own,
            deadline,
            late: false,
            asks: !others.is_empty(),
            knew: Vec::new(),
        };
        let number = self.begin_op(env, What::Find(find), &others, &ask);
        if self.memory.ops.contains_key(&number) {
            self.memory.deadlines.insert((deadline, number));
        }
    }

    /// Those asked had time enough: the best so far is the answer, or else the first one that comes.
    pub(super) fn find_is_late(&mut self, env: &mut Env<'_>, number: u64) {
        let Some(mut op) = self.memory.ops.remove(&number) else { return };
        if let What::Find(find) = &mut op.what {
            find.late = true;
        }
        self.op_goes_on(env, number, op);
    }

    pub(super) fn find_told(&mut self, env: &Env<'_>, find: &mut Find, from: PeerId, told: Option<Tell>) {
        let Some(Tell { error: None, entries, .. }) = told else { return };
        let entry = entries.into_iter().find(|entry| *entry.id() == find.id && entry.is_sound());
        let entry = entry.filter(|entry| self.memory.clock.believes(env.unix, entry.stamp()));
        if let Some(entry) = &entry
            && find.best.as_ref().is_none_or(|best| entry.order(best).is_gt())
        {
            find.best = Some(entry.clone());
            find.from = from;
        }
        find.knew.push((from, entry));
    }

    /// Answers with the newest that is known when all have answered or time is up, and sees to it at last that all
    /// replicas know the same.
    pub(super) fn find_goes_on(&mut self, env: &mut Env<'_>, number: u64, find: &mut Find, last: bool) {
        let ready = last || (find.late && find.best.is_some());
        if last {
            self.memory.deadlines.remove(&(find.deadline, number));
        }
        if ready && let Some((call, purpose)) = find.call.take() {
            let reached = !find.knew.is_empty() || !find.asks;
            match &find.best {
                Some(Entry::Memory(memory)) if purpose.allows(memory) => {
                    self.found_one(env, call, &purpose, memory.clone());
                }
                None if !reached => {
                    let error = Error::new(Code::PeerUnavailable, "no peer that may hold it answers");
                    methods::answer(env, call, Err(error));
                }
                Some(_) | None => methods::answer_missing(env, call, &purpose, &find.id),
            }
        }
        if last && !find.knew.is_empty() {
            self.repair(env, find);
        }
    }

    fn found_one(&mut self, env: &mut Env<'_>, call: CallId, purpose: &Purpose, memory: Memory) {
        let replicas = self.memory.place.replicas(env, Position::of(memory.id.as_bytes()));
        let ours = memory.author() == env.own || replicas.contains(&env.own);
        match purpose {
            Purpose::Get(_) => methods::answer_get(env, call, &memory, replicas.first().copied()),
            Purpose::Delete(_) | Purpose::Archive(_) if !ours => methods::answer_not_ours(env, call),
            Purpose::Delete(_) => {
                let stamp = self.memory.stamp(env);
                let tombstone = Tombstone { id: memory.id, stamp };
                self.write(env, call, Kind::Delete, Entry::Tombstone(tombstone), None);
            }
            Purpose::Archive(_) => {
                let tier = Text::new(methods::ARCHIVAL).expect("not empty");
                // Later than what it replaces, whatever the clock says.
                self.memory.clock.saw(env.unix, &memory.stamp);
                let stamp = self.memory.stamp(env);
                let archived = Entry::Memory(memory.clone().moved(tier, stamp));
                self.write(env, call, Kind::Archive, archived, Some(memory));
            }
        }
    }

    /// Read repair: replicas that did not know the best get it. They believe a newer one only of another replica or of the
    /// author, so a peer that is neither repairs what is lacking, and comparisons do the rest.
    fn repair(&mut self, env: &mut Env<'_>, find: &mut Find) {
        let Some(best) = find.best.take() else { return };
        let replicas = self.memory.place.replicas(env, Position::of(find.id.as_bytes()));
        let behind = find.knew.iter().filter(|(peer, entry)| {
            replicas.contains(peer) && entry.as_ref().is_none_or(|entry| entry.order(&best).is_lt())
        });
        let behind: Vec<PeerId> = behind.map(|(peer, _)| *peer).collect();
        if replicas.contains(&env.own) {
            self.memory.merge(env, find.from, &best);
        }
        if !behind.is_empty() {
            self.begin_op(env, What::Sync, &behind, &Ask::Store(best));
        }
    }

    /// Lists the memories of a session.
    pub(super) fn list(
        &mut self,
        env: &mut Env<'_>,
        call: CallId,
        session: Name,
        (limit, offset): (usize, usize),
    ) {
        let own = self.memory.index.of_session(&session);
        let ids =
            own.filter_map(|(id, shape)| Some((Name::new(id).ok()?, (shape.created, env.own)))).collect();
        let (others, complete) = self.memory.place.cover(env, env.config.memory.fan_out);
        let ask = Ask::List { session_id: session.clone() };
        let (page, texts) = (None, BTreeMap::new());
        let listing = Listing { call, session, limit, offset, ids, page, texts, partial: !complete };
        self.begin_op(env, What::List(listing), &others, &ask);
    }

    /// All have answered: fetches the texts of the page, or answers.
    pub(super) fn list_ends(&mut self, env: &mut Env<'_>, listing: &mut Listing) {
        if listing.page.is_none() {
            let ids = core::mem::take(&mut listing.ids).into_iter();
            let ids = ids.filter(|(id, _)| !matches!(known(env, id), Some(Entry::Tombstone(_))));
            let mut all: Vec<(u64, Name, PeerId)> =
                ids.map(|(id, (created, peer))| (created, id, peer)).collect();
            all.sort_unstable();
            let total = all.len();
            let page: Vec<_> = all.into_iter().skip(listing.offset).take(listing.limit).collect();
            let mut wanted: BTreeMap<PeerId, BTreeSet<Name>> = BTreeMap::new();
            for (_, id, peer) in &page {
                match held(env, id) {
                    Some(memory) => {
                        listing.texts.insert(id.clone(), memory);
                    }
                    None => {
                        wanted.entry(*peer).or_default().insert(id.clone());
                    }
                }
            }
            listing.page = Some(page.into_iter().map(|(created, id, _)| (created, id)).collect());
            listing.offset = total;
            if !wanted.is_empty() {
                return self.list_page(env, listing, wanted);
            }
        }
        let page = listing.page.take().unwrap_or_default();
        let texts = page.into_iter().filter_map(|(_, id)| listing.texts.remove(&id)).collect();
        let place = &mut self.memory.place;
        methods::answer_list(env, listing.call, texts, (listing.offset, listing.partial), place);
    }

    /// Goes on as an operation of its own, with a question for each peer that holds some of the page.
    fn list_page(
        &mut self,
        env: &mut Env<'_>,
        listing: &mut Listing,
        wanted: BTreeMap<PeerId, BTreeSet<Name>>,
    ) {
        let number = self.memory.next_op;
        self.memory.next_op += 1;
        let mut waiting = 0;
        for (peer, ids) in wanted {
            for id in ids {
                let body = serde_json::to_string(&Ask::Get(id)).expect("plain data");
                if let Some(asked) = self.ask(env, peer, crate::request::Protocol::Memory, body) {
                    waiting += 1;
                    self.memory.asks.insert(asked, number);
                }
            }
        }
        let rest = Listing {
            call: listing.call,
            session: listing.session.clone(),
            limit: listing.limit,
            offset: listing.offset,
            ids: BTreeMap::new(),
            page: listing.page.take(),
            texts: core::mem::take(&mut listing.texts),
            partial: listing.partial,
        };
        self.op_goes_on(env, number, super::Op { what: What::List(rest), waiting });
    }
}

impl Listing {
    pub(super) fn told(&mut self, from: PeerId, told: Option<Tell>) {
        let Some(told) = told.filter(|told| told.error.is_none()) else {
            self.partial = true;
            return;
        };
        if self.page.is_some() {
            for entry in told.entries.into_iter().filter(Entry::is_sound) {
                if let Entry::Memory(memory) = entry
                    && memory.session_id.as_ref() == Some(&self.session)
                {
                    self.texts.insert(memory.id.clone(), memory);
                }
            }
            return;
        }
        for (id, created) in told.ids.into_iter().take(wire::IDS_MAX) {
            self.ids.entry(id).or_insert((created, from));
        }
    }
}
