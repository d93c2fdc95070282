//! Runs client programs to their end; a failure is a panic that shows what the program said.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs a program that must succeed and gives what it printed.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    run_with_input(command, b"")
}

/// Runs a program that must succeed on some input and gives what it printed.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Vec<u8> {
    match try_with_input(command, input) {
        Ok(output) => output,
        Err(message) => panic!("{command:?}: {message}"),
    }
}

pub(crate) fn try_with_input(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program may end without reading everything; its exit status tells.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output()
    })
    .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}
