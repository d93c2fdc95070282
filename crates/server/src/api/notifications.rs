//! Notification targets: where people are told what happened.

use super::definitions::{By, Put, PutQuery, Standing, sees_everything, wrong_fields};
use super::etag::{Expected, Tagged};
use super::extract::{Json, Name, Path, Query};
use super::masks;
use super::paging::PageOf;
use super::problem::Problem;
use super::routes::{Routes, needs};
use super::words::{NoticeKind, SmtpTls};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::notify::send_test;
use crate::state::AppState;
use axum::http::StatusCode;
use pgkeep_catalog::Stored;
use pgkeep_model::access::Permission;
use pgkeep_model::notice::{Channel, NotificationTarget};
use pgkeep_model::secret::{SecretText, is_reference};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("notifications")
        .add(needs(Permission::Configure), routes!(list))
        .add(needs(Permission::Configure), routes!(get))
        .add(needs(Permission::Configure).edits(), routes!(put))
        .add(needs(Permission::Configure).edits(), routes!(delete))
        .add(needs(Permission::Configure), routes!(test))
        .add(needs(Permission::Configure), routes!(test_unsaved))
}

/// A channel and what it wants to hear. Secrets are `env:NAME`, `file:/path` or the value itself, which is masked when shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = TargetDefinition)]
pub struct TargetBody {
    pub channel: ChannelBody,
    /// Empty: everything but `success`; a dead-man ping always hears of successes only.
    #[serde(default)]
    pub on: Vec<NoticeKind>,
    /// Hears of policies that name no target.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub default: bool,
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub enabled: bool,
    /// The same bad news again is held back for this long.
    #[serde(default = "one_day")]
    #[schema(default = 86400)]
    pub repeat_secs: u32,
}

fn yes() -> bool {
    true
}

fn one_day() -> u32 {
    86_400
}

/// How a message goes out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
#[schema(as = Channel)]
pub enum ChannelBody {
    Email {
        to: Vec<String>,
        from: String,
        host: String,
        #[serde(default)]
        port: Option<u16>,
        #[serde(default = "start_tls")]
        #[schema(default = "start_tls")]
        tls: SmtpTls,
        #[serde(default)]
        username: Option<String>,
        /// A secret.
        #[serde(default)]
        #[schema(value_type = Option<String>)]
        password: Option<SecretText>,
        /// PEM file of an authority of one's own.
        #[serde(default)]
        ca_file: Option<String>,
    },
    Slack {
        /// A secret.
        #[schema(value_type = String)]
        url: SecretText,
    },
    Discord {
        /// A secret.
        #[schema(value_type = String)]
        url: SecretText,
    },
    Teams {
        /// A secret.
        #[schema(value_type = String)]
        url: SecretText,
    },
    /// Signed as Standard Webhooks says.
    Webhook {
        /// A secret.
        #[schema(value_type = String)]
        url: SecretText,
        /// A secret: `whsec_` and base64.
        #[serde(default)]
        #[schema(value_type = Option<String>)]
        secret: Option<SecretText>,
    },
    /// Requested after each success; a watcher elsewhere raises the alarm when it stays away.
    DeadManPing {
        /// A secret.
        #[schema(value_type = String)]
        url: SecretText,
    },
}

fn start_tls() -> SmtpTls {
    SmtpTls::StartTls
}

/// A target as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    #[serde(flatten)]
    pub standing: Standing,
    pub definition: TargetBody,
}

/// What became of a test message.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestOutcome {
    pub delivered: bool,
    /// Why not.
    pub message: Option<String>,
    pub hint: Option<String>,
}

