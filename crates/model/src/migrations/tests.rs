//! Tables of cases: versions as lists of names, and what comparing them must say.

use super::*;
use crate::app::Framework::*;

fn at(secs: i64) -> Option<Timestamp> {
    Some(Timestamp::from_second(secs).expect("in range"))
}

/// `label.name` or `name`; `name#text` gives it a checksum.
fn state(framework: Framework, names: &[&str]) -> MigrationState {
    let mut applied: BTreeMap<String, Vec<AppliedMigration>> = BTreeMap::new();
    for (i, name) in names.iter().enumerate() {
        let (name, checksum) = match name.split_once('#') {
            Some((name, sum)) => (name, Some(sum.to_owned())),
            None => (*name, None),
        };
        let (label, name) = match (framework, name.split_once('.')) {
            (Django, Some((label, name))) => (label, name),
            _ => ("", name),
        };
        applied
            .entry(label.to_owned())
            .or_default()
            .push(AppliedMigration {
                name: name.to_owned(),
                applied_at: at(i as i64),
                checksum,
            });
    }
    MigrationState::new(framework, "public.t", applied, Vec::new(), None)
}

/// `same`, `older a b`, `newer c`, `diverged a | c`, `unknown`.
fn words(relation: &Relation) -> String {
    let join = |names: &[String]| names.join(" ");
    match relation {
        Relation::Older { missing } => format!("older {}", join(missing)),
        Relation::Newer { surplus } => format!("newer {}", join(surplus)),
        Relation::Diverged { missing, surplus } => {
            format!("diverged {} | {}", join(missing), join(surplus))
        }
        other => other.word().to_owned(),
    }
}

/// The opposite of what `words` says, for the two sides exchanged.
fn turned(text: &str) -> String {
    if let Some(rest) = text.strip_prefix("older ") {
        return format!("newer {rest}");
    }
    if let Some(rest) = text.strip_prefix("newer ") {
        return format!("older {rest}");
    }
    match text
        .strip_prefix("diverged ")
        .and_then(|r| r.split_once(" | "))
    {
        Some((missing, surplus)) => format!("diverged {surplus} | {missing}"),
        None => text.to_owned(),
    }
}

#[test]
fn two_databases_are_compared_by_the_rules_of_their_tool() {
    let cases: &[(Framework, &[&str], &[&str], &str)] = &[
        (Django, &["a.1", "b.1"], &["a.1", "b.1"], "same"),
        (Django, &["a.1"], &["a.1", "a.2", "b.1"], "older a.2 b.1"),
        // Labels are numbered each on their own, and what is missing is run wherever it stands.
        (Django, &["a.1", "a.3"], &["a.1", "a.2", "a.3"], "older a.2"),
        (
            Django,
            &["a.1", "b.2"],
            &["a.2", "b.2"],
            "diverged a.2 | a.1",
        ),
        (
            Django,
            &["a.1", "a.2"],
            &["a.1", "b.1"],
            "diverged b.1 | a.2",
        ),
        (
            Rails,
            &["20240101", "20240301"],
            &["20240101", "20240201", "20240301"],
            "older 20240201",
        ),
        (Rails, &["2", "1"], &["1", "2"], "same"),
        (Prisma, &["a#x", "b#y"], &["a#x", "b#y"], "same"),
        (
            Prisma,
            &["a#x", "b#y"],
            &["a#x", "b#z"],
            "diverged b (other text) | b (other text)",
        ),
        (Sqlx, &["1#x"], &["1", "2"], "older 2"),
        // Flyway: what is missing before the newest would not be run ...
        (Flyway, &["1", "3"], &["1", "2", "3"], "diverged 2 | "),
        // ... but where it was run later, out of order, it came later.
        (Flyway, &["1", "3"], &["1", "3", "2"], "older 2"),
        (
            Flyway,
            &["1.0", "01.1"],
            &["1", "1.1.0", "1.2"],
            "older 1.2",
        ),
        (Flyway, &["1", "R__v#x"], &["1", "R__v#x", "2"], "older 2"),
        (Goose, &["1", "4"], &["1", "2"], "diverged 2 | 4"),
        (Refinery, &["1#a"], &["1#a", "2#b"], "older 2"),
        (Query, &["a", "b"], &["b", "a"], "same"),
        (Query, &["a", "c"], &["a", "b", "c"], "diverged b | "),
        (GolangMigrate, &["9"], &["10"], "older 10"),
        (GolangMigrate, &["10"], &["10"], "same"),
        (GolangMigrate, &[], &["1"], "older 1"),
        (Alembic, &["ab"], &["ab"], "same"),
        (Alembic, &["ab", "cd"], &["cd", "ab"], "same"),
        (Alembic, &[], &["cd"], "older cd"),
        (Alembic, &["ab"], &["cd"], "unknown"),
        (
            TypeOrm,
            &["Products1704067200000"],
            &["products1704067200000", "A1704067200001"],
            "older A1704067200001",
        ),
        (Knex, &["1_a.js"], &["1_a.ts", "2_b.ts"], "older 2_b.ts"),
        (Ecto, &[], &[], "same"),
    ];
    for (framework, have, other, expected) in cases {
        let (have, other) = (state(*framework, have), state(*framework, other));
        assert_eq!(
            words(&compare(&have, &other)),
            *expected,
            "{have:?} {other:?}"
        );
        assert_eq!(
            words(&compare(&other, &have)),
            turned(expected),
            "turned: {have:?} {other:?}"
        );
    }
}

