//! What goes wrong in the catalog, by what a caller does about it.

use std::path::PathBuf;

pub type Result<T, E = CatalogError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    #[error("there is no catalog at {location}")]
    Missing { location: String },
    #[error(
        "the catalog is of version {found} and this pgkeep knows versions up to {known}: a newer pgkeep made it"
    )]
    NewerSchema { found: i64, known: i64 },
    #[error("the catalog's key file {} is missing", path.display())]
    KeyMissing { path: PathBuf },
    #[error("the catalog was made under the key {expected} and the key given is {found}")]
    WrongKey { expected: String, found: String },
    #[error("the catalog's key cannot be used: {why}")]
    BadKey { why: String },
    /// The stored secret was changed, moved to another place, or sealed under another key.
    #[error("the stored secret {context} cannot be opened")]
    Unsealable { context: String },
    #[error("there is no {what} named {name}")]
    NotFound { what: &'static str, name: String },
    #[error("there is a {what} named {name} already")]
    Exists { what: &'static str, name: String },
    /// Somebody else changed it in the meantime.
    #[error("{what} {name} was changed by somebody else in the meantime")]
    Conflict { what: &'static str, name: String },
    /// The state that it is in does not allow it.
    #[error("{what} {name} {why}")]
    NotNow {
        what: &'static str,
        name: String,
        why: String,
    },
    /// The lease ran out and the job is another worker's, or nobody's, by now.
    #[error("job {job} is no longer this worker's")]
    Fenced { job: String },
    #[error("{what} {name} is used by {by}")]
    InUse {
        what: &'static str,
        name: String,
        by: String,
    },
    #[error("the catalog is busy: {0}")]
    Busy(String),
    /// Two writers met; the same call succeeds when it is made again.
    #[error("two writers of the catalog met: {0}")]
    Collision(String),
    #[error("cannot reach the catalog: {0}")]
    Unreachable(String),
    /// Its disk is full or broken, or it may only be read.
    #[error("the catalog cannot be written to: {0}")]
    Unwritable(String),
    #[error("the catalog failed: {0}")]
    Database(String),
    /// A row that this version cannot make sense of.
    #[error("the catalog holds something unreadable: {0}")]
    Corrupt(String),
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A cursor of another list, of another order, or of nobody's making.
    #[error("the cursor is not one of this list")]
    BadCursor,
    /// An argument that makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl CatalogError {
    /// Whether the same call may succeed a little later.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            CatalogError::Busy(_) | CatalogError::Collision(_) | CatalogError::Unreachable(_)
        )
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            CatalogError::Missing { .. } => "start `pgkeep serve` once: it makes the catalog",
            CatalogError::NewerSchema { .. } => {
                "use the version of pgkeep that last opened it, or a newer one"
            }
            CatalogError::KeyMissing { .. } => {
                "on a further machine, copy it from the server's data folder (`pgkeep catalog path` there tells where); \
                 else put the key file back from your own copy; without it the secrets in the catalog cannot be read, \
                 and a new catalog has to be made with `pgkeep catalog rebuild`"
            }
            CatalogError::WrongKey { .. } => {
                "put back the key file that was made together with this catalog"
            }
            CatalogError::Unsealable { .. } => "set the value again",
            CatalogError::BadCursor => {
                "send the `nextCursor` of a page as it is, with the same filters and the same order; or begin without one"
            }
            CatalogError::InUse { .. } => "change or remove first what uses it",
            CatalogError::Busy(_) | CatalogError::Collision(_) => "try again in a moment",
            CatalogError::Unreachable(_) => {
                "see that its database server runs and lets pgkeep in; `catalog` in pgkeep.toml says where it is"
            }
            CatalogError::Unwritable(_) => {
                "make room on its disk, and see who may write there; `pgkeep catalog path` tells where it is"
            }
            _ => return None,
        })
    }

    /// The same error once more, for several who asked together.
    pub(crate) fn again(&self) -> CatalogError {
        match self {
            CatalogError::Busy(why) => CatalogError::Busy(why.clone()),
            CatalogError::Collision(why) => CatalogError::Collision(why.clone()),
            CatalogError::Unreachable(why) => CatalogError::Unreachable(why.clone()),
            CatalogError::Unwritable(why) => CatalogError::Unwritable(why.clone()),
            CatalogError::Corrupt(why) => CatalogError::Corrupt(why.clone()),
            other => CatalogError::Database(other.to_string()),
        }
    }

    pub(crate) fn not_found(what: &'static str, name: &str) -> CatalogError {
        CatalogError::NotFound {
            what,
            name: name.to_owned(),
        }
    }

    pub(crate) fn corrupt(what: &str, why: impl std::fmt::Display) -> CatalogError {
        CatalogError::Corrupt(format!("{what}: {why}"))
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> CatalogError {
        match &error {
            sqlx::Error::Database(e) if e.is_unique_violation() => {
                CatalogError::Collision(e.message().to_owned())
            }
            sqlx::Error::Database(e) => match e.code().as_deref() {
                // SQLite: SQLITE_BUSY and SQLITE_LOCKED with their extended codes.
                Some("5" | "6" | "261" | "262" | "517" | "773") => {
                    CatalogError::Busy(e.message().to_owned())
                }
                Some(code) if is_unwritable(code) => {
                    CatalogError::Unwritable(e.message().to_owned())
                }
                // PostgreSQL: a serialization failure, a deadlock, a lock not had in time.
                Some("40001" | "40P01" | "55P03") => {
                    CatalogError::Collision(e.message().to_owned())
                }
                // PostgreSQL: connection failures, shutting down, too many connections.
                Some(code)
                    if code.starts_with("08") || code.starts_with("57P") || code == "53300" =>
                {
                    CatalogError::Unreachable(e.message().to_owned())
                }
                _ => CatalogError::Database(e.message().to_owned()),
            },
            sqlx::Error::PoolTimedOut => {
                CatalogError::Busy("no connection became free in time".to_owned())
            }
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed => {
                CatalogError::Unreachable(error.to_string())
            }
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_) => CatalogError::Corrupt(error.to_string()),
            _ => CatalogError::Database(error.to_string()),
        }
    }
}

/// SQLite: SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL and SQLITE_CANTOPEN, each with its extended codes. PostgreSQL, whose codes
/// have five characters: disk full, an I/O error, a transaction that may only read.
fn is_unwritable(code: &str) -> bool {
    match code {
        "53100" | "58030" | "25006" => true,
        code if code.len() < 5 => {
            (code.parse::<u16>()).is_ok_and(|code| matches!(code & 0xff, 8 | 10 | 13 | 14))
        }
        _ => false,
    }
}
