//! Pruning: what goes, what stays, in which order, and what is left when it ends early.
#![allow(clippy::disallowed_methods, reason = "tests start restic")]

mod support;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    process::Command,
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use pgkeep_model::{CancelToken, Silent};
use pgkeep_repository::{
    CheckOptions, LockMode, PruneOptions, PruneReport, ReadData, Repository, RepositoryError,
    SnapshotId,
    storage::{
        FileKind, ObjectKey, StorageErrorKind,
        faulty::{Fault, Faulty},
        recording::{Operation, Recording},
    },
};
use support::*;

const AT_ONCE: Duration = Duration::ZERO;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn with_grace(grace: Duration) -> PruneOptions {
    PruneOptions {
        grace,
        max_unused_percent: 0.0,
        ..PruneOptions::default()
    }
}

fn prune(repository: &Repository, grace: Duration) -> PruneReport {
    let plan = repository.plan_prune(&with_grace(grace)).expect("planned");
    repository
        .execute_prune(plan, &Silent, &CancelToken::new())
        .expect("pruned")
}

fn packs(repository: &Repository) -> BTreeSet<String> {
    let packs = repository.storage().list(FileKind::Pack).expect("listed");
    packs.into_iter().map(|object| object.name).collect()
}

fn assert_whole(test: &TestRepository, expected: &[(&SnapshotId, &str, &[u8])]) {
    let repository = test.reopen();
    for (id, path, content) in expected {
        let snapshot = repository.find_snapshot(&id.to_string()).expect("found");
        assert!(
            read(&repository, &snapshot, path) == *content,
            "{path} of {id}"
        );
    }
    let options = CheckOptions {
        read_data: ReadData::All,
        ..CheckOptions::default()
    };
    assert_eq!(repository.check(&options).expect("checked").problems, []);
}

fn restic(test: &TestRepository, arguments: &[&str]) -> String {
    let output = Command::new("restic")
        .args(["--no-cache", "--repo"])
        .arg(test.path(""))
        .args(arguments)
        .env("RESTIC_PASSWORD", PASSWORD)
        .output()
        .expect("restic is not installed: run `make setup`");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "restic {arguments:?}: {text}");
    text
}

fn restic_finds_it_good(test: &TestRepository) {
    let text = restic(test, &["check", "--read-data"]);
    assert!(text.contains("no errors were found"), "{text}");
}

/// Two backups with one file in common; the first is deleted.
struct OneLeft {
    test: TestRepository,
    left: SnapshotId,
    common: Vec<u8>,
    own: Vec<u8>,
}

impl OneLeft {
    fn new() -> Self {
        let test = TestRepository::init();
        let (common, gone, own) = (rows(1, 4 << 20), rows(2, 9 << 20), rows(3, 2 << 20));
        let (first, _) = back_up(&test.repository, &[("common", &common), ("gone", &gone)]);
        let (left, _) = back_up(&test.repository, &[("common", &common), ("own", &own)]);
        test.repository.delete_snapshot(&first).expect("deleted");
        Self {
            test,
            left,
            common,
            own,
        }
    }

    fn assert_whole(&self) {
        assert_whole(
            &self.test,
            &[
                (&self.left, "common", &self.common),
                (&self.left, "own", &self.own),
            ],
        );
    }
}

#[test]
fn what_is_needed_leaves_nothing_to_do() {
    let test = TestRepository::init();
    let content = rows(1, 6 << 20);
    let (id, _) = back_up(&test.repository, &[("a", &content)]);
    let plan = test
        .repository
        .plan_prune(&with_grace(AT_ONCE))
        .expect("planned");
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!((plan.snapshots, plan.packs_unused), (1, 0));
    let before = packs(&test.repository);
    prune(&test.repository, AT_ONCE);
    assert_eq!(packs(&test.repository), before);
    assert_whole(&test, &[(&id, "a", &content)]);
}

