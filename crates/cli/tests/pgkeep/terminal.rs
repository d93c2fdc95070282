//! A person at a terminal: the binary with a pseudo-terminal as its standard input and outputs.

use super::scene::wait_until;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

/// How long the reader waits before it asks whether the terminal was closed.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};

pub struct Terminal {
    /// The person's end; gone when the terminal is closed.
    person: Option<File>,
    shown: Arc<Mutex<String>>,
    /// How much of it was looked at.
    seen: usize,
    closed: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
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
        let (shown, closed) = (Arc::new(Mutex::new(String::new())), Arc::default());
        let reader = read_apart(person.try_clone().unwrap(), &shown, &closed);
        Self {
            person: Some(person),
            shown,
            seen: 0,
            closed,
            reader: Some(reader),
            child,
        }
    }

    /// The same as a session of its own that the terminal belongs to: Ctrl-C reaches all that runs in it, and closing it
    /// hangs up on them.
    #[expect(clippy::disallowed_methods, reason = "the test is about the process")]
    pub fn start_session(command: &Command) -> Self {
        let mut session = Command::new("setsid");
        session
            .args(["--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear();
        for (name, value) in command.get_envs() {
            session.env(name, value.unwrap_or_default());
        }
        if let Some(folder) = command.get_current_dir() {
            session.current_dir(folder);
        }
        Self::start(session)
    }

    /// Waits until this is shown, after what was waited for before.
    #[track_caller]
    pub fn wait_for(&mut self, words: &str) {
        let (shown, seen) = (&self.shown, &mut self.seen);
        let (child, reader) = (&mut self.child, &self.reader);
        wait_until(words, || {
            // First, for its last words may be read a little after it is gone.
            let all_read = reader.as_ref().is_none_or(JoinHandle::is_finished);
            let ended = all_read && child.try_wait().unwrap().is_some();
            let text = plain(&shown.lock().unwrap());
            let rest = text.get(*seen..).unwrap_or_default();
            if let Some(at) = rest.find(words) {
                *seen += at + words.len();
                return true;
            }
            assert!(!ended, "it ended before it showed \"{words}\": {text}");
            false
        });
    }

    pub fn type_in(&mut self, keys: &str) {
        let mut person = self.person.as_ref().expect("the terminal is there");
        person.write_all(keys.as_bytes()).unwrap();
    }

    /// What was shown so far.
    pub fn text(&self) -> String {
        plain(&self.shown.lock().unwrap())
    }

    /// Closes the window.
    pub fn close(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        self.reader.take().map(JoinHandle::join);
        self.person = None;
    }

    pub fn press_ctrl_c(&mut self) {
        self.type_in("\x03");
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether keys are read one by one, and none of them is a signal.
    pub fn reads_keys(&self) -> bool {
        let lines = LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHO;
        !self.modes().intersects(lines)
    }

    /// Whether lines are read and shown, Ctrl-C is a signal, and the cursor is there.
    pub fn is_as_usual(&self) -> bool {
        let lines = LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHO;
        let shown = self.shown.lock().unwrap();
        let hidden = shown.rfind("\x1b[?25l");
        self.modes().contains(lines) && hidden <= shown.rfind("\x1b[?25h")
    }

    fn modes(&self) -> LocalModes {
        let person = self.person.as_ref().expect("the terminal is there");
        tcgetattr(person).unwrap().local_modes
    }

    /// Waits for its end; gives its code.
    #[track_caller]
    pub fn finish(mut self) -> i32 {
        let child = &mut self.child;
        wait_until("it ends", || child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// The same once all was read that it showed, to look at the terminal afterwards.
    #[track_caller]
    pub fn end(&mut self) -> i32 {
        let (child, reader) = (&mut self.child, &self.reader);
        wait_until("it ends", || {
            let all_read = reader.as_ref().is_none_or(JoinHandle::is_finished);
            child.try_wait().unwrap().is_some() && all_read
        });
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads what is shown until nobody can show anything any more, or the terminal is closed.
fn read_apart(
    mut screen: File,
    shown: &Arc<Mutex<String>>,
    closed: &Arc<AtomicBool>,
) -> JoinHandle<()> {
    let (writing, closed) = (shown.clone(), closed.clone());
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while !closed.load(Ordering::SeqCst) {
            let mut wanted = [PollFd::new(&screen, PollFlags::IN)];
            if poll(&mut wanted, Some(&LOOK)).unwrap_or(0) == 0 {
                continue;
            }
            let Ok(count @ 1..) = screen.read(&mut buffer) else {
                return;
            };
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            writing.lock().unwrap().push_str(&text);
        }
    })
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
