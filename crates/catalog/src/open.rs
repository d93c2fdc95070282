//! Opening a catalog: where it is, which key opens its secrets, and what must be so before anything is done with it.
//!
//! Order of effects for a new catalog: the key file is made and durable before the note of its id is committed, so that no
//! catalog exists whose key was never written.

use crate::db::{self, Db, Tx, params};
use crate::error::{CatalogError, Result};
use crate::pulse::Pulse;
use crate::seal::{Seal, make_key_file, read_key_file};
use crate::{Catalog, Inner, migrate, people, queue};
use pgkeep_model::Clock;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::ContextV7;

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 8;

#[derive(Debug)]
pub struct OpenOptions {
    pub location: Location,
    pub key: KeySource,
    pub clock: Arc<dyn Clock>,
    /// Makes a catalog where there is none; otherwise that is [`CatalogError::Missing`].
    pub create: bool,
    /// Follows the database's clock where the catalog is in PostgreSQL. Off only where a clock is moved by hand.
    pub align_clock: bool,
}

impl OpenOptions {
    /// Creates where there is none, and follows the database's clock.
    pub fn new(location: Location, key: KeySource, clock: Arc<dyn Clock>) -> OpenOptions {
        OpenOptions {
            location,
            key,
            clock,
            create: true,
            align_clock: true,
        }
    }
}

#[derive(Debug, Clone)]
pub enum Location {
    Sqlite(PathBuf),
    /// A connection string; the tables go into the schema `pgkeep`.
    Postgres(SecretString),
}

/// What opens the catalog's secrets.
#[derive(Clone)]
pub enum KeySource {
    /// Made together with a new catalog; it must be there, and be the same, ever after.
    File(PathBuf),
    Key([u8; 32]),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeySource::File(path) => f.debug_tuple("File").field(path).finish(),
            KeySource::Key(_) => f.write_str("Key(..)"),
        }
    }
}

impl Catalog {
    /// Opens a catalog, makes it where that is wanted, and brings its schema up to date.
    pub async fn open(options: OpenOptions) -> Result<Catalog> {
        let (db, location) = match &options.location {
            Location::Sqlite(path) => (
                open_sqlite(path, options.create).await?,
                path.display().to_string(),
            ),
            Location::Postgres(url) => open_postgres(url, options.create).await?,
        };
        let ahead_millis = match &db {
            Db::Postgres(_) if options.align_clock => {
                Some(clock_ahead(&db, &*options.clock).await?.into())
            }
            _ => None,
        };
        let pulse = Arc::new(Pulse::default());
        let now = options.clock.now();
        let mut tx = db.begin(pulse.clone(), now).await?;
        let new = migrate::migrate(&mut tx).await?;
        let seal = agree_on_key(&mut tx, &options.key, new, &location).await?;
        if new {
            people::audit::begin(&mut tx, &seal).await?;
        }
        let instance = instance_id(&mut tx).await?;
        tx.commit().await?;
        Ok(Catalog {
            inner: Arc::new(Inner {
                db,
                seal,
                clock: options.clock,
                ahead_millis,
                instance,
                location,
                ids: Mutex::new(ContextV7::new()),
                claims: queue::ClaimDesk::default(),
                pulse,
            }),
        })
    }
}

async fn open_sqlite(path: &Path, create: bool) -> Result<Db> {
    let failed = |action| {
        move |source| CatalogError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    if create {
        make_private_file(path)?;
    } else if !path.try_exists().map_err(failed("look for"))? {
        return Err(CatalogError::Missing {
            location: path.display().to_string(),
        });
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let pool = |connections, options| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(BUSY_TIMEOUT * 3)
            .test_before_acquire(false)
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(options)
    };
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .acquire_timeout(BUSY_TIMEOUT * 3)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        // SQLite ends a transaction by itself where the disk is full; sqlx goes on counting it, and could begin none again.
        .before_acquire(|connection, _| {
            let left_over = connection.is_in_transaction();
            Box::pin(async move { Ok(!left_over) })
        })
        .connect_lazy_with(options.clone());
    // Two programs that make the same new file at once can meet while it is switched to WAL, where SQLite does not wait.
    let mut left = 100;
    loop {
        match writer.acquire().await {
            Ok(_) => break,
            Err(e) => match CatalogError::from(e) {
                e if e.is_temporary() && left > 0 => {
                    left -= 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                e => return Err(e),
            },
        }
    }
    let readers = pool(READERS, options.pragma("query_only", "ON"));
    Ok(Db::Sqlite { writer, readers })
}

/// SQLite gives its companion files the rights of the main one, so that is made with the right ones first.
fn make_private_file(path: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let failed = |source| CatalogError::Io {
        action: "make",
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(failed)
}

async fn open_postgres(url: &SecretString, create: bool) -> Result<(Db, String)> {
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|_| {
            // The reason could quote the text, and with it a password.
            CatalogError::Invalid("the catalog's connection string cannot be read".to_owned())
        })?
        .application_name("pgkeep catalog")
        .disable_statement_logging();
    let location = db::address(&options);
    // Not by the pool, which tries for as long as it may before it says that nobody is there.
    let first = tokio::time::timeout(BUSY_TIMEOUT, PgConnection::connect_with(&options));
    match first.await {
        Ok(Ok(connection)) => drop(connection.close().await),
        Ok(Err(error)) => return Err(db::unreachable_at(&options, error)),
        Err(_) => {
            return Err(CatalogError::Unreachable(format!(
                "{location}: no answer within {} s",
                BUSY_TIMEOUT.as_secs()
            )));
        }
    }
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(BUSY_TIMEOUT)
        .idle_timeout(Duration::from_secs(60))
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql("SET search_path TO pgkeep; SET lock_timeout TO '10s'")
                    .execute(connection)
                    .await
                    .map(drop)
            })
        })
        .connect_lazy_with(options);
    let db = Db::Postgres(pool);
    let there = db
        .row(
            "SELECT CASE WHEN to_regclass('pgkeep.schema_versions') IS NULL THEN 0 ELSE 1 END::bigint AS there",
            params![],
        )
        .await?
        .map_or(Ok(false), |row| row.bool("there"))?;
    if !there && !create {
        return Err(CatalogError::Missing { location });
    }
    Ok((db, location))
}

