//! What only the repository knows of a backup: its manifest, tables and evidence; and comparisons.

use super::super::etag::Tagged;
use super::super::extract::{BackupId, Json, Path, Query};
use super::super::jobs::LogLine;
use super::super::paging::PageOf;
use super::super::problem::{Code, Problem};
use super::super::routes::{Routes, needs};
use super::{Backup, Copy, compared, load, look};
use crate::auth::Principal;
use crate::state::AppState;
use jiff::Timestamp;
use pgkeep_engine::catalog as engine;
use pgkeep_engine::diff;
use pgkeep_model::access::Permission;
use pgkeep_model::evidence::TableEvidence;
use pgkeep_model::manifest::{DatabaseContent, DatabaseManifest, Manifest};
use pgkeep_model::migrations::MigrationState;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

const MOST_TABLES: usize = 1_000;

pub fn routes() -> Routes {
    Routes::new("backups")
        .add(needs(Permission::View).streams_out(), routes!(compare))
        .add(needs(Permission::View).streams_out(), routes!(get))
        .add(needs(Permission::View).streams_out(), routes!(tables))
        .add(needs(Permission::View).streams_out(), routes!(evidence))
        .add(
            needs(Permission::View).streams_out(),
            routes!(whole_manifest),
        )
        .add(needs(Permission::View), routes!(logs))
}

/// A backup with what its manifest says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BackupDetail {
    #[serde(flatten)]
    backup: Backup,
    /// Every repository that holds a copy.
    copies: Vec<String>,
    pgkeep_version: String,
    started_at: Timestamp,
    finished_at: Timestamp,
    /// One figure for all evidence.
    evidence_digest: String,
    compression_level: i32,
    /// Roles and tablespaces are stored, too.
    globals: bool,
    /// What the app said of its own version.
    application: Option<AppVersion>,
    contents: Vec<DatabaseDetail>,
}

/// One database of a backup.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DatabaseDetail {
    name: String,
    server_version: String,
    encoding: String,
    tables: usize,
    rows: u64,
    bytes: u64,
    /// False for an imported script, whose tables and rows nobody has counted.
    counted: bool,
    extensions: Vec<Extension>,
    /// Tables whose rows were left out on request.
    excluded_data: Vec<String>,
    /// Schemas that it was limited to; empty for all.
    schemas: Vec<String>,
    /// Which migrations were applied, as read in the dump's own snapshot.
    migrations: Vec<SchemaVersion>,
    warnings: Vec<String>,
}

/// The app's version when the backup was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AppVersion {
    version: Option<String>,
    /// `command`, `file`, `environment` or `commit`.
    version_from: Option<String>,
    /// Versions of framework and runtime by name.
    runtime: BTreeMap<String, String>,
}

/// The applied migrations of one framework; all their names are in the manifest.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SchemaVersion {
    framework: String,
    /// Table that the framework keeps.
    table: String,
    /// How many are applied.
    applied: usize,
    newest: Option<String>,
    /// Begun and not finished, or failed.
    unfinished: Vec<String>,
    /// Equal for equal versions.
    digest: String,
    /// All of it in a few words.
    words: String,
}

