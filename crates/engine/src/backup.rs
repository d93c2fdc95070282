//! Taking a backup: [`run`] is the recipe.
//!
//! Order of effects: nothing is visible in the repository until the snapshot is written, and that happens after every
//! pack, index and tree of it is durable. A backup that cannot be read back is withdrawn again, so what is listed is
//! always complete.

use crate::{Context, Error, ErrorCode, Result, catalog, lease};
use pgkeep_model::{
    Phase,
    manifest::{
        BackupKind, DatabaseContent, DatabaseManifest, FORMAT, GLOBALS_PATH, MANIFEST_PATH,
        Manifest,
    },
};
use pgkeep_postgres::{
    connect::ConnectOptions,
    dump::{self, DumpOptions, DumpSink, DumpedDatabase, Frozen, SegmentDone, SegmentWriter},
    tools::Tools,
};
use pgkeep_repository::{
    LockMode, NewFile, Repository, SnapshotMeta, StreamParts, StreamWriter, WriteSummary, Writer,
    WriterOptions,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Instant,
};

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
    /// One recovery point holds all of them.
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
}

/// What was stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackupReport {
    pub id: String,
    pub app: String,
    pub kind: BackupKind,
    pub databases: Vec<DatabaseReport>,
    pub tables: usize,
    pub rows: u64,
    /// Bytes of the dump as read from the servers.
    pub bytes_read: u64,
    /// Bytes of it that the repository did not hold yet, before compression.
    pub bytes_new: u64,
    /// Bytes by which the repository grew.
    pub bytes_added: u64,
    /// `bytes_new / bytes_added`; `None` when nothing was new.
    pub compression_ratio: Option<f64>,
    pub seconds: f64,
    pub evidence_digest: String,
    /// Objects whose presence and size were looked at after publishing.
    pub objects_checked: u64,
    /// Every byte of them was read back and decrypted as well.
    pub every_byte_read_back: bool,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabaseReport {
    pub name: String,
    pub server_version: String,
    pub tables: usize,
    pub rows: u64,
    pub bytes: u64,
    /// False for an imported script, whose tables and rows nobody has counted.
    pub counted: bool,
}

/// Takes one backup of all databases in the request and returns what was stored.
pub fn run(
    repository: &Repository,
    request: &BackupRequest,
    context: &Context,
) -> Result<BackupReport> {
    let begun = Instant::now();
    let started_at = context.clock.now();
    context.progress.phase(Phase::Check, None);
    if request.databases.is_empty() {
        return Err(Error::invalid("no database to back up")
            .hint("give --database-url, set DATABASE_URL, or name databases in pgkeep.toml"));
    }
    let sources = open_sources(request, context)?;
    let lock = repository.lock(LockMode::Shared, "backup")?;
    let writer = repository.writer(WriterOptions {
        compression_level: request.compression_level,
        workers: std::thread::available_parallelism().map_or(2, usize::from),
        cancel: context.cancel.clone(),
        ..WriterOptions::default()
    })?;
    let sink = RepositorySink::new(&writer);

    // All databases are frozen before the first is read, so that they belong to one moment as nearly as servers allow.
    context.progress.phase(Phase::Freeze, None);
    let frozen = freeze_all(&sources, request, context)?;

    let mut files = Vec::new();
    let mut databases = Vec::new();
    for (source, frozen) in sources.iter().zip(&frozen) {
        let dumped = dump::dump_database(
            frozen,
            &source.tools,
            &sink,
            &dump_options(request),
            &context.cancel,
            &*context.progress,
        )?;
        databases.push(take_database(
            dumped, &sink, started_at, &mut files, &databases,
        )?);
    }
    let globals =
        request.globals && store_globals(&sources[0], &sink, started_at, &mut files, context)?;
    drop(frozen);

    context.progress.phase(Phase::Publish, None);
    let manifest = Manifest {
        format: FORMAT,
        pgkeep_version: env!("CARGO_PKG_VERSION").into(),
        app: request.app.clone(),
        environment: request.environment.clone(),
        kind: request.kind,
        description: request.description.clone(),
        started_at,
        finished_at: context.clock.now(),
        hostname: context.hostname.clone(),
        username: context.username.clone(),
        compression_level: request.compression_level,
        jobs: request.jobs,
        globals,
        evidence_digest: evidence_digest(&databases)?,
        databases,        files: Vec::new(),
        parent: None,
        application: None,
    };
    // Without the lock a prune elsewhere may have deleted what this backup counts on.
    lock.check()?;
    let (id, written) = publish(
        writer,
        files,
        &manifest,
        catalog::tags_of(&manifest, &request.tags, request.pinned, &request.origin),
        context,
    )?;
    let read_back = read_back(repository, &id, request.read_back_all, context)?;
    Ok(report(
        &manifest,
        id,
        &written,
        read_back,
        begun.elapsed().as_secs_f64(),
    ))
}

