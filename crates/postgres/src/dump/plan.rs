//! What has to be read: the members of the dump, and the pieces of work that fill them.

use super::{
    DumpOptions,
    catalog::{self, Relation},
    ranges::{self, BlockRange},
};
use crate::{
    Error, Result,
    archive::{Entry, Toc, loads_through_root},
    wire::Connection,
};
use pgkeep_model::manifest::MemberContent;
use std::collections::{HashMap, HashSet};

/// Large objects read by one statement's round trip.
const LARGE_OBJECT_BATCH: usize = 64;
/// First server that finds a ctid range without reading the whole table.
const TID_RANGE_SCANS: u32 = 140_000;

/// A member that data goes into, and in how many parts.
#[derive(Debug)]
pub(super) struct PlannedMember {
    pub file: String,
    pub what: MemberContent,
    /// Set for tables.
    pub relation: Option<Relation>,
    /// Ranges that are read side by side; one for a table that is not split.
    pub ranges: Vec<BlockRange>,
    /// Lines of a list of large objects.
    pub list: Vec<u8>,
}

/// One piece of work for one connection.
#[derive(Debug)]
pub(super) enum Work {
    /// One range of a table: index of the member and of its range.
    Rows { member: usize, range: usize },
    /// Large objects whose members follow one another from `first`.
    LargeObjects { first: usize, oids: Vec<u32> },
}

/// Members in the order of the table of contents, work with the largest piece first.
#[derive(Debug)]
pub(super) struct Plan {
    /// The table of contents with the members' file names.
    pub toc: Toc,
    pub members: Vec<PlannedMember>,
    pub work: Vec<Work>,
    pub estimated_bytes: u64,
}

/// Turns the captured table of contents into members and work.
pub(super) fn make(toc: &Toc, connection: &mut Connection, options: &DumpOptions) -> Result<Plan> {
    let mut toc = toc.for_files(|entry| match entry.is("BLOBS") {
        true => toc.large_object_list_name(entry),
        false => format!("{}.dat", entry.dump_id),
    });
    load_configuration_tables_in_order(&mut toc);
    let tables = toc.entries.iter().filter(|e| e.is("TABLE DATA"));
    let mut relations = catalog::relations(connection, tables.map(Entry::oid))?;
    let may_split = connection.server_version_num() >= TID_RANGE_SCANS;

    let mut members = Vec::new();
    let mut weighed: Vec<(u64, Work)> = Vec::new();
    for entry in toc.entries.iter().filter(|e| e.has_data) {
        if entry.is("TABLE DATA") {
            let relation = relations
                .remove(&entry.oid())
                .ok_or_else(|| unexpected(entry, "is not in the catalogs"))?;
            plan_table(
                entry,
                relation,
                may_split,
                options,
                &mut members,
                &mut weighed,
            );
        } else if entry.is("BLOBS") {
            plan_large_objects(&toc, entry, connection, &mut members, &mut weighed)?;
        } else {
            return Err(unexpected(entry, "has data of a kind that is not known"));
        }
    }
    // Stable, so the ranges of one table keep their order and are read front to back.
    weighed.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let estimated_bytes = weighed.iter().map(|(bytes, _)| bytes).sum();
    Ok(Plan {
        toc,
        members,
        work: weighed.into_iter().map(|(_, work)| work).collect(),
        estimated_bytes,
    })
}

/// Makes the rows of each extension's configuration table wait for those of the one before.
///
/// Their foreign keys are there as soon as the extension is, and pg_dump sorts the tables so that loading one by one
/// works, but it does not write the dependencies down: its own archives fail by chance in `pg_restore -j`.
fn load_configuration_tables_in_order(toc: &mut Toc) {
    let made_by_archive: HashSet<i64> = toc
        .entries
        .iter()
        .filter(|e| e.is("TABLE"))
        .map(|e| e.dump_id)
        .collect();
    let mut previous = None;
    for entry in toc.entries.iter_mut().filter(|e| e.is("TABLE DATA")) {
        if entry.depends_on().any(|id| made_by_archive.contains(&id)) {
            continue;
        }
        let dependency = previous.map(|id: i64| id.to_string().into_bytes());
        entry.dependencies.extend(dependency);
        previous = Some(entry.dump_id);
    }
}

