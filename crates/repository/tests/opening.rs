//! Making and opening repositories, their keys and their locks.

mod support;

use jiff::SignedDuration;
use pgkeep_repository::{LockMode, Repository, RepositoryError, storage::LocalStorage};
use std::{fs, path::PathBuf, sync::Arc};
use support::*;

fn open(test: &TestRepository, password: &str) -> Result<Repository, RepositoryError> {
    Repository::open(test.storage(), &password.into(), test.clock.clone())
}

/// Puts other bytes in the place of a read-only file.
fn overwrite(path: PathBuf, bytes: &[u8]) {
    fs::remove_file(&path).expect("removed");
    fs::write(path, bytes).expect("written");
}

fn only_file(folder: PathBuf) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder)
        .expect("folder")
        .map(|e| e.expect("entry").path())
        .collect();
    let [file] = files.as_slice() else {
        panic!("one file: {files:?}")
    };
    file.clone()
}

#[test]
fn opening_fails_by_name() {
    let test = TestRepository::init();
    assert_eq!(
        open(&test, PASSWORD).expect("opens").id(),
        test.repository.id()
    );
    assert!(matches!(
        open(&test, "wrong"),
        Err(RepositoryError::WrongPassword)
    ));

    let nowhere = Arc::new(LocalStorage::new(test.folder.path().join("nowhere")));
    let missing = Repository::open(nowhere, &password(), test.clock.clone());
    assert!(matches!(
        missing,
        Err(RepositoryError::NotARepository { .. })
    ));

    let again = Repository::init(test.storage(), &password(), test.clock.clone());
    assert!(matches!(again, Err(RepositoryError::AlreadyExists { .. })));

    let config = fs::read(test.path("config")).expect("config");
    let mut flipped = config.clone();
    flipped[20] ^= 1;
    for damaged in [&flipped[..], &config[..config.len() / 2], b""] {
        overwrite(test.path("config"), damaged);
        let error = open(&test, PASSWORD).expect_err("damaged");
        assert!(
            matches!(&error, RepositoryError::Damaged { object, .. } if object == "config"),
            "{error}"
        );
    }
    overwrite(test.path("config"), &config);

    let key = only_file(test.path("keys"));
    let json = fs::read(&key).expect("key");
    overwrite(key.clone(), &json[..json.len() - 9]);
    let error = open(&test, PASSWORD).expect_err("damaged");
    assert!(
        matches!(&error, RepositoryError::Damaged { object, .. } if object.starts_with("key ")),
        "{error}"
    );
    fs::remove_file(&key).expect("removed");
    assert!(open(&test, PASSWORD).expect_err("no key").is_damage());
    let lost = Repository::init(test.storage(), &password(), test.clock.clone());
    assert!(
        lost.is_err(),
        "an init over a repository that lost its keys"
    );
}

#[test]
fn a_good_key_opens_beside_a_damaged_one() {
    let test = TestRepository::init();
    let first = only_file(test.path("keys"));
    test.repository
        .keys()
        .add(&"second".into(), "spare")
        .expect("add");
    let json = fs::read(&first).expect("key");
    overwrite(first, &json[1..]);
    assert!(open(&test, "second").is_ok());
    assert!(open(&test, PASSWORD).expect_err("damaged").is_damage());
}

#[test]
fn keys_are_added_listed_rotated_and_removed_but_never_the_one_in_use() {
    let test = TestRepository::init();
    let keys = test.repository.keys();
    test.clock.advance(SignedDuration::from_hours(1));
    let spare = keys.add(&"second".into(), "spare").expect("add");
    let listed = keys.list().expect("list");
    assert_eq!(
        listed
            .iter()
            .map(|k| (k.current, k.label.as_str()))
            .collect::<Vec<_>>(),
        [(true, ""), (false, "spare")]
    );
    assert!(
        !fs::read_to_string(test.path("keys").join(&spare))
            .expect("key")
            .contains("second")
    );

    let in_use = &listed[0].id;
    assert!(matches!(
        keys.remove(in_use),
        Err(RepositoryError::KeyRefused { .. })
    ));
    assert!(matches!(
        keys.remove("zz"),
        Err(RepositoryError::KeyNotFound { .. })
    ));
    assert!(matches!(
        keys.remove(""),
        Err(RepositoryError::KeyRefused { .. })
    ));
    assert!(keys.add(&"".into(), "").is_err(), "an empty password");

    let second = open(&test, "second").expect("opens");
    let missing = "00".repeat(32);
    assert!(
        second.keys().retire_for(&missing).is_err(),
        "no successor is there"
    );
    let own = second.keys().list().expect("list");
    let own = own.iter().find(|key| key.current).expect("in use");
    assert!(second.keys().retire_for(&own.id).is_err());
    second
        .keys()
        .rotate(&"third".into(), "new")
        .expect("rotate");
    assert!(matches!(
        open(&test, "second"),
        Err(RepositoryError::WrongPassword)
    ));
    let third = open(&test, "third").expect("opens");
    assert_eq!(third.keys().remove(&in_use[..10]).expect("remove"), *in_use);
    assert!(matches!(
        open(&test, PASSWORD),
        Err(RepositoryError::WrongPassword)
    ));
    assert_eq!(third.keys().list().expect("list").len(), 1);
}

