//! Storage in real S3-compatible servers, with the wrappers that every store gets.

#![allow(
    clippy::disallowed_methods,
    reason = "a test runs itself with another environment"
)]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pgkeep_model::{CancelToken, Silent};
use pgkeep_repository::storage::{
    self, FileKind, ObjectKey, S3Options, Storage, StorageError, StorageErrorKind, StorageOptions,
    faulty::{Fault, Faulty},
    probe,
    probe::Ability,
    recording::{Operation, Recording},
    retry::Retry,
    s3::S3Storage,
    throttle::Throttle,
};
use pgkeep_repository::{
    CheckOptions, LockMode, PruneOptions, ReadData, Repository, RepositoryError,
};
use pgkeep_testkit::{ManualClock, ObjectStore};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use support::{back_up, file, meta, noise, password, read, rows};

fn s3_options(server: &ObjectStore) -> StorageOptions {
    StorageOptions {
        s3: Some(S3Options {
            access_key_id: server.access_key_id().to_owned(),
            secret_access_key: SecretString::from(server.secret_access_key().to_owned()),
            session_token: None,
            endpoint: None,
            region: None,
            server_side_encryption: None,
            virtual_host_style: false,
        }),
        ..StorageOptions::default()
    }
}

fn pack(data: &[u8]) -> ObjectKey {
    ObjectKey::new(FileKind::Pack, hex::encode(Sha256::digest(data)))
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}

/// Every call of the trait does what it says.
fn conforms(storage: &dyn Storage) {
    storage.prepare().expect("prepared");
    for kind in FileKind::ALL {
        assert_eq!(
            storage.list(kind),
            Ok(Vec::new()),
            "nothing in an empty place"
        );
    }
    let data = bytes(3 << 20);
    let key = pack(&data);
    assert_eq!(storage.stat(&key), Ok(None));
    assert_eq!(kind_of(storage.get(&key)), StorageErrorKind::NotFound);
    assert_eq!(
        kind_of(storage.get_range(&key, 0, 1)),
        StorageErrorKind::NotFound
    );
    storage.put(&key, &data).expect("written");
    storage.put(&key, &data).expect("written again");
    storage.flush().expect("flushed");
    assert_eq!(storage.stat(&key), Ok(Some(3 << 20)));
    assert!(storage.get(&key).expect("read") == data);
    let end = data.len() as u64;
    assert_eq!(storage.get_range(&key, 0, 7).as_deref(), Ok(&data[..7]));
    assert_eq!(
        storage.get_range(&key, end - 7, 7).as_deref(),
        Ok(&data[data.len() - 7..])
    );
    assert_eq!(storage.get_range(&key, 1 << 20, 0), Ok(Vec::new()));
    assert_eq!(
        kind_of(storage.get_range(&key, end - 7, 8)),
        StorageErrorKind::Truncated
    );
    assert_eq!(
        kind_of(storage.get_range(&key, end + 5, 8)),
        StorageErrorKind::Truncated
    );
    let listed = storage.list(FileKind::Pack).expect("listed");
    assert_eq!(
        listed
            .iter()
            .map(|object| (object.name.as_str(), object.size))
            .collect::<Vec<_>>(),
        [(key.name.as_str(), 3 << 20)]
    );
    assert_eq!(storage.list(FileKind::Snapshot), Ok(Vec::new()));
    assert_eq!(
        kind_of(storage.create_new(&key, b"other")),
        StorageErrorKind::AlreadyExists
    );
    let config = ObjectKey::config();
    storage.create_new(&config, b"{}").expect("created");
    assert_eq!(
        storage.list(FileKind::Config).map(|listed| listed.len()),
        Ok(1)
    );
    storage.delete(&config).expect("deleted");
    storage.delete(&key).expect("deleted");
    storage
        .delete(&key)
        .expect("deleting what is not there succeeds");
    assert_eq!(storage.stat(&key), Ok(None));
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, StorageError>) -> StorageErrorKind {
    result.expect_err("must fail").kind
}

#[test]
fn moto_keeps_every_promise() {
    let server = ObjectStore::moto();
    let storage =
        storage::open(&server.repository("some/place"), &s3_options(&server)).expect("open");
    conforms(&*storage);
    let report = probe(&*storage);
    assert_eq!(report.lacks(), Vec::<String>::new());
    assert!(report.is_usable() && report.refuses_overwrite());
    assert_eq!(
        storage.list(FileKind::Pack),
        Ok(Vec::new()),
        "the probe leaves nothing behind"
    );
}

