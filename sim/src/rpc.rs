//! Requests and responses between peers that need not be connected: the DHT's, and those for capability cards.
//!
//! A request to a peer without an open link first takes the round trips of a handshake; the response comes back over
//! the same connection. Nothing else is modelled of such connections: they are gone as soon as the response is sent.
//! What gets lost on a stream is sent again, as on links; a request that meets a partition, or nobody, is never answered,
//! and the machine's own time limit tells.

use hyperspace_protocol::kad;
use hyperspace_protocol::machine::Input;
use hyperspace_protocol::request::{Protocol, Request, RequestId, Response};
use hyperspace_protocol::time::{Duration, Instant};

use crate::event::{Event, Payload, mix};
use crate::host::Subject;
use crate::lane::{Lane, Sink};
use crate::link::{Fate, LinkState, Way};
use crate::records::text as word;
use crate::shared::Shared;
use crate::tally::{NetCount, RpcKind};

/// What travels.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Packet {
    /// A request of `src`.
    Request { id: RequestId, request: Request<u32> },
    /// The answer of `src` to a request of `dst`.
    Response { id: RequestId, response: Response<u32> },
    /// A peer's own request could not be sent.
    Failed { id: RequestId, protocol: Protocol },
}

impl Packet {
    /// A hash of what it says.
    pub(crate) fn digest(&self) -> u64 {
        match self {
            Self::Request { id, request } => {
                let content = match request {
                    Request::Dht(request) => dht_request(request),
                    Request::Card => 21,
                    Request::Agent { protocol, body } => mix(word(body.as_bytes()) ^ *protocol as u64),
                };
                mix(mix(11 << 60 ^ u64::from(id.0)) ^ content)
            }
            Self::Response { id, response } => {
                let content = match response {
                    Response::Dht(response) => dht_response(response),
                    Response::Card(card) => card.as_ref().map_or(22, |c| word(c.hash().as_bytes())),
                    Response::Agent(body) => mix(word(body.as_bytes()) ^ 23),
                };
                mix(mix(12 << 60 ^ u64::from(id.0)) ^ content)
            }
            Self::Failed { id, protocol } => mix(mix(13 << 60 ^ u64::from(id.0)) ^ *protocol as u64),
        }
    }
}

fn place(key: &kad::Key) -> u64 {
    word(key.place().as_bytes())
}

fn contacts(all: &[u32]) -> u64 {
    all.iter().fold(all.len() as u64, |h, c| mix(h ^ u64::from(*c)))
}

fn record(record: &kad::Record) -> u64 {
    mix(place(&record.key) ^ word(&record.value)) ^ record.ttl.map_or(0, Duration::as_nanos)
}

fn dht_request(request: &kad::Request<u32>) -> u64 {
    match request {
        kad::Request::FindNode(key) => mix(1 ^ place(key)),
        kad::Request::GetValue(key) => mix(2 ^ place(key)),
        kad::Request::PutValue(value) => mix(3 ^ record(value)),
        kad::Request::GetProviders(key) => mix(4 ^ place(key)),
        kad::Request::AddProvider { key, providers } => mix(mix(5 ^ place(key)) ^ contacts(providers)),
    }
}

fn dht_response(response: &kad::Response<u32>) -> u64 {
    match response {
        kad::Response::Nodes { closer } => mix(6 ^ contacts(closer)),
        kad::Response::Value { record: value, closer } => {
            mix(mix(7 ^ contacts(closer)) ^ value.as_ref().map_or(0, record))
        }
        kad::Response::Stored => mix(8),
        kad::Response::Providers { providers, closer } => {
            mix(mix(9 ^ contacts(closer)) ^ mix(contacts(providers)))
        }
    }
}

impl<P: Subject> Lane<P> {
    /// A machine wants a request sent.
    pub(crate) fn request(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        to: u32,
        (id, request): (RequestId, Request<u32>),
        sink: &mut impl Sink,
    ) {
        let own = self.base + local as u32;
        let protocol = request.protocol();
        let connected = self.hosts[local].links.iter().any(|l| l.state == LinkState::Open && l.peer == to);
        let Some(path) = shared.path(own, to, now) else {
            self.tally.net(NetCount::Unreachable);
            let failed = Packet::Failed { id, protocol };
            let at = now + shared.lookahead;
            let event = self.event_from(local, at, own, 0, 0, Payload::Packet(Box::new(failed)));
            return sink.push(event);
        };
        let handshake = if connected { 0 } else { 2 * u64::from(shared.dial_round_trips) };
        let leaves = now + path.latency.saturating_mul(handshake);
        let packet = Packet::Request { id, request };
        self.send_packet(shared, local, (now, leaves), (to, path.latency), packet, sink);
    }

    /// A machine wants a request answered.
    pub(crate) fn respond(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        to: u32,
        (id, response): (RequestId, Response<u32>),
        sink: &mut impl Sink,
    ) {
        let own = self.base + local as u32;
        // Back over the connection that the asker made.
        let Some(path) = shared.path(to, own, now) else {
            return self.tally.net(NetCount::Unreachable);
        };
        let packet = Packet::Response { id, response };
        self.send_packet(shared, local, (now, now), (to, path.latency), packet, sink);
    }

    fn send_packet(
        &mut self,
        shared: &Shared,
        local: usize,
        (now, leaves): (Instant, Instant),
        (to, latency): (u32, Duration),
        packet: Packet,
        sink: &mut impl Sink,
    ) {
        let own = self.base + local as u32;
        let size = crate::wire::packet_length(shared, &packet);
        if now >= shared.warmup {
            self.tally.rpc(RpcKind::of(&packet), size as u64);
        }
        if shared.wire
            && let Err(what) = crate::wire::round_trip_packet(shared, &packet)
        {
            self.fail(now, own, format!("{packet:?} does not survive encoding: {what}"));
        }
        let payload = Payload::Packet(Box::new(packet));
        let event = self.event_from(local, leaves, to, 0, 0, payload);
        if shared.partitions.cut_until(leaves, own, to).is_some() {
            return self.tally.net(NetCount::Lost);
        }
        let Some(sent) = self.line_out(shared, local, leaves, size) else {
            return self.tally.net(NetCount::Lost);
        };
        let way = Way { src: own, dst: to, latency: latency.as_nanos(), seq: event.seq };
        match self.fate_of(shared, way, sent) {
            Fate::Arrives(at) => sink.push(Event { at, ..event }),
            // Nobody hears of a stream that breaks before its response: time tells.
            Fate::Lost | Fate::Breaks(_) => self.tally.net(NetCount::Lost),
        }
    }

    /// A packet has come in.
    pub(crate) fn on_packet(
        &mut self,
        shared: &Shared,
        local: usize,
        now: Instant,
        src: u32,
        packet: Packet,
        sink: &mut impl Sink,
    ) {
        if !self.hosts[local].is_up() {
            return self.tally.net(NetCount::Unanswered);
        }
        let input = match packet {
            Packet::Request { id, request } => {
                let server = shared.facts[src as usize].reachable;
                Input::Request { from: src, server, id, request: Box::new(request) }
            }
            Packet::Response { id, response } => {
                Input::Response { from: src, id, response: Box::new(response) }
            }
            Packet::Failed { id, protocol } => Input::RequestFailed { protocol, id },
        };
        self.input(shared, local, now, input, sink);
    }
}
