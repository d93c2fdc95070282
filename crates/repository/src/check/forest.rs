//! The trees that snapshots reach, each read once and kept in short: names, chunks, folders.

use std::collections::{HashMap, HashSet};

use pgkeep_model::CancelToken;

use super::Wanted;
use crate::{
    error::{RepositoryError, Result},
    id::BlobId,
    index::Index,
    pack::BlobKind,
    reader::TreeReader,
    repository::Repository,
};

/// All directories of some snapshots.
#[derive(Debug, Default)]
pub(crate) struct Forest {
    trees: HashMap<BlobId, Branch>,
    unreadable: Vec<(BlobId, RepositoryError)>,
}

#[derive(Debug, Default)]
struct Branch {
    files: Vec<Leaf>,
    folders: Vec<(String, BlobId)>,
}

#[derive(Debug)]
struct Leaf {
    name: String,
    size: u64,
    chunks: Vec<BlobId>,
}

impl Forest {
    /// Reads all trees below `roots`; a damaged one is kept aside, and only the store's own trouble is an error.
    pub(crate) fn load(
        repository: &Repository,
        index: &Index,
        roots: impl IntoIterator<Item = BlobId>,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let mut forest = Self::default();
        let mut seen: HashSet<BlobId> = HashSet::new();
        let mut open: Vec<BlobId> = roots
            .into_iter()
            .filter(|root| seen.insert(*root))
            .collect();
        let mut trees = TreeReader::new();
        while let Some(id) = open.pop() {
            cancel.check()?;
            let tree = match trees.load(repository, index, &id) {
                Ok(tree) => tree,
                Err(error) if error.is_damage() => {
                    forest.unreadable.push((id, error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut branch = Branch::default();
            for node in tree.nodes {
                if node.is_dir() {
                    match node.subtree {
                        Some(subtree) => {
                            if seen.insert(subtree) {
                                open.push(subtree);
                            }
                            branch.folders.push((node.shown_name(), subtree));
                        }
                        None => {
                            let what = format!("folder {} has no tree", node.shown_name());
                            let object = format!("tree {}", id.short());
                            forest
                                .unreadable
                                .push((id, RepositoryError::damaged(object, what)));
                        }
                    }
                } else if node.is_file() {
                    branch.files.push(Leaf {
                        name: node.shown_name(),
                        size: node.size,
                        chunks: node.content.unwrap_or_default(),
                    });
                }
            }
            forest.trees.insert(id, branch);
        }
        Ok(forest)
    }

    pub(crate) fn tree_count(&self) -> usize {
        self.trees.len() + self.unreadable.len()
    }

    /// Trees that cannot be read or make no sense, with the reason.
    pub(crate) fn unreadable(&self) -> &[(BlobId, RepositoryError)] {
        &self.unreadable
    }

    /// Every blob that the trees need, themselves included.
    pub(crate) fn blobs(&self) -> HashSet<Wanted> {
        let mut blobs = HashSet::new();
        blobs.extend(self.unreadable.iter().map(|(id, _)| (*id, BlobKind::Tree)));
        for (id, branch) in &self.trees {
            blobs.insert((*id, BlobKind::Tree));
            for leaf in &branch.files {
                blobs.extend(leaf.chunks.iter().map(|chunk| (*chunk, BlobKind::Data)));
            }
        }
        blobs
    }

    /// Files whose chunks, all of them indexed, do not add up to the size that is said: tree, name, said, found.
    pub(crate) fn wrong_sizes(&self, index: &Index) -> Vec<(BlobId, String, u64, u64)> {
        let mut wrong = Vec::new();
        for (id, branch) in &self.trees {
            for leaf in &branch.files {
                let sum: Option<u64> = leaf
                    .chunks
                    .iter()
                    .map(|chunk| Some(index.find(chunk, BlobKind::Data)?.blob.plain_len()))
                    .sum();
                if let Some(sum) = sum.filter(|sum| *sum != leaf.size) {
                    wrong.push((*id, leaf.name.clone(), leaf.size, sum));
                }
            }
        }
        wrong.sort();
        wrong
    }

    /// Calls `found` with the path of each file and folder below `root` that needs one of the `lost` blobs.
    pub(crate) fn each_path_with(
        &self,
        root: BlobId,
        lost: &HashSet<Wanted>,
        found: &mut dyn FnMut(&str, Wanted),
    ) {
        let mut open = vec![(String::new(), root)];
        while let Some((prefix, id)) = open.pop() {
            if lost.contains(&(id, BlobKind::Tree)) {
                let folder = if prefix.is_empty() { "/" } else { &prefix };
                found(folder, (id, BlobKind::Tree));
            }
            let Some(branch) = self.trees.get(&id) else {
                continue;
            };
            for leaf in &branch.files {
                let lost: HashSet<Wanted> = leaf
                    .chunks
                    .iter()
                    .map(|chunk| (*chunk, BlobKind::Data))
                    .filter(|wanted| lost.contains(wanted))
                    .collect();
                for wanted in lost {
                    found(&format!("{prefix}{}", leaf.name), wanted);
                }
            }
            for (name, subtree) in &branch.folders {
                open.push((format!("{prefix}{name}/"), *subtree));
            }
        }
    }
}
