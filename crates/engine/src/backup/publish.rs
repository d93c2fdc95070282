//! The steps that make a backup visible, and the one that withdraws it again.

use crate::{Context, Error, ErrorCode, Result};
use pgkeep_model::{
    Phase,
    manifest::{MANIFEST_PATH, Manifest},
};
use pgkeep_repository::{NewFile, Repository, SnapshotMeta, WriteSummary, Writer};
use std::io::Write;

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
    pub(super) objects: u64,
    pub(super) every_byte: bool,
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
