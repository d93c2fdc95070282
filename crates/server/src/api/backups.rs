//! Backups as the catalog knows them; what only the repository knows is read there: see `detail`. What changes them is
//! in `change`.

mod change;
mod detail;
mod export;
mod live;
mod schema;

pub(super) use change::order;
pub use change::{Objection, objections};

use super::extract::{BackupId, Json, Query};
use super::jobs::apps_filter;
use super::paging::{PageOf, Paging};
use super::problem::{Code, Problem};
use super::repositories::visible;
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::state::AppState;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use pgkeep_catalog::{self as catalog, BackupFilter, BackupRow, Page};
use pgkeep_engine::Context;
use pgkeep_engine::diff::DiffSide;
use pgkeep_model::access::Permission;
use pgkeep_model::{CancelToken, Silent};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

/// Rows of a table that is asked for as CSV; more are cut off with a note in a header.
const CSV_ROWS: usize = 50_000;
/// Time for a look into a repository.
const LOOK: Duration = Duration::from_secs(60);
/// Time for a comparison.
const COMPARE: Duration = Duration::from_secs(120);

pub fn routes() -> Routes {
    Routes::new("backups")
        .add(needs(Permission::View), routes!(list))
        .merge(detail::routes())
        .merge(export::routes())
        .merge(schema::routes())
        .merge(live::routes())
        .merge(change::routes())
}

/// One recovery point of an app.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// 64 hexadecimal digits; the first eight are enough to name it.
    pub id: String,
    pub repository: String,
    pub app: String,
    pub environment: String,
    pub kind: String,
    pub time: Timestamp,
    pub databases: Vec<String>,
    /// Names of its file trees.
    pub files: Vec<String>,
    /// The newest migration that was applied, where a framework keeps count.
    pub schema_version: Option<String>,
    pub description: String,
    pub tags: Vec<String>,
    pub pinned: bool,
    /// Something was left out on request.
    pub partial: bool,
    pub state: BackupState,
    /// Newest time at which every stored byte was read back.
    pub checked_at: Option<Timestamp>,
    /// Newest time at which a restore of it was proven.
    pub proven_at: Option<Timestamp>,
    /// How long that restore took.
    pub proven_seconds: Option<f64>,
    pub damaged_at: Option<Timestamp>,
    pub drill_failed_at: Option<Timestamp>,
    /// What it lacks that an earlier backup held, in words. The word `accepted` on it ends that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<String>,
    pub policy: Option<String>,
    /// The job that made it.
    pub job: Option<String>,
    pub rows: Option<u64>,
    /// Of the data, before deduplication and compression.
    pub bytes: Option<u64>,
    /// By which the repository grew.
    pub bytes_added: Option<u64>,
    pub seconds: Option<f64>,
    pub hostname: String,
    pub username: String,
    /// Grows with every change; also the `ETag`.
    pub revision: i64,
}

/// How far a backup is proven, in one word; what is wrong comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackupState {
    Stored,
    Checked,
    Proven,
    DrillFailed,
    Damaged,
}

impl From<catalog::BackupState> for BackupState {
    fn from(state: catalog::BackupState) -> Self {
        match state {
            catalog::BackupState::Stored => BackupState::Stored,
            catalog::BackupState::Checked => BackupState::Checked,
            catalog::BackupState::Proven => BackupState::Proven,
            catalog::BackupState::DrillFailed => BackupState::DrillFailed,
            catalog::BackupState::Damaged => BackupState::Damaged,
        }
    }
}

impl From<BackupState> for catalog::BackupState {
    fn from(state: BackupState) -> Self {
        match state {
            BackupState::Stored => catalog::BackupState::Stored,
            BackupState::Checked => catalog::BackupState::Checked,
            BackupState::Proven => catalog::BackupState::Proven,
            BackupState::DrillFailed => catalog::BackupState::DrillFailed,
            BackupState::Damaged => catalog::BackupState::Damaged,
        }
    }
}

impl From<BackupRow> for Backup {
    fn from(row: BackupRow) -> Self {
        Self {
            state: row.state().into(),
            id: row.id,
            repository: row.repository,
            app: row.app,
            environment: row.environment,
            kind: row.kind,
            time: row.time,
            databases: row.databases,
            files: row.files,
            schema_version: row.schema_version,
            description: row.description,
            tags: row.tags,
            pinned: row.pinned,
            partial: row.partial,
            checked_at: row.checked_at,
            proven_at: row.proven_at,
            proven_seconds: row.proven_seconds,
            damaged_at: row.damaged_at,
            drill_failed_at: row.drill_failed_at,
            shrunk: row.shrunk,
            policy: row.policy,
            job: row.job,
            rows: row.rows,
            bytes: row.bytes,
            bytes_added: row.bytes_added,
            seconds: row.seconds,
            hostname: row.hostname,
            username: row.username,
            revision: row.revision,
        }
    }
}

