//! What two majors must be asked to know whether the newer one takes in what the older one holds: settings, reserved
//! words, system functions, types and the columns of system views. Asking both servers is exact where a list of release
//! notes would age.

use crate::{error::Result, wire::Connection};
use pgkeep_model::evidence::quote_literal;
use std::collections::{BTreeMap, BTreeSet};

/// A setting as a server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub value: String,
    pub unit: String,
    /// Neither the compiled-in default nor what only this run of the server knows: somebody chose it.
    pub chosen: bool,
}

/// All settings of the server by their lower-case names.
pub fn settings(connection: &mut Connection) -> Result<BTreeMap<String, Setting>> {
    let rows = connection.query(
        "SELECT pg_catalog.lower(name) AS name, COALESCE(setting, '') AS value, COALESCE(unit, '') AS unit,
                source IN ('configuration file', 'global', 'database', 'user', 'database user') AS chosen
         FROM pg_catalog.pg_settings",
    )?;
    Ok(rows
        .iter()
        .map(|row| {
            let setting = Setting {
                value: row.text("value"),
                unit: row.text("unit"),
                chosen: row.is_true("chosen"),
            };
            (row.text("name"), setting)
        })
        .collect())
}

/// Names of settings that were chosen on the old server and are different on the new one; those that name the server's own
/// places, ports and log are left out, and values are never given, for some hold a password.
pub fn changed_settings(
    old: &BTreeMap<String, Setting>,
    new: &BTreeMap<String, Setting>,
) -> Vec<String> {
    const OWN: &[&str] = &[
        "cluster_name",
        "config_file",
        "data_directory",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "port",
        "unix_socket_directories",
    ];
    old.iter()
        .filter(|(name, setting)| setting.chosen && !OWN.contains(&name.as_str()))
        .filter(|(name, setting)| {
            new.get(*name)
                .is_some_and(|there| (&there.value, &there.unit) != (&setting.value, &setting.unit))
        })
        .map(|(name, _)| name.clone())
        .collect()
}

/// One setting that `ALTER DATABASE` or `ALTER ROLE` stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSetting {
    /// Empty for all databases.
    pub database: String,
    /// Empty for all roles.
    pub role: String,
    pub name: String,
    pub value: String,
}

impl StoredSetting {
    /// `database shop`, `role app`, `role app in database shop`
    pub fn place(&self) -> String {
        match (self.role.as_str(), self.database.as_str()) {
            ("", database) => format!("database {database}"),
            (role, "") => format!("role {role}"),
            (role, database) => format!("role {role} in database {database}"),
        }
    }
}

pub fn stored_settings(connection: &mut Connection) -> Result<Vec<StoredSetting>> {
    let rows = connection.query(
        "SELECT COALESCE(d.datname, '') AS database, COALESCE(r.rolname, '') AS role, s.setconfig::text AS settings
         FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
              LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
         WHERE (s.setdatabase = 0 OR d.oid IS NOT NULL) AND (s.setrole = 0 OR r.oid IS NOT NULL) ORDER BY 1, 2",
    )?;
    let mut all = Vec::new();
    for row in rows.iter() {
        for setting in super::parse_array(&row.text("settings")) {
            if let Some((name, value)) = setting.split_once('=') {
                all.push(StoredSetting {
                    database: row.text("database"),
                    role: row.text("role"),
                    name: name.to_owned(),
                    value: value.to_owned(),
                });
            }
        }
    }
    Ok(all)
}

