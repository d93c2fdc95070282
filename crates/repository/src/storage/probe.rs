//! Tries a store out before a repository is trusted to it.
//!
//! Every promise that the repository builds on is asked for with a small object of random bytes, stored under the hash
//! of its content like a pack, so that whoever looks at the place meanwhile takes it for a pack that nobody uses.

use rand::RngExt;
use sha2::{Digest, Sha256};

use super::{FileKind, ObjectKey, Storage, StorageError, StorageErrorKind};

/// What a store must or should be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    Write,
    ReadBack,
    ReadRange,
    Size,
    List,
    CreateOnly,
    Delete,
}

impl Ability {
    /// Whether a repository cannot work without it.
    pub fn is_needed(self) -> bool {
        self != Ability::CreateOnly
    }

    /// The words shown to a user.
    pub fn label(self) -> &'static str {
        match self {
            Ability::Write => "write",
            Ability::ReadBack => "read back",
            Ability::ReadRange => "read a part",
            Ability::Size => "tell an object's size",
            Ability::List => "list",
            Ability::CreateOnly => "create only what is new",
            Ability::Delete => "delete",
        }
    }
}

/// How one ability was found; the text says what went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub ability: Ability,
    pub result: Result<(), String>,
}

/// What a store was found able to do, in the order in which it was tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProbeReport {
    pub findings: Vec<Finding>,
}

impl ProbeReport {
    /// Whether a repository can live here.
    pub fn is_usable(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.result.is_ok() || !finding.ability.is_needed())
    }

    /// Whether creating an object that exists is refused.
    pub fn refuses_overwrite(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.ability == Ability::CreateOnly && finding.result.is_ok())
    }

    /// What is missing, one sentence each.
    pub fn lacks(&self) -> Vec<String> {
        self.findings
            .iter()
            .filter_map(|finding| {
                let reason = finding.result.as_ref().err()?;
                Some(format!("cannot {}: {reason}", finding.ability.label()))
            })
            .collect()
    }

    fn note(&mut self, ability: Ability, result: Result<(), String>) -> bool {
        let ok = result.is_ok();
        self.findings.push(Finding { ability, result });
        ok
    }
}

/// Writes, reads back, lists and deletes a small object, and removes it again whatever happens.
pub fn probe(storage: &dyn Storage) -> ProbeReport {
    let mut data = vec![0u8; 4096];
    rand::rng().fill(&mut data[..]);
    let key = ObjectKey::new(FileKind::Pack, hex::encode(Sha256::digest(&data)));
    let mut report = ProbeReport::default();

    let written = storage
        .prepare()
        .and_then(|()| storage.put(&key, &data))
        .and_then(|()| storage.flush());
    if !report.note(Ability::Write, words(written)) {
        // An answer may be lost where the write was not.
        drop(storage.delete(&key));
        return report;
    }
    report.note(Ability::ReadBack, expect_bytes(storage.get(&key), &data));
    report.note(
        Ability::ReadRange,
        expect_bytes(storage.get_range(&key, 1000, 96), &data[1000..1096]),
    );
    report.note(
        Ability::Size,
        expect_size(storage.stat(&key), Some(data.len() as u64)),
    );
    report.note(Ability::List, expect_listed(storage, &key, data.len()));
    report.note(Ability::CreateOnly, expect_refusal(storage, &key, &data));
    let deleted = storage
        .delete(&key)
        .map_err(|error| error.to_string())
        .and_then(|()| expect_size(storage.stat(&key), None));
    report.note(Ability::Delete, deleted);
    report
}

fn words<T>(result: Result<T, StorageError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn expect_bytes(found: Result<Vec<u8>, StorageError>, expected: &[u8]) -> Result<(), String> {
    let found = words(found)?;
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "other bytes came back than were written ({} instead of {})",
        found.len(),
        expected.len()
    ))
}

fn expect_size(
    found: Result<Option<u64>, StorageError>,
    expected: Option<u64>,
) -> Result<(), String> {
    match (words(found)?, expected) {
        (found, expected) if found == expected => Ok(()),
        (Some(found), Some(expected)) => Err(format!("{found} bytes instead of {expected}")),
        (None, _) => Err("the object that was just written is not there".to_owned()),
        (Some(_), None) => Err("the object that was just deleted is still there".to_owned()),
    }
}

fn expect_listed(storage: &dyn Storage, key: &ObjectKey, size: usize) -> Result<(), String> {
    let listed = words(storage.list(key.kind))?;
    match listed.iter().find(|object| object.name == key.name) {
        Some(object) if object.size == size as u64 => Ok(()),
        Some(object) => Err(format!(
            "the listing says {} bytes where {size} were written",
            object.size
        )),
        None => Err("the object that was just written is not listed".to_owned()),
    }
}

/// The second creation of a name must fail and leave the first content alone.
fn expect_refusal(storage: &dyn Storage, key: &ObjectKey, data: &[u8]) -> Result<(), String> {
    match storage.create_new(key, b"second") {
        Err(error) if error.kind == StorageErrorKind::AlreadyExists => {
            expect_bytes(storage.get(key), data)
        }
        Err(error) => Err(error.to_string()),
        Ok(()) => Err("an existing object was overwritten without a word".to_owned()),
    }
}
