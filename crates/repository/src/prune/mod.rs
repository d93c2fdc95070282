//! Giving back the space of what no snapshot needs: [`Repository::plan_prune`] decides, [`Repository::execute_prune`]
//! acts on exactly that, under an exclusive lock.
//!
//! Nothing is removed on the strength of something that could not be read: one unreadable snapshot, index or tree, one
//! failed listing, or one needed blob that is nowhere ends the planning.
//!
//! Two safeguards keep a backup that runs meanwhile whole. The exclusive lock shuts it out; and should its lock have
//! been lost, packs are deleted only by a prune that comes a grace time after the one that found them unneeded. In
//! between they are named in the index as packs to delete, and are taken back if a snapshot turns out to need them.
//!
//! Order of effects: new packs, a barrier, new index files, a barrier, old index files removed, a barrier, packs
//! deleted. Wherever it ends early, all that snapshots need is stored and indexed.

mod index_files;
mod plan;
mod repack;
mod repair;

pub use repair::RepairReport;

use std::{collections::HashSet, time::Duration};

use pgkeep_model::{CancelToken, Phase, Progress};
use serde::{Deserialize, Serialize};

use crate::check::PackToRead;
use crate::{
    error::{RepositoryError, Result},
    id::{BlobId, PackId},
    index::DoomedPack,
    lock::LockMode,
    repository::Repository,
    storage::{FileKind, ObjectKey},
};
use index_files::{Change, IndexFiles};
use repack::Repacker;

/// How to prune.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// Time between finding a pack unneeded and deleting it; zero deletes at once.
    pub grace: Duration,
    /// Unneeded bytes that may stay inside packs which are needed otherwise, in percent of the needed bytes.
    pub max_unused_percent: f64,
    pub cancel: CancelToken,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(24 * 60 * 60),
            max_unused_percent: 5.0,
            cancel: CancelToken::new(),
        }
    }
}

/// What a prune would do. It holds only as long as nobody changes the repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PrunePlan {
    pub snapshots: u64,
    /// Everything that lies in packs.
    pub packs_total: u64,
    pub bytes_total: u64,
    /// What snapshots need.
    pub bytes_used: u64,
    /// Packs that are rewritten because too much in them is unneeded, or because they are many and small.
    pub packs_repack: u64,
    pub bytes_repack: u64,
    /// Packs found unneeded now.
    pub packs_unused: u64,
    pub bytes_unused: u64,
    /// Packs that no index names, such as an interrupted backup leaves.
    pub packs_unindexed: u64,
    pub bytes_unindexed: u64,
    /// Packs that will be deleted by this prune.
    pub packs_delete: u64,
    pub bytes_delete: u64,
    /// Packs whose grace time is not over when this prune ends.
    pub packs_wait: u64,
    pub bytes_wait: u64,
    /// Packs that were to be deleted and are needed after all.
    pub packs_recover: u64,
    #[serde(skip)]
    steps: Steps,
}

/// The plan in detail.
#[derive(Debug, Clone, Default)]
struct Steps {
    /// What the repository held when the plan was made.
    state: State,
    repack: Vec<PackToRead>,
    /// Packs that may only be deleted, or marked, after their blobs were repacked or because nothing needs them.
    change: Change,
    delete: Vec<PackId>,
}

impl PrunePlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.repack.is_empty() && self.steps.change.is_empty() && self.steps.delete.is_empty()
    }
}

/// What a prune did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReport {
    pub packs_repacked: u64,
    pub packs_written: u64,
    pub bytes_written: u64,
    /// Packs that a later prune will delete.
    pub packs_marked: u64,
    pub packs_deleted: u64,
    pub bytes_deleted: u64,
    /// Bytes of the packs that wait for their grace time to end.
    pub bytes_waiting: u64,
}

/// The names of everything that a plan rests on, as one hash.
type State = BlobId;

impl Repository {
    /// Decides what can go; changes nothing. The caller holds no exclusive lock.
    pub fn plan_prune(&self, options: &PruneOptions) -> Result<PrunePlan> {
        let _lock = self.lock(LockMode::Shared, "plan a prune")?;
        plan::make(self, options)
    }

    /// Does what the plan says, under an exclusive lock that it takes itself. Refuses when the repository is no longer
    /// what it was when the plan was made.
    pub fn execute_prune(
        &self,
        plan: PrunePlan,
        progress: &dyn Progress,
        cancel: &CancelToken,
    ) -> Result<PruneReport> {
        let lock = self.lock(LockMode::Exclusive, "prune")?;
        if state(self)? != plan.steps.state {
            return Err(RepositoryError::Changed);
        }
        progress.phase(Phase::Cleanup, Some(plan.bytes_repack));
        let Steps {
            repack,
            mut change,
            delete,
            ..
        } = plan.steps;

        let mut repacker = Repacker::new(self);
        for pack in &repack {
            cancel.check()?;
            lock.check()?;
            repacker.take_over(pack)?;
            progress.bytes(pack.size());
        }
        let repacked = repacker.finish()?;
        change.add.extend(repacked.packs);

        // Nothing that is stored may be lost when it ends here, so the last moment to stop is before the index changes.
        cancel.check()?;
        lock.confirm()?;
        if !change.is_empty() {
            let files = IndexFiles::load(self)?;
            files.require_all_readable()?;
            self.storage().flush()?;
            files.apply(self, &change)?;
        }
        lock.confirm()?;
        for pack in &delete {
            self.storage()
                .delete(&ObjectKey::new(FileKind::Pack, pack.to_string()))?;
        }
        self.storage().flush()?;
        let day = jiff::SignedDuration::from_hours(24);
        self.storage().remove_leftovers(self.clock().now() - day)?;
        Ok(PruneReport {
            packs_repacked: repack.len() as u64,
            packs_written: repacked.count,
            bytes_written: repacked.bytes,
            packs_marked: change.doom.len() as u64,
            packs_deleted: delete.len() as u64,
            bytes_deleted: plan.bytes_delete,
            bytes_waiting: plan.bytes_wait,
        })
    }
}

/// Hashes the names of all snapshots, indexes and packs.
fn state(repository: &Repository) -> Result<State> {
    let mut names = Vec::new();
    for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
        let objects = repository.storage().list(kind)?;
        names.extend(objects.into_iter().map(|object| (kind, object.name)));
    }
    names.sort();
    let text: String = names
        .iter()
        .map(|(kind, name)| format!("{} {name}\n", kind.noun()))
        .collect();
    Ok(BlobId::of(text.as_bytes()))
}

/// Packs that wait for deletion, without those that are indexed again.
fn waiting<'a>(
    files: &'a IndexFiles,
    indexed: &'a HashSet<PackId>,
) -> impl Iterator<Item = &'a DoomedPack> {
    files
        .doomed()
        .filter(|doomed| !indexed.contains(&doomed.id))
}
