//! Whose a database is, and so what a restore, an undo or a clearing away may write to.
//!
//! An app's databases are those that its definition names, and those that restores of the app have made beside them.
//! Whoever sees some apps only writes to these, or makes new ones under a name that is nobody's: the privileged connection
//! of an app reaches every database of its server. The rule is asked for where something is planned, and again by the job
//! that does it, for definitions and servers change in between.

use crate::{api::problem::Problem, jobs::Failure, targets::Machine};
use pgkeep_catalog::{Catalog, Job, JobFilter, Page, Stored};
use pgkeep_engine::{
    ErrorCode,
    restore::{Leftover, Owner},
};
use pgkeep_model::{
    app::AppDefinition,
    job::{JobKind, JobSpec, JobState, RestoreMode},
};
use pgkeep_postgres::connect::{ConnectOptions, Host};
use std::collections::BTreeSet;

/// Every server has these for itself.
const OF_THE_SERVER: [&str; 3] = ["postgres", "template0", "template1"];

/// The databases on an app's server, as far as they are somebody's.
pub struct Territory {
    app: String,
    environment: String,
    /// Names of the app's own databases.
    own: BTreeSet<String>,
    /// Names of databases that restores of the app have made.
    made: BTreeSet<String>,
    /// Names of other apps' databases on the same server, with the apps.
    others: Vec<(String, Owner)>,
    /// Names of other apps' databases, wherever they are.
    namesakes: BTreeSet<String>,
    /// Whether the one who asks sees all apps.
    beyond: bool,
}

/// Why something is not done for an account that sees some apps only.
#[derive(Debug)]
pub struct Beyond {
    message: String,
    hint: String,
}

impl From<Beyond> for Problem {
    fn from(beyond: Beyond) -> Self {
        Problem::forbidden(beyond.message).hint(beyond.hint)
    }
}

impl From<Beyond> for Failure {
    fn from(beyond: Beyond) -> Self {
        Failure::new(ErrorCode::Refused, beyond.message).hint(beyond.hint)
    }
}

impl Territory {
    /// What is known of the server of `app`, for somebody who sees all apps or (not `beyond`) some.
    pub async fn of(
        catalog: &Catalog,
        machine: &Machine,
        app: &str,
        beyond: bool,
    ) -> pgkeep_catalog::Result<Self> {
        let apps = catalog.apps().await?;
        let made = match beyond {
            true => BTreeSet::new(),
            false => made_by_restores(catalog, app).await?,
        };
        Ok(Self::among(&apps, made, machine, app, beyond))
    }

    /// A definition that cannot be read on this machine names nothing: what exists is nobody's then, and refused as such.
    fn among(
        apps: &[Stored<AppDefinition>],
        made: BTreeSet<String>,
        machine: &Machine,
        app: &str,
        beyond: bool,
    ) -> Self {
        let databases = |of: &Stored<AppDefinition>| -> Vec<ConnectOptions> {
            let texts = of.value.databases.iter();
            texts
                .filter_map(|text| machine.connection(text, "a database").ok())
                .collect()
        };
        let asked = apps.iter().find(|one| one.name == app);
        let server = asked.and_then(|own| machine.admin(app, &own.value).ok());
        let is_here = |database: &ConnectOptions| {
            (server.as_ref()).is_some_and(|server| same(&server.hosts, &database.hosts))
        };
        let mut territory = Self {
            app: app.to_owned(),
            environment: asked
                .and_then(|own| own.value.environment.clone())
                .unwrap_or_default(),
            own: BTreeSet::new(),
            made,
            others: Vec::new(),
            namesakes: BTreeSet::new(),
            beyond,
        };
        let mut elsewhere = BTreeSet::new();
        for one in apps {
            for database in databases(one) {
                match (one.name == app, is_here(&database)) {
                    (true, true) => drop(territory.own.insert(database.dbname)),
                    (true, false) => drop(elsewhere.insert(database.dbname)),
                    (false, here) => {
                        if here {
                            let owner = Owner {
                                app: one.name.clone(),
                                environment: one.value.environment.clone().unwrap_or_default(),
                            };
                            territory.others.push((database.dbname.clone(), owner));
                        }
                        territory.namesakes.insert(database.dbname);
                    }
                }
            }
        }
        // The same server may have two names; but what is another app's by the very name is not the app's by the other one.
        elsewhere.retain(|name| territory.owner_beside(name).is_none());
        territory.own.extend(elsewhere);
        territory
    }

