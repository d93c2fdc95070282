//! Every command that the documentation shows is one that the binary understands.

use super::Cli;
use clap::Parser;
use std::path::{Path, PathBuf};

#[test]
fn every_documented_command_line_parses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    collect(&root.join("docs"), &mut files);
    collect(&root.join("deploy"), &mut files);
    let mut found = 0;
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a text file of the project");
        for (line, command) in command_lines(&text) {
            found += 1;
            if let Err(why) = understood(&command) {
                let name = file.strip_prefix(&root).unwrap_or(&file).display();
                wrong.push(format!("{name}:{line}: {command}\n    {why}"));
            }
        }
    }
    assert!(found > 15, "only {found} command lines were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder of the project")
        .map(|entry| entry.expect("an entry of it").path())
        .collect();
    entries.sort();
    for path in entries {
        // What was decided once is not what is documented now.
        if path.is_dir() && path.file_name().is_some_and(|name| name != "decisions") {
            collect(&path, files);
        } else if path.is_file() && path.extension().is_none_or(|kind| kind != "png") {
            files.push(path);
        }
    }
}

/// Lines that run pgkeep, with their numbers: in fenced blocks of a page, anywhere in other files.
fn command_lines(text: &str) -> Vec<(usize, String)> {
    let is_page = text.contains("\n```");
    let mut inside = !is_page;
    let mut commands = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if is_page && line.trim_start().starts_with("```") {
            inside = !inside;
            continue;
        }
        if inside {
            let line = line.trim_start_matches(['#', ' ', '-', '$']);
            let line = line.strip_prefix("run: ").unwrap_or(line);
            let parts = line.split("&&").flat_map(|part| part.split(" | "));
            for part in parts {
                if let Some(command) = command_in(part) {
                    commands.push((number + 1, command));
                }
            }
        }
    }
    commands
}

/// The part from `pgkeep` on, where nothing but variables stands before it, without comments and redirections.
fn command_in(part: &str) -> Option<String> {
    let mut rest = part.trim();
    loop {
        let (word, after) = rest.split_once(' ')?;
        if word == "pgkeep" {
            break;
        }
        let is_variable = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        });
        if !is_variable {
            return None;
        }
        rest = after.trim_start();
    }
    let end = [" #", " >", " <", ";", " ||"]
        .iter()
        .filter_map(|mark| rest.find(mark))
        .min()
        .unwrap_or(rest.len());
    Some(rest[..end].trim().to_owned())
}

fn understood(command: &str) -> Result<(), String> {
    let words = shell_words::split(command).map_err(|e| e.to_string())?;
    match Cli::try_parse_from(words) {
        Ok(_) => Ok(()),
        Err(error) if !error.use_stderr() => Ok(()),
        Err(error) => Err(error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()),
    }
}
