//! `users`: accounts, for those who manage them. Nobody grants more than they have, or changes who has more than they.

use super::etag::{Expected, Tagged};
use super::extract::{Id, Json, Name, Path};
use super::paging::PageOf;
use super::problem::Problem;
use super::routes::{Routes, needs};
use super::words::{Permission, Role};
use crate::auth::audit::Act;
use crate::auth::{Credential, Principal, password};
use crate::http::Client;
use crate::state::AppState;
use axum::http::StatusCode;
use pgkeep_catalog::people::{NewUser, User, UserChange};
use pgkeep_model::access::{Access, Permission as Needed};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    let manage = || needs(Needed::ManageUsers);
    Routes::new("users")
        .add(manage(), routes!(list))
        .add(manage().repeatable(), routes!(create))
        .add(manage(), routes!(get))
        .add(manage().edits(), routes!(change, delete))
        .add(manage(), routes!(set_password))
        .add(manage(), routes!(clear_totp))
        .add(manage(), routes!(end_sessions))
}

/// An account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    email: Option<String>,
    role: Role,
    /// What it may do besides what its role may.
    grants: Vec<Permission>,
    /// Apps that it sees; all where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    apps: Option<Vec<String>>,
    disabled: bool,
    /// Whether it can log in with a password.
    has_password: bool,
    /// Whether a login needs a one-time code, too.
    has_totp: bool,
    /// The identity provider that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    last_login_at: Option<jiff::Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: jiff::Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: jiff::Timestamp,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        let access = &user.access;
        Self {
            id: user.id.clone(),
            name: user.name.clone(),
            email: user.email.clone(),
            role: access.role.into(),
            grants: access.grants.iter().copied().map(Into::into).collect(),
            apps: access
                .apps
                .as_ref()
                .map(|apps| apps.iter().cloned().collect()),
            disabled: user.disabled,
            has_password: user.has_password,
            has_totp: user.has_totp,
            issuer: user
                .identity
                .as_ref()
                .map(|identity| identity.issuer.clone()),
            last_login_at: user.last_login_at,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateUser {
    #[schema(value_type = String)]
    name: Name,
    #[serde(default)]
    #[schema(nullable = false)]
    email: Option<String>,
    role: Role,
    #[serde(default)]
    #[schema(required = false)]
    grants: Vec<Permission>,
    /// All where absent.
    #[serde(default)]
    #[schema(nullable = false)]
    apps: Option<Vec<String>>,
    /// Without one, the account cannot log in until it is set.
    #[serde(default)]
    #[schema(nullable = false, value_type = Option<String>, format = Password, min_length = 12, max_length = 1024)]
    password: Option<SecretString>,
}

/// What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeUser {
    #[serde(default)]
    #[schema(nullable = false, value_type = Option<String>)]
    name: Option<Name>,
    /// Empty for none.
    #[serde(default)]
    #[schema(nullable = false)]
    email: Option<String>,
    #[serde(default)]
    #[schema(nullable = false)]
    role: Option<Role>,
    #[serde(default)]
    #[schema(nullable = false)]
    grants: Option<Vec<Permission>>,
    /// `null` for all apps.
    #[serde(default, deserialize_with = "given")]
    apps: Option<Option<Vec<String>>>,
    #[serde(default)]
    #[schema(nullable = false)]
    disabled: Option<bool>,
}

/// Tells `null` from what was left out.
fn given<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Vec<String>>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetPassword {
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 1024)]
    password: SecretString,
}

/// Lists the accounts, by name; of those who see some apps only, the accounts that may do no more than they.
#[utoipa::path(get, path = "/users", responses((status = 200, body = PageOf<UserView>)))]
async fn list(state: AppState, who: Principal) -> Result<Json<PageOf<UserView>>, Problem> {
    let users = state.catalog.users().await?;
    Ok(Json(PageOf::whole(
        users
            .iter()
            .filter(|user| is_shown(&who, user))
            .map(UserView::from)
            .collect(),
    )))
}

