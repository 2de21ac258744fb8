//! A call of one of the 44 methods as a driver hands it in, and its end.

use super::amount::Budget;
use super::error::Error;

/// The driver's number of a call, unique while the call is under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub u64);

/// The driver's number of a client: one connection of an SDK to its node. Tools that it registered are its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u64);

/// By what right a client calls (spec 2.3, decisions J9 and J10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tier {
    /// With the API key, or over loopback where none is set: any method.
    Operator,
    /// With the token of this session: methods on that session, and those that only look at what is shared.
    Session(Box<str>),
}

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The connection.
    pub client: ClientId,
    /// Its right.
    pub tier: Tier,
    /// A fingerprint of the API key it presented, to recognise the same owner on another connection; 0 for none.
    pub key: u64,
}

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its number, for the [`Answer`].
    pub id: CallId,
    /// Who calls.
    pub caller: Caller,
    /// `{primitive}.{method}` (spec 3).
    pub method: Box<str>,
    /// The parameters as JSON text: an object; `None` if the request has none.
    pub params: Option<Box<str>>,
}

/// The end of a call.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// Whose.
    pub id: CallId,
    /// The result as JSON text, or the error.
    pub result: Result<Box<str>, Error>,
}

/// A tool call that the node passes on to the client which registered the tool: `tool.execute` on the same socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Execute {
    /// The node's number of it, for the reply.
    pub id: CallId,
    /// Which client.
    pub client: ClientId,
    /// The request's `params` as JSON text: `{toolId, params, sessionId?, caller}`.
    pub params: Box<str>,
}

/// What came of an [`Execute`].
#[derive(Clone, PartialEq, Debug)]
pub enum Executed {
    /// The tool's output as JSON text.
    Result(Box<str>),
    /// The tool's own error, as the client sent it (JSON text).
    Failed(Box<str>),
    /// The client is gone, does not answer in time, or has too many calls in flight.
    Unavailable,
}

/// A request over HTTP that the driver makes for a machine (a POST of JSON). What it needs besides, such as the address of
/// an embedding service and its key, is the driver's setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// The node's number of it, for the reply.
    pub id: CallId,
    /// Of whom.
    pub from: Source,
    /// The body as JSON text.
    pub body: Box<str>,
}

/// Whom a [`Fetch`] asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The embedding service (the OpenAI-compatible `/v1/embeddings`).
    Embedder,
    /// The language model (the OpenAI-compatible `/v1/chat/completions`).
    Model,
    /// The content classifier of `guard.checkSafety`.
    Classifier,
    /// A tool's endpoint, at this URL. The driver has a list of the hosts that it may ask.
    Tool(Box<str>),
}

/// What came of a [`Fetch`]: the body of a successful response, or what went wrong.
pub type Fetched = Result<Box<str>, Box<str>>;

/// What a test of a node from outside may arrange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrange {
    /// A session may spend `limit` and has spent `consumed` of it.
    Budget {
        /// Which session.
        session: String,
        /// What it may spend.
        limit: Budget,
        /// What it has spent.
        consumed: Budget,
    },
    /// All records are erased, and what is under way is forgotten: calls that wait end with [`Code::Internal`](super::Code).
    Reset,
    /// Replicas count as unable to take memories, or no longer do.
    FailReplication(bool),
}

/// What happens to the primitives besides what other peers do.
#[derive(Clone, PartialEq, Debug)]
pub enum AgentInput {
    /// The driver has clients: the agent takes up what its records say, before the first call.
    Start,
    /// A client calls a method; ends with [`AgentOutput::Answer`].
    Call(Call),
    /// Arrange something that no method can; ends with [`AgentOutput::Answer`].
    Arrange(CallId, Arrange),
    /// A client carried out a tool for [`AgentOutput::Execute`], or did not.
    Executed(CallId, Executed),
    /// What came of an [`AgentOutput::Fetch`].
    Fetched(CallId, Fetched),
    /// A client has closed its connection: tools that it registered are gone with it.
    ClientGone(ClientId),
}

/// What the primitives want besides messages and requests to other peers.
#[derive(Clone, PartialEq, Debug)]
pub enum AgentOutput {
    /// Answer a call.
    Answer(Answer),
    /// Have a client carry out a tool that it registered; answer with [`AgentInput::Executed`].
    Execute(Execute),
    /// Fetch something from outside the network; answer with [`AgentInput::Fetched`].
    Fetch(Fetch),
}
