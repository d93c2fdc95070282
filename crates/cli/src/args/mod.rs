//! The command line as clap sees it. Nothing here decides anything: values become settings in [`crate::config`].

mod backup;
mod care;
#[cfg(test)]
mod documented;
mod files;
mod guard;
mod migrations;
mod people;
mod policy;
mod queue;
mod repository;
mod restore;
mod server;
mod upgrade;
mod values;

pub use backup::{
    BackupArgs, DiffArgs, ExportArgs, ExportFormat, ImportArgs, KindArg, ListArgs, ReadBackArg,
    ShowArgs, TagArgs,
};
pub use care::{CompletionsArgs, ConfigCommand, DemoArgs, DoctorArgs};
pub use files::TreeArgs;
pub use guard::{GuardArgs, OnFailure, RollbackArgs};
pub use migrations::{MigrationsArgs, SchemaCommand, SchemaDiffArgs};
pub use people::{
    AuditCommand, NotifyCommand, PermissionArg, RoleArg, TokenArgs, TokenCommand, UserArgs,
    UserCommand,
};
pub use policy::{PolicyArgs, PolicyCommand, WeekdayArg};
pub use queue::{JobCommand, JobListArgs, JobName, QueueCommand};
pub use repository::{
    CheckArgs, ForgetArgs, InitArgs, KeyCommand, NewKeyArgs, PruneArgs, VerifyArgs,
};
pub use restore::{DrillArgs, ProofArg, RestoreArgs, UndoArgs};
pub use server::{
    AppCommand, ApplyArgs, CatalogCommand, CatalogRestoreArgs, DeleteArgs, RepositoryCommand,
    RunJobArgs, ServeArgs, StatusArgs, WorkerArgs,
};
pub use upgrade::{
    UpgradeAcceptArgs, UpgradeArgs, UpgradeCommand, UpgradeRollbackArgs, UpgradeRunArgs,
};
pub use values::{Clock, Moment, Percent, human_duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::styling};
use pgkeep_model::secret::SecretText;
use std::path::PathBuf;

const STYLES: styling::Styles = styling::Styles::styled()
    .header(styling::AnsiColor::Green.on_default().bold())
    .usage(styling::AnsiColor::Green.on_default().bold())
    .literal(styling::AnsiColor::Cyan.on_default().bold())
    .placeholder(styling::AnsiColor::Cyan.on_default());

/// Backups of PostgreSQL applications that prove they can be restored.
#[derive(Debug, Parser)]
#[command(
    name = "pgkeep",
    version,
    styles = STYLES,
    max_term_width = 100,
    disable_help_subcommand = false,
    after_help = "\
Examples:
  pgkeep init --repo ./backups
  pgkeep backup --repo ./backups --database-url postgres://app@db.example.com/shop
  pgkeep restore latest --into shop_check
  pgkeep serve
  pgkeep demo

Settings come from flags, then the environment (DATABASE_URL, DB_ADMIN_URL, PGKEEP_REPO,
BACKUPS_DIR, PGKEEP_KEY_FILE, BACKUP_ENCRYPTION_KEY, PG*, AWS_*), then pgkeep.toml, then defaults.
With PGKEEP_SERVER and PGKEEP_TOKEN set, commands work on that server instead.
Exit codes: pgkeep help exit-codes"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Repository: a directory, an s3:// address, or a name from pgkeep.toml
    #[arg(long, short = 'r', global = true, value_name = "ADDRESS")]
    pub repo: Option<String>,
    /// File that holds the repository's key
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Configuration file instead of the first pgkeep.toml found
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// App to work on, as named in pgkeep.toml or when it was backed up
    #[arg(long, short = 'a', global = true, value_name = "NAME")]
    pub app: Option<String>,
    /// Folder of the server's catalog and files [env: PGKEEP_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Work on a pgkeep server instead of here [env: PGKEEP_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// File that holds the token for that server [env: PGKEEP_TOKEN_FILE, or PGKEEP_TOKEN itself]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificate to trust that server by, its own or its authority's [env: PGKEEP_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Allow a server to be reached without TLS from another machine
    #[arg(long, global = true)]
    pub insecure: bool,
    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only what was asked for: no progress, no remarks
    #[arg(long, short = 'q', global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Name every finished table and index
    #[arg(long, short = 'v', global = true)]
    pub verbose: bool,
    /// No progress display
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorArg::Auto)]
    pub color: ColorArg,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    #[default]
    Auto,
    Always,
    Never,
}