#[test]
fn rclone_keeps_every_promise() {
    let server = ObjectStore::rclone();
    let storage =
        storage::open(&server.repository("some/place"), &s3_options(&server)).expect("open");
    conforms(&*storage);
    assert!(probe(&*storage).is_usable());
}

#[test]
fn the_root_of_a_bucket_and_folders_in_it_do_not_see_each_other() {
    let server = ObjectStore::moto();
    let open =
        |prefix| storage::open(&server.repository(prefix), &s3_options(&server)).expect("open");
    let data = bytes(100);
    open("a").put(&pack(&data), &data).expect("written");
    assert_eq!(
        open("a").list(FileKind::Pack).map(|listed| listed.len()),
        Ok(1)
    );
    assert_eq!(
        open("").list(FileKind::Pack).map(|listed| listed.len()),
        Ok(0)
    );
    assert_eq!(
        open("a/b").list(FileKind::Pack).map(|listed| listed.len()),
        Ok(0)
    );
    conforms(&*open(""));
}

#[test]
fn a_listing_of_more_than_one_page_is_whole() {
    let server = ObjectStore::moto();
    let storage = storage::open(&server.repository("many"), &s3_options(&server)).expect("open");
    let mut names: Vec<String> = Vec::new();
    for number in 0..1030_u32 {
        let data = number.to_le_bytes();
        storage.put(&pack(&data), &data).expect("written");
        names.push(pack(&data).name);
    }
    names.sort();
    let mut listed: Vec<_> = storage
        .list(FileKind::Pack)
        .expect("listed")
        .into_iter()
        .map(|object| object.name)
        .collect();
    listed.sort();
    assert_eq!(listed, names);
}

#[test]
fn a_missing_bucket_is_an_error_and_not_an_empty_list() {
    for server in [ObjectStore::moto(), ObjectStore::rclone()] {
        let address = server.repository("x").replace(server.bucket(), "nobody");
        let storage = S3Storage::open(&address, &s3_options(&server)).expect("open");
        let error = storage.list(FileKind::Snapshot).expect_err(server.name());
        assert!(error.to_string().contains("snapshot"), "{error}");
        assert!(storage.put(&pack(b"x"), b"x").is_err(), "{}", server.name());
        assert!(!probe(&storage).is_usable());
    }
}

#[test]
fn wrong_credentials_are_refused_permission() {
    let server = ObjectStore::rclone();
    let mut options = s3_options(&server);
    let s3 = options.s3.as_mut().expect("set");
    s3.secret_access_key = SecretString::from("canary-of-a-secret".to_owned());
    let storage = S3Storage::open(&server.repository("x"), &options).expect("open");
    let error = storage.put(&pack(b"x"), b"x").expect_err("refused");
    assert_eq!(error.kind, StorageErrorKind::PermissionDenied, "{error}");
    assert!(
        !format!("{error} {error:?} {storage:?}").contains("canary"),
        "{error}"
    );
}

#[test]
fn a_server_that_is_away_is_a_temporary_failure_and_is_tried_again() {
    let mut server = ObjectStore::rclone();
    let plain = S3Storage::open(&server.repository("x"), &s3_options(&server)).expect("open");
    let data = bytes(1 << 20);
    plain.put(&pack(&data), &data).expect("written");
    server.interrupt();
    assert_eq!(
        kind_of(plain.stat(&pack(&data))),
        StorageErrorKind::Temporary
    );
    assert_eq!(
        kind_of(plain.list(FileKind::Pack)),
        StorageErrorKind::Temporary
    );
    let tries = Arc::new(Recording::new(Arc::new(plain)));
    let storage = Retry::new(tries.clone(), 1000, CancelToken::new());
    let reader = std::thread::spawn(move || storage.get(&pack(&bytes(1 << 20))));
    while tries.calls().is_empty() {
        std::thread::yield_now();
    }
    server.resume();
    assert!(reader.join().expect("no panic").expect("read in the end") == data);
}

#[test]
fn server_side_encryption_is_asked_for() {
    use storage::ServerSideEncryption::{Kms, S3};
    let server = ObjectStore::moto();
    for (number, encryption, headers) in [
        (0, S3, &["x-amz-server-side-encryption: aes256"][..]),
        (
            1,
            Kms { key_id: None },
            &["x-amz-server-side-encryption: aws:kms"],
        ),
        (
            2,
            Kms {
                key_id: Some("alias/backups".to_owned()),
            },
            &[
                "x-amz-server-side-encryption: aws:kms",
                "key-id: alias/backups",
            ],
        ),
    ] {
        let mut options = s3_options(&server);
        options.s3.as_mut().expect("set").server_side_encryption = Some(encryption);
        let storage = S3Storage::open(&server.repository("sse"), &options).expect("open");
        let data = bytes(1000 + number);
        let key = pack(&data);
        storage.put(&key, &data).expect("written");
        assert_eq!(storage.get(&key), Ok(data));
        let stored = server.moto_headers(&format!("sse/{}", key.path()));
        for header in headers {
            assert!(stored.contains(header), "{header} is not in {stored}");
        }
    }
}

