//! What peers ask of each other and what the machine wants done. [`codec`](super::codec) makes protobuf of it.

use core::fmt;
use std::sync::Arc;

use super::key::Key;
use crate::time::Duration;

/// Which request of one peer; a response carries the number of its request. On a libp2p stream the pairing is the
/// stream's, so the number is not on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u32);

/// Which query of one peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueryId(pub u32);

/// A value under a key. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Key,
    /// The value, opaque here.
    pub value: Arc<[u8]>,
    /// How long it still lives, if less than the receiver's own limit (rust-libp2p's field, in whole seconds on the
    /// wire). A copy made by a holder lives no longer than the holder's.
    pub ttl: Option<Duration>,
}

impl Record {
    /// Bytes of key and value.
    pub fn len(&self) -> usize {
        self.key.bytes().len() + self.value.len()
    }
    /// Whether key and value are both empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Values print as their size only.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({:?}, <{}b>, {:?})", self.key.place(), self.value.len(), self.ttl)
    }
}

/// What one peer asks of another (libp2p/specs kad-dht, "RPC messages"; PING is deprecated there and not sent).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request<C> {
    /// FIND_NODE: who is closest to this key?
    FindNode(Key),
    /// GET_VALUE: what is stored under this key, and who is closest to it?
    GetValue(Key),
    /// PUT_VALUE: store this.
    PutValue(Record),
    /// GET_PROVIDERS: who provides this key, and who is closest to it?
    GetProviders(Key),
    /// ADD_PROVIDER: these provide this key. Only the sender itself counts. There is no response.
    AddProvider {
        /// The key.
        key: Key,
        /// The sender, from honest peers.
        providers: Vec<C>,
    },
}

/// The answer to a [`Request`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response<C> {
    /// To FIND_NODE.
    Nodes {
        /// Contacts closest to the key, closest first.
        closer: Vec<C>,
    },
    /// To GET_VALUE.
    Value {
        /// What is stored, if anything is.
        record: Option<Record>,
        /// Contacts closest to the key, closest first.
        closer: Vec<C>,
    },
    /// To PUT_VALUE. Stock peers answer only if they stored it.
    Stored,
    /// To GET_PROVIDERS.
    Providers {
        /// Who provides the key.
        providers: Vec<C>,
        /// Contacts closest to the key, closest first.
        closer: Vec<C>,
    },
}

/// Something the machine wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output<C> {
    /// Send a request. Answer with `on_response`, or with `on_failure` if it cannot be sent; of a request without
    /// response, and of one that is never answered, nothing need be said.
    Send {
        /// To whom.
        to: C,
        /// The number the response must carry.
        id: RequestId,
        /// What.
        request: Request<C>,
    },
    /// Answer a request.
    Respond {
        /// Whose.
        to: C,
        /// The asker's number.
        id: RequestId,
        /// With what.
        response: Response<C>,
    },
    /// A query that the application started has come to its end.
    QueryDone {
        /// Which.
        id: QueryId,
        /// What came out.
        outcome: Outcome<C>,
        /// What it took.
        stats: QueryStats,
    },
}

/// What came out of a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome<C> {
    /// The contacts closest to the key that answered, closest first; with disjoint paths up to `k` of each path.
    Nodes(Vec<C>),
    /// The best value found, if any.
    Value(Option<Record>),
    /// How many peers a value was sent to and confirmed it.
    Stored {
        /// Sent to so many.
        sent: usize,
        /// Confirmed by so many.
        confirmed: usize,
    },
    /// The providers found, in the order in which they were heard of.
    Providers(Vec<C>),
    /// How many peers were told that this one provides a key.
    Provided {
        /// Told so many.
        sent: usize,
    },
}

/// What a query took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueryStats {
    /// Requests of the lookup.
    pub requests: u32,
    /// How many of them failed or were not answered in time.
    pub failures: u32,
    /// Length of the chain of referrals to the closest contact that answered: 1 for one out of our own table, one more
    /// for each peer that named the next; 0 if nobody answered.
    pub hops: u32,
    /// From the start of the query to its end.
    pub elapsed: Duration,
    /// Whether it ended by itself rather than by a limit of time or of requests.
    pub complete: bool,
}
