//! PostgreSQL's own programs: finding them by version and running them.
//!
//! `pg_dump` must be of the server's major version or newer, `pg_restore` must know the archive's format; so programs
//! are looked for in many places and chosen by what they say their version is. They run under the rules of
//! [`ToolCommand`]: no password in arguments or environment, no child left behind.

mod app;
mod command;
mod error;
mod passthrough;
mod password;
mod running;

pub use app::AppProgram;
pub use command::ToolCommand;
pub use error::ToolError;
pub use passthrough::{Ended, Passthrough, SignalTarget};
pub use running::{RunningTool, ToolOutput};

use crate::{
    connect::{ConnectOptions, Environment},
    error::Result,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Folders of client programs that packages make, with `*` for a version.
const USUAL_PLACES: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/opt/homebrew/opt/libpq/bin",
    "/usr/local/opt/libpq/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
];

/// The client programs of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    dir: PathBuf,
    major: u32,
    version: String,
}

impl Tools {
    /// The programs to dump a server of this major version with: the same major, else the next newer.
    ///
    /// `dirs` are looked at before the usual places of packages; see [`tool_dirs`].
    pub fn for_dump(server_major: u32, dirs: &[PathBuf]) -> Result<Self> {
        Self::same_or_newer("pg_dump", server_major, server_major, dirs)
    }

    /// The programs to restore an archive of this format version into a server of this major version with: the
    /// server's own major if it can read the archive, else the oldest that can.
    pub fn for_restore(
        target_major: u32,
        archive_version: (u8, u8, u8),
        dirs: &[PathBuf],
    ) -> Result<Self> {
        // K_VERS_1_15 came with PostgreSQL 16, K_VERS_1_16 with 17 (pg_backup_archiver.h).
        let able = match archive_version {
            (1, minor, _) if minor <= 14 => 12,
            (1, 15, _) => 16,
            _ => 17,
        };
        Self::same_or_newer("pg_restore", target_major.max(able), able, dirs)
    }

    /// The programs of this very major version.
    pub fn find(major: u32, dirs: &[PathBuf]) -> Result<Self> {
        let all = Self::all(dirs);
        match all.iter().find(|t| t.major == major) {
            Some(tools) => Ok(tools.clone()),
            None => Err(missing("pg_dump", format!("{major}"), &all).into()),
        }
    }

    /// `wanted` or the nearest newer; failing that, the newest from `least` on.
    fn same_or_newer(
        program: &'static str,
        wanted: u32,
        least: u32,
        dirs: &[PathBuf],
    ) -> Result<Self> {
        let all = Self::all(dirs);
        let newer = all
            .iter()
            .filter(|t| t.major >= wanted)
            .min_by_key(|t| t.major);
        let older = || {
            all.iter()
                .filter(|t| t.major >= least)
                .max_by_key(|t| t.major)
        };
        match newer.or_else(older) {
            Some(tools) => Ok(tools.clone()),
            None => Err(missing(program, format!("{wanted} or newer"), &all).into()),
        }
    }

    /// Every installation found, in the order of the places; the first of equal majors is the one used.
    pub fn all(dirs: &[PathBuf]) -> Vec<Self> {
        let mut seen = BTreeSet::new();
        let usual = USUAL_PLACES.iter().flat_map(|pattern| expand(pattern));
        dirs.iter()
            .cloned()
            .chain(usual)
            .filter_map(|dir| Self::in_dir(&dir))
            .filter(|tools| seen.insert(tools.dir.clone()))
            .collect()
    }

    fn in_dir(dir: &Path) -> Option<Self> {
        let pg_dump = dir.join("pg_dump").canonicalize().ok()?;
        // Debian's /usr/bin/pg_dump is a script that picks a version by its own rules; the real ones are found below.
        if pg_dump.ends_with("postgresql-common/pg_wrapper") {
            return None;
        }
        let dir = pg_dump.parent()?.to_owned();
        let version = command::version_of(&pg_dump)?;
        Some(Self {
            major: major_of(&version)?,
            dir,
            version,
        })
    }

    pub fn major(&self) -> u32 {
        self.major
    }