#[test]
fn shared_locks_live_together_and_an_exclusive_one_alone() {
    let test = TestRepository::init();
    let lock = |mode| test.repository.lock(mode, "test");
    let held = [
        lock(LockMode::Shared).expect("first"),
        lock(LockMode::Shared).expect("second"),
    ];
    assert_eq!(test.repository.locks().expect("list").len(), 2);
    let refused = lock(LockMode::Exclusive).expect_err("shared locks are held");
    assert!(
        matches!(&refused, RepositoryError::Locked { holder } if holder.reason == "test"),
        "{refused}"
    );
    drop(held);
    let held = lock(LockMode::Exclusive).expect("alone");
    assert!(!held.lost());
    for mode in [LockMode::Shared, LockMode::Exclusive] {
        assert!(matches!(lock(mode), Err(RepositoryError::Locked { .. })));
    }
    drop(held);
    assert!(test.repository.locks().expect("list").is_empty());
}

#[test]
fn locks_left_behind_are_removed_and_those_in_use_are_not() {
    let test = TestRepository::init();
    // As if the process had been killed: the lock file stays.
    std::mem::forget(
        test.repository
            .lock(LockMode::Exclusive, "killed")
            .expect("lock"),
    );
    test.clock.advance(SignedDuration::from_mins(29));
    assert!(matches!(
        test.repository.lock(LockMode::Shared, "next"),
        Err(RepositoryError::Locked { .. })
    ));
    test.clock.advance(SignedDuration::from_mins(2));
    let next = test
        .repository
        .lock(LockMode::Exclusive, "next")
        .expect("the old one is stale");
    assert_eq!(test.repository.locks().expect("list").len(), 1);
    drop(next);
}

#[test]
fn a_damaged_lock_stops_only_who_removes() {
    let test = TestRepository::init();
    let name = "ab".repeat(32);
    fs::write(test.path("locks").join(name), "not a lock").expect("written");
    drop(
        test.repository
            .lock(LockMode::Shared, "backup")
            .expect("a backup goes on"),
    );
    let refused = test
        .repository
        .lock(LockMode::Exclusive, "prune")
        .expect_err("a prune does not");
    assert!(
        matches!(&refused, RepositoryError::Damaged { object, .. } if object.starts_with("lock ")),
        "{refused}"
    );
}

#[test]
fn snapshots_are_found_by_prefix_and_a_damaged_one_is_named() {
    let test = TestRepository::init();
    let (first, _) = back_up(&test.repository, &[("a", b"1")]);
    let (second, _) = back_up(&test.repository, &[("a", b"2")]);
    let find = |wanted: &str| test.repository.find_snapshot(wanted);
    assert_eq!(find(&first.short()).expect("found").id, first);
    assert!(matches!(
        find("zz"),
        Err(RepositoryError::SnapshotNotFound { .. })
    ));
    assert!(matches!(
        find(""),
        Err(RepositoryError::SnapshotNotFound { .. })
    ));
    assert!(matches!(
        find(&"0".repeat(64)),
        Err(RepositoryError::SnapshotNotFound { .. })
    ));

    let path = test.path("snapshots").join(first.to_string());
    let bytes = fs::read(&path).expect("snapshot");
    overwrite(path, &bytes[..bytes.len() - 1]);
    let error = test.repository.snapshots().expect_err("damaged");
    assert!(error.to_string().contains(&first.to_string()), "{error}");
    let (good, bad) = test.repository.snapshots_lenient().expect("list");
    assert_eq!(
        (good.len(), good[0].id, bad.len(), bad[0].id.clone()),
        (1, second, 1, first.to_string())
    );
    test.repository.delete_snapshot(&first).expect("removed");
    assert_eq!(test.repository.snapshots().expect("list").len(), 1);
}

#[test]
fn a_folder_that_vanished_is_an_error_and_not_an_empty_list() {
    let test = TestRepository::init();
    fs::remove_dir(test.path("snapshots")).expect("removed");
    assert!(test.repository.snapshots().is_err());
    fs::remove_dir(test.path("locks")).expect("removed");
    drop(
        test.repository
            .lock(LockMode::Shared, "backup")
            .expect("a copied repository may lack the empty folder"),
    );
}
