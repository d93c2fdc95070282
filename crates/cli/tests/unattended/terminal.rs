//! A person at a terminal: the binary with a pseudo-terminal as its standard input and outputs.

use crate::pgkeep::scene::wait_until;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command},
    sync::{Arc, Mutex},
};

pub struct Terminal {
    /// The person's end.
    person: File,
    shown: Arc<Mutex<String>>,
    /// How much of it was looked at.
    seen: usize,
    child: Child,
}

impl Terminal {
    pub fn start(mut command: Command) -> Self {
        let person =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&person, size).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let open = || {
            let name = name.to_str().unwrap();
            File::options().read(true).write(true).open(name).unwrap()
        };
        let child = command
            .env("TERM", "xterm")
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        // Only the child holds the other end from here on, so that reading ends with it.
        drop(command);
        let person = File::from(person);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, writing) = (person.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                writing.lock().unwrap().push_str(&text);
            }
        });
        Self {
            person,
            shown,
            seen: 0,
            child,
        }
    }

    /// Waits until this is shown, after what was waited for before.
    #[track_caller]
    pub fn wait_for(&mut self, words: &str) {
        let (shown, seen) = (&self.shown, &mut self.seen);
        let child = &mut self.child;
        wait_until(words, || {
            let text = plain(&shown.lock().unwrap());
            let rest = text.get(*seen..).unwrap_or_default();
            if let Some(at) = rest.find(words) {
                *seen += at + words.len();
                return true;
            }
            let ended = child.try_wait().unwrap().is_some();
            assert!(!ended, "it ended before it showed \"{words}\": {text}");
            false
        });
    }

    pub fn type_in(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    pub fn press_ctrl_c(&mut self) {
        self.type_in("\x03");
    }

    /// Waits for its end; gives its code.
    #[track_caller]
    pub fn finish(mut self) -> i32 {
        let child = &mut self.child;
        wait_until("it ends", || child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without what only moves the cursor or colours.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\x1b' => {
                // `ESC [ parameters letter`
                if characters.next() == Some('[') {
                    characters.find(|c| ('@'..='~').contains(c));
                }
            }
            c => out.push(c),
        }
    }
    out
}
