//! What a restore would do, before it does it.

use super::{
    Content, RestoreRequest, RestoreTarget, SnapshotSource, hindrances,
    room::Room,
    unfinished::{self, Beside},
};
use crate::{
    Context, Error, ErrorCode, Result,
    catalog::{self, BackupEntry, ListFilter},
    export::choose_database,
    migrations::plan::{self as migrations, MigrationPlan},
};
use jiff::Timestamp;
use pgkeep_model::{
    Phase,
    evidence::{Proof, QualifiedName, quote_literal},
    manifest::{DatabaseContent, DatabaseManifest, Manifest},
};
use pgkeep_postgres::{
    archive::Toc,
    inspect,
    restore::{self as pg, MarkedDatabase, RestoreOptions, Selection as TocSelection},
    tools::Tools,
    wire::Connection,
};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// A restore as it will be carried out: confirmed by the user, then given to [`super::execute()`].
#[derive(Serialize)]
pub struct RestorePlan {
    #[serde(flatten)]
    pub summary: PlanSummary,
    #[serde(skip)]
    pub request: RestoreRequest,
    #[serde(skip)]
    pub entry: BackupEntry,
    #[serde(skip)]
    pub manifest: Manifest,
    /// What a killed restore of the same backup left; it goes before anything else happens.
    #[serde(skip)]
    pub(super) unfinished: Option<MarkedDatabase>,
}

/// What a user sees of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanSummary {
    pub backup: String,
    pub backup_time: Timestamp,
    pub app: String,
    /// Seconds between the backup's snapshot and now: what a replacement loses.
    pub age_secs: i64,
    pub database: DatabasePlan,
    /// How the backup's schema version stands to what is there; `None` where no version is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<MigrationPlan>,
    /// What will be done, in order, in words.
    pub steps: Vec<String>,
    /// What the user should know before confirming.
    pub warnings: Vec<String>,
    /// What makes the restore impossible as asked; [`super::execute()`] refuses a plan that has any.
    pub refusals: Vec<Refusal>,
    /// True when the confirmation phrase is needed.
    pub overwrites: bool,
}

/// A reason to stop, and the way out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    pub message: String,
    pub remedy: String,
}

/// The database's part of the plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabasePlan {
    pub name: String,
    pub target: super::RestoreTarget,
    pub source_version: String,
    pub target_server: String,
    pub target_version: String,
    pub tables: usize,
    pub rows: u64,
    pub bytes: u64,
    /// False for an imported script, whose tables and rows nobody has counted.
    pub counted: bool,
    /// What of the backup is restored, in words; `None` for everything.
    pub selection: Option<String>,
    /// Size of the database that goes away or is replaced; `None` when there is none.
    pub existing_bytes: Option<u64>,
    /// About what the restore takes on the server's disk.
    #[serde(default)]
    pub needed_bytes: u64,
    /// Whether that much is free there; `None` where it cannot be told from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough_room: Option<bool>,
    /// Sessions on it, as `application_name (user, state)`.
    pub sessions: Vec<String>,
    pub missing_extensions: Vec<String>,
    pub missing_roles: Vec<String>,
    pub missing_tablespaces: Vec<String>,
}

