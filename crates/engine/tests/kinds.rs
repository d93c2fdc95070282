//! Incremental and differential backups: what is provably unchanged is not read again, and the parent is never needed.

mod support;

use jiff::SignedDuration;
use pgkeep_engine::{
    backup::{self, BackupReport, BackupRequest},
    catalog::{self, Finding, ListFilter},
    forget,
    verify::{self, VerifyRequest},
};
use pgkeep_model::manifest::BackupKind;
use pgkeep_repository::PruneOptions;
use pgkeep_testkit::{ShopSize, TestPostgres};
use std::time::Duration;
use support::{Place, backup_request, into, restore_request};

/// A server that writes nothing by itself.
fn quiet(major: u32) -> TestPostgres {
    TestPostgres::builder(major)
        .setting("autovacuum", "off")
        .setting("wal_level", "minimal")
        .setting("max_wal_senders", "0")
        .setting("checkpoint_timeout", "1d")
        .start()
}

fn take(place: &Place, request: &BackupRequest, kind: BackupKind) -> BackupReport {
    // Backups of one moment have no order.
    place.clock.advance(SignedDuration::from_secs(60));
    let request = BackupRequest {
        kind,
        ..request.clone()
    };
    backup::run(&place.repository, &request, &place.context)
        .unwrap_or_else(|e| panic!("{kind:?}: {e} ({:?})", e.hint))
}

/// Backs up until nothing is written meanwhile: pages that reading marks settle, and so do the counters of sessions.
fn settle(place: &Place, request: &BackupRequest, kind: BackupKind) -> BackupReport {
    for _ in 0..60 {
        let report = take(place, request, kind);
        if report.databases.iter().all(|d| d.taken_over) {
            return report;
        }
    }
    panic!("something is always written");
}

#[test]
fn an_unchanged_database_is_taken_over_and_outlives_its_parent() {
    let server = quiet(17);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    let request = backup_request(&server, "shop");
    // Without a backup to measure against, everything is read.
    let first = take(&place, &request, BackupKind::Incremental);
    assert!(first.parent.is_none() && !first.databases[0].taken_over);
    let taken = settle(&place, &request, BackupKind::Incremental);
    assert!(
        taken.bytes_read < first.bytes_read / 10,
        "{}",
        taken.bytes_read
    );
    assert_eq!(
        (taken.rows, &taken.evidence_digest),
        (first.rows, &first.evidence_digest)
    );

    // It stands alone: every other backup goes, and what only they needed.
    for entry in catalog::list(&place.repository, &ListFilter::default()).expect("lists") {
        if entry.id != taken.id {
            place
                .repository
                .delete_snapshot(&entry.snapshot.id)
                .expect("goes");
        }
    }
    let prune = PruneOptions {
        grace: Duration::ZERO,
        max_unused_percent: 0.0,
        ..PruneOptions::default()
    };
    let plan = forget::plan_prune(&place.repository, &prune).expect("plans");
    forget::prune(&place.repository, plan, &place.context).expect("prunes");
    let verdict = verify::run(
        &place.repository,
        &VerifyRequest {
            backups: vec![taken.id.clone()],
            filter: ListFilter::default(),
            read_data: true,
        },
        &place.context,
    )
    .expect("verifies");
    assert!(verdict.ok, "{:?}", verdict.backups);
    let report = place.restore(&restore_request(&server, into("again")));
    assert!(report.proof.proven(), "{:#?}", report.proof.differences);
}

#[test]
fn whatever_was_written_is_read_and_a_differential_backup_looks_at_the_newest_full() {
    let server = quiet(15);
    server.load_shop("shop", ShopSize::TINY);
    server.psql("postgres", "CREATE DATABASE other");
    let place = Place::new();
    let mut request = backup_request(&server, "shop");
    request.databases.push(support::connect(&server, "other"));
    take(&place, &request, BackupKind::Full);
    let good = settle(&place, &request, BackupKind::Incremental);

    let sequence = "SELECT format('SELECT nextval(%L)', oid::regclass) FROM pg_class \
                    WHERE relkind = 'S' LIMIT 1 \\gexec";
    for sql in [
        "UPDATE customers SET full_name = full_name WHERE id = 1",
        "COMMENT ON TABLE customers IS 'x'",
        sequence,
    ] {
        server.psql("shop", sql);
        let read = take(&place, &request, BackupKind::Incremental);
        assert!(!read.databases[0].taken_over, "{sql} was not seen");
        settle(&place, &request, BackupKind::Incremental);
    }
    // Something else of the same, unwritten database is something else.
    let mut fewer = request.clone();
    fewer.databases.truncate(1);
    fewer.exclude_table_data = vec!["*.customers".into()];
    assert!(!take(&place, &fewer, BackupKind::Incremental).databases[0].taken_over);
    settle(&place, &request, BackupKind::Incremental);

    // The newest full is older than what was written; a new one is what the next differential is measured against, and
    // incremental backups in between change nothing of that.
    let before = take(&place, &request, BackupKind::Differential);
    assert!(!before.databases[0].taken_over && before.parent.is_some());
    let mut full = take(&place, &request, BackupKind::Full);
    let mut unread = None;
    for _ in 0..60 {
        take(&place, &request, BackupKind::Incremental);
        let report = take(&place, &request, BackupKind::Differential);
        assert_eq!(report.parent.as_deref(), Some(full.id.as_str()));
        if report.databases.iter().all(|d| d.taken_over) {
            unread = Some(report);
            break;
        }
        full = take(&place, &request, BackupKind::Full);
    }
    let unread = unread.expect("it settles");
    assert_eq!(unread.rows, good.rows);

    // A backup that is known to be damaged is nobody's parent.
    let filter = ListFilter::default();
    let entry = catalog::find(&place.repository, &full.id, &filter).expect("there");
    catalog::record(&place.repository, &entry, Finding::Damaged, &place.context).expect("noted");
    let next = take(&place, &request, BackupKind::Differential);
    assert_ne!(next.parent.as_deref(), Some(full.id.as_str()));
    assert!(next.parent.is_some());
}
