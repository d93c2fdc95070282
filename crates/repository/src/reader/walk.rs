//! Walking the folders of a snapshot, one tree in memory for each level.
//!
//! What is read from a repository may have been written by anybody who has its key: names that could lead out of their
//! folder are damage, and never reach the caller.

use super::{BlobStream, SnapshotReader, TreeReader};
use crate::{
    error::{RepositoryError, Result},
    id::BlobId,
    index::Index,
    node::Node,
    pack::BlobKind,
    repository::Repository,
    tree,
};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

impl SnapshotReader {
    /// The entry at a relative path; `None` when there is none.
    pub fn node(&self, path: impl AsRef<Path>) -> Result<Option<Node>> {
        let mut tree = Some(self.snapshot.tree);
        let mut found = None;
        for part in path.as_ref().components() {
            let Component::Normal(name) = part else {
                return Ok(None);
            };
            let Some(id) = tree else {
                return Ok(None);
            };
            let nodes = self.load_folder(&id)?;
            let Some(node) = nodes.into_iter().find(|n| n.name == name.as_bytes()) else {
                return Ok(None);
            };
            tree = node.subtree;
            found = Some(Node::from_stored(node));
        }
        Ok(found)
    }

    /// The entries of a folder, sorted by name; nothing for what is no folder.
    pub fn children(&self, folder: &Node) -> Result<Vec<Node>> {
        match folder.subtree {
            Some(tree) => Ok(self
                .load_folder(&tree)?
                .into_iter()
                .map(Node::from_stored)
                .collect()),
            None => Ok(Vec::new()),
        }
    }

    /// Everything below the folder at `path`: each folder before what is in it, siblings by name, paths relative to
    /// `path`. What stands there must be a folder.
    pub fn walk(&self, path: impl AsRef<Path>) -> Result<Walk> {
        let path = path.as_ref();
        let tree = match self.node(path)? {
            Some(node) => node.subtree,
            None if path.as_os_str().is_empty() => Some(self.snapshot.tree),
            None => None,
        };
        let tree = tree.ok_or_else(|| RepositoryError::FileNotFound {
            snapshot: self.snapshot.id.short(),
            path: path.display().to_string(),
        })?;
        Ok(Walk {
            reader: self.clone(),
            open: Vec::new(),
            next: Some((PathBuf::new(), tree)),
        })
    }

    /// A file's content as a stream; every chunk is checked against its hash before a byte of it is given out.
    pub fn read_node(&self, file: &Node) -> BlobStream {
        self.read_blobs(&file.content)
    }

    /// Any chunks of the snapshot, one after the other.
    pub fn read_blobs(&self, chunks: &[BlobId]) -> BlobStream {
        BlobStream::new(self.repository.clone(), self.index.clone(), chunks.to_vec())
    }

    fn load_folder(&self, id: &BlobId) -> Result<Vec<tree::Node>> {
        load_folder(&mut self.trees.lock(), &self.repository, &self.index, id)
    }

    /// Plain bytes of a chunk; `None` when the repository has not got it.
    pub fn chunk_len(&self, chunk: &BlobId) -> Option<u64> {
        let located = self.index.find(chunk, BlobKind::Data)?;
        Some(located.blob.plain_len())
    }
}

/// See [`SnapshotReader::walk`]. Ends after an error.
#[derive(Debug)]
pub struct Walk {
    reader: SnapshotReader,
    /// The folders from the first down to the present one, each with what is still to come of it.
    open: Vec<(PathBuf, std::vec::IntoIter<tree::Node>)>,
    /// A folder that was given out and is to be entered next.
    next: Option<(PathBuf, BlobId)>,
}

impl Walk {
    fn step(&mut self) -> Result<Option<(PathBuf, Node)>> {
        if let Some((path, tree)) = self.next.take() {
            let nodes = self.reader.load_folder(&tree)?;
            self.open.push((path, nodes.into_iter()));
        }
        while let Some((path, nodes)) = self.open.last_mut() {
            if let Some(node) = nodes.next() {
                let path = path.join(OsStr::from_bytes(&node.name));
                let node = Node::from_stored(node);
                self.next = node.subtree.map(|tree| (path.clone(), tree));
                return Ok(Some((path, node)));
            }
            self.open.pop();
        }
        Ok(None)
    }
}

impl Iterator for Walk {
    type Item = Result<(PathBuf, Node)>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.open.clear();
            self.next = None;
        }
        step.transpose()
    }
}

/// A folder's nodes with their names looked at: each a plain one, none twice; a folder has a tree, and nothing else has.
pub(super) fn load_folder(
    trees: &mut TreeReader,
    repository: &Repository,
    index: &Index,
    id: &BlobId,
) -> Result<Vec<tree::Node>> {
    let mut nodes = trees.load(repository, index, id)?.nodes;
    let damaged = |what: &str| RepositoryError::damaged(format!("tree {}", id.short()), what);
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    if !nodes.iter().all(tree::Node::has_plain_name) {
        return Err(damaged("it holds a name that is no file name"));
    }
    if nodes.windows(2).any(|pair| pair[0].name == pair[1].name) {
        return Err(damaged("it holds the same name twice"));
    }
    if nodes.iter().any(|n| n.is_dir() != n.subtree.is_some()) {
        return Err(damaged("a folder has no tree, or something else has one"));
    }
    Ok(nodes)
}
