//! Keys of JSON documents: `camelCase` in the API, `snake_case` on the command line.
//!
//! Only keys that are field names are changed. What stands below a key of [`AS_IS`] is data or a document of the command
//! line itself, and stays byte for byte.

use serde_json::{Map, Value};

/// Maps whose keys are names of the user's, and documents that have the command line's keys already.
const AS_IS: &[&str] = &[
    "result", "manifest", "evidence", "facts", "before", "after", "data", "objects", "rows",
    "roles",
];

/// A document of the API as the command line shows it.
pub fn snake(value: Value) -> Value {
    changed(value, &|key| {
        let mut out = String::with_capacity(key.len() + 4);
        for c in key.chars() {
            if c.is_ascii_uppercase() {
                out.push('_');
                out.push(c.to_ascii_lowercase());
            } else {
                out.push(c);
            }
        }
        out
    })
}

/// A document of the command line as the API takes it.
pub fn camel(value: Value) -> Value {
    changed(value, &|key| {
        let mut out = String::with_capacity(key.len());
        let mut upper = false;
        for c in key.chars() {
            match c {
                '_' if !out.is_empty() => upper = true,
                c if upper => {
                    out.push(c.to_ascii_uppercase());
                    upper = false;
                }
                c => out.push(c),
            }
        }
        out
    })
}

fn changed(value: Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::Object(map) => {
            let mut out = Map::with_capacity(map.len());
            for (key, value) in map {
                let value = match AS_IS.contains(&key.as_str()) {
                    true => value,
                    false => changed(value, change),
                };
                out.insert(change(&key), value);
            }
            Value::Object(out)
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| changed(item, change))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_change_both_ways_and_data_does_not() {
        let api = json!({"nextCursor": null, "items": [{"maxBackups": 3, "result": {"kept_as": 1, "camelCase": 2}}]});
        let own = json!({"next_cursor": null, "items": [{"max_backups": 3, "result": {"kept_as": 1, "camelCase": 2}}]});
        assert_eq!(snake(api.clone()), own);
        assert_eq!(camel(own), api);
    }
}
