//! Exports: a backup's database as a file that stock PostgreSQL tools read.

use crate::{
    Context, Error, Result,
    backup::safe_name,
    catalog::{self, BackupDetail, ListFilter},
    restore::SnapshotSource,
};
use jiff::Timestamp;
use pgkeep_model::{
    Phase,
    manifest::{DatabaseContent, DatabaseManifest, Manifest, Member, MemberContent},
};
use pgkeep_postgres::{
    archive::{self, CustomWriter, TarWriter, Toc},
    restore::DumpSource,
    tools::Tools,
};
use pgkeep_repository::{Repository, SnapshotReader};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The formats that an export can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// pg_dump's custom format, `.pgcustom`: `pg_restore -l` and `-j` read it.
    Custom,
    /// SQL text, gzip-compressed, `.sql.gz`.
    Plain,
    /// pg_dump's directory format.
    Directory,
    /// pg_dump's tar format, `.tar`.
    Tar,
}

impl ExportFormat {
    pub fn extension(self) -> &'static str {
        match self {
            ExportFormat::Custom => "pgcustom",
            ExportFormat::Plain => "sql.gz",
            ExportFormat::Directory => "dir",
            ExportFormat::Tar => "tar",
        }
    }
}

#[derive(Clone)]
pub struct ExportRequest {
    pub backup: String,
    pub app: Option<String>,
    pub database: Option<String>,
    pub format: ExportFormat,
}

/// Where an export that is not streamed goes.
#[derive(Debug, Clone)]
pub enum ExportTarget {
    /// A file (or, for the directory format, a folder) of this name; it must not exist.
    Path(PathBuf),
    /// A file with a name of its own in this folder.
    Folder(PathBuf),
}

/// What was written: also the content of `<name>.meta.json` beside the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportMeta {
    pub backup: String,
    pub app: String,
    pub environment: String,
    pub database: String,
    pub app_version: Option<String>,
    pub migrations_hash: Option<String>,
    pub db_version: String,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// Bytes of the file; of all files in a directory.
    pub size: u64,
    /// Of the file; of `toc.dat` for a directory.
    pub sha256: String,
    pub format: ExportFormat,
    pub description: String,
    pub rows: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ExportReport {
    /// `None` for a stream.
    pub path: Option<PathBuf>,
    pub meta_path: Option<PathBuf>,
    #[serde(flatten)]
    pub meta: ExportMeta,
}

/// The name of an export: `<app>_<env>_<db>_YYYYmmddTHHMMSSZ.<ext>`, every part made safe.
pub fn file_name(manifest: &Manifest, database: &str, format: ExportFormat) -> String {
    let environment = if manifest.environment.is_empty() {
        "default"
    } else {
        &manifest.environment
    };
    format!(
        "{}_{}_{}_{}.{}",
        safe_name(&manifest.app),
        safe_name(environment),
        safe_name(database),
        manifest.started_at.strftime("%Y%m%dT%H%M%SZ"),
        format.extension()
    )
}

/// What is exported: one database of one backup.
pub(crate) struct Export<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) database: &'a DatabaseManifest,
    pub(crate) source: SnapshotSource,
    /// Stands in the scripts of newer pg_restore, against psql's commands in hostile data: letters and digits. pg_restore
    /// makes one by chance where none is given, and then no two scripts are equal.
    pub(crate) restrict_key: Option<&'a str>,
    pub(crate) context: &'a Context,
}

/// Writes one database of a backup as a file. The file has its final name only once it is complete.
pub fn run(
    repository: &Repository,
    request: &ExportRequest,
    to: &ExportTarget,
    context: &Context,
) -> Result<ExportReport> {
    export(repository, request, context, |export| {
        let path = match to {
            ExportTarget::Path(path) => path.clone(),
            ExportTarget::Folder(folder) => {
                fs::create_dir_all(folder)?;
                let database = &export.database.name;
                folder.join(file_name(export.manifest, database, request.format))
            }
        };
        if path.exists() {
            return Err(Error::refused(format!("{} exists already", path.display()))
                .hint("choose another name, or move the file away"));
        }
        let (size, sha256) = match request.format {
            ExportFormat::Directory => export.directory(&path)?,
            format => export.file(format, &path)?,
        };
        Ok((Some(path), size, sha256))
    })
}

/// Writes one database of a backup into a stream of the caller's, in any format but the directory's.
pub fn stream(
    repository: &Repository,
    request: &ExportRequest,
    out: &mut (dyn Write + Send),
    context: &Context,
) -> Result<ExportReport> {
    export(repository, request, context, |export| {
        if request.format == ExportFormat::Directory {
            return Err(Error::invalid(
                "a directory cannot be written to a stream, such as standard output",
            )
            .hint("use --format custom, or --output FOLDER"));
        }
        let mut out = Hashing::new(out);
        export.stream(request.format, &mut out)?;
        let (size, sha256) = out.finish()?;
        Ok((None, size, sha256))
    })
}

