//! One stream of a writer: cutting in the caller's thread, everything else elsewhere.

use super::pipeline::{Chunk, Shared, Work};
use crate::{chunker::Chunker, error::Result, id::BlobId};
use parking_lot::Mutex;
use std::{io, sync::Arc};

const SMALLEST_BUFFER: usize = 64 << 10;

/// Takes the bytes of one stream. An error of any worker shows in the next write.
#[derive(Debug)]
pub struct StreamWriter {
    shared: Arc<Shared>,
    chunker: Chunker,
    buffer: Vec<u8>,
    slots: Arc<ChunkSlots>,
    bytes: u64,
    chunks: u32,
}

/// Where workers put the ids of a stream's chunks.
pub(super) type ChunkSlots = Mutex<Vec<BlobId>>;

/// A finished stream, to be placed in a file.
#[derive(Debug)]
pub struct StreamParts {
    pub bytes: u64,
    pub chunks: u32,
    shared: Arc<Shared>,
    slots: Arc<ChunkSlots>,
}

impl StreamWriter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            chunker: Chunker::new(shared.gear.clone()),
            buffer: shared.recycled_buffer(),
            shared,
            slots: Arc::default(),
            bytes: 0,
            chunks: 0,
        }
    }

    /// Hands over the last chunk. Its storing goes on in the background.
    pub fn finish(mut self) -> Result<StreamParts> {
        self.shared.check()?;
        if !self.buffer.is_empty() {
            self.hand_over()?;
        }
        Ok(StreamParts {
            bytes: self.bytes,
            chunks: self.chunks,
            shared: self.shared,
            slots: self.slots,
        })
    }

    fn take(&mut self, data: &[u8]) {
        let needed = self.buffer.len() + data.len();
        if needed > self.buffer.capacity() {
            // Powers of two end exactly at the largest chunk, which growth by `Vec` would overshoot.
            let capacity = needed.next_power_of_two().max(SMALLEST_BUFFER);
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
        self.buffer.extend_from_slice(data);
    }

    fn hand_over(&mut self) -> Result<()> {
        let data = std::mem::replace(&mut self.buffer, self.shared.recycled_buffer());
        self.bytes += data.len() as u64;
        self.shared.count_read(data.len() as u64);
        let chunk = Chunk::of_stream(self.slots.clone(), self.chunks, data);
        self.chunks += 1;
        self.shared.send(Work::Chunk(chunk))
    }
}

impl io::Write for StreamWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.shared.check()?;
        let mut rest = data;
        while let Some(n) = self.chunker.next_cut(rest) {
            self.take(&rest[..n]);
            self.hand_over()?;
            rest = &rest[n..];
        }
        self.take(rest);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StreamParts {
    /// The chunks' ids, once all workers are done; `None` when the stream is another writer's.
    pub(super) fn chunk_ids(&self, shared: &Arc<Shared>) -> Option<Vec<BlobId>> {
        let ids = self.slots.lock();
        (Arc::ptr_eq(shared, &self.shared) && ids.len() == self.chunks as usize)
            .then(|| ids.clone())
    }
}
