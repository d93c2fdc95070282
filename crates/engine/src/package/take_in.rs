//! Taking a package in: it becomes a backup like the one it was made of, with the same evidence, and is proven on the way.
//!
//! Nothing is published before the whole package was read, every sum holds, and every row, large object, sequence and
//! definition is what the evidence says.

use super::{
    GLOBALS, MANIFEST, README, SUMS,
    contents::{Contents, PackedDatabase},
    database::member_name,
    files::TreeIntake,
    layers,
    tape::{Content, TapeEntry, TapeReader, damaged},
    write::sum_line,
};
use crate::{
    Context, Error, Result,
    backup::{self, BackupReport, Begun, RepositorySink, Store},
    catalog,
};
use pgkeep_model::{
    Phase,
    evidence::{self, DatabaseEvidence, Proof, TableEvidence},
    manifest::{
        BackupKind, DatabaseContent, DatabaseManifest, FORMAT, FilesManifest, GLOBALS_PATH,
        Manifest, Member, MemberContent, Segment,
    },
};
use pgkeep_postgres::{
    archive::{self, CustomBlock, CustomReader, LargeObjectSummer, RowSummer, SequenceValue, Toc},
    dump::{DumpSink, SegmentDone},
};
use pgkeep_repository::{
    NewFile, Repository, Writer,
    storage::{self, StorageOptions},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// Where a package is read from, front to back.
#[derive(Debug, Clone)]
pub enum PackageSource {
    File(PathBuf),
    Stdin,
    /// An object of this address, `s3://bucket/folder/name`.
    Bucket {
        address: String,
        options: Box<StorageOptions>,
    },
}

impl fmt::Display for PackageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackageSource::File(path) => path.display().fmt(f),
            PackageSource::Stdin => f.write_str("standard input"),
            PackageSource::Bucket { address, .. } => f.write_str(address),
        }
    }
}

impl PackageSource {
    /// The stream, and its size where that is known.
    fn open(&self) -> Result<(Box<dyn Read + Send>, Option<u64>)> {
        Ok(match self {
            PackageSource::Stdin => (Box::new(io::stdin()), None),
            PackageSource::File(path) => {
                let file = File::open(path)?;
                let size = file.metadata().map(|m| m.len()).ok();
                (Box::new(file), size)
            }
            PackageSource::Bucket { address, options } => {
                let object = storage::download(address, options)?;
                let size = object.size();
                (Box::new(object), Some(size))
            }
        })
    }
}

#[derive(Clone)]
pub struct TakeInRequest {
    pub from: PackageSource,
    /// Files of age identities that may open an encrypted one.
    pub identities: Vec<PathBuf>,
    /// Name of the app, where it is not to be the package's.
    pub app: Option<String>,
    pub environment: Option<String>,
    /// Words, where they are not to be the package's.
    pub description: String,
    /// Beside those of the package.
    pub tags: Vec<String>,
    pub compression_level: i32,
    /// Whoever sent it could not unpack it here: what would give rights on the machine that it is restored to is left out.
    pub from_afar: bool,
    /// A package that holds more is refused where this is noticed; unlimited where absent.
    pub max_bytes: Option<u64>,
    pub origin: catalog::Origin,
}

/// Whether a file is a package: encrypted for age, compressed with zstd, or a tar file that begins as packages do.
pub fn looks_like_package(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let Ok((start, _)) = layers::peek(Box::new(file)) else {
        return false;
    };
    if start.starts_with(AGE) || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return true;
    }
    start.len() == 512 && start[257..].starts_with(b"ustar") && begins_as_package(path)
}

/// Whether a file is encrypted for age.
pub fn is_encrypted(path: &Path) -> bool {
    let start = File::open(path)
        .ok()
        .map(|file| layers::peek(Box::new(file)));
    matches!(start, Some(Ok((start, _))) if start.starts_with(AGE))
}

/// How every file begins that is encrypted for age.
const AGE: &[u8] = b"age-encryption.org/";

