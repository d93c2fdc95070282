//! Reads and writes pg_dump's tar format: `toc.dat` first, then the members in the order of the table of contents.
//!
//! Only what pg_dump and pg_restore need of tar: plain files with short names, sizes as octal or, from 8 GiB on, base 256.

use super::{ArchiveError, Extra, Toc, read_directory_toc};
use std::{
    collections::HashSet,
    io::{self, Read, Write},
};

pub(super) const BLOCK: usize = 512;

/// Walks a tar dump from front to back.
pub struct TarReader<R> {
    input: R,
    toc: Toc,
    offset: u64,
    left: u64,
    padding: u64,
    missing: HashSet<String>,
    done: bool,
}

impl<R: Read> TarReader<R> {
    /// Reads the first member, which must be `toc.dat`. Give it a buffered input.
    pub fn new(input: R) -> Result<Self, ArchiveError> {
        let mut reader = Self {
            input,
            toc: Toc {
                header: super::Header {
                    version: (0, 0, 0),
                    int_size: 4,
                    offset_size: 8,
                    format: 0,
                    compression: 0,
                    created: [0; 7],
                    dbname: None,
                    server_version: None,
                    dump_version: None,
                },
                entries: Vec::new(),
            },
            offset: 0,
            left: 0,
            padding: 0,
            missing: HashSet::new(),
            done: false,
        };
        match reader.next_header()? {
            Some((name, _)) if name == "toc.dat" => {}
            _ => {
                return Err(ArchiveError::NotAnArchive(
                    "the tar file does not begin with toc.dat".into(),
                ));
            }
        }
        let toc = read_directory_toc(io::BufReader::new(reader.member()))?;
        reader.toc = with_lists_named(toc);
        reader.missing = reader
            .toc
            .entries
            .iter()
            .filter_map(|e| Some(e.file()?.to_owned()))
            .collect();
        Ok(reader)
    }

    /// With the lists of large objects as the files of their entries.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// Name and size of the next member, after skipping what was left of the one before; `None` at the archive's end.
    ///
    /// An archive that ends before every entry's member came is reported as cut short.
    pub fn next_member(&mut self) -> Result<Option<(String, u64)>, ArchiveError> {
        let next = self.next_header()?;
        match (&next, self.missing.iter().min()) {
            (Some((name, _)), _) => {
                self.missing.remove(name);
            }
            (None, Some(name)) => {
                return Err(ArchiveError::Truncated {
                    what: format!("members ({name} is missing)"),
                });
            }
            (None, None) => {}
        }
        Ok(next)
    }

    /// The content of the current member.
    pub fn member(&mut self) -> impl Read + '_ {
        Member { reader: self }
    }

    fn next_header(&mut self) -> Result<Option<(String, u64)>, ArchiveError> {
        self.skip_rest()?;
        if self.done {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.input
            .read_exact(&mut block)
            .map_err(|e| ArchiveError::from_io(e, "a member's header"))?;
        self.offset += BLOCK as u64;
        if block.iter().all(|b| *b == 0) {
            self.done = true;
            return Ok(None);
        }
        let (name, size) = parse_header(&block).ok_or_else(|| ArchiveError::Damaged {
            offset: self.offset - BLOCK as u64,
            what: "a member's header".into(),
        })?;
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(Some((name, size)))
    }

    fn skip_rest(&mut self) -> Result<(), ArchiveError> {
        let rest = self.left + self.padding;
        let skipped = io::copy(&mut self.input.by_ref().take(rest), &mut io::sink())?;
        if skipped != rest {
            return Err(ArchiveError::Truncated {
                what: "a member".into(),
            });
        }
        self.offset += rest;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }
}

/// In a tar dump the entries of large objects carry a file name that no member has; their member is the objects' list.
fn with_lists_named(mut toc: Toc) -> Toc {
    for index in 0..toc.entries.len() {
        if toc.entries[index].is("BLOBS") {
            let name = toc.large_object_list_name(&toc.entries[index]);
            toc.entries[index].extra = Extra::File(Some(name.into_bytes()));
        }
    }
    toc
}

struct Member<'a, R> {
    reader: &'a mut TarReader<R>,
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader = &mut *self.reader;
        let wanted = usize::try_from(reader.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let got = reader.input.read(&mut buffer[..wanted])?;
        if got == 0 {
            return Err(ArchiveError::Truncated {
                what: "a member".into(),
            }
            .into());
        }
        reader.left -= got as u64;
        reader.offset += got as u64;
        Ok(got)
    }
}

fn parse_header(block: &[u8; BLOCK]) -> Option<(String, u64)> {
    let stored = parse_number(&block[148..156])?;
    if stored != u64::from(checksum(block)) || !matches!(block[156], 0 | b'0') {
        return None;
    }
    let name = block[..100].split(|b| *b == 0).next()?;
    let name = std::str::from_utf8(name).ok()?;
    // A size near the end of the range would overflow the padding.
    let size = parse_number(&block[124..136]).filter(|size| *size < 1 << 60)?;
    (!name.is_empty()).then(|| (name.to_owned(), size))
}

/// Octal text, or base 256 marked by the first byte's high bit.
pub(super) fn parse_number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return field[1..].iter().try_fold(0u64, |value, byte| {
            Some(value.checked_mul(256)? + u64::from(*byte))
        });
    }
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(|c| c == ' ' || c == '\0'), 8).ok()
}

