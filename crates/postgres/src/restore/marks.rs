//! How pgkeep recognises the databases it made: by a mark in the database's comment.
//!
//! A database under construction and a replaced one that is kept for a while both carry all that is needed to finish,
//! undo, expire or clean up, so no state outside the server can be lost or disagree. A comment is used because the
//! owner may always set it (a custom setting by `ALTER DATABASE ... SET` needs a superuser), it changes in the same
//! transaction as a rename, and `\l+` shows it to people. The database's own comment is kept inside the mark.
//!
//! `CREATE DATABASE` cannot set a comment, and runs in no transaction with the statement that does. So it sets a
//! connection limit that only pgkeep gives and that follows from the database's name ([`birth_limit`]); the comment
//! takes its place in one transaction. A restore that is killed in between has left a database without a comment but with
//! that limit, which nobody else makes and nobody has written to.

use crate::{Result, wire::Connection};
use jiff::Timestamp;
use pgkeep_model::evidence::{quote_ident, quote_literal};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

const PREFIX: &str = "pgkeep ";
/// `NAMEDATALEN - 1`.
const NAME_BYTES: usize = 63;

/// What pgkeep wrote on a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Mark {
    /// Being restored; not to be used by anyone yet.
    Restoring {
        /// The database that it is meant to become.
        database: String,
        host: String,
        pid: u32,
        started_at: Timestamp,
        /// Comment to set when it is finished.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// Was replaced and is kept so that the replacement can be undone.
    Kept {
        /// The name it had, and that an undo gives back.
        database: String,
        replaced_at: Timestamp,
        /// When it may be dropped; `None` keeps it until someone drops it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// The comment it had.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// Was made by an upgrade of a whole server, and is dropped if that is rolled back; in use all the while.
    Upgraded {
        /// The old server, in words.
        from: String,
        /// System identifier of the old server.
        system: String,
        /// The backup that it was made from.
        backup: String,
        finished_at: Timestamp,
        /// What the definitions were when it was finished, as a SHA-256.
        schema_sha256: String,
        /// Of this very database: a copy of it, or one that took its name, is not meant.
        oid: u32,
        /// Roles that the upgrade made on this server.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        roles: Vec<MadeRole>,
        /// The database's own comment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// Was made by a restore that ended before it could say more. No comment says so: see `birth_limit`.
    #[serde(skip)]
    Begun,
}

/// A role that an upgrade made; one that took its name later has another oid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MadeRole {
    pub name: String,
    pub oid: u32,
}

/// A connection pooler that was paused for a swap: written beside the mark of the database that is swapped in before the
/// pooler is paused, taken over by the one that is swapped out, and gone once the pooler was resumed. Whoever finds it
/// after a crash knows which pause was pgkeep's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Host and port of the pooler's console.
    pub console: String,
    /// The live database.
    pub database: String,
    /// The names under which the pooler offers it.
    pub names: Vec<String>,
}

/// All that a comment of pgkeep's holds.
#[derive(Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    mark: Mark,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<Paused>,
}

impl Note {
    fn parse(comment: &str) -> Option<Note> {
        serde_json::from_str(comment.strip_prefix(PREFIX)?).ok()
    }

    fn to_comment(&self) -> String {
        format!(
            "{PREFIX}{}",
            serde_json::to_string(self).expect("a mark is plain data")
        )
    }
}

impl Mark {
    /// Reads a mark from a database's comment.
    pub fn parse(comment: &str) -> Option<Mark> {
        serde_json::from_str(comment.strip_prefix(PREFIX)?).ok()
    }

    /// The comment that carries it.
    pub fn to_comment(&self) -> String {
        self.clone().into_comment_with(None)
    }

    /// The same, with the pause that goes with it.
    pub(super) fn into_comment_with(self, paused: Option<Paused>) -> String {
        Note { mark: self, paused }.to_comment()
    }

    /// The comment that belongs to the database itself.
    pub fn own_comment(&self) -> Option<&str> {
        match self {
            Mark::Restoring { comment, .. }
            | Mark::Kept { comment, .. }
            | Mark::Upgraded { comment, .. } => comment.as_deref(),
            Mark::Begun => None,
        }
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        matches!(self, Mark::Kept { expires_at: Some(at), .. } if *at <= now)
    }
}

/// A database of the server that carries a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedDatabase {
    pub name: String,
    pub mark: Mark,
    pub size_bytes: u64,
    pub sessions: u64,
    /// A pooler that is paused, or was when somebody died.
    pub paused: Option<Paused>,
}

/// The connection limit that a database of this name is made with: as good as none, and none that a person would set.
pub(super) fn birth_limit(name: &str) -> i32 {
    const LEAST: u64 = 1 << 30;
    i32::try_from(LEAST + xxh3_64(name.as_bytes()) % LEAST).expect("it is below 2^31")
}