#[test]
fn unneeded_packs_are_marked_first_and_deleted_after_the_grace_time() {
    let case = OneLeft::new();
    let repository = case.test.reopen();
    let before = packs(&repository);
    let plan = repository.plan_prune(&with_grace(DAY)).expect("planned");
    assert_eq!(plan.packs_delete, 0, "{plan:?}");
    assert!(plan.packs_wait > 0 && plan.bytes_wait > 0, "{plan:?}");
    let first = repository
        .execute_prune(plan, &Silent, &CancelToken::new())
        .expect("pruned");
    assert!(
        first.packs_marked > 0 && first.packs_deleted == 0,
        "{first:?}"
    );
    assert!(
        packs(&repository).is_superset(&before),
        "nothing is deleted yet"
    );
    case.assert_whole();
    restic_finds_it_good(&case.test);

    case.test.clock.advance(SignedDuration::from_hours(23));
    let early = prune(&repository, DAY);
    assert_eq!(
        (early.packs_deleted, early.packs_marked),
        (0, 0),
        "{early:?}"
    );
    assert_eq!(early.bytes_waiting, first.bytes_waiting);

    case.test.clock.advance(SignedDuration::from_hours(2));
    let late = prune(&repository, DAY);
    assert_eq!(late.packs_deleted, first.packs_marked, "{late:?}");
    assert_eq!(late.bytes_deleted, first.bytes_waiting);
    case.assert_whole();
    restic_finds_it_good(&case.test);
    let plan = repository.plan_prune(&with_grace(DAY)).expect("planned");
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(plan.packs_unindexed, 0);
}

#[test]
fn without_a_grace_time_the_space_is_free_at_once() {
    let case = OneLeft::new();
    let repository = case.test.reopen();
    let before = repository
        .plan_prune(&with_grace(AT_ONCE))
        .expect("planned");
    let report = prune(&repository, AT_ONCE);
    assert!(
        report.bytes_deleted > 0 && report.bytes_waiting == 0,
        "{report:?}"
    );
    let after = repository
        .plan_prune(&with_grace(AT_ONCE))
        .expect("planned");
    assert!(after.is_empty(), "{after:?}");
    assert!(after.bytes_total < before.bytes_total);
    assert_eq!(after.bytes_used, before.bytes_used);
    case.assert_whole();
    restic_finds_it_good(&case.test);
}

#[test]
fn a_repository_without_backups_becomes_empty() {
    let test = TestRepository::init();
    let (id, _) = back_up(&test.repository, &[("a", &rows(1, 6 << 20))]);
    test.repository.delete_snapshot(&id).expect("deleted");
    prune(&test.repository, AT_ONCE);
    assert_eq!(packs(&test.repository), BTreeSet::new());
    assert_eq!(
        test.repository.storage().list(FileKind::Index),
        Ok(Vec::new())
    );
    let content = rows(1, 6 << 20);
    let (id, _) = back_up(&test.repository, &[("a", &content)]);
    assert_whole(&test, &[(&id, "a", &content)]);
}

#[test]
fn partly_needed_packs_are_rewritten_only_above_the_tolerated_share() {
    // Both files lie in one pack, and one of them is no longer needed.
    let test = TestRepository::init();
    let (kept, gone) = (noise(1, 700 << 10), noise(2, 700 << 10));
    let (first, _) = back_up(&test.repository, &[("kept", &kept), ("gone", &gone)]);
    let (left, _) = back_up(&test.repository, &[("kept", &kept)]);
    test.repository.delete_snapshot(&first).expect("deleted");
    let plan = |max_unused_percent| {
        let options = PruneOptions {
            max_unused_percent,
            ..with_grace(AT_ONCE)
        };
        test.repository.plan_prune(&options).expect("planned")
    };
    assert_eq!(plan(200.0).packs_repack, 0);
    let tight = plan(5.0);
    assert_eq!(tight.packs_repack, 1, "{tight:?}");
    let report = test
        .repository
        .execute_prune(tight, &Silent, &CancelToken::new())
        .expect("pruned");
    assert_eq!(
        (report.packs_repacked, report.packs_written),
        (1, 1),
        "{report:?}"
    );
    assert!(report.bytes_written < 800 << 10, "{report:?}");
    assert_whole(&test, &[(&left, "kept", &kept)]);
    restic_finds_it_good(&test);
}

