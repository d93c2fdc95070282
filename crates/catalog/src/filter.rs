//! A WHERE clause that is put together from what a list is asked for. Only its own texts become SQL; values are parameters.

use crate::db::Value;

#[derive(Debug, Default)]
pub(crate) struct Filter {
    conditions: Vec<String>,
    params: Vec<Value>,
}

impl Filter {
    /// Adds a parameter and returns its place.
    pub(crate) fn param(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }

    pub(crate) fn condition(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    pub(crate) fn equals(&mut self, column: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            let place = self.param(value);
            self.condition(format!("{column} = {place}"));
        }
    }

    /// `left` is a column with an operator: `created_at >=`.
    pub(crate) fn compares(&mut self, left: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            let place = self.param(value);
            self.condition(format!("{left} {place}"));
        }
    }

    /// Nothing is asked where there are no values.
    pub(crate) fn one_of(&mut self, column: &'static str, values: Vec<Value>) {
        if !values.is_empty() {
            let places: Vec<String> = values.into_iter().map(|v| self.param(v)).collect();
            self.condition(format!("{column} IN ({})", places.join(", ")));
        }
    }

    /// What the asker may see: `None` is everything, an empty list is nothing.
    pub(crate) fn apps(&mut self, apps: Option<&[String]>) {
        match apps {
            None => {}
            Some([]) => self.condition("1 = 0"),
            Some(apps) => self.one_of("app", apps.iter().map(Value::from).collect()),
        }
    }

    /// One of the columns holds `text`, whatever its case, or the id begins with it.
    pub(crate) fn contains(&mut self, columns: &[&'static str], id: &'static str, text: &str) {
        let escaped = escape_like(&text.to_lowercase());
        let part = self.param(format!("%{escaped}%"));
        let begin = self.param(format!("{escaped}%"));
        let mut any: Vec<String> = columns
            .iter()
            .map(|column| format!("lower({column}) LIKE {part} ESCAPE '\\'"))
            .collect();
        any.push(format!("{id} LIKE {begin} ESCAPE '\\'"));
        self.condition(format!("({})", any.join(" OR ")));
    }

    /// `WHERE …`, or nothing.
    pub(crate) fn clause(&self) -> String {
        if self.conditions.is_empty() {
            String::new()
        } else {
            format!("WHERE {}", self.conditions.join(" AND "))
        }
    }

    pub(crate) fn into_params(self) -> Vec<Value> {
        self.params
    }
}

/// Takes the meaning from LIKE's signs.
pub(crate) fn escape_like(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
