//! File trees in backups: what lies on disk comes back, by our hands and by stock restic's.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start restic, and themselves as another user"
)]

mod support;

use pgkeep_engine::{
    application::Application,
    backup::{self, BackupReport, BackupRequest},
    catalog,
    files::{ScanOptions, scan},
    verify::{self, VerifyRequest},
};
use pgkeep_model::{
    app::{FileTree, References},
    manifest::{BackupKind, FilesManifest, ReferenceCheck},
};
use pgkeep_repository::{
    Repository, WriterOptions,
    storage::{FileKind, LocalStorage, ObjectKey, Storage, StorageError, StoredObject},
};
use pgkeep_testkit::TestPostgres;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    io::Write,
    os::unix::{ffi::OsStrExt, fs::MetadataExt, net::UnixListener, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Condvar, Mutex},
};
use support::*;

fn tree(name: &str, path: &Path) -> FileTree {
    FileTree {
        name: name.into(),
        path: path.display().to_string(),
        ..FileTree::default()
    }
}

fn request(kind: BackupKind, files: Vec<FileTree>) -> BackupRequest {
    BackupRequest {
        app: "shop".into(),
        environment: "test".into(),
        kind,
        description: String::new(),
        tags: Vec::new(),
        pinned: false,
        databases: Vec::new(),
        globals: false,
        jobs: 2,
        compression_level: 1,
        exclude_table_data: Vec::new(),
        schemas: Vec::new(),
        lock_timeout: None,
        origin: catalog::Origin::default(),
        read_back_all: true,
        application: Application {
            files,
            ..Application::default()
        },
    }
}

fn take(place: &Place, request: &BackupRequest) -> BackupReport {
    backup::run(&place.repository, request, &place.context)
        .unwrap_or_else(|e| panic!("backup: {e} {:?}", e.details))
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(len)
    .collect()
}

/// Everything of an entry that a restore must bring back.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: u32,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    content: Vec<u8>,
    target: Option<PathBuf>,
    /// The first path of the same file.
    link_of: Option<PathBuf>,
    note: Option<Vec<u8>>,
}

/// All entries below a folder, but for sockets, which no tool restores.
fn entries(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for item in fs::read_dir(root.join(&folder)).expect("readable") {
            let relative = folder.join(item.expect("readable").file_name());
            let path = root.join(&relative);
            let meta = fs::symlink_metadata(&path).expect("readable");
            let kind = meta.mode() & 0o170_000;
            if FileType::from_raw_mode(meta.mode()) == FileType::Socket {
                continue;
            }
            if meta.is_dir() {
                open.push(relative.clone());
            }
            if meta.is_file() && meta.nlink() > 1 {
                let names: &mut Vec<PathBuf> = first_names.entry(meta.ino()).or_default();
                names.push(relative.clone());
            }
            let entry = Entry {
                kind,
                mode: meta.mode() & 0o7777,
                owner: (meta.uid(), meta.gid()),
                modified: match meta.is_symlink() {
                    // Not every tool sets the time of a link.
                    true => (0, 0),
                    false => (meta.mtime(), meta.mtime_nsec()),
                },
                content: match meta.is_file() {
                    true => fs::read(&path).expect("readable"),
                    false => Vec::new(),
                },
                target: meta
                    .is_symlink()
                    .then(|| fs::read_link(&path).expect("a link")),
                link_of: None,
                note: note_of(&path),
            };
            found.insert(relative, entry);
        }
    }
    for names in first_names.into_values() {
        let first = names.iter().min().expect("at least one").clone();
        for name in names {
            found.get_mut(&name).expect("listed").link_of = Some(first.clone());
        }
    }
    found
}

fn note_of(path: &Path) -> Option<Vec<u8>> {
    let mut value = [0; 1024];
    let n = rustix::fs::lgetxattr(path, "user.note", &mut value).ok()?;
    Some(value[..n].to_vec())
}

