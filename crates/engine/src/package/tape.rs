//! Reads a tar file front to back from a pipe: headers, long names, and each file's content as a stream.
//!
//! The bytes are untrusted. A name that leaves its folder is an error here, so nothing later has to think of it.

use crate::{Error, ErrorCode, Result};
use pgkeep_postgres::archive::ArchiveError;
use std::{
    collections::BTreeMap,
    io::{self, Read},
};

const BLOCK: usize = 512;
/// Longest name or set of extended headers that is taken in.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// Walks the entries of a tar file.
pub(super) struct TapeReader<R> {
    input: R,
    /// What is left of the current entry's content, and of the zeros after it.
    left: u64,
    padding: u64,
}

/// One entry, before its content is read.
#[derive(Debug)]
pub(super) struct TapeEntry {
    /// Parts of the path, at least one; none is empty, `.` or `..`.
    pub path: Vec<Vec<u8>>,
    pub header: tar::Header,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Extended headers by name.
    pub extended: BTreeMap<String, Vec<u8>>,
}

pub(super) fn damaged(what: impl Into<String>) -> Error {
    Error::new(ErrorCode::Damaged, what)
        .hint("the package was cut short or changed; copy it again from where it came")
}

impl<R: Read + Send> TapeReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            left: 0,
            padding: 0,
        }
    }

    /// The next entry, after skipping what was left of the one before; `None` at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<TapeEntry>> {
        let mut long_name = None;
        let mut long_link = None;
        let mut extended: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        loop {
            self.skip(self.left + self.padding)?;
            (self.left, self.padding) = (0, 0);
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            if block.iter().all(|b| *b == 0) {
                return Ok(None);
            }
            let header = tar::Header::from_byte_slice(&block).clone();
            check_sum(&header)?;
            let size = match extended.get("size") {
                Some(text) => number(text)?,
                None => header
                    .entry_size()
                    .map_err(|_| damaged("a size in the package is no number"))?,
            };
            self.left = size;
            self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
            match header.entry_type() {
                tar::EntryType::GNULongName => long_name = Some(self.extension(true)?),
                tar::EntryType::GNULongLink => long_link = Some(self.extension(true)?),
                tar::EntryType::XHeader => {
                    let bytes = self.extension(false)?;
                    read_extended(&bytes, &mut extended)?;
                }
                tar::EntryType::XGlobalHeader => {
                    self.extension(false)?;
                }
                _ => {
                    let path = extended
                        .remove("path")
                        .or(long_name)
                        .unwrap_or_else(|| header.path_bytes().into_owned());
                    let link = extended
                        .remove("linkpath")
                        .or(long_link)
                        .unwrap_or_else(|| {
                            header.link_name_bytes().unwrap_or_default().into_owned()
                        });
                    return Ok(Some(TapeEntry {
                        path: parts(&path)?,
                        header,
                        link,
                        extended,
                    }));
                }
            }
        }
    }

    /// The content of the current entry.
    pub(super) fn content(&mut self) -> Content<'_, R> {
        Content { tape: self }
    }

    /// Reads on to the very end, where an encrypted stream proves that nothing is missing.
    pub(super) fn finish(mut self) -> Result<()> {
        io::copy(&mut self.input, &mut io::sink())
            .map_err(|e| damaged(format!("the package does not end as it should: {e}")))?;
        Ok(())
    }

    /// The content of an entry that extends the next one; names end with a zero.
    fn extension(&mut self, is_name: bool) -> Result<Vec<u8>> {
        if self.left > LONGEST_EXTENSION {
            return Err(damaged("a name in the package is too long"));
        }
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes)?;
        while is_name && bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(bytes)
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        let skipped =
            io::copy(&mut (&mut self.input).take(bytes), &mut io::sink()).map_err(told)?;
        match skipped == bytes {
            true => Ok(()),
            false => Err(damaged("the package is cut short")),
        }
    }

    fn fill(&mut self, block: &mut [u8]) -> Result<()> {
        self.input.read_exact(block).map_err(told)
    }
}