/// pg_dump's tar files begin with `toc.dat`, packages with a folder and its README.
fn begins_as_package(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut tape = TapeReader::new(file);
    for _ in 0..2 {
        match tape.next() {
            Ok(Some(entry)) if entry.path.len() == 2 => return entry.path[1] == README.as_bytes(),
            Ok(Some(entry)) if entry.header.entry_type().is_dir() => {}
            _ => return false,
        }
    }
    false
}

/// Reads a package to its end, proves it, and publishes it as a backup of the time at which it was taken.
pub fn take_in(
    repository: &Repository,
    request: &TakeInRequest,
    context: &Context,
) -> Result<BackupReport> {
    let begun = Begun::now(context);
    context.progress.phase(Phase::Check, None);
    let named = |e: Error| e.context(&request.from);
    let (input, size) = request.from.open().map_err(named)?;
    let store = Store::open(repository, "import", request.compression_level, context)?;
    let sink = store.sink();
    context.progress.phase(Phase::Data, size);
    let input = layers::unwrap(input, &request.identities).map_err(named)?;
    let over = AtomicBool::new(false);
    let mut intake = Intake {
        over: &over,
        sink: &sink,
        context,
        room: request.max_bytes.unwrap_or(u64::MAX),
        files: Vec::new(),
        sums: BTreeMap::new(),
        writer: store.writer(),
    };
    let (manifest, mut tags) = intake
        .read(TapeReader::new(input), request)
        .map_err(|e| {
            if over.load(Ordering::Relaxed) {
                too_much()
            } else {
                e
            }
        })
        .map_err(named)?;

    context.progress.phase(Phase::Publish, None);
    tags.extend(request.tags.iter().cloned());
    let tags = catalog::tags_of(&manifest, &tags, false, &request.origin);
    let files = intake.files;
    store.publish(files, &manifest, tags, begun, false, context)
}

/// Whatever read the content tells of it as of any failed reading.
fn too_much() -> Error {
    Error::invalid("the package holds more than is taken in once it is unpacked").hint(
        "allow more with upload_max_expanded in the server's settings, if the package is to be trusted",
    )
}

struct Intake<'a> {
    /// It held more than there is room for.
    over: &'a AtomicBool,
    sink: &'a RepositorySink<'a>,
    context: &'a Context,
    room: u64,
    files: Vec<NewFile>,
    /// Of every file that was read, by its path in the package.
    sums: BTreeMap<Vec<u8>, String>,
    writer: &'a Writer,
}

