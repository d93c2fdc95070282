//! Requests made from the served OpenAPI document, sensible and senseless ones: no answer may be a fault of the server, and
//! none may have a status that the document does not know.
//!
//! The program lives in an environment of its own in the cache folder, which is made when it is missing; that alone needs the
//! network.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use pgkeep_testkit::{ShopSize, TestPostgres, cache_dir};

use crate::site::Site;

const VERSION: &str = "4.32.5";
/// What keeps a run from ending the session that it runs with.
const HOOKS: &str = include_str!("schemathesis_hooks.py");
const PHASES: [&str; 2] = ["coverage", "fuzzing"];
/// Answered by a stream that does not end.
const STREAM: &str = "/api/v1/events";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Requests made up for each operation while fuzzing
    #[arg(long, default_value_t = 20)]
    examples: u32,
    /// The same requests as a run before, which printed it
    #[arg(long)]
    seed: Option<u64>,
    /// The pgkeep to ask instead of a fresh build
    #[arg(long, value_name = "FILE")]
    pgkeep: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let tool = installed()?;
    let program = match &options.pgkeep {
        Some(path) => path
            .canonicalize()
            .with_context(|| path.display().to_string())?,
        None => build()?,
    };
    let postgres = TestPostgres::start(17);
    postgres.load_shop("shop", ShopSize::TINY);
    let mut site = Site::prepare(&postgres.url_for("shop"), &postgres.url(), &program, 1)?;
    site.start()?;
    site.settle()?;
    site.back_up(0)?;
    let scratch = site.scratch()?;
    std::fs::write(scratch.join("spare_own_account.py"), HOOKS)?;
    for phase in PHASES {
        let mut command = Command::new(&tool);
        command
            .arg("run")
            .arg(format!("http://{}/api/v1/openapi.json", site.address()))
            .args([
                "--header",
                &format!("Authorization: Bearer {}", site.token()),
            ])
            .args(["--checks", "no_fault,status_code_conformance"])
            .args(["--phases", phase])
            .args(["--max-examples", &options.examples.to_string()])
            .args(["--request-timeout", "30", "--workers", "2"])
            .args(["--exclude-path", STREAM])
            .env("SCHEMATHESIS_HOOKS", "spare_own_account")
            .env("PYTHONPATH", &scratch)
            .env("PGKEEP_SPARED", site.account()?);
        if let Some(seed) = options.seed {
            command.args(["--seed", &seed.to_string()]);
        }
        let status = command.current_dir(&scratch).status()?;
        ensure!(status.success(), "{phase}: an answer is not as documented");
        // Otherwise the rest of the run has only seen that it may not come in.
        let session = site.client()?.get("/session")?;
        ensure!(
            session.status == 200,
            "{phase}: the run ended its own token"
        );
    }
    site.stop()
}

/// The program, installed where it is not yet.
fn installed() -> anyhow::Result<PathBuf> {
    let folder = cache_dir().join(format!("schemathesis-{VERSION}"));
    let tool = folder.join("bin/schemathesis");
    if tool.exists() {
        return Ok(tool);
    }
    println!(
        "installing schemathesis {VERSION} into {}",
        folder.display()
    );
    succeed(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )?;
    let package = format!("schemathesis=={VERSION}");
    succeed(Command::new(folder.join("bin/pip")).args(["install", "--quiet", &package]))?;
    Ok(tool)
}

fn build() -> anyhow::Result<PathBuf> {
    succeed(Command::new("cargo").args(["build", "-p", "pgkeep"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let program: &Path = &target.join("debug/pgkeep");
    program.canonicalize().context("the build")
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status();
    let status = status.with_context(|| format!("{:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} failed", command.get_program());
    Ok(())
}
