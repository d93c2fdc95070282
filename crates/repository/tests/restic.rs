//! Stock restic is the judge of our repositories, and we read its.
#![allow(clippy::disallowed_methods, reason = "tests start restic")]

mod support;

use pgkeep_repository::{LockMode, Repository, RepositoryError};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use support::*;

/// One version of restic: the distribution's, and a newer one where the set-up found one.
struct Restic {
    program: PathBuf,
}

impl Restic {
    fn all() -> Vec<Restic> {
        let newer = pgkeep_testkit::cache_dir().join("restic/bin/restic");
        let programs = [
            Some(PathBuf::from("restic")),
            newer.is_file().then_some(newer),
        ];
        programs
            .into_iter()
            .flatten()
            .map(|program| Restic { program })
            .collect()
    }

    fn run(&self, repository: &Path, password: &str, arguments: &[&str]) -> Output {
        Command::new(&self.program)
            .args(["--no-cache", "--repo"])
            .arg(repository)
            .args(arguments)
            .env("RESTIC_PASSWORD", password)
            .output()
            .expect("restic is not installed: run `make setup`")
    }

    /// Runs a command that must succeed, and returns what it printed.
    fn ok(&self, repository: &Path, arguments: &[&str]) -> String {
        self.ok_with(repository, PASSWORD, arguments)
    }

