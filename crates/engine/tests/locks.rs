//! What happens to a repository while somebody else works with it: nothing is published or removed without the lock, and
//! letting backups go waits for nobody.

mod support;

use pgkeep_engine::{
    Error, ErrorCode,
    application::Application,
    backup::{self, BackupRequest},
    catalog::{self, ListFilter, Relabel},
    catalog_copy,
    forget::{self, ForgetRequest},
    import::{self, ImportRequest},
    package::{self, PackageRequest, PackageSource, PackageTarget, TakeInRequest},
};
use pgkeep_model::{Phase, Progress, app::FileTree, manifest::BackupKind, retention::ForgetPlan};
use pgkeep_repository::{LockMode, PruneOptions};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use support::Place;

/// Removes every lock file when an operation comes to the phase, as a person or `restic unlock --remove-all` might.
struct Unlocks {
    at: Phase,
    locks: PathBuf,
}

impl Progress for Unlocks {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        if phase != self.at {
            return;
        }
        let entries: Vec<_> = fs::read_dir(&self.locks).expect("a folder").collect();
        assert!(!entries.is_empty(), "a lock is held in phase {phase:?}");
        for entry in entries {
            fs::remove_file(entry.expect("an entry").path()).expect("removed");
        }
    }
    fn bytes(&self, _: u64) {}
    fn warn(&self, _: &str) {}
}

/// Keeps the warnings.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn bytes(&self, _: u64) {}
    fn warn(&self, message: &str) {
        self.0.lock().expect("no panic").push(message.to_owned());
    }
}

/// A backup of a folder, which needs no server.
fn files_request(place: &Place) -> BackupRequest {
    let folder = place.folder.path().join("media");
    fs::create_dir_all(&folder).expect("room");
    fs::write(folder.join("a.txt"), "content").expect("room");
    BackupRequest {
        app: "shop".into(),
        environment: "test".into(),
        kind: BackupKind::Files,
        description: String::new(),
        tags: Vec::new(),
        pinned: false,
        origin: catalog::Origin::default(),
        databases: Vec::new(),
        globals: false,
        jobs: 1,
        compression_level: 1,
        exclude_table_data: Vec::new(),
        schemas: Vec::new(),
        lock_timeout: None,
        read_back_all: false,
        application: Application {
            files: vec![FileTree {
                name: "media".into(),
                path: folder.display().to_string(),
                ..FileTree::default()
            }],
            ..Application::default()
        },
    }
}

fn back_up(place: &Place) -> String {
    place.clock.advance(jiff::SignedDuration::from_mins(1));
    let report = backup::run(&place.repository, &files_request(place), &place.context);
    report.unwrap_or_else(|e| panic!("backup: {e}")).id
}

fn ids(place: &Place) -> Vec<String> {
    let listed = catalog::list(&place.repository, &ListFilter::default()).expect("a list");
    listed.into_iter().map(|entry| entry.id).collect()
}

fn plan_of(ids: &[&String]) -> ForgetPlan {
    ForgetPlan {
        keep: Vec::new(),
        remove: ids
            .iter()
            .map(|id| ((*id).clone(), "a test".into()))
            .collect(),
    }
}

#[test]
fn nothing_is_published_or_removed_once_the_lock_is_gone() {
    let place = Place::new();
    let first = back_up(&place);
    let packed = PackageRequest {
        backup: first.clone(),
        app: None,
        recipients: Vec::new(),
        compress: false,
    };
    let folder = PackageTarget::Folder(place.folder.path().to_owned());
    let packed = package::write(&place.repository, &packed, &folder, &place.context)
        .unwrap_or_else(|e| panic!("package: {e}"));
    let script = place.folder.path().join("dump.sql");
    fs::write(
        &script,
        "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t ();\n\n--\n-- PostgreSQL database dump complete\n--\n",
    )
    .expect("room");

    let unlocked = |at: Phase| {
        let mut context = place.context.clone();
        let locks = place.folder.path().join("repo/locks");
        context.progress = Arc::new(Unlocks { at, locks });
        context
    };
    let publishing = unlocked(Phase::Publish);
    let before = ids(&place);
    let lost = |what: &str, outcome: Result<(), Error>| {
        let error = outcome.expect_err(what);
        assert_eq!(error.code, ErrorCode::Busy, "{what}: {error}");
        assert!(error.message.contains("lock"), "{what}: {error}");
        assert_eq!(ids(&place), before, "{what}");
        let copies = catalog_copy::list(&place.repository).expect("a list");
        assert!(copies.is_empty(), "{what}");
    };

    let repository = &place.repository;
    let request = files_request(&place);
    lost(
        "backup",
        backup::run(repository, &request, &publishing).map(drop),
    );
    let request = import_request(&script);
    lost(
        "import",
        import::run(repository, &request, &publishing).map(drop),
    );
    let request = TakeInRequest {
        from: PackageSource::File(PathBuf::from(packed.location.expect("a file"))),
        identities: Vec::new(),
        app: None,
        environment: None,
        description: String::new(),
        tags: Vec::new(),
        compression_level: 1,
        from_afar: false,
        max_bytes: None,
        origin: catalog::Origin::default(),
    };
    lost(
        "package",
        package::take_in(repository, &request, &publishing).map(drop),
    );
    let stored = catalog_copy::store(repository, &script, "here", 3, &publishing);
    lost("catalog copy", stored.map(drop));

    // With the lock, the very same is published.
    import::run(repository, &import_request(&script), &place.context).expect("imported");
    assert_eq!(ids(&place).len(), 2);
}

fn import_request(path: &Path) -> ImportRequest {
    ImportRequest {
        path: path.to_owned(),
        app: "shop".into(),
        environment: String::new(),
        database: Some("shop".into()),
        description: String::new(),
        tags: Vec::new(),
        compression_level: 1,
        max_bytes: None,
        origin: catalog::Origin::default(),
    }
}

