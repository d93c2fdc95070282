//! Options of the commands that look after a repository.

use super::{Percent, human_duration};
use clap::{Args, Subcommand};
use pgkeep_model::{retention::KeepSpan, secret::SecretText};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep init --repo ./backups
  pgkeep init --repo 's3://backups/shop?endpoint=https://minio.example.com' --recovery-kit kit.txt
  PGKEEP_KEY_FILE=/etc/pgkeep/shop.key pgkeep init --repo /srv/backups

Without a key, init makes a random one and writes it to a file that later commands find by themselves.
Keep a copy of it elsewhere: without the key nobody can read the backups.")]
pub struct InitArgs {
    /// Write the recovery kit (address, key, how to recover with stock tools) to this new file
    #[arg(long, value_name = "FILE")]
    pub recovery_kit: Option<PathBuf>,
    /// Label of the first key
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep verify
  pgkeep verify latest --read-data
  pgkeep verify 1a2b3c4d 5e6f7a8b --json")]
pub struct VerifyArgs {
    /// Backups: starts of their ids, or latest [default: all]
    #[arg(value_name = "BACKUP")]
    pub backups: Vec<String>,
    /// Read everything back, through decryption and decompression, and compare with the evidence
    #[arg(long)]
    pub read_data: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep check
  pgkeep check --read-data
  pgkeep check --read-data=5%
  pgkeep check --repair --dry-run
  pgkeep check --repair

--repair saves what is still good of damaged packs and takes the rest out of the index, so that the
next backup stores it again; older backups that need the same data are whole again then. Nothing
that can still be read is lost by it.")]
pub struct CheckArgs {
    /// Read stored data as well: all of it, or a random share
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "100%", value_parser = Percent::parse)]
    pub read_data: Option<Percent>,
    /// Mend the index after reading all data, so that the next backup stores again what is damaged
    #[arg(long)]
    pub repair: bool,
    /// With --repair: print what it would do and change nothing
    #[arg(long, requires = "repair")]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run
  pgkeep forget --app shop --keep-last 10 --keep-within 30d --prune --yes
  pgkeep forget 1a2b3c4d
  pgkeep forget 1a2b3c4d --force --reason 'holds a customer who left'

A backup stays when any rule keeps it. Pinned backups, the newest ones (--protect-newest), the
newest proven and the newest verified one stay whatever the rules say. The rules apply to each app
and environment by itself. The plan is shown first: a person at the terminal is asked, a script must
say --yes. Space is freed by prune, not by forget.")]
pub struct ForgetArgs {
    /// Backups to remove by id instead of by rule
    #[arg(value_name = "BACKUP")]
    pub backups: Vec<String>,
    /// Keep the newest N
    #[arg(long, value_name = "N", help_heading = "Rules")]
    pub keep_last: Option<u32>,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", help_heading = "Rules")]
    pub keep_hourly: Option<u32>,
    /// Keep the newest of each of the last N days that have one
    #[arg(long, value_name = "N", help_heading = "Rules")]
    pub keep_daily: Option<u32>,
    /// Keep the newest of each of the last N weeks that have one
    #[arg(long, value_name = "N", help_heading = "Rules")]
    pub keep_weekly: Option<u32>,
    /// Keep the newest of each of the last N months that have one
    #[arg(long, value_name = "N", help_heading = "Rules")]
    pub keep_monthly: Option<u32>,
    /// Keep the newest of each of the last N years that have one
    #[arg(long, value_name = "N", help_heading = "Rules")]
    pub keep_yearly: Option<u32>,
    /// Keep everything made this long before the newest: 30d, 2w, 1y6m (m is a month)
    #[arg(long, value_name = "SPAN", help_heading = "Rules")]
    pub keep_within: Option<KeepSpan>,
    /// Keep backups with this tag (repeatable)
    #[arg(long, value_name = "TAG", help_heading = "Rules")]
    pub keep_tag: Vec<String>,
    /// How many of the newest whole backups stay whatever the rules say; the newest always does
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Rules")]
    pub protect_newest: u32,
    /// Only consider backups with this tag (repeatable: all of them)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Print what would be removed, and why the others stay
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Prune afterwards
    #[arg(long)]
    pub prune: bool,
    /// On a server: remove the newest good or newest proven backup of an app as well; needs --reason
    #[arg(long, requires = "reason")]
    pub force: bool,
    /// On a server: why, for its audit log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep prune --dry-run
  pgkeep prune
  pgkeep prune --max-unused 2%

Prune works in two phases: what nothing needs is marked first and deleted by a later prune once the
grace time has passed, so a backup that runs at the same time never loses data.")]
pub struct PruneArgs {
    /// Time between marking an object and deleting it
    #[arg(long, value_name = "TIME", value_parser = human_duration, default_value = "24h")]
    pub grace: Duration,
    /// Unused share of the repository that is tolerated before packs are rewritten
    #[arg(long, value_name = "PERCENT", value_parser = Percent::parse, default_value = "5%")]
    pub max_unused: Percent,
    /// Print what would be done
    #[arg(long)]
    pub dry_run: bool,
}

impl Default for PruneArgs {
    /// What `pgkeep prune` does without options, and so what `forget --prune` does.
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(24 * 3_600),
            max_unused: Percent(5.0),
            dry_run: false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys that open the repository
    #[command(after_help = "Examples:\n  pgkeep key list\n  pgkeep key list --json")]
    List,
    /// Add a key
    #[command(after_help = "\
Examples:
  pgkeep key add --new-key-file /etc/pgkeep/second.key --label 'second site'
  NEW_KEY=… pgkeep key add --new-key env:NEW_KEY")]
    Add(NewKeyArgs),
    /// Remove a key; never the last one, nor the one in use
    #[command(
        after_help = "Examples:\n  pgkeep key remove 1a2b3c4d\n  pgkeep key remove 1a2b3c4d --json"
    )]
    Remove {
        /// Start of the key's id
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Replace the key in use by a new one
    #[command(after_help = "\
Examples:
  pgkeep key rotate
  pgkeep key rotate --new-key-file /etc/pgkeep/shop-2027.key")]
    Rotate(NewKeyArgs),
    /// Print the recovery kit: address, key, and how to recover with stock tools
    #[command(
        alias = "recovery-kit",
        after_help = "Examples:\n  pgkeep key kit\n  pgkeep key kit --output kit.txt"
    )]
    Kit {
        /// New file to write instead of standard output
        #[arg(long, short = 'o', value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct NewKeyArgs {
    /// File of the new key; made with a random key when it does not exist
    #[arg(long, value_name = "FILE")]
    pub new_key_file: Option<PathBuf>,
    /// The new key as env:NAME or file:PATH
    #[arg(long, value_name = "SECRET", conflicts_with = "new_key_file")]
    pub new_key: Option<SecretText>,
    /// Label of the new key
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
}
