//! Who may come in, decided from the head of an HTTP request before anything else is done with it (spec 2.3, decisions
//! J9 and J10): no key in an address, no foreign page, no rebound name, and a key or a session's token where one is set.

use core::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use hyperspace_protocol::primitive::Tier;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::RpcConfig;

/// Shortest API key, in bytes: 64 bits in hexadecimal. Our choice.
pub const KEY_BYTES_MIN: usize = 16;

/// Longest API key, in bytes, far below what a header may have. Our choice.
pub const KEY_BYTES_MAX: usize = 512;

/// API keys, of which only hashes are kept. Copies are of the same keys.
#[derive(Clone, Default)]
pub struct ApiKeys {
    known: Arc<RwLock<Vec<[u8; 32]>>>,
    /// Whether there were any from the start: then one is needed.
    needed: bool,
}

impl ApiKeys {
    /// # Errors
    /// If a key is shorter than [`KEY_BYTES_MIN`], longer than [`KEY_BYTES_MAX`], or has other characters than visible
    /// ASCII, which no header can carry.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<Self, KeysError> {
        let mut hashes = Vec::new();
        for key in keys {
            if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
                return Err(KeysError::Length(hashes.len() + 1));
            }
            if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(KeysError::Character(hashes.len() + 1));
            }
            hashes.push(hash(key));
        }
        Ok(Self { needed: !hashes.is_empty(), known: Arc::new(RwLock::new(hashes)) })
    }

    /// Whether there was none from the start, and nobody needs one. A key that was issued since is known all the same.
    pub const fn is_empty(&self) -> bool {
        !self.needed
    }

    /// Lets one more key in.
    ///
    /// # Errors
    /// See [`ApiKeys::new`].
    pub fn issue(&self, key: &str) -> Result<(), KeysError> {
        let hashes = Self::new([key])?;
        let new = hashes.read().first().copied();
        self.known.write().unwrap_or_else(PoisonError::into_inner).extend(new);
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<[u8; 32]>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fingerprint of `key` if it is one of these: 64 bits of its hash, never 0. Takes the same time whichever it is.
    pub fn find(&self, key: &str) -> Option<u64> {
        let hash = hash(key);
        let known = self.read().iter().fold(Choice::from(0), |known, other| known | other.ct_eq(&hash));
        let bits = u64::from_le_bytes(hash[..8].try_into().expect("eight of 32 bytes"));
        let found = u64::conditional_select(&0, &bits.max(1), known);
        (found != 0).then_some(found)
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys(<{}>)", self.read().len())
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Why API keys are not taken. Keys are named by their place, from 1, never by their text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeysError {
    /// The file has no key.
    #[error("there is no key in this file: it has one per line")]
    None,
    /// Too short to be secret, or too long for a header.
    #[error("key {0} has less than {KEY_BYTES_MIN} or more than {KEY_BYTES_MAX} characters")]
    Length(usize),
    /// It cannot be sent.
    #[error("key {0} has spaces, control characters or characters outside ASCII")]
    Character(usize),
}

/// Why a request over HTTP is turned away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Refusal {
    /// A key in the address.
    KeyInQuery,
    /// No `Host` that can be read, or more than one.
    NoHost,
    /// A name that is not ours.
    ForeignHost,
    /// A web page.
    ForeignOrigin,
    /// No key.
    NoKey,
    /// Not one of our keys, nor of our sessions' tokens; or more than one.
    WrongKey,
    /// A session's token where the operator's key is needed.
    OperatorOnly,
    /// The head is too long.
    HeaderTooLong,
    /// There are too many connections.
    Full,
    /// There are too many connections with this session's token.
    SessionFull,
    /// A way to ask that is not ours.
    Method,
    /// Nothing is at this path.
    NoSuchPath,
    /// It asks for WebSocket, but wrongly.
    BadUpgrade,
}

impl Refusal {
    /// The status, a name for metrics, and what to do about it.
    pub(super) const fn answer(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::KeyInQuery => (
                S::BAD_REQUEST,
                "key_in_query",
                "a key in an address ends up in logs: send it as the header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
            ),
            Self::NoHost => (S::BAD_REQUEST, "no_host", "the request needs one Host header"),
            Self::ForeignHost => (
                S::FORBIDDEN,
                "foreign_host",
                "this node has no API key and is therefore not reached by this name: use localhost or an IP address, \
                 or let the operator list the name",
            ),
            Self::ForeignOrigin => (
                S::FORBIDDEN,
                "foreign_origin",
                "pages of this origin are not allowed: the operator can list it",
            ),
            Self::NoKey => (
                S::UNAUTHORIZED,
                "no_key",
                "an API key is needed: send it as the header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
            ),
            Self::WrongKey => (
                S::UNAUTHORIZED,
                "wrong_key",
                "this is neither an API key of this node nor the token of a live session",
            ),
            Self::OperatorOnly => (S::FORBIDDEN, "operator_only", "a session's token does not cover this"),
            Self::HeaderTooLong => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_long", "the head of the request is too long")
            }
            Self::Full => (S::SERVICE_UNAVAILABLE, "full", "this node has as many connections as it takes"),
            Self::SessionFull => {
                (S::TOO_MANY_REQUESTS, "session_full", "this session has as many connections as it may have")
            }
            Self::Method => (S::METHOD_NOT_ALLOWED, "method", "this is for GET; calls come over WebSocket"),
            Self::NoSuchPath => (
                S::NOT_FOUND,
                "no_such_path",
                "nothing is here: connect by WebSocket for JSON-RPC, or get /openrpc.json, /healthz or /metrics",
            ),
            Self::BadUpgrade => {
                (S::BAD_REQUEST, "bad_upgrade", "this is not a WebSocket handshake of RFC 6455, version 13")
            }
        }
    }
}

