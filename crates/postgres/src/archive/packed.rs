//! A directory dump that was packed into one tar file, by whatever program, below whatever folder and in whatever order.
//!
//! The file is walked once for where its members lie; they are read in place afterwards, so nothing is unpacked. Only the
//! last part of a member's name counts, for all files of a dump lie in one folder.

use super::{
    ArchiveError, Compression,
    tar::{BLOCK, checksum, parse_number},
};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// Longest name that a member may be given by an extended header.
const LONGEST_NAME: u64 = 64 << 10;

/// Walks the plain files of any tar file from front to back. Give it a buffered input.
pub struct TarFiles<R> {
    input: R,
    skip: fn(&mut R, u64) -> io::Result<()>,
    offset: u64,
    /// Bytes of the current member that were not read, and what fills its last block.
    left: u64,
    padding: u64,
    /// The current file lies in a folder.
    below: bool,
}

impl<R: Read> TarFiles<R> {
    pub fn new(input: R) -> Self {
        Self::skipping(input, |input, bytes| {
            match io::copy(&mut input.take(bytes), &mut io::sink())? == bytes {
                true => Ok(()),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        })
    }

    fn skipping(input: R, skip: fn(&mut R, u64) -> io::Result<()>) -> Self {
        Self {
            input,
            skip,
            offset: 0,
            left: 0,
            padding: 0,
            below: false,
        }
    }

    /// Name (the last part of its path) and size of the next plain file; `None` at the end. Folders are passed over;
    /// links and devices are refused.
    pub fn next_file(&mut self) -> Result<Option<(String, u64)>, ArchiveError> {
        let mut long_name = None;
        loop {
            let rest = self.left + self.padding;
            (self.skip)(&mut self.input, rest).map_err(|e| ArchiveError::from_io(e, "a member"))?;
            self.offset += rest;
            (self.left, self.padding) = (0, 0);
            let mut block = [0; BLOCK];
            self.input
                .read_exact(&mut block)
                .map_err(|e| ArchiveError::from_io(e, "a member's header"))?;
            let damaged = ArchiveError::Damaged {
                offset: self.offset,
                what: "a member's header".into(),
            };
            self.offset += BLOCK as u64;
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            if parse_number(&block[148..156]) != Some(u64::from(checksum(&block))) {
                return Err(damaged);
            }
            // A size near the end of the range would overflow the padding.
            let size = parse_number(&block[124..136]).filter(|size| *size < 1 << 60);
            let size = size.ok_or(damaged)?;
            self.left = size;
            self.padding = size.next_multiple_of(BLOCK as u64) - size;
            let name = &block[..100];
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            match block[156] {
                0 | b'0' => {
                    let name = long_name.take().unwrap_or_else(|| name.to_vec());
                    // The rest of a long path stands apart.
                    self.below = name.contains(&b'/') || block[345] != 0;
                    return Ok(Some((last_part(&name)?, size)));
                }
                b'L' | b'x' => {
                    let mut text = Vec::new();
                    self.content().take(LONGEST_NAME).read_to_end(&mut text)?;
                    match block[156] {
                        b'L' => long_name = Some(text),
                        _ => long_name = path_of_record(&text).or(long_name),
                    }
                }
                b'5' => long_name = None,
                b'g' => {}
                _ => {
                    return Err(ArchiveError::NotAnArchive(
                        "the tar file holds something that is no plain file".into(),
                    ));
                }
            }
        }
    }

    /// The content of the current file.
    pub fn content(&mut self) -> impl Read + '_ {
        Content { of: self }
    }
}

struct Content<'a, R> {
    of: &'a mut TarFiles<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.of.left).unwrap_or(usize::MAX);
        let wanted = wanted.min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let got = self.of.input.read(&mut buffer[..wanted])?;
        if got == 0 {
            let what = "a member".into();
            return Err(ArchiveError::Truncated { what }.into());
        }
        self.of.left -= got as u64;
        self.of.offset += got as u64;
        Ok(got)
    }
}

fn last_part(name: &[u8]) -> Result<String, ArchiveError> {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    match std::str::from_utf8(last) {
        Ok(last) if !matches!(last, "" | "." | "..") => Ok(last.to_owned()),
        _ => Err(ArchiveError::NotAnArchive(
            "the tar file holds a name that no dump has".into(),
        )),
    }
}

/// The name in an extended header, which is made of records `LENGTH KEY=VALUE`.
fn path_of_record(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let record = rest.get(space + 1..length)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(path.strip_suffix(b"\n").unwrap_or(path).to_vec());
        }
        rest = &rest[length..];
    }
    None
}

