//! The life of a server process.
//!
//! Order at the start: the log, the catalog (migrated under a lock), the listener's address, then the tasks (events,
//! scheduler, notifier, workers), then requests are answered. Order at the end: the scheduler and the workers stop taking
//! work, no connection is accepted any more, event streams end, open requests are answered, running jobs are handed back,
//! and last the catalog is closed.

use crate::api;
use crate::catalog_file::{CatalogFile, Lost};
use crate::http::{Front, Listener};
use crate::leftovers;
use crate::logging::{self, LoggingError};
use crate::notify::Notifier;
use crate::scheduler::{Scheduler, ServerGauge};
use crate::settings::{AddressRange, CatalogPlace, ServerSettings, WorkSettings};
use crate::state::AppState;
use crate::targets::Machine;
use crate::unset;
use crate::worker::{Supervisor, open_options};
use pgkeep_catalog::{Catalog, CatalogError, Presence};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use secrecy::SecretString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How often certificate files are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(60);

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the log cannot begin: {0}")]
    Logging(#[from] LoggingError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("cannot use the folder {}: {source}", path.display())]
    DataDir { path: PathBuf, source: io::Error },
    #[error("another server works with the catalog in {}", path.display())]
    NotAlone { path: PathBuf },
    #[error("the catalog {} {} while the server worked with it", path.display(), what.words())]
    CatalogLost {
        path: PathBuf,
        what: Lost,
        /// What it held, or why that could not be kept.
        rescued: Result<PathBuf, String>,
    },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("the server's threads cannot start: {0}")]
    Threads(io::Error),
    #[error("the setup token cannot be made: {0}")]
    Setup(String),
    #[error(
        "[server.oidc] issuer {issuer} is plain HTTP to another machine: whoever is on the way could say who logs in"
    )]
    PlainIssuer { issuer: String },
}

impl StartError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            StartError::Catalog(error) => error.hint().map(str::to_string),
            StartError::DataDir { .. } => {
                Some("name another one with --data-dir, or make it and give it to this user".into())
            }
            StartError::NotAlone { .. } => Some(
                "end that one first, or give this one a --data-dir of its own; several servers share a catalog on PostgreSQL".into(),
            ),
            StartError::CatalogLost { rescued, .. } => Some(match rescued {
                Ok(copy) => format!(
                    "what it held is kept in {0}; `pgkeep catalog restore {0}` puts it back",
                    copy.display()
                ),
                Err(why) => format!(
                    "what it held could not be kept: {why}; `pgkeep catalog restore` takes the newest copy from the repository"
                ),
            }),
            StartError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another program listens there; choose another address with --listen".into())
            }
            StartError::PlainIssuer { .. } => Some(
                "give the provider's https:// address; http:// is taken for one on this machine only".into(),
            ),
            _ => None,
        }
    }
}

/// What whoever started the server is told once it answers requests.
#[derive(Debug)]
pub struct Ready {
    /// Where it listens.
    pub url: String,
    /// The address that people open, where it is known to be another one.
    pub public_url: Option<String>,
    /// Makes the first administrator, once; only while there is no account.
    pub setup_token: Option<SecretString>,
    /// What is not as it should be, in sentences.
    pub warnings: Vec<String>,
}

/// Runs a server until SIGTERM or SIGINT. `announce` is called once it answers requests.
pub fn run(
    settings: ServerSettings,
    machine: Machine,
    announce: impl FnOnce(&Ready),
) -> Result<(), StartError> {
    let _log = logging::start(&settings.telemetry, "pgkeep")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Half the cores: what works hard does so in threads of its own, and where two of these share the requests, each
        // wakes the other, which costs more than the answer.
        .worker_threads(
            std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).clamp(1, 8)),
        )
        .max_blocking_threads(32)
        .thread_name("pgkeep")
        .enable_all()
        .build()
        .map_err(StartError::Threads)?;
    runtime.block_on(async {
        let server = Server::start(settings, machine).await?;
        // Whoever hears that it answers may tell it to end at once.
        let stop = asked_to_stop();
        announce(server.ready());
        let (file, catalog) = (server.file.clone(), server.state.catalog.clone());
        let mut lost = Ok(());
        server
            .run_until(async {
                tokio::select! {
                    () = stop => {}
                    error = catalog_lost(file, catalog) => lost = Err(error),
                }
            })
            .await;
        lost
    })
}

