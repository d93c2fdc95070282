//! What every request passes through, from the outside in: who speaks (through which proxy), an id, room for one more
//! request, the route, and on the way back the safety headers and the line in the log. A panic becomes a problem.

use super::client::Client;
use super::request_id;
use crate::api::Problem;
use crate::api::problem::Code;
use crate::api::routes::BASE;
use crate::settings::{AddressRange, HttpSettings};
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tower::Service;

const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'";
/// For pages that come from the binary.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Routes that monitors and screens ask for every few seconds.
const POLLED: [&str; 3] = ["/health/", "/metrics", "/status"];

/// The front of the server; cheap to clone.
#[derive(Clone)]
pub struct Front {
    router: Router,
    room: Arc<Semaphore>,
    trusted: Arc<[AddressRange]>,
    watcher: Arc<dyn RequestWatcher>,
}

/// Hears of every answered request, for figures.
pub trait RequestWatcher: Send + Sync {
    /// `route` is the pattern of the path, with `{names}`; absent where nothing matched.
    fn answered(&self, method: &Method, route: Option<&str>, status: u16, took: Duration);
}

/// Nobody watches.
impl RequestWatcher for () {
    fn answered(&self, _: &Method, _: Option<&str>, _: u16, _: Duration) {}
}

/// The name of the account that a request was answered for; the guard leaves it on the response for the log.
#[derive(Debug, Clone)]
pub struct AnsweredFor(pub String);

impl Front {
    pub fn new(router: Router, settings: &HttpSettings, watcher: Arc<dyn RequestWatcher>) -> Self {
        Self {
            router,
            room: Arc::new(Semaphore::new(settings.max_requests)),
            trusted: settings.trusted_proxies.clone().into(),
            watcher,
        }
    }

    /// Answers one request that came from `peer`.
    pub async fn answer(&self, mut request: Request, peer: SocketAddr, tls: bool) -> Response {
        let began = Instant::now();
        let proxied = self.trusts(peer.ip());
        let client = self.client(request.headers(), peer.ip(), tls);
        let id = proxied
            .then(|| text(request.headers(), "x-request-id").and_then(request_id::accept))
            .flatten()
            .unwrap_or_else(request_id::make);
        request.extensions_mut().insert(client);
        without_trailing_slash(&mut request);
        let method = request.method().clone();
        let path = request.uri().path().to_string();

        let mut response = request_id::scope(id.clone(), self.route(request)).await;

        harden(&path, client.secure, response.headers_mut());
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-request-id", id);
        }
        let route = response.extensions().get::<MatchedPath>().cloned();
        let route = route.as_ref().map(MatchedPath::as_str);
        let took = began.elapsed();
        let status = response.status().as_u16();
        self.watcher.answered(&method, route, status, took);
        let who = response.extensions().get::<AnsweredFor>();
        log(&Line {
            method: &method,
            path: &path,
            route,
            status,
            took,
            client: client.address,
            who: who.map_or("-", |who| &who.0),
            id: &id,
        });
        response
    }

    async fn route(&self, request: Request) -> Response {
        let Ok(_room) = self.room.try_acquire() else {
            return Problem::new(Code::Busy, "the server answers as many requests as it can")
                .retry_after(1)
                .into_response();
        };
        let answer = self.router.clone().call(request);
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panic) => {
                let what = panic
                    .downcast_ref::<&str>()
                    .map(|text| text.to_string())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_default();
                Problem::internal(format!("a panic: {what}")).into_response()
            }
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.contains(address))
    }

    /// Who speaks. Forwarding headers count only as far as trusted proxies wrote them: from the right, the first address
    /// that is not a proxy of ours is the client.
    fn client(&self, headers: &HeaderMap, peer: IpAddr, tls: bool) -> Client {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return Client {
                address: peer,
                secure: tls,
            };
        }
        let mut address = peer;
        let hops: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        for hop in hops.iter().rev() {
            let Some(hop) = parse_hop(hop) else { break };
            address = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        let secure = match text(headers, "x-forwarded-proto") {
            Some(protocol) => protocol.eq_ignore_ascii_case("https"),
            None => tls,
        };
        Client { address, secure }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// An address, also with a port or in brackets.
fn parse_hop(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| text.trim_matches(['[', ']']).parse())
        .ok()
        .map(|address| address.to_canonical())
}

