//! Migrates a database by SeaORM, all but the last migration.

use sea_orm_migration::{prelude::*, sea_orm::Database};

mod m20240101_000001_products;
mod m20240102_000001_orders;
mod m20240103_000001_stock;

struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20240101_000001_products::Migration),
            Box::new(m20240102_000001_orders::Migration),
            Box::new(m20240103_000001_stock::Migration),
        ]
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = Database::connect(std::env::var("DATABASE_URL")?).await?;
    Migrator::up(&database, Some(2)).await?;
    Ok(())
}
