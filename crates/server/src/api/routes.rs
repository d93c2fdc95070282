//! The table of routes: each names who may use it, and its part of the OpenAPI document is completed from that.
//!
//! Nothing is reachable without a [`Guard`]: [`Routes::add`] is the only way in, and it puts the guard around the
//! handlers. The guard recognises who asks, checks the permission, counts the request, bounds its body and its time.

use super::idempotency::{self, Keeping};
use super::problem::{Code, Noted, Problem};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::http::front::AnsweredFor;
use crate::http::limits::{Standing, Verdict};
use crate::settings::{ServerSettings, ThrottleScope};
use crate::state::AppState;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;
use pgkeep_model::access::Permission;
use std::sync::Arc;
use std::time::Duration;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem, Paths};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Ref, RefOr, Required};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

/// Before the path of every route.
pub const BASE: &str = "/api/v1";

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, also without an account.
    Public,
    /// Every account, for what is its own.
    Anyone,
    Needs(Permission),
}

/// What stands before a handler.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    access: Access,
    throttle: Option<ThrottleScope>,
    counts: Counts,
    body: BodyLimit,
    time: TimeBound,
    edits: bool,
    repeatable: Option<Keeping>,
    open_if: Option<fn(&ServerSettings) -> bool>,
}

/// Which requests a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Every,
    /// Those that the handler counts by [`count`].
    Answered,
}

#[derive(Debug, Clone, Copy)]
enum BodyLimit {
    FromSettings,
    /// The handler reads the stream and bounds it.
    Stream,
}

#[derive(Debug, Clone, Copy)]
enum TimeBound {
    FromSettings,
    Unbounded,
}

/// A route for everybody.
pub fn public() -> Guard {
    Guard::new(Access::Public)
}

/// A route for every account.
pub fn anyone() -> Guard {
    Guard::new(Access::Anyone)
}

/// A route for accounts that have the permission.
pub fn needs(permission: Permission) -> Guard {
    Guard::new(Access::Needs(permission))
}

impl Guard {
    fn new(access: Access) -> Self {
        Self {
            access,
            throttle: None,
            counts: Counts::Every,
            body: BodyLimit::FromSettings,
            time: TimeBound::FromSettings,
            edits: false,
            repeatable: None,
            open_if: None,
        }
    }

    /// Counts requests under `scope`, by account, or by address where nobody is logged in.
    pub fn throttle(mut self, scope: ThrottleScope) -> Self {
        self.throttle = Some(scope);
        self
    }

    /// The handler itself counts under `scope` what it is about to answer, by [`count`]; what it refuses counts nothing.
    pub fn throttle_answered(mut self, scope: ThrottleScope) -> Self {
        self.throttle = Some(scope);
        self.counts = Counts::Answered;
        self
    }

    /// The handler takes the body as a stream, bounds it itself, and takes its time.
    pub fn streams_in(mut self) -> Self {
        self.body = BodyLimit::Stream;
        self.time = TimeBound::Unbounded;
        self
    }

    /// The answer may take its time: events, or a download that is prepared.
    pub fn streams_out(mut self) -> Self {
        self.time = TimeBound::Unbounded;
        self
    }

    /// Takes `If-Match` (see [`super::etag`]); documents 409 and 412.
    pub fn edits(mut self) -> Self {
        self.edits = true;
        self
    }

    /// Lets everybody in where the settings say so. The handler then must do without a principal.
    pub fn open_if(mut self, open_if: fn(&ServerSettings) -> bool) -> Self {
        self.open_if = Some(open_if);
        self
    }

    /// Takes `Idempotency-Key` (see [`super::idempotency`]); documents 409.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = Some(Keeping::Answers);
        self
    }

    /// The same where the answer holds a secret: the second request is refused instead of answered.
    pub fn repeatable_with_secret(mut self) -> Self {
        self.repeatable = Some(Keeping::Secrets);
        self
    }
}

/// The guard of handlers, with what their queries may hold.
#[derive(Clone)]
struct Gate {
    guard: Guard,
    query: Arc<Known>,
}

