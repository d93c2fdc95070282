//! Writing a package.

use super::{
    GLOBALS, MANIFEST, README, SUMS,
    contents::{Contents, FORMAT, KIND, PackedDatabase},
    database::Laid,
    files,
    layers::{Layers, recipient},
    readme,
    target::{PackageTarget, Place},
};
use crate::{
    Context, Error, Result,
    backup::safe_name,
    catalog::{self, BackupDetail, ListFilter},
    export::Export,
    restore::SnapshotSource,
    storage::lock_for_reading,
};
use pgkeep_model::{
    Phase,
    manifest::{DatabaseManifest, GLOBALS_PATH, Manifest},
};
use pgkeep_repository::{NodeKind, Repository, SnapshotReader};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    io::{self, BufWriter, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Clone)]
pub struct PackageRequest {
    pub backup: String,
    pub app: Option<String>,
    /// Public keys of age; empty for a package that anybody can read.
    pub recipients: Vec<String>,
    /// Compress the tar file with zstd.
    pub compress: bool,
}

/// What was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PackageReport {
    pub backup: String,
    pub app: String,
    /// Path or address; `None` for a stream.
    pub location: Option<String>,
    pub name: String,
    pub size: u64,
    /// Of the file as it was written.
    pub sha256: String,
    pub encrypted: bool,
    pub compressed: bool,
    pub databases: Vec<String>,
    pub trees: Vec<String>,
    pub rows: u64,
    pub warnings: Vec<String>,
}

/// `<app>_<environment>_YYYYmmddTHHMMSSZ`, every part made safe.
pub fn package_name(manifest: &Manifest) -> String {
    let environment = match manifest.environment.as_str() {
        "" => "default",
        given => given,
    };
    format!(
        "{}_{}_{}",
        safe_name(&manifest.app),
        safe_name(environment),
        manifest.started_at.strftime("%Y%m%dT%H%M%SZ")
    )
}

/// Writes a backup as one file, front to back.
pub fn write(
    repository: &Repository,
    request: &PackageRequest,
    to: &PackageTarget,
    context: &Context,
) -> Result<PackageReport> {
    write_at(repository, request, context, |report, bytes| {
        Place::open(to, &report.name, Some(bytes))
    })
}

/// Writes a backup as one file into a stream of the caller's. `begun` hears what the report says before the first byte,
/// without size and sum.
pub fn stream(
    repository: &Repository,
    request: &PackageRequest,
    out: &mut dyn Write,
    begun: impl FnOnce(&PackageReport),
    context: &Context,
) -> Result<PackageReport> {
    write_at(repository, request, context, |report, _| {
        begun(report);
        Ok(Place::stream(out))
    })
}

fn write_at<'a>(
    repository: &Repository,
    request: &PackageRequest,
    context: &Context,
    open: impl FnOnce(&PackageReport, u64) -> Result<Place<'a>>,
) -> Result<PackageReport> {
    context.progress.phase(Phase::Check, None);
    for name in &request.recipients {
        recipient(name)?;
    }
    let filter = ListFilter {
        app: request.app.clone(),
        ..ListFilter::default()
    };
    let detail = catalog::show(repository, &request.backup, &filter)?;
    let _lock = lock_for_reading(repository, "export", context)?;
    let reader = Arc::new(repository.open_snapshot(&detail.entry.snapshot)?);
    let package = Package::lay_out(&detail, reader, context)?;
    let name = package_name(&detail.manifest);
    let file_name = file_name(&name, request);

    let mut report = PackageReport {
        backup: detail.entry.id.clone(),
        app: detail.manifest.app.clone(),
        location: None,
        name: file_name,
        size: 0,
        sha256: String::new(),
        encrypted: !request.recipients.is_empty(),
        compressed: request.compress,
        databases: detail.entry.databases.clone(),
        trees: detail
            .manifest
            .files
            .iter()
            .map(|tree| tree.name.clone())
            .collect(),
        rows: detail.manifest.rows(),
        warnings: package.contents.warnings.clone(),
    };
    let expected = package.bytes();
    context.progress.phase(Phase::Data, Some(expected));
    let place = open(&report, expected)?;
    let layers = Layers::new(place, &request.recipients, request.compress)?;
    let mut tar = Tape::new(layers, &name, &detail.manifest);
    package.write(&mut tar, request)?;
    let placed = tar.finish()?.finish()?.finish()?;
    report.location = placed.location;
    report.size = placed.size;
    report.sha256 = placed.sha256;
    Ok(report)
}

