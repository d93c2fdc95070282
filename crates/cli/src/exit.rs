//! Exit codes: one table, printed by `pgkeep help exit-codes` and repeated in `docs/reference/exit-codes.md`.
//!
//! A code is part of the interface, for scripts and schedulers branch on it: a number once given keeps its meaning.

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    NotProven = 4,
    Busy = 5,
    NoAccess = 6,
    Database = 7,
    Refused = 8,
    Storage = 9,
    Server = 10,
    Unprotected = 11,
    Cancelled = 130,
}

/// One line of the table: code, name in `--json`, meaning, whether trying again later can help.
pub struct ExitRow {
    pub exit: Exit,
    pub name: &'static str,
    pub meaning: &'static str,
    pub retry: bool,
}

/// Every exit code, in order.
pub const TABLE: &[ExitRow] = &[
    row(Exit::Done, "done", "what was asked for is done", false),
    row(
        Exit::Failed,
        "failed",
        "failed for a reason that has no code of its own",
        false,
    ),
    row(
        Exit::Usage,
        "usage",
        "the command line or the configuration is wrong; nothing was done",
        false,
    ),
    row(
        Exit::NotFound,
        "not_found",
        "the backup, database or file named does not exist",
        false,
    ),
    row(
        Exit::NotProven,
        "not_proven",
        "the proof failed: stored or restored data differ from the evidence, or are damaged",
        false,
    ),
    row(
        Exit::Busy,
        "busy",
        "in use by something that excludes this, or the server is too busy for it",
        true,
    ),
    row(
        Exit::NoAccess,
        "no_access",
        "not a repository, a repository of a newer format, the wrong key, or a server that denies it",
        false,
    ),
    row(
        Exit::Database,
        "database",
        "PostgreSQL could not be reached, refused the login, or lacks a privilege or a tool",
        true,
    ),
    row(
        Exit::Refused,
        "refused",
        "refused for safety: a confirmation is missing or the target is not as the plan expects",
        false,
    ),
    row(
        Exit::Storage,
        "storage",
        "the storage failed: unreachable, full, or not permitted",
        true,
    ),
    row(
        Exit::Server,
        "server",
        "the pgkeep server could not be reached, or does not answer as one",
        true,
    ),
    row(
        Exit::Unprotected,
        "unprotected",
        "`pgkeep status`: an app is not protected as it should be",
        false,
    ),
    row(
        Exit::Cancelled,
        "cancelled",
        "stopped by Ctrl-C or SIGTERM; nothing half-done was published",
        true,
    ),
];

const fn row(exit: Exit, name: &'static str, meaning: &'static str, retry: bool) -> ExitRow {
    ExitRow {
        exit,
        name,
        meaning,
        retry,
    }
}

impl Exit {
    /// The name that stands beside the code in `--json` errors.
    pub fn name(self) -> &'static str {
        let row = TABLE.iter().find(|row| row.exit == self);
        row.expect("the table holds every code").name
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// The table as plain text.
pub fn table_text() -> String {
    let mut text = String::from("code  name         meaning\n");
    for row in TABLE {
        text.push_str(&format!(
            "{:>4}  {:<11}  {}",
            row.exit as u8, row.name, row.meaning
        ));
        text.push_str(if row.retry {
            "; trying again can help\n"
        } else {
            "\n"
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_users_were_told() {
        insta::assert_snapshot!(table_text());
    }

    #[test]
    fn the_reference_page_holds_the_same_table() {
        let page = include_str!("../../../docs/reference/exit-codes.md");
        for row in TABLE {
            let retry = if row.retry { "yes" } else { "no" };
            let line = format!(
                "| {} | `{}` | {} | {} |",
                row.exit as u8, row.name, row.meaning, retry
            );
            assert!(
                page.contains(&line),
                "docs/reference/exit-codes.md lacks: {line}"
            );
        }
    }
}
