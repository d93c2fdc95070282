//! What a failed command tells the user: one line of what, one line of what to do next, and the code to exit with.

use crate::exit::Exit;
use serde::Serialize;
use std::{io, path::Path};

/// A failure on its way to the user.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    pub exit: Exit,
    pub message: String,
    /// Further lines that belong to the message: PostgreSQL's detail, the differences found.
    pub details: Vec<String>,
    pub hint: Option<String>,
}

impl CliError {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            details: Vec::new(),
            hint: None,
        }
    }

    /// The command line or the configuration is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A file or folder that cannot be worked with; `verb` is what was tried: `read`, `write`, `make`.
    pub fn file(exit: Exit, verb: &str, path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind as E;
        let hint = match error.kind() {
            E::PermissionDenied => "give this user the right to it, or name another place",
            E::StorageFull | E::QuotaExceeded => "make room there, or name another place",
            E::AlreadyExists => "give the name of a file that does not exist yet",
            E::NotFound => "check that the name is right and that its folder exists",
            E::NotADirectory | E::IsADirectory => {
                "check which part of the name is a file and which a folder"
            }
            E::ReadOnlyFilesystem => "its file system is read-only: name another place",
            _ => "check the place and its disk, or name another one",
        };
        Self::new(exit, format!("cannot {verb} {}: {error}", path.display())).with_hint(hint)
    }

    /// A server's answer that makes no sense; `what` says which.
    pub fn strange_answer(what: impl Into<String>) -> Self {
        Self::new(Exit::Server, what).with_hint(
            "the server may be of another version: compare `pgkeep --version` on both machines",
        )
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// The document that `--json` prints in place of an answer.
    pub fn to_json(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct Body<'a> {
            code: &'a str,
            exit: u8,
            message: &'a str,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            details: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
        }
        serde_json::json!({ "error": Body {
            code: self.exit.name(),
            exit: self.exit as u8,
            message: &self.message,
            details: &self.details,
            hint: self.hint.as_deref(),
        }})
    }
}

impl From<pgkeep_model::Cancelled> for CliError {
    fn from(_: pgkeep_model::Cancelled) -> Self {
        CliError::new(Exit::Cancelled, "cancelled")
            .with_hint("nothing half-done was published; run the same command again")
    }
}

/// The result of everything a command does.
pub type CliResult<T> = Result<T, CliError>;

impl From<pgkeep_engine::Error> for CliError {
    fn from(error: pgkeep_engine::Error) -> Self {
        let mut out = CliError::new(exit_of(error.code), error.message);
        out.details = error.details;
        if let Some(sqlstate) = error.sqlstate
            && !out.message.contains(&sqlstate)
        {
            out.details.push(format!("SQLSTATE {sqlstate}"));
        }
        out.hint = Some(match error.hint {
            Some(hint) => hint,
            None => usual_hint(error.code).into(),
        });
        out
    }
}

/// What to do about every failure of the kind, where nothing better is known.
fn usual_hint(code: pgkeep_engine::ErrorCode) -> &'static str {
    use pgkeep_engine::ErrorCode;
    match code {
        ErrorCode::Failed | ErrorCode::Database | ErrorCode::Privilege | ErrorCode::Tools => {
            "`pgkeep doctor` looks for what makes backups and restores fail"
        }
        ErrorCode::InvalidRequest => "--help of the command says what it takes",
        ErrorCode::NotFound => {
            "`pgkeep list` shows the backups, `pgkeep show ID` what one of them holds"
        }
        ErrorCode::ProofFailed => {
            "`pgkeep verify --read-data` tells whether the backup itself is whole"
        }
        ErrorCode::Damaged => {
            "`pgkeep check` names the damage; with --repair it saves what is good"
        }
        ErrorCode::Busy => "try again when the other operation has ended",
        ErrorCode::RepositoryAccess => "check the repository's address and its key",
        ErrorCode::Refused => "change what stands in the way, then try again",
        ErrorCode::Storage => "`pgkeep doctor` writes to the storage and reads it back",
        ErrorCode::Cancelled => "nothing half-done was published; run the same command again",
    }
}

impl From<pgkeep_repository::RepositoryError> for CliError {
    fn from(error: pgkeep_repository::RepositoryError) -> Self {
        pgkeep_engine::Error::from(error).into()
    }
}

impl From<pgkeep_catalog::CatalogError> for CliError {
    fn from(error: pgkeep_catalog::CatalogError) -> Self {
        use pgkeep_catalog::CatalogError as E;
        let exit = match &error {
            E::Missing { .. } | E::NotFound { .. } => Exit::NotFound,
            E::NewerSchema { .. }
            | E::KeyMissing { .. }
            | E::WrongKey { .. }
            | E::BadKey { .. }
            | E::Unsealable { .. } => Exit::NoAccess,
            E::Exists { .. } | E::Conflict { .. } | E::NotNow { .. } | E::InUse { .. } => {
                Exit::Refused
            }
            E::Busy(_) | E::Collision(_) => Exit::Busy,
            E::Unreachable(_) => Exit::Database,
            E::Invalid(_) | E::BadCursor => Exit::Usage,
            E::Io { .. } | E::Unwritable(_) => Exit::Storage,
            _ => Exit::Failed,
        };
        let mut out = CliError::new(exit, error.to_string());
        out.hint = error.hint().map(str::to_owned);
        out
    }
}

fn exit_of(code: pgkeep_engine::ErrorCode) -> Exit {
    use pgkeep_engine::ErrorCode;
    match code {
        ErrorCode::Failed => Exit::Failed,
        ErrorCode::InvalidRequest => Exit::Usage,
        ErrorCode::NotFound => Exit::NotFound,
        ErrorCode::ProofFailed | ErrorCode::Damaged => Exit::NotProven,
        ErrorCode::Busy => Exit::Busy,
        ErrorCode::RepositoryAccess => Exit::NoAccess,
        ErrorCode::Database | ErrorCode::Privilege | ErrorCode::Tools => Exit::Database,
        ErrorCode::Refused => Exit::Refused,
        ErrorCode::Storage => Exit::Storage,
        ErrorCode::Cancelled => Exit::Cancelled,
    }
}
