//! The app around a restore: its migrations, checks, hooks, and the fence that keeps it away.

mod support;

use pgkeep_engine::{
    ErrorCode,
    application::{AppHook, Application},
    fence,
    hooks::moment_words,
    restore::{self, Around},
};
use pgkeep_model::app::{Commands, HookMoment};
use pgkeep_postgres::{read_only, restore::connect_beside, wire::Connection};
use pgkeep_testkit::{HttpReceiver, ShopSize, TestPostgres};
use std::{path::Path, time::Duration};
use support::{Place, connect, into, replace, restore_request};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// An app whose programs are small scripts around psql.
fn app(server: &TestPostgres, migrate: &str) -> Application {
    Application {
        name: "shop".into(),
        database: Some(connect(server, "shop")),
        commands: Commands {
            migrate: words(&["sh", "-c", migrate]),
            check: vec![words(&[
                "sh",
                "-c",
                "psql -qtAc 'SELECT count(flavour) FROM orders'",
            ])],
            environment: [("PATH".to_owned(), path_with(server))].into(),
            ..Commands::default()
        },
        ..Application::default()
    }
}

fn path_with(server: &TestPostgres) -> String {
    let bin = server.bin_dir().display().to_string();
    format!("{bin}:{}", std::env::var("PATH").unwrap_or_default())
}

fn hook(on: HookMoment, script: &str) -> AppHook {
    AppHook {
        on,
        command: words(&["sh", "-c", script]),
        url: None,
        time_limit: Duration::from_secs(60),
        may_fail: false,
    }
}

fn databases(server: &TestPostgres) -> String {
    server.psql(
        "postgres",
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE 'shop%'",
    )
}

#[test]
fn migrations_run_before_the_swap_and_their_failure_leaves_the_live_database_alone() {
    let server = TestPostgres::start(17);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    place.backup(&server, "shop");
    server.psql("shop", "CREATE TABLE only_live (n int)");

    let asked = |migrate: &str| {
        let mut request = restore_request(&server, replace("shop"));
        request.around = Around {
            application: app(&server, migrate),
            migrate: true,
            check: true,
            ..Around::default()
        };
        request
    };
    let failing =
        asked("echo 'adding a column'; psql -c 'ALTER TABLE no_such_table ADD flavour text'");
    let plan = restore::plan(&place.repository, &failing, &place.context).expect("a plan");
    assert!(
        plan.summary.refusals.is_empty(),
        "{:?}",
        plan.summary.refusals
    );
    assert!(
        plan.summary
            .steps
            .iter()
            .any(|step| step.contains("migrate the restored database: sh -c")),
        "{:?}",
        plan.summary.steps
    );
    let error = restore::execute(&place.repository, plan, &place.context).expect_err("it fails");
    assert!(
        error
            .message
            .contains("the app's migrations ended with status"),
        "{error}"
    );
    assert_eq!(error.details[0], "adding a column");
    assert!(
        error
            .details
            .iter()
            .any(|line| line.contains("no_such_table")),
        "{error}"
    );
    assert_eq!(databases(&server), "shop", "the restored database is gone");
    assert_eq!(server.psql("shop", "SELECT count(*) FROM only_live"), "0");

    // One that only fails its check is not used either, and is left where that was asked for.
    let mut unchecked = asked("true");
    unchecked.around.keep_failed = true;
    let plan = restore::plan(&place.repository, &unchecked, &place.context).expect("a plan");
    let error = restore::execute(&place.repository, plan, &place.context).expect_err("it fails");
    assert!(error.message.contains("the app's check `sh -c"), "{error}");
    assert!(
        databases(&server).contains("shop shop_pgkeep_"),
        "{}",
        databases(&server)
    );
    place.clock.advance(jiff::SignedDuration::from_secs(3600));
    let admin = connect(&server, "postgres");
    let left = restore::leftovers(&admin, &place.context).expect("listed");
    assert_eq!(
        restore::drop_leftovers(&admin, &left, &place.context)
            .expect("dropped")
            .len(),
        1
    );

    let working = asked(
        "psql -qc \"ALTER TABLE orders ADD flavour text; UPDATE orders SET flavour = 'plum'\"",
    );
    let report = place.restore(&working);
    let migrated = report.migrated.expect("it was asked for");
    assert!(migrated.migrate.expect("it ran").succeeded());
    assert_ne!(migrated.checks[0].outcome.output.trim(), "0");
    assert_eq!(
        server.psql("shop", "SELECT DISTINCT flavour FROM orders"),
        "plum"
    );

    // Beside, too, and refused where it makes no sense.
    let mut beside = asked("psql -qc 'ALTER TABLE orders ADD flavour text'");
    beside.target = into("shop_next");
    place.restore(&beside);
    assert_eq!(
        server.psql("shop_next", "SELECT count(flavour) FROM orders"),
        "0"
    );
    let mut unset = asked("true");
    unset.around.application.commands.migrate.clear();
    unset.target = restore::RestoreTarget::InPlace {
        name: "shop".into(),
    };
    let plan = restore::plan(&place.repository, &unset, &place.context).expect("a plan");
    let refused: Vec<_> = plan
        .summary
        .refusals
        .iter()
        .map(|r| r.message.as_str())
        .collect();
    assert!(
        refused
            .iter()
            .any(|r| r.contains("no command is known that migrates")),
        "{refused:?}"
    );
    assert!(
        refused
            .iter()
            .any(|r| r.contains("in place commits at once")),
        "{refused:?}"
    );
}

