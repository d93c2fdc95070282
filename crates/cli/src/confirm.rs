//! The confirmation that stands before anything that overwrites a live database.
//!
//! The phrase is long on purpose: it cannot be typed by habit. It comes from `--confirm` or is asked for on a terminal;
//! without either the work is refused, so a script never overwrites by accident.

use crate::{
    error::{CliError, CliResult},
    exit::Exit,
    output::say,
};
use std::io::IsTerminal;

/// What must be typed, word for word; the same for the API.
pub use pgkeep_engine::restore::PHRASE;

/// Returns only when the phrase was given. `interactive` is false under `--json` and `--quiet`.
pub fn require(given: Option<&str>, what: &str, interactive: bool) -> CliResult<()> {
    match given {
        Some(text) if text == PHRASE => Ok(()),
        Some(_) => Err(refused(format!(
            "{what}: the phrase given with --confirm is not the one required"
        ))),
        None if interactive
            && std::io::stdin().is_terminal()
            && std::io::stderr().is_terminal() =>
        {
            ask(what)
        }
        None => Err(refused(format!("{what}: a confirmation is required"))),
    }
}

/// Asks a person whether to go on with what was shown, where one sits at the terminal; a script has said so by its options.
pub fn agree(to: &str, interactive: bool) -> CliResult<()> {
    if !(interactive && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(());
    }
    match dialoguer::Confirm::new()
        .with_prompt(to)
        .default(false)
        .interact()
    {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(CliError::new(Exit::Refused, "not confirmed").with_hint("nothing was changed"))
        }
        Err(e) => Err(
            CliError::new(Exit::Refused, format!("cannot read the answer: {e}"))
                .with_hint("nothing was changed"),
        ),
    }
}

/// Asks a person at the terminal a question whose answer is no unless it is said otherwise: Ctrl-C and a terminal that is
/// gone are a no as well. What was typed before the question is no answer to it.
pub fn yes(question: &str) -> bool {
    let _ = rustix::termios::tcflush(std::io::stdin(), rustix::termios::QueueSelector::IFlush);
    let answer = dialoguer::Confirm::new()
        .with_prompt(question)
        .default(false)
        .wait_for_newline(true)
        .interact();
    answer.unwrap_or_else(|_| {
        // It was hidden for the question.
        let _ = console::Term::stderr().show_cursor();
        say("");
        false
    })
}

fn ask(what: &str) -> CliResult<()> {
    eprintln!(
        "{what}.\nTo go on, type: {}",
        console::style(PHRASE).for_stderr().bold()
    );
    let typed: String = dialoguer::Input::new()
        .with_prompt("confirm")
        .allow_empty(true)
        .interact_text()
        .map_err(|e| refused(format!("{what}: cannot read the confirmation: {e}")))?;
    if typed.trim() == PHRASE {
        Ok(())
    } else {
        Err(refused(format!("{what}: not confirmed")))
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
        assert!(require(Some(PHRASE), "replacing shop", false).is_ok());
        for wrong in [
            "yes",
            "",
            "i understand this will irreversibly overwrite data",
        ] {
            assert_eq!(
                require(Some(wrong), "replacing shop", false)
                    .unwrap_err()
                    .exit,
                Exit::Refused
            );
        }
        assert_eq!(
            require(None, "replacing shop", false).unwrap_err().exit,
            Exit::Refused
        );
    }
}
