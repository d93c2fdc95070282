//! Options of the commands that look at pgkeep itself and its surroundings.

use super::ConnectionArgs;
use clap::{Args, Subcommand};
use pgkeep_model::secret::SecretText;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep doctor --database-url postgres://app@db.example.com/shop
  pgkeep doctor --app shop --target-url postgres://postgres@spare.example.com/postgres
  pgkeep doctor --json")]
pub struct DoctorArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Server that a restore would go to, when it is another one
    #[arg(long, value_name = "URL")]
    pub target_url: Option<SecretText>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep demo
  pgkeep demo --size-mb 1000 --major 17
  pgkeep demo --keep
  pgkeep demo --dir ./demo --leave-running

It starts a PostgreSQL server of its own in a temporary folder, on a unix socket, and touches nothing
else. Everything is removed when it ends; --keep leaves the repository, --leave-running the database server
as well: ./demo/database says which process to end and which folder to remove.")]
pub struct DemoArgs {
    /// Size of the shop database, about
    #[arg(long, value_name = "MB", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub size_mb: u32,
    /// Major version of PostgreSQL [default: the newest installed]
    #[arg(long, value_name = "N")]
    pub major: Option<u32>,
    /// Leave the folder with the repository and its key; the server is stopped and removed in any case
    #[arg(long)]
    pub keep: bool,
    /// Folder for the repository, not existing yet [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Leave the database server running, and beside the repository a pgkeep.toml for `pgkeep serve`
    #[arg(long, requires = "dir")]
    pub leave_running: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting, where it comes from, secrets masked
    #[command(
        after_help = "Examples:\n  pgkeep config show\n  pgkeep config show --app shop --json"
    )]
    Show,
    /// Print the path of the configuration file in force
    #[command(
        after_help = "Examples:\n  pgkeep config path\n  pgkeep config path --config ./pgkeep.toml"
    )]
    Path,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep completions bash > /etc/bash_completion.d/pgkeep
  pgkeep completions zsh > ~/.zfunc/_pgkeep")]
pub struct CompletionsArgs {
    /// Shell to write for
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}
