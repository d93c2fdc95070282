//! What this process's own commits tell: the number of the newest event, and why nothing can be written any more.

use crate::error::{CatalogError, Result};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

#[derive(Debug, Default)]
pub(crate) struct Pulse {
    newest: watch::Sender<i64>,
    unwritable: Mutex<Option<String>>,
}

impl Pulse {
    pub(crate) fn events(&self) -> watch::Receiver<i64> {
        self.newest.subscribe()
    }

    /// Why the last write failed, until one succeeds.
    pub(crate) fn unwritable(&self) -> Option<String> {
        let why = self.unwritable.lock();
        why.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at how a write went, and hands it on.
    pub(crate) fn wrote<T>(&self, done: Result<T>) -> Result<T> {
        if let Err(CatalogError::Unwritable(why)) = &done {
            self.tell(Some(why.clone()));
        }
        done
    }

    /// Something was committed, with these events at most.
    pub(crate) fn committed(&self, newest: Option<i64>) {
        self.tell(None);
        if let Some(newest) = newest {
            self.newest.send_replace(newest);
        }
    }

    fn tell(&self, why: Option<String>) {
        *self
            .unwritable
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = why;
    }
}
