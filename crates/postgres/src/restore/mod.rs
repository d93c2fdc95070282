//! Making a database again from its dump.
//!
//! The parts, in the order in which the engine uses them:
//! [`requirements`](fn@requirements) and [`missing`] say what the target lacks, [`obstacles`] what
//! stands in a swap's way; [`create_database`] makes an empty database that carries pgkeep's mark; [`restore_into`] fills
//! it; [`crate::prove`] compares; [`finish_database`] gives it its settings and grants; [`swap`](fn@swap) puts it in the
//! live one's place and [`undo`] takes that back; [`list_marked`] and [`drop_marked`] clean up after killed restores and
//! expired predecessors.
//!
//! Invariants:
//! - Nothing here changes the live database before the swap, and the swap is one transaction. The exceptions say so in
//!   their names: [`restore_in_place`] and data-only restores, which are one transaction too.
//! - Errors of pg_restore are always fatal. What is left out on purpose is listed in [`RestoreSummary::left_out`].
//! - Schema by stock pg_restore (sections pre-data and post-data of the archive's own table of contents), data by
//!   parallel COPY, and indexes as soon as their table is loaded (module `pipeline`).

mod analyze;
mod beside;
mod create;
mod data;
mod data_only;
mod fit;
mod fit_notes;
mod globals;
mod in_place;
mod large_objects;
mod marks;
mod pipeline;
mod plain;
mod private_folder;
mod properties;
mod public_schema;
mod requirements;
mod schema;
mod selection;
mod source;
mod swap;
pub(crate) mod workers;

pub use beside::connect_beside;
pub use create::{create_database, finish_database, unmark_database};
pub use fit::foreign_keys_across;
pub use fit_notes::other_shapes;
pub use globals::{GlobalsSummary, apply_globals};
pub use in_place::restore_in_place;
pub use marks::{
    MadeRole, Mark, MarkedDatabase, Paused, drop_database, drop_marked, forget_pause, kept_name,
    list_marked, mark_again, note_pause, restoring_name,
};
pub use properties::{AclItem, PropertyOptions, parse_acl_item};
pub use requirements::{Missing, Requirements, missing, requirements};
pub use selection::Selection;
pub use source::{DirectorySource, DumpSource};
pub use swap::{
    Obstacle, SwapOptions, SwapSummary, kept_databases, obstacles, swap, undo, unused_kept_name,
};

pub(crate) use data::{prepare as prepare_session, set_monetary_locale};

use crate::{
    Error, Result,
    archive::{Toc, read_directory_toc},
    connect::ConnectOptions,
    tools::Tools,
    wire::Connection,
};
use pgkeep_model::{
    CancelToken, Phase, Progress,
    evidence::{DatabaseEvidence, QualifiedName},
    manifest::{DatabaseContent, DatabaseManifest},
};
use pipeline::Pipeline;
use schema::Section;
use std::time::{Duration, Instant};

/// What of a dump is restored, and how.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Connections that work side by side.
    pub jobs: usize,
    /// Leave everything to the restoring user.
    pub no_owner: bool,
    /// Become this role first, so that it owns what is made.
    pub role: Option<String>,
    /// Leave grants out.
    pub no_acl: bool,
    /// Put everything into the database's default tablespace.
    pub no_tablespaces: bool,
    pub schema_only: bool,
    /// Load rows into tables that are there already, all in one transaction.
    pub data_only: bool,
    /// With `data_only`: empty the tables first.
    pub replace_rows: bool,
    /// `name` or `schema.name`; empty takes all.
    pub tables: Vec<String>,
    pub schemas: Vec<String>,
    /// Gather planner statistics at the end.
    pub analyze: bool,
    /// VACUUM as well, so that index-only scans work at once.
    pub vacuum: bool,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            jobs: 2,
            no_owner: false,
            role: None,
            no_acl: false,
            no_tablespaces: false,
            schema_only: false,
            data_only: false,
            replace_rows: false,
            tables: Vec::new(),
            schemas: Vec::new(),
            analyze: true,
            vacuum: false,
        }
    }
}

impl RestoreOptions {
    /// The part of these options that concerns the database itself.
    pub fn properties(&self) -> PropertyOptions {
        PropertyOptions {
            no_owner: self.no_owner,
            role: self.role.clone(),
            no_acl: self.no_acl,
            no_tablespace: self.no_tablespaces,
        }
    }
}

/// What a restore did.
#[derive(Debug, Clone, Default)]
pub struct RestoreSummary {
    pub rows: u64,
    /// Bytes of COPY text loaded.
    pub bytes: u64,
    pub sequences: u64,
    pub large_objects: u64,
    /// What was not restored although the backup holds it, in words.
    pub left_out: Vec<String>,
    /// How long each phase took, in order.
    pub phases: Vec<(Phase, Duration)>,
}

impl RestoreSummary {
    fn timed<T>(&mut self, phase: Phase, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = work();
        self.phases.push((phase, started.elapsed()));
        result
    }
}

