//! Loading, indexing and gathering statistics as one flow of work over a fixed number of connections.
//!
//! As soon as a table has its rows, its primary key and unique constraints are made, then its indexes (several at once),
//! then its statistics gathered, while other tables are still being loaded: the pages are still in memory, and no
//! connection waits for the end of a phase. The statements are the archive's own. Only what depends on nothing but the
//! table and the pre-data section is taken out of pg_restore's hands this way; the rest of the post-data section (foreign
//! keys, triggers, indexes of empty or partitioned tables, ...) follows by pg_restore as ever.

use super::{
    RestoreOptions,
    data::{self, Load, Loaded},
    selection::Selection,
    source::DumpSource,
    workers::{share_out, share_out_growing},
};
use crate::{
    Result,
    archive::{Entry, Section, Toc},
    connect::ConnectOptions,
    wire::Connection,
};
use pgkeep_model::{
    CancelToken, Progress,
    evidence::{QualifiedName, quote_ident},
    manifest::DatabaseManifest,
};
use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Memory for building all indexes that are built at once, and what one is given at most and at least, in kB.
const INDEX_MEMORY: u64 = 512 << 10;
const ONE_INDEX: std::ops::RangeInclusive<u64> = 64 << 10..=256 << 10;

/// `maintenance_work_mem` for `jobs` connections that build indexes side by side, as a setting: the server's own, if that
/// is more.
pub(super) fn index_memory(connection: &mut Connection, jobs: usize) -> Result<String> {
    let own = connection.query_value(
        "SELECT pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem')) / 1024",
    )?;
    let own: u64 = own.and_then(|kb| kb.parse().ok()).unwrap_or(0);
    let share = INDEX_MEMORY / jobs.max(1) as u64;
    let share = share.clamp(*ONE_INDEX.start(), *ONE_INDEX.end());
    Ok(format!("{}kB", own.max(share)))
}

/// What is to be done, table by table.
pub(super) struct Pipeline<'a> {
    loads: Vec<Load<'a>>,
    tables: Vec<Table<'a>>,
    /// Place in `tables` by the dump id of the table.
    places: HashMap<i64, usize>,
    /// See [`index_memory`].
    index_memory: String,
}

struct Table<'a> {
    name: QualifiedName,
    /// Pieces of its rows that are still to be loaded.
    loads: AtomicUsize,
    constraints: Vec<&'a Entry>,
    indexes: Vec<&'a Entry>,
    /// Indexes that are still to be built.
    building: AtomicUsize,
    /// Not when statistics objects come later: its statistics wait for them.
    analyze: bool,
}

