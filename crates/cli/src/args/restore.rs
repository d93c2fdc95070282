//! Options of restore, undo and drill.

use super::{ConnectionArgs, human_duration};
use clap::{ArgGroup, Args, ValueEnum};
use pgkeep_model::evidence::Proof;
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("mode").args(["replace", "into", "in_place"]),
    after_help = "\
Examples:
  pgkeep restore latest --into shop_check
  pgkeep restore 1a2b3c4d --replace --dry-run
  pgkeep restore latest --replace --confirm 'I understand this will irreversibly overwrite data'
  pgkeep restore latest --replace --migrate --check --read-only --dry-run
  pgkeep restore latest --table public.orders --into shop_side
  pgkeep restore latest --files-only --file 'invoices/2026-*.pdf' --files-into ./found
  pgkeep restore latest --replace --with-files --dry-run

A restore builds a new database beside the live one and proves it. --replace then swaps the two by
renaming; the old database is kept for --keep-old, and pgkeep undo swaps back."
)]
pub struct RestoreArgs {
    /// Backup: the start of its id, or latest
    #[arg(value_name = "BACKUP", default_value = "latest")]
    pub backup: String,
    /// Which database of the backup, when it holds several
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,

    /// Put the restored database in the place of the live one
    #[arg(long, help_heading = "Mode")]
    pub replace: bool,
    /// Restore into a new database of this name
    #[arg(long, value_name = "NAME", help_heading = "Mode")]
    pub into: Option<String>,
    /// Empty the live database and restore into it, for accounts that may not create databases
    #[arg(long, help_heading = "Mode")]
    pub in_place: bool,
    /// Print the plan and change nothing
    #[arg(long, help_heading = "Mode")]
    pub dry_run: bool,
    /// The phrase that allows a live database to be overwritten
    #[arg(long, value_name = "PHRASE", help_heading = "Mode")]
    pub confirm: Option<String>,

    /// Only this table, as schema.table; * and ? match any text and one character (repeatable)
    #[arg(long, short = 't', value_name = "PATTERN", help_heading = "Selection")]
    pub table: Vec<String>,
    /// Only this schema (repeatable)
    #[arg(long, value_name = "PATTERN", help_heading = "Selection")]
    pub schema: Vec<String>,
    /// The files of the backup alone, no database
    #[arg(long, conflicts_with_all = ["replace", "into", "in_place", "with_files"], help_heading = "Files")]
    pub files_only: bool,
    /// The files of the backup too: both are proven before either is put in place
    #[arg(long, help_heading = "Files")]
    pub with_files: bool,
    /// Only this file tree of the backup (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "Files")]
    pub files: Vec<String>,
    /// Only files that match, as .gitignore writes patterns (repeatable); needs --files-into
    #[arg(long, value_name = "PATTERN", help_heading = "Files")]
    pub file: Vec<String>,
    /// A new folder for the files [default: where they were read from; what is there is kept beside]
    #[arg(long, value_name = "FOLDER", help_heading = "Files")]
    pub files_into: Option<PathBuf>,
    /// Definitions without rows
    #[arg(long, conflicts_with = "data_only", help_heading = "Selection")]
    pub schema_only: bool,
    /// Rows without definitions, into tables that exist
    #[arg(long, help_heading = "Selection")]
    pub data_only: bool,

    /// Tables and indexes restored at once [default: number of cores]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// How to prove the restored database before it is used
    #[arg(long, value_enum, default_value_t = ProofArg::Full)]
    pub prove: ProofArg,
    /// How long the replaced database is kept
    #[arg(long, value_name = "TIME", value_parser = human_duration, default_value = "24h")]
    pub keep_old: Duration,
    /// Run the app's own migrations on the restored database before it is used; a failure changes nothing
    #[arg(long, help_heading = "App")]
    pub migrate: bool,
    /// Run the app's own checks on the restored database before it is used
    #[arg(long, help_heading = "App")]
    pub check: bool,
    /// Leave a restored database that fails its migrations or checks, for a look
    #[arg(long, help_heading = "App")]
    pub keep_failed: bool,
    /// Let the live database refuse writes from the safety backup until the swap
    #[arg(long, help_heading = "App")]
    pub read_only: bool,
    /// Time that sessions on the database being replaced are given to end by themselves [default: the app's, or 5s]
    #[arg(long, value_name = "TIME", value_parser = human_duration)]
    pub grace: Option<Duration>,
    /// Skip the safety backup of the database being replaced
    #[arg(long)]
    pub no_safety_backup: bool,
    /// Do not restore owners: everything belongs to the restoring role
    #[arg(long)]
    pub no_owner: bool,
    /// Role to act as while restoring
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Run VACUUM as well as ANALYZE at the end
    #[arg(long)]
    pub vacuum: bool,
}

