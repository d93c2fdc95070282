//! `audit`: who did what.

use super::extract::{Json, Query};
use super::paging::{PageOf, Paging};
use super::problem::Problem;
use super::routes::{Routes, needs};
use super::words::AuditResult;
use crate::auth::Principal;
use crate::state::AppState;
use pgkeep_catalog::Page;
use pgkeep_catalog::people::{AuditFilter, AuditRecord, AuditVerdict};
use pgkeep_model::access::Permission;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("audit")
        .add(needs(Permission::Audit), routes!(list))
        .add(needs(Permission::Audit).streams_out(), routes!(verify))
}

/// One entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    /// Its number; they follow one another without a gap.
    seq: i64,
    #[schema(value_type = String, format = DateTime)]
    at: jiff::Timestamp,
    actor: String,
    /// `user`, `token`, `cli`, `system`, or `nobody` for who was not recognised.
    actor_kind: String,
    /// Address that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    from: Option<String>,
    /// Noun and verb.
    action: String,
    /// What it was done to.
    object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    app: Option<String>,
    /// The object before, secrets masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    before: Option<serde_json::Value>,
    /// The object after, secrets masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    after: Option<serde_json::Value>,
    result: AuditResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// Covers the entry and the hash of the one before.
    hash: String,
}

impl From<AuditRecord> for AuditView {
    fn from(record: AuditRecord) -> Self {
        let entry = record.entry;
        Self {
            seq: record.seq,
            at: record.at,
            actor: entry.actor,
            actor_kind: entry.actor_kind,
            from: entry.from,
            action: entry.action,
            object: entry.object,
            app: entry.app,
            before: entry.before,
            after: entry.after,
            result: entry.result.into(),
            reason: entry.reason,
            request_id: entry.request_id,
            hash: record.hash,
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Name as the entries have it: `ann`, or `ann (token ci)`.
    #[param(nullable = false)]
    actor: Option<String>,
    /// `user.create`, or `user` for all actions on accounts.
    #[param(nullable = false)]
    action: Option<String>,
    /// `user/ann`, or `user` for all accounts.
    #[param(nullable = false)]
    object: Option<String>,
    #[param(nullable = false, inline)]
    result: Option<AuditResult>,
    /// Not before this time.
    #[param(nullable = false, value_type = Option<String>, format = DateTime)]
    since: Option<jiff::Timestamp>,
    /// Before this time.
    #[param(nullable = false, value_type = Option<String>, format = DateTime)]
    until: Option<jiff::Timestamp>,
}

/// Whether the log is as it was written.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditVerdictView {
    intact: bool,
    /// How many entries there are, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    entries: Option<u64>,
    /// Number of the first entry that does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    broken_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// Lists the entries, the newest first. Who sees some apps only sees the entries about them.
#[utoipa::path(get, path = "/audit", params(AuditQuery, Paging), responses((status = 200, body = PageOf<AuditView>)))]
async fn list(
    state: AppState,
    who: Principal,
    Query(query): Query<AuditQuery>,
    Query(paging): Query<Paging>,
) -> Result<Json<PageOf<AuditView>>, Problem> {
    let filter = AuditFilter {
        actor: query.actor,
        action: query.action,
        object: query.object,
        result: query.result.map(Into::into),
        since: query.since,
        until: query.until,
        apps: who.app_filter(),
    };
    let page = Page {
        limit: paging.limit()?,
        after: paging.cursor,
        descending: true,
    };
    let found = state.catalog.audit(&filter, &page).await?;
    Ok(Json(PageOf {
        items: found.items.into_iter().map(AuditView::from).collect(),
        next_cursor: found.next,
    }))
}

/// Reads the whole log and checks that nothing was changed, removed or cut off.
#[utoipa::path(get, path = "/audit/verify", responses((status = 200, body = AuditVerdictView)))]
async fn verify(state: AppState) -> Result<Json<AuditVerdictView>, Problem> {
    let view = match state.catalog.audit_verify().await? {
        AuditVerdict::Intact { entries } => AuditVerdictView {
            intact: true,
            entries: Some(entries),
            broken_at: None,
            reason: None,
        },
        AuditVerdict::Broken { seq, why } => AuditVerdictView {
            intact: false,
            entries: None,
            broken_at: Some(seq),
            reason: Some(why),
        },
    };
    Ok(Json(view))
}
