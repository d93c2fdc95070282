//! What became of a tree between two backups.

use crate::Result;
use pgkeep_model::manifest::FilesManifest;
use pgkeep_repository::{Node, SnapshotReader};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Paths that are named of each sort of change.
const NAMED: usize = 100;

/// How a tree of one backup differs from that of another. Files, links and other entries count; folders do not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesDiff {
    pub name: String,
    pub added_count: u64,
    pub removed_count: u64,
    /// Other content, mode, owner or target.
    pub changed_count: u64,
    /// The first hundred of each sort.
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
}

impl FilesDiff {
    pub fn is_same(&self) -> bool {
        self.added_count + self.removed_count + self.changed_count == 0
    }
}

/// A tree in an opened backup.
#[derive(Clone, Copy)]
pub struct StoredTree<'a> {
    pub reader: &'a SnapshotReader,
    pub manifest: &'a FilesManifest,
}

/// Compares two stored trees; folders that are the same in both are not looked into. A side that has not got the tree is
/// an empty one.
pub fn compare_trees(
    name: &str,
    from: Option<StoredTree<'_>>,
    to: Option<StoredTree<'_>>,
) -> Result<FilesDiff> {
    let mut diff = FilesDiff {
        name: name.into(),
        ..FilesDiff::default()
    };
    let root = |tree: Option<StoredTree<'_>>| -> Result<Option<Node>> {
        match tree {
            Some(tree) => Ok(tree.reader.node(&tree.manifest.path)?),
            None => Ok(None),
        }
    };
    let mut open = vec![(PathBuf::new(), root(from)?, root(to)?)];
    while let Some((path, before, after)) = open.pop() {
        let subtree = |node: &Option<Node>| node.as_ref().and_then(|node| node.subtree);
        if subtree(&before).is_some() && subtree(&before) == subtree(&after) {
            continue;
        }
        let mut pairs: BTreeMap<OsString, (Option<Node>, Option<Node>)> = BTreeMap::new();
        for node in children(from, before.as_ref())? {
            let name = node.name.clone();
            pairs.entry(name).or_default().0 = Some(node);
        }
        for node in children(to, after.as_ref())? {
            let name = node.name.clone();
            pairs.entry(name).or_default().1 = Some(node);
        }
        // The last in goes first, so that paths are met in order.
        for (name, (before, after)) in pairs.into_iter().rev() {
            let path = path.join(name);
            diff.note(&path, before.as_ref(), after.as_ref());
            let folder = |node: Option<Node>| node.filter(Node::is_dir);
            let (before, after) = (folder(before), folder(after));
            if before.is_some() || after.is_some() {
                open.push((path, before, after));
            }
        }
    }
    for names in [&mut diff.added, &mut diff.removed, &mut diff.changed] {
        names.sort();
    }
    Ok(diff)
}

fn children(tree: Option<StoredTree<'_>>, folder: Option<&Node>) -> Result<Vec<Node>> {
    match (tree, folder) {
        (Some(tree), Some(folder)) => Ok(tree.reader.children(folder)?),
        _ => Ok(Vec::new()),
    }
}

impl FilesDiff {
    fn note(&mut self, path: &Path, before: Option<&Node>, after: Option<&Node>) {
        let entry = |node: Option<&Node>| node.is_some_and(|node| !node.is_dir());
        let (count, names) = match (entry(before), entry(after)) {
            (false, false) => return,
            (false, true) => (&mut self.added_count, &mut self.added),
            (true, false) => (&mut self.removed_count, &mut self.removed),
            (true, true) if before.map(weight) == after.map(weight) => return,
            (true, true) => (&mut self.changed_count, &mut self.changed),
        };
        *count += 1;
        if names.len() < NAMED {
            names.push(path.to_string_lossy().into_owned());
        }
    }
}

/// What makes an entry another one.
fn weight(node: &Node) -> impl PartialEq + '_ {
    (
        (&node.kind, node.mode, node.uid, node.gid, node.size),
        (&node.target, node.device, &node.content, &node.attributes),
    )
}
