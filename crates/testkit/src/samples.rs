//! What a test does with a cluster: make databases, run SQL, load the sample databases, read a schema back.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::{run, run_with_input, try_with_input};
use crate::cluster::TestPostgres;
use crate::installed::Installation;
use crate::template::{PASSWORD, SUPERUSER};

/// The size and shape of the shop database.
#[derive(Debug, Clone, Copy)]
pub struct ShopSize {
    /// 1.0 is about 27 MB of tables and indexes; 100 about 2.7 GB.
    pub scale: f64,
    /// Puts nine tenths of the data into one table.
    pub skewed: bool,
}

impl ShopSize {
    /// A few hundred rows, for tests of behaviour.
    pub const TINY: ShopSize = ShopSize {
        scale: 0.01,
        skewed: false,
    };
    /// Some ten megabytes, enough for several parts of a table.
    pub const SMALL: ShopSize = ShopSize {
        scale: 0.5,
        skewed: false,
    };
}

impl ShopSize {
    /// Tells apart shops that other versions of the SQL made.
    pub fn recipe_digest() -> u64 {
        let mut hasher = DefaultHasher::new();
        include_str!("../sql/shop.sql").hash(&mut hasher);
        hasher.finish()
    }
}

impl TestPostgres {
    /// The superuser's URL of the database `postgres`.
    pub fn url(&self) -> String {
        self.url_for("postgres")
    }

    pub fn url_for(&self, database: &str) -> String {
        let password = if self.password_needed {
            format!(":{}", percent_encoded(PASSWORD))
        } else {
            String::new()
        };
        format!(
            "postgresql://{SUPERUSER}{password}@127.0.0.1:{}/{}",
            self.port(),
            percent_encoded(database)
        )
    }

    /// The same as keywords and values, through the socket.
    pub fn dsn(&self) -> String {
        self.dsn_for("postgres")
    }

    pub fn dsn_for(&self, database: &str) -> String {
        let mut dsn = format!(
            "host={} port={} user={SUPERUSER} dbname={}",
            quoted_value(&self.socket_dir().display().to_string()),
            self.port(),
            quoted_value(database)
        );
        if self.password_needed {
            dsn += &format!(" password={}", quoted_value(PASSWORD));
        }
        dsn
    }

    pub fn superuser(&self) -> &'static str {
        SUPERUSER
    }

    pub fn superuser_password(&self) -> &'static str {
        PASSWORD
    }

    /// Runs SQL, several statements if need be, as the superuser. Gives unaligned rows (`a|b`), one a line, without the last newline.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql)
            .unwrap_or_else(|message| panic!("psql on {database}: {message}\n{sql}"))
    }

    /// As [`psql`](Self::psql), for SQL that is expected to fail: the error is what psql printed.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = try_with_input(&mut self.psql_command(database, &[]), sql.as_bytes())?;
        let text = String::from_utf8(output).expect("a test reads text");
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    fn psql_command(&self, database: &str, variables: &[(&str, String)]) -> Command {
        let mut command = self.client("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        for (name, value) in variables {
            command.arg("-v").arg(format!("{name}={value}"));
        }
        command
            .arg("-d")
            .arg(self.dsn_for(database))
            .args(["-f", "-"]);
        command
    }

    /// One of the major's client programs, with nothing of the caller's `PG*` environment.
    pub fn client(&self, program: &str) -> Command {
        clean_client(self.installation.program(program))
    }

    pub fn create_database(&self, name: &str) {
        self.psql(
            "postgres",
            &format!(
                "CREATE DATABASE {} TEMPLATE template0",
                quoted_identifier(name)
            ),
        );
    }

    /// Creates a database if it is not there and fills it with every kind of object that PostgreSQL has.
    pub fn load_everything(&self, database: &str) {
        self.create_if_missing(database);
        self.provide_sample_extension();
        self.create_sample_roles();
        let sql = include_str!("../sql/everything.sql");
        run_with_input(&mut self.psql_command(database, &[]), sql.as_bytes());
    }

    /// Creates a database if it is not there and fills it with a realistic application's data.
    pub fn load_shop(&self, database: &str, size: ShopSize) {
        self.create_if_missing(database);
        let sql = include_str!("../sql/shop.sql");
        let skew = if size.skewed { "on" } else { "off" };
        let variables = [("scale", size.scale.to_string()), ("skew", skew.to_owned())];
        run_with_input(&mut self.psql_command(database, &variables), sql.as_bytes());
    }

    /// Creates the roles that own and use what [`load_everything`](Self::load_everything) makes, as far as they are missing.
    pub fn create_sample_roles(&self) {
        self.psql("postgres", include_str!("../sql/roles.sql"));
    }

    /// Puts the extension `pgkeep_sample`, which has configuration tables, where the server looks for extensions. A restore of
    /// [`load_everything`](Self::load_everything)'s database into another cluster needs it there.
    pub fn provide_sample_extension(&self) {
        let share = self.psql(
            "postgres",
            "SELECT setting FROM pg_config WHERE name = 'SHAREDIR'",
        );
        let dir = Path::new(&share).join("extension");
        let files = [
            (
                "pgkeep_sample.control",
                include_str!("../sql/extension/pgkeep_sample.control"),
            ),
            (
                "pgkeep_sample--1.0.sql",
                include_str!("../sql/extension/pgkeep_sample--1.0.sql"),
            ),
        ];
        for (name, content) in files {
            let path = dir.join(name);
            if fs::read(&path).is_ok_and(|there| there == content.as_bytes()) {
                continue;
            }
            // Another test may read it at this moment, so it appears all at once.
            let unfinished = dir.join(format!("{name}.{}", std::process::id()));
            fs::write(&unfinished, content)
                .and_then(|()| fs::rename(&unfinished, &path))
                .unwrap_or_else(|error| {
                    panic!("writing {}: {error}; run `make setup`", path.display())
                });
        }
    }

    fn create_if_missing(&self, database: &str) {
        let known = self.psql("postgres", "SELECT datname FROM pg_database");
        if !known.lines().any(|name| name == database) {
            self.create_database(database);
        }
    }

    /// The database's schema as its own major's pg_dump writes it.
    pub fn pg_dump_schema(&self, database: &str) -> String {
        self.pg_dump_schema_by(self.major(), database)
    }

    /// The database's schema as another major's pg_dump writes it, to compare servers of two majors.
    pub fn pg_dump_schema_by(&self, tools_major: u32, database: &str) -> String {
        let mut command = clean_client(Installation::of(tools_major).program("pg_dump"));
        command
            .args(["--schema-only", "-d"])
            .arg(self.dsn_for(database));
        let text = String::from_utf8_lossy(&run(&mut command)).into_owned();
        // These two lines carry a new random word each time, the others a version that a restore elsewhere changes.
        let random = |line: &&str| {
            !(line.starts_with("\\restrict ")
                || line.starts_with("\\unrestrict ")
                || line.starts_with("-- Dumped from database version"))
        };
        text.lines()
            .filter(random)
            .flat_map(|line| [line, "\n"])
            .collect()
    }
}

fn clean_client(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
        .env("PGCONNECT_TIMEOUT", "10")
        .env("PGSERVICEFILE", "/nonexistent")
        .env("PGPASSFILE", "/nonexistent");
    command.env("LC_ALL", "C.UTF-8").current_dir("/");
    command
}

/// Quotes a name for SQL.
fn quoted_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a value for a connection string of keywords and values.
fn quoted_value(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