/// A tree with one of everything, and many small files.
fn oddities(root: &Path) {
    let put = |name: &OsStr, content: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(&path, content).expect("written");
        path
    };
    let text = |name: &str| OsString::from(name);
    put(&text("deep/er/and/deeper/file"), b"down here");
    put(&text("empty"), b"");
    put(OsStr::from_bytes(b"caf\xe9 \xff"), b"not UTF-8");
    put(&text("a \"quoted\" & <odd>\nname\t\\"), b"escaped");
    put(&text("Größe 😀"), b"UTF-8");
    put(&text("big"), &noise(1, 9 << 20));
    let note = put(&text("noted"), b"with an attribute");
    rustix::fs::setxattr(&note, "user.note", b"\0\xff!", XattrFlags::empty())
        .expect("the file system of temporary files has user attributes");
    let setuid = put(&text("setuid"), b"#!/bin/true\n");
    rustix::fs::chmod(&setuid, Mode::from_raw_mode(0o6751)).expect("chmod");
    for n in 0..2_000 {
        put(
            &text(&format!("many/{}/{n}.txt", n % 97)),
            format!("file {n}").as_bytes(),
        );
    }
    fs::create_dir_all(root.join("hollow/inner")).expect("created");
    rustix::fs::chmod(root.join("hollow"), Mode::from_raw_mode(0o1777)).expect("chmod");
    fs::hard_link(root.join("big"), root.join("deep/big too")).expect("linked");
    let sparse = fs::File::create(root.join("sparse")).expect("created");
    sparse.set_len(40 << 20).expect("grown");
    (&sparse).write_all(b"at the front").expect("written");
    let link = |target: &[u8], name: &str| {
        rustix::fs::symlink(OsStr::from_bytes(target), root.join(name)).expect("linked");
    };
    link(b"loop b", "loop a");
    link(b"loop a", "loop b");
    link(b"/etc", "out of the tree");
    link(b"nowhere/caf\xe9", "dangling");
    link(b"..", "deep/up");
    rustix::fs::mkfifoat(CWD, root.join("pipe"), Mode::from_raw_mode(0o620)).expect("a pipe");
    UnixListener::bind(root.join("socket")).expect("a socket");
    // Folders last: what is made in them changes their times.
    for (n, folder) in ["deep", "hollow/inner", "hollow", "many"]
        .iter()
        .enumerate()
    {
        let at = Timespec {
            tv_sec: 1_000_000_000 + n as i64,
            tv_nsec: 123_456_789,
        };
        let times = Timestamps {
            last_access: at,
            last_modification: at,
        };
        rustix::fs::utimensat(CWD, root.join(folder), &times, AtFlags::empty()).expect("times");
    }
}

fn restic(place: &Place, arguments: &[&str]) -> String {
    let output = Command::new("restic")
        .args(["--no-cache", "--repo", &place.path()])
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

#[test]
fn a_tree_of_oddities_is_stored_whole_and_given_back_by_stock_restic() {
    let place = Place::new();
    let source = place.folder.path().join("source");
    fs::create_dir(&source).expect("created");
    oddities(&source);
    let expected = entries(&source);

    let report = take(
        &place,
        &request(BackupKind::Files, vec![tree("media", &source)]),
    );
    let stored = &report.files[0];
    assert_eq!((stored.unreadable_count, stored.changing_count), (0, 0));
    assert_eq!((stored.symlinks, stored.others), (5, 2));
    let files = expected.values().filter(|e| e.kind == 0o100_000);
    assert_eq!(stored.files, files.clone().count() as u64);
    let bytes: usize = files.map(|e| e.content.len()).sum();
    assert_eq!(stored.bytes, bytes as u64);
    assert_eq!(stored.skew_secs, None);
    assert!(
        report.bytes_new < 20 << 20,
        "holes and second links are stored once: {}",
        report.bytes_new
    );

    let entry = catalog::find(&place.repository, "latest", &catalog::ListFilter::default())
        .expect("listed");
    assert_eq!(entry.files, ["media"]);
    assert!(entry.databases.is_empty());

    let text = restic(&place, &["check", "--read-data"]);
    assert!(text.contains("no errors were found"), "{text}");
    let target = place.folder.path().join("target");
    restic(
        &place,
        &[
            "restore",
            "latest",
            "--target",
            target.to_str().expect("UTF-8"),
        ],
    );
    let restored = entries(&target.join("files/media"));
    let names = |of: &BTreeMap<PathBuf, Entry>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&restored), names(&expected));
    // Before 0.17 restic cannot put back the target of a link that is not UTF-8; it is stored as it is all the same.
    let otherwise: Vec<&PathBuf> = expected
        .iter()
        .filter(|(path, entry)| restored[*path] != **entry)
        .map(|(path, _)| path)
        .filter(|path| path.as_os_str() != "dangling")
        .collect();
    assert!(otherwise.is_empty(), "came back otherwise: {otherwise:?}");
    let snapshot = place.repository.find_snapshot(&report.id).expect("there");
    let reader = place.repository.open_snapshot(&snapshot).expect("readable");
    let link = reader.node("files/media/dangling").expect("readable");
    let target = link.expect("stored").target.expect("a link");
    assert_eq!(target.as_os_str().as_bytes(), b"nowhere/caf\xe9");

    // Reading it back finds what is stored equal to its digest, and names what is not.
    let wish = VerifyRequest {
        backups: vec!["latest".into()],
        filter: catalog::ListFilter::default(),
        read_data: true,
    };
    let good = verify::run(&place.repository, &wish, &place.context).expect("verify");
    assert!(good.ok, "{:?}", good.backups[0].problems);
    assert!(good.backups[0].bytes_read >= stored.bytes);
    assert!(good.backups[0].not_looked_at.is_empty());
    let quick = VerifyRequest {
        read_data: false,
        ..wish
    };
    let seen = verify::run(&place.repository, &quick, &place.context).expect("verify");
    assert!(seen.ok && seen.backups[0].bytes_read == 0);
    let files = format!("the content of {} files", stored.files);
    assert_eq!(seen.backups[0].not_looked_at, [files]);

    // A pack that is gone is named, with what it held.
    let packs = fs::read_dir(place.folder.path().join("repo/data")).expect("listed");
    let packs = packs.flat_map(|shard| fs::read_dir(shard.expect("there").path()).expect("listed"));
    let packs: Vec<PathBuf> = packs.map(|pack| pack.expect("there").path()).collect();
    let size = |pack: &PathBuf| fs::metadata(pack).expect("there").len();
    let largest = packs.into_iter().max_by_key(size).expect("packs");
    fs::remove_file(&largest).expect("removed");
    let bad = verify::run(&place.repository, &quick, &place.context).expect("verify");
    let [problem] = bad.backups[0].problems.as_slice() else {
        panic!("{:#?}", bad.backups[0].problems);
    };
    let name = largest.file_name().expect("a name").to_string_lossy();
    assert!(
        problem.starts_with(&format!("pack {name}: is missing; touches ")),
        "{problem}"
    );
    assert!(problem.contains(" of files media (snapshot "), "{problem}");
}

