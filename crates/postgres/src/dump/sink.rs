//! Where a dump's bytes go.

use std::io;

/// Takes the segments of a dump. Called from many threads at once, each asking for a segment, filling and finishing it.
///
/// A segment is told only its bytes; which member it belongs to, and where, comes at the end from
/// [`DumpedDatabase`](super::DumpedDatabase), so nothing waits for order while data flows.
pub trait DumpSink: Sync {
    fn segment(&self) -> io::Result<Box<dyn SegmentWriter>>;
}

/// One segment being written. Dropping it unfinished throws it away.
pub trait SegmentWriter: io::Write + Send {
    fn finish(self: Box<Self>) -> io::Result<SegmentDone>;
}

/// A segment that the sink has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentDone {
    pub bytes: u64,
    /// Number of chunks it became.
    pub chunks: u32,
    /// The sink's own handle for it, given back in [`DumpedDatabase::tokens`](super::DumpedDatabase::tokens).
    pub token: u64,
}

/// Counts bytes and keeps nothing: for measuring, and for reading a database without storing it.
#[derive(Debug, Default, Clone, Copy)]
pub struct NullSink;

#[derive(Debug, Default)]
struct NullSegment {
    bytes: u64,
}

impl DumpSink for NullSink {
    fn segment(&self) -> io::Result<Box<dyn SegmentWriter>> {
        Ok(Box::<NullSegment>::default())
    }
}

impl io::Write for NullSegment {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentWriter for NullSegment {
    fn finish(self: Box<Self>) -> io::Result<SegmentDone> {
        Ok(SegmentDone {
            bytes: self.bytes,
            chunks: 1,
            token: 0,
        })
    }
}
