//! What can go wrong between pgkeep and PostgreSQL, with a hint wherever a user can act.

use crate::{connect::OptionsError, tools::ToolError, wire::PgError};
use std::io;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of this crate. No variant ever holds a password: the types that carry one do not print it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused; its message, detail, hint and SQLSTATE are kept in `source`.
    #[error("{doing}: {source}")]
    Postgres { doing: String, source: Box<PgError> },

    /// No server answered.
    #[error("cannot connect to {to}: {source}")]
    Connect { to: String, source: io::Error },

    /// The server wants, or offers, a way of logging in that cannot be used.
    #[error("cannot log in to {to}: {what}")]
    Login {
        to: String,
        what: String,
        hint: Option<String>,
    },

    /// Encryption could not be set up.
    #[error("cannot set up TLS with {to}: {what}")]
    Tls {
        to: String,
        what: String,
        hint: Option<String>,
    },

    /// The connection ended in the middle of something.
    #[error("{doing}: connection to the server was lost: {source}")]
    ConnectionLost { doing: String, source: io::Error },

    /// The peer does not speak PostgreSQL's protocol as documented.
    #[error("{doing}: unexpected answer from the server: {what}")]
    Protocol { doing: String, what: String },

    #[error(transparent)]
    Options(#[from] OptionsError),

    #[error(transparent)]
    Tool(#[from] ToolError),

    /// Something on this side of the connection failed: a file, or the place where the data goes or comes from.
    #[error("{doing}: {source}")]
    Local { doing: String, source: io::Error },

    /// A rule of pgkeep forbids what was asked, or a precondition does not hold.
    #[error("{what}")]
    Refused { what: String, hint: Option<String> },

    /// Another session holds what is needed, and did not let go in time.
    #[error("{what}")]
    Busy { what: String, hint: Option<String> },

    /// The user that pgkeep connects as may not do what is needed.
    #[error("{what}")]
    Privilege { what: String, hint: Option<String> },

    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// A precondition that does not hold, with what to do about it.
    pub fn refused(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Refused {
            what: what.into(),
            hint: Some(hint.into()),
        }
    }

    /// Something held by others, with what makes room.
    pub fn busy(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Busy {
            what: what.into(),
            hint: Some(hint.into()),
        }
    }

    /// A privilege that is missing, with the statement that grants it.
    pub fn privilege(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Privilege {
            what: what.into(),
            hint: Some(hint.into()),
        }
    }

    pub fn local(doing: impl Into<String>, source: io::Error) -> Self {
        Error::Local {
            doing: doing.into(),
            source,
        }
    }

    /// Replaces the words for what was being done, where the caller knows better ones than the statement's text.
    pub fn doing(self, words: impl Into<String>) -> Self {
        match self {
            Error::Postgres { source, .. } => Error::Postgres {
                doing: words.into(),
                source,
            },
            Error::ConnectionLost { source, .. } => Error::ConnectionLost {
                doing: words.into(),
                source,
            },
            Error::Protocol { what, .. } => Error::Protocol {
                doing: words.into(),
                what,
            },
            Error::Local { source, .. } => Error::Local {
                doing: words.into(),
                source,
            },
            other => other,
        }
    }

    /// The server's error, when the failure is one.
    pub fn server(&self) -> Option<&PgError> {
        match self {
            Error::Postgres { source, .. } => Some(source),
            _ => None,
        }
    }

    /// SQLSTATE of the server's error.
    pub fn sqlstate(&self) -> Option<&str> {
        self.server().map(|e| e.sqlstate.as_str())
    }

    pub fn is_cancelled(&self) -> bool {
        matches!(self, Error::Cancelled)
    }

    /// What the user can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Postgres { source, .. } => hint_for(source),
            Error::Connect { source, .. } => Some(match source.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    "check that the server runs and that host and port (or the socket directory) are right".into()
                }
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                    "the host does not answer: check its name, the firewall and the port, or raise connect_timeout"
                        .into()
                }
                io::ErrorKind::PermissionDenied => {
                    "the socket cannot be opened by this user: check its directory's permissions".into()
                }
                _ => "check host and port, and that this machine can reach the server".into(),
            }),
            Error::Login { hint, .. }
            | Error::Tls { hint, .. }
            | Error::Refused { hint, .. }
            | Error::Busy { hint, .. }
            | Error::Privilege { hint, .. } => hint.clone(),
            Error::ConnectionLost { .. } => {
                Some("the server's log says why it ended the connection; try again once it is up".into())
            }
            Error::Options(e) => e.hint(),
            Error::Tool(e) => e.hint(),
            Error::Protocol { .. } | Error::Local { .. } | Error::Cancelled => None,
        }
    }
}

impl From<pgkeep_model::Cancelled> for Error {
    fn from(_: pgkeep_model::Cancelled) -> Self {
        Error::Cancelled
    }
}

fn hint_for(error: &PgError) -> Option<String> {
    let ours = match error.sqlstate.as_str() {
        "28P01" => {
            "the password is wrong, or none was given: set it in the URL, PGPASSWORD or the password file"
        }
        "28000" => "the server's pg_hba.conf does not let this user in from here in this way",
        "3D000" => "check the database's name",
        "42501" => {
            "grant the privilege to the user that pgkeep connects as, or use a more privileged one"
        }
        "53300" => "the server has no connection slot left: lower --jobs or raise max_connections",
        "53100" => "the server's disk is full",
        "57P03" => "the server is starting up, shutting down or recovering: try again in a moment",
        "57P01" | "57P02" => {
            "an administrator or the server's shutdown ended the session: try again once the server is up"
        }
        "57014" => {
            "the server cancelled the statement: a statement_timeout of the role or database, or an administrator"
        }
        "55P03" => "another session holds a conflicting lock",
        _ => "",
    };
    match (&error.hint, ours) {
        (Some(theirs), "") => Some(theirs.clone()),
        (Some(theirs), ours) => Some(format!("{theirs} ({ours})")),
        (None, "") => None,
        (None, ours) => Some(ours.into()),
    }
}
