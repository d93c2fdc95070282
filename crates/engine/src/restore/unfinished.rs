//! What an earlier restore of the same backup left beside the live database when it was killed: the next one clears it away
//! by its plan, so that nobody is stopped by a name that nobody chose.

use super::plan::Refusal;
use crate::{Context, Result, process};
use jiff::{SignedDuration, Timestamp};
use pgkeep_postgres::{
    inspect,
    restore::{self as pg, Mark, MarkedDatabase},
    wire::Connection,
};

/// No restore on another machine is at work for so long without a session in what it makes.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// What is found under the name that a replacing restore gives its new database.
pub(super) enum Beside {
    Nothing,
    /// Left by a restore that is gone; dropped before the new one begins.
    LeftBehind(Box<MarkedDatabase>),
    Taken(Refusal),
}

pub(super) fn look(admin: &mut Connection, name: &str, context: &Context) -> Result<Beside> {
    if !inspect::database_exists(admin, name)? {
        return Ok(Beside::Nothing);
    }
    let marked = pg::list_marked(admin)?;
    let Some(marked) = marked.into_iter().find(|marked| marked.name == name) else {
        return Ok(Beside::Taken(Refusal {
            message: format!(
                "database {name}, as the restored one would be called, exists and is not pgkeep's"
            ),
            remedy: "rename it, or drop it if nobody needs it".into(),
        }));
    };
    if is_left_behind(&marked, context, process::is_alive) {
        return Ok(Beside::LeftBehind(Box::new(marked)));
    }
    Ok(Beside::Taken(Refusal {
        message: format!("another restore of this backup seems to be at work in database {name}"),
        remedy: "wait until it has ended; `pgkeep undo --list` tells about it, and `pgkeep undo --drop-expired` drops it \
                 once nobody is connected to it"
            .into(),
    }))
}

fn is_left_behind(
    marked: &MarkedDatabase,
    context: &Context,
    is_alive: impl Fn(u32, Timestamp) -> bool,
) -> bool {
    let gone = match &marked.mark {
        Mark::Restoring {
            host,
            pid,
            started_at,
            ..
        } if *host == context.hostname => !is_alive(*pid, *started_at),
        Mark::Restoring { started_at, .. } => {
            context.clock.now().duration_since(*started_at) > LONGEST
        }
        // It was made this moment or by a process that is gone; a session would tell the one from the other.
        Mark::Begun => true,
        Mark::Kept { .. } | Mark::Upgraded { .. } => false,
    };
    gone && marked.sessions == 0 && marked.paused.is_none()
}
