//! What a backup needs from the server it is restored on, and which of it is missing: found before anything starts.

use super::{
    RestoreOptions,
    properties::{PropertyOptions, parse_acl_item, take_quoted},
    selection::Selection,
};
use crate::{
    Result,
    archive::{Entry, Toc},
    wire::Connection,
};
use pgkeep_model::manifest::{DatabaseManifest, DatabaseProperties};
use std::collections::{BTreeMap, BTreeSet};

/// Names the target must know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    pub roles: BTreeSet<String>,
    pub extensions: BTreeSet<String>,
    pub tablespaces: BTreeSet<String>,
    /// For each role, what needs it.
    uses: BTreeMap<String, BTreeSet<Use>>,
}

/// What the target lacks; empty when a restore can go ahead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    pub roles: BTreeSet<String>,
    pub extensions: BTreeSet<String>,
    pub tablespaces: BTreeSet<String>,
    uses: BTreeMap<String, BTreeSet<Use>>,
}

/// Why a role must be there, in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// Its definition cannot do without, whatever the options say.
    Definition(String),
    Grant(String),
    Ownership(String),
}

impl Use {
    fn words(&self) -> &str {
        match self {
            Use::Definition(words) | Use::Grant(words) | Use::Ownership(words) => words,
        }
    }
}

impl Requirements {
    fn role(&mut self, role: impl Into<String>, need: Use) {
        let role = role.into();
        if !role.is_empty() {
            self.uses.entry(role.clone()).or_default().insert(need);
            self.roles.insert(role);
        }
    }
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
        let mut lines: Vec<String> = self.roles.iter().map(|r| self.describe_role(r)).collect();
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

    fn describe_role(&self, role: &str) -> String {
        const SHOWN: usize = 3;
        let uses: Vec<&Use> = self.uses.get(role).into_iter().flatten().collect();
        let words: Vec<&str> = uses.iter().take(SHOWN).map(|u| u.words()).collect();
        let rest = match uses.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let has = |is: fn(&Use) -> bool| uses.iter().any(|u| is(u));
        let create = "create it (globals.sql of the backup holds its definition)";
        let remedy = if has(|u| matches!(u, Use::Definition(_))) {
            format!("{create}; --no-owner covers owners and grants only")
        } else if has(|u| matches!(u, Use::Grant(_))) {
            format!(
                "{create}, or restore with --no-owner, which leaves out grants that name missing roles"
            )
        } else {
            format!("{create}, or restore with --no-owner")
        };
        // What stands before the first colon is the finding, what follows the remedy.
        let needed = format!("{}{rest}", words.join(", ")).replace(": ", ":");
        format!("the target has no role {role}, which is needed for {needed}: {remedy}")
    }
}

/// Collects what the archive and the database's properties name. Without owners, grants to missing roles are left out
/// by the restore, so only definitions need roles then.
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
        if !options.no_owner && options.role.is_none() {
            let what = format!("the owner of {}", in_words(entry));
            needs.role(entry.owner(), Use::Ownership(what));
        }
        let grants = is_grant(entry);
        if grants && (options.no_acl || options.no_owner) {
            continue;
        }
        for role in roles_named_in(entry) {
            let what = in_words(entry);
            needs.role(
                role,
                match grants {
                    true => Use::Grant(what),
                    false => Use::Definition(what),
                },
            );
        }
    }
    properties_need(&manifest.properties, options, &mut needs);
    needs.tablespaces.remove("pg_default");
    needs
}

fn properties_need(
    properties: &DatabaseProperties,
    options: &PropertyOptions,
    needs: &mut Requirements,
) {
    if let Some(owner) = options.owner(properties) {
        needs.role(owner, Use::Ownership("the owner of the database".into()));
    }
    if !options.no_acl && !options.no_owner {
        let items = properties.acl.iter().flatten();
        for item in items.filter_map(|text| parse_acl_item(text)) {
            for role in [item.grantee, item.grantor] {
                needs.role(role, Use::Grant("grants on the database".into()));
            }
        }
    }
    if !options.no_owner {
        for setting in &properties.settings {
            let what = "its settings in the database".into();
            needs.role(&setting.role, Use::Grant(what));
        }
    }
    if !options.no_tablespace {
        needs.tablespaces.insert(properties.tablespace.clone());
        needs.tablespaces.remove("");
    }
}

/// Takes grants that name roles which the server does not have out of the selection, and says so. For restores without
/// owners; in others they are errors.
pub(super) fn leave_out_grants_to_missing_roles(
    connection: &mut Connection,
    toc: &Toc,
    selection: &mut Selection,
    options: &RestoreOptions,
) -> Result<()> {
    if !options.no_owner || options.no_acl {
        return Ok(());
    }
    let rows = connection.query("SELECT rolname FROM pg_catalog.pg_roles")?;
    let there: BTreeSet<&str> = rows.iter().filter_map(|r| r.get(0)).collect();
    for entry in toc.entries.iter().filter(|e| is_grant(e)) {
        let mut missing = roles_named_in(entry);
        missing.retain(|role| !there.contains(role.as_str()));
        missing.sort();
        missing.dedup();
        if !missing.is_empty() && selection.has(entry) {
            selection.remove(toc, entry.dump_id);
            selection.left_out.push(format!(
                "{}: there is no role {}",
                in_words(entry),
                missing.join(", ")
            ));
        }
    }
    Ok(())
}

fn is_grant(entry: &Entry) -> bool {
    entry.is("ACL") || entry.is("DEFAULT ACL")
}

/// What an entry is, for people: `grants on table orders of schema public`.
fn in_words(entry: &Entry) -> String {
    let (desc, tag) = (entry.desc().to_lowercase(), entry.tag());
    let what = match &*desc {
        "acl" => match tag.split_once(' ') {
            // The kind may be of two words; names keep their case.
            Some((kind, name)) if kind.chars().all(|c| c.is_ascii_uppercase()) => {
                format!("grants on {} {name}", kind.to_lowercase())
            }
            _ => format!("grants on {tag}"),
        },
        "default acl" => tag.to_lowercase(),
        // Tagged with the table's name before its own.
        "policy" => match tag.split_once(' ') {
            Some((table, policy)) => format!("policy {policy} of table {table}"),
            None => format!("policy {tag}"),
        },
        _ => format!("{desc} {tag}"),
    };
    match &*entry.namespace() {
        "" => what,
        schema => format!("{what} of schema {schema}"),
    }
}

/// Roles in the text of grants, policies and user mappings.
fn roles_named_in(entry: &Entry) -> Vec<String> {
    let defn = entry.defn();
    let mut roles = Vec::new();
    match &*entry.desc() {
        "ACL" | "DEFAULT ACL" => {
            for line in defn.lines() {
                for word in [" TO ", " FROM ", "FOR ROLE ", "SET SESSION AUTHORIZATION "] {
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
    take_quoted(quoted)
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
    let roles = lacking(&needs.roles, "SELECT rolname FROM pg_catalog.pg_roles")?;
    let uses = needs.uses.iter().filter(|(role, _)| roles.contains(*role));
    Ok(Missing {
        uses: uses.map(|(r, u)| (r.clone(), u.clone())).collect(),
        roles,
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
        roles_named_in(&entry)
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
                "ACL",
                "SET SESSION AUTHORIZATION granter;\nGRANT SELECT ON TABLE public.t TO ann;\nRESET SESSION AUTHORIZATION;\n"
            ),
            ["granter", "ann"]
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