/// What every request must keep, whoever sends it.
pub(super) fn screen(parts: &Parts, config: &RpcConfig) -> Result<(), Refusal> {
    let lines = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let path = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if lines.sum::<usize>() + path > config.limits.header_bytes {
        return Err(Refusal::HeaderTooLong);
    }
    if parts.uri.query().is_some_and(|query| has_key(query, &config.keys)) {
        return Err(Refusal::KeyInQuery);
    }
    let host = single(&parts.headers, HOST.as_str()).ok_or(Refusal::NoHost)?;
    if config.keys.is_empty() && !is_our_host(host, &config.hosts) {
        return Err(Refusal::ForeignHost);
    }
    if parts.headers.contains_key(ORIGIN) {
        let allowed = single(&parts.headers, ORIGIN.as_str())
            .is_some_and(|origin| config.origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin)));
        if !allowed {
            return Err(Refusal::ForeignOrigin);
        }
    }
    Ok(())
}

/// By what right a request comes, and with which key.
pub(super) async fn tier<'h, F: Future<Output = Option<String>>>(
    headers: &'h HeaderMap,
    keys: &ApiKeys,
    session_of: impl FnOnce(&'h str) -> F,
) -> Result<(Tier, u64), Refusal> {
    let Some(credential) = credential(headers)? else {
        return if keys.is_empty() { Ok((Tier::Operator, 0)) } else { Err(Refusal::NoKey) };
    };
    if let Some(fingerprint) = keys.find(credential) {
        return Ok((Tier::Operator, fingerprint));
    }
    // Also where no key is set: a client that shows an ended session's token does not mean to be the operator.
    let session = session_of(credential).await.ok_or(Refusal::WrongKey)?;
    Ok((Tier::Session(session.into()), 0))
}

/// What the client shows, in either header.
fn credential(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let bearer = headers.get_all(AUTHORIZATION).iter().map(|value| {
        let (scheme, key) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let own = headers.get_all("x-api-key").iter().map(|value| value.to_str().ok().map(str::trim));
    let mut shown = None;
    for key in bearer.chain(own) {
        let key =
            key.filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX * 8).ok_or(Refusal::WrongKey)?;
        if shown.replace(key).is_some_and(|other| other != key) {
            return Err(Refusal::WrongKey);
        }
    }
    Ok(shown)
}

/// The header if it is there once and is text.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let (first, second) = (all.next()?, all.next());
    if second.is_some() { None } else { first.to_str().ok() }
}

/// Whether a query looks as if it had a key in it, right or wrong.
fn has_key(query: &str, keys: &ApiKeys) -> bool {
    const NAMES: [&str; 9] = [
        "apikey",
        "key",
        "token",
        "accesstoken",
        "authorization",
        "xapikey",
        "sessiontoken",
        "bearer",
        "secret",
    ];
    query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, pair));
        let plain = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        NAMES.contains(&&*plain) || keys.find(value).is_some()
    })
}

