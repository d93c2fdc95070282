//! Whether anything was committed since, asked of the file system alone.
//!
//! A commit of any process is written to the end of the write-ahead log, so as long as that file was not written to, what
//! was read before is still true. Files are stamped by a clock of the kernel that moves in ticks; a stamp is therefore given
//! only once that clock has moved on, when a later write must get another time. What this cannot see is a commit that is
//! written but not yet made durable: whoever relies on a stamp should do so for a moment only.
//!
//! The files are looked at from outside. Opening and closing one of them would end the locks that SQLite holds on it.

use crate::Catalog;
use crate::db::Db;
use rustix::time::{ClockId, clock_gettime};
use std::os::unix::fs::MetadataExt;

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
        // Before the file: what is written after it was looked at has this time or a later one.
        let clock = clock_gettime(ClockId::RealtimeCoarse);
        let log = std::fs::metadata(log).ok()?;
        let written_at = (log.mtime(), log.mtime_nsec());
        let whole_seconds = written_at.1 == 0;
        let moved_on = (clock.tv_sec, clock.tv_nsec) > written_at;
        (moved_on && !whole_seconds).then(|| Stamp {
            inode: log.ino(),
            size: log.len(),
            written_at,
        })
    }
}
