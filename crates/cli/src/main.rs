//! The `pgkeep` binary: parse, resolve, call the engine, render.
//!
//! Start reading at [`commands`]: one file a command, each of the same four steps. Settings come from [`config`],
//! everything printed goes through [`output`], how the process ends stands in [`exit`].

mod api;
mod application;
mod args;
mod asking;
mod clock;
mod commands;
mod config;
mod confirm;
mod error;
mod exit;
mod interrupt;
mod listing;
mod output;
mod recording;
mod recovery_kit;
mod session;

use args::{Cli, Command, GlobalArgs};
use clap::Parser;
use error::CliError;
use exit::Exit;
use output::Screen;
use session::Session;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return told_as_usage(&error),
    };
    let screen = Screen::new(&cli.global);
    // A server and a worker end in an order of their own.
    let heeds_signals = !matches!(cli.command, Command::Serve(_) | Command::Worker(_));
    let outcome = Session::start(&cli.global, heeds_signals).and_then(|session| {
        let outcome = commands::run(&cli.command, &session);
        session.progress.finish();
        outcome.map_err(|error| told_as_cancelled(error, &session))
    });
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            screen.error(&error);
            error.exit.into()
        }
    }
}

/// Help, versions and mistakes on the command line. A script that asked for JSON gets its mistake as JSON, too.
fn told_as_usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os()
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or("the command line is wrong");
        let usage = CliError::usage(message.strip_prefix("error: ").unwrap_or(message));
        let usage = lines
            .fold(usage, CliError::with_detail)
            .with_hint("--help of the command says what it takes");
        Screen::new(&GlobalArgs {
            json: true,
            ..GlobalArgs::default()
        })
        .error(&usage);
        return Exit::Usage.into();
    }
    error.exit()
}

/// Whatever broke after Ctrl-C broke because of it.
fn told_as_cancelled(error: CliError, session: &Session) -> CliError {
    if error.exit == Exit::Cancelled || !session.cancel.is_cancelled() {
        return error;
    }
    CliError::from(pgkeep_model::Cancelled).with_detail(error.message)
}
