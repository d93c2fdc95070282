//! How the schema version of an app is found out.

use serde::{Deserialize, Serialize};

/// Where an app's migrations stand: in its databases, and in its code.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Migrations {
    /// Looked for where absent.
    pub framework: Option<Framework>,
    /// Database whose migrations they are; all are looked at where absent.
    pub database: Option<String>,
    /// Statement of `framework = "query"`: one row for each applied migration, in order; one column, or group and name.
    pub query: Option<String>,
    /// Table of a framework that lets its name be chosen, `schema.table` or `table`.
    pub table: Option<String>,
    /// Folder of the deployed code in which the framework's migrations lie as files.
    pub code: Option<String>,
    /// Instead of the folder: a program of the app that lists the migrations of the deployed code, one a line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Migrations that destroy nothing, by the user's word: names with `*` for any text, or app labels. `guard` takes no
    /// backup where nothing else is pending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub harmless: Vec<String>,
}

/// A tool that changes schemas step by step and writes down which steps were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framework {
    Django,
    Rails,
    Alembic,
    Flyway,
    Liquibase,
    Prisma,
    Sqlx,
    Diesel,
    Refinery,
    SeaOrm,
    GolangMigrate,
    Goose,
    Dbmate,
    Knex,
    Sequelize,
    TypeOrm,
    Laravel,
    EfCore,
    Ecto,
    /// A statement of the user's.
    Query,
}
