//! Where a package goes: a file, a folder, a bucket, or a stream of the caller's.

use crate::{Error, Result};
use pgkeep_repository::storage::{self, ObjectUpload, StorageOptions};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
};
use tempfile::NamedTempFile;

#[derive(Debug, Clone)]
pub enum PackageTarget {
    /// A file of this name; it must not exist.
    File(PathBuf),
    /// A file with a name of its own in this folder, which is made where it is missing.
    Folder(PathBuf),
    /// An object with a name of its own below `s3://bucket/folder`.
    Bucket {
        address: String,
        options: Box<StorageOptions>,
    },
}

/// A package that is being written, counted and summed on the way; it has no final name before [`Place::finish`].
pub struct Place<'a> {
    to: To<'a>,
    hash: Sha256,
    size: u64,
}

enum To<'a> {
    File { file: NamedTempFile, path: PathBuf },
    Stream(&'a mut dyn Write),
    Object(Box<ObjectUpload>),
}

/// What was written where.
pub struct Placed {
    /// `None` for a stream.
    pub location: Option<String>,
    pub size: u64,
    pub sha256: String,
}

impl<'a> Place<'a> {
    /// A stream of the caller's.
    pub fn stream(out: &'a mut dyn Write) -> Self {
        Self::at(To::Stream(out))
    }

    fn at(to: To<'a>) -> Self {
        Self {
            to,
            hash: Sha256::new(),
            size: 0,
        }
    }

    /// A place of this kind for a package of this name; `bytes`, where they are known, decide how it is uploaded.
    pub fn open(target: &PackageTarget, name: &str, bytes: Option<u64>) -> Result<Self> {
        let to = match target {
            PackageTarget::File(path) => file_at(path.clone())?,
            PackageTarget::Folder(folder) => {
                fs::create_dir_all(folder).map_err(|e| Error::from(e).context(folder.display()))?;
                file_at(folder.join(name))?
            }
            PackageTarget::Bucket { address, options } => {
                To::Object(Box::new(storage::upload(address, name, bytes, options)?))
            }
        };
        Ok(Self::at(to))
    }

    /// Makes it durable and gives it its name.
    pub fn finish(self) -> Result<Placed> {
        let location = match self.to {
            To::Stream(out) => {
                out.flush()?;
                None
            }
            To::Object(upload) => {
                let location = upload.location();
                upload.finish()?;
                Some(location)
            }
            To::File { file, path } => {
                file.as_file().sync_all()?;
                file.persist_noclobber(&path)
                    .map_err(|e| Error::from(e.error).context(path.display()))?;
                if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                    File::open(folder)?.sync_all()?;
                }
                Some(path.display().to_string())
            }
        };
        Ok(Placed {
            location,
            size: self.size,
            sha256: hex::encode(self.hash.finalize()),
        })
    }
}

/// A temporary file beside its place, readable by its owner alone: it holds everything that the databases do.
fn file_at<'a>(path: PathBuf) -> Result<To<'a>> {
    if path.exists() {
        return Err(Error::refused(format!("{} exists already", path.display()))
            .hint("choose another name, or move the file away"));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".pgkeep-")
        .tempfile_in(&folder)
        .map_err(|e| Error::from(e).context(folder.display()))?;
    Ok(To::File { file, path })
}

impl Write for Place<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = match &mut self.to {
            To::File { file, .. } => file.write(data),
            To::Stream(out) => out.write(data),
            To::Object(upload) => upload.write(data),
        }?;
        self.hash.update(&data[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::File { file, .. } => file.flush(),
            To::Stream(out) => out.flush(),
            To::Object(upload) => upload.flush(),
        }
    }
}
