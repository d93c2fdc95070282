//! A command of the user's, run as if pgkeep were not there: its environment, its terminal, its input and output are those
//! of this process, and it stays in this process's group, so that the terminal's signals reach it by themselves.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the place where guarded commands are started"
)]

use super::error::ToolError;
use crate::error::Result;
use rustix::{
    fs::{Access, access},
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
};
use std::{
    io,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A running command. It is not ended when this value is dropped: it is the user's, not ours.
#[derive(Debug)]
pub struct Passthrough {
    name: String,
    child: Child,
    process: SignalTarget,
}

/// Where signals for the command go for as long as it runs.
#[derive(Debug, Clone, Default)]
pub struct SignalTarget(Arc<Mutex<Option<Pid>>>);

impl SignalTarget {
    /// Sends a signal by its number; false when the command has ended.
    pub fn send(&self, number: i32) -> bool {
        let process = self.lock();
        match (*process, Signal::from_named_raw(number)) {
            (Some(pid), Some(signal)) => kill_process(pid, signal).is_ok(),
            _ => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a command ended, as a shell tells it: its status, or 128 and the number of the signal that ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub code: u8,
    /// Number of the signal that ended it.
    pub signal: Option<i32>,
}

impl Passthrough {
    /// Looks whether the command can be started at all, before work is done for it.
    pub fn find(words: &[String]) -> Result<()> {
        let name = words.first().map(String::as_str).unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        // As execvp(3): a name with a slash is a file, any other is looked for.
        let mut places = match name.contains('/') {
            true => vec![PathBuf::from(name)],
            false => std::env::split_paths(&path)
                .map(|folder| folder.join(name))
                .collect(),
        };
        places.retain(|place| place.is_file());
        let startable = |file: &PathBuf| access(file, Access::EXEC_OK).is_ok();
        let source = match &places[..] {
            [] => Errno::NOENT,
            found if found.iter().any(startable) => return Ok(()),
            _ => Errno::ACCESS,
        };
        Err(ToolError::Start {
            program: name.to_owned(),
            source: source.into(),
        }
        .into())
    }

    /// Starts the command. With `output_to_stderr`, what it writes to its standard output goes to our standard error.
    pub fn start(
        words: &[String],
        variables: &[(String, String)],
        output_to_stderr: bool,
    ) -> Result<Self> {
        let name = words.first().cloned().unwrap_or_default();
        let failed = |source: io::Error| ToolError::Start {
            program: name.clone(),
            source,
        };
        let mut command = Command::new(&name);
        command.args(words.get(1..).unwrap_or_default());
        for (variable, value) in variables {
            command.env(variable, value);
        }
        if output_to_stderr {
            let errors = io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
            command.stdout(Stdio::from(errors));
        }
        let child = command.spawn().map_err(failed)?;
        let pid = Pid::from_child(&child);
        Ok(Self {
            name,
            child,
            process: SignalTarget(Arc::new(Mutex::new(Some(pid)))),
        })
    }

    pub fn signals(&self) -> SignalTarget {
        self.process.clone()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<Ended> {
        let pid = Pid::from_child(&self.child);
        // First without reaping, so that no signal can reach another process of the same number.
        while let Err(Errno::INTR) = waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        ) {}
        *self.process.lock() = None;
        let status = self.child.wait().map_err(|source| ToolError::Pipe {
            program: self.name.clone(),
            source,
        })?;
        let signal = status.signal();
        let code = match (status.code(), signal) {
            (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
            (None, Some(signal)) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            (None, None) => u8::MAX,
        };
        Ok(Ended { code, signal })
    }
}
