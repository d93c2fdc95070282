//! Migrates a database by SQLx; the last migration fails on purpose.

use sqlx::{Connection, PgConnection, migrate::Migrator};
use std::path::Path;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let project = std::env::var("PROJECT")?;
    let migrator = Migrator::new(Path::new(&project).join("migrations")).await?;
    let mut connection = PgConnection::connect(&std::env::var("DATABASE_URL")?).await?;
    match migrator.run(&mut connection).await {
        Ok(()) => Err("the last migration went through".into()),
        Err(e) if e.to_string().contains("20240103000000") => Ok(()),
        Err(e) => Err(e.into()),
    }
}