#[test]
fn unchanged_files_are_taken_over_unread_and_changed_ones_never() {
    let place = Place::new();
    // Beyond any time of a file that this test makes.
    let later = |text: &str| place.clock.set(text.parse().expect("a time"));
    later("2200-01-01T00:00:00Z");
    let source = place.folder.path().join("source");
    fs::create_dir_all(source.join("old")).expect("created");
    let put = |name: &str, content: &[u8]| fs::write(source.join(name), content).expect("written");
    put("old/kept", &noise(1, 700_000));
    put("old/also kept", b"small");
    put("same size", b"before");
    put("gone", b"gone");
    let trees = || vec![tree("media", &source)];
    let first = take(&place, &request(BackupKind::Files, trees()));

    later("2200-01-02T00:00:00Z");
    let same = take(&place, &request(BackupKind::Files, trees()));
    assert_eq!(same.parent.as_deref(), Some(first.id.as_str()));
    assert_eq!(same.files[0].files_unchanged, 4);
    assert_eq!(same.files[0].digest, first.files[0].digest);
    assert!(
        same.bytes_read < 10_000,
        "only the manifest is new: {}",
        same.bytes_read
    );

    // The clock of the file system moves in steps; a change within one of them is another test's matter.
    let made = fs::metadata(source.join("same size")).expect("there");
    let probe = place.folder.path().join("probe");
    loop {
        fs::write(&probe, b"now").expect("written");
        let now = fs::metadata(&probe).expect("there");
        if (now.ctime(), now.ctime_nsec()) > (made.ctime(), made.ctime_nsec()) {
            break;
        }
    }

    // The same size and the time of the change put back: only the inode's own time tells.
    let times = fs::metadata(source.join("same size")).expect("there");
    put("same size", b"after!");
    let at = Timespec {
        tv_sec: times.mtime(),
        tv_nsec: times.mtime_nsec(),
    };
    let times = Timestamps {
        last_access: at,
        last_modification: at,
    };
    rustix::fs::utimensat(CWD, source.join("same size"), &times, AtFlags::empty()).expect("times");
    fs::remove_file(source.join("gone")).expect("removed");
    put("new", b"new");
    fs::rename(source.join("old"), source.join("renamed")).expect("renamed");
    later("2200-01-03T00:00:00Z");
    let changed = take(&place, &request(BackupKind::Files, trees()));
    assert_eq!(
        (changed.files[0].files, changed.files[0].files_unchanged),
        (4, 0)
    );
    let reader = {
        let snapshot = place.repository.find_snapshot(&changed.id).expect("there");
        place.repository.open_snapshot(&snapshot).expect("readable")
    };
    let read = |path: &str| {
        let node = reader.node(path).expect("readable").expect(path);
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut reader.read_node(&node), &mut content).expect("whole");
        content
    };
    assert_eq!(read("files/media/same size"), b"after!");
    assert_eq!(read("files/media/renamed/kept"), noise(1, 700_000));
    assert_eq!(reader.node("files/media/gone").expect("readable"), None);

    // Asked to, it reads everything again.
    let mut all = request(BackupKind::Files, trees());
    all.application.hash_files = true;
    assert_eq!(take(&place, &all).files[0].files_unchanged, 0);

    // What may have changed within the tick of the clock in which it was read is read again, whoever asks.
    let mut ticking = request(BackupKind::Files, trees());
    ticking.app = "ticking".into();
    for day in ["1971-01-01T00:00:00Z", "1971-01-02T00:00:00Z"] {
        later(day);
        assert_eq!(take(&place, &ticking).files[0].files_unchanged, 0);
    }
}