/// Which backups are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct ListQuery {
    #[param(nullable = false)]
    app: Option<String>,
    #[param(nullable = false)]
    repository: Option<String>,
    #[param(nullable = false)]
    environment: Option<String>,
    /// `full`, `database`, `import`
    #[param(nullable = false)]
    kind: Option<String>,
    #[param(nullable = false)]
    policy: Option<String>,
    #[param(nullable = false, inline)]
    state: Option<BackupState>,
    #[param(nullable = false)]
    pinned: Option<bool>,
    #[param(nullable = false)]
    tag: Option<String>,
    /// Made at this time or later.
    #[param(nullable = false)]
    since: Option<Timestamp>,
    /// Made before this time.
    #[param(nullable = false)]
    until: Option<Timestamp>,
    /// Part of the description, of a name, of a tag, or the begin of the id.
    #[param(nullable = false)]
    text: Option<String>,
    #[param(nullable = false, inline)]
    sort: Option<Sort>,
    /// Oldest, smallest or shortest first.
    #[param(nullable = false)]
    ascending: Option<bool>,
    /// `csv` gives all of them as one table.
    #[param(nullable = false, inline)]
    format: Option<ListFormat>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    Time,
    Bytes,
    Seconds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ListFormat {
    Json,
    Csv,
}

/// Lists the backups of all apps that the account sees, newest first.
#[utoipa::path(get, path = "/backups", params(ListQuery, Paging), responses(
    (status = 200, description = "The backups", content((PageOf<Backup> = "application/json"), (String = "text/csv"))),
    (status = 404, description = "no repository of that name", body = super::problem::ProblemBody, content_type = "application/problem+json")))]
async fn list(
    state: AppState,
    who: Principal,
    headers: HeaderMap,
    Query(query): Query<ListQuery>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let filter = BackupFilter {
        apps: apps_filter(&who, query.app.as_ref()),
        repository: query.repository,
        environment: query.environment,
        kind: query.kind,
        policy: query.policy,
        state: query.state.map(Into::into),
        pinned: query.pinned,
        since: query.since,
        until: query.until,
        text: query.text,
        tag: query.tag,
    };
    let sort = match query.sort.unwrap_or_default() {
        Sort::Time => catalog::BackupSort::Time,
        Sort::Bytes => catalog::BackupSort::Bytes,
        Sort::Seconds => catalog::BackupSort::Seconds,
    };
    let mut page = Page {
        after: paging.cursor.clone(),
        limit: paging.limit()?,
        descending: !query.ascending.unwrap_or(false),
    };
    let accepts_csv = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.starts_with("text/csv"));
    if query.format == Some(ListFormat::Csv) || (query.format.is_none() && accepts_csv) {
        // All of them, unless fewer are asked for.
        let most = paging.limit.map_or(CSV_ROWS, |limit| limit as usize);
        page.limit = paging.limit.unwrap_or(500);
        return csv(&state, &filter, sort, page, most).await;
    }
    let found = state.catalog.backups(&filter, sort, &page).await?;
    if found.items.is_empty()
        && let Some(name) = &filter.repository
    {
        known_repository(&state, &who, name).await?;
    }
    Ok(Json(PageOf {
        items: found.items.into_iter().map(Backup::from).collect(),
        next_cursor: found.next,
    })
    .into_response())
}

/// Where there is nothing to list, a repository that nobody has defined is told from an empty one.
async fn known_repository(state: &AppState, who: &Principal, name: &str) -> Result<(), Problem> {
    let mut names: Vec<String> = (state.catalog.repositories().await?.into_iter())
        .map(|known| known.name)
        .collect();
    if let Some(seen) = visible(state, who).await? {
        names.retain(|name| seen.contains(name));
    }
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    let hint = match names.as_slice() {
        [] => "none is defined yet".to_owned(),
        names => format!("defined are {}", names.join(", ")),
    };
    Err(Problem::not_found("repository", &name.escape_debug().to_string()).hint(hint))
}

