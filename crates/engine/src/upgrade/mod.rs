//! Moving every database of a server to a server of a newer major, by a backup and a proven restore.
//!
//! [`plan()`] asks both servers and says what would happen and what stands in the way; [`run()`] does it; [`verify()`]
//! compares both servers again, live; [`plan_rollback`] and [`execute_rollback`] take the new databases away and let the
//! old ones be written to again; [`accept`] makes the new ones ordinary databases.
//!
//! The old server is only read. The one exception is asked for: a fence, which makes its databases read-only from before
//! the backup on, so that nothing written there is missing on the new server. Every database made on the new server
//! carries a mark ([`pgkeep_postgres::restore::Mark::Upgraded`]) with its own oid and the old server's identifier, and only
//! what carries it is ever dropped. The roles that were made for it stand there as well, and go with it where nothing else uses
//! them.
//!
//! Order of effects: fence, backup, roles, then database by database: create, fill, prove, update extensions, look at the
//! structure, run the app's checks, mark. What fails leaves no half-made database behind and lifts the fence.

mod cluster;
mod examine;
mod plan;
mod removed;
mod report;
mod roles;
mod rollback;
mod run;
mod verify;

pub(crate) use cluster::free_bytes;

pub use cluster::ClusterFacts;
pub use plan::{
    DatabaseUpgrade, ExtensionUpgrade, ToolVersions, UpgradePlan, UpgradeSummary, Window, plan,
};
pub use roles::FoundRole;
pub use rollback::{
    FoundDatabase, RollbackPlan, RollbackReport, RollbackRequest, RollbackSummary, accept,
    execute_rollback, plan_rollback,
};
pub use run::{ExtensionChange, UpgradeReport, UpgradedDatabase, run};
pub use verify::{ComparedDatabase, VerifyReport, verify};

use crate::catalog::Origin;
use pgkeep_model::{app::Commands, evidence::Proof};
use pgkeep_postgres::connect::ConnectOptions;

/// Tag of the backup that an upgrade is made from.
pub const PRE_UPGRADE: &str = "pre-upgrade";

/// From where to where, and how.
#[derive(Clone)]
pub struct UpgradeRequest {
    /// A connection to the old server that may read everything; its own database is only used to connect.
    pub from: ConnectOptions,
    /// A connection to the new server that may create databases and roles.
    pub to: ConnectOptions,
    /// Empty for all databases of the old server.
    pub databases: Vec<String>,
    /// App that the backup belongs to.
    pub app: String,
    pub environment: String,
    pub jobs: usize,
    pub compression_level: i32,
    pub prove: Proof,
    /// Make the old databases read-only before the backup.
    pub fence: bool,
    /// Leave everything to the restoring role.
    pub no_owner: bool,
    /// Programs of the app whose `check` must succeed on each new database.
    pub commands: Option<Commands>,
    /// What the backup is made for.
    pub origin: Origin,
}
