//! Options of the commands that make, show and move backups.

use super::{ConnectionArgs, Moment, TreeArgs, human_duration};
use clap::{Args, ValueEnum};
use pgkeep_model::{manifest::BackupKind, policy::PolicyKind};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep backup --repo ./backups --database-url postgres://app@db.example.com/shop
  DATABASE_URL=postgres://… pgkeep backup --description 'before release 4.2' --tag release --pin
  pgkeep backup --app shop --exclude-table-data 'public.session*' --jobs 4
  pgkeep backup --dbname shop --dbname billing --app platform --json
  pgkeep backup --app shop --kind incremental --files media=/srv/shop/media --exclude '*.tmp'")]
pub struct BackupArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Database by name, on the server of the connection (repeatable: one recovery point of all)
    #[arg(long, value_name = "NAME")]
    pub dbname: Vec<String>,
    #[command(flatten)]
    pub trees: TreeArgs,
    /// What to back up, and what of it to read
    #[arg(long, value_enum, default_value_t = KindArg::Full)]
    pub kind: KindArg,
    /// Environment that the backup is of: production, staging, …
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// Words to find it again by
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub description: Option<String>,
    /// Tag for forget and list (repeatable)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Keep this backup until it is unpinned, whatever the retention rule says
    #[arg(long)]
    pub pin: bool,
    /// Tables read at once [default: number of cores]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// zstd level, from -7 (fastest) to 22 (smallest) [default: 1]
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-7..=22))]
    pub compression: Option<i32>,
    /// Leave out the rows (not the definition) of tables that match; * and ? match any text and one character (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub exclude_table_data: Vec<String>,
    /// Only schemas that match (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub schema: Vec<String>,
    /// How long to wait for a table that is locked before letting go and trying again
    #[arg(long, value_name = "TIME", value_parser = human_duration)]
    pub lock_timeout: Option<Duration>,
    /// How to check what was stored before the backup counts: sizes of every object, or every byte
    #[arg(long, value_enum, default_value_t = ReadBackArg::Sizes)]
    pub read_back: ReadBackArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// Databases with roles and tablespaces, and files; everything is read
    Full,
    /// The same; what is provably as the newest backup holds it is not read again
    Incremental,
    /// The same, measured against the newest full backup
    Differential,
    /// Databases without roles, tablespaces and files
    Database,
    /// Files only
    Files,
}

impl From<KindArg> for BackupKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Full => Self::Full,
            KindArg::Incremental => Self::Incremental,
            KindArg::Differential => Self::Differential,
            KindArg::Database => Self::Database,
            KindArg::Files => Self::Files,
        }
    }
}

