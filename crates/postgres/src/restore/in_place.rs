//! Restoring over the live database, for accounts that may not create another: everything in one transaction.
//!
//! Order of effects: the objects of the backup's schemas are dropped (extensions and what belongs to them stay), the
//! schema is made again, rows are loaded, indexes and constraints built, the caller's proof runs, and only then is all of
//! it committed. Of a part of the backup only the named schemas are dropped, and single tables are fitted in (see
//! [`super::fit`]). Until then other sessions wait for the locks, and any failure leaves the database as it was.
//! One connection does all the work, so this is slower than a restore beside the live database.

use super::{
    RestoreOptions, RestoreSummary,
    data::{self, Loaded},
    data_only::quiet_triggers,
    fit, fit_notes, large_objects, leave_out_what_needs_a_superuser, open_toc, pipeline,
    public_schema,
    requirements::leave_out_grants_to_missing_roles,
    schema::{PgRestore, SchemaArchive, Section},
    selection::Selection,
    source::DumpSource,
    stored_bytes,
};
use crate::{
    Error, Result,
    archive::{Entry, Toc},
    connect::ConnectOptions,
    inspect,
    tools::Tools,
    wire::Connection,
};
use pgkeep_model::{
    CancelToken, Phase, Progress,
    evidence::{QualifiedName, quote_ident, quote_literal},
    manifest::{DatabaseContent, DatabaseManifest},
};
use std::{collections::BTreeSet, time::Instant};