#[test]
fn while_a_database_is_replaced_it_is_fenced_and_hooks_are_told() {
    let server = TestPostgres::start(17);
    server.load_shop("shop", ShopSize::TINY);
    server.psql("postgres", "ALTER DATABASE shop SET work_mem = '7MB'; ALTER DATABASE shop SET default_transaction_read_only = off");
    let place = Place::new();
    place.backup(&server, "shop");
    let receiver = HttpReceiver::start();
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut fenced = app(&server, "true");
    fenced.fence.lock_dir = Some(folder.path().to_owned());
    fenced.fence.read_only = true;
    // What the app sees while the restored database is ready and the live one still there.
    let look = format!(
        "echo $PGKEEP_MOMENT $PGKEEP_MODE $PGKEEP_DATABASE $PGKEEP_RESTORED_DATABASE >> {log}; cat {dir}/.restore.lock >> {log}; \
         echo >> {log}; psql -c 'CREATE TABLE too_late (n int)' >> {log} 2>&1; psql -qtAc 'SHOW work_mem' >> {log}",
        log = log.display(),
        dir = folder.path().display()
    );
    fenced.hooks = vec![
        hook(HookMoment::BeforeSwap, &look),
        AppHook {
            url: Some(receiver.url("/told?key=secret").into()),
            command: Vec::new(),
            ..hook(HookMoment::AfterSwap, "")
        },
        AppHook {
            may_fail: true,
            ..hook(HookMoment::BeforeRestore, "echo not today; exit 3")
        },
    ];
    // A session of the app that goes on writing as long as it is let.
    let mut session = Connection::open(&connect(&server, "shop")).expect("connect");
    session
        .execute("CREATE TABLE written (n int)")
        .expect("not fenced yet");

    let mut request = restore_request(&server, replace("shop"));
    request.around.application = fenced.clone();
    let report = place.restore(&request);
    assert!(
        session.execute("INSERT INTO written VALUES (1)").is_err(),
        "sessions from before the fence do not write on"
    );
    let log = std::fs::read_to_string(log).expect("the hook wrote it");
    assert!(
        log.starts_with("before_swap replace shop shop_pgkeep_"),
        "{log}"
    );
    assert!(
        log.contains(r#""holder":"restore "#) && log.contains(r#""database":"shop""#),
        "{log}"
    );
    assert!(
        log.contains("cannot execute CREATE TABLE in a read-only transaction"),
        "{log}"
    );
    assert!(log.ends_with("7MB\n"), "{log}");
    let told = receiver.next_request();
    assert_eq!(
        (told.method.as_str(), told.target.as_str()),
        ("POST", "/told?key=secret")
    );
    assert!(
        told.body.contains(r#""moment":"after_swap""#),
        "{}",
        told.body
    );
    assert!(
        told.body
            .contains(&format!(r#""backup":"{}""#, report.backup)),
        "{}",
        told.body
    );
    let ended: Vec<_> = report
        .hooks
        .iter()
        .map(|hook| (moment_words(hook.on), hook.succeeded))
        .collect();
    assert_eq!(
        ended,
        [
            ("before_restore", false),
            ("before_swap", true),
            ("after_swap", true)
        ]
    );

    // Nothing is fenced any more, and what the backup holds was not fenced either.
    let kept = report.kept_as.expect("kept");
    for database in ["shop", &kept] {
        server.psql(database, "CREATE TABLE writable (n int)");
        assert_eq!(server.psql(database, "SHOW work_mem"), "7MB");
        let settings = format!(
            "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = '{database}'"
        );
        assert_eq!(
            server.psql("postgres", &settings),
            "{work_mem=7MB,default_transaction_read_only=off}"
        );
    }
    assert!(!folder.path().join(".restore.lock").exists());

    // A failure takes the fence down as well and is told; so does a hook that says no.
    fenced.hooks = vec![
        hook(HookMoment::BeforeSwap, "echo the moon is wrong; exit 1"),
        hook(
            HookMoment::OnFailure,
            &format!(
                "echo $PGKEEP_ERROR > {}",
                folder.path().join("failure").display()
            ),
        ),
    ];
    request.around.application = fenced;
    place.clock.advance(jiff::SignedDuration::from_secs(60));
    let plan = restore::plan(&place.repository, &request, &place.context).expect("a plan");
    let error = restore::execute(&place.repository, plan, &place.context).expect_err("the hook");
    assert_eq!(error.code, ErrorCode::Failed);
    assert_eq!(error.details, ["the moon is wrong"]);
    let failure = std::fs::read_to_string(folder.path().join("failure")).expect("told");
    assert!(
        failure.contains("the before_swap hook sh ended with status 1"),
        "{failure}"
    );
    server.psql("shop", "CREATE TABLE writable_still (n int)");
    assert_eq!(databases(&server), format!("shop {kept}"));
    assert!(!Path::new(&folder.path().join(".restore.lock")).exists());

    // What a killed restore leaves is found and lifted.
    let admin = connect(&server, "postgres");
    let mut beside = connect_beside(&admin, &["shop"]).expect("connect");
    read_only::fence_for(&mut beside, "shop", read_only::Reason::Restore).expect("fenced");
    assert_eq!(fence::fenced(&mut beside).expect("listed"), ["shop"]);
    let plan = restore::plan(&place.repository, &request, &place.context).expect("a plan");
    assert!(
        plan.summary
            .warnings
            .iter()
            .any(|w| w.contains("refuses writes since a restore that did not end")),
        "{:?}",
        plan.summary.warnings
    );
    let left = restore::leftovers(&admin, &place.context).expect("listed");
    assert!(
        left.iter()
            .any(|l| l.name == "shop" && l.why.contains("read-only")),
        "{left:?}"
    );
    restore::drop_leftovers(&admin, &left, &place.context).expect("lifted");
    server.psql("shop", "CREATE TABLE writable_again (n int)");
}
