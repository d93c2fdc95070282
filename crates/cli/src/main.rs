//! The `pgkeep` binary: parse, resolve, call the engine, render.

mod args;
mod clock;
mod config;
mod confirm;
mod error;
mod exit;
mod interrupt;
mod output;

fn main() {}