enum Step<'a> {
    Load(Load<'a>),
    /// All of the table's: each locks it exclusively, so they follow one another.
    Constraints(usize),
    Index(usize, &'a Entry),
    Analyze(usize),
}

impl<'a> Pipeline<'a> {
    pub(super) fn plan(
        toc: &'a Toc,
        manifest: &'a DatabaseManifest,
        selection: &Selection,
        options: &RestoreOptions,
        index_memory: &str,
    ) -> Result<Self> {
        let entries: HashMap<i64, &Entry> = toc.entries.iter().map(|e| (e.dump_id, e)).collect();
        let loads = data::plan(toc, manifest, selection, true, options.jobs)?;
        let (mut tables, mut places) = (Vec::<Table<'_>>::new(), HashMap::new());
        for id in loads.iter().filter_map(Load::table_id) {
            let place = *places.entry(id).or_insert_with(|| {
                tables.push(Table {
                    name: QualifiedName::new(entries[&id].namespace(), entries[&id].tag()),
                    loads: AtomicUsize::new(0),
                    constraints: Vec::new(),
                    indexes: Vec::new(),
                    building: AtomicUsize::new(0),
                    analyze: options.analyze || options.vacuum,
                });
                tables.len() - 1
            });
            *tables[place].loads.get_mut() += 1;
        }
        let mut pipeline = Self {
            loads,
            tables,
            places,
            index_memory: index_memory.to_owned(),
        };
        // Other encodings are left to pg_restore, which lets the server convert.
        if toc.encoding().is_none_or(|e| e == "UTF8") {
            pipeline.take_entries(toc, &entries, selection);
        }
        Ok(pipeline)
    }

    fn take_entries(
        &mut self,
        toc: &'a Toc,
        entries: &HashMap<i64, &'a Entry>,
        selection: &Selection,
    ) {
        for entry in toc.entries.iter().filter(|e| selection.has(e)) {
            let places: HashSet<usize> = entry
                .depends_on()
                .filter_map(|id| self.places.get(&id).copied())
                .collect();
            let Some(place) = places.iter().next().copied().filter(|_| places.len() == 1) else {
                continue;
            };
            let table = &mut self.tables[place];
            if entry.is("STATISTICS") {
                table.analyze = false;
            }
            let early = entry
                .depends_on()
                .filter_map(|id| entries.get(&id))
                .all(|e| e.section == Section::PreData || e.is("TABLE DATA"));
            let is_text = std::str::from_utf8(entry.defn.as_deref().unwrap_or_default()).is_ok();
            if entry.section != Section::PostData || !early || !is_text {
                continue;
            }
            if entry.is("CONSTRAINT") {
                table.constraints.push(entry);
            } else if entry.is("INDEX") {
                table.indexes.push(entry);
                *table.building.get_mut() += 1;
            }
        }
    }

    /// Entries of the post-data section that are done here.
    pub(super) fn done_early(&self) -> impl Iterator<Item = i64> + '_ {
        self.tables
            .iter()
            .flat_map(|t| t.constraints.iter().chain(&t.indexes))
            .map(|e| e.dump_id)
    }

    /// Tables whose statistics are gathered here.
    pub(super) fn analyzed(&self) -> HashSet<&QualifiedName> {
        let analyzed = self.tables.iter().filter(|t| t.analyze);
        analyzed.map(|t| &t.name).collect()
    }

    /// Does it all. Rows of extensions' tables come first, on one connection and in the archive's order.
    pub(super) fn run(
        &mut self,
        target: &ConnectOptions,
        manifest: &DatabaseManifest,
        source: &dyn DumpSource,
        options: &RestoreOptions,
        cancel: &CancelToken,
        progress: &dyn Progress,
    ) -> Result<Loaded> {
        let loaded = Loaded::default();
        let load = |connection: &mut Connection, load: &Load<'_>| {
            data::load_one(connection, load, source, cancel, progress, &loaded)
        };
        let loads = std::mem::take(&mut self.loads);
        let (first, rest): (Vec<_>, Vec<_>) = loads.into_iter().partition(Load::is_in_order);
        let open = |stop: &CancelToken| {
            let mut connection = data::open(target, manifest, stop)?;
            connection.execute(&format!(
                "SET maintenance_work_mem = '{}'",
                self.index_memory
            ))?;
            Ok(connection)
        };
        share_out(1, first, cancel, open, |connection, piece| {
            load(connection, &piece)
        })?;
        let steps = rest.into_iter().map(Step::Load).collect();
        share_out_growing(options.jobs, steps, cancel, open, |connection, step| {
            Ok(match step {
                Step::Load(piece) => {
                    load(connection, &piece)?;
                    let place = piece.table_id().and_then(|id| self.places.get(&id));
                    place.map_or(Vec::new(), |place| self.after_load(*place))
                }
                Step::Constraints(place) => {
                    for entry in &self.tables[place].constraints {
                        define(connection, entry, options, progress)?;
                    }
                    self.after_constraints(place)
                }
                Step::Index(place, entry) => {
                    define(connection, entry, options, progress)?;
                    self.after_index(place)
                }
                Step::Analyze(place) => {
                    super::analyze::analyze(connection, &self.tables[place].name, options.vacuum)?;
                    Vec::new()
                }
            })
        })?;
        Ok(loaded)
    }

    fn after_load(&self, place: usize) -> Vec<Step<'a>> {
        let table = &self.tables[place];
        if table.loads.fetch_sub(1, Ordering::SeqCst) > 1 {
            return Vec::new();
        }
        match table.constraints.is_empty() {
            true => self.after_constraints(place),
            false => vec![Step::Constraints(place)],
        }
    }

    fn after_constraints(&self, place: usize) -> Vec<Step<'a>> {
        let indexes = &self.tables[place].indexes;
        match indexes.is_empty() {
            true => self.after_all(place),
            false => indexes.iter().map(|e| Step::Index(place, e)).collect(),
        }
    }

    fn after_index(&self, place: usize) -> Vec<Step<'a>> {
        match self.tables[place].building.fetch_sub(1, Ordering::SeqCst) > 1 {
            true => Vec::new(),
            false => self.after_all(place),
        }
    }

    fn after_all(&self, place: usize) -> Vec<Step<'a>> {
        match self.tables[place].analyze {
            true => vec![Step::Analyze(place)],
            false => Vec::new(),
        }
    }
}

/// Runs an entry's own statement, in its tablespace as pg_restore would.
fn define(
    connection: &mut Connection,
    entry: &Entry,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<()> {
    let space = match entry.tablespace.as_deref() {
        Some(space) if !space.is_empty() && !options.no_tablespaces => {
            quote_ident(&String::from_utf8_lossy(space))
        }
        _ => "''".into(),
    };
    connection
        .execute(&format!("SET default_tablespace = {space}"))
        .and_then(|_| connection.execute(&entry.defn()))
        .map_err(|e| {
            let kind = entry.desc().to_lowercase();
            let (name, schema) = (entry.tag(), entry.namespace());
            e.doing(format!("making {kind} {name} of schema {schema}"))
        })?;
    progress.item(&entry.tag());
    Ok(())
}
