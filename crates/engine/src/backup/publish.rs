//! The way of every backup into a repository: [`Store`] is opened with a lock, written to, and publishes last.
//!
//! It owns the lock, so nothing can be published without asking whether that still holds: without it a prune elsewhere may
//! have deleted what the new snapshot counts on.

use super::report::{BackupReport, report};
use super::store::RepositorySink;
use crate::{Context, Error, ErrorCode, Result};
use jiff::Timestamp;
use pgkeep_model::{
    Phase,
    manifest::{BackupKind, FORMAT, MANIFEST_PATH, Manifest},
};
use pgkeep_repository::{
    LockGuard, LockMode, NewFile, Repository, SnapshotId, SnapshotMeta, WriteSummary, Writer,
    WriterOptions,
};
use std::{io::Write, time::Instant};

/// When a backup began: by the clock, and to measure how long it takes.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) at: Timestamp,
    since: Instant,
}

impl Begun {
    pub(crate) fn now(context: &Context) -> Self {
        Self {
            at: context.clock.now(),
            since: Instant::now(),
        }
    }

    /// A manifest that says who made it and when, and holds nothing yet. It counts as finished now.
    pub(crate) fn manifest(
        self,
        app: &str,
        environment: &str,
        kind: BackupKind,
        context: &Context,
    ) -> Manifest {
        Manifest {
            format: FORMAT,
            pgkeep_version: env!("CARGO_PKG_VERSION").into(),
            app: app.into(),
            environment: environment.into(),
            kind,
            description: String::new(),
            started_at: self.at,
            finished_at: context.clock.now(),
            hostname: context.hostname.clone(),
            username: context.username.clone(),
            compression_level: 0,
            jobs: 1,
            globals: false,
            databases: Vec::new(),
            evidence_digest: String::new(),
            files: Vec::new(),
            parent: None,
            application: None,
            shrunk: None,
            warnings: Vec::new(),
        }
    }
}

/// A repository that takes one new snapshot: locked, and open for writing. Dropping it publishes nothing.
pub(crate) struct Store<'r> {
    repository: &'r Repository,
    lock: LockGuard,
    writer: Writer,
}

impl<'r> Store<'r> {
    /// Takes a shared lock, which tells `reason`, and starts the writer.
    pub(crate) fn open(
        repository: &'r Repository,
        reason: &str,
        compression_level: i32,
        context: &Context,
    ) -> Result<Self> {
        let lock = repository.lock(LockMode::Shared, reason)?;
        let writer = repository.writer(WriterOptions {
            compression_level,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            cancel: context.cancel.clone(),
            ..WriterOptions::default()
        })?;
        Ok(Self {
            repository,
            lock,
            writer,
        })
    }

    pub(crate) fn repository(&self) -> &'r Repository {
        self.repository
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Where the segments of a dump go.
    pub(crate) fn sink(&self) -> RepositorySink<'_> {
        RepositorySink::new(&self.writer)
    }

    /// Adds the manifest, writes the snapshot, and reads back what it needs. Returns what was stored.
    pub(crate) fn publish(
        self,
        mut files: Vec<NewFile>,
        manifest: &Manifest,
        tags: Vec<String>,
        begun: Begun,
        read_back_all: bool,
        context: &Context,
    ) -> Result<BackupReport> {
        let mut stream = self.writer.stream();
        stream.write_all(&serde_json::to_vec_pretty(manifest)?)?;
        files.push(NewFile {
            path: MANIFEST_PATH.into(),
            mode: 0o600,
            modified: manifest.finished_at,
            parts: vec![stream.finish()?],
        });
        let meta = meta(
            manifest.started_at,
            tags,
            format!("/{}", manifest.app),
            context,
        );
        let repository = self.repository;
        // Held to the end: what is read back must not be pruned meanwhile.
        let (id, written, _lock) = self.write(files, meta, context)?;
        let read_back = read_back(repository, &id, read_back_all, context)?;
        let seconds = begun.since.elapsed().as_secs_f64();
        Ok(report(manifest, id, &written, read_back, seconds))
    }

    /// Writes the snapshot: the only step that makes anything visible. Returns the lock with it.
    pub(crate) fn write(
        self,
        files: Vec<NewFile>,
        meta: SnapshotMeta,
        context: &Context,
    ) -> Result<(SnapshotId, WriteSummary, LockGuard)> {
        let Self { lock, writer, .. } = self;
        context.cancel.check()?;
        let (id, written) = writer.publish_if(files, meta, || {
            context.cancel.check()?;
            lock.confirm()
        })?;
        Ok((id, written, lock))
    }
}

/// What a snapshot of ours says of itself.
pub(crate) fn meta(
    time: Timestamp,
    tags: Vec<String>,
    path: String,
    context: &Context,
) -> SnapshotMeta {
    SnapshotMeta {
        time,
        hostname: context.hostname.clone(),
        username: context.username.clone(),
        tags,
        paths: vec![path],
        program_version: format!("pgkeep {}", env!("CARGO_PKG_VERSION")),
    }
}

/// What was looked at after publishing.
pub(super) struct ReadBack {
    pub(super) objects: u64,
    pub(super) every_byte: bool,
}

/// Reads back what the snapshot needs; withdraws the snapshot when something is missing.
fn read_back(
    repository: &Repository,
    id: &SnapshotId,
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