/// Tells the test below, running in a process of its own, where to connect.
const TLS_ADDRESS: &str = "PGKEEP_TEST_TLS_ADDRESS";

#[test]
fn a_certificate_is_checked_against_the_authorities_of_the_system() {
    if let Ok(address) = std::env::var(TLS_ADDRESS) {
        let mut options = s3_options(&ObjectStore::rclone());
        options.timeout = Duration::from_secs(20);
        let storage = S3Storage::open(&address, &options).expect("open");
        storage
            .put(&pack(b"x"), b"x")
            .expect("the authority is trusted here");
        return;
    }
    let server = ObjectStore::rclone_tls();
    let address = server.repository("tls");
    let storage = S3Storage::open(&address, &s3_options(&server)).expect("open");
    let error = storage
        .put(&pack(b"x"), b"x")
        .expect_err("an unknown authority");
    assert!(error.to_string().contains("certificate"), "{error}");

    let output = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "a_certificate_is_checked_against_the_authorities_of_the_system",
        ])
        .env(TLS_ADDRESS, &address)
        .env("SSL_CERT_FILE", server.root_cert())
        .output()
        .expect("the test runs itself");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

/// A local place with faults, and everything asked of it on record.
fn faulty() -> (tempfile::TempDir, Arc<Faulty>, Arc<Recording>) {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Arc::new(storage::LocalStorage::new(folder.path()));
    local.prepare().expect("prepared");
    let faulty = Arc::new(Faulty::new(local));
    let recording = Arc::new(Recording::new(faulty.clone()));
    (folder, faulty, recording)
}

fn retrying(inner: Arc<dyn Storage>, retries: u32) -> Retry {
    Retry::new(inner, retries, CancelToken::new()).with_first_pause(Duration::from_millis(1))
}

#[test]
fn only_temporary_failures_are_tried_again_and_only_so_often() {
    let (_folder, faulty, recording) = faulty();
    let storage = retrying(recording.clone(), 3);
    let key = pack(b"data");
    let temporary = Fault::Fail(StorageErrorKind::Temporary);

    faulty.next_times(Operation::Put, None, 3, temporary);
    storage.put(&key, b"data").expect("the fourth try");
    assert_eq!(recording.calls().len(), 4);

    recording.clear();
    faulty.next_times(Operation::Get, None, 4, temporary);
    let error = storage.get(&key).expect_err("four failures are too many");
    assert_eq!(error.kind, StorageErrorKind::Temporary);
    assert!(error.to_string().contains("tried 4 times"), "{error}");
    assert_eq!(recording.calls().len(), 4);

    for kind in [
        StorageErrorKind::NoSpace,
        StorageErrorKind::PermissionDenied,
        StorageErrorKind::Other,
    ] {
        recording.clear();
        faulty.next_times(Operation::Put, None, 1, Fault::Fail(kind));
        assert_eq!(kind_of(storage.put(&key, b"data")), kind);
        assert_eq!(recording.calls().len(), 1, "{kind:?} is final");
    }
}

#[test]
fn a_creation_whose_answer_was_lost_counts_as_done_and_another_ones_does_not() {
    let (_folder, faulty, recording) = faulty();
    let storage = retrying(recording, 3);
    let key = ObjectKey::new(FileKind::Lock, pack(b"lock").name);
    faulty.next_times(
        Operation::CreateNew,
        None,
        1,
        Fault::LoseAnswer(StorageErrorKind::Temporary),
    );
    storage.create_new(&key, b"mine").expect("it is mine");
    faulty.next_times(
        Operation::CreateNew,
        None,
        1,
        Fault::Fail(StorageErrorKind::Temporary),
    );
    assert_eq!(
        kind_of(storage.create_new(&key, b"yours")),
        StorageErrorKind::AlreadyExists
    );
    assert_eq!(storage.get(&key).as_deref(), Ok(&b"mine"[..]));
}

