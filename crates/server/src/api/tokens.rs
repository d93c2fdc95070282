//! `tokens`: keys for programs. A token is shown once, belongs to an account, and never does more than that may.

use super::extract::{Id, Json, Name, Path, Query};
use super::paging::PageOf;
use super::problem::Problem;
use super::routes::{Routes, anyone};
use super::users::{refuse_above, refuse_lesser_token};
use super::words::{Permission, Role};
use crate::auth::audit::Act;
use crate::auth::{Credential, Principal, secret};
use crate::http::Client;
use crate::state::AppState;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pgkeep_catalog::people::{ApiToken, NewToken, User};
use pgkeep_model::access::{Access, Permission as Needed};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("tokens")
        .add(anyone(), routes!(list))
        .add(anyone().repeatable_with_secret(), routes!(create))
        .add(anyone(), routes!(revoke))
}

/// A token, without what it is.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    id: String,
    name: String,
    /// Name of the account that it belongs to.
    owner: String,
    /// How it begins.
    prefix: String,
    role: Role,
    grants: Vec<Permission>,
    /// Apps that it sees; all of its owner's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    apps: Option<Vec<String>>,
    #[schema(value_type = String, format = DateTime)]
    created_at: jiff::Timestamp,
    /// Never where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    expires_at: Option<jiff::Timestamp>,
    /// To the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    last_used_at: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    revoked_at: Option<jiff::Timestamp>,
}

impl From<&ApiToken> for TokenView {
    fn from(token: &ApiToken) -> Self {
        let access = &token.access;
        Self {
            id: token.id.clone(),
            name: token.name.clone(),
            owner: token.owner.clone(),
            prefix: token.prefix.clone(),
            role: access.role.into(),
            grants: access.grants.iter().copied().map(Into::into).collect(),
            apps: access
                .apps
                .as_ref()
                .map(|apps| apps.iter().cloned().collect()),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
        }
    }
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewTokenView {
    /// The token itself. It is not shown again.
    token: String,
    #[serde(flatten)]
    view: TokenView,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateToken {
    /// What it is for.
    #[schema(value_type = String)]
    name: Name,
    role: Role,
    #[serde(default)]
    #[schema(required = false)]
    grants: Vec<Permission>,
    /// All that the owner sees where absent.
    #[serde(default)]
    #[schema(nullable = false)]
    apps: Option<Vec<String>>,
    /// Never where absent.
    #[serde(default)]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    expires_at: Option<jiff::Timestamp>,
    /// Account that it belongs to, for those who manage accounts; one's own where absent.
    #[serde(default)]
    #[schema(nullable = false, value_type = Option<String>)]
    owner: Option<Name>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListTokens {
    /// Everybody's, for those who manage accounts.
    #[serde(default)]
    #[param(required = false)]
    all: bool,
}

/// Lists tokens, the newest first; revoked and expired ones, too.
#[utoipa::path(get, path = "/tokens", params(ListTokens), responses((status = 200, body = PageOf<TokenView>)))]
async fn list(
    state: AppState,
    who: Principal,
    Query(query): Query<ListTokens>,
) -> Result<Json<PageOf<TokenView>>, Problem> {
    if query.all && !who.may(Needed::ManageUsers) {
        return Err(
            Problem::forbidden("everybody's tokens are for those who manage accounts")
                .hint("without `all` they are your own"),
        );
    }
    let owner = (!query.all).then_some(who.user_id.as_str());
    let tokens = state.catalog.tokens(owner).await?;
    // As accounts: whoever sees some apps only sees what may do no more than that.
    let is_shown = |token: &&ApiToken| {
        who.apps.is_none() || token.user_id == who.user_id || who.covers(&token.access)
    };
    Ok(Json(PageOf::whole(
        tokens
            .iter()
            .filter(is_shown)
            .map(TokenView::from)
            .collect(),
    )))
}

/// Makes a token. Role, grants and apps must be within those of its owner, and of who makes it. Tokens make no tokens.
#[utoipa::path(post, path = "/tokens", request_body = CreateToken, responses((status = 201, body = NewTokenView)))]
async fn create(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<CreateToken>,
) -> Result<Response, Problem> {
    if matches!(who.credential, Credential::Token { .. }) {
        return Err(Problem::forbidden("a token cannot make another token")
            .hint("log in to make one, or use the command line on the server's machine"));
    }
    let owner = owner(&state, &who, body.owner.as_ref()).await?;
    let access = Access {
        role: body.role.into(),
        grants: body.grants.into_iter().map(Into::into).collect(),
        // A token of an account that sees some apps only stays within them even when the account sees more one day.
        apps: body
            .apps
            .map(|apps| apps.into_iter().collect())
            .or_else(|| owner.access.apps.clone()),
    };
    if !access.is_within(&owner.access) || !who.covers(&access) {
        return Err(Problem::forbidden(format!(
            "a token of {} cannot do or see more than {} may",
            owner.name, owner.name
        )));
    }
    if body
        .expires_at
        .is_some_and(|expires_at| expires_at <= state.catalog.now())
    {
        return Err(Problem::invalid("expiresAt", "that has passed"));
    }
    let token = secret::new_token();
    let made = state
        .catalog
        .create_token(&NewToken {
            made_by: who.acts_on(&owner.id).map(str::to_owned),
            user_id: owner.id,
            name: body.name.into_string(),
            token_hash: secret::hash(token.expose_secret()),
            prefix: secret::token_prefix(token.expose_secret()).to_owned(),
            access,
            expires_at: body.expires_at,
        })
        .await?;
    let view = TokenView::from(&made);
    Act::done("token.create", format!("token/{}", made.id))
        .after(&view)
        .by(&state.catalog, &who, &client)
        .await?;
    let answer = NewTokenView {
        token: token.expose_secret().to_owned(),
        view,
    };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Ends a token: one's own, or that of an account that may do no more, for those who manage accounts. A token ends others of
/// its account only where it may do all that the account may.
#[utoipa::path(delete, path = "/tokens/{id}", params(("id" = String, Path)), responses((status = 204, description = "It is refused from now on.")))]
async fn revoke(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
) -> Result<StatusCode, Problem> {
    let token = state.catalog.token(id.as_str()).await?;
    if token.user_id != who.user_id && !who.may(Needed::ManageUsers) {
        return Err(Problem::not_found("token", id.as_str()));
    }
    if token.user_id == who.user_id {
        let itself = matches!(&who.credential, Credential::Token { id, .. } if *id == token.id);
        if !itself {
            refuse_lesser_token(&state, &who).await?;
        }
    } else {
        let owner = state.catalog.user(&token.user_id).await?;
        refuse_above(&who, &owner.name, &owner.access)?;
    }
    state.catalog.revoke_token(&token.id).await?;
    Act::done("token.revoke", format!("token/{}", token.id))
        .before(TokenView::from(&token))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn owner(state: &AppState, who: &Principal, named: Option<&Name>) -> Result<User, Problem> {
    let Some(name) = named else {
        return match who.credential {
            Credential::Local => Err(Problem::invalid(
                "owner",
                "name the account that the token is to belong to",
            )),
            _ => Ok(state.catalog.user(&who.user_id).await?),
        };
    };
    let may_manage = who.may(Needed::ManageUsers);
    let found = state.catalog.user_named(name.as_str()).await?;
    match found {
        Some(user) if may_manage || user.id == who.user_id => Ok(user),
        _ if !may_manage => Err(Problem::forbidden(
            "tokens of others are made by those who manage accounts",
        )),
        _ => Err(
            Problem::invalid("owner", format!("there is no account '{name}'")).see_all("account"),
        ),
    }
}
