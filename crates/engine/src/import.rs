//! Imports: a file that pgkeep or plain pg_dump made becomes a backup like any other, after it was read to its end.

use crate::{
    Context, Error, ErrorCode, Result,
    backup::{self, BackupReport, Begun, RepositorySink, Store},
    catalog,
};
use pgkeep_model::{
    Phase,
    evidence::{
        DatabaseEvidence, ExtensionEvidence, QualifiedName, SequenceEvidence, TableEvidence,
    },
    manifest::{
        BackupKind, DatabaseContent, DatabaseManifest, DatabaseProperties, Manifest, Member,
        MemberContent, Segment, ServerFacts,
    },
};
use pgkeep_postgres::{
    archive::{
        self, CopyTarget, CustomBlock, CustomReader, DirectoryArchive, Entry, FileKind,
        LargeObjectSummer, PackedDirectory, RowSummer, SequenceValue, TarReader, Toc,
    },
    dump::{DumpSink, SegmentDone, SegmentWriter},
};
use pgkeep_repository::{NewFile, Repository};
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

mod foreign;

pub use foreign::{BEGINNING, Foreign};

#[derive(Clone)]
pub struct ImportRequest {
    /// A custom, tar, `.sql` or `.sql.gz` file, or a directory dump; the type is found by content, not by name.
    pub path: PathBuf,
    pub app: String,
    pub environment: String,
    /// Name of the database; taken from the archive when it tells.
    pub database: Option<String>,
    pub description: String,
    pub tags: Vec<String>,
    pub compression_level: i32,
    /// A file that holds more, once it is unpacked, is refused where this is noticed; unlimited where absent.
    pub max_bytes: Option<u64>,
    /// What asked for it.
    pub origin: catalog::Origin,
}

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportFormat {
    Custom,
    Tar,
    Directory,
    Plain,
    PlainGzip,
}

/// A table's rows go into segments of about this many bytes, so that a restore can load them side by side.
const SEGMENT_BYTES: u64 = 128 << 20;

/// Reads the file to its end, stores it and publishes it as a backup. A file that is cut short or of another kind is
/// refused, and nothing is published.
pub fn run(
    repository: &Repository,
    request: &ImportRequest,
    context: &Context,
) -> Result<BackupReport> {
    let begun = Begun::now(context);
    context.progress.phase(Phase::Check, None);
    let format = detect(&request.path)?;
    let level = request.compression_level;
    let store = Store::open(repository, "import", level, context)?;
    let sink = store.sink();
    context.progress.phase(Phase::Data, size_of(&request.path));

    let mut taken = Intake::new(&sink, context, request.max_bytes);
    let database = taken
        .read(format, request)
        .map_err(|e| told_as_damage(e, &request.path))?;
    let files = database
        .members
        .iter()
        .zip(&taken.tokens)
        .map(|(member, tokens)| NewFile {
            path: format!("{}/{}", database.path, member.file),
            mode: 0o600,
            modified: begun.at,
            parts: sink.take(tokens),
        })
        .collect();

    context.progress.phase(Phase::Publish, None);
    let (app, environment) = (&request.app, &request.environment);
    let databases = vec![database];
    let manifest = Manifest {
        description: request.description.clone(),
        compression_level: level,
        evidence_digest: backup::evidence_digest(&databases)?,
        databases,
        ..begun.manifest(app, environment, BackupKind::Import, context)
    };
    let tags = catalog::tags_of(&manifest, &request.tags, false, &request.origin);
    store.publish(files, &manifest, tags, begun, false, context)
}

/// Names the file that is cut short or damaged, and what else could be done.
fn told_as_damage(mut error: Error, path: &Path) -> Error {
    if error.code != ErrorCode::Damaged {
        return error;
    }
    let hint = error.hint.take().unwrap_or_else(|| {
        "copy it again from where it came, or make the dump again; pgkeep takes the formats custom, directory, tar, .sql and .sql.gz".into()
    });
    error.context(path.display()).hint(hint)
}

