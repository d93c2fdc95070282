//! What a table of contents says about a schema, in a form that can be compared between a backup and its restored copy.

use super::{Entry, Section, Toc};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// True for entries that describe a schema object and are the same in a faithful copy.
///
/// Left out: data (proven by its own sums), large objects (likewise; newer pg_dump groups them otherwise), the
/// database itself (its name differs) and pg_dump's own settings.
fn is_schema_object(entry: &Entry) -> bool {
    if entry.section == Section::Data {
        return false;
    }
    match &*entry.desc() {
        "ENCODING"
        | "STDSTRINGS"
        | "SEARCHPATH"
        | "DATABASE"
        | "DATABASE PROPERTIES"
        | "BLOB"
        | "BLOBS"
        | "BLOB METADATA"
        | "BLOB COMMENTS" => false,
        "ACL" | "COMMENT" | "SECURITY LABEL" => {
            let tag = entry.tag();
            !tag.starts_with("DATABASE ") && !tag.starts_with("LARGE OBJECT")
        }
        _ => true,
    }
}

/// Number of schema objects by kind (`TABLE`, `INDEX`, `FK CONSTRAINT`, ...).
pub fn count_objects(toc: &Toc) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for entry in toc.entries.iter().filter(|e| is_schema_object(e)) {
        *counts.entry(entry.desc().into_owned()).or_default() += 1;
    }
    counts
}

/// SHA-256, hexadecimal, over kind, schema, name, owner, tablespace, access method and definition of every schema object,
/// sorted, so that dump ids and dump order do not matter. Comparable between dumps made by the same major of pg_dump.
pub fn schema_sha256(toc: &Toc) -> String {
    let mut objects: Vec<[&[u8]; 7]> = toc
        .entries
        .iter()
        .filter(|e| is_schema_object(e))
        .map(|e| {
            [
                &e.desc,
                &e.namespace,
                &e.tag,
                &e.owner,
                &e.tablespace,
                &e.access_method,
                &e.defn,
            ]
            .map(|text| text.as_deref().unwrap_or_default())
        })
        .collect();
    objects.sort_unstable();
    let mut hash = Sha256::new();
    for part in objects.iter().flatten() {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

/// The text that defines each schema object, by kind and name (`schema.name`, or the name alone), for comparing two
/// schemas object by object. An owner other than the database's shows as a comment line, for it is part of an object.
pub fn definitions(toc: &Toc) -> BTreeMap<(String, String), String> {
    let mut all: BTreeMap<(String, String), String> = BTreeMap::new();
    for entry in toc.entries.iter().filter(|e| is_schema_object(e)) {
        let name = match &*entry.namespace() {
            "" => entry.tag().into_owned(),
            schema => format!("{schema}.{}", entry.tag()),
        };
        let mut text = entry.defn().trim_end().to_owned();
        if !entry.owner().is_empty() {
            text.push_str(&format!("\n-- owner: {}", entry.owner()));
        }
        // Two entries of one name and kind (rules, say) become one text.
        let slot = all.entry((entry.desc().into_owned(), name)).or_default();
        if !slot.is_empty() {
            slot.push('\n');
        }
        slot.push_str(&text);
    }
    all
}

/// Name and schema of the extensions that the archive creates.
pub fn extensions(toc: &Toc) -> Vec<(String, String)> {
    toc.entries
        .iter()
        .filter(|e| e.is("EXTENSION"))
        .map(|e| {
            // `CREATE EXTENSION IF NOT EXISTS name WITH SCHEMA schema;`
            let defn = e.defn();
            let schema = defn
                .rsplit_once(" WITH SCHEMA ")
                .map_or("", |(_, s)| s.trim().trim_end_matches(';'));
            let schema = match schema.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
                Some(quoted) => quoted.replace("\"\"", "\""),
                None => schema.to_owned(),
            };
            (e.tag().into_owned(), schema)
        })
        .collect()
}
