//! Key files: each holds the repository's master key, sealed with a key that scrypt makes from one password.
//!
//! Adding or removing a password touches one small file; the data stays as it is. Someone who once held a password and
//! kept a key file could open the master key, so a leaked password asks for a new repository.

use crate::{
    crypto::{MasterKey, fill_random},
    error::{RepositoryError, Result},
    repository::Repository,
    storage::{FileKind, ObjectKey, Storage, StorageErrorKind},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Costs of scrypt: 32 MiB of memory and some tens of milliseconds.
const LOG_N: u8 = 15;
const BLOCK_SIZE: u32 = 8;
const PARALLELISM: u32 = 1;
/// What a key file may make us allocate.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;

#[derive(Clone, Serialize, Deserialize)]
struct KeyFile {
    created: Timestamp,
    #[serde(default)]
    username: String,
    #[serde(default)]
    hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
    /// An addition that stock tools pass over.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    label: String,
}

/// One key of a repository, without its secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Name of the key file, 64 hexadecimal digits.
    pub id: String,
    pub label: String,
    pub created: Timestamp,
    pub username: String,
    pub hostname: String,
    /// Whether the repository was opened with this key.
    pub current: bool,
}

/// The keys of one repository.
#[derive(Debug)]
pub struct Keys<'a> {
    repository: &'a Repository,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(repository: &'a Repository) -> Self {
        Self { repository }
    }

    /// All keys, oldest first. A damaged key file is an error that names it.
    pub fn list(&self) -> Result<Vec<KeyInfo>> {
        let storage = self.repository.storage();
        let mut keys = Vec::new();
        for object in storage.list(FileKind::Key)? {
            let file = read_key_file(&**storage, &object.name)?;
            keys.push(KeyInfo {
                current: object.name == self.repository.key_id(),
                id: object.name,
                label: file.label,
                created: file.created,
                username: file.username,
                hostname: file.hostname,
            });
        }
        keys.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id)));
        Ok(keys)
    }

    /// Id of the key in use.
    pub fn current_id(&self) -> &'a str {
        self.repository.key_id()
    }

    /// Name and content of the key file in use: what a password opens, and cannot stand in for once it is lost.
    pub fn current_file(&self) -> Result<(String, String)> {
        let id = self.repository.key_id();
        let key = ObjectKey::new(FileKind::Key, id);
        let json = self.repository.storage().get(&key)?;
        let json = String::from_utf8(json).map_err(|e| RepositoryError::damaged(&key, e))?;
        Ok((format!("keys/{id}"), json))
    }

    /// Adds a password that opens the repository, and returns the new key's id.
    pub fn add(&self, password: &SecretString, label: &str) -> Result<String> {
        let repository = self.repository;
        write_key_file(
            &**repository.storage(),
            repository.master_key(),
            password,
            label,
            repository.clock().now(),
        )
    }

    /// Removes a key by its id or the first digits of it; refuses the one in use, which includes the last.
    pub fn remove(&self, wanted: &str) -> Result<String> {
        let names = self.repository.storage().list(FileKind::Key)?;
        let mut found = names
            .into_iter()
            .map(|o| o.name)
            .filter(|name| name.starts_with(wanted));
        let refuse = |reason| RepositoryError::KeyRefused {
            id: wanted.into(),
            reason,
        };
        let id = match (found.next(), found.next()) {
            (Some(id), None) if !wanted.is_empty() => id,
            (None, _) => {
                return Err(RepositoryError::KeyNotFound {
                    wanted: wanted.into(),
                });
            }
            _ => return Err(refuse("several keys start with these digits")),
        };
        if id == self.repository.key_id() {
            return Err(refuse(
                "it opened the repository just now; open it with another key to remove this one",
            ));
        }
        self.repository
            .storage()
            .delete(&ObjectKey::new(FileKind::Key, id.clone()))?;
        Ok(id)
    }

    /// Adds a new password and removes the key in use, in this order, and returns the new key's id.
    pub fn rotate(&self, password: &SecretString, label: &str) -> Result<String> {
        let new = self.add_seen(password, label)?;
        self.retire_for(&new)?;
        Ok(new)
    }

    /// [`Keys::add`], and the new key was seen to open the repository.
    pub fn add_seen(&self, password: &SecretString, label: &str) -> Result<String> {
        let new = self.add(password, label)?;
        let file = read_key_file(&**self.repository.storage(), &new)?;
        match unlock(&file, password) {
            Some(_) => Ok(new),
            None => Err(RepositoryError::damaged(
                ObjectKey::new(FileKind::Key, new),
                "it does not open with its password",
            )),
        }
    }

    /// Removes the key in use, as long as its successor is there: the last step of a rotation that puts the new password
    /// where it is looked for in between.
    pub fn retire_for(&self, successor: &str) -> Result<()> {
        let storage = self.repository.storage();
        let old = self.repository.key_id();
        if successor == old {
            return Err(RepositoryError::KeyRefused {
                id: old.into(),
                reason: "it cannot be its own successor",
            });
        }
        read_key_file(&**storage, successor)?;
        Ok(storage.delete(&ObjectKey::new(FileKind::Key, old))?)
    }
}

