//! Why a job failed, and whether trying again may help.

use pgkeep_catalog::{CatalogError, JobError};
use pgkeep_engine::{Error, ErrorCode};
use std::fmt;

/// A failure on its way into the job's row.
#[derive(Debug, Clone)]
pub struct Failure {
    pub code: ErrorCode,
    /// The word for machines: the name of `code`, or a finer one.
    pub word: String,
    pub message: String,
    pub hint: Option<String>,
    pub details: Vec<String>,
    /// The same job may succeed a little later.
    pub may_pass: bool,
    /// The job belongs to another worker by now: whatever this one found out must not be written.
    pub fenced: bool,
}

impl Failure {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            word: word(code),
            may_pass: may_pass(code),
            code,
            message: message.into(),
            hint: None,
            details: Vec::new(),
            fenced: false,
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A finer word than the code's.
    pub fn word(mut self, word: &str) -> Self {
        self.word = word.into();
        self
    }

    pub fn for_good(mut self) -> Self {
        self.may_pass = false;
        self
    }

    /// As it stands in the job's row.
    pub fn to_job_error(&self) -> JobError {
        JobError {
            code: self.word.clone(),
            message: self.message.clone(),
            hint: self.hint.clone(),
            details: (!self.details.is_empty()).then(|| self.details.join("\n")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut details = error.details;
        if let Some(sqlstate) = &error.sqlstate
            && !error.message.contains(sqlstate)
        {
            details.push(format!("SQLSTATE {sqlstate}"));
        }
        let lasting = error.lasting || error.sqlstate.is_some_and(|state| is_lasting(&state));
        let usual = Self::new(error.code, error.message);
        Self {
            hint: error.hint,
            may_pass: usual.may_pass && !lasting,
            details,
            ..usual
        }
    }
}

impl From<pgkeep_repository::RepositoryError> for Failure {
    fn from(error: pgkeep_repository::RepositoryError) -> Self {
        Error::from(error).into()
    }
}

impl From<pgkeep_model::Cancelled> for Failure {
    fn from(cancelled: pgkeep_model::Cancelled) -> Self {
        Error::from(cancelled).into()
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        let code = match &error {
            CatalogError::NotFound { .. } => ErrorCode::NotFound,
            CatalogError::Unsealable { .. } => ErrorCode::RepositoryAccess,
            CatalogError::Invalid(_) => ErrorCode::InvalidRequest,
            CatalogError::Unwritable(_) => ErrorCode::Storage,
            _ => ErrorCode::Failed,
        };
        let mut failure = Failure::new(code, error.to_string());
        failure.hint = error.hint().map(str::to_owned);
        failure.may_pass = error.is_temporary();
        failure.fenced = matches!(error, CatalogError::Fenced { .. });
        failure
    }
}

/// The code as it stands in JSON.
fn word(code: ErrorCode) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "failed".into(),
    }
}

/// Servers come back, locks are let go, disks are emptied; a wrong request stays wrong.
fn may_pass(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Failed | ErrorCode::Busy | ErrorCode::Database | ErrorCode::Storage
    )
}

/// What the server will answer the next time as well: who asks is not let in or may not do that, or the database, schema,
/// table or column does not exist.
fn is_lasting(sqlstate: &str) -> bool {
    const CLASSES: [&str; 4] = ["28", "3D", "3F", "0A"];
    const STATES: [&str; 4] = ["42501", "42P01", "42703", "42704"];
    CLASSES.iter().any(|class| sqlstate.starts_with(class)) || STATES.contains(&sqlstate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_the_rest_is_not() {
        for (code, again) in [
            (ErrorCode::Database, true),
            (ErrorCode::Storage, true),
            (ErrorCode::Busy, true),
            (ErrorCode::Failed, true),
            (ErrorCode::InvalidRequest, false),
            (ErrorCode::NotFound, false),
            (ErrorCode::ProofFailed, false),
            (ErrorCode::Damaged, false),
            (ErrorCode::RepositoryAccess, false),
            (ErrorCode::Privilege, false),
            (ErrorCode::Tools, false),
            (ErrorCode::Refused, false),
            (ErrorCode::Cancelled, false),
        ] {
            assert_eq!(Failure::new(code, "x").may_pass, again, "{code:?}");
        }
    }

    #[test]
    fn a_server_that_lets_nobody_in_is_not_asked_again() {
        for (sqlstate, again) in [
            (Some("28P01"), false),
            (Some("28000"), false),
            (Some("3D000"), false),
            (Some("42501"), false),
            (Some("57P03"), true),
            (Some("53300"), true),
            (Some("40001"), true),
            (None, true),
        ] {
            let mut error = Error::new(ErrorCode::Database, "x");
            error.sqlstate = sqlstate.map(str::to_owned);
            assert_eq!(Failure::from(error).may_pass, again, "{sqlstate:?}");
        }
        // Without an SQLSTATE: no password to give, and a server that is away.
        let no_password = pgkeep_postgres::Error::Login {
            to: "db".into(),
            what: "it wants a password".into(),
            hint: None,
        };
        let away = pgkeep_postgres::Error::Connect {
            to: "db".into(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        };
        for (error, again) in [(no_password, false), (away, true)] {
            assert_eq!(Failure::from(Error::from(error)).may_pass, again);
        }
    }

    #[test]
    fn the_row_names_code_and_sqlstate() {
        let mut error = Error::new(ErrorCode::ProofFailed, "differs").hint("look");
        error.sqlstate = Some("42501".into());
        let row = Failure::from(error).to_job_error();
        assert_eq!(row.code, "proof_failed");
        assert_eq!(row.hint.as_deref(), Some("look"));
        assert_eq!(row.details.as_deref(), Some("SQLSTATE 42501"));
    }
}
