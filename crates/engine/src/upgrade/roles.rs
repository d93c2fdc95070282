//! Roles that an upgrade made on the new server, and which of them nobody else uses.
//!
//! Each database that the upgrade finished carries their names and oids in its mark, so that a rollback knows them; one of
//! the same name that was made by somebody else meanwhile is another role. A role goes only when nothing outside of the
//! databases that are dropped needs it: no object, no privilege, no session, and no role that stays.

use crate::Result;
use pgkeep_model::evidence::{quote_ident, quote_literal};
use pgkeep_postgres::{
    restore::{MadeRole, Mark, MarkedDatabase},
    wire::Connection,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A role that an upgrade made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRole {
    pub name: String,
    /// Why it stays; `None` when it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stays_because: Option<String>,
}

/// The oids of roles that were just made.
pub(super) fn made(new: &mut Connection, names: &[String]) -> Result<Vec<MadeRole>> {
    let rows = new.query("SELECT rolname, oid FROM pg_catalog.pg_roles ORDER BY rolname")?;
    let roles = rows.iter().filter_map(|row| {
        let name = row.text("rolname");
        let oid = row.parse("oid")?;
        names.contains(&name).then_some(MadeRole { name, oid })
    });
    Ok(roles.collect())
}

/// What the marks of these databases tell, each role once.
pub(super) fn of_marks<'a>(databases: impl Iterator<Item = &'a MarkedDatabase>) -> Vec<MadeRole> {
    let mut all: Vec<MadeRole> = databases
        .filter_map(|database| match &database.mark {
            Mark::Upgraded { roles, .. } => Some(roles.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Looks at these roles as if the databases named `going` were gone; those that are not there any more are left out.
pub(super) fn look(
    new: &mut Connection,
    roles: &[MadeRole],
    going: &[String],
) -> Result<Vec<FoundRole>> {
    let rows = new.query("SELECT rolname, oid FROM pg_catalog.pg_roles")?;
    let here: BTreeSet<(String, u32)> = rows
        .iter()
        .filter_map(|row| Some((row.text("rolname"), row.parse("oid")?)))
        .collect();
    let roles: BTreeMap<u32, String> = roles
        .iter()
        .filter(|role| here.contains(&(role.name.clone(), role.oid)))
        .map(|role| (role.oid, role.name.clone()))
        .collect();
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    let stays = with_members(uses(new, &roles, going)?, &members(new, &roles)?, &roles);
    let found = roles.into_iter().map(|(oid, name)| FoundRole {
        stays_because: stays.get(&oid).cloned(),
        name,
    });
    let mut found: Vec<FoundRole> = found.collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Drops these roles, those first that others hang on. Returns why the ones that could not be dropped stay.
pub(super) fn drop_roles(new: &mut Connection, names: Vec<String>) -> Vec<FoundRole> {
    let mut left: Vec<FoundRole> = names
        .into_iter()
        .map(|name| FoundRole {
            name,
            stays_because: None,
        })
        .collect();
    loop {
        let before = left.len();
        left.retain_mut(|role| {
            let dropped = drop_role(new, &role.name);
            role.stays_because = dropped.err().map(|e| e.to_string());
            role.stays_because.is_some()
        });
        if left.is_empty() || left.len() == before {
            return left;
        }
    }
}

/// Drops one role with what the upgrade gave it: its privileges on settings.
fn drop_role(new: &mut Connection, name: &str) -> pgkeep_postgres::Result<()> {
    let role = quote_ident(name);
    let mut statements = vec!["BEGIN".to_owned()];
    if new.server_version_num() >= 150_000 {
        let settings = new.query(&format!(
            "SELECT DISTINCT p.parname FROM pg_catalog.pg_parameter_acl p, pg_catalog.aclexplode(p.paracl) a, \
               pg_catalog.pg_roles r WHERE r.oid = a.grantee AND r.rolname = {}",
            quote_literal(name)
        ))?;
        let revoke = |setting: String| {
            // A setting of an extension has a dot in its name.
            let parts: Vec<String> = setting.split('.').map(quote_ident).collect();
            format!("REVOKE ALL ON PARAMETER {} FROM {role}", parts.join("."))
        };
        statements.extend(settings.iter().map(|row| revoke(row.text(0))));
    }
    statements.extend([format!("DROP ROLE {role}"), "COMMIT".to_owned()]);
    for statement in statements {
        if let Err(error) = new.execute(&statement) {
            // When even this fails the connection is gone, and the server rolls back by itself.
            let _ = new.execute("ROLLBACK");
            return Err(error);
        }
    }
    Ok(())
}

/// What uses each role, apart from the databases that go, from memberships, and from privileges on settings, which go with
/// the role.
fn uses(
    new: &mut Connection,
    roles: &BTreeMap<u32, String>,
    going: &[String],
) -> Result<BTreeMap<u32, String>> {
    let oids = list(roles.keys());
    let going = match going {
        [] => "NULL".to_owned(),
        names => names
            .iter()
            .map(|name| quote_literal(name))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let rows = new.query(&format!(
        "WITH going AS (SELECT oid FROM pg_catalog.pg_database WHERE datname IN ({going})) \
         SELECT s.refobjid AS role, CASE \
             WHEN s.dbid <> 0 THEN 'objects in database ' || d.datname \
             WHEN s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass THEN 'database ' || o.datname \
             WHEN s.classid = 'pg_catalog.pg_tablespace'::pg_catalog.regclass THEN 'tablespace ' || t.spcname \
             WHEN u.subname IS NOT NULL THEN 'subscription ' || u.subname \
             ELSE 'an object of the whole server' END AS used_by \
           FROM pg_catalog.pg_shdepend s \
           LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid \
           LEFT JOIN pg_catalog.pg_database o ON s.dbid = 0 AND o.oid = s.objid \
           LEFT JOIN pg_catalog.pg_tablespace t ON s.dbid = 0 AND t.oid = s.objid \
           LEFT JOIN pg_catalog.pg_subscription u \
             ON s.classid = 'pg_catalog.pg_subscription'::pg_catalog.regclass AND u.oid = s.objid \
          WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid IN ({oids}) \
            AND s.classid <> 'pg_catalog.pg_auth_members'::pg_catalog.regclass \
            AND s.classid <> coalesce(pg_catalog.to_regclass('pg_catalog.pg_parameter_acl')::oid, 0) \
            AND s.dbid NOT IN (SELECT oid FROM going) \
            AND NOT (s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND s.objid IN (SELECT oid FROM going)) \
            AND (u.subdbid IS NULL OR u.subdbid NOT IN (SELECT oid FROM going)) \
         UNION ALL \
         SELECT a.usesysid, 'a session on database ' || a.datname FROM pg_catalog.pg_stat_activity a \
          WHERE a.usesysid IN ({oids}) AND a.datid NOT IN (SELECT oid FROM going) \
         ORDER BY 1, 2"
    ))?;
    let mut uses = BTreeMap::new();
    for row in rows.iter() {
        if let Some(role) = row.parse("role") {
            uses.entry(role)
                .or_insert_with(|| format!("{} needs it", row.text("used_by")));
        }
    }
    Ok(uses)
}

/// Who is a member of each role: oid and name. Whoever made a role is one by that alone, and does not count.
fn members(new: &mut Connection, roles: &BTreeMap<u32, String>) -> Result<Vec<(u32, u32, String)>> {
    let rows = new.query(&format!(
        "SELECT m.roleid, m.member, r.rolname FROM pg_catalog.pg_auth_members m \
           JOIN pg_catalog.pg_roles r ON r.oid = m.member \
          WHERE m.roleid IN ({}) AND r.rolname <> current_user ORDER BY 3",
        list(roles.keys())
    ))?;
    let members = rows.iter().filter_map(|row| {
        Some((
            row.parse("roleid")?,
            row.parse("member")?,
            row.text("rolname"),
        ))
    });
    Ok(members.collect())
}

/// Adds the roles whose members stay: taking the role away would take something from them.
fn with_members(
    mut stays: BTreeMap<u32, String>,
    members: &[(u32, u32, String)],
    roles: &BTreeMap<u32, String>,
) -> BTreeMap<u32, String> {
    loop {
        let before = stays.len();
        for (role, member, name) in members {
            let member_stays = !roles.contains_key(member) || stays.contains_key(member);
            if member_stays && !stays.contains_key(role) {
                stays.insert(*role, format!("role {name} is a member of it"));
            }
        }
        if stays.len() == before {
            return stays;
        }
    }
}

fn list<'a>(oids: impl Iterator<Item = &'a u32>) -> String {
    let oids: Vec<String> = oids.map(ToString::to_string).collect();
    oids.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_stays_for_the_sake_of_a_member_that_stays() {
        let roles: BTreeMap<u32, String> = [(1, "readers"), (2, "app"), (3, "staff"), (4, "idle")]
            .map(|(oid, name)| (oid, name.to_owned()))
            .into();
        let members = [
            (1, 2, "app".to_owned()),
            (3, 1, "readers".to_owned()),
            (4, 3, "staff".to_owned()),
        ];
        let check = |used: &[u32], outsider: bool, expected: &[u32]| {
            let used = used.iter().map(|oid| (*oid, "objects".to_owned()));
            let mut members = members.to_vec();
            if outsider {
                members.push((4, 99, "postgres".to_owned()));
            }
            let stays = with_members(used.collect(), &members, &roles);
            assert_eq!(stays.keys().copied().collect::<Vec<_>>(), expected);
        };
        check(&[], false, &[]);
        check(&[2], false, &[1, 2, 3, 4]);
        check(&[1], false, &[1, 3, 4]);
        check(&[], true, &[4]);
    }
}
