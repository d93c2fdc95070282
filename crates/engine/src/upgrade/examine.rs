//! Asking one database of the old server what the new server would make of it.

use super::{
    cluster::ClusterFacts,
    plan::{DatabaseUpgrade, ExtensionUpgrade},
    removed::{self, Weight},
};
use crate::{Context, Result, restore::Refusal};
use pgkeep_model::manifest::DatabaseProperties;
use pgkeep_postgres::{
    connect::ConnectOptions,
    inspect::{self, AvailableExtension, BuiltinUse, Dialect},
    wire::Connection,
};
use std::collections::BTreeSet;

/// Names beyond these are counted.
const SHOWN: usize = 5;

/// What is to be said of a plan.
#[derive(Default)]
pub(super) struct Remarks {
    pub warnings: Vec<String>,
    pub refusals: Vec<Refusal>,
}

impl Remarks {
    pub fn warn(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.warnings.contains(&what) {
            self.warnings.push(what);
        }
    }

    pub fn refuse(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        let message = message.into();
        if self.refusals.iter().all(|r| r.message != message) {
            self.refusals.push(Refusal {
                message,
                remedy: remedy.into(),
            });
        }
    }
}

/// What the new server offers, asked once.
pub(super) struct Offer {
    pub extensions: Vec<AvailableExtension>,
    pub dialect: Dialect,
    /// Locales of the operating system as the server knows them, in one spelling.
    pub locales: BTreeSet<String>,
    pub icu: bool,
}

impl Offer {
    pub fn of(to: &mut Connection) -> Result<Self> {
        let locales = to.query(
            "SELECT collcollate FROM pg_catalog.pg_collation WHERE collprovider = 'c' AND collcollate IS NOT NULL
             UNION SELECT datcollate FROM pg_catalog.pg_database",
        )?;
        Ok(Self {
            extensions: inspect::available_extensions(to)?,
            dialect: inspect::dialect(to)?,
            locales: locales
                .iter()
                .map(|row| one_spelling(&row.text(0)))
                .collect(),
            icu: !to
                .query("SELECT 1 FROM pg_catalog.pg_collation WHERE collprovider = 'i' LIMIT 1")?
                .is_empty(),
        })
    }
}

/// `en_US.UTF-8` and `en_US.utf8` are one.
fn one_spelling(locale: &str) -> String {
    locale.to_ascii_lowercase().replace('-', "")
}

/// Looks at one database.
pub(super) struct Examination<'a> {
    pub from: &'a ClusterFacts,
    pub to: &'a ClusterFacts,
    pub old_dialect: &'a Dialect,
    pub offer: &'a Offer,
}

