//! Liquibase's change logs: the change sets that the code holds, in XML, YAML, JSON and formatted SQL.
//!
//! The log that the others are included by is the one that `liquibase.properties` names, else one of the usual names; where
//! there is none, every log below the folder counts. A change set that only some runs ask for (by context or label) is
//! optional; one of another database is none.

mod read;

use super::files::walk;
use pgkeep_model::migrations::CodeMigration;
use read::{Entry, Log, Set};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path, PathBuf},
};

/// A larger file is data.
const LARGEST: u64 = 64 << 20;
const ENDINGS: &[&str] = &["xml", "yaml", "yml", "json", "sql"];
/// Where paths begin, below the folder.
const ROOTS: &[&str] = &["src/main/resources", ""];
/// Usual names of the first log, without their endings.
const FIRST: &[&str] = &[
    "db/changelog/db.changelog-master",
    "db/changelog/db.changelog-root",
    "db/changelog/changelog-master",
    "db/changelog/master",
    "db/changelog",
    "config/liquibase/master",
    "liquibase/master",
    "liquibase/changelog",
    "changelog-master",
    "changelog-root",
    "db.changelog-master",
    "db.changelog",
    "changelog",
];

/// The change sets below a folder, each as `file::id::author`.
pub(super) fn in_folder(folder: &Path) -> io::Result<Vec<CodeMigration>> {
    let mut found = Found::default();
    match first(folder)? {
        Some((root, log)) => found.log(&root, &log, false)?,
        None => {
            let root = ROOTS.iter().map(|root| folder.join(root));
            let root = root.into_iter().find(|root| root.is_dir());
            let root = root.unwrap_or_else(|| folder.to_owned());
            for log in logs_below(&root, "")? {
                // A script that is no log of its own may be anything.
                if read::is_log(&root.join(&log), LARGEST)? {
                    found.log(&root, &log, false)?;
                }
            }
        }
    }
    Ok(found.sets)
}

/// Where paths begin, and the path of the first log from there.
fn first(folder: &Path) -> io::Result<Option<(PathBuf, String)>> {
    let roots = || ROOTS.iter().map(|root| folder.join(root));
    for root in roots() {
        let Ok(text) = fs::read_to_string(root.join("liquibase.properties")) else {
            continue;
        };
        if let Some(log) = named_in(&text) {
            let log = normal(&log);
            let root = roots().find(|root| root.join(&log).is_file());
            return match root {
                Some(root) => Ok(Some((root, log))),
                None => Err(io::Error::other(format!(
                    "liquibase.properties names {log}, which is not there"
                ))),
            };
        }
    }
    for root in roots() {
        for name in FIRST {
            let names = ENDINGS.iter().map(|ending| format!("{name}.{ending}"));
            if let Some(log) = names.into_iter().find(|log| root.join(log).is_file()) {
                return Ok(Some((root, log)));
            }
        }
    }
    Ok(None)
}

/// `changeLogFile` of a file of properties, in any of its spellings.
fn named_in(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.trim().split_once(['=', ':'])?;
        let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
        let key = key.to_ascii_lowercase();
        key.ends_with("changelogfile")
            .then(|| value.trim().to_owned())
    })
}

/// As the tool writes paths down.
fn normal(path: &str) -> String {
    let path = path.replace('\\', "/");
    let path = path.strip_prefix("classpath:").unwrap_or(&path);
    let mut parts: Vec<&str> = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str().unwrap_or_default()),
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

/// All files below a folder of the root that may be logs, in order.
fn logs_below(root: &Path, folder: &str) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    walk(&root.join(folder), &mut |path, file| {
        let known = file
            .rsplit_once('.')
            .is_some_and(|(_, ending)| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()));
        let path = path.strip_prefix(root).ok().and_then(Path::to_str);
        if let (true, Some(path)) = (known, path) {
            found.push(path.to_owned());
        }
        Ok(())
    })?;
    found.sort_unstable();
    Ok(found)
}

#[derive(Default)]
struct Found {
    sets: Vec<CodeMigration>,
    seen: BTreeSet<String>,
}

impl Found {
    /// Takes in a log and all that it includes; each is read once.
    fn log(&mut self, root: &Path, path: &str, optional: bool) -> io::Result<()> {
        if !self.seen.insert(path.to_owned()) {
            return Ok(());
        }
        let file = root.join(path);
        let failed = |e: io::Error| io::Error::new(e.kind(), format!("{path}: {e}"));
        if fs::metadata(&file).map_err(failed)?.len() > LARGEST {
            return Err(failed(io::Error::other("it is too large for a change log")));
        }
        let log = read::log(&file).map_err(failed)?;
        let Log {
            path: own,
            optional: of_log,
            entries,
        } = log;
        let optional = optional || of_log;
        let written = own.map_or_else(|| path.to_owned(), |own| normal(&own));
        for entry in entries {
            match entry {
                Entry::Set(set) => self.set(&written, set, optional),
                Entry::Include {
                    file,
                    relative,
                    optional: only_some,
                } => {
                    let file = beside(path, &file, relative);
                    if root.join(&file).is_file() {
                        self.log(root, &file, optional || only_some)?;
                    }
                }
                Entry::All {
                    folder,
                    relative,
                    optional: only_some,
                } => {
                    let folder = beside(path, &folder, relative);
                    if root.join(&folder).is_dir() {
                        for file in logs_below(root, &folder)? {
                            self.log(root, &file, optional || only_some)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, log: &str, set: Set, optional: bool) {
        let log = set.path.as_deref().map_or(log.to_owned(), normal);
        self.sets.push(CodeMigration {
            name: format!("{log}::{}::{}", set.id, set.author),
            optional: optional || set.optional,
            ..CodeMigration::default()
        });
    }
}

/// The path of what a log includes.
fn beside(log: &str, named: &str, relative: bool) -> String {
    match log.rsplit_once('/') {
        Some((folder, _)) if relative => normal(&format!("{folder}/{named}")),
        _ => normal(named),
    }
}

/// Gives the code's change sets the paths that the database has for them: where the tool was run from decides how long they
/// are. `names` are those of the database.
pub(super) fn align(code: &mut [CodeMigration], names: &BTreeSet<String>) {
    fn parts(name: &str) -> Option<(String, &str)> {
        let (path, set) = name.split_once("::")?;
        Some((normal(path), set))
    }
    let known: Vec<(String, &str, &String)> = names
        .iter()
        .filter_map(|name| parts(name).map(|(path, set)| (path, set, name)))
        .collect();
    let ends = |long: &str, short: &str| {
        long.strip_suffix(short)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    for migration in code {
        let Some((path, set)) = parts(&migration.name) else {
            continue;
        };
        let mut fitting = known
            .iter()
            .filter(|(other, id, _)| *id == set && (ends(other, &path) || ends(&path, other)));
        if let (Some((.., name)), None) = (fitting.next(), fitting.next()) {
            migration.name = (*name).clone();
        }
    }
}

#[cfg(test)]
mod tests;
