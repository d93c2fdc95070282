//! The objects of a schema, as a table of contents lists them.

use pgkeep_postgres::archive::{self, Toc};
use std::collections::BTreeMap;

/// One object with its definition.
#[derive(Debug, Clone, Default)]
pub(super) struct Object {
    pub kind: String,
    pub schema: String,
    pub name: String,
    pub table: Option<String>,
    pub sql: String,
    /// Of a table: each column's name, and the rest of its definition.
    pub columns: Vec<(String, String)>,
}

/// Sorts objects as one would make them: rank of the kind, schema, table or own name, name.
type Key = (usize, String, String, String, String);

/// pg_dump's word, and ours. The order is that in which they are shown.
const KINDS: &[(&str, &str)] = &[
    ("EXTENSION", "extension"),
    ("SCHEMA", "schema"),
    ("COLLATION", "collation"),
    ("TYPE", "type"),
    ("DOMAIN", "domain"),
    ("SHELL TYPE", "type"),
    ("SEQUENCE", "sequence"),
    ("SEQUENCE OWNED BY", "sequence owner"),
    ("TABLE", "table"),
    ("FOREIGN TABLE", "foreign table"),
    ("TABLE ATTACH", "partition"),
    ("DEFAULT", "default"),
    ("VIEW", "view"),
    ("MATERIALIZED VIEW", "materialized view"),
    ("FUNCTION", "function"),
    ("PROCEDURE", "procedure"),
    ("AGGREGATE", "aggregate"),
    ("CONSTRAINT", "constraint"),
    ("CHECK CONSTRAINT", "check"),
    ("FK CONSTRAINT", "foreign key"),
    ("INDEX", "index"),
    ("INDEX ATTACH", "index partition"),
    ("STATISTICS", "statistics"),
    ("RULE", "rule"),
    ("TRIGGER", "trigger"),
    ("EVENT TRIGGER", "event trigger"),
    ("ROW SECURITY", "row security"),
    ("POLICY", "policy"),
    ("PUBLICATION", "publication"),
    ("PUBLICATION TABLE", "publication table"),
    ("ACL", "grants"),
    ("DEFAULT ACL", "default grants"),
    ("COMMENT", "comment"),
    ("SECURITY LABEL", "security label"),
];

/// Kinds whose name in a table of contents begins with their table's.
const OF_TABLE: &[&str] = &[
    "CONSTRAINT",
    "CHECK CONSTRAINT",
    "FK CONSTRAINT",
    "DEFAULT",
    "TRIGGER",
    "POLICY",
    "RULE",
];

pub(super) fn objects(toc: &Toc) -> BTreeMap<Key, Object> {
    let definitions = archive::definitions(toc);
    // Names with their schema apart; the key of a definition has both in one text.
    let names: BTreeMap<(String, String), (String, String)> = toc
        .entries
        .iter()
        .map(|e| {
            let (schema, tag) = (e.namespace().into_owned(), e.tag().into_owned());
            let full = match schema.as_str() {
                "" => tag.clone(),
                schema => format!("{schema}.{tag}"),
            };
            ((e.desc().into_owned(), full), (schema, tag))
        })
        .collect();
    let mut tables: BTreeMap<(String, String), Object> = BTreeMap::new();
    let mut others = Vec::new();
    for ((desc, full), sql) in definitions {
        let (schema, tag) = names
            .get(&(desc.clone(), full.clone()))
            .cloned()
            .unwrap_or((String::new(), full));
        let object = Object {
            kind: kind(&desc),
            schema: schema.clone(),
            name: tag.clone(),
            table: None,
            sql,
            columns: Vec::new(),
        };
        match desc.as_str() {
            "TABLE" | "FOREIGN TABLE" => {
                tables.insert(
                    (schema, tag),
                    Object {
                        columns: columns(&object.sql),
                        ..object
                    },
                );
            }
            _ => others.push((desc, object)),
        }
    }
    others.retain(|(desc, object)| desc != "DEFAULT" || !put_into_column(object, &mut tables));
    let mut all = BTreeMap::new();
    for (desc, mut object) in others {
        if OF_TABLE.contains(&desc.as_str()) {
            (object.table, object.name) = apart(&object, &tables);
        } else if desc == "INDEX" {
            object.table = table_of_index(&object.sql);
        } else if desc == "ROW SECURITY" {
            object.table = Some(object.name.clone());
        }
        all.insert(key(&desc, &object), object);
    }
    for (_, object) in tables {
        all.insert(key("TABLE", &object), object);
    }
    all
}

fn kind(desc: &str) -> String {
    match KINDS.iter().find(|(word, _)| *word == desc) {
        Some((_, kind)) => (*kind).to_owned(),
        None => desc.to_lowercase(),
    }
}

fn key(desc: &str, object: &Object) -> Key {
    let rank = KINDS.iter().position(|(word, _)| *word == desc);
    (
        rank.unwrap_or(KINDS.len()),
        desc.to_owned(),
        object.schema.clone(),
        object.table.clone().unwrap_or_default(),
        object.name.clone(),
    )
}