    fn ok_with(&self, repository: &Path, password: &str, arguments: &[&str]) -> String {
        let output = self.run(repository, password, arguments);
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.status.success(),
            "{} {arguments:?}: {text}",
            self.program.display()
        );
        text
    }

    /// The error of a command that must fail.
    fn refused(&self, repository: &Path, arguments: &[&str]) -> String {
        let output = self.run(repository, PASSWORD, arguments);
        assert!(
            !output.status.success(),
            "{} {arguments:?} succeeded",
            self.program.display()
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn check(&self, repository: &Path) {
        let text = self.ok(repository, &["check", "--read-data"]);
        assert!(text.contains("no errors were found"), "{text}");
    }
}

/// The file system's idea of now: the library reads no clock, and neither do its tests.
fn real_now() -> jiff::Timestamp {
    let probe = tempfile::NamedTempFile::new().expect("a temporary file");
    let modified = probe
        .as_file()
        .metadata()
        .and_then(|m| m.modified())
        .expect("a time");
    jiff::Timestamp::try_from(modified).expect("in range")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn restic_checks_lists_and_restores_what_we_wrote() {
    for restic in Restic::all() {
        restic_checks_lists_and_restores_what_we_wrote_by(&restic);
    }
}

fn restic_checks_lists_and_restores_what_we_wrote_by(restic: &Restic) {
    let test = TestRepository::init();
    let repo = test.path("");
    let big = rows(1, 12 << 20);
    let media = noise(2, 3 << 20);
    let odd = "files/Größe \"5\" \\ 100%\n\u{200b}😀.txt";
    let writer = test.repository.writer(options()).expect("writer");
    let files = vec![
        file_of(
            &writer,
            "databases/shop/3215.dat",
            &[&big[..5 << 20], &big[5 << 20..], b"\\.\n\n\n"],
        ),
        file(&writer, "databases/shop/toc.dat", b"PGDMP"),
        file(&writer, "databases/shop/empty.dat", b""),
        file(&writer, odd, &media),
        file(&writer, "pgkeep.json", b"{}"),
    ];
    let (id, summary) = writer.publish(files, meta()).expect("publish");
    assert_eq!(
        summary.bytes_read,
        (big.len() + media.len() + 5 + 5 + 2) as u64
    );

    restic.check(&repo);
    let listed = restic.ok(&repo, &["snapshots"]);
    assert!(
        listed.contains(&id.short()) && listed.contains("app:shop") && listed.contains("db1"),
        "{listed}"
    );
    assert!(
        restic
            .ok(&repo, &["ls", "latest"])
            .contains("/databases/shop/3215.dat")
    );

    let target = test.folder.path().join("restored");
    restic.ok(
        &repo,
        &["restore", "latest", "--verify", "--target", text(&target)],
    );
    let mut whole = big.clone();
    whole.extend_from_slice(b"\\.\n\n\n");
    assert!(fs::read(target.join("databases/shop/3215.dat")).expect("restored") == whole);
    assert!(fs::read(target.join(odd)).expect("restored") == media);
    assert_eq!(
        fs::read(target.join("databases/shop/empty.dat")).expect("restored"),
        b""
    );
    assert_eq!(
        fs::read(target.join("pgkeep.json")).expect("restored"),
        b"{}"
    );
}

#[test]
fn we_read_what_restic_wrote_and_both_add_to_the_same_repository() {
    for restic in Restic::all() {
        we_read_what_restic_wrote_and_both_add_to_the_same_repository_by(&restic);
    }
}

fn we_read_what_restic_wrote_and_both_add_to_the_same_repository_by(restic: &Restic) {
    let test = TestRepository::init();
    let repo = test.path("");
    let source = test.folder.path().join("source");
    fs::create_dir_all(source.join("sub/ü")).expect("folder");
    let (a, b) = (rows(3, 9 << 20), noise(4, 2 << 20));
    fs::write(source.join("sub/a.dat"), &a).expect("file");
    fs::write(source.join("sub/ü/b \"q\" \\.bin"), &b).expect("file");
    fs::write(source.join("empty"), "").expect("file");
    std::os::unix::fs::symlink("empty", source.join("link")).expect("link");

    // A repository that restic made itself.
    let foreign = test.folder.path().join("foreign");
    restic.ok(&foreign, &["init", "--repository-version", "2"]);
    for folder in [&foreign, &repo] {
        restic.ok(folder, &["backup", "--tag", "theirs", text(&source)]);
        let storage = std::sync::Arc::new(pgkeep_repository::storage::LocalStorage::new(folder));
        let ours = Repository::open(storage, &password(), test.clock.clone()).expect("open");
        let snapshot = ours.find_snapshot("latest").expect("their snapshot");
        assert_eq!(snapshot.tags, ["theirs"]);
        let root = text(&source).trim_start_matches('/').to_string();
        assert!(read(&ours, &snapshot, &format!("{root}/sub/a.dat")) == a);
        assert!(read(&ours, &snapshot, &format!("{root}/sub/ü/b \"q\" \\.bin")) == b);
        assert_eq!(read(&ours, &snapshot, &format!("{root}/empty")), b"");

        let (id, _) = back_up(&ours, &[("ours.dat", &rows(5, 4 << 20))]);
        restic.check(folder);
        restic.ok(folder, &["forget", "--prune", &snapshot.id.to_string()]);
        restic.check(folder);
        let again = Repository::open(ours.storage().clone(), &password(), test.clock.clone())
            .expect("open");
        let kept = again.find_snapshot(&id.to_string()).expect("ours is kept");
        assert!(read(&again, &kept, "ours.dat") == rows(5, 4 << 20));
        // Deduplicates against what restic repacked.
        let (_, summary) = back_up(&again, &[("ours.dat", &rows(5, 4 << 20))]);
        assert_eq!(summary.bytes_new, 0, "{summary:?}");
        restic.check(folder);
    }
}

#[test]
fn changed_tags_keep_what_restic_wrote_of_a_snapshot() {
    for restic in Restic::all() {
        changed_tags_keep_what_restic_wrote_of_a_snapshot_by(&restic);
    }
}

fn changed_tags_keep_what_restic_wrote_of_a_snapshot_by(restic: &Restic) {
    let test = TestRepository::init();
    let repo = test.path("");
    let source = test.folder.path().join("source");
    fs::write(&source, "x").expect("file");
    restic.ok(
        &repo,
        &["backup", "--tag", "old", "--exclude", "*.o", text(&source)],
    );
    let before = test.repository.find_snapshot("latest").expect("snapshot");
    let new = test
        .repository
        .change_tags(&before.id, &["pinned".into()], &["old".into()])
        .expect("tags");
    let after = test
        .repository
        .find_snapshot(&new.to_string())
        .expect("snapshot");
    assert_eq!(
        (after.tags.as_slice(), after.original),
        (&["pinned".to_string()][..], Some(before.id))
    );
    assert_eq!(
        (after.time, after.tree, &after.other),
        (before.time, before.tree, &before.other)
    );
    assert!(
        !after.other.is_empty(),
        "restic writes fields that we do not know"
    );
    assert_eq!(test.repository.snapshots().expect("list").len(), 1);
    restic.check(&repo);
    assert!(
        restic
            .ok(&repo, &["snapshots", "--tag", "pinned"])
            .contains(&new.short())
    );
}

#[test]
fn locks_are_honoured_both_ways() {
    for restic in Restic::all() {
        locks_are_honoured_both_ways_by(&restic);
    }
}

fn locks_are_honoured_both_ways_by(restic: &Restic) {
    let test = TestRepository::init();
    let repo = test.path("");
    // restic judges a lock's age by the real clock, which the test's clock is far behind.
    test.clock.set(real_now());
    let source = test.folder.path().join("source");
    fs::write(&source, "x").expect("file");
    let exclusive = test
        .repository
        .lock(LockMode::Exclusive, "prune")
        .expect("lock");
    let refused = restic.refused(&repo, &["backup", text(&source)]);
    assert!(refused.contains("locked"), "{refused}");
    drop(exclusive);
    let shared = test
        .repository
        .lock(LockMode::Shared, "backup")
        .expect("lock");
    restic.ok(&repo, &["backup", text(&source)]);
    assert!(
        restic.refused(&repo, &["prune"]).contains("locked"),
        "a prune must wait for our backup"
    );
    drop(shared);
    restic.ok(&repo, &["prune"]);
    assert!(test.repository.locks().expect("list").is_empty());
}

#[test]
fn restic_keys_open_with_us_and_ours_with_restic() {
    for restic in Restic::all() {
        restic_keys_open_with_us_and_ours_with_restic_by(&restic);
    }
}

fn restic_keys_open_with_us_and_ours_with_restic_by(restic: &Restic) {
    let test = TestRepository::init();
    let second: secrecy::SecretString = "second".into();
    let id = test.repository.keys().add(&second, "laptop").expect("add");
    restic.ok_with(&test.path(""), "second", &["key", "list"]);
    let new_password = test.folder.path().join("third");
    fs::write(&new_password, "third").expect("file");
    restic.ok_with(
        &test.path(""),
        "second",
        &["key", "add", "--new-password-file", text(&new_password)],
    );
    assert_eq!(test.repository.keys().list().expect("list").len(), 3);
    let third =
        Repository::open(test.storage(), &"third".into(), test.clock.clone()).expect("open");
    third.keys().remove(&id).expect("remove");
    let gone = Repository::open(test.storage(), &second, test.clock.clone());
    assert!(
        matches!(gone, Err(RepositoryError::WrongPassword)),
        "{gone:?}"
    );
}
