//! What a package says of itself: its `manifest.json`.

use crate::{Error, Result, catalog::parse_manifest};
use jiff::Timestamp;
use pgkeep_model::manifest::Manifest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of packages written by this build.
pub const FORMAT: u32 = 1;
/// Tells a package from any other JSON.
pub const KIND: &str = "pgkeep-package";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contents {
    /// Always `KIND`.
    pub kind: String,
    /// See `FORMAT`.
    pub format: u32,
    pub pgkeep_version: String,
    pub made_at: Timestamp,
    /// Id of the backup it was made of, in the repository of the one who made it.
    pub backup: String,
    /// The words that the backup was tagged with.
    #[serde(default)]
    pub tags: Vec<String>,
    pub databases: Vec<PackedDatabase>,
    /// Said to the reader: what of the backup a package cannot carry.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The backup's own manifest.
    pub manifest: Manifest,
}

/// Where one database of the manifest lies in the package.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PackedDatabase {
    pub name: String,
    /// Relative to the package's folder.
    pub file: String,
    pub bytes: u64,
    /// The member of the directory format that each block of the archive is.
    #[serde(default)]
    pub members: BTreeMap<i64, String>,
}

impl Contents {
    /// Reads what another pgkeep wrote; a newer format is refused by number.
    pub fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            kind: String,
            #[serde(default)]
            format: u32,
            #[serde(default)]
            manifest: serde_json::Value,
        }
        let head: Head = serde_json::from_slice(json)?;
        if head.kind != KIND {
            return Err(Error::invalid("its manifest.json is not a package's"));
        }
        if head.format > FORMAT {
            return Err(Error::invalid(format!(
                "the package has format {}, this pgkeep reads up to {FORMAT}",
                head.format
            ))
            .hint("use the pgkeep version that made it, or a newer one"));
        }
        parse_manifest(&serde_json::to_vec(&head.manifest)?)?;
        Ok(serde_json::from_slice(json)?)
    }
}
