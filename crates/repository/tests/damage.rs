//! Damage as a matrix: kind of stored object × {missing, truncated, bit flipped}. A check names the object and what it
//! touches, the other backup still restores, and the next backup succeeds.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use pgkeep_model::{CancelToken, Silent};
use pgkeep_repository::{
    CheckOptions, CheckReport, LockMode, ReadData, Repository, RepositoryError, SnapshotId,
    storage::{
        FileKind,
        faulty::{Fault, Faulty},
        recording::Operation,
    },
};
use support::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Missing,
    Truncated,
    Flipped,
}

const ALL: [Damage; 3] = [Damage::Missing, Damage::Truncated, Damage::Flipped];

fn harm(path: &Path, damage: Damage) {
    let mut content = fs::read(path).expect("the object is there");
    fs::remove_file(path).expect("the object can be removed");
    match damage {
        Damage::Missing => return,
        Damage::Truncated => content.truncate(content.len() * 2 / 3),
        Damage::Flipped => {
            let middle = content.len() / 2;
            content[middle] ^= 4;
        }
    }
    fs::write(path, content).expect("the object can be written");
}

/// A repository with two backups that share nothing.
struct Two {
    test: TestRepository,
    old: SnapshotId,
    new: SnapshotId,
    /// Objects that came with the second backup.
    added: BTreeSet<PathBuf>,
}

const OLD_FILE: &str = "databases/shop/1.dat";
const NEW_FILE: &str = "databases/crm/2.dat";

fn old_content() -> Vec<u8> {
    rows(1, 5 << 20)
}

fn new_content() -> Vec<u8> {
    rows(2, 5 << 20)
}

impl Two {
    fn new() -> Self {
        let test = TestRepository::init();
        let (old, _) = back_up(&test.repository, &[(OLD_FILE, &old_content())]);
        let before = objects(&test.path(""));
        let (new, _) = back_up(&test.repository, &[(NEW_FILE, &new_content())]);
        let added = objects(&test.path(""))
            .difference(&before)
            .cloned()
            .collect();
        Self {
            test,
            old,
            new,
            added,
        }
    }

    /// The objects of the second backup in a folder, largest first.
    fn added_in(&self, folder: &str) -> Vec<PathBuf> {
        let folder = self.test.path(folder);
        let inside = self.added.iter().filter(|path| path.starts_with(&folder));
        let mut found: Vec<PathBuf> = inside.cloned().collect();
        found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).expect("there").len()));
        assert!(!found.is_empty(), "nothing was added to {folder:?}");
        found
    }

    fn check(&self, read_data: ReadData) -> CheckReport {
        check(&self.test.reopen(), read_data)
    }

    fn old_restores(&self) {
        assert!(content_of(&self.test.reopen(), &self.old, OLD_FILE) == Ok(old_content()));
    }

    /// Backs up the second content again and reads it back.
    fn next_backup_is_whole(&self) {
        let repository = self.test.reopen();
        let (id, _) = back_up(&repository, &[(NEW_FILE, &new_content())]);
        let snapshot = repository.find_snapshot(&id.to_string()).expect("found");
        let report = repository
            .verify_snapshot(&snapshot, true, &CancelToken::new(), &Silent)
            .expect("verified");
        assert_eq!(report.problems, []);
        assert!(content_of(&repository, &id, NEW_FILE) == Ok(new_content()));
    }
}