#[test]
fn many_small_packs_are_merged() {
    let test = TestRepository::init();
    let contents: Vec<Vec<u8>> = (0..40).map(|seed| rows(seed, 20_000)).collect();
    let ids: Vec<SnapshotId> = contents
        .iter()
        .map(|content| back_up(&test.repository, &[("a", content)]).0)
        .collect();
    assert_eq!(packs(&test.repository).len(), 80);
    let report = prune(&test.repository, AT_ONCE);
    assert_eq!(
        (report.packs_repacked, report.packs_written),
        (80, 2),
        "{report:?}"
    );
    assert_eq!(packs(&test.repository).len(), 2);
    let expected: Vec<(&SnapshotId, &str, &[u8])> = ids
        .iter()
        .zip(&contents)
        .map(|(id, content)| (id, "a", &content[..]))
        .collect();
    assert_whole(&test, &expected);
    restic_finds_it_good(&test);
}

#[test]
fn what_an_interrupted_backup_left_behind_goes() {
    let test = TestRepository::init();
    let content = rows(1, 3 << 20);
    let (id, _) = back_up(&test.repository, &[("a", &content)]);
    let writer = test.repository.writer(options()).expect("writer");
    drop(file(&writer, "b", &noise(2, 20 << 20)));
    while writer.progress().packs == 0 {
        std::thread::yield_now();
    }
    drop(writer);
    // One pack more that no index names.
    let orphan = noise(5, 5000);
    let key = ObjectKey::new(
        FileKind::Pack,
        pgkeep_repository::PackId::of(&orphan).to_string(),
    );
    test.repository
        .storage()
        .put(&key, &orphan)
        .expect("written");
    let plan = test
        .repository
        .plan_prune(&with_grace(DAY))
        .expect("planned");
    assert!(
        plan.packs_unused > 0 && plan.packs_unindexed == 1,
        "{plan:?}"
    );
    test.repository
        .execute_prune(plan, &Silent, &CancelToken::new())
        .expect("pruned");
    test.clock.advance(SignedDuration::from_hours(25));
    prune(&test.repository, DAY);
    assert_eq!(test.repository.storage().stat(&key), Ok(None));
    assert_whole(&test, &[(&id, "a", &content)]);
}

#[test]
fn a_marked_pack_that_is_needed_after_all_is_taken_back() {
    let test = TestRepository::init();
    let content = rows(1, 6 << 20);
    let (id, _) = back_up(&test.repository, &[("a", &content)]);
    let file = test.path("snapshots").join(id.to_string());
    let saved = fs::read(&file).expect("read");
    test.repository.delete_snapshot(&id).expect("deleted");
    assert!(prune(&test.repository, DAY).packs_marked > 0);
    // A backup whose lock was lost publishes what rests on marked packs.
    fs::write(&file, saved).expect("written");
    let plan = test
        .repository
        .plan_prune(&with_grace(DAY))
        .expect("planned");
    assert!(plan.packs_recover > 0, "{plan:?}");
    test.repository
        .execute_prune(plan, &Silent, &CancelToken::new())
        .expect("pruned");
    assert_whole(&test, &[(&id, "a", &content)]);
    restic_finds_it_good(&test);
    test.clock.advance(SignedDuration::from_hours(48));
    prune(&test.repository, DAY);
    assert_whole(&test, &[(&id, "a", &content)]);
}

#[test]
fn nothing_is_planned_on_what_cannot_be_read() {
    for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
        let case = OneLeft::new();
        let faulty = Arc::new(Faulty::new(case.test.storage()));
        let repository = case.test.reopen_on(faulty.clone());
        faulty.always(
            Operation::List,
            Some(kind),
            Fault::Fail(StorageErrorKind::PermissionDenied),
        );
        assert!(
            repository.plan_prune(&with_grace(AT_ONCE)).is_err(),
            "{kind:?} list"
        );
        faulty.heal();
        if kind != FileKind::Pack {
            faulty.next_times(Operation::Get, Some(kind), 1, Fault::FlipBit(99));
            let error = repository
                .plan_prune(&with_grace(AT_ONCE))
                .expect_err("damaged");
            assert!(error.is_damage(), "{error}");
            faulty.heal();
        }
        case.assert_whole();
    }
}