fn told(e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => damaged("the package is cut short"),
        _ => damaged(format!("the package cannot be read to its end: {e}")),
    }
}

/// A stream of the current entry's content; one that ends early is an error.
pub(super) struct Content<'a, R> {
    tape: &'a mut TapeReader<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.tape.left.min(buffer.len() as u64) as usize;
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.tape.input.read(&mut buffer[..wanted])?;
        if n == 0 {
            let what = "the package".into();
            return Err(ArchiveError::Truncated { what }.into());
        }
        self.tape.left -= n as u64;
        Ok(n)
    }
}

fn check_sum(header: &tar::Header) -> Result<()> {
    let bytes = header.as_bytes();
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        })
        .sum();
    match header.cksum() {
        Ok(told) if told == sum => Ok(()),
        _ => Err(damaged("a header of the package is damaged")),
    }
}

/// Records of `LENGTH KEY=VALUE` and a newline; a value may hold any bytes.
fn read_extended(mut bytes: &[u8], into: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let broken = || damaged("an extended header of the package is damaged");
    while !bytes.is_empty() {
        let space = bytes.iter().position(|b| *b == b' ').ok_or_else(broken)?;
        let length = number(&bytes[..space])? as usize;
        let record = bytes.get(space + 1..length).ok_or_else(broken)?;
        let record = record.strip_suffix(b"\n").ok_or_else(broken)?;
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(broken)?;
        let key = String::from_utf8_lossy(&record[..equals]).into_owned();
        into.insert(key, record[equals + 1..].to_vec());
        bytes = &bytes[length..];
    }
    Ok(())
}

fn number(text: &[u8]) -> Result<u64> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| damaged("a number in the package is damaged"))
}

/// Takes a path apart; one that is absolute or climbs is refused.
fn parts(path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let refuse = || {
        damaged(format!(
            "the package holds a path that leaves it: {}",
            String::from_utf8_lossy(path)
        ))
    };
    if path.first() == Some(&b'/') || path.contains(&0) {
        return Err(refuse());
    }
    let parts: Vec<Vec<u8>> = path
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect();
    if parts.is_empty() || parts.iter().any(|part| part == b"..") {
        return Err(refuse());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_mode(0o600);
            tar.append_data(&mut header, name, &b"abc"[..])
                .expect("memory");
        }
        tar.into_inner().expect("memory")
    }

    #[test]
    fn entries_are_found_with_long_names_and_their_content() {
        let long = format!("a/{}/z", "b".repeat(300));
        let bytes = archive(&["a/first", &long]);
        let mut tape = TapeReader::new(bytes.as_slice());
        let first = tape.next().expect("whole").expect("an entry");
        assert_eq!(first.path, [b"a".to_vec(), b"first".to_vec()]);
        let second = tape.next().expect("whole").expect("an entry");
        assert_eq!(second.path.join(&b"/"[..]), long.as_bytes());
        let mut content = String::new();
        tape.content().read_to_string(&mut content).expect("whole");
        assert_eq!(content, "abc");
        assert!(tape.next().expect("whole").is_none());
        tape.finish().expect("whole");
    }

    #[test]
    fn what_is_cut_short_changed_or_climbs_is_damage() {
        let bytes = archive(&["a/first", "a/second"]);
        for end in [0, 100, 512, 515, 1024, 1100] {
            let mut tape = TapeReader::new(&bytes[..end]);
            let mut walk = || -> Result<()> {
                while tape.next()?.is_some() {}
                Ok(())
            };
            assert_eq!(walk().expect_err("cut").code, ErrorCode::Damaged, "{end}");
        }
        let mut changed = bytes.clone();
        changed[3] ^= 1;
        assert!(TapeReader::new(changed.as_slice()).next().is_err());
        for path in [&b"/etc/passwd"[..], b"a/../../b", b"..", b"", b"a\0b"] {
            assert!(parts(path).is_err(), "{path:?}");
        }
    }
}