fn objects(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(objects(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

fn check(repository: &Repository, read_data: ReadData) -> CheckReport {
    let options = CheckOptions {
        read_data,
        ..CheckOptions::default()
    };
    repository.check(&options).expect("the check itself works")
}

/// A file's content, or the words of what is wrong.
fn content_of(repository: &Repository, id: &SnapshotId, path: &str) -> Result<Vec<u8>, String> {
    let snapshot = repository
        .find_snapshot(&id.to_string())
        .map_err(|error| error.to_string())?;
    let reader = repository
        .open_snapshot(&snapshot)
        .map_err(|error| error.to_string())?;
    reader.read_to_vec(path).map_err(|error| error.to_string())
}

fn name(path: &Path) -> String {
    path.file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned()
}

/// The report has exactly one problem: with this object, touching this.
fn assert_names(report: &CheckReport, object: &str, affects: &[String]) {
    let [problem] = report.problems.as_slice() else {
        panic!("not one problem: {:#?}", report.problems);
    };
    assert_eq!(problem.object, object, "{problem}");
    assert_eq!(problem.affects, affects, "{problem}");
    assert!(!report.is_ok());
}

#[test]
fn an_undamaged_repository_has_no_problems() {
    let two = Two::new();
    for read_data in [ReadData::None, ReadData::Percent(40.0), ReadData::All] {
        let report = two.check(read_data);
        assert_eq!(report.problems, []);
        assert_eq!(report.notes, Vec::<String>::new());
        assert_eq!(report.snapshots_checked, 2);
        assert!(report.packs_checked >= 4, "{report:?}");
        match read_data {
            ReadData::None => assert_eq!(report.packs_read, 0),
            ReadData::All => assert_eq!(report.packs_read, report.packs_checked),
            ReadData::Percent(_) => {
                assert!(
                    (1..report.packs_checked).contains(&report.packs_read),
                    "{report:?}"
                );
            }
        }
    }
}

#[test]
fn a_damaged_data_pack_touches_only_its_backup_and_is_stored_again() {
    for damage in ALL {
        let two = Two::new();
        let pack = two.added_in("data").remove(0);
        harm(&pack, damage);
        let quick = two.check(ReadData::None);
        if damage == Damage::Flipped {
            assert_eq!(quick.problems, [], "only reading finds it");
        }
        let report = if damage == Damage::Flipped {
            two.check(ReadData::All)
        } else {
            quick
        };
        let touched = format!("snapshot {}: {NEW_FILE}", two.new.short());
        assert_names(
            &report,
            &format!("pack {}", name(&pack)),
            std::slice::from_ref(&touched),
        );
        assert_eq!(report.damaged_packs, [name(&pack)]);
        two.old_restores();
        let repository = two.test.reopen();
        let error = content_of(&repository, &two.new, NEW_FILE).expect_err("damaged");
        assert!(error.contains(&name(&pack)[..8]), "{error}");
        let snapshot = repository
            .find_snapshot(&two.new.to_string())
            .expect("found");
        let verify =
            |read| repository.verify_snapshot(&snapshot, read, &CancelToken::new(), &Silent);
        assert!(!verify(true).expect("verified").is_ok());
        if damage != Damage::Flipped {
            let quick = verify(false).expect("verified");
            assert_names(&quick, &format!("pack {}", name(&pack)), &[touched]);
            let old = repository
                .find_snapshot(&two.old.to_string())
                .expect("found");
            let other = repository.verify_snapshot(&old, false, &CancelToken::new(), &Silent);
            assert_eq!(
                other.expect("verified").problems,
                [],
                "it needs another pack"
            );
        }

        if damage == Damage::Flipped {
            let done = repository
                .repair(&report, &Silent, &CancelToken::new())
                .expect("repaired");
            assert_eq!((done.packs_dropped, done.blobs_lost), (1, 1), "{done:?}");
            assert!(done.blobs_saved > 0, "{done:?}");
        }
        two.next_backup_is_whole();
        // Chunks are named by their content, so the older backup is whole again as well.
        assert!(content_of(&two.test.reopen(), &two.new, NEW_FILE) == Ok(new_content()));
    }
}

#[test]
fn repair_leaves_a_repository_without_problems_once_the_lost_is_stored_again() {
    let two = Two::new();
    let packs = two.added_in("data");
    harm(&packs[0], Damage::Flipped);
    harm(&packs[1], Damage::Missing);
    let repository = two.test.reopen();
    let report = two.check(ReadData::All);
    assert_eq!(report.problems.len(), 2);
    repository
        .repair(&report, &Silent, &CancelToken::new())
        .expect("repaired");
    two.old_restores();
    two.next_backup_is_whole();
    assert_eq!(two.check(ReadData::All).problems, []);
}

#[test]
fn a_damaged_tree_pack_touches_the_whole_folder() {
    for damage in ALL {
        let two = Two::new();
        let pack = two.added_in("data").pop().expect("a tree pack");
        harm(&pack, damage);
        let report = two.check(ReadData::None);
        let object = format!("pack {}", name(&pack));
        let problem = report
            .problems
            .iter()
            .find(|problem| problem.object == object);
        let problem = problem.unwrap_or_else(|| panic!("{damage:?}: {:#?}", report.problems));
        let touched = format!("snapshot {}: ", two.new.short());
        assert!(!problem.affects.is_empty(), "{problem}");
        assert!(
            problem
                .affects
                .iter()
                .all(|path| path.starts_with(&touched)),
            "{problem}"
        );
        two.old_restores();
        if damage == Damage::Flipped {
            two.test
                .reopen()
                .repair(&two.check(ReadData::All), &Silent, &CancelToken::new())
                .expect("repaired");
        }
        two.next_backup_is_whole();
        two.old_restores();
    }
}

#[test]
fn a_damaged_index_is_named_and_rebuilt_from_the_packs() {
    for damage in ALL {
        for repair in [false, true] {
            let two = Two::new();
            let index = two.added_in("index").remove(0);
            harm(&index, damage);
            let report = two.check(ReadData::All);
            let objects: Vec<&str> = report
                .problems
                .iter()
                .map(|problem| problem.object.as_str())
                .collect();
            let expected = format!("index {}", name(&index));
            match damage {
                Damage::Missing => assert_eq!(objects, ["index"]),
                _ => assert_eq!(objects, [expected.as_str(), "index"]),
            }
            let last = report.problems.last().expect("a problem");
            let touched = format!("snapshot {}: /", two.new.short());
            assert_eq!(last.affects, [touched], "{last}");
            two.old_restores();
            if repair {
                let repository = two.test.reopen();
                let done = repository.repair(&report, &Silent, &CancelToken::new());
                let done = done.expect("repaired");
                assert!(done.packs_indexed > 0, "{done:?}");
                assert_eq!(done.indexes_removed, u64::from(damage != Damage::Missing));
                assert!(content_of(&repository, &two.new, NEW_FILE) == Ok(new_content()));
                assert_eq!(two.check(ReadData::All).problems, []);
            }
            two.next_backup_is_whole();
            two.old_restores();
        }
    }
}

#[test]
fn a_damaged_snapshot_is_named_and_the_others_stay_listed() {
    for damage in [Damage::Truncated, Damage::Flipped] {
        let two = Two::new();
        let file = two.added_in("snapshots").remove(0);
        harm(&file, damage);
        assert_names(
            &two.check(ReadData::None),
            &format!("snapshot {}", name(&file)),
            &[],
        );
        let (readable, unreadable) = two.test.reopen().snapshots_lenient().expect("listed");
        assert_eq!((readable.len(), unreadable.len()), (1, 1));
        two.old_restores();
        two.next_backup_is_whole();
    }
}

#[test]
fn a_missing_snapshot_is_a_backup_less_and_harms_nothing_else() {
    let two = Two::new();
    harm(&two.added_in("snapshots").remove(0), Damage::Missing);
    assert_eq!(two.check(ReadData::All).problems, []);
    assert_eq!(two.test.reopen().snapshots().expect("listed").len(), 1);
    two.old_restores();
    two.next_backup_is_whole();
}

#[test]
fn a_damaged_key_is_named_and_another_one_opens() {
    for damage in ALL {
        let two = Two::new();
        let first = objects(&two.test.path("keys")).pop_first().expect("a key");
        let other = "another horse".into();
        two.test
            .repository
            .keys()
            .add(&other, "second")
            .expect("added");
        harm(&first, damage);
        let open = || Repository::open(two.test.storage(), &other, two.test.clock.clone());
        let report = check(&two.test.repository, ReadData::None);
        assert_names(&report, &format!("key {}", name(&first)), &[]);
        let repository = open().expect("the other key opens it");
        assert!(content_of(&repository, &two.old, OLD_FILE) == Ok(old_content()));
        back_up(&repository, &[(NEW_FILE, &new_content())]);
        let error = Repository::open(two.test.storage(), &password(), two.test.clock.clone());
        let error = error.expect_err("its key is gone").to_string();
        assert!(
            error.contains("key") || error.contains("password"),
            "{error}"
        );
    }
}

#[test]
fn a_damaged_config_is_named_and_can_be_made_anew() {
    for damage in ALL {
        let two = Two::new();
        harm(&two.test.path("config"), damage);
        assert_names(&check(&two.test.repository, ReadData::None), "config", &[]);
        let error = Repository::open(two.test.storage(), &password(), two.test.clock.clone())
            .expect_err("no config");
        match damage {
            Damage::Missing => {
                assert!(
                    matches!(error, RepositoryError::ConfigLost { .. }),
                    "{error}"
                );
            }
            _ => assert!(error.is_damage(), "{error}"),
        }
        let wrong = Repository::rebuild_config(&*two.test.storage(), &"wrong".into());
        assert!(
            matches!(wrong, Err(RepositoryError::WrongPassword)),
            "{wrong:?}"
        );
        Repository::rebuild_config(&*two.test.storage(), &password()).expect("made anew");
        assert!(Repository::rebuild_config(&*two.test.storage(), &password()).is_err());
        two.old_restores();
        two.next_backup_is_whole();
        assert_eq!(two.check(ReadData::All).problems, []);
    }
}

#[test]
fn a_damaged_lock_is_named_and_does_not_stop_a_backup() {
    for damage in [Damage::Truncated, Damage::Flipped] {
        let two = Two::new();
        let guard = two
            .test
            .repository
            .lock(LockMode::Shared, "test")
            .expect("locked");
        let lock = objects(&two.test.path("locks"))
            .pop_first()
            .expect("a lock");
        let content = fs::read(&lock).expect("read");
        drop(guard);
        fs::write(&lock, content).expect("left behind");
        harm(&lock, damage);
        assert_names(
            &two.check(ReadData::None),
            &format!("lock {}", name(&lock)),
            &[],
        );
        let repository = two.test.reopen();
        let shared = repository.lock(LockMode::Shared, "backup").expect("locked");
        two.old_restores();
        two.next_backup_is_whole();
        drop(shared);
    }
}

#[test]
fn a_store_that_does_not_answer_is_an_error_and_not_damage() {
    let two = Two::new();
    let faulty = std::sync::Arc::new(Faulty::new(two.test.storage()));
    let repository = two.test.reopen_on(faulty.clone());
    for kind in [
        FileKind::Key,
        FileKind::Snapshot,
        FileKind::Index,
        FileKind::Pack,
    ] {
        let refused = pgkeep_repository::storage::StorageErrorKind::PermissionDenied;
        faulty.next_times(Operation::List, Some(kind), 1, Fault::Fail(refused));
        let error = repository
            .check(&CheckOptions::default())
            .expect_err("no listing");
        assert!(matches!(error, RepositoryError::Storage(_)), "{error}");
        assert!(!error.is_damage(), "{error}");
        faulty.heal();
    }
}

#[test]
fn a_cancelled_check_ends_at_once() {
    let two = Two::new();
    let options = CheckOptions {
        read_data: ReadData::All,
        ..CheckOptions::default()
    };
    options.cancel.cancel();
    let error = two.test.reopen().check(&options).expect_err("cancelled");
    assert!(matches!(error, RepositoryError::Cancelled(_)), "{error}");
}

#[test]
fn packs_that_no_index_names_are_a_note() {
    let two = Two::new();
    harm(&two.added_in("index").remove(0), Damage::Missing);
    harm(&two.added_in("snapshots").remove(0), Damage::Missing);
    let report = two.check(ReadData::All);
    assert_eq!(report.problems, []);
    let packs = two.added_in("data").len();
    assert!(
        report.notes[0].starts_with(&format!("{packs} packs of ")),
        "{:?}",
        report.notes
    );
}