/// Looks at a file's first bytes; its name tells nothing.
pub fn detect(path: &Path) -> Result<ImportFormat> {
    let refuse = |what: &str| {
        Error::invalid(format!("{}: {what}", path.display())).hint(Foreign::Binary.hint())
    };
    match std::fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(
                Error::not_found(format!("there is no file {}", path.display()))
                    .hint("check the path; a backup in the repository is named by its id instead"),
            );
        }
        _ => {}
    }
    if path.is_dir() {
        return match path.join("toc.dat").is_file() {
            true => Ok(ImportFormat::Directory),
            false => Err(refuse(
                "this folder is no directory dump, it has no toc.dat",
            )),
        };
    }
    let mut start = Vec::new();
    File::open(path)
        .and_then(|f| f.take(BEGINNING as u64).read_to_end(&mut start))
        .map_err(|e| Error::from(e).context(path.display()))?;
    if let Some(foreign) = Foreign::tell(&start, start.len() < BEGINNING) {
        let what = format!("{}: {}", path.display(), foreign.what());
        return Err(Error::invalid(what).hint(foreign.hint()));
    }
    match archive::sniff(&start) {
        FileKind::Custom => Ok(ImportFormat::Custom),
        FileKind::Tar => Ok(ImportFormat::Tar),
        FileKind::Gzip => Ok(ImportFormat::PlainGzip),
        FileKind::Text => Ok(ImportFormat::Plain),
        FileKind::DirectoryToc | FileKind::Binary => Err(refuse(&Foreign::Binary.what())),
    }
}

fn size_of(path: &Path) -> Option<u64> {
    std::fs::metadata(path)
        .ok()
        .filter(std::fs::Metadata::is_file)
        .map(|m| m.len())
}

/// Takes members in, one after the other, and sums their rows on the way.
struct Intake<'a> {
    sink: &'a RepositorySink<'a>,
    context: &'a Context,
    /// Bytes that may still come.
    room: u64,
    members: Vec<Member>,
    /// For each member, its segments' tokens.
    tokens: Vec<Vec<u64>>,
    evidence: DatabaseEvidence,
    large_objects: LargeObjectSummer,
}

impl<'a> Intake<'a> {
    fn new(sink: &'a RepositorySink<'a>, context: &'a Context, max_bytes: Option<u64>) -> Self {
        Self {
            sink,
            context,
            room: max_bytes.unwrap_or(u64::MAX),
            members: Vec::new(),
            tokens: Vec::new(),
            evidence: DatabaseEvidence::default(),
            large_objects: LargeObjectSummer::default(),
        }
    }

    fn read(&mut self, format: ImportFormat, request: &ImportRequest) -> Result<DatabaseManifest> {
        let path = &request.path;
        let open = || Ok::<_, Error>(BufReader::with_capacity(1 << 20, File::open(path)?));
        match format {
            ImportFormat::Custom => self.custom(path, request),
            // A folder that somebody packed.
            ImportFormat::Tar if PackedDirectory::is_one(path) => self.directory(path, request),
            ImportFormat::Tar => self.tar(path, request),
            ImportFormat::Directory => self.directory(path, request),
            ImportFormat::Plain => self.plain(open()?, request),
            ImportFormat::PlainGzip => {
                self.plain(flate2::bufread::MultiGzDecoder::new(open()?), request)
            }
        }
    }

    fn custom(&mut self, path: &Path, request: &ImportRequest) -> Result<DatabaseManifest> {
        let mut reader = CustomReader::new(BufReader::with_capacity(1 << 20, File::open(path)?))?;
        let toc = member_names(reader.toc());
        self.toc(&toc)?;
        while let Some(block) = reader.next_block()? {
            match block {
                CustomBlock::Data { dump_id } => {
                    let entry = toc.entry(dump_id).expect("the reader checks the number");
                    self.table(entry, reader.data()?)?;
                }
                CustomBlock::LargeObjects { dump_id } => {
                    let entry = toc.entry(dump_id).expect("the reader checks the number");
                    let mut list = String::new();
                    while let Some(oid) = reader.next_large_object()? {
                        let file = format!("blob_{oid}.dat");
                        self.large_object(oid, &file, reader.data()?)?;
                        list.push_str(&format!("{oid} {file}\n"));
                    }
                    self.large_object_list(entry, list.as_bytes())?;
                }
            }
        }
        self.manifest(&toc, request)
    }

