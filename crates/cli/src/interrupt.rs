//! Ctrl-C, SIGTERM and SIGHUP: the first one asks the work to stop cleanly, the second one ends the process at once. While
//! somebody is asked a question there is no work to be stopped, and the first one ends the process.

use crate::{asking, exit::Exit, output::say};
use pgkeep_model::CancelToken;
use pgkeep_postgres::tools::SignalTarget;
use rustix::termios::Termios;
use std::{
    io::IsTerminal,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::signal::unix::{SignalKind, signal};

/// Hands on the signals that come: they stop our own work, are the command's while somebody else's command runs, and a
/// question's while one is put.
pub struct Relay {
    target: Arc<Mutex<Whose>>,
    last_words: Arc<Mutex<String>>,
}

/// Whose the signals are.
enum Whose {
    Ours,
    /// This command's.
    Commands(SignalTarget),
    /// This question's, at which nothing is left to be done but to end.
    Questions(Question),
}

/// What a signal needs to know of the question that it comes upon.
pub struct Question {
    /// The terminal as it is to be left.
    pub terminal: Termios,
    /// What the process ends with.
    pub status: u8,
    /// Ctrl-C is an answer, which the prompt tells by a signal as well.
    pub hears_ctrl_c: bool,
}

impl Relay {
    /// Listens from now on. The thread that does ends with the process.
    pub fn start(cancel: &CancelToken) -> std::io::Result<Self> {
        let target = Arc::new(Mutex::new(Whose::Ours));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let last_words = Arc::new(Mutex::new(String::new()));
        let (inside, words, cancel) = (target.clone(), last_words.clone(), cancel.clone());
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
                        came(kind, &inside, &words, &cancel);
                    }
                });
            })?;
        Ok(Self { target, last_words })
    }

    /// From now on they are this command's.
    pub fn hand_on(&self, command: SignalTarget) {
        *lock(&self.target) = Whose::Commands(command);
    }

    /// From now on they are this question's. None comes between what `begin` does to the terminal and that.
    pub fn ask<E>(
        &self,
        question: Question,
        begin: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut whose = lock(&self.target);
        begin()?;
        *whose = Whose::Questions(question);
        Ok(())
    }

    /// What is said where a second signal ends the process before its work was stopped cleanly; nothing where empty.
    pub fn last_words(&self, words: String) {
        *lock(&self.last_words) = words;
    }

    /// From now on they are ours again.
    pub fn take_back(&self) {
        *lock(&self.target) = Whose::Ours;
    }
}

fn came(kind: SignalKind, whose: &Mutex<Whose>, last_words: &Mutex<String>, cancel: &CancelToken) {
    match &*lock(whose) {
        Whose::Commands(command) => {
            // Ctrl-C reaches everybody at the terminal by itself; a second one may mean something else to the command.
            let from_terminal = kind == SignalKind::interrupt() && std::io::stdin().is_terminal();
            if !from_terminal {
                command.send(kind.as_raw_value());
            }
        }
        Whose::Questions(question) if question.hears_ctrl_c && kind == SignalKind::interrupt() => {}
        Whose::Questions(question) => {
            asking::put_back(&question.terminal);
            // The shell's prompt begins on a line of its own.
            say("");
            std::process::exit(i32::from(question.status));
        }
        Whose::Ours => {
            if cancel.is_cancelled() {
                let words = lock(last_words);
                if !words.is_empty() {
                    say(&format!("\n{words}"));
                }
                std::process::exit(Exit::Cancelled as i32);
            }
            // The terminal shows ^C without a newline.
            say("\ncancelling; press Ctrl-C again to stop at once");
            cancel.cancel();
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
