//! What belongs to the whole cluster: roles and tablespaces.

use crate::{error::Result, wire::Connection};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    pub superuser: bool,
    pub can_login: bool,
    pub create_db: bool,
    pub create_role: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablespace {
    pub name: String,
    pub owner: String,
    /// Empty for the built-in ones.
    pub location: String,
}

/// Every role, the predefined ones included, by name.
pub fn roles(connection: &mut Connection) -> Result<Vec<Role>> {
    let rows = connection.query(
        "SELECT rolname, rolsuper, rolcanlogin, rolcreatedb, rolcreaterole FROM pg_catalog.pg_roles ORDER BY rolname",
    )?;
    Ok(rows
        .iter()
        .map(|row| Role {
            name: row.text("rolname"),
            superuser: row.is_true("rolsuper"),
            can_login: row.is_true("rolcanlogin"),
            create_db: row.is_true("rolcreatedb"),
            create_role: row.is_true("rolcreaterole"),
        })
        .collect())
}

pub fn tablespaces(connection: &mut Connection) -> Result<Vec<Tablespace>> {
    let rows = connection.query(
        "SELECT spcname, pg_catalog.pg_get_userbyid(spcowner) AS owner,
                pg_catalog.pg_tablespace_location(oid) AS location
         FROM pg_catalog.pg_tablespace ORDER BY spcname",
    )?;
    Ok(rows
        .iter()
        .map(|row| Tablespace {
            name: row.text("spcname"),
            owner: row.text("owner"),
            location: row.text("location"),
        })
        .collect())
}
