//! Authenticated encryption as the format has it: AES-256 in counter mode, then Poly1305-AES over the ciphertext.
//!
//! A sealed text is a random 16-byte vector, the ciphertext, and a 16-byte tag.

use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use base64::{Engine, engine::general_purpose::STANDARD};
use poly1305::Poly1305;
use rand::{TryRng, rngs::SysRng};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes before the ciphertext.
pub(crate) const IV_LEN: usize = 16;
/// Bytes that sealing adds in all.
pub(crate) const OVERHEAD: usize = IV_LEN + 16;

/// The bytes were not sealed with this key, or have changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its authentication tag does not match")]
pub(crate) struct Forged;

/// The keys that everything in a repository is sealed with.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct MasterKey {
    encrypt: [u8; 32],
    mac_k: [u8; 16],
    mac_r: [u8; 16],
}

impl MasterKey {
    pub(crate) const LEN: usize = 64;

    pub(crate) fn random() -> Self {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        fill_random(&mut *bytes);
        Self::from_bytes(&bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let part = |from: usize| -> [u8; 16] {
            bytes[from..from + 16]
                .try_into()
                .expect("the slice has 16 bytes")
        };
        let mut mac_r = part(48);
        // Poly1305 ignores these bits; stock tools write them as zero.
        for i in [3, 7, 11, 15] {
            mac_r[i] &= 0x0f;
        }
        for i in [4, 8, 12] {
            mac_r[i] &= 0xfc;
        }
        Self {
            encrypt: bytes[..32].try_into().expect("the slice has 32 bytes"),
            mac_k: part(32),
            mac_r,
        }
    }

    /// The key in the form in which a key file holds it, sealed.
    pub(crate) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(
            format!(
                r#"{{"mac":{{"k":"{}","r":"{}"}},"encrypt":"{}"}}"#,
                STANDARD.encode(self.mac_k),
                STANDARD.encode(self.mac_r),
                STANDARD.encode(self.encrypt)
            )
            .into_bytes(),
        )
    }

    /// Reads what [`MasterKey::to_json`] wrote; `None` when it is not that.
    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Mac {
            k: Zeroizing<String>,
            r: Zeroizing<String>,
        }
        #[derive(serde::Deserialize)]
        struct Keys {
            mac: Mac,
            encrypt: Zeroizing<String>,
        }
        fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
            Zeroizing::new(STANDARD.decode(text).ok()?)
                .as_slice()
                .try_into()
                .ok()
        }
        let keys: Keys = serde_json::from_slice(json).ok()?;
        Some(Self {
            encrypt: decode(&keys.encrypt)?,
            mac_k: decode(&keys.mac.k)?,
            mac_r: decode(&keys.mac.r)?,
        })
    }

    /// Seals `buffer[start..]` in place: its first [`IV_LEN`] bytes are overwritten by the vector, the tag is appended.
    pub(crate) fn seal_in_place(&self, buffer: &mut Vec<u8>, start: usize) {
        let mut iv = [0; IV_LEN];
        rand::fill(&mut iv);
        buffer[start..start + IV_LEN].copy_from_slice(&iv);
        let text = &mut buffer[start + IV_LEN..];
        ctr::Ctr128BE::<aes::Aes256>::new(&self.encrypt.into(), &iv.into()).apply_keystream(text);
        let tag = self.tag(&iv, text);
        buffer.extend_from_slice(&tag);
    }

    pub(crate) fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.resize(IV_LEN, 0);
        sealed.extend_from_slice(plain);
        self.seal_in_place(&mut sealed, 0);
        sealed
    }

    /// Checks and decrypts in place; the plain bytes are a part of `sealed`.
    pub(crate) fn open_in_place<'a>(&self, sealed: &'a mut [u8]) -> Result<&'a mut [u8], Forged> {
        let text_len = sealed.len().checked_sub(OVERHEAD).ok_or(Forged)?;
        let (iv, rest) = sealed.split_at_mut(IV_LEN);
        let (text, tag) = rest.split_at_mut(text_len);
        let iv: [u8; IV_LEN] = (&*iv).try_into().expect("split at that length");
        let expected = self.tag(&iv, text);
        // Compared without an early end, so that the time tells nothing about the tag.
        let differs = expected
            .iter()
            .zip(tag.iter())
            .fold(0, |acc, (a, b)| acc | (a ^ b));
        if differs != 0 {
            return Err(Forged);
        }
        ctr::Ctr128BE::<aes::Aes256>::new(&self.encrypt.into(), &iv.into()).apply_keystream(text);
        Ok(text)
    }

    /// A secret of its own for another use, bound to the repository.
    pub(crate) fn derive(&self, purpose: &str, repository_id: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.encrypt)
            .chain_update(self.mac_k)
            .chain_update(repository_id)
            .chain_update([0])
            .chain_update(purpose)
            .finalize()
            .into()
    }

    fn tag(&self, iv: &[u8; IV_LEN], text: &[u8]) -> [u8; 16] {
        let mut pad = (*iv).into();
        aes::Aes128::new(&self.mac_k.into()).encrypt_block(&mut pad);
        let mut key = Zeroizing::new([0; 32]);
        key[..16].copy_from_slice(&self.mac_r);
        key[16..].copy_from_slice(&pad);
        Poly1305::new((&*key).into()).compute_unpadded(text).into()
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Fills from the operating system's source of randomness.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    SysRng
        .try_fill_bytes(bytes)
        .expect("the operating system gives random bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_a_change_anywhere_is_seen() {
        let key = MasterKey::random();
        let sealed = key.seal(b"rows of a table");
        assert_eq!(
            key.open_in_place(&mut sealed.clone()),
            Ok(&mut b"rows of a table".to_vec()[..])
        );
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert_eq!(key.open_in_place(&mut changed), Err(Forged), "byte {i}");
        }
        assert_eq!(key.open_in_place(&mut sealed[..31].to_vec()), Err(Forged));
        assert_eq!(
            MasterKey::random().open_in_place(&mut sealed.clone()),
            Err(Forged)
        );
    }

    #[test]
    fn a_key_reads_back_from_its_json() {
        let key = MasterKey::random();
        let again = MasterKey::from_json(&key.to_json()).expect("reads back");
        assert_eq!(*key.to_json(), *again.to_json());
        assert!(MasterKey::from_json(b"{}").is_none());
        assert!(!format!("{key:?}").contains(&STANDARD.encode(key.mac_k)));
    }
}
