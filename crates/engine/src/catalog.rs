//! What backups there are: [`list`] from the snapshots' tags alone, [`show`] with the whole manifest.
//!
//! A snapshot is immutable, so what becomes known of it later (checked, proven, pinned) is kept in its tags; changing
//! tags writes a new snapshot file that names the first one as its original. The backup's id is that first one, so it
//! never changes for the user.

use crate::{Context, Error, ErrorCode, Result};
use jiff::Timestamp;
use pgkeep_model::manifest::{BackupKind, DatabaseManifest, FORMAT, MANIFEST_PATH, Manifest};
use pgkeep_model::shrunk::{ACCEPTED, Doubt, Seen, standing};
use pgkeep_repository::{LockMode, Repository, Snapshot};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Marks the snapshots that pgkeep made; others in the same repository are left alone.
pub const TAG: &str = "pgkeep";
pub const PINNED: &str = "pinned";
/// Marks backups that leave something out on request.
pub const PARTIAL: &str = "partial";
/// The user tag of the backup that a restore takes of the database it is about to replace.
pub const PRE_RESTORE: &str = "pre-restore";

/// The user tag of the backup that guards a migration.
pub const PRE_MIGRATION: &str = "pre-migration";

/// One backup as a list shows it.
#[derive(Debug, Clone, Serialize)]
pub struct BackupEntry {
    /// Full id; the first eight digits are enough to name it.
    pub id: String,
    pub time: Timestamp,
    pub app: String,
    pub environment: String,
    pub kind: String,
    pub databases: Vec<String>,
    /// Names of its file trees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    pub description: String,
    pub tags: Vec<String>,
    pub pinned: bool,
    /// Left out on request: schemas, or rows of tables.
    pub partial: bool,
    /// The newest migration that was applied, where a framework keeps count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    #[serde(flatten)]
    pub origin: Origin,
    pub validity: Validity,
    pub hostname: String,
    pub username: String,
    #[serde(skip)]
    pub snapshot: Snapshot,
}

/// What asked for a backup: a policy, a job of the queue, or neither where it was made by hand without a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Origin {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// How far a backup has been proven. Each step includes the one before.
#[derive(Debug, Clone, Serialize)]
pub struct Validity {
    /// Every object was stored and its presence and size read back: true of all that are listed.
    pub stored: bool,
    /// Last time all its bytes were read back, decrypted and compared.
    pub checked_at: Option<Timestamp>,
    /// Last time a restore of it was proven equal to its evidence.
    pub proven_at: Option<Timestamp>,
    /// Seconds that the proving restore took.
    pub proven_seconds: Option<f64>,
    /// Last time stored bytes were found missing or altered, and not been found whole since.
    pub damaged_at: Option<Timestamp>,
    /// Last time a drill failed, and none has succeeded since.
    pub drill_failed_at: Option<Timestamp>,
    /// It holds far less than an earlier backup did, in words, and nobody has accepted that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<String>,
}

impl Validity {
    /// One word for a table.
    pub fn word(&self) -> &'static str {
        if self.damaged_at.is_some() {
            "damaged"
        } else if self.drill_failed_at.is_some() {
            "drill failed"
        } else if self.shrunk.is_some() {
            "shrunk"
        } else if self.proven_at.is_some() {
            "proven"
        } else if self.checked_at.is_some() {
            "checked"
        } else {
            "stored"
        }
    }
}

/// Which backups to list; empty means all.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    pub app: Option<String>,
    pub kind: Option<BackupKind>,
    pub after: Option<Timestamp>,
    pub before: Option<Timestamp>,
    pub tags: Vec<String>,
    /// The newest so many of what is left.
    pub limit: Option<usize>,
}

/// Lists backups, oldest first. A snapshot file that cannot be read must not hide the others; [`unreadable`] names it.
pub fn list(repository: &Repository, filter: &ListFilter) -> Result<Vec<BackupEntry>> {
    let mut entries: Vec<BackupEntry> = repository
        .snapshots_lenient()?
        .0
        .into_iter()
        .filter_map(BackupEntry::from_snapshot)
        .filter(|e| filter.accepts(e))
        .collect();
    entries.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.id.cmp(&b.id)));
    if let Some(limit) = filter.limit {
        entries.drain(..entries.len().saturating_sub(limit));
    }
    Ok(entries)
}

