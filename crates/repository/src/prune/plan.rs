//! Deciding what a prune does.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    IndexFiles, PruneOptions, PrunePlan, Steps,
    repack::{SMALL_PACK, kind_of},
    waiting,
};
use crate::{
    check::{Forest, PackToRead, Wanted, packs_by_id, stored_packs},
    error::{RepositoryError, Result},
    id::PackId,
    index::{DoomedPack, Index, IndexedPack},
    pack::PackedBlob,
    repository::Repository,
};

/// So many small packs of a kind are merged into larger ones.
const TOO_MANY_SMALL: usize = 32;

pub(super) fn make(repository: &Repository, options: &PruneOptions) -> Result<PrunePlan> {
    let state = super::state(repository)?;
    let snapshots = repository.snapshots()?;
    let files = IndexFiles::load(repository)?;
    files.require_all_readable()?;
    let stored = stored_packs(repository)?;
    options.cancel.check()?;

    let doomed = Doomed::gather(&files, &stored);
    let mut index = files.index();
    index.quarantine(&stored);
    let roots = || snapshots.iter().map(|snapshot| snapshot.tree);
    // A tree may lie in a pack that was marked, so what is marked counts as stored while looking.
    let with_doomed = doomed.added_to(&files, &stored, |_| true);
    let forest = Forest::load(repository, &with_doomed, roots(), &options.cancel)?;
    if let Some((_, error)) = forest.unreadable().first() {
        return Err(error.clone());
    }
    let used = forest.blobs();
    let recover = doomed.needed_for(&used, &index)?;
    if !recover.is_empty() {
        index = doomed.added_to(&files, &stored, |id| recover.contains(id));
    }

    let now = repository.clock().now();
    let shares = shares(&index, &used);
    let mut builder = Builder {
        stored: &stored,
        now,
        at_once: options.grace.is_zero(),
        steps: Steps {
            state,
            ..Steps::default()
        },
        plan: PrunePlan {
            snapshots: snapshots.len() as u64,
            packs_total: stored.len() as u64,
            bytes_total: stored.values().sum(),
            bytes_used: shares.values().map(|share| share.used_bytes).sum(),
            packs_repack: 0,
            bytes_repack: 0,
            packs_unused: 0,
            bytes_unused: 0,
            packs_unindexed: 0,
            bytes_unindexed: 0,
            packs_delete: 0,
            bytes_delete: 0,
            packs_wait: 0,
            bytes_wait: 0,
            packs_recover: recover.len() as u64,
            steps: Steps::default(),
        },
    };
    builder.recover(&doomed, &recover);
    let indexed: HashSet<PackId> = index.packs().map(|(id, _)| id).collect();
    builder.indexed_packs(shares.into_values().collect(), options.max_unused_percent);
    builder.unindexed_packs(&indexed, &doomed);
    builder.marked_packs(&doomed, &recover, options.grace);
    builder.stale_marks(&files, &doomed, &recover);
    Ok(builder.finish())
}

/// Packs that an earlier prune marked, with what the store has of them.
struct Doomed {
    packs: HashMap<PackId, DoomedPack>,
}

impl Doomed {
    fn gather(files: &IndexFiles, stored: &HashMap<PackId, u64>) -> Self {
        let indexed: HashSet<PackId> = files.index().packs().map(|(id, _)| id).collect();
        let mut packs: HashMap<PackId, DoomedPack> = HashMap::new();
        for doomed in waiting(files, &indexed).filter(|doomed| stored.contains_key(&doomed.id)) {
            let known = packs.entry(doomed.id).or_insert_with(|| doomed.clone());
            // Marked twice: the later mark counts, and the one that knows more.
            known.time = known.time.max(doomed.time);
            if known.blobs.is_empty() {
                known.blobs = doomed.blobs.clone();
            }
        }
        Self { packs }
    }

    fn indexed(&self, id: &PackId) -> Option<IndexedPack> {
        let doomed = self.packs.get(id)?;
        Some(IndexedPack {
            id: *id,
            blobs: doomed.blobs.clone(),
        })
    }

    /// The index as it would be if some packs were not marked.
    fn added_to(
        &self,
        files: &IndexFiles,
        stored: &HashMap<PackId, u64>,
        chosen: impl Fn(&PackId) -> bool,
    ) -> Index {
        let mut packs: HashMap<PackId, Vec<PackedBlob>> = HashMap::new();
        for located in files.index().iter() {
            packs.entry(located.pack).or_default().push(located.blob);
        }
        for id in self.packs.keys().filter(|id| chosen(id)) {
            let pack = self.indexed(id).expect("one of its keys");
            if !pack.blobs.is_empty() {
                packs.insert(*id, pack.blobs().collect());
            }
        }
        let mut index = Index::from_packs(packs);
        index.quarantine(stored);
        index
    }