/// Which of these the server of `connection` would not take, each with its reason. Nothing is changed there.
pub fn refused_values<'a>(
    connection: &mut Connection,
    stored: &'a [StoredSetting],
) -> Result<Vec<(&'a StoredSetting, String)>> {
    // A role or a tablespace that is made later is no reason to refuse.
    const LATER: &[&str] = &[
        "role",
        "session_authorization",
        "default_tablespace",
        "temp_tablespaces",
    ];
    let known = settings(connection)?;
    let mut refused = Vec::new();
    for setting in stored {
        let name = setting.name.to_ascii_lowercase();
        if !known.contains_key(&name) {
            // With a dot it is the user's own, or an extension's.
            if !name.contains('.') {
                refused.push((setting, "there is no such setting".to_owned()));
            }
            continue;
        }
        if LATER.contains(&name.as_str()) {
            continue;
        }
        connection.execute("BEGIN")?;
        let tried = connection.query(&format!(
            "SELECT pg_catalog.set_config({}, {}, true)",
            quote_literal(&setting.name),
            quote_literal(&setting.value)
        ));
        connection.execute("ROLLBACK")?;
        if let Err(error) = tried {
            match error.server() {
                Some(refusal) if refusal.sqlstate == "22023" => {
                    refused.push((setting, refusal.message.clone()));
                }
                // Not to be set within a session, which says nothing of its value.
                Some(_) => {}
                None => return Err(error),
            }
        }
    }
    Ok(refused)
}

/// The words and names that a major brings with it.
#[derive(Debug, Clone, Default)]
pub struct Dialect {
    /// Words that cannot name a column or schema without quotes.
    pub reserved: BTreeSet<String>,
    pub functions: BTreeSet<String>,
    pub types: BTreeSet<String>,
    /// `view.column` and `view` of `pg_catalog` and `information_schema`.
    pub relations: BTreeSet<String>,
}

pub fn dialect(connection: &mut Connection) -> Result<Dialect> {
    let mut names = |sql: &str| -> Result<BTreeSet<String>> {
        Ok(connection
            .query(sql)?
            .iter()
            .map(|row| row.text(0))
            .collect())
    };
    Ok(Dialect {
        reserved: names("SELECT word FROM pg_catalog.pg_get_keywords() WHERE catcode IN ('R', 'T')")?,
        functions: names(
            "SELECT DISTINCT proname FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace",
        )?,
        types: names(
            "SELECT typname FROM pg_catalog.pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typrelid = 0",
        )?,
        relations: names(
            "SELECT c.relname FROM pg_catalog.pg_class c
             WHERE c.relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
             UNION ALL
             SELECT c.relname || '.' || a.attname FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)",
        )?,
    })
}

/// Something of the user's that rests on something of the server's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuiltinUse {
    /// `view public.activity`, `column public.old.at`
    pub user: String,
    /// `pg_stat_bgwriter.buffers_backend`, `abstime`
    pub builtin: String,
}

/// System views (and their columns) that the current database's views read, then system types of its columns. Parts of
/// extensions are left out: they come with their extension.
pub fn builtin_uses(connection: &mut Connection) -> Result<(Vec<BuiltinUse>, Vec<BuiltinUse>)> {
    let uses = |rows: crate::wire::Rows| -> Vec<BuiltinUse> {
        rows.iter()
            .map(|row| BuiltinUse {
                user: row.text("used_by"),
                builtin: row.text("used"),
            })
            .collect()
    };
    let views = connection.query(
        "SELECT DISTINCT pg_catalog.format('view %s.%s', n.nspname, c.relname) AS used_by,
                v.relname || COALESCE('.' || a.attname, '') AS used
         FROM pg_catalog.pg_depend d
           JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
           JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_catalog.pg_class v ON v.oid = d.refobjid
           JOIN pg_catalog.pg_namespace vn ON vn.oid = v.relnamespace
           LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = v.oid AND a.attnum = d.refobjsubid AND d.refobjsubid > 0
         WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
           AND c.oid >= 16384 AND vn.nspname IN ('pg_catalog', 'information_schema')
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass
                             AND e.objid = c.oid AND e.deptype = 'e')
         ORDER BY 1, 2",
    )?;
    let types = connection.query(
        "SELECT pg_catalog.format('column %s.%s.%s', n.nspname, c.relname, a.attname) AS used_by,
                COALESCE(e.typname, t.typname) AS used
         FROM pg_catalog.pg_attribute a
           JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
           LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
         WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'f', 'v', 'c') AND a.attnum > 0 AND NOT a.attisdropped
           AND COALESCE(e.oid, t.oid) < 16384 AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1",
    )?;
    Ok((uses(views), uses(types)))
}