/// The sum of all bytes, the checksum's own field counted as spaces.
pub(super) fn checksum(block: &[u8; BLOCK]) -> u32 {
    let all: u32 = block.iter().map(|b| u32::from(*b)).sum();
    let own: u32 = block[148..156].iter().map(|b| u32::from(*b)).sum();
    all - own + 8 * u32::from(b' ')
}

/// Writes a tar dump that stock pg_restore reads. Each member's size must be known beforehand.
pub struct TarWriter<W> {
    out: W,
    modified_secs: u64,
}

impl<W: Write> TarWriter<W> {
    /// Begins with `toc.dat`; `modified_secs` (since 1970) stands in every header.
    pub fn new(out: W, toc: &Toc, modified_secs: u64) -> Result<Self, ArchiveError> {
        let mut writer = Self::plain(out, modified_secs);
        let bytes = super::write_directory_toc(toc);
        writer.member("toc.dat", bytes.len() as u64, bytes.as_slice())?;
        Ok(writer)
    }

    /// A tar file without anything yet, for members whose table of contents is one of them.
    pub fn plain(out: W, modified_secs: u64) -> Self {
        Self { out, modified_secs }
    }

    /// Writes one member of exactly `size` bytes. A `BLOBS` entry's objects come right before their list.
    pub fn member(
        &mut self,
        name: &str,
        size: u64,
        mut content: impl Read,
    ) -> Result<(), ArchiveError> {
        self.out.write_all(&self.header(name, size)?)?;
        let copied = io::copy(&mut content.by_ref().take(size), &mut self.out)?;
        if copied != size || content.read(&mut [0])? != 0 {
            return Err(ArchiveError::Damaged {
                offset: copied,
                what: format!("member {name} is not of the announced {size} bytes"),
            });
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.out.write_all(&[0; BLOCK][..padding as usize])?;
        Ok(())
    }

    /// Ends the archive with tar's two empty blocks.
    pub fn finish(mut self) -> Result<W, ArchiveError> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn header(&self, name: &str, size: u64) -> Result<[u8; BLOCK], ArchiveError> {
        if name.len() > 99 {
            return Err(ArchiveError::Damaged {
                offset: 0,
                what: format!("member name {name} is too long for tar"),
            });
        }
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, b"0000600\0"); // mode
        put(108, b"0004000\0"); // user and group as pg_dump writes them
        put(116, b"0002000\0");
        if size < 1 << 33 {
            put(124, format!("{size:011o} ").as_bytes());
        } else {
            put(124, &[0x80]);
            put(128, &size.to_be_bytes());
        }
        put(136, format!("{:011o} ", self.modified_secs).as_bytes());
        put(156, b"0");
        put(257, b"ustar\x0000");
        put(265, b"postgres");
        put(297, b"postgres");
        put(329, b"0000000\0");
        put(337, b"0000000\0");
        let sum = format!("{:06o} ", checksum(&block));
        block[148..148 + sum.len()].copy_from_slice(sum.as_bytes());
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let toc = super::super::toc::empty();
        let mut writer = TarWriter::new(Vec::new(), &toc, 0).unwrap();
        writer.member("1.dat", 3, &b"a\n\n"[..]).unwrap();
        writer.member("2.dat", 0, io::empty()).unwrap();
        writer.member("3.dat", 512, &[7; 512][..]).unwrap();
        writer.finish().unwrap()
    }

    fn walk(bytes: &[u8]) -> Result<Vec<(String, u64)>, ArchiveError> {
        let mut reader = TarReader::new(bytes)?;
        let mut seen = Vec::new();
        while let Some((name, size)) = reader.next_member()? {
            let copied = io::copy(&mut reader.member(), &mut io::sink())?;
            assert_eq!(copied, size);
            seen.push((name, size));
        }
        Ok(seen)
    }

    #[test]
    fn members_come_back_as_written() {
        let names = walk(&sample()).unwrap();
        assert_eq!(
            names,
            [
                ("1.dat".into(), 3),
                ("2.dat".into(), 0),
                ("3.dat".into(), 512)
            ]
        );
    }

    #[test]
    fn every_cut_is_noticed() {
        let whole = sample();
        for length in 0..whole.len() - BLOCK {
            let result = walk(&whole[..length]);
            assert!(
                matches!(result, Err(ArchiveError::Truncated { .. })),
                "{length}: {result:?}"
            );
        }
    }

    #[test]
    fn a_flipped_header_is_damage_and_a_wrong_size_is_refused() {
        let mut bytes = sample();
        let second = bytes.len() - 1024 - 512 - 512;
        bytes[second + 1] ^= 1;
        assert!(matches!(walk(&bytes), Err(ArchiveError::Damaged { .. })));
        let mut writer = TarWriter::new(Vec::new(), &super::super::toc::empty(), 0).unwrap();
        assert!(writer.member("a", 2, &b"abc"[..]).is_err());
        assert!(writer.member("b", 4, &b"abc"[..]).is_err());
    }

    #[test]
    fn sizes_past_eight_gibibytes_round_trip() {
        let writer = TarWriter {
            out: io::sink(),
            modified_secs: 1,
        };
        for size in [0, (1 << 33) - 1, 1 << 33, 1 << 45] {
            let header = writer.header("x", size).unwrap();
            assert_eq!(parse_header(&header), Some(("x".into(), size)));
        }
    }
}
