//! One's own second factor.

use super::{note_own, origin};
use crate::api::extract::Json;
use crate::api::problem::Problem;
use crate::auth::Principal;
use crate::http::Client;
use crate::state::AppState;
use axum::http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeginTotp {
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// What the authenticator app needs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TotpView {
    /// Base 32, for typing.
    secret: String,
    /// For the code that is scanned.
    url: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfirmTotp {
    code: String,
}

/// Shown once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryCodes {
    /// Each lets in once, in place of a one-time code.
    recovery_codes: Vec<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DisableTotp {
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// A one-time code, or a recovery code.
    code: String,
}

/// Begins to set up a second factor. It counts after the first code was sent back.
#[utoipa::path(post, path = "/session/totp", request_body = BeginTotp, responses((status = 200, body = TotpView)))]
pub(super) async fn begin_totp(
    state: AppState,
    who: Principal,
    client: Client,
    headers: HeaderMap,
    Json(body): Json<BeginTotp>,
) -> Result<Json<TotpView>, Problem> {
    let offer = state
        .auth
        .begin_totp(&who, body.password, &origin(&client, &headers))
        .await?;
    Ok(Json(TotpView {
        secret: offer.secret.expose_secret().to_owned(),
        url: offer.url.expose_secret().to_owned(),
    }))
}

/// Finishes setting up a second factor. The recovery codes are shown this once.
#[utoipa::path(post, path = "/session/totp/confirm", request_body = ConfirmTotp, responses((status = 200, body = RecoveryCodes)))]
pub(super) async fn confirm_totp(
    state: AppState,
    who: Principal,
    client: Client,
    headers: HeaderMap,
    Json(body): Json<ConfirmTotp>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let codes = state
        .auth
        .confirm_totp(&who, &body.code, &origin(&client, &headers))
        .await;
    note_own(&state, "user.enable_totp", &who, &client, &codes).await?;
    Ok(Json(RecoveryCodes {
        recovery_codes: codes?,
    }))
}

/// Takes one's own second factor away.
#[utoipa::path(post, path = "/session/totp/disable", request_body = DisableTotp, responses((status = 204, description = "It is gone.")))]
pub(super) async fn disable_totp(
    state: AppState,
    who: Principal,
    client: Client,
    headers: HeaderMap,
    Json(body): Json<DisableTotp>,
) -> Result<StatusCode, Problem> {
    let gone = state
        .auth
        .disable_totp(&who, body.password, &body.code, &origin(&client, &headers))
        .await;
    note_own(&state, "user.disable_totp", &who, &client, &gone).await?;
    gone?;
    Ok(StatusCode::NO_CONTENT)
}