    fn directory(&mut self, path: &Path, request: &ImportRequest) -> Result<DatabaseManifest> {
        let archive = DirectoryArchive::open(path)?;
        let toc = archive
            .toc()
            .for_files(|e| e.file().unwrap_or_default().to_string());
        self.toc(&toc)?;
        for entry in toc
            .entries
            .iter()
            .filter(|e| e.file().is_some_and(|f| !f.is_empty()))
        {
            if is_large_objects(entry) {
                let mut list = String::new();
                for (oid, file) in archive.large_objects(entry)? {
                    let own = format!("blob_{oid}.dat");
                    self.large_object(oid, &own, archive.read(&file)?)?;
                    list.push_str(&format!("{oid} {own}\n"));
                }
                self.large_object_list(entry, list.as_bytes())?;
            } else {
                self.table(entry, archive.read(entry.file().expect("filtered"))?)?;
            }
        }
        self.manifest(&toc, request)
    }

    fn tar(&mut self, path: &Path, request: &ImportRequest) -> Result<DatabaseManifest> {
        let mut reader = TarReader::new(BufReader::with_capacity(1 << 20, File::open(path)?))?;
        let toc = reader.toc().clone();
        self.toc(&toc)?;
        let entries: HashMap<String, &Entry> = toc
            .entries
            .iter()
            .filter_map(|e| Some((e.file()?.to_string(), e)))
            .collect();
        let mut objects = HashMap::new();
        while let Some((name, _size)) = reader.next_member()? {
            match entries.get(&name) {
                Some(entry) if is_large_objects(entry) => {
                    let mut list = Vec::new();
                    reader.member().read_to_end(&mut list)?;
                    // The objects follow their list.
                    objects.extend(
                        archive::parse_large_object_toc(list.as_slice())?
                            .into_iter()
                            .map(|(o, f)| (f, o)),
                    );
                    self.large_object_list(entry, &list)?;
                }
                Some(entry) => self.table(entry, reader.member())?,
                None => {
                    // restore.sql is made by pg_dump for people; pg_restore does not read it either.
                    let oid = objects.get(&name).copied().or_else(|| object_number(&name));
                    if let Some(oid) = oid {
                        self.large_object(oid, &name, reader.member())?;
                    }
                }
            }
        }
        self.manifest(&toc, request)
    }

    /// Counts what was unpacked. A small file may grow without end: this is where it is stopped.
    fn took(&mut self, bytes: usize) -> Result<()> {
        self.context.cancel.check()?;
        self.room = self.room.checked_sub(bytes as u64).ok_or_else(|| {
            Error::invalid("the file holds more than is taken in once it is unpacked")
                .hint("allow more with upload_max_expanded in the server's settings, if the file is to be trusted")
        })?;
        self.context.progress.bytes(bytes as u64);
        Ok(())
    }