#[test]
fn backups_go_beside_a_running_backup_and_their_space_later() {
    let place = Place::new();
    let (first, second, third) = (back_up(&place), back_up(&place), back_up(&place));
    let heard = Arc::new(Heard::default());
    let mut context = place.context.clone();
    context.progress = heard.clone();
    let now = PruneOptions {
        grace: Duration::ZERO,
        ..PruneOptions::default()
    };

    // Another app's backup, as far as the repository can tell.
    let other = place
        .repository
        .lock(LockMode::Shared, "backup")
        .expect("locked");
    let plan = plan_of(&[&first]);
    let report = forget::execute(&place.repository, &plan, &context).expect("beside a backup");
    assert_eq!(report.removed, std::slice::from_ref(&first));
    assert_eq!(ids(&place), [second.clone(), third.clone()]);
    let pruned = forget::prune_after(&place.repository, &now, &context).expect("no failure");
    assert!(pruned.is_none(), "a prune needs the repository for itself");
    let warnings = heard.0.lock().expect("no panic").clone();
    assert!(
        matches!(&*warnings, [only] if only.contains("the space comes back") && only.contains("backup")),
        "{warnings:?}"
    );
    drop(other);
    let pruned = forget::prune_after(&place.repository, &now, &context).expect("pruned");
    assert!(pruned.is_some());

    // A prune shuts it out, and nothing goes.
    let prune = place
        .repository
        .lock(LockMode::Exclusive, "prune")
        .expect("alone");
    let plan = plan_of(&[&second]);
    let refused = forget::execute(&place.repository, &plan, &context).expect_err("a prune runs");
    assert_eq!(refused.code, ErrorCode::Busy, "{refused}");
    let named = Relabel {
        description: Some("before the move".into()),
        ..Relabel::default()
    };
    let refused = catalog::relabel(&place.repository, &second, &named).expect_err("a prune runs");
    assert_eq!(refused.code, ErrorCode::Busy, "{refused}");
    drop(prune);
    assert_eq!(ids(&place), [second.clone(), third.clone()]);

    // What a plan decided may be overtaken: pinned since, or gone already.
    let pinned = Relabel {
        pinned: Some(true),
        ..Relabel::default()
    };
    catalog::relabel(&place.repository, &second, &pinned).expect("pinned");
    let report = forget::execute(&place.repository, &plan_of(&[&first, &second]), &context);
    let report = report.expect("carried out");
    assert_eq!(report.removed, [first], "as good as removed");
    assert!(
        matches!(&*report.failed, [(id, why)] if *id == second && why.contains("pinned")),
        "{report:?}"
    );
    assert_eq!(ids(&place).len(), 2);
}

#[test]
fn what_is_taken_over_from_a_backup_that_goes_meanwhile_is_whole() {
    let place = Place::new();
    let parent = back_up(&place);
    let request = BackupRequest {
        kind: BackupKind::Files,
        ..files_request(&place)
    };
    /// Forgets the parent, and tries to give its space back, right before the new backup is published.
    struct Meanwhile {
        place: Place,
        parent: String,
    }
    impl Progress for Meanwhile {
        fn phase(&self, phase: Phase, _: Option<u64>) {
            if phase != Phase::Publish {
                return;
            }
            let (repository, context) = (&self.place.repository, &self.place.context);
            let plan = plan_of(&[&self.parent]);
            let report = forget::execute(repository, &plan, context).expect("forgotten");
            assert_eq!(report.removed.len(), 1);
            let at_once = PruneOptions {
                grace: Duration::ZERO,
                ..PruneOptions::default()
            };
            let pruned = forget::prune_after(repository, &at_once, context).expect("no failure");
            assert!(pruned.is_none(), "the running backup shuts it out");
        }
        fn bytes(&self, _: u64) {}
        fn warn(&self, _: &str) {}
    }
    let mut context = place.context.clone();
    let repository = place.repository.clone();
    let meanwhile = Arc::new(Meanwhile {
        place,
        parent: parent.clone(),
    });
    context.progress = meanwhile.clone();
    let report = backup::run(&repository, &request, &context).expect("backed up");
    assert_eq!(report.parent.as_ref(), Some(&parent), "measured against it");

    let at_once = PruneOptions {
        grace: Duration::ZERO,
        ..PruneOptions::default()
    };
    let quiet = &meanwhile.place.context;
    forget::prune_after(&repository, &at_once, quiet)
        .expect("pruned")
        .expect("alone");
    assert_eq!(ids(&meanwhile.place), std::slice::from_ref(&report.id));
    let verified = pgkeep_engine::verify::run(
        &repository,
        &pgkeep_engine::verify::VerifyRequest {
            backups: Vec::new(),
            filter: ListFilter::default(),
            read_data: true,
        },
        quiet,
    );
    assert!(verified.expect("looked at").ok);
}

#[test]
fn a_finding_about_a_backup_that_is_gone_is_a_warning() {
    let place = Place::new();
    let id = back_up(&place);
    let entry = catalog::find(&place.repository, &id, &ListFilter::default()).expect("there");
    let request = ForgetRequest::Named(vec![id]);
    let plan = forget::plan(&place.repository, &request, &place.context).expect("planned");
    forget::execute(&place.repository, &plan, &place.context).expect("forgotten");
    let heard = Arc::new(Heard::default());
    let mut context = place.context.clone();
    context.progress = heard.clone();
    let checked = catalog::Finding::Checked;
    let why = catalog::record(&place.repository, &entry, checked, &context).expect("no failure");
    assert!(why.expect("a reason").contains("holds no matching backup"));
    assert_eq!(heard.0.lock().expect("no panic").len(), 1);
}
