//! What of a tree is left out: patterns, and folders that must never go into their own backup.

use crate::{Error, Result};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use pgkeep_model::app::FileTree;
use rustix::fs::Stat;
use std::path::{Path, PathBuf};

/// Decides for one tree.
#[derive(Debug)]
pub(super) struct Exclude {
    patterns: Gitignore,
    /// Device and inode of folders that are left out wherever they are met.
    kept_out: Vec<(u64, u64)>,
}

impl Exclude {
    /// `keep_out` are folders of pgkeep's own, such as the repository; one that is not there keeps nothing out.
    pub(super) fn new(tree: &FileTree, keep_out: &[PathBuf]) -> Result<Self> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in &tree.exclude {
            builder.add_line(None, pattern).map_err(|e| {
                Error::invalid(format!(
                    "files {}: exclude pattern {pattern:?}: {e}",
                    tree.name
                ))
            })?;
        }
        let patterns = builder
            .build()
            .map_err(|e| Error::invalid(format!("files {}: exclude patterns: {e}", tree.name)))?;
        let root = std::fs::canonicalize(&tree.path).ok();
        let mut kept_out = Vec::new();
        for folder in keep_out {
            let Ok(folder) = std::fs::canonicalize(folder) else {
                continue;
            };
            if root.as_ref().is_some_and(|root| root.starts_with(&folder)) {
                return Err(Error::invalid(format!(
                    "files {}: {} lies inside the repository {}",
                    tree.name,
                    tree.path,
                    folder.display()
                ))
                .hint("back up a folder that is not part of a repository"));
            }
            if let Ok(stat) = rustix::fs::stat(&folder) {
                kept_out.push((stat.st_dev, stat.st_ino));
            }
        }
        Ok(Self { patterns, kept_out })
    }

    pub(super) fn by_pattern(&self, path: &Path, is_dir: bool) -> bool {
        !self.patterns.is_empty() && self.patterns.matched(path, is_dir).is_ignore()
    }

    pub(super) fn is_our_own(&self, stat: &Stat) -> bool {
        self.kept_out.contains(&(stat.st_dev, stat.st_ino))
    }
}
