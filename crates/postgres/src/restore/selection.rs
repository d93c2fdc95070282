//! Which entries of a table of contents a restore takes: all of them, or what some tables or schemas need.
//!
//! A selected table brings along what belongs to it (data, indexes, constraints, triggers, owned sequences, comments,
//! grants) and, as structure only, whatever its definition needs (types, functions, parents, extensions, schemas).
//! Foreign keys and partition links to tables that are not selected are left out and named.

use crate::{
    Error, Result,
    archive::{Entry, Section, Toc},
    nearest::{did_you_mean, nearest},
};
use pgkeep_model::evidence::QualifiedName;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The chosen part of a table of contents, by dump id.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Everything to restore; `None` takes the whole archive.
    ids: Option<BTreeSet<i64>>,
    /// Relations whose content is restored, when not everything is.
    relations: BTreeSet<QualifiedName>,
    /// Tables or schemas were named.
    chosen: bool,
    /// What had to be left out although it touches the selection, in words.
    pub left_out: Vec<String>,
}

/// Kinds that belong to a relation and make no sense without it.
const ATTACHED: [&str; 20] = [
    "TABLE DATA",
    "MATERIALIZED VIEW DATA",
    "SEQUENCE SET",
    "SEQUENCE OWNED BY",
    "DEFAULT",
    "INDEX",
    "CONSTRAINT",
    "CHECK CONSTRAINT",
    "FK CONSTRAINT",
    "TRIGGER",
    "RULE",
    "POLICY",
    "ROW SECURITY",
    "STATISTICS",
    "STATISTICS DATA",
    "TABLE ATTACH",
    "INDEX ATTACH",
    "COMMENT",
    "ACL",
    "SECURITY LABEL",
];
const RELATIONS: [&str; 5] = [
    "TABLE",
    "VIEW",
    "MATERIALIZED VIEW",
    "FOREIGN TABLE",
    "SEQUENCE",
];

impl Selection {
    /// The whole archive.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Chooses tables (`name`, or `schema.name`) and whole schemas; with neither, everything.
    ///
    /// # Errors
    /// Names that the archive does not hold.
    pub fn choose(toc: &Toc, tables: &[String], schemas: &[String]) -> Result<Self> {
        if tables.is_empty() && schemas.is_empty() {
            return Ok(Self::everything());
        }
        let graph = Graph::of(toc);
        let mut wanted = named_relations(toc, tables)?;
        wanted.extend(whole_schemas(toc, schemas)?);
        graph.add_parts(&mut wanted);
        let mut ids = wanted.clone();
        let mut left_out = Vec::new();
        graph.add_attached(&mut ids, &mut left_out);
        graph.add_needed(&mut ids);
        let relations = toc
            .entries
            .iter()
            .filter(|e| wanted.contains(&e.dump_id) && is_relation(e))
            .map(|e| QualifiedName::new(e.namespace(), e.tag()))
            .collect();
        Ok(Self {
            ids: Some(ids),
            relations,
            chosen: true,
            left_out,
        })
    }

    /// True when no tables or schemas were chosen, although single entries may have been taken out.
    pub fn is_whole(&self) -> bool {
        !self.chosen
    }

    pub fn has(&self, entry: &Entry) -> bool {
        self.ids
            .as_ref()
            .is_none_or(|ids| ids.contains(&entry.dump_id))
    }

    /// True when the relation's content is part of the selection.
    pub fn has_content_of(&self, name: &QualifiedName) -> bool {
        self.is_whole() || self.relations.contains(name)
    }

    /// Relations chosen by name or schema; empty when everything is.
    pub fn relations(&self) -> &BTreeSet<QualifiedName> {
        &self.relations
    }

    /// Takes an entry out.
    pub fn remove(&mut self, toc: &Toc, dump_id: i64) {
        self.ids
            .get_or_insert_with(|| toc.entries.iter().map(|e| e.dump_id).collect())
            .remove(&dump_id);
    }

    /// Keeps only the entries that `keep` says yes to.
    pub(super) fn narrow(&mut self, toc: &Toc, keep: impl Fn(&Entry) -> bool) {
        let kept = toc.entries.iter().filter(|e| self.has(e) && keep(e));
        self.ids = Some(kept.map(|e| e.dump_id).collect());
    }

    /// The same with the content of these relations alone.
    pub(super) fn only(&self, relations: &BTreeSet<QualifiedName>) -> Self {
        Self {
            relations: relations.clone(),
            chosen: true,
            ..self.clone()
        }
    }

    /// Puts an entry in; everything is in already when nothing was taken out.
    pub(super) fn add(&mut self, dump_id: i64) {
        if let Some(ids) = &mut self.ids {
            ids.insert(dump_id);
        }
    }