    /// A script has no structure to check but its end, where pg_dump says that it is complete.
    fn plain(&mut self, mut input: impl Read, request: &ImportRequest) -> Result<DatabaseManifest> {
        let mut script = Script::default();
        let mut segment = self.sink.segment()?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n = match input.read(&mut buffer) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    return Err(Error::new(
                        ErrorCode::Damaged,
                        format!("the file cannot be read to its end: {e}"),
                    )
                    .hint("it was probably cut short while it was written or copied"));
                }
            };
            if n == 0 {
                break;
            }
            self.took(n)?;
            script.push(&buffer[..n]);
            segment.write_all(&buffer[..n])?;
        }
        let header = script.finish()?;
        let done = segment.finish()?;
        self.add("dump.sql".into(), MemberContent::Script, vec![(done, None)]);
        let name = request
            .database
            .clone()
            .or(header.database)
            .unwrap_or_else(|| request.app.clone());
        Ok(self.describe(
            name,
            DatabaseContent::Plain,
            ServerFacts {
                version: header.server_version,
                pg_dump_version: header.pg_dump_version,
                ..ServerFacts::default()
            },
        ))
    }

    fn toc(&mut self, toc: &Toc) -> Result<()> {
        let bytes = archive::write_directory_toc(toc);
        let done = self.store(bytes.as_slice())?;
        self.add("toc.dat".into(), MemberContent::Toc, vec![(done, None)]);
        Ok(())
    }

    fn table(&mut self, entry: &Entry, mut content: impl Read) -> Result<()> {
        let target = CopyTarget::of(entry).ok_or_else(|| {
            Error::invalid(format!(
                "the rows of {}.{} are INSERT statements",
                entry.namespace(),
                entry.tag()
            ))
            .hint("make the dump without --inserts, or import it as an SQL script")
        })?;
        // Rows that a restore routes to partitions anew are proven together, as their root's.
        let name = match target.through_root {
            true => target.name(),
            false => QualifiedName::new(entry.namespace(), entry.tag()),
        };
        let mut whole = RowSummer::new();
        let mut segments = Vec::new();
        let mut segment = Some(self.sink.segment()?);
        let (mut written, mut rows_before) = (0u64, 0u64);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n = content.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            self.took(n)?;
            let mut piece = &buffer[..n];
            if written + n as u64 > SEGMENT_BYTES
                && !whole.ended()
                && let Some(newline) = piece.iter().rposition(|b| *b == b'\n')
            {
                let (rest_of_row, next) = piece.split_at(newline + 1);
                whole.push(rest_of_row);
                let mut full = segment.take().expect("one is always open");
                full.write_all(rest_of_row)?;
                segments.push((full.finish()?, Some(whole.sum().rows - rows_before)));
                rows_before = whole.sum().rows;
                segment = Some(self.sink.segment()?);
                written = 0;
                piece = next;
            }
            whole.push(piece);
            segment
                .as_mut()
                .expect("one is always open")
                .write_all(piece)?;
            written += piece.len() as u64;
        }
        let content = whole.finish().map_err(|e| Error::from(e).context(&name))?;
        segments.push((
            segment.expect("one is always open").finish()?,
            Some(content.rows - rows_before),
        ));
        self.context.progress.item(&name.to_string());
        match self
            .evidence
            .tables
            .iter_mut()
            .find(|t| target.through_root && t.name == name)
        {
            Some(table) => table.content.add(content),
            None => self.evidence.tables.push(TableEvidence {
                name: name.clone(),
                content,
                columns: target.columns,
                condition: None,
            }),
        }
        let file = entry.file().unwrap_or_default().to_string();
        self.add(file, MemberContent::Table { name }, segments);
        Ok(())
    }

    fn large_object(&mut self, oid: u32, file: &str, content: impl Read) -> Result<()> {
        let mut sum = self.large_objects.object(oid);
        let mut segment = self.sink.segment()?;
        let mut content = content;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let n = content.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            self.took(n)?;
            sum.push(&buffer[..n]);
            segment.write_all(&buffer[..n])?;
        }
        self.large_objects.add(sum);
        let done = segment.finish()?;
        self.add(
            file.into(),
            MemberContent::LargeObject { oid },
            vec![(done, None)],
        );
        Ok(())
    }

    fn large_object_list(&mut self, entry: &Entry, list: &[u8]) -> Result<()> {
        let done = self.store(list)?;
        let file = entry.file().unwrap_or_default().to_string();
        self.add(file, MemberContent::LargeObjectToc, vec![(done, None)]);
        Ok(())
    }

    fn store(&self, mut bytes: impl Read) -> Result<SegmentDone> {
        let mut segment: Box<dyn SegmentWriter> = self.sink.segment()?;
        io::copy(&mut bytes, &mut segment)?;
        Ok(segment.finish()?)
    }

    fn add(&mut self, file: String, what: MemberContent, parts: Vec<(SegmentDone, Option<u64>)>) {
        self.tokens
            .push(parts.iter().map(|(done, _)| done.token).collect());
        self.members.push(Member {
            file,
            what,
            size: parts.iter().map(|(done, _)| done.bytes).sum(),
            segments: parts
                .into_iter()
                .map(|(done, rows)| Segment {
                    bytes: done.bytes,
                    chunks: done.chunks,
                    rows,
                    blocks: None,
                })
                .collect(),
        });
    }

    fn manifest(&mut self, toc: &Toc, request: &ImportRequest) -> Result<DatabaseManifest> {
        let unprovable = self.set_configuration_tables_aside(toc);
        self.evidence.tables.sort_by(|a, b| a.name.cmp(&b.name));
        self.evidence.large_objects = self.large_objects.sum();
        self.evidence.sequences = toc
            .entries
            .iter()
            .filter_map(|e| {
                let value = SequenceValue::of(e)?;
                Some(SequenceEvidence {
                    name: QualifiedName::new(e.namespace(), e.tag()),
                    last_value: value.last_value,
                    is_called: value.is_called,
                })
            })
            .collect();
        self.evidence.sequences.sort_by(|a, b| a.name.cmp(&b.name));
        self.evidence.extensions = archive::extensions(toc)
            .into_iter()
            .map(|(name, schema)| ExtensionEvidence {
                name,
                version: String::new(),
                schema,
            })
            .collect();
        self.evidence.objects = archive::count_objects(toc);
        self.evidence.schema_sha256 = archive::schema_sha256(toc);
        let name = request
            .database
            .clone()
            .unwrap_or_else(|| toc.header.dbname().into_owned());
        let version = toc.header.server_version().into_owned();
        let mut manifest = self.describe(
            name,
            DatabaseContent::Directory,
            ServerFacts {
                version_num: version_num(&version),
                version,
                pg_dump_version: toc.header.dump_version().into_owned(),
                ..ServerFacts::default()
            },
        );
        manifest.properties.encoding = toc.encoding().unwrap_or_default();
        manifest.warnings.extend(unprovable);
        Ok(manifest)
    }

    /// An extension's configuration table also holds rows that the extension itself makes, and the file does not tell which
    /// ones it carries; so its rows are restored but cannot be proven. Returns what to say about it.
    fn set_configuration_tables_aside(&mut self, toc: &Toc) -> Option<String> {
        let made: HashSet<QualifiedName> = toc
            .entries
            .iter()
            .filter(|e| e.is("TABLE"))
            .map(|e| QualifiedName::new(e.namespace(), e.tag()))
            .collect();
        let (kept, aside): (Vec<_>, Vec<_>) = std::mem::take(&mut self.evidence.tables)
            .into_iter()
            .partition(|t| made.contains(&t.name));
        self.evidence.tables = kept;
        let names: Vec<String> = aside.iter().map(|t| t.name.to_string()).collect();
        (!names.is_empty()).then(|| {
            format!(
                "rows of the extensions' tables {} are restored but cannot be proven",
                names.join(", ")
            )
        })
    }

    fn describe(
        &mut self,
        name: String,
        content: DatabaseContent,
        server: ServerFacts,
    ) -> DatabaseManifest {
        DatabaseManifest {
            path: format!("databases/{}", backup::safe_name(&name)),
            name,
            content,
            server,
            properties: DatabaseProperties {
                connection_limit: -1,
                allow_connections: true,
                ..DatabaseProperties::default()
            },
            evidence: std::mem::take(&mut self.evidence),
            members: std::mem::take(&mut self.members),
            excluded_data: Vec::new(),
            only_schemas: Vec::new(),
            warnings: vec![
                "imported: owner, locale and settings of the database are not in the file".into(),
            ],
            migrations: Vec::new(),
            taken_over_from: None,
            mark: None,
        }
    }
}

