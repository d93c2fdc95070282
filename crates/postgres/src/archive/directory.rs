//! Reads pg_dump's directory format, whatever its members are compressed with, from a folder or a tar file of one.

use super::{
    ArchiveError, Compression, Entry, PackedDirectory, Toc, decompress, read_directory_toc,
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::PathBuf,
};

/// Longest line a list of large objects may have (pg_restore's own limit is shorter).
pub const LARGE_OBJECT_LINE_LIMIT: usize = 4096;

/// A directory dump on disk.
#[derive(Debug)]
pub struct DirectoryArchive {
    place: Place,
    toc: Toc,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Packed(PackedDirectory),
}

impl DirectoryArchive {
    /// Opens a folder, or a tar file that holds one.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, ArchiveError> {
        let folder: PathBuf = folder.into();
        if folder.is_file() {
            return Self::open_packed(PackedDirectory::open(&folder)?);
        }
        let file = File::open(folder.join("toc.dat")).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                ArchiveError::NotAnArchive("the folder holds no toc.dat".into())
            }
            _ => ArchiveError::Io(e),
        })?;
        let toc = read_directory_toc(BufReader::new(file))?;
        let place = Place::Folder(folder);
        Ok(Self { place, toc })
    }

    fn open_packed(packed: PackedDirectory) -> Result<Self, ArchiveError> {
        let toc = packed.read("toc.dat")?;
        let toc = toc.ok_or_else(|| ArchiveError::MissingMember("toc.dat".into()))?;
        let toc = read_directory_toc(BufReader::new(toc))?;
        let place = Place::Packed(packed);
        Ok(Self { place, toc })
    }

    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// The uncompressed text of a member, looked for with every suffix pg_dump uses.
    pub fn read(&self, file: &str) -> Result<Box<dyn Read + Send>, ArchiveError> {
        is_plain_name(file)?;
        for compression in [
            Compression::None,
            Compression::Gzip,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let name = format!("{file}{}", compression.suffix());
            if let Some(opened) = self.open_member(&name)? {
                return decompress(compression, opened).map_err(ArchiveError::from);
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

    fn open_member(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, ArchiveError> {
        match &self.place {
            Place::Folder(folder) => match File::open(folder.join(name)) {
                Ok(opened) => Ok(Some(Box::new(opened))),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(ArchiveError::Io(e)),
            },
            Place::Packed(packed) => {
                let found = packed.read(name)?;
                Ok(found.map(|bytes| Box::new(bytes) as Box<dyn Read + Send>))
            }
        }
    }
}

/// Names come from the archive, so one that could leave the folder is refused.
fn is_plain_name(file: &str) -> Result<(), ArchiveError> {
    let plain =
        !file.is_empty() && file != ".." && file != "." && !file.contains(['/', '\\', '\0']);
    match plain {
        true => Ok(()),
        false => Err(ArchiveError::Damaged {
            offset: 0,
            what: format!("member name {file:?} is not a plain file name"),
        }),
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
            place: Place::Folder("/tmp".into()),
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
