//! Options of guard and rollback-migration.

use super::{ConnectionArgs, ProofArg, human_duration};
use clap::{Args, ValueEnum};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep guard -- python manage.py migrate --noinput
  pgkeep guard --prove full --on-failure restore -- ./deploy.sh
  pgkeep guard --skip-if-nothing-pending --harmless 'sessions.*' -- rails db:migrate

The command keeps its terminal, input, output and environment; PGKEEP_GUARD and PGKEEP_BACKUP tell it
of the backup. Guard ends with the command's own status. Where the backup or its proof fails, the
command is not run, and the status is one of `pgkeep help exit-codes`.")]
pub struct GuardArgs {
    /// The command and its arguments, after --
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub command: Vec<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Database on the connection's server (repeatable) [default: the app's]
    #[arg(long, value_name = "NAME")]
    pub dbname: Vec<String>,
    /// Restore the backup into a throwaway database and compare it before the command is run
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub prove: Option<ProofArg>,
    /// Run the command right after the backup; the default
    #[arg(long, conflicts_with = "prove")]
    pub no_prove: bool,
    /// What to do when the command fails [default: ask on a terminal, else leave]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub on_failure: Option<OnFailure>,
    /// Take no backup where the app's code or its own check says for certain that nothing is pending
    #[arg(long)]
    pub skip_if_nothing_pending: bool,
    /// Take no backup where all that is pending is of this app label, or has a name that matches with * for any
    /// text; besides what `harmless` of the app's migrations says (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub harmless: Vec<String>,
    /// Words that are kept with the backup
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Tables read at once [default: number of cores]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
}

/// What happens after a failed command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// Show the way back and ask whether to take it
    Ask,
    /// Swap back without asking; the failed state is kept
    Restore,
    /// Change nothing
    Leave,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep rollback-migration --dry-run
  pgkeep rollback-migration --app shop --confirm 'I understand this will irreversibly overwrite data'

The newest backup that guard took before a migration is restored beside the live database, proven, and
swapped in. The present state is backed up first and kept for --keep-old; pgkeep undo swaps back.")]
pub struct RollbackArgs {
    /// Another backup than the newest one tagged pre-migration: the start of its id
    #[arg(long, value_name = "ID")]
    pub backup: Option<String>,
    /// Which database of the backup [default: all of them, one after the other]
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The phrase that allows a live database to be overwritten
    #[arg(long, value_name = "PHRASE")]
    pub confirm: Option<String>,
    /// How to prove the restored database before it is used
    #[arg(long, value_enum, default_value_t = ProofArg::Full)]
    pub prove: ProofArg,
    /// How long the replaced database is kept
    #[arg(long, value_name = "TIME", value_parser = human_duration, default_value = "24h")]
    pub keep_old: Duration,
    /// Time that sessions on the database are given to end by themselves [default: the app's, or 5s]
    #[arg(long, value_name = "TIME", value_parser = human_duration)]
    pub grace: Option<Duration>,
    /// Tables and indexes restored at once [default: number of cores]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
}
