//! Migrates a database by Diesel, all but the last migration.

use diesel::{Connection, PgConnection};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use std::{error::Error, path::Path};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let project = std::env::var("PROJECT")?;
    let migrations = FileBasedMigrations::from_path(Path::new(&project).join("migrations"))?;
    let mut connection = PgConnection::establish(&std::env::var("DATABASE_URL")?)?;
    for _ in 0..3 {
        connection.run_next_migration(migrations.clone())?;
    }
    Ok(())
}