/// Makes a random key of 200 bits in letters and digits that can be copied by hand: eight groups of five.
pub fn generate_key() -> SecretString {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut random = Zeroizing::new([0u8; 40]);
    fill_random(&mut *random);
    let letters = |group: &[u8]| -> String {
        let letter = |byte: &u8| char::from(LETTERS[usize::from(byte & 31)]);
        group.iter().map(letter).collect()
    };
    let groups: Vec<String> = random.chunks(5).map(letters).collect();
    SecretString::from(groups.join("-"))
}

/// Seals the master key with a password, stores it as a new key file and returns its name.
pub(crate) fn write_key_file(
    storage: &dyn Storage,
    master: &MasterKey,
    password: &SecretString,
    label: &str,
    now: Timestamp,
) -> Result<String> {
    if password.expose_secret().is_empty() {
        return Err(RepositoryError::invalid(
            "the key of a repository must not be empty",
        ));
    }
    let mut salt = [0; 64];
    fill_random(&mut salt);
    let params = scrypt::Params::new(LOG_N, BLOCK_SIZE, PARALLELISM).expect("the costs are valid");
    let file = KeyFile {
        created: now,
        username: crate::host::username(),
        hostname: crate::host::hostname(),
        kdf: "scrypt".into(),
        n: 1 << LOG_N,
        r: BLOCK_SIZE,
        p: PARALLELISM,
        salt: STANDARD.encode(salt),
        data: STANDARD.encode(password_key(password, &salt, &params).seal(&master.to_json())),
        label: label.into(),
    };
    let json = serde_json::to_vec(&file).expect("a key file is plain data");
    let name = hex::encode(Sha256::digest(&json));
    storage.put(&ObjectKey::new(FileKind::Key, name.clone()), &json)?;
    Ok(name)
}

/// Tries the password on every key and returns the master key with the name of the file that held it.
pub(crate) fn open(storage: &dyn Storage, password: &SecretString) -> Result<(MasterKey, String)> {
    let mut damaged = None;
    let mut readable = 0;
    for object in storage.list(FileKind::Key)? {
        match read_key_file(storage, &object.name) {
            Ok(file) => {
                readable += 1;
                if let Some(master) = unlock(&file, password) {
                    return Ok((master, object.name));
                }
            }
            Err(RepositoryError::Storage(e)) if e.kind == StorageErrorKind::NotFound => {}
            Err(e @ RepositoryError::Damaged { .. }) => damaged = Some(e),
            Err(e) => return Err(e),
        }
    }
    match damaged {
        // The damaged one may be the one that this password belongs to.
        Some(damaged) => Err(damaged),
        None if readable == 0 => Err(RepositoryError::KeysLost {
            location: storage.location(),
        }),
        None => Err(RepositoryError::WrongPassword),
    }
}

/// Whether the key file is whole and can be parsed; its secrets are not touched.
pub(crate) fn check_key_file(storage: &dyn Storage, name: &str) -> Result<()> {
    read_key_file(storage, name).map(drop)
}

fn read_key_file(storage: &dyn Storage, name: &str) -> Result<KeyFile> {
    let key = ObjectKey::new(FileKind::Key, name);
    let json = storage.get(&key)?;
    if hex::encode(Sha256::digest(&json)) != name {
        return Err(RepositoryError::damaged(
            key,
            "its content does not match its name",
        ));
    }
    serde_json::from_slice(&json).map_err(|e| RepositoryError::damaged(key, e))
}

fn unlock(file: &KeyFile, password: &SecretString) -> Option<MasterKey> {
    let log_n = file.n.is_power_of_two().then(|| file.n.ilog2() as u8)?;
    let memory = file.n.checked_mul(file.r.into())?.checked_mul(128)?;
    if file.kdf != "scrypt" || memory > MAX_SCRYPT_BYTES || file.p > 64 {
        return None;
    }
    let params = scrypt::Params::new(log_n, file.r, file.p).ok()?;
    let salt = STANDARD.decode(&file.salt).ok()?;
    let mut sealed = Zeroizing::new(STANDARD.decode(&file.data).ok()?);
    let json = password_key(password, &salt, &params)
        .open_in_place(&mut sealed)
        .ok()?;
    MasterKey::from_json(json)
}

fn password_key(password: &SecretString, salt: &[u8], params: &scrypt::Params) -> MasterKey {
    let mut bytes = Zeroizing::new([0; MasterKey::LEN]);
    scrypt::scrypt(
        password.expose_secret().as_bytes(),
        salt,
        params,
        &mut *bytes,
    )
    .expect("64 bytes are a valid length");
    MasterKey::from_bytes(&bytes)
}