impl<'a> Intake<'a> {
    /// The manifest of the backup to be, and the words it was tagged with.
    fn read(
        &mut self,
        mut tape: TapeReader<Box<dyn Read + Send>>,
        request: &TakeInRequest,
    ) -> Result<(Manifest, Vec<String>)> {
        let mut contents: Option<Contents> = None;
        let mut databases: BTreeMap<String, DatabaseManifest> = BTreeMap::new();
        let mut trees = Trees {
            from_afar: request.from_afar,
            ..Trees::default()
        };
        let mut globals = false;
        let mut listed = None;
        while let Some(entry) = tape.next()? {
            self.context.cancel.check()?;
            if entry.path.get(1).is_some_and(|part| part == b"files") && entry.path.len() > 2 {
                let Some(contents) = contents.as_ref().filter(|_| listed.is_none()) else {
                    return Err(damaged("files are not expected here in the package"));
                };
                self.file(&entry, &mut tape, &contents.manifest, &mut trees)?;
                continue;
            }
            if entry.header.entry_type().is_dir() {
                continue;
            }
            let path = path_inside(&entry.path)?;
            if listed.is_some() || self.sums.contains_key(path.as_bytes()) {
                return Err(damaged(format!("{path} is not expected in the package")));
            }
            let mut content = Summed::new(tape.content(), self.context, self.room, self.over);
            match (path.as_str(), &contents) {
                (README, _) => {}
                (MANIFEST, None) => {
                    let mut json = Vec::new();
                    content.read_to_end(&mut json)?;
                    contents = Some(Contents::parse(&json)?);
                }
                (SUMS, _) => {
                    let mut text = Vec::new();
                    content.read_to_end(&mut text)?;
                    listed = Some(text);
                    continue;
                }
                (_, None) => {
                    return Err(Error::invalid("this tar file is not a package of pgkeep")
                        .hint("a package begins with README.txt and manifest.json"));
                }
                (GLOBALS, Some(contents)) if contents.manifest.globals => {
                    globals = true;
                    let done = store(self.sink, &mut content)?;
                    let modified = contents.manifest.started_at;
                    self.files.push(new_file(
                        GLOBALS_PATH.into(),
                        modified,
                        self.sink,
                        &[done.token],
                    ));
                }
                (path, Some(contents)) => {
                    let packed = contents.databases.iter().find(|d| d.file == path);
                    let expected =
                        packed.and_then(|packed| contents.manifest.database(&packed.name));
                    let (Some(packed), Some(expected)) = (packed, expected) else {
                        return Err(damaged(format!("{path} is not expected in the package")));
                    };
                    self.context.progress.item(&packed.name);
                    let taken = take_database(
                        self.sink,
                        packed,
                        expected,
                        contents.manifest.started_at,
                        &mut content,
                        &mut self.files,
                    )?;
                    databases.insert(packed.name.clone(), taken);
                }
            }
            let (sum, room) = content.finish()?;
            self.sums.insert(path.into_bytes(), sum);
            self.room = room;
        }
        tape.finish()?;
        let contents = contents.ok_or_else(|| {
            Error::invalid("this tar file is not a package of pgkeep")
                .hint("a package begins with README.txt and manifest.json")
        })?;
        check_sums(listed.as_deref(), &self.sums)?;
        let manifest = contents.manifest;
        if globals != manifest.globals {
            return Err(damaged("globals.sql is missing from the package"));
        }
        let mut all = Vec::new();
        for database in &manifest.databases {
            let taken = databases.remove(&database.name);
            all.push(taken.ok_or_else(|| {
                damaged(format!(
                    "database {} is missing from the package",
                    database.name
                ))
            })?);
        }
        let files = trees.finish(&manifest, self.context)?;
        let manifest = Manifest {
            format: FORMAT,
            files,
            kind: BackupKind::Import,
            app: request.app.clone().unwrap_or(manifest.app),
            environment: request.environment.clone().unwrap_or(manifest.environment),
            description: match request.description.as_str() {
                "" => manifest.description,
                given => given.to_owned(),
            },
            compression_level: request.compression_level,
            evidence_digest: backup::evidence_digest(&all)?,
            databases: all,
            parent: None,
            // There is no earlier one here to go back to.
            shrunk: None,
            ..manifest
        };
        Ok((manifest, contents.tags))
    }

    /// An entry of a file tree; entries of one tree follow each other.
    fn file(
        &mut self,
        entry: &TapeEntry,
        tape: &mut TapeReader<Box<dyn Read + Send>>,
        manifest: &Manifest,
        trees: &mut Trees<'a>,
    ) -> Result<()> {
        let name = entry.path[1..3].join(&b'/');
        let tree = trees.of(&name, manifest, self.writer, self.context)?;
        let mut content = Summed::new(tape.content(), self.context, self.room, self.over);
        tree.entry(entry, &entry.path[3..], &mut content)?;
        let (sum, room) = content.finish()?;
        self.room = room;
        if entry.header.entry_type().is_file() {
            self.sums.insert(entry.path[1..].join(&b'/'), sum);
        }
        Ok(())
    }
}

/// The trees that were read, the last of them perhaps not to its end.
#[derive(Default)]
struct Trees<'a> {
    from_afar: bool,
    present: Option<TreeIntake<'a>>,
    done: Vec<FilesManifest>,
}

