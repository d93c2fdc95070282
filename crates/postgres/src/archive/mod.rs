//! pg_dump's archive format: the table of contents, and the custom, directory and tar containers around it.
//!
//! Everything here is fed untrusted bytes (an imported file may be cut short, foreign or malicious): lengths are
//! checked against what is really there before memory is taken, every fault is a typed [`ArchiveError`], and a file that
//! ends early is named as such. Strings are kept as bytes because an archive is written in its database's encoding, and
//! because reading and writing a table of contents must give back the same bytes.
//!
//! Versions: 1.12 and 1.13 (PostgreSQL 9.0 to 11), 1.14 (12 to 15), 1.15 (16), 1.16 (17 and 18). The layout follows
//! PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`, `pg_backup_custom.c`, `pg_backup_directory.c`, `pg_backup_tar.c`.

mod codec;
mod compression;
mod custom_layout;
mod custom_reader;
mod custom_writer;
mod directory;
mod packed;
mod rows;
mod schema;
mod statements;
mod tar;
mod toc;

pub use compression::{Compression, decompress};
pub use custom_layout::CustomLayout;
pub use custom_reader::{CustomBlock, CustomReader};
pub use custom_writer::CustomWriter;
pub use directory::{DirectoryArchive, LARGE_OBJECT_LINE_LIMIT, parse_large_object_toc};
pub use packed::{PackedDirectory, TarFiles};
pub use rows::{COPY_END, LargeObjectHash, LargeObjectSummer, RowSummer, sum_copy_text};
pub use schema::{count_objects, definitions, extensions, schema_sha256};
pub use statements::{CopyTarget, SequenceValue, loads_through_root};
pub use tar::{TarReader, TarWriter};
pub use toc::{
    Entry, Extra, Header, Section, Toc, read_custom_header, read_directory_toc, write_directory_toc,
};

use std::io;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bytes are something else.
    #[error("this is not a pg_dump archive: {0}")]
    NotAnArchive(String),
    /// The bytes stop before the archive does.
    #[error("the archive is cut short: it ends while reading {what}")]
    Truncated { what: String },
    #[error(
        "archive version {major}.{minor} is not supported: this build reads 1.12 to 1.16 (PostgreSQL 9 to 18)"
    )]
    UnknownVersion { major: u8, minor: u8 },
    #[error("the archive is damaged at byte {offset}: {what}")]
    Damaged { offset: u64, what: String },
    #[error("member {0} is missing from the archive")]
    MissingMember(String),
    #[error("reading or writing the archive: {0}")]
    Io(#[source] io::Error),
}

impl ArchiveError {
    /// Turns an I/O error into the error it carries, or into the right kind of archive error.
    pub(crate) fn from_io(error: io::Error, what: &str) -> Self {
        if error.get_ref().is_some_and(|e| e.is::<ArchiveError>()) {
            let inner = error.into_inner().expect("get_ref was Some");
            return *inner
                .downcast::<ArchiveError>()
                .expect("checked by is::<ArchiveError>");
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            ArchiveError::Truncated { what: what.into() }
        } else {
            ArchiveError::Io(error)
        }
    }
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        ArchiveError::from_io(error, "data")
    }
}

/// Lets archive errors pass through `Read` implementations; [`ArchiveError::from`] takes them out again.
impl From<ArchiveError> for io::Error {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Io(inner) => inner,
            ArchiveError::Truncated { .. } => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// What kind of dump a file is, judged by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    Custom,
    /// The `toc.dat` of a directory dump.
    DirectoryToc,
    Tar,
    Gzip,
    /// Nothing known: plain SQL, if it is a dump at all.
    Text,
    /// Holds bytes that no SQL text holds.
    Binary,
}

/// Number of leading bytes [`sniff`] wants to see.
pub const SNIFF_BYTES: usize = 512;

/// Tells what kind of dump starts with these bytes (give it [`SNIFF_BYTES`] where there are as many).
pub fn sniff(start: &[u8]) -> FileKind {
    if start.starts_with(b"PGDMP") {
        return match start.get(10) {
            Some(3) => FileKind::DirectoryToc,
            _ => FileKind::Custom,
        };
    }
    if start.len() >= 262 && &start[257..262] == b"ustar" {
        return FileKind::Tar;
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        return FileKind::Gzip;
    }
    if start.contains(&0) {
        return FileKind::Binary;
    }
    FileKind::Text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_kind() {
        assert_eq!(sniff(b"PGDMP\x01\x0e\x00\x04\x08\x01"), FileKind::Custom);
        assert_eq!(
            sniff(b"PGDMP\x01\x0e\x00\x04\x08\x03"),
            FileKind::DirectoryToc
        );
        assert_eq!(sniff(&[0x1f, 0x8b, 8]), FileKind::Gzip);
        assert_eq!(sniff(b"--\n-- PostgreSQL database dump"), FileKind::Text);
        assert_eq!(sniff(b"\x00\x01\x02"), FileKind::Binary);
        let mut tar = vec![0u8; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(sniff(&tar), FileKind::Tar);
    }

    #[test]
    fn an_archive_error_survives_the_way_through_io() {
        let io: io::Error = ArchiveError::Truncated { what: "x".into() }.into();
        assert_eq!(io.kind(), io::ErrorKind::UnexpectedEof);
        assert!(matches!(ArchiveError::from(io), ArchiveError::Truncated { what } if what == "x"));
    }
}
