//! Options of `pgkeep policy`.

use super::{server::DeleteArgs, values::Clock};
use clap::{Args, Subcommand, ValueEnum};
use pgkeep_model::{
    policy::{Frequency, PolicyKind, Weekday},
    retention::KeepSpan,
};

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// List the policies, when each runs next, and how its last run went
    #[command(
        after_help = "Examples:\n  pgkeep policy list\n  pgkeep policy list --app shop --json"
    )]
    List,
    /// Show one policy
    #[command(
        after_help = "Examples:\n  pgkeep policy show nightly\n  pgkeep policy show nightly --json"
    )]
    Show {
        #[arg(value_name = "POLICY")]
        name: String,
    },
    /// Make a policy; asks for what is not given where a person sits at the terminal
    #[command(after_help = "\
Examples:
  pgkeep policy create
  pgkeep policy create nightly --app shop --daily --at 02:00 --time-zone Europe/Berlin --keep-days 30
  pgkeep policy create quarter --app shop --cron '*/15 * * * *' --kind database --keep-max 96
  pgkeep policy create release --app shop --on-demand --keep-max 20
  pgkeep policy create often --app shop --daily --after-written 1GiB --at-most-every 30m --keep 7/4/12
  pgkeep policy create quiet --app shop --daily --at 01:00 --max-sessions 40 --wait-at-most 3h --cleanup-cron '0 6 * * 0'")]
    Create(Box<PolicyArgs>),
    /// Change a policy: only what is given changes
    #[command(after_help = "\
Examples:
  pgkeep policy edit nightly --at 03:30
  pgkeep policy edit nightly --weekly --weekday sunday --keep-max 12
  pgkeep policy edit nightly --notify ops --notify chat")]
    Edit(Box<PolicyArgs>),
    /// Let a policy run by its schedule
    #[command(
        after_help = "Examples:\n  pgkeep policy enable nightly\n  pgkeep policy enable nightly --json"
    )]
    Enable {
        #[arg(value_name = "POLICY")]
        name: String,
    },
    /// Keep a policy from running by its schedule
    #[command(
        after_help = "Examples:\n  pgkeep policy disable nightly\n  pgkeep policy disable nightly --json"
    )]
    Disable {
        #[arg(value_name = "POLICY")]
        name: String,
    },
    /// Remove a policy; its backups stay
    #[command(
        after_help = "Examples:\n  pgkeep policy delete nightly\n  pgkeep policy delete nightly --yes"
    )]
    Delete(DeleteArgs),
    /// Run a policy now and watch it
    #[command(after_help = "\
Examples:
  pgkeep policy run nightly
  pgkeep policy run production_pre_deployment --no-wait --json")]
    Run {
        #[arg(value_name = "POLICY")]
        name: String,
        /// Do not wait for its end
        #[arg(long)]
        no_wait: bool,
    },
    /// Remove what a policy's retention no longer wants
    #[command(after_help = "\
Examples:
  pgkeep policy cleanup nightly --dry-run
  pgkeep policy cleanup nightly
  pgkeep policy cleanup nightly --yes --json

