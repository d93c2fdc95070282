//! The web UI: built into `web/dist`, from where the binary takes it, and checked: lints, types, unit tests, and the tests that
//! drive a browser against the real program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::django;
use anyhow::{Context, ensure};
use pgkeep_testkit::cache_dir;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Check it, too: lints, types, tests, and tests in a browser
    #[arg(long)]
    check: bool,
    /// Test target/debug/pgkeep as it lies there instead of building it, such as after other tests
    #[arg(long)]
    use_built: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    install()?;
    npm(&["run", "--silent", "build"])?;
    if !options.check {
        return Ok(());
    }
    npm(&["run", "--silent", "check"])?;
    npm(&["run", "--silent", "test"])?;
    let program = django::program(options.use_built)?;
    npm_with(&["run", "--silent", "e2e"], &[("PGKEEP_BINARY", &program)])
}

/// Installs what the lock file names, where that is not there already.
fn install() -> anyhow::Result<()> {
    let folder = root().join("web");
    let lock = std::fs::read(folder.join("package-lock.json"))?;
    let stamp = folder.join("node_modules/.installed-lock.json");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    npm(&["ci", "--no-audit", "--no-fund", "--loglevel=error"])?;
    std::fs::write(stamp, lock)?;
    Ok(())
}

fn npm(arguments: &[&str]) -> anyhow::Result<()> {
    npm_with(arguments, &[])
}

fn npm_with(arguments: &[&str], environment: &[(&str, &PathBuf)]) -> anyhow::Result<()> {
    let status = Command::new("npm")
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root().join("web"))
        .env("PATH", path()?)
        .status()
        .context("npm cannot be started; run `make setup`")?;
    ensure!(status.success(), "npm {} failed", arguments.join(" "));
    Ok(())
}

/// Node may lie in the cache, where set-up found none that is new enough.
fn path() -> anyhow::Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [cache_dir().join("nodejs/bin")]
        .into_iter()
        .chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(folders)?)
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
