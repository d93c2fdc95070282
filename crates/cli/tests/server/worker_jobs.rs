//! What each kind of job leaves behind: in the repository, in the catalog's list, on the server, in its own row.

use crate::{
    pgkeep::scene::{reading, wait_until},
    workshop::{APP, REPOSITORY, Workshop, backup},
};
use pgkeep_catalog::{BackupRow, JobFilter, Page};
use pgkeep_model::job::{
    AppSpec, BackupSpec, CheckSpec, DiffSpec, DrillSpec, DumpFormat, ExportSpec, ForgetSpec,
    JobKind, JobSpec, JobState, RepositorySpec, RestoreMode, RestoreSpec, Trigger, UndoSpec,
    VerifySpec,
};
use serde_json::Value;

impl Workshop {
    /// Runs one job to its good end and gives its result.
    #[track_caller]
    fn result_of(&self, spec: JobSpec) -> Value {
        let id = self.enqueue(self.draft(spec));
        self.wait_for_state(&id, JobState::Succeeded)
            .result
            .unwrap()
    }

    fn only_row(&self) -> BackupRow {
        let mut rows = self.rows();
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.remove(0)
    }
}

fn main_repository() -> RepositorySpec {
    RepositorySpec {
        repository: REPOSITORY.into(),
    }
}

fn restore(backup: &str, target: RestoreMode) -> JobSpec {
    JobSpec::Restore(RestoreSpec {
        keep_old_secs: 3600,
        ..RestoreSpec::new(APP, REPOSITORY, backup, target)
    })
}

#[test]
fn a_backup_job_leaves_a_backup_a_row_a_log_and_the_document_of_the_command() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let id = workshop.enqueue(workshop.draft(JobSpec::Backup(BackupSpec {
        app: APP.into(),
        policy: Some("nightly".into()),
        description: "by the policy".into(),
        tags: vec!["v1".into()],
        ..BackupSpec::default()
    })));
    let job = workshop.wait_for_state(&id, JobState::Succeeded);
    let result = job.result.unwrap();
    let row = workshop.only_row();
    assert_eq!(result["id"], row.id.as_str());
    assert_eq!(row.job.as_deref(), Some(id.as_str()));
    assert_eq!(row.policy.as_deref(), Some("nightly"));
    assert_eq!(row.tags, ["v1"]);
    assert_eq!(row.bytes, result["bytes_read"].as_u64());
    assert_eq!(row.rows, result["rows"].as_u64());
    assert_eq!(workshop.scene.backups(), [row.id]);
    assert!(workshop.log(&id).contains(&"reading back".to_owned()));
    assert_eq!((job.attempts, job.error), (1, None));
    node.stop();
    workshop.wait_until_nothing_is_left_of(&id);
}

#[test]
fn what_later_jobs_find_out_stands_in_the_row() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let made = workshop.result_of(backup());
    let before = workshop.only_row();
    assert_eq!((before.checked_at, before.proven_at), (None, None));
    workshop.result_of(JobSpec::Verify(VerifySpec {
        repository: REPOSITORY.into(),
        read_data: true,
        ..VerifySpec::default()
    }));
    assert!(workshop.only_row().checked_at.is_some());
    let drilled = workshop.result_of(JobSpec::Drill(DrillSpec {
        app: APP.into(),
        repository: REPOSITORY.into(),
        assertions: vec!["SELECT count(*) > 0 FROM orders".into()],
        ..DrillSpec::default()
    }));
    assert_eq!(drilled["proven"], true);
    let row = workshop.only_row();
    assert!(row.proven_at.is_some() && row.proven_seconds.is_some());
    // The facts of its own job stay.
    assert_eq!(
        (row.id.as_str(), row.bytes),
        (made["id"].as_str().unwrap(), before.bytes)
    );
    workshop.result_of(JobSpec::Check(CheckSpec {
        repository: REPOSITORY.into(),
        read_data_percent: 100.0,
        ..CheckSpec::default()
    }));
    let diff = workshop.result_of(JobSpec::Diff(DiffSpec {
        repository: REPOSITORY.into(),
        from: row.id.clone(),
        app: Some(APP.into()),
        ..DiffSpec::default()
    }));
    assert_eq!(diff["same"], true);
    let doctor = workshop.result_of(JobSpec::Doctor(AppSpec { app: APP.into() }));
    assert_eq!(doctor["healthy"], true, "{doctor:#}");
    node.stop();
}