/// One database server and database that is to be read.
struct Source {
    options: ConnectOptions,
    tools: Tools,
    _lease: lease::DatabaseLease,
}

fn open_sources(request: &BackupRequest, context: &Context) -> Result<Vec<Source>> {
    request
        .databases
        .iter()
        .map(|options| {
            let lease = lease::DatabaseLease::acquire(options, "backup")?;
            let tools = Tools::for_dump(lease.server_version_num() / 10_000, &context.tool_dirs)?;
            Ok(Source {
                options: options.clone(),
                tools,
                _lease: lease,
            })
        })
        .collect()
}

fn freeze_all(
    sources: &[Source],
    request: &BackupRequest,
    context: &Context,
) -> Result<Vec<Frozen>> {
    sources
        .iter()
        .map(|source| {
            Ok(dump::freeze(
                &source.options,
                &dump_options(request),
                &context.cancel,
                &*context.progress,
            )?)
        })
        .collect()
}

fn dump_options(request: &BackupRequest) -> DumpOptions {
    let usual = DumpOptions::default();
    DumpOptions {
        lock_timeout: request.lock_timeout.unwrap_or(usual.lock_timeout),
        jobs: request.jobs,
        exclude_table_data: request.exclude_table_data.clone(),
        schemas: request.schemas.clone(),
        ..usual
    }
}

/// Turns what the dump wrote into files of the snapshot, and checks that its folder name is its own.
fn take_database(
    dumped: DumpedDatabase,
    sink: &RepositorySink<'_>,
    modified: jiff::Timestamp,
    files: &mut Vec<NewFile>,
    earlier: &[DatabaseManifest],
) -> Result<DatabaseManifest> {
    let DumpedDatabase {
        mut manifest,
        tokens,
        ..
    } = dumped;
    manifest.path = folder_for(&manifest.name, earlier);
    for (member, tokens) in manifest.members.iter().zip(tokens) {
        files.push(NewFile {
            path: format!("{}/{}", manifest.path, member.file),
            mode: 0o600,
            modified,
            parts: sink.take(&tokens),
        });
    }
    Ok(manifest)
}

/// A folder for a database inside the snapshot: its name made safe for any file system, unique among its siblings.
fn folder_for(name: &str, earlier: &[DatabaseManifest]) -> String {
    let safe = safe_name(name);
    let taken = |path: &str| earlier.iter().any(|d| d.path == path);
    let mut path = format!("databases/{safe}");
    let mut n = 2;
    while taken(&path) {
        path = format!("databases/{safe}-{n}");
        n += 1;
    }
    path
}

/// Keeps letters, digits, `.`, `_` and `-`; everything else becomes `_`; never empty, never a dot name, at most 100 characters.
pub fn safe_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .take(100)
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    match safe.trim_matches('.') {
        "" => "_".into(),
        _ => safe,
    }
}

fn store_globals(
    source: &Source,
    sink: &RepositorySink<'_>,
    modified: jiff::Timestamp,
    files: &mut Vec<NewFile>,
    context: &Context,
) -> Result<bool> {
    let done = match dump::dump_globals(&source.options, &source.tools, sink, &context.cancel) {
        Ok(done) => done,
        Err(e) if !context.cancel.is_cancelled() => {
            let e = Error::from(e);
            context.progress.warn(&format!(
                "roles and tablespaces are not in this backup: {e}"
            ));
            return Ok(false);
        }
        Err(e) => return Err(e.into()),
    };
    files.push(NewFile {
        path: GLOBALS_PATH.into(),
        mode: 0o600,
        modified,
        parts: sink.take(&[done.token]),
    });
    Ok(true)
}

/// SHA-256 over the evidence of all databases, by name: one figure that two backups of the same content share.
pub fn evidence_digest(databases: &[DatabaseManifest]) -> Result<String> {
    let mut by_name: Vec<_> = databases.iter().map(|d| (&d.name, &d.evidence)).collect();
    by_name.sort_by_key(|(name, _)| name.as_str());
    Ok(hex::encode(Sha256::digest(serde_json::to_vec(&by_name)?)))
}

/// Adds the manifest and writes the snapshot: the only step that makes the backup visible.
pub(crate) fn publish(
    writer: Writer,
    mut files: Vec<NewFile>,
    manifest: &Manifest,
    tags: Vec<String>,
    context: &Context,
) -> Result<(pgkeep_repository::SnapshotId, WriteSummary)> {
    let mut stream = writer.stream();
    stream.write_all(&serde_json::to_vec_pretty(manifest)?)?;
    files.push(NewFile {
        path: MANIFEST_PATH.into(),
        mode: 0o600,
        modified: manifest.finished_at,
        parts: vec![stream.finish()?],
    });
    let meta = SnapshotMeta {
        time: manifest.started_at,
        hostname: context.hostname.clone(),
        username: context.username.clone(),
        tags,
        paths: vec![format!("/{}", manifest.app)],
        program_version: format!("pgkeep {}", env!("CARGO_PKG_VERSION")),
    };
    context.cancel.check()?;
    Ok(writer.publish(files, meta)?)
}