impl From<&MigrationState> for SchemaVersion {
    fn from(state: &MigrationState) -> Self {
        Self {
            framework: state.framework.as_str().to_owned(),
            table: state.table.clone(),
            applied: state.count(),
            newest: state.newest(),
            unfinished: state.unfinished.clone(),
            digest: state.digest.clone(),
            words: state.describe(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BackupExtension)]
struct Extension {
    name: String,
    version: String,
}

impl From<&DatabaseManifest> for DatabaseDetail {
    fn from(database: &DatabaseManifest) -> Self {
        let evidence = &database.evidence;
        Self {
            name: database.name.clone(),
            server_version: database.server.version.clone(),
            encoding: database.properties.encoding.clone(),
            tables: evidence.tables.len(),
            rows: evidence.rows(),
            bytes: evidence.bytes(),
            counted: database.content == DatabaseContent::Directory,
            extensions: evidence
                .extensions
                .iter()
                .map(|e| Extension {
                    name: e.name.clone(),
                    version: e.version.clone(),
                })
                .collect(),
            excluded_data: database
                .excluded_data
                .iter()
                .map(ToString::to_string)
                .collect(),
            schemas: database.only_schemas.clone(),
            migrations: database.migrations.iter().map(Into::into).collect(),
            warnings: database.warnings.clone(),
        }
    }
}

async fn manifest(state: &AppState, repository: &str, id: &str) -> Result<Manifest, Problem> {
    let id = id.to_owned();
    look(state, repository, move |repository, _| {
        Ok(engine::show(repository, &id, &engine::ListFilter::default())?.manifest)
    })
    .await
}

/// Shows one backup with what its manifest says.
#[utoipa::path(get, path = "/backups/{id}", params(("id" = String, Path, description = "the id, or its beginning"), Copy), responses((status = 200, description = "The backup", body = BackupDetail)))]
async fn get(
    state: AppState,
    who: Principal,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
) -> Result<Tagged<BackupDetail>, Problem> {
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    let manifest = manifest(&state, &row.repository, &row.id).await?;
    let mut copies = Vec::new();
    for repository in state.catalog.repositories().await? {
        if state
            .catalog
            .backup(Some(&repository.name), &row.id)
            .await
            .is_ok()
        {
            copies.push(repository.name);
        }
    }
    Ok(Tagged::ok(
        row.revision,
        BackupDetail {
            copies,
            pgkeep_version: manifest.pgkeep_version.clone(),
            started_at: manifest.started_at,
            finished_at: manifest.finished_at,
            evidence_digest: manifest.evidence_digest.clone(),
            compression_level: manifest.compression_level,
            globals: manifest.globals,
            application: manifest.application.as_ref().map(|told| AppVersion {
                version: told.version.clone(),
                version_from: told.version_from.clone(),
                runtime: told.runtime.clone(),
            }),
            contents: manifest.databases.iter().map(Into::into).collect(),
            backup: row.into(),
        },
    ))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TablesQuery {
    #[param(nullable = false)]
    repository: Option<String>,
    /// Only tables of this database.
    #[param(nullable = false)]
    database: Option<String>,
    /// Only tables whose name contains this.
    #[param(nullable = false)]
    text: Option<String>,
    /// 1 to 1000, 500 where absent.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `nextCursor` of the page before.
    #[param(nullable = false)]
    cursor: Option<usize>,
}

/// What a backup holds of one table.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BackupTable {
    database: String,
    schema: String,
    name: String,
    rows: u64,
    /// Of COPY text.
    bytes: u64,
    /// Sum of the rows' hashes; equal for equal content in any order.
    hash: String,
}

impl BackupTable {
    fn of(database: &DatabaseManifest, table: &TableEvidence) -> Self {
        Self {
            database: database.name.clone(),
            schema: table.name.schema.clone(),
            name: table.name.name.clone(),
            rows: table.content.rows,
            bytes: table.content.bytes,
            hash: table.content.hash.to_string(),
        }
    }
}

/// Lists the tables of a backup with their rows and hashes.
#[utoipa::path(get, path = "/backups/{id}/tables", params(("id" = String, Path, description = "the id, or its beginning"), TablesQuery), responses((status = 200, description = "The tables", body = PageOf<BackupTable>)))]
async fn tables(
    state: AppState,
    who: Principal,
    Path(id): Path<BackupId>,
    Query(query): Query<TablesQuery>,
) -> Result<Json<PageOf<BackupTable>>, Problem> {
    let limit = query.limit.unwrap_or(500);
    if !(1..=MOST_TABLES).contains(&limit) {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("limit: {limit} is not between 1 and {MOST_TABLES}"),
        ));
    }
    let row = load(&state, &who, query.repository.as_deref(), &id).await?;
    let manifest = manifest(&state, &row.repository, &row.id).await?;
    let start = query.cursor.unwrap_or(0);
    let wanted = |table: &BackupTable| match &query.text {
        Some(text) => format!("{}.{}", table.schema, table.name).contains(text.as_str()),
        None => true,
    };
    let mut items: Vec<BackupTable> = manifest
        .databases
        .iter()
        .filter(|db| query.database.as_ref().is_none_or(|name| *name == db.name))
        .flat_map(|db| db.evidence.tables.iter().map(|t| BackupTable::of(db, t)))
        .filter(wanted)
        .skip(start)
        .take(limit + 1)
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(Json(PageOf {
        items,
        next_cursor: more.then(|| (start + limit).to_string()),
    }))
}

/// Gives the manifest: everything that the backup says of itself.
#[utoipa::path(get, path = "/backups/{id}/manifest", params(("id" = String, Path, description = "the id, or its beginning"), Copy), responses((status = 200, description = "The manifest, as it is stored with the backup", body = Object)))]
async fn whole_manifest(
    state: AppState,
    who: Principal,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
) -> Result<Json<Manifest>, Problem> {
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    manifest(&state, &row.repository, &row.id).await.map(Json)
}

/// Gives the evidence of every database, as the manifest holds it.
#[utoipa::path(get, path = "/backups/{id}/evidence", params(("id" = String, Path, description = "the id, or its beginning"), Copy), responses((status = 200, description = "The evidence by database", body = Object)))]
async fn evidence(
    state: AppState,
    who: Principal,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
) -> Result<Json<Value>, Problem> {
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    let manifest = manifest(&state, &row.repository, &row.id).await?;
    let databases: serde_json::Map<String, Value> = manifest
        .databases
        .iter()
        .map(|db| {
            Ok((
                db.name.clone(),
                serde_json::to_value(&db.evidence).map_err(Problem::internal)?,
            ))
        })
        .collect::<Result<_, Problem>>()?;
    Ok(Json(serde_json::json!({
        "digest": manifest.evidence_digest,
        "databases": databases,
    })))
}

/// Gives the log of the job that made the backup.
#[utoipa::path(get, path = "/backups/{id}/logs", params(("id" = String, Path, description = "the id, or its beginning"), Copy), responses((status = 200, description = "The lines", body = PageOf<LogLine>)))]
async fn logs(
    state: AppState,
    who: Principal,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
) -> Result<Json<PageOf<LogLine>>, Problem> {
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    let lines = match &row.job {
        Some(job) => state.catalog.job_log(job, 0, 1_000).await?,
        None => Vec::new(),
    };
    Ok(Json(PageOf::whole(
        lines.into_iter().map(Into::into).collect(),
    )))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CompareQuery {
    /// Id of a backup.
    #[param(value_type = String)]
    from: BackupId,
    /// Id of a backup of the same repository. A live database is compared by a job.
    #[param(value_type = String)]
    to: BackupId,
    #[param(nullable = false)]
    repository: Option<String>,
}

/// Compares two backups: definitions, tables, rows.
#[utoipa::path(get, path = "/backups/compare", params(CompareQuery), responses((status = 200, description = "The document that `pgkeep diff --json` prints", body = Object)))]
async fn compare(
    state: AppState,
    who: Principal,
    Query(query): Query<CompareQuery>,
) -> Result<Json<Value>, Problem> {
    let ids = (&query.from, &query.to);
    compared(&state, &who, query.repository.as_deref(), ids, diff::run).await
}
