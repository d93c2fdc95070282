//! What differs between two schemas, object by object and column by column: for people as SQL, for pictures as values.
//!
//! Both sides are pg_dump's tables of contents, one entry an object, so nothing has to be restored and no SQL is guessed.
//! Entries are matched by kind, schema and name. Defaults that pg_dump writes down apart are shown with their column.

mod lines;
mod objects;

use crate::{
    Context, Error, Result,
    catalog::{self, ListFilter},
    diff::{Change, DiffSide, LiveDatabases, toc_of},
    shown,
};
use objects::{Object, objects};
use pgkeep_postgres::{archive::Toc, connect::ConnectOptions, dump, tools::Tools};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What changed from one schema to another, database by database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SchemaDiffReport {
    pub from: String,
    pub to: String,
    pub databases: Vec<DatabaseSchemaDiff>,
    /// Databases that only one side has, or whose definitions are not known, each with the reason.
    pub not_compared: Vec<String>,
    /// True when everything that was compared is equal.
    pub same: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabaseSchemaDiff {
    pub name: String,
    pub objects: Vec<ObjectChange>,
    /// What may differ for no other reason than the tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// An object that was added, removed or defined anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectChange {
    pub change: Change,
    /// `table`, `index`, `foreign key`, `policy`, ...
    pub kind: String,
    /// Empty for what belongs to no schema.
    pub schema: String,
    pub name: String,
    /// The table that it belongs to, where it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Of a table that both sides have: what differs in its columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnChange>,
    /// Its definition on each side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The difference line by line, each line after `+`, `-` or a space.
    pub sql: String,
}

/// A column that was added, removed or defined anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnChange {
    pub change: Change,
    pub name: String,
    /// Type, default and constraints on each side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Databases of one side, with their definitions where they are known.
struct Side {
    title: String,
    databases: Vec<(String, Option<Toc>)>,
}

/// Compares the schemas of two backups, or of a backup and a live database. `app` narrows what `latest` and the first digits
/// of an id mean.
///
/// # Errors
/// A backup that is not there, a database that cannot be read; sides that have nothing in common.
pub fn run(
    repository: &Repository,
    from: &DiffSide,
    to: &DiffSide,
    app: Option<String>,
    context: &Context,
) -> Result<SchemaDiffReport> {
    let filter = ListFilter {
        app,
        ..ListFilter::default()
    };
    let read = |side: &DiffSide| match side {
        DiffSide::Backup(wanted) => of_backup(repository, wanted, &filter),
        DiffSide::Live(live) => of_servers(live, context),
    };
    let (from, to) = (read(from)?, read(to)?);
    let (databases, not_compared) = pair(&from, &to);
    if databases.is_empty() {
        return Err(Error::invalid("the two sides have no schema in common")
            .details(not_compared)
            .hint("name one database of each side: `pgkeep show ID` lists those of a backup"));
    }
    Ok(SchemaDiffReport {
        from: from.title,
        to: to.title,
        same: databases.iter().all(|db| db.objects.is_empty()),
        databases,
        not_compared,
    })
}

/// What changed from one schema to the other; empty where nothing did.
pub fn compare(from: &Toc, to: &Toc) -> Vec<ObjectChange> {
    let (from, to) = (objects(from), objects(to));
    let keys: BTreeSet<_> = from.keys().chain(to.keys()).collect();
    keys.into_iter()
        .filter_map(|key| change_of(from.get(key), to.get(key)))
        .collect()
}

/// The schema of a live database, for [`compare`].
///
/// # Errors
/// A database that cannot be reached or read.
pub fn of_live(options: &ConnectOptions, context: &Context) -> Result<Toc> {
    let tools = |major| Tools::for_dump(major, &context.tool_dirs);
    Ok(dump::schema_of(options, tools, &context.cancel)?)
}

fn of_backup(repository: &Repository, wanted: &str, filter: &ListFilter) -> Result<Side> {
    let entry = catalog::find(repository, wanted, filter)?;
    let reader = repository.open_snapshot(&entry.snapshot)?;
    let manifest = catalog::manifest(repository, &entry)?;
    let mut databases = Vec::new();
    for database in manifest.databases {
        let toc = toc_of(&reader, &database)?;
        databases.push((database.name, toc));
    }
    Ok(Side {
        title: format!("backup {} of {}", entry.short_id(), shown(entry.time)),
        databases,
    })
}

fn of_servers(live: &LiveDatabases, context: &Context) -> Result<Side> {
    let mut databases = Vec::new();
    let mut titles = Vec::new();
    for options in &live.connections {
        if live
            .only
            .as_ref()
            .is_some_and(|name| *name != options.dbname)
        {
            continue;
        }
        context.cancel.check()?;
        titles.push(options.describe());
        databases.push((options.dbname.clone(), Some(of_live(options, context)?)));
    }
    if databases.is_empty() {
        return Err(
            Error::invalid("no live database is named").hint("give --database-url, or --app")
        );
    }
    Ok(Side {
        title: format!("live {}", titles.join(", ")),
        databases,
    })
}

/// Databases are matched by name; where each side has one, whatever it is called.
fn pair(from: &Side, to: &Side) -> (Vec<DatabaseSchemaDiff>, Vec<String>) {
    let single = from.databases.len() == 1 && to.databases.len() == 1;
    let (mut databases, mut not_compared) = (Vec::new(), Vec::new());
    for (name, toc) in &from.databases {
        let other = to
            .databases
            .iter()
            .find(|(other, _)| other == name || single);
        match (toc, other) {
            (_, None) => not_compared.push(format!("{name}: not in {}", to.title)),
            (Some(toc), Some((_, Some(other)))) => databases.push(DatabaseSchemaDiff {
                name: name.clone(),
                objects: compare(toc, other),
                remarks: remarks(toc, other),
            }),
            _ => not_compared.push(format!(
                "{name}: an imported SQL script tells nothing of single objects"
            )),
        }
    }
    for (name, _) in &to.databases {
        if !single && !from.databases.iter().any(|(other, _)| other == name) {
            not_compared.push(format!("{name}: not in {}", from.title));
        }
    }
    (databases, not_compared)
}

fn remarks(from: &Toc, to: &Toc) -> Vec<String> {
    let major = |toc: &Toc| {
        let version = toc.header.dump_version().into_owned();
        let digits = version.bytes().take_while(u8::is_ascii_digit).count();
        version[..digits].to_owned()
    };
    let (a, b) = (major(from), major(to));
    match a == b {
        true => Vec::new(),
        false => vec![format!(
            "the sides were described by pg_dump {a} and {b}, which word some definitions differently"
        )],
    }
}

fn change_of(from: Option<&Object>, to: Option<&Object>) -> Option<ObjectChange> {
    let object = to.or(from)?;
    let text = |side: Option<&Object>| side.map(|o| o.sql.clone());
    let change = match (from, to) {
        (Some(a), Some(b)) if a.sql == b.sql => return None,
        (Some(_), Some(_)) => Change::Changed,
        (Some(_), None) => Change::Removed,
        (None, _) => Change::Added,
    };
    Some(ObjectChange {
        change,
        kind: object.kind.clone(),
        schema: object.schema.clone(),
        name: object.name.clone(),
        table: object.table.clone(),
        columns: match (from, to) {
            (Some(a), Some(b)) => column_changes(a, b),
            _ => Vec::new(),
        },
        sql: lines::difference(
            from.map_or("", |o| o.sql.as_str()),
            to.map_or("", |o| o.sql.as_str()),
        ),
        from: text(from),
        to: text(to),
    })
}

/// In the order of the newer table, then those that are gone. A column that only moved is no change.
fn column_changes(from: &Object, to: &Object) -> Vec<ColumnChange> {
    let find = |object: &Object, name: &str| {
        let column = object.columns.iter().find(|(n, _)| n == name);
        column.map(|(_, text)| text.clone())
    };
    let names = to.columns.iter().chain(
        from.columns
            .iter()
            .filter(|(name, _)| find(to, name).is_none()),
    );
    names
        .filter_map(|(name, _)| {
            let (a, b) = (find(from, name), find(to, name));
            let change = match (&a, &b) {
                (Some(a), Some(b)) if a == b => return None,
                (Some(_), Some(_)) => Change::Changed,
                (Some(_), None) => Change::Removed,
                (None, _) => Change::Added,
            };
            Some(ColumnChange {
                change,
                name: name.clone(),
                from: a,
                to: b,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
