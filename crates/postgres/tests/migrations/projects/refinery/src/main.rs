//! Migrates a database by Refinery, all but the last migration.

use postgres::{Client, NoTls};
use refinery::{Runner, Target, load_sql_migrations};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let project = std::env::var("PROJECT")?;
    let migrations = load_sql_migrations(Path::new(&project).join("migrations"))?;
    let mut client = Client::connect(&std::env::var("DATABASE_URL")?, NoTls)?;
    Runner::new(&migrations)
        .set_target(Target::Version(2))
        .run(&mut client)?;
    Ok(())
}