/// The documented parameters of queries, by method.
struct Known(Vec<(&'static str, Vec<String>)>);

impl Known {
    fn of(paths: &mut Paths) -> Self {
        let items = paths.paths.values_mut();
        let of_method = |(method, operation): (_, &mut Operation)| {
            let parameters = operation.parameters.iter().flatten();
            let names = parameters.filter_map(|parameter| match parameter {
                RefOr::T(p) if p.parameter_in == ParameterIn::Query => Some(p.name.clone()),
                _ => None,
            });
            (method, names.collect())
        };
        Self(items.flat_map(operations).map(of_method).collect())
    }

    /// A misspelt filter would silently list everything, so what is unknown is refused.
    fn refuse_others(&self, request: &Request) -> Result<(), Problem> {
        let method = request.method().as_str();
        let known = self.0.iter().find(|(of, _)| *of == method);
        let Some((_, known)) = known else {
            return Ok(());
        };
        let given = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(request.uri());
        // What cannot be read at all is told by the handler, if it reads the query.
        let given = given.map(|given| given.0).unwrap_or_default();
        match given.iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((unknown, _)) => Err(Problem::new(
                Code::InvalidRequest,
                format!(
                    "the query: there is no parameter '{}'",
                    unknown.escape_debug()
                ),
            )
            .hint(match known.as_slice() {
                [] => "this request takes none".to_owned(),
                names => format!("known are {}", names.join(", ")),
            })),
        }
    }
}

/// One line of the table, for the tests that walk it.
#[derive(Debug, Clone)]
pub struct RouteEntry {
    pub method: &'static str,
    /// Below `/api/v1`, with `{names}`.
    pub path: String,
    pub access: Access,
    pub throttle: Option<ThrottleScope>,
}

/// The routes of one noun.
pub struct Routes {
    tag: &'static str,
    router: OpenApiRouter<AppState>,
    table: Vec<RouteEntry>,
}

impl Routes {
    /// `tag` is the noun, and the beginning of every operation's id.
    pub fn new(tag: &'static str) -> Self {
        Self {
            tag,
            router: OpenApiRouter::default(),
            table: Vec::new(),
        }
    }

    /// Adds handlers of one path that have the same guard: `.add(needs(Permission::View), routes!(list))`.
    pub fn add(
        mut self,
        guard: Guard,
        (schemas, mut paths, methods): UtoipaMethodRouter<AppState>,
    ) -> Self {
        self.document(guard, &mut paths);
        let gate = Gate {
            guard,
            query: Arc::new(Known::of(&mut paths)),
        };
        let methods = methods.route_layer(from_fn_with_state(gate, pass));
        // Not by nesting routers, which every request would pass through.
        let below = std::mem::take(&mut paths.paths).into_iter();
        paths.paths = below
            .map(|(path, item)| (format!("{BASE}{path}"), item))
            .collect();
        self.router = self.router.routes((schemas, paths, methods));
        self
    }

    fn document(&mut self, guard: Guard, paths: &mut Paths) {
        for (path, item) in &mut paths.paths {
            for (method, operation) in operations(item) {
                self.table.push(RouteEntry {
                    method,
                    path: path.clone(),
                    access: guard.access,
                    throttle: guard.throttle,
                });
                operation.tags = Some(vec![self.tag.to_string()]);
                operation.operation_id = operation
                    .operation_id
                    .take()
                    .map(|name| format!("{}_{name}", self.tag));
                complete(guard, method, operation);
            }
        }
    }

    pub fn merge(mut self, other: Routes) -> Self {
        self.router = self.router.merge(other.router);
        self.table.extend(other.table);
        self
    }

    pub fn into_parts(self) -> (OpenApiRouter<AppState>, Vec<RouteEntry>) {
        (self.router, self.table)
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("GET", item.get.as_mut()),
        ("PUT", item.put.as_mut()),
        ("POST", item.post.as_mut()),
        ("DELETE", item.delete.as_mut()),
        ("OPTIONS", item.options.as_mut()),
        ("HEAD", item.head.as_mut()),
        ("PATCH", item.patch.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.map(|operation| (method, operation)))
}

/// Adds what follows from the guard: security, headers, and every problem that may be the answer.
fn complete(guard: Guard, method: &str, operation: &mut Operation) {
    describe_binary(operation);
    let has_body = operation.request_body.is_some();
    let in_path =
        operation.parameters.iter().flatten().any(
            |parameter| matches!(parameter, RefOr::T(p) if p.parameter_in == ParameterIn::Path),
        );
    let unsafe_method = !matches!(method, "GET" | "HEAD" | "OPTIONS");

    let mut statuses = vec![400, 500, 503];
    if guard.access == Access::Public {
        operation.security = Some(Vec::new());
    } else {
        statuses.extend([401, 403]);
        operation.security = Some(vec![
            SecurityRequirement::new("bearer", [] as [&str; 0]),
            SecurityRequirement::new("session", [] as [&str; 0]),
        ]);
        let who = match guard.access {
            Access::Needs(permission) => {
                format!("Needs the permission `{}`.", permission_name(permission))
            }
            _ => "For every account.".to_string(),
        };
        operation.description = Some(match operation.description.take() {
            Some(text) => format!("{text}\n\n{who}"),
            None => who,
        });
    }
    if in_path {
        statuses.push(404);
    }
    if unsafe_method {
        statuses.extend([409, 422]);
    }
    if has_body {
        statuses.extend([413, 415]);
    }
    if let Some(scope) = guard.throttle {
        statuses.push(429);
        let text = format!("Counted under the limit `{}`.", scope.as_str());
        let description = operation.description.get_or_insert_default();
        *description = format!("{description} {text}").trim().to_string();
    }
    if guard.edits {
        statuses.push(412);
        header(
            operation,
            "If-Match",
            "The `ETag` of what is changed, or `*` for whatever is there.",
        );
        if method == "PUT" {
            header(
                operation,
                "If-None-Match",
                "`*`: only where nothing is there yet.",
            );
        }
    }
    if let Some(keeping) = guard.repeatable {
        header(
            operation,
            "Idempotency-Key",
            match keeping {
                Keeping::Answers => {
                    "1 to 200 visible characters. The same request with the same key, sent again within a day, gets the \
                     answer of the first and does nothing."
                }
                Keeping::Secrets => {
                    "1 to 200 visible characters. The same request with the same key, sent again within a day, does \
                     nothing and is answered 409: the secret in the first answer is not kept."
                }
            },
        );
    }
    for status in statuses {
        operation
            .responses
            .responses
            .entry(status.to_string())
            .or_insert_with(|| RefOr::Ref(Ref::from_response_name(format!("Problem{status}"))));
    }
}

/// Bytes as OpenAPI 3.1 has them: the derived schema of `Vec<u8>` would be a list of numbers.
fn describe_binary(operation: &mut Operation) {
    let binary = || {
        let object = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .content_media_type(BYTES);
        RefOr::T(Schema::Object(object.build()))
    };
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && let Some(RefOr::T(content)) = body.content.get_mut(BYTES)
    {
        content.schema = Some(binary());
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && let Some(RefOr::T(content)) = response.content.get_mut(BYTES)
        {
            content.schema = Some(binary());
        }
    }
}

const BYTES: &str = "application/octet-stream";

fn header(operation: &mut Operation, name: &str, description: &str) {
    let parameter: Parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(RefOr::T(parameter));
}

/// Stands before every handler.
async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let guard = gate.guard;
    let route = request.extensions().get::<MatchedPath>().cloned();
    let asked = Asked::of(&request);
    let mut response = match admit(&gate, &mut request).await {
        Err(refused) => {
            let who = request.extensions().get::<Principal>().cloned();
            asked.note(who, is_unnoted_refusal(&refused)).await;
            refused
        }
        Ok(admitted) => {
            let who = request.extensions().get::<Principal>().cloned();
            let answered = answer(guard, request, next);
            let mut response = match admitted.time {
                Some(limit) => match tokio::time::timeout(limit, answered).await {
                    Ok(response) => response,
                    Err(_) => Problem::new(
                        Code::TimedOut,
                        format!("not answered within {} seconds", limit.as_secs()),
                    )
                    .into_response(),
                },
                None => answered.await,
            };
            asked.note(who, is_unnoted_refusal(&response)).await;
            if let Some(who) = admitted.who {
                response.extensions_mut().insert(AnsweredFor(who));
            }
            if let Verdict::Allowed(standing) = admitted.verdict {
                standing.write(response.headers_mut());
            }
            response
        }
    };
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// Runs the handler, or finds the answer that it gave to the same request before.
async fn answer(guard: Guard, request: Request, next: Next) -> Response {
    let Some(keeping) = guard.repeatable else {
        return next.run(request).await;
    };
    let extensions = request.extensions();
    let state = extensions.get::<AppState>().cloned();
    let (Some(state), Some(who)) = (state, extensions.get::<Principal>().cloned()) else {
        return next.run(request).await;
    };
    let streamed = matches!(guard.body, BodyLimit::Stream);
    // Apart, so that other requests do not carry the room that this takes.
    Box::pin(idempotency::once(
        &state, &who, keeping, streamed, request, next,
    ))
    .await
    .unwrap_or_else(IntoResponse::into_response)
}

/// A request as the audit log names it, where it is refused.
struct Asked {
    state: Option<AppState>,
    client: Option<Client>,
    method: Method,
    route: Option<MatchedPath>,
    path: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        Self {
            state: extensions.get::<AppState>().cloned(),
            client: extensions.get::<Client>().copied(),
            method: request.method().clone(),
            route: extensions.get::<MatchedPath>().cloned(),
            path: request.uri().path().to_owned(),
        }
    }

    /// Writes down that somebody who was recognised may not do this. A failure to do so is logged: the refusal stands.
    async fn note(&self, who: Option<Principal>, refused: bool) {
        let (true, Some(who), Some(state), Some(client)) =
            (refused, who, &self.state, &self.client)
        else {
            return;
        };
        let route = self.route.as_ref().map_or("", MatchedPath::as_str);
        let key = format!("{} {route}", self.method);
        if !state.auth.is_news(&who, key, state.catalog.now()) {
            return;
        }
        let path: String = self.path.chars().take(200).collect();
        let object = format!("{} {path}", self.method);
        let act = Act::refused("request.send", object, "not permitted");
        if let Err(error) = Box::pin(act.by(&state.catalog, &who, client)).await {
            tracing::error!(%error, "a refusal could not be written down");
        }
    }
}

/// Whether the answer refuses what somebody may not do, and no handler has written that down.
fn is_unnoted_refusal(response: &Response) -> bool {
    response.status() == StatusCode::FORBIDDEN && response.extensions().get::<Noted>().is_none()
}

struct Admitted {
    who: Option<String>,
    time: Option<Duration>,
    verdict: Verdict,
}

async fn admit(gate: &Gate, request: &mut Request) -> Result<Admitted, Response> {
    let guard = gate.guard;
    let missing = |what: &str| Problem::internal(format!("a request came without {what}"));
    let extensions = request.extensions();
    let state = extensions
        .get::<AppState>()
        .cloned()
        .ok_or_else(|| missing("the state").into_response())?;
    let client = *extensions
        .get::<Client>()
        .ok_or_else(|| missing("its client").into_response())?;

    let open = guard.access == Access::Public
        || guard
            .open_if
            .is_some_and(|open_if| open_if(&state.settings));
    let principal = match open {
        true => None,
        false => Some(
            permitted(guard.access, &state, request)
                .await
                .map_err(IntoResponse::into_response)?,
        ),
    };
    // Who comes from another service's page brings parameters of that service.
    if guard.access != Access::Public {
        gate.query
            .refuse_others(request)
            .map_err(IntoResponse::into_response)?;
    }
    let verdict = match guard.throttle {
        Some(scope) if guard.counts == Counts::Every => {
            let key = principal
                .as_ref()
                .map_or_else(|| client.counting_key(), |who| who.counting_key());
            match state.limits.count(scope, &key) {
                Verdict::Refused {
                    retry_after_secs,
                    standing,
                } => return Err(refusal(retry_after_secs, &standing)),
                allowed => allowed,
            }
        }
        _ => Verdict::Unlimited,
    };
    let who = principal.as_ref().map(Principal::label);

    // What bounds bodies is below, not axum's own limit.
    DefaultBodyLimit::disable().apply(request);
    let bytes = match guard.body {
        BodyLimit::FromSettings => Some(state.settings.http.max_body_bytes as u64),
        BodyLimit::Stream => None,
    };
    if let Some(bytes) = bytes {
        bound_body(request, bytes).map_err(IntoResponse::into_response)?;
    }
    Ok(Admitted {
        who,
        time: match guard.time {
            TimeBound::FromSettings => Some(state.settings.http.request_time),
            TimeBound::Unbounded => None,
        },
        verdict,
    })
}

/// Who asks, if they may.
async fn permitted(
    access: Access,
    state: &AppState,
    request: &mut Request,
) -> Result<Principal, Problem> {
    let principal = recognise(state, request).await?;
    request.extensions_mut().insert(principal.clone());
    if let Access::Needs(permission) = access
        && !principal.may(permission)
    {
        return Err(Problem::forbidden(format!(
            "{} has not the permission '{}'",
            principal.label(),
            permission_name(permission)
        ))
        .hint("an administrator can grant it"));
    }
    Ok(principal)
}

fn permission_name(permission: Permission) -> String {
    match serde_json::to_value(permission) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{permission:?}"),
    }
}

