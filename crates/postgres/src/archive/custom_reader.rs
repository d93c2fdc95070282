//! Reads a custom archive from front to back: table of contents, then one data block after the other.

use super::{ArchiveError, Compression, Toc, codec::Decoder, decompress};
use std::{
    collections::HashSet,
    io::{self, Read},
};

const BLOCK_DATA: u8 = 1;
const BLOCK_LARGE_OBJECTS: u8 = 3;

/// A data block of a custom archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomBlock {
    /// The data of one entry; read it with [`CustomReader::data`].
    Data { dump_id: i64 },
    /// Large objects; walk them with [`CustomReader::next_large_object`].
    LargeObjects { dump_id: i64 },
}

/// Where the reader stands.
enum Place {
    BetweenBlocks,
    /// Inside chunked data: bytes left in the chunk; true once the closing chunk was read.
    InData {
        left: u64,
        ended: bool,
        large_object: bool,
    },
    /// Before a large object, or before the end of their block.
    BetweenLargeObjects,
}

/// Walks a custom archive in the order it was written, from a file or a pipe.
pub struct CustomReader<R> {
    toc: Toc,
    compression: Compression,
    chunks: Chunks<R>,
    missing: HashSet<i64>,
}

struct Chunks<R> {
    decoder: Decoder<R>,
    place: Place,
}

impl<R: Read + Send> CustomReader<R> {
    /// Reads the table of contents. Give it a buffered input.
    pub fn new(input: R) -> Result<Self, ArchiveError> {
        let mut decoder = Decoder::new(input);
        let toc = Toc::read(&mut decoder)?;
        if toc.header.format != super::toc::FORMAT_CUSTOM {
            return Err(ArchiveError::NotAnArchive(
                "this is the toc.dat of a directory dump, not a custom archive".into(),
            ));
        }
        Ok(Self {
            compression: toc.header.compression()?,
            missing: toc
                .entries
                .iter()
                .filter(|e| e.has_data)
                .map(|e| e.dump_id)
                .collect(),
            toc,
            chunks: Chunks {
                decoder,
                place: Place::BetweenBlocks,
            },
        })
    }

    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// The next data block, after skipping what was left of the one before; `None` at the archive's end.
    ///
    /// An archive that ends before every entry's data came is reported as cut short.
    pub fn next_block(&mut self) -> Result<Option<CustomBlock>, ArchiveError> {
        self.skip_rest()?;
        let decoder = &mut self.chunks.decoder;
        let Some(kind) = decoder.byte_or_end()? else {
            return match self.missing.iter().min() {
                None => Ok(None),
                Some(id) => Err(ArchiveError::Truncated {
                    what: format!("data blocks (the data of entry {id} is missing)"),
                }),
            };
        };
        let dump_id = decoder.int("a data block's number")?;
        if !self.missing.remove(&dump_id) {
            return Err(decoder.damaged(format!("unexpected data block {dump_id}")));
        }
        match kind {
            BLOCK_DATA => {
                self.chunks.begin_data(false);
                Ok(Some(CustomBlock::Data { dump_id }))
            }
            BLOCK_LARGE_OBJECTS => {
                self.chunks.place = Place::BetweenLargeObjects;
                Ok(Some(CustomBlock::LargeObjects { dump_id }))
            }
            other => Err(decoder.damaged(format!("unknown kind of data block {other}"))),
        }
    }

    /// The OID of the next large object of the current block; `None` at the block's end.
    pub fn next_large_object(&mut self) -> Result<Option<u32>, ArchiveError> {
        if matches!(
            self.chunks.place,
            Place::InData {
                large_object: true,
                ..
            }
        ) {
            self.chunks.skip_data()?;
        }
        if !matches!(self.chunks.place, Place::BetweenLargeObjects) {
            return Ok(None);
        }
        let decoder = &mut self.chunks.decoder;
        match decoder.int("a large object's number")? {
            0 => {
                self.chunks.place = Place::BetweenBlocks;
                Ok(None)
            }
            oid => {
                let oid = u32::try_from(oid)
                    .map_err(|_| decoder.damaged(format!("large object number {oid}")))?;
                self.chunks.begin_data(true);
                Ok(Some(oid))
            }
        }
    }

    /// The uncompressed data of the current entry or large object.
    pub fn data(&mut self) -> Result<Box<dyn Read + Send + '_>, ArchiveError> {
        // Newer pg_dump writes no compressed stream at all for empty data.
        if self.chunks.at_end_of_data()? {
            return Ok(Box::new(io::empty()));
        }
        let chunks = &mut self.chunks;
        if self.compression == Compression::Gzip {
            // Inside a custom archive the stream has zlib's framing, not gzip's.
            return Ok(Box::new(flate2::read::ZlibDecoder::new(chunks)));
        }
        decompress(self.compression, chunks).map_err(ArchiveError::from)
    }

    fn skip_rest(&mut self) -> Result<(), ArchiveError> {
        while self.next_large_object()?.is_some() {}
        self.chunks.skip_data()
    }
}

impl<R: Read> Chunks<R> {
    fn begin_data(&mut self, large_object: bool) {
        self.place = Place::InData {
            left: 0,
            ended: false,
            large_object,
        };
    }

    /// True when no byte is left, after reading the next chunk's length if need be.
    fn at_end_of_data(&mut self) -> Result<bool, ArchiveError> {
        let Place::InData { left, ended, .. } = &mut self.place else {
            return Ok(true);
        };
        if *left == 0 && !*ended {
            let length = self.decoder.int("a data block")?;
            *left = u64::try_from(length)
                .map_err(|_| self.decoder.damaged(format!("a chunk of {length} bytes")))?;
            *ended = length == 0;
        }
        Ok(*ended)
    }

    fn skip_data(&mut self) -> Result<(), ArchiveError> {
        if let Place::InData { large_object, .. } = self.place {
            let mut buffer = vec![0; 64 * 1024];
            while self.read_some(&mut buffer)? > 0 {}
            self.place = match large_object {
                true => Place::BetweenLargeObjects,
                false => Place::BetweenBlocks,
            };
        }
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        if buffer.is_empty() || self.at_end_of_data()? {
            return Ok(0);
        }
        let Place::InData { left, .. } = &mut self.place else {
            return Ok(0);
        };
        let wanted = usize::try_from(*left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        self.decoder.fill_some(&mut buffer[..wanted], left)
    }
}

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_some(buffer)?)
    }
}

impl<R: Read> Decoder<R> {
    /// Reads once, at least a byte, and takes what came off `left`.
    fn fill_some(&mut self, buffer: &mut [u8], left: &mut u64) -> Result<usize, ArchiveError> {
        loop {
            match self.get_mut().read(buffer) {
                Ok(0) => {
                    return Err(ArchiveError::Truncated {
                        what: "a data block".into(),
                    });
                }
                Ok(got) => {
                    *left -= got as u64;
                    self.advance(got);
                    return Ok(got);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ArchiveError::from_io(e, "a data block")),
            }
        }
    }
}