/// How thoroughly a restored database is compared with the backup's evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProofArg {
    /// Rows and content of every table, and all else that was recorded
    Full,
    /// Row counts instead of contents
    Counts,
    /// Nothing
    None,
}

impl From<ProofArg> for Proof {
    fn from(arg: ProofArg) -> Self {
        match arg {
            ProofArg::Full => Proof::Full,
            ProofArg::Counts => Proof::Counts,
            ProofArg::None => Proof::None,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep undo shop --dry-run
  pgkeep undo shop --confirm 'I understand this will irreversibly overwrite data'
  pgkeep undo shop --to shop_before_20261121T083000Z
  pgkeep undo --files media --dry-run
  pgkeep undo --list
  pgkeep undo --drop-expired")]
pub struct UndoArgs {
    /// Database that a restore replaced [default: that of the connection]
    #[arg(value_name = "DATABASE")]
    pub database: Option<String>,
    /// Database to swap in [default: the newest one kept by a restore]
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Put back the folder that a restore of files replaced, by the tree's name or its path (repeatable)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["database", "to"])]
    pub files: Vec<String>,
    /// List the databases that restores kept or left behind on the server
    #[arg(long, conflicts_with_all = ["to", "dry_run", "confirm", "drop_expired"])]
    pub list: bool,
    /// Drop those of them whose time is over
    #[arg(long, conflicts_with_all = ["to", "dry_run", "confirm"])]
    pub drop_expired: bool,
    /// Time that sessions on the database are given to end by themselves [default: the app's, or 5s]
    #[arg(long, value_name = "TIME", value_parser = human_duration)]
    pub grace: Option<Duration>,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The phrase that allows the live database to be swapped away
    #[arg(long, value_name = "PHRASE")]
    pub confirm: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep drill
  pgkeep drill latest --app shop --assert 'SELECT count(*) > 0 FROM orders'
  pgkeep drill --amcheck --app-checks --objective 30m
  pgkeep drill 1a2b3c4d --admin-url postgres://postgres@spare.example.com/postgres")]
pub struct DrillArgs {
    /// Backup: the start of its id, or latest
    #[arg(value_name = "BACKUP", default_value = "latest")]
    pub backup: String,
    /// Which database of the backup [default: all of them, one after the other]
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Query that must return true in its first column (repeatable)
    #[arg(long = "assert", value_name = "SQL")]
    pub assertions: Vec<String>,
    /// File of such queries, separated by semicolons at the end of a line
    #[arg(long, value_name = "FILE")]
    pub assert_file: Vec<PathBuf>,
    /// Tables and indexes restored at once [default: number of cores]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// How to prove the restored database
    #[arg(long, value_enum, default_value_t = ProofArg::Full)]
    pub prove: ProofArg,
    /// Do not restore owners: everything belongs to the restoring role
    #[arg(long)]
    pub no_owner: bool,
    /// Leave the file trees of the backup alone
    #[arg(long)]
    pub databases_only: bool,
    /// Look through indexes and tables with amcheck as well
    #[arg(long)]
    pub amcheck: bool,
    /// Run the app's check commands against the copy
    #[arg(long)]
    pub app_checks: bool,
    /// Longest time that restoring and proving may take
    #[arg(long, value_name = "TIME", value_parser = human_duration)]
    pub objective: Option<Duration>,
    /// Leave the throwaway database for a look at it
    #[arg(long)]
    pub keep: bool,
}
