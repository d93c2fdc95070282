//! The long run of the test that kills the server at random moments while it is asked for backups, drills and restores.

use std::process::Command;

use anyhow::ensure;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often the server is killed
    #[arg(long, default_value_t = 50)]
    kills: u64,
    /// The moments and requests of a run before, which printed it
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut command = Command::new("cargo");
    command
        .args(["nextest", "run", "-p", "pgkeep", "--test", "unattended"])
        .args(["--no-capture", "-E", "test(killed_at_random_moments)"])
        .env("PGKEEP_CHAOS_KILLS", options.kills.to_string());
    if let Some(seed) = options.seed {
        command.env("PGKEEP_CHAOS_SEED", seed.to_string());
    }
    ensure!(command.status()?.success(), "something was lost or left");
    Ok(())
}
