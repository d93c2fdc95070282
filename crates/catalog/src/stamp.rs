//! Whether anything was committed since, asked of the file system alone.
//!
//! A commit of any process is written to the end of the write-ahead log, so as long as that file was not written to, what
//! was read before is still true. Its time has the coarseness of the kernel's clock; a stamp is therefore given only once
//! that time is well past, when a later write must get another one. What this cannot see is a commit that is written but not
//! yet made durable: whoever relies on a stamp should do so for a moment only.
//!
//! The files are looked at from outside. Opening and closing one of them would end the locks that SQLite holds on it.

use crate::Catalog;
use crate::db::Db;
use jiff::SignedDuration;
use std::os::unix::fs::MetadataExt;

/// Two ticks of the coarsest clock by which a kernel stamps files.
const PAST: SignedDuration = SignedDuration::from_millis(20);

/// Equal to a later one while nothing was written in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    written_at: (i64, i64),
}

impl Catalog {
    /// What was read after a stamp was taken holds as long as later stamps equal it. `None` where that cannot be told: on
    /// PostgreSQL, and right after something was written.
    pub fn stamp(&self) -> Option<Stamp> {
        let Db::Sqlite { readers, .. } = self.db() else {
            return None;
        };
        let mut log = readers
            .connect_options()
            .get_filename()
            .as_os_str()
            .to_owned();
        log.push("-wal");
        let log = std::fs::metadata(log).ok()?;
        let written_at = log.modified().ok()?.try_into().ok()?;
        let whole_seconds = log.mtime_nsec() == 0;
        if whole_seconds || self.inner.clock.now().duration_since(written_at) < PAST {
            return None;
        }
        Some(Stamp {
            inode: log.ino(),
            size: log.len(),
            written_at: (log.mtime(), log.mtime_nsec()),
        })
    }
}
