//! Which pack holds which blob.
//!
//! Index files list packs with their blobs. In memory all of them together are one sorted array of 48 bytes a blob, so
//! a repository of a terabyte takes about 50 MB.

use crate::{
    error::{RepositoryError, Result},
    id::{BlobId, PackId},
    pack::{BlobKind, PackedBlob},
    repository::Repository,
    storage::{FileKind, ObjectKey},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Blobs in one index file, at most; the figure that stock tools use.
pub(crate) const MAX_BLOBS_PER_FILE: usize = 50_000;

/// How often the index files are listed anew when some vanish meanwhile.
const LISTINGS: u32 = 4;

/// An index file as stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct IndexFile {
    /// Index files that this one stands for; written by old versions of stock tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) supersedes: Vec<String>,
    pub(crate) packs: Vec<IndexedPack>,
    /// Packs that a prune found to be unneeded and will delete later; stock restic passes over them, rustic writes the
    /// same field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) packs_to_delete: Vec<DoomedPack>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IndexedPack {
    pub(crate) id: PackId,
    pub(crate) blobs: Vec<IndexedBlob>,
}

/// A pack that is no longer indexed and waits for its deletion.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DoomedPack {
    pub(crate) id: PackId,
    /// Empty for a pack that was never indexed.
    #[serde(default)]
    pub(crate) blobs: Vec<IndexedBlob>,
    /// When it was found to be unneeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IndexedBlob {
    id: BlobId,
    #[serde(rename = "type")]
    kind: BlobKind,
    offset: u32,
    length: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uncompressed_length: Option<u32>,
}

impl IndexedPack {
    pub(crate) fn new(id: PackId, blobs: &[PackedBlob]) -> Self {
        let blobs = blobs
            .iter()
            .map(|b| IndexedBlob {
                id: b.id,
                kind: b.kind,
                offset: b.offset,
                length: b.length,
                uncompressed_length: b.raw_length,
            })
            .collect();
        Self { id, blobs }
    }

    pub(crate) fn blobs(&self) -> impl Iterator<Item = PackedBlob> + '_ {
        self.blobs.iter().map(|b| PackedBlob {
            id: b.id,
            kind: b.kind,
            offset: b.offset,
            length: b.length,
            raw_length: b.uncompressed_length.filter(|raw| *raw != 0),
        })
    }
}

/// All that is known of where blobs lie.
#[derive(Debug, Default)]
pub(crate) struct Index {
    packs: Vec<PackEntry>,
    /// Sorted by blob, then pack. A blob may lie in several packs.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct PackEntry {
    id: PackId,
    /// Bytes that the file must have.
    size: u64,
    unusable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    id: BlobId,
    /// Position in `packs`; the top bit is set for trees.
    pack: u32,
    offset: u32,
    length: u32,
    /// Zero when the blob is not compressed.
    raw_length: u32,
}

const TREE_BIT: u32 = 1 << 31;

/// A blob and the pack that it lies in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    pub(crate) pack: PackId,
    pub(crate) blob: PackedBlob,
}

impl Index {
    /// Reads every index file that can be read, and returns the names of the others with what is wrong with them.
    pub(crate) fn load_lenient(
        repository: &Repository,
    ) -> Result<(Self, Vec<(String, RepositoryError)>)> {
        let (files, problems) = Self::read_files(repository)?;
        let mut packs: HashMap<PackId, Vec<PackedBlob>> = HashMap::new();
        let superseded: HashSet<String> = files
            .iter()
            .flat_map(|(_, file)| file.supersedes.iter().cloned())
            .collect();
        for (name, file) in files {
            if superseded.contains(&name) {
                continue;
            }
            for pack in file.packs {
                packs.entry(pack.id).or_default().extend(pack.blobs());
            }
        }
        Ok((Self::from_packs(packs), problems))
    }