impl TargetBody {
    fn shown(target: &NotificationTarget) -> Self {
        let hook = |url: &SecretText| SecretText::from(masks::hook(url));
        let hidden = |text: &str| SecretText::from(masks::secret(text));
        let channel = match &target.channel {
            Channel::Email {
                to,
                from,
                host,
                port,
                tls,
                username,
                password,
                ca_file,
            } => ChannelBody::Email {
                to: to.clone(),
                from: from.clone(),
                host: host.clone(),
                port: *port,
                tls: (*tls).into(),
                username: username.clone(),
                password: password.as_deref().map(hidden),
                ca_file: ca_file.clone(),
            },
            Channel::Slack { url } => ChannelBody::Slack { url: hook(url) },
            Channel::Discord { url } => ChannelBody::Discord { url: hook(url) },
            Channel::Teams { url } => ChannelBody::Teams { url: hook(url) },
            Channel::Webhook { url, secret } => ChannelBody::Webhook {
                url: hook(url),
                secret: secret.as_deref().map(hidden),
            },
            Channel::DeadManPing { url } => ChannelBody::DeadManPing { url: hook(url) },
        };
        Self {
            channel,
            on: target.on.iter().map(|kind| (*kind).into()).collect(),
            default: target.default,
            enabled: target.enabled,
            repeat_secs: target.repeat_secs,
        }
    }

    /// What to store; masked secrets are those of `before`.
    pub fn into_target(
        self,
        name: &str,
        before: Option<&NotificationTarget>,
    ) -> NotificationTarget {
        let (stored_url, stored_secret) = before.map_or((None, None), |b| secrets(&b.channel));
        let url = |sent: SecretText| masks::unmask(sent, stored_url, masks::hook);
        let secret = |sent: Option<SecretText>| {
            sent.map(|text| masks::unmask(text, stored_secret, masks::secret))
        };
        let channel = match self.channel {
            ChannelBody::Email {
                to,
                from,
                host,
                port,
                tls,
                username,
                password,
                ca_file,
            } => Channel::Email {
                to,
                from,
                host,
                port,
                tls: tls.into(),
                username,
                password: secret(password),
                ca_file,
            },
            ChannelBody::Slack { url: sent } => Channel::Slack { url: url(sent) },
            ChannelBody::Discord { url: sent } => Channel::Discord { url: url(sent) },
            ChannelBody::Teams { url: sent } => Channel::Teams { url: url(sent) },
            ChannelBody::Webhook {
                url: sent,
                secret: signing,
            } => Channel::Webhook {
                url: url(sent),
                secret: secret(signing),
            },
            ChannelBody::DeadManPing { url: sent } => Channel::DeadManPing { url: url(sent) },
        };
        NotificationTarget {
            name: name.to_string(),
            channel,
            on: self.on.into_iter().map(Into::into).collect(),
            default: self.default,
            enabled: self.enabled,
            repeat_secs: self.repeat_secs,
        }
    }
}

/// The address and the other secret of a channel.
fn secrets(channel: &Channel) -> (Option<&SecretText>, Option<&SecretText>) {
    match channel {
        Channel::Email { password, .. } => (None, password.as_ref()),
        Channel::Webhook { url, secret } => (Some(url), secret.as_ref()),
        Channel::Slack { url }
        | Channel::Discord { url }
        | Channel::Teams { url }
        | Channel::DeadManPing { url } => (Some(url), None),
    }
}

fn check(target: &NotificationTarget) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    let mut say = |field: &str, message: &str| wrong.push((field.to_string(), message.to_string()));
    let (url, secret) = secrets(&target.channel);
    if let Some(url) = url {
        let reference = is_reference(url);
        let web = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if url.contains(masks::MASK) {
            say("channel.url", "is masked; give it anew");
        } else if !reference && !web {
            say("channel.url", "is not the address of a web hook");
        }
    }
    if secret.is_some_and(|secret| *secret == masks::MASK) {
        say("channel", "its secret is masked; give it anew");
    }
    if let Channel::Email { to, from, host, .. } = &target.channel {
        if to.is_empty() || to.iter().any(|address| !address.contains('@')) {
            say("channel.to", "holds no e-mail address");
        }
        if !from.contains('@') {
            say("channel.from", "is no e-mail address");
        }
        if host.trim().is_empty() {
            say("channel.host", "is missing");
        }
    }
    wrong_fields(wrong)
}