/// Whether `host`, of a `Host` header, is this host for certain: an IP address is no name that could be rebound.
fn is_our_host(host: &str, listed: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || listed.iter().any(|listed| listed.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use futures::executor::block_on;

    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn keys() -> ApiKeys {
        ApiKeys::new([KEY, "fedcba9876543210"]).unwrap()
    }

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn keys_are_found_by_hash() {
        assert_eq!(keys().find("x"), None);
        assert_eq!(keys().find(""), None);
        assert_eq!(keys().find(KEY), ApiKeys::new([KEY]).unwrap().find(KEY));
        assert_ne!(keys().find(KEY), keys().find("fedcba9876543210"));
        assert_eq!(ApiKeys::new([KEY, "short"]).unwrap_err(), KeysError::Length(2));
        assert_eq!(ApiKeys::new(["fifteen and more"]).unwrap_err(), KeysError::Character(1));
    }

    #[test]
    fn credentials_decide_the_tier() {
        let session = |token: &str| std::future::ready((token == "token").then(|| "s1".to_owned()));
        let operator = |key: &str| Ok((Tier::Operator, keys().find(key).unwrap()));
        let of = |headers: &[(&str, &str)]| block_on(tier(&parts("/", headers).headers, &keys(), session));
        let bearer = &format!("Bearer {KEY}");
        assert_eq!(of(&[("authorization", bearer)]), operator(KEY));
        assert_eq!(of(&[("authorization", &format!("bEARER   {KEY} "))]), operator(KEY));
        assert_eq!(of(&[("x-api-key", KEY)]), operator(KEY));
        assert_eq!(of(&[("x-api-key", KEY), ("authorization", bearer)]), operator(KEY));
        assert_eq!(of(&[("authorization", "Bearer token")]), Ok((Tier::Session("s1".into()), 0)));
        assert_eq!(of(&[]), Err(Refusal::NoKey));
        for wrong in [
            &[("authorization", "Bearer")][..],
            &[("authorization", "Bearer ")],
            &[("authorization", "Basic 0123456789abcdef")],
            &[("authorization", KEY)],
            &[("x-api-key", "")],
            &[("x-api-key", "0123456789abcdeF")],
            &[("x-api-key", KEY), ("x-api-key", "fedcba9876543210")],
            &[("x-api-key", KEY), ("authorization", "Bearer token")],
        ] {
            assert_eq!(of(wrong), Err(Refusal::WrongKey), "{wrong:?}");
        }
        let open = |headers: &[(&str, &str)]| {
            block_on(tier(&parts("/", headers).headers, &ApiKeys::default(), session))
        };
        assert_eq!(open(&[]), Ok((Tier::Operator, 0)));
        assert_eq!(open(&[("x-api-key", "token")]), Ok((Tier::Session("s1".into()), 0)));
        assert_eq!(open(&[("x-api-key", "ended")]), Err(Refusal::WrongKey));
    }

    #[test]
    fn heads_are_screened() {
        let open = RpcConfig {
            origins: vec!["https://a.org".into()],
            hosts: vec!["node.lan".into()],
            ..RpcConfig::default()
        };
        let keyed = RpcConfig { keys: keys(), ..open.clone() };
        let of = |config, uri, headers: &[(&str, &str)]| screen(&parts(uri, headers), config);
        for host in [
            "localhost",
            "LOCALHOST:3100",
            "127.0.0.1:1",
            "10.0.0.1",
            "[::1]:3100",
            "node.lan:3100",
            "localhost.",
        ] {
            assert_eq!(of(&open, "/", &[("host", host)]), Ok(()), "{host}");
        }
        for host in
            ["evil.org", "evil.org:3100", "localhost.evil.org", "127.0.0.1.evil.org", "", "[::1", "a:b:c"]
        {
            assert_eq!(of(&open, "/", &[("host", host)]), Err(Refusal::ForeignHost), "{host}");
            assert_eq!(of(&keyed, "/", &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(of(&open, "/", &[]), Err(Refusal::NoHost));
        assert_eq!(of(&open, "/", &[("host", "localhost"), ("host", "evil.org")]), Err(Refusal::NoHost));
        for (origin, fine) in [
            ("https://a.org", true),
            ("HTTPS://A.org", true),
            ("null", false),
            ("", false),
            ("https://a.org.evil.org", false),
            ("http://a.org", false),
            ("http://localhost:3100", false),
        ] {
            let got = of(&open, "/", &[("host", "localhost"), ("origin", origin)]);
            assert_eq!(got.is_ok(), fine, "{origin}: {got:?}");
        }
        let long = "x".repeat(17_000);
        assert_eq!(of(&open, "/", &[("host", "localhost"), ("x", &long)]), Err(Refusal::HeaderTooLong));
        let host = &[("host", "localhost")];
        for query in
            ["/?api_key=x", "/?a=1&Api-Key=", "/?token", "/?x=0123456789abcdef", "/a?0123456789abcdef"]
        {
            assert_eq!(of(&keyed, query, host), Err(Refusal::KeyInQuery), "{query}");
        }
        assert_eq!(of(&keyed, "/?v=1&keyboard=x", host), Ok(()));
    }
}