/// Table and own name of what is tagged `table name`: of the tables that are there, the longest that fits.
fn apart(object: &Object, tables: &BTreeMap<(String, String), Object>) -> (Option<String>, String) {
    let of_table = |table: &&str| {
        let rest = object.name.strip_prefix(*table);
        rest.is_some_and(|rest| rest.starts_with(' '))
    };
    let table = tables
        .keys()
        .filter(|(schema, _)| *schema == object.schema)
        .map(|(_, name)| name.as_str())
        .filter(of_table)
        .max_by_key(|name| name.len());
    match table.or_else(|| object.name.split_once(' ').map(|(table, _)| table)) {
        Some(table) => (
            Some(table.to_owned()),
            object.name[table.len() + 1..].to_owned(),
        ),
        None => (None, object.name.clone()),
    }
}

/// Shows a default that is written down apart with its column; false where it is no table's.
fn put_into_column(object: &Object, tables: &mut BTreeMap<(String, String), Object>) -> bool {
    let (Some(table), column) = apart(object, tables) else {
        return false;
    };
    let Some(table) = tables.get_mut(&(object.schema.clone(), table)) else {
        return false;
    };
    let Some((_, default)) = object.sql.split_once(" SET DEFAULT ") else {
        return false;
    };
    let default = default.lines().next().unwrap_or_default();
    let default = format!(" DEFAULT {}", default.trim_end_matches(';'));
    let Some((name, text)) = table.columns.iter_mut().find(|(name, _)| *name == column) else {
        return false;
    };
    // In the statement, too, so that what people read is the whole table.
    let is_column = |line: &str| {
        let found = identifier(line.trim());
        found.is_some_and(|(n, rest)| {
            n == *name && rest.trim().trim_end_matches(',') == text.as_str()
        })
    };
    let lines = table.sql.split('\n').map(|line| match is_column(line) {
        true => match line.strip_suffix(',') {
            Some(line) => format!("{line}{default},"),
            None => format!("{line}{default}"),
        },
        false => line.to_owned(),
    });
    table.sql = lines.collect::<Vec<_>>().join("\n");
    text.push_str(&default);
    true
}

/// `CREATE INDEX i ON [ONLY] schema.table USING ...`
fn table_of_index(sql: &str) -> Option<String> {
    let (_, rest) = sql.split_once(" ON ")?;
    let (table, _) = rest.split_once(" USING ")?;
    let table = table.strip_prefix("ONLY ").unwrap_or(table);
    let name = match table.rfind('.') {
        Some(dot) => &table[dot + 1..],
        None => table,
    };
    Some(name.trim_matches('"').to_owned())
}

/// The columns of a `CREATE TABLE`: what stands between its first parentheses, but for constraints.
fn columns(sql: &str) -> Vec<(String, String)> {
    let Some(start) = sql.find('(') else {
        return Vec::new();
    };
    parts(&sql[start + 1..])
        .into_iter()
        .filter_map(|part| {
            let part = part.trim();
            let (name, rest) = identifier(part)?;
            let constraint = !part.starts_with('"')
                && ["CONSTRAINT", "CHECK", "EXCLUDE", "LIKE"].contains(&name.as_str());
            (!constraint).then(|| (name, rest.trim().to_owned()))
        })
        .collect()
}

/// A name, with or without quotes, and what follows it.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return Some((name, &quoted[i + 1..]));
        }
    }
    None
}

/// What the commas outside of quotes and parentheses part, up to the closing parenthesis.
fn parts(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth) = (Vec::new(), 0, 0);
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            // A doubled quote closes and opens again, which comes to the same.
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')') if depth == 0 => {
                found.push(&text[start..i]);
                return found;
            }
            (None, ')' | ']') => depth -= 1,
            (None, ',') if depth == 0 => {
                found.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_cut_out_of_a_statement_whatever_stands_in_them() {
        let sql = r#"CREATE TABLE public."odd table" (
    id bigint NOT NULL,
    "a ""b"", c" text DEFAULT 'x, (y''z'::text,
    price numeric(10,2) DEFAULT (1 + 2) NOT NULL,
    tags text[],
    total numeric GENERATED ALWAYS AS ((price * (2)::numeric)) STORED,
    CONSTRAINT positive CHECK ((price > (0)::numeric))
)
PARTITION BY LIST (tags);"#;
        let found = columns(sql);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["id", r#"a "b", c"#, "price", "tags", "total"]);
        assert_eq!(found[1].1, "text DEFAULT 'x, (y''z'::text");
        assert_eq!(found[2].1, "numeric(10,2) DEFAULT (1 + 2) NOT NULL");
        assert_eq!(columns("CREATE TABLE public.none (\n);"), []);
    }

    #[test]
    fn an_index_tells_its_table() {
        for (sql, table) in [
            ("CREATE INDEX i ON public.t USING btree (a)", Some("t")),
            (
                "CREATE UNIQUE INDEX i ON ONLY s.\"T x\" USING btree (a)",
                Some("T x"),
            ),
            ("CREATE STATISTICS", None),
        ] {
            assert_eq!(table_of_index(sql).as_deref(), table, "{sql}");
        }
    }
}
