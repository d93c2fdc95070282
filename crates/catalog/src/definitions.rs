//! Apps, repositories, policies and notification targets, as they were defined.
//!
//! Each carries a revision that grows with every change, so that two people who edit the same one do not undo each other.
//! Texts that may be secrets are sealed on the way in and opened on the way out; references (`env:`, `file:`) stay.

use crate::Catalog;
use crate::db::{Row, Tx, json, params};
use crate::error::{CatalogError, Result};
use crate::events::NewEvent;
use jiff::Timestamp;
use pgkeep_model::app::{AppDefinition, RepositoryDefinition};
use pgkeep_model::notice::{Channel, NotificationTarget};
use pgkeep_model::policy::Policy;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A definition with what the catalog knows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    pub name: String,
    pub value: T,
    /// 1 at first, one more with every change.
    pub revision: i64,
    pub managed_by: ManagedBy,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Where the last word on a definition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ManagedBy {
    /// A file that is applied; what vanishes from it is removed.
    File,
    /// The API, the web UI, or a command.
    Api,
}

impl ManagedBy {
    pub fn as_str(self) -> &'static str {
        match self {
            ManagedBy::File => "file",
            ManagedBy::Api => "api",
        }
    }
}

/// What the four kinds of definitions have in common.
trait Definition: Clone + Serialize + DeserializeOwned + Send + Sync {
    const TABLE: &'static str;
    /// The word for one, which is the topic of its events, too.
    const WHAT: &'static str;

    /// Fields that may hold secrets, by name.
    fn secrets(&mut self) -> Vec<(String, &mut String)>;

    /// Some carry their name inside.
    fn set_name(&mut self, _name: &str) {}

    /// App that it belongs to.
    fn app(&self, _name: &str) -> Option<String> {
        None
    }

    /// The key that a recovery kit is made of, of what has one.
    fn kit_key(&self) -> Option<&str> {
        None
    }
}

impl Definition for AppDefinition {
    const TABLE: &'static str = "apps";
    const WHAT: &'static str = "app";

