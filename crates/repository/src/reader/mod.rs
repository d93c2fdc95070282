//! Reading a snapshot: its list of files, and their contents as streams.

mod blob;
mod fetch;
mod walk;
mod window;

pub(crate) use blob::TreeReader;
pub use fetch::BlobStream;
pub use walk::Walk;

use crate::{
    error::{RepositoryError, Result},
    id::BlobId,
    index::Index,
    repository::Repository,
    snapshot::Snapshot,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::{io::Read, ops::Range, sync::Arc};

/// Below this folder stand trees of real file systems, each a folder with an inode.
const FILE_TREES: &str = "files/";

/// A file in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Path from the snapshot's root, with `/` between its parts.
    pub path: String,
    pub size: u64,
    pub chunks: Vec<BlobId>,
    /// Permission bits.
    pub mode: u32,
    pub modified: Timestamp,
}

/// An opened snapshot. Many streams may be read from it at the same time.
#[derive(Debug, Clone)]
pub struct SnapshotReader {
    repository: Repository,
    index: Arc<Index>,
    snapshot: Snapshot,
    /// Sorted by path.
    files: Arc<Vec<FileEntry>>,
    trees: Arc<Mutex<TreeReader>>,
}

impl SnapshotReader {
    /// Loads the index and the snapshot's trees, but for those of file systems.
    pub(crate) fn open(repository: &Repository, snapshot: &Snapshot) -> Result<Self> {
        let index = repository.index()?;
        let mut trees = TreeReader::new();
        let mut files = list_files(repository, &index, snapshot, &mut trees)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            repository: repository.clone(),
            index,
            snapshot: snapshot.clone(),
            files: Arc::new(files),
            trees: Arc::new(Mutex::new(trees)),
        })
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// All regular files, sorted by path, but for those of file trees, which [`SnapshotReader::walk`] gives.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &FileEntry> {
        self.files.iter()
    }

    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        let at = self
            .files
            .binary_search_by(|f| f.path.as_str().cmp(path))
            .ok()?;
        Some(&self.files[at])
    }

    /// The file's content as a stream; every chunk is checked against its hash before a byte of it is given out.
    pub fn read(&self, file: &FileEntry) -> BlobStream {
        self.read_chunks(file, 0..file.chunks.len())
    }

    /// A part of the file's content, by its chunks. A range beyond the end is cut to what there is.
    pub fn read_chunks(&self, file: &FileEntry, chunks: Range<usize>) -> BlobStream {
        let end = chunks.end.min(file.chunks.len());
        let wanted = file
            .chunks
            .get(chunks.start.min(end)..end)
            .unwrap_or_default();
        BlobStream::new(self.repository.clone(), self.index.clone(), wanted.to_vec())
    }

    /// The whole content of a file that is known to be small.
    pub fn read_to_vec(&self, path: &str) -> Result<Vec<u8>> {
        let file = self
            .file(path)
            .ok_or_else(|| RepositoryError::FileNotFound {
                snapshot: self.snapshot.id.short(),
                path: path.into(),
            })?;
        let mut content = Vec::new();
        self.read(file)
            .read_to_end(&mut content)
            .map_err(RepositoryError::from_io)?;
        Ok(content)
    }
}

/// Lists all files but those of trees that were read from a real file system: a million of them may be there, and
/// whoever wants them walks.
fn list_files(
    repository: &Repository,
    index: &Index,
    snapshot: &Snapshot,
    trees: &mut TreeReader,
) -> Result<Vec<FileEntry>> {
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), snapshot.tree)];
    while let Some((prefix, id)) = folders.pop() {
        for node in walk::load_folder(trees, repository, index, &id)? {
            let path = format!("{prefix}{}", node.shown_name());
            let of_a_file_system = node.inode != 0 && prefix == FILE_TREES;
            if let Some(subtree) = node.subtree {
                if !of_a_file_system {
                    folders.push((format!("{path}/"), subtree));
                }
            } else if node.is_file() {
                files.push(FileEntry {
                    path,
                    size: node.size,
                    chunks: node.content.unwrap_or_default(),
                    mode: node.mode & 0o777,
                    modified: node.mtime.unwrap_or(snapshot.time),
                });
            }
        }
    }
    Ok(files)
}
