//! What shows whether anything was written to a database: read from its server, never guessed.

use serde::{Deserialize, Serialize};

/// All that shows whether something was written, as of one moment. What each part is there for:
///
/// - WAL position: whatever is written to a logged table, a catalog, a large object or a role moves it, as do a checkpoint
///   after that, autovacuum, and pages that reading marks. Then something is read in vain, after which it settles; never
///   taken for unchanged wrongly.
/// - start of the server, its identity and timeline: another server, a restored or promoted one may show the same position.
/// - values of sequences: `nextval` writes WAL only once in 32 calls.
/// - counters of rows written, and when they were reset: a second witness of the same fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteMark {
    pub system: String,
    pub timeline: String,
    pub started: String,
    pub wal: String,
    pub rows_written: String,
    pub sequences: String,
    /// What of the database is looked at, where that is not all of it: schemas, and tables without their rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<String>,
}

impl WriteMark {
    /// Says what differs from a later mark; nothing where nothing was written between the two.
    pub fn difference(&self, now: &WriteMark) -> Option<&'static str> {
        let server = |mark: &WriteMark| {
            [
                mark.system.clone(),
                mark.timeline.clone(),
                mark.started.clone(),
            ]
        };
        if self.selection != now.selection {
            Some("something else of it is to be backed up")
        } else if server(self) != server(now) {
            Some("the server was started anew or is another one")
        } else if self.sequences != now.sequences {
            Some("a sequence has moved")
        } else if self.rows_written != now.rows_written {
            Some("rows were written")
        } else if self.wal != now.wal {
            Some("WAL was written")
        } else {
            None
        }
    }
}