/// All databases with a mark, by name. `admin` may be connected to any database of the server. The session that has just
/// made a database and is about to mark it counts as one of its sessions.
pub fn list_marked(admin: &mut Connection) -> Result<Vec<MarkedDatabase>> {
    let rows = admin.query(
        "SELECT d.datname, pg_catalog.shobj_description(d.oid, 'pg_database') AS comment, d.datconnlimit, \
           CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') \
             OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') \
             THEN pg_catalog.pg_database_size(d.oid) ELSE 0 END AS size, \
           (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid \
              OR a.pid <> pg_catalog.pg_backend_pid() AND a.query LIKE 'CREATE DATABASE%' \
                 AND pg_catalog.strpos(a.query, pg_catalog.quote_ident(d.datname)) > 0) AS sessions \
         FROM pg_catalog.pg_database d \
         WHERE pg_catalog.shobj_description(d.oid, 'pg_database') LIKE 'pgkeep {%' \
           OR d.datconnlimit >= 1073741824 ORDER BY 1",
    )?;
    let number = |i, column| {
        rows.get(i, column)
            .and_then(|t| t.parse().ok())
            .unwrap_or(0)
    };
    Ok((0..rows.len())
        .filter_map(|i| {
            let name = rows.get(i, "datname")?;
            let limit = rows.get(i, "datconnlimit").and_then(|t| t.parse().ok());
            Some(MarkedDatabase {
                name: name.into(),
                mark: mark_of(name, rows.get(i, "comment"), limit)?,
                size_bytes: number(i, "size"),
                sessions: number(i, "sessions"),
                paused: rows.get(i, "comment").and_then(noted_pause),
            })
        })
        .collect())
}

fn mark_of(name: &str, comment: Option<&str>, connection_limit: Option<i32>) -> Option<Mark> {
    match comment {
        Some(comment) => Mark::parse(comment),
        None => (connection_limit == Some(birth_limit(name))).then_some(Mark::Begun),
    }
}

/// The pause that stands in a database's comment.
pub(super) fn noted_pause(comment: &str) -> Option<Paused> {
    Note::parse(comment)?.paused
}

/// Writes beside the mark of `name` what is about to be paused; it is on the server's disk when this returns.
pub fn note_pause(admin: &mut Connection, name: &str, paused: Paused) -> Result<()> {
    let comment = read_comment(admin, name)?;
    let mark = comment.as_deref().and_then(Mark::parse).ok_or_else(|| {
        crate::Error::refused(
            format!("database {name} carries no mark of pgkeep's"),
            "it was finished or renamed meanwhile; start again",
        )
    })?;
    admin.execute("SET synchronous_commit = on")?;
    let comment = mark.into_comment_with(Some(paused));
    admin.execute(&comment_statement(name, Some(&comment)))?;
    Ok(())
}

/// Removes the note of a pause that is over, from whichever database carries it now.
pub fn forget_pause(admin: &mut Connection, paused: &Paused) -> Result<()> {
    for marked in list_marked(admin)? {
        if marked.paused.as_ref() == Some(paused) {
            mark_again(admin, &marked.name, &marked.mark)?;
        }
    }
    Ok(())
}

/// Drops a database only if it still carries exactly this mark: one that was finished or swapped back meanwhile stays, and
/// so does one that tells of a pooler that is paused. Returns whether it was dropped.
pub fn drop_marked(admin: &mut Connection, database: &MarkedDatabase) -> Result<bool> {
    let now = list_marked(admin)?
        .into_iter()
        .find(|other| other.name == database.name);
    if now.is_none_or(|now| now.mark != database.mark || now.paused.is_some()) {
        return Ok(false);
    }
    match database.mark {
        Mark::Restoring { .. } | Mark::Begun | Mark::Upgraded { .. } => {
            drop_database(admin, &database.name)?;
        }
        // Its subscriptions were at work: whether their slots are still needed, someone must decide.
        Mark::Kept { .. } => drop_now(admin, &database.name)?,
    }
    Ok(true)
}

/// Drops a database that a restore made, together with the sessions in it. Its copies of subscriptions go first, without
/// a word to the publishers, whose slots belong to the original.
pub fn drop_database(admin: &mut Connection, name: &str) -> Result<()> {
    let subscriptions = admin.query(&format!(
        "SELECT s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
         WHERE d.datname = {}",
        quote_literal(name)
    ))?;
    if !subscriptions.is_empty() {
        let mut inside = Connection::open(&admin.options().with_dbname(name))?;
        inside.execute("SET default_transaction_read_only = off")?;
        for row in subscriptions.iter() {
            let subscription = quote_ident(&row.text(0));
            // One that names no slot is dropped here alone; only a disabled one can be told so.
            for statement in [
                format!("ALTER SUBSCRIPTION {subscription} DISABLE"),
                format!("ALTER SUBSCRIPTION {subscription} SET (slot_name = NONE)"),
                format!("DROP SUBSCRIPTION {subscription}"),
            ] {
                inside.execute(&statement).map_err(|e| {
                    e.doing(format!(
                        "removing the copy of subscription {subscription} from database {name}"
                    ))
                })?;
            }
        }
    }
    drop_now(admin, name)
}

