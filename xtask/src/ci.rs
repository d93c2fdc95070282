//! The whole CI, the same on a developer's machine. Every step runs even after one failed, so that one run tells all; the tests
//! come last, as their summaries are what a reader looks for.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use pgkeep_testkit::cache_dir;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run only the steps of these names
    #[arg(value_name = "STEP")]
    steps: Vec<String>,
    /// Stop at the first step that fails
    #[arg(long)]
    fail_fast: bool,
}

struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        arguments: &["fmt", "--all", "--check"],
        environment: &[],
    },
    Step {
        name: "lints",
        arguments: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        environment: &[],
    },
    // The list of advisories is a Git repository elsewhere, which this check would have to fetch.
    Step {
        name: "dependencies",
        arguments: &[
            "deny",
            "--workspace",
            "--locked",
            "check",
            "licenses",
            "bans",
            "sources",
        ],
        environment: &[],
    },
    Step {
        name: "documentation",
        arguments: &[
            "doc",
            "--workspace",
            "--no-deps",
            "--locked",
            "--document-private-items",
        ],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    Step {
        name: "examples",
        arguments: &["test", "--workspace", "--doc", "--locked"],
        environment: &[],
    },
    Step {
        name: "tests",
        arguments: &[
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "--profile",
            "ci",
        ],
        environment: &[],
    },
    // Takes the program that the tests have just built.
    Step {
        name: "django",
        arguments: &[
            "run",
            "--quiet",
            "--package",
            "xtask",
            "--",
            "django",
            "--use-built",
        ],
        environment: &[],
    },
    Step {
        name: "web",
        arguments: &[
            "run",
            "--quiet",
            "--package",
            "xtask",
            "--",
            "web",
            "--check",
            "--use-built",
        ],
        environment: &[],
    },
];

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let wanted = choose(&options.steps)?;
    println!(
        "skipped: security advisories (their database is not fetched; run `cargo deny check advisories`)"
    );
    let mut outcomes: Vec<(&str, Duration, bool)> = Vec::new();
    for step in wanted {
        println!("\n=== {} ===", step.name);
        let started = Instant::now();
        let passed = cargo(step)?;
        outcomes.push((step.name, started.elapsed(), passed));
        println!(
            "=== {}: {} in {:.0} s",
            step.name,
            word(passed),
            started.elapsed().as_secs_f64()
        );
        if options.fail_fast && !passed {
            break;
        }
    }
    println!();
    for (name, took, passed) in &outcomes {
        println!("{:>7}  {:5.0} s  {name}", word(*passed), took.as_secs_f64());
    }
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|(_, _, passed)| !passed)
        .map(|(name, _, _)| *name)
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("failed: {}", failed.join(", "))
    }
}

fn choose(names: &[String]) -> anyhow::Result<Vec<&'static Step>> {
    if names.is_empty() {
        return Ok(STEPS.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            let known = || {
                STEPS
                    .iter()
                    .map(|step| step.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            STEPS
                .iter()
                .find(|step| step.name == name)
                .with_context(|| format!("no step {name}; there are {}", known()))
        })
        .collect()
}

/// Runs cargo with the tools that set-up may have put into the cache.
fn cargo(step: &Step) -> anyhow::Result<bool> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [cache_dir().join("bin")]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let status = Command::new("cargo")
        .args(step.arguments)
        .envs(step.environment.iter().copied())
        .env("PATH", std::env::join_paths(folders)?)
        .env("INSTA_UPDATE", "no")
        .status()
        .with_context(|| format!("starting cargo for {}", step.name))?;
    Ok(status.success())
}

fn word(passed: bool) -> &'static str {
    if passed { "passed" } else { "FAILED" }
}
