//! Lock files for the app: `.restore.lock` and `.backup.lock` in a folder that it can read.
//!
//! A file is written under a temporary name and then given its own by a link, which fails where there is one already. It is
//! written again every few seconds; one whose last writing is a minute old belongs to somebody who is gone.

use crate::{Context, Error, ErrorCode, Result, process};
use jiff::{SignedDuration, Timestamp};
use pgkeep_model::Clock;
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

const HEARTBEAT: Duration = Duration::from_secs(5);
const STALE: SignedDuration = SignedDuration::from_secs(60);

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    Backup,
    Restore,
}

impl LockKind {
    fn file_name(self) -> &'static str {
        match self {
            LockKind::Backup => ".backup.lock",
            LockKind::Restore => ".restore.lock",
        }
    }
}

/// What stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    holder: String,
    host: String,
    pid: u32,
    started: Timestamp,
    heartbeat: Timestamp,
    database: String,
}

impl Content {
    /// The same lock, whatever its heartbeat.
    fn is_of(&self, other: &Content) -> bool {
        (&self.holder, &self.host, self.pid, self.started)
            == (&other.holder, &other.host, other.pid, other.started)
    }
}

/// A lock file that is ours; it goes away with the value.
pub struct LockFile {
    path: PathBuf,
    content: Content,
    stop: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

impl LockFile {
    /// Takes the lock. `holder` says what holds it, such as `restore 3f2a91c0`.
    ///
    /// # Errors
    /// [`ErrorCode::Busy`] where a living one is there.
    pub fn take(
        dir: &Path,
        kind: LockKind,
        holder: &str,
        database: &str,
        context: &Context,
    ) -> Result<Self> {
        let path = dir.join(kind.file_name());
        let now = context.clock.now();
        let content = Content {
            holder: holder.to_owned(),
            host: context.hostname.clone(),
            pid: std::process::id(),
            started: now,
            heartbeat: now,
            database: database.to_owned(),
        };
        let failed = |e: io::Error| {
            Error::new(
                ErrorCode::Failed,
                format!("cannot write the lock file {}: {e}", path.display()),
            )
            .hint("`lock_dir` of the app's fence must be a folder that pgkeep can write to")
        };
        loop {
            let temporary = write_aside(&path, &content).map_err(failed)?;
            match std::fs::hard_link(&temporary, &path) {
                Ok(()) => {
                    remove(&temporary);
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    remove(&temporary);
                    give_way_or_clear(&path, now, context)?;
                }
                Err(e) => {
                    remove(&temporary);
                    return Err(failed(e));
                }
            }
        }
        let (stop, stopped) = channel();
        let heart = std::thread::Builder::new()
            .name("lock-file".into())
            .spawn({
                let (path, content, clock) = (path.clone(), content.clone(), context.clock.clone());
                move || beat(&path, content, &clock, &stopped)
            })?;
        Ok(Self {
            path,
            content,
            stop: Some(stop),
            heart: Some(heart),
        })
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(heart) = self.heart.take() {
            // A panic of it has been told by itself.
            let _ = heart.join();
        }
        if read(&self.path).is_some_and(|there| there.is_of(&self.content)) {
            remove(&self.path);
        }
    }
}

/// Refuses before a living lock; removes a stale one, or what is no lock at all.
fn give_way_or_clear(path: &Path, now: Timestamp, context: &Context) -> Result<()> {
    let Some(there) = read(path) else {
        // Gone meanwhile, or not written by us.
        if path.exists() {
            context.progress.warn(&format!(
                "{} was not a lock file that pgkeep can read; it is replaced",
                path.display()
            ));
            remove(path);
        }
        return Ok(());
    };
    let age = now.duration_since(there.heartbeat);
    let died = there.host == context.hostname && !process::is_alive(there.pid, there.started);
    if age <= STALE && !died {
        return Err(Error::new(
            ErrorCode::Busy,
            format!(
                "{} is held by {} of database {} (process {} on {}, since {})",
                path.display(),
                there.holder,
                there.database,
                there.pid,
                there.host,
                crate::shown(there.started)
            ),
        )
        .hint("wait until it has ended; a lock whose holder is gone may be taken after a minute"));
    }
    context.progress.warn(&format!(
        "the lock file of {} (process {} on {}) is stale: last heard of {}; it is replaced",
        there.holder,
        there.pid,
        there.host,
        crate::shown(there.heartbeat)
    ));
    remove(path);
    Ok(())
}

/// Writes the heartbeat until told to stop, or until the file is another's.
fn beat(path: &Path, mut content: Content, clock: &Arc<dyn Clock>, stopped: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(HEARTBEAT) {
        if !read(path).is_some_and(|there| there.is_of(&content)) {
            return;
        }
        content.heartbeat = clock.now();
        // A full disk now may have room the next time.
        if let Ok(temporary) = write_aside(path, &content)
            && std::fs::rename(&temporary, path).is_err()
        {
            remove(&temporary);
        }
    }
}

fn write_aside(path: &Path, content: &Content) -> io::Result<PathBuf> {
    let temporary = path.with_extension(format!("lock.{}", std::process::id()));
    std::fs::write(&temporary, serde_json::to_vec(content)?)?;
    Ok(temporary)
}

fn read(path: &Path) -> Option<Content> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// What is gone already is as good.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_model::{CancelToken, Silent};
    use pgkeep_testkit::ManualClock;

    #[test]
    fn a_living_lock_refuses_and_a_stale_one_is_replaced() {
        // Long after any process that runs now began.
        let clock = Arc::new(ManualClock::at("2126-11-21T08:00:00Z"));
        let context = Context {
            clock: clock.clone(),
            cancel: CancelToken::new(),
            progress: Arc::new(Silent),
            hostname: "db1".into(),
            username: "someone".into(),
            tool_dirs: Vec::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".restore.lock");
        let take =
            |holder| LockFile::take(folder.path(), LockKind::Restore, holder, "shop", &context);
        let first = take("restore 1").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains(r#""holder":"restore 1","host":"db1""#)
                && text.contains(r#""heartbeat":"2126-11-21T08:00:00Z","database":"shop""#),
            "{text}"
        );
        let busy = take("restore 2").err().expect("refused");
        assert_eq!(busy.code, ErrorCode::Busy);
        assert!(
            busy.message.contains("held by restore 1 of database shop"),
            "{busy}"
        );
        drop(first);
        assert!(!path.exists());

        // As one leaves it that was killed.
        std::fs::write(&path, &text).unwrap();
        clock.advance(SignedDuration::from_secs(61));
        let second = take("restore 2").unwrap();
        drop(second);
        // The same, and nobody can have that number: no need to wait.
        let pid = format!(r#""pid":{}"#, std::process::id());
        let dead = text.replace(&pid, r#""pid":4294967295"#);
        std::fs::write(&path, dead.replace("08:00:00", "08:01:01")).unwrap();
        let second = take("restore 2").unwrap();
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .contains("restore 2")
        );
        // Somebody took it for stale: it is theirs then.
        std::fs::write(&path, &text).unwrap();
        drop(second);
        assert!(path.exists());
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
