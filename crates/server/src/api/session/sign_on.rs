//! Single sign-on: to the identity provider and back.

use super::{note_login, note_refusal, origin, session_cookie};
use crate::api::extract::Query;
use crate::api::problem::{Problem, ProblemBody};
use crate::auth::{cookie, oidc};
use crate::http::Client;
use crate::state::AppState;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct BeginSignOn {
    /// Path of this server to show afterwards.
    #[serde(default)]
    #[param(nullable = false)]
    return_to: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FinishSignOn {
    #[param(nullable = false)]
    code: Option<String>,
    #[param(nullable = false)]
    state: Option<String>,
    #[param(nullable = false)]
    error: Option<String>,
    #[param(nullable = false)]
    error_description: Option<String>,
    #[param(nullable = false)]
    iss: Option<String>,
}

/// Leads the browser to the identity provider.
#[utoipa::path(get, path = "/session/oidc/login", params(BeginSignOn), responses(
    (status = 303, description = "To the identity provider; a browser goes to the login page where that cannot be."),
    (status = 401, description = "Single sign-on is not set up fully.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "There is no single sign-on.", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn begin_sign_on(
    state: AppState,
    headers: HeaderMap,
    Query(query): Query<BeginSignOn>,
) -> Result<Response, Problem> {
    let return_to = query.return_to.as_deref().unwrap_or("/");
    let departure = match state.auth.begin_sign_on(return_to).await {
        Ok(departure) => departure,
        Err(error) => return not_signed_on(&headers, error.into()),
    };
    let browser = cookie::set(
        cookie::SIGN_ON,
        departure.browser.expose_secret(),
        oidc::AWAY,
    );
    redirect(departure.url.as_str(), [browser])
}

/// Where the identity provider sends the browser back to.
#[utoipa::path(get, path = "/session/oidc/callback", params(FinishSignOn), responses(
    (status = 303, description = "Logged in; to the page that was asked for. A browser goes to the login page where it was refused."),
    (status = 401, description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "There is no single sign-on.", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn finish_sign_on(
    state: AppState,
    client: Client,
    headers: HeaderMap,
    Query(query): Query<FinishSignOn>,
) -> Result<Response, Problem> {
    let back = oidc::Return {
        code: query.code,
        state: query.state,
        error: query.error,
        error_description: query.error_description,
        iss: query.iss,
    };
    let browser = cookie::get(&headers, cookie::SIGN_ON);
    let finished = state
        .auth
        .finish_sign_on(&back, browser, &origin(&client, &headers))
        .await;
    match finished {
        Ok((opened, return_to)) => {
            note_login(&state, &opened, &client).await?;
            let cookies = [
                session_cookie(&opened, &state),
                cookie::clear(cookie::SIGN_ON),
            ];
            redirect(&return_to, cookies)
        }
        Err(error) => {
            let object = "session/sign-on";
            note_refusal(&state, "session.create", object, "sign-on", &client, &error).await?;
            not_signed_on(&headers, error.into())
        }
    }
}

/// A person whose browser goes from address to address hears of it on the login page, in words that go with the problem's
/// code; what was wrong in detail is the administrator's to know.
fn not_signed_on(headers: &HeaderMap, problem: Problem) -> Result<Response, Problem> {
    let shows_pages = headers
        .get(header::ACCEPT)
        .and_then(|accepted| accepted.to_str().ok())
        .is_some_and(|accepted| accepted.contains("text/html"));
    match shows_pages {
        true => redirect(&format!("/login?refused={}", problem.code.as_str()), []),
        false => Err(problem),
    }
}

fn redirect(to: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> Result<Response, Problem> {
    let to = HeaderValue::from_str(to).map_err(Problem::internal)?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, to);
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
