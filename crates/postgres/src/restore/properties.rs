//! Making a database as the backup knew it: the statements, as text, so that they can be tested without a server.
//!
//! Order matters. [`create_statement`] comes before the data. Everything that could hinder the restore's own sessions
//! (settings such as `default_transaction_read_only`, connection limits, revoked CONNECT) comes after the proof, by
//! [`finish_statements`].

use pgkeep_model::{
    evidence::{quote_ident, quote_literal},
    manifest::DatabaseProperties,
};

/// What of the recorded properties is applied.
#[derive(Debug, Clone, Default)]
pub struct PropertyOptions {
    /// Leave the database to the restoring user, and map the recorded owner's grants to it.
    pub no_owner: bool,
    /// Owner to use instead of the recorded one.
    pub role: Option<String>,
    /// Leave grants out.
    pub no_acl: bool,
    /// Put the database into the server's default tablespace.
    pub no_tablespace: bool,
}

impl PropertyOptions {
    /// The role that will own the database; `None` leaves the creating user.
    pub fn owner<'a>(&'a self, properties: &'a DatabaseProperties) -> Option<&'a str> {
        match &self.role {
            Some(role) => Some(role),
            None if self.no_owner || properties.owner.is_empty() => None,
            None => Some(&properties.owner),
        }
    }
}

/// A statement, and whether the restore may go on with a warning when it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sql: String,
    /// What it does, for an error or warning.
    pub doing: String,
}

impl Statement {
    fn new(doing: impl Into<String>, sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            doing: doing.into(),
        }
    }
}

/// `CREATE DATABASE` from template0 in the words of the target's version, or the reason why that version cannot have it.
pub fn create_statement(
    name: &str,
    properties: &DatabaseProperties,
    options: &PropertyOptions,
    server_version_num: u32,
) -> Result<String, String> {
    let mut sql = format!("CREATE DATABASE {} TEMPLATE template0", quote_ident(name));
    let mut add = |word: &str, value: &str| {
        if !value.is_empty() {
            sql.push_str(&format!(" {word} {}", quote_literal(value)));
        }
    };
    add("ENCODING", &properties.encoding);
    add("LC_COLLATE", &properties.collate);
    add("LC_CTYPE", &properties.ctype);
    let locale = properties.locale.as_deref().unwrap_or("");
    match properties.locale_provider.as_str() {
        "icu" if server_version_num < 150_000 => {
            return Err(format!(
                "the database uses ICU locale {locale:?} as its default, which PostgreSQL knows from version 15 on"
            ));
        }
        "icu" => {
            add("ICU_LOCALE", locale);
            match properties.icu_rules.as_deref() {
                Some(_) if server_version_num < 160_000 => {
                    return Err(
                        "the database uses ICU rules, which PostgreSQL knows from version 16 on"
                            .into(),
                    );
                }
                Some(rules) => add("ICU_RULES", rules),
                None => {}
            }
        }
        "builtin" if server_version_num < 170_000 => {
            return Err(format!(
                "the database uses the builtin locale {locale:?}, which PostgreSQL knows from version 17 on"
            ));
        }
        "builtin" => add("BUILTIN_LOCALE", locale),
        _ => {}
    }
    if server_version_num >= 150_000 && !properties.locale_provider.is_empty() {
        sql.push_str(&format!(" LOCALE_PROVIDER {}", properties.locale_provider));
    }
    if !options.no_tablespace && !matches!(properties.tablespace.as_str(), "" | "pg_default") {
        sql.push_str(&format!(
            " TABLESPACE {}",
            quote_ident(&properties.tablespace)
        ));
    }
    Ok(sql)
}

/// Everything but the comment (which carries pgkeep's own mark until the end), in the order in which it must run.
/// `owner` is the database's actual owner by now.
pub fn finish_statements(
    name: &str,
    owner: &str,
    properties: &DatabaseProperties,
    options: &PropertyOptions,
) -> Vec<Statement> {
    let database = quote_ident(name);
    let mut out = Vec::new();
    if !options.no_acl
        && let Some(acl) = &properties.acl
    {
        out.extend(grants(name, owner, &properties.owner, acl));
    }
    for (provider, label) in &properties.security_labels {
        out.push(Statement::new(
            format!("setting the security label of {name}"),
            format!(
                "SECURITY LABEL FOR {} ON DATABASE {database} IS {}",
                quote_ident(provider),
                quote_literal(label)
            ),
        ));
    }
    for entry in &properties.settings {
        for setting in &entry.settings {
            let Some((key, value)) = setting.split_once('=') else {
                continue;
            };
            let whom = if entry.role.is_empty() {
                format!("ALTER DATABASE {database}")
            } else {
                format!(
                    "ALTER ROLE {} IN DATABASE {database}",
                    quote_ident(&entry.role)
                )
            };
            out.push(Statement::new(
                format!("setting {key} on {name}"),
                format!(
                    "{whom} SET {} TO {}",
                    setting_name(key),
                    setting_value(key, value)
                ),
            ));
        }
    }
    if properties.connection_limit >= 0 {
        out.push(Statement::new(
            format!("limiting the connections of {name}"),
            format!(
                "ALTER DATABASE {database} CONNECTION LIMIT {}",
                properties.connection_limit
            ),
        ));
    }
    if properties.is_template {
        out.push(Statement::new(
            format!("marking {name} as a template"),
            format!("ALTER DATABASE {database} IS_TEMPLATE true"),
        ));
    }
    if !properties.allow_connections {
        out.push(Statement::new(
            format!("forbidding connections to {name}"),
            format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"),
        ));
    }
    out
}

