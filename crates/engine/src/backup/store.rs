//! What was read becomes files of the snapshot.

use super::sources::Source;
use crate::{Context, Error, Result};
use pgkeep_model::manifest::{DatabaseManifest, GLOBALS_PATH};
use pgkeep_postgres::dump::{self, DumpSink, DumpedDatabase, SegmentDone, SegmentWriter};
use pgkeep_repository::{NewFile, StreamParts, StreamWriter, Writer};
use sha2::{Digest, Sha256};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

/// Turns what the dump wrote into files of the snapshot, and checks that its folder name is its own.
pub(super) fn take_database(
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
pub(super) fn folder_for(name: &str, earlier: &[DatabaseManifest]) -> String {
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

pub(super) fn store_globals(
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
