//! The table of contents: header and entries, read from and written to custom archives and `toc.dat`.

use super::{
    ArchiveError, Compression,
    codec::{Decoder, Encoder},
};
use std::{borrow::Cow, io::Read};

/// Format byte of a custom archive.
pub(super) const FORMAT_CUSTOM: u8 = 1;
/// Format byte of `toc.dat` in directory and tar archives.
pub(super) const FORMAT_FILES: u8 = 3;

/// No database has more objects than this; a larger count is damage.
const MAX_ENTRIES: i64 = 100_000_000;
const MAX_DEPENDENCIES: usize = 10_000_000;

/// What precedes the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Major, minor, revision of the archive format.
    pub version: (u8, u8, u8),
    pub int_size: u8,
    pub offset_size: u8,
    /// 1 custom, 3 files.
    pub format: u8,
    /// As stored: a gzip level up to 1.14, an algorithm number from 1.15 on.
    pub compression: i64,
    /// Second, minute, hour, day, month (from 0), year (from 1900), daylight saving: pg_dump's local time.
    pub created: [i64; 7],
    pub dbname: Option<Vec<u8>>,
    pub server_version: Option<Vec<u8>>,
    pub dump_version: Option<Vec<u8>>,
}

impl Header {
    /// How data is compressed, as far as the header tells.
    pub fn compression(&self) -> Result<Compression, ArchiveError> {
        if self.version.1 < 15 {
            return Ok(match self.compression {
                0 => Compression::None,
                _ => Compression::Gzip,
            });
        }
        u8::try_from(self.compression)
            .ok()
            .and_then(Compression::from_algorithm)
            .ok_or_else(|| ArchiveError::Damaged {
                offset: 11,
                what: format!("unknown compression {}", self.compression),
            })
    }

    /// `15.4 (Debian 15.4-1)` and the like; empty when not recorded.
    pub fn server_version(&self) -> Cow<'_, str> {
        text(&self.server_version)
    }

    pub fn dump_version(&self) -> Cow<'_, str> {
        text(&self.dump_version)
    }

    pub fn dbname(&self) -> Cow<'_, str> {
        text(&self.dbname)
    }
}

/// When pg_restore handles an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    None,
    PreData,
    Data,
    PostData,
}

/// What a container keeps with each entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extra {
    /// Custom format: 1 not known, 2 known, 3 no data; and the position.
    Offset { state: u8, position: u64 },
    /// Directory and tar: the member's file name without compression suffix; empty when there is no data.
    File(Option<Vec<u8>>),
}

/// One object of the dump. Texts are in the archive's encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub dump_id: i64,
    /// True when data belongs to the entry.
    pub has_data: bool,
    pub table_oid: Option<Vec<u8>>,
    pub oid: Option<Vec<u8>>,
    pub tag: Option<Vec<u8>>,
    pub desc: Option<Vec<u8>>,
    pub section: Section,
    pub defn: Option<Vec<u8>>,
    pub drop_stmt: Option<Vec<u8>>,
    pub copy_stmt: Option<Vec<u8>>,
    pub namespace: Option<Vec<u8>>,
    pub tablespace: Option<Vec<u8>>,
    pub access_method: Option<Vec<u8>>,
    /// From 1.16 on: `pg_class.relkind` as a number, 0 when none.
    pub relkind: i64,
    pub owner: Option<Vec<u8>>,
    /// `WITH OIDS` of long gone versions; always `false` now.
    pub with_oids: Option<Vec<u8>>,
    /// Dump ids this entry needs first, as text.
    pub dependencies: Vec<Vec<u8>>,
    pub extra: Extra,
}

fn text(bytes: &Option<Vec<u8>>) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.as_deref().unwrap_or_default())
}

impl Entry {
    /// The kind of object: `TABLE`, `TABLE DATA`, `FK CONSTRAINT`, ...
    pub fn desc(&self) -> Cow<'_, str> {
        text(&self.desc)
    }
    pub fn tag(&self) -> Cow<'_, str> {
        text(&self.tag)
    }
    pub fn namespace(&self) -> Cow<'_, str> {
        text(&self.namespace)
    }
    pub fn owner(&self) -> Cow<'_, str> {
        text(&self.owner)
    }
    pub fn defn(&self) -> Cow<'_, str> {
        text(&self.defn)
    }
    pub fn is(&self, desc: &str) -> bool {
        self.desc.as_deref() == Some(desc.as_bytes())
    }
    /// The object's OID in its catalog; 0 when none.
    pub fn oid(&self) -> u32 {
        text(&self.oid).parse().unwrap_or(0)
    }
    pub fn depends_on(&self) -> impl Iterator<Item = i64> + '_ {
        self.dependencies
            .iter()
            .filter_map(|d| std::str::from_utf8(d).ok()?.parse().ok())
    }
    /// File name of the data in a directory or tar archive.
    pub fn file(&self) -> Option<&str> {
        match &self.extra {
            Extra::File(Some(name)) if !name.is_empty() => std::str::from_utf8(name).ok(),
            _ => None,
        }
    }
}

