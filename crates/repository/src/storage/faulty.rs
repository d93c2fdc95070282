//! Makes a store fail on purpose: the nth call of an operation fails, loses its answer, is cut short, has a bit
//! flipped, or takes its time. Tests of the operations above use it in place of a mock.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{
    FileKind, ObjectKey, Storage, StorageError, StorageErrorKind, StoredObject,
    recording::Operation,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call does nothing and fails.
    Fail(StorageErrorKind),
    /// The call takes effect, yet its answer is lost.
    LoseAnswer(StorageErrorKind),
    /// Only so many bytes are stored or read, and the call succeeds.
    Truncate(usize),
    /// One bit of the bytes stored or read is turned over, counted from the first; the call succeeds.
    FlipBit(usize),
    /// The call waits before it takes effect.
    Delay(Duration),
}

/// When a fault strikes.
#[derive(Debug, Clone)]
struct Trigger {
    operation: Operation,
    kind: Option<FileKind>,
    skip: u64,
    times: u64,
    fault: Fault,
}

/// A store with faults; without any it passes everything on.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Storage>,
    triggers: Mutex<Vec<Trigger>>,
    /// Writes that still take effect before everything fails.
    writes_left: Mutex<Option<u64>>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self {
            inner,
            triggers: Mutex::new(Vec::new()),
            writes_left: Mutex::new(None),
        }
    }

    /// Lets so many more writes take effect; from then on every call fails, as for a process that was killed there.
    pub fn die_after(&self, writes: u64) {
        *self.writes_left.lock() = Some(writes);
    }

    /// Lets the `nth` call from now (the first is 1) of `operation`, on objects of `kind` if given, meet `fault`.
    pub fn on_nth(&self, operation: Operation, kind: Option<FileKind>, nth: u64, fault: Fault) {
        self.add(operation, kind, nth.saturating_sub(1), 1, fault);
    }

    /// Lets every call of `operation`, on objects of `kind` if given, meet `fault`.
    pub fn always(&self, operation: Operation, kind: Option<FileKind>, fault: Fault) {
        self.add(operation, kind, 0, u64::MAX, fault);
    }

    /// Lets the next `times` calls of `operation`, on objects of `kind` if given, meet `fault`.
    pub fn next_times(
        &self,
        operation: Operation,
        kind: Option<FileKind>,
        times: u64,
        fault: Fault,
    ) {
        self.add(operation, kind, 0, times, fault);
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.triggers.lock().clear();
        *self.writes_left.lock() = None;
    }

    fn add(
        &self,
        operation: Operation,
        kind: Option<FileKind>,
        skip: u64,
        times: u64,
        fault: Fault,
    ) {
        self.triggers.lock().push(Trigger {
            operation,
            kind,
            skip,
            times,
            fault,
        });
    }

    /// The fault that this call meets, if any; counts the call.
    fn strike(&self, operation: Operation, kind: Option<FileKind>) -> Option<Fault> {
        match &mut *self.writes_left.lock() {
            Some(0) => return Some(Fault::Fail(StorageErrorKind::Other)),
            Some(left) if operation.is_write() => *left -= 1,
            _ => {}
        }
        let mut struck = None;
        for trigger in self.triggers.lock().iter_mut() {
            if trigger.operation != operation || (trigger.kind.is_some() && trigger.kind != kind) {
                continue;
            }
            if trigger.skip > 0 {
                trigger.skip -= 1;
            } else if trigger.times > 0 && struck.is_none() {
                trigger.times -= 1;
                struck = Some(trigger.fault);
            }
        }
        struck
    }

    fn run<T>(
        &self,
        operation: Operation,
        kind: Option<FileKind>,
        object: &str,
        call: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match self.strike(operation, kind) {
            Some(Fault::Fail(error)) => Err(injected(error, operation, object)),
            Some(Fault::LoseAnswer(error)) => {
                call()?;
                Err(injected(error, operation, object))
            }
            Some(Fault::Delay(delay)) => {
                std::thread::sleep(delay);
                call()
            }
            Some(Fault::Truncate(_) | Fault::FlipBit(_)) | None => call(),
        }
    }

    fn write(
        &self,
        operation: Operation,
        key: &ObjectKey,
        data: &[u8],
        call: impl Fn(&[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        match self.strike(operation, Some(key.kind)) {
            Some(fault @ (Fault::Truncate(_) | Fault::FlipBit(_))) => {
                let mut data = data.to_vec();
                harm(&mut data, fault);
                call(&data)
            }
            Some(Fault::Fail(error)) => Err(injected(error, operation, &key.to_string())),
            Some(Fault::LoseAnswer(error)) => {
                call(data)?;
                Err(injected(error, operation, &key.to_string()))
            }
            Some(Fault::Delay(delay)) => {
                std::thread::sleep(delay);
                call(data)
            }
            None => call(data),
        }
    }

    fn read(
        &self,
        operation: Operation,
        key: &ObjectKey,
        call: impl Fn() -> Result<Vec<u8>, StorageError>,
    ) -> Result<Vec<u8>, StorageError> {
        match self.strike(operation, Some(key.kind)) {
            Some(Fault::Fail(error) | Fault::LoseAnswer(error)) => {
                Err(injected(error, operation, &key.to_string()))
            }
            Some(Fault::Delay(delay)) => {
                std::thread::sleep(delay);
                call()
            }
            Some(fault) => {
                let mut data = call()?;
                harm(&mut data, fault);
                Ok(data)
            }
            None => call(),
        }
    }
}

/// Damages bytes in the way of a [`Fault::Truncate`] or [`Fault::FlipBit`].
fn harm(data: &mut Vec<u8>, fault: Fault) {
    match fault {
        Fault::Truncate(len) => data.truncate(len),
        Fault::FlipBit(bit) if !data.is_empty() => {
            let byte = (bit / 8) % data.len();
            data[byte] ^= 1 << (bit % 8);
        }
        _ => {}
    }
}

fn injected(kind: StorageErrorKind, operation: Operation, object: &str) -> StorageError {
    let operation = match operation {
        Operation::Put => "write",
        Operation::CreateNew => "create",
        Operation::Get | Operation::GetRange => "read",
        Operation::Stat => "stat",
        Operation::List => "list",
        Operation::Delete => "delete",
        Operation::Flush => "flush",
    };
    StorageError::new(kind, operation, object, "injected fault")
}

impl Storage for Faulty {
    fn put(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        self.write(Operation::Put, key, data, |data| self.inner.put(key, data))
    }

    fn create_new(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        self.write(Operation::CreateNew, key, data, |data| {
            self.inner.create_new(key, data)
        })
    }

    fn get(&self, key: &ObjectKey) -> Result<Vec<u8>, StorageError> {
        self.read(Operation::Get, key, || self.inner.get(key))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, len: u64) -> Result<Vec<u8>, StorageError> {
        self.read(Operation::GetRange, key, || {
            self.inner.get_range(key, offset, len)
        })
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StorageError> {
        let object = key.to_string();
        self.run(Operation::Stat, Some(key.kind), &object, || {
            self.inner.stat(key)
        })
    }

    fn list(&self, kind: FileKind) -> Result<Vec<StoredObject>, StorageError> {
        self.run(Operation::List, Some(kind), kind.noun(), || {
            self.inner.list(kind)
        })
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let object = key.to_string();
        self.run(Operation::Delete, Some(key.kind), &object, || {
            self.inner.delete(key)
        })
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.run(Operation::Flush, None, "what was written", || {
            self.inner.flush()
        })
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
