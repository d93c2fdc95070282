//! Name patterns as pg_dump and psql understand them.
//!
//! `*` and `?` are wildcards, names fold to lower case unless quoted, a dot parts schema and table. The rules are those
//! of PostgreSQL's `src/fe_utils/string_utils.c` (`patternToSQLRegex`), so that what pgkeep locks and what pg_dump dumps
//! are the same tables.

use pgkeep_model::evidence::quote_literal;

/// A pattern turned into regular expressions of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    /// For the part before the last dot; `None` when there is none.
    pub schema: Option<String>,
    pub name: String,
}

impl NamePattern {
    pub fn parse(pattern: &str) -> Self {
        let mut parts = vec![String::new()];
        let mut quoted = false;
        let mut characters = pattern.chars().peekable();
        while let Some(c) = characters.next() {
            let part = parts.last_mut().expect("there is always one part");
            match c {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    part.push('"');
                }
                '"' => quoted = !quoted,
                '*' if !quoted => part.push_str(".*"),
                '?' if !quoted => part.push('.'),
                '.' if !quoted => parts.push(String::new()),
                // `$` is an ordinary character in names, even outside quotes.
                '$' => part.push_str("\\$"),
                c if quoted && "|*+?()[]{}.^\\".contains(c) => {
                    part.push('\\');
                    part.push(c);
                }
                // Brackets are for arrays in psql; inside a character class they work as they stand.
                '[' if characters.peek() == Some(&']') => part.push_str("\\["),
                c if quoted => part.push(c),
                c => part.extend(c.to_lowercase()),
            }
        }
        let name = parts.pop().expect("there is always one part");
        Self {
            schema: parts.pop(),
            name,
        }
    }

    /// A condition on schema and table name, given as SQL expressions.
    pub fn matches_table(&self, schema: &str, table: &str) -> String {
        match &self.schema {
            Some(pattern) => format!(
                "({} AND {})",
                regex(schema, pattern),
                regex(table, &self.name)
            ),
            None => regex(table, &self.name),
        }
    }

    /// A condition on a schema's name, given as an SQL expression.
    pub fn matches_schema(&self, schema: &str) -> String {
        regex(schema, &self.name)
    }
}

fn regex(expression: &str, pattern: &str) -> String {
    let anchored = quote_literal(&format!("^({pattern})$"));
    format!("{expression} ~ {anchored} COLLATE pg_catalog.default")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, schema: Option<&str>, name: &str) {
        let parsed = NamePattern::parse(pattern);
        assert_eq!(
            (parsed.schema.as_deref(), parsed.name.as_str()),
            (schema, name),
            "{pattern}"
        );
    }

    #[test]
    fn patterns_become_regular_expressions_as_in_psql() {
        check("orders", None, "orders");
        check("Orders", None, "orders");
        check("\"Orders\"", None, "Orders");
        check("public.ord*", Some("public"), "ord.*");
        check("a?c", None, "a.c");
        check("\"a.b\".\"c*\"\"\"", Some("a\\.b"), "c\\*\"");
        check("v$x", None, "v\\$x");
        check("(a|b)", None, "(a|b)");
    }

    #[test]
    fn a_pattern_cannot_leave_its_literal() {
        let sql = NamePattern::parse("\"a'; DROP TABLE x --\\\"").matches_schema("n.nspname");
        assert_eq!(
            sql,
            "n.nspname ~  E'^(a''; DROP TABLE x --\\\\\\\\)$' COLLATE pg_catalog.default"
        );
    }
}
