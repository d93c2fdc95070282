//! The database to be backed up: the shop at the size asked for, on a server set up as a real one would be.
//!
//! Loading takes minutes, so the loaded data folder is kept in the cache for the next time.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use pgkeep_testkit::{ShopSize, TestPostgres, TestPostgresBuilder, cache_dir};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shape {
    Balanced,
    /// Nine tenths of the data in one table
    Skewed,
}

pub(super) const DATABASE: &str = "shop";

pub(super) struct Source {
    pub server: TestPostgres,
}

impl Source {
    pub(super) fn start(major: u32, scale: f64, shape: Shape) -> anyhow::Result<Source> {
        let kept = Source::prepare(major, scale, shape)?;
        let server = configured(major).data_from(&kept).start();
        // Everybody starts with the tables in memory.
        server.psql(
            DATABASE,
            "CREATE EXTENSION IF NOT EXISTS pg_prewarm;
             SELECT sum(pg_prewarm(oid, 'read')) FROM pg_class WHERE relkind IN ('r', 't', 'm');
             DROP EXTENSION pg_prewarm",
        );
        Ok(Source { server })
    }

    /// Loads the database unless an earlier run kept it; gives the folder of its data.
    pub(super) fn prepare(major: u32, scale: f64, shape: Shape) -> anyhow::Result<PathBuf> {
        let kept = cache_dir().join(format!(
            "bench/{major}-{shape:?}-{scale}-{:016x}",
            ShopSize::recipe_digest()
        ));
        if !kept.exists() {
            eprintln!("loading the shop, {shape:?}, scale {scale}");
            // The log of a quick load would be kept with the data.
            let mut server = TestPostgres::builder(major)
                .setting("max_wal_size", "512MB")
                .start();
            server.load_shop(
                DATABASE,
                ShopSize {
                    scale,
                    skewed: shape == Shape::Skewed,
                },
            );
            server.psql(DATABASE, "VACUUM ANALYZE");
            server.stop();
            server.keep_data(&kept);
        }
        Ok(kept)
    }

    /// The URL of a database, through the loopback interface as for every contender.
    pub(super) fn url(&self, database: &str) -> String {
        self.server.url_for(database)
    }

    /// The process that all others of the server come from.
    pub(super) fn process(&self) -> u32 {
        let file = self.server.data_dir().join("postmaster.pid");
        let text = std::fs::read_to_string(file).expect("a running server has its file");
        let pid = text.lines().next().and_then(|line| line.parse().ok());
        pid.expect("its first line is the process")
    }

    pub(super) fn size_bytes(&self) -> u64 {
        let size = self
            .server
            .psql(DATABASE, "SELECT pg_database_size(current_database())");
        size.parse().expect("a size is a number")
    }

    /// Makes the server write out what the run before left.
    pub(super) fn settle(&self) {
        self.server.psql(DATABASE, "CHECKPOINT");
    }

    pub(super) fn recreate(&self, database: &str) {
        self.drop_database(database);
        self.server.create_database(database);
    }

    pub(super) fn drop_database(&self, database: &str) {
        self.server.psql(
            "postgres",
            &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
        );
    }

    /// One of this major's client programs on a database.
    pub(super) fn client(&self, program: &str, database: &str) -> Command {
        let mut command = self.server.client(program);
        command.arg("-d").arg(self.url(database));
        command
    }

    /// Reads half of every table with psql, to be thrown away.
    pub(super) fn copy_half(&self, second: bool) -> anyhow::Result<Command> {
        let range = if second {
            "ctid >= ''(%s,0)''::tid"
        } else {
            "ctid < ''(%s,0)''::tid"
        };
        let list = format!(
            "SELECT format('COPY (SELECT * FROM %s WHERE {range}) TO STDOUT', c.oid::regclass, pg_relation_size(c.oid) / 8192 / 2)
             FROM pg_class AS c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY pg_relation_size(oid) DESC"
        );
        let statements = self
            .server
            .try_psql(DATABASE, &list)
            .map_err(anyhow::Error::msg)
            .context("listing tables")?;
        let mut command = self.client("psql", DATABASE);
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1"]);
        for statement in statements.lines() {
            command.args(["-c", statement]);
        }
        Ok(command)
    }
}

fn configured(major: u32) -> TestPostgresBuilder {
    TestPostgres::builder(major)
        .durable()
        .setting("shared_buffers", "1GB")
        .setting("max_wal_size", "8GB")
        .setting("checkpoint_timeout", "30min")
        .setting("maintenance_work_mem", "256MB")
        .setting("autovacuum", "off")
}