/// Opens what is asked for and lets `write` write it, which gives the path, the size and the sum.
fn export(
    repository: &Repository,
    request: &ExportRequest,
    context: &Context,
    write: impl FnOnce(&Export<'_>) -> Result<(Option<PathBuf>, u64, String)>,
) -> Result<ExportReport> {
    let filter = ListFilter {
        app: request.app.clone(),
        ..ListFilter::default()
    };
    let detail = catalog::show(repository, &request.backup, &filter)?;
    let database = choose_database(&detail.manifest, request.database.as_deref())?;
    let reader = Arc::new(repository.open_snapshot(&detail.entry.snapshot)?);
    let export = Export {
        manifest: &detail.manifest,
        database,
        source: SnapshotSource::new(reader, &database.path),
        restrict_key: None,
        context,
    };
    context.progress.phase(
        Phase::Data,
        Some(database.members.iter().map(|m| m.size).sum()),
    );
    let (path, size, sha256) = write(&export)?;
    let meta = ExportMeta::of(
        &detail.entry.id,
        export.manifest,
        export.database,
        request.format,
        size,
        sha256,
    );
    let meta_path = match &path {
        Some(path) => Some(write_meta(path, &meta)?),
        None => None,
    };
    Ok(ExportReport {
        path,
        meta_path,
        meta,
    })
}

/// One database of a backup, open and ready to be written down a pipe, as often as asked and with the same bytes each
/// time.
pub struct Download {
    detail: BackupDetail,
    database: DatabaseManifest,
    reader: Arc<SnapshotReader>,
    format: ExportFormat,
}

impl Download {
    pub fn open(
        repository: &Repository,
        backup: &str,
        database: Option<&str>,
        format: ExportFormat,
    ) -> Result<Self> {
        let detail = catalog::show(repository, backup, &ListFilter::default())?;
        let database = choose_database(&detail.manifest, database)?.clone();
        if database.content == DatabaseContent::Plain && format != ExportFormat::Plain {
            return Err(only_a_script());
        }
        let reader = Arc::new(repository.open_snapshot(&detail.entry.snapshot)?);
        Ok(Self {
            detail,
            database,
            reader,
            format,
        })
    }

    /// The database that was chosen.
    pub fn database(&self) -> &str {
        &self.database.name
    }

    /// The name of the file; a directory goes down a pipe as a tar file of it.
    pub fn file_name(&self) -> String {
        let name = file_name(&self.detail.manifest, &self.database.name, self.format);
        match self.format {
            ExportFormat::Directory => format!("{name}.tar"),
            _ => name,
        }
    }

    pub fn write(&self, out: &mut (dyn Write + Send), context: &Context) -> Result<()> {
        let export = Export {
            manifest: &self.detail.manifest,
            database: &self.database,
            source: SnapshotSource::new(self.reader.clone(), &self.database.path),
            restrict_key: Some(&self.detail.entry.id),
            context,
        };
        match self.format {
            ExportFormat::Directory => {
                let name = file_name(&self.detail.manifest, &self.database.name, self.format);
                export.directory_as_tar(&name, out)
            }
            format => export.stream(format, out),
        }
    }
}

fn only_a_script() -> Error {
    Error::invalid("this backup was imported from an SQL script, which has no table of contents")
        .hint("export it with --format plain")
}

/// Finds the database that is meant; a backup of one needs no name.
pub(crate) fn choose_database<'a>(
    manifest: &'a Manifest,
    wanted: Option<&str>,
) -> Result<&'a DatabaseManifest> {
    let names = || {
        manifest
            .databases
            .iter()
            .map(|d| d.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (wanted, manifest.databases.as_slice()) {
        (Some(name), _) => manifest.database(name).ok_or_else(|| {
            Error::not_found(format!("the backup holds no database {name}"))
                .hint(format!("it holds {}", names()))
        }),
        (None, [only]) => Ok(only),
        (None, _) => Err(Error::invalid("the backup holds several databases")
            .hint(format!("name one of {}", names()))),
    }
}

impl Export<'_> {
    /// A single file: written under a temporary name beside its place, synced, then renamed.
    fn file(&self, format: ExportFormat, path: &Path) -> Result<(u64, String)> {
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut temporary = tempfile::Builder::new()
            .prefix(".pgkeep-")
            .tempfile_in(folder)?;
        if format == ExportFormat::Custom && self.database.content == DatabaseContent::Directory {
            // The offsets are known only at the end; with them pg_restore can work in parallel.
            self.custom(
                BufWriter::with_capacity(1 << 20, temporary.as_file()),
                6,
                CustomWriter::finish_with_offsets,
            )?
            .flush()?;
        } else {
            let mut out = BufWriter::with_capacity(1 << 20, temporary.as_file());
            self.stream(format, &mut out)?;
            out.flush()?;
        }
        temporary.as_file().sync_all()?;
        temporary.rewind()?;
        let mut hashing = Hashing::new(io::sink());
        io::copy(temporary.as_file_mut(), &mut hashing)?;
        let (size, sha256) = hashing.finish()?;
        temporary
            .persist_noclobber(path)
            .map_err(|e| Error::from(e.error).context(path.display()))?;
        File::open(folder)?.sync_all()?;
        Ok((size, sha256))
    }

    /// Any format that can go down a pipe.
    fn stream(&self, format: ExportFormat, out: &mut (dyn Write + Send)) -> Result<()> {
        match (self.database.content, format) {
            (DatabaseContent::Plain, ExportFormat::Plain) => {
                let script = self.script()?;
                gzip(self.source.read(script)?, out)
            }
            (DatabaseContent::Plain, _) => Err(only_a_script()),
            (_, ExportFormat::Custom) => {
                self.custom(out, 6, CustomWriter::finish)?;
                Ok(())
            }
            (_, ExportFormat::Tar) => self.tar(out),
            (_, ExportFormat::Plain) => self.plain(out),
            (_, ExportFormat::Directory) => {
                unreachable!("the directory format is written by `directory`")
            }
        }
    }

    fn custom<W: Write>(
        &self,
        out: W,
        gzip_level: u32,
        finish: impl FnOnce(CustomWriter<W>) -> Result<W, archive::ArchiveError>,
    ) -> Result<W> {
        let toc = self.toc()?;
        let mut writer = CustomWriter::new(out, &toc, gzip_level)?;
        self.fill(&toc, &mut writer)?;
        Ok(finish(writer)?)
    }

    /// Writes the data of every entry, in the order of the table of contents.
    pub(crate) fn fill<W: Write>(&self, toc: &Toc, writer: &mut CustomWriter<W>) -> Result<()> {
        for entry in toc.entries.iter().filter(|e| e.has_data) {
            self.context.cancel.check()?;
            let member = self.member_of(entry)?;
            if member.what == MemberContent::LargeObjectToc {
                writer.begin_large_objects(entry.dump_id)?;
                for (oid, file) in archive::parse_large_object_toc(self.source.read(member)?)? {
                    writer.large_object(oid, self.open(self.named(&file)?)?)?;
                }
                writer.end_large_objects()?;
            } else {
                writer.data(entry.dump_id, self.open(member)?)?;
            }
        }
        Ok(())
    }

    fn tar(&self, out: &mut (dyn Write + Send)) -> Result<()> {
        let toc = self.toc()?;
        let modified = self
            .manifest
            .finished_at
            .as_second()
            .try_into()
            .unwrap_or(0);
        let mut writer = TarWriter::new(out, &toc, modified)?;
        for member in self
            .database
            .members
            .iter()
            .filter(|m| m.what != MemberContent::Toc)
        {
            self.context.cancel.check()?;
            writer.member(&member.file, member.size, self.open(member)?)?;
        }
        writer.finish()?;
        Ok(())
    }

    /// The custom format goes through stock pg_restore, which turns it into the script that pg_dump would have written.
    fn plain(&self, out: &mut (dyn Write + Send)) -> Result<()> {
        let archive_version = self.toc()?.header.version;
        let tools = Tools::for_restore(
            self.database.server.pg_dump_major(),
            archive_version,
            &self.context.tool_dirs,
        )?;
        let mut command = tools.pg_restore().args(["-f", "-"]);
        if let Some(key) = self.restrict_key
            && tools.knows_restrict_key()
        {
            command = command.arg(format!("--restrict-key={key}"));
        }
        let mut tool = command.with_stdin().start(&self.context.cancel)?;
        let pipe = tool.stdin().expect("asked for");
        let sql = tool.take_stdout().expect("not taken before");
        let (written, read) = std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut pipe = self.custom(
                    BufWriter::with_capacity(1 << 20, pipe),
                    0,
                    CustomWriter::finish,
                )?;
                Ok::<_, Error>(pipe.flush()?)
            });
            let read = gzip(sql, out);
            (writer.join().expect("no panic while writing"), read)
        });
        // When pg_restore fails it closes the pipe; its own words say more than the broken pipe does.
        tool.finish()?;
        written?;
        read
    }

    fn directory(&self, path: &Path) -> Result<(u64, String)> {
        if self.database.content == DatabaseContent::Plain {
            return Err(Error::invalid(
                "this backup was imported from an SQL script, which has no directory format",
            )
            .hint("export it with --format plain"));
        }
        let parent = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let temporary = tempfile::Builder::new()
            .prefix(".pgkeep-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let mut size = 0;
        let mut toc_sha256 = String::new();
        for member in &self.database.members {
            self.context.cancel.check()?;
            let file = create_private(&temporary.path().join(&member.file))?;
            let mut out = Hashing::new(BufWriter::with_capacity(1 << 20, &file));
            io::copy(&mut self.open(member)?, &mut out)?;
            let (bytes, sha256) = out.finish()?;
            file.sync_all()?;
            size += bytes;
            if member.what == MemberContent::Toc {
                toc_sha256 = sha256;
            }
        }
        File::open(temporary.path())?.sync_all()?;
        fs::rename(temporary.keep(), path)?;
        File::open(parent)?.sync_all()?;
        Ok((size, toc_sha256))
    }

    /// The files of the directory format below one folder, in a tar file.
    fn directory_as_tar(&self, folder: &str, out: &mut (dyn Write + Send)) -> Result<()> {
        let modified = self.manifest.finished_at.as_second();
        let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, out));
        for member in &self.database.members {
            self.context.cancel.check()?;
            let mut header = tar::Header::new_gnu();
            header.set_size(member.size);
            header.set_mode(0o600);
            header.set_mtime(modified.try_into().unwrap_or(0));
            let path = format!("{folder}/{}", member.file);
            tar.append_data(&mut header, path, self.open(member)?)?;
        }
        tar.into_inner()?.flush()?;
        Ok(())
    }

    pub(crate) fn toc(&self) -> Result<Toc> {
        let member = self
            .database
            .members
            .iter()
            .find(|m| m.what == MemberContent::Toc);
        let member =
            member.ok_or_else(|| Error::not_found("the backup has no table of contents"))?;
        Ok(archive::read_directory_toc(self.source.read(member)?)?)
    }

    pub(crate) fn script(&self) -> Result<&Member> {
        let script = self
            .database
            .members
            .iter()
            .find(|m| m.what == MemberContent::Script);
        script.ok_or_else(|| Error::not_found("the backup has no script"))
    }

    pub(crate) fn member_of(&self, entry: &archive::Entry) -> Result<&Member> {
        let file = entry.file().ok_or_else(|| {
            Error::not_found(format!("{} {} has no member", entry.desc(), entry.tag()))
        })?;
        self.named(file)
    }

    pub(crate) fn named(&self, file: &str) -> Result<&Member> {
        let found = self.database.members.iter().find(|m| m.file == file);
        found.ok_or_else(|| Error::not_found(format!("member {file} is not in the backup")))
    }

    pub(crate) fn open(&self, member: &Member) -> Result<Watched<'_>> {
        Ok(Watched {
            inner: self.source.read(member)?,
            context: self.context,
        })
    }
}

