//! Runs pgkeep unattended: HTTP API, queue workers, scheduler.
