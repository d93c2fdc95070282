//! COPY in both directions: content, sizes, errors in the middle, cancelling, connections cut.

use pgkeep_model::CancelToken;
use pgkeep_postgres::{
    Error,
    connect::{ConnectOptions, Environment},
    wire::{Connection, TransactionStatus},
};
use pgkeep_testkit::TestPostgres;
use std::io::{self, Read};

fn options(url: &str) -> ConnectOptions {
    ConnectOptions::resolve(Some(url), &Environment::default()).expect("options resolve")
}

fn connect(server: &TestPostgres) -> Connection {
    Connection::open(&options(&server.dsn())).expect("the server lets us in")
}

/// All data of a COPY, and the rows as the batches mark them.
fn copy_all(connection: &mut Connection, sql: &str) -> (Vec<u8>, Vec<Vec<u8>>, u64) {
    let (mut data, mut rows, mut begun) = (Vec::new(), Vec::new(), Vec::new());
    let summary = connection
        .copy_out_batches(sql, |batch| {
            let mut start = 0;
            for &end in batch.ends {
                begun.extend_from_slice(&batch.data[start..end]);
                rows.push(std::mem::take(&mut begun));
                start = end;
            }
            begun.extend_from_slice(&batch.data[start..]);
            data.extend_from_slice(batch.data);
            Ok(())
        })
        .expect("COPY runs");
    assert!(begun.is_empty(), "the last row has no end");
    assert_eq!(summary.bytes, data.len() as u64);
    (data, rows, summary.rows)
}

#[test]
fn rows_of_every_size_come_out_whole_and_in_order() {
    let server = TestPostgres::start(15);
    for target in [server.dsn(), server.url()] {
        let mut connection = Connection::open(&options(&target)).expect("connects");
        // Widths around the batch, the buffer and beyond.
        let sql = "COPY (SELECT i, repeat(chr(97 + i % 26), w) FROM (SELECT i, (ARRAY[0, 1, 90, 8191, 131067, 131072, \
                   524000, 524283, 524288, 3000000])[1 + i % 10] AS w FROM generate_series(1, 60) i) s) TO STDOUT";
        let (data, rows, count) = copy_all(&mut connection, sql);
        assert_eq!(count, 60);
        assert_eq!(rows.len(), 60);
        assert_eq!(rows.concat(), data);
        let widths = [
            0, 1, 90, 8191, 131_067, 131_072, 524_000, 524_283, 524_288, 3_000_000,
        ];
        for (index, row) in rows.iter().enumerate() {
            let i = index + 1;
            let letter = char::from(b'a' + (i % 26) as u8).to_string();
            let expected = format!("{i}\t{}\n", letter.repeat(widths[i % 10]));
            assert!(row == expected.as_bytes(), "row {i} differs");
        }
        let mut by_row = 0;
        let summary = connection
            .copy_out(sql, |row| {
                assert_eq!(row.last(), Some(&b'\n'));
                assert_eq!(row.iter().filter(|b| **b == b'\n').count(), 1);
                by_row += 1;
                Ok(())
            })
            .expect("COPY runs");
        assert_eq!((by_row, summary.bytes), (60, data.len() as u64));
        assert_eq!(
            connection
                .query_value("SELECT 1")
                .expect("usable")
                .as_deref(),
            Some("1")
        );
    }
}

#[test]
fn many_small_rows_are_batched() {
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    let (mut batches, mut rows) = (0, 0);
    let summary = connection
        .copy_out_batches(
            "COPY (SELECT i FROM generate_series(1, 300000) i) TO STDOUT",
            |batch| {
                batches += 1;
                rows += batch.ends.len() as u64;
                Ok(())
            },
        )
        .expect("COPY runs");
    assert_eq!((rows, summary.rows), (300_000, 300_000));
    assert!(batches < 100, "{batches} batches");
    let (data, rows, count) = copy_all(&mut connection, "COPY (SELECT WHERE false) TO STDOUT");
    assert_eq!((data.len(), rows.len(), count), (0, 0, 0));
    let (data, rows, _) = copy_all(
        &mut connection,
        "COPY (SELECT FROM generate_series(1, 3)) TO STDOUT",
    );
    assert_eq!((data.as_slice(), rows.len()), (&b"\n\n\n"[..], 3));
}

