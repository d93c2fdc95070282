//! Why somebody is not let in, and how the API says so.

use super::password::WeakPassword;
use crate::api::Problem;
use crate::api::problem::Code;
use pgkeep_catalog::CatalogError;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum AuthError {
    #[error("nobody is logged in")]
    Unauthenticated,
    #[error("the session or token is not known, or not any more")]
    UnknownCredential,
    /// Also for names that do not exist: the answer tells nobody which do.
    #[error("the name or the password is wrong")]
    WrongPassword,
    #[error("the one-time code is wrong, or was used before")]
    WrongCode,
    #[error("this account also needs a one-time code")]
    CodeNeeded,
    #[error("too many failed logins; the next one is tried in {seconds} seconds")]
    Blocked { seconds: u64 },
    #[error("the request does not come from pgkeep's own pages: {0}")]
    Csrf(&'static str),
    #[error("the setup token is wrong, or was used before")]
    WrongSetupToken,
    #[error(transparent)]
    WeakPassword(#[from] WeakPassword),
    #[error("{0}")]
    Forbidden(String),
    #[error("single sign-on is not set up")]
    NoSignOn,
    #[error("single sign-on failed: {0}")]
    SignOn(String),
    /// The identity provider cannot be used now.
    #[error("the identity provider cannot be used: {0}")]
    Provider(String),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let code = match &error {
            AuthError::Unauthenticated | AuthError::UnknownCredential => Code::Unauthenticated,
            AuthError::WrongPassword
            | AuthError::WrongCode
            | AuthError::WrongSetupToken
            | AuthError::SignOn(_) => Code::LoginRefused,
            AuthError::CodeNeeded => Code::SecondFactorNeeded,
            AuthError::Blocked { .. } => Code::Throttled,
            AuthError::Csrf(_) => Code::CsrfRefused,
            AuthError::WeakPassword(_) => return Problem::invalid("password", error.to_string()),
            AuthError::Forbidden(_) => Code::Forbidden,
            AuthError::NoSignOn => Code::NotFound,
            AuthError::Provider(_) => Code::Busy,
            AuthError::Catalog(_) => match error {
                AuthError::Catalog(inner) => return inner.into(),
                _ => Code::Failed,
            },
        };
        let problem = Problem::new(code, error.to_string());
        match error {
            AuthError::Blocked { seconds } => problem.retry_after(seconds),
            AuthError::UnknownCredential => {
                problem.hint("log in again, or use a token that has not expired")
            }
            AuthError::Unauthenticated => {
                problem.hint("log in, or send 'authorization: Bearer pgk_…'")
            }
            AuthError::CodeNeeded => problem
                .hint("send the code of your authenticator app, or a recovery code, as `code`"),
            AuthError::Csrf(_) => {
                problem.hint("send the session's `csrfToken` as the header X-CSRF-Token")
            }
            AuthError::Provider(_) => problem.hint(
                "see whether the server's machine reaches the provider; who has a password can log in with that meanwhile",
            ),
            AuthError::WrongSetupToken => {
                problem.hint("the newest token stands in the output of `pgkeep serve`")
            }
            _ => problem,
        }
    }
}
