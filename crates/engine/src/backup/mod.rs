//! Taking a backup: [`run`] is the recipe.
//!
//! Order of effects: nothing is visible in the repository until the snapshot is written, and that happens after every
//! pack, index and tree of it is durable. A backup that cannot be read back is withdrawn again, so what is listed is
//! always complete.

mod doubts;
mod files;
mod parent;
mod publish;
mod report;
mod sources;
mod store;

pub use report::{BackupReport, DatabaseReport};
pub use store::{evidence_digest, safe_name};

pub(crate) use publish::{Begun, Store, meta};
pub(crate) use store::RepositorySink;

use crate::{
    Context, Error, Result,
    application::Application,
    catalog,
    fence::{LockFile, LockKind},
    hooks::{Facts, Hooks},
    migrations,
};
use files::{scan_beside, take_files};
use jiff::Timestamp;
use parent::Parent;
use pgkeep_model::{
    Phase,
    app::HookMoment,
    manifest::{BackupKind, DatabaseManifest, FilesManifest, Manifest},
};
use pgkeep_postgres::{connect::ConnectOptions, dump};
use pgkeep_repository::{NewFile, Repository};
use sources::{Source, dump_options, freeze_all, open_sources};
use store::{store_globals, take_database};

/// What to back up, and how.
#[derive(Clone)]
pub struct BackupRequest {
    pub app: String,
    pub environment: String,
    pub kind: BackupKind,
    pub description: String,
    pub tags: Vec<String>,
    /// Keep it whatever retention says.
    pub pinned: bool,
    /// What asked for it.
    pub origin: catalog::Origin,
    /// One recovery point holds all of them, with the files of the app; the kinds `database` and `files` read one sort only.
    pub databases: Vec<ConnectOptions>,
    /// Store roles and tablespaces too.
    pub globals: bool,
    /// Tables read at the same time.
    pub jobs: usize,
    /// zstd level.
    pub compression_level: i32,
    /// Patterns as pg_dump's `--exclude-table-data` takes them.
    pub exclude_table_data: Vec<String>,
    /// Patterns as pg_dump's `--schema` takes them; empty means all.
    pub schemas: Vec<String>,
    /// How long to wait for a locked table before letting go and trying again; `None` for the usual time.
    pub lock_timeout: Option<std::time::Duration>,
    /// Read every stored byte back after publishing, instead of presence and size.
    pub read_back_all: bool,
    /// Whose hooks are run and whose lock file is written; empty for a backup that is nobody's business.
    pub application: Application,
}

/// Takes one backup of all databases in the request, its hooks around it, and returns what was stored.
pub fn run(
    repository: &Repository,
    request: &BackupRequest,
    context: &Context,
) -> Result<BackupReport> {
    let app = &request.application;
    let first = request.databases.first().map(|d| d.dbname.clone());
    let facts = Facts {
        app: request.app.clone(),
        operation: "backup".into(),
        database: first.clone(),
        ..Facts::default()
    };
    let mut hooks = Hooks::new(app, facts, context);
    let made = hooks.before(HookMoment::BeforeBackup).and_then(|()| {
        let _lock = match &app.fence.lock_dir {
            Some(dir) => {
                let database = first.unwrap_or_default();
                let holder = format!("backup of {}", request.app);
                Some(LockFile::take(
                    dir,
                    LockKind::Backup,
                    &holder,
                    &database,
                    context,
                )?)
            }
            None => None,
        };
        take(repository, request, context)
    });
    match made {
        Ok(mut report) => {
            hooks.facts.backup = Some(report.id.clone());
            hooks.after(HookMoment::AfterBackup);
            report.hooks = hooks.reports;
            Ok(report)
        }
        Err(e) => Err(hooks.failed(e)),
    }
}

