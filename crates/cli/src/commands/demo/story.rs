//! The story, chapter by chapter; each chapter does one thing, shows what came of it, and how long it took.

use super::{Answer, Step, shop::Shop, size_of};
use crate::{
    args::DemoArgs,
    commands::{diff as diff_command, restore as restore_command},
    config::write_new,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Text, human},
    session::Session,
};
use console::style;
use pgkeep_engine::{
    Context, Error,
    application::Application,
    backup::{self, BackupReport, BackupRequest},
    diff::{self, DiffSide, LiveDatabases},
    restore::{self, Content, RestoreRequest, RestoreTarget, Selection},
    storage::{self, RepositoryAddress},
};
use pgkeep_model::{evidence::Proof, manifest::BackupKind};
use pgkeep_postgres::{connect::ConnectOptions, throwaway::Throwaway, tools::Tools};
use pgkeep_repository::{Repository, generate_key, storage::StorageOptions};
use std::{path::Path, time::Instant};

const DATABASE: &str = "shop";

/// Tells the whole story and returns what was measured.
pub fn tell(
    args: &DemoArgs,
    session: &Session,
    context: &Context,
    server: &Throwaway,
    tools: &Tools,
    folder: &Path,
) -> CliResult<Answer> {
    let admin = server.connect_options("postgres").map_err(Error::from)?;
    let live = admin.with_dbname(DATABASE);
    let shop = Shop {
        connection: live.clone(),
        size_mb: args.size_mb,
        cancel: &session.cancel,
    };
    let mut teller = Teller {
        session,
        context,
        steps: Vec::new(),
        chapter: 0,
    };

    teller.chapter("A shop, running on PostgreSQL");
    let postgres = make_shop(&mut teller, &shop, &admin)?;
    let database_bytes = shop
        .ask("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())")?
        .parse()
        .unwrap_or(0);

    teller.chapter("Its first backup: encrypted, deduplicated, with evidence of every row");
    let repository = make_repository(&mut teller, folder)?;
    let first = teller.backup(&repository, &live, "first backup")?;
    teller.compare_with_pg_dump(tools, &live, folder, &first)?;

    teller.chapter("Business goes on; the second backup stores only what changed");
    shop.use_it()?;
    let second = teller.backup(&repository, &live, "second backup")?;

    teller.chapter("The disaster");
    for statement in super::shop::disaster() {
        teller.say(&format!("  shop=# {}", style(statement).red()));
    }
    teller.timed(
        "disaster",
        || shop.damage(),
        |()| "a table dropped, prices zeroed, orders deleted".into(),
    )?;

    teller.chapter("What is lost? The backup compared with the live database");
    show_loss(&mut teller, &repository, &second, &live)?;

    teller.chapter("The restore: planned, built beside the live database, proven, swapped in");
    restore_shop(&mut teller, &repository, &second, &admin)?;
    check(
        &shop,
        "SELECT count(*) > 0 FROM reviews",
        "the restored shop has its reviews",
    )?;

    teller.chapter("Second thoughts: undone, and redone");
    swap(&mut teller, &admin, "undo")?;
    check(
        &shop,
        "SELECT pg_catalog.to_regclass('reviews') IS NULL",
        "after the undo the damaged shop is live again",
    )?;
    teller.say("  the damaged shop is live again: there is no table reviews");
    swap(&mut teller, &admin, "redo")?;
    check(
        &shop,
        "SELECT count(*) > 0 FROM reviews",
        "after the redo the restored shop is live again",
    )?;
    teller.say(&format!(
        "  the restored shop is live again: {} reviews",
        human::count(
            shop.ask("SELECT count(*) FROM reviews")?
                .parse()
                .unwrap_or(0)
        )
    ));

    Ok(Answer {
        postgres,
        database_bytes,
        steps: teller.steps,
        kept: None,
    })
}

/// The closing table, or the whole answer as JSON.
pub fn close(session: &Session, answer: &Answer) {
    session.screen.answer(answer, |text| {
        text.blank();
        text.line(style("In short").bold().cyan().to_string());
        let mut table = crate::output::Rows::new(&[crate::output::Column::Left("step"), crate::output::Column::Right("time"), crate::output::Column::Left("result")]);
        for step in &answer.steps {
            table.add([step.name.clone(), human::seconds(step.seconds), step.result.clone()]);
        }
        text.table(&table);
        text.blank();
        match &answer.kept {
            Some(path) => text.line(format!(
                "The repository is kept: pgkeep list --repo {0}/repository --key-file {0}/repository.key",
                path.display()
            )),
            None => {
                text.line("The server was stopped and everything removed. Your own database is two commands away:");
                text.line("  pgkeep init --repo ./backups");
                text.line("  pgkeep backup --repo ./backups --database-url postgres://user@host/database");
            }
        }
    });
}

