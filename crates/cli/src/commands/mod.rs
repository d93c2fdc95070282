//! The commands, one file each: parse → resolve → engine → render.

mod apply;
mod backup;
mod catalog;
mod check;
mod completions;
mod config;
mod defined;
mod demo;
mod diff;
mod doctor;
mod drill;
mod export;
mod forget;
mod guard;
mod import;
mod init;
mod job;
mod key;
mod list;
mod migrations;
mod on_server;
mod package;
mod people;
mod policy;
mod prune;
mod restore;
mod restore_files;
mod rollback_migration;
mod schema;
mod serve;
mod show;
mod status;
mod tag;
mod undo;
mod upgrade;
mod verify;

use crate::{args::Command, error::CliResult, exit::Exit, session::Session};

/// Runs one command; the code tells success from a finding such as a failed proof that was already reported.
pub fn run(command: &Command, session: &Session) -> CliResult<Exit> {
    match command {
        Command::Init(args) => init::run(args, session),
        Command::Backup(args) => backup::run(args, session),
        Command::List(args) => list::run(args, session),
        Command::Show(args) => show::run(args, session),
        Command::Verify(args) => verify::run(args, session),
        Command::Restore(args) => restore::run(args, session),
        Command::Undo(args) => undo::run(args, session),
        Command::Guard(args) => guard::run(args, session),
        Command::RollbackMigration(args) => rollback_migration::run(args, session),
        Command::Migrations(args) => migrations::run(args, session),
        Command::Schema(command) => schema::run(command, session),
        Command::Drill(args) => drill::run(args, session),
        Command::Upgrade(command) => upgrade::run(command, session),
        Command::Diff(args) => diff::run(args, session),
        Command::Export(args) => export::run(args, session),
        Command::Import(args) => import::run(args, session),
        Command::Forget(args) => forget::run(args, session),
        Command::Prune(args) => prune::run(args, session),
        Command::Check(args) => check::run(args, session),
        Command::Key(command) => key::run(command, session),
        Command::Tag(args) => tag::run(args, session),
        Command::Doctor(args) => doctor::run(args, session),
        Command::Demo(args) => demo::run(args, session),
        Command::Serve(args) => serve::serve(args, session),
        Command::Worker(args) => serve::worker(args, session),
        Command::RunJob(args) => serve::run_job(args, session),
        Command::Apply(args) => apply::run(args, session),
        Command::Status(args) => status::run(args, session),
        Command::Policy(command) => policy::run(command, session),
        Command::Job(command) => job::run(command, session),
        Command::Queue(command) => job::queue(command, session),
        Command::App(command) => defined::app(command, session),
        Command::Repository(command) => defined::repository(command, session),
        Command::Notify(command) => defined::notify(command, session),
        Command::User(command) => people::user(command, session),
        Command::Token(command) => people::token(command, session),
        Command::Audit(command) => people::audit(command, session),
        Command::Catalog(command) => catalog::run(command, session),
        Command::Config(command) => config::run(command, session),
        Command::Completions(args) => completions::run(args, session),
        Command::ExitCodes => {
            session.screen.raw(&crate::exit::table_text());
            Ok(Exit::Done)
        }
    }
}