fn file_name(name: &str, request: &PackageRequest) -> String {
    let zstd = if request.compress { ".zst" } else { "" };
    let age = if request.recipients.is_empty() {
        ""
    } else {
        ".age"
    };
    format!("{name}.tar{zstd}{age}")
}

/// A backup laid out as a package: every size is known.
struct Package<'a> {
    detail: &'a BackupDetail,
    reader: Arc<SnapshotReader>,
    databases: Vec<(&'a DatabaseManifest, Laid)>,
    contents: Contents,
    context: &'a Context,
}

impl<'a> Package<'a> {
    fn lay_out(
        detail: &'a BackupDetail,
        reader: Arc<SnapshotReader>,
        context: &'a Context,
    ) -> Result<Self> {
        let manifest = &detail.manifest;
        let mut databases = Vec::new();
        let mut packed = Vec::new();
        for database in &manifest.databases {
            let laid = export(manifest, database, &reader, context).lay()?;
            packed.push(PackedDatabase {
                name: database.name.clone(),
                file: format!("{}.{}", database.path, laid.ending),
                bytes: laid.bytes,
                members: laid.members.clone(),
            });
            databases.push((database, laid));
        }
        let contents = Contents {
            kind: KIND.into(),
            format: FORMAT,
            pgkeep_version: env!("CARGO_PKG_VERSION").into(),
            made_at: context.clock.now(),
            backup: detail.entry.id.clone(),
            tags: detail.entry.tags.clone(),
            databases: packed,
            warnings: what_tar_lacks(manifest, &reader)?,
            manifest: manifest.clone(),
        };
        Ok(Self {
            detail,
            reader,
            databases,
            contents,
            context,
        })
    }

    /// Bytes of what is in it; the tar file is a little larger.
    fn bytes(&self) -> u64 {
        let databases: u64 = self.databases.iter().map(|(_, laid)| laid.bytes).sum();
        databases
            + self
                .detail
                .manifest
                .files
                .iter()
                .map(|tree| tree.bytes)
                .sum::<u64>()
    }

    fn write<W: Write>(&self, tar: &mut Tape<W>, request: &PackageRequest) -> Result<()> {
        tar.folder("")?;
        let name = tar.name.clone();
        let readme = readme::text(&self.contents, &name, &file_name(&name, request));
        tar.file(README, readme.len() as u64, |out| {
            Ok(out.write_all(readme.as_bytes())?)
        })?;
        let manifest = serde_json::to_vec_pretty(&self.contents)?;
        tar.file(MANIFEST, manifest.len() as u64, |out| {
            Ok(out.write_all(&manifest)?)
        })?;
        if !self.databases.is_empty() {
            tar.folder("databases")?;
        }
        for ((database, laid), packed) in self.databases.iter().zip(&self.contents.databases) {
            self.context.cancel.check()?;
            self.context.progress.item(&database.name);
            let manifest = &self.detail.manifest;
            let export = export(manifest, database, &self.reader, self.context);
            tar.file(&packed.file, laid.bytes, |mut out| {
                export.write_laid(laid, &mut out)
            })?;
        }
        if self.detail.manifest.globals {
            let sql = self.reader.read_to_vec(GLOBALS_PATH)?;
            tar.file(GLOBALS, sql.len() as u64, |out| Ok(out.write_all(&sql)?))?;
        }
        if !self.detail.manifest.files.is_empty() {
            tar.folder("files")?;
        }
        for tree in &self.detail.manifest.files {
            self.context.progress.item(&format!("files {}", tree.name));
            files::write_tree(tar, &self.reader, tree, self.context)?;
        }
        tar.sums()
    }
}

