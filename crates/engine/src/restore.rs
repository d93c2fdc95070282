//! Restoring: [`plan()`] looks at backup and target and says what would happen, [`execute()`] does it,
//! [`plan_undo`] and [`execute_undo`] take a replacement back.
//!
//! A live database is never written to by a restore that has not been proven: the backup is built in a new database
//! beside it, proven there, and only then do two renames in one transaction put it in the old one's place. Whatever
//! fails before that leaves the live database as it was.

mod around;
mod execute;
mod hindrances;
mod plan;
mod room;
mod source;
mod swap;
mod undo;
mod unfinished;

pub use execute::{CheckOutcome, MigrateReport, ProofReport, RestoreReport, execute};
pub(crate) use execute::{is_of_the_whole, note_proof};
/// What must be said, exactly, before live data is overwritten.
pub const PHRASE: &str = "I understand this will irreversibly overwrite data";

pub use hindrances::hindrances;
pub use plan::{DatabasePlan, PlanSummary, Refusal, RestorePlan, plan};
pub use source::SnapshotSource;
pub use undo::{
    Leftover, UndoPlan, UndoReport, drop_leftovers, execute_undo, leftovers, plan_undo,
};

use crate::application::Application;
use pgkeep_model::evidence::Proof;
use pgkeep_postgres::connect::ConnectOptions;
use serde::{Deserialize, Serialize};

/// What to restore, and to where.
#[derive(Clone)]
pub struct RestoreRequest {
    /// Id of the backup, or `latest`.
    pub backup: String,
    pub app: Option<String>,
    /// Which database of the backup; may be left out when it holds one.
    pub database: Option<String>,
    /// A connection that may create databases on the target server (`DB_ADMIN_URL`); its own database is only used to connect.
    pub admin: ConnectOptions,
    pub target: RestoreTarget,
    pub selection: Selection,
    pub content: Content,
    pub jobs: usize,
    pub prove: Proof,
    /// Seconds for which a replaced database is kept, so that it can be swapped back.
    pub keep_old_secs: u64,
    pub no_owner: bool,
    /// Role that owns everything restored, set before the objects are created.
    pub role: Option<String>,
    /// The new database is dropped again soon: its mark stays, so that a run that dies leaves nothing unknown behind.
    pub throwaway: bool,
    /// Runs VACUUM ANALYZE instead of ANALYZE.
    pub vacuum: bool,
    /// A replacement takes no backup of the live database first. Never the default.
    pub skip_safety_backup: bool,
    /// Seconds that sessions of the live database are given to end by themselves before the swap.
    pub grace_secs: u64,
    pub around: Around,
}

/// The app around the database, and what is asked of its programs. Empty for a restore that is nobody's business.
#[derive(Debug, Clone, Default)]
pub struct Around {
    pub application: Application,
    /// Runs the app's own migrations against the restored database before it is used.
    pub migrate: bool,
    /// Runs the app's checks against it.
    pub check: bool,
    /// Leaves a restored database on which migrations or checks fail, for a look.
    pub keep_failed: bool,
    /// Whose the live database is; the backup's app's where absent. Its safety backup is kept with those of that app.
    pub owner: Option<Owner>,
}

/// The app that a live database belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub app: String,
    pub environment: String,
}

/// Where the restored data goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum RestoreTarget {
    /// A new database with this name; it must not exist.
    Into { name: String },
    /// A new database that takes this one's place once proven.
    Replace { name: String },
    /// Schemas are dropped and made again inside this database, for accounts that may not create one.
    InPlace { name: String },
}

impl RestoreTarget {
    pub fn name(&self) -> &str {
        match self {
            RestoreTarget::Into { name }
            | RestoreTarget::Replace { name }
            | RestoreTarget::InPlace { name } => name,
        }
    }
    /// True when existing data goes away.
    pub fn overwrites(&self) -> bool {
        !matches!(self, RestoreTarget::Into { .. })
    }
}

/// Which part of the backup is restored. Names are `schema.table` or `table`; both empty means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub tables: Vec<String>,
    pub schemas: Vec<String>,
}

impl Selection {
    /// `tables a, b and schemas c`; `None` for everything.
    pub fn describe(&self) -> Option<String> {
        let list = |noun: &str, names: &[String]| match names {
            [] => None,
            [one] => Some(format!("{noun} {one}")),
            several => Some(format!("{noun}s {}", several.join(", "))),
        };
        let parts: Vec<String> = [list("table", &self.tables), list("schema", &self.schemas)]
            .into_iter()
            .flatten()
            .collect();
        (!parts.is_empty()).then(|| parts.join(" and "))
    }

    pub fn is_everything(&self) -> bool {
        self.tables.is_empty() && self.schemas.is_empty()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    #[default]
    All,
    SchemaOnly,
    DataOnly,
}