fn drop_now(admin: &mut Connection, name: &str) -> Result<()> {
    admin
        .execute(&format!(
            "DROP DATABASE IF EXISTS {} WITH (FORCE)",
            quote_ident(name)
        ))
        .map_err(|e| e.doing(format!("dropping database {name}")))?;
    Ok(())
}

/// Writes a mark in the place of the one that a database carries, whose own comment the new one keeps.
pub fn mark_again(admin: &mut Connection, name: &str, mark: &Mark) -> Result<()> {
    admin.execute(&comment_statement(name, Some(&mark.to_comment())))?;
    Ok(())
}

/// The database's comment, or an error when there is no such database.
pub(super) fn read_comment(admin: &mut Connection, name: &str) -> Result<Option<String>> {
    let rows = admin.query(&format!(
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') AS comment FROM pg_catalog.pg_database WHERE datname = {}",
        quote_literal(name)
    ))?;
    if rows.is_empty() {
        return Err(crate::Error::refused(
            format!("there is no database {name}"),
            "check the name; `\\l` in psql lists the server's databases",
        ));
    }
    Ok(rows.get(0, "comment").map(String::from))
}

pub(super) fn comment_statement(name: &str, comment: Option<&str>) -> String {
    format!(
        "COMMENT ON DATABASE {} IS {}",
        quote_ident(name),
        comment.map_or("NULL".into(), quote_literal)
    )
}

/// `<database>_before_<UTC time>`, shortened to what PostgreSQL allows.
pub fn kept_name(database: &str, at: Timestamp) -> String {
    with_suffix(
        database,
        &format!("_before_{}", at.strftime("%Y%m%dT%H%M%SZ")),
    )
}

/// `<database>_pgkeep_<id>`, shortened to what PostgreSQL allows.
pub fn restoring_name(database: &str, id: &str) -> String {
    with_suffix(database, &format!("_pgkeep_{id}"))
}

fn with_suffix(name: &str, suffix: &str) -> String {
    let mut end = name.len().min(NAME_BYTES.saturating_sub(suffix.len()));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a valid time")
    }

    #[test]
    fn names_fit_and_never_split_a_character() {
        let now = at("2026-11-21T08:05:09Z");
        assert_eq!(kept_name("shop", now), "shop_before_20261121T080509Z");
        let long = kept_name(&"ä".repeat(31), now);
        assert!(
            long.len() <= 63 && long.ends_with("ä_before_20261121T080509Z"),
            "{long}"
        );
        assert_eq!(restoring_name("shop", "1a2b"), "shop_pgkeep_1a2b");
    }

    #[test]
    fn a_mark_survives_the_comment_and_keeps_the_database_s_own() {
        let mark = Mark::Kept {
            database: "it's".into(),
            replaced_at: at("2026-11-21T08:00:00Z"),
            expires_at: Some(at("2026-11-22T08:00:00Z")),
            comment: Some("pgkeep {not a mark".into()),
        };
        assert_eq!(Mark::parse(&mark.to_comment()), Some(mark.clone()));
        assert_eq!(mark.own_comment(), Some("pgkeep {not a mark"));
        assert!(
            !mark.is_expired(at("2026-11-22T07:59:59Z"))
                && mark.is_expired(at("2026-11-22T08:00:00Z"))
        );
        assert_eq!(Mark::parse("pgkeep {not a mark"), None);
        assert_eq!(Mark::parse("the shop"), None);
    }

    #[test]
    fn a_pause_is_noted_beside_the_mark_and_changes_nothing_else() {
        let mark = Mark::Restoring {
            database: "shop".into(),
            host: "here".into(),
            pid: 7,
            started_at: at("2026-11-21T08:00:00Z"),
            comment: Some("the shop".into()),
        };
        let paused = Paused {
            console: "127.0.0.1:6432".into(),
            database: "shop".into(),
            names: vec!["store".into()],
        };
        let comment = mark.clone().into_comment_with(Some(paused.clone()));
        assert_eq!(Mark::parse(&comment), Some(mark.clone()));
        assert_eq!(noted_pause(&comment), Some(paused));
        assert_eq!(noted_pause(&mark.to_comment()), None);
        assert_eq!(noted_pause("the shop"), None);
    }

    #[test]
    fn a_database_just_made_is_known_by_a_limit_that_follows_from_its_name() {
        let limit = birth_limit("shop_pgkeep_1a2b");
        assert!(limit >= 1 << 30);
        assert_eq!(
            mark_of("shop_pgkeep_1a2b", None, Some(limit)),
            Some(Mark::Begun)
        );
        for (name, comment, limit) in [
            ("shop_pgkeep_1a2c", None, limit),
            ("shop_pgkeep_1a2b", None, limit - 1),
            ("shop_pgkeep_1a2b", None, -1),
            ("shop_pgkeep_1a2b", Some("the shop"), limit),
        ] {
            assert_eq!(
                mark_of(name, comment, Some(limit)),
                None,
                "{name} {comment:?} {limit}"
            );
        }
    }
}
