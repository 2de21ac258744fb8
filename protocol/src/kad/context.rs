//! What a driver lends to the machine for the length of one call.

use super::config::Config;
use super::key::{KadKey, Key};
use super::message::{Output, Request, RequestId};
use crate::rng::Stream;
use crate::time::Instant;

/// A driver's handle of a peer: four bytes in the simulator, a peer id in a node. Two are equal exactly if they are the
/// same peer. Nothing is decided by a handle's value, only by its key.
pub trait Contact: Copy + Eq + core::fmt::Debug {}

impl<C: Copy + Eq + core::fmt::Debug> Contact for C {}

/// What a driver does for its machines on demand: pure functions of the arguments.
pub trait Services<C> {
    /// Where a contact lies. A driver whose handles are not themselves keys looks it up.
    fn key(&self, contact: C) -> KadKey;

    /// What to ask for to find a contact: its id as a key, whose place is [`Services::key`].
    fn id(&self, contact: C) -> Key;

    /// The address group of a contact, such as its IPv4 /16 or IPv6 /32 (go-libp2p's groups); `None` for one that
    /// belongs to no group and is never capped.
    fn group(&self, _contact: C) -> Option<u64> {
        None
    }

    /// Whether a value may be stored under a key (the `Validate` of libp2p/specs kad-dht, "Entry validation").
    fn valid(&self, _key: &Key, _value: &[u8]) -> bool {
        true
    }

    /// Whether of two different valid values the second is the better one (its `Select`). By default the one that came
    /// last is.
    fn better(&self, _key: &Key, _old: &[u8], _new: &[u8]) -> bool {
        true
    }
}

/// Things the machine dropped or gave up, counted by the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Count {
    /// A newcomer to a full bucket that has to wait.
    BucketFull,
    /// A newcomer whose address group has its share of the table.
    GroupFull,
    /// A response that was not asked for, came twice, came too late, or came from somebody else.
    Unasked,
    /// A response of another kind than the request.
    WrongKind,
    /// A contact or provider in a response beyond what a request may bring.
    Surplus,
    /// This peer itself among the contacts in a response.
    OwnReferral,
    /// A request that was not answered in time.
    RequestTimeout,
    /// A lookup that was ended by its time limit.
    QueryTimeout,
    /// A lookup that was ended by its limit of requests.
    QueryExhausted,
    /// A value that is too long, or that the driver does not hold valid.
    RecordInvalid,
    /// A value that is older than the one stored.
    RecordOld,
    /// A value that is farther away than all that fill the store.
    RecordRefused,
    /// A value that made room for a closer one.
    RecordEvicted,
    /// A provider announced by somebody else.
    ProviderForged,
    /// A provider of a key that has all the providers it may have.
    ProviderSurplus,
    /// A provider of more keys than one may have.
    ProviderFlood,
    /// A provided key that is farther away than all that fill the store.
    ProviderRefused,
    /// A provider record that made room for one of a closer key.
    ProviderEvicted,
}

impl Count {
    /// How many kinds there are.
    pub const KINDS: usize = 18;
    /// All kinds with the name they have in reports, in the order of [`Count`] as an index.
    pub const NAMES: [(Self, &'static str); Self::KINDS] = [
        (Self::BucketFull, "kad_bucket_full"),
        (Self::GroupFull, "kad_group_full"),
        (Self::Unasked, "kad_unasked"),
        (Self::WrongKind, "kad_wrong_kind"),
        (Self::Surplus, "kad_surplus"),
        (Self::OwnReferral, "kad_own_referral"),
        (Self::RequestTimeout, "kad_request_timeout"),
        (Self::QueryTimeout, "kad_query_timeout"),
        (Self::QueryExhausted, "kad_query_exhausted"),
        (Self::RecordInvalid, "kad_record_invalid"),
        (Self::RecordOld, "kad_record_old"),
        (Self::RecordRefused, "kad_record_refused"),
        (Self::RecordEvicted, "kad_record_evicted"),
        (Self::ProviderForged, "kad_provider_forged"),
        (Self::ProviderSurplus, "kad_provider_surplus"),
        (Self::ProviderFlood, "kad_provider_flood"),
        (Self::ProviderRefused, "kad_provider_refused"),
        (Self::ProviderEvicted, "kad_provider_evicted"),
    ];
}

crate::counters::counters!();

/// What the driver lends for the length of one call.
pub struct Context<'a, C> {
    /// The driver's clock.
    pub now: Instant,
    /// This peer itself.
    pub own: C,
    /// Settings shared by all machines of this driver.
    pub config: &'a Config,
    /// Keys, address groups and value checks.
    pub services: &'a dyn Services<C>,
    /// This machine's own random numbers.
    pub rng: &'a mut Stream,
    /// Where drops are counted.
    pub counters: &'a mut Counters,
    /// Where the machine puts what it wants done.
    pub out: &'a mut Vec<Output<C>>,
}

impl<C: Contact> Context<'_, C> {
    /// Where this peer lies.
    pub(super) fn own_key(&self) -> KadKey {
        self.services.key(self.own)
    }

    pub(super) fn count(&mut self, what: Count) {
        self.counters.add(what);
    }

    pub(super) fn send(&mut self, to: C, id: RequestId, request: Request<C>) {
        self.out.push(Output::Send { to, id, request });
    }
}
