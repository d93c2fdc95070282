//! Moving a whole server to a newer major.

use super::ProofArg;
use clap::{Args, Subcommand, value_parser};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum UpgradeCommand {
    /// Say what an upgrade would do, how long it takes, and what stands in its way
    #[command(after_help = "\
Examples:
  pgkeep upgrade plan --from postgres://postgres@old.example.com/ --to postgres://postgres@new.example.com/
  pgkeep upgrade plan --database shop --json")]
    Plan(UpgradeArgs),
    /// Back up the old server, restore and prove it on the new one
    #[command(after_help = "\
Examples:
  pgkeep upgrade run --from postgres://postgres@old.example.com/ --to postgres://postgres@new.example.com/
  pgkeep upgrade run --fence --report upgrade.md
  pgkeep upgrade run --dry-run")]
    Run(UpgradeRunArgs),
    /// Compare the databases of both servers again, row by row
    #[command(after_help = "\
Examples:
  pgkeep upgrade verify --from postgres://postgres@old.example.com/ --to postgres://postgres@new.example.com/
  pgkeep upgrade verify --database shop")]
    Verify(UpgradeArgs),
    /// Drop what the upgrade made and let the old databases be written to again
    #[command(after_help = "\
Examples:
  pgkeep upgrade rollback --dry-run
  pgkeep upgrade rollback --confirm 'I understand this will irreversibly overwrite data'
  pgkeep upgrade rollback --keep-new")]
    Rollback(UpgradeRollbackArgs),
    /// Make what the upgrade made ordinary databases, which no rollback drops
    #[command(after_help = "\
Examples:
  pgkeep upgrade accept --to postgres://postgres@new.example.com/
  pgkeep upgrade accept --database shop")]
    Accept(UpgradeAcceptArgs),
}

/// The two servers. A URL that holds a password is better given by its variable, for others see a command line.
#[derive(Debug, Clone, Args)]
pub struct UpgradeArgs {
    /// Privileged connection to the old server [env: PGKEEP_UPGRADE_FROM; default: `from` of
    /// [app.NAME.upgrade], then the admin connection]
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub from: Option<String>,
    /// Privileged connection to the new server [env: PGKEEP_UPGRADE_TO; default: `to` of [app.NAME.upgrade]]
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub to: Option<String>,
    /// Folder of PostgreSQL's client programs, tried before the usual places (repeatable)
    #[arg(long, value_name = "DIR", help_heading = "Connection")]
    pub bin_dir: Vec<PathBuf>,
    /// Which database (repeatable) [default: all of them]
    #[arg(long, value_name = "NAME")]
    pub database: Vec<String>,
    /// Tables and indexes worked on at once [default: number of cores]
    #[arg(long, short = 'j', value_name = "N", value_parser = value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Make the old databases read-only before the backup, and end their sessions
    #[arg(long)]
    pub fence: bool,
    /// Do not restore owners: everything belongs to the restoring role
    #[arg(long)]
    pub no_owner: bool,
}

#[derive(Debug, Args)]
pub struct UpgradeRunArgs {
    #[command(flatten)]
    pub upgrade: UpgradeArgs,
    /// How to prove the new databases
    #[arg(long, value_enum, default_value_t = ProofArg::Full)]
    pub prove: ProofArg,
    /// Write a report to this file as Markdown, and beside it as .json
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct UpgradeRollbackArgs {
    #[command(flatten)]
    pub upgrade: UpgradeArgs,
    /// Leave the new databases; only let the old ones be written to again
    #[arg(long, conflicts_with = "force")]
    pub keep_new: bool,
    /// Drop databases that were written to since as well
    #[arg(long)]
    pub force: bool,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The phrase that allows databases to be dropped
    #[arg(long, value_name = "PHRASE")]
    pub confirm: Option<String>,
}

#[derive(Debug, Args)]
pub struct UpgradeAcceptArgs {
    /// Privileged connection to the new server [env: PGKEEP_UPGRADE_TO; default: `to` of [app.NAME.upgrade]]
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub to: Option<String>,
    /// Which database (repeatable) [default: all that an upgrade made]
    #[arg(long, value_name = "NAME")]
    pub database: Vec<String>,
}
