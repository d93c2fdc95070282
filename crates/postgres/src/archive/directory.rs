//! Reads pg_dump's directory format, whatever its members are compressed with.

use super::{ArchiveError, Compression, Entry, Toc, decompress, read_directory_toc};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

/// Longest line a list of large objects may have (pg_restore's own limit is shorter).
pub const LARGE_OBJECT_LINE_LIMIT: usize = 4096;

/// A directory dump on disk.
#[derive(Debug)]
pub struct DirectoryArchive {
    folder: PathBuf,
    toc: Toc,
}

impl DirectoryArchive {
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, ArchiveError> {
        let folder = folder.into();
        let file = File::open(folder.join("toc.dat")).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                ArchiveError::NotAnArchive("the folder holds no toc.dat".into())
            }
            _ => ArchiveError::Io(e),
        })?;
        let toc = read_directory_toc(BufReader::new(file))?;
        Ok(Self { folder, toc })
    }

    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// The uncompressed text of a member, looked for with every suffix pg_dump uses.
    pub fn read(&self, file: &str) -> Result<Box<dyn Read + Send>, ArchiveError> {
        let path = self.path(file)?;
        for compression in [
            Compression::None,
            Compression::Gzip,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let mut with_suffix = path.clone().into_os_string();
            with_suffix.push(compression.suffix());
            match File::open(Path::new(&with_suffix)) {
                Ok(opened) => {
                    return decompress(compression, opened).map_err(ArchiveError::from);
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(ArchiveError::Io(e)),
            }
        }
        Err(ArchiveError::MissingMember(file.into()))
    }

    /// The large objects of a `BLOBS` entry: OID and file.
    pub fn large_objects(&self, entry: &Entry) -> Result<Vec<(u32, String)>, ArchiveError> {
        let Some(file) = entry.file() else {
            return Ok(Vec::new());
        };
        // The list itself is written with a compressed dump's suffix by old versions.
        parse_large_object_toc(self.read(file)?)
    }

    /// Names come from the archive, so one that could leave the folder is refused.
    fn path(&self, file: &str) -> Result<PathBuf, ArchiveError> {
        let plain =
            !file.is_empty() && file != ".." && file != "." && !file.contains(['/', '\\', '\0']);
        if !plain {
            return Err(ArchiveError::Damaged {
                offset: 0,
                what: format!("member name {file:?} is not a plain file name"),
            });
        }
        Ok(self.folder.join(file))
    }
}

/// Reads a list of large objects, lines of `OID FILE`.
pub fn parse_large_object_toc(input: impl Read) -> Result<Vec<(u32, String)>, ArchiveError> {
    let mut input = BufReader::new(input);
    let mut objects = Vec::new();
    let mut offset = 0;
    loop {
        let mut line = Vec::new();
        let got = (&mut input)
            .take(LARGE_OBJECT_LINE_LIMIT as u64)
            .read_until(b'\n', &mut line)?;
        if got == 0 {
            return Ok(objects);
        }
        let damaged = || ArchiveError::Damaged {
            offset,
            what: "a line in the list of large objects".into(),
        };
        if line.pop() != Some(b'\n') {
            return Err(match got < LARGE_OBJECT_LINE_LIMIT {
                true => ArchiveError::Truncated {
                    what: "the list of large objects".into(),
                },
                false => damaged(),
            });
        }
        let text = std::str::from_utf8(&line).map_err(|_| damaged())?;
        let (oid, file) = text.split_once(' ').ok_or_else(damaged)?;
        objects.push((oid.parse().map_err(|_| damaged())?, file.to_owned()));
        offset += got as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_large_objects_are_read() {
        let list = &b"16400 blob_16400.dat\n16401 blob_16401.dat\n"[..];
        let objects = parse_large_object_toc(list).unwrap();
        assert_eq!(objects[1], (16401, "blob_16401.dat".into()));
        assert!(matches!(
            parse_large_object_toc(&list[..30]),
            Err(ArchiveError::Truncated { .. })
        ));
        let endless = vec![b'7'; 100_000];
        assert!(matches!(
            parse_large_object_toc(endless.as_slice()),
            Err(ArchiveError::Damaged { .. })
        ));
    }

    #[test]
    fn a_member_cannot_lie_outside_its_folder() {
        let archive = DirectoryArchive {
            folder: "/tmp".into(),
            toc: super::super::toc::empty(),
        };
        for name in ["../etc/passwd", "/etc/passwd", "..", "", "a\0b"] {
            assert!(matches!(
                archive.read(name).err(),
                Some(ArchiveError::Damaged { .. })
            ));
        }
    }
}
