//! What differs between two backups, or between a backup and a live database.

use crate::{
    Context, Error, ErrorCode, Result,
    catalog::{self, ListFilter},
    files::{FilesDiff, StoredTree, compare_trees},
    shown,
};
use pgkeep_model::manifest::{DatabaseManifest, FilesManifest, MemberContent};
use pgkeep_postgres::{
    archive::{self, Toc},
    connect::ConnectOptions,
    dump,
    tools::Tools,
};
use pgkeep_repository::{Repository, SnapshotReader};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One of the two things that are compared.
#[derive(Clone)]
pub enum DiffSide {
    Backup(String),
    /// Read now, whole, each database in a snapshot of its own.
    Live(LiveDatabases),
}

/// The databases of a live side. Against a backup each database that the backup holds is read: by the connection that
/// names it, else on the server of the first connection.
#[derive(Clone)]
pub struct LiveDatabases {
    pub connections: Vec<ConnectOptions>,
    /// Only this one of the backup's databases.
    pub only: Option<String>,
}

/// What changed from the first side to the second.
#[derive(Debug, Serialize, Deserialize)]
pub struct DiffReport {
    pub from: String,
    pub to: String,
    pub databases: Vec<DatabaseDiff>,
    /// File trees, where both sides are backups.
    #[serde(default)]
    pub files: Vec<FilesDiff>,
    /// Databases that only one side has, or that could not be read, each with the reason.
    pub not_compared: Vec<String>,
    /// True when everything that was compared is equal.
    pub same: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DatabaseDiff {
    pub name: String,
    pub schema: Vec<SchemaChange>,
    pub tables: Vec<TableChange>,
    pub sequences: Vec<ValueChange>,
    pub extensions: Vec<ValueChange>,
    pub settings: Vec<ValueChange>,
}

impl DatabaseDiff {
    pub fn is_same(&self) -> bool {
        self.schema.is_empty()
            && self.tables.is_empty()
            && self.sequences.is_empty()
            && self.extensions.is_empty()
            && self.settings.is_empty()
    }
}

/// An object of the schema that was added, removed or defined anew.
#[derive(Debug, Serialize, Deserialize)]
pub struct SchemaChange {
    pub change: Change,
    /// As the table of contents words it: `TABLE`, `INDEX`, `FK CONSTRAINT`.
    pub kind: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Added,
    Removed,
    Changed,
}

/// A table whose content differs. Equal counts with `Changed` mean that rows were altered.
#[derive(Debug, Serialize, Deserialize)]
pub struct TableChange {
    pub change: Change,
    pub table: String,
    pub rows_from: Option<u64>,
    pub rows_to: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ValueChange {
    pub change: Change,
    pub name: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// A side as read: its databases with their definitions.
struct Read {
    title: String,
    databases: Vec<(DatabaseManifest, Option<Toc>)>,
    not_read: Vec<String>,
    /// What a backup holds besides; a live side has no files.
    stored: Option<(SnapshotReader, Vec<FilesManifest>)>,
}

/// Compares database by database, by name; with one database on each side the names need not be equal. `app` narrows
/// what `latest` and the first digits of an id mean.
pub fn run(
    repository: &Repository,
    from: &DiffSide,
    to: &DiffSide,
    app: Option<String>,
    context: &Context,
) -> Result<DiffReport> {
    let filter = ListFilter {
        app,
        ..ListFilter::default()
    };
    // A backup is read first: what it holds says what is to be read of a live server.
    let (from, to) = match (from, to) {
        (DiffSide::Live(live), DiffSide::Backup(wanted)) => {
            let to = read_backup(repository, wanted, &filter, live.only.as_deref())?;
            (read_live(live, Some(&to), context)?, to)
        }
        (from, to) => {
            let only = match to {
                DiffSide::Live(live) => live.only.as_deref(),
                DiffSide::Backup(_) => None,
            };
            let from = match from {
                DiffSide::Backup(wanted) => read_backup(repository, wanted, &filter, only)?,
                DiffSide::Live(live) => read_live(live, None, context)?,
            };
            let to = match to {
                DiffSide::Backup(wanted) => read_backup(repository, wanted, &filter, None)?,
                DiffSide::Live(live) => read_live(live, Some(&from), context)?,
            };
            (from, to)
        }
    };
    let (databases, mut not_compared) = pair(&from, &to);
    let (files, without_files) = pair_files(&from, &to)?;
    not_compared.extend(from.not_read);
    not_compared.extend(to.not_read);
    not_compared.extend(without_files);
    if databases.is_empty() && files.is_empty() {
        return Err(Error::invalid("the two sides have no database in common")
            .details(not_compared)
            .hint("name one database of each side: `pgkeep show ID` lists those of a backup"));
    }
    Ok(DiffReport {
        from: from.title,
        to: to.title,
        same: databases.iter().all(DatabaseDiff::is_same) && files.iter().all(FilesDiff::is_same),
        databases,
        files,
        not_compared,
    })
}

/// The file trees of both backups, compared; those of a backup that is compared with a live database are only named.
fn pair_files(from: &Read, to: &Read) -> Result<(Vec<FilesDiff>, Vec<String>)> {
    let (Some((from, before)), Some((to, after))) = (&from.stored, &to.stored) else {
        let stored = [&from.stored, &to.stored];
        let trees = stored.into_iter().flatten().flat_map(|(_, trees)| trees);
        let named =
            trees.map(|tree| format!("files {}: they are compared between backups", tree.name));
        return Ok((Vec::new(), named.collect()));
    };
    let names: BTreeSet<&str> = before
        .iter()
        .chain(after)
        .map(|t| t.name.as_str())
        .collect();
    let mut diffs = Vec::new();
    for name in names {
        let tree = |reader, trees| stored_tree(name, reader, trees);
        diffs.push(compare_trees(name, tree(from, before), tree(to, after))?);
    }
    Ok((diffs, Vec::new()))
}

fn stored_tree<'a>(
    name: &str,
    reader: &'a SnapshotReader,
    trees: &'a [FilesManifest],
) -> Option<StoredTree<'a>> {
    let manifest = trees.iter().find(|tree| tree.name == name)?;
    Some(StoredTree { reader, manifest })
}

/// The databases of both sides, compared, and those that one side lacks.
fn pair(from: &Read, to: &Read) -> (Vec<DatabaseDiff>, Vec<String>) {
    if let ([one], [other]) = (from.databases.as_slice(), to.databases.as_slice())
        && from.not_read.is_empty()
        && to.not_read.is_empty()
    {
        return (vec![compare(one, other)], Vec::new());
    }
    let mut databases = Vec::new();
    let mut alone = Vec::new();
    for side in &from.databases {
        match to.databases.iter().find(|(d, _)| d.name == side.0.name) {
            Some(other) => databases.push(compare(side, other)),
            // One that could not be read is named with its own reason.
            None if to
                .not_read
                .iter()
                .any(|n| n.starts_with(&format!("{}: ", side.0.name))) => {}
            None => alone.push(format!("{}: not in {}", side.0.name, to.title)),
        }
    }
    for (d, _) in &to.databases {
        let known = from.databases.iter().any(|(other, _)| other.name == d.name)
            || from
                .not_read
                .iter()
                .any(|n| n.starts_with(&format!("{}: ", d.name)));
        if !known {
            alone.push(format!("{}: not in {}", d.name, from.title));
        }
    }
    (databases, alone)
}

fn read_backup(
    repository: &Repository,
    wanted: &str,
    filter: &ListFilter,
    only: Option<&str>,
) -> Result<Read> {
    let entry = catalog::find(repository, wanted, filter)?;
    let reader = repository.open_snapshot(&entry.snapshot)?;
    let mut manifest = catalog::manifest(repository, &entry)?;
    if let Some(only) = only {
        manifest.databases.retain(|d| d.name == only);
        if manifest.databases.is_empty() {
            return Err(Error::not_found(format!(
                "backup {} holds no database {only}",
                entry.short_id()
            ))
            .hint(format!("it holds {}", entry.databases.join(", "))));
        }
    }
    let mut databases = Vec::new();
    for database in manifest.databases {
        let toc = toc_of(&reader, &database)?;
        databases.push((database, toc));
    }
    Ok(Read {
        title: format!("backup {} of {}", entry.short_id(), shown(entry.time)),
        databases,
        not_read: Vec::new(),
        // Whoever asks for one database does not ask for files.
        stored: only.is_none().then_some((reader, manifest.files)),
    })
}

/// The table of contents of a backup's database; an imported script has none.
pub(crate) fn toc_of(reader: &SnapshotReader, database: &DatabaseManifest) -> Result<Option<Toc>> {
    let member = database
        .members
        .iter()
        .find(|m| m.what == MemberContent::Toc);
    let Some(member) = member else {
        return Ok(None);
    };
    let bytes = reader.read_to_vec(&format!("{}/{}", database.path, member.file))?;
    Ok(Some(archive::read_directory_toc(bytes.as_slice())?))
}

/// Reads the databases that `other` holds, or the one of the connection where `other` holds a single one.
fn read_live(live: &LiveDatabases, other: Option<&Read>, context: &Context) -> Result<Read> {
    let first = live.connections.first().ok_or_else(|| {
        Error::invalid("no live database is named").hint("give --database-url, or --app")
    })?;
    let names: Vec<&str> = other
        .iter()
        .flat_map(|read| &read.databases)
        .map(|(d, _)| d.name.as_str())
        .collect();
    let several = names.len() > 1;
    let mut read = Read {
        title: match several {
            true => format!("live {}", first.with_dbname("*").describe()),
            false => format!("live {}", first.describe()),
        },
        databases: Vec::new(),
        not_read: Vec::new(),
        stored: None,
    };
    if !several {
        let named = live
            .connections
            .iter()
            .find(|c| names == [c.dbname.as_str()]);
        read.databases
            .push(read_database(named.unwrap_or(first), context)?);
        return Ok(read);
    }
    for name in names {
        let named = live.connections.iter().find(|c| c.dbname == name);
        let options = named.cloned().unwrap_or_else(|| first.with_dbname(name));
        match read_database(&options, context) {
            Ok(database) => read.databases.push(database),
            Err(e) if e.code == ErrorCode::Cancelled => return Err(e),
            Err(e) => read.not_read.push(format!("{name}: {e}")),
        }
    }
    Ok(read)
}

fn read_database(
    options: &ConnectOptions,
    context: &Context,
) -> Result<(DatabaseManifest, Option<Toc>)> {
    let frozen = dump::freeze(
        options,
        &dump::DumpOptions::default(),
        &context.cancel,
        &*context.progress,
    )?;
    let tools = Tools::for_dump(frozen.server_version_num() / 10_000, &context.tool_dirs)?;
    let dumped = dump::dump_database(
        &frozen,
        &tools,
        &dump::NullSink,
        &dump::DumpOptions::default(),
        &context.cancel,
        &*context.progress,
    )?;
    Ok((dumped.manifest, Some(dumped.toc)))
}

fn compare(
    (from, from_toc): &(DatabaseManifest, Option<Toc>),
    (to, to_toc): &(DatabaseManifest, Option<Toc>),
) -> DatabaseDiff {
    let schema = match (from_toc, to_toc) {
        (Some(a), Some(b)) => schema_changes(a, b),
        _ => Vec::new(),
    };
    DatabaseDiff {
        name: from.name.clone(),
        schema,
        tables: table_changes(from, to),
        sequences: value_changes(sequences(from), sequences(to)),
        extensions: value_changes(extensions(from), extensions(to)),
        settings: value_changes(settings(from), settings(to)),
    }
}

fn schema_changes(from: &Toc, to: &Toc) -> Vec<SchemaChange> {
    let (from, to) = (archive::definitions(from), archive::definitions(to));
    let keys: BTreeSet<_> = from.keys().chain(to.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let (a, b) = (from.get(key), to.get(key));
            let change = change_of(a, b)?;
            Some(SchemaChange {
                change,
                kind: key.0.clone(),
                name: key.1.clone(),
                from: a.cloned(),
                to: b.cloned(),
            })
        })
        .collect()
}

