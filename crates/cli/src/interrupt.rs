//! Ctrl-C, SIGTERM and SIGHUP: the first one asks the work to stop cleanly, the second one ends the process at once.

use crate::exit::Exit;
use pgkeep_model::CancelToken;
use pgkeep_postgres::tools::SignalTarget;
use std::{
    io::IsTerminal,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::signal::unix::{SignalKind, signal};

/// Wires the signals to `cancel` for the rest of the process's life.
pub fn install(cancel: &CancelToken) -> Result<(), ctrlc::Error> {
    let cancel = cancel.clone();
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            std::process::exit(Exit::Cancelled as i32);
        }
        // The terminal shows ^C without a newline.
        eprintln!("\ncancelling; press Ctrl-C again to stop at once");
        cancel.cancel();
    })
}

/// Signals of a process that runs somebody else's command: they stop our own work, and while the command runs they are
/// the command's.
pub struct Relay {
    target: Arc<Mutex<Option<SignalTarget>>>,
}

impl Relay {
    /// Listens from now on. The thread that does ends with the process.
    pub fn start(cancel: &CancelToken) -> std::io::Result<Self> {
        let target = Arc::new(Mutex::new(None));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let (inside, cancel) = (target.clone(), cancel.clone());
        let (mut interrupt, mut terminate, mut hang_up) = {
            let _entered = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            )
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                runtime.block_on(async {
                    loop {
                        let kind = tokio::select! {
                            _ = interrupt.recv() => SignalKind::interrupt(),
                            _ = terminate.recv() => SignalKind::terminate(),
                            _ = hang_up.recv() => SignalKind::hangup(),
                        };
                        came(kind, &inside, &cancel);
                    }
                });
            })?;
        Ok(Self { target })
    }

    /// From now on they are this command's.
    pub fn hand_on(&self, command: SignalTarget) {
        *lock(&self.target) = Some(command);
    }

    /// From now on they are ours again.
    pub fn take_back(&self) {
        *lock(&self.target) = None;
    }
}

fn came(kind: SignalKind, target: &Mutex<Option<SignalTarget>>, cancel: &CancelToken) {
    if let Some(command) = &*lock(target) {
        // Ctrl-C reaches everybody at the terminal by itself; a second one may mean something else to the command.
        let from_terminal = kind == SignalKind::interrupt() && std::io::stdin().is_terminal();
        if !from_terminal {
            command.send(kind.as_raw_value());
        }
        return;
    }
    if cancel.is_cancelled() {
        std::process::exit(Exit::Cancelled as i32);
    }
    eprintln!("\ncancelling; press Ctrl-C again to stop at once");
    cancel.cancel();
}

fn lock(target: &Mutex<Option<SignalTarget>>) -> MutexGuard<'_, Option<SignalTarget>> {
    target.lock().unwrap_or_else(PoisonError::into_inner)
}
