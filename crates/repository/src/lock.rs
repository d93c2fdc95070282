//! Locks, in restic's form, so that stock tools and pgkeep exclude each other.
//!
//! A lock is a small file. To take one: look for a conflicting lock, write one's own, look again (of two that come at
//! the same moment at least one sees the other), and step back if there is a conflict now. A lock is refreshed every
//! five minutes by writing a new file before the old one goes. One older than thirty minutes, or whose process on this
//! machine is gone, was left behind and is removed by whoever meets it.
//!
//! A lock file that cannot be read is passed over by shared lockers, for it may be what a crash left, and a prune keeps
//! fresh packs for a grace time anyway; an exclusive locker refuses until it is removed by hand.

use crate::{
    error::{RepositoryError, Result},
    repository::Repository,
    storage::{FileKind, ObjectKey, StorageErrorKind},
};
use jiff::{SignedDuration, Timestamp};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

const STALE_AFTER: SignedDuration = SignedDuration::from_mins(30);

/// How a lock is kept alive.
#[derive(Debug, Clone, Copy)]
struct Pace {
    refresh_every: Duration,
    /// After a failed refresh the next attempt comes sooner.
    retry_every: Duration,
    /// The lock counts as lost at this age of the last good refresh, before others may take it for stale.
    lost_after: Duration,
}

const PACE: Pace = Pace {
    refresh_every: Duration::from_secs(5 * 60),
    retry_every: Duration::from_secs(30),
    lost_after: Duration::from_secs(25 * 60),
};

/// How often a lock is tried when another came at the same moment.
const ATTEMPTS: u32 = 4;

/// Who may work at the same time: any number of shared holders, or one exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Reads the repository, adds to it, or removes snapshots, which takes nothing from others: backup, restore, check,
    /// forget.
    Shared,
    /// Removes what others may count on: prune, repair.
    Exclusive,
}

/// What a lock file says about its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    pub time: Timestamp,
    pub exclusive: bool,
    #[serde(default)]
    pub hostname: String,
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub pid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// What the holder does; an addition that stock tools pass over.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl fmt::Display for LockInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.reason.is_empty() {
            "another program"
        } else {
            &self.reason
        };
        let kind = if self.exclusive {
            "exclusive"
        } else {
            "shared"
        };
        write!(
            f,
            "{what} (process {} of {} on {}, {kind} since {})",
            self.pid, self.username, self.hostname, self.time
        )
    }
}

impl LockInfo {
    /// Whether the holder is gone: too old, or a process of this machine that no longer runs.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.time) > STALE_AFTER
            || (self.hostname == crate::host::hostname() && !crate::host::process_runs(self.pid))
    }
}

/// Holds a lock until it is dropped.
#[derive(Debug)]
#[must_use = "dropping the guard gives the lock back"]
pub struct LockGuard {
    held: Arc<Held>,
    refresher: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Held {
    repository: Repository,
    info: LockInfo,
    pace: Pace,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    /// Name of the lock file that stands for this lock now.
    name: String,
    refreshed: Instant,
    /// A new lock file is being put in the place of the old one.
    refreshing: bool,
    lost: Option<String>,
    released: bool,
}

impl LockGuard {
    /// Whether the lock can no longer be relied on; nothing may be published or removed then.
    pub fn lost(&self) -> bool {
        self.held.state.lock().lost.is_some()
    }

