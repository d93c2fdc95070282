//! What the four kinds of definitions are in the catalog: their tables, their secrets, and what they name of each other.

use pgkeep_model::app::{AppDefinition, RepositoryDefinition};
use pgkeep_model::notice::{Channel, NotificationTarget};
use pgkeep_model::policy::Policy;
use pgkeep_model::secret::SecretText;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What they have in common.
pub(super) trait Definition: Clone + Serialize + DeserializeOwned + Send + Sync {
    const TABLE: &'static str;
    /// The word for one, which is the topic of its events, too.
    const WHAT: &'static str;
    /// Statements that remove what is known of one that was deleted; `$1` is its name.
    const GO_WITH_IT: &'static [&'static str] = &[];

    /// Fields that may hold secrets, by name.
    fn secrets(&mut self) -> Vec<(String, &mut SecretText)>;

    /// Some carry their name inside.
    fn set_name(&mut self, _name: &str) {}

    /// App that it belongs to.
    fn app(&self, _name: &str) -> Option<String> {
        None
    }

    /// Other definitions that it names: they must be there, and stay while it does.
    fn uses(&self) -> Vec<Use<'_>> {
        Vec::new()
    }

    /// The key that a recovery kit is made of, of what has one.
    fn kit_key(&self) -> Option<&str> {
        None
    }
}

/// A definition that another one names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use<'a> {
    pub(super) table: &'static str,
    pub(super) what: &'static str,
    pub(super) name: &'a str,
}

impl<'a> Use<'a> {
    pub(super) fn of<T: Definition>(name: &'a str) -> Self {
        Self {
            table: T::TABLE,
            what: T::WHAT,
            name,
        }
    }
}

impl Definition for AppDefinition {
    const TABLE: &'static str = "apps";
    const WHAT: &'static str = "app";

    fn secrets(&mut self) -> Vec<(String, &mut SecretText)> {
        let databases = self.databases.iter_mut().enumerate();
        let hooks = self.hooks.iter_mut().enumerate();
        let named = [
            ("admin_url", &mut self.admin_url),
            ("fence.pgbouncer", &mut self.fence.pgbouncer),
            ("drill.admin_url", &mut self.drill.admin_url),
            ("upgrade.from", &mut self.upgrade.from),
            ("upgrade.to", &mut self.upgrade.to),
        ];
        databases
            .map(|(i, text)| (format!("databases.{i}"), text))
            .chain(
                hooks.filter_map(|(i, hook)| Some((format!("hooks.{i}.url"), hook.url.as_mut()?))),
            )
            .chain(
                named
                    .into_iter()
                    .filter_map(|(field, text)| Some((field.to_owned(), text.as_mut()?))),
            )
            .collect()
    }

    fn app(&self, name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn uses(&self) -> Vec<Use<'_>> {
        let repository = self.repository.iter();
        repository
            .map(|name| Use::of::<RepositoryDefinition>(name))
            .collect()
    }
}

impl Definition for RepositoryDefinition {
    const TABLE: &'static str = "repositories";
    const WHAT: &'static str = "repository";
    const GO_WITH_IT: &'static [&'static str] = &[
        "DELETE FROM backups WHERE repository = $1",
        "DELETE FROM repository_sizes WHERE repository = $1",
    ];

    fn secrets(&mut self) -> Vec<(String, &mut SecretText)> {
        let fields = [
            ("key", &mut self.key),
            ("access_key_id", &mut self.access_key_id),
            ("secret_access_key", &mut self.secret_access_key),
            ("session_token", &mut self.session_token),
        ];
        fields
            .into_iter()
            .filter_map(|(field, text)| Some((field.to_owned(), text.as_mut()?)))
            .collect()
    }

    fn kit_key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl Definition for Policy {
    const TABLE: &'static str = "policies";
    const WHAT: &'static str = "policy";

    fn secrets(&mut self) -> Vec<(String, &mut SecretText)> {
        Vec::new()
    }

    fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    fn app(&self, _name: &str) -> Option<String> {
        Some(self.app.clone())
    }

    fn uses(&self) -> Vec<Use<'_>> {
        let repositories = self.repositories.iter();
        let targets = self.notify.iter();
        [Use::of::<AppDefinition>(&self.app)]
            .into_iter()
            .chain(repositories.map(|name| Use::of::<RepositoryDefinition>(name)))
            .chain(targets.map(|name| Use::of::<NotificationTarget>(name)))
            .collect()
    }
}

impl Definition for NotificationTarget {
    const TABLE: &'static str = "targets";
    const WHAT: &'static str = "target";

    fn secrets(&mut self) -> Vec<(String, &mut SecretText)> {
        let (field, text) = match &mut self.channel {
            Channel::Email { password, .. } => match password {
                Some(password) => ("password", password),
                None => return Vec::new(),
            },
            Channel::Webhook { url, secret } => {
                let mut fields = vec![("url".to_owned(), url)];
                fields.extend(secret.iter_mut().map(|t| ("secret".to_owned(), t)));
                return fields;
            }
            Channel::Slack { url }
            | Channel::Discord { url }
            | Channel::Teams { url }
            | Channel::DeadManPing { url } => ("url", url),
        };
        vec![(field.to_owned(), text)]
    }

    fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }
}
