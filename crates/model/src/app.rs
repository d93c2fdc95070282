//! What a user says of an app and of a repository, as it stands in `pgkeep.toml`, in the catalog and in the API.
//!
//! Values that may be secrets are texts in one of three forms: `env:NAME`, `file:/path`, or the value itself. The
//! catalog keeps the first two as they are and encrypts the third.

use serde::{Deserialize, Serialize};

/// What is protected: databases of one environment, and how to read them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppDefinition {
    /// Connection strings, or plain names of databases on the server that libpq's variables lead to. Secrets.
    pub databases: Vec<String>,
    /// Privileged connection for restores and drills. A secret.
    pub admin_url: Option<String>,
    /// `production`, `staging`, ...
    pub environment: Option<String>,
    /// Name of the repository that its backups go to.
    pub repository: Option<String>,
    /// Tables read at the same time.
    pub jobs: Option<u16>,
    /// zstd level.
    pub compression: Option<i32>,
    pub exclude_table_data: Vec<String>,
    pub schemas: Vec<String>,
    /// Folders of PostgreSQL's client programs.
    pub bin_dirs: Vec<String>,
}

/// Where backups live and what opens it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryDefinition {
    /// A folder, or `s3://bucket/prefix`.
    pub address: Option<String>,
    /// The repository's key. A secret.
    pub key: Option<String>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    /// A secret.
    pub secret_access_key: Option<String>,
    /// A secret.
    pub session_token: Option<String>,
    pub server_side_encryption: Option<String>,
    pub virtual_host_style: Option<bool>,
    /// Bytes a second, written like `20MiB`.
    pub upload_limit: Option<String>,
    pub download_limit: Option<String>,
    pub retries: Option<u32>,
    pub timeout: Option<String>,
}
