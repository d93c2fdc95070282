//! Copies that drills left behind because their process was killed.
//!
//! One is dropped when all of it holds: it carries the mark of an unfinished restore that was meant for a database of its
//! own name, which is what a drill writes; its name is a drill's; nobody is connected to it; and its process is gone. On
//! another machine the process cannot be seen, so there a day must have passed. One that was killed before it could say so
//! bears the mark of its birth only ([`Mark::Begun`]); a live drill says more within a moment, so an hour is enough.

use super::MARK;
use crate::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use pgkeep_postgres::{
    connect::ConnectOptions,
    restore::{self as pg, Mark, MarkedDatabase},
    wire::Connection,
};
use std::path::Path;

/// No drill on another machine is at work for so long without a session.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// No drill on any machine takes so long to put its mark in the place of the first one.
const BIRTH: SignedDuration = SignedDuration::from_hours(1);

/// Drops the copies on the server that nobody will come back for; returns their names.
pub(super) fn remove(admin: &ConnectOptions, context: &Context) -> Result<Vec<String>> {
    let mut connection = Connection::open_with(admin, &context.cancel)?;
    let now = context.clock.now();
    let mut dropped = Vec::new();
    for database in pg::list_marked(&mut connection)? {
        if is_abandoned(&database, &context.hostname, now, is_alive)
            && pg::drop_marked(&mut connection, &database)?
        {
            dropped.push(database.name);
        }
    }
    Ok(dropped)
}

fn is_abandoned(
    database: &MarkedDatabase,
    here: &str,
    now: Timestamp,
    is_alive: impl Fn(u32) -> bool,
) -> bool {
    if database.mark == Mark::Begun {
        let born = begun_at(&database.name);
        let long_ago = born.is_some_and(|born| now.duration_since(born) > BIRTH);
        return long_ago && database.sessions == 0;
    }
    let Mark::Restoring {
        database: meant_for,
        host,
        pid,
        started_at,
        ..
    } = &database.mark
    else {
        return false;
    };
    let a_drill = *meant_for == database.name && database.name.contains(MARK);
    let gone = match host == here {
        true => !is_alive(*pid),
        false => now.duration_since(*started_at) > LONGEST,
    };
    a_drill && database.sessions == 0 && gone
}

/// The time in the name of a drill's copy.
fn begun_at(name: &str) -> Option<Timestamp> {
    let (_, stamp) = name.rsplit_once(MARK)?;
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Where processes cannot be looked at, all are taken to be alive.
fn is_alive(pid: u32) -> bool {
    !Path::new("/proc/self").exists() || Path::new(&format!("/proc/{pid}")).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_drill_s_copy_whose_process_is_gone_is_abandoned() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        let copy =
            |name: &str, meant_for: &str, host: &str, started_at: &str, sessions| MarkedDatabase {
                name: name.into(),
                mark: Mark::Restoring {
                    database: meant_for.into(),
                    host: host.into(),
                    pid: 7,
                    started_at: started_at.parse().expect("a time"),
                    comment: None,
                },
                size_bytes: 0,
                sessions,
                paused: None,
            };
        let (drill, soon, long_ago) = (
            "shop_drill_20261121T110000Z",
            "2026-11-21T11:00:00Z",
            "2026-11-20T11:00:00Z",
        );
        let dead = |_| false;
        let check =
            |copy: &MarkedDatabase, alive: fn(u32) -> bool| is_abandoned(copy, "db1", now, alive);
        assert!(check(&copy(drill, drill, "db1", soon, 0), dead));
        assert!(
            !check(&copy(drill, drill, "db1", soon, 0), |_| true),
            "its process lives"
        );
        assert!(
            !check(&copy(drill, drill, "db1", soon, 1), dead),
            "somebody is connected"
        );
        assert!(
            !check(&copy(drill, "shop", "db1", soon, 0), dead),
            "a restore that replaces"
        );
        assert!(
            !check(&copy("shop", "shop", "db1", soon, 0), dead),
            "no drill's name"
        );
        assert!(
            !check(&copy(drill, drill, "db2", soon, 0), dead),
            "elsewhere, and not long ago"
        );
        assert!(check(&copy(drill, drill, "db2", long_ago, 0), |_| true));

        // Killed before it could say whose it is.
        let begun = |name: &str, sessions| MarkedDatabase {
            mark: Mark::Begun,
            ..copy(name, name, "db1", soon, sessions)
        };
        let just_now = "shop_drill_20261121T113000Z";
        let earlier = "shop_drill_20261121T103000Z";
        assert!(check(&begun(earlier, 0), dead));
        assert!(!check(&begun(earlier, 1), dead), "somebody is connected");
        assert!(!check(&begun(just_now, 0), dead), "it may be at work");
        assert!(!check(&begun("shop_pgkeep_1", 0), dead), "no drill's name");
        assert!(
            !check(&begun("my_drill_results", 0), dead),
            "no drill's name"
        );
    }
}
