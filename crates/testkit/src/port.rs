//! Hands out loopback ports that no other test can take.
//!
//! Ports lie outside the range from which systems pick ports for outgoing connections, and each is held by a lock on a file for
//! as long as its owner lives; the system drops the lock when the process ends, however it ends.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const FIRST: u32 = 21_000;
const COUNT: u32 = 9_000;

/// A loopback port that is this process's until the value is dropped.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    pub number: u16,
    _lock: File,
}

impl ReservedPort {
    pub(crate) fn take() -> ReservedPort {
        let locks = Path::new("/tmp/pgkeep-test-ports");
        fs::create_dir_all(locks).expect("the folder of port locks can be made");
        // Other accounts' tests share the folder; failing to open it up means that one of them already did.
        let _ = fs::set_permissions(locks, fs::Permissions::from_mode(0o1777));

        let start = std::process::id().wrapping_mul(7919);
        (0..COUNT)
            .map(|step| FIRST + start.wrapping_add(step) % COUNT)
            .find_map(|number| {
                ReservedPort::try_take(
                    locks,
                    u16::try_from(number).expect("the range is below 65536"),
                )
            })
            .expect("one of thousands of ports is free")
    }

    fn try_take(locks: &Path, number: u16) -> Option<ReservedPort> {
        let lock = File::options()
            .create(true)
            .append(true)
            .open(locks.join(number.to_string()))
            .ok()?;
        lock.try_lock().ok()?;
        TcpListener::bind(("127.0.0.1", number)).ok()?;
        Some(ReservedPort {
            number,
            _lock: lock,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_not_handed_out_twice() {
        let ports: Vec<ReservedPort> = (0..20).map(|_| ReservedPort::take()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(|port| port.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
    }
}
