//! How busy a database is, and how much is written to it.

use crate::targets::Machine;
use pgkeep_model::app::AppDefinition;
use pgkeep_model::pace::Load;
use pgkeep_postgres::wire::Connection;
use std::fs;

/// Measures; blocks while it does. What cannot be measured is not known, which holds nothing back.
pub trait Gauge: Send + Sync {
    fn load(&self, name: &str, app: &AppDefinition) -> Load;

    /// Bytes of WAL that the app's server has written since its beginning.
    fn wal(&self, name: &str, app: &AppDefinition) -> Option<u64>;
}

/// Asks the app's databases, and the kernel of this machine.
#[derive(Debug, Clone)]
pub struct ServerGauge {
    pub machine: Machine,
}

/// Sessions of other programs that do something now. Where the user may not see what others do, none are counted.
const ACTIVE: &str = "SELECT count(*) FROM pg_catalog.pg_stat_activity \
    WHERE datname = pg_catalog.current_database() AND state = 'active' AND pid <> pg_catalog.pg_backend_pid() \
    AND application_name NOT LIKE 'pgkeep%'";

const WAL: &str = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() \
    THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0') \
    ELSE pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0') END";

impl ServerGauge {
    /// The answers of the app's databases to one question.
    fn ask(&self, name: &str, app: &AppDefinition, question: &str) -> Vec<u64> {
        let databases = self.machine.databases(name, app).unwrap_or_default();
        let answer = |options| {
            let mut connection = Connection::open(options)?;
            let value = connection.query_value(question)?;
            connection.terminate();
            Ok::<_, pgkeep_postgres::Error>(value.and_then(|value| value.parse().ok()))
        };
        databases
            .iter()
            .filter_map(|options| match answer(options) {
                Ok(value) => value,
                Err(e) => {
                    tracing::debug!(app = name, "it cannot be seen how busy it is: {e}");
                    None
                }
            })
            .collect()
    }
}

impl Gauge for ServerGauge {
    fn load(&self, name: &str, app: &AppDefinition) -> Load {
        let active = self.ask(name, app, ACTIVE);
        let sum = active.iter().sum::<u64>();
        Load {
            active_sessions: (!active.is_empty()).then(|| u32::try_from(sum).unwrap_or(u32::MAX)),
            load_percent: fs::read_to_string("/proc/loadavg")
                .ok()
                .and_then(|text| parse_load(&text)),
        }
    }

    fn wal(&self, name: &str, app: &AppDefinition) -> Option<u64> {
        self.ask(name, app, WAL).into_iter().max()
    }
}

/// The first number of `/proc/loadavg`, in hundredths.
fn parse_load(text: &str) -> Option<u32> {
    let (whole, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let whole: u32 = whole.parse().ok()?;
    let hundredths: u32 = hundredths.get(..2)?.parse().ok()?;
    whole.checked_mul(100)?.checked_add(hundredths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::tests::machine;
    use pgkeep_testkit::TestPostgres;

    #[test]
    fn the_load_average_is_read_in_hundredths() {
        for (text, load) in [
            ("0.05 0.10 0.20 1/234 5678\n", Some(5)),
            ("12.34 1.00 1.00 1/1 1", Some(1234)),
            ("", None),
            ("x y z", None),
            ("1", None),
        ] {
            assert_eq!(parse_load(text), load, "{text:?}");
        }
    }

    #[test]
    fn sessions_at_work_are_counted_and_writing_is_seen() {
        let postgres = TestPostgres::start(17);
        let gauge = ServerGauge { machine: machine() };
        let app = AppDefinition {
            databases: vec![postgres.url().into()],
            ..AppDefinition::default()
        };
        let active = |gauge: &ServerGauge| gauge.load("shop", &app).active_sessions;
        assert_eq!(active(&gauge), Some(0));
        let options = gauge.machine.databases("shop", &app).expect("valid");
        let mut holder = Connection::open(&options[0]).expect("connects");
        holder.execute("SELECT pg_advisory_lock(1)").expect("locks");
        // A session that waits for a lock is at work as far as the server says.
        let mut waiting = options[0].clone();
        waiting.application_name = "shop".to_owned();
        let waits = std::thread::spawn(move || {
            let mut connection = Connection::open(&waiting).expect("connects");
            connection
                .execute("SELECT pg_advisory_lock(1)")
                .expect("locks")
        });
        while active(&gauge) != Some(1) {
            std::thread::yield_now();
        }
        holder
            .execute("SELECT pg_advisory_unlock(1)")
            .expect("unlocks");
        waits.join().expect("ended");

        let before = gauge.wal("shop", &app).expect("known");
        holder
            .execute("CREATE TABLE t AS SELECT generate_series(1, 1000)")
            .expect("written");
        assert!(gauge.wal("shop", &app).expect("known") > before);

        let nowhere = AppDefinition {
            databases: vec!["host=/nonexistent dbname=x".into()],
            ..AppDefinition::default()
        };
        assert_eq!(gauge.load("shop", &nowhere).active_sessions, None);
        assert_eq!(gauge.wal("shop", &nowhere), None);
    }
}