    /// The version as `pg_dump --version` words it, `15.18 (Debian 15.18-0+deb12u1)`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether they take `--restrict-key`, which came with the minor releases of August 2025.
    pub fn knows_restrict_key(&self) -> bool {
        let minor = self
            .version
            .split(['.', ' '])
            .nth(1)
            .and_then(|minor| minor.parse::<u32>().ok());
        let first = match self.major {
            14 => 19,
            15 => 14,
            16 => 10,
            17 => 6,
            major => return major >= 18,
        };
        minor.is_some_and(|minor| minor >= first)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `pg_dump` connecting to this database.
    pub fn pg_dump(&self, connection: &ConnectOptions) -> ToolCommand {
        ToolCommand::new(&self.dir, "pg_dump").connect(connection)
    }

    /// `pg_dumpall` connecting through this database.
    pub fn pg_dumpall(&self, connection: &ConnectOptions) -> ToolCommand {
        ToolCommand::new(&self.dir, "pg_dumpall").connect(connection)
    }

    /// `pg_restore`; to let it connect to a database use [`ToolCommand::connect`] and pass `--dbname` as well.
    pub fn pg_restore(&self) -> ToolCommand {
        ToolCommand::new(&self.dir, "pg_restore")
    }

    /// `psql` connecting to this database, reading no start-up file.
    pub fn psql(&self, connection: &ConnectOptions) -> ToolCommand {
        ToolCommand::new(&self.dir, "psql")
            .connect(connection)
            .arg("--no-psqlrc")
    }
}

/// Where the user's own choice of programs may lie: an explicit folder (`PGKEEP_PG_BINDIR`), `PATH`, and the trees that
/// the set-up unpacked into the cache folder.
pub fn tool_dirs(env: &Environment, cache: Option<&Path>) -> Vec<PathBuf> {
    let explicit = env.get("PGKEEP_PG_BINDIR").map(PathBuf::from);
    let path = env.get("PATH").unwrap_or_default();
    let cached = cache
        .map(|dir| expand(&format!("{}/pg/*/bin", dir.display())))
        .unwrap_or_default();
    explicit
        .into_iter()
        .chain(std::env::split_paths(path).filter(|dir| dir.is_absolute()))
        .chain(cached)
        .collect()
}

/// Folders that match a pattern with at most one `*`, highest version first.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![pattern.into()];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort_by_key(|name| {
        std::cmp::Reverse(name[prefix.len()..].parse::<f64>().map_or(0, |v| v as u32))
    });
    names
        .into_iter()
        .map(|name| PathBuf::from(format!("{parent}/{name}{after}")))
        .collect()
}

/// A database's name as a program takes it after `--dbname=` or `--database=`: one that libpq would take for a connection
/// string has to be wrapped in one.
pub fn dbname_argument(name: &str) -> String {
    if name.contains('=') || name.starts_with("postgres://") || name.starts_with("postgresql://") {
        format!(
            "dbname='{}'",
            name.replace('\\', "\\\\").replace('\'', "\\'")
        )
    } else {
        name.to_owned()
    }
}

fn major_of(version: &str) -> Option<u32> {
    let end = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version[..end].parse().ok()
}

fn missing(program: &'static str, wanted: String, all: &[Tools]) -> ToolError {
    ToolError::Missing {
        program,
        wanted,
        found: all
            .iter()
            .map(|t| format!("{} in {}", t.version, t.dir.display()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn installation(root: &Path, name: &str, version: &str) -> PathBuf {
        let dir = root.join(name);
        std::fs::create_dir_all(&dir).expect("a folder is made");
        let program = dir.join("pg_dump");
        std::fs::write(
            &program,
            format!("#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n"),
        )
        .expect("a script");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))
            .expect("mode is set");
        dir
    }

    #[test]
    fn a_name_that_looks_like_a_connection_string_is_wrapped_in_one() {
        for (name, argument) in [
            ("shop", "shop"),
            ("what?", "what?"),
            ("a=b'c", r"dbname='a=b\'c'"),
            ("postgres://x", "dbname='postgres://x'"),
            (r"a=\b", r"dbname='a=\\b'"),
        ] {
            assert_eq!(dbname_argument(name), argument);
        }
    }

    #[test]
    fn the_same_major_is_preferred_then_the_next_newer() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dirs = [
            installation(root.path(), "a", "99.1"),
            installation(root.path(), "b", "95.2 (Debian 95.2-1)"),
            installation(root.path(), "c", "97beta1"),
        ];
        let major = |wanted| Tools::for_dump(wanted, &dirs).map(|t| t.major());
        assert_eq!(major(95).expect("there"), 95);
        assert_eq!(major(96).expect("there"), 97);
        assert_eq!(major(98).expect("there"), 99);
        let error = major(100).expect_err("nothing so new");
        assert_eq!(
            error.to_string(),
            "no pg_dump of PostgreSQL 100 or newer was found"
        );
        assert!(error.hint().expect("a hint").contains("99.1"), "{error:?}");
    }

    #[test]
    fn restoring_falls_back_to_programs_that_can_read_the_archive() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dirs = [
            installation(root.path(), "a", "97.1"),
            installation(root.path(), "b", "95.2"),
        ];
        let major = |target, archive| {
            Tools::for_restore(target, archive, &dirs)
                .map(|t| t.major())
                .expect("found")
        };
        assert_eq!(major(95, (1, 14, 0)), 95);
        assert_eq!(major(99, (1, 16, 0)), 97);
        assert_eq!(major(96, (1, 14, 0)), 97);
    }

    #[test]
    fn places_with_a_version_are_tried_newest_first() {
        let root = tempfile::tempdir().expect("a temporary directory");
        for name in ["pg/9.6/bin", "pg/15/bin", "pg/17/bin"] {
            std::fs::create_dir_all(root.path().join(name)).expect("a folder is made");
        }
        let env = Environment::new([("PATH", "relative:/abs"), ("PGKEEP_PG_BINDIR", "/mine")]);
        let dirs = tool_dirs(&env, Some(root.path()));
        assert_eq!(dirs[..2], [PathBuf::from("/mine"), "/abs".into()]);
        let versions: Vec<_> = dirs[2..]
            .iter()
            .map(|d| d.strip_prefix(root.path()).expect("below"))
            .collect();
        assert_eq!(
            versions,
            [
                Path::new("pg/17/bin"),
                Path::new("pg/15/bin"),
                Path::new("pg/9.6/bin")
            ]
        );
    }
}
