//! What the catalogs say, as plain values.
//!
//! Every name is qualified, so the caller's `search_path` does not matter. Catalogs of PostgreSQL 14 to 18 are read;
//! columns that came or went between them are chosen by the server's version. What an ordinary user may not see comes
//! back as empty, never as an error, unless the function says otherwise.

mod activity;
mod databases;
mod majors;
mod objects;
mod roles;
mod server;

pub use activity::{
    LogicalSubscription, PreparedTransaction, ReplicationSlot, Session, Use, database_use,
    prepared_transactions, publications, replicas, replication_slots, sessions, subscriptions,
};
pub use databases::{
    DatabaseEntry, database_exists, database_properties, database_size, databases, role_settings,
};
pub use majors::{
    BuiltinUse, Dialect, Setting, StoredSetting, builtin_uses, changed_settings, dialect, mentions,
    named_like, refused_values, settings, stored_settings,
};
pub use objects::{
    AvailableExtension, ConfigurationTable, Extension, Relation, UnreadableTable,
    available_extensions, extension_evidence, extensions, relations, unreadable_tables,
};
pub use roles::{Role, Tablespace, roles, tablespaces};
pub use server::{CurrentUser, current_user, server_facts, wal_position};

/// Reads a one-dimensional array in the server's text form, `{a,"b,c",NULL}`; NULL elements become empty.
pub(crate) fn parse_array(text: &str) -> Vec<String> {
    let inner = text
        .strip_prefix('{')
        .and_then(|t| t.strip_suffix('}'))
        .unwrap_or("");
    let mut elements = Vec::new();
    let mut chars = inner.chars().peekable();
    while chars.peek().is_some() {
        let mut element = String::new();
        if chars.next_if_eq(&'"').is_some() {
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => element.extend(chars.next()),
                    c => element.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                match c {
                    '\\' => element.extend(chars.next()),
                    c => element.push(c),
                }
            }
            if element == "NULL" {
                element.clear();
            }
        }
        elements.push(element);
        chars.next_if_eq(&',');
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read_with_their_quotes() {
        for (text, expected) in [
            ("{}", vec![]),
            ("{a,b}", vec!["a", "b"]),
            (
                r#"{"a,b","c\"d\\e",NULL,"NULL"}"#,
                vec!["a,b", r#"c"d\e"#, "", "NULL"],
            ),
            (
                r#"{=Tc/app,"\"my role\"=CTc/app"}"#,
                vec!["=Tc/app", r#""my role"=CTc/app"#],
            ),
        ] {
            assert_eq!(parse_array(text), expected, "{text}");
        }
    }
}
