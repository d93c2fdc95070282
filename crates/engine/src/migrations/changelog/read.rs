//! A single change log, read as what it says.

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use saphyr::{LoadableYamlNode, Yaml};
use std::{fs, io, path::Path};

/// What a log says, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// Under which it is written down, instead of its own path.
    pub path: Option<String>,
    /// Only some runs take it.
    pub optional: bool,
    pub entries: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Set(Set),
    Include {
        file: String,
        /// To the log's own folder.
        relative: bool,
        optional: bool,
    },
    All {
        folder: String,
        relative: bool,
        optional: bool,
    },
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub id: String,
    pub author: String,
    pub path: Option<String>,
    pub optional: bool,
}

/// The values of an element or of a statement's comment, by name.
trait Said {
    fn get(&self, name: &str) -> Option<String>;

    fn is(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// Contexts and labels choose among change sets.
    fn optional(&self) -> bool {
        [
            "context",
            "contexts",
            "contextFilter",
            "labels",
            "labelFilter",
        ]
        .iter()
        .any(|name| self.get(name).is_some_and(|v| !v.trim().is_empty()))
    }

    /// Made for PostgreSQL, as far as it says.
    fn concerns_us(&self) -> bool {
        let Some(list) = self.get("dbms").filter(|list| !list.trim().is_empty()) else {
            return true;
        };
        let mut all_but = false;
        for word in list.split(',').map(str::trim) {
            match word.strip_prefix('!') {
                Some("postgresql") => return false,
                Some(_) => all_but = true,
                None if word == "postgresql" || word == "all" => return true,
                None => {}
            }
        }
        all_but
    }

    fn set(&self) -> Option<Entry> {
        let id = self.get("id")?;
        if !self.concerns_us() || self.is("ignore") {
            return None;
        }
        Some(Entry::Set(Set {
            id,
            author: self.get("author").unwrap_or_default(),
            path: self.get("logicalFilePath"),
            optional: self.optional(),
        }))
    }

    fn include(&self) -> Option<Entry> {
        Some(Entry::Include {
            file: self.get("file")?,
            relative: self.is("relativeToChangelogFile"),
            optional: self.optional(),
        })
    }

    fn include_all(&self) -> Option<Entry> {
        Some(Entry::All {
            folder: self.get("path")?,
            relative: self.is("relativeToChangelogFile"),
            optional: self.optional(),
        })
    }

    fn entry(&self, kind: &str) -> Option<Entry> {
        match kind {
            "changeSet" => self.set(),
            "include" => self.include(),
            "includeAll" => self.include_all(),
            _ => None,
        }
    }
}

/// Reads a log by its ending.
pub(super) fn log(file: &Path) -> io::Result<Log> {
    let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
    match ending(file).as_str() {
        "xml" => xml(&text).map_err(io::Error::other),
        "sql" => Ok(sql(&text)),
        _ => yaml(&text).map_err(io::Error::other),
    }
}

/// True for what says of itself that it is a log.
pub(super) fn is_log(file: &Path, largest: u64) -> io::Result<bool> {
    if fs::metadata(file)?.len() > largest {
        return Ok(false);
    }
    let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
    Ok(match ending(file).as_str() {
        "sql" => formatted(&text).is_some(),
        _ => text.contains("databaseChangeLog"),
    })
}

fn ending(file: &Path) -> String {
    let ending = file.extension().unwrap_or_default();
    ending.to_string_lossy().to_ascii_lowercase()
}

impl Said for BytesStart<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = self.try_get_attribute(name).ok()??;
        let value = value.normalized_value(XmlVersion::Implicit1_0).ok()?;
        Some(value.into_owned())
    }
}

fn xml(text: &str) -> Result<Log, quick_xml::Error> {
    let mut log = Log::default();
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event()? {
            Event::Start(element) | Event::Empty(element) => {
                let kind = element.local_name();
                let kind: &str = kind.as_ref();
                if kind == "databaseChangeLog" {
                    log.path = element.get("logicalFilePath");
                    log.optional = element.optional();
                }
                log.entries.extend(element.entry(kind));
            }
            Event::Eof => return Ok(log),
            _ => {}
        }
    }
}

