//! Files come back as they were: built beside their place, proven, swapped by rename, and taken back.

mod support;

use pgkeep_engine::{
    Context, ErrorCode,
    application::Application,
    backup::{self, BackupRequest},
    catalog::Origin,
    files::restore::{self, FilesReport, FilesRequest},
    package::{self, PackageRequest, PackageSource, PackageTarget, TakeInRequest},
};
use pgkeep_model::{app::FileTree, manifest::BackupKind};
use pgkeep_testkit::TestPostgres;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};
use support::{Place, backup_request, into, replace, restore_request};

/// What a person could see of an entry.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    size: u64,
    links: u64,
    content: Vec<u8>,
    attribute: Vec<u8>,
}

fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = fs::symlink_metadata(&path).expect("there");
        let content = match meta.file_type() {
            kind if kind.is_dir() => {
                waiting.extend(
                    fs::read_dir(&path)
                        .expect("opens")
                        .map(|e| e.expect("there").path()),
                );
                Vec::new()
            }
            kind if kind.is_file() => fs::read(&path).expect("reads"),
            kind if kind.is_symlink() => fs::read_link(&path)
                .expect("points")
                .into_os_string()
                .as_bytes()
                .to_vec(),
            _ => Vec::new(),
        };
        let mut attribute = vec![0; 100];
        let n = rustix::fs::lgetxattr(&path, "user.colour", &mut attribute).unwrap_or(0);
        attribute.truncate(n);
        let own = path.strip_prefix(root).expect("below").to_owned();
        all.insert(
            own,
            Seen {
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                modified: (meta.mtime(), meta.mtime_nsec()),
                size: if meta.is_dir() { 0 } else { meta.len() },
                links: if meta.is_dir() { 0 } else { meta.nlink() },
                content,
                attribute,
            },
        );
    }
    all
}

/// A tree with one of everything.
fn plant(root: &Path) {
    fs::create_dir_all(root.join("letters/empty")).expect("room");
    fs::write(root.join("letters/a.txt"), "first").expect("room");
    fs::write(root.join("letters/b.pdf"), vec![7; 3 << 20]).expect("room");
    fs::hard_link(root.join("letters/b.pdf"), root.join("z-same.pdf")).expect("room");
    fs::write(root.join(OsStr::from_bytes(b"not \xff UTF-8\n")), "x").expect("room");
    symlink("/etc/passwd", root.join("outside")).expect("room");
    symlink("nowhere", root.join("dangling")).expect("room");
    rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RUSR, 0).expect("room");
    let sparse = File::create(root.join("sparse")).expect("room");
    sparse.set_len(64 << 20).expect("room");
    sparse.write_at(b"in the middle", 32 << 20).expect("room");
    let program = root.join("program");
    fs::write(&program, "#!/bin/sh\n").expect("room");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).expect("ours");
    // A file system without attributes of users loses nothing.
    let _ = rustix::fs::lsetxattr(&program, "user.colour", b"red", XattrFlags::empty());
    fs::set_permissions(root, fs::Permissions::from_mode(0o750)).expect("ours");
    for path in ["letters/a.txt", "letters", "letters/empty"] {
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
        File::open(root.join(path))
            .expect("opens")
            .set_modified(long_ago)
            .expect("ours");
    }
}

fn back_up(place: &Place, root: &Path) {
    let request = BackupRequest {
        app: "shop".into(),
        environment: String::new(),
        kind: BackupKind::Files,
        description: String::new(),
        tags: Vec::new(),
        pinned: false,
        origin: Origin::default(),
        databases: Vec::new(),
        globals: false,
        jobs: 2,
        compression_level: 1,
        exclude_table_data: Vec::new(),
        schemas: Vec::new(),
        lock_timeout: None,
        read_back_all: false,
        application: Application {
            files: vec![FileTree {
                name: "media".into(),
                path: root.display().to_string(),
                ..FileTree::default()
            }],
            ..Application::default()
        },
    };
    backup::run(&place.repository, &request, &place.context).unwrap_or_else(|e| panic!("{e}"));
}

fn bring_back(place: &Place, request: &FilesRequest, context: &Context) -> FilesReport {
    let plan = restore::plan(&place.repository, request, context).unwrap_or_else(|e| panic!("{e}"));
    restore::execute(&place.repository, &plan, context)
        .unwrap_or_else(|e| panic!("{e} {:?}", e.details))
}