    /// The list that `pg_restore --use-list` reads, in the archive's own order; `None` when nothing is left out.
    pub fn use_list(&self, toc: &Toc) -> Option<String> {
        let ids = self.ids.as_ref()?;
        let lines = toc
            .entries
            .iter()
            .filter(|e| ids.contains(&e.dump_id))
            .map(|e| format!("{};\n", e.dump_id));
        Some(lines.collect())
    }
}

pub(super) fn is_relation(entry: &Entry) -> bool {
    RELATIONS.iter().any(|kind| entry.is(kind))
}

fn named_relations(toc: &Toc, tables: &[String]) -> Result<BTreeSet<i64>> {
    let mut found = BTreeSet::new();
    for name in tables {
        let (schema, table) = split_name(name);
        let before = found.len();
        found.extend(
            toc.entries
                .iter()
                .filter(|e| is_relation(e) && e.tag() == *table)
                .filter(|e| schema.as_deref().is_none_or(|s| e.namespace() == *s))
                .map(|e| e.dump_id),
        );
        if found.len() == before {
            let relations = toc.entries.iter().filter(|e| is_relation(e));
            let known: BTreeSet<QualifiedName> = relations
                .map(|e| QualifiedName::new(e.namespace(), e.tag()))
                .collect();
            let near: Vec<String> = nearest(name, &known)
                .iter()
                .map(ToString::to_string)
                .collect();
            return Err(Error::refused(
                format!("the backup holds no table {name}"),
                format!(
                    "write `table` or `schema.table` exactly as `pgkeep show` lists it, upper and lower case too (no \
                     wildcards), with \"double quotes\" around a name that has a dot in it{}",
                    did_you_mean(&near)
                ),
            ));
        }
    }
    Ok(found)
}

/// Splits `schema.table`; parts may be quoted as in SQL.
fn split_name(text: &str) -> (Option<String>, String) {
    let (mut parts, mut current, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                current.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted && parts.is_empty() => parts.push(std::mem::take(&mut current)),
            c => current.push(c),
        }
    }
    (parts.pop(), current)
}

fn whole_schemas(toc: &Toc, schemas: &[String]) -> Result<BTreeSet<i64>> {
    let mut found = BTreeSet::new();
    for schema in schemas {
        let before = found.len();
        found.extend(
            toc.entries
                .iter()
                .filter(|e| e.namespace() == **schema || (e.is("SCHEMA") && e.tag() == **schema))
                .map(|e| e.dump_id),
        );
        if found.len() == before {
            let known: BTreeSet<QualifiedName> = toc
                .entries
                .iter()
                .map(|e| QualifiedName::new("", e.namespace()))
                .filter(|n| !n.name.is_empty())
                .collect();
            let near: Vec<&str> = nearest(schema, &known)
                .iter()
                .map(|n| n.name.as_str())
                .collect();
            return Err(Error::refused(
                format!("the backup holds no schema {schema}"),
                format!(
                    "write it exactly as `pgkeep show` lists it before the tables' names, upper and lower case too (no wildcards){}",
                    did_you_mean(&near)
                ),
            ));
        }
    }
    Ok(found)
}

/// The archive's entries with their dependencies in both directions.
struct Graph<'a> {
    entries: HashMap<i64, &'a Entry>,
    needs: BTreeMap<i64, Vec<i64>>,
    needed_by: HashMap<i64, Vec<i64>>,
}

impl<'a> Graph<'a> {
    fn of(toc: &'a Toc) -> Self {
        let mut needed_by: HashMap<i64, Vec<i64>> = HashMap::new();
        let mut needs = BTreeMap::new();
        for entry in &toc.entries {
            let ids: Vec<i64> = entry.depends_on().collect();
            for id in &ids {
                needed_by.entry(*id).or_default().push(entry.dump_id);
            }
            needs.insert(entry.dump_id, ids);
        }
        Self {
            entries: toc.entries.iter().map(|e| (e.dump_id, e)).collect(),
            needs,
            needed_by,
        }
    }