/// Milliseconds that the database's clock is ahead of ours, to the middle of the question's way.
pub(crate) async fn clock_ahead(db: &Db, clock: &dyn Clock) -> Result<i64> {
    let asked = clock.now();
    let row = db
        .row(
            "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS millis",
            params![],
        )
        .await?
        .ok_or_else(|| CatalogError::Database("the database does not tell its time".to_owned()))?;
    let theirs = row.time("millis")?;
    let answered = clock.now();
    let middle = asked + answered.duration_since(asked) / 2;
    Ok(theirs.as_millisecond() - middle.as_millisecond())
}

/// The key that fits the catalog. A catalog that was opened before never gets another one.
async fn agree_on_key(tx: &mut Tx, source: &KeySource, new: bool, location: &str) -> Result<Seal> {
    let expected = meta(tx, "key_id").await?;
    let key = match source {
        KeySource::Key(key) => *key,
        KeySource::File(path) => match read_key_file(path)? {
            Some(key) => key,
            None if new && expected.is_none() => make_key_file(path)?,
            None => return Err(CatalogError::KeyMissing { path: path.clone() }),
        },
    };
    let seal = Seal::new(key);
    match expected {
        Some(expected) if expected != seal.id() => Err(CatalogError::WrongKey {
            expected,
            found: seal.id().to_owned(),
        }),
        Some(_) => Ok(seal),
        None if new => {
            put_meta(tx, "key_id", seal.id()).await?;
            Ok(seal)
        }
        None => Err(CatalogError::corrupt(location, "it names no key")),
    }
}

async fn instance_id(tx: &mut Tx) -> Result<String> {
    if let Some(id) = meta(tx, "instance_id").await? {
        return Ok(id);
    }
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).expect("the system gives random bytes");
    let id = hex::encode(random);
    put_meta(tx, "instance_id", &id).await?;
    Ok(id)
}

/// A fact about the catalog itself.
pub(crate) async fn meta(tx: &mut Tx, key: &str) -> Result<Option<String>> {
    tx.row("SELECT value FROM meta WHERE key = $1", params![key])
        .await?
        .map(|row| row.text("value"))
        .transpose()
}

