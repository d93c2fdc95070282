//! Options of the commands that look at schema versions and at schemas.

use super::ConnectionArgs;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep migrations
  pgkeep migrations --backup latest
  pgkeep migrations --app shop --backup 1a2b3c4d --json

It reads the tables in which frameworks write down what they applied (Django, Rails, Alembic,
Flyway, Liquibase, Prisma, SQLx, Diesel, Refinery, SeaORM, golang-migrate, goose, dbmate, Knex,
Sequelize, TypeORM, Laravel, EF Core, Ecto), and what the code holds where the configuration file
names its folder as `code`, or a program that lists it as `command`, under [app.NAME.migrations].")]
pub struct MigrationsArgs {
    /// Compare with a backup: the start of its id, or latest
    #[arg(long, value_name = "BACKUP")]
    pub backup: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Show what differs between two schemas, as SQL
    Diff(SchemaDiffArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep schema diff latest                   compares with the database as it is now
  pgkeep schema diff 1a2b3c4d 5e6f7a8b
  pgkeep schema diff 1a2b3c4d latest --database shop --json

No row is read. Lines after + are only in B, lines after - only in A.")]
pub struct SchemaDiffArgs {
    /// Before: the start of a backup's id, latest, or live
    #[arg(value_name = "A")]
    pub from: String,
    /// After: the same
    #[arg(value_name = "B", default_value = "live")]
    pub to: String,
    /// Only this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