/// Looks at backup and target; changes nothing.
pub fn plan(
    repository: &Repository,
    request: &RestoreRequest,
    context: &Context,
) -> Result<RestorePlan> {
    context.progress.phase(Phase::Check, None);
    let filter = ListFilter {
        app: request.app.clone(),
        ..ListFilter::default()
    };
    let detail = catalog::show(repository, &request.backup, &filter)?;
    let database = choose_database(&detail.manifest, request.database.as_deref())?;
    let source = open_source(repository, &detail.entry, database)?;
    let toc = match database.content {
        DatabaseContent::Directory => Some(pg::open_toc(database, &source)?.0),
        DatabaseContent::Plain => None,
    };
    let mut admin = Connection::open_with(&request.admin, &context.cancel)?;
    let mut findings = Findings {
        request,
        database,
        warnings: database.warnings.clone(),
        refusals: Vec::new(),
    };
    findings.check_request(toc.as_ref())?;
    let target = findings.look_at_target(&mut admin, toc.as_ref())?;
    let unfinished = findings.look_beside(&mut admin, &detail.entry.id, context)?;
    let missing = findings.look_for_missing(&mut admin, toc.as_ref())?;
    findings.check_versions(&admin, toc.as_ref(), context);
    super::around::check(
        request,
        target.exists,
        &mut admin,
        &mut findings.warnings,
        &mut findings.refusals,
    )?;
    let (manifest, exists) = (&detail.manifest, target.exists);
    let versions = migrations::make(repository, request, manifest, database, exists, context);
    findings.warnings.extend(versions.warnings);
    for (message, remedy) in versions.refusals {
        findings.refuse(message, remedy);
    }
    let chosen = match &toc {
        Some(toc) => pg::expected_evidence(database, toc, &options(request))?,
        None => database.evidence.clone(),
    };
    let bytes = match &toc {
        Some(_) => chosen.bytes(),
        None => database.members.iter().map(|m| m.size).sum(),
    };
    let room = Room::of(bytes, request.content, &mut admin, &request.admin);
    findings.warnings.extend(room.warning());
    let age_secs = (context.clock.now() - snapshot_time(&detail.manifest, database))
        .total(jiff::Unit::Second)
        .map_or(0, |secs| secs as i64);
    let summary = PlanSummary {
        backup: detail.entry.id.clone(),
        backup_time: snapshot_time(&detail.manifest, database),
        app: detail.manifest.app.clone(),
        age_secs,
        steps: steps(request, database, unfinished.as_ref()),
        overwrites: request.target.overwrites() && target.exists,
        migrations: versions.plan,
        database: DatabasePlan {
            name: database.name.clone(),
            target: request.target.clone(),
            source_version: database.server.version.clone(),
            target_server: request.admin.describe(),
            target_version: admin
                .parameter("server_version")
                .unwrap_or_default()
                .to_string(),
            tables: chosen.tables.len(),
            rows: chosen.rows(),
            bytes,
            counted: database.content == DatabaseContent::Directory,
            selection: request.selection.describe(),
            existing_bytes: target.bytes,
            needed_bytes: room.needed,
            enough_room: room.is_enough(),
            sessions: target.sessions,
            missing_extensions: missing.extensions.into_iter().collect(),
            missing_roles: missing.roles.into_iter().collect(),
            missing_tablespaces: missing.tablespaces.into_iter().collect(),
        },
        warnings: findings.warnings,
        refusals: findings.refusals,
    };
    Ok(RestorePlan {
        summary,
        request: request.clone(),
        entry: detail.entry,
        manifest: detail.manifest,
        unfinished,
    })
}

/// The members of one database of a backup.
pub(super) fn open_source(
    repository: &Repository,
    entry: &BackupEntry,
    database: &DatabaseManifest,
) -> Result<SnapshotSource> {
    let reader = Arc::new(repository.open_snapshot(&entry.snapshot)?);
    Ok(SnapshotSource::new(reader, &database.path))
}

/// How the request reads to the `postgres` crate.
pub(super) fn options(request: &RestoreRequest) -> RestoreOptions {
    RestoreOptions {
        jobs: request.jobs,
        no_owner: request.no_owner,
        role: request.role.clone(),
        schema_only: request.content == Content::SchemaOnly,
        data_only: request.content == Content::DataOnly,
        tables: request.selection.tables.clone(),
        schemas: request.selection.schemas.clone(),
        vacuum: request.vacuum,
        ..RestoreOptions::default()
    }
}

fn snapshot_time(manifest: &Manifest, database: &DatabaseManifest) -> Timestamp {
    database.server.snapshot_at.unwrap_or(manifest.started_at)
}

/// What is in the target's place now.
struct Target {
    exists: bool,
    bytes: Option<u64>,
    sessions: Vec<String>,
}

/// Collects what a user should know, and what forbids the restore.
struct Findings<'a> {
    request: &'a RestoreRequest,
    database: &'a DatabaseManifest,
    warnings: Vec<String>,
    refusals: Vec<Refusal>,
}