/// What was looked at after publishing.
pub(crate) struct ReadBack {
    objects: u64,
    every_byte: bool,
}

/// Reads back what the snapshot needs; withdraws the snapshot when something is missing. Returns what was looked at.
pub(crate) fn read_back(
    repository: &Repository,
    id: &pgkeep_repository::SnapshotId,
    all_bytes: bool,
    context: &Context,
) -> Result<ReadBack> {
    context.progress.phase(Phase::ReadBack, None);
    let snapshot = repository.find_snapshot(&id.to_string())?;
    let checked =
        repository.verify_snapshot(&snapshot, all_bytes, &context.cancel, &*context.progress);
    let problems = match &checked {
        Ok(report) => report.problems.iter().map(ToString::to_string).collect(),
        Err(e) => vec![e.to_string()],
    };
    if problems.is_empty() {
        return Ok(ReadBack {
            objects: checked.map_or(0, |report| report.packs_checked),
            every_byte: all_bytes,
        });
    }
    repository.delete_snapshot(id)?;
    Err(Error::new(
        ErrorCode::Damaged,
        "the backup could not be read back, so it was withdrawn",
    )
    .details(problems)
    .hint(
        "look at the storage, set the damaged chunks aside with `pgkeep check --repair`, then run the backup again; \
         what was stored well is not stored again",
    ))
}

pub(crate) fn report(
    manifest: &Manifest,
    id: pgkeep_repository::SnapshotId,
    written: &WriteSummary,
    read_back: ReadBack,
    seconds: f64,
) -> BackupReport {
    BackupReport {
        id: id.to_string(),
        app: manifest.app.clone(),
        kind: manifest.kind,
        databases: manifest
            .databases
            .iter()
            .map(|d| DatabaseReport {
                name: d.name.clone(),
                server_version: d.server.version.clone(),
                tables: d.evidence.tables.len(),
                rows: d.evidence.rows(),
                bytes: d.members.iter().map(|m| m.size).sum(),
                counted: d.content == DatabaseContent::Directory,
            })
            .collect(),
        tables: manifest.tables(),
        rows: manifest.rows(),
        bytes_read: written.bytes_read,
        bytes_new: written.bytes_new,
        bytes_added: written.bytes_added,
        compression_ratio: (written.bytes_added > 0)
            .then(|| written.bytes_new as f64 / written.bytes_added as f64),
        seconds,
        evidence_digest: manifest.evidence_digest.clone(),
        objects_checked: read_back.objects,
        every_byte_read_back: read_back.every_byte,
        warnings: manifest
            .databases
            .iter()
            .flat_map(|d| d.warnings.iter().cloned())
            .collect(),
    }
}

/// Where the dump's segments go: each becomes a stream of the repository writer.
pub(crate) struct RepositorySink<'a> {
    writer: &'a Writer,
    finished: FinishedStreams,
}

/// Streams by token; each is taken once, into one file.
type FinishedStreams = Arc<Mutex<Vec<Option<StreamParts>>>>;

impl<'a> RepositorySink<'a> {
    pub(crate) fn new(writer: &'a Writer) -> Self {
        Self {
            writer,
            finished: FinishedStreams::default(),
        }
    }

    /// The streams behind the tokens that `finish` gave out, each taken once.
    pub(crate) fn take(&self, tokens: &[u64]) -> Vec<StreamParts> {
        let mut finished = self
            .finished
            .lock()
            .expect("no panic while the list is held");
        tokens
            .iter()
            .map(|token| {
                finished[*token as usize]
                    .take()
                    .expect("a segment belongs to one file")
            })
            .collect()
    }
}

impl DumpSink for RepositorySink<'_> {
    fn segment(&self) -> io::Result<Box<dyn SegmentWriter>> {
        Ok(Box::new(RepositorySegment {
            stream: self.writer.stream(),
            finished: self.finished.clone(),
        }))
    }
}

struct RepositorySegment {
    stream: StreamWriter,
    finished: FinishedStreams,
}

impl Write for RepositorySegment {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.stream.write(data)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentWriter for RepositorySegment {
    fn finish(self: Box<Self>) -> io::Result<SegmentDone> {
        let parts = self.stream.finish().map_err(io::Error::other)?;
        let (bytes, chunks) = (parts.bytes, parts.chunks);
        let mut finished = self
            .finished
            .lock()
            .expect("no panic while the list is held");
        finished.push(Some(parts));
        Ok(SegmentDone {
            bytes,
            chunks,
            token: finished.len() as u64 - 1,
        })
    }
}
