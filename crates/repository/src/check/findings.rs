//! What a check found, gathered first and joined at its end with the files that are touched.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{CheckReport, Forest, PackFault, Problem, Wanted};
use crate::{
    error::{RepositoryError, Result},
    id::{BlobId, PackId},
    index::Index,
    pack::BlobKind,
    snapshot::Snapshot,
    storage::{FileKind, ObjectKey},
};

#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    /// Blobs that cannot be had from the pack that the index names for them.
    unreadable_in: HashSet<(PackId, BlobId)>,
}

#[derive(Debug)]
struct Finding {
    object: String,
    what: String,
    blobs: Vec<Wanted>,
    pack: Option<PackId>,
}

impl Findings {
    /// An object other than a pack cannot be used.
    pub(super) fn object(&mut self, key: ObjectKey, error: &RepositoryError) {
        let what = match error {
            RepositoryError::Damaged { what, .. } => what.clone(),
            other => other.to_string(),
        };
        self.note(key, &what);
    }

    pub(super) fn note(&mut self, key: ObjectKey, what: &str) {
        self.add(key.to_string(), what.to_owned(), Vec::new(), None);
    }

    /// Notes an error that is damage and passes on any other.
    pub(super) fn damage<T>(&mut self, key: ObjectKey, result: Result<T>) -> Result<()> {
        match result {
            Ok(_) => Ok(()),
            Err(error) if error.is_damage() => {
                self.object(key, &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Packs that are missing or have another size than the index implies. Where only some blobs are `needed`, packs that
    /// hold none of them are passed over.
    pub(super) fn packs_without_file(
        &mut self,
        index: &Index,
        unusable: &[PackId],
        stored: &HashMap<PackId, u64>,
        needed: Option<&HashSet<Wanted>>,
    ) {
        if unusable.is_empty() {
            return;
        }
        let unusable: HashSet<PackId> = unusable.iter().copied().collect();
        let mut blobs: HashMap<PackId, Vec<Wanted>> = HashMap::new();
        for located in index.iter() {
            let wanted = (located.blob.id, located.blob.kind);
            if unusable.contains(&located.pack) && needed.is_none_or(|n| n.contains(&wanted)) {
                blobs.entry(located.pack).or_default().push(wanted);
            }
        }
        let told = |id: &PackId| match needed {
            None => unusable.contains(id),
            Some(_) => blobs.contains_key(id),
        };
        let told: Vec<(PackId, u64)> = index.packs().filter(|(id, _)| told(id)).collect();
        for (id, size) in told {
            let what = match stored.get(&id) {
                None => "is missing".to_owned(),
                Some(found) => format!("has {found} bytes instead of {size}"),
            };
            let blobs = blobs.remove(&id).unwrap_or_default();
            self.pack(id, what, blobs);
        }
    }

    /// Packs that were read and are faulty.
    pub(super) fn packs(&mut self, faults: Vec<PackFault>) {
        for fault in faults {
            self.pack(fault.pack, fault.what, fault.lost);
        }
    }

    /// Trees that cannot be read although the index knows them.
    pub(super) fn trees(&mut self, forest: &Forest) {
        for (id, error) in forest.unreadable() {
            let wanted = vec![(*id, BlobKind::Tree)];
            match error {
                // Told by `missing_blobs`.
                RepositoryError::MissingBlob { .. } => {}
                RepositoryError::DamagedBlob { pack, what, .. } => {
                    let what = format!("tree {} in it is damaged: {what}", id.short());
                    self.pack(*pack, what, wanted);
                }
                other => self.tree(*id, other.to_string()),
            }
        }
    }

    pub(super) fn tree(&mut self, id: BlobId, what: String) {
        let wanted = vec![(id, BlobKind::Tree)];
        self.add(format!("tree {id}"), what, wanted, None);
    }

    /// Blobs that snapshots need and no usable pack holds; those of packs that were found faulty are told there.
    pub(super) fn missing_blobs(&mut self, blobs: impl Iterator<Item = Wanted>) {
        let told: HashSet<Wanted> = self
            .found
            .iter()
            .flat_map(|finding| finding.blobs.iter().copied())
            .collect();
        let mut missing: Vec<Wanted> = blobs.filter(|blob| !told.contains(blob)).collect();
        if missing.is_empty() {
            return;
        }
        missing.sort();
        let what = format!(
            "does not name {} blobs that snapshots need, the first of them {}: an index file is missing or unreadable, or a repair took out the damaged pack that held them",
            missing.len(),
            missing[0].0
        );
        self.add("index".to_owned(), what, missing, None);
    }

    fn pack(&mut self, id: PackId, what: String, blobs: Vec<Wanted>) {
        self.unreadable_in
            .extend(blobs.iter().map(|(blob, _)| (id, *blob)));
        let key = ObjectKey::new(FileKind::Pack, id.to_string());
        self.add(key.to_string(), what, blobs, Some(id));
    }

    fn add(&mut self, object: String, what: String, blobs: Vec<Wanted>, pack: Option<PackId>) {
        // A pack whose tree was found damaged while walking is found again when it is read.
        if let Some(known) = self.found.iter_mut().find(|known| known.object == object) {
            if !known.what.contains(&what) {
                known.what = format!("{}; {what}", known.what);
            }
            known.blobs.extend(blobs);
            return;
        }
        self.found.push(Finding {
            object,
            what,
            blobs,
            pack,
        });
    }

    /// Works out what is touched and puts everything into the report.
    pub(super) fn finish(
        self,
        index: &Index,
        forest: &Forest,
        snapshots: &[Snapshot],
        report: &mut CheckReport,
    ) {
        let has_good_copy = |(blob, kind): &Wanted| {
            let mut copies = index.candidates(blob, *kind);
            copies.any(|copy| !self.unreadable_in.contains(&(copy.pack, *blob)))
        };
        let lost: HashSet<Wanted> = self
            .found
            .iter()
            .flat_map(|finding| {
                // What a finding says of a tree itself holds for every copy of it.
                let any_copy = finding.pack.is_none();
                finding
                    .blobs
                    .iter()
                    .copied()
                    .filter(move |blob| any_copy || !has_good_copy(blob))
            })
            .collect();
        let touched = touched_paths(&lost, forest, snapshots);
        for finding in self.found {
            let affects: BTreeSet<&String> = finding
                .blobs
                .iter()
                .flat_map(|blob| touched.get(blob).into_iter().flatten())
                .collect();
            report.problems.push(Problem {
                object: finding.object,
                what: finding.what,
                affects: affects.into_iter().cloned().collect(),
            });
            report
                .damaged_packs
                .extend(finding.pack.map(|pack| pack.to_string()));
        }
    }
}

/// For each lost blob, the files and folders that need it, in the words of [`Problem::affects`].
fn touched_paths(
    lost: &HashSet<Wanted>,
    forest: &Forest,
    snapshots: &[Snapshot],
) -> HashMap<Wanted, Vec<String>> {
    let mut touched: HashMap<Wanted, Vec<String>> = HashMap::new();
    if lost.is_empty() {
        return touched;
    }
    for snapshot in snapshots {
        // The id that the snapshot keeps when its tags change, as lists show it.
        let id = snapshot.original.unwrap_or(snapshot.id).short();
        forest.each_path_with(snapshot.tree, lost, &mut |path, blob| {
            let text = format!("snapshot {id}: {path}");
            touched.entry(blob).or_default().push(text);
        });
    }
    touched
}