#[test]
fn nothing_is_planned_while_something_needed_is_missing() {
    let case = OneLeft::new();
    let repository = case.test.reopen();
    let mut sizes: Vec<_> = repository.storage().list(FileKind::Pack).expect("listed");
    sizes.sort_by_key(|object| object.size);
    let needed: Vec<_> = sizes
        .iter()
        .filter(|object| {
            let key = ObjectKey::new(FileKind::Pack, object.name.clone());
            let saved = repository.storage().get(&key).expect("read");
            repository.storage().delete(&key).expect("deleted");
            let planned = repository.plan_prune(&with_grace(AT_ONCE));
            repository.storage().put(&key, &saved).expect("written");
            planned.is_err()
        })
        .collect();
    assert!(
        !needed.is_empty() && needed.len() < sizes.len(),
        "{} of {}",
        needed.len(),
        sizes.len()
    );
    case.assert_whole();
}

#[test]
fn a_damaged_blob_stops_the_rewriting_before_anything_is_removed() {
    let case = OneLeft::new();
    let faulty = Arc::new(Faulty::new(case.test.storage()));
    let repository = case.test.reopen_on(faulty.clone());
    let plan = repository
        .plan_prune(&with_grace(AT_ONCE))
        .expect("planned");
    assert!(plan.packs_repack > 0, "{plan:?}");
    let before = packs(&repository);
    faulty.always(
        Operation::Get,
        Some(FileKind::Pack),
        Fault::FlipBit(400_000),
    );
    let error = repository.execute_prune(plan, &Silent, &CancelToken::new());
    let error = error.expect_err("damaged");
    assert!(error.is_damage(), "{error}");
    faulty.heal();
    assert!(packs(&repository).is_superset(&before));
    case.assert_whole();
}

#[test]
fn a_plan_holds_only_for_the_repository_that_it_was_made_for() {
    let case = OneLeft::new();
    let repository = case.test.reopen();
    let plan = repository
        .plan_prune(&with_grace(AT_ONCE))
        .expect("planned");
    back_up(&repository, &[("more", &rows(9, 1 << 20))]);
    let before = packs(&repository);
    let error = repository.execute_prune(plan, &Silent, &CancelToken::new());
    assert!(matches!(error, Err(RepositoryError::Changed)), "{error:?}");
    assert_eq!(packs(&repository), before);
    case.assert_whole();
}

#[test]
fn a_running_backup_shuts_a_prune_out() {
    let case = OneLeft::new();
    let repository = case.test.reopen();
    let plan = repository
        .plan_prune(&with_grace(AT_ONCE))
        .expect("planned");
    let backup = repository.lock(LockMode::Shared, "backup").expect("locked");
    let error = repository.execute_prune(plan.clone(), &Silent, &CancelToken::new());
    assert!(
        matches!(error, Err(RepositoryError::Locked { .. })),
        "{error:?}"
    );
    drop(backup);
    repository
        .execute_prune(plan, &Silent, &CancelToken::new())
        .expect("pruned");
    case.assert_whole();
}

#[test]
fn a_cancelled_prune_removes_nothing() {
    let case = OneLeft::new();
    let repository = case.test.reopen();
    let before = packs(&repository);
    let plan = repository
        .plan_prune(&with_grace(AT_ONCE))
        .expect("planned");
    let cancel = CancelToken::new();
    cancel.cancel();
    let error = repository.execute_prune(plan, &Silent, &cancel);
    assert!(
        matches!(error, Err(RepositoryError::Cancelled(_))),
        "{error:?}"
    );
    assert_eq!(packs(&repository), before);
    case.assert_whole();
}

