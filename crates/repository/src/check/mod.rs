//! Looking for damage: [`Repository::check`] at everything there is, [`Repository::verify_snapshot`] at what one
//! snapshot needs.
//!
//! Nothing is changed, and damage is no error here: each piece of it becomes a [`Problem`] that names the stored object
//! and the files of snapshots that it touches. Only what keeps the check itself from its work (a store that does not
//! answer, a cancelled token) is an error.
//!
//! Snapshots are listed first, then indexes are read, then packs are listed: what a backup that runs meanwhile adds is
//! at worst not seen, and never taken for damage.

mod findings;
mod forest;
mod packs;
mod survey;

pub(crate) use forest::Forest;
pub(crate) use packs::{PackFault, PackToRead, open_all, read_packs};

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use pgkeep_model::{CancelToken, Phase, Progress, Silent};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::{
    codec,
    error::{RepositoryError, Result},
    id::{BlobId, PackId},
    index::Index,
    keys,
    pack::{BlobKind, PackedBlob},
    repository::Repository,
    snapshot::Snapshot,
    storage::{FileKind, ObjectKey},
};
use findings::Findings;

/// How much of the stored data a check reads back.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ReadData {
    /// Only what is needed to know that everything is there: indexes, snapshots, trees, names and sizes.
    #[default]
    None,
    All,
    /// Packs chosen by chance, of at least this share of all bytes.
    Percent(f64),
}

/// How to check.
#[derive(Clone)]
pub struct CheckOptions {
    pub read_data: ReadData,
    pub cancel: CancelToken,
    pub progress: Arc<dyn Progress>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            read_data: ReadData::None,
            cancel: CancelToken::new(),
            progress: Arc::new(Silent),
        }
    }
}

impl fmt::Debug for CheckOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckOptions")
            .field("read_data", &self.read_data)
            .finish_non_exhaustive()
    }
}

/// A damaged or missing object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The object with its full name, such as `pack 12ab…`.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// What can no longer be restored whole because of it, such as `snapshot 1234abcd: databases/shop/3215.dat`; empty
    /// when nothing needs it.
    pub affects: Vec<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.what)?;
        match self.affects.as_slice() {
            [] => Ok(()),
            [only] => write!(f, "; touches {only}"),
            [first, others @ ..] => write!(f, "; touches {first} and {} more", others.len()),
        }
    }
}

/// What a check saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Empty means that all that was looked at is good.
    pub problems: Vec<Problem>,
    /// What is no damage but worth knowing.
    pub notes: Vec<String>,
    pub snapshots_checked: u64,
    pub trees_checked: u64,
    pub blobs_checked: u64,
    /// Packs whose presence and size were compared with the index.
    pub packs_checked: u64,
    /// Packs that were read, decrypted, unpacked and hashed.
    pub packs_read: u64,
    pub bytes_read: u64,
    /// Packs in which something is damaged or that are missing; what [`Repository::repair`] replaces.
    pub damaged_packs: Vec<String>,
}