/// A name of a setting, dots included, every part quoted.
fn setting_name(key: &str) -> String {
    key.split('.')
        .map(quote_ident)
        .collect::<Vec<_>>()
        .join(".")
}

/// Settings whose value is a list of identifiers; their stored text is already quoted and must not be quoted as a whole
/// (variables with `GUC_LIST_QUOTE` in PostgreSQL's `guc_tables.c`).
const LISTS_OF_NAMES: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

fn setting_value(key: &str, value: &str) -> String {
    if !LISTS_OF_NAMES.contains(&key.to_ascii_lowercase().as_str()) {
        return quote_literal(value);
    }
    let names = split_names(value);
    if names.is_empty() {
        return "''".into();
    }
    names
        .iter()
        .map(|n| quote_literal(n))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Splits `"$user", public` into its names, without their quotes.
fn split_names(list: &str) -> Vec<String> {
    let (mut names, mut current, mut quoted, mut seen) = (Vec::new(), String::new(), false, false);
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                current.push('"');
            }
            '"' => {
                quoted = !quoted;
                seen = true;
            }
            ',' if !quoted => {
                names.push(std::mem::take(&mut current));
                seen = false;
            }
            c if c.is_whitespace() && !quoted => {}
            c => current.push(c),
        }
    }
    if seen || !current.is_empty() {
        names.push(current);
    }
    names
}

/// One access privilege as PostgreSQL prints an `aclitem`: `grantee=CTc/grantor`, an empty grantee being PUBLIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclItem {
    pub grantee: String,
    /// Letter and whether it may be granted on.
    pub privileges: Vec<(char, bool)>,
    pub grantor: String,
}

/// Reads an `aclitem`; `None` when the text is not one.
pub fn parse_acl_item(text: &str) -> Option<AclItem> {
    let (grantee, rest) = acl_name(text)?;
    let rest = rest.strip_prefix('=')?;
    let (letters, grantor) = rest.split_once('/')?;
    let mut privileges: Vec<(char, bool)> = Vec::new();
    for c in letters.chars() {
        match c {
            '*' => privileges.last_mut()?.1 = true,
            c => privileges.push((c, false)),
        }
    }
    let (grantor, rest) = acl_name(grantor)?;
    rest.is_empty().then_some(AclItem {
        grantee,
        privileges,
        grantor,
    })
}

fn acl_name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('=').unwrap_or(text.len());
        return Some((text[..end].into(), &text[end..]));
    };
    take_quoted(quoted)
}