/// The doubt about the backups of each app and environment that nothing has settled, by those two.
pub fn doubts(entries: &[BackupEntry]) -> BTreeMap<(String, String), Doubt> {
    let mut newest_first: BTreeMap<(String, String), Vec<&BackupEntry>> = BTreeMap::new();
    for entry in entries.iter().rev() {
        if !entry.tags.iter().any(|tag| tag == PRE_RESTORE) {
            let key = (entry.app.clone(), entry.environment.clone());
            newest_first.entry(key).or_default().push(entry);
        }
    }
    newest_first
        .into_iter()
        .filter_map(|(key, entries)| {
            let seen = entries.into_iter().map(|entry| Seen {
                id: &entry.id,
                time: entry.time,
                databases: &entry.databases,
                files: &entry.files,
                shrunk: entry.validity.shrunk.as_deref(),
            });
            Some((key, standing(seen)?))
        })
        .collect()
}

/// The apps that have backups.
pub fn apps(repository: &Repository) -> Result<BTreeSet<String>> {
    let entries = list(repository, &ListFilter::default())?;
    Ok(entries.into_iter().map(|entry| entry.app).collect())
}

/// Says which snapshot files cannot be read, and why; each may be a backup that [`list`] does not show.
pub fn unreadable(repository: &Repository) -> Result<Vec<String>> {
    let (_, problems) = repository.snapshots_lenient()?;
    Ok(problems
        .iter()
        .map(|p| format!("snapshot {} cannot be read: {}", p.id, p.error))
        .collect())
}

/// Finds one backup by id (or its first digits), or `latest` (which passes over safety backups), among those that `filter` accepts.
pub fn find(repository: &Repository, wanted: &str, filter: &ListFilter) -> Result<BackupEntry> {
    let mut entries = list(
        repository,
        &ListFilter {
            limit: None,
            ..filter.clone()
        },
    )?;
    if entries.is_empty() {
        if let Some(app) = &filter.app {
            let apps = apps(repository)?;
            if !apps.is_empty() && !apps.contains(app) {
                let names: Vec<String> = apps.into_iter().collect();
                return Err(Error::not_found(format!(
                    "the repository holds no backup of app '{app}'"
                ))
                .hint(format!("it holds backups of {}", names.join(", "))));
            }
        }
        return Err(Error::not_found("the repository holds no matching backup")
            .hint("`pgkeep list` shows what there is; `pgkeep backup` makes one"));
    }
    if wanted == "latest" {
        let apps: BTreeSet<&str> = entries.iter().map(|e| e.app.as_str()).collect();
        if apps.len() > 1 {
            let names: Vec<&str> = apps.into_iter().collect();
            return Err(Error::invalid(format!(
                "the repository holds backups of several apps: {}",
                names.join(", ")
            ))
            .hint("say with --app whose latest backup is meant, or give the backup's id"));
        }
        // A restore's safety backup holds what the restore was to get rid of: only its id names it.
        let latest = entries
            .iter()
            .rposition(|e| !e.tags.iter().any(|t| t == PRE_RESTORE));
        let latest = latest.unwrap_or(entries.len() - 1);
        return Ok(entries.swap_remove(latest));
    }
    let wanted_lower = wanted.to_ascii_lowercase();
    let mut found: Vec<BackupEntry> = entries
        .into_iter()
        .filter(|e| {
            e.id.starts_with(&wanted_lower) || e.snapshot.id.to_string().starts_with(&wanted_lower)
        })
        .collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::not_found(format!("no backup with id {wanted}"))
            .hint("`pgkeep list` shows the ids; `latest` names the newest")),
        n => Err(
            Error::invalid(format!("{n} backups have ids that start with {wanted}"))
                .hint("give more digits of the id"),
        ),
    }
}

/// The backup that one snapshot file holds, by the full id of that file.
pub fn load(repository: &Repository, snapshot: &str) -> Result<BackupEntry> {
    BackupEntry::from_snapshot(repository.find_snapshot(snapshot)?)
        .ok_or_else(|| Error::not_found(format!("snapshot {snapshot} is no backup of pgkeep")))
}

/// Reads a backup's manifest.
pub fn manifest(repository: &Repository, backup: &BackupEntry) -> Result<Manifest> {
    let reader = repository.open_snapshot(&backup.snapshot)?;
    let bytes = reader.read_to_vec(MANIFEST_PATH)?;
    parse_manifest(&bytes)
}