impl CheckReport {
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Repository {
    /// Checks the whole repository. The caller holds a shared lock.
    pub fn check(&self, options: &CheckOptions) -> Result<CheckReport> {
        options.progress.phase(Phase::Check, None);
        let mut findings = Findings::default();
        let mut report = CheckReport::default();
        check_config_and_keys(self, &mut findings)?;
        check_locks(self, &mut findings, &mut report)?;

        let (snapshots, unreadable) = self.snapshots_lenient()?;
        for snapshot in unreadable {
            findings.object(
                ObjectKey::new(FileKind::Snapshot, snapshot.id),
                &snapshot.error,
            );
        }
        let (mut index, unreadable) = Index::load_lenient(self)?;
        for (name, error) in unreadable {
            findings.object(ObjectKey::new(FileKind::Index, name), &error);
        }
        options.cancel.check()?;
        let stored = stored_packs(self)?;
        let unusable = index.quarantine(&stored);
        report.packs_checked = index.packs().count() as u64;
        findings.packs_without_file(&index, &unusable, &stored, None);
        note_unindexed(&index, &stored, &mut report);

        let roots = snapshots.iter().map(|snapshot| snapshot.tree);
        let forest = Forest::load(self, &index, roots, &options.cancel)?;
        check_forest(&forest, &index, &mut findings, &mut report);
        report.snapshots_checked = snapshots.len() as u64;

        if options.read_data != ReadData::None {
            let mut wanted = packs_by_id(&index, |pack, _| !unusable.contains(pack));
            choose(&mut wanted, options.read_data);
            read(self, wanted, options, &mut findings, &mut report)?;
        }
        findings.finish(&index, &forest, &snapshots, &mut report);
        Ok(report)
    }

    /// Checks that everything one snapshot needs is in the store, in its right size, and with `read` that every byte of
    /// it can be read back.
    pub fn verify_snapshot(
        &self,
        snapshot: &Snapshot,
        read_all: bool,
        cancel: &CancelToken,
        progress: &dyn Progress,
    ) -> Result<CheckReport> {
        let mut findings = Findings::default();
        let mut report = CheckReport {
            snapshots_checked: 1,
            ..CheckReport::default()
        };
        let (mut index, unreadable) = Index::load_lenient(self)?;
        cancel.check()?;
        let stored = stored_packs(self)?;
        let unusable = index.quarantine(&stored);
        if !read_all && let Some(seen) = survey::look(self, &index, snapshot.tree, cancel)? {
            report.trees_checked = seen.trees;
            report.blobs_checked = seen.blobs;
            report.packs_checked = seen.packs;
            note_unreadable(unreadable, &mut report);
            return Ok(report);
        }
        let forest = Forest::load(self, &index, [snapshot.tree], cancel)?;
        let needed = forest.blobs();
        let lost = needed
            .iter()
            .filter(|(id, kind)| !index.contains(id, *kind));
        let lost: HashSet<Wanted> = lost.copied().collect();
        findings.packs_without_file(&index, &unusable, &stored, Some(&lost));
        check_forest(&forest, &index, &mut findings, &mut report);
        // A blob may lie in several packs; the one that a restore would read counts.
        let chosen: HashSet<(BlobId, PackId)> = needed
            .iter()
            .filter_map(|(id, kind)| Some((*id, index.find(id, *kind)?.pack)))
            .collect();
        let wanted = packs_by_id(&index, |pack, blob| chosen.contains(&(blob.id, *pack)));
        report.packs_checked = wanted.len() as u64;
        note_unreadable(unreadable, &mut report);
        if read_all {
            let bytes = wanted.iter().map(PackToRead::size).sum();
            progress.phase(Phase::ReadBack, Some(bytes));
            let done = |bytes| progress.bytes(bytes);
            let faults = read_packs(self, &wanted, cancel, &done)?;
            report.packs_read = wanted.len() as u64;
            report.bytes_read = bytes;
            findings.packs(faults);
        }
        findings.finish(&index, &forest, std::slice::from_ref(snapshot), &mut report);
        Ok(report)
    }
}

fn note_unreadable(indexes: Vec<(String, RepositoryError)>, report: &mut CheckReport) {
    let note = |(name, error)| format!("index {name} cannot be read: {error}");
    report.notes.extend(indexes.into_iter().map(note));
}

fn check_config_and_keys(repository: &Repository, findings: &mut Findings) -> Result<()> {
    let storage = repository.storage();
    let config = storage
        .get(&ObjectKey::config())
        .map_err(RepositoryError::from)
        .and_then(|sealed| codec::decode(repository.master_key(), &ObjectKey::config(), sealed));
    findings.damage(ObjectKey::config(), config)?;
    let names: Vec<String> = storage
        .list(FileKind::Key)?
        .into_iter()
        .map(|object| object.name)
        .collect();
    let current = repository.key_id();
    if !names.iter().any(|name| name == current) {
        findings.note(
            ObjectKey::new(FileKind::Key, current),
            "is missing, although it opened the repository just now",
        );
    }
    for name in names {
        let key = ObjectKey::new(FileKind::Key, name.clone());
        findings.damage(key, keys::check_key_file(&**storage, &name))?;
    }
    Ok(())
}

fn check_locks(
    repository: &Repository,
    findings: &mut Findings,
    report: &mut CheckReport,
) -> Result<()> {
    let now = repository.clock().now();
    for (name, lock) in repository.locks()? {
        match lock {
            Ok(lock) if lock.is_stale(now) => {
                report
                    .notes
                    .push(format!("lock {name} was left behind by {lock}"));
            }
            Ok(_) => {}
            Err(error) => findings.object(ObjectKey::new(FileKind::Lock, name), &error),
        }
    }
    Ok(())
}

/// What the store says of packs; an object whose name is no hash is none of ours.
pub(crate) fn stored_packs(repository: &Repository) -> Result<HashMap<PackId, u64>> {
    let objects = repository.storage().list(FileKind::Pack)?;
    Ok(objects
        .into_iter()
        .filter_map(|object| Some((object.name.parse().ok()?, object.size)))
        .collect())
}

fn note_unindexed(index: &Index, stored: &HashMap<PackId, u64>, report: &mut CheckReport) {
    let indexed: HashSet<PackId> = index.packs().map(|(id, _)| id).collect();
    let sizes: Vec<u64> = stored
        .iter()
        .filter(|(id, _)| !indexed.contains(*id))
        .map(|(_, size)| *size)
        .collect();
    if !sizes.is_empty() {
        report.notes.push(format!(
            "{} packs of {} bytes together are in no index: unfinished backups leave such packs, and prune removes them",
            sizes.len(),
            sizes.iter().sum::<u64>()
        ));
    }
}

/// Every tree readable, every chunk indexed, every file as long as it says.
fn check_forest(forest: &Forest, index: &Index, findings: &mut Findings, report: &mut CheckReport) {
    let blobs = forest.blobs();
    report.trees_checked = forest.tree_count() as u64;
    report.blobs_checked = blobs.len() as u64;
    findings.trees(forest);
    findings.missing_blobs(
        blobs
            .into_iter()
            .filter(|(id, kind)| !index.contains(id, *kind)),
    );
    for (tree, name, says, holds) in forest.wrong_sizes(index) {
        findings.tree(
            tree,
            format!("file {name} is said to have {says} bytes, its chunks have {holds}"),
        );
    }
}

/// The packs of the index with those of their blobs that are wanted.
pub(crate) fn packs_by_id(
    index: &Index,
    wanted: impl Fn(&PackId, &PackedBlob) -> bool,
) -> Vec<PackToRead> {
    let mut packs: HashMap<PackId, Vec<PackedBlob>> = HashMap::new();
    for located in index.iter() {
        if wanted(&located.pack, &located.blob) {
            packs.entry(located.pack).or_default().push(located.blob);
        }
    }
    let sizes: HashMap<PackId, u64> = index.packs().collect();
    let mut packs: Vec<_> = packs
        .into_iter()
        .map(|(id, blobs)| PackToRead::new(id, sizes[&id], blobs))
        .collect();
    packs.sort_by_key(|pack| pack.id);
    packs
}

fn choose(packs: &mut Vec<PackToRead>, read_data: ReadData) {
    let ReadData::Percent(percent) = read_data else {
        return;
    };
    let total: u64 = packs.iter().map(PackToRead::size).sum();
    let goal = total as f64 * percent.clamp(0.0, 100.0) / 100.0;
    packs.shuffle(&mut rand::rng());
    let mut sum = 0.0;
    packs.retain(|pack| {
        let wanted = sum < goal;
        sum += pack.size() as f64;
        wanted
    });
}

fn read(
    repository: &Repository,
    packs: Vec<PackToRead>,
    options: &CheckOptions,
    findings: &mut Findings,
    report: &mut CheckReport,
) -> Result<()> {
    report.packs_read = packs.len() as u64;
    report.bytes_read = packs.iter().map(PackToRead::size).sum();
    options
        .progress
        .phase(Phase::ReadBack, Some(report.bytes_read));
    let done = |bytes| options.progress.bytes(bytes);
    findings.packs(read_packs(repository, &packs, &options.cancel, &done)?);
    Ok(())
}

/// A blob as trees and snapshots ask for it.
pub(crate) type Wanted = (BlobId, BlobKind);
