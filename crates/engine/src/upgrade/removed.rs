//! What a newer major no longer takes, or takes differently, as far as a dump and a restore meet it, and as far as it
//! cannot be found by asking both servers (see `examine`).
//!
//! From the incompatibilities in the release notes of PostgreSQL 15 to 18. Nothing that went away before 15 can be on a
//! server that pgkeep reads: `WITH OIDS` and the types abstime, reltime and tinterval went with 12, postfix operators and
//! `anyarray` aggregates of the old kind with 14. What matters only to files taken over in place, such as columns of the
//! reg types, does not matter here, for a dump holds names.

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// The restore would fail.
    Refusal,
    /// It works, and behaves differently.
    Warning,
}

/// One thing that changed.
pub(super) struct Removal {
    /// First major that has it so.
    pub since: u32,
    /// First `server_version_num` on which the question can be asked.
    pub least: u32,
    pub weight: Weight,
    /// Gives the names of what is affected in the current database, one a row.
    pub question: &'static str,
    /// `{}` stands for the names.
    pub what: &'static str,
    pub remedy: &'static str,
}

pub(super) const REMOVALS: &[Removal] = &[
    Removal {
        since: 15,
        least: 0,
        weight: Weight::Refusal,
        question: "SELECT lanname FROM pg_catalog.pg_language WHERE lanname IN ('plpythonu', 'plpython2u')",
        what: "Python 2 is gone: language {}",
        remedy: "move its functions to plpython3u, then drop the language",
    },
    Removal {
        since: 16,
        least: 150_000,
        weight: Weight::Refusal,
        question: "SELECT pg_catalog.format('%s', indexrelid::pg_catalog.regclass) FROM pg_catalog.pg_index \
                   WHERE indisprimary AND indnullsnotdistinct",
        what: "a primary key may not be NULLS NOT DISTINCT: {}",
        remedy: "make the primary key anew without it; its columns are NOT NULL anyway",
    },
    Removal {
        since: 16,
        least: 0,
        weight: Weight::Warning,
        question: "SELECT rolname FROM pg_catalog.pg_roles WHERE rolcreaterole AND NOT rolsuper AND rolname !~ '^pg_' ORDER BY 1",
        what: "CREATEROLE reaches only roles that are held with ADMIN OPTION: {}",
        remedy: "grant the roles that they shall manage WITH ADMIN OPTION",
    },
    Removal {
        since: 17,
        least: 0,
        weight: Weight::Refusal,
        question: "SELECT extname FROM pg_catalog.pg_extension WHERE extname IN ('adminpack', 'old_snapshot')",
        what: "extension {} is gone",
        remedy: "nothing needs it any more: DROP EXTENSION on the old server",
    },
    Removal {
        since: 17,
        least: 0,
        weight: Weight::Warning,
        question: "SELECT DISTINCT pg_catalog.format('%s', p.oid::pg_catalog.regprocedure) AS name FROM pg_catalog.pg_depend d \
                     JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid \
                     JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
                     LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid \
                     LEFT JOIN pg_catalog.pg_class c ON c.oid = CASE WHEN r.oid IS NULL THEN d.objid ELSE r.ev_class END \
                   WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass \
                     AND (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.relkind = 'i' OR r.oid IS NOT NULL AND c.relkind = 'm') \
                     AND p.oid >= 16384 AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL \
                     AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS s WHERE s LIKE 'search_path=%') \
                     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass \
                                       AND e.objid = p.oid AND e.deptype = 'e') \
                   ORDER BY 1",
        what: "indexes and materialized views are built with a search_path of pg_catalog alone, and these functions set none: {}",
        remedy: "qualify the names in them, or ALTER FUNCTION … SET search_path",
    },
    Removal {
        since: 18,
        least: 0,
        weight: Weight::Refusal,
        question: "SELECT pg_catalog.format('%s', oid::pg_catalog.regclass) FROM pg_catalog.pg_class \
                   WHERE relkind = 'p' AND relpersistence = 'u'",
        what: "a partitioned table may not be unlogged: {}",
        remedy: "make the parent anew without UNLOGGED; it never had an effect there",
    },
    Removal {
        since: 18,
        least: 0,
        weight: Weight::Warning,
        question: "SELECT rolname FROM pg_catalog.pg_authid WHERE rolpassword LIKE 'md5%' ORDER BY 1",
        what: "MD5 passwords still work, and are to go: {}",
        remedy: "set their passwords anew with password_encryption = 'scram-sha-256'",
    },
    Removal {
        since: 18,
        least: 150_000,
        weight: Weight::Warning,
        question: "SELECT pg_catalog.format('%s.%s', a.attrelid::pg_catalog.regclass, a.attname) FROM pg_catalog.pg_attribute a \
                     JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'm') \
                   WHERE a.atttypid = 'pg_catalog.tsvector'::pg_catalog.regtype AND NOT a.attisdropped AND c.oid >= 16384 \
                     AND EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database() AND datlocprovider <> 'c') \
                   ORDER BY 1",
        what: "full text search follows the database's own collation provider, so texts may be cut into other words than before: {}",
        remedy: "compute stored tsvector columns anew after the upgrade",
    },
];

/// What matters when going from one major to another.
pub(super) fn between(from_num: u32, from: u32, to: u32) -> impl Iterator<Item = &'static Removal> {
    REMOVALS
        .iter()
        .filter(move |r| from < r.since && r.since <= to && from_num >= r.least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_two_majors_counts() {
        let since =
            |from, to| -> Vec<u32> { between(from * 10_000, from, to).map(|r| r.since).collect() };
        assert!(since(17, 17).is_empty());
        assert!(since(15, 17).iter().all(|s| [16, 17].contains(s)));
        assert!(since(17, 18).iter().all(|s| *s == 18));
        assert!(since(14, 18).contains(&15));
        // What only 15 can be asked is not asked of 14.
        assert!(between(140_000, 14, 18).all(|r| r.least == 0));
    }
}