fn table_changes(from: &DatabaseManifest, to: &DatabaseManifest) -> Vec<TableChange> {
    let map = |d: &DatabaseManifest| -> BTreeMap<String, pgkeep_model::evidence::ContentSum> {
        d.evidence
            .tables
            .iter()
            .map(|t| (t.name.to_string(), t.content))
            .collect()
    };
    let (from, to) = (map(from), map(to));
    let keys: BTreeSet<_> = from.keys().chain(to.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let (a, b) = (from.get(key), to.get(key));
            // Bytes may differ between majors for equal rows; rows and hash decide.
            let essence = |c: &pgkeep_model::evidence::ContentSum| (c.rows, c.hash);
            let change = change_of(a.map(essence).as_ref(), b.map(essence).as_ref())?;
            Some(TableChange {
                change,
                table: key.clone(),
                rows_from: a.map(|c| c.rows),
                rows_to: b.map(|c| c.rows),
            })
        })
        .collect()
}

fn value_changes(from: BTreeMap<String, String>, to: BTreeMap<String, String>) -> Vec<ValueChange> {
    let keys: BTreeSet<_> = from.keys().chain(to.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let (a, b) = (from.get(key), to.get(key));
            Some(ValueChange {
                change: change_of(a, b)?,
                name: key.clone(),
                from: a.cloned(),
                to: b.cloned(),
            })
        })
        .collect()
}

