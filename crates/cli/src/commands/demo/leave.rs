//! What the demonstration leaves behind when it is asked to: a database server, and a configuration to protect it with.

use crate::{
    error::{CliError, CliResult},
    exit::Exit,
};
use pgkeep_postgres::throwaway::Throwaway;
use std::{fs, net::TcpListener, path::Path};

/// Writes a `pgkeep.toml` that a server can be started with.
pub fn write_config(folder: &Path, server: &Throwaway) -> CliResult<()> {
    let folder = fs::canonicalize(folder).map_err(|e| failed(folder, &e))?;
    let text = format!(
        r#"# What the demonstration left: `pgkeep serve --config {place}/pgkeep.toml`
data_dir = "{place}/state"

[server]
listen = "127.0.0.1:{port}"

[app.shop]
databases = ["{database}"]
environment = "demo"
repository = "demo"

[repository.demo]
address = "{place}/repository"
key = "file:{place}/repository.key"

[policy.nightly]
app = "shop"
schedule = {{ frequency = "daily", at = "02:00", time_zone = "UTC" }}
retention = {{ days = 30, max_backups = 30 }}

[policy.hourly]
app = "shop"
kind = "database"
schedule = {{ frequency = "hourly", at = "00:15" }}
retention = {{ days = 7, max_backups = 48 }}
skip_if_unchanged = true
"#,
        place = folder.display(),
        database = server.connection_string("shop"),
        port = free_port(),
    );
    let path = folder.join("pgkeep.toml");
    fs::write(&path, text).map_err(|e| failed(&path, &e))
}

/// Lets the server run on, and writes down its process and its folder, a line each.
pub fn server(folder: &Path, server: Throwaway) -> CliResult<()> {
    let path = folder.join("database");
    let (process, place) = server.leave_running();
    fs::write(&path, format!("{process}\n{}\n", place.display())).map_err(|e| failed(&path, &e))
}

/// The usual port, or another one where that is taken.
fn free_port() -> u16 {
    let usual = pgkeep_server::settings::DEFAULT_LISTEN.port();
    TcpListener::bind(("127.0.0.1", usual))
        .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
        .and_then(|listener| listener.local_addr())
        .map_or(usual, |address| address.port())
}

fn failed(path: &Path, error: &std::io::Error) -> CliError {
    CliError::file(Exit::Failed, "write", path, error)
}
