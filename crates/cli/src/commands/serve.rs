//! `pgkeep serve`, `pgkeep worker`, and the hidden process of one job.

use crate::{
    args::{RunJobArgs, ServeArgs, WorkerArgs},
    commands::apply,
    config::ServerFlags,
    error::{CliError, CliResult},
    exit::Exit,
    output::Screen,
    session::Session,
};
use pgkeep_server::{
    Ready, StartError,
    settings::CatalogPlace,
    worker::{RunJob, RunJobError},
};
use secrecy::ExposeSecret;

pub fn serve(args: &ServeArgs, session: &Session) -> CliResult<Exit> {
    session.only_here("serve")?;
    let settings = session.server_settings(ServerFlags {
        listen: args.listen,
        workers: args.workers,
        node: args.node.clone(),
        ..ServerFlags::default()
    })?;
    if let CatalogPlace::Sqlite(path) = &settings.places.catalog
        && let Some(kept) = pgkeep_server::left_behind(path)
    {
        let (path, kept) = (path.display(), kept.display());
        let message = format!("the catalog {path} is gone; a server kept what it held in {kept}");
        return Err(CliError::new(Exit::Refused, message).with_hint(format!(
            "`pgkeep catalog restore {kept}` puts it back; `pgkeep catalog rebuild` makes a new one instead"
        )));
    }
    {
        let catalog = session.open_catalog(&settings.places, true)?;
        apply::at_start(&catalog, session)?;
    }
    let screen = &session.screen;
    let ended = pgkeep_server::run(settings, session.machine(), |ready| announce(ready, screen));
    ended.map_err(|error| {
        let mut told = match error {
            StartError::Catalog(error) => return CliError::from(error),
            ref other => CliError::new(Exit::Failed, other.to_string()),
        };
        told.hint = error.hint();
        told
    })?;
    Ok(Exit::Done)
}

pub fn worker(args: &WorkerArgs, session: &Session) -> CliResult<Exit> {
    session.only_here("worker")?;
    let settings = session.worker_settings(ServerFlags {
        workers: args.workers,
        node: args.node.clone(),
        ..ServerFlags::default()
    })?;
    if let CatalogPlace::Sqlite(path) = &settings.places.catalog {
        session.screen.warn(&format!(
            "the catalog is the file {}: only workers of this machine can use it",
            path.display()
        ));
    }
    let _log = pgkeep_server::logging::start(&settings.telemetry, "pgkeep worker")
        .map_err(|e| {
            CliError::usage(format!("the log cannot begin: {e}"))
                .with_hint("see log, sentry_dsn and otlp_endpoint of [server], or PGKEEP_LOG, SENTRY_DSN and OTEL_EXPORTER_OTLP_ENDPOINT")
        })?;
    pgkeep_server::worker::run_worker(settings, session.machine())?;
    Ok(Exit::Done)
}

pub fn run_job(args: &RunJobArgs, session: &Session) -> CliResult<Exit> {
    let run = RunJob {
        job: args.job.clone(),
        fence: args.fence,
        machine: session.machine(),
    };
    match pgkeep_server::worker::run_job(run) {
        Ok(()) => Ok(Exit::Done),
        Err(RunJobError::Catalog(error)) => Err(error.into()),
        // Nobody sees it but the server that started this process, which makes it the job's error.
        Err(error) => Err(CliError::new(Exit::Failed, error.to_string())),
    }
}

/// Says where the server is, and how its first account is made.
fn announce(ready: &Ready, screen: &Screen) {
    for warning in &ready.warnings {
        screen.warn(warning);
    }
    screen.note(&format!("pgkeep listens on {}", ready.url));
    // An address that means all of this machine's is none to open.
    let open = ready.public_url.as_ref().unwrap_or(&ready.url);
    let open =
        open.replacen("//0.0.0.0:", "//localhost:", 1)
            .replacen("//[::]:", "//localhost:", 1);
    if let Some(token) = &ready.setup_token {
        // Also with --quiet: it is not shown again, and without it nobody gets in.
        eprintln!(
            "nobody has an account yet; make the first administrator at {open} with this setup token:\n  {}",
            token.expose_secret()
        );
    }
}
