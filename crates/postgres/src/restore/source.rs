//! Where a restore takes its bytes from.

use pgkeep_model::manifest::{DatabaseManifest, Member, MemberContent};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// Hands out the members of one database's dump; called from many threads at once.
pub trait DumpSource: Sync {
    /// The whole member, from its first byte.
    fn read(&self, member: &Member) -> io::Result<Box<dyn Read + Send>>;
    /// One segment of a member, by its place in [`Member::segments`].
    fn read_segment(&self, member: &Member, index: usize) -> io::Result<Box<dyn Read + Send>>;
}

/// Reads the dump from a folder, as the directory format lays it out.
#[derive(Debug, Clone)]
pub struct DirectorySource {
    folder: PathBuf,
}

impl DirectorySource {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn open(&self, member: &Member) -> io::Result<File> {
        let name = Path::new(&member.file);
        if name.components().count() != 1 || name.file_name().is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{:?} is not the name of a dump member", member.file),
            ));
        }
        let file = File::open(self.folder.join(name))?;
        let size = file.metadata()?.len();
        if size != member.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} has {size} bytes where {} were written",
                    member.file, member.size
                ),
            ));
        }
        Ok(file)
    }
}

impl DumpSource for DirectorySource {
    fn read(&self, member: &Member) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.open(member)?))
    }

    fn read_segment(&self, member: &Member, index: usize) -> io::Result<Box<dyn Read + Send>> {
        let mut file = self.open(member)?;
        let start = member.segments[..index].iter().map(|s| s.bytes).sum();
        file.seek(SeekFrom::Start(start))?;
        Ok(Box::new(file.take(member.segments[index].bytes)))
    }
}

/// Reads the table of contents of a dump whole.
pub(super) fn read_toc(
    manifest: &DatabaseManifest,
    source: &dyn DumpSource,
) -> crate::Result<Vec<u8>> {
    let doing = || format!("reading the table of contents of {}", manifest.name);
    let member = manifest
        .members
        .iter()
        .find(|m| m.what == MemberContent::Toc)
        .ok_or_else(|| crate::Error::Refused {
            what: format!("the backup of {} has no table of contents", manifest.name),
            hint: None,
        })?;
    let mut bytes = Vec::new();
    source
        .read(member)
        .and_then(|mut r| r.read_to_end(&mut bytes))
        .map_err(|e| crate::Error::local(doing(), e))?;
    if bytes.len() as u64 != member.size {
        return Err(crate::Error::local(
            doing(),
            io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} bytes where {} were written", bytes.len(), member.size),
            ),
        ));
    }
    Ok(bytes)
}
