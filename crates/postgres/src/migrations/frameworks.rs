//! The frameworks, one description each.
//!
//! Times are read as microseconds since 1970; a time without a zone counts as UTC. Names of columns are those of the
//! frameworks' own schemas, see their documentation.

use super::{Adapter, Lock};
use pgkeep_model::app::Framework;

/// More telling descriptions stand before those that would match the same table.
pub(super) const ADAPTERS: &[Adapter] = &[
    Adapter {
        framework: Framework::Django,
        tables: &["django_migrations"],
        has: &["id", "app", "name", "applied"],
        sql: "SELECT app, name, (extract(epoch FROM applied) * 1000000)::bigint, NULL, 'applied' FROM {table} ORDER BY id",
        ..PLAIN
    },
    // A plain table of versions is Rails' where Rails' other table stands beside it.
    Adapter {
        framework: Framework::Rails,
        tables: &["schema_migrations"],
        has: &["version"],
        lacks: &["dirty", "inserted_at"],
        beside: Some(("ar_internal_metadata", true)),
        sql: "SELECT '', version, NULL, NULL, 'applied' FROM {table} ORDER BY version",
        ..PLAIN
    },
    Adapter {
        framework: Framework::Dbmate,
        tables: &["schema_migrations"],
        has: &["version"],
        lacks: &["dirty", "inserted_at"],
        beside: Some(("ar_internal_metadata", false)),
        sql: "SELECT '', version, NULL, NULL, 'applied' FROM {table} ORDER BY version",
        ..PLAIN
    },
    Adapter {
        framework: Framework::Ecto,
        tables: &["schema_migrations"],
        has: &["version", "inserted_at"],
        lacks: &["dirty"],
        sql: "SELECT '', version, (extract(epoch FROM inserted_at) * 1000000)::bigint, NULL, 'applied' FROM {table} ORDER BY version",
        ..PLAIN
    },
    // One row: the newest version, or the one that failed.
    Adapter {
        framework: Framework::GolangMigrate,
        tables: &["schema_migrations"],
        has: &["version", "dirty"],
        sql: "SELECT '', version, NULL, NULL, CASE WHEN dirty THEN 'unfinished' ELSE 'applied' END FROM {table} ORDER BY version",
        ..PLAIN
    },
    Adapter {
        framework: Framework::Alembic,
        tables: &["alembic_version"],
        has: &["version_num"],
        sql: "SELECT '', version_num, NULL, NULL, 'applied' FROM {table} ORDER BY version_num",
        ..PLAIN
    },
    // `DELETE` marks a row as removed by a repair, `UNDO_SQL` as undone; `SCHEMA` only says that the schema was made.
    Adapter {
        framework: Framework::Flyway,
        tables: &["flyway_schema_history", "schema_version"],
        has: &[
            "installed_rank",
            "version",
            "description",
            "type",
            "script",
            "checksum",
            "installed_on",
            "success",
        ],
        sql: "SELECT '', coalesce(version, 'R__' || replace(description, ' ', '_')), \
              (extract(epoch FROM installed_on) * 1000000)::bigint, checksum, \
              CASE WHEN NOT success THEN 'unfinished' \
                   WHEN type IN ('BASELINE', 'SQL_BASELINE') THEN 'baseline' \
                   WHEN type LIKE 'UNDO%' OR type = 'DELETE' THEN 'undone' \
                   WHEN type = 'SCHEMA' THEN 'nothing' \
                   ELSE 'applied' END \
              FROM {table} ORDER BY installed_rank",
        ..PLAIN
    },
    Adapter {
        framework: Framework::Liquibase,
        tables: &["databasechangelog"],
        has: &[
            "id",
            "author",
            "filename",
            "dateexecuted",
            "orderexecuted",
            "exectype",
            "md5sum",
        ],
        sql: "SELECT '', filename || '::' || id || '::' || author, \
              (extract(epoch FROM dateexecuted) * 1000000)::bigint, md5sum, \
              CASE WHEN exectype IN ('EXECUTED', 'RERAN', 'MARK_RAN') THEN 'applied' \
                   WHEN exectype = 'FAILED' THEN 'unfinished' ELSE 'nothing' END \
              FROM {table} ORDER BY dateexecuted, orderexecuted",
        lock: Some(Lock {
            table: "databasechangeloglock",
            column: "lockedby",
            sql: "SELECT 'locked by ' || coalesce(lockedby, 'somebody') FROM {table} WHERE locked",
        }),
        ..PLAIN
    },
    // A row that was rolled back stands for an attempt that no longer counts.
    Adapter {
        framework: Framework::Prisma,
        tables: &["_prisma_migrations"],
        has: &[
            "id",
            "checksum",
            "finished_at",
            "migration_name",
            "rolled_back_at",
            "started_at",
        ],
        sql: "SELECT '', migration_name, (extract(epoch FROM finished_at) * 1000000)::bigint, checksum, \
              CASE WHEN rolled_back_at IS NOT NULL THEN 'nothing' \
                   WHEN finished_at IS NULL THEN 'unfinished' ELSE 'applied' END \
              FROM {table} ORDER BY started_at, migration_name",
        ..PLAIN
    },
    Adapter {
        framework: Framework::Sqlx,
        tables: &["_sqlx_migrations"],
        has: &[
            "version",
            "description",
            "installed_on",
            "success",
            "checksum",
        ],
        sql: "SELECT '', version, (extract(epoch FROM installed_on) * 1000000)::bigint, encode(checksum, 'hex'), \
              CASE WHEN success THEN 'applied' ELSE 'unfinished' END FROM {table} ORDER BY version",
        ..PLAIN
    },
    Adapter {
        framework: Framework::Diesel,
        tables: &["__diesel_schema_migrations"],
        has: &["version", "run_on"],
        sql: "SELECT '', version, (extract(epoch FROM run_on) * 1000000)::bigint, NULL, 'applied' FROM {table} ORDER BY version",
        ..PLAIN
    },
    Adapter {
        framework: Framework::Refinery,
        tables: &["refinery_schema_history"],
        has: &["version", "name", "applied_on", "checksum"],
        sql: "SELECT '', version, NULL, checksum, 'applied' FROM {table} ORDER BY version",
        ..PLAIN
    },
    Adapter {
        framework: Framework::SeaOrm,
        tables: &["seaql_migrations"],
        has: &["version", "applied_at"],
        sql: "SELECT '', version, applied_at * 1000000, NULL, 'applied' FROM {table} ORDER BY version",
        ..PLAIN
    },
    // Each up and down adds a row, and the first row is of version 0, which is none.
    Adapter {
        framework: Framework::Goose,
        tables: &["goose_db_version"],
        has: &["id", "version_id", "is_applied", "tstamp"],
        sql: "SELECT '', version_id, (extract(epoch FROM tstamp) * 1000000)::bigint, NULL, \
              CASE WHEN version_id = 0 THEN 'nothing' WHEN is_applied THEN 'applied' ELSE 'undone' END \
              FROM {table} ORDER BY id",
        ..PLAIN
    },
    Adapter {
        framework: Framework::Knex,
        tables: &["knex_migrations"],
        has: &["id", "name", "batch", "migration_time"],
        sql: "SELECT '', name, (extract(epoch FROM migration_time) * 1000000)::bigint, NULL, 'applied' FROM {table} ORDER BY id",
        lock: Some(Lock {
            table: "knex_migrations_lock",
            column: "is_locked",
            sql: "SELECT 'locked by a run of knex' FROM {table} WHERE is_locked = 1",
        }),
        ..PLAIN
    },
    Adapter {
        framework: Framework::Sequelize,
        tables: &["SequelizeMeta"],
        has: &["name"],
        sql: "SELECT '', name, NULL, NULL, 'applied' FROM {table} ORDER BY name",
        ..PLAIN
    },
    Adapter {
        framework: Framework::TypeOrm,
        tables: &["migrations"],
        has: &["id", "timestamp", "name"],
        lacks: &["batch"],
        sql: "SELECT '', name, NULL, NULL, 'applied' FROM {table} ORDER BY \"timestamp\", id",
        ..PLAIN
    },
    Adapter {
        framework: Framework::Laravel,
        tables: &["migrations"],
        has: &["id", "migration", "batch"],
        sql: "SELECT '', migration, NULL, NULL, 'applied' FROM {table} ORDER BY batch, migration",
        ..PLAIN
    },
    Adapter {
        framework: Framework::EfCore,
        tables: &["__EFMigrationsHistory"],
        has: &["MigrationId", "ProductVersion"],
        sql: "SELECT '', \"MigrationId\", NULL, NULL, 'applied' FROM {table} ORDER BY 2",
        ..PLAIN
    },
    // The same with names in snake case.
    Adapter {
        framework: Framework::EfCore,
        tables: &["__EFMigrationsHistory", "__ef_migrations_history"],
        has: &["migration_id", "product_version"],
        sql: "SELECT '', migration_id, NULL, NULL, 'applied' FROM {table} ORDER BY 2",
        ..PLAIN
    },
];

/// What most of them share.
const PLAIN: Adapter = Adapter {
    framework: Framework::Query,
    tables: &[],
    has: &[],
    lacks: &[],
    beside: None,
    sql: "",
    lock: None,
};
