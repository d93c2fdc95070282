use super::*;
use pgkeep_model::{Clock, Silent};
use pgkeep_postgres::connect::Environment;
use std::sync::Arc;

#[derive(Debug)]
struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

fn context() -> Context {
    Context {
        clock: Arc::new(Epoch),
        cancel: CancelToken::new(),
        progress: Arc::new(Silent),
        hostname: "here".into(),
        username: "someone".into(),
        tool_dirs: Vec::new(),
    }
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

fn program<'a>(words: &'a [String], commands: &'a Commands) -> Program<'a> {
    Program {
        words,
        commands,
        database: None,
        extra: Vec::new(),
        time_limit: None,
    }
}

#[test]
fn both_streams_come_in_order_and_the_status_is_told() {
    let words = shell("echo one; echo two >&2; printf three; exit 3");
    let mut lines = Vec::new();
    let outcome = run(
        &program(&words, &Commands::default()),
        &context(),
        &mut |line| {
            lines.push(line.to_owned());
        },
    )
    .unwrap();
    assert_eq!(lines, ["one", "two", "three"]);
    assert_eq!(outcome.output, "one\ntwo\nthree\n");
    assert_eq!(outcome.status, Some(3));
    let error = outcome.require("the app's migrations").unwrap_err();
    assert_eq!(error.message, "the app's migrations ended with status 3");
    assert_eq!(error.details, ["one", "two", "three"]);
}

#[test]
fn the_database_is_told_without_its_password_which_is_masked_where_it_shows() {
    let database = ConnectOptions::resolve(
        Some("postgres://ann:ge%2Fheim@db.example.org:5433/shop"),
        &Environment::default(),
    )
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let commands = Commands {
        directory: Some(folder.path().display().to_string()),
        url_variable: Some("WHOLE_URL".into()),
        environment: [("MODE".to_owned(), "test".to_owned())].into(),
        ..Commands::default()
    };
    let words = shell(
        "env | grep -v WHOLE_URL | grep -c ge/heim; echo $PGHOST $PGPORT $PGUSER $PGDATABASE $MODE $PGKEEP_APP; \
         echo $DATABASE_URL; echo $WHOLE_URL; cat $PGPASSFILE; pwd",
    );
    let run_program = Program {
        database: Some(&database),
        extra: vec![("PGKEEP_APP".into(), "shop".into())],
        ..program(&words, &commands)
    };
    let outcome = run(&run_program, &context(), &mut |_| {}).unwrap();
    let lines: Vec<&str> = outcome.output.lines().collect();
    assert_eq!(lines[0], "0");
    assert_eq!(lines[1], "db.example.org 5433 ann shop test shop");
    assert_eq!(
        lines[2],
        "postgres://ann@db.example.org:5433/shop?sslmode=prefer"
    );
    assert_eq!(
        lines[3],
        "postgres://ann:***@db.example.org:5433/shop?sslmode=prefer"
    );
    assert_eq!(lines[4], "db.example.org:5433:*:*:***");
    assert_eq!(
        lines[5],
        folder.path().canonicalize().unwrap().display().to_string()
    );
}

#[test]
fn a_limit_ends_the_program_and_all_that_it_started() {
    // The inner shell would hold the pipe for a long time.
    let words = shell("sh -c 'echo begun; exec sleep 600' & wait");
    let limited = Commands {
        timeout: Some("1s".into()),
        ..Commands::default()
    };
    let outcome = run(&program(&words, &limited), &context(), &mut |_| {}).unwrap();
    assert!(outcome.timed_out && !outcome.succeeded());
}

#[test]
fn cancelling_ends_it() {
    let context = context();
    let words = shell("echo begun; exec sleep 600");
    let cancel = context.cancel.clone();
    let error = run(
        &program(&words, &Commands::default()),
        &context,
        &mut |_| {
            cancel.cancel();
        },
    )
    .unwrap_err();
    assert_eq!(error.code, ErrorCode::Cancelled);
}

#[test]
fn what_cannot_be_started_is_said_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain"), "no program").unwrap();
    let here = |directory: &str| Commands {
        directory: Some(directory.into()),
        ..Commands::default()
    };
    let folder = folder.path().display().to_string();
    for (words, commands, expected) in [
        (
            vec!["no-such-program".to_owned()],
            Commands::default(),
            "it is not in PATH",
        ),
        (
            vec!["./plain".to_owned()],
            here(&folder),
            "is not a program",
        ),
        (
            shell("true"),
            here("/no/such/folder"),
            "there is no folder /no/such/folder",
        ),
        (Vec::new(), Commands::default(), "no program is named"),
    ] {
        let error = run(&program(&words, &commands), &context(), &mut |_| {}).unwrap_err();
        assert!(error.message.contains(expected), "{}", error.message);
        assert_eq!(error.code, ErrorCode::Failed);
    }
    let missing = Commands {
        environment: [(
            "SECRET_KEY".to_owned(),
            "env:PGKEEP_NOT_SET_ANYWHERE".to_owned(),
        )]
        .into(),
        ..Commands::default()
    };
    let words = shell("true");
    let error = run(&program(&words, &missing), &context(), &mut |_| {}).unwrap_err();
    assert!(
        error.message.contains("PGKEEP_NOT_SET_ANYWHERE is not set"),
        "{error}"
    );
}

#[test]
fn of_much_output_the_end_is_kept() {
    let words = shell("seq 1 60000");
    let mut count = 0;
    let outcome = run(
        &program(&words, &Commands::default()),
        &context(),
        &mut |_| count += 1,
    )
    .unwrap();
    assert_eq!(count, 60_000);
    assert!(outcome.output.len() <= KEPT_OUTPUT);
    assert!(outcome.output.ends_with("59999\n60000\n"));
}
