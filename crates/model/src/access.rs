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

    pub fn as_str(self) -> &'static str {
        match self {
            Permission::View => "view",
            Permission::Operate => "operate",
            Permission::ManageJobs => "manage_jobs",
            Permission::Restore => "restore",
            Permission::ApproveRestore => "approve_restore",
            Permission::Delete => "delete",
            Permission::Download => "download",
            Permission::Upload => "upload",
            Permission::EditPolicies => "edit_policies",
            Permission::Configure => "configure",
            Permission::Audit => "audit",
            Permission::ManageUsers => "manage_users",
        }
    }

    pub fn named(name: &str) -> Option<Permission> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.as_str() == name)
    }
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

/// What an account, or a token of it, may do and see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub role: Role,
    /// Permissions besides those of the role.
    #[serde(default)]
    pub grants: BTreeSet<Permission>,
    /// Apps that are seen; all where absent.
    #[serde(default)]
    pub apps: Option<BTreeSet<String>>,
}

impl Access {
    pub fn of(role: Role) -> Self {
        Self {
            role,
            grants: BTreeSet::new(),
            apps: None,
        }
    }

    pub fn permissions(&self) -> BTreeSet<Permission> {
        let mut permissions = self.role.permissions();
        permissions.extend(&self.grants);
        permissions
    }

    /// What is left of this access for somebody who has `owner` as well: never more than either. A token stays within
    /// its owner's access even after that has shrunk.
    pub fn within(&self, owner: &Access) -> (BTreeSet<Permission>, Option<BTreeSet<String>>) {
        let permissions = &self.permissions() & &owner.permissions();
        let apps = match (&self.apps, &owner.apps) {
            (Some(own), Some(owners)) => Some(own & owners),
            (Some(apps), None) | (None, Some(apps)) => Some(apps.clone()),
            (None, None) => None,
        };
        (permissions, apps)
    }

    /// Whether everything in this access is in the other one, too.
    pub fn is_within(&self, owner: &Access) -> bool {
        self.permissions().is_subset(&owner.permissions())
            && match (&self.apps, &owner.apps) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(owners)) => own.is_subset(owners),
            }
    }
}

/// By what failed logins are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GuessScope {
    /// The account's name, whether there is one or not.
    Account,
    /// The address that the guesses come from. Counted more patiently: an office may share one.
    Address,
}

impl GuessScope {
    pub fn as_str(self) -> &'static str {
        match self {
            GuessScope::Account => "account",
            GuessScope::Address => "address",
        }
    }

    /// Seconds that no login is tried for after so many failures in a row. Doubles with each, up to a quarter of an hour
    /// for an account, so that a stranger can annoy but not shut out its owner, and to an hour for an address.
    pub fn lockout_secs(self, failures: u32) -> u32 {
        let (free, most) = match self {
            GuessScope::Account => (4, 15 * 60),
            GuessScope::Address => (19, 60 * 60),
        };
        match failures.checked_sub(free + 1) {
            None => 0,
            // Ten doublings are beyond both.
            Some(over) => (30 << over.min(10)).min(most),
        }
    }
}

/// Failures are forgotten after so much time without another.
pub const GUESS_MEMORY_SECS: u32 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_agree() {
        for permission in Permission::ALL {
            assert_eq!(Permission::named(permission.as_str()), Some(permission));
            assert_eq!(
                serde_json::to_value(permission).unwrap(),
                permission.as_str()
            );
        }
        for role in Role::ALL {
            assert_eq!(Role::named(role.as_str()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }

    #[test]
    fn a_higher_role_may_all_that_a_lower_one_may() {
        for pair in Role::ALL.windows(2) {
            assert!(pair[0].permissions().is_subset(&pair[1].permissions()));
        }
    }

    #[test]
    fn destructive_permissions_are_no_operators_by_role() {
        let operator = Role::Operator.permissions();
        for permission in [
            Permission::Restore,
            Permission::ApproveRestore,
            Permission::Delete,
            Permission::Download,
            Permission::Upload,
            Permission::Configure,
            Permission::Audit,
            Permission::ManageUsers,
        ] {
            assert!(!operator.contains(&permission), "{permission:?}");
        }
    }

    fn apps(names: &[&str]) -> Option<BTreeSet<String>> {
        Some(names.iter().map(|name| name.to_string()).collect())
    }

    #[test]
    fn a_token_never_has_more_than_its_owner() {
        let admin = Access::of(Role::Admin);
        let operator = Access {
            grants: [Permission::Restore].into(),
            apps: apps(&["shop", "blog"]),
            ..Access::of(Role::Operator)
        };
        let (permissions, seen) = admin.within(&operator);
        assert_eq!(permissions, operator.permissions());
        assert_eq!(seen, apps(&["shop", "blog"]));
        assert!(!admin.is_within(&operator));
        assert!(operator.is_within(&admin));

        let token = Access {
            apps: apps(&["shop", "books"]),
            ..Access::of(Role::Viewer)
        };
        let (permissions, seen) = token.within(&operator);
        assert_eq!(permissions, Role::Viewer.permissions());
        assert_eq!(seen, apps(&["shop"]));
        assert!(!token.is_within(&operator), "books is not the owner's");
    }

    #[test]
    fn guessing_gets_slower_and_slower() {
        for (scope, failures, expected) in [
            (GuessScope::Account, 0, 0),
            (GuessScope::Account, 4, 0),
            (GuessScope::Account, 5, 30),
            (GuessScope::Account, 6, 60),
            (GuessScope::Account, 7, 120),
            (GuessScope::Account, 9, 480),
            (GuessScope::Account, 10, 900),
            (GuessScope::Account, 1_000_000, 900),
            (GuessScope::Address, 19, 0),
            (GuessScope::Address, 20, 30),
            (GuessScope::Address, 26, 1_920),
            (GuessScope::Address, 27, 3_600),
            (GuessScope::Address, u32::MAX, 3_600),
        ] {
            assert_eq!(
                scope.lockout_secs(failures),
                expected,
                "{scope:?} {failures}"
            );
        }
    }
}
