//! `session`: logging in and out, and what belongs to whoever is logged in.

mod setup;
mod sign_on;
mod totp;

use super::extract::{Id, Json, Path};
use super::paging::PageOf;
use super::problem::{Code, Problem};
use super::routes::{BASE, Routes, anyone, public};
use super::users::refuse_lesser_token;
use super::words::{Permission, Role};
use crate::auth::audit::Act;
use crate::auth::login::{Opened, Origin};
use crate::auth::{AuthError, Credential, Principal, cookie};
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pgkeep_catalog::people;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    let guess = || public().throttle(ThrottleScope::Login);
    let prove = || anyone().throttle(ThrottleScope::Login);
    Routes::new("session")
        .add(public(), routes!(options))
        .add(guess(), routes!(setup::set_up))
        .add(guess(), routes!(log_in))
        .add(anyone(), routes!(who_am_i, log_out))
        .add(anyone(), routes!(list, end_others))
        .add(anyone(), routes!(end))
        .add(prove(), routes!(change_password))
        .add(prove(), routes!(totp::begin_totp))
        .add(prove(), routes!(totp::confirm_totp))
        .add(prove(), routes!(totp::disable_totp))
        .add(guess(), routes!(sign_on::begin_sign_on))
        .add(guess(), routes!(sign_on::finish_sign_on))
}

/// What a login page needs to know.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginOptions {
    /// There is no account yet: the first one is made with the setup token.
    setup_needed: bool,
    /// Single sign-on, where it is set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sign_on: Option<SignOn>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignOn {
    name: String,
    /// Where the button leads.
    url: String,
}

/// Who is logged in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// Id of the account.
    user_id: String,
    name: String,
    role: Role,
    permissions: Vec<Permission>,
    /// Apps that are seen; all where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    apps: Option<Vec<String>>,
    /// `user`, `token` or `cli`.
    kind: &'static str,
    /// To be sent as `X-CSRF-Token` with every request that changes something; absent for tokens, which need none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    csrf_token: Option<String>,
    /// When the session ends in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    expires_at: Option<jiff::Timestamp>,
}

impl SessionView {
    fn of(who: &Principal) -> Self {
        let (csrf_token, expires_at) = match &who.credential {
            Credential::Session {
                csrf, expires_at, ..
            } => (Some(csrf.clone()), Some(*expires_at)),
            Credential::Token { .. } | Credential::Local => (None, None),
        };
        Self {
            user_id: who.user_id.clone(),
            name: who.name.clone(),
            role: who.role.into(),
            permissions: who.permissions.iter().copied().map(Into::into).collect(),
            apps: who.app_filter(),
            kind: who.kind(),
            csrf_token,
            expires_at,
        }
    }

    fn opened(opened: &Opened) -> Self {
        let access = &opened.user.access;
        Self {
            user_id: opened.user.id.clone(),
            name: opened.user.name.clone(),
            role: access.role.into(),
            permissions: access.permissions().into_iter().map(Into::into).collect(),
            apps: access
                .apps
                .as_ref()
                .map(|apps| apps.iter().cloned().collect()),
            kind: "user",
            csrf_token: Some(opened.session.csrf.clone()),
            expires_at: Some(opened.session.expires_at),
        }
    }
}

/// A session of one's own.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenSession {
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    /// Address that it was opened from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    from: Option<String>,
    /// The browser, as it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    agent: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: jiff::Timestamp,
    #[schema(value_type = String, format = DateTime)]
    seen_at: jiff::Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: jiff::Timestamp,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogIn {
    name: String,
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Of the authenticator app, or a recovery code, where the account has a second factor.
    #[serde(default)]
    #[schema(nullable = false)]
    code: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePassword {
    #[schema(value_type = String, format = Password)]
    current: SecretString,
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 1024)]
    new: SecretString,
}

/// Tells what a login page can offer.
#[utoipa::path(get, path = "/session/options", responses((status = 200, body = LoginOptions)))]
async fn options(state: AppState) -> Result<Json<LoginOptions>, Problem> {
    Ok(Json(LoginOptions {
        setup_needed: state.catalog.setup_needed().await?,
        sign_on: state.auth.sign_on_name().map(|name| SignOn {
            name: name.to_owned(),
            url: format!("{BASE}/session/oidc/login"),
        }),
    }))
}

/// Logs in. The session is kept in the cookie `__Host-pgkeep`.
#[utoipa::path(post, path = "/session", request_body = LogIn, responses(
    (status = 200, description = "Logged in.", body = SessionView),
    (status = 401, description = "Refused, or a one-time code is needed as well (`second_factor_needed`).", body = super::problem::ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Another site sent it.", body = super::problem::ProblemBody, content_type = "application/problem+json"),
))]
async fn log_in(
    state: AppState,
    client: Client,
    headers: HeaderMap,
    Json(body): Json<LogIn>,
) -> Result<Response, Problem> {
    let origin = origin(&client, &headers);
    let code = body.code.as_deref();
    let opened = state
        .auth
        .login(&headers, &body.name, body.password, code, &origin)
        .await;
    let object = format!("user/{}", body.name.chars().take(100).collect::<String>());
    match opened {
        Ok(opened) => {
            note_login(&state, &opened, &client).await?;
            Ok(logged_in(StatusCode::OK, &opened, &state))
        }
        Err(error) => {
            note_refusal(
                &state,
                "session.create",
                &object,
                &body.name,
                &client,
                &error,
            )
            .await?;
            Err(error.into())
        }
    }
}