impl Said for Yaml<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = self.as_mapping_get(name)?;
        let text = value.as_str().map(str::to_owned);
        let number = || value.as_integer().map(|n| n.to_string());
        let real = || value.as_floating_point().map(|n| n.to_string());
        let truth = || value.as_bool().map(|b| b.to_string());
        text.or_else(number).or_else(real).or_else(truth)
    }
}

/// JSON is YAML, too.
fn yaml(text: &str) -> Result<Log, String> {
    let documents = Yaml::load_from_str(text).map_err(|e| e.to_string())?;
    let mut log = Log::default();
    let lists = documents
        .iter()
        .filter_map(|d| d.as_mapping_get("databaseChangeLog"));
    for item in lists.filter_map(Yaml::as_vec).flatten() {
        for kind in ["changeSet", "include", "includeAll"] {
            if let Some(said) = item.as_mapping_get(kind) {
                log.entries.extend(said.entry(kind));
            }
        }
        log.path = item.get("logicalFilePath").or(log.path);
        log.optional |= item.optional();
    }
    Ok(log)
}

/// What follows a word of Liquibase's in a comment; upper and lower case are one.
fn comment<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.trim_start().strip_prefix("--")?.trim_start();
    let head = rest.get(..word.len())?;
    (head.eq_ignore_ascii_case(word)).then(|| &rest[word.len()..])
}

/// `name:value` pairs after a change set's name, values in quotes where they hold spaces.
struct Pairs<'a>(&'a str);

impl Said for Pairs<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let at = self.0.match_indices(name).find_map(|(i, _)| {
            let before = self.0[..i].chars().next_back();
            let rest = self.0[i + name.len()..].strip_prefix(':')?;
            before.is_none_or(char::is_whitespace).then_some(rest)
        })?;
        Some(word(at)?.0)
    }
}

/// A word, or what stands in quotes, and what follows it.
fn word(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"')?;
        return Some((quoted[..end].to_owned(), &quoted[end + 1..]));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

/// What the first line says besides, where it says that this is a log.
fn formatted(text: &str) -> Option<&str> {
    let first = text.lines().find(|line| !line.trim().is_empty())?;
    let rest = comment(first.trim_start_matches('\u{feff}'), "liquibase")?.trim_start();
    let head = rest.get(.."formatted sql".len())?;
    head.eq_ignore_ascii_case("formatted sql")
        .then(|| &rest[head.len()..])
}

fn sql(text: &str) -> Log {
    let Some(first) = formatted(text) else {
        // A script without a head is one change set, under a name that the tool gives it.
        return Log {
            entries: vec![Entry::Set(Set {
                id: "raw".into(),
                author: "includeAll".into(),
                ..Set::default()
            })],
            ..Log::default()
        };
    };
    let entries = text
        .lines()
        .filter_map(|line| change_set(comment(line, "changeset")?));
    Log {
        path: Pairs(first).get("logicalFilePath"),
        optional: false,
        entries: entries.collect(),
    }
}

/// `author:id name:value ...`
fn change_set(text: &str) -> Option<Entry> {
    let text = text.strip_prefix(char::is_whitespace)?.trim_start();
    let (author, rest) = match text.starts_with('"') {
        true => word(text).and_then(|(author, rest)| Some((author, rest.strip_prefix(':')?)))?,
        false => {
            let (author, rest) = text.split_once(':')?;
            (author.trim().to_owned(), rest)
        }
    };
    let (id, rest) = word(rest)?;
    let said = Pairs(rest);
    if !said.concerns_us() || said.is("ignore") {
        return None;
    }
    Some(Entry::Set(Set {
        id,
        author,
        path: said.get("logicalFilePath"),
        optional: said.optional(),
    }))
}