#[test]
fn a_drill_that_disproves_fails_with_its_report() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    workshop.result_of(backup());
    let id = workshop.enqueue(workshop.draft(JobSpec::Drill(DrillSpec {
        app: APP.into(),
        repository: REPOSITORY.into(),
        assertions: vec!["SELECT count(*) < 0 FROM orders".into()],
        ..DrillSpec::default()
    })));
    let job = workshop.wait_for_state(&id, JobState::Failed);
    assert_eq!(job.error.unwrap().code, "proof_failed");
    assert_eq!(job.result.unwrap()["proven"], false);
    assert_eq!(job.attempts, 1, "bad news are not asked for again");
    assert!(workshop.only_row().drill_failed_at.is_some());
    node.stop();
}

#[test]
fn a_restore_replaces_and_its_undo_takes_it_back() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let made = workshop.result_of(backup());
    let was = workshop.scene.fingerprint("shop");
    workshop.scene.ask("shop", "DELETE FROM order_lines");
    let now = workshop.scene.fingerprint("shop");
    let report = workshop.result_of(restore(
        made["id"].as_str().unwrap(),
        RestoreMode::Replace("shop".into()),
    ));
    assert_eq!(workshop.scene.fingerprint("shop"), was);
    let safety = report["safety_backup"].as_str().unwrap();
    assert!(workshop.rows().iter().any(|row| row.id == safety));
    workshop.result_of(JobSpec::Undo(UndoSpec {
        app: APP.into(),
        database: Some("shop".into()),
        ..UndoSpec::default()
    }));
    assert_eq!(workshop.scene.fingerprint("shop"), now);
    node.stop();
}

#[test]
fn a_restore_that_is_refused_fails_at_once_and_says_what_to_do() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let made = workshop.result_of(backup());
    let id = workshop.enqueue(workshop.draft(restore(
        made["id"].as_str().unwrap(),
        RestoreMode::Into("shop".into()),
    )));
    let job = workshop.wait_for_state(&id, JobState::Failed);
    let error = job.error.unwrap();
    assert_eq!(error.code, "refused");
    assert!(error.hint.is_some(), "{error:?}");
    node.stop();
}

#[test]
fn exports_become_files_and_what_is_forgotten_leaves_the_list() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let made = workshop.result_of(backup());
    let id = made["id"].as_str().unwrap();
    let exported = workshop.result_of(JobSpec::Export(ExportSpec {
        repository: REPOSITORY.into(),
        backup: id.into(),
        format: DumpFormat::Plain,
        ..ExportSpec::default()
    }));
    let path = exported["path"].as_str().unwrap();
    assert!(path.starts_with(workshop.places.exports().to_str().unwrap()));
    assert!(std::fs::metadata(path).unwrap().len() > 0);
    workshop.result_of(JobSpec::Forget(ForgetSpec {
        repository: REPOSITORY.into(),
        backups: vec![id.into()],
        prune: true,
    }));
    assert_eq!(workshop.rows(), []);
    assert_eq!(workshop.scene.backups(), [""; 0]);
    node.stop();
}

