use super::*;
use crate::evidence::{ContentSum, DatabaseEvidence, TableEvidence};
use crate::manifest::{DatabaseProperties, ServerFacts};

fn then() -> Timestamp {
    "2026-05-01T02:00:00Z".parse().expect("a time")
}

fn database_of(tables: &[(&str, u64)]) -> DatabaseManifest {
    let table = |(name, rows): &(&str, u64)| TableEvidence {
        name: QualifiedName::new("public", *name),
        content: ContentSum {
            rows: *rows,
            ..ContentSum::default()
        },
        columns: "id".into(),
        condition: None,
    };
    DatabaseManifest {
        name: "shop".into(),
        path: "databases/shop".into(),
        content: DatabaseContent::Directory,
        server: ServerFacts::default(),
        properties: DatabaseProperties::default(),
        evidence: DatabaseEvidence {
            tables: tables.iter().map(table).collect(),
            ..DatabaseEvidence::default()
        },
        members: Vec::new(),
        excluded_data: Vec::new(),
        only_schemas: Vec::new(),
        warnings: Vec::new(),
        migrations: Vec::new(),
        taken_over_from: None,
        mark: None,
    }
}

fn reasons(before: &[(&str, u64)], now: &[(&str, u64)]) -> Vec<String> {
    database(&database_of(before), then(), &database_of(now))
}

#[test]
fn a_database_that_lost_its_content_is_told_in_one_sentence() {
    for (before, now, expected) in [
        (
            &[("orders", 1_200_000), ("users", 4_000)][..],
            &[][..],
            "database shop holds no table; the backup of 2026-05-01 02:00 UTC held 2 with 1,204,000 rows",
        ),
        (
            &[("orders", 90), ("users", 10)],
            &[("orders", 0), ("users", 0)],
            "database shop holds 0 rows; the backup of 2026-05-01 02:00 UTC held 100",
        ),
        (
            &[("orders", 8_000), ("users", 2_000)],
            &[("orders", 1_600), ("users", 400)],
            "database shop holds 2,000 rows; the backup of 2026-05-01 02:00 UTC held 10,000",
        ),
        (
            &[("orders", 9_000), ("users", 2_000)],
            &[("orders", 9_000), ("users", 900)],
            "table public.users of shop holds 900 rows; the backup of 2026-05-01 02:00 UTC held 2,000",
        ),
        (
            &[("orders", 9_000), ("users", 2_000)],
            &[("orders", 9_000)],
            "table public.users of shop is not there; the backup of 2026-05-01 02:00 UTC held 2,000 rows of it",
        ),
    ] {
        assert_eq!(reasons(before, now), [expected]);
    }
}

#[test]
fn what_apps_do_every_day_raises_no_doubt() {
    for (before, now) in [
        // Nothing there before, or little.
        (&[][..], &[("orders", 5)][..]),
        (&[("orders", 99)], &[("orders", 0)]),
        (&[("orders", 1_000)], &[("orders", 501)]),
        // A queue is worked off in a database that holds much else.
        (
            &[("orders", 500_000), ("queue", 4_000)],
            &[("orders", 500_000), ("queue", 12)],
        ),
        // Partitions come and go.
        (
            &[
                ("events_2024_04", 9_000),
                ("events_2024_05", 9_000),
                ("orders", 9_000),
            ],
            &[
                ("events_2024_05", 9_000),
                ("events_2024_06", 8_000),
                ("orders", 9_000),
            ],
        ),
        // Another name.
        (
            &[("orders", 9_000), ("users", 2_000)],
            &[("orders", 9_000), ("accounts", 1_990)],
        ),
    ] {
        assert_eq!(
            reasons(before, now),
            Vec::<String>::new(),
            "{before:?} {now:?}"
        );
    }
}

#[test]
fn what_was_left_out_on_request_is_not_lost() {
    let before = database_of(&[("logs", 90_000), ("orders", 9_000)]);
    let mut now = database_of(&[("orders", 9_000)]);
    now.excluded_data = vec![QualifiedName::new("public", "logs")];
    assert!(database(&before, then(), &now).is_empty());
    let mut schema = database_of(&[]);
    schema.only_schemas = vec!["other".into()];
    assert!(database(&before, then(), &schema).is_empty());
    let mut script = database_of(&[]);
    script.content = DatabaseContent::Plain;
    assert!(database(&before, then(), &script).is_empty());
}

#[test]
fn many_fallen_tables_are_counted() {
    let mut before: Vec<(&str, u64)> = vec![("rest", 100_000)];
    before.extend([
        ("a", 5_000),
        ("b", 4_000),
        ("c", 3_000),
        ("d", 2_000),
        ("e", 2_000),
    ]);
    let found = reasons(&before, &[("rest", 100_000)]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].starts_with("table public.a of shop"), "{found:?}");
    assert_eq!(found[3], "2 more tables lost as much");
    let all = Shrunk {
        since: "aa".into(),
        time: then(),
        reasons: vec!["long ".repeat(200)],
    };
    assert_eq!(all.sentence().chars().count(), LONGEST + 1);
}

#[test]
fn a_folder_that_is_suddenly_empty_is_told() {
    let tree = |files, bytes| FilesManifest {
        name: "media".into(),
        files,
        bytes,
        ..FilesManifest::default()
    };
    let told = |before, now| files(&before, then(), &now);
    assert_eq!(
        told(tree(12, 3_400), tree(0, 0)).as_deref(),
        Some(
            "folder media holds no file; the backup of 2026-05-01 02:00 UTC held 12 files of 3,400 bytes"
        )
    );
    assert!(told(tree(1_000, 1), tree(500, 1)).is_some());
    assert!(told(tree(10, 900 << 20), tree(8, 300 << 20)).is_some());
    for (before, now) in [
        (tree(0, 0), tree(0, 0)),
        (tree(20, 100), tree(2, 10)),
        (tree(1_000, 1_000), tree(900, 100)),
    ] {
        assert_eq!(told(before, now), None);
    }
}

#[test]
fn a_doubt_stands_until_a_newer_backup_holds_the_same_again() {
    let (shop, media) = (vec!["shop".to_owned()], vec!["media".to_owned()]);
    let seen = |id, databases: &'static [String], files: &'static [String], shrunk| Seen {
        id,
        time: then(),
        databases,
        files,
        shrunk,
    };
    let (shop, media): (&'static [String], &'static [String]) = (shop.leak(), media.leak());
    let doubt = |backups: &[Seen<'static>]| standing(backups.iter().copied()).map(|d| d.id);
    let bad = seen("bad", shop, media, Some("no table"));
    assert_eq!(doubt(&[]), None);
    assert_eq!(doubt(&[bad]).as_deref(), Some("bad"));
    // Files alone do not say that the database is back.
    assert_eq!(
        doubt(&[seen("f", &[], media, None), bad]).as_deref(),
        Some("bad")
    );
    assert_eq!(
        doubt(&[seen("d", shop, &[], None), bad]).as_deref(),
        Some("bad")
    );
    assert_eq!(
        doubt(&[seen("f", &[], media, None), seen("d", shop, &[], None), bad]),
        None
    );
    assert_eq!(doubt(&[seen("new", shop, media, None), bad]), None);
    assert_eq!(doubt(&[seen("accepted", shop, media, None)]), None);
    assert_eq!(
        doubt(&[seen("old", shop, media, None), bad]),
        None,
        "newest first"
    );
}
