//! What a backup needs from the server it is restored on, and which of it is missing: found before anything starts.

use super::properties::{PropertyOptions, parse_acl_item};
use crate::{
    Result,
    archive::{Entry, Toc},
    wire::Connection,
};
use pgkeep_model::manifest::{DatabaseManifest, DatabaseProperties};
use std::collections::BTreeSet;

/// Names the target must know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    pub roles: BTreeSet<String>,
    pub extensions: BTreeSet<String>,
    pub tablespaces: BTreeSet<String>,
}

/// What the target lacks; empty when a restore can go ahead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    pub roles: BTreeSet<String>,
    pub extensions: BTreeSet<String>,
    pub tablespaces: BTreeSet<String>,
}

impl Missing {
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.extensions.is_empty() && self.tablespaces.is_empty()
    }

    /// One line each, with the remedy.
    pub fn describe(&self) -> Vec<String> {
        let list = |names: &BTreeSet<String>| {
            names
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut lines = Vec::new();
        if !self.roles.is_empty() {
            lines.push(format!(
                "the target has no role {}: create it (globals.sql of the backup holds its definition), or restore with --no-owner",
                list(&self.roles)
            ));
        }
        if !self.extensions.is_empty() {
            lines.push(format!(
                "the target does not offer extension {}: install its package on the server",
                list(&self.extensions)
            ));
        }
        if !self.tablespaces.is_empty() {
            lines.push(format!(
                "the target has no tablespace {}: create it, or restore into the default tablespace",
                list(&self.tablespaces)
            ));
        }
        lines
    }
}

/// Collects what the archive and the database's properties name.
pub fn requirements(
    toc: &Toc,
    manifest: &DatabaseManifest,
    options: &PropertyOptions,
) -> Requirements {
    let mut needs = Requirements::default();
    for entry in &toc.entries {
        if entry.is("EXTENSION") {
            needs.extensions.insert(entry.tag().into_owned());
        }
        if let Some(space) = entry
            .tablespace
            .as_deref()
            .filter(|s| !s.is_empty() && !options.no_tablespace)
        {
            needs
                .tablespaces
                .insert(String::from_utf8_lossy(space).into_owned());
        }
        if !options.no_owner && !entry.owner().is_empty() {
            needs.roles.insert(entry.owner().into_owned());
        }
        needs.roles.extend(roles_named_in(entry, options));
    }
    properties_need(&manifest.properties, options, &mut needs);
    needs.roles.remove("");
    needs.tablespaces.remove("pg_default");
    needs
}

fn properties_need(
    properties: &DatabaseProperties,
    options: &PropertyOptions,
    needs: &mut Requirements,
) {
    needs
        .roles
        .extend(options.owner(properties).map(String::from));
    if !options.no_acl {
        for item in properties
            .acl
            .iter()
            .flatten()
            .filter_map(|text| parse_acl_item(text))
        {
            for role in [item.grantee, item.grantor] {
                if !(options.no_owner && role == properties.owner) {
                    needs.roles.insert(role);
                }
            }
        }
    }
    needs
        .roles
        .extend(properties.settings.iter().map(|s| s.role.clone()));
    if !options.no_tablespace {
        needs.tablespaces.insert(properties.tablespace.clone());
        needs.tablespaces.remove("");
    }
}

/// Roles in the text of grants, policies and user mappings.
fn roles_named_in(entry: &Entry, options: &PropertyOptions) -> Vec<String> {
    let defn = entry.defn();
    let mut roles = Vec::new();
    match &*entry.desc() {
        "ACL" | "DEFAULT ACL" if !options.no_acl => {
            for line in defn.lines() {
                for word in [" TO ", " FROM ", "FOR ROLE "] {
                    // Object names come before the last ` TO `; a role never holds one unless it is quoted.
                    if let Some((_, rest)) = rsplit_outside_quotes(line, word) {
                        roles.extend(identifier_at_start(rest));
                    }
                }
            }
        }
        "POLICY" => {
            if let Some((_, rest)) = rsplit_outside_quotes(&defn, " TO ") {
                let mut rest = rest;
                while let Some((role, after)) = take_identifier(rest) {
                    roles.push(role);
                    match after.strip_prefix(", ") {
                        Some(more) => rest = more,
                        None => break,
                    }
                }
            }
        }
        "USER MAPPING" => {
            if let Some((_, rest)) = defn.split_once("USER MAPPING FOR ") {
                roles.extend(identifier_at_start(rest));
            }
        }
        _ => {}
    }
    roles.retain(|r| {
        !matches!(
            r.as_str(),
            "PUBLIC" | "public" | "CURRENT_USER" | "SESSION_USER"
        )
    });
    roles
}

