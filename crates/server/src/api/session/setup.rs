//! The first account.

use super::{SessionView, logged_in, note_refusal, origin};
use crate::api::extract::{Json, Name};
use crate::api::problem::{Problem, ProblemBody};
use crate::auth::audit::Act;
use crate::http::Client;
use crate::state::AppState;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetUp {
    /// As `pgkeep serve` printed it.
    #[schema(value_type = String, format = Password)]
    token: SecretString,
    #[schema(value_type = String)]
    name: Name,
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 1024)]
    password: SecretString,
    #[serde(default)]
    #[schema(nullable = false)]
    email: Option<String>,
}

/// Makes the first account, an administrator, with the token that the server printed when it started.
#[utoipa::path(post, path = "/setup", request_body = SetUp, responses(
    (status = 201, description = "The account is made and logged in.", body = SessionView),
    (status = 401, description = "The token is wrong, or was used.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Another site sent it.", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn set_up(
    state: AppState,
    client: Client,
    headers: HeaderMap,
    Json(body): Json<SetUp>,
) -> Result<Response, Problem> {
    let object = format!("user/{}", body.name);
    let made = state
        .auth
        .set_up(
            &headers,
            &body.token,
            body.name.as_str(),
            body.email,
            body.password,
            &origin(&client, &headers),
        )
        .await;
    match made {
        Ok(opened) => {
            Act::done("session.setup", object)
                .by_user(&state.catalog, &opened.user.name, &client)
                .await?;
            Ok(logged_in(StatusCode::CREATED, &opened, &state))
        }
        Err(error) => {
            note_refusal(
                &state,
                "session.setup",
                &object,
                body.name.as_str(),
                &client,
                &error,
            )
            .await?;
            Err(error.into())
        }
    }
}