/// Reads a quoted name whose opening quote has been taken, and gives what follows it.
pub(super) fn take_quoted(quoted: &str) -> Option<(String, &str)> {
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

fn grants(name: &str, owner: &str, recorded_owner: &str, acl: &[String]) -> Vec<Statement> {
    let database = quote_ident(name);
    let doing = format!("granting privileges on {name}");
    let renamed = |role: &str| {
        if role == recorded_owner {
            owner.to_string()
        } else {
            role.to_string()
        }
    };
    let mut out = vec![Statement::new(
        doing.clone(),
        format!(
            "REVOKE ALL ON DATABASE {database} FROM PUBLIC; REVOKE ALL ON DATABASE {database} FROM {}",
            quote_ident(owner)
        ),
    )];
    for item in acl.iter().filter_map(|text| parse_acl_item(text)) {
        let grantor = renamed(&item.grantor);
        let grantee = match item.grantee.as_str() {
            "" => "PUBLIC".to_string(),
            role => quote_ident(&renamed(role)),
        };
        for with_option in [false, true] {
            let words: Vec<_> = item
                .privileges
                .iter()
                .filter(|(_, option)| *option == with_option)
                .filter_map(|(letter, _)| match letter {
                    'C' => Some("CREATE"),
                    'T' => Some("TEMPORARY"),
                    'c' => Some("CONNECT"),
                    _ => None,
                })
                .collect();
            if words.is_empty() {
                continue;
            }
            let option = if with_option {
                " WITH GRANT OPTION"
            } else {
                ""
            };
            let grant = format!(
                "GRANT {} ON DATABASE {database} TO {grantee}{option}",
                words.join(", ")
            );
            let sql = if grantor == owner {
                grant
            } else {
                // A grant made by someone who holds the grant option: it is theirs again only when they make it.
                format!("SET ROLE {}; {grant}; RESET ROLE", quote_ident(&grantor))
            };
            out.push(Statement::new(doing.clone(), sql));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_model::manifest::RoleSettings;

    fn properties() -> DatabaseProperties {
        DatabaseProperties {
            owner: "boss".into(),
            encoding: "UTF8".into(),
            locale_provider: "libc".into(),
            collate: "C".into(),
            ctype: "C.UTF-8".into(),
            tablespace: "pg_default".into(),
            connection_limit: -1,
            allow_connections: true,
            ..Default::default()
        }
    }

    fn create(properties: &DatabaseProperties, version: u32) -> Result<String, String> {
        create_statement("a\"b", properties, &PropertyOptions::default(), version)
    }

    #[test]
    fn create_database_speaks_each_version() {
        let plain = properties();
        assert_eq!(
            create(&plain, 140_000).unwrap(),
            r#"CREATE DATABASE "a""b" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"#
        );
        assert!(
            create(&plain, 150_000)
                .unwrap()
                .ends_with(" LOCALE_PROVIDER libc")
        );
        let icu = DatabaseProperties {
            locale_provider: "icu".into(),
            locale: Some("de-AT".into()),
            icu_rules: Some("&a < b".into()),
            ..properties()
        };
        assert!(create(&icu, 140_000).unwrap_err().contains("version 15"));
        assert!(create(&icu, 150_000).unwrap_err().contains("version 16"));
        assert!(
            create(&icu, 180_000)
                .unwrap()
                .contains("ICU_LOCALE 'de-AT' ICU_RULES '&a < b'")
        );
        let builtin = DatabaseProperties {
            locale_provider: "builtin".into(),
            locale: Some("C.UTF-8".into()),
            tablespace: "fast".into(),
            ..properties()
        };
        assert!(
            create(&builtin, 160_000)
                .unwrap_err()
                .contains("version 17")
        );
        let sql = create(&builtin, 170_000).unwrap();
        assert!(
            sql.contains("BUILTIN_LOCALE 'C.UTF-8'") && sql.ends_with(r#"TABLESPACE "fast""#),
            "{sql}"
        );
    }

    #[test]
    fn acl_items_are_read_with_quotes_and_grant_options() {
        assert_eq!(
            parse_acl_item(r#""we ""ird=/"=C*Tc/boss"#),
            Some(AclItem {
                grantee: r#"we "ird=/"#.into(),
                privileges: vec![('C', true), ('T', false), ('c', false)],
                grantor: "boss".into()
            })
        );
        assert_eq!(parse_acl_item("=Tc/boss").unwrap().grantee, "");
        assert_eq!(parse_acl_item("nonsense"), None);
    }

    #[test]
    fn grants_follow_a_new_owner_and_keep_other_grantors() {
        let acl = ["=T/boss", "boss=CTc/boss", "ann=c*/boss", "bob=c/ann"]
            .map(String::from)
            .to_vec();
        let sql: Vec<_> = grants("d", "new", "boss", &acl)
            .into_iter()
            .map(|s| s.sql)
            .collect();
        assert_eq!(
            sql,
            [
                r#"REVOKE ALL ON DATABASE "d" FROM PUBLIC; REVOKE ALL ON DATABASE "d" FROM "new""#,
                r#"GRANT TEMPORARY ON DATABASE "d" TO PUBLIC"#,
                r#"GRANT CREATE, TEMPORARY, CONNECT ON DATABASE "d" TO "new""#,
                r#"GRANT CONNECT ON DATABASE "d" TO "ann" WITH GRANT OPTION"#,
                r#"SET ROLE "ann"; GRANT CONNECT ON DATABASE "d" TO "bob"; RESET ROLE"#,
            ]
        );
    }

    #[test]
    fn settings_quote_lists_name_by_name() {
        let p = DatabaseProperties {
            settings: vec![RoleSettings {
                role: "ann".into(),
                settings: vec![
                    r#"search_path="$user", public, "a""b""#.into(),
                    "app.mode=a=b".into(),
                    "search_path=\"\"".into(),
                ],
            }],
            ..properties()
        };
        let sql: Vec<_> = finish_statements("d", "boss", &p, &PropertyOptions::default())
            .into_iter()
            .map(|s| s.sql)
            .collect();
        assert_eq!(
            sql,
            [
                r#"ALTER ROLE "ann" IN DATABASE "d" SET "search_path" TO '$user', 'public', 'a"b'"#,
                r#"ALTER ROLE "ann" IN DATABASE "d" SET "app"."mode" TO 'a=b'"#,
                r#"ALTER ROLE "ann" IN DATABASE "d" SET "search_path" TO ''"#,
            ]
        );
    }
}
