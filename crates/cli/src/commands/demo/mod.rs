//! `pgkeep demo`: a whole disaster and recovery, before the user's eyes, on a server that is thrown away.
//!
//! Nothing outside of the demonstration's own folder is read or written: its server listens on a socket in there, and
//! its repository and key lie there. What is shown is what the engine returned and the clock measured.

mod leave;
mod shop;
mod story;

use crate::{
    args::DemoArgs,
    error::{CliError, CliResult},
    exit::Exit,
    output::human,
    session::Session,
};
use pgkeep_engine::{Context, Error};
use pgkeep_postgres::{throwaway::Throwaway, tools::Tools};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What the demonstration measured.
#[derive(Debug, Serialize)]
pub struct Answer {
    pub postgres: String,
    pub database_bytes: u64,
    pub steps: Vec<Step>,
    /// Where the repository was left, with `--keep`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
}

/// One step of the story.
#[derive(Debug, Serialize)]
pub struct Step {
    pub name: String,
    pub seconds: f64,
    /// What came of it, in words.
    pub result: String,
}

pub fn run(args: &DemoArgs, session: &Session) -> CliResult<Exit> {
    let settings = crate::config::Settings::none();
    let context = session.context(&settings);
    let tools = server_tools(args.major, &context)?;
    let folder = Folder::make(args)?;
    let server = Throwaway::start(
        tools.dir(),
        &[
            ("shared_buffers", "128MB"),
            ("max_wal_size", "4GB"),
            ("maintenance_work_mem", "128MB"),
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
        ],
    )
    .map_err(Error::from)?;
    let answer = story::tell(args, session, &context, &server, &tools, &folder.path);
    if args.leave_running && answer.is_ok() {
        leave::write_config(&folder.path, &server)?;
        leave::server(&folder.path, server)?;
    } else {
        drop(server);
    }
    session.progress.finish();
    let mut answer = answer?;
    answer.kept = folder.keep(args.keep || args.leave_running);
    story::close(session, &answer);
    Ok(Exit::Done)
}

/// Programs of the wanted major, or the newest, that come with a server.
fn server_tools(major: Option<u32>, context: &Context) -> CliResult<Tools> {
    let mut all = Tools::all(&context.tool_dirs);
    all.retain(|tools| {
        ["postgres", "initdb"]
            .iter()
            .all(|program| tools.dir().join(program).is_file())
    });
    let majors: Vec<String> = all.iter().map(|tools| tools.major().to_string()).collect();
    let chosen = all
        .into_iter()
        .filter(|tools| major.is_none_or(|wanted| tools.major() == wanted))
        .max_by_key(Tools::major);
    chosen.ok_or_else(|| {
        let what = major.map_or("no PostgreSQL server is installed here".to_owned(), |wanted| format!("PostgreSQL {wanted} is not installed here"));
        let hint = match majors.as_slice() {
            [] => "the demonstration needs its programs: on Debian or Ubuntu, apt install postgresql, or `make setup` in pgkeep's source".to_owned(),
            found => format!("found: {}", found.join(", ")),
        };
        CliError::new(Exit::Database, what).with_hint(hint)
    })
}

/// The demonstration's folder, removed when dropped unless it is kept.
struct Folder {
    path: PathBuf,
    remove: bool,
}

impl Folder {
    fn make(args: &DemoArgs) -> CliResult<Self> {
        let path = args.dir.clone().unwrap_or_else(|| {
            std::env::temp_dir().join(format!("pgkeep-demo-{}", std::process::id()))
        });
        std::fs::create_dir(&path)
            .map_err(|e| CliError::file(Exit::Failed, "make the folder", &path, &e))?;
        Ok(Self { path, remove: true })
    }

    fn keep(mut self, keep: bool) -> Option<PathBuf> {
        self.remove = !keep;
        keep.then(|| self.path.clone())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.remove {
            // Left-overs in the folder for temporary files do no harm, and an error here must not hide the story's.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn size_of(path: &Path) -> String {
    std::fs::metadata(path)
        .map(|meta| human::bytes(meta.len()))
        .unwrap_or_default()
}
