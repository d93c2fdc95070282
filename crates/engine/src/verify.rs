//! Looking after what is stored: [`run`] verifies backups (their objects and the digests of their file trees, and with
//! `read_data` every byte against the evidence), [`check`] looks at the whole repository.

use crate::{
    Context, Error, ErrorCode, Result,
    catalog::{self, BackupEntry, Finding, ListFilter},
    files,
    storage::lock_for_reading,
};
use pgkeep_model::{
    Phase,
    evidence::{ContentSum, QualifiedName},
    manifest::{DatabaseContent, DatabaseManifest, MANIFEST_PATH, Manifest, MemberContent},
};
use pgkeep_postgres::archive;
use pgkeep_repository::{
    CheckOptions, CheckReport, Problem, ReadData, RepairReport, Repository, SnapshotReader,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io::Read};

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// Ids, or `latest`; empty means all that `filter` accepts.
    pub backups: Vec<String>,
    pub filter: ListFilter,
    /// Read every byte back through decryption and decompression and compare rows and hashes with the evidence.
    pub read_data: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct VerifyReport {
    pub backups: Vec<BackupVerdict>,
    /// Snapshots that cannot be read at all, and why, where all backups were asked for: each may be one.
    #[serde(default)]
    pub unreadable: Vec<String>,
    pub ok: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct BackupVerdict {
    pub id: String,
    pub time: jiff::Timestamp,
    pub app: String,
    pub objects_checked: u64,
    pub bytes_read: u64,
    /// Empty means good.
    pub problems: Vec<String>,
    /// What the verdict says nothing about.
    #[serde(default)]
    pub not_looked_at: Vec<String>,
}

/// Verifies backups one by one; a damaged one does not stop the others.
pub fn run(
    repository: &Repository,
    request: &VerifyRequest,
    context: &Context,
) -> Result<VerifyReport> {
    // Before the list is made: what it names must not be pruned before it is looked at.
    let _lock = lock_for_reading(repository, "verify", context)?;
    let chosen: Vec<BackupEntry> = if request.backups.is_empty() {
        catalog::list(repository, &request.filter)?
    } else {
        request
            .backups
            .iter()
            .map(|wanted| catalog::find(repository, wanted, &request.filter))
            .collect::<Result<_>>()?
    };
    let unreadable = match request.backups.is_empty() {
        true => catalog::unreadable(repository)?,
        false => Vec::new(),
    };
    if chosen.is_empty() && unreadable.is_empty() {
        return Err(
            Error::not_found("there is no backup to verify").hint("`pgkeep backup` makes one")
        );
    }
    let mut backups = Vec::new();
    for entry in &chosen {
        context.cancel.check()?;
        let verdict = verify_one(repository, entry, request.read_data, context)?;
        if !verdict.problems.is_empty() {
            catalog::record(repository, entry, Finding::Damaged, context)?;
        } else if request.read_data {
            catalog::record(repository, entry, Finding::Checked, context)?;
        }
        backups.push(verdict);
    }
    let ok = unreadable.is_empty() && backups.iter().all(|b| b.problems.is_empty());
    Ok(VerifyReport {
        backups,
        unreadable,
        ok,
    })
}

fn verify_one(
    repository: &Repository,
    entry: &BackupEntry,
    read_data: bool,
    context: &Context,
) -> Result<BackupVerdict> {
    context.progress.phase(Phase::ReadBack, None);
    let mut verdict = BackupVerdict {
        id: entry.id.clone(),
        time: entry.time,
        app: entry.app.clone(),
        objects_checked: 0,
        bytes_read: 0,
        problems: Vec::new(),
        not_looked_at: Vec::new(),
    };
    let opened = open(repository, entry);
    match repository.verify_snapshot(&entry.snapshot, false, &context.cancel, &*context.progress) {
        Ok(report) => {
            verdict.objects_checked = report.packs_checked;
            let manifest = opened.as_ref().ok().map(|(_, manifest)| manifest);
            let words = report.problems.iter().map(|p| words_of(p, manifest));
            verdict.problems.extend(words);
        }
        Err(e) => verdict.problems.push(e.to_string()),
    }
    context.cancel.check()?;
    let (reader, manifest) = match opened {
        Ok(opened) => opened,
        Err(e) => {
            if verdict.problems.is_empty() {
                verdict.problems.push(e.to_string());
            }
            return Ok(verdict);
        }
    };
    let looked = match read_data {
        true => read_all(&reader, &manifest, context),
        false => {
            verdict.not_looked_at = unread(&manifest);
            trees(&reader, &manifest, false, context)
        }
    };
    match looked {
        Ok((bytes, problems)) => {
            verdict.bytes_read = bytes;
            verdict.problems.extend(problems);
        }
        Err(e) if e.code == ErrorCode::Cancelled => return Err(e),
        Err(e) => verdict.problems.push(e.to_string()),
    }
    Ok(verdict)
}

fn open(repository: &Repository, entry: &BackupEntry) -> Result<(SnapshotReader, Manifest)> {
    let reader = repository.open_snapshot(&entry.snapshot)?;
    let manifest = catalog::parse_manifest(&reader.read_to_vec(MANIFEST_PATH)?)?;
    Ok((reader, manifest))
}

/// A problem with the parts of the backup that it touches named as the user knows them.
fn words_of(problem: &Problem, manifest: Option<&Manifest>) -> String {
    let mut problem = problem.clone();
    for touched in &mut problem.affects {
        let path = touched.split_once(": ").map_or("", |(_, path)| path);
        if let Some(part) = file_at(path).or_else(|| member_at(path, manifest?)) {
            *touched = format!("{part} ({touched})");
        }
    }
    problem.to_string()
}

/// The file of a tree that lies at this path of the snapshot.
fn file_at(path: &str) -> Option<String> {
    let below = path.strip_prefix(files::FILES_FOLDER)?.strip_prefix('/')?;
    let (tree, file) = below.split_once('/')?;
    Some(format!("{file} of files {tree}"))
}

/// The part of a database that lies at this path of the snapshot.
fn member_at(path: &str, manifest: &Manifest) -> Option<String> {
    manifest.databases.iter().find_map(|database| {
        let file = path.strip_prefix(&database.path)?.strip_prefix('/')?;
        let member = database.members.iter().find(|member| member.file == file)?;
        let part = match &member.what {
            MemberContent::Toc => "the table of contents".to_owned(),
            MemberContent::Table { name } => format!("table {name}"),
            MemberContent::LargeObject { oid } => format!("large object {oid}"),
            MemberContent::LargeObjectToc => "the list of large objects".to_owned(),
            MemberContent::Script => "the script".to_owned(),
        };
        Some(format!("{part} of database {}", database.name))
    })
}

/// What is left to `read_data`.
fn unread(manifest: &Manifest) -> Vec<String> {
    let tables = manifest.databases.iter().map(|db| db.members.len()).sum();
    let files: u64 = manifest.files.iter().map(|tree| tree.files).sum();
    let mut unread = Vec::new();
    if tables > 0 {
        let parts = crate::counted(tables, "stored part");
        unread.push(format!("the rows in {parts} of databases"));
    }
    if files > 0 {
        let files = crate::counted(files as usize, "file");
        unread.push(format!("the content of {files}"));
    }
    unread
}

/// Compares the stored file trees with their digests.
fn trees(
    reader: &SnapshotReader,
    manifest: &Manifest,
    with_content: bool,
    context: &Context,
) -> Result<(u64, Vec<String>)> {
    let (mut bytes, mut problems) = (0, Vec::new());
    for tree in &manifest.files {
        let (read, found) = files::verify_files(reader, tree, with_content, context)?;
        bytes += read;
        problems.extend(found);
    }
    Ok((bytes, problems))
}

/// Reads every member of every database and every file, and compares what comes out with the evidence.
fn read_all(
    reader: &SnapshotReader,
    manifest: &Manifest,
    context: &Context,
) -> Result<(u64, Vec<String>)> {
    context
        .progress
        .phase(Phase::ReadBack, Some(manifest.bytes_with_files()));
    let mut bytes = 0;
    let mut problems = Vec::new();
    for database in &manifest.databases {
        // Several members are one table in the evidence when a restore routes their rows to partitions anew.
        let mut sums = BTreeMap::new();
        for member in &database.members {
            context.cancel.check()?;
            let path = format!("{}/{}", database.path, member.file);
            match read_member(reader, database, member, &path, &mut sums, context) {
                Ok(problem) => problems.extend(problem),
                Err(e) if e.code == ErrorCode::Cancelled => return Err(e),
                Err(e) => problems.push(format!("{path}: {e}")),
            }
            bytes += member.size;
        }
        problems.extend(sums.into_iter().filter_map(|(name, found)| {
            let expected = database
                .evidence
                .tables
                .iter()
                .find(|t| t.name == name)
                .map(|t| t.content);
            differs(name.to_string(), expected, found)
        }));
    }
    let (read, found) = trees(reader, manifest, true, context)?;
    problems.extend(found);
    Ok((bytes + read, problems))
}

fn read_member(
    reader: &SnapshotReader,
    database: &DatabaseManifest,
    member: &pgkeep_model::manifest::Member,
    path: &str,
    sums: &mut BTreeMap<QualifiedName, ContentSum>,
    context: &Context,
) -> Result<Option<String>> {
    let Some(file) = reader.file(path) else {
        return Ok(Some(format!("{path}: missing from the snapshot")));
    };
    if file.size != member.size {
        return Ok(Some(format!(
            "{path}: {} bytes, the manifest says {}",
            file.size, member.size
        )));
    }
    let mut stream = Counted {
        inner: reader.read(file),
        context,
    };
    match &member.what {
        MemberContent::Table { name } if database.content == DatabaseContent::Directory => {
            let found = archive::sum_copy_text(&mut stream)?;
            sums.entry(name.clone()).or_default().add(found);
            Ok(None)
        }
        MemberContent::Toc => {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            archive::read_directory_toc(bytes.as_slice())?;
            Ok(None)
        }
        _ => {
            std::io::copy(&mut stream, &mut std::io::sink())?;
            Ok(None)
        }
    }
}

fn differs(table: String, expected: Option<ContentSum>, found: ContentSum) -> Option<String> {
    let expected = expected?;
    (expected != found).then(|| {
        format!(
            "table {table}: {} rows with hash {} are stored, the evidence says {} rows with hash {}",
            found.rows, found.hash, expected.rows, expected.hash
        )
    })
}

/// Tells the progress what was read and stops when asked.
struct Counted<'a, R> {
    inner: R,
    context: &'a Context,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.context.cancel.check().map_err(std::io::Error::other)?;
        let n = self.inner.read(buffer)?;
        self.context.progress.bytes(n as u64);
        Ok(n)
    }
}

/// Checks the whole repository: every snapshot, tree, index and pack; with `read_data` the content of packs as well.
pub fn check(
    repository: &Repository,
    read_data: ReadData,
    context: &Context,
) -> Result<CheckReport> {
    let _lock = lock_for_reading(repository, "check", context)?;
    context.progress.phase(Phase::Check, None);
    Ok(repository.check(&CheckOptions {
        read_data,
        cancel: context.cancel.clone(),
        progress: context.progress.clone(),
    })?)
}

/// Makes the best of the damage that a check found: what is still good of damaged packs is kept, the rest counts as not
/// stored, so the next backup stores it again.
pub fn repair(
    repository: &Repository,
    found: &CheckReport,
    context: &Context,
) -> Result<RepairReport> {
    Ok(repository.repair(found, &*context.progress, &context.cancel)?)
}