/// A tar file whose members are the files of a directory dump.
#[derive(Debug)]
pub struct PackedDirectory {
    path: PathBuf,
    /// Where each file's bytes begin, and how many they are.
    members: HashMap<String, (u64, u64)>,
    /// As pg_dump's own tar format has it, which holds no compressed members.
    is_tar_dump: bool,
}

impl PackedDirectory {
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let input = BufReader::new(File::open(path)?);
        let mut files = TarFiles::skipping(input, |input, bytes| {
            let bytes = i64::try_from(bytes).map_err(io::Error::other)?;
            input.seek_relative(bytes)
        });
        let mut members = HashMap::new();
        let (mut begins_with_toc, mut compressed) = (None, false);
        while let Some((name, size)) = files.next_file()? {
            let comes_first = files.offset == BLOCK as u64;
            begins_with_toc.get_or_insert(name == "toc.dat" && comes_first && !files.below);
            let suffixes = [Compression::Gzip, Compression::Lz4, Compression::Zstd];
            compressed |= suffixes.iter().any(|c| name.ends_with(c.suffix()));
            if members.insert(name, (files.offset, size)).is_some() {
                return Err(ArchiveError::NotAnArchive(
                    "the tar file holds a name twice: it is not one dump".into(),
                ));
            }
        }
        if !members.contains_key("toc.dat") {
            return Err(ArchiveError::NotAnArchive(
                "the tar file holds no toc.dat".into(),
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            members,
            is_tar_dump: begins_with_toc == Some(true) && !compressed,
        })
    }

    /// Whether a tar file is a folder that somebody packed, and not pg_dump's own tar format.
    pub fn is_one(path: &Path) -> bool {
        Self::open(path).is_ok_and(|packed| !packed.is_tar_dump)
    }

    /// The bytes of a file, where there is one of this name.
    pub(super) fn read(&self, name: &str) -> Result<Option<io::Take<File>>, ArchiveError> {
        let Some((offset, size)) = self.members.get(name) else {
            return Ok(None);
        };
        let mut file = File::open(&self.path)?;
        // A seek goes past the end without a word.
        if file.metadata()?.len() < offset + size {
            return Err(ArchiveError::Truncated { what: name.into() });
        }
        file.seek(SeekFrom::Start(*offset))?;
        Ok(Some(file.take(*size)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TarWriter, toc};
    use super::*;

    /// A tar file with these members, the first of which may be a folder (a name that ends with a slash).
    fn packed(members: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = TarWriter::plain(&mut file, 0);
        for (name, content) in members {
            let size = content.len() as u64;
            writer.member(name, size, *content).unwrap();
        }
        writer.finish().unwrap();
        file
    }

    #[test]
    fn a_packed_folder_is_told_from_a_tar_dump() {
        let toc = super::super::write_directory_toc(&toc::empty());
        let toc = toc.as_slice();
        for (members, expected) in [
            (vec![("./1.dat.gz", &b"x"[..]), ("./toc.dat", toc)], true),
            (
                vec![("shop.dir/toc.dat", toc), ("shop.dir/1.dat", b"x")],
                true,
            ),
            (vec![("toc.dat", toc), ("1.dat.gz", b"x")], true),
            (vec![("toc.dat", toc), ("1.dat", b"x")], false),
            (vec![("1.dat", b"x")], false),
            (vec![("a/toc.dat", toc), ("b/toc.dat", toc)], false),
        ] {
            let file = packed(&members);
            assert_eq!(
                PackedDirectory::is_one(file.path()),
                expected,
                "{members:?}"
            );
        }
    }

    #[test]
    fn members_are_read_where_they_lie_and_cuts_are_noticed() {
        let toc = super::super::write_directory_toc(&toc::empty());
        let file = packed(&[("./9.dat", b"nine"), ("./toc.dat", &toc)]);
        let found = PackedDirectory::open(file.path()).unwrap();
        let mut text = String::new();
        let mut nine = found.read("9.dat").unwrap().unwrap();
        nine.read_to_string(&mut text).unwrap();
        assert_eq!(text, "nine");
        assert!(found.read("8.dat").unwrap().is_none());
        file.as_file().set_len(700).unwrap();
        assert!(PackedDirectory::open(file.path()).is_err());
        file.as_file().set_len(514).unwrap();
        assert!(matches!(
            found.read("9.dat"),
            Err(ArchiveError::Truncated { .. })
        ));
    }

    #[test]
    fn long_names_of_extended_headers_are_read() {
        let record = b"27 mtime=1789999999.123456\n32 path=some/where/else/toc.dat\n";
        let path = path_of_record(record).unwrap();
        assert_eq!(last_part(&path).unwrap(), "toc.dat");
        assert!(last_part(b"a/..").is_err());
    }
}
