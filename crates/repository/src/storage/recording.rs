//! Writes down what is asked of a store and in which order, so that a test can state the order of writes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{FileKind, ObjectKey, Storage, StorageError, StoredObject};

/// What can be asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Put,
    CreateNew,
    Get,
    GetRange,
    Stat,
    List,
    Delete,
    Flush,
}

impl Operation {
    /// Whether it changes what the store holds.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Operation::Put | Operation::CreateNew | Operation::Delete | Operation::Flush
        )
    }
}

/// One finished call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub operation: Operation,
    /// `None` for a flush.
    pub kind: Option<FileKind>,
    /// Empty for a flush and a listing.
    pub name: String,
    /// Bytes sent or received.
    pub bytes: u64,
    pub ok: bool,
}

/// Passes everything on and keeps a record of it.
#[derive(Debug)]
pub struct Recording {
    inner: Arc<dyn Storage>,
    calls: Mutex<Vec<Recorded>>,
}

impl Recording {
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self {
            inner,
            calls: Mutex::new(Vec::new()),
        }
    }

    /// Every call so far, in the order in which they ended.
    pub fn calls(&self) -> Vec<Recorded> {
        self.calls.lock().clone()
    }

    /// The calls that changed something and succeeded.
    pub fn writes(&self) -> Vec<Recorded> {
        let mut calls = self.calls();
        calls.retain(|call| call.ok && call.operation.is_write());
        calls
    }

    /// Forgets what was recorded so far.
    pub fn clear(&self) {
        self.calls.lock().clear();
    }

    fn note<T>(
        &self,
        operation: Operation,
        kind: Option<FileKind>,
        name: &str,
        result: Result<T, StorageError>,
        bytes: impl Fn(&T) -> usize,
    ) -> Result<T, StorageError> {
        self.calls.lock().push(Recorded {
            operation,
            kind,
            name: name.to_owned(),
            bytes: result.as_ref().map_or(0, bytes) as u64,
            ok: result.is_ok(),
        });
        result
    }

    fn note_key<T>(
        &self,
        operation: Operation,
        key: &ObjectKey,
        result: Result<T, StorageError>,
        bytes: impl Fn(&T) -> usize,
    ) -> Result<T, StorageError> {
        self.note(operation, Some(key.kind), &key.name, result, bytes)
    }
}

impl Storage for Recording {
    fn put(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        let result = self.inner.put(key, data);
        self.note_key(Operation::Put, key, result, |()| data.len())
    }

    fn create_new(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        let result = self.inner.create_new(key, data);
        self.note_key(Operation::CreateNew, key, result, |()| data.len())
    }

    fn get(&self, key: &ObjectKey) -> Result<Vec<u8>, StorageError> {
        self.note_key(Operation::Get, key, self.inner.get(key), Vec::len)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, len: u64) -> Result<Vec<u8>, StorageError> {
        let result = self.inner.get_range(key, offset, len);
        self.note_key(Operation::GetRange, key, result, Vec::len)
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StorageError> {
        self.note_key(Operation::Stat, key, self.inner.stat(key), |_| 0)
    }

    fn list(&self, kind: FileKind) -> Result<Vec<StoredObject>, StorageError> {
        self.note(
            Operation::List,
            Some(kind),
            "",
            self.inner.list(kind),
            |_| 0,
        )
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.note_key(Operation::Delete, key, self.inner.delete(key), |()| 0)
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.note(Operation::Flush, None, "", self.inner.flush(), |()| 0)
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