    /// The marked packs that hold a needed blob which the index has nowhere else. Fails for one that is nowhere at all.
    fn needed_for(&self, used: &HashSet<Wanted>, index: &Index) -> Result<HashSet<PackId>> {
        let mut missing: Vec<&Wanted> = used
            .iter()
            .filter(|(id, kind)| !index.contains(id, *kind))
            .collect();
        if missing.is_empty() {
            return Ok(HashSet::new());
        }
        missing.sort();
        let mut places: HashMap<Wanted, PackId> = HashMap::new();
        for id in self.packs.keys() {
            let pack = self.indexed(id).expect("one of its keys");
            places.extend(pack.blobs().map(|blob| ((blob.id, blob.kind), *id)));
        }
        missing
            .into_iter()
            .map(|wanted| {
                places
                    .get(wanted)
                    .copied()
                    .ok_or(RepositoryError::MissingBlob { blob: wanted.0 })
            })
            .collect()
    }
}

/// A pack of the index, split into what is needed from it and what is not.
struct Share {
    id: PackId,
    size: u64,
    used: Vec<PackedBlob>,
    unused: Vec<PackedBlob>,
    used_bytes: u64,
    unused_bytes: u64,
}

/// Gives each needed blob to one pack: where it lies in several, to the one that is needed most anyway.
fn shares(index: &Index, used: &HashSet<Wanted>) -> HashMap<PackId, Share> {
    let mut shares: HashMap<PackId, Share> = index
        .packs()
        .map(|(id, size)| {
            let share = Share {
                id,
                size,
                used: Vec::new(),
                unused: Vec::new(),
                used_bytes: 0,
                unused_bytes: 0,
            };
            (id, share)
        })
        .collect();
    let mut needed: HashMap<PackId, u64> = HashMap::new();
    for pack in packs_by_id(index, |_, blob| used.contains(&(blob.id, blob.kind))) {
        let bytes = pack.blobs.iter().map(|blob| u64::from(blob.length)).sum();
        needed.insert(pack.id, bytes);
    }
    let best = |wanted: &Wanted| {
        let copies = index.candidates(&wanted.0, wanted.1);
        copies.max_by_key(|copy| (needed.get(&copy.pack).copied(), copy.pack))
    };
    let chosen: HashMap<Wanted, (PackId, u32)> = used
        .iter()
        .filter_map(|wanted| best(wanted).map(|copy| (*wanted, (copy.pack, copy.blob.offset))))
        .collect();
    for located in index.iter() {
        let blob = located.blob;
        let share = shares.get_mut(&located.pack).expect("from the same index");
        if chosen.get(&(blob.id, blob.kind)) == Some(&(located.pack, blob.offset)) {
            share.used_bytes += u64::from(blob.length);
            share.used.push(blob);
        } else {
            share.unused_bytes += u64::from(blob.length);
            share.unused.push(blob);
        }
    }
    shares
}

/// A plan in the making.
struct Builder<'a> {
    stored: &'a HashMap<PackId, u64>,
    now: Timestamp,
    at_once: bool,
    steps: Steps,
    plan: PrunePlan,
}