#[test]
fn a_sync_takes_in_what_was_done_elsewhere_and_a_copy_of_the_catalog_is_no_backup() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let (elsewhere, _) = workshop.scene.backup();
    workshop.result_of(backup());
    let mine = workshop.only_row();
    let synced = workshop.result_of(JobSpec::Sync(main_repository()));
    assert_eq!(
        (&synced["added"], &synced["removed"]),
        (&1.into(), &0.into())
    );
    let rows = workshop.rows();
    let found = rows.iter().find(|row| row.id == elsewhere).unwrap();
    assert!(found.bytes.is_some() && found.rows.is_some());
    assert!(rows.contains(&mine), "a row that is right stays as it is");

    let copied = workshop.result_of(JobSpec::CatalogBackup(main_repository()));
    assert!(copied["bytes"].as_u64().unwrap() > 0);
    workshop
        .scene
        .run(&["forget", &elsewhere, "--yes"])
        .succeeds();
    let synced = workshop.result_of(JobSpec::Sync(main_repository()));
    assert_eq!(
        (&synced["added"], &synced["removed"]),
        (&0.into(), &1.into())
    );
    assert_eq!(workshop.only_row().id, mine.id);

    // The command above knew of no catalog. What nobody removed through pgkeep is a loss, until it is there again or accepted.
    assert_eq!(synced["vanished"], serde_json::json!([elsewhere]));
    let lost = || {
        let report =
            workshop.ask(|catalog| async move { pgkeep_server::status::report(&catalog).await });
        let findings = &report.apps[0].health.findings;
        findings.iter().any(|f| f.state.as_str() == "vanished")
    };
    assert!(lost());
    workshop.ask(|catalog| async move {
        pgkeep_server::status::doubts::accept_loss(&catalog, "main").await
    });
    assert!(!lost());
    let snapshots = workshop.scene.pgkeep.path().join("backups/snapshots");
    let paths: Vec<_> = std::fs::read_dir(snapshots)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let kept: Vec<_> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    paths
        .iter()
        .for_each(|path| std::fs::remove_file(path).unwrap());
    let synced = workshop.result_of(JobSpec::Sync(main_repository()));
    assert_eq!(synced["vanished"], serde_json::json!([mine.id]));
    assert!(lost() && workshop.rows().is_empty());
    for (path, content) in paths.iter().zip(kept) {
        std::fs::write(path, content).unwrap();
    }
    workshop.result_of(JobSpec::Sync(main_repository()));
    assert!(!lost());
    assert_eq!(workshop.only_row().id, mine.id);
    node.stop();
}

#[test]
fn what_may_pass_is_tried_again_and_what_cannot_is_not() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let unknown = workshop.enqueue(workshop.draft(JobSpec::Backup(BackupSpec {
        app: "nobody".into(),
        ..BackupSpec::default()
    })));
    let job = workshop.wait_for_state(&unknown, JobState::Failed);
    assert_eq!(job.error.unwrap().code, "not_found");
    assert_eq!(job.attempts, 1);

    workshop
        .scene
        .ask("postgres", "ALTER DATABASE shop ALLOW_CONNECTIONS false");
    let id = workshop.enqueue_backup();
    wait_until("a failed attempt", || workshop.job(&id).error.is_some());
    let job = workshop.job(&id);
    assert_eq!(job.state, JobState::Queued);
    assert_eq!((job.attempts, job.max_attempts), (1, 3));
    assert!(job.run_at > job.created_at);
    assert_eq!(job.error.unwrap().code, "database");
    node.stop();
}

#[test]
fn a_command_run_by_hand_is_a_job_and_keeps_to_the_slot() {
    let workshop = Workshop::new();
    workshop.scene.add_bulk(10);
    let way = workshop.scene.way(reading(5));
    workshop.connect_by(Some(&way));
    let node = workshop.node("one");
    let id = workshop.enqueue_backup();
    workshop.wait_until_held(&id, &way);
    let busy = workshop.by_hand(&["backup", "--app", APP]).fails_with(5);
    assert!(busy.stderr.contains(&id), "{}", busy.stderr);
    way.release();
    workshop.wait_for_state(&id, JobState::Succeeded);

    let made = workshop.by_hand(&["backup", "--app", APP, "--json"]);
    let made = made.succeeds().json();
    let filter = JobFilter {
        trigger: Some(Trigger::Cli),
        kinds: vec![JobKind::Backup],
        ..JobFilter::default()
    };
    let page = Page::default();
    let jobs = workshop.ask(|catalog| async move { catalog.jobs(&filter, &page).await });
    let [job] = jobs.items.as_slice() else {
        panic!("{jobs:#?}");
    };
    assert_eq!(job.state, JobState::Succeeded);
    assert_eq!(job.result.as_ref().unwrap()["id"], made["id"]);
    node.stop();
}