#[test]
fn notices_between_rows_do_not_disturb_the_data() {
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    connection
        .execute(
            "CREATE FUNCTION loud(i int) RETURNS text LANGUAGE plpgsql AS \
             $$ BEGIN RAISE NOTICE 'row %', i; RETURN repeat('x', i); END $$",
        )
        .expect("a function");
    let heard = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let ears = heard.clone();
    connection.on_notice(move |_| {
        ears.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let (data, rows, _) = copy_all(
        &mut connection,
        "COPY (SELECT loud(i) FROM generate_series(1, 2000) i) TO STDOUT",
    );
    assert_eq!(
        (rows.len(), data.len()),
        (2000, (1..=2000).sum::<usize>() + 2000)
    );
    assert_eq!(heard.load(std::sync::atomic::Ordering::Relaxed), 2000);
}

#[test]
fn an_error_in_the_middle_of_the_data_is_the_servers_own() {
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    let mut rows = 0;
    let error = connection
        .copy_out(
            "COPY (SELECT 1 / (50000 - i) FROM generate_series(1, 100000) i) TO STDOUT",
            |_| {
                rows += 1;
                Ok(())
            },
        )
        .expect_err("division by zero");
    assert_eq!(error.sqlstate(), Some("22012"), "{error}");
    assert!(rows > 0);
    assert_eq!(
        connection
            .query_value("SELECT 1")
            .expect("usable")
            .as_deref(),
        Some("1")
    );
    let error = connection
        .copy_out("COPY gone TO STDOUT", |_| Ok(()))
        .expect_err("no such table");
    assert_eq!(error.sqlstate(), Some("42P01"));
    connection
        .copy_out("SELECT 1", |_| Ok(()))
        .expect_err("no COPY at all");
}

#[test]
fn a_sink_that_fails_ends_the_copy_with_its_own_error() {
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    let error = connection
        .copy_out_batches(
            "COPY (SELECT generate_series(1, 1000000000)) TO STDOUT",
            |_| {
                Err(io::Error::new(
                    io::ErrorKind::StorageFull,
                    "the disk is full",
                ))
            },
        )
        .expect_err("the sink fails");
    assert!(
        matches!(&error, Error::Local { source, .. } if source.kind() == io::ErrorKind::StorageFull),
        "{error:?}"
    );
    wait_until(
        &server,
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgkeep'",
    );
}

#[test]
fn cancelling_in_the_middle_ends_both_directions() {
    let server = TestPostgres::start(15);
    for target in [server.dsn(), server.url()] {
        let token = CancelToken::new();
        let mut connection = Connection::open_with(&options(&target), &token).expect("connects");
        let mut seen = 0_u64;
        let error = connection
            .copy_out_batches(
                "COPY (SELECT generate_series(1, 1000000000)) TO STDOUT",
                |batch| {
                    seen += batch.ends.len() as u64;
                    if seen > 100_000 {
                        token.cancel();
                    }
                    Ok(())
                },
            )
            .expect_err("cancelled");
        assert!(error.is_cancelled(), "{error:?}");

        let token = CancelToken::new();
        let mut connection = Connection::open_with(&options(&target), &token).expect("connects");
        connection
            .execute("CREATE TEMP TABLE t (a text)")
            .expect("a table");
        let mut endless = Endless {
            given: 0,
            at_limit: &|| token.cancel(),
        };
        let error = connection
            .copy_in("COPY t FROM STDIN", &mut endless)
            .expect_err("cancelled");
        assert!(error.is_cancelled(), "{error:?}");
    }
    wait_until(
        &server,
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgkeep'",
    );
}

/// Rows without end; calls `at_limit` after every eight megabytes.
struct Endless<'a> {
    given: usize,
    at_limit: &'a dyn Fn(),
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for (i, byte) in buffer.iter_mut().enumerate() {
            *byte = if (self.given + i) % 64 == 63 {
                b'\n'
            } else {
                b'x'
            };
        }
        let before = self.given >> 23;
        self.given += buffer.len();
        if self.given >> 23 > before {
            (self.at_limit)();
        }
        Ok(buffer.len())
    }
}

#[test]
fn a_connection_cut_in_the_middle_is_an_error_in_both_directions() {
    let server = TestPostgres::start(15);
    for target in [server.dsn(), server.url()] {
        let mut connection = Connection::open(&options(&target)).expect("connects");
        let kill = format!(
            "SELECT pg_terminate_backend({}, 5000)",
            connection.backend_pid()
        );
        let mut killed = false;
        let error = connection
            .copy_out_batches(
                "COPY (SELECT generate_series(1, 1000000000)) TO STDOUT",
                |_| {
                    if !killed {
                        // The server cannot end a session that waits for us, so it is asked and not waited for.
                        server.psql("postgres", &kill.replace(", 5000", ""));
                        killed = true;
                    }
                    Ok(())
                },
            )
            .expect_err("the session is ended");
        let ended =
            error.sqlstate() == Some("57P01") || matches!(error, Error::ConnectionLost { .. });
        assert!(ended, "{error:?}");

        let mut connection = Connection::open(&options(&target)).expect("connects");
        let kill = format!("SELECT pg_terminate_backend({})", connection.backend_pid());
        connection
            .execute("CREATE TEMP TABLE t (a text)")
            .expect("a table");
        let mut endless = Endless {
            given: 0,
            at_limit: &|| drop(server.try_psql("postgres", &kill)),
        };
        let error = connection
            .copy_in("COPY t FROM STDIN", &mut endless)
            .expect_err("the session is ended");
        let ended =
            error.sqlstate() == Some("57P01") || matches!(error, Error::ConnectionLost { .. });
        assert!(ended, "{error:?}");
    }
}

