//! Where everything lies in a custom archive that is not compressed, known before the first byte of it is written.
//!
//! A container that wants to know a file's size first (tar) can take such an archive as a stream, and its table of
//! contents carries the offsets that let `pg_restore -j` find each block at once, without going back to fill them in.

use super::{Extra, Toc, custom_writer::CHUNK_BYTES};

/// The archive's size and the place of each block, in the order in which they will be written.
#[derive(Debug, Clone)]
pub struct CustomLayout {
    toc: Toc,
    position: u64,
    /// Bytes of one number.
    number: u64,
}

impl CustomLayout {
    pub fn new(toc: &Toc) -> Self {
        let toc = toc.for_custom(0);
        Self {
            position: toc.to_bytes().len() as u64,
            number: 1 + u64::from(toc.header.int_size),
            toc,
        }
    }

    /// Places the data of an entry.
    pub fn data(&mut self, dump_id: i64, bytes: u64) {
        self.begin_block(dump_id);
        self.chunks(bytes);
    }

    /// Places the block of a `BLOBS` entry with objects of these sizes.
    pub fn large_objects(&mut self, dump_id: i64, sizes: impl IntoIterator<Item = u64>) {
        self.begin_block(dump_id);
        for bytes in sizes {
            self.position += self.number;
            self.chunks(bytes);
        }
        self.position += self.number;
    }

    /// Bytes of the archive, as far as it is laid out.
    pub fn size(&self) -> u64 {
        self.position
    }

    /// The table of contents with its offsets.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    fn begin_block(&mut self, dump_id: i64) {
        let position = self.position;
        if let Some(entry) = self.toc.entries.iter_mut().find(|e| e.dump_id == dump_id) {
            entry.extra = Extra::Offset { state: 2, position };
        }
        self.position += 1 + self.number;
    }

    fn chunks(&mut self, bytes: u64) {
        let chunks = bytes.div_ceil(CHUNK_BYTES as u64);
        self.position += bytes + (chunks + 1) * self.number;
    }
}