impl<'a> Trees<'a> {
    fn of(
        &mut self,
        path: &[u8],
        manifest: &Manifest,
        writer: &'a Writer,
        context: &Context,
    ) -> Result<&mut TreeIntake<'a>> {
        let is_present = |tree: &TreeIntake<'_>| tree.path().as_bytes() == path;
        if !self.present.as_ref().is_some_and(is_present) {
            self.close(manifest, context)?;
            let expected = manifest
                .files
                .iter()
                .find(|tree| tree.path.as_bytes() == path);
            let new = |tree: &&FilesManifest| self.done.iter().all(|done| done.path != tree.path);
            let expected = expected.filter(new).ok_or_else(|| {
                let path = String::from_utf8_lossy(path);
                damaged(format!("{path} is not expected in the package"))
            })?;
            self.present = Some(TreeIntake::new(writer, expected, self.from_afar));
        }
        Ok(self.present.as_mut().expect("set above"))
    }

    fn close(&mut self, manifest: &Manifest, context: &Context) -> Result<()> {
        if let Some(tree) = self.present.take() {
            let expected = manifest
                .files
                .iter()
                .find(|known| known.path == tree.path());
            let expected = expected.expect("begun because it is known");
            self.done.push(tree.finish(expected, context)?);
        }
        Ok(())
    }

    /// All trees in the manifest's order; one that did not come is damage.
    fn finish(mut self, manifest: &Manifest, context: &Context) -> Result<Vec<FilesManifest>> {
        self.close(manifest, context)?;
        let found = |tree: &FilesManifest| {
            let found = self.done.iter().find(|done| done.path == tree.path);
            let missing = || damaged(format!("{} is missing from the package", tree.path));
            found.cloned().ok_or_else(missing)
        };
        manifest.files.iter().map(found).collect()
    }
}

/// A path below the package's own folder.
fn path_inside(path: &[Vec<u8>]) -> Result<String> {
    let inside = path.get(1..).unwrap_or_default().join(&b'/');
    match String::from_utf8(inside) {
        Ok(path) if !path.is_empty() => Ok(path),
        _ => Err(Error::invalid("this tar file is not a package of pgkeep")
            .hint("a package holds one folder, with README.txt and manifest.json in it")),
    }
}

/// Every file must be listed with its sum, and every line must be of a file.
fn check_sums(listed: Option<&[u8]>, found: &BTreeMap<Vec<u8>, String>) -> Result<()> {
    let listed =
        listed.ok_or_else(|| damaged("the package is cut short: SHA256SUMS is missing"))?;
    let lines: BTreeSet<&[u8]> = listed.split_inclusive(|byte| *byte == b'\n').collect();
    for (path, sum) in found {
        if !lines.contains(sum_line(sum, path).as_slice()) {
            let path = String::from_utf8_lossy(path);
            return Err(damaged(format!(
                "{path} is not what it was: its sum differs"
            )));
        }
    }
    match lines.len() == found.len() {
        true => Ok(()),
        false => Err(damaged(format!(
            "SHA256SUMS lists {} files, {} are in the package",
            lines.len(),
            found.len()
        ))),
    }
}

fn new_file(
    path: String,
    modified: jiff::Timestamp,
    sink: &RepositorySink<'_>,
    tokens: &[u64],
) -> NewFile {
    NewFile {
        path,
        mode: 0o600,
        modified,
        parts: sink.take(tokens),
    }
}

fn store(sink: &RepositorySink<'_>, content: &mut impl Read) -> Result<SegmentDone> {
    let mut segment = sink.segment()?;
    io::copy(content, &mut segment)?;
    Ok(segment.finish()?)
}

