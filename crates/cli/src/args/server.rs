//! Options of the server, its workers, and what makes its catalog match a file.

use clap::{Args, Subcommand};
use std::{net::SocketAddr, path::PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep serve
  pgkeep serve --listen 127.0.0.1:9000 --workers 4
  PGKEEP_CATALOG=postgres://pgkeep@db.example.com/pgkeep pgkeep serve

The first start takes in pgkeep.toml, or, without one, an app and a repository from DATABASE_URL and
PGKEEP_REPO, and prints a token that makes the first admin. It listens on this machine only unless
told otherwise. SIGTERM ends it: running jobs are handed back to the queue.")]
pub struct ServeArgs {
    /// Address and port to listen on [env: PGKEEP_LISTEN] [default: 127.0.0.1:8321]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Jobs run at once by this process; 0 leaves all to `pgkeep worker` [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=256))]
    pub workers: Option<u16>,
    /// Name of this machine among the workers [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  PGKEEP_CATALOG=postgres://pgkeep@db.example.com/pgkeep pgkeep worker
  pgkeep worker --workers 4 --node backup-2

It runs jobs of a catalog on PostgreSQL that several machines share. Environment variables and files
that apps and repositories refer to are read on this machine; the catalog's key file must be the
same as the server's.")]
pub struct WorkerArgs {
    /// Jobs run at once [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// Name of this machine among the workers [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
}

/// One job, in a process of its own. Started by the server, never by hand.
#[derive(Debug, Args)]
pub struct RunJobArgs {
    #[arg(long, value_name = "ID")]
    pub job: String,
    #[arg(long, value_name = "N")]
    pub fence: i64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep apply --dry-run
  pgkeep apply /etc/pgkeep/pgkeep.toml
  pgkeep apply --prune --yes

Apps, repositories, policies and notification targets become what the file says. What the file
created before and no longer holds is removed; what was made by the API or by other commands stays,
unless --prune is given. Applying twice changes nothing. [server] is read when the server starts.
Without a file, what the environment describes (DATABASE_URL, BACKUP_SCHEDULE_CRON and their like)
is taken in, and nothing is removed. Where something goes, a script must say --yes.")]
pub struct ApplyArgs {
    /// File to apply [default: the configuration file in force]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print what would change
    #[arg(long)]
    pub dry_run: bool,
    /// Remove what is not in the file, whoever made it
    #[arg(long)]
    pub prune: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep status
  pgkeep status --app shop --json
  pgkeep status --quiet || mail -s 'backups need a look' ops@example.com

It ends with 0 when every app is protected, with 11 when a backup failed, is overdue, damaged, or
there is none. See `pgkeep help exit-codes`.")]
pub struct StatusArgs {}

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Print where the catalog is
    #[command(after_help = "Examples:\n  pgkeep catalog path\n  pgkeep catalog path --json")]
    Path,
    /// Write a copy of the catalog to a new file
    #[command(after_help = "\
Examples:
  pgkeep catalog backup /srv/pgkeep-catalog.sqlite
  pgkeep catalog backup \"catalog-$(date +%F).sqlite\" --json

The server does this by itself once a day, into each repository. Secrets in the copy are encrypted
with the catalog's key file, which is not part of it.")]
    Backup {
        /// New file to write
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List the copies of the catalog in a repository
    #[command(after_help = "\
Examples:
  pgkeep catalog copies
  pgkeep catalog copies --repo s3://backups/pgkeep --json")]
    Copies,
    /// Take a copy of the catalog back
    #[command(after_help = "\
Examples:
  pgkeep catalog restore --dry-run
  pgkeep catalog restore
  pgkeep catalog restore --repo /mnt/backups --copy 4f2a9c01
  pgkeep catalog restore /srv/pgkeep-catalog.sqlite

Apps, policies, accounts, tokens, jobs and the audit log come back as they were when the copy was made;
later ones do not. The copy's secrets open with the key file of the catalog that it was made of, and
with nothing else: put that file in its place first (`pgkeep catalog path --json` tells where). A copy
of a catalog in SQLite goes into one in PostgreSQL, and the other way round. Servers and workers must
be ended before; a catalog that holds something is replaced only with --confirm, after a copy of it was
written to the data folder.")]
    Restore(CatalogRestoreArgs),
    /// Make the catalog again from pgkeep.toml and from what the repositories hold
    #[command(after_help = "\
Examples:
  pgkeep catalog rebuild
  pgkeep catalog rebuild --config /etc/pgkeep/pgkeep.toml --yes

A missing catalog is made; the file is applied to it, and its list of backups is read anew from every
repository. Jobs, accounts and the audit log of a catalog that was lost come back from one of its
copies only: pgkeep catalog restore.")]
    Rebuild {
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct CatalogRestoreArgs {
    /// A copy that `pgkeep catalog backup` wrote [default: the newest in the repository]
    #[arg(value_name = "FILE", conflicts_with = "copy")]
    pub file: Option<PathBuf>,
    /// Copy in the repository, by the beginning of its id [default: the newest]
    #[arg(long, value_name = "ID")]
    pub copy: Option<String>,
    /// Print what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// The phrase that allows replacing a catalog that holds something
    #[arg(long, value_name = "PHRASE")]
    pub confirm: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// List the apps that the server protects
    #[command(after_help = "Examples:\n  pgkeep app list\n  pgkeep app list --json")]
    List,
    /// Show one app, secrets masked
    #[command(after_help = "Examples:\n  pgkeep app show shop\n  pgkeep app show shop --json")]
    Show {
        #[arg(value_name = "APP")]
        name: String,
    },
    /// Stop protecting an app; its backups stay
    #[command(after_help = "Examples:\n  pgkeep app delete shop\n  pgkeep app delete shop --yes")]
    Delete(DeleteArgs),
}

#[derive(Debug, Subcommand)]
pub enum RepositoryCommand {
    /// List the repositories that the server knows
    #[command(after_help = "Examples:\n  pgkeep repository list\n  pgkeep repository list --json")]
    List,
    /// Show one repository, secrets masked
    #[command(
        after_help = "Examples:\n  pgkeep repository show main\n  pgkeep repository show main --json"
    )]
    Show {
        #[arg(value_name = "REPOSITORY")]
        name: String,
    },
    /// Forget about a repository; what is stored in it stays
    #[command(
        after_help = "Examples:\n  pgkeep repository delete old\n  pgkeep repository delete old --yes"
    )]
    Delete(DeleteArgs),
    /// Open a repository and write, read and delete a small object
    #[command(
        after_help = "Examples:\n  pgkeep repository test main\n  pgkeep repository test main --json"
    )]
    Test {
        #[arg(value_name = "REPOSITORY")]
        name: String,
    },
    /// Say that backups which vanished from a repository may be gone, which ends the alarm
    #[command(
        after_help = "Examples:\n  pgkeep repository accept-loss main\n  pgkeep repository accept-loss main --json\n\nBackups that are gone although pgkeep did not remove them are an alarm in `pgkeep status` until they\nare back or somebody accepts that they are gone. Nothing is removed by this."
    )]
    AcceptLoss {
        #[arg(value_name = "REPOSITORY")]
        name: String,
    },
    /// Say that the recovery kit of a repository's key is in a safe place
    #[command(
        after_help = "Examples:\n  pgkeep repository confirm-kit main\n  pgkeep repository confirm-kit main --json\n\n`pgkeep key kit` prints the kit on the machine that has the key. `pgkeep status` reminds of it until somebody\nsays that it is kept, and again once the key has changed."
    )]
    ConfirmKit {
        #[arg(value_name = "REPOSITORY")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
}
