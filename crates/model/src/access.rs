//! Who may do what: roles, permissions, and the table that joins them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Viewer,
    Operator,
    Admin,
}

/// One kind of thing that a person or token may do. Restoring, deleting and downloading data are kinds of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Sees backups, jobs, policies, status: everything but secrets and people.
    View,
    /// Starts backups, drills, verifications, and policies' runs; pins and describes backups.
    Operate,
    /// Cancels, holds and reorders jobs; pauses the queue.
    ManageJobs,
    /// Restores and undoes restores.
    Restore,
    /// Says yes to somebody else's replacing restore.
    ApproveRestore,
    /// Removes backups.
    Delete,
    /// Takes data out of the server.
    Download,
    /// Brings data into the server.
    Upload,
    /// Makes and changes policies.
    EditPolicies,
    /// Makes and changes apps, repositories, notification targets and settings.
    Configure,
    /// Reads the audit log.
    Audit,
    /// Makes and changes accounts, and sees everybody's tokens.
    ManageUsers,
}

impl Permission {
    pub const ALL: [Permission; 12] = [
        Permission::View,
        Permission::Operate,
        Permission::ManageJobs,
        Permission::Restore,
        Permission::ApproveRestore,
        Permission::Delete,
        Permission::Download,
        Permission::Upload,
        Permission::EditPolicies,
        Permission::Configure,
        Permission::Audit,
        Permission::ManageUsers,
    ];
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    pub fn named(name: &str) -> Option<Role> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// What the role may do without any grant of its own. Restore, delete, download and upload are granted to operators
    /// one by one.
    pub fn permissions(self) -> BTreeSet<Permission> {
        match self {
            Role::Viewer => [Permission::View].into(),
            Role::Operator => [
                Permission::View,
                Permission::Operate,
                Permission::ManageJobs,
            ]
            .into(),
            Role::Admin => Permission::ALL.into(),
        }
    }
}