async fn csv(
    state: &AppState,
    filter: &BackupFilter,
    sort: catalog::BackupSort,
    mut page: Page,
    most: usize,
) -> Result<Response, Problem> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table
        .write_record([
            "id",
            "time",
            "app",
            "environment",
            "kind",
            "repository",
            "databases",
            "state",
            "pinned",
            "policy",
            "rows",
            "bytes",
            "bytes_added",
            "seconds",
            "tags",
            "description",
        ])
        .map_err(Problem::internal)?;
    let mut rows = 0;
    loop {
        let found = state.catalog.backups(filter, sort, &page).await?;
        for row in &found.items {
            let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
            table
                .write_record([
                    row.id.clone(),
                    row.time.to_string(),
                    cell(&row.app),
                    cell(&row.environment),
                    cell(&row.kind),
                    cell(&row.repository),
                    cell(&row.databases.join(" ")),
                    row.state().as_str().to_owned(),
                    row.pinned.to_string(),
                    cell(row.policy.as_deref().unwrap_or_default()),
                    number(row.rows),
                    number(row.bytes),
                    number(row.bytes_added),
                    row.seconds.map(|s| format!("{s:.3}")).unwrap_or_default(),
                    cell(&row.tags.join(" ")),
                    cell(&row.description),
                ])
                .map_err(Problem::internal)?;
        }
        rows += found.items.len();
        page.after = found.next;
        if page.after.is_none() || rows >= most {
            break;
        }
    }
    let cut_off = page.after.is_some();
    let text = table.into_inner().map_err(Problem::internal)?;
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/csv; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"backups.csv\""),
    );
    if cut_off {
        headers.insert("x-cut-off", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A text that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// Which copy, where several repositories hold one.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Copy {
    #[param(nullable = false)]
    pub repository: Option<String>,
}

/// The backup of this id, if the account sees its app.
pub async fn load(
    state: &AppState,
    who: &Principal,
    repository: Option<&str>,
    id: &BackupId,
) -> Result<BackupRow, Problem> {
    let row = state.catalog.backup(repository, id.as_str()).await?;
    match who.sees(&row.app) {
        true => Ok(row),
        false => Err(Problem::not_found("backup", id.as_str())),
    }
}

/// Looks into the repository of that name, on a thread where blocking is allowed.
pub async fn look<T: Send + 'static>(
    state: &AppState,
    repository: &str,
    work: impl FnOnce(&Repository, &Context) -> pgkeep_engine::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    look_for(state, repository, LOOK, work).await
}

/// As [`look`], with another limit.
pub async fn look_for<T: Send + 'static>(
    state: &AppState,
    repository: &str,
    limit: Duration,
    work: impl FnOnce(&Repository, &Context) -> pgkeep_engine::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let definition = state.catalog.repository(repository).await?.value;
    let (machine, name) = (state.machine.clone(), repository.to_owned());
    state
        .blocking
        .run(limit, move |cancel: CancelToken| {
            let context = machine.context(None, cancel, Arc::new(Silent));
            let repository = machine.open_repository(&name, &definition, &context)?;
            work(&repository, &context)
        })
        .await
}

/// What the engine compares two sides with.
type Comparison<R> =
    fn(&Repository, &DiffSide, &DiffSide, Option<String>, &Context) -> pgkeep_engine::Result<R>;

/// Compares two backups of one repository; gives the document that the command line prints.
async fn compared<R: Serialize + Send + 'static>(
    state: &AppState,
    who: &Principal,
    repository: Option<&str>,
    (from, to): (&BackupId, &BackupId),
    compare: Comparison<R>,
) -> Result<Json<Value>, Problem> {
    let from = load(state, who, repository, from).await?;
    let to = load(state, who, Some(&from.repository), to).await?;
    let repository = from.repository.clone();
    let report = look_for(state, &repository, COMPARE, move |repository, context| {
        let (from, to) = (DiffSide::Backup(from.id), DiffSide::Backup(to.id));
        compare(repository, &from, &to, None, context)
    })
    .await?;
    serde_json::to_value(report)
        .map(Json)
        .map_err(Problem::internal)
}

/// No list is longer than this in a body.
pub fn bounded(field: &str, texts: &[String]) -> Result<(), Problem> {
    if texts.len() > 50 || texts.iter().any(|text| text.len() > 200 || text.is_empty()) {
        return Err(Problem::new(
            Code::Invalid,
            format!("{field}: at most 50 texts of 1 to 200 bytes"),
        )
        .field(field, "at most 50 texts of 1 to 200 bytes"));
    }
    Ok(())
}
