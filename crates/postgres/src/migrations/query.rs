//! A statement of the user's instead of a framework's table.

use super::{
    Found, few_rows, guarded,
    state::{Collected, Meaning},
};
use crate::{Result, wire::Connection};
use pgkeep_model::{app::Framework, migrations::AppliedMigration};

/// Runs the statement: one row for each applied migration, in order; one column for its name, or group and name.
pub(super) fn look(connection: &mut Connection, sql: Option<&str>) -> Result<Found> {
    let mut found = Found::default();
    let Some(sql) = sql.map(|sql| sql.trim().trim_end_matches(';')) else {
        found
            .warnings
            .push("the schema version is not known: framework = \"query\" needs a query".into());
        return Ok(found);
    };
    // Inside parentheses a second statement is a syntax error, so nothing can end the caller's transaction.
    let wrapped = format!("SELECT * FROM ({sql}\n) AS applied_migrations");
    let failed =
        |why: String| format!("the schema version is not known: the query for it failed: {why}");
    let ask = |c: &mut Connection| {
        // The dump's session finds nothing by a bare name; the statement was written for the app's search path.
        c.execute("SET LOCAL search_path TO DEFAULT")?;
        few_rows(c, &wrapped)
    };
    let rows = match guarded(connection, ask)? {
        Ok(Ok(rows)) => rows,
        Ok(Err(why)) | Err(why) => {
            found.warnings.push(failed(why));
            return Ok(found);
        }
    };
    let width = rows.columns().len();
    if !(1..=2).contains(&width) {
        found.warnings.push(failed(format!(
            "it gives {width} columns instead of a name, or a group and a name"
        )));
        return Ok(found);
    }
    let mut collected = Collected::default();
    for row in rows.iter() {
        let text = |i: usize| row.get(i).unwrap_or_default().to_owned();
        let (label, name) = match width {
            1 => (String::new(), text(0)),
            _ => (text(0), text(1)),
        };
        let migration = AppliedMigration {
            name,
            applied_at: None,
            checksum: None,
        };
        collected.add(&label, migration, Meaning::Applied);
    }
    found
        .states
        .push(collected.state(Framework::Query, "query".into()));
    Ok(found)
}
