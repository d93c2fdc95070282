//! Taking a replacement back: the database that was kept changes places with the one that replaced it.

use super::swap::{Change, resume_left_over, swap_around};
use crate::{
    Context, Error, Result,
    application::Application,
    fence,
    hooks::{Facts, Hooks},
    process, shown,
};
use jiff::Timestamp;
use pgkeep_postgres::{
    connect::ConnectOptions,
    inspect,
    restore::{self as pg, Mark, MarkedDatabase, SwapOptions},
    wire::Connection,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long the database that an undo swaps away is kept.
const KEEP_AFTER_UNDO: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UndoPlan {
    /// The live name.
    pub database: String,
    /// The kept database that takes the name again.
    pub kept: String,
    pub replaced_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// The name under which the database that is live now is kept, so that the undo can be undone.
    pub keep_current_as: String,
    /// Until when it is kept.
    pub keep_current_until: Option<Timestamp>,
    /// The moment of the plan, from which the name is made.
    #[serde(skip)]
    pub planned_at: Timestamp,
    pub sessions: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct UndoReport {
    pub database: String,
    pub kept_as: String,
    pub kept_until: Option<Timestamp>,
    /// The database that is live again is as it was at this moment, when it was replaced.
    pub as_of: Option<Timestamp>,
    /// Milliseconds in which nobody could connect.
    pub blocked_ms: u64,
}

/// Finds what an undo would bring back: the database replaced last, or the one named by `kept`.
pub fn plan_undo(
    admin: &ConnectOptions,
    database: &str,
    kept: Option<&str>,
    context: &Context,
) -> Result<UndoPlan> {
    let mut connection = Connection::open_with(admin, &context.cancel)?;
    let candidates = pg::kept_databases(&mut connection, database)?;
    let chosen = match kept {
        Some(name) => candidates.into_iter().find(|d| d.name == name),
        None => candidates.into_iter().next(),
    };
    let chosen = chosen.ok_or_else(|| {
        Error::not_found(format!("no replaced database is kept for {database}"))
            .hint("a replaced database is kept for the time given by --keep-old; after that, restore a backup")
    })?;
    let (replaced_at, expires_at) = times(&chosen);
    let now = context.clock.now();
    Ok(UndoPlan {
        database: database.to_string(),
        kept: chosen.name,
        replaced_at,
        expires_at,
        keep_current_as: pg::unused_kept_name(&mut connection, database, now)?,
        keep_current_until: now.checked_add(KEEP_AFTER_UNDO).ok(),
        planned_at: now,
        sessions: inspect::sessions(&mut connection, database)?
            .iter()
            .map(ToString::to_string)
            .collect(),
    })
}

/// Swaps back. The database that is live now is kept for a day, so that the undo can be undone.
pub fn execute_undo(
    admin: &ConnectOptions,
    plan: &UndoPlan,
    grace_secs: u64,
    app: &Application,
    context: &Context,
) -> Result<UndoReport> {
    resume_left_over(app, admin, context)?;
    let options = SwapOptions {
        keep_until: plan.keep_current_until,
        grace: Duration::from_secs(grace_secs),
        ..SwapOptions::new(plan.planned_at)
    };
    let mut connection = Connection::open_with(admin, &context.cancel)?;
    let kept = pg::kept_databases(&mut connection, &plan.database)?;
    drop(connection);
    if !kept.iter().any(|database| database.name == plan.kept) {
        return Err(Error::not_found(format!(
            "{} is not kept for {} any more",
            plan.kept, plan.database
        ))
        .hint("look at what is kept with `pgkeep undo --list`"));
    }
    let change = Change {
        app,
        admin,
        live: &plan.database,
        replacement: &plan.kept,
        options,
    };
    let facts = Facts {
        app: app.name.clone(),
        operation: "undo".into(),
        database: Some(plan.database.clone()),
        restored_database: Some(plan.kept.clone()),
        ..Facts::default()
    };
    let mut hooks = Hooks::new(app, facts, context);
    let swapped = match swap_around(&change, &mut hooks, context) {
        Ok(swapped) => swapped,
        Err(e) => return Err(hooks.failed(e)),
    };
    // A restore that was killed may have left its fence on either of them.
    for name in [Some(&plan.database), swapped.kept_as.as_ref()]
        .into_iter()
        .flatten()
    {
        if let Err(e) = fence::lift(admin, name) {
            context.progress.warn(&format!(
                "whether {name} can be written to is not known: {e}"
            ));
        }
    }
    Ok(UndoReport {
        database: plan.database.clone(),
        kept_until: swapped.kept_as.as_ref().and(plan.keep_current_until),
        kept_as: swapped.kept_as.unwrap_or_default(),
        as_of: plan.replaced_at,
        blocked_ms: swapped.blocked.as_millis() as u64,
    })
}

/// A database that pgkeep left on a server: kept after a replacement, or unfinished after a killed restore.
#[derive(Debug, Clone, Serialize)]
pub struct Leftover {
    pub name: String,
    pub size_bytes: u64,
    /// The live database that it was, or is to become; absent where it is not known.
    #[serde(skip)]
    pub of: Option<String>,
    pub why: String,
    /// True when its time is over, or its restore died; [`drop_leftovers`] drops only these.
    pub expired: bool,
    #[serde(skip)]
    found: Found,
}

/// What is done about a leftover.
#[derive(Debug, Clone)]
enum Found {
    /// Dropped.
    Marked(Box<MarkedDatabase>),
    /// Let be written to again; never dropped, for it is a live one.
    Fenced,
}

/// Lists the databases that carry pgkeep's mark.
pub fn leftovers(admin: &ConnectOptions, context: &Context) -> Result<Vec<Leftover>> {
    let mut connection = Connection::open_with(admin, &context.cancel)?;
    let now = context.clock.now();
    let mut found: Vec<Leftover> = pg::list_marked(&mut connection)?
        .into_iter()
        .map(|marked| {
            let (why, expired) = match &marked.mark {
                Mark::Kept {
                    database,
                    replaced_at,
                    expires_at,
                    ..
                } => {
                    let until =
                        expires_at.map_or("for good".into(), |at| format!("until {}", shown(at)));
                    (
                        format!("was {database} until {}, kept {until}", shown(*replaced_at)),
                        marked.mark.is_expired(now),
                    )
                }
                Mark::Restoring {
                    database,
                    host,
                    pid,
                    started_at,
                    ..
                } => (
                    format!(
                        "an unfinished restore of {database}, begun {} on {host}",
                        shown(*started_at)
                    ),
                    // A restore holds sessions in its database nearly all the time; here it can be seen whether it lives.
                    marked.sessions == 0
                        && !(*host == context.hostname && process::is_alive(*pid, *started_at)),
                ),
                Mark::Upgraded { from, .. } => (
                    format!(
                        "made by an upgrade from {from}; `pgkeep upgrade accept` makes it an ordinary database, `pgkeep upgrade rollback` drops it"
                    ),
                    false,
                ),
                Mark::Begun => (
                    "an unfinished restore of which nothing was written yet".into(),
                    marked.sessions == 0,
                ),
            };
            let of = match &marked.mark {
                Mark::Kept { database, .. } | Mark::Restoring { database, .. } => {
                    Some(database.clone())
                }
                Mark::Upgraded { .. } => Some(marked.name.clone()),
                Mark::Begun => None,
            };
            Leftover {
                name: marked.name.clone(),
                size_bytes: marked.size_bytes,
                of,
                why,
                expired,
                found: Found::Marked(Box::new(marked)),
            }
        })
        .collect();
    for name in fence::fenced(&mut connection)? {
        found.push(Leftover {
            size_bytes: inspect::database_size(&mut connection, &name)?,
            of: Some(name.clone()),
            why: "is read-only since a restore that did not end".into(),
            expired: fence::is_left_over(admin, &name)?,
            name,
            found: Found::Fenced,
        });
    }
    Ok(found)
}

/// Drops the expired ones among `leftovers`; one that changed since it was listed stays. Returns the names dropped.
pub fn drop_leftovers(
    admin: &ConnectOptions,
    leftovers: &[Leftover],
    context: &Context,
) -> Result<Vec<String>> {
    let mut connection = Connection::open_with(admin, &context.cancel)?;
    let mut dropped = Vec::new();
    for leftover in leftovers.iter().filter(|l| l.expired) {
        match &leftover.found {
            Found::Marked(marked) => {
                if pg::drop_marked(&mut connection, marked)? {
                    dropped.push(leftover.name.clone());
                }
            }
            Found::Fenced => {
                if fence::lift(admin, &leftover.name)? {
                    context
                        .progress
                        .warn(&format!("{} can be written to again", leftover.name));
                }
            }
        }
    }
    Ok(dropped)
}

fn times(database: &MarkedDatabase) -> (Option<Timestamp>, Option<Timestamp>) {
    match &database.mark {
        Mark::Kept {
            replaced_at,
            expires_at,
            ..
        } => (Some(*replaced_at), *expires_at),
        Mark::Restoring { .. } | Mark::Upgraded { .. } | Mark::Begun => (None, None),
    }
}
