//! What an app is besides its databases, as it stands in requests and answers: files, migrations, commands, hooks, fence,
//! drills, upgrades.

use super::masks;
use pgkeep_model::app;
use pgkeep_model::secret::SecretText;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Writes a wire type whose fields are those of a type of the model, and the ways between them.
macro_rules! mirror {
    ($(#[$about:meta])* $wire:ident of $model:path as $name:ident { $($(#[$note:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(default, rename_all = "camelCase", deny_unknown_fields)]
        #[schema(as = $name)]
        pub struct $wire {
            $($(#[$note])* pub $field: $type,)*
        }

        impl From<$model> for $wire {
            fn from(value: $model) -> Self {
                Self { $($field: Convert::convert(value.$field),)* }
            }
        }

        impl From<$wire> for $model {
            fn from(value: $wire) -> Self {
                Self { $($field: Convert::convert(value.$field),)* }
            }
        }
    };
}

/// `Into` that reaches into options and lists.
trait Convert<T> {
    fn convert(self) -> T;
}

macro_rules! as_it_is {
    ($($type:ty),*) => { $(impl Convert<$type> for $type { fn convert(self) -> $type { self } })* };
}

as_it_is!(
    String,
    bool,
    Option<String>,
    Option<SecretText>,
    Option<u32>,
    Vec<String>,
    Vec<Vec<String>>,
    BTreeMap<String, String>
);

impl Convert<Option<References>> for Option<app::References> {
    fn convert(self) -> Option<References> {
        self.map(Into::into)
    }
}

impl Convert<Option<app::References>> for Option<References> {
    fn convert(self) -> Option<app::References> {
        self.map(Into::into)
    }
}

impl Convert<Option<Framework>> for Option<app::Framework> {
    fn convert(self) -> Option<Framework> {
        self.map(Into::into)
    }
}

impl Convert<Option<app::Framework>> for Option<Framework> {
    fn convert(self) -> Option<app::Framework> {
        self.map(Into::into)
    }
}

mirror! {
    /// A folder that is backed up with the databases.
    FileTree of app::FileTree as FileTree {
        /// Unique within the app; its folder in a backup is `files/<name>`.
        name: String,
        /// Absolute path on the machine that makes the backup.
        path: String,
        /// Patterns as `.gitignore` writes them: what matches is left out.
        exclude: Vec<String>,
        /// Does not descend into other file systems.
        one_file_system: bool,
        /// Which paths the database expects in this tree.
        references: Option<References>,
    }
}

mirror! {
    /// A question to a database of the app whose answer is paths that must be there.
    References of app::References as FileReferences {
        /// One column of paths relative to the tree.
        sql: String,
        /// Name of the database that is asked; the first where absent.
        database: Option<String>,
        /// Files that the database does not know are no fault and are only counted.
        ignore_orphans: bool,
    }
}

mirror! {
    /// Where an app's migrations stand: in its databases, and in its code.
    Migrations of app::Migrations as Migrations {
        /// Looked for where absent.
        framework: Option<Framework>,
        /// Database whose migrations they are; all are looked at where absent.
        database: Option<String>,
        /// Statement of the framework `query`.
        query: Option<String>,
        /// Table of a framework that lets its name be chosen.
        table: Option<String>,
        /// Folder of the deployed code in which the migrations lie as files.
        code: Option<String>,
        /// Instead of the folder: a program that lists the migrations of the deployed code, one a line.
        command: Vec<String>,
        /// Migrations that destroy nothing, by the user's word: names with `*` for any text, or app labels.
        harmless: Vec<String>,
    }
}

mirror! {
    /// The app's own programs, as lists of words.
    Commands of app::Commands as AppCommands {
        /// Folder that the commands run in.
        directory: Option<String>,
        /// Brings the schema up to the deployed code.
        migrate: Vec<String>,
        /// Fails while the code has migrations that the database lacks.
        migrate_check: Vec<String>,
        /// Each must succeed on a healthy database.
        check: Vec<Vec<String>>,
        /// Prints the app's version.
        version: Vec<String>,
        version_file: Option<String>,
        version_env: Option<String>,
        /// Prints versions of framework and runtime, one `name version` a line.
        runtime: Vec<String>,
        /// Variable in which the commands get the connection string with its password.
        url_variable: Option<String>,
        environment: BTreeMap<String, String>,
        /// Longest time of one command, such as `10m`.
        timeout: Option<String>,
    }
}

mirror! {
    /// What keeps the app away while its database is replaced.
    Fence of app::Fence as Fence {
        /// Folder for `.restore.lock` and `.backup.lock`.
        lock_dir: Option<String>,
        /// Sets `default_transaction_read_only` on the live database meanwhile.
        read_only: bool,
        /// How long sessions have to end by themselves, such as `10s`.
        grace: Option<String>,
        /// Connection to PgBouncer's console.
        #[schema(value_type = Option<String>)]
        pgbouncer: Option<SecretText>,
    }
}

mirror! {
    /// What drills look at besides the evidence, and where they run.
    Drill of app::Drill as DrillSettings {
        /// Privileged connection to the server that drills restore to; the app's where absent.
        #[schema(value_type = Option<String>)]
        admin_url: Option<SecretText>,
        /// SQL statements that must give one row whose first column is true.
        assertions: Vec<String>,
        /// Runs the app's check commands against the restored copy.
        commands: bool,
        /// Looks through indexes with pg_amcheck where it is installed.
        amcheck: bool,
        /// The newest backup is drilled this often, such as `7d`; never where absent.
        every: Option<String>,
        /// A restore that takes longer fails the objective, such as `30m`.
        objective: Option<String>,
        /// Leaves the app's file trees alone.
        databases_only: bool,
        /// Folder below which file trees are restored for a while; the server's own where absent.
        scratch: Option<String>,
        /// Free space that must remain on the drill server's disk and on that of `scratch`, such as `10GiB`.
        leave_free: Option<String>,
        /// Starts only while the load per processor is below this many percent.
        max_load_percent: Option<u32>,
    }
}

mirror! {
    /// Privileged connections to the two servers of a move to a newer major.
    Upgrade of app::Upgrade as UpgradeServers {
        /// To the old server; the app's privileged connection where absent.
        #[schema(value_type = Option<String>)]
        from: Option<SecretText>,
        /// To the new server.
        #[schema(value_type = Option<String>)]
        to: Option<SecretText>,
    }
}

/// A command that is run, or an address that is told, at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    pub on: HookMoment,
    #[serde(default)]
    pub command: Vec<String>,
    /// Told by a POST of JSON.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub url: Option<SecretText>,
    /// Longest time, such as `30s`.
    #[serde(default)]
    pub timeout: Option<String>,
    /// A failure is told and stops nothing.
    #[serde(default)]
    pub may_fail: bool,
}

impl Hook {
    pub fn shown(hook: &app::Hook) -> Self {
        Self {
            on: hook.on.into(),
            command: hook.command.clone(),
            url: hook.url.as_deref().map(masks::hook).map(Into::into),
            timeout: hook.timeout.clone(),
            may_fail: hook.may_fail,
        }
    }

    /// What to store; a masked address is one of `before`.
    pub fn into_hook(self, before: &[app::Hook]) -> app::Hook {
        let known = before.iter().filter_map(|hook| hook.url.as_ref());
        app::Hook {
            on: self.on.into(),
            command: self.command,
            url: self.url.map(|text| masks::unmask(text, known, masks::hook)),
            timeout: self.timeout,
            may_fail: self.may_fail,
        }
    }
}

/// Writes the words of an enumeration, and the ways between them and the model's.
macro_rules! words {
    ($(#[$about:meta])* $wire:ident of $model:path { $($word:ident),* $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $wire { $($word,)* }

        impl From<$model> for $wire {
            fn from(value: $model) -> Self {
                use $model as Model;
                match value { $(Model::$word => Self::$word,)* }
            }
        }

        impl From<$wire> for $model {
            fn from(value: $wire) -> Self {
                match value { $($wire::$word => Self::$word,)* }
            }
        }
    };
}

words! {
    /// When a hook is run.
    HookMoment of app::HookMoment {
        BeforeBackup, AfterBackup, BeforeRestore, AfterRestore, BeforeSwap, AfterSwap, OnFailure,
    }
}

words! {
    /// A tool that changes schemas step by step and writes down which steps were taken.
    Framework of app::Framework {
        Django, Rails, Alembic, Flyway, Liquibase, Prisma, Sqlx, Diesel, Refinery, SeaOrm, GolangMigrate, Goose, Dbmate, Knex,
        Sequelize, TypeOrm, Laravel, EfCore, Ecto, Query,
    }
}

impl Fence {
    pub fn shown(fence: &app::Fence) -> Self {
        Self {
            pgbouncer: fence
                .pgbouncer
                .as_deref()
                .map(masks::connection)
                .map(Into::into),
            ..fence.clone().into()
        }
    }

    pub fn into_fence(self, before: Option<&app::Fence>) -> app::Fence {
        let known = before.and_then(|fence| fence.pgbouncer.as_ref());
        let mut fence = app::Fence::from(self);
        fence.pgbouncer = fence
            .pgbouncer
            .map(|text| masks::unmask(text, known, masks::connection));
        fence
    }
}

impl Drill {
    pub fn shown(drill: &app::Drill) -> Self {
        Self {
            admin_url: drill
                .admin_url
                .as_deref()
                .map(masks::connection)
                .map(Into::into),
            ..drill.clone().into()
        }
    }

    pub fn into_drill(self, before: Option<&app::Drill>) -> app::Drill {
        let known = before.and_then(|drill| drill.admin_url.as_ref());
        let mut drill = app::Drill::from(self);
        drill.admin_url = drill
            .admin_url
            .map(|text| masks::unmask(text, known, masks::connection));
        drill
    }
}

impl Upgrade {
    pub fn shown(upgrade: &app::Upgrade) -> Self {
        let shown =
            |text: &Option<SecretText>| text.as_deref().map(masks::connection).map(Into::into);
        Self {
            from: shown(&upgrade.from),
            to: shown(&upgrade.to),
        }
    }

    pub fn into_upgrade(self, before: Option<&app::Upgrade>) -> app::Upgrade {
        let known = |text: Option<SecretText>, stored: Option<&SecretText>| {
            text.map(|text| masks::unmask(text, stored, masks::connection))
        };
        app::Upgrade {
            from: known(self.from, before.and_then(|b| b.from.as_ref())),
            to: known(self.to, before.and_then(|b| b.to.as_ref())),
        }
    }
}