#[test]
fn a_repeatable_migration_with_another_text_is_newer_where_it_ran_later() {
    let mut have = state(Flyway, &["1#a", "R__view#old"]);
    let other = state(Flyway, &["1#a", "R__view#new"]);
    have.applied.get_mut("").expect("a list")[1].applied_at = at(0);
    assert_eq!(words(&compare(&have, &other)), "older R__view");
    assert_eq!(words(&compare(&other, &have)), "newer R__view");
}

#[test]
fn what_lies_before_a_baseline_counts_as_applied() {
    let list = |names: &[&str]| state(Flyway, names).applied;
    let have = MigrationState::new(Flyway, "public.t", list(&["4"]), vec![], Some("3".into()));
    let other = state(Flyway, &["1", "2", "3", "4", "5"]);
    assert_eq!(words(&compare(&have, &other)), "older 5");
}

#[test]
fn tools_are_matched_by_table_or_where_each_side_has_it_once() {
    let mut moved = state(Rails, &["1", "2"]);
    moved.table = "other.schema_migrations".into();
    let all = compare_all(&[state(Rails, &["1"]), state(Knex, &["k"])], &[moved]);
    let said: Vec<String> = all.iter().map(|c| words(&c.relation)).collect();
    assert_eq!(said, ["older 2", "newer k"]);
    let one = overall(all.iter().map(|c| &c.relation)).expect("there is something");
    assert_eq!(words(&one), "diverged 2 | k");
    assert_eq!(overall([]), None);
    assert_eq!(
        words(&compare(&state(Rails, &[]), &state(Ecto, &[]))),
        "unknown"
    );
}

#[test]
fn equal_versions_have_equal_digests_and_others_have_not() {
    let digest = |framework, names: &[&str]| state(framework, names).digest;
    assert_eq!(
        digest(Django, &["a.1", "a.2", "b.1"]),
        digest(Django, &["b.1", "a.2", "a.1"])
    );
    assert_ne!(digest(Django, &["a.1"]), digest(Django, &["b.1"]));
    assert_ne!(digest(Rails, &["1"]), digest(Dbmate, &["1"]));
    assert_ne!(digest(Query, &["a", "b"]), digest(Query, &["b", "a"]));
    assert_ne!(digest(Rails, &["12"]), digest(Rails, &["1", "2"]));
}

fn code(framework: Framework, names: &[&str]) -> CodeMigrations {
    let migrations = names
        .iter()
        .map(|text| {
            // `label.name<replaced,replaced` and, for heads, `name<parent,parent`; `name#checksum|checksum`; `name?` for one
            // that is optional
            let (name, others) = text.split_once('<').unwrap_or((text, ""));
            let (name, checksum) = match name.split_once('#') {
                Some((name, sum)) => (name, Some(sum.to_owned())),
                None => (name, None),
            };
            let (label, name) = match (framework, name.split_once('.')) {
                (Django, Some((label, name))) => (label, name),
                _ => ("", name),
            };
            let others: Vec<String> = others
                .split(',')
                .filter(|o| !o.is_empty())
                .map(str::to_owned)
                .collect();
            let (name, others_optional) = match name.strip_suffix('?') {
                Some(name) => (name, true),
                None => (name, false),
            };
            let (replaces, parents) = match framework {
                Alembic => (Vec::new(), others),
                _ => (others, Vec::new()),
            };
            CodeMigration {
                label: label.to_owned(),
                name: name.to_owned(),
                title: String::new(),
                replaces,
                parents,
                checksums: checksum
                    .map(|sums| sums.split('|').map(str::to_owned).collect())
                    .unwrap_or_default(),
                optional: others_optional,
            }
        })
        .collect();
    CodeMigrations::new(framework, migrations)
}

#[test]
fn revisions_of_a_graph_are_compared_by_what_the_code_knows_of_them() {
    let code = code(Alembic, &["d<b,c", "c<a", "b<a", "a"]);
    let order: Vec<&str> = code.migrations.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(order, ["a", "b", "c", "d"]);
    for (have, other, expected) in [
        ("a", "d", "older b c d"),
        ("b", "c", "diverged c | b"),
        ("d", "c", "newer b d"),
        ("b", "b", "same"),
        ("b", "x", "unknown"),
    ] {
        let (have, other) = (state(Alembic, &[have]), state(Alembic, &[other]));
        assert_eq!(
            words(&compare_knowing(&have, &other, Some(&code))),
            expected
        );
    }
}

