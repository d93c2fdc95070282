//! One error for the edge: a code that decides exit status and HTTP status, a message, and what to do next.

use pgkeep_postgres::archive::ArchiveError;
use pgkeep_repository::{RepositoryError, storage::StorageError};
use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed, coarse enough that a caller can branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Anything without a code of its own.
    Failed,
    /// The request cannot be carried out as it was given.
    InvalidRequest,
    /// No such backup, database, table or key.
    NotFound,
    /// A restored database differs from its evidence.
    ProofFailed,
    /// The repository holds damage.
    Damaged,
    /// Another operation holds the database or the repository.
    Busy,
    /// Wrong password, or not a repository.
    RepositoryAccess,
    /// The database server refused or could not be reached.
    Database,
    /// A privilege is missing on the database server.
    Privilege,
    /// A client program is missing or too old.
    Tools,
    /// Refused because data would be at risk.
    Refused,
    /// Storage failed (disk full, unreachable).
    Storage,
    Cancelled,
}

/// A failed operation: what failed on what, and what to do next.
#[derive(Debug)]
pub struct Error {
    pub code: ErrorCode,
    pub message: String,
    pub hint: Option<String>,
    /// PostgreSQL's SQLSTATE when the server reported the error.
    pub sqlstate: Option<String>,
    /// Several findings where there are more than one (the differences of a failed proof).
    pub details: Vec<String>,
    /// It fails in the same way until somebody changes something, though its code may tell of what passes.
    pub lasting: bool,
}

impl Error {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            sqlstate: None,
            details: Vec::new(),
            lasting: false,
        }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// Says on what the operation failed, before what failed.
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Refused, message)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for detail in &self.details {
            write!(f, "\n  {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<pgkeep_model::Cancelled> for Error {
    fn from(_: pgkeep_model::Cancelled) -> Self {
        Error::new(ErrorCode::Cancelled, "cancelled")
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        if let Some(inner) = e
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<RepositoryError>())
        {
            return inner.clone().into();
        }
        if e.get_ref().is_some_and(|inner| inner.is::<ArchiveError>()) {
            return ArchiveError::from(e).into();
        }
        Error::new(ErrorCode::Failed, e.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Error::new(ErrorCode::Failed, format!("not valid JSON: {e}"))
    }
}

impl From<pgkeep_postgres::Error> for Error {
    fn from(e: pgkeep_postgres::Error) -> Self {
        use pgkeep_postgres::Error as E;
        // A sink or source of ours reports its own errors through `io::Error`; they come out as they went in.
        if let E::Local { source, .. } = &e
            && let Some(inner) = source
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<RepositoryError>())
        {
            return inner.clone().into();
        }
        let code = match &e {
            E::Cancelled => ErrorCode::Cancelled,
            E::Tool(_) => ErrorCode::Tools,
            E::Refused { .. } => ErrorCode::Refused,
            E::Busy { .. } => ErrorCode::Busy,
            E::Options(_) => ErrorCode::InvalidRequest,
            E::Privilege { .. } => ErrorCode::Privilege,
            E::Postgres { source, .. } if source.sqlstate == "42501" => ErrorCode::Privilege,
            E::Postgres { .. }
            | E::Connect { .. }
            | E::Login { .. }
            | E::Tls { .. }
            | E::ConnectionLost { .. } => ErrorCode::Database,
            E::Protocol { .. } => ErrorCode::Database,
            E::Local { .. } => ErrorCode::Failed,
        };
        Error {
            code,
            hint: e.hint(),
            sqlstate: e.sqlstate().map(str::to_string),
            message: e.to_string(),
            details: Vec::new(),
            // A password that was never given, or a way of logging in that one side does not know. A TLS that fails may pass: a
            // server that is out of processes refuses in that way.
            lasting: matches!(&e, E::Login { .. }),
        }
    }
}

impl From<RepositoryError> for Error {
    fn from(e: RepositoryError) -> Self {
        use RepositoryError as R;
        let code = match &e {
            R::NotARepository { .. } | R::WrongPassword | R::UnsupportedFormat { .. } => {
                ErrorCode::RepositoryAccess
            }
            R::Locked { .. } | R::LockLost { .. } | R::Changed => ErrorCode::Busy,
            R::SnapshotNotFound { .. } | R::FileNotFound { .. } | R::KeyNotFound { .. } => {
                ErrorCode::NotFound
            }
            R::AmbiguousSnapshot { .. } | R::AlreadyExists { .. } | R::KeyRefused { .. } => {
                ErrorCode::InvalidRequest
            }
            R::Cancelled(_) => ErrorCode::Cancelled,
            e if e.is_damage() => ErrorCode::Damaged,
            R::Storage(_) => ErrorCode::Storage,
            _ => ErrorCode::Failed,
        };
        let hint = e.hint().map(str::to_string);
        Error {
            code,
            message: e.to_string(),
            hint,
            sqlstate: None,
            details: Vec::new(),
            lasting: false,
        }
    }
}

impl From<StorageError> for Error {
    fn from(e: StorageError) -> Self {
        RepositoryError::from(e).into()
    }
}

impl From<ArchiveError> for Error {
    fn from(e: ArchiveError) -> Self {
        use ArchiveError as A;
        match e {
            A::Io(e) => e.into(),
            A::NotAnArchive(_) | A::UnknownVersion { .. } => Error::invalid(e.to_string()),
            A::Truncated { .. } | A::Damaged { .. } | A::MissingMember(_) => {
                Error::new(ErrorCode::Damaged, e.to_string())
            }
        }
    }
}
