//! HTTP on the server's port: the upgrade to WebSocket at any path (decision J8), and three things to get.
//!
//! Every response closes the connection, so that no connection outlives its handshake deadline without being a
//! WebSocket.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State, WebSocketUpgrade};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use hyperspace_protocol::primitive::Tier;
use serde_json::json;

use super::Backend;
use super::auth::{Refusal, screen, tier};
use super::connection::{Shared, Visiting, serve};
use super::listener::{Visit, Visitor};

const JSON: &str = "application/json";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The frames of a client are small and so are most answers; both buffers grow as needed.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// Answers a request, or makes its connection a WebSocket.
pub(super) async fn handle<B: Backend>(
    State(shared): State<Arc<Shared<B>>>,
    ConnectInfo(Visitor(visit)): ConnectInfo<Visitor>,
    request: Request,
) -> Response<Body> {
    let (parts, _) = request.into_parts();
    match admit(&shared, &visit, parts).await {
        Ok(response) => response,
        Err(refusal) => {
            shared.metrics.refused(refusal);
            refuse(refusal)
        }
    }
}

async fn admit<B: Backend>(
    shared: &Arc<Shared<B>>,
    visit: &Arc<Visit>,
    mut parts: Parts,
) -> Result<Response<Body>, Refusal> {
    if visit.full {
        return Err(Refusal::Full);
    }
    screen(&parts, &shared.config)?;
    let path = parts.uri.path();
    let upgrade = parts.headers.get_all(header::UPGRADE).iter().any(is_websocket);
    // A service manager on this host has no key. Elsewhere health is nobody's business.
    if !upgrade && path == "/healthz" && visit.addr.ip().to_canonical().is_loopback() {
        return get(shared, &parts.method, path, &Tier::Operator);
    }
    let (tier, key) = {
        let session_of = |token| shared.backend.session_of(token);
        tier(&parts.headers, &shared.config.keys, session_of).await?
    };
    if !upgrade {
        return get(shared, &parts.method, path, &tier);
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &());
    let upgrade = upgrade.await.map_err(|_| Refusal::BadUpgrade)?;
    let limits = &shared.config.limits;
    let most = limits.frame_bytes;
    let seat = shared.seats.take(&tier, limits.connections_per_session)?;
    visit.upgrade();
    let visiting = Visiting { tier, key, place: visit.place.clone(), seat };
    let shared = shared.clone();
    Ok(upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_frame_size(most)
        .max_message_size(most)
        .on_upgrade(move |socket| serve(socket, shared, visiting)))
}

fn is_websocket(value: &HeaderValue) -> bool {
    value
        .to_str()
        .is_ok_and(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("websocket")))
}

fn get<B: Backend>(
    shared: &Shared<B>,
    method: &Method,
    path: &str,
    tier: &Tier,
) -> Result<Response<Body>, Refusal> {
    if method != Method::GET && method != Method::HEAD {
        return Err(Refusal::Method);
    }
    match path {
        "/healthz" => Ok(match shared.backend.healthy() {
            Ok(()) => response(StatusCode::OK, JSON, json!({ "status": "ok" }).to_string()),
            Err(problem) => {
                let body = json!({ "status": "unhealthy", "problem": problem }).to_string();
                response(StatusCode::SERVICE_UNAVAILABLE, JSON, body)
            }
        }),
        "/openrpc.json" => Ok(response(StatusCode::OK, JSON, shared.backend.openrpc())),
        "/metrics" if *tier == Tier::Operator => {
            Ok(response(StatusCode::OK, METRICS, shared.metrics.text(&*shared.backend)))
        }
        "/metrics" => Err(Refusal::OperatorOnly),
        _ => Err(Refusal::NoSuchPath),
    }
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONNECTION, "close"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    response.headers_mut().extend(headers.map(fixed));
    response
}

fn fixed((name, value): (HeaderName, &'static str)) -> (HeaderName, HeaderValue) {
    (name, HeaderValue::from_static(value))
}

fn refuse(refusal: Refusal) -> Response<Body> {
    let (status, reason, advice) = refusal.answer();
    let mut response = response(status, JSON, json!({ "error": reason, "message": advice }).to_string());
    let more = match refusal {
        Refusal::NoKey | Refusal::WrongKey => Some((header::WWW_AUTHENTICATE, "Bearer")),
        Refusal::Full | Refusal::SessionFull => Some((header::RETRY_AFTER, "1")),
        Refusal::Method => Some((header::ALLOW, "GET, HEAD")),
        Refusal::BadUpgrade => Some((header::SEC_WEBSOCKET_VERSION, "13")),
        Refusal::KeyInQuery
        | Refusal::NoHost
        | Refusal::ForeignHost
        | Refusal::ForeignOrigin
        | Refusal::OperatorOnly
        | Refusal::HeaderTooLong
        | Refusal::NoSuchPath => None,
    };
    response.headers_mut().extend(more.map(fixed));
    response
}