/// tar knows no sockets; they are made anew by whoever listens.
fn what_tar_lacks(manifest: &Manifest, reader: &SnapshotReader) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for tree in manifest.files.iter().filter(|tree| tree.others > 0) {
        let mut sockets = 0;
        for entry in reader.walk(&tree.path)? {
            sockets += usize::from(entry?.1.kind == NodeKind::Socket);
        }
        if sockets > 0 {
            warnings.push(format!(
                "files {}: {} left out, which tar cannot hold",
                tree.name,
                crate::counted(sockets, "socket")
            ));
        }
    }
    Ok(warnings)
}

fn export<'a>(
    manifest: &'a Manifest,
    database: &'a DatabaseManifest,
    reader: &Arc<SnapshotReader>,
    context: &'a Context,
) -> Export<'a> {
    Export {
        manifest,
        database,
        source: SnapshotSource::new(reader.clone(), &database.path),
        restrict_key: None,
        context,
    }
}

/// The tar file in the making: everything below one folder, with the sum of each file.
pub(super) struct Tape<W: Write> {
    tar: tar::Builder<BufWriter<W>>,
    name: String,
    modified: u64,
    sums: Vec<u8>,
}

impl<W: Write> Tape<W> {
    fn new(out: W, name: &str, manifest: &Manifest) -> Self {
        Self {
            tar: tar::Builder::new(BufWriter::with_capacity(1 << 20, out)),
            name: name.to_owned(),
            modified: manifest.finished_at.as_second().try_into().unwrap_or(0),
            sums: Vec::new(),
        }
    }

    pub(super) fn header(&self, kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.modified);
        header.set_size(size);
        header
    }

    /// A path of the package as the tar file has it.
    pub(super) fn full_path(&self, path: &Path) -> PathBuf {
        Path::new(&self.name).join(path)
    }

    fn folder(&mut self, path: &str) -> Result<()> {
        let header = self.header(tar::EntryType::Directory, 0o700, 0);
        self.bare(Path::new(path), header, [])
    }

    /// An entry without content.
    pub(super) fn bare<'a>(
        &mut self,
        path: &Path,
        mut header: tar::Header,
        extended: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<()> {
        let full = self.full_path(path);
        self.tar.append_pax_extensions(extended)?;
        self.tar.append_data(&mut header, full, io::empty())?;
        Ok(())
    }

    fn file(
        &mut self,
        path: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let header = self.header(tar::EntryType::Regular, 0o600, size);
        self.content(Path::new(path), header, [], size, write)
    }

    /// A file of a size that is known before its content is written; another size is a fault of ours.
    pub(super) fn content<'a>(
        &mut self,
        path: &Path,
        header: tar::Header,
        extended: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        self.bare(path, header, extended)?;
        let mut summed = Summed {
            out: self.tar.get_mut(),
            hash: Sha256::new(),
            size: 0,
        };
        write(&mut summed)?;
        let (written, sum) = (summed.size, hex::encode(summed.hash.finalize()));
        if written != size {
            return Err(Error::new(
                crate::ErrorCode::Failed,
                format!(
                    "{} became {written} bytes instead of {size}",
                    path.display()
                ),
            ));
        }
        let padding = (512 - size % 512) % 512;
        io::copy(&mut io::repeat(0).take(padding), self.tar.get_mut())?;
        self.sums
            .extend(sum_line(&sum, path.as_os_str().as_bytes()));
        Ok(())
    }

    /// The list of sums, which is the last file.
    fn sums(&mut self) -> Result<()> {
        let sums = std::mem::take(&mut self.sums);
        self.file(SUMS, sums.len() as u64, |out| Ok(out.write_all(&sums)?))
    }

    fn finish(self) -> Result<W> {
        let out = self.tar.into_inner()?;
        out.into_inner().map_err(|e| e.into_error().into())
    }
}

/// A line as sha256sum writes it: what would break the line is escaped, and a backslash in front says so.
pub(super) fn sum_line(sum: &str, path: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            byte => escaped.push(*byte),
        }
    }
    let mark = if escaped.len() > path.len() { "\\" } else { "" };
    let mut line = format!("{mark}{sum}  ").into_bytes();
    line.extend(escaped);
    line.push(b'\n');
    line
}

struct Summed<W> {
    out: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.out.write(data)?;
        self.hash.update(&data[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
