//! Options that name folders of an app.

use clap::Args;
use pgkeep_model::app::FileTree;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct TreeArgs {
    /// Folder that belongs to the recovery point, as NAME=PATH or PATH alone (repeatable; instead of those in pgkeep.toml)
    #[arg(long, value_name = "NAME=PATH", value_parser = NamedFolder::parse, help_heading = "Files")]
    pub files: Vec<NamedFolder>,
    /// Leave out what matches, as .gitignore writes it: '*.tmp', '/cache/', '!keep' (repeatable)
    #[arg(long, value_name = "PATTERN", help_heading = "Files")]
    pub exclude: Vec<String>,
    /// Stay on the file system of each folder
    #[arg(long, help_heading = "Files")]
    pub one_file_system: bool,
    /// Read every file again, even where size, times and inode are as in the backup before
    #[arg(long, help_heading = "Files")]
    pub hash_files: bool,
}

/// A folder and what it is called in backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFolder {
    pub name: String,
    pub path: PathBuf,
}

impl NamedFolder {
    /// Reads `NAME=PATH`, or a path that is called as its last part.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = text
            .split_once('=')
            .filter(|(name, path)| is_name(name) && !path.is_empty());
        if let Some((name, path)) = named {
            return Ok(Self {
                name: name.into(),
                path: path.into(),
            });
        }
        let path = PathBuf::from(text);
        let last = path.file_name().and_then(|name| name.to_str());
        match last.filter(|name| is_name(name)) {
            Some(name) => Ok(Self {
                name: name.into(),
                path: path.clone(),
            }),
            None => Err(format!(
                "give it a name of letters, digits, '_', '-' and '.': NAME={text}"
            )),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

impl TreeArgs {
    /// The trees of a backup: those given here, else those of the app, with the patterns given here added.
    pub fn over(&self, defined: &[FileTree], current_dir: &Path) -> Vec<FileTree> {
        let mut trees = match self.files.is_empty() {
            true => defined.to_vec(),
            false => self
                .files
                .iter()
                .map(|folder| {
                    // What the app says of a folder of this name goes on to hold.
                    let known = defined.iter().find(|tree| tree.name == folder.name);
                    FileTree {
                        name: folder.name.clone(),
                        path: absolute(&folder.path, current_dir),
                        ..known.cloned().unwrap_or_default()
                    }
                })
                .collect(),
        };
        for tree in &mut trees {
            tree.exclude.extend(self.exclude.iter().cloned());
            tree.one_file_system |= self.one_file_system;
        }
        trees
    }

    /// The options that were given, for a refusal to name.
    pub fn given(&self) -> [(&'static str, bool); 4] {
        [
            ("--files", !self.files.is_empty()),
            ("--exclude", !self.exclude.is_empty()),
            ("--one-file-system", self.one_file_system),
            ("--hash-files", self.hash_files),
        ]
    }
}

/// The path from the root, without `.` in it.
fn absolute(path: &Path, current_dir: &Path) -> String {
    let path: PathBuf = current_dir.join(path).components().collect();
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_called_as_it_is_named_or_as_its_last_part() {
        for (text, expected) in [
            ("media=/srv/a", Some(("media", "/srv/a"))),
            ("/srv/uploads/", Some(("uploads", "/srv/uploads/"))),
            ("./media", Some(("media", "./media"))),
            ("m=a=b", Some(("m", "a=b"))),
            ("../x=y/data", Some(("data", "../x=y/data"))),
            ("/", None),
            ("..", None),
            ("/srv/my files", None),
            ("/srv/.hidden", None),
        ] {
            let found = NamedFolder::parse(text).ok();
            let found = found.as_ref();
            let found = found.map(|f| (f.name.as_str(), f.path.to_str().expect("UTF-8")));
            assert_eq!(found, expected, "{text}");
        }
    }
}
