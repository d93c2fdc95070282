//! How secrets lie in the catalog: sealed under a key that lies beside it, never in it.
//!
//! A text that names where a secret is (`env:NAME`, `file:/path`) is kept as it is. Anything else becomes
//! `enc:v1:` and base64 of nonce, AES-256-GCM ciphertext and tag; the place that it belongs to (`apps/shop/admin_url`)
//! is authenticated with it, so a sealed value that was moved to another place does not open.

use crate::error::{CatalogError, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use pgkeep_model::secret::is_reference;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::io::Write as _;
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

const PREFIX: &str = "enc:v1:";
const FILE_PREFIX: &str = "pgkeep-catalog-key:v1:";

/// Opens and closes secrets.
pub(crate) struct Seal {
    key: LessSafeKey,
    id: String,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("id", &self.id).finish()
    }
}

impl Seal {
    pub(crate) fn new(mut key: [u8; 32]) -> Seal {
        let digest = Sha256::new()
            .chain_update(b"pgkeep catalog key id\0")
            .chain_update(key)
            .finalize();
        let unbound = UnboundKey::new(&AES_256_GCM, &key).expect("AES-256 takes a key of 32 bytes");
        key.zeroize();
        Seal {
            key: LessSafeKey::new(unbound),
            id: hex::encode(&digest[..8]),
        }
    }

    /// Names the key without telling it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn seal(&self, context: &str, plain: &str) -> String {
        if is_reference(plain) {
            return plain.to_owned();
        }
        let mut nonce = [0u8; NONCE_LEN];
        getrandom::fill(&mut nonce).expect("the system gives random bytes");
        let mut bytes = plain.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut bytes,
            )
            .expect("a text is far shorter than what AES-GCM can seal");
        let mut whole = nonce.to_vec();
        whole.append(&mut bytes);
        format!("{PREFIX}{}", BASE64.encode(whole))
    }

    pub(crate) fn open(&self, context: &str, stored: &str) -> Result<SecretString> {
        let Some(encoded) = stored.strip_prefix(PREFIX) else {
            return if is_reference(stored) {
                Ok(stored.into())
            } else {
                // Never happens to what `seal` wrote: somebody put plain text there by hand.
                Err(unsealable(context))
            };
        };
        let whole = BASE64.decode(encoded).map_err(|_| unsealable(context))?;
        let (nonce, sealed) = whole
            .split_at_checked(NONCE_LEN)
            .ok_or_else(|| unsealable(context))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| unsealable(context))?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut bytes)
            .map_err(|_| unsealable(context))?;
        let text = std::str::from_utf8(plain).map_err(|_| unsealable(context))?;
        Ok(text.into())
    }
}

fn unsealable(context: &str) -> CatalogError {
    CatalogError::Unsealable {
        context: context.to_owned(),
    }
}

/// Reads a key file; `None` where there is none.
pub(crate) fn read_key_file(path: &Path) -> Result<Option<[u8; 32]>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(CatalogError::Io {
                action: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    let unreadable = || CatalogError::BadKey {
        why: format!("{} is not a key file of a catalog", path.display()),
    };
    let encoded = text
        .trim()
        .strip_prefix(FILE_PREFIX)
        .ok_or_else(unreadable)?;
    let mut bytes = Zeroizing::new(BASE64.decode(encoded).map_err(|_| unreadable())?);
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| unreadable())?;
    bytes.zeroize();
    Ok(Some(key))
}

/// Makes a key and stores it durably at a place where there is none.
pub(crate) fn make_key_file(path: &Path) -> Result<[u8; 32]> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |source| CatalogError::Io {
        action: "make the key file",
        path: path.to_owned(),
        source,
    };
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).expect("the system gives random bytes");
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let text = Zeroizing::new(format!("{FILE_PREFIX}{}\n", BASE64.encode(key)));
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(failed)?;
    }
    Ok(key)
}