#[test]
fn a_cancelled_token_ends_the_wait_for_a_retry() {
    let (_folder, faulty, recording) = faulty();
    faulty.always(
        Operation::Put,
        None,
        Fault::Fail(StorageErrorKind::Temporary),
    );
    let cancel = CancelToken::new();
    let storage = Retry::new(recording.clone(), 1000, cancel.clone())
        .with_first_pause(Duration::from_secs(3600));
    let writer = std::thread::spawn(move || storage.put(&pack(b"x"), b"x"));
    while recording.calls().is_empty() {
        std::thread::yield_now();
    }
    cancel.cancel();
    let error = writer.join().expect("no panic").expect_err("cancelled");
    assert_eq!(error.kind, StorageErrorKind::Cancelled);
}

#[test]
fn the_speed_limit_holds_over_all_threads_together_and_can_be_cancelled() {
    let (_folder, _faulty, recording) = faulty();
    let cancel = CancelToken::new();
    let storage = Throttle::new(recording, Some(1 << 20), None, cancel.clone());
    let started = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..4_u8 {
            let storage = &storage;
            scope.spawn(move || {
                let data = vec![number; 128 << 10];
                storage.put(&pack(&data), &data).expect("written");
            });
        }
    });
    let elapsed = started.elapsed();
    assert!(
        elapsed >= Duration::from_millis(500),
        "512 KiB at 1 MiB/s in {elapsed:?}"
    );
    cancel.cancel();
    assert_eq!(
        kind_of(storage.put(&pack(b"x"), &bytes(1 << 20))),
        StorageErrorKind::Cancelled
    );
}

#[test]
fn the_probe_says_in_words_what_a_store_lacks() {
    let cases: [(Operation, Fault, Ability, &str); 8] = [
        (
            Operation::Put,
            Fault::Fail(StorageErrorKind::PermissionDenied),
            Ability::Write,
            "cannot write",
        ),
        (
            Operation::Put,
            Fault::FlipBit(99),
            Ability::ReadBack,
            "other bytes came back",
        ),
        (
            Operation::Put,
            Fault::Truncate(2000),
            Ability::Size,
            "2000 bytes instead of 4096",
        ),
        (
            Operation::GetRange,
            Fault::FlipBit(3),
            Ability::ReadRange,
            "cannot read a part",
        ),
        (
            Operation::Stat,
            Fault::Fail(StorageErrorKind::Other),
            Ability::Size,
            "cannot tell",
        ),
        (
            Operation::List,
            Fault::Fail(StorageErrorKind::PermissionDenied),
            Ability::List,
            "cannot list",
        ),
        (
            Operation::CreateNew,
            Fault::Fail(StorageErrorKind::Other),
            Ability::CreateOnly,
            "cannot create only",
        ),
        (
            Operation::Delete,
            Fault::Fail(StorageErrorKind::PermissionDenied),
            Ability::Delete,
            "cannot delete",
        ),
    ];
    for (operation, fault, ability, words) in cases {
        let (_folder, faulty, recording) = faulty();
        faulty.always(operation, None, fault);
        let report = probe(&*recording);
        let finding = report
            .findings
            .iter()
            .find(|finding| finding.ability == ability);
        assert!(
            finding.expect("tried").result.is_err(),
            "{ability:?}: {report:?}"
        );
        assert!(
            report.lacks().iter().any(|lack| lack.contains(words)),
            "{:?}",
            report.lacks()
        );
        assert_eq!(
            report.is_usable(),
            ability == Ability::CreateOnly,
            "{report:?}"
        );
    }
}