#[test]
fn new_packs_are_durable_before_the_index_names_them_and_old_ones_go_last() {
    let case = OneLeft::new();
    let recording = Arc::new(Recording::new(case.test.storage()));
    let repository = case.test.reopen_on(recording.clone());
    let plan = repository
        .plan_prune(&with_grace(AT_ONCE))
        .expect("planned");
    assert!(plan.packs_repack > 0 && plan.packs_delete > 0, "{plan:?}");
    recording.clear();
    repository
        .execute_prune(plan, &Silent, &CancelToken::new())
        .expect("pruned");
    let steps: Vec<(Operation, Option<FileKind>)> = recording
        .writes()
        .into_iter()
        .filter(|call| call.kind != Some(FileKind::Lock))
        .map(|call| (call.operation, call.kind))
        .collect();
    let mut order = steps.clone();
    order.dedup();
    let order: Vec<_> = order
        .into_iter()
        .map(|(operation, kind)| match kind {
            Some(kind) => format!("{operation:?} {}", kind.noun()).to_lowercase(),
            None => "flush".to_owned(),
        })
        .collect();
    assert_eq!(
        order,
        [
            "put pack",
            "flush",
            "put index",
            "flush",
            "delete index",
            "flush",
            "delete pack",
            "flush"
        ]
    );
}

#[test]
fn wherever_a_prune_dies_everything_needed_is_there_and_the_next_one_finishes() {
    let mut steps = 0;
    loop {
        let case = OneLeft::new();
        let faulty = Arc::new(Faulty::new(case.test.storage()));
        let repository = case.test.reopen_on(faulty.clone());
        let plan = repository
            .plan_prune(&with_grace(AT_ONCE))
            .expect("planned");
        faulty.die_after(steps);
        let result = repository.execute_prune(plan, &Silent, &CancelToken::new());
        faulty.heal();
        // The dead one's lock is left behind and goes stale.
        case.test.clock.advance(SignedDuration::from_mins(31));
        case.assert_whole();
        prune(&case.test.reopen(), AT_ONCE);
        case.assert_whole();
        let plan = case
            .test
            .reopen()
            .plan_prune(&with_grace(AT_ONCE))
            .expect("planned");
        assert!(
            plan.is_empty() && plan.packs_unindexed == 0,
            "after {steps} writes: {plan:?}"
        );
        if result.is_ok() {
            break;
        }
        steps += 1;
    }
    restic_finds_it_good(&OneLeft::new().test);
    assert!(steps > 6, "only {steps} steps");
}

#[test]
fn a_repository_pruned_by_restic_stays_good_for_us_and_the_other_way_round() {
    let case = OneLeft::new();
    restic(&case.test, &["prune", "--max-unused", "0"]);
    case.assert_whole();
    let plan = case
        .test
        .reopen()
        .plan_prune(&with_grace(AT_ONCE))
        .expect("planned");
    assert_eq!((plan.packs_unused, plan.packs_repack), (0, 0), "{plan:?}");

    // What we only marked, restic takes away for good.
    let case = OneLeft::new();
    assert!(prune(&case.test.reopen(), DAY).packs_marked > 0);
    restic(&case.test, &["prune", "--max-unused", "0"]);
    case.assert_whole();
    case.test.clock.advance(SignedDuration::from_hours(25));
    prune(&case.test.reopen(), DAY);
    case.assert_whole();
    restic_finds_it_good(&case.test);
}

#[test]
fn a_repository_of_restics_own_is_pruned_by_us() {
    let test = TestRepository::init();
    let source = test.folder.path().join("source");
    fs::create_dir(&source).expect("a folder");
    let contents: HashMap<&str, Vec<u8>> =
        [("a", rows(1, 6 << 20)), ("b", noise(2, 3 << 20))].into();
    for (name, content) in &contents {
        fs::write(source.join(name), content).expect("written");
    }
    let folder = source.to_str().expect("UTF-8");
    restic(&test, &["backup", folder]);
    fs::remove_file(source.join("a")).expect("removed");
    restic(&test, &["backup", folder]);
    restic(&test, &["forget", "--keep-last", "1"]);
    // restic stamps its files with the real time, which is not the test's.
    let report = prune(&test.reopen(), AT_ONCE);
    assert!(report.bytes_deleted > 0, "{report:?}");
    restic_finds_it_good(&test);
    let target = test.folder.path().join("target");
    restic(
        &test,
        &[
            "restore",
            "latest",
            "--target",
            target.to_str().expect("UTF-8"),
        ],
    );
    let restored = target
        .join(source.strip_prefix("/").expect("absolute"))
        .join("b");
    assert!(fs::read(restored).expect("restored") == contents["b"]);
}
