//! Loading the stored bytes of a stream's next chunks in few requests.
//!
//! A backup's workers spread one table over several packs, so the loader looks at a window of chunks at once, joins those
//! that lie near each other in a pack, and asks for all the stretches at the same time.

use super::blob::unreadable;
use crate::{
    error::{RepositoryError, Result},
    id::BlobId,
    index::{Index, Located},
    pack::BlobKind,
    repository::Repository,
    storage::{FileKind, ObjectKey, StorageError},
};
use std::sync::Arc;

/// Stored bytes of a window; the first chunk of it may exceed this alone.
const WINDOW: u64 = 6 << 20;
/// Bytes that are read in vain rather than making two requests.
const GAP: u64 = 128 << 10;

/// Chunks in order, each with its sealed bytes or why they cannot be had.
pub(super) type Window = Vec<(Located, Result<Vec<u8>>)>;

/// Gives out a list of chunks, a window at a time.
#[derive(Debug)]
pub(super) struct Loader {
    repository: Repository,
    index: Arc<Index>,
    chunks: Vec<BlobId>,
    next: usize,
}

impl Loader {
    pub(super) fn new(repository: Repository, index: Arc<Index>, chunks: Vec<BlobId>) -> Self {
        Self {
            repository,
            index,
            chunks,
            next: 0,
        }
    }

    /// Loads the next window, or nothing at the end. A pack that cannot be read fails only the chunks in it.
    pub(super) fn next_window(&mut self) -> Result<Option<Window>> {
        let wanted = self.choose()?;
        if wanted.is_empty() {
            return Ok(None);
        }
        self.next += wanted.len();
        let runs = runs(&wanted);
        let loaded = self.load(&runs);
        let mut sealed: Vec<Option<Result<Vec<u8>>>> = wanted.iter().map(|_| None).collect();
        for (run, bytes) in runs.iter().zip(loaded) {
            for number in &run.chunks {
                let located = &wanted[*number];
                sealed[*number] = Some(match &bytes {
                    Ok(bytes) => {
                        let from = (u64::from(located.blob.offset) - run.start) as usize;
                        Ok(bytes[from..][..located.blob.length as usize].to_vec())
                    }
                    Err(e) => Err(unreadable(located, e.clone())),
                });
            }
        }
        let window = wanted
            .into_iter()
            .zip(sealed)
            .map(|(located, sealed)| (located, sealed.expect("every chunk is in one run")))
            .collect();
        Ok(Some(window))
    }

    /// The chunks of the next window.
    fn choose(&self) -> Result<Vec<Located>> {
        let mut wanted = Vec::new();
        let mut stored = 0;
        for id in &self.chunks[self.next..] {
            let located = match self.index.find(id, BlobKind::Data) {
                Some(located) => located,
                // Said when its turn comes, after the good ones before it.
                None if !wanted.is_empty() => break,
                None => return Err(RepositoryError::MissingBlob { blob: *id }),
            };
            stored += u64::from(located.blob.length);
            if stored > WINDOW && !wanted.is_empty() {
                break;
            }
            wanted.push(located);
        }
        Ok(wanted)
    }

    /// Reads all runs, the first in this thread and the others beside it.
    fn load(&self, runs: &[Run]) -> Vec<Result<Vec<u8>, StorageError>> {
        let read = |run: &Run| {
            let key = ObjectKey::new(FileKind::Pack, run.pack.to_string());
            self.repository
                .storage()
                .get_range(&key, run.start, run.end - run.start)
        };
        let Some((first, others)) = runs.split_first() else {
            return Vec::new();
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = others
                .iter()
                .map(|run| scope.spawn(move || read(run)))
                .collect();
            let mut loaded = vec![read(first)];
            loaded.extend(
                others
                    .into_iter()
                    .map(|thread| thread.join().expect("a storage does not panic")),
            );
            loaded
        })
    }
}

/// One request: a stretch of a pack, and which of the wanted chunks lie in it.
struct Run {
    pack: crate::id::PackId,
    start: u64,
    end: u64,
    chunks: Vec<usize>,
}

/// Joins chunks that lie near each other in the same pack.
fn runs(wanted: &[Located]) -> Vec<Run> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|n| (wanted[*n].pack, wanted[*n].blob.offset));
    let mut runs: Vec<Run> = Vec::new();
    for number in order {
        let Located { pack, blob } = wanted[number];
        let start = u64::from(blob.offset);
        let end = start + u64::from(blob.length);
        match runs.last_mut() {
            Some(run)
                if run.pack == pack
                    && start <= run.end + GAP
                    && end.max(run.end) - run.start <= 2 * WINDOW =>
            {
                run.end = run.end.max(end);
                run.chunks.push(number);
            }
            _ => runs.push(Run {
                pack,
                start,
                end,
                chunks: vec![number],
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::PackId, pack::PackedBlob};

    fn located(pack: u8, offset: u32, length: u32) -> Located {
        Located {
            pack: PackId([pack; 32]),
            blob: PackedBlob {
                id: BlobId::default(),
                kind: BlobKind::Data,
                offset,
                length,
                raw_length: None,
            },
        }
    }

    #[test]
    fn neighbours_are_read_together_and_strangers_apart() {
        const MIB: u32 = 1 << 20;
        let wanted = [
            located(1, 0, MIB),
            located(2, 0, MIB),
            located(1, MIB + 1000, MIB),
            located(1, 40 * MIB, MIB),
            located(1, 0, MIB),
        ];
        let found: Vec<_> = runs(&wanted)
            .into_iter()
            .map(|run| (run.pack.0[0], run.start, run.end, run.chunks))
            .collect();
        let mib = u64::from(MIB);
        let expected = [
            (1, 0, 2 * mib + 1000, vec![0, 4, 2]),
            (1, 40 * mib, 41 * mib, vec![3]),
            (2, 0, mib, vec![1]),
        ];
        assert_eq!(found, expected);
    }
}