/// Parses a manifest, refusing versions that this build does not know.
pub fn parse_manifest(bytes: &[u8]) -> Result<Manifest> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: u32,
    }
    let head: Head = serde_json::from_slice(bytes)?;
    if head.format > FORMAT {
        return Err(Error::invalid(format!(
            "the backup's manifest has format {}, this pgkeep reads up to {FORMAT}",
            head.format
        ))
        .hint("use the pgkeep version that made it, or a newer one"));
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// A backup with everything known of it.
#[derive(Debug, Serialize)]
pub struct BackupDetail {
    #[serde(flatten)]
    pub entry: BackupEntry,
    pub manifest: Manifest,
}

/// Reads one backup whole.
pub fn show(repository: &Repository, wanted: &str, filter: &ListFilter) -> Result<BackupDetail> {
    let entry = find(repository, wanted, filter)?;
    let manifest = manifest(repository, &entry)?;
    Ok(BackupDetail { entry, manifest })
}

/// Tags that a new backup's snapshot carries.
pub fn tags_of(
    manifest: &Manifest,
    user_tags: &[String],
    pinned: bool,
    origin: &Origin,
) -> Vec<String> {
    let mut tags = vec![
        TAG.to_string(),
        format!("app:{}", manifest.app),
        format!("kind:{}", manifest.kind.as_str()),
    ];
    if !manifest.environment.is_empty() {
        tags.push(format!("env:{}", manifest.environment));
    }
    if !manifest.description.is_empty() {
        tags.push(format!("description:{}", manifest.description));
    }
    tags.extend(manifest.databases.iter().map(|d| format!("db:{}", d.name)));
    tags.extend(manifest.files.iter().map(|f| format!("files:{}", f.name)));
    tags.extend(schema_version(manifest).map(|version| format!("schema:{version}")));
    tags.extend(user_tags.iter().map(|t| format!("tag:{t}")));
    tags.extend(origin.policy.iter().map(|name| format!("policy:{name}")));
    tags.extend(origin.job.iter().map(|id| format!("job:{id}")));
    tags.extend(
        manifest
            .shrunk
            .iter()
            .map(|shrunk| format!("shrunk:{}", shrunk.sentence())),
    );
    if pinned {
        tags.push(PINNED.to_string());
    }
    if manifest.databases.iter().any(DatabaseManifest::is_partial) {
        tags.push(PARTIAL.to_string());
    }
    tags
}

/// The newest migration of the first database that has any, short enough for a list.
fn schema_version(manifest: &Manifest) -> Option<String> {
    const LONGEST: usize = 80;
    let mut states = manifest.databases.iter().flat_map(|d| &d.migrations);
    let newest = states.find_map(|state| state.newest())?;
    Some(newest.chars().take(LONGEST).collect())
}

/// What was found out about a backup after it was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// Every byte was read back and equals the evidence.
    Checked,
    /// A restore was proven and took so many seconds.
    Proven { seconds: f64 },
    /// Stored bytes are missing or altered.
    Damaged,
    /// A drill restored something else than was backed up, or an assertion did not hold.
    DrillFailed,
}

impl Finding {
    /// The tag that records it, and the prefixes of the tags that it makes untrue.
    fn tag(self, now: Timestamp) -> (String, &'static [&'static str]) {
        match self {
            Finding::Checked => (format!("checked:{now}"), &["checked:", "damaged:"]),
            Finding::Proven { seconds } => (
                format!("proven:{now} {seconds:.1}s"),
                &["proven:", "drill-failed:", "damaged:"],
            ),
            Finding::Damaged => (format!("damaged:{now}"), &["damaged:", "checked:"]),
            Finding::DrillFailed => (format!("drill-failed:{now}"), &["drill-failed:", "proven:"]),
        }
    }
}

/// Records a finding with the backup. It stays true where it cannot be written down: a full or write-protected store, or a
/// backup that was removed meanwhile, is a warning, and gives why.
pub fn record(
    repository: &Repository,
    backup: &BackupEntry,
    finding: Finding,
    context: &Context,
) -> Result<Option<String>> {
    match try_record(repository, backup, finding, context) {
        Err(e) if matches!(e.code, ErrorCode::Storage | ErrorCode::NotFound) => {
            context.progress.warn(&format!(
                "the result is not recorded with backup {}: {e}",
                backup.short_id()
            ));
            Ok(Some(e.message))
        }
        other => other.map(|()| None),
    }
}

