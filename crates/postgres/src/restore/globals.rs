//! Making the roles of one server on another, from what `pg_dumpall --globals-only` wrote.
//!
//! A role that is there already is left as it is: neither its password nor its rights are touched. Tablespaces are never
//! made, for their folders belong to the machine. What the target refuses is left out and said; nothing is dropped.

use crate::{Error, Result, wire::Connection};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What became of a globals script.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalsSummary {
    pub created: Vec<String>,
    /// Roles that were there before, and were not touched.
    pub existing: Vec<String>,
    /// What could not be set, in words.
    pub left_out: Vec<String>,
}

/// Applies the script to the server of `admin`.
pub fn apply_globals(admin: &mut Connection, script: &str) -> Result<GlobalsSummary> {
    let rows = admin.query("SELECT rolname FROM pg_catalog.pg_roles")?;
    let before: BTreeSet<String> = rows.iter().map(|row| row.text(0)).collect();
    let mut summary = GlobalsSummary::default();
    for statement in statements(script) {
        apply(admin, &statement, &before, &mut summary)?;
    }
    Ok(summary)
}

fn apply(
    admin: &mut Connection,
    statement: &str,
    before: &BTreeSet<String>,
    summary: &mut GlobalsSummary,
) -> Result<()> {
    if let Some(rest) = statement.strip_prefix("CREATE ROLE ") {
        let (role, _) = identifier(rest);
        if before.contains(&role) {
            summary.existing.push(role);
            return Ok(());
        }
        return match admin.execute(statement) {
            Ok(_) => {
                summary.created.push(role);
                Ok(())
            }
            Err(e) => leave_out(e, format!("creating role {role}"), summary),
        };
    }
    let about = ["ALTER ROLE ", "COMMENT ON ROLE "]
        .iter()
        .find_map(|words| statement.strip_prefix(words));
    if let Some(rest) = about {
        let (role, _) = identifier(rest);
        return match before.contains(&role) {
            true => Ok(()),
            false => soften(admin, statement, format!("setting up role {role}"), summary),
        };
    }
    if let Some(rest) = statement.strip_prefix("GRANT ") {
        return grant(admin, statement, rest, before, summary);
    }
    let known = [
        "SET ",
        "CREATE TABLESPACE ",
        "ALTER TABLESPACE ",
        "COMMENT ON TABLESPACE ",
    ]
    .iter()
    .any(|words| statement.starts_with(words));
    if !known {
        let first: Vec<&str> = statement.split_whitespace().take(5).collect();
        soften(admin, statement, first.join(" "), summary)?;
    }
    Ok(())
}

/// Memberships of roles that were made now, and rights on server settings. Since PostgreSQL 16 a membership can only be
/// granted by a role that has it with ADMIN OPTION, which nobody needed before: there it is granted by the one who restores.
fn grant(
    admin: &mut Connection,
    statement: &str,
    rest: &str,
    before: &BTreeSet<String>,
    summary: &mut GlobalsSummary,
) -> Result<()> {
    let (group, tail) = identifier(rest);
    let Some(member) = tail.trim_start().strip_prefix("TO ") else {
        // ON PARAMETER, ON TABLESPACE
        if rest.contains(" ON PARAMETER ") {
            return soften(
                admin,
                statement,
                "granting rights on a setting".into(),
                summary,
            );
        }
        return Ok(());
    };
    let (member, _) = identifier(member);
    if before.contains(&member) {
        return Ok(());
    }
    let doing = format!("making {member} a member of {group}");
    let error = match admin.execute(statement) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let Some((without, _)) = statement.rsplit_once(" GRANTED BY ") else {
        return leave_out(error, doing, summary);
    };
    match admin.execute(without) {
        Ok(_) => {
            summary.left_out.push(format!(
                "that {group} was granted to {member} by another role: it is granted by {} here",
                admin.options().user
            ));
            Ok(())
        }
        Err(_) => leave_out(error, doing, summary),
    }
}

fn soften(
    admin: &mut Connection,
    statement: &str,
    doing: String,
    summary: &mut GlobalsSummary,
) -> Result<()> {
    match admin.execute(statement) {
        Ok(_) => Ok(()),
        Err(error) => leave_out(error, doing, summary),
    }
}

/// The server's refusal is no reason to stop; a lost connection is. A statement is never shown, for it may hold a password.
fn leave_out(error: Error, doing: String, summary: &mut GlobalsSummary) -> Result<()> {
    match error.server() {
        Some(refusal) => {
            summary
                .left_out
                .push(format!("{doing}: {}", refusal.message));
            Ok(())
        }
        None => Err(error.doing(doing)),
    }
}

/// Reads an identifier, quoted or not, and gives what follows.
fn identifier(text: &str) -> (String, &str) {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| c.is_whitespace() || c == ';')
            .unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut name = String::new();
    while let Some(end) = rest.find('"') {
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => break,
        }
    }
    (name, rest)
}

/// The script's statements without their semicolons; comments and psql's own commands, which stand on lines of their own,
/// are left out.
fn statements(script: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut current = String::new();
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        if current.trim().is_empty() && (rest.starts_with("--") || c == '\\') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let taken = match c {
            '\'' => literal(rest, current.ends_with('E')),
            '"' => quoted(rest),
            ';' => {
                all.push(current.trim().to_owned());
                current.clear();
                rest = &rest[1..];
                continue;
            }
            _ => c.len_utf8(),
        };
        current.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    all.retain(|statement| !statement.is_empty());
    all
}

/// Length of the literal at the beginning of `text`; a doubled quote reads as two literals, which is as good.
fn literal(text: &str, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if escapes => {
                chars.next();
            }
            '\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn quoted(text: &str) -> usize {
    text[1..].find('"').map_or(text.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_cut_where_statements_end() {
        let script = "\\restrict abc\n--\n-- Roles; and more\n--\nCREATE ROLE \"a;b\";\n\
             ALTER ROLE \"a;b\" WITH PASSWORD 'SCRAM;''x';\nCOMMENT ON ROLE c IS E'it\\'s;\\\\';\nGRANT a TO b;\n\\unrestrict abc\n";
        assert_eq!(
            statements(script),
            [
                "CREATE ROLE \"a;b\"",
                "ALTER ROLE \"a;b\" WITH PASSWORD 'SCRAM;''x'",
                "COMMENT ON ROLE c IS E'it\\'s;\\\\'",
                "GRANT a TO b",
            ]
        );
    }

    #[test]
    fn identifiers_are_read_as_the_server_would() {
        assert_eq!(identifier("shop WITH"), ("shop".into(), " WITH"));
        assert_eq!(
            identifier("\"a \"\"b\"\"\" TO x"),
            ("a \"b\"".into(), " TO x")
        );
    }
}