async fn recognise(state: &AppState, request: &mut Request) -> Result<Principal, Problem> {
    // Nothing that comes over the network can put this there: it is the command line on the catalog's own machine.
    if let Some(principal) = request.extensions().get::<Principal>() {
        return Ok(principal.clone());
    }
    // A body cannot be shared between threads, so the head is looked at apart from it.
    let (parts, body) = std::mem::take(request).into_parts();
    let recognised = state.auth.authenticate(&parts.method, &parts.headers).await;
    *request = Request::from_parts(parts, body);
    Ok(recognised?)
}

/// Counts a request, where the guard leaves that to the handler; gives where the account stands then, or the refusal.
#[expect(
    clippy::result_large_err,
    reason = "the refusal is the answer itself, sent as it is"
)]
pub fn count(
    state: &AppState,
    scope: ThrottleScope,
    who: &Principal,
) -> Result<Option<Standing>, Response> {
    match state.limits.count(scope, &who.counting_key()) {
        Verdict::Unlimited => Ok(None),
        Verdict::Allowed(standing) => Ok(Some(standing)),
        Verdict::Refused {
            retry_after_secs,
            standing,
        } => Err(refusal(retry_after_secs, &standing)),
    }
}

/// The answer of a limit that is used up.
fn refusal(retry_after_secs: u64, standing: &Standing) -> Response {
    let mut response = Problem::new(
        Code::Throttled,
        format!(
            "too many requests of this kind; the next one may come in {retry_after_secs} seconds"
        ),
    )
    .hint("an administrator sets the limits")
    .retry_after(retry_after_secs)
    .into_response();
    standing.write(response.headers_mut());
    response
}

fn bound_body(request: &mut Request, bytes: u64) -> Result<(), Problem> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > bytes) {
        return Err(Problem::new(
            Code::TooLarge,
            format!("the body may have {bytes} bytes"),
        ));
    }
    let body = std::mem::take(request.body_mut());
    let limit = usize::try_from(bytes).unwrap_or(usize::MAX);
    *request.body_mut() = Body::new(Limited::new(body, limit));
    Ok(())
}

/// What an unknown path gets.
pub async fn unknown_path(request: Request) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("there is nothing at {}", request.uri().path()),
    )
}

/// What an unknown method gets; `Allow` is added by the router.
pub async fn unknown_method(request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(
        Code::MethodNotAllowed,
        format!(
            "{} does not know {}",
            request.uri().path(),
            request.method()
        ),
    )
    .into_response()
}
