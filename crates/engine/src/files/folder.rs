//! Folders in the making: each is stored by whoever brings its last entry.

use super::digest::{EntryDigest, FolderDigest};
use crate::Result;
use pgkeep_repository::{Node, Writer};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A folder whose entries are not all known yet.
#[derive(Debug)]
pub(super) struct OpenFolder {
    /// Relative to the tree; empty for the tree itself.
    pub(super) path: PathBuf,
    node: Node,
    parent: Option<Arc<OpenFolder>>,
    entries: Mutex<Vec<(Node, Option<EntryDigest>)>>,
    /// Entries to come, and one for the walker as long as it looks at the folder.
    pending: AtomicUsize,
}

impl OpenFolder {
    pub(super) fn new(path: PathBuf, node: Node, parent: Option<Arc<OpenFolder>>) -> Arc<Self> {
        Arc::new(Self {
            path,
            node,
            parent,
            entries: Mutex::default(),
            pending: AtomicUsize::new(1),
        })
    }

    /// One more entry will be brought.
    pub(super) fn expect(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Entries that nobody expects, for they are complete.
    pub(super) fn add(&self, nodes: Vec<Node>) {
        self.entries()
            .extend(nodes.into_iter().map(|node| (node, None)));
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<(Node, Option<EntryDigest>)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An expected entry is there, or will not come. Stores the folder if it was the last, and then the folders above that
/// were waiting for it only; returns the tree's own node and digest when that was the last of all.
pub(super) fn complete(
    writer: &Writer,
    folder: Arc<OpenFolder>,
    entry: Option<Node>,
) -> Result<Option<(Node, EntryDigest)>> {
    let mut folder = folder;
    let mut entry = entry.map(|node| (node, None));
    loop {
        folder.entries().extend(entry.take());
        if folder.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(None);
        }
        let mut entries = std::mem::take(&mut *folder.entries());
        entries.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let mut digest = FolderDigest::new();
        for (node, below) in &entries {
            digest.add(node, &node.content, below.as_ref());
        }
        let digest = digest.finish();
        let nodes = entries.into_iter().map(|(node, _)| node).collect();
        let mut node = folder.node.clone();
        node.subtree = Some(writer.store_folder(nodes)?);
        match &folder.parent {
            None => return Ok(Some((node, digest))),
            Some(parent) => {
                entry = Some((node, Some(digest)));
                folder = parent.clone();
            }
        }
    }
}
