//! Options of the commands about accounts, tokens, messages and the audit log.

use super::{human_duration, server::DeleteArgs};
use clap::{Args, Subcommand, ValueEnum};
use pgkeep_model::access::{Permission, Role};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account; the password is asked for, or read from a file
    #[command(after_help = "\
Examples:
  pgkeep user create ann --role admin --email ann@example.com
  pgkeep user create ben --role operator --grant restore --for-app shop
  pgkeep user create ci --role viewer --password-file /run/secrets/ci")]
    Create(UserArgs),
    /// List the accounts
    #[command(after_help = "Examples:\n  pgkeep user list\n  pgkeep user list --json")]
    List,
    /// Keep an account from logging in, and end its sessions and tokens
    #[command(
        after_help = "Examples:\n  pgkeep user disable ben\n  pgkeep user disable ben --json"
    )]
    Disable {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Let a disabled account log in again
    #[command(after_help = "Examples:\n  pgkeep user enable ben\n  pgkeep user enable ben --json")]
    Enable {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Set an account's password, and end its sessions
    #[command(
        after_help = "Examples:\n  pgkeep user passwd ann\n  pgkeep user passwd ann --password-file new.txt"
    )]
    Passwd {
        #[arg(value_name = "NAME")]
        name: String,
        /// File that holds the password
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Remove an account; the last admin stays
    #[command(after_help = "Examples:\n  pgkeep user delete ben\n  pgkeep user delete ben --yes")]
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub struct UserArgs {
    /// Name to log in with
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it may do in general
    #[arg(long, value_enum, default_value_t = RoleArg::Viewer)]
    pub role: RoleArg,
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// What it may do besides (repeatable)
    #[arg(long, value_enum, value_name = "PERMISSION")]
    pub grant: Vec<PermissionArg>,
    /// Only this app is visible (repeatable) [default: all]
    #[arg(long, value_name = "APP")]
    pub for_app: Vec<String>,
    /// File that holds the password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Sees everything but secrets and people
    Viewer,
    /// Starts backups and drills, and manages jobs
    Operator,
    /// May do everything
    Admin,
}

impl From<RoleArg> for Role {
    fn from(arg: RoleArg) -> Self {
        match arg {
            RoleArg::Viewer => Role::Viewer,
            RoleArg::Operator => Role::Operator,
            RoleArg::Admin => Role::Admin,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PermissionArg {
    View,
    Operate,
    ManageJobs,
    Restore,
    ApproveRestore,
    Delete,
    Download,
    Upload,
    EditPolicies,
    Configure,
    Audit,
    ManageUsers,
}

impl From<PermissionArg> for Permission {
    fn from(arg: PermissionArg) -> Self {
        match arg {
            PermissionArg::View => Permission::View,
            PermissionArg::Operate => Permission::Operate,
            PermissionArg::ManageJobs => Permission::ManageJobs,
            PermissionArg::Restore => Permission::Restore,
            PermissionArg::ApproveRestore => Permission::ApproveRestore,
            PermissionArg::Delete => Permission::Delete,
            PermissionArg::Download => Permission::Download,
            PermissionArg::Upload => Permission::Upload,
            PermissionArg::EditPolicies => Permission::EditPolicies,
            PermissionArg::Configure => Permission::Configure,
            PermissionArg::Audit => Permission::Audit,
            PermissionArg::ManageUsers => Permission::ManageUsers,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for the API; it is printed once
    #[command(after_help = "\
Examples:
  pgkeep token create ci --owner ann --role operator --for-app shop --expires 90d
  pgkeep token create monitoring --owner ann --role viewer --json")]
    Create(TokenArgs),
    /// List the tokens
    #[command(after_help = "Examples:\n  pgkeep token list\n  pgkeep token list --json")]
    List,
    /// End a token
    #[command(
        after_help = "Examples:\n  pgkeep token revoke 0199f3c2\n  pgkeep token revoke ci --json"
    )]
    Revoke {
        /// Token: its id, the start of it, or its name
        #[arg(value_name = "TOKEN")]
        token: String,
    },
}

#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What it is for
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Account that it belongs to; it may never do more than that [default: the caller's, or the only admin]
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// What it may do in general
    #[arg(long, value_enum, default_value_t = RoleArg::Viewer)]
    pub role: RoleArg,
    /// What it may do besides (repeatable)
    #[arg(long, value_enum, value_name = "PERMISSION")]
    pub grant: Vec<PermissionArg>,
    /// Only this app is visible (repeatable) [default: all that the owner sees]
    #[arg(long, value_name = "APP")]
    pub for_app: Vec<String>,
    /// When it ends [default: never]
    #[arg(long, value_name = "TIME", value_parser = human_duration)]
    pub expires: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// List the notification targets, secrets masked
    #[command(after_help = "Examples:\n  pgkeep notify list\n  pgkeep notify list --json")]
    List,
    /// Send a message to a target, to see that it arrives
    #[command(after_help = "Examples:\n  pgkeep notify test ops\n  pgkeep notify test ops --json")]
    Test {
        #[arg(value_name = "TARGET")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List who did what, the newest first
    #[command(
        after_help = "Examples:\n  pgkeep audit list\n  pgkeep audit list --limit 200 --json"
    )]
    List {
        /// At most this many
        #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Check that no entry was changed or removed
    #[command(after_help = "Examples:\n  pgkeep audit verify\n  pgkeep audit verify --json")]
    Verify,
}
