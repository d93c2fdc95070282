//! The project's own tasks: `cargo xtask ci` is the whole CI, `cargo xtask bench` compares speed and memory with other tools.

// Running other programs is all that this crate does.
#![allow(clippy::disallowed_methods)]

mod bench;
mod chaos;
mod ci;
mod django;
mod fixtures;
mod http;
mod schemathesis;
mod site;
mod web;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "The project's own tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check everything: format, lints, dependencies, documentation, tests
    Ci(ci::Options),
    /// Compare pgkeep with other tools on databases of a realistic size
    Bench(bench::Options),
    /// Kill the server again and again under load, and look at what is left
    Chaos(chaos::Options),
    /// Send the served API what nobody expects, as its own document describes it
    Schemathesis(schemathesis::Options),
    /// Check the Django package on each supported release of Django
    Django(django::Options),
    /// Build the web UI, and with --check test it
    Web(web::Options),
    /// Make the tables of migration frameworks anew that tests read
    Fixtures(fixtures::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Ci(options) => ci::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Chaos(options) => chaos::run(&options),
        Task::Schemathesis(options) => schemathesis::run(&options),
        Task::Fixtures(options) => fixtures::run(&options),
        Task::Django(options) => django::run(&options),
        Task::Web(options) => web::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