/// Tells who is logged in and what they may do.
#[utoipa::path(get, path = "/session", responses((status = 200, body = SessionView)))]
async fn who_am_i(who: Principal) -> Json<SessionView> {
    Json(SessionView::of(&who))
}

/// Logs out.
#[utoipa::path(delete, path = "/session", responses((status = 204, description = "The session is over.")))]
async fn log_out(state: AppState, who: Principal, client: Client) -> Result<Response, Problem> {
    let session = session_of(&who)?;
    state.catalog.delete_session(&who.user_id, session).await?;
    Act::done("session.end", format!("session/{session}"))
        .by(&state.catalog, &who, &client)
        .await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response
        .headers_mut()
        .insert(header::SET_COOKIE, cookie::clear(cookie::SESSION));
    Ok(response)
}

/// Lists one's own open sessions.
#[utoipa::path(get, path = "/sessions", responses((status = 200, body = PageOf<OpenSession>)))]
async fn list(state: AppState, who: Principal) -> Result<Json<PageOf<OpenSession>>, Problem> {
    let own = who.session_id();
    let sessions = state.catalog.sessions_of(&who.user_id).await?;
    let view = |session: people::Session| OpenSession {
        current: own == Some(session.id.as_str()),
        id: session.id,
        from: session.from,
        agent: session.agent,
        created_at: session.created_at,
        seen_at: session.seen_at,
        expires_at: session.expires_at,
    };
    Ok(Json(PageOf::whole(
        sessions.into_iter().map(view).collect(),
    )))
}

/// Ends all of one's own sessions but the one that asks.
#[utoipa::path(delete, path = "/sessions", responses((status = 204, description = "They are over.")))]
async fn end_others(
    state: AppState,
    who: Principal,
    client: Client,
) -> Result<StatusCode, Problem> {
    refuse_lesser_token(&state, &who).await?;
    state
        .catalog
        .delete_sessions_of(&who.user_id, who.session_id())
        .await?;
    Act::done("session.end_others", format!("user/{}", who.name))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one of one's own sessions.
#[utoipa::path(delete, path = "/sessions/{id}", params(("id" = String, Path)), responses((status = 204, description = "It is over.")))]
async fn end(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
) -> Result<StatusCode, Problem> {
    refuse_lesser_token(&state, &who).await?;
    if !state
        .catalog
        .delete_session(&who.user_id, id.as_str())
        .await?
    {
        return Err(Problem::not_found("session", id.as_str()));
    }
    Act::done("session.end", format!("session/{id}"))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes one's own password. All other sessions end.
#[utoipa::path(put, path = "/session/password", request_body = ChangePassword, responses((status = 204, description = "It is changed.")))]
async fn change_password(
    state: AppState,
    who: Principal,
    client: Client,
    headers: HeaderMap,
    Json(body): Json<ChangePassword>,
) -> Result<StatusCode, Problem> {
    let origin = origin(&client, &headers);
    let changed = state
        .auth
        .change_password(&who, body.current, body.new, &origin)
        .await;
    note_own(&state, "user.change_password", &who, &client, &changed).await?;
    changed?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn origin(client: &Client, headers: &HeaderMap) -> Origin {
    let agent = headers.get(header::USER_AGENT);
    Origin {
        address: Some(client.address.to_canonical().to_string()),
        agent: agent
            .and_then(|agent| agent.to_str().ok())
            .map(str::to_owned),
    }
}

fn session_of(who: &Principal) -> Result<&str, Problem> {
    who.session_id().ok_or_else(|| {
        Problem::new(
            Code::Forbidden,
            "this is for people who are logged in, not for API tokens",
        )
    })
}

fn session_cookie(opened: &Opened, state: &AppState) -> HeaderValue {
    let left = opened
        .session
        .expires_at
        .duration_since(state.catalog.now());
    cookie::set(cookie::SESSION, opened.secret.expose_secret(), left)
}

fn logged_in(status: StatusCode, opened: &Opened, state: &AppState) -> Response {
    let mut response = (status, Json(SessionView::opened(opened))).into_response();
    response
        .headers_mut()
        .insert(header::SET_COOKIE, session_cookie(opened, state));
    response
}

async fn note_login(state: &AppState, opened: &Opened, client: &Client) -> Result<(), Problem> {
    Act::done("session.create", format!("user/{}", opened.user.name))
        .by_user(&state.catalog, &opened.user.name, client)
        .await?;
    Ok(())
}

async fn note_refusal(
    state: &AppState,
    action: &'static str,
    object: &str,
    name: &str,
    client: &Client,
    error: &AuthError,
) -> Result<(), Problem> {
    // A page that is sent elsewhere, or asks for the code, was no try; an error of the server is in its log.
    if matches!(
        error,
        AuthError::Catalog(_)
            | AuthError::Provider(_)
            | AuthError::CodeNeeded
            | AuthError::NoSignOn
    ) {
        return Ok(());
    }
    Act::refused(action, object, error.to_string())
        .by_nobody(&state.catalog, name, client)
        .await?;
    Ok(())
}

/// Writes down what somebody did, or tried to do, with their own account.
async fn note_own<T>(
    state: &AppState,
    action: &'static str,
    who: &Principal,
    client: &Client,
    outcome: &Result<T, AuthError>,
) -> Result<(), Problem> {
    let object = format!("user/{}", who.name);
    let act = match outcome {
        Ok(_) => Act::done(action, object),
        Err(AuthError::Catalog(_)) => return Ok(()),
        Err(error) => Act::refused(action, object, error.to_string()),
    };
    act.by(&state.catalog, who, client).await?;
    Ok(())
}
