//! Who and where this process is, as lock and key files record it.

use rustix::process::{Pid, test_kill_process};

pub(crate) fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

pub(crate) fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

pub(crate) fn gid() -> u32 {
    rustix::process::getgid().as_raw()
}

/// The account's name, or its number where the account list does not have it.
pub(crate) fn username() -> String {
    let uid = uid().to_string();
    std::fs::read_to_string("/etc/passwd")
        .ok()
        .and_then(|accounts| {
            accounts.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                (fields.nth(1)? == uid).then(|| name.to_string())
            })
        })
        .unwrap_or(uid)
}

/// Whether a process of this machine exists; one that may not be signalled does.
pub(crate) fn process_runs(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}