fn member_names(toc: &Toc) -> Toc {
    toc.for_files(|e| match is_large_objects(e) {
        true => toc.large_object_list_name(e),
        false => format!("{}.dat", e.dump_id),
    })
}

fn is_large_objects(entry: &Entry) -> bool {
    entry.is("BLOBS")
}

fn object_number(file: &str) -> Option<u32> {
    file.strip_prefix("blob_")?
        .strip_suffix(".dat")?
        .parse()
        .ok()
}

/// `15.4 (Debian ...)` as 150004.
fn version_num(version: &str) -> u32 {
    let mut parts = version
        .split(|c: char| !c.is_ascii_digit())
        .map(|p| p.parse::<u32>().unwrap_or(0));
    parts.next().unwrap_or(0) * 10_000 + parts.next().unwrap_or(0)
}

/// Follows a script to tell whether pg_dump wrote it and whether it is whole.
#[derive(Default)]
struct Script {
    head: Vec<u8>,
    tail: Vec<u8>,
}

struct ScriptHeader {
    server_version: String,
    pg_dump_version: String,
    /// Told by dumps that make their database (`pg_dump --create`).
    database: Option<String>,
}

impl Script {
    const HEAD: usize = 4096;
    const TAIL: usize = 1024;

    fn push(&mut self, piece: &[u8]) {
        let wanted = Self::HEAD.saturating_sub(self.head.len()).min(piece.len());
        self.head.extend_from_slice(&piece[..wanted]);
        self.tail
            .extend_from_slice(&piece[piece.len().saturating_sub(Self::TAIL)..]);
        let surplus = self.tail.len().saturating_sub(Self::TAIL);
        self.tail.drain(..surplus);
    }

