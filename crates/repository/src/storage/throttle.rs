//! Keeps the bytes sent and received below a rate, measured over all threads together.
//!
//! Each direction owns a budget of time: a transfer of `n` bytes books `n / rate` seconds behind what is booked already
//! and waits for its turn. Objects travel whole, so the rate holds over a few objects, not within one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pgkeep_model::CancelToken;

use super::{
    FileKind, ObjectKey, Storage, StorageError, StoredObject,
    retry::{cancelled, wait},
};

/// A store behind a speed limit.
#[derive(Debug)]
pub struct Throttle {
    inner: Arc<dyn Storage>,
    upload: Option<Budget>,
    download: Option<Budget>,
    cancel: CancelToken,
}

impl Throttle {
    /// Limits each direction to so many bytes a second; `None` leaves it free.
    pub fn new(
        inner: Arc<dyn Storage>,
        upload_bytes_per_sec: Option<u64>,
        download_bytes_per_sec: Option<u64>,
        cancel: CancelToken,
    ) -> Self {
        Self {
            inner,
            upload: upload_bytes_per_sec.map(Budget::new),
            download: download_bytes_per_sec.map(Budget::new),
            cancel,
        }
    }

    fn before_upload(&self, key: &ObjectKey, len: usize) -> Result<(), StorageError> {
        self.turn(self.upload.as_ref(), len as u64)
            .map_err(|()| cancelled("write", key))
    }

    fn before_download(&self, key: &ObjectKey, len: u64) -> Result<(), StorageError> {
        self.turn(self.download.as_ref(), len)
            .map_err(|()| cancelled("read", key))
    }

    fn turn(&self, budget: Option<&Budget>, len: u64) -> Result<(), ()> {
        let Some(budget) = budget else { return Ok(()) };
        let pause = budget.book(len, Instant::now());
        if pause.is_zero() {
            return Ok(());
        }
        wait(pause, &self.cancel)
    }
}

/// Time that is booked by transfers, at a fixed rate.
#[derive(Debug)]
struct Budget {
    bytes_per_sec: u64,
    booked_until: Mutex<Option<Instant>>,
}

impl Budget {
    fn new(bytes_per_sec: u64) -> Self {
        Self {
            bytes_per_sec: bytes_per_sec.max(1),
            booked_until: Mutex::new(None),
        }
    }

    /// Books `len` bytes and tells how long to wait until they may have passed.
    fn book(&self, len: u64, now: Instant) -> Duration {
        let cost = Duration::from_secs_f64(len as f64 / self.bytes_per_sec as f64);
        let mut booked_until = self.booked_until.lock();
        let end = booked_until.map_or(now, |until| until.max(now)) + cost;
        *booked_until = Some(end);
        end - now
    }
}

impl Storage for Throttle {
    fn put(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        self.before_upload(key, data.len())?;
        self.inner.put(key, data)
    }

    fn create_new(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        self.before_upload(key, data.len())?;
        self.inner.create_new(key, data)
    }

    fn get(&self, key: &ObjectKey) -> Result<Vec<u8>, StorageError> {
        // The size is known only afterwards, so the wait is paid by whoever comes next as well.
        let data = self.inner.get(key)?;
        self.before_download(key, data.len() as u64)?;
        Ok(data)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, len: u64) -> Result<Vec<u8>, StorageError> {
        self.before_download(key, len)?;
        self.inner.get_range(key, offset, len)
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StorageError> {
        self.inner.stat(key)
    }

    fn list(&self, kind: FileKind) -> Result<Vec<StoredObject>, StorageError> {
        self.inner.list(kind)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.inner.delete(key)
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.inner.flush()
    }

    fn prepare(&self) -> Result<(), StorageError> {
        self.inner.prepare()
    }

    fn remove_leftovers(&self, begun_before: jiff::Timestamp) -> Result<u64, StorageError> {
        self.inner.remove_leftovers(begun_before)
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