/// Takes one database in, member by member, and proves it.
fn take_database(
    sink: &RepositorySink<'_>,
    packed: &PackedDatabase,
    expected: &DatabaseManifest,
    modified: jiff::Timestamp,
    content: &mut (impl Read + Send),
    files: &mut Vec<NewFile>,
) -> Result<DatabaseManifest> {
    let mut members = Members {
        sink,
        expected,
        modified,
        files,
        done: BTreeMap::new(),
    };
    if expected.content == DatabaseContent::Plain {
        let script = expected
            .members
            .iter()
            .find(|m| m.what == MemberContent::Script);
        let script = script.ok_or_else(|| damaged("the manifest names no script"))?;
        members.take(&script.file, content, |_| {})?;
    } else {
        let found = take_archive(&mut members, packed, content)?;
        let differences = evidence::compare(&expected.evidence, &found, Proof::Full);
        if !differences.is_empty() || found.schema_sha256 != expected.evidence.schema_sha256 {
            return Err(damaged(format!(
                "database {} is not what its evidence says",
                expected.name
            ))
            .details(differences.iter().map(ToString::to_string).collect()));
        }
    }
    let members = members.finish()?;
    Ok(DatabaseManifest {
        members,
        taken_over_from: None,
        mark: None,
        ..expected.clone()
    })
}

/// Reads an archive to its end; the evidence is of what was read.
fn take_archive(
    members: &mut Members<'_>,
    packed: &PackedDatabase,
    content: &mut (impl Read + Send),
) -> Result<DatabaseEvidence> {
    let expected = members.expected;
    let mut reader = CustomReader::new(content)?;
    let toc = reader.toc().clone();
    for entry in toc.entries.iter().filter(|e| e.has_data) {
        member_name(&packed.members, entry.dump_id)?;
    }
    let toc = toc.for_files(|e| packed.members.get(&e.dump_id).cloned().unwrap_or_default());
    let own = expected
        .members
        .iter()
        .find(|m| m.what == MemberContent::Toc);
    let own = own.ok_or_else(|| damaged("the manifest names no table of contents"))?;
    members.take(
        &own.file,
        &mut archive::write_directory_toc(&toc).as_slice(),
        |_| {},
    )?;

    let mut tables: BTreeMap<_, TableEvidence> = BTreeMap::new();
    let mut large_objects = LargeObjectSummer::default();
    while let Some(block) = reader.next_block()? {
        match block {
            CustomBlock::Data { dump_id } => {
                let file = member_name(&packed.members, dump_id)?;
                let mut rows = RowSummer::new();
                let member = members.take(file, &mut reader.data()?, |piece| rows.push(piece))?;
                let MemberContent::Table { name } = &member.what else {
                    return Err(damaged(format!("{file} is no table")));
                };
                let sum = rows.finish()?;
                let known = expected.evidence.tables.iter().find(|t| t.name == *name);
                if let Some(known) = known {
                    let table = tables.entry(name.clone()).or_insert_with(|| TableEvidence {
                        content: Default::default(),
                        ..known.clone()
                    });
                    table.content.add(sum);
                }
            }
            CustomBlock::LargeObjects { dump_id } => {
                let mut list = String::new();
                while let Some(oid) = reader.next_large_object()? {
                    let what = MemberContent::LargeObject { oid };
                    let member = expected.members.iter().find(|m| m.what == what);
                    let member =
                        member.ok_or_else(|| damaged(format!("large object {oid} is unknown")))?;
                    let mut sum = large_objects.object(oid);
                    members.take(&member.file, &mut reader.data()?, |piece| sum.push(piece))?;
                    large_objects.add(sum);
                    list.push_str(&format!("{oid} {}\n", member.file));
                }
                let file = member_name(&packed.members, dump_id)?;
                members.take(file, &mut list.as_bytes(), |_| {})?;
            }
        }
    }
    Ok(DatabaseEvidence {
        tables: tables.into_values().collect(),
        sequences: match sequence_values(&toc) == expected_values(&expected.evidence) {
            true => expected.evidence.sequences.clone(),
            false => Vec::new(),
        },
        extensions: expected.evidence.extensions.clone(),
        large_objects: large_objects.sum(),
        objects: archive::count_objects(&toc),
        schema_sha256: archive::schema_sha256(&toc),
    })
}