The plan is shown first: a person at the terminal is asked, a script must say --yes.")]
    Cleanup {
        #[arg(value_name = "POLICY")]
        name: String,
        /// Print what would go, and why the others stay
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
    /// Print a policy's next runs
    #[command(after_help = "\
Examples:
  pgkeep policy next nightly
  pgkeep policy next nightly --count 30 --json")]
    Next {
        #[arg(value_name = "POLICY")]
        name: String,
        /// How many
        #[arg(long, short = 'n', value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
    /// Make the five ready policies of an app; those that exist stay as they are
    #[command(after_help = "\
Examples:
  pgkeep policy defaults shop
  pgkeep policy defaults shop --time-zone Europe/Berlin --json

Daily full at 02:00 (30 days), weekly export on Sunday 03:00 (90 days), monthly archive on the 1st
at 04:00 (a year), hourly database (off), and one to run by hand before a deployment.")]
    Defaults {
        #[arg(value_name = "APP")]
        app: String,
        /// Zone of their times, by its IANA name [default: UTC]
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
    },
}

#[derive(Debug, Clone, Default, Args)]
pub struct PolicyArgs {
    /// Name of the policy
    #[arg(value_name = "POLICY")]
    pub name: Option<String>,
    /// What a run makes
    #[arg(long, value_enum)]
    pub kind: Option<PolicyKindArg>,

    /// Every hour, at the minute of --at
    #[arg(long, group = "frequency", help_heading = "Schedule")]
    pub hourly: bool,
    /// Every day
    #[arg(long, group = "frequency", help_heading = "Schedule")]
    pub daily: bool,
    /// Every week, on --weekday
    #[arg(long, group = "frequency", help_heading = "Schedule")]
    pub weekly: bool,
    /// Every month, on --day
    #[arg(long, group = "frequency", help_heading = "Schedule")]
    pub monthly: bool,
    /// By five fields: minute, hour, day, month, weekday
    #[arg(
        long,
        group = "frequency",
        value_name = "FIELDS",
        help_heading = "Schedule"
    )]
    pub cron: Option<String>,
    /// Only when it is asked for
    #[arg(long, group = "frequency", help_heading = "Schedule")]
    pub on_demand: bool,
    /// Time of the day
    #[arg(long, value_name = "HH:MM", value_parser = Clock::parse, help_heading = "Schedule")]
    pub at: Option<Clock>,
    /// Day of the week
    #[arg(long, value_enum, value_name = "DAY", help_heading = "Schedule")]
    pub weekday: Option<WeekdayArg>,
    /// Day of the month; the last day of a month that is shorter
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=31), help_heading = "Schedule")]
    pub day: Option<u8>,
    /// Zone of these times, by its IANA name [default: UTC]
    #[arg(long, value_name = "ZONE", help_heading = "Schedule")]
    pub time_zone: Option<String>,
    /// Start up to so much later, always by the same share
    #[arg(long, value_name = "TIME", value_parser = super::human_duration, help_heading = "Schedule")]
    pub jitter: Option<std::time::Duration>,
    /// Start nothing between these times, such as 08:00-18:00, or 08:00-18:00@monday,friday for stretches that begin on those days (repeatable); none clears them
    #[arg(long, value_name = "HH:MM-HH:MM[@DAYS]", help_heading = "Schedule")]
    pub blackout: Vec<String>,
    /// Run once what was missed while the server was down
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Schedule")]
    pub catch_up: Option<bool>,

    /// Run before the schedule says so once so much was written to the database, such as 1GiB; none takes that back
    #[arg(long, value_name = "SIZE", help_heading = "Schedule")]
    pub after_written: Option<String>,
    /// With --after-written: but not sooner after the last run than this [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = super::human_duration, help_heading = "Schedule")]
    pub at_most_every: Option<std::time::Duration>,
    /// With --after-written: and at the latest this long after the last run [default: 1d]
    #[arg(long, value_name = "TIME", value_parser = super::human_duration, help_heading = "Schedule")]
    pub at_least_every: Option<std::time::Duration>,
    /// Wait with a start while more sessions than this are at work in the database; 0 takes that back
    #[arg(long, value_name = "N", help_heading = "Schedule")]
    pub max_sessions: Option<u32>,
    /// Wait with a start while the load of pgkeep's machine is above this, such as 1.5; 0 takes that back
    #[arg(long, value_name = "LOAD", value_parser = super::values::load, help_heading = "Schedule")]
    pub max_load: Option<u32>,
    /// With --max-sessions and --max-load: start at the latest this long after the time [default: 2h]
    #[arg(long, value_name = "TIME", value_parser = super::human_duration, help_heading = "Schedule")]
    pub wait_at_most: Option<std::time::Duration>,

    /// Keep by a ready choice: 7/4/12 is the newest of each of 7 days, 4 weeks and 12 months
    #[arg(long, value_name = "DAYS/WEEKS/MONTHS", value_parser = super::values::keep, conflicts_with_all = ["keep_daily", "keep_weekly", "keep_monthly"], help_heading = "Retention")]
    pub keep: Option<super::values::Keep>,
    /// Remove backups older than so many days
    #[arg(long, value_name = "DAYS", help_heading = "Retention")]
    pub keep_days: Option<u32>,
    /// Keep at most so many
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub keep_max: Option<u32>,
    /// Keep the newest N
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub keep_last: Option<u32>,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub keep_hourly: Option<u32>,
    /// Keep the newest of each of the last N days that have one
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub keep_daily: Option<u32>,
    /// Keep the newest of each of the last N weeks that have one
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub keep_weekly: Option<u32>,
    /// Keep the newest of each of the last N months that have one
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub keep_monthly: Option<u32>,
    /// Keep the newest of each of the last N years that have one
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub keep_yearly: Option<u32>,
    /// Keep everything made this long before the newest
    #[arg(long, value_name = "SPAN", help_heading = "Retention")]
    pub keep_within: Option<KeepSpan>,
    /// Keep backups with this tag (repeatable); none clears them
    #[arg(long, value_name = "TAG", help_heading = "Retention")]
    pub keep_tag: Vec<String>,
    /// How many of the newest whole backups stay whatever the rules say; the newest always does
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub protect_newest: Option<u32>,
    /// Remove what is not kept at these times, by five fields; none is after each backup
    #[arg(long, value_name = "FIELDS", help_heading = "Retention")]
    pub cleanup_cron: Option<String>,

    /// zstd level [default: the app's]
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-7..=22))]
    pub compression: Option<i32>,
    /// Repository, by its name (repeatable) [default: the app's]
    #[arg(long = "to", value_name = "REPOSITORY")]
    pub repositories: Vec<String>,
    /// Description of its backups; {policy}, {app}, {date}, {time} and {kind} are filled in
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub description: Option<String>,
    /// Tag of its backups (repeatable)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Notification target (repeatable) [default: the default targets]
    #[arg(long, value_name = "TARGET")]
    pub notify: Vec<String>,
    /// Drill its newest good backup this often, such as 7d; `never` takes that back [default: what the app says of drills]
    #[arg(long, value_name = "TIME")]
    pub drill: Option<String>,
    /// Skip a run when the server proves that nothing was written since the last
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub skip_if_unchanged: Option<bool>,
    /// Folder that packages are written to, or s3://BUCKET/FOLDER [default: the server's own folder]
    #[arg(long, value_name = "PLACE", help_heading = "Export")]
    pub export_to: Option<String>,
    /// Public key of age that packages are encrypted for (repeatable) [default: anybody can read them]
    #[arg(long, value_name = "KEY", help_heading = "Export")]
    pub export_recipient: Vec<String>,
    /// Compress packages with zstd
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Export")]
    pub export_zstd: Option<bool>,
    /// Make it, but do not let it run by its schedule yet
    #[arg(long)]
    pub disabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PolicyKindArg {
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
    /// A full backup, and a portable package of it
    Export,
}