/// Header and entries of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toc {
    pub header: Header,
    pub entries: Vec<Entry>,
}

/// Reads header and entries from the start of a custom archive, and not a byte more.
pub fn read_custom_header(input: impl Read) -> Result<Toc, ArchiveError> {
    let mut decoder = Decoder::new(input);
    let toc = Toc::read(&mut decoder)?;
    if toc.header.format != FORMAT_CUSTOM {
        return Err(ArchiveError::NotAnArchive(
            "this is the toc.dat of a directory dump, not a custom archive".into(),
        ));
    }
    Ok(toc)
}

/// Reads a `toc.dat`, which must end where its last entry ends.
pub fn read_directory_toc(input: impl Read) -> Result<Toc, ArchiveError> {
    let mut decoder = Decoder::new(input);
    let toc = Toc::read(&mut decoder)?;
    if toc.header.format != FORMAT_FILES {
        return Err(ArchiveError::NotAnArchive(
            "this is a custom archive, not the toc.dat of a directory or tar dump".into(),
        ));
    }
    if decoder.byte_or_end()?.is_some() {
        return Err(decoder.damaged("toc.dat goes on after its last entry"));
    }
    Ok(toc)
}

/// The bytes of a `toc.dat`; the table of contents must be one for files (see [`Toc::for_files`]).
pub fn write_directory_toc(toc: &Toc) -> Vec<u8> {
    debug_assert_eq!(toc.header.format, FORMAT_FILES);
    toc.to_bytes()
}

impl Toc {
    pub fn entry(&self, dump_id: i64) -> Option<&Entry> {
        self.entries.iter().find(|e| e.dump_id == dump_id)
    }

    /// Name of the client encoding the archive's texts and data are in (`UTF8`, `LATIN1`, ...).
    pub fn encoding(&self) -> Option<String> {
        let entry = self.entries.iter().find(|e| e.is("ENCODING"))?;
        let defn = entry.defn();
        let value = defn.split_once('\'')?.1.split_once('\'')?.0;
        Some(value.to_owned())
    }

    /// The same contents for a directory or tar archive with uncompressed members, named by `file_name` (asked for each entry that has data).
    pub fn for_files(&self, file_name: impl Fn(&Entry) -> String) -> Toc {
        let mut toc = self.clone();
        toc.header.format = FORMAT_FILES;
        toc.header.compression = 0;
        for entry in &mut toc.entries {
            let name = match entry.has_data {
                true => file_name(entry).into_bytes(),
                false => Vec::new(),
            };
            entry.extra = Extra::File(Some(name));
        }
        toc
    }

    /// The same contents for a custom archive; `gzip_level` 0 means uncompressed.
    pub fn for_custom(&self, gzip_level: u32) -> Toc {
        let mut toc = self.clone();
        toc.header.format = FORMAT_CUSTOM;
        toc.header.offset_size = 8;
        toc.header.compression = match (gzip_level, toc.header.version.1) {
            (0, _) => 0,
            (level, ..15) => i64::from(level),
            _ => 1,
        };
        for entry in &mut toc.entries {
            entry.extra = Extra::Offset {
                state: if entry.has_data { 1 } else { 3 },
                position: 0,
            };
        }
        toc
    }

    /// Name of the member that lists the large objects of a `BLOBS` entry: one for all up to 1.15, one for each entry since.
    pub fn large_object_list_name(&self, entry: &Entry) -> String {
        if self.header.version.1 < 16 {
            "blobs.toc".into()
        } else {
            format!("blobs_{}.toc", entry.dump_id)
        }
    }

    pub(super) fn read<R: Read>(decoder: &mut Decoder<R>) -> Result<Toc, ArchiveError> {
        let header = read_header(decoder)?;
        let count = decoder.int("the number of entries")?;
        if !(0..=MAX_ENTRIES).contains(&count) {
            return Err(decoder.damaged(format!("{count} entries")));
        }
        // Grows as entries really come: the count may lie.
        let mut entries = Vec::with_capacity(count.min(4096) as usize);
        for _ in 0..count {
            entries.push(read_entry(decoder, &header)?);
        }
        Ok(Toc { header, entries })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let h = &self.header;
        let mut w = Encoder::new(h.int_size);
        w.out.extend_from_slice(b"PGDMP");
        for byte in [
            h.version.0,
            h.version.1,
            h.version.2,
            h.int_size,
            h.offset_size,
            h.format,
        ] {
            w.byte(byte);
        }
        if h.version.1 >= 15 {
            w.byte(h.compression as u8);
        } else {
            w.int(h.compression);
        }
        h.created.iter().for_each(|part| w.int(*part));
        for part in [&h.dbname, &h.server_version, &h.dump_version] {
            w.string(part.as_deref());
        }
        w.int(self.entries.len() as i64);
        for entry in &self.entries {
            write_entry(&mut w, h, entry);
        }
        w.out
    }
}

