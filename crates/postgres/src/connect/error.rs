//! What can be wrong with connection settings. Values are shown, except a password's.

/// Connection settings that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    #[error("the connection string is malformed: {0}")]
    Malformed(String),
    #[error("unknown connection parameter \"{name}\"")]
    UnknownKeyword {
        name: String,
        nearest: Option<String>,
    },
    #[error("connection parameter {name}=\"{value}\": {reason}")]
    Invalid {
        name: String,
        value: String,
        reason: String,
    },
    #[error("connection parameter \"{name}\" is not supported")]
    Unsupported { name: String, hint: &'static str },
    #[error("service \"{name}\" is not defined in {looked_in}")]
    NoService { name: String, looked_in: String },
    #[error("cannot read the service file {file}: {reason}")]
    ServiceFile { file: String, reason: String },
    #[error("no user name is given, and the operating system's is not known")]
    NoUser,
}

impl OptionsError {
    pub(super) fn invalid(name: &str, value: &str, reason: impl Into<String>) -> Self {
        OptionsError::Invalid {
            name: name.into(),
            value: value.into(),
            reason: reason.into(),
        }
    }

    /// What the user can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            OptionsError::Malformed(_) => Some(
                "write postgres://user@host:5432/database or \"host=… dbname=…\"; special characters in a URL are \
                 percent-encoded (@ is %40, / is %2F)"
                    .into(),
            ),
            OptionsError::UnknownKeyword { nearest, .. } => Some(match nearest {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => "see the list of parameter key words in PostgreSQL's libpq documentation".into(),
            }),
            OptionsError::Unsupported { hint, .. } => Some((*hint).into()),
            OptionsError::NoService { .. } => {
                Some("define it in ~/.pg_service.conf or name the file in PGSERVICEFILE".into())
            }
            OptionsError::NoUser => Some("set PGUSER or put the user into the URL".into()),
            OptionsError::Invalid { .. } | OptionsError::ServiceFile { .. } => None,
        }
    }
}
