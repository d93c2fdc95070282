//! Loading rows: COPY FROM STDIN on many connections, biggest pieces first.
//!
//! A table is truncated and loaded `WITH (FREEZE)` by one connection in one transaction, so its pages need no vacuum later
//! and whoever reads them next (indexes, foreign keys, the proof) need not judge and mark every row. Only one that holds
//! more than its connection's share of all rows has the pieces in which it was stored loaded side by side instead. Tables
//! that the restore did not create (configuration tables of extensions, targets of a data-only restore) are never
//! truncated.

use super::{selection::Selection, source::DumpSource};
use crate::{
    Error, Result,
    archive::{COPY_END, CopyTarget, Entry, Toc},
    connect::ConnectOptions,
    wire::Connection,
};
use pgkeep_model::{
    CancelToken, Progress,
    evidence::{QualifiedName, quote_ident, quote_literal},
    manifest::{DatabaseManifest, Member, MemberContent},
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io::{self, Read},
    sync::atomic::{AtomicU64, Ordering},
};

/// What one COPY loads.
#[derive(Debug, Clone)]
pub(super) struct Load<'a> {
    member: &'a Member,
    /// `None` loads the whole member.
    segment: Option<usize>,
    bytes: u64,
    table: String,
    columns: String,
    encoding: Option<String>,
    /// Truncate first and write frozen rows.
    fresh: bool,
    /// The table came with its extension, foreign keys included: it is loaded before all others, in the archive's order.
    in_order: bool,
    /// The archive's entry of the table, when this restore made it and all its rows come this way.
    table_id: Option<i64>,
}

/// Rows and bytes loaded.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Loaded {
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The pieces to load by `jobs` connections, biggest first. `created` says that the tables of the archive were made by
/// this restore.
pub(super) fn plan<'a>(
    toc: &Toc,
    manifest: &'a DatabaseManifest,
    selection: &Selection,
    created: bool,
    jobs: usize,
) -> Result<Vec<Load<'a>>> {
    let members: HashMap<&str, &Member> = manifest
        .members
        .iter()
        .map(|m| (m.file.as_str(), m))
        .collect();
    let tables: HashSet<i64> = toc
        .entries
        .iter()
        .filter(|e| e.is("TABLE"))
        .map(|e| e.dump_id)
        .collect();
    let encoding = toc.encoding().filter(|e| e != "UTF8");
    let tables_bytes: u64 = manifest
        .members
        .iter()
        .filter(|m| matches!(m.what, MemberContent::Table { .. }))
        .map(|m| m.size)
        .sum();
    let share = tables_bytes / jobs.max(1) as u64;
    let mut loads = Vec::new();
    for (entry, name) in table_data(toc, selection) {
        let member = entry.file().and_then(|file| members.get(file)).copied().ok_or_else(|| Error::Refused {
            what: format!("the backup holds no data for table {name}, which its table of contents promises"),
            hint: None,
        })?;
        if !matches!(member.what, MemberContent::Table { .. }) {
            return Err(Error::Refused {
                what: format!(
                    "member {} of the backup is not the data of table {name}",
                    member.file
                ),
                hint: None,
            });
        }
        let target = copy_target(entry, manifest, &name)?;
        let table_id = entry.depends_on().find(|id| tables.contains(id));
        let made_here = created && table_id.is_some();
        let pieces = loads_of(member, &target, encoding.clone(), made_here, share);
        loads.extend(pieces.into_iter().map(|load| Load {
            in_order: table_id.is_none(),
            table_id: table_id.filter(|_| made_here && !target.through_root),
            ..load
        }));
    }
    // Stable: those that go first keep the archive's order.
    loads.sort_by_key(|load| match load.in_order {
        true => (false, std::cmp::Reverse(0)),
        false => (true, std::cmp::Reverse(load.bytes)),
    });
    Ok(loads)
}

