//! The walk-throughs of the guide, followed to the letter on a real server.

mod guide;
#[path = "../pgkeep/mod.rs"]
mod pgkeep;

use pgkeep::Pgkeep;
use pgkeep_testkit::{Installation, TestPostgres};
use std::path::Path;

#[test]
fn a_dropped_table_is_brought_back_alone() {
    follow("dropped-table.md", &[]);
}

#[test]
fn a_staging_copy_is_refreshed_and_masked() {
    follow("staging.md", &["STAGING_URL", "STAGING_ADMIN_URL"]);
}

#[test]
fn a_server_is_upgraded_and_the_way_back_works() {
    let (old, new) = (TestPostgres::start(15), TestPostgres::start(17));
    let place = Pgkeep::new();
    let environment = [
        ("PATH", path()),
        ("HOME", place.path().display().to_string()),
        ("PGKEEP_REPO", "./backups".to_owned()),
        ("PGKEEP_UPGRADE_FROM", old.url()),
        ("PGKEEP_UPGRADE_TO", new.url()),
    ];
    guide::follow("upgrade.md", place.path(), &environment);
}

/// Follows a page on a server with an empty database `shop`; `more` names of addresses lead to that server too.
fn follow(page: &str, more: &[&str]) {
    let server = TestPostgres::start(15);
    server.psql("postgres", "CREATE DATABASE shop");
    let place = Pgkeep::new();
    let mut environment = vec![
        ("PATH", path()),
        ("HOME", place.path().display().to_string()),
        ("PGKEEP_REPO", "./backups".to_owned()),
        ("DATABASE_URL", server.url_for("shop")),
        ("DB_ADMIN_URL", server.url()),
    ];
    for name in more {
        let url = match name.ends_with("ADMIN_URL") {
            true => server.url(),
            false => server.url_for("shop_staging"),
        };
        environment.push((name, url));
    }
    guide::follow(page, place.path(), &environment);
}

/// The program under test and the server's client programs before all others.
fn path() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_pgkeep")).parent().unwrap();
    let clients = Installation::of(15).bin_dir;
    let usual = std::env::var("PATH").unwrap_or_default();
    format!("{}:{}:{usual}", program.display(), clients.display())
}