    fn owner_beside(&self, name: &str) -> Option<&Owner> {
        let found = self.others.iter().find(|(other, _)| other == name);
        found.map(|(_, owner)| owner)
    }

    /// Whether something may be written to under this name, as far as that can be told without a look at the server.
    pub fn may_name(&self, name: &str) -> Result<(), Beyond> {
        let is_somebodys = self.namesakes.contains(name) || OF_THE_SERVER.contains(&name);
        match self.beyond || self.own.contains(name) || !is_somebodys {
            true => Ok(()),
            false => Err(self.refusal(name)),
        }
    }

    /// Whether a database that exists may be written to, swapped or dropped.
    pub fn may_change(&self, name: &str) -> Result<(), Beyond> {
        self.may_name(name)?;
        match self.beyond || self.own.contains(name) || self.made.contains(name) {
            true => Ok(()),
            false => Err(self.refusal(name)),
        }
    }

    /// Whether what restores left is of a database that may be changed.
    pub fn reaches(&self, left: &Leftover) -> bool {
        let of = left.of.as_deref();
        self.beyond || of.is_some_and(|name| self.may_change(name).is_ok())
    }

    fn refusal(&self, name: &str) -> Beyond {
        Beyond {
            message: format!(
                "database {name} is not one of app {}, and this account sees some apps only",
                self.app
            ),
            hint: format!(
                "name a database of app {}, or a new one; somebody who sees all apps may name any",
                self.app
            ),
        }
    }

    /// What somebody should know who is about to write to a database that is not the app's.
    pub fn warning(&self, name: &str) -> Option<String> {
        if self.own.contains(name) {
            return None;
        }
        if let Some(owner) = self.owner_beside(name) {
            return Some(format!(
                "database {name} is a live one of app {}, not of app {}",
                owner.app, self.app
            ));
        }
        let of_the_server = OF_THE_SERVER.contains(&name);
        of_the_server.then(|| format!("database {name} is the server's own, not one of an app"))
    }

    /// The app that the database belongs to; this one, where it is nobody's.
    pub fn owner(&self, name: &str) -> Owner {
        let other = match self.own.contains(name) {
            true => None,
            false => self.owner_beside(name),
        };
        other.cloned().unwrap_or_else(|| Owner {
            app: self.app.clone(),
            environment: self.environment.clone(),
        })
    }
}

/// Whether both lists of addresses lead to one server, as far as their texts say.
fn same(one: &[Host], other: &[Host]) -> bool {
    one.iter().any(|host| other.contains(host))
}

/// Names of the databases that restores of the app made, by its jobs.
async fn made_by_restores(
    catalog: &Catalog,
    app: &str,
) -> pgkeep_catalog::Result<BTreeSet<String>> {
    let filter = JobFilter {
        kinds: vec![JobKind::Restore],
        states: vec![JobState::Succeeded],
        apps: Some(vec![app.to_owned()]),
        ..JobFilter::default()
    };
    let mut page = Page {
        after: None,
        limit: Page::MAX,
        descending: true,
    };
    let mut made = BTreeSet::new();
    loop {
        let found = catalog.jobs(&filter, &page).await?;
        made.extend(found.items.iter().filter_map(made_by));
        match found.next {
            Some(next) => page.after = Some(next),
            None => return Ok(made),
        }
    }
}

