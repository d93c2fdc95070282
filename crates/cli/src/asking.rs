//! The terminal while somebody is asked at it.
//!
//! From before a question is shown until it is answered, keys come one by one and Ctrl-C is a key: whatever is typed once
//! the words are there is an answer to them, and nothing typed before is. The prompts themselves set this for each key
//! alone, and between two keys Ctrl-C would be a signal that no question hears.
//!
//! However the question ends (answered, left with Ctrl-C, or by a signal that ends the process) the terminal is as it was.

use crate::{
    exit::Exit,
    interrupt::{Question, Relay},
};
use console::Term;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io;

/// A question is being put. Dropped without [`Asking::answered`], signals stay the question's: what it was asked for
/// ends there.
pub struct Asking<'r> {
    before: Termios,
    relay: Option<&'r Relay>,
}

impl<'r> Asking<'r> {
    /// For questions that are answered by keys, Ctrl-C among them; a signal that ends the process does so with `status`.
    pub fn begin(relay: Option<&'r Relay>, status: u8) -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let question = Question {
            terminal: before.clone(),
            status,
            hears_ctrl_c: true,
        };
        // What was typed before is thrown away.
        let wanted = key_by_key(&before);
        begun(relay, question, || {
            tcsetattr(io::stdin(), OptionalActions::Flush, &wanted)
        })?;
        Ok(Self { before, relay })
    }

    /// For a line that is typed unseen. The prompt sets the terminal for it; here it is only kept in mind how it was.
    pub fn unseen(relay: Option<&'r Relay>) -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let question = Question {
            terminal: before.clone(),
            status: Exit::Cancelled as u8,
            hears_ctrl_c: false,
        };
        begun(relay, question, || Ok(()))?;
        Ok(Self { before, relay })
    }

    /// The question has its answer, so signals are ours again.
    pub fn answered(self) {
        put_back(&self.before);
        if let Some(relay) = self.relay {
            relay.take_back();
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        put_back(&self.before);
    }
}

fn begun(
    relay: Option<&Relay>,
    question: Question,
    begin: impl FnOnce() -> rustix::io::Result<()>,
) -> io::Result<()> {
    match relay {
        Some(relay) => relay.ask(question, begin)?,
        None => begin()?,
    }
    Ok(())
}

/// The terminal as it was before a question, the cursor with it. One that is gone has nothing to be put back.
pub fn put_back(before: &Termios) {
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
    let _ = Term::stderr().show_cursor();
}

/// Keys come at once, unseen, and none is a signal; lines that are shown still end where they should.
fn key_by_key(before: &Termios) -> Termios {
    let mut wanted = before.clone();
    wanted.make_raw();
    wanted.output_modes = before.output_modes;
    wanted
}
