//! Portable packages: a whole backup as one tar file, for a person with tar and pg_restore, or for another pgkeep.
//!
//! ```text
//! <name>/README.txt            how to take it in without pgkeep
//! <name>/manifest.json         what it is, with the evidence ([`Contents`])
//! <name>/databases/X.pgcustom  pg_dump's custom format, with the offsets that pg_restore -j needs
//! <name>/globals.sql           roles and tablespaces
//! <name>/files/TREE/…          file trees, as they were
//! <name>/SHA256SUMS            of every file above; sha256sum -c reads it
//! ```
//!
//! It streams: a tar header holds a size, and every size is known before the first byte, for the dumps inside are not
//! compressed ([`pgkeep_postgres::archive::CustomLayout`]). The tar file as a whole may be compressed with zstd and
//! encrypted for recipients of age. Nothing has its final name before it is whole, and what is taken in is published only
//! when its sums and its evidence hold.

mod contents;
mod database;
mod files;
mod layers;
mod readme;
mod take_in;
mod tape;
mod target;
mod write;

pub use contents::{Contents, PackedDatabase};
pub use layers::{read_recipients, recipient};
pub use take_in::{PackageSource, TakeInRequest, is_encrypted, looks_like_package, take_in};
pub use target::{PackageTarget, Place, Placed};
pub use write::{PackageReport, PackageRequest, package_name, stream, write};

const README: &str = "README.txt";
const MANIFEST: &str = "manifest.json";
const GLOBALS: &str = "globals.sql";
const SUMS: &str = "SHA256SUMS";