/// The database that this restore made, where it was not there before.
fn made_by(job: &Job) -> Option<String> {
    let JobSpec::Restore(spec) = &job.spec else {
        return None;
    };
    match &spec.target {
        RestoreMode::Into(name) if !spec.data_only => Some(name.clone()),
        RestoreMode::Replace(name) => {
            let replaced = job.result.as_ref()?.get("kept_as");
            let is_new = replaced.is_none_or(serde_json::Value::is_null);
            is_new.then(|| name.clone())
        }
        RestoreMode::Into(_) | RestoreMode::InPlace(_) | RestoreMode::FilesOnly => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_catalog::ManagedBy;
    use pgkeep_postgres::connect::Environment;
    use pgkeep_testkit::ManualClock;
    use std::sync::Arc;

    fn app(name: &str, databases: &[&str], admin: Option<&str>) -> Stored<AppDefinition> {
        let at = "2026-03-02T10:00:00Z".parse().expect("a time");
        Stored {
            name: name.into(),
            value: AppDefinition {
                databases: databases.iter().map(|text| (*text).into()).collect(),
                admin_url: admin.map(Into::into),
                environment: Some(format!("of {name}")),
                ..AppDefinition::default()
            },
            revision: 1,
            managed_by: ManagedBy::Api,
            created_at: at,
            updated_at: at,
        }
    }

    fn territory(apps: &[Stored<AppDefinition>], beyond: bool) -> Territory {
        let clock = Arc::new(ManualClock::at("2026-03-02T10:00:00Z"));
        let machine = Machine::here(clock, Environment::new::<String, String>([]));
        let made = BTreeSet::from(["look".to_owned()]);
        Territory::among(apps, made, &machine, "alpha", beyond)
    }

    #[test]
    fn who_sees_one_app_writes_to_its_databases_and_to_new_ones() {
        let apps = [
            app(
                "alpha",
                &["postgres://a@db/alpha", "postgres://a@pool/shared"],
                Some("postgres://root@db/postgres"),
            ),
            app(
                "beta",
                &["postgres://b@db/beta", "postgres://b@db/shared"],
                None,
            ),
            app("gamma", &["postgres://c@other/gamma"], None),
            app("unreadable", &["env:NOT_SET_HERE"], None),
        ];
        let limited = territory(&apps, false);
        for (name, new, existing) in [
            ("alpha", true, true),
            ("look", true, true),
            ("fresh", true, false),
            ("beta", false, false),
            // Named by the pooler for alpha, but on this very server it is beta's.
            ("shared", false, false),
            ("gamma", false, false),
            ("postgres", false, false),
            ("template1", false, false),
        ] {
            assert_eq!(limited.may_name(name).is_ok(), new, "{name}");
            assert_eq!(limited.may_change(name).is_ok(), existing, "{name}");
        }
        let everywhere = territory(&apps, true);
        for name in ["alpha", "fresh", "beta", "gamma", "postgres"] {
            assert!(everywhere.may_change(name).is_ok(), "{name}");
        }
        assert!(everywhere.warning("alpha").is_none());
        assert!(everywhere.warning("fresh").is_none());
        assert!(everywhere.warning("gamma").is_none(), "on another server");
        assert!(everywhere.warning("postgres").is_some());
        let warning = everywhere.warning("beta").expect("one");
        assert!(warning.contains("app beta"), "{warning}");
        for (name, owner) in [("alpha", "alpha"), ("fresh", "alpha"), ("beta", "beta")] {
            assert_eq!(everywhere.owner(name).app, owner, "{name}");
            assert_eq!(everywhere.owner(name).environment, format!("of {owner}"));
        }
    }

    #[test]
    fn a_database_that_two_apps_name_is_of_both() {
        let apps = [
            app("alpha", &["postgres://a@db/one"], None),
            app("beta", &["postgres://b@db/one"], None),
        ];
        let limited = territory(&apps, false);
        assert!(limited.may_change("one").is_ok());
        assert_eq!(limited.owner("one").app, "alpha");
    }

    #[test]
    fn a_server_by_two_names_is_still_the_apps() {
        let apps = [app(
            "alpha",
            &["postgres://a@pool/alpha"],
            Some("postgres://root@db/postgres"),
        )];
        assert!(territory(&apps, false).may_change("alpha").is_ok());
    }
}