/// Makes an account.
#[utoipa::path(post, path = "/users", request_body = CreateUser, responses((status = 201, body = UserView)))]
async fn create(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<CreateUser>,
) -> Result<Tagged<UserView>, Problem> {
    let email = checked_email(body.email)?;
    let access = Access {
        role: body.role.into(),
        grants: body.grants.into_iter().map(Into::into).collect(),
        apps: body.apps.map(|apps| apps.into_iter().collect()),
    };
    refuse_more(&who, &access)?;
    let password_hash = match body.password {
        None => None,
        Some(password) => {
            password::check(&password, body.name.as_str(), email.as_deref())
                .map_err(crate::auth::AuthError::from)?;
            Some(state.auth.hash(password).await)
        }
    };
    let user = state
        .catalog
        .create_user(&NewUser {
            name: body.name.into_string(),
            email,
            access,
            made_by: (password_hash.as_ref())
                .and_then(|_| who.acts_on(""))
                .map(str::to_owned),
            password_hash,
            identity: None,
        })
        .await?;
    let view = UserView::from(&user);
    Act::done("user.create", format!("user/{}", user.name))
        .after(&view)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(Tagged {
        status: StatusCode::CREATED,
        revision: user.revision,
        value: view,
    })
}

/// Shows an account.
#[utoipa::path(get, path = "/users/{id}", params(("id" = String, Path)), responses((status = 200, body = UserView)))]
async fn get(
    state: AppState,
    who: Principal,
    Path(id): Path<Id>,
) -> Result<Tagged<UserView>, Problem> {
    let user = state.catalog.user(id.as_str()).await?;
    match is_shown(&who, &user) {
        true => Ok(Tagged::ok(user.revision, UserView::from(&user))),
        false => Err(Problem::not_found("user", id.as_str())),
    }
}

/// Changes an account. Disabling it ends its sessions, and its tokens are refused. The last administrator stays one.
#[utoipa::path(patch, path = "/users/{id}", params(("id" = String, Path)), request_body = ChangeUser, responses((status = 200, body = UserView)))]
async fn change(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
    expected: Expected,
    Json(body): Json<ChangeUser>,
) -> Result<Tagged<UserView>, Problem> {
    let before = governed(&state, &who, &id).await?;
    let email = match body.email {
        None => None,
        Some(email) if email.is_empty() => Some(None),
        Some(email) => Some(checked_email(Some(email))?),
    };
    let mut access = before.access.clone();
    if let Some(role) = body.role {
        access.role = role.into();
    }
    if let Some(grants) = body.grants {
        access.grants = grants.into_iter().map(Into::into).collect();
    }
    if let Some(apps) = body.apps {
        access.apps = apps.map(|apps| apps.into_iter().collect::<BTreeSet<_>>());
    }
    refuse_more(&who, &access)?;
    let change = UserChange {
        name: body.name.map(Name::into_string),
        email,
        access: (access != before.access).then_some(access),
        disabled: body.disabled,
    };
    let user = state
        .catalog
        .update_user(id.as_str(), &change, expected.revision())
        .await?;
    let view = UserView::from(&user);
    Act::done("user.update", format!("user/{}", before.name))
        .before(UserView::from(&before))
        .after(&view)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(Tagged::ok(user.revision, view))
}