    fn finish(self) -> Result<ScriptHeader> {
        let head = String::from_utf8_lossy(&self.head);
        let tail = String::from_utf8_lossy(&self.tail);
        let field = |label: &str| {
            let line = head.lines().find_map(|l| l.strip_prefix(label));
            line.map(str::trim).unwrap_or_default().to_string()
        };
        if !head.contains(foreign::TITLE) {
            return Err(Error::invalid(Foreign::Text.what()).hint(Foreign::Text.hint()));
        }
        if !tail.contains("-- PostgreSQL database dump complete") {
            return Err(Error::new(
                ErrorCode::Damaged,
                "the script is cut short: pg_dump's last line is missing",
            )
            .hint("make the dump again, or copy it again from where it came"));
        }
        Ok(ScriptHeader {
            server_version: field("-- Dumped from database version "),
            pg_dump_version: field("-- Dumped by pg_dump version "),
            database: head.lines().find_map(database_of),
        })
    }
}

/// The database's name in a line that tells it: the title of its definition, or psql's command to connect to it.
fn database_of(line: &str) -> Option<String> {
    if let Some(title) = line.strip_prefix("-- Name: ") {
        let (name, rest) = title.split_once("; ")?;
        return rest.starts_with("Type: DATABASE;").then(|| name.to_owned());
    }
    let target = line.strip_prefix("\\connect ")?.trim();
    let target = target.strip_prefix("-reuse-previous=on ").unwrap_or(target);
    let quoted = target.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let name = quoted.map_or_else(|| target.to_owned(), |t| t.replace("\"\"", "\""));
    let name = match name.strip_prefix("dbname='") {
        Some(rest) => rest.strip_suffix('\'')?.replace("\\'", "'"),
        None => name,
    };
    (!name.is_empty() && name != "-").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_makes_its_database_tells_its_name() {
        for (line, name) in [
            (
                "-- Name: shop; Type: DATABASE; Schema: -; Owner: postgres",
                Some("shop"),
            ),
            (
                "-- Name: orders; Type: TABLE; Schema: public; Owner: postgres",
                None,
            ),
            ("\\connect shop", Some("shop")),
            ("\\connect \"my shop\"", Some("my shop")),
            (
                "\\connect -reuse-previous=on \"dbname='my shop'\"",
                Some("my shop"),
            ),
            ("SET client_encoding = 'UTF8';", None),
        ] {
            assert_eq!(database_of(line).as_deref(), name, "{line}");
        }
    }
}