/// The chosen entries that hold rows, with their tables' names.
fn table_data<'a>(
    toc: &'a Toc,
    selection: &'a Selection,
) -> impl Iterator<Item = (&'a Entry, QualifiedName)> {
    toc.entries
        .iter()
        .filter(|e| e.is("TABLE DATA") && e.has_data && selection.has(e))
        .map(|e| (e, QualifiedName::new(e.namespace(), e.tag())))
        .filter(|(_, name)| selection.has_content_of(name))
}

/// Names of the chosen tables that have rows in the dump.
pub(super) fn table_names(toc: &Toc, selection: &Selection) -> BTreeSet<QualifiedName> {
    table_data(toc, selection).map(|(_, name)| name).collect()
}

/// What `TRUNCATE` must name to empty all tables that have rows in the dump, empty ones included.
pub(super) fn tables_to_empty(
    toc: &Toc,
    manifest: &DatabaseManifest,
    selection: &Selection,
) -> Result<Vec<String>> {
    let mut tables = table_data(toc, selection)
        .map(|(entry, name)| {
            let target = copy_target(entry, manifest, &name)?;
            Ok(match target.through_root {
                true => target.table,
                false => format!("ONLY {}", target.table),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    tables.sort_unstable();
    tables.dedup();
    Ok(tables)
}

/// Table and columns of the COPY statement. Where its text is in another encoding, the manifest knows the names.
fn copy_target(
    entry: &Entry,
    manifest: &DatabaseManifest,
    name: &QualifiedName,
) -> Result<CopyTarget> {
    if let Some(target) = CopyTarget::of(entry) {
        return Ok(target);
    }
    let evidence = manifest.evidence.tables.iter().find(|t| t.name == *name);
    evidence
        .map(|table| CopyTarget {
            table: name.quoted(),
            columns: table.columns.clone(),
            through_root: false,
        })
        .ok_or_else(|| Error::Refused {
            what: format!(
                "the COPY statement of table {name} in the table of contents cannot be understood"
            ),
            hint: Some("restore this backup with stock pg_restore".into()),
        })
}

fn loads_of<'a>(
    member: &'a Member,
    target: &CopyTarget,
    encoding: Option<String>,
    made_here: bool,
    share: u64,
) -> Vec<Load<'a>> {
    let load = |segment, bytes, fresh| Load {
        member,
        segment,
        bytes,
        table: target.table.clone(),
        columns: target.columns.clone(),
        encoding: encoding.clone(),
        fresh,
        in_order: false,
        table_id: None,
    };
    let full: Vec<usize> = (0..member.segments.len())
        .filter(|i| member.segments[*i].rows.is_some_and(|rows| rows > 0))
        .collect();
    let fresh = made_here && !target.through_root;
    if full.len() > 1 && !(fresh && member.size <= share) {
        return full
            .into_iter()
            .map(|i| load(Some(i), member.segments[i].bytes, false))
            .collect();
    }
    if member.size <= COPY_END.len() as u64 {
        return Vec::new(); // nothing but the end mark
    }
    vec![load(None, member.size, fresh)]
}

impl Load<'_> {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_in_order(&self) -> bool {
        self.in_order
    }

    pub(super) fn table_id(&self) -> Option<i64> {
        self.table_id
    }

    /// The same load for a transaction that is open already and created the table: nothing to truncate or commit.
    pub(super) fn in_open_transaction(&self) -> Self {
        Load {
            fresh: false,
            ..self.clone()
        }
    }

    fn statement(&self) -> String {
        let columns = match self.columns.as_str() {
            "" => String::new(),
            columns => format!(" ({columns})"),
        };
        let mut options = Vec::new();
        if self.fresh {
            options.push("FREEZE".to_string());
        }
        if let Some(encoding) = &self.encoding {
            options.push(format!("ENCODING {}", quote_literal(encoding)));
        }
        let with = match options.is_empty() {
            true => String::new(),
            false => format!(" WITH ({})", options.join(", ")),
        };
        format!("COPY {}{columns} FROM STDIN{with}", self.table)
    }
}