/// Lets nothing be put into a repository until it is told to.
#[derive(Debug)]
struct Holding {
    inner: LocalStorage,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    held: bool,
    waiting: usize,
}

impl Gate {
    fn hold(&self) {
        self.state.lock().expect("whole").held = true;
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("whole");
        state.waiting += 1;
        self.changed.notify_all();
        while state.held {
            state = self.changed.wait(state).expect("whole");
        }
        state.waiting -= 1;
    }

    fn wait_until_someone_waits(&self) {
        let mut state = self.state.lock().expect("whole");
        while state.waiting == 0 {
            state = self.changed.wait(state).expect("whole");
        }
    }

    fn open(&self) {
        self.state.lock().expect("whole").held = false;
        self.changed.notify_all();
    }
}

impl Storage for Holding {
    fn put(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        if key.kind == FileKind::Pack {
            self.gate.pass();
        }
        self.inner.put(key, data)
    }
    fn create_new(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        self.inner.create_new(key, data)
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
    fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.inner.delete(key)
    }
    fn flush(&self) -> Result<(), StorageError> {
        self.inner.flush()
    }
    fn location(&self) -> String {
        self.inner.location()
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again_or_named() {
    let place = Place::new();
    let source = place.folder.path().join("source");
    fs::create_dir(&source).expect("created");
    // Far more than lies between a reader and a store that does not answer, so the reader is in the middle of it.
    fs::write(source.join("film"), noise(3, 48 << 20)).expect("written");
    let gate = Arc::new(Gate::default());
    let storage = Arc::new(Holding {
        inner: LocalStorage::new(place.folder.path().join("repo")),
        gate: gate.clone(),
    });
    let repository =
        Repository::open(storage, &PASSWORD.into(), place.clock.clone()).expect("open");
    let writer = repository
        .writer(WriterOptions {
            workers: 1,
            uploads: 1,
            pack_size: 1 << 20,
            ..WriterOptions::default()
        })
        .expect("writer");
    let scan_tree = |tree: &FileTree| {
        let options = ScanOptions {
            tree,
            previous: None,
            keep_out: &[],
            keep_paths: false,
        };
        scan(&writer, &options, &place.context).expect("scanned")
    };
    gate.hold();
    let media = tree("media", &source);
    let stored = std::thread::scope(|scope| {
        let scanning = scope.spawn(|| scan_tree(&media));
        gate.wait_until_someone_waits();
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(source.join("film"))
            .expect("opened");
        file.write_all(b"the end").expect("written");
        gate.open();
        scanning.join().expect("scanned")
    });
    assert_eq!(
        stored.manifest.changing_count, 0,
        "the second reading was quiet"
    );
    let on_disk = fs::read(source.join("film")).expect("readable");
    assert_eq!(stored.manifest.bytes, on_disk.len() as u64);
    writer.graft("files/media", stored.node);

    // The kernel's own files never hold as much as they say: whoever reads them cannot tell whether they were whole.
    let odd = tree("random", Path::new("/proc/sys/kernel/random"));
    let never_whole = scan_tree(&odd).manifest;
    let changing: Vec<&str> = never_whole
        .changing
        .iter()
        .map(|f| f.path.as_str())
        .collect();
    assert!(changing.contains(&"uuid"), "{changing:?}");
    assert_eq!(changing.len() as u64, never_whole.changing_count);

    let meta = pgkeep_repository::SnapshotMeta {
        time: "2026-01-01T00:00:00Z".parse().expect("a time"),
        hostname: "db1".into(),
        username: "backup".into(),
        tags: Vec::new(),
        paths: vec!["/shop".into()],
        program_version: "pgkeep".into(),
    };
    let (id, _) = writer.publish(Vec::new(), meta).expect("published");
    let snapshot = repository.find_snapshot(&id.to_string()).expect("there");
    let reader = repository.open_snapshot(&snapshot).expect("readable");
    let node = reader
        .node("files/media/film")
        .expect("readable")
        .expect("stored");
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut reader.read_node(&node), &mut read).expect("whole");
    assert!(
        read == on_disk,
        "what is stored is what lay there after the change"
    );
}

#[test]
fn what_is_excluded_mounted_or_the_repository_itself_is_left_out() {
    let place = Place::new();
    // The repository lies inside this tree.
    let source = place.folder.path().to_path_buf();
    for name in [
        "a.tmp",
        "keep.tmp",
        "cache/x",
        "logs/cache/y",
        "logs/z",
        "doc",
    ] {
        let path = source.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, name).expect("written");
    }
    let told = Arc::new(Told::default());
    let mut context = place.context.clone();
    context.progress = told.clone();
    let mut media = tree("media", &source);
    media.exclude = vec!["*.tmp".into(), "!keep.tmp".into(), "/cache/".into()];
    let mut devices = tree("devices", Path::new("/dev"));
    devices.one_file_system = true;
    let request = request(BackupKind::Files, vec![media, devices]);
    let report = backup::run(&place.repository, &request, &context).expect("backup");
    let snapshot = place.repository.find_snapshot(&report.id).expect("there");
    let reader = place.repository.open_snapshot(&snapshot).expect("readable");
    let walked: Vec<String> = reader
        .walk("files/media")
        .expect("a folder")
        .map(|item| item.expect("readable").0.display().to_string())
        .collect();
    assert_eq!(
        walked,
        [
            "doc",
            "keep.tmp",
            "logs",
            "logs/cache",
            "logs/cache/y",
            "logs/z"
        ]
    );
    let told = told.0.lock().expect("whole");
    assert!(
        told.iter()
            .any(|w| w == "files media: repo is the repository itself and is left out"),
        "{told:?}"
    );
    let device = |path: &str| fs::metadata(path).expect("there").dev();
    assert_ne!(device("/dev"), device("/dev/pts"), "terminals are mounted");
    let null = reader
        .node("files/devices/null")
        .expect("readable")
        .expect("there");
    assert_eq!((null.kind.as_str(), null.device), ("chardev", 0x103));
    let mounted = reader
        .node("files/devices/pts")
        .expect("readable")
        .expect("there");
    assert_eq!(reader.children(&mounted).expect("readable"), []);

