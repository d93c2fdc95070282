//! `pgkeep completions`: a completion script for a shell.

use crate::{
    args::{Cli, CompletionsArgs},
    error::CliResult,
    exit::Exit,
    session::Session,
};
use clap::CommandFactory;

pub fn run(args: &CompletionsArgs, session: &Session) -> CliResult<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pgkeep", &mut script);
    session.screen.raw(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