/// SIGTERM or SIGINT, from the call on.
fn asked_to_stop() -> impl Future<Output = ()> {
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            return std::future::pending().await;
        };
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!("{name}: shutting down");
    }
}

/// Returns once the catalog's file is not the one that was opened; never where it is no file.
async fn catalog_lost(file: Option<CatalogFile>, catalog: Catalog) -> StartError {
    let Some(file) = file else {
        return std::future::pending().await;
    };
    let what = file.until_lost().await;
    let error = StartError::CatalogLost {
        path: file.path().to_owned(),
        what,
        rescued: file.rescue(&catalog).await,
    };
    tracing::error!(hint = error.hint(), "{error}: shutting down");
    error
}

/// A server that is set up and listens, inside a runtime.
pub struct Server {
    state: AppState,
    listener: Listener,
    ready: Ready,
    /// Keeps a second server off a catalog that is a file.
    alone: Option<File>,
    /// Keeps a restore off a catalog that is not.
    presence: Presence,
    /// The catalog, where it is one.
    file: Option<CatalogFile>,
}

impl Server {
    /// Opens the catalog and takes the address.
    pub async fn start(settings: ServerSettings, machine: Machine) -> Result<Self, StartError> {
        refuse_plain_issuer(&settings)?;
        make_folders(&settings)?;
        let options = open_options(&settings.places, machine.clock.clone(), true);
        let catalog = Catalog::open(options).await?;
        let presence = catalog.join().await?;
        let (mut alone, mut file) = (None, None);
        if let CatalogPlace::Sqlite(path) = &settings.places.catalog {
            alone = Some(be_alone(&settings.places.data_dir)?);
            let seen = CatalogFile::at(path).map_err(|source| StartError::DataDir {
                path: path.clone(),
                source,
            })?;
            file = Some(seen);
            catalog.free_unanswered_keys().await?;
        }
        let listener =
            Listener::bind(&settings.http)
                .await
                .map_err(|source| StartError::Listen {
                    address: settings.http.listen.to_string(),
                    source,
                })?;
        let state = AppState::new(settings, catalog, machine);
        let url = listener.url().map_err(|source| StartError::Listen {
            address: state.settings.http.listen.to_string(),
            source,
        })?;
        let setup_token = state
            .auth
            .offer_setup()
            .await
            .map_err(|error| StartError::Setup(error.to_string()))?;
        let mut warnings = warnings(&state.settings);
        warnings.extend(unset::warnings(&state).await?);
        let ready = Ready {
            url,
            public_url: state
                .settings
                .http
                .public_url
                .as_ref()
                .map(ToString::to_string),
            setup_token,
            warnings,
        };
        Ok(Self {
            state,
            listener,
            ready,
            alone,
            presence,
            file,
        })
    }

    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// What requests share; for tests.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Works until `stop`, then ends in order.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        let Self {
            state,
            listener,
            ready,
            alone: _alone,
            mut presence,
            ..
        } = self;
        tracing::info!(url = %ready.url, catalog = state.catalog.location(), "listening");
        for warning in &ready.warnings {
            tracing::warn!("{warning}");
        }
        spawn_tasks(&state);
        spawn_certificate_watch(&state, &listener);
        let front = Front::new(
            api::router(state.clone()),
            &state.settings.http,
            state.requests.clone(),
        );
        let shutdown = state.shutdown.clone();
        let serving = listener.serve(front, &state.settings.http, shutdown.clone());
        let work = async {
            tokio::join!(serving, async {
                stop.await;
                shutdown.cancel();
            });
            state.tasks.close();
            state.tasks.wait().await;
        };
        tokio::select! {
            () = work => {}
            () = presence.stay(&state.catalog) => {}
        }
        presence.leave().await;
        state.catalog.close().await;
        tracing::info!("stopped");
    }
}

