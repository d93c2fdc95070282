//! Writing one large object that is no part of a repository, as a stream: what is exported to a bucket.
//!
//! The object appears whole or not at all: parts are sent as they fill, and only [`ObjectUpload::finish`] puts them
//! together. Dropping it before that, or any failure, takes the parts back.

use super::{
    StorageError, StorageErrorKind, StorageOptions,
    retry::attempt,
    s3::{S3Address, S3Storage},
};
use pgkeep_model::CancelToken;
use std::{
    fmt,
    io::{self, Write},
};

/// S3 takes at most 10,000 parts of at least 5 MiB.
const SMALLEST_PART: u64 = 16 << 20;
const MOST_PARTS: u64 = 9_000;

/// An object of a bucket that is being written.
pub struct ObjectUpload {
    storage: S3Storage,
    writer: Option<opendal::Writer>,
    name: String,
    part: Vec<u8>,
    part_bytes: usize,
    retries: u32,
    cancel: CancelToken,
}

impl fmt::Debug for ObjectUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectUpload").field(&self.name).finish()
    }
}

/// Begins an object `name` below an address such as `s3://bucket/folder`; one that is there already is not overwritten.
/// `expected_bytes` decides how large its parts are.
pub fn upload(
    address: &str,
    name: &str,
    expected_bytes: Option<u64>,
    options: &StorageOptions,
) -> Result<ObjectUpload, StorageError> {
    S3Address::parse(address)?;
    let storage = S3Storage::open(address, options)?;
    let mut upload = ObjectUpload {
        storage,
        writer: None,
        name: name.to_owned(),
        part: Vec::new(),
        part_bytes: (expected_bytes.unwrap_or(0) / MOST_PARTS).max(SMALLEST_PART) as usize,
        retries: options.retries,
        cancel: options.cancel.clone(),
    };
    let found = upload.attempt("stat", |storage, name| storage.object_size(name))?;
    if found.is_some() {
        return Err(StorageError::new(
            StorageErrorKind::AlreadyExists,
            "create",
            name,
            "an object of that name exists",
        ));
    }
    upload.writer = Some(upload.storage.begin_object(name)?);
    Ok(upload)
}

impl ObjectUpload {
    /// Sends the last part; the object is there when this returns.
    pub fn finish(mut self) -> Result<(), StorageError> {
        self.send()?;
        let mut writer = self.writer.take().expect("present until finished");
        let closed = self.attempt("write", |storage, name| {
            storage.close_object(name, &mut writer)
        });
        if closed.is_err() {
            self.storage.abort_object(&mut writer);
        }
        closed
    }

    /// The place in words, without secrets.
    pub fn location(&self) -> String {
        format!("{}/{}", self.storage.address_text(), self.name)
    }

    fn send(&mut self) -> Result<(), StorageError> {
        if self.part.is_empty() {
            return Ok(());
        }
        let part = bytes::Bytes::from(std::mem::take(&mut self.part));
        let mut writer = self.writer.take().expect("present until finished");
        let sent = self.attempt("write", |storage, name| {
            storage.write_object(name, &mut writer, part.clone())
        });
        self.writer = Some(writer);
        sent
    }

    fn attempt<T>(
        &self,
        operation: &'static str,
        mut call: impl FnMut(&S3Storage, &str) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        attempt(operation, &self.name, self.retries, &self.cancel, || {
            call(&self.storage, &self.name)
        })
    }
}

impl Write for ObjectUpload {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.part.capacity() == 0 {
            self.part.reserve_exact(self.part_bytes);
        }
        let room = self.part_bytes - self.part.len();
        let taken = data.len().min(room);
        self.part.extend_from_slice(&data[..taken]);
        if self.part.len() == self.part_bytes {
            self.send().map_err(io::Error::other)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ObjectUpload {
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            self.storage.abort_object(&mut writer);
        }
    }
}
