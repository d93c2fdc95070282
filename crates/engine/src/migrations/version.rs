//! What the app says of its own version when it is backed up.

use crate::{
    Context, Error, Result,
    application::Application,
    program::{self, Program},
};
use pgkeep_model::manifest;
use pgkeep_postgres::connect::ConnectOptions;
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// Longest time of a program that only tells a version; the app's own limit is for its migrations.
const LIMIT: Duration = Duration::from_secs(60);
/// Longest version, and most names of a runtime, that a manifest keeps.
const LONGEST: usize = 200;
const MOST: usize = 50;

/// Asks the app: its command, else its file, else its variable, else the commit of the folder that its commands run in.
/// `None` where it says nothing. A failure is told and stops nothing.
///
/// # Errors
/// Cancelled.
pub fn tell(
    app: &Application,
    database: Option<&ConnectOptions>,
    context: &Context,
) -> Result<Option<manifest::Application>> {
    let commands = &app.commands;
    let mut told = manifest::Application::default();
    if !commands.version.is_empty() {
        let output = output_of(&commands.version, "version", app, database, context)?;
        set(&mut told, output.as_deref(), "command");
    } else if let Some(file) = &commands.version_file {
        match fs::read_to_string(in_directory(app, file)) {
            Ok(text) => set(&mut told, Some(&text), "file"),
            Err(e) => context
                .progress
                .warn(&format!("the app's version is not known: {file}: {e}")),
        }
    } else if let Some(name) = &commands.version_env {
        let own = commands.environment.get(name).cloned();
        match own.or_else(|| std::env::var(name).ok()) {
            Some(text) => set(&mut told, Some(&text), "environment"),
            None => context.progress.warn(&format!(
                "the app's version is not known: variable {name} is not set"
            )),
        }
    } else if let Some(folder) = &commands.directory {
        set(&mut told, commit_of(Path::new(folder)).as_deref(), "commit");
    }
    if !commands.runtime.is_empty()
        && let Some(output) = output_of(&commands.runtime, "runtime", app, database, context)?
    {
        told.runtime = runtime(&output);
    }
    Ok((told != manifest::Application::default()).then_some(told))
}

fn set(told: &mut manifest::Application, text: Option<&str>, from: &str) {
    let line = text.and_then(|text| text.lines().map(str::trim).find(|line| !line.is_empty()));
    if let Some(line) = line {
        told.version = Some(line.chars().take(LONGEST).collect());
        told.version_from = Some(from.to_owned());
    }
}

/// What the program printed; `None`, with a warning, where it failed.
fn output_of(
    words: &[String],
    what: &str,
    app: &Application,
    database: Option<&ConnectOptions>,
    context: &Context,
) -> Result<Option<String>> {
    let program = Program {
        words,
        commands: &app.commands,
        database: app.database.as_ref().or(database),
        extra: vec![("PGKEEP_APP".into(), app.name.clone())],
        time_limit: Some(LIMIT),
    };
    let outcome = program::run(&program, context, &mut |_| {}).and_then(|outcome| {
        outcome.require(&format!("command `{what}` of the app"))?;
        Ok(outcome)
    });
    match outcome {
        Ok(outcome) => Ok(Some(outcome.output)),
        Err(e) => {
            context.cancel.check()?;
            let e: Error = e;
            context
                .progress
                .warn(&format!("the app's version is not known: {}", e.message));
            Ok(None)
        }
    }
}

/// `name version` a line, or `name==version`; other lines are passed over.
fn runtime(output: &str) -> BTreeMap<String, String> {
    output
        .lines()
        .filter_map(|line| {
            let line = line.trim();
            let (name, version) = line
                .split_once("==")
                .or_else(|| line.split_once(char::is_whitespace))?;
            let short = |text: &str| text.trim().chars().take(LONGEST).collect::<String>();
            Some((short(name), short(version)))
        })
        .take(MOST)
        .collect()
}

fn in_directory(app: &Application, file: &str) -> std::path::PathBuf {
    match &app.commands.directory {
        Some(folder) => Path::new(folder).join(file),
        None => file.into(),
    }
}

/// The commit that a folder, or one above it, is checked out at; no program is needed to read that.
fn commit_of(folder: &Path) -> Option<String> {
    let git = folder
        .ancestors()
        .map(|folder| folder.join(".git"))
        .find(|git| git.is_dir())?;
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(branch) = head.trim().strip_prefix("ref: ") else {
        return Some(head.trim().to_owned());
    };
    if let Ok(commit) = fs::read_to_string(git.join(branch)) {
        return Some(commit.trim().to_owned());
    }
    let packed = fs::read_to_string(git.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| {
        let (commit, name) = line.split_once(' ')?;
        (name == branch).then(|| commit.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_runtime_are_read_line_by_line() {
        let told = runtime("django 5.2.1\nPython  3.12.4\n\nnothing\npsycopg==3.2.1\n");
        let told: Vec<String> = told.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(told, ["Python=3.12.4", "django=5.2.1", "psycopg=3.2.1"]);
    }

    #[test]
    fn a_folder_tells_the_commit_that_it_is_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("app/web");
        let git = folder.path().join(".git");
        fs::create_dir_all(&inner).expect("made");
        assert_eq!(commit_of(&inner), None);
        fs::create_dir_all(git.join("refs/heads")).expect("made");
        let write = |name: &str, text: &str| fs::write(git.join(name), text).expect("written");
        write("HEAD", "0123abc\n");
        assert_eq!(commit_of(&inner).as_deref(), Some("0123abc"));
        write("HEAD", "ref: refs/heads/main\n");
        write("packed-refs", "# pack-refs\n4567def refs/heads/main\n");
        assert_eq!(commit_of(&inner).as_deref(), Some("4567def"));
        write("refs/heads/main", "89ab\n");
        assert_eq!(commit_of(&inner).as_deref(), Some("89ab"));
    }
}
