//! Putting a restored database in the live one's place, and back.
//!
//! Order of effects, all in one transaction of a session beside both databases:
//! 1. `ALTER DATABASE live RENAME TO live_before_…` takes an exclusive lock on the live database. From here on new
//!    connections wait, and the server waits up to five seconds for the sessions in it to be gone.
//! 2. Meanwhile a second session ends them (`pg_terminate_backend`), again and again until the rename is through.
//! 3. `ALTER DATABASE replacement RENAME TO live`, and the two marks (see [`super::marks`]).
//! 4. COMMIT. Connections that waited fail once ("does not exist") and reach the new database when they try again.
//!
//! Sessions that are there before step 1 are ended before it, so that on a quiet database nothing waits at all.
//!
//! Nothing is changed outside that transaction: no login is blocked by a setting, no connection limit touched. If
//! anything fails, or this process dies, the server rolls back and the live database is as it was, minus the sessions
//! that were ended.
//!
//! Before that, sessions in the middle of a transaction are given a grace time to finish, with nobody blocked.

use super::{
    beside::connect_beside,
    marks::{
        Mark, MarkedDatabase, comment_statement, kept_name, list_marked, noted_pause, read_comment,
    },
};
use crate::{
    Error, Result,
    connect::ConnectOptions,
    inspect::{self, Session},
    wire::Connection,
};
use jiff::Timestamp;
use pgkeep_model::{
    CancelToken, Phase, Progress,
    evidence::{quote_ident, quote_literal},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How a swap treats those who use the database.
#[derive(Debug, Clone)]
pub struct SwapOptions {
    /// The time, by the caller's clock; it names the kept database.
    pub now: Timestamp,
    /// When the replaced database may be dropped; `None` keeps it until someone drops it.
    pub keep_until: Option<Timestamp>,
    /// How long running transactions may take to finish before their sessions are ended.
    pub grace: Duration,
    /// How long to go on trying while sessions cannot be ended.
    pub timeout: Duration,
}

impl SwapOptions {
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            keep_until: None,
            grace: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
        }
    }
}

/// What a swap did.
#[derive(Debug, Clone)]
pub struct SwapSummary {
    /// Name under which the replaced database is kept; `None` when there was none.
    pub kept_as: Option<String>,
    /// Sessions that were ended.
    pub ended: Vec<Session>,
    /// How long new connections had to wait.
    pub blocked: Duration,
}

/// Something that forbids renaming a database, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    pub what: String,
    pub remedy: String,
}

