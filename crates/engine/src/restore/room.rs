//! How much room a restore takes on the target server's disk, and whether it is there.
//!
//! PostgreSQL does not tell how full its disk is. Where its data lies on this machine, the file system is asked; elsewhere the
//! plan says what is needed, and a person has to look. It is an estimate, so it warns and never refuses.

use super::Content;
use crate::upgrade;
use pgkeep_postgres::{connect::ConnectOptions, wire::Connection};

/// Tables with their indexes, for each byte of their rows as text; a guess on the safe side.
const GROWTH: u64 = 2;

/// Room on the target's disk, in bytes.
pub(super) struct Room {
    pub needed: u64,
    /// `None` where it cannot be told from here.
    pub free: Option<u64>,
}

impl Room {
    /// `bytes` are those of the rows as text.
    pub(super) fn of(
        bytes: u64,
        content: Content,
        admin: &mut Connection,
        options: &ConnectOptions,
    ) -> Self {
        Self {
            needed: match content {
                Content::SchemaOnly => 0,
                Content::All | Content::DataOnly => bytes.saturating_mul(GROWTH),
            },
            free: upgrade::free_bytes(admin, options),
        }
    }

    pub(super) fn is_enough(&self) -> Option<bool> {
        self.free.map(|free| free >= self.needed)
    }

    /// What to tell where it will not do.
    pub(super) fn warning(&self) -> Option<String> {
        let free = self.free.filter(|free| *free < self.needed)?;
        let mib = |bytes: u64| bytes >> 20;
        Some(format!(
            "the server's disk has {} MiB free, and the restore takes about {} MiB: make room there first",
            mib(free),
            mib(self.needed)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_disk_that_is_known_to_be_too_small_is_warned_of() {
        let warning = |free| {
            Room {
                needed: 300 << 20,
                free,
            }
            .warning()
        };
        assert_eq!(warning(None), None);
        assert_eq!(warning(Some(300 << 20)), None);
        let told = warning(Some(299 << 20)).expect("too small");
        assert!(
            told.contains("299 MiB free") && told.contains("300 MiB"),
            "{told}"
        );
    }
}
