//! A dump among other sessions: exactly the frozen moment, and in nobody's way for more than a moment.

mod dump_support;

use dump_support::{
    Dump, Said, at, dump_to_nothing, pg_restore, sessions, split_small, tools, wait_until,
};
use pgkeep_model::{CancelToken, Silent};
use pgkeep_postgres::{
    Error,
    dump::{self, DirectorySink, DumpOptions, DumpSink, NullSink, SegmentDone, SegmentWriter},
    wire::Connection,
};
use pgkeep_testkit::TestPostgres;
use std::{
    io::{self, Write},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

const MAJOR: u32 = 15;

fn server_with_tables(rows: u32) -> TestPostgres {
    let server = TestPostgres::start(MAJOR);
    server.create_database("db");
    server.psql(
        "db",
        &format!(
            "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 8) AS x FROM generate_series(1, {rows}) n; \
             CREATE TABLE middle AS SELECT n FROM generate_series(1, 500) n; \
             CREATE TABLE small AS SELECT n FROM generate_series(1, 10) n"
        ),
    );
    server
}

fn rows_of(dump: &Dump, table: &str) -> u64 {
    let tables = &dump.dumped.manifest.evidence.tables;
    let found = tables.iter().find(|t| t.name.name == table);
    found
        .unwrap_or_else(|| panic!("no table {table}"))
        .content
        .rows
}

/// Passes on to nothing, after running `act` before each write, with the number of the write.
struct Acting<F> {
    act: F,
    writes: AtomicU32,
}

impl<F: Fn(u32) -> io::Result<()> + Sync> Acting<F> {
    fn new(act: F) -> Self {
        Self {
            act,
            writes: AtomicU32::new(0),
        }
    }
}

impl<F: Fn(u32) -> io::Result<()> + Sync> DumpSink for Acting<F> {
    fn segment(&self) -> io::Result<Box<dyn SegmentWriter>> {
        (self.act)(self.writes.fetch_add(1, Ordering::SeqCst))?;
        NullSink.segment()
    }
}

fn dump_into(
    server: &TestPostgres,
    sink: &dyn DumpSink,
    options: &DumpOptions,
    cancel: &CancelToken,
) -> Result<dump::DumpedDatabase, Error> {
    let frozen = dump::freeze(&at(server, "db"), options, cancel, &Silent)?;
    dump::dump_database(&frozen, &tools(MAJOR), sink, options, cancel, &Silent)
}

#[test]
fn what_is_frozen_can_be_written_to_but_not_truncated_altered_or_dropped() {
    let server = server_with_tables(2000);
    let (cancel, options) = (CancelToken::new(), split_small());
    let frozen = dump::freeze(&at(&server, "db"), &options, &cancel, &Silent).expect("frozen");
    for statement in [
        "TRUNCATE small",
        "ALTER TABLE big ADD COLUMN y int",
        "DROP TABLE middle",
    ] {
        let refused = server.try_psql("db", &format!("SET lock_timeout = '100ms'; {statement}"));
        assert!(
            refused.is_err_and(|e| e.contains("lock timeout")),
            "{statement}"
        );
    }
    server.psql(
        "db",
        "DELETE FROM small; UPDATE big SET x = 'new'; INSERT INTO middle VALUES (0)",
    );
    server.psql("db", "CREATE TABLE later AS SELECT 1 AS n");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let sink = DirectorySink::create(folder.path().join("d")).expect("a folder");
    let dumped = dump::dump_database(&frozen, &tools(MAJOR), &sink, &options, &cancel, &Silent)
        .expect("dumped");
    sink.assemble(&dumped).expect("assembled");
    drop(frozen);
    pg_restore(&server, "copy", sink.folder(), 1);
    assert_eq!(
        server.psql("copy", "SELECT (SELECT count(*) FROM small), (SELECT count(*) FROM big WHERE x <> 'new'), (SELECT count(*) FROM middle), to_regclass('later')"),
        "10|2000|500|"
    );
    server.psql("db", "SET lock_timeout = '60s'; TRUNCATE small");
}

#[test]
fn money_in_a_running_pgbench_always_adds_up() {
    let server = TestPostgres::start(MAJOR);
    server.create_database("bank");
    let pgbench = |args: &[&str]| {
        let mut command = server.client("pgbench");
        command.args(args).arg(server.dsn_for("bank"));
        command
    };
    let made = pgbench(&["-i", "-q", "-s", "2"])
        .output()
        .expect("pgbench runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let mut load = pgbench(&["-n", "-c", "3", "-T", "3600"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("pgbench runs");
    wait_until("the bank is busy", || {
        server.psql("bank", "SELECT count(*) > 50 FROM pgbench_history") == "t"
    });
    let dumps: Vec<Dump> = (0..3)
        .map(|_| Dump::of(&server, "bank", &split_small()))
        .collect();
    load.kill().expect("pgbench was running");
    load.wait().expect("pgbench ends");
    for (number, dump) in dumps.iter().enumerate() {
        let copy = format!("copy_{number}");
        pg_restore(&server, &copy, &dump.path(), 2);
        let sums = server.psql(
            &copy,
            "SELECT count(DISTINCT s) FROM (SELECT sum(abalance) AS s FROM pgbench_accounts UNION ALL \
             SELECT sum(tbalance) FROM pgbench_tellers UNION ALL SELECT sum(bbalance) FROM pgbench_branches UNION ALL \
             SELECT sum(delta) FROM pgbench_history) x",
        );
        assert_eq!(sums, "1", "dump {number} mixes two moments");
    }
}

#[test]
fn a_table_locked_by_others_is_waited_for_by_name_without_holding_the_rest() {
    let server = server_with_tables(100);
    let mut holder = Connection::open(&at(&server, "db")).expect("connected");
    holder.execute("BEGIN; LOCK TABLE small").expect("locked");
    let said = Said::default();
    thread::scope(|scope| {
        let dump = scope.spawn(|| Dump::by(&server, "db", &split_small(), &said));
        wait_until("the dump says whom it waits for", || {
            !said.warnings().is_empty()
        });
        let warning = said.warnings().remove(0);
        assert!(
            warning.contains("public.small is locked exclusively by process"),
            "{warning}"
        );
        assert!(warning.contains("LOCK TABLE small"), "{warning}");
        // The other tables are free again and again while the dump waits.
        server.psql("db", "SET lock_timeout = '60s'; TRUNCATE middle");
        holder
            .execute("INSERT INTO small VALUES (11); COMMIT")
            .expect("committed");
        let dump = dump.join().expect("no panic").expect("dumped");
        assert_eq!((rows_of(&dump, "small"), rows_of(&dump, "middle")), (11, 0));
    });
}

#[test]
fn waiting_for_a_lock_ends_with_an_error_that_names_the_holder() {
    let server = server_with_tables(100);
    let mut holder = Connection::open(&at(&server, "db")).expect("connected");
    holder.execute("BEGIN; LOCK TABLE small").expect("locked");
    let options = DumpOptions {
        lock_timeout: Duration::from_secs(1),
        ..split_small()
    };
    let error = Dump::by(&server, "db", &options, &Silent)
        .err()
        .expect("no dump");
    assert!(
        error
            .to_string()
            .contains("public.small is locked exclusively"),
        "{error}"
    );
    assert!(
        error
            .hint()
            .is_some_and(|h| h.contains("pg_terminate_backend") && h.contains("--lock-timeout"))
    );
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    wait_until("the dump's session is gone", || sessions(&server) == 1);
    drop(holder);
}

#[test]
fn a_change_that_comes_before_the_reading_passes_first() {
    let server = server_with_tables(100);
    let (cancel, options, said) = (CancelToken::new(), split_small(), Said::default());
    let frozen = dump::freeze(&at(&server, "db"), &options, &cancel, &said).expect("frozen");
    thread::scope(|scope| {
        let alter =
            scope.spawn(|| server.psql("db", "ALTER TABLE small ADD COLUMN added int DEFAULT 7"));
        wait_until("the change waits", || waiting(&server));
        let dumped =
            dump::dump_database(&frozen, &tools(MAJOR), &NullSink, &options, &cancel, &said);
        let dumped = dumped.expect("dumped");
        alter.join().expect("altered");
        let small = dumped
            .manifest
            .evidence
            .tables
            .iter()
            .find(|t| t.name.name == "small");
        assert_eq!(small.expect("there").columns, "n, added");
        assert!(
            said.warnings()
                .iter()
                .any(|w| w.contains("wants a table exclusively")),
            "{:?}",
            said.warnings()
        );
    });
}

fn waiting(server: &TestPostgres) -> bool {
    server.psql("db", "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER%'") != "0"
}

#[test]
fn a_change_that_comes_during_the_reading_costs_neither_the_dump_nor_itself() {
    let server = server_with_tables(3000);
    let said = Said::default();
    let cancel = CancelToken::new();
    let options = DumpOptions {
        jobs: 2,
        ..split_small()
    };
    let exporter = thread::current().id();
    thread::scope(|scope| {
        let alter = Mutex::new(None);
        let sink = Acting::new(|number| {
            if number == 0 {
                let change =
                    scope.spawn(|| server.psql("db", "ALTER TABLE small ADD COLUMN added int"));
                *alter.lock().expect("no panic") = Some(change);
            }
            // No connection may get as far as the wanted table before the change does.
            if number < 2 {
                wait_until("the change waits", || waiting(&server));
            }
            // The exporting session lets the other one come to the wanted table.
            if thread::current().id() == exporter && number < 1000 {
                wait_until("a helper hands the table back", || {
                    said.warnings()
                        .iter()
                        .any(|w| w.contains("another session waits to lock table public.small"))
                });
            }
            Ok(())
        });
        let frozen = dump::freeze(&at(&server, "db"), &options, &cancel, &said).expect("frozen");
        let dumped = dump::dump_database(&frozen, &tools(MAJOR), &sink, &options, &cancel, &said)
            .expect("dumped");
        let rows = dumped.manifest.evidence.rows();
        assert_eq!(rows, 3510);
        drop(frozen);
        let change = alter.lock().expect("no panic").take();
        change.expect("begun").join().expect("altered");
    });
}

#[test]
fn cancelling_stops_everything_at_once() {
    let server = server_with_tables(60_000);
    let cancel = CancelToken::new();
    let sink = Acting::new(|number| {
        if number == 2 {
            cancel.cancel();
        }
        Ok(())
    });
    let error = dump_into(&server, &sink, &split_small(), &cancel).expect_err("cancelled");
    assert!(error.is_cancelled(), "{error}");
    let begun = sink.writes.load(Ordering::SeqCst);
    assert!(begun < 100, "{begun} segments were begun, of a thousand");
    wait_until("no session is left", || sessions(&server) == 0);
}

#[test]
fn a_lost_connection_fails_the_dump_and_leaves_nothing_behind() {
    let server = server_with_tables(60_000);
    let sink = Acting::new(|number| {
        if number == 2 {
            server.psql(
                "postgres",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgkeep%'",
            );
        }
        Ok(())
    });
    let error = dump_into(&server, &sink, &split_small(), &CancelToken::new()).expect_err("failed");
    assert!(!error.is_cancelled(), "{error}");
    wait_until("no session is left", || sessions(&server) == 0);
}

/// A sink whose disk is full from the third write on.
struct Full(AtomicU32);

impl DumpSink for Full {
    fn segment(&self) -> io::Result<Box<dyn SegmentWriter>> {
        Ok(Box::new(FullSegment(self.0.fetch_add(1, Ordering::SeqCst))))
    }
}

struct FullSegment(u32);

impl Write for FullSegment {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0 {
            0..2 => Ok(bytes.len()),
            _ => Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentWriter for FullSegment {
    fn finish(self: Box<Self>) -> io::Result<SegmentDone> {
        Ok(SegmentDone {
            bytes: 0,
            chunks: 0,
            token: 0,
        })
    }
}

#[test]
fn a_failing_sink_fails_the_dump_with_its_own_reason() {
    let server = server_with_tables(60_000);
    let sink = Full(AtomicU32::new(0));
    let error = dump_into(&server, &sink, &split_small(), &CancelToken::new()).expect_err("failed");
    let source = match &error {
        Error::Local { source, .. } => source.kind(),
        other => panic!("{other}"),
    };
    assert_eq!(source, io::ErrorKind::StorageFull, "{error}");
    assert!(
        error.to_string().contains("reading table public."),
        "{error}"
    );
    wait_until("no session is left", || sessions(&server) == 0);
}

#[test]
fn tables_that_come_and_go_do_not_disturb() {
    let server = server_with_tables(2000);
    let stop = CancelToken::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.is_cancelled() {
                server.psql(
                    "db",
                    "CREATE TABLE fleeting AS SELECT 1 AS n; DROP TABLE fleeting",
                );
            }
        });
        for _ in 0..5 {
            let dumped = dump_to_nothing(
                &at(&server, "db"),
                &tools(MAJOR),
                &split_small(),
                &CancelToken::new(),
                &Silent,
            );
            let rows = dumped.map(|d| d.manifest.evidence.rows());
            assert!(matches!(rows, Ok(2510 | 2511)), "{rows:?}");
        }
        stop.cancel();
    });
}
