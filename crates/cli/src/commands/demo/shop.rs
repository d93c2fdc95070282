//! The demonstration's database: made at a given size, used, damaged.

use crate::{
    error::{CliError, CliResult},
    exit::Exit,
};
use pgkeep_engine::Error;
use pgkeep_model::CancelToken;
use pgkeep_postgres::{connect::ConnectOptions, wire::Connection};

const SCRIPT: &str = include_str!("../../../demo/shop.sql");
/// Size of the database, in MB, that the row counts below make.
const UNIT_MB: f64 = 240.0;
const ROWS: [(&str, f64); 5] = [
    ("{customers}", 40_000.0),
    ("{products}", 5_000.0),
    ("{orders}", 120_000.0),
    ("{reviews}", 160_000.0),
    ("{events}", 620_000.0),
];

/// The shop's database on the throwaway server.
pub struct Shop<'a> {
    pub connection: ConnectOptions,
    pub size_mb: u32,
    pub cancel: &'a CancelToken,
}

impl Shop<'_> {
    /// Makes the database's content; the big tables are filled side by side.
    pub fn make(&self) -> CliResult<()> {
        self.run("tables")?;
        let fills: Vec<&str> = titles().filter(|title| title.starts_with("fill")).collect();
        std::thread::scope(|scope| {
            let workers: Vec<_> = fills
                .iter()
                .map(|title| scope.spawn(move || self.run(title)))
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| {
                    Err(CliError::new(Exit::Failed, "filling the shop panicked"))
                })
            })
        })?;
        self.run("keys and indexes")
    }

    /// Some orders come in.
    pub fn use_it(&self) -> CliResult<()> {
        self.run("business goes on")
    }

    /// What nobody wants to see.
    pub fn damage(&self) -> CliResult<()> {
        self.run("disaster")
    }

    /// The first value that a query gives.
    pub fn ask(&self, sql: &str) -> CliResult<String> {
        let mut connection = self.open()?;
        let value = connection.query_value(sql).map_err(Error::from)?;
        Ok(value.unwrap_or_default())
    }

    fn run(&self, title: &str) -> CliResult<()> {
        let scale = f64::from(self.size_mb) / UNIT_MB;
        let mut sql = part(title).to_owned();
        for (name, rows) in ROWS {
            sql = sql.replace(name, &format!("{:.0}", (rows * scale).max(20.0)));
        }
        self.open()?.execute(&sql).map_err(Error::from)?;
        Ok(())
    }

    fn open(&self) -> CliResult<Connection> {
        Ok(Connection::open_with(&self.connection, self.cancel).map_err(Error::from)?)
    }
}

/// The statements that the disaster consists of, for showing.
pub fn disaster() -> impl Iterator<Item = &'static str> {
    part("disaster")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
}

fn titles() -> impl Iterator<Item = &'static str> {
    SCRIPT
        .lines()
        .filter_map(|line| line.strip_prefix("-- part: "))
}

fn part(title: &str) -> &'static str {
    let parts = SCRIPT.split("-- part: ").skip(1);
    let found = parts
        .filter_map(|part| part.split_once('\n'))
        .find(|(name, _)| *name == title);
    found.expect("every part asked for stands in the script").1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_has_every_part_that_the_story_needs() {
        for title in ["tables", "keys and indexes", "business goes on", "disaster"] {
            assert!(part(title).contains(';'), "{title}");
        }
        assert_eq!(titles().filter(|t| t.starts_with("fill")).count(), 4);
        assert_eq!(disaster().count(), 4);
    }
}