    /// Fails with the reason when the lock is known to be lost. Asks nobody, so it may stand in a loop.
    pub fn check(&self) -> Result<()> {
        match &self.held.state.lock().lost {
            Some(reason) => Err(RepositoryError::LockLost {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Looks whether the lock file is still there, and fails when it is not: somebody removed it, or took it for left
    /// behind. To be asked right before what cannot be taken back; between two refreshes nothing else notices.
    pub fn confirm(&self) -> Result<()> {
        self.check()?;
        loop {
            let name = self.held.state.lock().name.clone();
            if self.held.is_stored(&name)? {
                return Ok(());
            }
            let mut state = self.held.state.lock();
            // A refresh puts the new file there before the old one goes, and tells the name after.
            if state.name == name && !state.refreshing {
                let reason = "its lock file was removed";
                state.lost.get_or_insert_with(|| reason.into());
                return Err(RepositoryError::LockLost {
                    reason: reason.into(),
                });
            }
            self.held
                .wake
                .wait_while(&mut state, |state| state.refreshing);
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.held.state.lock().released = true;
        self.held.wake.notify_all();
        if let Some(refresher) = self.refresher.take() {
            let _ = refresher.join();
        }
        let name = self.held.state.lock().name.clone();
        // A lock that cannot be removed now goes stale by itself.
        let _ = self
            .held
            .repository
            .storage()
            .delete(&ObjectKey::new(FileKind::Lock, name));
    }
}

/// Takes a lock, or says who holds a conflicting one.
pub(crate) fn acquire(repository: &Repository, mode: LockMode, reason: &str) -> Result<LockGuard> {
    acquire_with(repository, mode, reason, PACE)
}

fn acquire_with(
    repository: &Repository,
    mode: LockMode,
    reason: &str,
    pace: Pace,
) -> Result<LockGuard> {
    let info = LockInfo {
        time: repository.clock().now(),
        exclusive: mode == LockMode::Exclusive,
        hostname: crate::host::hostname(),
        username: crate::host::username(),
        pid: std::process::id(),
        uid: crate::host::uid(),
        gid: crate::host::gid(),
        reason: reason.into(),
    };
    let mut attempt = 1;
    let name = loop {
        fail_on_conflict(repository, mode, None)?;
        let name = write(repository, &info)?;
        let Err(conflict) = fail_on_conflict(repository, mode, Some(&name)) else {
            break name;
        };
        repository
            .storage()
            .delete(&ObjectKey::new(FileKind::Lock, name))?;
        if attempt == ATTEMPTS || !matches!(conflict, RepositoryError::Locked { .. }) {
            return Err(conflict);
        }
        // Both of two that met may have stepped back: come again at another moment.
        attempt += 1;
        std::thread::sleep(Duration::from_millis(rand::random_range(20..200)));
    };
    let held = Arc::new(Held {
        repository: repository.clone(),
        info,
        pace,
        state: Mutex::new(State {
            name,
            refreshed: Instant::now(),
            refreshing: false,
            lost: None,
            released: false,
        }),
        wake: Condvar::new(),
    });
    let refresher = {
        let held = held.clone();
        std::thread::Builder::new()
            .name("lock-refresh".into())
            .spawn(move || held.refresh_until_released())
            .map_err(|e| RepositoryError::invalid(format!("cannot start a thread: {e}")))?
    };
    Ok(LockGuard {
        held,
        refresher: Some(refresher),
    })
}

/// All locks that can be read, with their names; stale ones too.
pub(crate) fn list(repository: &Repository) -> Result<Vec<(String, Result<LockInfo>)>> {
    let mut locks = Vec::new();
    for object in repository.storage().list(FileKind::Lock)? {
        let key = ObjectKey::new(FileKind::Lock, object.name);
        match repository.load_json::<LockInfo>(&key) {
            // Given back between the listing and the reading.
            Err(RepositoryError::Storage(e)) if e.kind == StorageErrorKind::NotFound => {}
            other => locks.push((key.name, other)),
        }
    }
    Ok(locks)
}

fn fail_on_conflict(repository: &Repository, mode: LockMode, own: Option<&str>) -> Result<()> {
    for (name, lock) in list(repository)? {
        if Some(name.as_str()) == own {
            continue;
        }
        match lock {
            Ok(info) if info.is_stale(repository.clock().now()) => {
                repository
                    .storage()
                    .delete(&ObjectKey::new(FileKind::Lock, name))?;
            }
            Ok(info) if info.exclusive || mode == LockMode::Exclusive => {
                return Err(RepositoryError::Locked {
                    holder: Box::new(info),
                });
            }
            Ok(_) => {}
            Err(e @ RepositoryError::Damaged { .. }) if mode == LockMode::Exclusive => {
                return Err(e);
            }
            Err(RepositoryError::Damaged { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn write(repository: &Repository, info: &LockInfo) -> Result<String> {
    repository.save_json(FileKind::Lock, info)
}

impl Held {
    fn refresh_until_released(&self) {
        let mut wait = self.pace.refresh_every;
        let mut state = self.state.lock();
        loop {
            let until = Instant::now() + wait;
            while !state.released && !self.wake.wait_until(&mut state, until).timed_out() {}
            if state.released || state.lost.is_some() {
                return;
            }
            let old = state.name.clone();
            state.refreshing = true;
            // Not held while the storage works, so that `lost()` never waits for it.
            let refreshed = parking_lot::MutexGuard::unlocked(&mut state, || self.refresh(&old));
            state.refreshing = false;
            self.wake.notify_all();
            match refreshed {
                Ok(name) => {
                    state.name = name;
                    state.refreshed = Instant::now();
                    wait = self.pace.refresh_every;
                }
                Err(RepositoryError::LockLost { .. }) => {
                    state.lost = Some("its lock file was removed".into());
                }
                Err(e) if state.refreshed.elapsed() > self.pace.lost_after => {
                    state.lost = Some(e.to_string());
                }
                Err(_) => wait = self.pace.retry_every,
            }
        }
    }

    /// Puts a lock file with the present time in the place of the old one.
    fn refresh(&self, old: &str) -> Result<String> {
        if !self.is_stored(old)? {
            return Err(RepositoryError::LockLost {
                reason: "its lock file was removed".into(),
            });
        }
        let info = LockInfo {
            time: self.repository.clock().now(),
            ..self.info.clone()
        };
        let name = write(&self.repository, &info)?;
        let old = ObjectKey::new(FileKind::Lock, old);
        self.repository.storage().delete(&old)?;
        Ok(name)
    }

    fn is_stored(&self, name: &str) -> Result<bool> {
        let key = ObjectKey::new(FileKind::Lock, name);
        Ok(self.repository.storage().stat(&key)?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{
        LocalStorage, Storage,
        faulty::{Fault, Faulty},
        recording::Operation,
    };
    use pgkeep_testkit::ManualClock;

    const FAST: Pace = Pace {
        refresh_every: Duration::from_millis(10),
        retry_every: Duration::from_millis(5),
        lost_after: Duration::from_millis(100),
    };

    struct Setup {
        _folder: tempfile::TempDir,
        clock: Arc<ManualClock>,
        storage: Arc<Faulty>,
        repository: Repository,
    }

    fn setup() -> Setup {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::new(ManualClock::at("2026-01-02T03:04:05Z"));
        let storage = Arc::new(Faulty::new(Arc::new(LocalStorage::new(
            folder.path().join("repo"),
        ))));
        let repository =
            Repository::init(storage.clone(), &"key".into(), clock.clone()).expect("init");
        Setup {
            _folder: folder,
            clock,
            storage,
            repository,
        }
    }

    /// Waits for another thread's work, which must come.
    fn until(what: &str, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_held_lock_carries_the_present_time() {
        let s = setup();
        let lock = acquire_with(&s.repository, LockMode::Shared, "backup", FAST).expect("lock");
        s.clock.advance(SignedDuration::from_hours(2));
        let now = s.repository.clock().now();
        until("a refresh", || {
            let locks = list(&s.repository).expect("list");
            locks.len() == 1 && matches!(&locks[0].1, Ok(info) if info.time == now)
        });
        assert!(!lock.lost());
        drop(lock);
        assert!(list(&s.repository).expect("list").is_empty());
    }

    #[test]
    fn a_lock_that_someone_removed_is_lost() {
        let s = setup();
        let lock = acquire_with(&s.repository, LockMode::Shared, "backup", FAST).expect("lock");
        until("the loss", || {
            for (name, _) in list(&s.repository).expect("list") {
                s.storage
                    .delete(&ObjectKey::new(FileKind::Lock, name))
                    .expect("delete");
            }
            lock.lost()
        });
        let error = lock.check().expect_err("lost");
        assert!(matches!(error, RepositoryError::LockLost { .. }), "{error}");
    }

    #[test]
    fn a_lock_is_seen_to_be_gone_at_once_when_asked_and_stays_confirmed_while_it_is_refreshed() {
        let s = setup();
        let busy = acquire_with(&s.repository, LockMode::Shared, "backup", FAST).expect("lock");
        for _ in 0..200 {
            busy.confirm()
                .expect("held all the time, whatever its name");
        }
        drop(busy);

        // Refreshed every five minutes: nothing but the question can find it out in this test.
        let lock = acquire_with(&s.repository, LockMode::Shared, "backup", PACE).expect("lock");
        lock.confirm().expect("held");
        for (name, _) in list(&s.repository).expect("list") {
            s.storage
                .delete(&ObjectKey::new(FileKind::Lock, name))
                .expect("delete");
        }
        lock.check().expect("nobody has looked yet");
        let error = lock.confirm().expect_err("gone");
        assert!(matches!(error, RepositoryError::LockLost { .. }), "{error}");
        assert!(lock.lost(), "what was seen once stays so");
    }

    #[test]
    fn a_lock_outlives_a_short_failure_of_the_store_and_not_a_long_one() {
        let s = setup();
        let lock = acquire_with(&s.repository, LockMode::Shared, "backup", FAST).expect("lock");
        let put = (Operation::Put, Some(FileKind::Lock));
        s.storage
            .on_nth(put.0, put.1, 1, Fault::Fail(StorageErrorKind::Temporary));
        s.clock.advance(SignedDuration::from_hours(1));
        let now = s.repository.clock().now();
        until("a refresh after the failure", || {
            list(&s.repository)
                .expect("list")
                .iter()
                .any(|(_, l)| matches!(l, Ok(info) if info.time == now))
        });
        assert!(!lock.lost());
        s.storage
            .always(put.0, put.1, Fault::Fail(StorageErrorKind::Temporary));
        until("the loss", || lock.lost());
        s.storage.heal();
    }
}
