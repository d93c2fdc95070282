//! Follows a page of the guide to the letter, as a reader with a terminal would.
//!
//! Blocks marked `sh` are typed, in order, into one shell in an empty folder; each must succeed. A block marked `text` is
//! what the reader is told to see: its lines must come in that order in what the block of commands before it printed,
//! each as a part of a line, where `…` stands for anything and any run of spaces for one. A block marked `dotenv` is what
//! the reader sets beforehand: the test must set every name of it to something of its own.

use std::{fmt::Write as _, fs, path::Path, process::Stdio};

/// Commands of the page, and what they are told to print.
struct Block {
    line: usize,
    commands: String,
    expected: Vec<String>,
}

/// Follows `docs/guide/<page>` in `folder`, with `environment` instead of what the page's readers set.
#[track_caller]
pub fn follow(page: &str, folder: &Path, environment: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/guide")
        .join(page);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (blocks, names) = read(&text);
    assert!(!blocks.is_empty(), "{page} has no commands");
    for name in names {
        assert!(
            environment.iter().any(|(set, _)| *set == name),
            "{page} tells its readers to set {name}, which the test does not"
        );
    }
    let succeeded = type_in(&blocks, folder, environment);
    for (number, block) in blocks.iter().enumerate() {
        let printed =
            fs::read_to_string(folder.join(format!(".printed-{number}"))).unwrap_or_default();
        assert!(
            number < succeeded,
            "{page}, line {}: a command failed; it was\n{}\nand printed\n{printed}",
            block.line,
            block.commands
        );
        if let Some(missing) = first_missing(&block.expected, &printed) {
            panic!(
                "{page}, line {}: readers are told to see {missing:?}, but what is printed is\n{printed}",
                block.line
            );
        }
    }
}

/// Runs the blocks in one shell; gives how many of them succeeded.
#[expect(clippy::disallowed_methods, reason = "readers type into a shell")]
fn type_in(blocks: &[Block], folder: &Path, environment: &[(&str, String)]) -> usize {
    let mut script = "set -euo pipefail\n".to_owned();
    for (number, block) in blocks.iter().enumerate() {
        // Each block prints to a file of its own; what it exports is there for the next.
        let _ = writeln!(
            script,
            "exec > .printed-{number} 2>&1\n{}\necho {number} > .succeeded",
            block.commands
        );
    }
    fs::write(folder.join(".script"), script).unwrap();
    let status = std::process::Command::new("bash")
        .arg(".script")
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .status()
        .expect("bash starts");
    match fs::read_to_string(folder.join(".succeeded")) {
        _ if status.success() => blocks.len(),
        Ok(last) => last.trim().parse::<usize>().unwrap() + 1,
        Err(_) => 0,
    }
}

/// The page's blocks of commands, and the names that it tells its readers to set.
fn read(text: &str) -> (Vec<Block>, Vec<String>) {
    let (mut blocks, mut names) = (Vec::<Block>::new(), Vec::new());
    let mut fence: Option<&str> = None;
    for (number, line) in text.lines().enumerate() {
        if let Some(word) = line.strip_prefix("```") {
            fence = match fence {
                None => Some(word.trim()),
                Some(_) => None,
            };
            if fence == Some("sh") {
                blocks.push(Block {
                    line: number + 1,
                    commands: String::new(),
                    expected: Vec::new(),
                });
            }
            continue;
        }
        match (fence, blocks.last_mut()) {
            (Some("sh"), Some(block)) => {
                block.commands.push_str(line);
                block.commands.push('\n');
            }
            (Some("text"), Some(block)) if !line.trim().is_empty() => {
                block.expected.push(squeezed(line));
            }
            (Some("dotenv"), _) => {
                names.extend(line.split_once('=').map(|(name, _)| name.to_owned()))
            }
            _ => {}
        }
    }
    (blocks, names)
}

fn first_missing<'a>(expected: &'a [String], printed: &str) -> Option<&'a str> {
    let mut lines = printed.lines().map(squeezed);
    expected
        .iter()
        .find(|wanted| !lines.any(|line| holds(&line, wanted)))
        .map(String::as_str)
}

/// Whether the line has the parts between `…` in their order.
fn holds(line: &str, wanted: &str) -> bool {
    let mut rest = line;
    wanted
        .split('…')
        .map(str::trim)
        .all(|part| match rest.find(part) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_a_page_says_is_compared_line_by_line() {
    let page = "\n```dotenv\nURL=x\n```\n```sh\none\n```\n\n```text\na … c\n\nd\n```\n```toml\nx = 1\n```\n```sh\ntwo\n```\n";
    let (blocks, names) = read(page);
    assert_eq!(names, ["URL"]);
    assert_eq!(blocks.len(), 2);
    assert_eq!((blocks[0].commands.as_str(), blocks[0].line), ("one\n", 5));
    let missing = |printed| first_missing(&blocks[0].expected, printed);
    assert_eq!(missing("x a  b c\nd"), None);
    assert_eq!(missing("c a\nd"), Some("a … c"));
    assert_eq!(missing("d\na b c"), Some("d"));
    assert!(blocks[1].expected.is_empty());
}