fn read_header<R: Read>(r: &mut Decoder<R>) -> Result<Header, ArchiveError> {
    let mut magic = [0; 5];
    r.fill(&mut magic, "its first bytes")?;
    if &magic != b"PGDMP" {
        return Err(ArchiveError::NotAnArchive(
            "it does not start with PGDMP".into(),
        ));
    }
    let what = "the header";
    let version = (r.byte(what)?, r.byte(what)?, r.byte(what)?);
    if version.0 != 1 || !(12..=16).contains(&version.1) {
        return Err(ArchiveError::UnknownVersion {
            major: version.0,
            minor: version.1,
        });
    }
    let int_size = r.byte(what)?;
    let offset_size = r.byte(what)?;
    if !matches!(int_size, 4 | 8) || !matches!(offset_size, 4 | 8) {
        return Err(r.damaged(format!(
            "integers of {int_size} and offsets of {offset_size} bytes"
        )));
    }
    r.int_size = int_size;
    let format = r.byte(what)?;
    if !matches!(format, FORMAT_CUSTOM | FORMAT_FILES) {
        return Err(r.damaged(format!("unknown archive format {format}")));
    }
    let compression = if version.1 >= 15 {
        i64::from(r.byte(what)?)
    } else {
        r.int(what)?
    };
    let mut created = [0; 7];
    for part in &mut created {
        *part = r.int("the creation time")?;
    }
    Ok(Header {
        version,
        int_size,
        offset_size,
        format,
        compression,
        created,
        dbname: r.string("the database's name")?,
        server_version: r.string("the server's version")?,
        dump_version: r.string("pg_dump's version")?,
    })
}

fn read_entry<R: Read>(r: &mut Decoder<R>, header: &Header) -> Result<Entry, ArchiveError> {
    let minor = header.version.1;
    let what = "the table of contents";
    Ok(Entry {
        dump_id: match r.int(what)? {
            id if id > 0 => id,
            id => return Err(r.damaged(format!("entry number {id}"))),
        },
        has_data: r.int(what)? != 0,
        table_oid: r.string(what)?,
        oid: r.string(what)?,
        tag: r.string(what)?,
        desc: r.string(what)?,
        section: match r.int(what)? {
            1 => Section::None,
            2 => Section::PreData,
            3 => Section::Data,
            4 => Section::PostData,
            other => return Err(r.damaged(format!("unknown section {other}"))),
        },
        defn: r.string(what)?,
        drop_stmt: r.string(what)?,
        copy_stmt: r.string(what)?,
        namespace: r.string(what)?,
        tablespace: r.string(what)?,
        access_method: if minor >= 14 { r.string(what)? } else { None },
        relkind: if minor >= 16 { r.int(what)? } else { 0 },
        owner: r.string(what)?,
        with_oids: r.string(what)?,
        dependencies: read_dependencies(r)?,
        extra: if header.format == FORMAT_FILES {
            Extra::File(r.string(what)?)
        } else {
            let state = r.byte(what)?;
            let mut position = [0; 8];
            r.fill(&mut position[..usize::from(header.offset_size)], what)?;
            Extra::Offset {
                state,
                position: u64::from_le_bytes(position),
            }
        },
    })
}

fn read_dependencies<R: Read>(r: &mut Decoder<R>) -> Result<Vec<Vec<u8>>, ArchiveError> {
    let mut dependencies = Vec::new();
    while let Some(id) = r.string("the table of contents")? {
        if dependencies.len() >= MAX_DEPENDENCIES {
            return Err(r.damaged("an entry with too many dependencies"));
        }
        dependencies.push(id);
    }
    Ok(dependencies)
}

fn write_entry(w: &mut Encoder, header: &Header, e: &Entry) {
    w.int(e.dump_id);
    w.int(i64::from(e.has_data));
    for text in [&e.table_oid, &e.oid, &e.tag, &e.desc] {
        w.string(text.as_deref());
    }
    w.int(match e.section {
        Section::None => 1,
        Section::PreData => 2,
        Section::Data => 3,
        Section::PostData => 4,
    });
    for text in [
        &e.defn,
        &e.drop_stmt,
        &e.copy_stmt,
        &e.namespace,
        &e.tablespace,
    ] {
        w.string(text.as_deref());
    }
    if header.version.1 >= 14 {
        w.string(e.access_method.as_deref());
    }
    if header.version.1 >= 16 {
        w.int(e.relkind);
    }
    w.string(e.owner.as_deref());
    w.string(e.with_oids.as_deref());
    for dependency in &e.dependencies {
        w.string(Some(dependency));
    }
    w.string(None);
    match &e.extra {
        Extra::File(name) => w.string(name.as_deref()),
        Extra::Offset { state, position } => {
            w.byte(*state);
            let bytes = position.to_le_bytes();
            w.out
                .extend_from_slice(&bytes[..usize::from(header.offset_size)]);
        }
    }
}

/// A table of contents with no entry, for tests of what is built on it.
#[cfg(test)]
pub(super) fn empty() -> Toc {
    Toc {
        header: Header {
            version: (1, 14, 0),
            int_size: 4,
            offset_size: 8,
            format: FORMAT_FILES,
            compression: 0,
            created: [0; 7],
            dbname: None,
            server_version: None,
            dump_version: None,
        },
        entries: Vec::new(),
    }
}