fn without_trailing_slash(request: &mut Request) {
    let uri = request.uri();
    let path = uri.path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() == path.len() || path.len() <= 1 {
        return;
    }
    let trimmed = match (trimmed, uri.query()) {
        ("", None) => "/".to_string(),
        ("", Some(query)) => format!("/?{query}"),
        (path, None) => path.to_string(),
        (path, Some(query)) => format!("{path}?{query}"),
    };
    let Ok(path_and_query) = PathAndQuery::try_from(trimmed) else {
        return;
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// What a handler has set itself stays.
fn harden(path: &str, secure: bool, headers: &mut HeaderMap) {
    let api = path.starts_with(BASE);
    let policy = if api { API_POLICY } else { PAGE_POLICY };
    // Once, instead of growing twice on the way.
    headers.reserve(12);
    let mut set = |name: header::HeaderName, value: &'static str| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, policy);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(
        header::HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    set(
        header::HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    if api {
        set(header::CACHE_CONTROL, "no-store");
    }
    if secure {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
}

struct Line<'a> {
    method: &'a Method,
    path: &'a str,
    route: Option<&'a str>,
    status: u16,
    took: Duration,
    client: IpAddr,
    who: &'a str,
    id: &'a str,
}

/// One line a request. The query stays out of it: it may hold a code of a login. What machines ask for all the time is
/// only seen at `debug`, unless it is refused.
fn log(line: &Line) {
    let Line {
        method,
        path,
        status,
        took,
        client,
        who,
        id,
        ..
    } = line;
    let ms = took.as_secs_f64() * 1_000.0;
    let quiet = line
        .route
        .is_some_and(|route| POLLED.iter().any(|polled| route.contains(polled)));
    macro_rules! write_at {
        ($level:ident) => {
            tracing::$level!(
                target: "pgkeep_server::access",
                %method, path = %path.escape_debug(), status, ms, %client, who, request_id = %id, "request"
            )
        };
    }
    match (quiet, *status) {
        (_, 500..) => write_at!(warn),
        (true, ..400) => write_at!(debug),
        _ => write_at!(info),
    }
}

/// A front for requests that come from nowhere, in tests of handlers.
impl Front {
    /// Answers a request as one from this machine.
    pub async fn answer_locally(&self, request: axum::http::Request<Body>) -> Response {
        self.answer(request, SocketAddr::from(([127, 0, 0, 1], 1)), false)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::Extension;
    use axum::http::StatusCode;

    async fn who(Extension(client): Extension<Client>) -> String {
        format!("{} {}", client.address, client.secure)
    }

    async fn fall() -> &'static str {
        panic!("on purpose")
    }

    fn front(max_requests: usize) -> Front {
        let settings = HttpSettings {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            max_requests,
            ..HttpSettings::default()
        };
        let router = Router::new()
            .route("/who", axum::routing::get(who))
            .route("/fall", axum::routing::get(fall));
        Front::new(router, &settings, Arc::new(()))
    }

    async fn ask(
        peer: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, String, HeaderMap) {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = front(8)
            .answer(
                request.body(Body::empty()).unwrap(),
                SocketAddr::new(peer.parse().unwrap(), 4_000),
                false,
            )
            .await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (
            parts.status,
            String::from_utf8(body.to_vec()).unwrap(),
            parts.headers,
        )
    }

    #[tokio::test]
    async fn only_a_trusted_proxy_says_for_whom_it_speaks() {
        let forwarded = [
            ("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.2"),
            ("x-forwarded-proto", "https"),
        ];
        for (peer, headers, expected) in [
            ("203.0.113.5", &forwarded[..], "203.0.113.5 false"),
            ("10.0.0.1", &forwarded[..], "203.0.113.9 true"),
            ("10.0.0.1", &[], "10.0.0.1 false"),
            (
                "10.0.0.1",
                &[("x-forwarded-for", "nonsense")],
                "10.0.0.1 false",
            ),
            (
                "10.0.0.1",
                &[("x-forwarded-for", "[2001:db8::1]:99")],
                "2001:db8::1 false",
            ),
        ] {
            assert_eq!(ask(peer, "/who", headers).await.1, expected, "{peer}");
        }
    }

    #[tokio::test]
    async fn a_request_id_is_taken_from_a_trusted_proxy_only() {
        let header = [("x-request-id", "0123456789abcdef")];
        let (.., headers) = ask("10.0.0.1", "/who", &header).await;
        assert_eq!(headers["x-request-id"], "0123456789abcdef");
        let (.., headers) = ask("203.0.113.5", "/who", &header).await;
        assert_ne!(headers["x-request-id"], "0123456789abcdef");
        let (.., headers) = ask("10.0.0.1", "/who", &[("x-request-id", "a b\"")]).await;
        assert_eq!(headers["x-request-id"].len(), 24);
    }

    #[tokio::test]
    async fn trailing_slashes_do_not_matter() {
        for path in ["/who/", "/who//", "/who/?a=1"] {
            assert_eq!(
                ask("127.0.0.1", path, &[]).await.0,
                StatusCode::OK,
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_and_the_next_request_is_answered() {
        let (status, body, headers) = ask("127.0.0.1", "/fall", &[]).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!body.contains("on purpose"), "{body}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["code"], "failed");
        assert_eq!(body["requestId"], headers["x-request-id"].to_str().unwrap());
        assert_eq!(ask("127.0.0.1", "/who", &[]).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_full_server_says_when_to_come_again() {
        let response = front(0)
            .answer_locally(Request::builder().uri("/who").body(Body::empty()).unwrap())
            .await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
    }
}