/// Puts `replacement` in the place of `live`; when there is no database `live`, only renames.
///
/// # Errors
/// Refuses with the obstacle's name and remedy. After any error the live database is in place and unchanged.
pub fn swap(
    server: &ConnectOptions,
    live: &str,
    replacement: &str,
    options: &SwapOptions,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<SwapSummary> {
    progress.phase(Phase::Swap, None);
    let mut admin = connect_beside(server, &[live, replacement])?;
    read_comment(&mut admin, replacement)?;
    claim(&mut admin, live)?;
    if !inspect::database_exists(&mut admin, live)? {
        rename_only(&mut admin, live, replacement)?;
        return Ok(SwapSummary {
            kept_as: None,
            ended: Vec::new(),
            blocked: Duration::ZERO,
        });
    }
    if let Some(obstacle) = obstacles(&mut admin, live, Some(replacement))?
        .into_iter()
        .next()
    {
        return Err(Error::refused(obstacle.what, obstacle.remedy));
    }
    wait_for_transactions(&mut admin, live, options.grace, cancel)?;
    let kept_as = unused_kept_name(&mut admin, live, options.now)?;
    let statements = statements(&mut admin, live, replacement, &kept_as, options)?;
    let mut ended = BTreeMap::new();
    let deadline = Instant::now() + options.timeout;
    let blocked = loop {
        cancel.check()?;
        match attempt(
            server,
            &mut admin,
            [live, replacement],
            &statements,
            &mut ended,
        ) {
            Ok(blocked) => break blocked,
            // Sessions came or stayed: once more, while there is time.
            Err(e) if e.sqlstate() == Some("55006") && Instant::now() < deadline => {}
            Err(e) if e.sqlstate() == Some("55006") => {
                return Err(still_in_use(&mut admin, live, replacement, e));
            }
            Err(e) => return Err(e),
        }
    };
    Ok(SwapSummary {
        kept_as: Some(kept_as),
        ended: ended.into_values().collect(),
        blocked,
    })
}

/// The name to keep the live database under. A second swap within one second takes the name of the next one.
pub fn unused_kept_name(admin: &mut Connection, live: &str, now: Timestamp) -> Result<String> {
    let mut at = now;
    loop {
        let name = kept_name(live, at);
        if !inspect::database_exists(admin, &name)? {
            return Ok(name);
        }
        at += Duration::from_secs(1);
    }
}

/// Gives a database its predecessor back: `kept`, or else the latest that was replaced. The present one is kept in turn,
/// so an undo can be undone.
pub fn undo(
    server: &ConnectOptions,
    live: &str,
    kept: Option<&str>,
    options: &SwapOptions,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<(MarkedDatabase, SwapSummary)> {
    let mut admin = connect_beside(server, &[live])?;
    let candidates = kept_databases(&mut admin, live)?;
    let chosen = match kept {
        Some(name) => candidates.into_iter().find(|d| d.name == name),
        None => candidates.into_iter().next(),
    };
    let chosen = chosen.ok_or_else(|| {
        Error::refused(
            match kept {
                Some(name) => format!("{name} is not a database that was kept when {live} was replaced"),
                None => format!("no replaced database is kept for {live}"),
            },
            "a replaced database is kept for the time given by --keep-old; after that, restore a backup",
        )
    })?;
    drop(admin);
    let summary = swap(server, live, &chosen.name, options, cancel, progress)?;
    Ok((chosen, summary))
}

/// The databases kept for `live`, the latest replaced first.
pub fn kept_databases(admin: &mut Connection, live: &str) -> Result<Vec<MarkedDatabase>> {
    let mut kept: Vec<(Timestamp, MarkedDatabase)> = list_marked(admin)?
        .into_iter()
        .filter_map(|d| match &d.mark {
            Mark::Kept {
                database,
                replaced_at,
                ..
            } if database == live => Some((*replaced_at, d)),
            _ => None,
        })
        .collect();
    kept.sort_by(|(a, one), (b, other)| (b, &other.name).cmp(&(a, &one.name)));
    Ok(kept.into_iter().map(|(_, d)| d).collect())
}

/// Everything that forbids renaming `live` and that only its owner can decide on. Sessions are no obstacle.
pub fn obstacles(
    admin: &mut Connection,
    live: &str,
    replacement: Option<&str>,
) -> Result<Vec<Obstacle>> {
    let mut found = Vec::new();
    let mut add = |what: String, remedy: &str| {
        found.push(Obstacle {
            what,
            remedy: remedy.into(),
        })
    };
    let strangers = admin.query(&format!(
        "SELECT pg_catalog.quote_ident(current_user), pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(datdba)) \
         FROM pg_catalog.pg_database WHERE datname = {} AND NOT pg_catalog.pg_has_role(datdba, 'USAGE')",
        quote_literal(live)
    ))?;
    if let Some(row) = strangers.first() {
        let (role, owner) = (row.text(0), row.text(1));
        add(
            format!("database {live} belongs to {owner}, so {role} may not rename it"),
            &format!("GRANT {owner} TO {role}, or connect as a role that may"),
        );
    }
    let used = inspect::database_use(admin, live)?;
    for transaction in used.prepared_transactions {
        add(
            format!(
                "database {live} holds the prepared transaction {:?} of {}",
                transaction.gid, transaction.owner
            ),
            "finish it in that database with COMMIT PREPARED or ROLLBACK PREPARED",
        );
    }
    for slot in used.replication_slots {
        add(
            format!(
                "database {live} has the logical replication slot {} ({})",
                slot.name, slot.plugin
            ),
            "its subscriber would go on with the replaced database: end the subscription, or drop the slot with pg_drop_replication_slot",
        );
    }
    for subscription in used.subscriptions.into_iter().filter(|s| s.enabled) {
        add(
            format!(
                "database {live} has the active subscription {}",
                subscription.name
            ),
            "stop it in that database with ALTER SUBSCRIPTION … DISABLE",
        );
    }
    for other in list_marked(admin)? {
        let same = matches!(&other.mark, Mark::Restoring { database, .. } if database == live);
        if same && other.sessions > 0 && replacement != Some(other.name.as_str()) {
            add(
                format!("another restore of {live} is running (into {})", other.name),
                "wait until it is done, or stop it",
            );
        }
    }
    Ok(found)
}

/// Sessions that a rename has to wait for. Autovacuum gives way by itself, and parallel workers end with their leader.
fn in_the_way(admin: &mut Connection, database: &str) -> Result<Vec<Session>> {
    let mut sessions = inspect::sessions(admin, database)?;
    sessions.retain(|s| {
        !matches!(
            s.backend_type.as_str(),
            "autovacuum worker" | "parallel worker"
        )
    });
    Ok(sessions)
}

/// Keeps two swaps of one database apart, as long as the session lives.
fn claim(admin: &mut Connection, live: &str) -> Result<()> {
    let rows = admin.query(&format!(
        "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtext('pgkeep swap'), pg_catalog.hashtext({})) AS mine",
        quote_literal(live)
    ))?;
    match rows.first().is_some_and(|r| r.is_true("mine")) {
        true => Ok(()),
        false => Err(Error::refused(
            format!("another swap of {live} is going on"),
            "wait until it is done",
        )),
    }
}

fn rename_only(admin: &mut Connection, live: &str, replacement: &str) -> Result<()> {
    let own = own_comment(admin, replacement)?;
    let mut sql = format!(
        "ALTER DATABASE {} RENAME TO {}",
        quote_ident(replacement),
        quote_ident(live)
    );
    if let Some(comment) = own {
        sql = format!("{sql}; {}", comment_statement(live, comment.as_deref()));
    }
    admin
        .execute(&sql)
        .map_err(|e| e.doing(format!("renaming {replacement} to {live}")))?;
    Ok(())
}

/// The comment to give a marked database once it is in use; `None` when it carries no mark.
fn own_comment(admin: &mut Connection, name: &str) -> Result<Option<Option<String>>> {
    let comment = read_comment(admin, name)?;
    let mark = comment.as_deref().and_then(Mark::parse);
    Ok(mark.map(|m| m.own_comment().map(String::from)))
}

/// The statements of the transaction, the renames first.
fn statements(
    admin: &mut Connection,
    live: &str,
    replacement: &str,
    kept_as: &str,
    options: &SwapOptions,
) -> Result<Vec<String>> {
    let comment = read_comment(admin, live)?;
    // The replacement's comment becomes its own again.
    let paused = read_comment(admin, replacement)?
        .as_deref()
        .and_then(noted_pause);
    let mark = Mark::Kept {
        database: live.into(),
        replaced_at: options.now,
        expires_at: options.keep_until,
        comment,
    };
    let mut statements = vec![
        format!(
            "ALTER DATABASE {} RENAME TO {}",
            quote_ident(live),
            quote_ident(kept_as)
        ),
        format!(
            "ALTER DATABASE {} RENAME TO {}",
            quote_ident(replacement),
            quote_ident(live)
        ),
        comment_statement(kept_as, Some(&mark.into_comment_with(paused))),
    ];
    if let Some(comment) = own_comment(admin, replacement)? {
        statements.push(comment_statement(live, comment.as_deref()));
    }
    Ok(statements)
}

fn wait_for_transactions(
    admin: &mut Connection,
    live: &str,
    grace: Duration,
    cancel: &CancelToken,
) -> Result<()> {
    let end = Instant::now() + grace;
    while Instant::now() < end
        && in_the_way(admin, live)?
            .iter()
            .any(|s| s.state != "idle" && !s.state.is_empty())
    {
        cancel.check()?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// One try: the transaction in this thread, ending sessions in another. Returns how long the lock was held.
fn attempt(
    server: &ConnectOptions,
    admin: &mut Connection,
    databases: [&str; 2],
    statements: &[String],
    ended: &mut BTreeMap<i32, Session>,
) -> Result<Duration> {
    let mut helper = connect_beside(server, &databases)?;
    make_room(&mut helper, &databases, ended)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let ender = scope.spawn(|| end_sessions(&mut helper, &databases, &done));
        let started = Instant::now();
        let result = transaction(admin, statements);
        let blocked = started.elapsed();
        done.store(true, Ordering::SeqCst);
        let gone = ender
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (result, gone) {
            (result, Ok(sessions)) => {
                ended.extend(sessions.into_iter().map(|s| (s.pid, s)));
                result.map(|()| blocked)
            }
            // The rename came through all the same: those sessions left by themselves.
            (Ok(()), Err(_)) => Ok(blocked),
            (Err(_), Err(why)) => Err(why),
        }
    })
}

/// Ends the sessions that are there before anybody has to wait. The rename looks for sessions only every tenth of a second,
/// so those that are gone before it begins cost nothing; those that come after are ended while it waits.
fn make_room(
    helper: &mut Connection,
    databases: &[&str; 2],
    ended: &mut BTreeMap<i32, Session>,
) -> Result<()> {
    const ROUNDS: u32 = 10;
    for _ in 0..ROUNDS {
        let mut here = Vec::new();
        for database in databases {
            here.extend(in_the_way(helper, database)?);
        }
        if here.is_empty() {
            return Ok(());
        }
        for session in here {
            end_session(helper, &session)?;
            ended.insert(session.pid, session);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn end_session(helper: &mut Connection, session: &Session) -> Result<()> {
    helper
        .execute(&format!(
            "SELECT pg_catalog.pg_terminate_backend({})",
            session.pid
        ))
        .map_err(|e| e.doing(format!("ending the session with {session}")))?;
    Ok(())
}

fn transaction(admin: &mut Connection, statements: &[String]) -> Result<()> {
    admin.execute("BEGIN")?;
    for statement in statements {
        if let Err(error) = admin.execute(statement) {
            // When even this fails the connection is gone, and the server rolls back by itself.
            let _ = admin.execute("ROLLBACK");
            return Err(error.doing("swapping the databases"));
        }
    }
    admin
        .execute("COMMIT")
        .map_err(|e| e.doing("swapping the databases"))?;
    Ok(())
}

/// Ends the sessions in both databases until told that the rename is through.
fn end_sessions(
    helper: &mut Connection,
    databases: &[&str; 2],
    done: &AtomicBool,
) -> Result<Vec<Session>> {
    let mut ended = Vec::new();
    while !done.load(Ordering::SeqCst) {
        for database in databases {
            for session in in_the_way(helper, database)? {
                end_session(helper, &session)?;
                ended.push(session);
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(ended)
}

fn still_in_use(admin: &mut Connection, live: &str, replacement: &str, error: Error) -> Error {
    for database in [live, replacement] {
        if let Ok(left) = in_the_way(admin, database)
            && let Some(session) = left.first()
        {
            return Error::refused(
                format!(
                    "database {database} is still in use: {} sessions, the first one {session}",
                    left.len()
                ),
                "stop the application and try again; nothing was changed",
            );
        }
    }
    error
}