/// The current database's functions, views, defaults, checks and index expressions in whose text one of these words stands.
pub fn mentions(connection: &mut Connection, words: &BTreeSet<&str>) -> Result<Vec<BuiltinUse>> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = words.iter().map(|word| quote_literal(word)).collect();
    // Every word of each text is looked up, which is one pass however many words there are.
    let rows = connection.query(&format!(
        "WITH texts(used_by, body) AS (
           SELECT pg_catalog.format('function %s.%s', n.nspname, p.proname), COALESCE(p.prosrc, '')
             FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
             WHERE p.oid >= 16384 AND p.prokind <> 'a' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
               WHERE e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
           UNION ALL SELECT pg_catalog.format('view %s.%s', n.nspname, c.relname), pg_catalog.pg_get_viewdef(c.oid)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid >= 16384 AND c.relkind IN ('v', 'm') AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
               WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
           UNION ALL SELECT pg_catalog.format('default of %s', d.adrelid::regclass), pg_catalog.pg_get_expr(d.adbin, d.adrelid)
             FROM pg_catalog.pg_attrdef d
           UNION ALL SELECT pg_catalog.format('constraint %s', c.conname), pg_catalog.pg_get_constraintdef(c.oid)
             FROM pg_catalog.pg_constraint c WHERE c.contype = 'c' AND c.oid >= 16384
           UNION ALL SELECT pg_catalog.format('index %s', i.indexrelid::regclass), pg_catalog.pg_get_indexdef(i.indexrelid)
             FROM pg_catalog.pg_index i WHERE i.indexprs IS NOT NULL AND i.indexrelid >= 16384)
         SELECT DISTINCT t.used_by, w.word[1] AS used
         FROM texts t CROSS JOIN LATERAL pg_catalog.regexp_matches(t.body, '[A-Za-z_][A-Za-z0-9_]*', 'g') AS w(word)
         WHERE w.word[1] IN ({}) ORDER BY 1, 2",
        list.join(", ")
    ))?;
    Ok(rows
        .iter()
        .map(|row| BuiltinUse {
            user: row.text("used_by"),
            builtin: row.text("used"),
        })
        .collect())
}

/// Columns and schemas of the current database that are named exactly as one of these words. Other names stand behind a
/// schema in a dump, where every word may.
pub fn named_like(connection: &mut Connection, words: &BTreeSet<&str>) -> Result<Vec<String>> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = words.iter().map(|word| quote_literal(word)).collect();
    let list = list.join(", ");
    let rows = connection.query(&format!(
        "SELECT pg_catalog.format('column %s of %s.%s', a.attname, n.nspname, c.relname) AS name
           FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND a.attnum > 0
             AND NOT a.attisdropped AND a.attname IN ({list})
         UNION SELECT pg_catalog.format('schema %s', nspname) FROM pg_catalog.pg_namespace
           WHERE oid >= 16384 AND nspname IN ({list})
         ORDER BY 1"
    ))?;
    Ok(rows.iter().map(|row| row.text(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chosen_settings_that_differ_are_told_and_never_their_values() {
        let setting = |value: &str, chosen| Setting {
            value: value.into(),
            unit: String::new(),
            chosen,
        };
        let old = BTreeMap::from([
            ("work_mem".to_owned(), setting("65536", true)),
            ("port".to_owned(), setting("5432", true)),
            ("jit".to_owned(), setting("off", true)),
            ("fsync".to_owned(), setting("off", false)),
            ("gone".to_owned(), setting("1", true)),
        ]);
        let mut new = old.clone();
        new.remove("gone");
        for name in ["work_mem", "port", "fsync"] {
            new.insert(name.into(), setting("other", false));
        }
        assert_eq!(changed_settings(&old, &new), ["work_mem"]);
    }
}
