//! What can go wrong with a client program.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// None is installed that fits; `found` lists those that do not.
    #[error("no {program} of PostgreSQL {wanted} was found")]
    Missing {
        program: &'static str,
        wanted: String,
        found: Vec<String>,
    },
    #[error("{program} cannot be started: {source}")]
    Start { program: String, source: io::Error },
    #[error("talking to {program}: {source}")]
    Pipe { program: String, source: io::Error },
    /// It ended with an error; `stderr` is the end of what it said.
    #[error("{program} failed ({status}): {}", last_words(stderr))]
    Failed {
        program: String,
        status: String,
        stderr: String,
    },
    #[error("the password cannot be handed to {program}: {source}")]
    Password { program: String, source: io::Error },
}

impl ToolError {
    /// What the user can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            ToolError::Missing { wanted, found, .. } => {
                let have = match found.as_slice() {
                    [] => "none is installed".to_owned(),
                    list => format!("found only {}", list.join(", ")),
                };
                let package = wanted.split(' ').next().unwrap_or(wanted);
                Some(format!(
                    "install the client programs (on Debian: apt install postgresql-client-{package}, from \
                     apt.postgresql.org if need be) or name their folder in PGKEEP_PG_BINDIR; {have}"
                ))
            }
            ToolError::Failed { stderr, .. } if stderr.contains("server version mismatch") => {
                Some("install client programs of the server's major version or newer".into())
            }
            ToolError::Failed { stderr, .. } if stderr.contains("permission denied") => {
                Some("grant the privilege to the user that pgkeep connects as, or use a more privileged one".into())
            }
            ToolError::Failed { stderr, .. } if stderr.contains("no matching") => {
                Some("check the names and patterns that choose what is dumped; nothing in the database matches one of them".into())
            }
            _ => None,
        }
    }
}

/// The lines of an error output that say what is wrong: from the first error on, within reason.
fn last_words(stderr: &str) -> String {
    const LIMIT: usize = 2000;
    let stderr = stderr.trim();
    let start = stderr
        .find("error:")
        .map_or(0, |at| stderr[..at].rfind('\n').map_or(0, |n| n + 1));
    let words = &stderr[start..];
    if words.is_empty() {
        return "it said nothing".into();
    }
    match words.char_indices().nth(LIMIT) {
        Some((cut, _)) => format!("{}…", &words[..cut]),
        None => words.to_owned(),
    }
}