#[test]
fn a_tree_comes_back_as_it_was_and_the_replaced_one_can_be_put_back() {
    let place = Place::new();
    let root = place.folder.path().join("media");
    plant(&root);
    let before = seen(&root);
    back_up(&place, &root);
    // The live tree is spoilt in every way.
    fs::remove_file(root.join("letters/b.pdf")).expect("ours");
    fs::remove_dir(root.join("letters/empty")).expect("ours");
    File::options()
        .append(true)
        .open(root.join("letters/a.txt"))
        .expect("opens")
        .write_all(b"!")
        .expect("room");
    fs::write(root.join("new"), "new").expect("room");
    let spoilt = seen(&root);

    let request = FilesRequest {
        backup: "latest".into(),
        keep_old_secs: 3600,
        ..FilesRequest::default()
    };
    let plan = restore::plan(&place.repository, &request, &place.context).expect("plans");
    assert!(plan.summary.overwrites && plan.summary.refusals.is_empty());
    // Proven beside, and thrown away: nothing has changed, and nothing is left.
    drop(restore::build(&place.repository, &plan, &place.context).expect("builds"));
    assert_eq!(seen(&root), spoilt);
    assert_eq!(fs::read_dir(place.folder.path()).expect("opens").count(), 2);

    let report = bring_back(&place, &request, &place.context);
    let tree = &report.trees[0];
    assert!(tree.proven && tree.odd.is_empty(), "{tree:?}");
    assert_eq!(seen(&root), before);
    let held = fs::metadata(root.join("sparse")).expect("there").blocks() * 512;
    assert!(held < 1 << 20, "the hole is {held} bytes of disk");

    // What was there is kept, known by its mark and not by its name.
    let kept_path = tree.kept_as.clone().expect("kept");
    let namesake = place.folder.path().join("media_before_20200101T000000Z");
    fs::create_dir(&namesake).expect("room");
    let kept = restore::kept(std::slice::from_ref(&root));
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].path, kept_path);
    let back = restore::undo(&kept[0], 3600, &place.context).expect("put back");
    assert_eq!(seen(&root), spoilt);
    let again = restore::kept(std::slice::from_ref(&root));
    assert_eq!(again.len(), 1);
    assert_eq!(Some(&again[0].path), back.kept_as.as_ref());
    restore::undo(&again[0], 3600, &place.context).expect("an undo can be undone");
    assert_eq!(seen(&root), before);

    // Its time is over some day; a folder of a similar name stays.
    place.clock.advance(jiff::SignedDuration::from_hours(2));
    let dropped = restore::drop_expired(std::slice::from_ref(&root), &place.context);
    assert_eq!(dropped.len(), 1);
    assert!(namesake.exists() && restore::kept(std::slice::from_ref(&root)).is_empty());
}

#[test]
fn single_files_go_to_a_new_folder_and_nothing_is_overwritten_or_followed() {
    let place = Place::new();
    let root = place.folder.path().join("media");
    plant(&root);
    back_up(&place, &root);
    let into = place.folder.path().join("some");
    let some = FilesRequest {
        backup: "latest".into(),
        patterns: vec!["*.pdf".into(), "/outside".into()],
        into: Some(into.clone()),
        ..FilesRequest::default()
    };
    let report = bring_back(&place, &some, &place.context);
    assert!(report.trees[0].proven && report.trees[0].kept_as.is_none());
    let found: Vec<PathBuf> = seen(&into).into_keys().collect();
    let wanted = ["", "letters", "letters/b.pdf", "outside", "z-same.pdf"];
    assert_eq!(found, wanted.map(PathBuf::from));
    assert_eq!(
        fs::metadata(into.join("z-same.pdf"))
            .expect("there")
            .nlink(),
        2
    );

    let refusal = |request: &FilesRequest| {
        let plan = restore::plan(&place.repository, request, &place.context).expect("plans");
        let error = restore::build(&place.repository, &plan, &place.context)
            .err()
            .expect("refused");
        assert_eq!(error.code, ErrorCode::Refused);
        error.message
    };
    // It holds files now.
    assert!(refusal(&some).contains("holds files"));
    let in_place = FilesRequest {
        into: None,
        ..some.clone()
    };
    assert!(refusal(&in_place).contains("single files"));
    // A link in the place of the tree leads nowhere.
    let elsewhere = place.folder.path().join("elsewhere");
    fs::rename(&root, &elsewhere).expect("ours");
    symlink(&elsewhere, &root).expect("room");
    let whole = FilesRequest {
        backup: "latest".into(),
        ..FilesRequest::default()
    };
    assert!(refusal(&whole).contains("is no folder"));
    let nothing = FilesRequest {
        patterns: vec!["*.odt".into()],
        into: Some(place.folder.path().join("none")),
        ..some
    };
    let plan = restore::plan(&place.repository, &nothing, &place.context).expect("plans");
    let error = restore::build(&place.repository, &plan, &place.context)
        .err()
        .expect("nothing");
    assert_eq!(error.code, ErrorCode::NotFound);
    assert!(!place.folder.path().join("none").exists());
}

