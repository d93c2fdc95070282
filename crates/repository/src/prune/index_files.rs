//! Index files as they are stored, and changing them without ever leaving a needed pack unindexed: new files first,
//! then the old ones go.

use std::collections::{HashMap, HashSet};

use crate::{
    error::{RepositoryError, Result},
    id::PackId,
    index::{DoomedPack, Index, IndexFile, IndexedPack, MAX_BLOBS_PER_FILE},
    pack::PackedBlob,
    repository::Repository,
    storage::{FileKind, ObjectKey},
};

/// Every index file.
#[derive(Debug, Default)]
pub(crate) struct IndexFiles {
    files: Vec<(String, IndexFile)>,
    /// Files that others stand for.
    superseded: Vec<String>,
    /// Files that cannot be read.
    pub(crate) unreadable: Vec<(String, RepositoryError)>,
}

/// What is to become of the index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// Packs that are no longer indexed.
    pub(crate) remove: HashSet<PackId>,
    pub(crate) add: Vec<IndexedPack>,
    /// Packs to be deleted by a later prune.
    pub(crate) doom: Vec<DoomedPack>,
    /// Doomed packs that are gone, or are in use again.
    pub(crate) forget_doomed: HashSet<PackId>,
}

impl Change {
    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.add.is_empty()
            && self.doom.is_empty()
            && self.forget_doomed.is_empty()
    }
}

impl IndexFiles {
    /// Reads every file; those that are damaged are kept aside.
    pub(crate) fn load(repository: &Repository) -> Result<Self> {
        let mut loaded = Self::default();
        for object in repository.storage().list(FileKind::Index)? {
            let key = ObjectKey::new(FileKind::Index, object.name);
            match repository.load_json::<IndexFile>(&key) {
                Ok(file) => loaded.files.push((key.name, file)),
                Err(error) if error.is_damage() => loaded.unreadable.push((key.name, error)),
                Err(error) => return Err(error),
            }
        }
        let superseded: HashSet<String> = loaded
            .files
            .iter()
            .flat_map(|(_, file)| file.supersedes.iter().cloned())
            .collect();
        let (old, files) = std::mem::take(&mut loaded.files)
            .into_iter()
            .partition(|(name, _)| superseded.contains(name));
        loaded.files = files;
        loaded.superseded = old.into_iter().map(|(name, _): (String, _)| name).collect();
        Ok(loaded)
    }

    /// Fails with the first file that cannot be read.
    pub(crate) fn require_all_readable(&self) -> Result<()> {
        match self.unreadable.first() {
            Some((_, error)) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// All files together, as readers see them.
    pub(crate) fn index(&self) -> Index {
        let mut packs: HashMap<PackId, Vec<PackedBlob>> = HashMap::new();
        for (_, file) in &self.files {
            for pack in &file.packs {
                packs.entry(pack.id).or_default().extend(pack.blobs());
            }
        }
        Index::from_packs(packs)
    }

    pub(crate) fn doomed(&self) -> impl Iterator<Item = &DoomedPack> {
        self.files
            .iter()
            .flat_map(|(_, file)| &file.packs_to_delete)
    }

    /// Writes the changed files anew, then removes what they replace. Everything that is added must be durable already.
    pub(crate) fn apply(&self, repository: &Repository, change: &Change) -> Result<()> {
        let changed = |file: &IndexFile| {
            file.packs.iter().any(|pack| change.remove.contains(&pack.id))
                || file
                    .packs_to_delete
                    .iter()
                    .any(|pack| change.forget_doomed.contains(&pack.id))
                // What this file stands for goes, so it need not say so any longer.
                || !file.supersedes.is_empty()
        };
        let mut old: Vec<&String> = self.superseded.iter().collect();
        old.extend(self.unreadable.iter().map(|(name, _)| name));
        let mut packs = change.add.clone();
        let mut doomed = change.doom.clone();
        for (name, file) in self.files.iter().filter(|(_, file)| changed(file)) {
            old.push(name);
            let kept = file.packs.iter();
            packs.extend(
                kept.filter(|pack| !change.remove.contains(&pack.id))
                    .cloned(),
            );
            let kept = file.packs_to_delete.iter();
            doomed.extend(
                kept.filter(|pack| !change.forget_doomed.contains(&pack.id))
                    .cloned(),
            );
        }
        write(repository, packs, doomed)?;
        let storage = repository.storage();
        storage.flush()?;
        for name in old {
            storage.delete(&ObjectKey::new(FileKind::Index, name.clone()))?;
        }
        Ok(storage.flush()?)
    }
}

fn write(repository: &Repository, packs: Vec<IndexedPack>, doomed: Vec<DoomedPack>) -> Result<()> {
    let mut file = IndexFile::default();
    let mut blobs = 0;
    let mut save_if_full = |file: &mut IndexFile, more: usize| -> Result<()> {
        blobs += more.max(1);
        if blobs >= MAX_BLOBS_PER_FILE {
            repository.save_json(FileKind::Index, &std::mem::take(file))?;
            blobs = 0;
        }
        Ok(())
    };
    for pack in packs {
        let more = pack.blobs.len();
        file.packs.push(pack);
        save_if_full(&mut file, more)?;
    }
    for pack in doomed {
        let more = pack.blobs.len();
        file.packs_to_delete.push(pack);
        save_if_full(&mut file, more)?;
    }
    if !file.packs.is_empty() || !file.packs_to_delete.is_empty() {
        repository.save_json(FileKind::Index, &file)?;
    }
    Ok(())
}