    fn needs(&self, id: i64) -> impl Iterator<Item = (i64, &'a Entry)> + '_ {
        self.needs
            .get(&id)
            .into_iter()
            .flatten()
            .filter_map(|id| Some((*id, *self.entries.get(id)?)))
    }

    /// Adds the partitions of chosen tables and the sequences they own, with their content.
    fn add_parts(&self, wanted: &mut BTreeSet<i64>) {
        let mut queue: Vec<i64> = wanted.iter().copied().collect();
        while let Some(id) = queue.pop() {
            if !self.entries.get(&id).is_some_and(|e| is_relation(e)) {
                continue;
            }
            for dependent in self.needed_by.get(&id).into_iter().flatten() {
                let Some(entry) = self.entries.get(dependent) else {
                    continue;
                };
                let parts: Vec<i64> = match &*entry.desc() {
                    "SEQUENCE" => vec![*dependent],
                    // The link names the partition and depends on both; only the parent's side brings the other along.
                    "TABLE ATTACH" => self
                        .needs(*dependent)
                        .filter(|(other, e)| *other != id && e.tag() == entry.tag())
                        .map(|(other, _)| other)
                        .collect(),
                    _ => continue,
                };
                for part in parts {
                    if wanted.insert(part) {
                        queue.push(part);
                    }
                }
            }
        }
    }

    /// Adds what belongs to chosen objects; links to relations outside are left out by name.
    fn add_attached(&self, ids: &mut BTreeSet<i64>, left_out: &mut Vec<String>) {
        let mut queue: Vec<i64> = ids.iter().copied().collect();
        let mut refused = HashSet::new();
        while let Some(id) = queue.pop() {
            for dependent in self.needed_by.get(&id).into_iter().flatten() {
                let Some(entry) = self.entries.get(dependent) else {
                    continue;
                };
                if ids.contains(dependent) || !ATTACHED.contains(&&*entry.desc()) {
                    continue;
                }
                if self.links_outside(*dependent, ids) {
                    // Only what the chosen relation itself loses is worth telling, not links that others have to it.
                    if is_part_of(entry, self.entries[&id]) && refused.insert(*dependent) {
                        left_out.push(describe(entry));
                    }
                    continue;
                }
                refused.remove(dependent);
                ids.insert(*dependent);
                queue.push(*dependent);
            }
        }
        // An entry refused early may have been accepted once its other end was.
        left_out.retain(|text| refused.iter().any(|id| describe(self.entries[id]) == *text));
        // A schema chosen whole brings its foreign keys too: those that lead out of the selection cannot be made.
        let leaving: Vec<i64> = ids
            .iter()
            .copied()
            .filter(|id| {
                self.entries.get(id).is_some_and(|e| {
                    e.is("FK CONSTRAINT") || e.is("TABLE ATTACH") || e.is("INDEX ATTACH")
                }) && self.links_outside(*id, ids)
            })
            .collect();
        for id in leaving {
            ids.remove(&id);
            left_out.push(describe(self.entries[&id]));
        }
    }

    /// True for a link between two relations of which one is not chosen.
    fn links_outside(&self, id: i64, ids: &BTreeSet<i64>) -> bool {
        let entry = self.entries[&id];
        let link = ["FK CONSTRAINT", "TABLE ATTACH", "INDEX ATTACH"]
            .iter()
            .any(|kind| entry.is(kind));
        link && self.needs(id).any(|(other, e)| {
            !ids.contains(&other) && (is_relation(e) || e.is("INDEX") || e.is("CONSTRAINT"))
        })
    }

    /// Adds, as structure only, everything that chosen entries need before them.
    fn add_needed(&self, ids: &mut BTreeSet<i64>) {
        let mut queue: Vec<i64> = ids.iter().copied().collect();
        let settings = self
            .entries
            .values()
            .filter(|e| {
                ["ENCODING", "STDSTRINGS", "SEARCHPATH"]
                    .iter()
                    .any(|kind| e.is(kind))
            })
            .map(|e| e.dump_id);
        ids.extend(settings);
        while let Some(id) = queue.pop() {
            for (needed, entry) in self.needs(id) {
                if entry.section != Section::Data && ids.insert(needed) {
                    queue.push(needed);
                }
            }
            // Objects do not always record their schema as a dependency.
            let namespace = self.entries[&id].namespace();
            if !namespace.is_empty() {
                let schemas = self
                    .entries
                    .values()
                    .filter(|e| e.is("SCHEMA") && e.tag() == namespace);
                for schema in schemas {
                    if ids.insert(schema.dump_id) {
                        queue.push(schema.dump_id);
                    }
                }
            }
        }
    }
}

/// pg_dump tags what belongs to a relation with its name, alone or before the part's own.
fn is_part_of(entry: &Entry, relation: &Entry) -> bool {
    let (tag, name) = (entry.tag(), relation.tag());
    let rest = tag.strip_prefix(&*name);
    entry.namespace() == relation.namespace()
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

pub(super) fn describe(entry: &Entry) -> String {
    format!(
        "{} {} of schema {}",
        entry.desc().to_lowercase(),
        entry.tag(),
        entry.namespace()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_sql_would() {
        let check = |text: &str, schema: Option<&str>, table: &str| {
            assert_eq!(
                split_name(text),
                (schema.map(String::from), table.to_string())
            );
        };
        check("orders", None, "orders");
        check("shop.orders", Some("shop"), "orders");
        check(r#""a.b"."c""d""#, Some("a.b"), "c\"d");
    }
}
