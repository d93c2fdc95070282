//! A run that is cut off after any of its writes harms nothing that was there before.

mod support;

use pgkeep_repository::{
    Repository, RepositoryError,
    storage::{FileKind, ObjectKey, Storage, StorageError, StorageErrorKind, StoredObject},
};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use support::*;

/// Lets a number of changes through and then none, as if the process had been killed at that point.
#[derive(Debug)]
struct CutOff {
    inner: Arc<dyn Storage>,
    left: AtomicI64,
}

impl CutOff {
    fn change(&self, what: impl FnOnce() -> Result<(), StorageError>) -> Result<(), StorageError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            what()
        } else {
            Err(StorageError::new(
                StorageErrorKind::Other,
                "write",
                "anything",
                "the process is dead",
            ))
        }
    }
}

impl Storage for CutOff {
    fn put(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        self.change(|| self.inner.put(key, data))
    }
    fn create_new(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        self.change(|| self.inner.create_new(key, data))
    }
    fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.change(|| self.inner.delete(key))
    }
    fn flush(&self) -> Result<(), StorageError> {
        self.change(|| self.inner.flush())
    }
    fn get(&self, key: &ObjectKey) -> Result<Vec<u8>, StorageError> {
        self.inner.get(key)
    }
    fn get_range(&self, key: &ObjectKey, offset: u64, len: u64) -> Result<Vec<u8>, StorageError> {
        self.inner.get_range(key, offset, len)
    }
    fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StorageError> {
        self.inner.stat(key)
    }
    fn list(&self, kind: FileKind) -> Result<Vec<StoredObject>, StorageError> {
        self.inner.list(kind)
    }
    fn location(&self) -> String {
        self.inner.location()
    }
}

/// Runs `operation` on a storage that dies after 0, 1, 2 … changes, and calls `after` each time, until it gets through.
fn cut_off_everywhere(
    test: &TestRepository,
    operation: impl Fn(&Repository) -> Result<(), RepositoryError>,
    after: impl Fn(&Repository, bool),
) {
    for changes in 0.. {
        assert!(changes < 60, "the operation never got through");
        let storage = Arc::new(CutOff {
            inner: test.storage(),
            left: AtomicI64::new(changes),
        });
        let outcome = operation(&test.reopen_on(storage));
        let done = outcome.is_ok();
        after(&test.reopen(), done);
        if done {
            assert!(changes > 2, "the operation made changes");
            return;
        }
    }
}

#[test]
fn a_backup_cut_off_anywhere_leaves_the_others_whole_and_publishes_nothing() {
    let test = TestRepository::init();
    let old = rows(1, 5 << 20);
    let (first, _) = back_up(&test.repository, &[("table", &old)]);
    let new = noise(2, 8 << 20);
    let run = |repository: &Repository| {
        let writer = repository.writer(options())?;
        let mut stream = writer.stream();
        std::io::Write::write_all(&mut stream, &new).map_err(RepositoryError::from_io)?;
        let part = stream.finish()?;
        let file = pgkeep_repository::NewFile {
            path: "table".into(),
            mode: 0o600,
            modified: meta().time,
            parts: vec![part],
        };
        writer.publish(vec![file], meta()).map(drop)
    };
    cut_off_everywhere(&test, run, |repository, done| {
        let snapshots = repository.snapshots().expect("list");
        assert_eq!(snapshots.len(), if done { 2 } else { 1 });
        let kept = repository
            .find_snapshot(&first.to_string())
            .expect("the first stays");
        assert!(read(repository, &kept, "table") == old);
        if done {
            let added = snapshots
                .iter()
                .find(|s| s.id != first)
                .expect("two snapshots");
            assert!(read(repository, added, "table") == new);
        }
    });
}

#[test]
fn changing_tags_cut_off_anywhere_never_loses_the_snapshot() {
    let test = TestRepository::init();
    let (first, _) = back_up(&test.repository, &[("table", b"rows")]);
    let run = |repository: &Repository| {
        let newest = repository.find_snapshot("latest")?;
        let tag = format!("try-{}", repository.snapshots()?.len());
        repository.change_tags(&newest.id, &[tag], &[])?;
        // One more change, so that the cut falls on both of the first two.
        repository
            .change_tags(
                &repository.find_snapshot("latest")?.id,
                &["end".into()],
                &[],
            )
            .map(drop)
    };
    cut_off_everywhere(&test, run, |repository, _| {
        let snapshots = repository.snapshots().expect("list");
        assert!(
            snapshots
                .iter()
                .all(|s| s.id == first || s.original == Some(first)),
            "{snapshots:?}"
        );
        assert!(!snapshots.is_empty());
        assert_eq!(read(repository, &snapshots[0], "table"), b"rows");
    });
}

#[test]
fn an_init_cut_off_anywhere_is_no_repository() {
    for changes in 0..4 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner: Arc<dyn Storage> = Arc::new(pgkeep_repository::storage::LocalStorage::new(
            folder.path().join("repo"),
        ));
        inner.prepare().expect("folders");
        let clock = Arc::new(pgkeep_testkit::ManualClock::at("2026-01-02T03:04:05Z"));
        let storage = Arc::new(CutOff {
            inner: inner.clone(),
            left: AtomicI64::new(changes),
        });
        let made = Repository::init(storage, &password(), clock.clone());
        let opened = Repository::open(inner, &password(), clock);
        assert_eq!(made.is_ok(), changes == 3, "key, config, flush: {made:?}");
        match changes {
            0 | 1 => assert!(
                matches!(opened, Err(RepositoryError::NotARepository { .. })),
                "{opened:?}"
            ),
            // The config makes it one, even if the last flush failed.
            _ => assert!(opened.is_ok(), "{opened:?}"),
        }
    }
}