/// A repository's whole life in a store: made, filled, read, locked, checked, pruned.
fn lives_in(server: &ObjectStore) {
    let storage = storage::open(&server.repository("life"), &s3_options(server)).expect("open");
    let clock = Arc::new(ManualClock::at("2026-01-02T03:04:05Z"));
    drop(Repository::init(storage.clone(), &password(), clock.clone()).expect("init"));
    let again = Repository::init(storage.clone(), &password(), clock.clone());
    assert!(
        matches!(again, Err(RepositoryError::AlreadyExists { .. })),
        "{again:?}"
    );
    let repository = Repository::open(storage.clone(), &password(), clock).expect("open");

    let (kept, gone) = (rows(1, 6 << 20), noise(2, 5 << 20));
    let (first, _) = back_up(&repository, &[("kept", &kept), ("gone", &gone)]);
    let (second, summary) = back_up(&repository, &[("kept", &kept)]);
    assert!(summary.bytes_new < 4096, "only trees are new: {summary:?}");
    let snapshot = |id: &pgkeep_repository::SnapshotId| {
        repository.find_snapshot(&id.to_string()).expect("found")
    };
    assert!(read(&repository, &snapshot(&first), "gone") == gone);
    let check = || {
        let options = CheckOptions {
            read_data: ReadData::All,
            ..CheckOptions::default()
        };
        repository.check(&options).expect("checked")
    };
    assert_eq!(check().problems, []);

    let exclusive = repository
        .lock(LockMode::Exclusive, "test")
        .expect("locked");
    let refused = repository.lock(LockMode::Shared, "test");
    assert!(
        matches!(refused, Err(RepositoryError::Locked { .. })),
        "{refused:?}"
    );
    drop(exclusive);

    repository.delete_snapshot(&first).expect("deleted");
    let options = PruneOptions {
        grace: Duration::ZERO,
        ..PruneOptions::default()
    };
    let plan = repository.plan_prune(&options).expect("planned");
    let report = repository
        .execute_prune(plan, &Silent, &CancelToken::new())
        .expect("pruned");
    assert!(report.bytes_deleted > 4 << 20, "{report:?}");
    assert!(read(&repository, &snapshot(&second), "kept") == kept);
    let report = check();
    assert_eq!(report.problems, []);
    assert_eq!(report.notes, Vec::<String>::new());

    // Damage is seen there as well.
    let pack = storage.list(FileKind::Pack).expect("listed").swap_remove(0);
    storage
        .delete(&ObjectKey::new(FileKind::Pack, pack.name.clone()))
        .expect("deleted");
    let problems = check().problems;
    assert!(
        problems
            .iter()
            .any(|problem| problem.object.contains(&pack.name)),
        "{problems:?}"
    );
    let (third, _) = back_up(&repository, &[("kept", &kept)]);
    assert!(read(&repository, &snapshot(&third), "kept") == kept);
}

#[test]
fn a_repository_lives_in_moto() {
    lives_in(&ObjectStore::moto());
}

#[test]
fn a_repository_lives_in_rclone() {
    lives_in(&ObjectStore::rclone());
}

#[test]
fn a_backup_survives_a_server_that_fails_now_and_then() {
    for server in [ObjectStore::moto(), ObjectStore::rclone()] {
        let plain = S3Storage::open(&server.repository("flaky"), &s3_options(&server));
        let faulty = Arc::new(Faulty::new(Arc::new(plain.expect("open"))));
        let storage = Arc::new(retrying(faulty.clone(), 4));
        let clock = Arc::new(ManualClock::at("2026-01-02T03:04:05Z"));
        let repository = Repository::init(storage, &password(), clock).expect("init");
        let temporary = StorageErrorKind::Temporary;
        faulty.next_times(
            Operation::Put,
            Some(FileKind::Pack),
            2,
            Fault::LoseAnswer(temporary),
        );
        faulty.on_nth(
            Operation::Put,
            Some(FileKind::Index),
            1,
            Fault::Fail(temporary),
        );
        faulty.on_nth(
            Operation::Put,
            Some(FileKind::Snapshot),
            1,
            Fault::LoseAnswer(temporary),
        );
        faulty.next_times(Operation::List, None, 2, Fault::Fail(temporary));
        faulty.next_times(Operation::GetRange, None, 3, Fault::Fail(temporary));
        let content = noise(1, 8 << 20);
        let (id, _) = back_up(&repository, &[("a", &content)]);
        let snapshot = repository.find_snapshot(&id.to_string()).expect("found");
        assert!(
            read(&repository, &snapshot, "a") == content,
            "{}",
            server.name()
        );
        assert_eq!(repository.snapshots().expect("listed").len(), 1);
    }
}

#[test]
fn a_backup_to_a_server_that_stays_away_fails_and_what_was_there_is_whole() {
    let mut server = ObjectStore::rclone();
    let mut options = s3_options(&server);
    options.retries = 1;
    let storage = storage::open(&server.repository("away"), &options).expect("open");
    let clock = Arc::new(ManualClock::at("2026-01-02T03:04:05Z"));
    let repository = Repository::init(storage, &password(), clock).expect("init");
    let content = rows(1, 4 << 20);
    let (id, _) = back_up(&repository, &[("a", &content)]);
    let writer = repository.writer(support::options()).expect("writer");
    let files = vec![file(&writer, "b", &noise(3, 1 << 20))];
    server.interrupt();
    let error = writer.publish(files, meta()).expect_err("nobody is there");
    let RepositoryError::Storage(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind, StorageErrorKind::Temporary, "{error}");
    server.resume();
    let snapshot = repository.find_snapshot("latest").expect("found");
    assert_eq!(snapshot.id, id);
    assert!(read(&repository, &snapshot, "a") == content);
    assert_eq!(
        repository
            .check(&CheckOptions::default())
            .expect("checked")
            .problems,
        []
    );
}
