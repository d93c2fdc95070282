//! What proves a restored database equal to the one that was backed up.
//!
//! Evidence is recorded inside the dump's own snapshot and recomputed after every restore. A table's content hash does
//! not depend on row order: each row's COPY text line (without its newline) is hashed with XXH3-128 and the hashes are
//! summed modulo 2^128, so workers can split a table freely and add their partial sums.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Sum of the rows' 128-bit hashes, shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub u128);

impl ContentHash {
    /// Adds the hash of one row, or of another part of the same table.
    pub fn add(&mut self, other: ContentHash) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentHash {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(s, 16).map(ContentHash)
    }
}

impl Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Row count, size and hash of some COPY text: a table, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContentSum {
    pub rows: u64,
    /// Bytes of COPY text, newlines included.
    pub bytes: u64,
    pub hash: ContentHash,
}

impl ContentSum {
    pub fn add(&mut self, other: ContentSum) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.hash.add(other.hash);
    }
}

/// A qualified name as PostgreSQL stores it, without quoting.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QualifiedName {
    pub schema: String,
    pub name: String,
}

impl QualifiedName {
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// The name as it can stand in SQL, every part quoted.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.name))
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Quotes an identifier for SQL, always (so no keyword list is needed).
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string for SQL, valid whatever `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEvidence {
    #[serde(flatten)]
    pub name: QualifiedName,
    #[serde(flatten)]
    pub content: ContentSum,
    /// The columns that were read, in order, as they stand in SQL (quoted where needed), comma separated; empty for a table with no columns.
    pub columns: String,
    /// The condition under which rows belong to the dump (configuration tables of extensions), as SQL with `WHERE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceEvidence {
    #[serde(flatten)]
    pub name: QualifiedName,
    pub last_value: i64,
    pub is_called: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionEvidence {
    pub name: String,
    pub version: String,
    pub schema: String,
}

/// Large objects taken together: the hash is the sum over objects of XXH3-128 of (oid as 4 little-endian bytes, then the content).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LargeObjectEvidence {
    pub count: u64,
    pub bytes: u64,
    pub hash: ContentHash,
}

/// Everything recorded about the content of one database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DatabaseEvidence {
    /// Sorted by name. Tables whose data was excluded on purpose are not listed.
    pub tables: Vec<TableEvidence>,
    pub sequences: Vec<SequenceEvidence>,
    pub extensions: Vec<ExtensionEvidence>,
    pub large_objects: LargeObjectEvidence,
    /// Number of objects in the schema by kind as the table of contents names them (`TABLE`, `INDEX`, `FK CONSTRAINT` ...).
    pub objects: BTreeMap<String, u64>,
    /// SHA-256, hexadecimal, over the definitions in the table of contents sorted by kind and name.
    pub schema_sha256: String,
}

impl DatabaseEvidence {
    /// Rows of all tables; large objects are none.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|t| t.content.rows).sum()
    }

    /// Bytes of all rows, as COPY writes them, and of all large objects.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|t| t.content.bytes).sum::<u64>() + self.large_objects.bytes
    }
}

/// How thoroughly a restored database is compared with its evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// Row counts and content hashes of every table, large objects, sequences, extensions, objects.
    #[default]
    Full,
    /// Row counts instead of hashes.
    Counts,
    None,
}

/// One thing that differs between expectation and finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What differs: `table public.orders rows`, `sequence public.orders_id_seq`.
    pub what: String,
    pub expected: String,
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, found {}",
            self.what, self.expected, self.found
        )
    }
}

/// Compares what was recorded with what was found; empty means proven. Under [`Proof::Counts`] hashes and bytes are not looked at.
pub fn compare(
    expected: &DatabaseEvidence,
    found: &DatabaseEvidence,
    proof: Proof,
) -> Vec<Difference> {
    if proof == Proof::None {
        return Vec::new();
    }
    let mut out = Vec::new();
    compare_tables(expected, found, proof, &mut out);
    compare_maps(
        "sequence",
        expected
            .sequences
            .iter()
            .map(|s| (s.name.to_string(), show_sequence(s))),
        found
            .sequences
            .iter()
            .map(|s| (s.name.to_string(), show_sequence(s))),
        &mut out,
    );
    compare_maps(
        "extension",
        expected
            .extensions
            .iter()
            .map(|e| (e.name.clone(), e.schema.clone())),
        found
            .extensions
            .iter()
            .map(|e| (e.name.clone(), e.schema.clone())),
        &mut out,
    );
    let (want, have) = (&expected.large_objects, &found.large_objects);
    if want.count != have.count || (proof == Proof::Full && want != have) {
        out.push(Difference {
            what: "large objects".into(),
            expected: show_large_objects(want),
            found: show_large_objects(have),
        });
    }
    compare_maps(
        "number of schema objects of kind",
        expected
            .objects
            .iter()
            .map(|(k, n)| (k.clone(), n.to_string())),
        found
            .objects
            .iter()
            .map(|(k, n)| (k.clone(), n.to_string())),
        &mut out,
    );
    out
}

fn compare_tables(
    expected: &DatabaseEvidence,
    found: &DatabaseEvidence,
    proof: Proof,
    out: &mut Vec<Difference>,
) {
    let have: BTreeMap<_, _> = found.tables.iter().map(|t| (&t.name, &t.content)).collect();
    for table in &expected.tables {
        let Some(content) = have.get(&table.name) else {
            out.push(Difference {
                what: format!("table {}", table.name),
                expected: format!("{} rows", table.content.rows),
                found: "no such table".into(),
            });
            continue;
        };
        if content.rows != table.content.rows {
            out.push(Difference {
                what: format!("table {} rows", table.name),
                expected: table.content.rows.to_string(),
                found: content.rows.to_string(),
            });
        } else if proof == Proof::Full && content.hash != table.content.hash {
            out.push(Difference {
                what: format!("table {} content hash", table.name),
                expected: table.content.hash.to_string(),
                found: content.hash.to_string(),
            });
        }
    }
    let want: std::collections::BTreeSet<_> = expected.tables.iter().map(|t| &t.name).collect();
    for table in &found.tables {
        if !want.contains(&table.name) {
            out.push(Difference {
                what: format!("table {}", table.name),
                expected: "no such table".into(),
                found: format!("{} rows", table.content.rows),
            });
        }
    }
}

fn compare_maps(
    kind: &str,
    expected: impl Iterator<Item = (String, String)>,
    found: impl Iterator<Item = (String, String)>,
    out: &mut Vec<Difference>,
) {
    let want: BTreeMap<_, _> = expected.collect();
    let have: BTreeMap<_, _> = found.collect();
    let names: std::collections::BTreeSet<_> = want.keys().chain(have.keys()).collect();
    for name in names {
        let (w, h) = (want.get(name), have.get(name));
        if w != h {
            let show = |v: Option<&String>| v.cloned().unwrap_or_else(|| "none".into());
            out.push(Difference {
                what: format!("{kind} {name}"),
                expected: show(w),
                found: show(h),
            });
        }
    }
}

fn show_sequence(s: &SequenceEvidence) -> String {
    format!(
        "{} ({})",
        s.last_value,
        if s.is_called {
            "called"
        } else {
            "not yet called"
        }
    )
}

fn show_large_objects(l: &LargeObjectEvidence) -> String {
    format!("{} objects, {} bytes, hash {}", l.count, l.bytes, l.hash)
}