impl From<KindArg> for PolicyKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Full => Self::Full,
            KindArg::Incremental => Self::Incremental,
            KindArg::Differential => Self::Differential,
            KindArg::Database => Self::Database,
            KindArg::Files => Self::Files,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReadBackArg {
    /// Look at every stored object's size
    Sizes,
    /// Read back and decrypt everything
    Full,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep list
  pgkeep list --app shop --since 7d --kind full
  pgkeep list --json | jq '.backups[0].id'")]
pub struct ListArgs {
    /// Only this kind
    #[arg(long, value_name = "KIND", value_parser = ["full", "incremental", "differential", "database", "files", "import"])]
    pub kind: Option<String>,
    /// Only backups with this tag (repeatable: all of them)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Only this environment
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// Not before this time: a timestamp, a date, or a time ago such as 7d
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    pub since: Option<Moment>,
    /// Not after this time
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    pub until: Option<Moment>,
    /// At most this many, the newest
    #[arg(long, short = 'n', value_name = "N")]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep show
  pgkeep show 1a2b3c4d
  pgkeep show latest --app shop --json")]
pub struct ShowArgs {
    /// Backup: the start of its id, or latest
    #[arg(value_name = "BACKUP", default_value = "latest")]
    pub backup: String,
    /// Only this database of the backup
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep diff 1a2b3c4d latest
  pgkeep diff 1a2b3c4d            compares with the latest
  pgkeep diff latest live         compares with the database as it is now
  pgkeep diff 1a2b3c4d latest --database shop --json")]
pub struct DiffArgs {
    /// Before: the start of a backup's id, latest, or live
    #[arg(value_name = "A")]
    pub from: String,
    /// After: the same; live reads the whole database
    #[arg(value_name = "B", default_value = "latest")]
    pub to: String,
    /// Only this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep export latest
  pgkeep export 1a2b3c4d --format plain --output shop.sql.gz
  pgkeep export latest --format tar --output - | ssh host 'cat > shop.tar'
  pgkeep export latest --output shop.pgcustom && pg_restore -l shop.pgcustom
  pgkeep export latest --package --to /mnt/usb --recipients-file team.txt
  pgkeep export latest --package --zstd --to s3://archive/shop")]
pub struct ExportArgs {
    /// Backup: the start of its id, or latest
    #[arg(value_name = "BACKUP", default_value = "latest")]
    pub backup: String,
    /// Which database, when the backup holds several
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Format to write
    #[arg(long, short = 'F', value_enum, default_value_t = ExportFormat::Custom)]
    pub format: ExportFormat,
    /// File or folder to write, - for standard output [default: <app>_<env>_<db>_<time>.<ext> here]
    #[arg(long, short = 'o', value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// The whole backup as one portable tar file: every database, files, evidence, checksums
    #[arg(long, conflicts_with_all = ["output", "format", "database"])]
    pub package: bool,
    /// Where the package goes: a folder, a file, s3://bucket/folder, or - for standard output [default: here]
    #[arg(long, value_name = "PLACE", requires = "package")]
    pub to: Option<String>,
    /// Encrypt the package for this public key of age (repeatable)
    #[arg(long, value_name = "AGE1…", requires = "package")]
    pub recipient: Vec<String>,
    /// Encrypt the package for the public keys in this file, one a line
    #[arg(long, value_name = "FILE", requires = "package")]
    pub recipients_file: Option<PathBuf>,
    /// Compress the package with zstd
    #[arg(long, requires = "package")]
    pub zstd: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// pg_dump's custom format, for pg_restore
    Custom,
    /// SQL script, gzipped, for psql
    Plain,
    /// pg_dump's directory format
    Directory,
    /// pg_dump's tar format
    Tar,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep import shop.pgcustom --app shop
  pgkeep import dump.sql.gz --app shop --database shop --environment production
  pgkeep import ./dumpdir --description 'from the old server'
  pgkeep import shop_production_20261121T020000Z.tar.age --identity key.txt")]
pub struct ImportArgs {
    /// Package of pgkeep, custom, tar or directory dump, .sql or .sql.gz script; - for a package on standard input,
    /// s3://BUCKET/FOLDER/NAME for one in a bucket
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// File with a key of age that opens an encrypted package (repeatable)
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// Name of the database in the backup [default: as in the dump]
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Environment that the dump is of
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// Words to find it again by
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub description: Option<String>,
    /// Tag (repeatable)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// zstd level [default: 1]
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-7..=22))]
    pub compression: Option<i32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pgkeep tag 1a2b3c4d --add release-4.2
  pgkeep tag latest --pin
  pgkeep tag 1a2b3c4d --unpin --remove release-4.2")]
pub struct TagArgs {
    /// Backup: the start of its id, or latest
    #[arg(value_name = "BACKUP")]
    pub backup: String,
    /// Tag to add (repeatable)
    #[arg(long, value_name = "TAG")]
    pub add: Vec<String>,
    /// Tag to remove (repeatable)
    #[arg(long, value_name = "TAG")]
    pub remove: Vec<String>,
    /// Keep it until it is unpinned
    #[arg(long, conflicts_with = "unpin")]
    pub pin: bool,
    /// Let retention rules take it again
    #[arg(long)]
    pub unpin: bool,
}