    fn secrets(&mut self) -> Vec<(String, &mut String)> {
        let databases = self.databases.iter_mut().enumerate();
        let hooks = self.hooks.iter_mut().enumerate();
        let named = [
            ("admin_url", &mut self.admin_url),
            ("fence.pgbouncer", &mut self.fence.pgbouncer),
            ("drill.admin_url", &mut self.drill.admin_url),
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
}

impl Definition for RepositoryDefinition {
    const TABLE: &'static str = "repositories";
    const WHAT: &'static str = "repository";

    fn secrets(&mut self) -> Vec<(String, &mut String)> {
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

    fn secrets(&mut self) -> Vec<(String, &mut String)> {
        Vec::new()
    }

    fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    fn app(&self, _name: &str) -> Option<String> {
        Some(self.app.clone())
    }
}

impl Definition for NotificationTarget {
    const TABLE: &'static str = "targets";
    const WHAT: &'static str = "target";

    fn secrets(&mut self) -> Vec<(String, &mut String)> {
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

macro_rules! definition_calls {
    ($type:ty, $list:ident, $get:ident, $put:ident, $put_doc:literal) => {
        impl Catalog {
            /// All of them, by name.
            pub async fn $list(&self) -> Result<Vec<Stored<$type>>> {
                self.definitions().await
            }

            /// The one of this name, or [`CatalogError::NotFound`].
            pub async fn $get(&self, name: &str) -> Result<Stored<$type>> {
                self.definition(name).await
            }

            #[doc = $put_doc]
            /// Makes it where it is absent and changes it where it is there. `expected` is the revision that the caller
            /// saw ([`CatalogError::Conflict`] otherwise); 0 means that it must not be there yet.
            pub async fn $put(
                &self,
                name: &str,
                value: &$type,
                managed_by: ManagedBy,
                expected: Option<i64>,
            ) -> Result<Stored<$type>> {
                self.put_definition(name, value, managed_by, expected).await
            }
        }
    };
}

definition_calls!(AppDefinition, apps, app, put_app, "Stores an app.");
definition_calls!(
    RepositoryDefinition,
    repositories,
    repository,
    put_repository,
    "Stores a repository."
);
definition_calls!(Policy, policies, policy, put_policy, "Stores a policy.");
definition_calls!(
    NotificationTarget,
    targets,
    target,
    put_target,
    "Stores a notification target."
);

impl Catalog {
    /// Refused while policies name the app.
    pub async fn delete_app(&self, name: &str, expected: Option<i64>) -> Result<()> {
        let policies = self.policies().await?;
        let by = policies.iter().find(|p| p.value.app == name);
        refuse_in_use::<AppDefinition>(name, by.map(|p| format!("policy {}", p.name)))?;
        self.delete_definition::<AppDefinition>(name, expected)
            .await
    }

    /// Refused while apps or policies name the repository. The backups in it stay; the catalog forgets its list of them.
    pub async fn delete_repository(&self, name: &str, expected: Option<i64>) -> Result<()> {
        let apps = self.apps().await?;
        let by = apps
            .iter()
            .find(|a| a.value.repository.as_deref() == Some(name));
        refuse_in_use::<RepositoryDefinition>(name, by.map(|a| format!("app {}", a.name)))?;
        let policies = self.policies().await?;
        let by = policies
            .iter()
            .find(|p| p.value.repositories.iter().any(|r| r == name));
        refuse_in_use::<RepositoryDefinition>(name, by.map(|p| format!("policy {}", p.name)))?;
        self.delete_definition::<RepositoryDefinition>(name, expected)
            .await
    }

    /// The backups that it made stay, and nothing removes them by rule any more.
    pub async fn delete_policy(&self, name: &str, expected: Option<i64>) -> Result<()> {
        self.delete_definition::<Policy>(name, expected).await
    }

    /// Refused while policies name the target.
    pub async fn delete_target(&self, name: &str, expected: Option<i64>) -> Result<()> {
        let policies = self.policies().await?;
        let by = policies
            .iter()
            .find(|p| p.value.notify.iter().any(|t| t == name));
        refuse_in_use::<NotificationTarget>(name, by.map(|p| format!("policy {}", p.name)))?;
        self.delete_definition::<NotificationTarget>(name, expected)
            .await
    }

    async fn definitions<T: Definition>(&self) -> Result<Vec<Stored<T>>> {
        let rows = self
            .db()
            .rows(
                sqlx::AssertSqlSafe(format!("SELECT * FROM {} ORDER BY name", T::TABLE)),
                params![],
            )
            .await?;
        rows.iter().map(|row| self.read_definition(row)).collect()
    }

    async fn definition<T: Definition>(&self, name: &str) -> Result<Stored<T>> {
        let row = self
            .db()
            .row(
                sqlx::AssertSqlSafe(format!("SELECT * FROM {} WHERE name = $1", T::TABLE)),
                params![name],
            )
            .await?;
        match row {
            Some(row) => self.read_definition(&row),
            None => Err(CatalogError::not_found(T::WHAT, name)),
        }
    }

    async fn put_definition<T: Definition>(
        &self,
        name: &str,
        value: &T,
        managed_by: ManagedBy,
        expected: Option<i64>,
    ) -> Result<Stored<T>> {
        let mut sealed = value.clone();
        sealed.set_name(name);
        for (field, text) in sealed.secrets() {
            *text = self.seal(&context::<T>(name, &field), text);
        }
        let rekeyed = self.gets_another_key(name, value).await?;
        let mut tx = self.begin().await?;
        let now = tx.now();
        let table = T::TABLE;
        let params = params![name, json(&sealed)?, managed_by.as_str(), now];
        let row = match expected {
            None => {
                let sql = format!(
                    "INSERT INTO {table} (name, definition, revision, managed_by, created_at, updated_at)
                     VALUES ($1, $2, 1, $3, $4, $4)
                     ON CONFLICT (name) DO UPDATE SET definition = excluded.definition,
                         revision = {table}.revision + 1, managed_by = excluded.managed_by,
                         updated_at = excluded.updated_at
                     RETURNING *"
                );
                tx.row(sqlx::AssertSqlSafe(sql), params).await?
            }
            Some(0) => {
                let sql = format!(
                    "INSERT INTO {table} (name, definition, revision, managed_by, created_at, updated_at)
                     VALUES ($1, $2, 1, $3, $4, $4) ON CONFLICT (name) DO NOTHING RETURNING *"
                );
                tx.row(sqlx::AssertSqlSafe(sql), params).await?
            }
            Some(revision) => {
                let sql = format!(
                    "UPDATE {table} SET definition = $2, revision = revision + 1, managed_by = $3, updated_at = $4
                     WHERE name = $1 AND revision = $5 RETURNING *"
                );
                let mut params = params;
                params.push(revision.into());
                tx.row(sqlx::AssertSqlSafe(sql), params).await?
            }
        };
        let Some(row) = row else {
            return Err(match expected {
                Some(0) => CatalogError::Exists {
                    what: T::WHAT,
                    name: name.to_owned(),
                },
                _ => why_untouched::<T>(&mut tx, name).await?,
            });
        };
        if rekeyed {
            tx.run(
                "UPDATE repositories SET recovery_kit_at = NULL WHERE name = $1",
                params![name],
            )
            .await?;
        }
        let stored: Stored<T> = self.read_definition(&row)?;
        let data = serde_json::json!({ "change": "put", "revision": stored.revision });
        tx.event(
            NewEvent::new(T::WHAT, name)
                .app(value.app(name).as_deref())
                .data(data),
        );
        tx.commit().await?;
        Ok(stored)
    }

    /// Tells whether a repository that is known is to be opened by another key than before.
    async fn gets_another_key<T: Definition>(&self, name: &str, value: &T) -> Result<bool> {
        let Some(key) = value.kit_key() else {
            return Ok(false);
        };
        match self.definition::<T>(name).await {
            Ok(before) => Ok(before.value.kit_key() != Some(key)),
            Err(CatalogError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn delete_definition<T: Definition>(
        &self,
        name: &str,
        expected: Option<i64>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = format!(
            "DELETE FROM {} WHERE name = $1 AND (revision = $2 OR $2 = -1) RETURNING *",
            T::TABLE
        );
        let row = tx
            .row(
                sqlx::AssertSqlSafe(sql),
                params![name, expected.unwrap_or(-1)],
            )
            .await?;
        let Some(row) = row else {
            return Err(why_untouched::<T>(&mut tx, name).await?);
        };
        if T::TABLE == "repositories" {
            tx.run("DELETE FROM backups WHERE repository = $1", params![name])
                .await?;
            tx.run(
                "DELETE FROM repository_sizes WHERE repository = $1",
                params![name],
            )
            .await?;
        }
        let app = row.json::<T>("definition")?.app(name);
        tx.event(
            NewEvent::new(T::WHAT, name)
                .app(app.as_deref())
                .data(serde_json::json!({ "change": "deleted" })),
        );
        tx.commit().await
    }

    fn read_definition<T: Definition>(&self, row: &Row) -> Result<Stored<T>> {
        let name = row.text("name")?;
        let mut value: T = row.json("definition")?;
        for (field, text) in value.secrets() {
            let opened = self.reveal(&context::<T>(&name, &field), text)?;
            opened.expose_secret().clone_into(text);
        }
        Ok(Stored {
            value,
            revision: row.int("revision")?,
            managed_by: match row.text("managed_by")?.as_str() {
                "file" => ManagedBy::File,
                _ => ManagedBy::Api,
            },
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
            name,
        })
    }
}

fn context<T: Definition>(name: &str, field: &str) -> String {
    format!("{}/{name}/{field}", T::TABLE)
}

fn refuse_in_use<T: Definition>(name: &str, by: Option<String>) -> Result<()> {
    match by {
        Some(by) => Err(CatalogError::InUse {
            what: T::WHAT,
            name: name.to_owned(),
            by,
        }),
        None => Ok(()),
    }
}

/// Nothing matched: is it not there, or is it of another revision?
async fn why_untouched<T: Definition>(tx: &mut Tx, name: &str) -> Result<CatalogError> {
    let sql = format!("SELECT revision FROM {} WHERE name = $1", T::TABLE);
    let there = tx.row(sqlx::AssertSqlSafe(sql), params![name]).await?;
    Ok(match there {
        Some(_) => CatalogError::Conflict {
            what: T::WHAT,
            name: name.to_owned(),
        },
        None => CatalogError::not_found(T::WHAT, name),
    })
}