fn make_shop(
    teller: &mut Teller<'_>,
    shop: &Shop<'_>,
    admin: &ConnectOptions,
) -> CliResult<String> {
    teller.timed(
        "shop database",
        || {
            let mut connection = pgkeep_postgres::wire::Connection::open(admin).map_err(Error::from)?;
            connection.execute(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0")).map_err(Error::from)?;
            shop.make()?;
            let size: u64 = shop.ask("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())")?.parse().unwrap_or(0);
            let rows: u64 = shop.ask("SELECT sum(reltuples)::bigint FROM pg_catalog.pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")?.parse().unwrap_or(0);
            Ok((size, rows))
        },
        |(size, rows)| format!("{}, about {} rows", human::bytes(*size), human::count(*rows)),
    )?;
    let version = shop.ask("SHOW server_version")?;
    teller.say(&format!("  PostgreSQL {version}, on a socket of its own"));
    Ok(version)
}

fn make_repository(teller: &mut Teller<'_>, folder: &Path) -> CliResult<Repository> {
    let password = generate_key();
    write_new(&folder.join("repository.key"), &password)?;
    let address = RepositoryAddress {
        address: folder.join("repository").display().to_string(),
        options: StorageOptions {
            cancel: teller.session.cancel.clone(),
            ..StorageOptions::default()
        },
        password,
    };
    let context = teller.context;
    teller.timed(
        "repository",
        || Ok(storage::init(&address, "demo", context)?),
        |made| format!("made, id {}", &made.id[..8]),
    )?;
    Ok(storage::open(&address, context)?)
}

fn show_loss(
    teller: &mut Teller<'_>,
    repository: &Repository,
    backup: &BackupReport,
    live: &ConnectOptions,
) -> CliResult<()> {
    let context = teller.context;
    let report = teller.timed(
        "diff",
        || {
            Ok(diff::run(
                repository,
                &DiffSide::Backup(backup.id.clone()),
                &DiffSide::Live(LiveDatabases {
                    connections: vec![live.clone()],
                    only: None,
                }),
                None,
                context,
            )?)
        },
        |report| {
            let tables: usize = report.databases.iter().map(|db| db.tables.len()).sum();
            let definitions: usize = report.databases.iter().map(|db| db.schema.len()).sum();
            format!(
                "{} and {} differ",
                human::counted(tables as u64, "table"),
                human::counted(definitions as u64, "definition")
            )
        },
    )?;
    if report.same {
        return Err(CliError::new(
            Exit::Failed,
            "the damaged shop does not differ from its backup",
        ));
    }
    teller.show(|text| diff_command::render(text, &report));
    Ok(())
}

fn restore_shop(
    teller: &mut Teller<'_>,
    repository: &Repository,
    backup: &BackupReport,
    admin: &ConnectOptions,
) -> CliResult<()> {
    let context = teller.context;
    let request = RestoreRequest {
        backup: backup.id.clone(),
        app: None,
        database: Some(DATABASE.into()),
        admin: admin.clone(),
        target: RestoreTarget::Replace {
            name: DATABASE.into(),
        },
        selection: Selection::default(),
        content: Content::All,
        jobs: jobs(),
        prove: Proof::Full,
        keep_old_secs: 86_400,
        no_owner: false,
        role: None,
        throwaway: false,
        vacuum: false,
        skip_safety_backup: false,
        grace_secs: 1,
        around: restore::Around::default(),
    };
    let plan = teller.timed(
        "plan",
        || Ok(restore::plan(repository, &request, context)?),
        |plan| human::counted(plan.summary.steps.len() as u64, "step"),
    )?;
    teller.show(|text| restore_command::render_plan(text, &plan.summary));
    let report = teller.timed(
        "restore",
        || Ok(restore::execute(repository, plan, context)?),
        |report| {
            let blocked = report
                .blocked_ms
                .map(|ms| {
                    format!(
                        "; nobody could connect for {}",
                        restore_command::blocked(ms)
                    )
                })
                .unwrap_or_default();
            format!(
                "{} rows restored and proven{blocked}",
                human::count(report.rows)
            )
        },
    )?;
    teller.show(|text| restore_command::render_report(text, &report));
    if !report.proof.proven() {
        return Err(CliError::new(
            Exit::NotProven,
            "the restored shop is not what was backed up",
        ));
    }
    Ok(())
}

fn swap(teller: &mut Teller<'_>, admin: &ConnectOptions, name: &'static str) -> CliResult<()> {
    let context = teller.context;
    let report = teller.timed(
        name,
        || {
            let plan = restore::plan_undo(admin, DATABASE, None, context)?;
            Ok(restore::execute_undo(
                admin,
                &plan,
                1,
                &Application::default(),
                context,
            )?)
        },
        |report| {
            format!(
                "swapped; nobody could connect for {}",
                restore_command::blocked(report.blocked_ms)
            )
        },
    )?;
    teller.say(&format!("  kept for another swap: {}", report.kept_as));
    Ok(())
}

/// Fails the demonstration when what it claims is not so.
fn check(shop: &Shop<'_>, sql: &str, claim: &str) -> CliResult<()> {
    match shop.ask(sql)?.as_str() {
        "t" => Ok(()),
        _ => Err(CliError::new(
            Exit::Failed,
            format!("the demonstration's claim does not hold: {claim}"),
        )),
    }
}

fn jobs() -> usize {
    std::thread::available_parallelism()
        .map_or(2, usize::from)
        .max(2)
}

/// Speaks to the user and keeps the times.
struct Teller<'a> {
    session: &'a Session,
    context: &'a Context,
    steps: Vec<Step>,
    chapter: usize,
}

