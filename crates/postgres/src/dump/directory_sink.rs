//! Writes a dump as pg_dump's directory format into a folder.
//!
//! Order of effects: segments go to files of their own as they come; [`DirectorySink::assemble`] joins them into members
//! and writes `toc.dat` last, so a folder without `toc.dat` is an unfinished dump and pg_restore refuses it.

use super::{DumpSink, DumpedDatabase, SegmentDone, SegmentWriter};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// A folder being filled.
#[derive(Debug)]
pub struct DirectorySink {
    folder: PathBuf,
    next: AtomicU64,
}

impl DirectorySink {
    /// Makes the folder; one that exists must be empty.
    pub fn create(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        if fs::read_dir(&folder)?.next().is_some() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("folder {} is not empty", folder.display()),
            ));
        }
        Ok(Self {
            folder,
            next: AtomicU64::new(1),
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Joins the segments of every member, syncs, and ends with `toc.dat`.
    pub fn assemble(&self, dumped: &DumpedDatabase) -> io::Result<()> {
        let toc_last = dumped.manifest.members.iter().zip(&dumped.tokens).rev();
        for (member, tokens) in toc_last {
            let path = self.folder.join(&member.file);
            match tokens.split_first() {
                None => drop(File::create_new(&path)?),
                Some((first, rest)) => {
                    let mut joined = OpenOptions::new()
                        .append(true)
                        .open(self.segment_path(*first))?;
                    for token in rest {
                        let part = self.segment_path(*token);
                        io::copy(&mut File::open(&part)?, &mut joined)?;
                        fs::remove_file(&part)?;
                    }
                    joined.sync_all()?;
                    fs::rename(self.segment_path(*first), &path)?;
                }
            }
        }
        File::open(&self.folder)?.sync_all()
    }

    fn segment_path(&self, token: u64) -> PathBuf {
        self.folder.join(format!("segment-{token}.part"))
    }
}

impl DumpSink for DirectorySink {
    fn segment(&self) -> io::Result<Box<dyn SegmentWriter>> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.segment_path(token);
        let file = File::create_new(&path)?;
        Ok(Box::new(DirectorySegment {
            out: Some(BufWriter::with_capacity(128 * 1024, file)),
            path,
            bytes: 0,
            token,
        }))
    }
}

struct DirectorySegment {
    /// Taken when finished.
    out: Option<BufWriter<File>>,
    path: PathBuf,
    bytes: u64,
    token: u64,
}

impl DirectorySegment {
    fn out(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.out
            .as_mut()
            .ok_or_else(|| io::Error::other("the segment is finished"))
    }
}

impl Write for DirectorySegment {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out()?.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out()?.flush()
    }
}

impl SegmentWriter for DirectorySegment {
    fn finish(mut self: Box<Self>) -> io::Result<SegmentDone> {
        self.flush()?;
        self.out = None;
        Ok(SegmentDone {
            bytes: self.bytes,
            chunks: 1,
            token: self.token,
        })
    }
}

impl Drop for DirectorySegment {
    fn drop(&mut self) {
        if self.out.take().is_some() {
            // An unfinished segment is no part of the dump; a leftover file would only take space.
            let _ = fs::remove_file(&self.path);
        }
    }
}