/// Removes an account with its sessions and tokens. The last administrator stays.
#[utoipa::path(delete, path = "/users/{id}", params(("id" = String, Path)), responses((status = 204, description = "It is gone.")))]
async fn delete(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
    expected: Expected,
) -> Result<StatusCode, Problem> {
    governed(&state, &who, &id).await?;
    let user = state
        .catalog
        .delete_user(id.as_str(), expected.revision())
        .await?;
    Act::done("user.delete", format!("user/{}", user.name))
        .before(UserView::from(&user))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets an account's password. Its sessions end.
#[utoipa::path(put, path = "/users/{id}/password", params(("id" = String, Path)), request_body = SetPassword, responses((status = 204, description = "It is set.")))]
async fn set_password(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
    Json(body): Json<SetPassword>,
) -> Result<StatusCode, Problem> {
    let user = governed(&state, &who, &id).await?;
    password::check(&body.password, &user.name, user.email.as_deref())
        .map_err(crate::auth::AuthError::from)?;
    let hash = state.auth.hash(body.password).await;
    let keep = (user.id == who.user_id).then(|| who.session_id()).flatten();
    let by = who.acts_on(&user.id);
    state
        .catalog
        .set_password(&user.id, &hash, keep, by)
        .await?;
    state.catalog.clear_login_failures(&user.name).await?;
    Act::done("user.set_password", format!("user/{}", user.name))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes an account's second factor away, for who lost the phone and the recovery codes. Its sessions end.
#[utoipa::path(delete, path = "/users/{id}/totp", params(("id" = String, Path)), responses((status = 204, description = "It is gone.")))]
async fn clear_totp(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
) -> Result<StatusCode, Problem> {
    let user = governed(&state, &who, &id).await?;
    state
        .catalog
        .clear_totp(&user.id, who.acts_on(&user.id))
        .await?;
    let keep = (user.id == who.user_id).then(|| who.session_id()).flatten();
    state.catalog.delete_sessions_of(&user.id, keep).await?;
    Act::done("user.clear_totp", format!("user/{}", user.name))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of an account.
#[utoipa::path(delete, path = "/users/{id}/sessions", params(("id" = String, Path)), responses((status = 204, description = "They are over.")))]
async fn end_sessions(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
) -> Result<StatusCode, Problem> {
    let user = governed(&state, &who, &id).await?;
    state.catalog.delete_sessions_of(&user.id, None).await?;
    Act::done("user.end_sessions", format!("user/{}", user.name))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The account, if it has nothing that the principal has not.
async fn governed(state: &AppState, who: &Principal, id: &Id) -> Result<User, Problem> {
    let user = state.catalog.user(id.as_str()).await?;
    refuse_above(who, &user.name, &user.access)?;
    Ok(user)
}

/// Whoever sees some apps only sees the people of those.
fn is_shown(who: &Principal, user: &User) -> bool {
    who.apps.is_none() || user.id == who.user_id || who.covers(&user.access)
}

/// Refuses to touch an account, or what belongs to it, that may do what the principal may not.
pub fn refuse_above(who: &Principal, owner: &str, access: &Access) -> Result<(), Problem> {
    if who.covers(access) {
        return Ok(());
    }
    Err(
        Problem::forbidden(format!("{owner} may do what {} may not", who.label()))
            .hint("ask somebody who may do as much as that account"),
    )
}

/// Refuses a token that may do less than its account what is that account's own business: its sessions, its other tokens.
pub async fn refuse_lesser_token(state: &AppState, who: &Principal) -> Result<(), Problem> {
    match who.credential {
        Credential::Token { .. } => {
            let user = state.catalog.user(&who.user_id).await?;
            refuse_above(who, &user.name, &user.access)
        }
        Credential::Session { .. } | Credential::Local => Ok(()),
    }
}

fn refuse_more(who: &Principal, access: &Access) -> Result<(), Problem> {
    if who.covers(access) {
        return Ok(());
    }
    Err(Problem::forbidden(format!(
        "{} cannot grant more than they have themselves",
        who.label()
    )))
}

fn checked_email(email: Option<String>) -> Result<Option<String>, Problem> {
    let Some(email) = email else { return Ok(None) };
    let good = email.len() <= 254
        && !email.contains(|c: char| c.is_whitespace() || c.is_control())
        && email
            .split_once('@')
            .is_some_and(|(mailbox, host)| !mailbox.is_empty() && !host.is_empty());
    match good {
        true => Ok(Some(email)),
        false => Err(Problem::invalid("email", "not an e-mail address")),
    }
}