#[test]
fn data_goes_in_as_it_came_out() {
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    let (data, ..) = copy_all(
        &mut connection,
        "COPY (SELECT i, repeat('é', i % 500), NULL FROM generate_series(1, 50000) i) TO STDOUT",
    );
    connection
        .execute("CREATE TABLE t (a int, b text, c date)")
        .expect("a table");
    let summary = connection
        .copy_in("COPY t FROM STDIN", &mut data.as_slice())
        .expect("COPY runs");
    assert_eq!((summary.rows, summary.bytes), (50_000, data.len() as u64));
    let (again, ..) = copy_all(
        &mut connection,
        "COPY (SELECT * FROM t ORDER BY a) TO STDOUT",
    );
    assert!(again == data);
    let empty = connection
        .copy_in("COPY t FROM STDIN", &mut io::empty())
        .expect("COPY runs");
    assert_eq!((empty.rows, empty.bytes), (0, 0));
}

#[test]
fn the_servers_error_stops_the_transfer_early() {
    let server = TestPostgres::start(15);
    for target in [server.dsn(), server.url()] {
        let mut connection = Connection::open(&options(&target)).expect("connects");
        connection
            .execute("CREATE TEMP TABLE t (a int)")
            .expect("a table");
        let mut endless = Endless {
            given: 0,
            at_limit: &|| (),
        };
        let error = connection
            .copy_in("COPY t FROM STDIN", &mut endless)
            .expect_err("x is no number");
        assert_eq!(error.sqlstate(), Some("22P02"), "{error}");
        let said = error.server().expect("the server said so");
        assert!(
            said.where_
                .as_deref()
                .is_some_and(|w| w.contains("COPY t, line 1")),
            "{said:?}"
        );
        assert!(
            endless.given < 64 << 20,
            "{} bytes were sent after the error",
            endless.given
        );
        assert_eq!(
            connection
                .query_value("SELECT 1")
                .expect("usable")
                .as_deref(),
            Some("1")
        );
    }
}

#[test]
fn a_source_that_fails_rolls_the_copy_back() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 > 3 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "damaged\0pack"));
            }
            buffer.fill(b'1');
            if let Some(last) = buffer.last_mut() {
                *last = b'\n';
            }
            Ok(buffer.len())
        }
    }
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    connection
        .execute("CREATE TABLE t (a text)")
        .expect("a table");
    let error = connection
        .copy_in("COPY t FROM STDIN", &mut Failing(0))
        .expect_err("the source fails");
    assert!(
        matches!(&error, Error::Local { source, .. } if source.to_string().contains("damaged")),
        "{error:?}"
    );
    assert_eq!(connection.transaction_status(), TransactionStatus::Idle);
    assert_eq!(
        connection
            .query_value("SELECT count(*) FROM t")
            .expect("usable")
            .as_deref(),
        Some("0")
    );
    connection
        .query("COPY t FROM STDIN")
        .expect_err("no data is at hand");
    assert_eq!(
        connection
            .query_value("SELECT 1")
            .expect("usable")
            .as_deref(),
        Some("1")
    );
}

#[test]
fn a_flood_of_notices_while_data_goes_in_does_not_block_either_side() {
    let server = TestPostgres::start(15);
    for target in [server.dsn(), server.url()] {
        let mut connection = Connection::open(&options(&target)).expect("connects");
        connection
            .execute(
                "CREATE OR REPLACE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE NOTICE '%', repeat('n', 500); RETURN NEW; END $$; \
                 CREATE TEMP TABLE t (a int); \
                 CREATE TRIGGER shout BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION shout()",
            )
            .expect("a table");
        let data = "1\n".repeat(100_000);
        let summary = connection
            .copy_in("COPY t FROM STDIN", &mut data.as_bytes())
            .expect("COPY runs");
        assert_eq!(summary.rows, 100_000);
    }
}

/// Asks until the answer is true.
fn wait_until(server: &TestPostgres, condition: &str) {
    let begun = std::time::Instant::now();
    while server.psql("postgres", condition) != "t" {
        assert!(begun.elapsed().as_secs() < 60, "never true: {condition}");
    }
}