/// Loads one piece; a fresh one in its own transaction.
pub(super) fn load_one(
    connection: &mut Connection,
    load: &Load<'_>,
    source: &dyn DumpSource,
    cancel: &CancelToken,
    progress: &dyn Progress,
    loaded: &Loaded,
) -> Result<()> {
    let doing = || format!("loading table {}", load.table);
    let reader = match load.segment {
        None => source.read(load.member),
        Some(index) => source.read_segment(load.member, index),
    }
    .map_err(|e| Error::local(doing(), e))?;
    let mut reader = Metered {
        inner: reader,
        left: load.bytes,
        cancel,
        progress,
    };
    if load.fresh {
        connection.execute("BEGIN")?;
        connection
            .execute(&format!("TRUNCATE TABLE ONLY {}", load.table))
            .map_err(|e| e.doing(doing()))?;
    }
    let copied = connection
        .copy_in(&load.statement(), &mut reader)
        .map_err(|e| match cancel.is_cancelled() {
            true => Error::Cancelled,
            false => e.doing(doing()),
        })?;
    if load.fresh {
        connection.execute("COMMIT").map_err(|e| e.doing(doing()))?;
    }
    loaded.rows.fetch_add(copied.rows, Ordering::Relaxed);
    loaded.bytes.fetch_add(load.bytes, Ordering::Relaxed);
    progress.item(&load.table);
    Ok(())
}

/// Opens a session that is ready to load.
pub(super) fn open(
    target: &ConnectOptions,
    manifest: &DatabaseManifest,
    stop: &CancelToken,
) -> Result<Connection> {
    let mut connection = Connection::open_with(target, stop)?;
    prepare(&mut connection, manifest)?;
    Ok(connection)
}

/// The session settings under which the rows were written and must be read (see the dump's own).
pub(crate) fn prepare(connection: &mut Connection, manifest: &DatabaseManifest) -> Result<()> {
    connection.execute(LOAD_SETTINGS)?;
    if connection.server_version_num() >= 170_000 {
        connection.execute("SET transaction_timeout = 0")?;
    }
    set_monetary_locale(connection, manifest)
}

const LOAD_SETTINGS: &str = "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; \
    SELECT pg_catalog.set_config('search_path', '', false); SET row_security = off; \
    SET check_function_bodies = false; SET xmloption = content; SET DateStyle = ISO; SET IntervalStyle = postgres; \
    SET TimeZone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = hex; SET synchronous_commit = off; \
    SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed'; \
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SET client_min_messages = warning";

/// `money` is written in the words of a locale; reading it back needs the same one. A target that lacks the locale keeps
/// its own, and the proof then shows whether it mattered.
pub(crate) fn set_monetary_locale(
    connection: &mut Connection,
    manifest: &DatabaseManifest,
) -> Result<()> {
    let Some(locale) = manifest.server.settings.get("lc_monetary") else {
        return Ok(());
    };
    match connection.execute(&format!("SET lc_monetary = {}", quote_literal(locale))) {
        Err(e) if e.sqlstate() == Some("22023") => Ok(()),
        other => other.map(drop),
    }
}

/// Sets the sequences' values; returns how many.
pub(super) fn set_sequences(
    connection: &mut Connection,
    toc: &Toc,
    selection: &Selection,
) -> Result<u64> {
    let mut statements = Vec::new();
    for entry in toc.entries.iter().filter(|e| e.is("SEQUENCE SET")) {
        let name = QualifiedName::new(entry.namespace(), entry.tag());
        if !selection.has(entry) || !selection.has_content_of(&name) {
            continue;
        }
        let value = crate::archive::SequenceValue::of(entry).ok_or_else(|| Error::Refused {
            what: format!(
                "the value of sequence {name} in the table of contents cannot be understood"
            ),
            hint: None,
        })?;
        statements.push(format!(
            "SELECT pg_catalog.setval({}, {}, {})",
            quote_literal(&format!(
                "{}.{}",
                quote_ident(&name.schema),
                quote_ident(&name.name)
            )),
            value.last_value,
            value.is_called
        ));
    }
    for batch in statements.chunks(200) {
        connection
            .execute(&batch.join("; "))
            .map_err(|e| e.doing("setting the values of sequences"))?;
    }
    Ok(statements.len() as u64)
}

