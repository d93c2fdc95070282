//! Writes a custom archive that stock pg_restore reads.
//!
//! Data must come in the order of the table of contents: pg_restore reading from a pipe cannot go back. When the output
//! can seek, the offsets are filled in at the end, which is what lets `pg_restore -j` find each block at once.

use super::{ArchiveError, CustomLayout, Entry, Extra, Toc, codec::Encoder};
use flate2::{Compression as Level, write::ZlibEncoder};
use std::{
    collections::HashMap,
    io::{self, Read, Seek, SeekFrom, Write},
};

const BLOCK_DATA: u8 = 1;
const BLOCK_LARGE_OBJECTS: u8 = 3;
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// Writes one custom archive, front to back.
pub struct CustomWriter<W> {
    out: W,
    toc: Toc,
    gzip_level: u32,
    position: u64,
    block_positions: HashMap<i64, u64>,
}

impl<W: Write> CustomWriter<W> {
    /// Writes header and table of contents; `gzip_level` 0 leaves data uncompressed.
    pub fn new(out: W, toc: &Toc, gzip_level: u32) -> Result<Self, ArchiveError> {
        Self::begin(out, toc.for_custom(gzip_level), gzip_level)
    }

    /// Writes an archive as it was laid out: the same entries' data must come, with the same sizes.
    pub fn laid_out(out: W, layout: &CustomLayout) -> Result<Self, ArchiveError> {
        Self::begin(out, layout.toc().clone(), 0)
    }

    fn begin(mut out: W, toc: Toc, gzip_level: u32) -> Result<Self, ArchiveError> {
        let bytes = toc.to_bytes();
        out.write_all(&bytes)?;
        Ok(Self {
            out,
            toc,
            gzip_level,
            position: bytes.len() as u64,
            block_positions: HashMap::new(),
        })
    }

    /// Writes the data of an entry (a table's COPY text with its end mark).
    pub fn data(&mut self, dump_id: i64, content: impl Read) -> Result<(), ArchiveError> {
        self.begin_block(BLOCK_DATA, dump_id)?;
        self.chunks(content)
    }

    /// Begins the block of a `BLOBS` entry; then comes each object, then [`CustomWriter::end_large_objects`].
    pub fn begin_large_objects(&mut self, dump_id: i64) -> Result<(), ArchiveError> {
        self.begin_block(BLOCK_LARGE_OBJECTS, dump_id)
    }

    pub fn large_object(&mut self, oid: u32, content: impl Read) -> Result<(), ArchiveError> {
        self.int(i64::from(oid))?;
        self.chunks(content)
    }

    pub fn end_large_objects(&mut self) -> Result<(), ArchiveError> {
        self.int(0)
    }

    /// Ends an archive whose output cannot seek.
    pub fn finish(mut self) -> Result<W, ArchiveError> {
        self.require_all_blocks()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn require_all_blocks(&self) -> Result<(), ArchiveError> {
        let missing = |e: &&Entry| e.has_data && !self.block_positions.contains_key(&e.dump_id);
        match self.toc.entries.iter().find(missing) {
            None => Ok(()),
            Some(e) => Err(ArchiveError::MissingMember(format!(
                "of entry {}, {} {}",
                e.dump_id,
                e.desc(),
                e.tag()
            ))),
        }
    }

    fn begin_block(&mut self, kind: u8, dump_id: i64) -> Result<(), ArchiveError> {
        self.block_positions.insert(dump_id, self.position);
        self.put(&[kind])?;
        self.int(dump_id)
    }

    fn chunks(&mut self, mut content: impl Read) -> Result<(), ArchiveError> {
        if self.gzip_level == 0 {
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let got = fill(&mut content, &mut buffer)?;
                if got == 0 {
                    break;
                }
                self.chunk(&buffer[..got])?;
            }
        } else {
            let level = Level::new(self.gzip_level.min(9));
            let chunks = io::BufWriter::with_capacity(CHUNK_BYTES, ChunkWriter { to: self });
            let mut encoder = ZlibEncoder::new(chunks, level);
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let got = fill(&mut content, &mut buffer)?;
                if got == 0 {
                    break;
                }
                encoder.write_all(&buffer[..got])?;
            }
            encoder.finish()?.flush()?;
        }
        self.int(0)
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.int(bytes.len() as i64)?;
        self.put(bytes)
    }

    fn int(&mut self, value: i64) -> Result<(), ArchiveError> {
        let mut encoder = Encoder::new(self.toc.header.int_size);
        encoder.int(value);
        self.put(&encoder.out)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

impl<W: Write + Seek> CustomWriter<W> {
    /// Ends an archive that began at the output's start, and records where each block lies.
    pub fn finish_with_offsets(mut self) -> Result<W, ArchiveError> {
        self.require_all_blocks()?;
        for entry in &mut self.toc.entries {
            if let Some(position) = self.block_positions.get(&entry.dump_id) {
                entry.extra = Extra::Offset {
                    state: 2,
                    position: *position,
                };
            }
        }
        // Offsets have a fixed width, so the table of contents keeps its length.
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&self.toc.to_bytes())?;
        self.out.seek(SeekFrom::End(0))?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Turns writes into chunks of the archive.
struct ChunkWriter<'a, W> {
    to: &'a mut CustomWriter<W>,
}

impl<W: Write> Write for ChunkWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            self.to.chunk(bytes)?; // an empty chunk would end the data
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fills the buffer as far as the input goes.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
