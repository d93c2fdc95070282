//! What a backup tells of itself when it is done.

use super::publish::ReadBack;
use crate::hooks::HookReport;
use pgkeep_model::manifest::{BackupKind, DatabaseContent, FilesManifest, Manifest};
use pgkeep_model::shrunk::Shrunk;
use pgkeep_repository::WriteSummary;
use serde::{Deserialize, Serialize};

/// What was stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackupReport {
    pub id: String,
    pub app: String,
    pub kind: BackupKind,
    pub databases: Vec<DatabaseReport>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FilesManifest>,
    /// The backup from which unchanged parts were taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    pub tables: usize,
    pub rows: u64,
    /// Bytes of the dump as read from the servers.
    pub bytes_read: u64,
    /// Bytes of it that the repository did not hold yet, before compression.
    pub bytes_new: u64,
    /// Bytes by which the repository grew.
    pub bytes_added: u64,
    /// `bytes_new / bytes_added`; `None` when nothing was new.
    pub compression_ratio: Option<f64>,
    pub seconds: f64,
    pub evidence_digest: String,
    /// Objects whose presence and size were looked at after publishing.
    pub objects_checked: u64,
    /// Every byte of them was read back and decrypted as well.
    pub every_byte_read_back: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookReport>,
    /// What it lacks that an earlier backup held; see [`pgkeep_model::shrunk`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<Shrunk>,
    pub warnings: Vec<String>,
}

impl BackupReport {
    /// Bytes of all databases and files, read or taken over.
    pub fn content_bytes(&self) -> u64 {
        let databases: u64 = self.databases.iter().map(|d| d.bytes).sum();
        databases + self.files.iter().map(|tree| tree.bytes).sum::<u64>()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabaseReport {
    pub name: String,
    pub server_version: String,
    pub tables: usize,
    pub rows: u64,
    pub bytes: u64,
    /// False for an imported script, whose tables and rows nobody has counted.
    pub counted: bool,
    /// Nothing was written to it since the parent was made, so it was not read again.
    #[serde(default)]
    pub taken_over: bool,
}

pub(super) fn report(
    manifest: &Manifest,
    id: pgkeep_repository::SnapshotId,
    written: &WriteSummary,
    read_back: ReadBack,
    seconds: f64,
) -> BackupReport {
    BackupReport {
        id: id.to_string(),
        app: manifest.app.clone(),
        kind: manifest.kind,
        databases: manifest
            .databases
            .iter()
            .map(|d| DatabaseReport {
                name: d.name.clone(),
                server_version: d.server.version.clone(),
                tables: d.evidence.tables.len(),
                rows: d.evidence.rows(),
                bytes: d.members.iter().map(|m| m.size).sum(),
                counted: d.content == DatabaseContent::Directory,
                taken_over: d.taken_over_from.is_some(),
            })
            .collect(),
        files: manifest.files.clone(),
        parent: manifest.parent.clone(),
        tables: manifest.tables(),
        rows: manifest.rows(),
        bytes_read: written.bytes_read,
        bytes_new: written.bytes_new,
        bytes_added: written.bytes_added,
        compression_ratio: (written.bytes_added > 0)
            .then(|| written.bytes_new as f64 / written.bytes_added as f64),
        seconds,
        evidence_digest: manifest.evidence_digest.clone(),
        objects_checked: read_back.objects,
        every_byte_read_back: read_back.every_byte,
        hooks: Vec::new(),
        shrunk: manifest.shrunk.clone(),
        warnings: manifest
            .databases
            .iter()
            .flat_map(|d| d.warnings.iter().cloned())
            .chain(manifest.warnings.iter().cloned())
            .chain(
                manifest
                    .shrunk
                    .iter()
                    .flat_map(|shrunk| shrunk.reasons.iter().cloned()),
            )
            .collect(),
    }
}
