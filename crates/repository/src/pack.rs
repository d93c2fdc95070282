//! Packs: files of many sealed blobs, with a sealed header at the end that lists them.
//!
//! ```text
//! blob … blob | sealed header | length of the sealed header, u32 little endian
//! header entry: kind u8 | stored length u32 | (kinds 2 and 3: plain length u32) | blob id, 32 bytes
//! kinds: 0 data, 1 tree, 2 compressed data, 3 compressed tree
//! ```

use crate::{
    crypto::{IV_LEN, MasterKey, OVERHEAD},
    error::{RepositoryError, Result},
    id::{BlobId, PackId},
    storage::{FileKind, ObjectKey},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a blob is: a piece of a file, or a directory. A pack holds one kind only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BlobKind {
    Data,
    Tree,
}

/// Largest plain blob that is read: twice what any known tool writes, so that a damaged length cannot take all memory.
pub(crate) const MAX_BLOB: usize = 64 << 20;

/// Where a blob stands in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedBlob {
    pub(crate) id: BlobId,
    pub(crate) kind: BlobKind,
    pub(crate) offset: u32,
    /// Bytes in the pack, sealed.
    pub(crate) length: u32,
    /// Plain bytes, for a compressed blob.
    pub(crate) raw_length: Option<u32>,
}

impl PackedBlob {
    /// Plain bytes.
    pub(crate) fn plain_len(&self) -> u64 {
        match self.raw_length {
            Some(raw) => raw.into(),
            None => u64::from(self.length).saturating_sub(OVERHEAD as u64),
        }
    }

    /// Bytes of the blob's header entry.
    pub(crate) fn entry_len(&self) -> u64 {
        if self.raw_length.is_some() { 41 } else { 37 }
    }
}

/// The size of a pack that holds these blobs and nothing else.
pub(crate) fn pack_size(blobs: impl IntoIterator<Item = PackedBlob>) -> u64 {
    let content: u64 = blobs
        .into_iter()
        .map(|b| u64::from(b.length) + b.entry_len())
        .sum();
    content + OVERHEAD as u64 + 4
}

/// A pack in the making.
#[derive(Debug)]
pub(crate) struct PackBuilder {
    buffer: Vec<u8>,
    blobs: Vec<PackedBlob>,
}

