//! Apps, repositories, policies and notification targets, as they were defined.
//!
//! Each carries a revision that grows with every change, so that two people who edit the same one do not undo each other.
//! Texts that may be secrets are sealed on the way in and opened on the way out; references (`env:`, `file:`) stay.
//!
//! A definition names others: an app its repository, a policy its app, repositories and targets. What is named is there as
//! long as it is named: whatever stores or deletes a definition looks at the others in the same transaction, under a lock.

mod kinds;

use crate::Catalog;
use crate::db::{Row, Tx, json, params};
use crate::error::{CatalogError, Result};
use crate::events::NewEvent;
use jiff::Timestamp;
use kinds::{Definition, Use};
use pgkeep_model::app::{AppDefinition, RepositoryDefinition};
use pgkeep_model::notice::NotificationTarget;
use pgkeep_model::policy::Policy;
use secrecy::ExposeSecret as _;

/// Taken by whatever changes definitions.
const LOCK: &str = "definitions";

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

macro_rules! definition_calls {
    ($type:ty, $list:ident, $get:ident, $put:ident, $delete:ident, $put_doc:literal, $delete_doc:literal) => {
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
            /// saw ([`CatalogError::Conflict`] otherwise); 0 means that it must not be there yet. What it names must be
            /// there ([`CatalogError::NotNow`] otherwise).
            pub async fn $put(
                &self,
                name: &str,
                value: &$type,
                managed_by: ManagedBy,
                expected: Option<i64>,
            ) -> Result<Stored<$type>> {
                self.put_definition(name, value, managed_by, expected).await
            }

            #[doc = $delete_doc]
            pub async fn $delete(&self, name: &str, expected: Option<i64>) -> Result<()> {
                self.delete_definition::<$type>(name, expected).await
            }
        }
    };
}

definition_calls!(
    AppDefinition,
    apps,
    app,
    put_app,
    delete_app,
    "Stores an app.",
    "Refused while policies name the app."
);
definition_calls!(
    RepositoryDefinition,
    repositories,
    repository,
    put_repository,
    delete_repository,
    "Stores a repository.",
    "Refused while apps or policies name the repository. The backups in it stay; the catalog forgets its list of them."
);
definition_calls!(
    Policy,
    policies,
    policy,
    put_policy,
    delete_policy,
    "Stores a policy.",
    "The backups that it made stay, and nothing removes them by rule any more."
);
definition_calls!(
    NotificationTarget,
    targets,
    target,
    put_target,
    delete_target,
    "Stores a notification target.",
    "Refused while policies name the target."
);

impl Catalog {
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
            *text = self.seal(&context::<T>(name, &field), text).into();
        }
        let mut tx = self.begin().await?;
        tx.lock(LOCK).await?;
        let rekeyed = self.gets_another_key(&mut tx, name, value).await?;
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
        refuse_without_what_it_names(&mut tx, name, value).await?;
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
    async fn gets_another_key<T: Definition>(
        &self,
        tx: &mut Tx,
        name: &str,
        value: &T,
    ) -> Result<bool> {
        let Some(key) = value.kit_key() else {
            return Ok(false);
        };
        let sql = format!("SELECT * FROM {} WHERE name = $1", T::TABLE);
        match tx.row(sqlx::AssertSqlSafe(sql), params![name]).await? {
            Some(row) => Ok(self.read_definition::<T>(&row)?.value.kit_key() != Some(key)),
            None => Ok(false),
        }
    }

    async fn delete_definition<T: Definition>(
        &self,
        name: &str,
        expected: Option<i64>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.lock(LOCK).await?;
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
        if let Some(by) = user_of::<T>(&mut tx, name).await? {
            return Err(CatalogError::InUse {
                what: T::WHAT,
                name: name.to_owned(),
                by,
            });
        }
        for statement in T::GO_WITH_IT {
            tx.run(*statement, params![name]).await?;
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
            *text = opened.expose_secret().into();
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

/// Refuses a definition whose app, repository or target somebody has just deleted.
async fn refuse_without_what_it_names<T: Definition>(
    tx: &mut Tx,
    name: &str,
    value: &T,
) -> Result<()> {
    for used in value.uses() {
        let sql = format!("SELECT name FROM {} WHERE name = $1", used.table);
        let there = tx.row(sqlx::AssertSqlSafe(sql), params![used.name]).await?;
        if there.is_none() {
            return Err(CatalogError::NotNow {
                what: T::WHAT,
                name: name.to_owned(),
                why: format!("names the {} {}, which is not there", used.what, used.name),
            });
        }
    }
    Ok(())
}

/// A definition that names the one of this name, in words: `policy nightly`.
async fn user_of<T: Definition>(tx: &mut Tx, name: &str) -> Result<Option<String>> {
    let used = Use::of::<T>(name);
    match one_that_names::<AppDefinition>(tx, used).await? {
        Some(app) => Ok(Some(app)),
        None => one_that_names::<Policy>(tx, used).await,
    }
}

async fn one_that_names<T: Definition>(tx: &mut Tx, used: Use<'_>) -> Result<Option<String>> {
    let sql = format!("SELECT name, definition FROM {} ORDER BY name", T::TABLE);
    for row in tx.rows(sqlx::AssertSqlSafe(sql), params![]).await? {
        if row.json::<T>("definition")?.uses().contains(&used) {
            return Ok(Some(format!("{} {}", T::WHAT, row.text("name")?)));
        }
    }
    Ok(None)
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
