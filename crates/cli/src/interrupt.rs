//! Ctrl-C, SIGTERM and SIGHUP: the first one asks the work to stop cleanly, the second one ends the process at once.

use crate::{exit::Exit, output::say};
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
        say("\ncancelling; press Ctrl-C again to stop at once");
        cancel.cancel();
    })
}

/// Signals of a process that runs somebody else's command: they stop our own work, and while the command runs they are
/// the command's.
pub struct Relay {
    target: Arc<Mutex<Whose>>,
}

/// Whose the signals are.
enum Whose {
    Ours,
    /// This command's.
    Commands(SignalTarget),
    /// A question's, which takes Ctrl-C for a no. Whatever else comes ends the process with this status.
    Questions(u8),
}

impl Relay {
    /// Listens from now on. The thread that does ends with the process.
    pub fn start(cancel: &CancelToken) -> std::io::Result<Self> {
        let target = Arc::new(Mutex::new(Whose::Ours));
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
        *lock(&self.target) = Whose::Commands(command);
    }

    /// From now on they are a question's, at which nothing is left to be done but to end with this status.
    pub fn ask(&self, status: u8) {
        *lock(&self.target) = Whose::Questions(status);
    }

    /// From now on they are ours again.
    pub fn take_back(&self) {
        *lock(&self.target) = Whose::Ours;
    }
}

fn came(kind: SignalKind, whose: &Mutex<Whose>, cancel: &CancelToken) {
    match &*lock(whose) {
        Whose::Commands(command) => {
            // Ctrl-C reaches everybody at the terminal by itself; a second one may mean something else to the command.
            let from_terminal = kind == SignalKind::interrupt() && std::io::stdin().is_terminal();
            if !from_terminal {
                command.send(kind.as_raw_value());
            }
        }
        Whose::Questions(_) if kind == SignalKind::interrupt() => {}
        Whose::Questions(status) => std::process::exit(i32::from(*status)),
        Whose::Ours => {
            if cancel.is_cancelled() {
                std::process::exit(Exit::Cancelled as i32);
            }
            say("\ncancelling; press Ctrl-C again to stop at once");
            cancel.cancel();
        }
    }
}

fn lock(whose: &Mutex<Whose>) -> MutexGuard<'_, Whose> {
    whose.lock().unwrap_or_else(PoisonError::into_inner)
}