/// Values alone: names in a table of contents are in the database's own encoding.
fn sequence_values(toc: &Toc) -> Vec<(i64, bool)> {
    let mut values: Vec<_> = toc
        .entries
        .iter()
        .filter_map(SequenceValue::of)
        .map(|value| (value.last_value, value.is_called))
        .collect();
    values.sort_unstable();
    values
}

fn expected_values(evidence: &DatabaseEvidence) -> Vec<(i64, bool)> {
    let mut values: Vec<_> = evidence
        .sequences
        .iter()
        .map(|s| (s.last_value, s.is_called))
        .collect();
    values.sort_unstable();
    values
}

/// Stores members as the manifest describes them, cut into the same segments.
struct Members<'a> {
    sink: &'a RepositorySink<'a>,
    expected: &'a DatabaseManifest,
    modified: jiff::Timestamp,
    files: &'a mut Vec<NewFile>,
    done: BTreeMap<String, Vec<Segment>>,
}

impl Members<'_> {
    fn take(
        &mut self,
        file: &str,
        content: &mut impl Read,
        mut watch: impl FnMut(&[u8]),
    ) -> Result<Member> {
        let member = self.expected.members.iter().find(|m| m.file == file);
        let member = member
            .filter(|_| !self.done.contains_key(file))
            .ok_or_else(|| damaged(format!("{file} is not expected in the archive")))?
            .clone();
        let mut segments = Vec::new();
        let mut tokens = Vec::new();
        let mut buffer = vec![0; 256 << 10];
        for planned in &member.segments {
            let mut segment = self.sink.segment()?;
            let mut left = planned.bytes;
            while left > 0 {
                let wanted = left.min(buffer.len() as u64) as usize;
                let n = content.read(&mut buffer[..wanted])?;
                if n == 0 {
                    return Err(damaged(format!("{file} is shorter than it was")));
                }
                watch(&buffer[..n]);
                segment.write_all(&buffer[..n])?;
                left -= n as u64;
            }
            let done = segment.finish()?;
            segments.push(Segment {
                bytes: done.bytes,
                chunks: done.chunks,
                ..planned.clone()
            });
            tokens.push(done.token);
        }
        if content.read(&mut buffer)? != 0 {
            return Err(damaged(format!("{file} is longer than it was")));
        }
        let path = format!("{}/{file}", self.expected.path);
        self.files
            .push(new_file(path, self.modified, self.sink, &tokens));
        self.done.insert(file.to_owned(), segments);
        Ok(member)
    }

    /// The members with the segments that they became; one that did not come is damage.
    fn finish(mut self) -> Result<Vec<Member>> {
        self.expected
            .members
            .iter()
            .map(|member| {
                let segments = self.done.remove(&member.file).ok_or_else(|| {
                    damaged(format!("{} is missing from the archive", member.file))
                })?;
                Ok(Member {
                    size: segments.iter().map(|s| s.bytes).sum(),
                    segments,
                    ..member.clone()
                })
            })
            .collect()
    }
}

/// The content of a file in the package, with its sum, the progress, and a limit.
struct Summed<'a, R> {
    inner: Content<'a, R>,
    hash: Sha256,
    context: &'a Context,
    room: u64,
    over: &'a AtomicBool,
}

impl<'a, R: Read> Summed<'a, R> {
    fn new(inner: Content<'a, R>, context: &'a Context, room: u64, over: &'a AtomicBool) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            context,
            room,
            over,
        }
    }

    /// Reads what is left; returns the sum, and how much may still come.
    fn finish(mut self) -> Result<(String, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((hex::encode(self.hash.finalize()), self.room))
    }
}

impl<R: Read> Read for Summed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.context.cancel.check().map_err(io::Error::other)?;
        let n = self.inner.read(buffer)?;
        let Some(room) = self.room.checked_sub(n as u64) else {
            self.over.store(true, Ordering::Relaxed);
            return Err(io::Error::other("the package holds more than is taken in"));
        };
        self.room = room;
        self.hash.update(&buffer[..n]);
        self.context.progress.bytes(n as u64);
        Ok(n)
    }
}
