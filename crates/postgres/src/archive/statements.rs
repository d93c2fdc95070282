//! The few SQL statements inside a table of contents that pgkeep must understand.

use super::Entry;
use pgkeep_model::evidence::QualifiedName;

/// What a `TABLE DATA` entry's COPY statement loads into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyTarget {
    /// Qualified and quoted as pg_dump wrote it; differs from the entry's own name when loading goes through a partition root.
    pub table: String,
    /// The column list without its parentheses; empty for a table with no columns.
    pub columns: String,
    /// True when the rows must be routed through the partition root, so the target must not be truncated first.
    pub through_root: bool,
}

impl CopyTarget {
    /// Understands `COPY schema.table (a, b) FROM stdin;`; `None` when it is anything else (`INSERT` dumps, other encodings than UTF-8).
    pub fn of(entry: &Entry) -> Option<Self> {
        let statement = std::str::from_utf8(entry.copy_stmt.as_deref()?).ok()?;
        let rest = statement.strip_prefix("COPY ")?;
        let (table, rest) = take_name(rest)?;
        let rest = rest.trim_start();
        let (columns, rest) = match rest.strip_prefix('(') {
            Some(list) => take_list(list)?,
            None => ("", rest),
        };
        if !rest.trim_start().starts_with("FROM stdin") {
            return None;
        }
        Some(Self {
            table: table.to_owned(),
            columns: columns.to_owned(),
            through_root: loads_through_root(entry),
        })
    }

    /// The table's name without quotes; the schema is empty when the statement has none.
    pub fn name(&self) -> QualifiedName {
        let mut parts = Vec::new();
        let mut rest = self.table.as_str();
        while let Some(length) = identifier_length(rest) {
            let part = &rest[..length];
            parts.push(
                match part.strip_prefix('"').and_then(|p| p.strip_suffix('"')) {
                    Some(quoted) => quoted.replace("\"\"", "\""),
                    None => part.to_owned(),
                },
            );
            rest = rest[length..].strip_prefix('.').unwrap_or("");
        }
        let name = parts.pop().unwrap_or_default();
        QualifiedName::new(parts.pop().unwrap_or_default(), name)
    }
}

/// True when pg_dump has the rows of this `TABLE DATA` entry loaded through the topmost partitioned table, because they
/// may belong to another partition where they are restored (partitions by hash of an enum, for example).
pub fn loads_through_root(entry: &Entry) -> bool {
    let defn = entry.defn.as_deref().unwrap_or_default();
    defn.starts_with(b"-- load via partition root")
}

/// Length of the identifier at the start, quoted or plain.
fn identifier_length(text: &str) -> Option<usize> {
    let Some(quoted) = text.strip_prefix('"') else {
        let length = text
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
            .unwrap_or(text.len());
        return (length > 0).then_some(length);
    };
    let bytes = quoted.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr(b'"', bytes.get(at..)?)?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some(at + 2);
        }
        at += 2;
    }
}

/// Splits a possibly qualified name off the start.
fn take_name(text: &str) -> Option<(&str, &str)> {
    let mut length = identifier_length(text)?;
    while let Some(rest) = text[length..].strip_prefix('.') {
        length += 1 + identifier_length(rest)?;
    }
    Some(text.split_at(length))
}

/// Splits a list of identifiers and its closing parenthesis off the start.
fn take_list(text: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    loop {
        at += identifier_length(&text[at..])?;
        let rest = &text[at..];
        if let Some(after) = rest.strip_prefix(')') {
            return Some((&text[..at], after));
        }
        at += rest.strip_prefix(", ").map(|_| 2)?;
    }
}

/// What a `SEQUENCE SET` entry sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceValue {
    pub last_value: i64,
    pub is_called: bool,
}