/// The keys that prove who logs in come from the issuer's address.
fn refuse_plain_issuer(settings: &ServerSettings) -> Result<(), StartError> {
    let Some(oidc) = &settings.auth.oidc else {
        return Ok(());
    };
    let here = match oidc.issuer.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match oidc.issuer.scheme() == "https" || here {
        true => Ok(()),
        false => Err(StartError::PlainIssuer {
            issuer: oidc.issuer.to_string(),
        }),
    }
}

fn make_folders(settings: &ServerSettings) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let places = &settings.places;
    for path in [places.data_dir.clone(), places.incoming(), places.exports()] {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|source| StartError::DataDir { path, source })?;
    }
    Ok(())
}

/// Takes the data folder for this process; the kernel gives it back however the process ends.
pub fn be_alone(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join("serve.lock");
    let wrong = |source| StartError::DataDir {
        path: path.clone(),
        source,
    };
    let file = File::create(&path).map_err(wrong)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(StartError::NotAlone {
            path: data_dir.to_owned(),
        }),
        Err(e) => Err(wrong(e.into())),
    }
}

fn warnings(settings: &ServerSettings) -> Vec<String> {
    let http = &settings.http;
    let mut warnings = Vec::new();
    let local = http.listen.ip().is_loopback();
    if !local && http.tls.is_none() {
        warnings.push(match http.trusted_proxies.is_empty() {
            true => format!(
                "{} is reached from other machines without TLS: passwords and data can be read on the way; give \
                 tls_cert and tls_key, or listen on 127.0.0.1 behind a proxy",
                http.listen
            ),
            false => format!(
                "{} speaks plain HTTP: see to it that only the trusted proxies reach it",
                http.listen
            ),
        });
    }
    if http.trusted_proxies.iter().any(AddressRange::is_everything) {
        warnings.push(
            "trusted_proxies holds every address: whoever reaches this server can say by a header which address they come \
             from; name the proxies alone"
                .into(),
        );
    }
    if settings.auth.oidc.is_some() && http.public_url.is_none() {
        warnings.push(
            "single sign-on cannot work without public_url, the address that the provider sends browsers back to".into(),
        );
    }
    let tls_key = http.tls.as_ref().map(|tls| &tls.key);
    for (what, path) in [
        ("the catalog's key", Some(&settings.places.catalog_key)),
        ("the TLS key", tls_key),
    ] {
        if let Some(path) = path.filter(|path| others_may_read(path)) {
            warnings.push(format!(
                "{what} {0} can be read by every account of this machine: run `chmod o= {0}`",
                path.display()
            ));
        }
    }
    if settings.work.slots == 0 {
        warnings.push(
            "this server runs no jobs itself: without a `pgkeep worker` nothing is backed up"
                .into(),
        );
    }
    warnings
}

fn others_may_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

