//! Filling large objects. pg_restore's pre-data section has made them, with owners and grants; here their bytes follow.

use super::{data, source::DumpSource, workers::share_out};
use crate::{Error, Result, connect::ConnectOptions, wire::Connection};
use pgkeep_model::{
    CancelToken, Progress,
    manifest::{DatabaseManifest, Member, MemberContent},
};
use std::{fmt::Write, io::Read};

/// Bytes written by one `lo_put`; a multiple of the page size of large objects (2 kB), so that no page is written twice.
const PIECE: usize = 256 * 1024;
/// Bytes sent in one statement text at most: many small objects share one transaction.
const BATCH: usize = 1024 * 1024;

/// Fills all large objects of the dump, several at once; returns how many there are.
pub(super) fn load_all(
    target: &ConnectOptions,
    jobs: usize,
    manifest: &DatabaseManifest,
    source: &dyn DumpSource,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<u64> {
    let objects = objects_of(manifest);
    share_out(
        jobs,
        batches(&objects),
        cancel,
        |stop| data::open(target, manifest, stop),
        |connection, batch| fill(connection, batch, source, progress),
    )?;
    Ok(objects.len() as u64)
}

/// The same on one connection, in its open transaction.
pub(super) fn load_on(
    connection: &mut Connection,
    manifest: &DatabaseManifest,
    source: &dyn DumpSource,
    progress: &dyn Progress,
) -> Result<u64> {
    let objects = objects_of(manifest);
    fill(connection, &objects, source, progress)?;
    Ok(objects.len() as u64)
}

fn objects_of(manifest: &DatabaseManifest) -> Vec<(u32, &Member)> {
    let object = |m: &'_ Member| match m.what {
        MemberContent::LargeObject { oid } => Some(oid),
        _ => None,
    };
    manifest
        .members
        .iter()
        .filter_map(|m| Some((object(m)?, m)))
        .collect()
}

/// Neighbours go together until they reach the size of a batch.
fn batches<'a, 'm>(objects: &'a [(u32, &'m Member)]) -> Vec<&'a [(u32, &'m Member)]> {
    let mut out = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, (_, member)) in objects.iter().enumerate() {
        bytes += member.size as usize;
        if bytes >= BATCH || at - start >= 500 {
            out.push(&objects[start..=at]);
            (start, bytes) = (at + 1, 0);
        }
    }
    if start < objects.len() {
        out.push(&objects[start..]);
    }
    out
}

fn fill(
    connection: &mut Connection,
    objects: &[(u32, &Member)],
    source: &dyn DumpSource,
    progress: &dyn Progress,
) -> Result<()> {
    let mut sql = String::new();
    let mut piece = vec![0; PIECE];
    for (oid, member) in objects {
        let doing = || format!("filling large object {oid}");
        let local = |e| Error::local(doing(), e);
        let mut reader = source.read(member).map_err(local)?;
        let mut offset = 0u64;
        loop {
            let n = read_full(&mut reader, &mut piece).map_err(local)?;
            if n == 0 {
                break;
            }
            write!(
                sql,
                "SELECT pg_catalog.lo_put({oid}, {offset}, '\\x{}'); ",
                hex::encode(&piece[..n])
            )
            .expect("writing to a string");
            offset += n as u64;
            progress.bytes(n as u64);
            if sql.len() >= BATCH {
                connection.execute(&sql).map_err(|e| e.doing(doing()))?;
                sql.clear();
            }
        }
        if offset != member.size {
            return Err(local(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                format!("{offset} bytes where {} were written", member.size),
            )));
        }
    }
    if !sql.is_empty() {
        connection
            .execute(&sql)
            .map_err(|e| e.doing("filling large objects"))?;
    }
    Ok(())
}

fn read_full(reader: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
