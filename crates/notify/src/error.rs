//! Why a message was not taken, and whether trying again may help.

use crate::redact::Redactor;
use std::time::Duration;

/// A failed attempt. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// Lower case, what failed on what.
    pub message: String,
    /// What somebody may do about it.
    pub hint: Option<String>,
    /// Whether the same message may be taken later.
    pub retry: bool,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl SendError {
    /// One that may pass by itself.
    pub(crate) fn temporary(message: impl Into<String>) -> SendError {
        SendError {
            message: message.into(),
            hint: None,
            retry: true,
            retry_after: None,
        }
    }

    /// One that stays until somebody changes something.
    pub(crate) fn lasting(message: impl Into<String>, hint: impl Into<String>) -> SendError {
        SendError {
            message: message.into(),
            hint: Some(hint.into()),
            retry: false,
            retry_after: None,
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> SendError {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn redacted(mut self, redactor: &Redactor) -> SendError {
        self.message = redactor.clean(&self.message);
        self.hint = self.hint.map(|hint| redactor.clean(&hint));
        self
    }
}
