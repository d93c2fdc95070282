//! The server's workers: real jobs in real processes, which are killed, stopped, cancelled and handed over.

#[path = "../pgkeep/mod.rs"]
mod pgkeep;

mod worker_deaths;
mod worker_jobs;
mod worker_limits;
mod worker_nodes;
mod worker_policies;
mod workshop;
