//! Options of the commands that look at the queue.

use super::Moment;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List jobs, the newest first
    #[command(after_help = "\
Examples:
  pgkeep job list
  pgkeep job list --app shop --state failed --since 7d
  pgkeep job list --kind backup --limit 100 --json")]
    List(JobListArgs),
    /// Show one job: what it is to do, how far it is, how it ended
    #[command(
        after_help = "Examples:\n  pgkeep job show 0199f3c2\n  pgkeep job show 0199f3c2 --json"
    )]
    Show(JobName),
    /// Print a job's log
    #[command(
        after_help = "Examples:\n  pgkeep job log 0199f3c2\n  pgkeep job log 0199f3c2 --follow"
    )]
    Log {
        #[command(flatten)]
        job: JobName,
        /// Go on until the job ends
        #[arg(long, short = 'f')]
        follow: bool,
    },
    /// Cancel a job: at once while it waits, cleanly while it runs
    #[command(
        after_help = "Examples:\n  pgkeep job cancel 0199f3c2\n  pgkeep job cancel 0199f3c2 --json"
    )]
    Cancel(JobName),
    /// Keep a queued job from starting
    #[command(
        after_help = "Examples:\n  pgkeep job hold 0199f3c2\n  pgkeep job hold 0199f3c2 --json"
    )]
    Hold(JobName),
    /// Let a held job start
    #[command(
        after_help = "Examples:\n  pgkeep job release 0199f3c2\n  pgkeep job release 0199f3c2 --json"
    )]
    Release(JobName),
    /// Move a queued job: higher starts sooner, 0 is usual
    #[command(
        after_help = "Examples:\n  pgkeep job priority 0199f3c2 10\n  pgkeep job priority 0199f3c2 -- -5"
    )]
    Priority {
        #[command(flatten)]
        job: JobName,
        #[arg(value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1000..=1000))]
        priority: i32,
    },
    /// Say yes to another person's restore that waits for it
    #[command(
        after_help = "Examples:\n  pgkeep job approve 0199f3c2\n  pgkeep job approve 0199f3c2 --json"
    )]
    Approve(JobName),
}

#[derive(Debug, Args)]
pub struct JobName {
    /// Job: its id or the start of it
    #[arg(value_name = "JOB")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct JobListArgs {
    /// Only jobs in this state
    #[arg(long, value_name = "STATE", value_parser = ["queued", "running", "succeeded", "failed", "cancelled", "skipped"])]
    pub state: Option<String>,
    /// Only jobs of this kind
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Only jobs of this policy
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
    /// Not before this time: a timestamp, a date, or a time ago such as 7d
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    pub since: Option<Moment>,
    /// Not after this time
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    pub until: Option<Moment>,
    /// At most this many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Start no more jobs; those that run go on
    #[command(after_help = "Examples:\n  pgkeep queue pause\n  pgkeep queue pause --json")]
    Pause,
    /// Start jobs again
    #[command(after_help = "Examples:\n  pgkeep queue resume\n  pgkeep queue resume --json")]
    Resume,
    /// Show how many jobs wait and run, and who runs them
    #[command(after_help = "Examples:\n  pgkeep queue status\n  pgkeep queue status --json")]
    Status,
}