fn identifier_at_start(text: &str) -> Option<String> {
    take_identifier(text).map(|(name, _)| name)
}

fn take_identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
            .unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_string(), &text[end..]));
    };
    let mut name = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if chars.peek().is_some_and(|(_, n)| *n == '"') => {
                chars.next();
                name.push('"');
            }
            '"' => return Some((name, &quoted[at + 1..])),
            c => name.push(c),
        }
    }
    None
}

/// Splits at the last `word` that stands outside double quotes and outside parentheses.
fn rsplit_outside_quotes<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let (mut quoted, mut depth, mut found) = (false, 0i32, None);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ if !quoted && depth == 0 && text[at..].starts_with(word) => found = Some(at),
            _ => {}
        }
    }
    found.map(|at| (&text[..at], &text[at + word.len()..]))
}

/// Compares with what the server has. `admin` may be connected to any of its databases.
pub fn missing(admin: &mut Connection, needs: &Requirements) -> Result<Missing> {
    let mut lacking = |wanted: &BTreeSet<String>, sql: &str| -> Result<BTreeSet<String>> {
        if wanted.is_empty() {
            return Ok(BTreeSet::new());
        }
        let rows = admin.query(sql)?;
        let have: BTreeSet<&str> = rows.iter().filter_map(|r| r.get(0)).collect();
        Ok(wanted
            .iter()
            .filter(|w| !have.contains(w.as_str()))
            .cloned()
            .collect())
    };
    Ok(Missing {
        roles: lacking(&needs.roles, "SELECT rolname FROM pg_catalog.pg_roles")?,
        extensions: lacking(
            &needs.extensions,
            "SELECT name FROM pg_catalog.pg_available_extensions",
        )?,
        tablespaces: lacking(
            &needs.tablespaces,
            "SELECT spcname FROM pg_catalog.pg_tablespace",
        )?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Extra, Section};

    fn roles(desc: &str, defn: &str) -> Vec<String> {
        let entry = Entry {
            dump_id: 1,
            has_data: false,
            table_oid: None,
            oid: None,
            tag: None,
            desc: Some(desc.into()),
            section: Section::None,
            defn: Some(defn.into()),
            drop_stmt: None,
            copy_stmt: None,
            namespace: None,
            tablespace: None,
            access_method: None,
            relkind: 0,
            owner: None,
            with_oids: None,
            dependencies: vec![],
            extra: Extra::File(None),
        };
        roles_named_in(&entry, &PropertyOptions::default())
    }

    #[test]
    fn roles_are_found_in_grants_policies_and_mappings() {
        assert_eq!(
            roles(
                "ACL",
                "REVOKE ALL ON TABLE public.\"a TO b\" FROM PUBLIC;\nGRANT SELECT ON TABLE public.t TO \"Ann \"\"x\"\"\" WITH GRANT OPTION;\n"
            ),
            ["Ann \"x\""]
        );
        assert_eq!(
            roles(
                "DEFAULT ACL",
                "ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA s GRANT SELECT ON TABLES TO bob;"
            ),
            ["bob", "boss"]
        );
        assert_eq!(
            roles(
                "POLICY",
                "CREATE POLICY p ON public.t FOR SELECT TO ann, \"b c\" USING ((a = ' TO z'::text));"
            ),
            ["ann", "b c"]
        );
        assert_eq!(
            roles("POLICY", "CREATE POLICY p ON public.t USING (true);"),
            Vec::<String>::new()
        );
        assert_eq!(
            roles("USER MAPPING", "CREATE USER MAPPING FOR bob SERVER s;"),
            ["bob"]
        );
    }
}