/// Everything that works besides answering requests.
fn spawn_tasks(state: &AppState) {
    let tasks = &state.tasks;
    let shutdown = &state.shutdown;
    tasks.spawn(state.events.clone().run(shutdown.clone()));
    tasks.spawn(Notifier::of(state).run(shutdown.clone()));

    tasks.spawn(leftovers::watch(
        state.catalog.clone(),
        state.machine.clone(),
        state.settings.places.clone(),
        shutdown.clone(),
    ));

    let gauge = ServerGauge {
        machine: state.machine.clone(),
    };
    let scheduler = Scheduler::new(
        state.catalog.clone(),
        state.settings.places.clone(),
        state.settings.work.limits.clone(),
        Arc::new(gauge),
    );
    tasks.spawn(pass_pokes(
        state.schedule.clone(),
        scheduler.poke(),
        shutdown.clone(),
    ));
    let stop = shutdown.clone();
    tasks.spawn(async move { scheduler.run(&stop).await });

    if state.settings.work.slots > 0 {
        let supervisor = Supervisor::of_server(
            state.catalog.clone(),
            state.settings.places.clone(),
            WorkSettings::clone(&state.settings.work),
            &state.machine.hostname,
        );
        tasks.spawn(supervisor.run(shutdown.clone()));
    }
}

/// A policy that was changed through the API is looked at by the scheduler at once.
async fn pass_pokes(
    from: Arc<tokio::sync::Notify>,
    to: Arc<tokio::sync::Notify>,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = from.notified() => to.notify_one(),
        }
    }
}

/// Takes up renewed certificates.
fn spawn_certificate_watch(state: &AppState, listener: &Listener) {
    let Some(tls) = listener.tls() else {
        return;
    };
    let shutdown = state.shutdown.clone();
    state.tasks.spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(CERTIFICATES_EVERY) => {}
            }
            let tls = tls.clone();
            match tokio::task::spawn_blocking(move || tls.refresh()).await {
                Ok(Ok(true)) => tracing::info!("the certificate was renewed"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::error!(%error, "the new certificate cannot be used"),
                Err(error) => tracing::error!(%error, "the certificate could not be looked at"),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{OidcSettings, Places, TlsFiles};
    use std::os::unix::fs::PermissionsExt;

    fn with_issuer(issuer: &str) -> ServerSettings {
        let mut settings = ServerSettings::default();
        settings.auth.oidc = Some(OidcSettings {
            name: "Example".into(),
            issuer: issuer.parse().unwrap(),
            client_id: "pgkeep".into(),
            client_secret: None,
            scopes: Vec::new(),
            role_claim: "groups".into(),
            roles: Default::default(),
            default_role: None,
            grants: Default::default(),
        });
        settings
    }

    #[test]
    fn an_issuer_on_another_machine_speaks_https() {
        let refused = |issuer: &str| refuse_plain_issuer(&with_issuer(issuer)).is_err();
        for issuer in [
            "http://192.0.2.2:55830",
            "http://id.example.org/",
            "http://[2001:db8::1]/",
        ] {
            assert!(refused(issuer), "{issuer}");
        }
        for issuer in [
            "https://id.example.org",
            "http://127.0.0.1:8080",
            "http://[::1]/",
            "http://localhost/",
        ] {
            assert!(!refused(issuer), "{issuer}");
        }
        let error = refuse_plain_issuer(&with_issuer("http://192.0.2.2")).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("https://")));
    }

    #[test]
    fn what_is_dangerous_is_said_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = with_issuer("https://id.example.org");
        settings.places = Places::inside(dir.path());
        let key = dir.path().join("tls.key");
        let mut files = [&settings.places.catalog_key, &key].map(Clone::clone);
        for file in &mut files {
            std::fs::write(&*file, "key").unwrap();
            std::fs::set_permissions(&*file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        settings.http.tls = Some(TlsFiles {
            certificate: dir.path().join("tls.crt"),
            key,
        });
        settings.http.public_url = Some("https://keep.example.org".parse().unwrap());
        settings.http.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        assert_eq!(warnings(&settings), Vec::<String>::new());

        for file in &files {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        settings.http.public_url = None;
        for everything in ["0.0.0.0/0", "::/0"] {
            settings.http.trusted_proxies = vec![everything.parse().unwrap()];
            let said = warnings(&settings).join("\n");
            for word in ["trusted_proxies", "public_url", "catalog.key", "tls.key"] {
                assert!(said.contains(word), "{word}: {said}");
            }
        }
    }
}