impl ExportMeta {
    /// What an export of one database of a backup says of itself.
    pub fn of(
        backup: &str,
        manifest: &Manifest,
        database: &DatabaseManifest,
        format: ExportFormat,
        size: u64,
        sha256: String,
    ) -> Self {
        Self {
            backup: backup.to_string(),
            app: manifest.app.clone(),
            environment: manifest.environment.clone(),
            database: database.name.clone(),
            app_version: None,
            migrations_hash: None,
            db_version: database.server.version.clone(),
            started_at: manifest.started_at,
            finished_at: manifest.finished_at,
            size,
            sha256,
            format,
            description: manifest.description.clone(),
            rows: database
                .evidence
                .tables
                .iter()
                .map(|t| (t.name.to_string(), t.content.rows))
                .collect(),
        }
    }
}

/// Writes the facts beside the file, and gives their path.
pub fn write_meta(path: &Path, meta: &ExportMeta) -> Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".meta.json");
    let meta_path = PathBuf::from(name);
    if meta_path.exists() {
        fs::remove_file(&meta_path)?;
    }
    create_private(&meta_path)?.write_all(&serde_json::to_vec_pretty(meta)?)?;
    Ok(meta_path)
}

/// A new file that nobody but its owner can read: a dump holds everything that the database does.
fn create_private(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn gzip(mut from: impl Read, to: impl Write) -> Result<()> {
    let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::default());
    io::copy(&mut from, &mut encoder)?;
    encoder.finish()?.flush()?;
    Ok(())
}

/// A stream that tells the progress and stops when asked.
pub(crate) struct Watched<'a> {
    inner: Box<dyn Read + Send>,
    context: &'a Context,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.context.cancel.check().map_err(io::Error::other)?;
        let n = self.inner.read(buffer)?;
        self.context.progress.bytes(n as u64);
        Ok(n)
    }
}

/// Counts and hashes what passes through.
pub struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Hashing<W> {
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            size: 0,
        }
    }

    /// How many bytes there were, and their SHA-256.
    pub fn finish(mut self) -> io::Result<(u64, String)> {
        self.inner.flush()?;
        Ok((self.size, hex::encode(self.hash.finalize())))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(data)?;
        self.hash.update(&data[..n]);
        self.size += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
