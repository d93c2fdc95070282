//! Whether anything was written since a policy's newest backup: proven by the server's own counters, never guessed.
//!
//! A [`Mark`] is read before a backup begins and kept with the backup's id. The next run reads another one: only when
//! every part is equal is the run skipped. What a database's part is made of, and when nothing can be proven, stands with
//! [`pgkeep_postgres::unchanged`]; that something else is to be backed up (other databases, schemas or kinds) is no less a
//! change.

use pgkeep_model::app::AppDefinition;
use pgkeep_model::job::BackupSpec;
use pgkeep_model::manifest::WriteMark;
use pgkeep_postgres::connect::ConnectOptions;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All that shows whether something was written, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What is backed up, and how.
    content: Vec<String>,
    databases: BTreeMap<String, WriteMark>,
}

/// A mark with the backup that was made after it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    pub backup: String,
    pub mark: Mark,
}

/// The setting that holds the [`Noted`] of a policy's newest backup in a repository.
pub fn key(policy: &str, repository: &str) -> String {
    format!("unchanged.{policy}.{repository}")
}

/// Reads the mark of what a backup would hold. The error says why it cannot be known whether something was written.
pub fn read(
    databases: &[ConnectOptions],
    app: &AppDefinition,
    spec: &BackupSpec,
) -> Result<Mark, String> {
    let mut marks = BTreeMap::new();
    for options in databases {
        let mark = pgkeep_postgres::unchanged::read(options)
            .map_err(|why| format!("{}: {why}", options.dbname))?;
        if marks.insert(options.describe(), mark).is_some() {
            return Err(format!("{} is named twice", options.dbname));
        }
    }
    let mut content = vec![
        format!("kind {}", spec.backup_kind.as_str()),
        format!(
            "environment {}",
            app.environment.as_deref().unwrap_or_default()
        ),
    ];
    content.extend(app.schemas.iter().map(|s| format!("schema {s}")));
    let excluded = app.exclude_table_data.iter();
    content.extend(excluded.map(|t| format!("without rows of {t}")));
    content.extend(spec.tags.iter().map(|t| format!("tag {t}")));
    Ok(Mark {
        content,
        databases: marks,
    })
}

