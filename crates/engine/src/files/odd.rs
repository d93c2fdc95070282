//! Entries that are not quite as they should be: all of them counted, the first thousand named.

use pgkeep_model::manifest::OddFile;
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

/// A manifest stays small even where nothing can be read.
const NAMED: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct OddFiles(Mutex<(u64, Vec<OddFile>)>);

impl OddFiles {
    pub(super) fn add(&self, path: &Path, reason: impl Into<String>) {
        let mut odd = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        odd.0 += 1;
        if odd.1.len() < NAMED {
            odd.1.push(OddFile {
                path: path.to_string_lossy().into_owned(),
                reason: reason.into(),
            });
        }
    }

    /// How many there were, and those that are named, by path.
    pub(super) fn finish(self) -> (u64, Vec<OddFile>) {
        let (count, mut named) = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        named.sort_by(|a, b| a.path.cmp(&b.path));
        (count, named)
    }
}