    // Inside of the repository there is nothing to back up, and a folder that is not there is no empty one.
    for (path, words) in [
        (source.join("repo/data"), "lies inside the repository"),
        (source.join("nothing"), "no such file or directory"),
        (source.join("doc"), "not a directory"),
    ] {
        let error = backup::run(
            &place.repository,
            &self::request(BackupKind::Files, vec![tree("media", &path)]),
            &place.context,
        )
        .expect_err(words);
        assert!(error.message.contains(words), "{}", error.message);
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl pgkeep_model::Progress for Told {
    fn phase(&self, _: pgkeep_model::Phase, _: Option<u64>) {}
    fn bytes(&self, _: u64) {}
    fn warn(&self, message: &str) {
        self.0.lock().expect("whole").push(message.into());
    }
}

/// Root reads everything, so this test runs itself once more as nobody.
#[test]
fn what_may_not_be_read_is_named_and_the_rest_is_stored() {
    const INNER: &str = "PGKEEP_TEST_UNPRIVILEGED";
    if rustix::process::getuid().is_root() && std::env::var_os(INNER).is_none() {
        let me = std::env::current_exe().expect("a program");
        let folder = tempfile::tempdir().expect("a temporary folder");
        rustix::fs::chmod(folder.path(), Mode::from_raw_mode(0o777)).expect("chmod");
        // Where the program lies may be closed to others.
        let copy = folder.path().join("test");
        fs::copy(me, &copy).expect("copied");
        let output = Command::new(copy)
            .args([
                "--exact",
                "what_may_not_be_read_is_named_and_the_rest_is_stored",
            ])
            .env(INNER, "1")
            .env("TMPDIR", folder.path())
            .current_dir(folder.path())
            .uid(65_534)
            .gid(65_534)
            .output()
            .expect("started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
        return;
    }
    let place = Place::new();
    let source = place.folder.path().join("source");
    for name in ["closed/inside", "open", "secret"] {
        let path = source.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, name).expect("written");
    }
    let close = |name: &str, mode| {
        rustix::fs::chmod(source.join(name), Mode::from_raw_mode(mode)).expect("chmod");
    };
    close("secret", 0);
    close("closed", 0);
    let report = take(
        &place,
        &request(BackupKind::Files, vec![tree("media", &source)]),
    );
    close("closed", 0o700);
    let media = &report.files[0];
    let named: Vec<(&str, &str)> = media
        .unreadable
        .iter()
        .map(|f| (f.path.as_str(), f.reason.as_str()))
        .collect();
    assert_eq!(
        named,
        [
            ("closed", "permission denied"),
            ("secret", "permission denied")
        ]
    );
    assert_eq!(
        (media.files, media.folders, media.unreadable_count),
        (1, 0, 2)
    );

    close("", 0);
    let error = backup::run(
        &place.repository,
        &request(BackupKind::Files, vec![tree("media", &source)]),
        &place.context,
    )
    .expect_err("nothing can be read");
    close("", 0o700);
    assert!(
        error.message.contains("permission denied"),
        "{}",
        error.message
    );
}

#[test]
fn the_database_is_asked_in_its_own_snapshot_which_files_it_expects() {
    let server = TestPostgres::start(17);
    server.psql("postgres", "CREATE DATABASE papers");
    server.psql(
        "papers",
        "CREATE TABLE documents (id int, file text); \
         INSERT INTO documents VALUES (1, 'a.pdf'), (2, '/sub/b.pdf'), (3, './lost.pdf'), (4, NULL), (5, ''), \
         (6, 'a.pdf'), (7, E'tab\\there\\\\.pdf')",
    );
    let place = Place::new();
    let source = place.folder.path().join("source");
    fs::create_dir_all(source.join("sub")).expect("created");
    for name in ["a.pdf", "sub/b.pdf", "tab\there\\.pdf", "stray.pdf"] {
        fs::write(source.join(name), name).expect("written");
    }
    let asked = |sql: &str, database: Option<&str>| FileTree {
        references: Some(References {
            sql: sql.into(),
            database: database.map(str::to_owned),
            ignore_orphans: false,
        }),
        ..tree(&format!("t{}", sql.len()), &source)
    };
    let mut request = BackupRequest {
        application: Application {
            files: vec![
                asked("SELECT file FROM documents;", None),
                asked("SELECT file FROM no_such_table", None),
                asked("SELECT 'a.pdf'", Some("elsewhere")),
            ],
            ..Application::default()
        },
        ..backup_request(&server, "papers")
    };
    let report = take(&place, &request);
    let check = |n: usize| -> &pgkeep_model::manifest::ReferenceCheck {
        report.files[n].references.as_ref().expect("asked")
    };
    let found = check(0);
    assert_eq!(found.error, None);
    assert_eq!(
        (found.expected, found.missing_count, found.orphaned_count),
        (4, 1, 1)
    );
    assert_eq!(found.missing, ["lost.pdf"]);
    assert_eq!(found.orphaned, ["stray.pdf"]);
    assert_eq!(found.database, "papers");
    let error = check(1).error.as_deref().unwrap_or_default();
    assert!(error.contains("no_such_table"), "{error}");
    let error = check(2).error.as_deref().unwrap_or_default();
    assert!(error.contains("not part of the backup"), "{error}");
    assert!(
        report
            .files
            .iter()
            .all(|f: &FilesManifest| f.skew_secs.is_some())
    );
    assert_eq!(report.databases[0].rows, 7);

    request.kind = BackupKind::Database;
    assert_eq!(take(&place, &request).files, []);

    // Without a database in the backup the live one is asked, and that is said.
    request.kind = BackupKind::Files;
    request.application.database = Some(request.databases.remove(0));
    let report = take(&place, &request);
    let live = |n: usize| report.files[n].references.as_ref().expect("asked");
    assert_eq!(
        live(0),
        &ReferenceCheck {
            live: true,
            ..found.clone()
        }
    );
    assert!(
        live(1)
            .error
            .as_deref()
            .unwrap_or_default()
            .contains("no_such_table")
    );
    assert!(
        live(2)
            .error
            .as_deref()
            .unwrap_or_default()
            .contains("elsewhere")
    );
}
