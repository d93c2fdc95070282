//! The confirmation that stands before anything that overwrites a live database.
//!
//! The phrase is long on purpose: it cannot be typed by habit. It comes from `--confirm` or is asked for on a terminal;
//! without either the work is refused, so a script never overwrites by accident.

use crate::{
    asking::Asking,
    error::{CliError, CliResult},
    exit::Exit,
    output::say,
    session::Session,
};
use std::io::{self, IsTerminal};

/// What must be typed, word for word; the same for the API.
pub use pgkeep_engine::restore::PHRASE;

/// Returns only when the phrase was given.
pub fn require(given: Option<&str>, what: &str, session: &Session) -> CliResult<()> {
    match given {
        Some(text) => meant(text, what),
        None if is_somebody_there(session) => ask(what, session),
        None => Err(refused(format!("{what}: a confirmation is required"))),
    }
}

/// Whether somebody sits at the terminal and may be asked: not under `--json` and `--quiet`.
pub fn is_somebody_there(session: &Session) -> bool {
    session.screen.interactive()
        && std::io::stdin().is_terminal()
        && std::io::stderr().is_terminal()
}

/// Asks a person whether to go on with what was shown, where one sits at the terminal; a script has said so by its options.
pub fn agree(to: &str, session: &Session) -> CliResult<()> {
    if !is_somebody_there(session) {
        return Ok(());
    }
    let asking = begin(session)?;
    let agreed = dialoguer::Confirm::new()
        .with_prompt(to)
        .default(false)
        .interact()
        .map_err(unanswered)?;
    asking.answered();
    match agreed {
        true => Ok(()),
        false => {
            Err(CliError::new(Exit::Refused, "not confirmed").with_hint("nothing was changed"))
        }
    }
}

/// Asks before something is removed, which was shown before; where nobody sits at the terminal, `--yes` must say so.
pub fn removal(to: &str, yes: bool, session: &Session) -> CliResult<()> {
    if yes {
        return Ok(());
    }
    if !is_somebody_there(session) {
        return Err(
            CliError::new(Exit::Refused, format!("{to}: nobody is there to be asked"))
                .with_hint("nothing was changed; add --yes where this is meant"),
        );
    }
    agree(to, session)
}

/// Asks a person at the terminal a question whose answer is no unless it is said otherwise: Ctrl-C and a terminal that is
/// gone are a no as well. A signal that ends the process does so with `status`.
pub fn yes(question: &str, status: u8, session: &Session) -> bool {
    let Ok(asking) = Asking::begin(session.relay.as_ref(), status) else {
        return false;
    };
    let answer = dialoguer::Confirm::new()
        .with_prompt(question)
        .default(false)
        .wait_for_newline(true)
        .interact();
    match answer {
        Ok(answer) => {
            asking.answered();
            answer
        }
        Err(_) => {
            drop(asking);
            say("");
            false
        }
    }
}

/// Prepares the terminal for a question at which Ctrl-C cancels the command.
pub fn begin(session: &Session) -> CliResult<Asking<'_>> {
    Asking::begin(session.relay.as_ref(), Exit::Cancelled as u8)
        .map_err(|e| unanswered(dialoguer::Error::IO(e)))
}

/// A question that got no answer, before anything was done.
pub fn unanswered(error: dialoguer::Error) -> CliError {
    let dialoguer::Error::IO(error) = error;
    match error.kind() {
        // Ctrl-C.
        io::ErrorKind::Interrupted => CliError::new(Exit::Cancelled, "cancelled"),
        _ => CliError::new(Exit::Refused, format!("cannot read the answer: {error}")),
    }
    .with_hint("nothing was changed")
}

fn ask(what: &str, session: &Session) -> CliResult<()> {
    let asking = begin(session)?;
    eprintln!(
        "{what}.\nTo go on, type: {}",
        console::style(PHRASE).for_stderr().bold()
    );
    let typed: String = dialoguer::Input::new()
        .with_prompt("confirm")
        .allow_empty(true)
        .interact_text()
        .map_err(unanswered)?;
    asking.answered();
    match typed.trim() == PHRASE {
        true => Ok(()),
        false => Err(refused(format!("{what}: not confirmed"))),
    }
}

fn meant(text: &str, what: &str) -> CliResult<()> {
    match text == PHRASE {
        true => Ok(()),
        false => Err(refused(format!(
            "{what}: the phrase given with --confirm is not the one required"
        ))),
    }
}

fn refused(message: String) -> CliError {
    CliError::new(Exit::Refused, message).with_hint(format!(
        "nothing was changed; see the plan with --dry-run, then add --confirm '{PHRASE}'"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_phrase_passes() {
        assert!(meant(PHRASE, "replacing shop").is_ok());
        for wrong in [
            "yes",
            "",
            "i understand this will irreversibly overwrite data",
        ] {
            let refused = meant(wrong, "replacing shop").unwrap_err();
            assert_eq!(refused.exit, Exit::Refused, "{wrong}");
        }
    }
}