impl Target {
    fn of(stored: &Stored<NotificationTarget>) -> Self {
        Self {
            standing: stored.into(),
            definition: TargetBody::shown(&stored.value),
        }
    }
}

/// Lists the notification targets.
#[utoipa::path(get, path = "/notifications/targets", responses((status = 200, description = "All targets", body = PageOf<Target>)))]
async fn list(state: AppState, who: Principal) -> Result<Json<PageOf<Target>>, Problem> {
    sees_everything(&who)?;
    let targets = state.catalog.targets().await?;
    Ok(Json(PageOf::whole(
        targets.iter().map(Target::of).collect(),
    )))
}

/// Shows a target.
#[utoipa::path(get, path = "/notifications/targets/{name}", params(("name" = String, Path)), responses((status = 200, description = "The target", body = Target)))]
async fn get(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
) -> Result<Tagged<Target>, Problem> {
    sees_everything(&who)?;
    let target = state.catalog.target(name.as_str()).await?;
    Ok(Tagged::ok(target.revision, Target::of(&target)))
}

/// Makes or changes a target.
#[utoipa::path(put, path = "/notifications/targets/{name}", params(("name" = String, Path), PutQuery), request_body = TargetBody, responses(
    (status = 200, description = "Changed", body = Target),
    (status = 201, description = "Made", body = Target),
))]
async fn put(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Query(query): Query<PutQuery>,
    expected: Expected,
    Json(body): Json<TargetBody>,
) -> Result<Tagged<Target>, Problem> {
    sees_everything(&who)?;
    let name = name.as_str();
    let put = Put::begin(state.catalog.target(name).await, &query, expected)?;
    let target = body.into_target(name, put.before());
    check(&target)?;
    let stored = state
        .catalog
        .put_target(name, &target, put.managed_by, put.revision)
        .await?;
    let act = Act::done("target.put", format!("target/{name}"));
    let by = By {
        state: &state,
        who: &who,
        client: &client,
    };
    put.done(act, &stored, &by, TargetBody::shown, Target::of(&stored))
        .await
}

/// Removes a target; while policies name it, it is refused.
#[utoipa::path(delete, path = "/notifications/targets/{name}", params(("name" = String, Path)), responses((status = 204, description = "Removed")))]
async fn delete(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    expected: Expected,
) -> Result<StatusCode, Problem> {
    sees_everything(&who)?;
    let name = name.as_str();
    let before = state.catalog.target(name).await?;
    state
        .catalog
        .delete_target(name, expected.revision())
        .await?;
    Act::done("target.delete", format!("target/{name}"))
        .before(TargetBody::shown(&before.value))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a test message to a stored target.
#[utoipa::path(post, path = "/notifications/targets/{name}/test", params(("name" = String, Path)), responses((status = 200, description = "What became of it", body = TestOutcome)))]
async fn test(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
) -> Result<Json<TestOutcome>, Problem> {
    sees_everything(&who)?;
    let stored = state.catalog.target(name.as_str()).await?;
    Act::done("target.test", format!("target/{name}"))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(Json(attempt(&state, &stored.value).await))
}

/// Sends a test message to a target that is not stored.
#[utoipa::path(post, path = "/notifications/test", request_body = TargetBody, responses((status = 200, description = "What became of it", body = TestOutcome)))]
async fn test_unsaved(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<TargetBody>,
) -> Result<Json<TestOutcome>, Problem> {
    sees_everything(&who)?;
    let target = body.into_target("test", None);
    check(&target)?;
    Act::done("target.test", "target")
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(Json(attempt(&state, &target).await))
}

async fn attempt(state: &AppState, target: &NotificationTarget) -> TestOutcome {
    match send_test(target, &state.catalog, &state.machine).await {
        Ok(_) => TestOutcome {
            delivered: true,
            message: None,
            hint: None,
        },
        Err(error) => TestOutcome {
            delivered: false,
            message: Some(error.to_string()),
            hint: error.hint,
        },
    }
}
