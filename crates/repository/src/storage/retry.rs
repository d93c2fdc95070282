//! Tries temporary failures again, with growing pauses that differ from caller to caller, up to a limit.
//!
//! Only what [`StorageError::is_retryable`] says may go away is tried again: a full disk or a refused permission ends
//! the operation at once. A cancelled token ends a pause.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pgkeep_model::CancelToken;
use rand::RngExt;

use super::{FileKind, ObjectKey, Storage, StorageError, StorageErrorKind, StoredObject};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// A store whose temporary failures are tried again.
#[derive(Debug)]
pub struct Retry {
    inner: Arc<dyn Storage>,
    retries: u32,
    first_pause: Duration,
    cancel: CancelToken,
}

impl Retry {
    /// Tries each call up to `retries` times more.
    pub fn new(inner: Arc<dyn Storage>, retries: u32, cancel: CancelToken) -> Self {
        Self {
            inner,
            retries,
            first_pause: FIRST_PAUSE,
            cancel,
        }
    }

    /// Sets the upper bound of the first pause, which doubles with each further one.
    pub fn with_first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    fn run<T>(
        &self,
        operation: &'static str,
        object: &dyn std::fmt::Display,
        mut call: impl FnMut(u32) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut attempt = 0;
        loop {
            match call(attempt) {
                Err(error) if error.is_retryable() && attempt < self.retries => {
                    self.pause(attempt)
                        .map_err(|()| cancelled(operation, object))?;
                    attempt += 1;
                }
                Err(error) if error.is_retryable() && attempt > 0 => {
                    let message = format!("{} (tried {} times)", error.message, attempt + 1);
                    return Err(StorageError { message, ..error });
                }
                result => return result,
            }
        }
    }

    /// Waits between half and all of the attempt's pause; fails when cancelled meanwhile.
    fn pause(&self, attempt: u32) -> Result<(), ()> {
        let longest = self
            .first_pause
            .saturating_mul(1 << attempt.min(16))
            .min(LONGEST_PAUSE);
        let pause = longest.mul_f64(rand::rng().random_range(0.5..=1.0));
        wait(pause, &self.cancel)
    }
}

/// Waits for `pause`, or fails as soon as the token is cancelled.
pub(super) fn wait(pause: Duration, cancel: &CancelToken) -> Result<(), ()> {
    let (wake, woken) = crossbeam_channel::bounded::<()>(1);
    let _hook = cancel.on_cancel(move || {
        // Full means that the wait is over already.
        let _ = wake.try_send(());
    });
    let end = Instant::now() + pause;
    match woken.recv_deadline(end) {
        Ok(()) => Err(()),
        Err(_) if cancel.is_cancelled() => Err(()),
        Err(_) => Ok(()),
    }
}

/// Tries again what may go away by itself, for callers that are no [`Storage`].
pub(super) fn attempt<T>(
    operation: &'static str,
    object: &dyn std::fmt::Display,
    retries: u32,
    cancel: &CancelToken,
    mut call: impl FnMut() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let mut pause = FIRST_PAUSE;
    for attempt in 0.. {
        if cancel.is_cancelled() {
            return Err(cancelled(operation, object));
        }
        match call() {
            Err(e) if e.is_retryable() && attempt < retries => {
                wait(pause, cancel).map_err(|()| cancelled(operation, object))?;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            done => return done,
        }
    }
    unreachable!("the last attempt returns")
}

pub(super) fn cancelled(operation: &'static str, object: &dyn std::fmt::Display) -> StorageError {
    StorageError::new(StorageErrorKind::Cancelled, operation, object, "cancelled")
}

impl Storage for Retry {
    fn put(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        self.run("write", key, |_| self.inner.put(key, data))
    }

    fn create_new(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        self.run("create", key, |attempt| {
            match self.inner.create_new(key, data) {
                // The attempt before may have succeeded and only its answer been lost.
                Err(error)
                    if attempt > 0
                        && error.kind == StorageErrorKind::AlreadyExists
                        && self.inner.get(key).is_ok_and(|stored| stored == data) =>
                {
                    Ok(())
                }
                result => result,
            }
        })
    }

    fn get(&self, key: &ObjectKey) -> Result<Vec<u8>, StorageError> {
        self.run("read", key, |_| self.inner.get(key))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, len: u64) -> Result<Vec<u8>, StorageError> {
        self.run("read", key, |_| self.inner.get_range(key, offset, len))
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StorageError> {
        self.run("stat", key, |_| self.inner.stat(key))
    }

    fn list(&self, kind: FileKind) -> Result<Vec<StoredObject>, StorageError> {
        self.run("list", &kind.noun(), |_| self.inner.list(kind))
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.run("delete", key, |_| self.inner.delete(key))
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.run("flush", &"what was written", |_| self.inner.flush())
    }

    fn prepare(&self) -> Result<(), StorageError> {
        self.run("prepare", &"the repository's place", |_| {
            self.inner.prepare()
        })
    }

    fn remove_leftovers(&self, begun_before: jiff::Timestamp) -> Result<u64, StorageError> {
        self.run("clear", &"unfinished writes", |_| {
            self.inner.remove_leftovers(begun_before)
        })
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