impl Builder<'_> {
    fn recover(&mut self, doomed: &Doomed, recover: &HashSet<PackId>) {
        let change = &mut self.steps.change;
        change.forget_doomed.extend(recover);
        change
            .add
            .extend(recover.iter().filter_map(|id| doomed.indexed(id)));
    }

    fn indexed_packs(&mut self, shares: Vec<Share>, max_unused_percent: f64) {
        let (unused, used): (Vec<Share>, Vec<Share>) =
            shares.into_iter().partition(|share| share.used.is_empty());
        for share in unused {
            self.plan.packs_unused += 1;
            self.plan.bytes_unused += self.stored.get(&share.id).copied().unwrap_or(0);
            self.let_go(share.id, &share.unused);
        }
        let (mut partly, whole): (Vec<Share>, Vec<Share>) =
            used.into_iter().partition(|share| share.unused_bytes > 0);
        let tolerated = self.plan.bytes_used as f64 * max_unused_percent.max(0.0) / 100.0;
        let mut waste: u64 = partly.iter().map(|share| share.unused_bytes).sum();
        // The most wasteful first: they give back the most for the bytes that are rewritten.
        partly.sort_by(|a, b| {
            let waste = |share: &Share| share.unused_bytes as f64 / share.size as f64;
            waste(b).total_cmp(&waste(a)).then_with(|| a.id.cmp(&b.id))
        });
        let mut kept = whole;
        for share in partly {
            if waste as f64 > tolerated {
                waste -= share.unused_bytes;
                self.repack(share);
            } else {
                kept.push(share);
            }
        }
        self.merge_small(kept);
    }

    fn merge_small(&mut self, kept: Vec<Share>) {
        let mut by_kind: HashMap<_, Vec<Share>> = HashMap::new();
        for share in kept.into_iter().filter(|share| share.size < SMALL_PACK) {
            by_kind.entry(kind_of(&share.used)).or_default().push(share);
        }
        for small in by_kind.into_values() {
            if small.len() >= TOO_MANY_SMALL {
                small.into_iter().for_each(|share| self.repack(share));
            }
        }
    }

    fn repack(&mut self, share: Share) {
        self.plan.packs_repack += 1;
        self.plan.bytes_repack += share.size;
        let all: Vec<PackedBlob> = [&share.used[..], &share.unused[..]].concat();
        self.let_go(share.id, &all);
        let pack = PackToRead::new(share.id, share.size, share.used);
        self.steps.repack.push(pack);
    }

    /// Takes a pack out of the index, and deletes it or marks it for deletion.
    fn let_go(&mut self, id: PackId, blobs: &[PackedBlob]) {
        self.steps.change.remove.insert(id);
        self.steps.change.add.retain(|pack| pack.id != id);
        if self.stored.contains_key(&id) {
            self.doom(id, blobs);
        }
    }

    /// Deletes a pack, or marks it with what it holds, so that it can be taken back.
    fn doom(&mut self, id: PackId, blobs: &[PackedBlob]) {
        let size = self.stored.get(&id).copied().unwrap_or(0);
        if self.at_once {
            self.delete(id, size);
        } else {
            self.plan.packs_wait += 1;
            self.plan.bytes_wait += size;
            self.steps.change.doom.push(DoomedPack {
                id,
                blobs: IndexedPack::new(id, blobs).blobs,
                time: Some(self.now),
            });
        }
    }

    fn delete(&mut self, id: PackId, size: u64) {
        self.plan.packs_delete += 1;
        self.plan.bytes_delete += size;
        self.steps.delete.push(id);
    }

    fn unindexed_packs(&mut self, indexed: &HashSet<PackId>, doomed: &Doomed) {
        let mut unindexed: Vec<PackId> = self
            .stored
            .keys()
            .filter(|id| !indexed.contains(*id) && !doomed.packs.contains_key(*id))
            .copied()
            .collect();
        unindexed.sort();
        for id in unindexed {
            self.plan.packs_unindexed += 1;
            self.plan.bytes_unindexed += self.stored[&id];
            self.doom(id, &[]);
        }
    }

    fn marked_packs(&mut self, doomed: &Doomed, recover: &HashSet<PackId>, grace: Duration) {
        let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
        let mut marked: Vec<&DoomedPack> = doomed
            .packs
            .values()
            .filter(|pack| !recover.contains(&pack.id))
            .collect();
        marked.sort_by_key(|pack| pack.id);
        for pack in marked {
            let size = self.stored[&pack.id];
            // A mark without a time is as old as can be.
            let over = pack
                .time
                .is_none_or(|time| self.now.duration_since(time) >= grace);
            if over || self.at_once {
                self.delete(pack.id, size);
                self.steps.change.forget_doomed.insert(pack.id);
            } else {
                self.plan.packs_wait += 1;
                self.plan.bytes_wait += size;
            }
        }
    }

    /// Marks of packs that are gone or indexed again say nothing any more.
    fn stale_marks(&mut self, files: &IndexFiles, doomed: &Doomed, recover: &HashSet<PackId>) {
        let stale = files
            .doomed()
            .map(|pack| pack.id)
            .filter(|id| !doomed.packs.contains_key(id) && !recover.contains(id));
        self.steps.change.forget_doomed.extend(stale);
    }

    fn finish(self) -> PrunePlan {
        PrunePlan {
            steps: self.steps,
            ..self.plan
        }
    }
}