impl PackBuilder {
    /// Starts a pack in a buffer that may have served before.
    pub(crate) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self {
            buffer,
            blobs: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Bytes so far, without the header.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn blob_count(&self) -> usize {
        self.blobs.len()
    }

    /// Compresses (where that gains) and seals a blob straight into the pack; returns its stored length.
    pub(crate) fn add(
        &mut self,
        id: BlobId,
        kind: BlobKind,
        plain: &[u8],
        master: &MasterKey,
        compressor: &mut zstd::bulk::Compressor<'_>,
    ) -> std::io::Result<u32> {
        let start = self.buffer.len();
        let text = start + IV_LEN;
        self.buffer.resize(text, 0);
        self.buffer
            .reserve(zstd::zstd_safe::compress_bound(plain.len()) + OVERHEAD);
        let packed = {
            // zstd writes behind what the buffer already holds.
            let mut tail = std::io::Cursor::new(&mut self.buffer);
            tail.set_position(text as u64);
            compressor.compress_to_buffer(plain, &mut tail)?
        };
        let raw_length = if packed < plain.len() {
            Some(plain.len() as u32)
        } else {
            self.buffer.truncate(text);
            self.buffer.extend_from_slice(plain);
            None
        };
        Ok(self.seal_last(id, kind, start, raw_length, master))
    }

    /// Takes over a blob that is sealed already, as it stands in another pack.
    pub(crate) fn add_sealed(&mut self, blob: &PackedBlob, sealed: &[u8]) {
        debug_assert_eq!(blob.length as usize, sealed.len());
        let offset = self.buffer.len() as u32;
        self.buffer.extend_from_slice(sealed);
        self.blobs.push(PackedBlob { offset, ..*blob });
    }

    /// What is in it so far, each blob as it is stored.
    pub(crate) fn sealed_blobs(&self) -> impl Iterator<Item = (&PackedBlob, &[u8])> {
        self.blobs
            .iter()
            .map(|b| (b, &self.buffer[b.offset as usize..][..b.length as usize]))
    }

    /// Appends the header; returns the file with its name and contents.
    pub(crate) fn finish(self, master: &MasterKey) -> FinishedPack {
        let Self { mut buffer, blobs } = self;
        let start = buffer.len();
        buffer.resize(start + IV_LEN, 0);
        for blob in &blobs {
            let kind = match (blob.kind, blob.raw_length) {
                (BlobKind::Data, None) => 0,
                (BlobKind::Tree, None) => 1,
                (BlobKind::Data, Some(_)) => 2,
                (BlobKind::Tree, Some(_)) => 3,
            };
            buffer.push(kind);
            buffer.extend_from_slice(&blob.length.to_le_bytes());
            if let Some(raw) = blob.raw_length {
                buffer.extend_from_slice(&raw.to_le_bytes());
            }
            buffer.extend_from_slice(&blob.id.0);
        }
        master.seal_in_place(&mut buffer, start);
        let header_len = (buffer.len() - start) as u32;
        buffer.extend_from_slice(&header_len.to_le_bytes());
        FinishedPack {
            id: PackId::of(&buffer),
            data: buffer,
            blobs,
        }
    }

    fn seal_last(
        &mut self,
        id: BlobId,
        kind: BlobKind,
        start: usize,
        raw_length: Option<u32>,
        master: &MasterKey,
    ) -> u32 {
        master.seal_in_place(&mut self.buffer, start);
        let length = (self.buffer.len() - start) as u32;
        self.blobs.push(PackedBlob {
            id,
            kind,
            offset: start as u32,
            length,
            raw_length,
        });
        length
    }
}

/// A whole pack, ready to be stored.
#[derive(Debug)]
pub(crate) struct FinishedPack {
    pub(crate) id: PackId,
    pub(crate) data: Vec<u8>,
    pub(crate) blobs: Vec<PackedBlob>,
}

/// Opens the blob that lies in `sealed` and checks that its content is what its id says.
pub(crate) fn open_blob(
    blob: &PackedBlob,
    pack: PackId,
    sealed: &mut [u8],
    master: &MasterKey,
    decompressor: &mut zstd::bulk::Decompressor<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let damaged = |what: String| RepositoryError::DamagedBlob {
        blob: blob.id,
        pack,
        what,
    };
    let plain = master
        .open_in_place(sealed)
        .map_err(|e| damaged(e.to_string()))?;
    out.clear();
    match blob.raw_length {
        None => out.extend_from_slice(plain),
        Some(raw) if raw as usize > MAX_BLOB => {
            return Err(damaged(format!(
                "its length of {raw} bytes is beyond any limit"
            )));
        }
        Some(raw) => {
            out.reserve(raw as usize);
            decompressor
                .decompress_to_buffer(plain, out)
                .map_err(|e| damaged(e.to_string()))?;
        }
    }
    if <[u8; 32]>::from(Sha256::digest(&*out)) != blob.id.0 {
        return Err(damaged("its content does not match its id".into()));
    }
    Ok(())
}

/// Reads the list of blobs from a whole pack file.
pub(crate) fn read_header(
    pack: PackId,
    file: &[u8],
    master: &MasterKey,
) -> Result<Vec<PackedBlob>> {
    let damaged = |what: &str| {
        RepositoryError::damaged(ObjectKey::new(FileKind::Pack, pack.to_string()), what)
    };
    let (rest, length) = file
        .split_last_chunk::<4>()
        .ok_or_else(|| damaged("it is too short"))?;
    let header_start = rest
        .len()
        .checked_sub(u32::from_le_bytes(*length) as usize)
        .ok_or_else(|| damaged("its header is longer than the file"))?;
    let mut header = rest[header_start..].to_vec();
    let mut entries: &[u8] = master
        .open_in_place(&mut header)
        .map_err(|_| damaged("its header was changed"))?;
    let mut blobs = Vec::new();
    let mut offset = 0u32;
    while let Some((&kind, rest)) = entries.split_first() {
        let (kind, compressed) = match kind {
            0 => (BlobKind::Data, false),
            1 => (BlobKind::Tree, false),
            2 => (BlobKind::Data, true),
            3 => (BlobKind::Tree, true),
            _ => return Err(damaged("its header names an unknown kind of blob")),
        };
        let broken = || damaged("its header ends within an entry");
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
        let (raw_length, rest) = if compressed {
            let (raw, rest) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
            (Some(u32::from_le_bytes(*raw)), rest)
        } else {
            (None, rest)
        };
        let (id, rest) = rest.split_first_chunk::<32>().ok_or_else(broken)?;
        let length = u32::from_le_bytes(*length);
        blobs.push(PackedBlob {
            id: BlobId(*id),
            kind,
            offset,
            length,
            raw_length,
        });
        offset = offset
            .checked_add(length)
            .ok_or_else(|| damaged("its blobs are too long"))?;
        entries = rest;
    }
    if offset as usize != header_start {
        return Err(damaged("its blobs do not fill it"));
    }
    Ok(blobs)
}
