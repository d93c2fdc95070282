//! The coat of every small file (config, index, snapshot, lock): JSON, compressed with a version byte before it, sealed.

use crate::{
    crypto::MasterKey,
    error::{RepositoryError, Result},
    storage::{FileKind, ObjectKey},
};
use sha2::{Digest, Sha256};

/// Says that zstd-compressed JSON follows; bare JSON starts with `{` or `[`.
const COMPRESSED: u8 = 2;
/// Limits what a damaged or hostile frame can make us allocate. An index of 50,000 blobs takes about 10 MiB.
const MAX_UNPACKED: usize = 1 << 30;

/// Seals JSON for storing. The config stays uncompressed: it must be readable before the version is known.
pub(crate) fn encode(key: &MasterKey, kind: FileKind, json: &[u8]) -> Vec<u8> {
    if kind == FileKind::Config {
        return key.seal(json);
    }
    let mut packed = vec![COMPRESSED];
    packed.extend(
        zstd::bulk::compress(json, 3).expect("compressing memory into memory does not fail"),
    );
    key.seal(&packed)
}

/// Opens what [`encode`] or a stock tool made, after comparing its name with its content.
pub(crate) fn decode(master: &MasterKey, key: &ObjectKey, mut stored: Vec<u8>) -> Result<Vec<u8>> {
    if key.kind != FileKind::Config && hex::encode(Sha256::digest(&stored)) != key.name {
        return Err(RepositoryError::damaged(
            key,
            "its content does not match its name",
        ));
    }
    let plain = master
        .open_in_place(&mut stored)
        .map_err(|e| RepositoryError::damaged(key, e))?;
    match plain.first() {
        Some(b'{' | b'[') => Ok(plain.to_vec()),
        Some(&COMPRESSED) => unpack(&plain[1..]).map_err(|e| RepositoryError::damaged(key, e)),
        Some(other) => Err(RepositoryError::damaged(
            key,
            format!("unknown encoding {other}"),
        )),
        None => Err(RepositoryError::damaged(key, "it is empty")),
    }
}

fn unpack(frame: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut out = Vec::new();
    zstd::stream::read::Decoder::new(frame)?
        .take(MAX_UNPACKED as u64 + 1)
        .read_to_end(&mut out)?;
    if out.len() > MAX_UNPACKED {
        return Err(std::io::Error::other("it unpacks to more than a gibibyte"));
    }
    Ok(out)
}