    /// Every index file that can be read. A file that goes while we read was replaced by a new one, so the listing is
    /// made again; one that stays missing is a problem.
    #[expect(
        clippy::type_complexity,
        reason = "two lists, taken apart at once by the only caller"
    )]
    fn read_files(
        repository: &Repository,
    ) -> Result<(Vec<(String, IndexFile)>, Vec<(String, RepositoryError)>)> {
        for attempt in 1.. {
            let (mut files, mut problems, mut gone) = (Vec::new(), Vec::new(), false);
            for object in repository.storage().list(FileKind::Index)? {
                let key = ObjectKey::new(FileKind::Index, object.name);
                match repository.load_json::<IndexFile>(&key) {
                    Ok(file) => files.push((key.name, file)),
                    Err(e) if e.is_damage() => {
                        gone |= matches!(e, RepositoryError::Storage(_));
                        problems.push((key.name, e));
                    }
                    Err(e) => return Err(e),
                }
            }
            if !gone || attempt == LISTINGS {
                return Ok((files, problems));
            }
        }
        unreachable!("the last attempt returns")
    }

    pub(crate) fn from_packs(packs: impl IntoIterator<Item = (PackId, Vec<PackedBlob>)>) -> Self {
        let mut index = Self::default();
        for (id, mut blobs) in packs {
            // The same pack may be listed by several files.
            blobs.sort_by_key(|b| (b.offset, b.id));
            blobs.dedup_by_key(|b| (b.offset, b.id));
            let number = index.packs.len() as u32;
            index.packs.push(PackEntry {
                id,
                size: crate::pack::pack_size(blobs.iter().copied()),
                unusable: false,
            });
            index.entries.extend(blobs.iter().map(|b| Entry {
                id: b.id,
                pack: number
                    | if b.kind == BlobKind::Tree {
                        TREE_BIT
                    } else {
                        0
                    },
                offset: b.offset,
                length: b.length,
                raw_length: b.raw_length.unwrap_or(0),
            }));
        }
        index.entries.sort_unstable();
        index.entries.shrink_to_fit();
        index
    }

    /// Forgets about packs that are missing or do not have the size that they must have, so that the blobs in them
    /// count as not stored. Returns those packs.
    pub(crate) fn quarantine(&mut self, stored: &HashMap<PackId, u64>) -> Vec<PackId> {
        for pack in &mut self.packs {
            pack.unusable = stored.get(&pack.id) != Some(&pack.size);
        }
        self.packs
            .iter()
            .filter(|p| p.unusable)
            .map(|p| p.id)
            .collect()
    }

    pub(crate) fn contains(&self, id: &BlobId, kind: BlobKind) -> bool {
        self.candidates(id, kind).next().is_some()
    }

    /// The blob's place; where it lies in several packs, one of them.
    pub(crate) fn find(&self, id: &BlobId, kind: BlobKind) -> Option<Located> {
        self.candidates(id, kind).next()
    }

    /// The same with the blob's number among all entries and the size of its pack.
    pub(crate) fn find_numbered(
        &self,
        id: &BlobId,
        kind: BlobKind,
    ) -> Option<(usize, Located, u64)> {
        let from = self.entries.partition_point(|e| e.id < *id);
        let same = self.entries[from..].iter().take_while(|e| e.id == *id);
        same.enumerate().find_map(|(n, entry)| {
            let (located, usable) = self.locate(entry);
            let size = self.packs[(entry.pack & !TREE_BIT) as usize].size;
            (usable && located.blob.kind == kind).then_some((from + n, located, size))
        })
    }

    /// Number of all entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every place of the blob, in usable packs.
    pub(crate) fn candidates<'a>(
        &'a self,
        id: &BlobId,
        kind: BlobKind,
    ) -> impl Iterator<Item = Located> + use<'a> {
        let id = *id;
        let from = self.entries.partition_point(|e| e.id < id);
        self.entries[from..]
            .iter()
            .take_while(move |e| e.id == id)
            .map(|e| self.locate(e))
            .filter(move |(located, usable)| *usable && located.blob.kind == kind)
            .map(|(located, _)| located)
    }

    /// Every blob of every pack; sorted by blob.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Located> + '_ {
        self.entries.iter().map(|e| self.locate(e).0)
    }

    /// Every pack with the size that it must have.
    pub(crate) fn packs(&self) -> impl Iterator<Item = (PackId, u64)> + '_ {
        self.packs.iter().map(|p| (p.id, p.size))
    }

    fn locate(&self, entry: &Entry) -> (Located, bool) {
        let pack = &self.packs[(entry.pack & !TREE_BIT) as usize];
        let blob = PackedBlob {
            id: entry.id,
            kind: if entry.pack & TREE_BIT != 0 {
                BlobKind::Tree
            } else {
                BlobKind::Data
            },
            offset: entry.offset,
            length: entry.length,
            raw_length: (entry.raw_length != 0).then_some(entry.raw_length),
        };
        (
            Located {
                pack: pack.id,
                blob,
            },
            !pack.unusable,
        )
    }
}

/// Stores packs in as many index files as they need. The packs must be durable already.
pub(crate) fn write(repository: &Repository, packs: &[IndexedPack]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut file = IndexFile::default();
    let mut blobs = 0;
    for pack in packs {
        file.packs.push(pack.clone());
        blobs += pack.blobs.len();
        if blobs >= MAX_BLOBS_PER_FILE {
            names.push(repository.save_json(FileKind::Index, &std::mem::take(&mut file))?);
            blobs = 0;
        }
    }
    if !file.packs.is_empty() {
        names.push(repository.save_json(FileKind::Index, &file)?);
    }
    Ok(names)
}