pub(crate) async fn put_meta(tx: &mut Tx, key: &str, value: &str) -> Result<()> {
    tx.run(
        "INSERT INTO meta (key, value) VALUES ($1, $2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        params![key, value],
    )
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{SignedDuration, Timestamp};
    use pgkeep_testkit::{ManualClock, TestPostgres};

    fn options(location: Location) -> OpenOptions {
        let clock = Arc::new(ManualClock::at("2026-03-01T12:00:00Z"));
        OpenOptions::new(location, KeySource::Key([1; 32]), clock)
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts")
            .block_on(future)
    }

    fn in_folder(folder: &Path) -> OpenOptions {
        options(Location::Sqlite(folder.join("catalog.sqlite")))
    }

    #[test]
    fn a_transaction_that_sqlite_ended_itself_stops_none_after_it() {
        block_on(async {
            let dir = tempfile::tempdir().expect("a folder");
            let catalog = Catalog::open(in_folder(dir.path())).await.expect("opens");
            let mut tx = catalog.begin().await.expect("begins");
            // As it does by itself where the disk is full.
            tx.script("ROLLBACK").await.expect("rolls back");
            drop(tx);
            let tx = catalog.begin().await.expect("begins again");
            tx.commit().await.expect("commits");
        });
    }

    #[test]
    fn a_full_disk_is_told_until_there_is_room_again() {
        block_on(async {
            let dir = tempfile::tempdir().expect("a folder");
            let catalog = Catalog::open(in_folder(dir.path())).await.expect("opens");
            let limit = async |pages: &'static str| {
                let mut tx = catalog.begin().await.expect("begins");
                tx.rows(pages, params![]).await.expect("is set");
                tx.commit().await.expect("commits");
            };
            limit("PRAGMA max_page_count = 1").await;
            let large = serde_json::Value::from("x".repeat(1 << 20));
            let full = catalog.put_setting("large", &large).await;
            assert!(
                matches!(&full, Err(CatalogError::Unwritable(_))),
                "{full:?}"
            );
            assert!(catalog.unwritable().is_some());

            limit("PRAGMA max_page_count = 1000000").await;
            catalog.put_setting("large", &large).await.expect("fits");
            assert_eq!(catalog.unwritable(), None);
        });
    }

    #[test]
    fn a_database_server_that_is_not_there_is_named() {
        block_on(async {
            let port = std::net::TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.local_addr())
                .expect("a port")
                .port();
            let url = format!("postgres://ann:secret@127.0.0.1:{port}/kept");
            let refused = Catalog::open(options(Location::Postgres(url.clone().into()))).await;
            let pool = PgPoolOptions::new().connect_lazy(&url).expect("is lazy");
            let waited = db::explained(&pool, Err::<(), _>(sqlx::Error::PoolTimedOut)).await;
            for error in [refused.expect_err("nobody"), waited.expect_err("nobody")] {
                assert!(matches!(error, CatalogError::Unreachable(_)), "{error}");
                let text = error.to_string();
                let named = format!("postgres://127.0.0.1:{port}/kept");
                assert!(text.contains(&named) && !text.contains("secret"), "{text}");
            }
        });
    }

    #[test]
    fn what_sqlite_has_committed_survives_a_loss_of_power() {
        block_on(async {
            let dir = tempfile::tempdir().expect("a folder");
            let catalog = Catalog::open(in_folder(dir.path())).await.expect("opens");
            let mut tx = catalog.begin().await.expect("begins");
            for (pragma, wanted) in [
                ("SELECT journal_mode AS v FROM pragma_journal_mode", "wal"),
                (
                    "SELECT CAST(synchronous AS TEXT) AS v FROM pragma_synchronous",
                    "2",
                ),
                (
                    "SELECT CAST(foreign_keys AS TEXT) AS v FROM pragma_foreign_keys",
                    "1",
                ),
            ] {
                let row = tx
                    .row(pragma, params![])
                    .await
                    .expect(pragma)
                    .expect(pragma);
                assert_eq!(row.text("v").expect(pragma), wanted, "{pragma}");
            }
            let read_only = catalog
                .db()
                .rows(
                    "INSERT INTO meta (key, value) VALUES ('a', 'b') RETURNING key",
                    params![],
                )
                .await;
            assert!(read_only.is_err(), "what reads cannot write");
        });
    }

    #[test]
    fn machines_agree_on_the_time_of_the_database() {
        let server = TestPostgres::start(17);
        block_on(async {
            let open = || Catalog::open(options(Location::Postgres(server.url().into())));
            let catalog = open().await.expect("opens");
            let row = catalog
                .db()
                .row(
                    "SELECT CAST(extract(epoch FROM now()) * 1000 AS BIGINT) AS t",
                    params![],
                )
                .await
                .expect("answers")
                .expect("a row");
            let theirs: Timestamp = row.time("t").expect("a time");
            let apart = catalog.now().duration_since(theirs).abs();
            assert!(apart < SignedDuration::from_mins(10), "{apart:?}");
            // A clock that is set while the program runs is followed with the next sign of life.
            catalog
                .inner
                .ahead_millis
                .as_ref()
                .expect("it follows")
                .store(0, std::sync::atomic::Ordering::Relaxed);
            assert!(catalog.now().duration_since(theirs).abs() > SignedDuration::from_hours(24));
            catalog
                .node_beat(&crate::NodeBeat {
                    node: "n".to_owned(),
                    host: "h".to_owned(),
                    pid: 1,
                    slots: 1,
                    kinds: Vec::new(),
                    version: "0".to_owned(),
                })
                .await
                .expect("written");
            let apart = catalog.now().duration_since(theirs).abs();
            assert!(apart < SignedDuration::from_mins(10), "{apart:?}");
            // Another machine whose clock stands still at the same wrong time comes to nearly the same.
            let apart = open()
                .await
                .expect("opens")
                .now()
                .duration_since(catalog.now())
                .abs();
            assert!(apart < SignedDuration::from_mins(10), "{apart:?}");
        });
    }

    #[test]
    fn an_unreadable_connection_string_is_not_repeated() {
        let error = block_on(Catalog::open(options(Location::Postgres(
            "postgres://u:hunter2@h:notaport/db".into(),
        ))))
        .expect_err("it cannot be read");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}
