//! Large objects, read in pieces, many together.

use super::Piece;
use crate::{Error, Result, restore::workers::lock, wire::Connection};
use pgkeep_model::{
    CancelToken, Progress,
    evidence::{ContentHash, LargeObjectEvidence, Proof},
};
use std::{collections::HashMap, sync::Mutex};
use xxhash_rust::xxh3::Xxh3;

/// Bytes of one large object read at a time, and objects asked for together.
const PIECE: usize = 256 * 1024;
const OBJECTS_AT_ONCE: usize = 32;

/// Counts the large objects, and lists what of them must be read.
pub(super) fn pieces(
    connection: &mut Connection,
    proof: Proof,
    evidence: &Mutex<LargeObjectEvidence>,
) -> Result<Vec<Piece>> {
    let rows =
        connection.query("SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid")?;
    lock(evidence).count = rows.len() as u64;
    if proof == Proof::Counts {
        return Ok(Vec::new());
    }
    let oids: Vec<u32> = rows.iter().filter_map(|r| r.parse(0)).collect();
    Ok(oids
        .chunks(OBJECTS_AT_ONCE)
        .map(|c| Piece::LargeObjects(c.to_vec()))
        .collect())
}

/// Reads these objects whole; the result's count is not set.
pub(super) fn sum(
    connection: &mut Connection,
    mut oids: Vec<u32>,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<LargeObjectEvidence> {
    let mut hashes: HashMap<u32, Xxh3> = HashMap::new();
    let mut sum = LargeObjectEvidence::default();
    let mut offset = 0u64;
    while !oids.is_empty() {
        cancel.check()?;
        let list: Vec<_> = oids.iter().map(|oid| format!("({oid}::oid)")).collect();
        let rows = connection
            .query(&format!(
                "SELECT v.oid, pg_catalog.encode(pg_catalog.lo_get(v.oid, {offset}, {PIECE}), 'hex') AS piece \
                 FROM (VALUES {}) AS v(oid)",
                list.join(", ")
            ))
            .map_err(|e| e.doing("reading large objects"))?;
        let mut unfinished = Vec::new();
        for row in rows.iter() {
            let (Some(oid), Some(piece)) = (row.parse::<u32>("oid"), row.get("piece")) else {
                continue;
            };
            let bytes = hex::decode(piece).map_err(|e| Error::Protocol {
                doing: "reading large objects".into(),
                what: e.to_string(),
            })?;
            let hash = hashes.entry(oid).or_insert_with(|| {
                let mut hash = Xxh3::new();
                hash.update(&oid.to_le_bytes());
                hash
            });
            hash.update(&bytes);
            sum.bytes += bytes.len() as u64;
            progress.bytes(bytes.len() as u64);
            match bytes.len() == PIECE {
                true => unfinished.push(oid),
                false => sum.hash.add(ContentHash(hash.digest128())),
            }
        }
        oids = unfinished;
        offset += PIECE as u64;
    }
    Ok(sum)
}