#[test]
fn what_the_code_knew_at_a_backup_tells_revisions_apart_where_there_is_no_code() {
    let whole = code(Alembic, &["d<b,c", "c<a", "b<a", "a", "e<d"]);
    let with = |heads: &[&str]| {
        let mut state = state(Alembic, heads);
        state.remember_revisions(&whole);
        state
    };
    for (have, other, expected) in [
        (with(&["b"]), with(&["d"]), "older c d"),
        (with(&["d"]), state(Alembic, &["b"]), "newer c d"),
        (state(Alembic, &["a"]), with(&["b", "c"]), "older b c"),
        (with(&["b"]), with(&["c"]), "diverged c | b"),
        (with(&["b"]), state(Alembic, &["d"]), "unknown"),
    ] {
        assert_eq!(words(&compare(&have, &other)), expected);
        assert_eq!(words(&compare_knowing(&have, &other, None)), expected);
    }
    assert_eq!(
        with(&["d"]).revisions.into_keys().collect::<String>(),
        "abcd"
    );
    assert!(with(&["x"]).revisions.is_empty());
    assert_eq!(with(&["b"]).digest, state(Alembic, &["b"]).digest);
    // Older code names all that it does not know.
    let older = code(Alembic, &["a", "b<a", "f<b"]);
    assert_eq!(
        words(&against_code(&with(&["d"]), &older)),
        "diverged f | c d"
    );
    assert_eq!(
        words(&against_code(&state(Alembic, &["d"]), &older)),
        "newer d"
    );
}

#[test]
fn a_database_is_compared_with_the_code_by_the_rules_of_its_tool() {
    let squash: &[&str] = &["a.1", "a.2", "a.1_squashed_2<a.1,a.2", "a.3"];
    let cases: &[(Framework, &[&str], &[&str], &str)] = &[
        (Django, &["a.1", "auth.1"], &["a.1", "a.2"], "older a.2"),
        (Django, &["a.1", "a.2"], &["a.1"], "newer a.2"),
        (Django, &["a.1", "a.2", "a.3"], squash, "same"),
        (Django, &[], squash, "older a.1_squashed_2 a.3"),
        (Django, &["a.1"], squash, "older a.2 a.3"),
        (Django, &["a.1_squashed_2"], squash, "older a.3"),
        (Django, &["a.1", "a.2"], &["a.1_squashed_2<a.1,a.2"], "same"),
        (Rails, &["1", "3"], &["1", "2", "3"], "older 2"),
        (Flyway, &["1", "3"], &["1", "2", "3"], "diverged 2 | "),
        (Flyway, &["1", "R__gone"], &["1", "R__new"], "older R__new"),
        (
            Sqlx,
            &["1#a", "2#b"],
            &["1#a", "2#c"],
            "diverged 2 (other text) | 2 (other text)",
        ),
        (Sqlx, &["20240101", "7"], &["0007"], "newer 20240101"),
        (Refinery, &["1#a", "2#b"], &["1#x|a", "2#b|y"], "same"),
        (
            Refinery,
            &["1#a"],
            &["1#x|y", "2#b"],
            "diverged 1 (other text) 2 | 1 (other text)",
        ),
        (Flyway, &["1", "R__v#1"], &["1", "R__v#2"], "older R__v"),
        (Liquibase, &["a"], &["a", "demo?", "b"], "older b"),
        (Liquibase, &["a", "demo"], &["a", "demo?"], "same"),
        (
            Query,
            &["two", "one"],
            &["one", "two", "first"],
            "older first",
        ),
        (Query, &["a", "c"], &["a", "b", "c"], "diverged b | "),
        (Alembic, &["b"], &["a", "b<a", "c<b"], "older c"),
        (Alembic, &["c"], &["a", "b<a", "c<b"], "same"),
        (Alembic, &["x"], &["a", "b<a"], "newer x"),
        (Alembic, &["b"], &["a", "b<a", "c<a", "d<b,c"], "older c d"),
        (Alembic, &[], &["a"], "older a"),
        (GolangMigrate, &["2"], &["1", "2", "10"], "older 10"),
        (GolangMigrate, &["11"], &["1", "2", "10"], "newer 11"),
        (GolangMigrate, &["3"], &["1", "2", "10"], "diverged 10 | 3"),
        (Sequelize, &["1-a.js"], &["1-a", "2-b"], "older 2-b"),
        (Goose, &["5"], &["4", "5"], "diverged 4 | "),
    ];
    for (framework, database, files, expected) in cases {
        let (database, code) = (state(*framework, database), code(*framework, files));
        assert_eq!(
            words(&against_code(&database, &code)),
            *expected,
            "{database:?} {code:?}"
        );
    }
}

#[test]
fn a_version_is_told_in_a_few_words() {
    assert_eq!(
        state(Django, &["a.1", "b.2"]).describe(),
        "Django: b.2 (2 applied)"
    );
    assert_eq!(state(GolangMigrate, &["7"]).describe(), "golang-migrate: 7");
    assert_eq!(state(Ecto, &[]).describe(), "Ecto: nothing applied");
    assert_eq!(state(Alembic, &["ab", "cd"]).describe(), "Alembic: ab, cd");
    let many: Vec<String> = (0..12).map(|n| n.to_string()).collect();
    assert_eq!(listed(&many), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
}
