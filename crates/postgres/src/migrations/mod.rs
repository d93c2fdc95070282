//! Which migrations a database says were applied to it.
//!
//! Each framework is one `Adapter`: how its table is recognised, and one statement that reads it. Tables are looked for by
//! name and by columns in every schema, for several frameworks call theirs the same. Everything is read in the transaction
//! that the caller is in, each table behind a savepoint, so that whatever fails leaves the transaction good.

mod detect;
mod frameworks;
mod query;
mod state;

use crate::{
    Result,
    wire::{Connection, Rows, TransactionStatus},
};
use pgkeep_model::{
    app::{Framework, Migrations},
    migrations::MigrationState,
};

/// More rows than any project has migrations: such a table is something else.
const MOST_ROWS: usize = 50_000;
/// Longest time of one statement; a table that is locked must not hold up a backup.
const STATEMENT_LIMIT: &str = "30s";

/// How a framework's table is recognised and read.
struct Adapter {
    framework: Framework,
    /// Usual names of the table.
    tables: &'static [&'static str],
    /// Columns that it has.
    has: &'static [&'static str],
    /// Columns that only other frameworks' tables of this name have.
    lacks: &'static [&'static str],
    /// A table in the same schema that must be there, or must not be.
    beside: Option<(&'static str, bool)>,
    /// Gives label, name, microseconds since 1970, checksum and a word of [`state::Meaning`] for each row, in the tool's
    /// order; `{table}` stands for the table.
    sql: &'static str,
    /// A table of the same schema that tells of a migration at work: its name, a column that it has, and a statement
    /// that gives the words for it, or no row.
    lock: Option<Lock>,
}

struct Lock {
    table: &'static str,
    column: &'static str,
    sql: &'static str,
}

/// What a database says, and what could not be read.
#[derive(Debug, Default)]
pub struct Found {
    pub states: Vec<MigrationState>,
    /// Tables that are there and could not be read, each with the reason.
    pub warnings: Vec<String>,
}

/// The applied migrations of every framework that keeps a table in this database; of the configured one alone where one is
/// configured. Works within the caller's transaction, and without one.
///
/// # Errors
/// A lost connection, or cancelling. What a single table's statement is refused becomes a warning.
pub fn look(connection: &mut Connection, configured: Option<&Migrations>) -> Result<Found> {
    let framework = configured.and_then(|m| m.framework);
    if framework == Some(Framework::Query) {
        return query::look(connection, configured.and_then(|m| m.query.as_deref()));
    }
    let name = configured.and_then(|m| m.table.as_deref());
    let mut found = Found::default();
    let tables = match guarded(connection, |c| detect::tables(c, framework, name))? {
        Ok(tables) => tables,
        Err(why) => {
            found.warnings.push(format!(
                "it cannot be told which migrations were applied: {why}"
            ));
            return Ok(found);
        }
    };
    if let (Some(framework), true) = (framework, tables.is_empty()) {
        let what = match name {
            Some(name) => format!("table {name} of {}", framework.title()),
            None => format!("table of {}", framework.title()),
        };
        found.warnings.push(format!(
            "there is no {what} in database {}: its schema version is not known",
            connection.dbname()
        ));
    }
    for table in tables {
        if !table.readable {
            found.warnings.push(format!(
                "which migrations of {} were applied is not known: no privilege to read {}",
                table.adapter.framework.title(),
                table.name
            ));
            continue;
        }
        match guarded(connection, |c| state::read(c, &table))? {
            Ok(Ok(state)) => found.states.push(state),
            Ok(Err(why)) | Err(why) => found.warnings.push(format!(
                "which migrations of {} were applied is not known: {}: {why}",
                table.adapter.framework.title(),
                table.name
            )),
        }
    }
    Ok(found)
}

/// The states alone: for those who only want to know what there is.
///
/// # Errors
/// As [`look`].
pub fn read(
    connection: &mut Connection,
    configured: Option<&Migrations>,
) -> Result<Vec<MigrationState>> {
    Ok(look(connection, configured)?.states)
}

/// Runs a few statements such that a refusal leaves the transaction, and any setting, as they were. The inner error is
/// the server's refusal in words; the outer one ends the connection's use.
fn guarded<T>(
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> Result<T>,
) -> Result<Result<T, String>> {
    let within = connection.transaction_status() == TransactionStatus::InTransaction;
    let (begin, end) = match within {
        true => (
            "SAVEPOINT migrations",
            "ROLLBACK TO SAVEPOINT migrations; RELEASE SAVEPOINT migrations",
        ),
        false => ("BEGIN READ ONLY", "ROLLBACK"),
    };
    connection.execute(&format!(
        "{begin}; SET LOCAL statement_timeout = '{STATEMENT_LIMIT}'; SET LOCAL lock_timeout = '{STATEMENT_LIMIT}'"
    ))?;
    let result = work(connection);
    match result {
        Ok(value) => {
            connection.execute(end)?;
            Ok(Ok(value))
        }
        Err(crate::Error::Postgres { source, .. }) => {
            connection.execute(end)?;
            Ok(Err(source.message.clone()))
        }
        Err(error) => Err(error),
    }
}

/// Rows of a statement, unless they are more than any project has migrations.
fn few_rows(connection: &mut Connection, sql: &str) -> Result<Result<Rows, String>> {
    let rows = connection.query(&format!("{sql} LIMIT {}", MOST_ROWS + 1))?;
    Ok(match rows.len() > MOST_ROWS {
        true => Err(format!("it has more than {MOST_ROWS} rows")),
        false => Ok(rows),
    })
}
