//! A backup's database as the source of a restore.

use pgkeep_model::manifest::Member;
use pgkeep_postgres::restore::DumpSource;
use pgkeep_repository::{FileEntry, SnapshotReader};
use std::{
    io::{self, Read},
    sync::Arc,
};

/// Reads the members of one database out of a snapshot; a segment is found by the chunks of those before it.
pub struct SnapshotSource {
    reader: Arc<SnapshotReader>,
    folder: String,
}

impl SnapshotSource {
    /// `folder` is the database's folder inside the snapshot.
    pub fn new(reader: Arc<SnapshotReader>, folder: impl Into<String>) -> Self {
        Self {
            reader,
            folder: folder.into(),
        }
    }

    fn file(&self, member: &Member) -> io::Result<&FileEntry> {
        let path = format!("{}/{}", self.folder, member.file);
        let file = self.reader.file(&path).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("{path} is missing from the snapshot"),
            )
        })?;
        if file.size != member.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{path} has {} bytes where the manifest says {}",
                    file.size, member.size
                ),
            ));
        }
        Ok(file)
    }
}

impl DumpSource for SnapshotSource {
    fn read(&self, member: &Member) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.reader.read(self.file(member)?)))
    }

    fn read_segment(&self, member: &Member, index: usize) -> io::Result<Box<dyn Read + Send>> {
        let file = self.file(member)?;
        let chunks = |segments: &[pgkeep_model::manifest::Segment]| {
            segments.iter().map(|s| s.chunks as usize).sum()
        };
        let start: usize = chunks(&member.segments[..index]);
        let end = start + member.segments[index].chunks as usize;
        Ok(Box::new(self.reader.read_chunks(file, start..end)))
    }
}
