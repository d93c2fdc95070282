//! Schema `public`, which every new database has already.
//!
//! In a backup that is limited to some schemas pg_dump has it made like any other, but its grants are written as changes
//! to those of a new database. So the schema that is there is kept, and brought to where that script begins.

use super::{RestoreOptions, selection::Selection};
use crate::{Result, archive::Toc, wire::Connection};
use pgkeep_model::evidence::{quote_ident, quote_literal};

const NAME: &str = "public";
/// First major of pg_dump that takes the grants of a new schema `public` for `{owner=UC/owner,=U/owner}` always.
const SAME_DEFAULT_EVERYWHERE: u32 = 15;

/// Takes the statement that makes schema `public` out of the selection where the schema is there, and gives the schema
/// the backup's owner, the grants that the backup's own build on, and no comment where the backup has none.
pub(super) fn take_as_it_is(
    connection: &mut Connection,
    toc: &Toc,
    selection: &mut Selection,
    options: &RestoreOptions,
) -> Result<()> {
    let made = toc.entries.iter().find(|e| {
        e.is("SCHEMA")
            && e.tag() == NAME
            && selection.has(e)
            && e.defn().trim_start().starts_with("CREATE SCHEMA")
    });
    let Some(made) = made else {
        return Ok(());
    };
    let rows = connection.query(
        "SELECT pg_catalog.pg_get_userbyid(nspowner) AS owner, \
           pg_catalog.obj_description(oid, 'pg_namespace') AS comment FROM pg_catalog.pg_namespace WHERE nspname = 'public'",
    )?;
    let Some(present) = rows.iter().next() else {
        return Ok(());
    };
    selection.remove(toc, made.dump_id);

    let mut statements = Vec::new();
    let mut owner = present.text("owner");
    let owner_stays = options.no_owner || options.role.is_some() || made.owner().is_empty();
    if !owner_stays && made.owner() != owner {
        owner = made.owner().into_owned();
        statements.push(format!(
            "ALTER SCHEMA public OWNER TO {}",
            quote_ident(&owner)
        ));
    }
    // Of a schema that only holds chosen tables nothing else is restored.
    if selection.is_whole() || options.schemas.iter().any(|s| s == NAME) {
        let comment = toc
            .entries
            .iter()
            .find(|e| e.is("COMMENT") && e.tag() == "SCHEMA public" && selection.has(e));
        match (comment, present.get("comment")) {
            (None, Some(_)) => statements.push("COMMENT ON SCHEMA public IS NULL".into()),
            // Who may restore need not be the one who may comment.
            (Some(entry), Some(now))
                if entry.defn().trim_end()
                    == format!("COMMENT ON SCHEMA public IS {};", quote_literal(now)) =>
            {
                selection.remove(toc, entry.dump_id);
            }
            _ => {}
        }
        let dumped_by = toc.header.dump_version();
        let major = dumped_by.split(|c: char| !c.is_ascii_digit()).next();
        let known_default = major
            .and_then(|m| m.parse().ok())
            .is_some_and(|m: u32| m >= SAME_DEFAULT_EVERYWHERE);
        if known_default && !options.no_acl {
            statements.extend(grants_of_a_new_schema(connection, &owner)?);
        }
    }
    for statement in statements {
        connection
            .execute(&statement)
            .map_err(|e| e.doing("readying schema public"))?;
    }
    Ok(())
}

/// What takes the schema's grants back to those of a new one; nothing where they are that already.
fn grants_of_a_new_schema(connection: &mut Connection, owner: &str) -> Result<Vec<String>> {
    let rows = connection.query(
        "SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END \
             AS grantee, a.privilege_type AS privilege, a.grantee = n.nspowner AS own, a.is_grantable AS grantable \
         FROM pg_catalog.pg_namespace n \
         CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a \
         WHERE n.nspname = 'public'",
    )?;
    let mut expected = 0;
    let mut statements = Vec::new();
    for row in rows.iter() {
        let (grantee, privilege) = (row.text("grantee"), row.text("privilege"));
        let usual = row.is_true("own") || (grantee == "PUBLIC" && privilege == "USAGE");
        match usual && !row.is_true("grantable") {
            true => expected += 1,
            false => statements.push(format!(
                "REVOKE {privilege} ON SCHEMA public FROM {grantee} CASCADE"
            )),
        }
    }
    if expected < 3 {
        statements.push(format!(
            "GRANT ALL ON SCHEMA public TO {}; GRANT USAGE ON SCHEMA public TO PUBLIC",
            quote_ident(owner)
        ));
    }
    Ok(statements)
}
