//! Finds the PostgreSQL majors of this machine and the account that their servers may run under.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folder of everything that `make setup` fetched: `PGKEEP_CACHE`, else `/var/cache/pgkeep` for root, whose servers run as
/// another user that must be able to reach it, else `~/.cache/pgkeep`. The rule of `scripts/cache-dir`.
pub fn cache_dir() -> PathBuf {
    match std::env::var_os("PGKEEP_CACHE") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ if running_as_root() => PathBuf::from("/var/cache/pgkeep"),
        _ => std::env::home_dir()
            .expect("a user that runs tests has a home")
            .join(".cache/pgkeep"),
    }
}

/// The server and client programs of one PostgreSQL major.
#[derive(Debug, Clone)]
pub struct Installation {
    pub major: u32,
    /// The folder of `postgres`, `initdb`, `psql`, `pg_dump` and the rest.
    pub bin_dir: PathBuf,
}

impl Installation {
    /// Finds a major, or panics with what to run.
    pub fn of(major: u32) -> Installation {
        Installation::find(major)
            .unwrap_or_else(|| panic!("PostgreSQL {major} is not installed: run `make setup`"))
    }

    pub fn find(major: u32) -> Option<Installation> {
        let named = std::env::var_os(format!("PGKEEP_PG{major}_BIN")).map(PathBuf::from);
        let cached = cache_dir().join(format!("pg/{major}/bin"));
        let usual = [
            format!("/usr/lib/postgresql/{major}/bin"),
            format!("/usr/pgsql-{major}/bin"),
            format!("/opt/homebrew/opt/postgresql@{major}/bin"),
            format!("/usr/local/opt/postgresql@{major}/bin"),
        ];
        named
            .into_iter()
            .chain([cached])
            .chain(usual.map(PathBuf::from))
            .find(|dir| dir.join("postgres").is_file() && dir.join("pg_dump").is_file())
            .map(|bin_dir| Installation { major, bin_dir })
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// The account that a server runs under. PostgreSQL refuses to run as root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerUser {
    pub uid: u32,
    pub gid: u32,
}

impl ServerUser {
    /// `None` when the tests' own account will do.
    pub(crate) fn other_than_root() -> Option<ServerUser> {
        static USER: OnceLock<Option<ServerUser>> = OnceLock::new();
        *USER.get_or_init(|| {
            running_as_root().then(|| {
                let accounts = std::fs::read_to_string("/etc/passwd").expect("a system has its list of accounts");
                ["postgres", "nobody"]
                    .iter()
                    .find_map(|name| account(&accounts, name))
                    .expect("root runs test servers as the account postgres or nobody, and neither exists")
            })
        })
    }

    /// Gives a file to the account.
    pub(crate) fn own(self, path: &Path) {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).unwrap_or_else(|error| {
            panic!("giving {} to the server's user: {error}", path.display())
        });
    }
}

fn account(accounts: &str, name: &str) -> Option<ServerUser> {
    let fields: Vec<&str> = accounts
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == name)?;
    Some(ServerUser {
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
    })
}

pub(crate) fn running_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Identifies the very build of a program, so that what was made by an older one is not taken for it.
pub(crate) fn build_of(program: &Path) -> String {
    let meta =
        std::fs::metadata(program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    format!("{:x}-{:x}", meta.len(), meta.mtime())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_its_line() {
        let accounts = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";
        let user = account(accounts, "postgres").expect("the account is there");
        assert_eq!((user.uid, user.gid), (101, 104));
        assert!(account(accounts, "nobody").is_none());
    }

    #[test]
    #[should_panic(expected = "PostgreSQL 9 is not installed: run `make setup`")]
    fn a_missing_major_fails_by_name() {
        Installation::of(9);
    }
}