impl From<PolicyKindArg> for PolicyKind {
    fn from(arg: PolicyKindArg) -> Self {
        match arg {
            PolicyKindArg::Full => PolicyKind::Full,
            PolicyKindArg::Incremental => PolicyKind::Incremental,
            PolicyKindArg::Differential => PolicyKind::Differential,
            PolicyKindArg::Files => PolicyKind::Files,
            PolicyKindArg::Database => PolicyKind::Database,
            PolicyKindArg::Export => PolicyKind::Export,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeekdayArg {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl From<WeekdayArg> for Weekday {
    fn from(arg: WeekdayArg) -> Self {
        match arg {
            WeekdayArg::Monday => Weekday::Monday,
            WeekdayArg::Tuesday => Weekday::Tuesday,
            WeekdayArg::Wednesday => Weekday::Wednesday,
            WeekdayArg::Thursday => Weekday::Thursday,
            WeekdayArg::Friday => Weekday::Friday,
            WeekdayArg::Saturday => Weekday::Saturday,
            WeekdayArg::Sunday => Weekday::Sunday,
        }
    }
}

impl PolicyArgs {
    /// The frequency asked for, if any.
    pub fn frequency(&self) -> Option<Frequency> {
        [
            (self.hourly, Frequency::Hourly),
            (self.daily, Frequency::Daily),
            (self.weekly, Frequency::Weekly),
            (self.monthly, Frequency::Monthly),
            (self.cron.is_some(), Frequency::Cron),
            (self.on_demand, Frequency::OnDemand),
        ]
        .into_iter()
        .find_map(|(given, frequency)| given.then_some(frequency))
    }
}