impl Examination<'_> {
    pub fn run(
        &self,
        options: &ConnectOptions,
        target: &mut Connection,
        remarks: &mut Remarks,
        context: &Context,
    ) -> Result<DatabaseUpgrade> {
        let name = options.dbname.clone();
        let mut inside = super::cluster::connect(options, context)?;
        let properties = inspect::database_properties(&mut inside, &name)?;
        self.readable(&mut inside, &name, remarks)?;
        self.locale(&properties, &name, target, remarks)?;
        let extensions = self.extensions(&mut inside, &name, remarks)?;
        self.removed(&mut inside, &name, remarks)?;
        self.language(&mut inside, &name, remarks)?;
        self.tablespaces(&mut inside, &name, target, remarks)?;
        let used = inspect::database_use(&mut inside, &name)?;
        for prepared in &used.prepared_transactions {
            remarks.refuse(
                format!(
                    "database {name} has the prepared transaction {}, which no backup holds",
                    prepared.gid
                ),
                format!(
                    "end it: COMMIT PREPARED '{0}' or ROLLBACK PREPARED '{0}'",
                    prepared.gid
                ),
            );
        }
        for slot in &used.replication_slots {
            remarks.warn(format!(
                "database {name} has the logical replication slot {}: it stays behind, and its subscriber must be set up anew on the new server",
                slot.name
            ));
        }
        for subscription in &used.subscriptions {
            remarks.warn(format!(
                "subscription {} of database {name} comes over disabled: disable the old one, then enable the new one",
                subscription.name
            ));
        }
        let count = |connection: &mut Connection, sql: &str| -> Result<u64> {
            let value = connection.query_value(sql)?;
            Ok(value.and_then(|n| n.parse().ok()).unwrap_or(0))
        };
        let publications =
            inside.query("SELECT pubname FROM pg_catalog.pg_publication ORDER BY 1")?;
        Ok(DatabaseUpgrade {
            size_bytes: inspect::database_size(&mut inside, &name)?,
            tables: inspect::relations(&mut inside)?
                .iter()
                .filter(|r| matches!(r.kind, 'r' | 'p') && r.extension.is_none())
                .count() as u64,
            large_objects: count(
                &mut inside,
                "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata",
            )?,
            publications: publications.iter().map(|row| row.text(0)).collect(),
            subscriptions: used.subscriptions.iter().map(|s| s.name.clone()).collect(),
            replication_slots: used
                .replication_slots
                .iter()
                .map(|s| s.name.clone())
                .collect(),
            sessions: used.sessions.len() as u64,
            encoding: properties.encoding.clone(),
            locale: locale_words(&properties),
            owner: properties.owner.clone(),
            extensions,
            name,
        })
    }

    fn readable(&self, inside: &mut Connection, name: &str, remarks: &mut Remarks) -> Result<()> {
        let hidden = inspect::unreadable_tables(inside)?;
        if let Some(first) = hidden.first() {
            remarks.refuse(
                format!(
                    "{} of database {name} cannot be read: {}{}",
                    first.name,
                    first.reason,
                    more(hidden.len() - 1)
                ),
                first.remedy.clone(),
            );
        }
        Ok(())
    }

    fn locale(
        &self,
        properties: &DatabaseProperties,
        name: &str,
        target: &mut Connection,
        remarks: &mut Remarks,
    ) -> Result<()> {
        let words = locale_words(properties);
        match properties.locale_provider.as_str() {
            "icu" if !self.offer.icu => remarks.refuse(
                format!("database {name} uses the ICU locale {words}, and the new server is built without ICU"),
                "install a server with ICU",
            ),
            "icu" | "builtin" => {}
            _ => {
                let known = |locale: &str| {
                    ["C", "POSIX", ""].contains(&locale)
                        || self.offer.locales.contains(&one_spelling(locale))
                };
                for locale in [&properties.collate, &properties.ctype] {
                    if !known(locale) {
                        remarks.warn(format!(
                            "the new server does not list the locale {locale} of database {name}: install it on its operating system"
                        ));
                    }
                }
            }
        }
        let Some(old) = &properties.collation_version else {
            return Ok(());
        };
        let new = collation_version(target, self.to.version_num, properties)?;
        if new.as_ref().is_some_and(|new| new != old) {
            remarks.warn(format!(
                "the sort order of database {name} is of version {old}, on the new server {}: indexes are built anew and need nothing, but texts may come in another order",
                new.unwrap_or_default()
            ));
        }
        Ok(())
    }

    fn extensions(
        &self,
        inside: &mut Connection,
        name: &str,
        remarks: &mut Remarks,
    ) -> Result<Vec<ExtensionUpgrade>> {
        let gone = removed_extensions(self.from, self.to);
        let mut all = Vec::new();
        for extension in inspect::extensions(inside)? {
            let offered = self
                .offer
                .extensions
                .iter()
                .find(|offered| offered.name == extension.name);
            match offered {
                None if gone.contains(extension.name.as_str()) => {}
                None => remarks.refuse(
                    format!(
                        "the new server does not offer extension {} of database {name}",
                        extension.name
                    ),
                    "install its package there, or drop the extension on the old server",
                ),
                Some(offered) if older(&offered.default_version, &extension.version) => {
                    remarks.warn(format!(
                        "extension {} of database {name} is version {}, the new server has {}: install the newer package there",
                        extension.name, extension.version, offered.default_version
                    ));
                }
                Some(_) => {}
            }
            all.push(ExtensionUpgrade {
                name: extension.name,
                from: extension.version,
                to: offered.map(|offered| offered.default_version.clone()),
            });
        }
        Ok(all)
    }

    fn removed(&self, inside: &mut Connection, name: &str, remarks: &mut Remarks) -> Result<()> {
        for removal in removed::between(self.from.version_num, self.from.major, self.to.major) {
            let rows = match inside.query(removal.question) {
                Ok(rows) => rows,
                // Password hashes are for superusers.
                Err(e) if e.sqlstate() == Some("42501") => continue,
                Err(e) => return Err(e.into()),
            };
            let names: Vec<String> = rows.iter().map(|row| row.text(0)).collect();
            if names.is_empty() {
                continue;
            }
            let what = removal.what.replace("{}", &listed(&names));
            let roles = removal.question.contains("rolname");
            let what = match roles {
                true => format!("since PostgreSQL {}, {what}", removal.since),
                false => format!(
                    "database {name}: since PostgreSQL {}, {what}",
                    removal.since
                ),
            };
            match removal.weight {
                Weight::Refusal => remarks.refuse(what, removal.remedy),
                Weight::Warning => remarks.warn(format!("{what}: {}", removal.remedy)),
            }
        }
        Ok(())
    }

    /// Words, names, types and columns of system views that the new major does not have, or has for itself.
    fn language(&self, inside: &mut Connection, name: &str, remarks: &mut Remarks) -> Result<()> {
        let (old, new) = (self.old_dialect, &self.offer.dialect);
        let reserved: BTreeSet<&str> = missing(&new.reserved, &old.reserved);
        let named = inspect::named_like(inside, &reserved)?;
        if !named.is_empty() {
            remarks.refuse(
                format!(
                    "database {name} uses words as names that PostgreSQL {} keeps for itself: {}",
                    self.to.major,
                    listed(&named)
                ),
                "rename them before the upgrade: the dump of the old server does not quote them",
            );
        }
        let (views, types) = inspect::builtin_uses(inside)?;
        let gone = |uses: Vec<BuiltinUse>, there: &BTreeSet<String>| -> Vec<String> {
            uses.into_iter()
                .filter(|used| !there.contains(&used.builtin))
                .map(|used| format!("{} ({})", used.user, used.builtin))
                .collect()
        };
        let views = gone(views, &new.relations);
        if !views.is_empty() {
            remarks.refuse(
                format!(
                    "database {name} has views on system views or columns that are gone: {}",
                    listed(&views)
                ),
                "drop them or write them anew before the upgrade",
            );
        }
        let types = gone(types, &new.types);
        if !types.is_empty() {
            remarks.refuse(
                format!(
                    "database {name} has columns of types that are gone: {}",
                    listed(&types)
                ),
                "give them another type before the upgrade",
            );
        }
        let functions: BTreeSet<&str> = missing(&old.functions, &new.functions);
        let mentioned: Vec<String> = inspect::mentions(inside, &functions)?
            .into_iter()
            .map(|used| format!("{} ({})", used.user, used.builtin))
            .collect();
        if !mentioned.is_empty() {
            remarks.warn(format!(
                "database {name} names system functions that are gone: {}; look at them before the upgrade",
                listed(&mentioned)
            ));
        }
        Ok(())
    }

    fn tablespaces(
        &self,
        inside: &mut Connection,
        name: &str,
        target: &mut Connection,
        remarks: &mut Remarks,
    ) -> Result<()> {
        let used = inside.query(
            "SELECT DISTINCT t.spcname FROM pg_catalog.pg_tablespace t
             WHERE t.spcname NOT IN ('pg_default', 'pg_global')
               AND (t.oid IN (SELECT reltablespace FROM pg_catalog.pg_class)
                    OR t.oid = (SELECT dattablespace FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
             ORDER BY 1",
        )?;
        let there: BTreeSet<String> = inspect::tablespaces(target)?
            .into_iter()
            .map(|space| space.name)
            .collect();
        for space in used.iter().map(|row| row.text(0)) {
            if !there.contains(&space) {
                remarks.refuse(
                    format!("the new server has no tablespace {space}, which database {name} uses"),
                    format!(
                        "make a folder for it there, then CREATE TABLESPACE {space} LOCATION '…'"
                    ),
                );
            }
        }
        Ok(())
    }
}

fn missing<'a>(of: &'a BTreeSet<String>, in_these: &'a BTreeSet<String>) -> BTreeSet<&'a str> {
    of.difference(in_these).map(String::as_str).collect()
}

/// Extensions of which the table of removals says more than that they are not offered.
fn removed_extensions(from: &ClusterFacts, to: &ClusterFacts) -> BTreeSet<&'static str> {
    let gone = removed::between(from.version_num, from.major, to.major)
        .any(|r| r.question.contains("'adminpack'"));
    match gone {
        true => BTreeSet::from(["adminpack", "old_snapshot"]),
        false => BTreeSet::new(),
    }
}