/// Fills the database that `target` names, which must be empty unless only data is restored.
///
/// # Errors
/// The first failure of any step; the target is then incomplete and must not be used.
pub fn restore_into(
    target: &ConnectOptions,
    manifest: &DatabaseManifest,
    source: &dyn DumpSource,
    tools: &Tools,
    options: &RestoreOptions,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<RestoreSummary> {
    cancel.check()?;
    if manifest.content == DatabaseContent::Plain {
        return plain::restore(target, manifest, source, tools, options, cancel, progress);
    }
    let (toc, toc_bytes) = open_toc(manifest, source)?;
    let mut selection = Selection::choose(&toc, &options.tables, &options.schemas)?;
    if options.data_only {
        return data_only::restore(
            target, manifest, source, &toc, &selection, options, cancel, progress,
        );
    }
    let mut summary = RestoreSummary::default();
    let mut connection = data::open(target, manifest, cancel)?;
    public_schema::take_as_it_is(&mut connection, &toc, &mut selection, options)?;
    leave_out_what_needs_a_superuser(&mut connection, &toc, &mut selection)?;
    requirements::leave_out_grants_to_missing_roles(
        &mut connection,
        &toc,
        &mut selection,
        options,
    )?;
    summary.left_out.clone_from(&selection.left_out);
    let index_memory = pipeline::index_memory(&mut connection, options.jobs)?;
    let mut pipeline = match options.schema_only {
        true => None,
        false => Some(Pipeline::plan(
            &toc,
            manifest,
            &selection,
            options,
            &index_memory,
        )?),
    };
    let done_early = pipeline.iter().flat_map(Pipeline::done_early);
    let archive = schema::SchemaArchive::write(&toc_bytes, &toc, &selection, done_early)?;
    let pg_restore = schema::PgRestore {
        tools,
        target,
        archive: &archive,
        options,
        index_memory: &index_memory,
        cancel,
    };

    progress.phase(Phase::Schema, None);
    summary.timed(Phase::Schema, || pg_restore.run(Section::PreData, 1))?;

    if let Some(pipeline) = &mut pipeline {
        progress.phase(Phase::Data, Some(stored_bytes(manifest)));
        let started = Instant::now();
        let loaded = pipeline.run(target, manifest, source, options, cancel, progress)?;
        summary.rows = loaded.rows();
        summary.bytes = loaded.bytes();
        if selection.is_whole() {
            if archive.makes_large_objects_late() {
                pg_restore.run(Section::LargeObjects, 1)?;
            }
            summary.large_objects =
                large_objects::load_all(target, options.jobs, manifest, source, cancel, progress)?;
        }
        summary.sequences = data::set_sequences(&mut connection, &toc, &selection)?;
        summary.phases.push((Phase::Data, started.elapsed()));
    }
    drop(connection);

    // What is left of it: foreign keys, triggers, materialized views, ... after the rows, so that each is built once.
    progress.phase(Phase::Indexes, None);
    summary.timed(Phase::Indexes, || {
        pg_restore.run(Section::PostData, options.jobs)
    })?;

    if let Some(pipeline) = pipeline.filter(|_| options.analyze || options.vacuum) {
        progress.phase(Phase::Analyze, None);
        let (jobs, vacuum, done) = (options.jobs, options.vacuum, pipeline.analyzed());
        let rest = |name: &QualifiedName| !done.contains(name);
        summary.timed(Phase::Analyze, || {
            analyze::analyze_all(target, jobs, manifest, vacuum, rest, cancel, progress)
        })?;
    }
    Ok(summary)
}

/// The table of contents of a dump, with its bytes.
pub fn open_toc(manifest: &DatabaseManifest, source: &dyn DumpSource) -> Result<(Toc, Vec<u8>)> {
    let bytes = source::read_toc(manifest, source)?;
    let toc = read_directory_toc(bytes.as_slice()).map_err(|e| {
        Error::local(
            format!("reading the table of contents of {}", manifest.name),
            std::io::Error::from(e),
        )
    })?;
    Ok((toc, bytes))
}

/// The evidence that a restore with these options must reproduce: all of it, or that of the chosen part. A kind of object
/// that is expected 0 times depends on the target: how many there are proves nothing.
pub fn expected_evidence(
    manifest: &DatabaseManifest,
    toc: &Toc,
    options: &RestoreOptions,
) -> Result<DatabaseEvidence> {
    let mut evidence = manifest.evidence.clone();
    let selection = Selection::choose(toc, &options.tables, &options.schemas)?;
    if (options.no_owner || options.no_acl) && !evidence.objects.is_empty() {
        // Grants to roles that are missing are left out, and pg_dump writes only those that an owner does not have anyway.
        for kind in ["ACL", "DEFAULT ACL"] {
            evidence.objects.insert(kind.into(), 0);
        }
    }
    if options.schema_only {
        evidence.tables.clear();
        evidence.sequences.clear();
        evidence.large_objects = Default::default();
    }
    if !selection.is_whole() {
        evidence
            .tables
            .retain(|t| selection.has_content_of(&t.name));
        evidence
            .sequences
            .retain(|s| selection.has_content_of(&s.name));
        evidence.large_objects = Default::default();
        evidence.extensions.clear();
        evidence.objects.clear();
        evidence.schema_sha256.clear();
    }
    if options.data_only {
        evidence.large_objects = Default::default();
        evidence.extensions.clear();
        evidence.objects.clear();
        evidence.schema_sha256.clear();
    }
    Ok(evidence)
}

/// The named exceptions to "errors are fatal": entries that only a superuser can restore and that change no behaviour are
/// left out, and said, when the restoring user is none.
fn leave_out_what_needs_a_superuser(
    connection: &mut Connection,
    toc: &Toc,
    selection: &mut Selection,
) -> Result<()> {
    let superuser = connection
        .query_value("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")?;
    if superuser.as_deref() == Some("t") {
        return Ok(());
    }
    for entry in &toc.entries {
        if entry.is("COMMENT") && entry.tag().starts_with("EXTENSION ") && selection.has(entry) {
            selection.remove(toc, entry.dump_id);
            selection
                .left_out
                .push(format!("the comment on {}", entry.tag().to_lowercase()));
        }
    }
    Ok(())
}

fn stored_bytes(manifest: &DatabaseManifest) -> u64 {
    manifest.members.iter().map(|m| m.size).sum()
}
