//! What would forbid to replace a database, asked before there is anything to replace it with: whoever promises a way back
//! has to know that there is one.

use super::Refusal;
use crate::{Context, Result};
use pgkeep_model::evidence::quote_ident;
use pgkeep_postgres::{connect::ConnectOptions, inspect, restore as pg, wire::Connection};

/// What would forbid to replace the databases of these names through this connection; empty where nothing does.
pub fn hindrances(
    admin: &ConnectOptions,
    databases: &[String],
    context: &Context,
) -> Result<Vec<Refusal>> {
    let mut connection = Connection::open_with(admin, &context.cancel)?;
    let mut found = Vec::new();
    if let Some(role) = may_not_create(&mut connection)? {
        found.push(Refusal {
            message: format!("role {role} may not create databases"),
            remedy: format!(
                "ALTER ROLE {role} CREATEDB, or give another role with --admin-url or DB_ADMIN_URL"
            ),
        });
    }
    for name in databases {
        let obstacles = pg::obstacles(&mut connection, name, None)?;
        found.extend(obstacles.into_iter().map(|obstacle| Refusal {
            message: obstacle.what,
            remedy: obstacle.remedy,
        }));
    }
    Ok(found)
}

/// The role that the session acts as, quoted where it has to be, where it may not create databases.
pub(super) fn may_not_create(admin: &mut Connection) -> Result<Option<String>> {
    let user = inspect::current_user(admin)?;
    let may = user.create_db || user.superuser;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    Ok((!may).then(|| match user.name.chars().all(plain) {
        true => user.name,
        false => quote_ident(&user.name),
    }))
}