/// Whether version `a` comes before `b`, number by number; what are no numbers is not judged.
fn older(a: &str, b: &str) -> bool {
    let parts = |text: &str| -> Option<Vec<u64>> {
        text.split('.').map(|part| part.parse().ok()).collect()
    };
    matches!((parts(a), parts(b)), (Some(a), Some(b)) if a < b)
}

fn collation_version(
    target: &mut Connection,
    version_num: u32,
    properties: &DatabaseProperties,
) -> Result<Option<String>> {
    use pgkeep_model::evidence::quote_literal;
    let sql = match properties.locale_provider.as_str() {
        "icu" => {
            let column = match version_num {
                170_000.. => "colllocale",
                _ => "colliculocale",
            };
            format!(
                "SELECT pg_catalog.pg_collation_actual_version(oid) FROM pg_catalog.pg_collation
                 WHERE collprovider = 'i' AND {column} = {} LIMIT 1",
                quote_literal(properties.locale.as_deref().unwrap_or_default())
            )
        }
        "builtin" => return Ok(None),
        _ => format!(
            "SELECT pg_catalog.pg_collation_actual_version(oid) FROM pg_catalog.pg_collation
             WHERE collprovider = 'c' AND pg_catalog.lower(pg_catalog.replace(collcollate, '-', '')) = {} LIMIT 1",
            quote_literal(&one_spelling(&properties.collate))
        ),
    };
    let rows = target.query(&sql)?;
    Ok(rows.first().and_then(|row| row.optional(0)))
}

fn locale_words(properties: &DatabaseProperties) -> String {
    match (&properties.locale, properties.locale_provider.as_str()) {
        (Some(locale), provider @ ("icu" | "builtin")) => format!("{locale} ({provider})"),
        _ => properties.collate.clone(),
    }
}

/// The first names, and how many more.
pub(super) fn listed(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    format!(
        "{}{}",
        first.join(", "),
        more(names.len().saturating_sub(SHOWN))
    )
}

fn more(n: usize) -> String {
    match n {
        0 => String::new(),
        n => format!(" and {n} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (a, b, is_older) in [
            ("1.2", "1.10", true),
            ("1.10", "1.2", false),
            ("3.3.2", "3.5", true),
            ("1.1", "1.1", false),
            ("1.0", "next", false),
        ] {
            assert_eq!(older(a, b), is_older, "{a} {b}");
        }
    }
}