fn take(
    repository: &Repository,
    request: &BackupRequest,
    context: &Context,
) -> Result<BackupReport> {
    let begun = Begun::now(context);
    context.progress.phase(Phase::Check, None);
    check_request(request)?;
    let sources = open_sources(request, context)?;
    // Asked before anything is locked: it may be a program that takes its time.
    let told = migrations::version::tell(&request.application, request.databases.first(), context)?;
    let level = request.compression_level;
    let store = Store::open(repository, "backup", level, context)?;

    let parent = parent::choose(repository, request, context)?;
    let taken = read_all(&store, &sources, parent.as_ref(), request, begun, context)?;
    context.cancel.check()?;

    context.progress.phase(Phase::Publish, None);
    let mut manifest = Manifest {
        description: request.description.clone(),
        compression_level: level,
        jobs: request.jobs,
        globals: taken.globals,
        evidence_digest: evidence_digest(&taken.databases)?,
        databases: taken.databases,
        files: taken.trees,
        parent: parent.map(|parent| parent.id),
        application: told,
        ..begun.manifest(&request.app, &request.environment, request.kind, context)
    };
    doubts::note(repository, request, &mut manifest, taken.frozen_at, context)?;
    let tags = catalog::tags_of(&manifest, &request.tags, request.pinned, &request.origin);
    let read_back_all = request.read_back_all;
    store.publish(taken.files, &manifest, tags, begun, read_back_all, context)
}

/// Refuses what would be a backup of nothing.
fn check_request(request: &BackupRequest) -> Result<()> {
    let nothing_to_read = request.databases.is_empty() && files::trees(request).is_empty();
    if nothing_to_read && request.kind == BackupKind::Files {
        return Err(Error::invalid("no files to back up")
            .hint("give --files NAME=PATH, or name folders under [[app.X.files]] in pgkeep.toml"));
    }
    if nothing_to_read || (request.databases.is_empty() && request.kind != BackupKind::Files) {
        return Err(Error::invalid("no database to back up")
            .hint("give --database-url, set DATABASE_URL, or name databases in pgkeep.toml"));
    }
    Ok(())
}

/// What was read and stored, and nobody can see yet.
struct Taken {
    /// When all databases were frozen.
    frozen_at: Timestamp,
    databases: Vec<DatabaseManifest>,
    trees: Vec<FilesManifest>,
    globals: bool,
    files: Vec<NewFile>,
}

/// Freezes all databases and reads them, and the files beside them.
fn read_all(
    store: &Store<'_>,
    sources: &[Source],
    parent: Option<&Parent>,
    request: &BackupRequest,
    begun: Begun,
    context: &Context,
) -> Result<Taken> {
    let (writer, sink) = (store.writer(), store.sink());
    // Read before anything is frozen, so that a later backup can prove from it that nothing was written since.
    let marks = parent::marks(sources, request);

    // All databases are frozen before the first is read, so that they belong to one moment as nearly as servers allow.
    context.progress.phase(Phase::Freeze, None);
    let frozen = freeze_all(sources, request, context)?;
    let frozen_at = context.clock.now();
    // Read once everything is frozen: what equals the parent's marks now was frozen as the parent holds it.
    let marks_now = match parent {
        Some(_) => parent::marks(sources, request),
        None => Vec::new(),
    };

    // Files are read beside the dump: the sooner they are, the nearer they are to the databases' moment.
    let (mut files, mut databases, mut globals) = (Vec::new(), Vec::new(), false);
    let (scanned, ()) = scan_beside(
        store.repository(),
        writer,
        request,
        parent,
        context,
        |context| {
            for (n, (source, frozen)) in sources.iter().zip(&frozen).enumerate() {
                let (name, done) = (&source.options.dbname, &databases);
                let taken = match parent {
                    Some(parent) => parent.take_over(writer, name, &marks_now[n], done, context)?,
                    None => None,
                };
                if let Some(taken) = taken {
                    databases.push(taken);
                    continue;
                }
                let dumped = dump::dump_database(
                    frozen,
                    &source.tools,
                    &sink,
                    &dump_options(request),
                    &context.cancel,
                    &*context.progress,
                )?;
                let mut manifest = take_database(dumped, &sink, begun.at, &mut files, &databases)?;
                manifest.mark = marks[n].clone().ok();
                databases.push(manifest);
            }
            if let Some(first) = sources.first().filter(|_| request.globals) {
                globals = store_globals(first, &sink, begun.at, &mut files, context)?;
            }
            Ok(())
        },
    )?;
    let named: Vec<_> = databases
        .iter()
        .map(|d| d.name.as_str())
        .zip(&frozen)
        .collect();
    let trees = take_files(scanned, writer, request, &named, frozen_at, context);
    drop(named);
    drop(frozen);
    let (app, database) = (&request.application, request.databases.first());
    migrations::code::remember_revisions(app, database, &mut databases, context);
    Ok(Taken {
        frozen_at,
        databases,
        trees,
        globals,
        files,
    })
}