/// Counts what passes, stops when cancelled, and refuses to let a short member pass for a whole one.
struct Metered<'a> {
    inner: Box<dyn Read + Send>,
    left: u64,
    cancel: &'a CancelToken,
    progress: &'a dyn Progress,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check().map_err(io::Error::other)?;
        let n = self.inner.read(buffer)?;
        if n == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the stored data ends {} bytes early", self.left),
            ));
        }
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "there is more stored data than was written",
            )
        })?;
        self.progress.bytes(n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_model::{Silent, manifest::Segment};

    fn member(rows: &[Option<u64>]) -> Member {
        let segments: Vec<_> = rows
            .iter()
            .map(|rows| Segment {
                bytes: rows.map_or(5, |r| r * 10),
                chunks: 1,
                rows: *rows,
                blocks: None,
            })
            .collect();
        Member {
            file: "1.dat".into(),
            what: MemberContent::Table {
                name: QualifiedName::new("public", "t"),
            },
            size: segments.iter().map(|s| s.bytes).sum(),
            segments,
        }
    }

    fn check(rows: &[Option<u64>], through_root: bool, expected: &[(Option<usize>, bool)]) {
        check_with_share(0, rows, through_root, expected);
    }

    fn check_with_share(
        share: u64,
        rows: &[Option<u64>],
        through_root: bool,
        expected: &[(Option<usize>, bool)],
    ) {
        let target = CopyTarget {
            table: "public.t".into(),
            columns: "a, b".into(),
            through_root,
        };
        let member = member(rows);
        let found: Vec<_> = loads_of(&member, &target, None, true, share)
            .iter()
            .map(|l| (l.segment, l.fresh))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn only_a_table_in_one_piece_is_loaded_frozen() {
        check(&[Some(9), None], false, &[(None, true)]);
        check(&[Some(9), Some(0), None], false, &[(None, true)]);
        check(
            &[Some(9), Some(1), None],
            false,
            &[(Some(0), false), (Some(1), false)],
        );
        check(&[Some(9), None], true, &[(None, false)]);
        check(&[Some(0), None], false, &[]);
    }

    #[test]
    fn a_table_in_pieces_that_one_connection_can_take_is_loaded_frozen() {
        let rows = [Some(9), Some(1), None]; // 105 bytes
        let pieces = [(Some(0), false), (Some(1), false)];
        check_with_share(105, &rows, false, &[(None, true)]);
        check_with_share(104, &rows, false, &pieces);
        check_with_share(105, &rows, true, &pieces);
    }

    #[test]
    fn the_statement_names_the_encoding_only_where_it_must() {
        let member = member(&[Some(1), None]);
        let mut load = Load {
            member: &member,
            segment: None,
            bytes: 1,
            table: "public.t".into(),
            columns: String::new(),
            encoding: None,
            fresh: false,
            in_order: false,
            table_id: None,
        };
        assert_eq!(load.statement(), "COPY public.t FROM STDIN");
        load.columns = "a, \"B\"".into();
        load.fresh = true;
        load.encoding = Some("LATIN1".into());
        assert_eq!(
            load.statement(),
            "COPY public.t (a, \"B\") FROM STDIN WITH (FREEZE, ENCODING 'LATIN1')"
        );
    }

    #[test]
    fn short_and_long_members_are_errors() {
        let read = |bytes: &'static [u8]| {
            let mut metered = Metered {
                inner: Box::new(bytes),
                left: 3,
                cancel: &CancelToken::new(),
                progress: &Silent,
            };
            metered.read_to_end(&mut Vec::new()).map_err(|e| e.kind())
        };
        assert_eq!(read(b"abc"), Ok(3));
        assert_eq!(read(b"ab"), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(read(b"abcd"), Err(io::ErrorKind::InvalidData));
    }
}
