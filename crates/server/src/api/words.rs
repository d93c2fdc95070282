//! The words of the domain as the API writes them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Makes an enum of the wire out of one of the model, written in the same words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident = $model:path { $($variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($variant),* }

        impl From<$model> for $name {
            fn from(value: $model) -> Self {
                use $model as Model;
                match value { $(Model::$variant => $name::$variant),* }
            }
        }

        impl From<$name> for $model {
            fn from(value: $name) -> Self {
                use $model as Model;
                match value { $($name::$variant => Model::$variant),* }
            }
        }
    };
}

words! {
    /// What a policy's run makes.
    BackupKind = pgkeep_model::policy::PolicyKind { Full, Incremental, Differential, Database, Files, Export }
}

words! {
    /// How often.
    Frequency = pgkeep_model::policy::Frequency { Hourly, Daily, Weekly, Monthly, Cron, OnDemand }
}

words! {
    /// A day of the week.
    Weekday = pgkeep_model::policy::Weekday { Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday }
}

words! {
    /// What a job does.
    JobKind = pgkeep_model::job::JobKind {
        Backup, Verify, Restore, Undo, Drill, Cleanup, Forget, Prune, Check, Export, Import, Diff, Doctor, Sync,
        CatalogBackup, Guard, Upgrade,
    }
}

words! {
    /// Where a job stands. The last four are final.
    JobState = pgkeep_model::job::JobState { Queued, Running, Succeeded, Failed, Cancelled, Skipped }
}

words! {
    /// Who or what asked for a job.
    Trigger = pgkeep_model::job::Trigger { Schedule, Api, Cli, Internal }
}

words! {
    /// What a message is about.
    NoticeKind = pgkeep_model::notice::NoticeKind {
        Success, Failure, Overdue, Recovery, Restore, Drill, Cleanup, StorageNearlyFull, Test,
    }
}

words! {
    /// How a mail server is spoken to.
    SmtpTls = pgkeep_model::notice::SmtpTls { StartTls, Implicit, None }
}

words! {
    /// Where the last word on a definition is: a file that is applied, or the API.
    ManagedBy = pgkeep_catalog::ManagedBy { File, Api }
}

words! {
    /// How much a line of a log matters.
    LogLevel = pgkeep_catalog::LogLevel { Info, Warning, Error }
}

words! {
    /// What an account may do in general.
    Role = pgkeep_model::access::Role { Viewer, Operator, Admin }
}

words! {
    /// One kind of thing that an account may do.
    Permission = pgkeep_model::access::Permission {
        View, Operate, ManageJobs, Restore, ApproveRestore, Delete, Download, Upload, EditPolicies, Configure, Audit,
        ManageUsers,
    }
}

words! {
    /// What came of something that was done.
    AuditResult = pgkeep_catalog::people::AuditResult { Done, Refused, Failed }
}
