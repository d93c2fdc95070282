//! Reading one large object that is no part of a repository, as a stream: what is imported from a bucket.
//!
//! It is read in ranges, each of which is tried again by itself. The size is asked for once: an object that is replaced
//! meanwhile by a shorter one is an error, never a shorter stream.

use super::{
    StorageError, StorageErrorKind, StorageOptions,
    retry::attempt,
    s3::{S3Address, S3Storage},
};
use pgkeep_model::CancelToken;
use std::{
    fmt,
    io::{self, Read},
};

/// One request's worth.
const RANGE: u64 = 8 << 20;

/// An object of a bucket that is being read.
pub struct ObjectDownload {
    storage: S3Storage,
    name: String,
    size: u64,
    /// How much was asked for so far.
    offset: u64,
    range: io::Cursor<Vec<u8>>,
    retries: u32,
    cancel: CancelToken,
}

impl fmt::Debug for ObjectDownload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectDownload").field(&self.name).finish()
    }
}

/// Opens the object at an address such as `s3://bucket/folder/name`.
pub fn download(address: &str, options: &StorageOptions) -> Result<ObjectDownload, StorageError> {
    S3Address::parse(address)?;
    let plain = address.split('?').next().unwrap_or(address);
    let wrong = || {
        let why = "it names no object: s3://bucket/folder/name";
        StorageError::new(StorageErrorKind::Other, "read", address, why)
    };
    let (folder, name) = plain.rsplit_once('/').ok_or_else(wrong)?;
    if name.is_empty() || folder == "s3:/" || folder == "s3://" {
        return Err(wrong());
    }
    // What the address says besides the path belongs to the bucket.
    let parameters = &address[plain.len()..];
    let storage = S3Storage::open(&format!("{folder}{parameters}"), options)?;
    let mut object = ObjectDownload {
        storage,
        name: name.to_owned(),
        size: 0,
        offset: 0,
        range: io::Cursor::default(),
        retries: options.retries,
        cancel: options.cancel.clone(),
    };
    let found = object.attempt("stat", |storage, name| storage.object_size(name))?;
    object.size = found.ok_or_else(|| {
        let why = "there is no such object";
        StorageError::new(StorageErrorKind::NotFound, "read", plain, why)
    })?;
    Ok(object)
}

impl ObjectDownload {
    /// In bytes.
    pub fn size(&self) -> u64 {
        self.size
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

impl Read for ObjectDownload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.range.position() == self.range.get_ref().len() as u64 && self.offset < self.size {
            let len = RANGE.min(self.size - self.offset);
            let offset = self.offset;
            let read = self.attempt("read", |storage, name| {
                storage.read_object(name, offset, len)
            });
            self.range = io::Cursor::new(read.map_err(io::Error::other)?);
            self.offset += len;
        }
        self.range.read(buffer)
    }
}