fn try_record(
    repository: &Repository,
    backup: &BackupEntry,
    finding: Finding,
    context: &Context,
) -> Result<()> {
    let lock = repository.lock(LockMode::Shared, "mark backup")?;
    // The tags may have changed since the backup was listed; find it again by its lasting id.
    let now = find(repository, &backup.id, &ListFilter::default())?;
    let (tag, untrue) = finding.tag(context.clock.now());
    let old: Vec<String> = now
        .snapshot
        .tags
        .iter()
        .filter(|t| untrue.iter().any(|prefix| t.starts_with(prefix)))
        .cloned()
        .collect();
    lock.confirm()?;
    repository.change_tags(&now.snapshot.id, &[tag], &old)?;
    Ok(())
}

/// What people say of a backup, to be changed after it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relabel {
    pub description: Option<String>,
    pub pinned: Option<bool>,
    pub add_tags: Vec<String>,
    pub remove_tags: Vec<String>,
}

/// Changes what people say of a backup, and gives it as it is then. Its content and its id stay.
pub fn relabel(repository: &Repository, backup: &str, change: &Relabel) -> Result<BackupEntry> {
    let lock = repository.lock(LockMode::Shared, "relabel backup")?;
    let entry = find(repository, backup, &ListFilter::default())?;
    let marked =
        |tags: &[String]| -> Vec<String> { tags.iter().map(|t| format!("tag:{t}")).collect() };
    let (mut add, mut remove) = (marked(&change.add_tags), marked(&change.remove_tags));
    match change.pinned {
        Some(true) if !entry.pinned => add.push(PINNED.to_string()),
        Some(false) if entry.pinned => remove.push(PINNED.to_string()),
        _ => {}
    }
    if let Some(text) = &change.description
        && *text != entry.description
    {
        if !entry.description.is_empty() {
            remove.push(format!("description:{}", entry.description));
        }
        if !text.is_empty() {
            add.push(format!("description:{text}"));
        }
    }
    if !(add.is_empty() && remove.is_empty()) {
        // Without the lock a prune elsewhere may have deleted what the file written anew would name.
        lock.confirm()?;
        repository.change_tags(&entry.snapshot.id, &add, &remove)?;
    }
    find(repository, &entry.id, &ListFilter::default())
}

impl BackupEntry {
    fn from_snapshot(snapshot: Snapshot) -> Option<Self> {
        if !snapshot.tags.iter().any(|t| t == TAG) {
            return None;
        }
        let value = |prefix: &str| {
            snapshot
                .tags
                .iter()
                .find_map(|t| t.strip_prefix(prefix))
                .unwrap_or_default()
                .to_string()
        };
        let values = |prefix: &str| -> Vec<String> {
            snapshot
                .tags
                .iter()
                .filter_map(|t| t.strip_prefix(prefix))
                .map(str::to_string)
                .collect()
        };
        let proven = value("proven:");
        let (proven_at, proven_seconds) = match proven.split_once(' ') {
            Some((at, took)) => (at.parse().ok(), took.trim_end_matches('s').parse().ok()),
            None => (None, None),
        };
        let tags = values("tag:");
        let accepted = tags.iter().any(|tag| tag == ACCEPTED);
        Some(Self {
            id: snapshot
                .original
                .as_ref()
                .map_or_else(|| snapshot.id.to_string(), ToString::to_string),
            time: snapshot.time,
            app: value("app:"),
            environment: value("env:"),
            kind: value("kind:"),
            databases: values("db:"),
            files: values("files:"),
            description: value("description:"),
            tags,
            pinned: snapshot.tags.iter().any(|t| t == PINNED),
            validity: Validity {
                stored: true,
                checked_at: value("checked:").parse().ok(),
                proven_at,
                proven_seconds,
                damaged_at: value("damaged:").parse().ok(),
                drill_failed_at: value("drill-failed:").parse().ok(),
                shrunk: values("shrunk:").pop().filter(|_| !accepted),
            },
            partial: snapshot.tags.iter().any(|t| t == PARTIAL),
            schema_version: values("schema:").pop(),
            origin: Origin {
                policy: values("policy:").pop(),
                job: values("job:").pop(),
            },
            hostname: snapshot.hostname.clone(),
            username: snapshot.username.clone(),
            snapshot,
        })
    }

    /// The first eight digits of the id, as people name a backup.
    pub fn short_id(&self) -> &str {
        &self.id[..8]
    }
}

impl ListFilter {
    fn accepts(&self, e: &BackupEntry) -> bool {
        self.app.as_ref().is_none_or(|app| *app == e.app)
            && self.kind.is_none_or(|kind| kind.as_str() == e.kind)
            && self.after.is_none_or(|t| e.time >= t)
            && self.before.is_none_or(|t| e.time <= t)
            && self.tags.iter().all(|t| e.tags.contains(t))
    }
}