impl Findings<'_> {
    fn refuse(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        self.refusals.push(Refusal {
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    /// What can be told without a server.
    fn check_request(&mut self, toc: Option<&Toc>) -> Result<()> {
        let request = self.request;
        let partial = !request.selection.is_everything() || request.content != Content::All;
        match toc {
            None if partial => {
                self.refuse(
                    "the backup is an imported SQL script, of which no part can be restored alone",
                    "restore it whole with --into, and copy what you need from there",
                );
            }
            None if matches!(request.target, RestoreTarget::Replace { .. }) => self.refuse(
                "the backup is an imported SQL script, which comes with no evidence, and a live database is not replaced by an unproven one",
                "restore it with --into, look at it, and swap by hand",
            ),
            None => self.warnings.push(
                "the backup is an imported SQL script: there is no evidence to prove the result with".into(),
            ),
            Some(toc) => {
                // Names that match nothing fail here, before anything is made.
                TocSelection::choose(toc, &request.selection.tables, &request.selection.schemas)
                    .map_err(|e| Error {
                        code: ErrorCode::NotFound,
                        ..Error::from(e)
                    })?;
            }
        }
        if partial && matches!(request.target, RestoreTarget::Replace { .. }) {
            self.refuse(
                "a part of a backup cannot replace a whole database",
                "use --into NAME to look at it beside, or --in-place to put it back where it was",
            );
        }
        if request.prove == Proof::None {
            self.warnings
                .push("the result will not be proven, as asked".into());
            if matches!(request.target, RestoreTarget::Replace { .. }) {
                self.refuse(
                    "a live database is not replaced by an unproven one",
                    "leave out --prove none, or use --prove counts for speed",
                );
            }
        }
        if self.database.is_partial() && matches!(request.target, RestoreTarget::Replace { .. }) {
            self.refuse(
                "the backup was limited on request, so it cannot stand in for the whole database",
                "restore it beside with --into, put single schemas back with --in-place, or choose a whole backup",
            );
        }
        if request.skip_safety_backup && request.target.overwrites() {
            self.warnings
                .push("no safety backup of the live database will be taken, as asked".into());
        }
        if !self.database.excluded_data.is_empty() {
            let names: Vec<String> = self
                .database
                .excluded_data
                .iter()
                .map(ToString::to_string)
                .collect();
            self.warnings
                .push(format!("the backup holds no rows of {}", names.join(", ")));
        }
        if !self.database.only_schemas.is_empty() {
            self.warnings.push(format!(
                "the backup holds only schemas {}",
                self.database.only_schemas.join(", ")
            ));
        }
        Ok(())
    }

    fn look_at_target(&mut self, admin: &mut Connection, toc: Option<&Toc>) -> Result<Target> {
        let name = self.request.target.name().to_string();
        let found = admin.query(&format!(
            "SELECT CASE WHEN pg_catalog.has_database_privilege(oid, 'CONNECT') THEN pg_catalog.pg_database_size(oid) END \
             FROM pg_catalog.pg_database WHERE datname = {}",
            quote_literal(&name)
        ))?;
        let exists = !found.is_empty();
        let bytes = found.first().and_then(|row| row.parse(0));
        match (&self.request.target, exists) {
            (RestoreTarget::Into { .. }, true) if self.request.content != Content::DataOnly => {
                self.refuse(
                    format!("database {name} exists already"),
                    "choose another name, or --replace it after a look at the plan",
                );
            }
            (RestoreTarget::Into { .. }, false) if self.request.content == Content::DataOnly => {
                self.refuse(
                    format!("database {name} does not exist, and --data-only makes none"),
                    "leave out --data-only, or restore --schema-only first",
                );
            }
            (RestoreTarget::InPlace { .. }, false) => {
                self.refuse(
                    format!("database {name} does not exist"),
                    "use --into to make it",
                );
            }
            (RestoreTarget::Replace { .. }, false) => {
                self.warnings.push(format!(
                    "there is no database {name} to replace: it will be made"
                ));
            }
            _ => {}
        }
        let mut sessions = Vec::new();
        if exists && self.request.target.overwrites() {
            sessions = inspect::sessions(admin, &name)?
                .iter()
                .map(ToString::to_string)
                .collect();
            if !sessions.is_empty() {
                self.warnings.push(format!(
                    "{} on {name} will be ended",
                    crate::counted(sessions.len(), "session")
                ));
            }
            if matches!(self.request.target, RestoreTarget::Replace { .. }) {
                for obstacle in pg::obstacles(admin, &name, None)? {
                    self.refuse(obstacle.what, obstacle.remedy);
                }
            }
        }
        match self.request.target {
            RestoreTarget::InPlace { .. } if exists => self.look_inside(&name, toc)?,
            RestoreTarget::InPlace { .. } => {}
            _ if self.request.content == Content::DataOnly => {}
            _ => self.check_may_create(admin)?,
        }
        Ok(Target {
            exists,
            bytes,
            sessions,
        })
    }

    /// What is in the way of the database that a replacing restore makes.
    fn look_beside(
        &mut self,
        admin: &mut Connection,
        backup: &str,
        context: &Context,
    ) -> Result<Option<MarkedDatabase>> {
        let RestoreTarget::Replace { name } = &self.request.target else {
            return Ok(None);
        };
        match unfinished::look(admin, &pg::restoring_name(name, &backup[..8]), context)? {
            Beside::Nothing => Ok(None),
            Beside::LeftBehind(marked) => Ok(Some(*marked)),
            Beside::Taken(refusal) => {
                self.refusals.push(refusal);
                Ok(None)
            }
        }
    }

    /// A restore of whole schemas in place drops what they hold, also what the backup has never seen; tables alone are fitted
    /// to what stays.
    fn look_inside(&mut self, name: &str, toc: Option<&Toc>) -> Result<()> {
        let mut live = Connection::open(&self.request.admin.with_dbname(name))?;
        if !self.request.selection.tables.is_empty() {
            let chosen = &self.request.selection.tables;
            let is_chosen = |table: &QualifiedName| {
                chosen
                    .iter()
                    .any(|name| *name == table.to_string() || *name == table.name)
            };
            let differences = pg::other_shapes(&mut live, self.database, is_chosen)?;
            self.warnings.extend(differences);
            if let (Some(toc), true) = (toc, self.request.content != Content::SchemaOnly) {
                let keys = pg::foreign_keys_across(&mut live, toc, is_chosen)?;
                // Only the rows themselves could tell, and a plan loads none.
                if !keys.is_empty() {
                    self.warnings.push(format!(
                        "whether every row finds the row that it points to is checked once the rows are loaded, before \
                         anything is committed, and if one does not, nothing is changed: {}",
                        keys.join(", ")
                    ));
                }
            }
            return Ok(());
        }
        if self.request.content != Content::All {
            return Ok(());
        }
        let known = |name: &QualifiedName| {
            let evidence = &self.database.evidence.tables;
            evidence.iter().any(|t| t.name == *name) || self.database.excluded_data.contains(name)
        };
        let schemas: BTreeSet<&String> = self
            .database
            .evidence
            .tables
            .iter()
            .map(|t| &t.name.schema)
            .collect();
        let chosen = &self.request.selection.schemas;
        let newer: Vec<String> = inspect::relations(&mut live)?
            .iter()
            .filter(|r| r.kind == 'r' && r.extension.is_none() && schemas.contains(&r.name.schema))
            .filter(|r| chosen.is_empty() || chosen.contains(&r.name.schema))
            .filter(|r| !known(&r.name))
            .map(|r| {
                format!(
                    "{} (about {})",
                    r.name,
                    crate::counted(r.estimated_rows.max(0.0) as usize, "row")
                )
            })
            .collect();
        if !newer.is_empty() {
            self.warnings.push(format!(
                "tables that are not in the backup will be dropped: {}",
                newer.join(", ")
            ));
        }
        Ok(())
    }

    fn check_may_create(&mut self, admin: &mut Connection) -> Result<()> {
        if let Some(role) = hindrances::may_not_create(admin)? {
            self.refuse(
                format!("role {role} may not create databases"),
                format!("ALTER ROLE {role} CREATEDB, give another role with --admin-url or DB_ADMIN_URL, or use --in-place"),
            );
        }
        Ok(())
    }

    fn look_for_missing(
        &mut self,
        admin: &mut Connection,
        toc: Option<&Toc>,
    ) -> Result<pg::Missing> {
        let Some(toc) = toc else {
            return Ok(pg::Missing::default());
        };
        let options = options(self.request);
        let missing = pg::missing(
            admin,
            &pg::requirements(toc, self.database, &options.properties()),
        )?;
        // A part of a backup may well do without; pg_restore says so by name if it does not.
        let refuse = self.request.selection.is_everything();
        for line in missing.describe() {
            let (message, remedy) = line.split_once(": ").unwrap_or((&line, ""));
            if refuse {
                self.refuse(message, remedy);
            } else {
                self.warnings.push(line);
            }
        }
        Ok(missing)
    }

    fn check_versions(&mut self, admin: &Connection, toc: Option<&Toc>, context: &Context) {
        let target = admin.server_version_num() / 10_000;
        let source = self.database.server.version_num / 10_000;
        if source > target {
            self.refuse(
                format!("the backup is of PostgreSQL {source}, the target server is {target}"),
                "PostgreSQL does not restore into an older major; choose a newer server",
            );
        } else if source != 0 && source < target {
            self.warnings.push(format!(
                "this is an upgrade from PostgreSQL {source} to {target}"
            ));
        }
        if let Some(toc) = toc
            && let Err(e) = Tools::for_restore(target, toc.header.version, &context.tool_dirs)
        {
            let e = Error::from(e);
            self.refuse(e.message, e.hint.unwrap_or_default());
        }
    }
}

fn steps(
    request: &RestoreRequest,
    database: &DatabaseManifest,
    unfinished: Option<&MarkedDatabase>,
) -> Vec<String> {
    let name = request.target.name();
    let load = match request.content {
        Content::All => "restore schema and rows",
        Content::SchemaOnly => "restore the schema",
        Content::DataOnly => "restore the rows",
    };
    let prove = match request.prove {
        _ if database.content == DatabaseContent::Plain => None,
        Proof::Full => {
            Some("prove: every row count and content hash against the backup's evidence")
        }
        Proof::Counts => Some("prove: every row count against the backup's evidence"),
        Proof::None => None,
    };
    let mut steps = Vec::new();
    if let Some(left) = unfinished {
        steps.push(format!(
            "drop database {}, which a restore that did not end left behind",
            left.name
        ));
    }
    steps.extend(super::around::steps_before(request));
    if request.target.overwrites() && !request.skip_safety_backup {
        steps.push(format!("back up {name} as it is now (safety backup)"));
    }
    match &request.target {
        RestoreTarget::Into { .. } => steps.push(format!("{load} into {name}")),
        RestoreTarget::Replace { .. } => {
            steps.push(format!("{load} into a new database beside {name}"))
        }
        RestoreTarget::InPlace { .. } => {
            let chosen = &request.selection;
            let what = chosen.describe().unwrap_or("the backup's schemas".into());
            // Tables alone are fitted in; a schema, or everything, is made anew.
            let what = match !chosen.tables.is_empty() && chosen.schemas.is_empty() {
                true => format!("replace the rows of {what}, or make it where it is missing"),
                false => format!("drop {what} if present, then {load}"),
            };
            steps.push(format!("in one transaction in {name} itself: {what}"));
        }
    }
    steps.extend(prove.map(str::to_string));
    steps.extend(super::around::steps_between(request));
    if let RestoreTarget::InPlace { .. } = request.target {
        steps.push("commit; whatever fails before that leaves everything as it was".into());
    }
    if let RestoreTarget::Replace { .. } = request.target {
        steps.push(format!(
            "end the sessions on {name} and swap: two renames in one transaction"
        ));
        steps.push(format!(
            "keep the old database for {} h; `pgkeep undo` swaps back",
            request.keep_old_secs.div_ceil(3600)
        ));
    }
    steps
}