impl SequenceValue {
    /// Understands `SELECT pg_catalog.setval('schema.name', 42, true);`, whatever encoding the name is in.
    pub fn of(entry: &Entry) -> Option<Self> {
        let defn = entry.defn.as_deref()?;
        let start = defn.windows(9).position(|w| w == b".setval('")? + 8;
        // The last two arguments hold no quotes, so they follow the last quote.
        let end_of_name = start + memchr::memrchr(b'\'', &defn[start..])?;
        let arguments = std::str::from_utf8(&defn[end_of_name + 1..]).ok()?;
        let arguments = arguments.trim_start_matches(',').split_once(')')?.0;
        let (value, called) = arguments.split_once(',')?;
        Some(Self {
            last_value: value.trim().parse().ok()?,
            is_called: match called.trim() {
                "true" => true,
                "false" => false,
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Extra, Section};
    use super::*;

    fn entry(copy: Option<&str>, defn: Option<&str>) -> Entry {
        Entry {
            dump_id: 1,
            has_data: true,
            table_oid: None,
            oid: None,
            tag: None,
            desc: None,
            section: Section::Data,
            defn: defn.map(|s| s.as_bytes().to_vec()),
            drop_stmt: None,
            copy_stmt: copy.map(|s| s.as_bytes().to_vec()),
            namespace: None,
            tablespace: None,
            access_method: None,
            relkind: 0,
            owner: None,
            with_oids: None,
            dependencies: vec![],
            extra: Extra::File(None),
        }
    }

    fn check(statement: &str, table: &str, columns: &str) {
        let target = CopyTarget::of(&entry(Some(statement), None)).unwrap();
        assert_eq!(
            (target.table.as_str(), target.columns.as_str()),
            (table, columns)
        );
        assert!(!target.through_root);
    }

    #[test]
    fn copy_statements_are_understood() {
        check("COPY public.t (a, b) FROM stdin;\n", "public.t", "a, b");
        check("COPY public.t  FROM stdin;\n", "public.t", "");
        check(
            "COPY \"a (b).\"\"c\".\"x FROM stdin\" (\"y) z\", größe, \"\"\"\") FROM stdin;\n",
            "\"a (b).\"\"c\".\"x FROM stdin\"",
            "\"y) z\", größe, \"\"\"\"",
        );
    }

    #[test]
    fn names_lose_their_quotes() {
        let name = |statement| {
            CopyTarget::of(&entry(Some(statement), None))
                .expect("a COPY statement")
                .name()
        };
        assert_eq!(
            name("COPY public.t (a) FROM stdin;\n"),
            QualifiedName::new("public", "t")
        );
        assert_eq!(
            name("COPY \"a.b\".\"c\"\"d\" (a) FROM stdin;\n"),
            QualifiedName::new("a.b", "c\"d")
        );
    }

    #[test]
    fn other_statements_are_not() {
        for statement in [
            "",
            "COPY ",
            "COPY \"a",
            "COPY t (a",
            "COPY t (a b) FROM stdin;",
            "INSERT",
        ] {
            assert_eq!(
                CopyTarget::of(&entry(Some(statement), None)),
                None,
                "{statement}"
            );
        }
    }

    #[test]
    fn a_load_through_the_partition_root_is_seen() {
        let copy = "COPY public.root (a) FROM stdin;\n";
        let defn = "-- load via partition root public.root";
        assert!(
            CopyTarget::of(&entry(Some(copy), Some(defn)))
                .unwrap()
                .through_root
        );
    }

    #[test]
    fn sequence_values_are_understood() {
        let value = |defn| SequenceValue::of(&entry(None, Some(defn)));
        assert_eq!(
            value(
                "SELECT pg_catalog.setval('public.\"it''s (1, true)\"', -9223372036854775808, false);\n"
            ),
            Some(SequenceValue {
                last_value: i64::MIN,
                is_called: false
            })
        );
        assert_eq!(
            value("SELECT pg_catalog.setval('public.s', 1, maybe);\n"),
            None
        );
        assert_eq!(value("SELECT 1;"), None);
    }
}