/// Says what differs between two marks; nothing where nothing was written.
pub fn difference(before: &Mark, now: &Mark) -> Option<String> {
    if before.content != now.content {
        return Some("something else is to be backed up".to_owned());
    }
    if !before.databases.keys().eq(now.databases.keys()) || now.databases.is_empty() {
        return Some("other databases are to be backed up".to_owned());
    }
    let pairs = before.databases.values().zip(now.databases.values());
    for ((name, _), (old, new)) in now.databases.iter().zip(pairs) {
        let Some(what) = old.difference(new) else {
            continue;
        };
        return Some(format!("{name}: {what}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::tests::machine;
    use pgkeep_postgres::wire::Connection;
    use pgkeep_testkit::TestPostgres;

    /// A server that writes nothing by itself.
    fn quiet() -> TestPostgres {
        TestPostgres::builder(17)
            .setting("autovacuum", "off")
            .setting("wal_level", "minimal")
            .setting("max_wal_senders", "0")
            .setting("checkpoint_timeout", "1d")
            .start()
    }

    struct Scene {
        postgres: TestPostgres,
        app: AppDefinition,
        spec: BackupSpec,
    }

    impl Scene {
        fn new() -> Self {
            let postgres = quiet();
            let app = AppDefinition {
                databases: vec![postgres.url().into()],
                ..AppDefinition::default()
            };
            Self {
                postgres,
                app,
                spec: BackupSpec::default(),
            }
        }

        fn run(&self, sql: &str) {
            let mut connection = Connection::open(&self.options()[0]).expect("connects");
            connection.query_all(sql).expect(sql);
            connection.terminate();
        }

        fn options(&self) -> Vec<ConnectOptions> {
            let machine = machine();
            machine.databases("shop", &self.app).expect("valid")
        }

        fn mark(&self) -> Result<Mark, String> {
            read(&self.options(), &self.app, &self.spec)
        }

        /// A mark that the next one equals: pages that reading marks, and the counters of sessions that ended, settle.
        fn settled(&self) -> Mark {
            let mut before = self.mark().expect("known");
            for _ in 0..10_000 {
                let now = self.mark().expect("known");
                if difference(&before, &now).is_none() {
                    return now;
                }
                before = now;
            }
            panic!("something is always written");
        }
    }

    #[test]
    fn whatever_is_written_makes_a_difference() {
        let scene = Scene::new();
        scene.run("CREATE TABLE t (id int); CREATE SEQUENCE s; SELECT nextval('s')");
        for sql in [
            "INSERT INTO t VALUES (1)",
            "UPDATE t SET id = 2",
            "DELETE FROM t",
            "TRUNCATE t",
            "ALTER TABLE t ADD COLUMN name text",
            "COMMENT ON TABLE t IS 'x'",
            "CREATE ROLE somebody",
            "SELECT lo_create(0)",
            // Writes no WAL: the first call has logged 32 values ahead.
            "SELECT nextval('s')",
            "SELECT setval('s', 1000, false)",
            "GRANT SELECT ON t TO somebody",
            // In another database of the same server: one backup too many.
            "CREATE DATABASE other",
        ] {
            let before = scene.settled();
            scene.run(sql);
            let now = scene.mark().expect("known");
            assert!(difference(&before, &now).is_some(), "{sql} was not seen");
        }
        // Reading alone makes none.
        let before = scene.settled();
        scene.run("SELECT count(*) FROM t; SELECT last_value FROM s");
        assert_eq!(difference(&before, &scene.mark().expect("known")), None);
    }

    #[test]
    fn a_sequence_that_moves_without_wal_is_seen() {
        let scene = Scene::new();
        scene.run("CREATE SEQUENCE s; SELECT nextval('s')");
        let before = scene.settled();
        scene.run("SELECT nextval('s')");
        let now = scene.mark().expect("known");
        let why = difference(&before, &now).expect("a difference");
        assert!(why.ends_with("a sequence has moved"), "{why}");
        let wal = |mark: &Mark| mark.databases.values().next().expect("one").wal.clone();
        assert_eq!(wal(&before), wal(&now), "no WAL tells of it");
    }

    #[test]
    fn a_server_that_was_started_anew_makes_a_difference() {
        let mut scene = Scene::new();
        let before = scene.settled();
        scene.postgres.stop();
        scene.postgres.start_again();
        let why = difference(&before, &scene.mark().expect("known")).expect("a difference");
        assert!(why.contains("started anew"), "{why}");
    }

    #[test]
    fn what_could_change_unseen_is_never_called_unchanged() {
        let scene = Scene::new();
        scene.run("CREATE UNLOGGED TABLE u (id int)");
        let why = scene.mark().expect_err("not known");
        assert!(why.contains("unlogged"), "{why}");
        scene.run("DROP TABLE u; CREATE SEQUENCE s; CREATE ROLE plain LOGIN PASSWORD 'plain'");
        assert!(scene.mark().is_ok());
        let mut options = scene.options();
        options[0].user = "plain".to_owned();
        options[0].password = Some("plain".to_owned().into());
        let why = read(&options, &scene.app, &scene.spec).expect_err("not known");
        assert!(why.contains("may not read"), "{why}");
    }

    #[test]
    fn another_content_makes_a_difference() {
        let mut scene = Scene::new();
        let before = scene.settled();
        scene.app.exclude_table_data.push("logs".to_owned());
        let now = scene.mark().expect("known");
        assert_eq!(
            difference(&before, &now).as_deref(),
            Some("something else is to be backed up")
        );
        let text = serde_json::to_value(&now).expect("plain values");
        assert_eq!(serde_json::from_value::<Mark>(text).expect("the same"), now);
    }
}
