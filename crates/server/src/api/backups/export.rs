//! A backup written as a file to a folder of the server's machine or to a bucket.

use super::super::accepted::{Accepted, enqueue, new_job};
use super::super::extract::{BackupId, Json, Path, Query};
use super::super::folders::may_export_to;
use super::super::problem::Problem;
use super::super::routes::{Routes, needs};
use super::{Copy, bounded, load};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use pgkeep_engine::package;
use pgkeep_model::access::Permission;
use pgkeep_model::job::{DumpFormat, ExportSpec, JobSpec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("backups").add(
        needs(Permission::Download)
            .throttle(ThrottleScope::BackupDownload)
            .repeatable(),
        routes!(export),
    )
}

/// What is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ExportForm {
    /// The whole backup as one portable file.
    #[default]
    Package,
    /// One database in pg_dump's custom format.
    Custom,
    /// One database as a script.
    Plain,
    /// One database in pg_dump's directory format.
    Directory,
    /// One database in pg_dump's tar format.
    Tar,
}

/// An export as it is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schema(as = ExportRequest)]
struct ExportBody {
    #[schema(inline)]
    format: ExportForm,
    /// Which database, where it is one and the backup holds several.
    database: Option<String>,
    /// A folder of the server's machine named from the root, or `s3://bucket/folder` for a package, reached with the
    /// credentials of the repository in that bucket, else of the backup's. The server's own folder for exports where absent;
    /// any other needs the permission to configure.
    to: Option<String>,
    /// Public keys of age that a package is encrypted for.
    recipients: Vec<String>,
    /// Compresses a package with zstd.
    zstd: bool,
    /// Why; kept in the audit log.
    reason: Option<String>,
}

/// Writes a backup as a file, by a job; its report says where.
#[utoipa::path(post, path = "/backups/{id}/export", params(("id" = String, Path, description = "the id, or its beginning"), Copy), request_body = ExportBody, responses((status = 202, description = "The export is a job now", body = Accepted)))]
async fn export(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
    Json(body): Json<ExportBody>,
) -> Result<Accepted, Problem> {
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    if let Some(to) = &body.to {
        may_export_to("to", to, &who, &state.settings.places)?;
    }
    let package = body.format == ExportForm::Package;
    for (field, given) in [
        ("recipients", !body.recipients.is_empty()),
        ("zstd", body.zstd),
        (
            "to",
            body.to.as_deref().is_some_and(|to| to.starts_with("s3://")),
        ),
    ] {
        if given && !package {
            return Err(Problem::invalid(field, "only for a package"));
        }
    }
    if package && body.database.is_some() {
        return Err(Problem::invalid("database", "a package holds all of them"));
    }
    bounded("recipients", &body.recipients)?;
    for key in &body.recipients {
        package::recipient(key).map_err(|e| Problem::invalid("recipients", e.message))?;
    }
    let spec = ExportSpec {
        repository: row.repository.clone(),
        backup: row.id.clone(),
        database: body.database.clone(),
        format: match body.format {
            ExportForm::Package | ExportForm::Custom => DumpFormat::Custom,
            ExportForm::Plain => DumpFormat::Plain,
            ExportForm::Directory => DumpFormat::Directory,
            ExportForm::Tar => DumpFormat::Tar,
        },
        to: body.to.clone().unwrap_or_default(),
        package,
        recipients: body.recipients.clone(),
        zstd: body.zstd,
    };
    let mut job = new_job(&state, &who, JobSpec::Export(spec));
    job.app = Some(row.app.clone());
    let accepted = enqueue(&state, job).await?;
    Act::done("backup.export", format!("backup/{}", row.id))
        .app(Some(&row.app))
        .reason(body.reason.clone())
        .after(&body)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}