/// Replaces the content of `target` by the backup's. `prove` looks at the result inside the transaction; its error undoes
/// everything.
#[allow(clippy::too_many_arguments)] // the parts of one restore
pub fn restore_in_place(
    target: &ConnectOptions,
    manifest: &DatabaseManifest,
    source: &dyn DumpSource,
    tools: &Tools,
    options: &RestoreOptions,
    prove: &dyn Fn(&mut Connection) -> Result<()>,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<RestoreSummary> {
    if manifest.content != DatabaseContent::Directory {
        return Err(Error::refused(
            "a plain SQL script cannot be restored in place",
            "restore it into a new database",
        ));
    }
    let started = Instant::now();
    let (toc, toc_bytes) = open_toc(manifest, source)?;
    let mut selection = Selection::choose(&toc, &options.tables, &options.schemas)?;
    let mut connection = data::open(target, manifest, cancel)?;
    // Event triggers and the like must not run on what happens here, where that can be said.
    let quiet = quiet_triggers(&mut connection)?;
    connection.execute("BEGIN")?;

    progress.phase(Phase::Schema, None);
    let emptied = match selection.is_whole() {
        true => schemas_of(&toc),
        false => options.schemas.iter().cloned().collect(),
    };
    let kept = tables_to_rewrite(&mut connection, &toc, &mut selection, &emptied)?;
    if selection.is_whole() {
        public_schema::take_as_it_is(&mut connection, &toc, &mut selection, options)?;
    }
    leave_out_what_needs_a_superuser(&mut connection, &toc, &mut selection)?;
    leave_out_grants_to_missing_roles(&mut connection, &toc, &mut selection, options)?;
    let archive = SchemaArchive::write(&toc_bytes, &toc, &selection, std::iter::empty())?;
    let index_memory = pipeline::index_memory(&mut connection, 1)?;
    connection.execute(&format!("SET maintenance_work_mem = '{index_memory}'"))?;
    let pg_restore = PgRestore {
        tools,
        target,
        archive: &archive,
        options,
        index_memory: &index_memory,
        cancel,
    };
    let mut summary = RestoreSummary {
        left_out: selection.left_out.clone(),
        ..Default::default()
    };
    if selection.is_whole() {
        connection
            .execute("SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata")?;
    }
    become_role(&mut connection, options)?;
    connection
        .execute(&pg_restore.script(Section::PreData)?)
        .map_err(|e| e.doing("restoring the schema"))?;

    if !options.schema_only {
        progress.phase(Phase::Data, Some(stored_bytes(manifest)));
        let rewritten = selection.only(&kept);
        fit::empty_tables(
            &mut connection,
            &data::tables_to_empty(&toc, manifest, &rewritten)?,
        )?;
        let loaded = Loaded::default();
        for load in &data::plan(&toc, manifest, &selection, true, 1)? {
            let load = load.in_open_transaction();
            data::load_one(&mut connection, &load, source, cancel, progress, &loaded)?;
        }
        (summary.rows, summary.bytes) = (loaded.rows(), loaded.bytes());
        if selection.is_whole() {
            if archive.makes_large_objects_late() {
                connection
                    .execute(&pg_restore.script(Section::LargeObjects)?)
                    .map_err(|e| e.doing("making large objects"))?;
            }
            summary.large_objects =
                large_objects::load_on(&mut connection, manifest, source, progress)?;
        }
        summary.sequences = data::set_sequences(&mut connection, &toc, &selection)?;
    }

    progress.phase(Phase::Indexes, None);
    connection
        .execute(&pg_restore.script(Section::PostData)?)
        .map_err(|e| e.doing("building indexes, constraints and triggers"))?;
    connection.execute("RESET ROLE")?;
    if quiet {
        fit::check_foreign_keys(&mut connection, &kept)?;
    }
    if !selection.is_whole() {
        fit_notes::finish(&mut connection, &toc, manifest, &selection, &mut summary)?;
    }
    progress.phase(Phase::Prove, None);
    prove(&mut connection)?;
    connection
        .execute("COMMIT")
        .map_err(|e| e.doing("committing the restored content"))?;
    drop(connection);

    if options.analyze || options.vacuum {
        progress.phase(Phase::Analyze, None);
        let only = |name: &QualifiedName| selection.has_content_of(name);
        let (jobs, vacuum) = (options.jobs, options.vacuum);
        super::analyze::analyze_all(target, jobs, manifest, vacuum, only, cancel, progress)?;
    }
    summary.phases.push((Phase::Data, started.elapsed()));
    Ok(summary)
}

/// Drops the content of whole schemas, and fits a part of the backup to what stays. Returns the tables that stay and
/// get new rows.
fn tables_to_rewrite(
    connection: &mut Connection,
    toc: &Toc,
    selection: &mut Selection,
    emptied: &BTreeSet<String>,
) -> Result<BTreeSet<QualifiedName>> {
    let before = relations_outside(connection, emptied)?;
    for schema in emptied {
        empty_schema(connection, schema)?;
    }
    if selection.is_whole() {
        forget_default_privileges(connection)?;
        keep_extensions(connection, toc, selection)?;
        return Ok(BTreeSet::new());
    }
    let after = relations_outside(connection, emptied)?;
    let lost: Vec<&str> = before.difference(&after).map(String::as_str).collect();
    if !lost.is_empty() {
        return Err(Error::refused(
            format!(
                "{} depend on what would be replaced and would be lost",
                lost.join(", ")
            ),
            "restore their schemas as well, or restore into another database; nothing was changed",
        ));
    }
    fit::fit_to_live(connection, toc, selection, emptied)
}

/// Default privileges would add grants to everything made from here on; the backup brings its own at the end.
fn forget_default_privileges(connection: &mut Connection) -> Result<()> {
    // A row disappears once it says what would hold without it: nothing in a schema, the built-in defaults elsewhere.
    let rows = connection.query(
        "SELECT pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s ', r.rolname, ' IN SCHEMA ' || \
             pg_catalog.quote_ident(n.nspname)) AS head, o.kind, pg_catalog.quote_ident(r.rolname) AS owner, \
           d.defaclnamespace = 0 AS everywhere, \
           (SELECT pg_catalog.string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' \
              ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END, ', ') \
            FROM pg_catalog.aclexplode(d.defaclacl) a) AS grantees \
         FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace \
         JOIN (VALUES ('r', 'TABLES'), ('S', 'SEQUENCES'), ('f', 'FUNCTIONS'), ('T', 'TYPES'), ('n', 'SCHEMAS'), \
             ('L', 'LARGE OBJECTS')) AS o(type, kind) ON o.type = d.defaclobjtype::text \
         WHERE pg_catalog.pg_has_role(d.defaclrole, 'USAGE')",
    )?;
    for row in rows.iter() {
        let (head, kind) = (row.text("head"), row.text("kind"));
        let mut sql = match row.get("grantees") {
            Some(grantees) => format!("{head} REVOKE ALL ON {kind} FROM {grantees}; "),
            None => String::new(),
        };
        if row.is_true("everywhere") {
            sql += &format!("{head} GRANT ALL ON {kind} TO {}; ", row.text("owner"));
            if matches!(kind.as_str(), "FUNCTIONS" | "TYPES") {
                sql += &format!("{head} GRANT ALL ON {kind} TO PUBLIC; ");
            }
        }
        connection
            .execute(&sql)
            .map_err(|e| e.doing("resetting default privileges"))?;
    }
    Ok(())
}

/// Tables, views and sequences of other schemas.
fn relations_outside(
    connection: &mut Connection,
    schemas: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let rows = connection.query(
        "SELECT n.nspname, n.nspname || '.' || c.relname FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'",
    )?;
    Ok(rows
        .iter()
        .filter(|r| !schemas.contains(&r.text(0)))
        .map(|r| r.text(1))
        .collect())
}

fn become_role(connection: &mut Connection, options: &RestoreOptions) -> Result<()> {
    if let Some(role) = &options.role {
        connection.execute(&format!("SET ROLE {}", quote_ident(role)))?;
    }
    Ok(())
}

/// Extensions that are there stay as they are, with the schemas they live in: making one again may take a superuser.
/// Their configuration tables lose the rows that the backup will bring, where this user may change them at all.
fn keep_extensions(
    connection: &mut Connection,
    toc: &Toc,
    selection: &mut Selection,
) -> Result<()> {
    let extensions = inspect::extensions(connection)?;
    let mut untouchable = BTreeSet::new();
    for table in extensions.iter().flat_map(|e| &e.configuration) {
        let name = table.name.quoted();
        let literal = quote_literal(&name);
        let may = connection.query_value(&format!(
            "SELECT pg_catalog.has_table_privilege({literal}, 'INSERT') \
               AND pg_catalog.has_table_privilege({literal}, 'DELETE')"
        ))?;
        if may.as_deref() != Some("t") {
            untouchable.insert(&table.name);
        } else if matches!(table.kind, 'r' | 'p') {
            let condition = table.condition.as_deref().unwrap_or("");
            connection
                .execute(&format!("DELETE FROM {name} {condition}"))
                .map_err(|e| e.doing(format!("emptying table {}", table.name)))?;
        }
    }
    for entry in &toc.entries {
        let there = |name: &str| extensions.iter().any(|e| e.name == name);
        let kept = match &*entry.desc() {
            "EXTENSION" => there(&entry.tag()),
            "COMMENT" => {
                let tag = entry.tag();
                tag.strip_prefix("EXTENSION ")
                    .is_some_and(|e| there(e.trim_matches('"')))
            }
            "SCHEMA" => extensions.iter().any(|e| e.schema == *entry.tag()),
            "TABLE DATA" | "SEQUENCE SET" => {
                untouchable.contains(&QualifiedName::new(entry.namespace(), entry.tag()))
            }
            _ => false,
        };
        if kept {
            selection.remove(toc, entry.dump_id);
        }
    }
    for table in untouchable {
        let what = format!("the rows of {table}, which belongs to an extension");
        selection.left_out.push(what);
    }
    Ok(())
}

/// Schemas that the backup holds something of.
fn schemas_of(toc: &Toc) -> BTreeSet<String> {
    let schema = |e: &Entry| match e.is("SCHEMA") {
        true => e.tag().into_owned(),
        false => e.namespace().into_owned(),
    };
    let mut schemas: BTreeSet<String> = toc.entries.iter().map(schema).collect();
    schemas.remove("");
    schemas.remove("pg_catalog");
    schemas
}

/// Drops what lives in a schema and belongs to no extension, with whatever depends on it. What is inseparable from
/// something else (the sequence of an identity column) goes with that.
fn empty_schema(connection: &mut Connection, schema: &str) -> Result<()> {
    let rows = connection.query(&format!(
        "SELECT o.type, o.identity FROM pg_catalog.pg_depend d \
         CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) o \
         WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.deptype = 'n' \
           AND d.classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass \
           AND d.refobjid = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {}) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x \
             WHERE x.classid = d.classid AND x.objid = d.objid AND x.deptype IN ('e', 'i')) \
         ORDER BY d.classid <> 'pg_catalog.pg_class'::pg_catalog.regclass, d.objid",
        quote_literal(schema)
    ))?;
    let drops: Vec<String> = rows
        .iter()
        .filter_map(|r| {
            Some(format!(
                "DROP {} IF EXISTS {} CASCADE",
                drop_keyword(r.get("type")?)?,
                r.get("identity")?
            ))
        })
        .collect();
    for batch in drops.chunks(100) {
        connection
            .execute(&batch.join("; "))
            .map_err(|e| e.doing(format!("dropping the content of schema {schema}")))?;
    }
    Ok(())
}

/// The word after DROP for a type as `pg_identify_object` names it; `None` for what goes with something else.
fn drop_keyword(kind: &str) -> Option<&str> {
    match kind {
        "statistics object" => Some("STATISTICS"),
        "composite type" => Some("TYPE"),
        "default acl" | "publication namespace" | "index" | "trigger" | "rule" | "policy" => None,
        other => Some(other),
    }
}