/// Where the database is. Without any of these, DATABASE_URL, then pgkeep.toml, then libpq's PG* variables are used.
#[derive(Debug, Clone, Default, Args)]
pub struct ConnectionArgs {
    /// Database as postgres:// URL or as key=value pairs; prefer DATABASE_URL when it holds a password
    #[arg(long, short = 'd', value_name = "URL", help_heading = "Connection")]
    pub database_url: Option<SecretText>,
    /// Privileged connection, for creating, swapping and dropping databases [env: DB_ADMIN_URL]
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub admin_url: Option<SecretText>,
    /// Folder of PostgreSQL's client programs, tried before the usual places (repeatable)
    #[arg(long, value_name = "DIR", help_heading = "Connection")]
    pub bin_dir: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a repository, and a key for it
    Init(InitArgs),
    /// Back up one or more databases as one recovery point
    Backup(BackupArgs),
    /// List backups and how well each is proven
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show what one backup holds
    Show(ShowArgs),
    /// Check that backups are stored whole; with --read-data, that every byte is right
    Verify(VerifyArgs),
    /// Restore a backup: beside the live database, in its place, or parts of it
    Restore(RestoreArgs),
    /// Swap back to the database that a restore replaced
    Undo(UndoArgs),
    /// Run a deployment or migration with a backup before it, and a way back when it fails
    Guard(GuardArgs),
    /// Go back to the newest backup that was taken before a migration
    RollbackMigration(RollbackArgs),
    /// Show at which schema version the databases, the code and a backup are
    Migrations(MigrationsArgs),
    /// Compare schemas
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep schema diff latest
  pgkeep schema diff 1a2b3c4d 5e6f7a8b --json"
    )]
    Schema(SchemaCommand),
    /// Rehearse a restore in a throwaway database and record the proof
    Drill(DrillArgs),
    /// Move a server's databases to a newer major version of PostgreSQL
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep upgrade plan --from postgres://postgres@old.example.com/ --to postgres://postgres@new.example.com/
  pgkeep upgrade run --fence --report upgrade.md
  pgkeep upgrade rollback --dry-run"
    )]
    Upgrade(UpgradeCommand),
    /// Compare two backups, or a backup with the live database
    Diff(DiffArgs),
    /// Write a backup as a file for stock PostgreSQL tools
    Export(ExportArgs),
    /// Take in a dump made by pgkeep or pg_dump as a backup
    Import(ImportArgs),
    /// Remove backups by a retention rule
    Forget(ForgetArgs),
    /// Free the space of what no backup needs any more
    Prune(PruneArgs),
    /// Check the repository's structure and stored objects
    Check(CheckArgs),
    /// Manage the repository's keys
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep key list
  pgkeep key add --new-key-file /etc/pgkeep/second.key --label 'second site'
  pgkeep key kit --output kit.txt"
    )]
    Key(KeyCommand),
    /// Add or remove tags of a backup; pin it against forgetting
    Tag(TagArgs),
    /// Look for what would make a backup or restore fail, with remedies
    Doctor(DoctorArgs),
    /// Watch a whole disaster and recovery on a throwaway server
    Demo(DemoArgs),
    /// Run unattended: API, scheduler, workers and notifications
    Serve(ServeArgs),
    /// Run jobs of a catalog that several machines share
    Worker(WorkerArgs),
    #[command(
        hide = true,
        after_help = "Examples: none, for this is started by the server alone"
    )]
    RunJob(RunJobArgs),
    /// Make the catalog match pgkeep.toml
    Apply(ApplyArgs),
    /// Tell in one sentence whether every app is protected
    Status(StatusArgs),
    /// Manage policies: what is backed up when, and what is kept
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep policy create nightly --app shop --daily --at 02:00 --keep-days 30
  pgkeep policy defaults shop
  pgkeep policy next nightly"
    )]
    Policy(PolicyCommand),
    /// Look at jobs, cancel and reorder them
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep job list
  pgkeep job log 0199f3c2 --follow
  pgkeep job cancel 0199f3c2"
    )]
    Job(JobCommand),
    /// Pause and resume the queue of jobs
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep queue status
  pgkeep queue pause"
    )]
    Queue(QueueCommand),
    /// Manage the apps that the server protects
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep app list
  pgkeep app show shop"
    )]
    App(AppCommand),
    /// Manage the repositories that the server knows
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep repository list
  pgkeep repository test main"
    )]
    Repository(RepositoryCommand),
    /// Look at notification targets and test them
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep notify list
  pgkeep notify test ops"
    )]
    Notify(NotifyCommand),
    /// Manage accounts of the server
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep user create ann --role admin
  pgkeep user list"
    )]
    User(UserCommand),
    /// Manage tokens for the API
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep token create ci --role operator --expires 90d
  pgkeep token list"
    )]
    Token(TokenCommand),
    /// Read and check the audit log
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep audit list
  pgkeep audit verify"
    )]
    Audit(AuditCommand),
    /// Find, copy, restore and rebuild the catalog
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep catalog path
  pgkeep catalog backup /srv/catalog-copy.sqlite
  pgkeep catalog restore --dry-run
  pgkeep catalog rebuild"
    )]
    Catalog(CatalogCommand),
    /// Show the settings in force and where each comes from
    #[command(
        subcommand,
        after_help = "\
Examples:
  pgkeep config show
  pgkeep config show --app shop --json
  pgkeep config path"
    )]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the table of exit codes
    #[command(
        name = "exit-codes",
        hide = true,
        long_about = crate::exit::table_text(),
        help_template = "{about}"
    )]
    ExitCodes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_text_is_as_approved_and_has_examples() {
        let mut root = Cli::command().term_width(100);
        root.build();
        insta::assert_snapshot!("help", root.render_long_help().to_string());
        walk(&mut root, "help");
    }

    fn walk(command: &mut clap::Command, prefix: &str) {
        for sub in command.get_subcommands_mut() {
            if ["help", "run-job"].contains(&sub.get_name()) {
                continue;
            }
            let name = format!("{prefix}_{}", sub.get_name());
            let text = sub.render_long_help().to_string();
            if sub.get_name() != "exit-codes" {
                assert!(text.contains("Examples:"), "{name} has no examples");
            }
            insta::assert_snapshot!(name.as_str(), text);
            walk(sub, &name);
        }
    }
}