#[allow(clippy::disallowed_methods)] // stock programs are what is tested here
fn run(program: &str, arguments: &[&str], folder: &Path) {
    let mut command = std::process::Command::new(program);
    let output = command.args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

#[test]
fn a_tree_goes_through_a_package_by_stock_tar_and_by_another_repository() {
    let place = Place::new();
    let root = place.folder.path().join("media");
    plant(&root);
    let long = root.join("deep").join("d".repeat(120));
    fs::create_dir_all(&long).expect("room");
    fs::write(long.join("n".repeat(90)), "far down").expect("room");
    symlink("t".repeat(300), root.join("far")).expect("room");
    let before = seen(&root);
    back_up(&place, &root);
    let request = PackageRequest {
        backup: "latest".into(),
        app: None,
        recipients: Vec::new(),
        compress: false,
    };
    let to = PackageTarget::Folder(place.folder.path().to_owned());
    let written = package::write(&place.repository, &request, &to, &place.context)
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(written.trees, ["media"]);

    let arguments = [
        "--extract",
        "--xattrs",
        "--preserve-permissions",
        "--file",
        &written.name,
    ];
    run("tar", &arguments, place.folder.path());
    let unpacked = place
        .folder
        .path()
        .join(written.name.strip_suffix(".tar").expect("a tar file"));
    run(
        "sha256sum",
        &["--check", "--strict", "--quiet", "SHA256SUMS"],
        &unpacked,
    );
    assert_eq!(seen(&unpacked.join("files/media")), before);

    let other = Place::new();
    let request = TakeInRequest {
        from: PackageSource::File(place.folder.path().join(&written.name)),
        identities: Vec::new(),
        app: None,
        environment: None,
        description: String::new(),
        tags: Vec::new(),
        compression_level: 1,
        from_afar: false,
        max_bytes: None,
        origin: Origin::default(),
    };
    package::take_in(&other.repository, &request, &other.context)
        .unwrap_or_else(|e| panic!("{e} {:?}", e.details));
    let again = other.folder.path().join("again");
    let request = FilesRequest {
        backup: "latest".into(),
        into: Some(again.clone()),
        ..FilesRequest::default()
    };
    let report = bring_back(&other, &request, &other.context);
    assert!(report.trees[0].proven && report.trees[0].odd.is_empty());
    assert_eq!(seen(&again), before);
}

#[test]
fn a_database_and_its_files_come_back_together_or_not_at_all() {
    let server = TestPostgres::start(17);
    server.create_database("shop");
    server.psql(
        "shop",
        "CREATE TABLE letters (file text); INSERT INTO letters VALUES ('a.txt')",
    );
    let place = Place::new();
    let root = place.folder.path().join("media");
    plant(&root);
    let mut request = backup_request(&server, "shop");
    request.application.files = vec![FileTree {
        name: "media".into(),
        path: root.display().to_string(),
        ..FileTree::default()
    }];
    let taken = backup::run(&place.repository, &request, &place.context);
    let backup = taken.unwrap_or_else(|e| panic!("{e}")).id;
    let before = seen(&root);
    server.psql("shop", "DELETE FROM letters");
    fs::remove_file(root.join("letters/a.txt")).expect("ours");
    let spoilt = seen(&root);

    let whole = FilesRequest {
        backup: backup.clone(),
        keep_old_secs: 3600,
        ..FilesRequest::default()
    };
    let together = |target| {
        let files = restore::plan(&place.repository, &whole, &place.context).expect("plans");
        let mut request = restore_request(&server, target);
        request.backup = backup.clone();
        let database = pgkeep_engine::restore::plan(&place.repository, &request, &place.context);
        (files, database.unwrap_or_else(|e| panic!("{e}")))
    };
    // The database cannot be made any more: the files, though proven, stay where they are.
    let (files, database) = together(into("side"));
    server.create_database("side");
    let failed =
        restore::execute_with_database(&place.repository, &files, database, &place.context);
    assert!(failed.is_err());
    assert_eq!(seen(&root), spoilt);
    assert_eq!(fs::read_dir(place.folder.path()).expect("opens").count(), 2);

    let (files, database) = together(replace("shop"));
    let (report, placed) =
        restore::execute_with_database(&place.repository, &files, database, &place.context)
            .unwrap_or_else(|e| panic!("{e} {:?}", e.details));
    assert!(report.proof.proven() && placed.expect("in place").trees[0].proven);
    assert_eq!(seen(&root), before);
    assert_eq!(
        server.psql("shop", "SELECT file FROM letters").trim(),
        "a.txt"
    );
}