fn change_of<T: PartialEq>(from: Option<&T>, to: Option<&T>) -> Option<Change> {
    match (from, to) {
        (Some(a), Some(b)) if a == b => None,
        (Some(_), Some(_)) => Some(Change::Changed),
        (Some(_), None) => Some(Change::Removed),
        (None, Some(_)) => Some(Change::Added),
        (None, None) => None,
    }
}

fn sequences(d: &DatabaseManifest) -> BTreeMap<String, String> {
    let show = |s: &pgkeep_model::evidence::SequenceEvidence| {
        format!(
            "{}{}",
            s.last_value,
            if s.is_called { "" } else { " (not yet called)" }
        )
    };
    d.evidence
        .sequences
        .iter()
        .map(|s| (s.name.to_string(), show(s)))
        .collect()
}

fn extensions(d: &DatabaseManifest) -> BTreeMap<String, String> {
    d.evidence
        .extensions
        .iter()
        .map(|e| (e.name.clone(), e.version.clone()))
        .collect()
}

fn settings(d: &DatabaseManifest) -> BTreeMap<String, String> {
    let mut out = d.server.settings.clone();
    out.insert("server_version".into(), d.server.version.clone());
    for role in &d.properties.settings {
        for setting in &role.settings {
            if let Some((name, value)) = setting.split_once('=') {
                let scope = if role.role.is_empty() {
                    String::new()
                } else {
                    format!(" for {}", role.role)
                };
                out.insert(format!("{name}{scope}"), value.to_string());
            }
        }
    }
    out
}