fn plan_table(
    entry: &Entry,
    relation: Relation,
    may_split: bool,
    options: &DumpOptions,
    members: &mut Vec<PlannedMember>,
    weighed: &mut Vec<(u64, Work)>,
) {
    let split = may_split
        && relation.is_heap
        && relation.condition.is_none()
        && relation.bytes > options.split_above_bytes;
    let ranges = match split {
        true => ranges::split_by(
            options.range_bytes,
            relation.blocks,
            relation.bytes,
            relation.block_size,
        ),
        false => vec![(0, None)],
    };
    let share = relation.bytes / ranges.len() as u64;
    for range in 0..ranges.len() {
        let member = members.len();
        weighed.push((share, Work::Rows { member, range }));
    }
    // Rows that are routed anew when they are restored can be proven only for all partitions together.
    let proven_as = match &relation.root {
        Some(root) if loads_through_root(entry) => root.clone(),
        _ => relation.name.clone(),
    };
    members.push(PlannedMember {
        file: entry.file().expect("for_files names all data").to_owned(),
        what: MemberContent::Table { name: proven_as },
        relation: Some(relation),
        ranges,
        list: Vec::new(),
    });
}

/// Each object is a member of its own, then comes their list.
fn plan_large_objects(
    toc: &Toc,
    entry: &Entry,
    connection: &mut Connection,
    members: &mut Vec<PlannedMember>,
    weighed: &mut Vec<(u64, Work)>,
) -> Result<()> {
    let oids = large_objects_of(toc, entry)?;
    let all: u64 = connection
        .query_value("SELECT pg_relation_size('pg_largeobject')")?
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let share = all / (oids.len() as u64).max(1);
    for batch in oids.chunks(LARGE_OBJECT_BATCH) {
        let work = Work::LargeObjects {
            first: members.len(),
            oids: batch.to_vec(),
        };
        weighed.push((share * batch.len() as u64, work));
        members.extend(batch.iter().map(|oid| PlannedMember {
            file: format!("blob_{oid}.dat"),
            what: MemberContent::LargeObject { oid: *oid },
            relation: None,
            ranges: Vec::new(),
            list: Vec::new(),
        }));
    }
    let lines: String = oids
        .iter()
        .map(|oid| format!("{oid} blob_{oid}.dat\n"))
        .collect();
    members.push(PlannedMember {
        file: entry.file().expect("for_files names all data").to_owned(),
        what: MemberContent::LargeObjectToc,
        relation: None,
        ranges: Vec::new(),
        list: lines.into_bytes(),
    });
    Ok(())
}

/// The objects whose data a `BLOBS` entry holds: up to 1.15 all `BLOB` entries; since then those that the `BLOB METADATA`
/// entry it depends on creates, one OID on each line of its definition.
fn large_objects_of(toc: &Toc, entry: &Entry) -> Result<Vec<u32>> {
    if toc.header.version.1 < 16 {
        let blobs = toc.entries.iter().filter(|e| e.is("BLOB"));
        return blobs.map(|e| parse_oid(&e.tag(), e)).collect();
    }
    let by_id: HashMap<i64, &Entry> = toc.entries.iter().map(|e| (e.dump_id, e)).collect();
    let metadata = entry
        .depends_on()
        .filter_map(|id| by_id.get(&id).copied())
        .find(|e| e.is("BLOB METADATA"))
        .ok_or_else(|| unexpected(entry, "names no large objects"))?;
    metadata
        .defn()
        .split_ascii_whitespace()
        .map(|oid| parse_oid(oid, metadata))
        .collect()
}

fn parse_oid(text: &str, entry: &Entry) -> Result<u32> {
    text.parse()
        .map_err(|_| unexpected(entry, "does not name a large object"))
}

fn unexpected(entry: &Entry, what: &str) -> Error {
    Error::Protocol {
        doing: "reading pg_dump's table of contents".into(),
        what: format!(
            "entry {} ({} {} {}) {what}",
            entry.dump_id,
            entry.desc(),
            entry.namespace(),
            entry.tag()
        ),
    }
}