impl Teller<'_> {
    fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        self.say(&format!(
            "\n{}",
            style(format!("{}. {title}", self.chapter)).bold().cyan()
        ));
    }

    fn say(&self, line: &str) {
        if self.session.screen.interactive() {
            self.session.screen.raw(&format!("{line}\n"));
        }
    }

    /// Shows a command's own output, moved in.
    fn show(&self, render: impl FnOnce(&mut Text)) {
        let mut text = Text::default();
        render(&mut text);
        for line in text.as_str().lines() {
            self.say(&format!("  {line}"));
        }
    }

    fn timed<T>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> CliResult<T>,
        result: impl FnOnce(&T) -> String,
    ) -> CliResult<T> {
        self.session.cancel.check()?;
        let begun = Instant::now();
        let value = work()?;
        let seconds = begun.elapsed().as_secs_f64();
        self.session.progress.finish();
        let result = result(&value);
        self.say(&format!(
            "  {} {name}: {result} ({})",
            style("✓").green(),
            human::seconds(seconds)
        ));
        self.steps.push(Step {
            name: name.into(),
            seconds,
            result,
        });
        Ok(value)
    }

    fn backup(
        &mut self,
        repository: &Repository,
        live: &ConnectOptions,
        name: &str,
    ) -> CliResult<BackupReport> {
        let request = BackupRequest {
            app: DATABASE.into(),
            environment: "demo".into(),
            kind: BackupKind::Full,
            description: name.into(),
            tags: Vec::new(),
            pinned: false,
            lock_timeout: None,
            origin: pgkeep_engine::catalog::Origin::default(),
            databases: vec![live.clone()],
            globals: true,
            jobs: jobs(),
            compression_level: 1,
            exclude_table_data: Vec::new(),
            schemas: Vec::new(),
            read_back_all: false,
            application: Application::default(),
        };
        let context = self.context;
        let report = self.timed(
            name,
            || Ok(backup::run(repository, &request, context)?),
            |report| {
                let share = report.bytes_added as f64 / report.bytes_read.max(1) as f64 * 100.0;
                format!(
                    "{} read, {} stored ({share:.1} %)",
                    human::bytes(report.bytes_read),
                    human::bytes(report.bytes_added)
                )
            },
        )?;
        self.show(|text| crate::commands::backup::render(text, &report, false));
        Ok(report)
    }

    /// The same database by the tool that everyone has, for a measure.
    fn compare_with_pg_dump(
        &mut self,
        tools: &Tools,
        live: &ConnectOptions,
        folder: &Path,
        ours: &BackupReport,
    ) -> CliResult<()> {
        let file = folder.join("stock.dump");
        let cancel = self.session.cancel.clone();
        self.timed(
            "for comparison, pg_dump -Fc",
            || {
                let command = tools.pg_dump(live).args(["-Fc", "-f"]).arg(&file);
                Ok(command.run(&cancel).map_err(Error::from)?)
            },
            |_| format!("{} written, neither encrypted nor checked", size_of(&file)),
        )?;
        let stock = self.steps.last().map_or(0.0, |step| step.seconds);
        self.say(&format!(
            "  pg_dump took {:.1} times as long as the backup",
            stock / ours.seconds.max(0.001)
        ));
        // Only its time and size were of interest.
        let _ = std::fs::remove_file(&file);
        Ok(())
    }
}
