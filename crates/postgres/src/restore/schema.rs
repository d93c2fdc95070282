//! Stock pg_restore for everything that is not rows: from a private folder that holds the table of contents alone.

use super::{RestoreOptions, private_folder::PrivateFolder, selection::Selection};
use crate::{
    Error, Result,
    archive::{Entry, Toc},
    connect::ConnectOptions,
    tools::{ToolCommand, Tools, dbname_argument},
};
use pgkeep_model::CancelToken;
use std::path::PathBuf;

/// A part of the archive, as pg_restore names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    PreData,
    /// Making the large objects, which pg_dump counts as data from 1.16 on.
    LargeObjects,
    PostData,
}

impl Section {
    fn argument(self) -> &'static str {
        match self {
            Section::PreData => "--section=pre-data",
            Section::LargeObjects => "--section=data",
            Section::PostData => "--section=post-data",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Section::PreData => "restoring the schema",
            Section::LargeObjects => "making large objects",
            Section::PostData => "building indexes, constraints and triggers",
        }
    }
}

/// A directory archive without data, readable by this user alone; removed when dropped.
#[derive(Debug)]
pub(super) struct SchemaArchive {
    folder: PrivateFolder,
    use_list: Option<PathBuf>,
    post_data_list: Option<PathBuf>,
    large_objects_list: Option<PathBuf>,
}

impl SchemaArchive {
    /// `done_early` are entries of the post-data section that pg_restore shall leave out.
    pub(super) fn write(
        toc_bytes: &[u8],
        toc: &Toc,
        selection: &Selection,
        done_early: impl Iterator<Item = i64>,
    ) -> Result<Self> {
        let doing = |e| Error::local("writing the table of contents for pg_restore", e);
        let folder = PrivateFolder::create().map_err(doing)?;
        folder.write("toc.dat", toc_bytes).map_err(doing)?;
        let list_file = |name: &str, list: Option<String>| {
            list.map(|list| folder.write(name, list.as_bytes()))
                .transpose()
                .map_err(doing)
        };
        let mut rest = selection.clone();
        done_early.for_each(|id| rest.remove(toc, id));
        Ok(Self {
            post_data_list: list_file("post-data.list", rest.use_list(toc))?,
            use_list: list_file("use.list", selection.use_list(toc))?,
            large_objects_list: list_file("large-objects.list", large_objects(toc, selection))?,
            folder,
        })
    }

    /// True when the large objects are still to be made after the pre-data section.
    pub(super) fn makes_large_objects_late(&self) -> bool {
        self.large_objects_list.is_some()
    }
}

/// Lists the entries that make large objects, with owners, grants and comments, when they are in the data section.
fn large_objects(toc: &Toc, selection: &Selection) -> Option<String> {
    let is_one = |e: &&Entry| {
        e.is("BLOB METADATA")
            || (["ACL", "COMMENT", "SECURITY LABEL"]
                .iter()
                .any(|kind| e.is(kind))
                && e.tag().starts_with("LARGE OBJECT"))
    };
    let late = toc
        .entries
        .iter()
        .any(|e| e.is("BLOB METADATA") && selection.has(e));
    let lines = toc
        .entries
        .iter()
        .filter(is_one)
        .filter(|e| selection.has(e));
    late.then(|| lines.map(|e| format!("{};\n", e.dump_id)).collect())
}

/// pg_restore, ready to be run on sections of one archive.
pub(super) struct PgRestore<'a> {
    pub tools: &'a Tools,
    pub target: &'a ConnectOptions,
    pub archive: &'a SchemaArchive,
    pub options: &'a RestoreOptions,
    /// `maintenance_work_mem` for building indexes.
    pub index_memory: &'a str,
    pub cancel: &'a CancelToken,
}

impl PgRestore<'_> {
    /// Runs one section against the target. Any error of pg_restore is an error here.
    pub(super) fn run(&self, section: Section, jobs: usize) -> Result<()> {
        let mut command = self
            .command(section)
            .connect(self.target)
            .arg("--exit-on-error")
            .arg(format!("--dbname={}", dbname_argument(&self.target.dbname)))
            .setting("default_transaction_read_only", "off")
            .setting("synchronous_commit", "off")
            .setting("maintenance_work_mem", self.index_memory)
            .setting("client_min_messages", "warning");
        if jobs > 1 {
            command = command.arg(format!("--jobs={jobs}"));
        }
        command
            .arg(self.archive.folder.path())
            .run_quietly(self.cancel)
            .map_err(|e| e.doing(section.words()))?;
        Ok(())
    }

    /// The section as one SQL script, which first drops (if they exist) the objects that it makes.
    pub(super) fn script(&self, section: Section) -> Result<String> {
        let output = self
            .command(section)
            .args(["--clean", "--if-exists", "--file=-"])
            .arg(self.archive.folder.path())
            .run(self.cancel)?;
        let script = String::from_utf8(output.stdout).map_err(|_| {
            Error::refused(
                "the backup's definitions are not in UTF-8",
                "restore it into a new database instead of in place",
            )
        })?;
        Ok(without_psql_commands(&script))
    }

    fn command(&self, section: Section) -> ToolCommand {
        let options = self.options;
        let flags = [
            (options.no_owner, "--no-owner"),
            (options.no_acl, "--no-privileges"),
            (options.no_tablespaces, "--no-tablespaces"),
        ];
        let mut command = self
            .tools
            .pg_restore()
            .arg(section.argument())
            .args(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag));
        if let Some(role) = &options.role {
            command = command.arg("--no-owner").arg(format!("--role={role}"));
        }
        let list = match section {
            Section::LargeObjects => &self.archive.large_objects_list,
            Section::PreData => &self.archive.use_list,
            Section::PostData => &self.archive.post_data_list,
        };
        if let Some(list) = list {
            command = command.arg("--use-list").arg(list);
        }
        command
    }
}

/// Takes out the `\restrict KEY` and `\unrestrict KEY` lines that newer pg_restore wraps scripts for psql in.
fn without_psql_commands(script: &str) -> String {
    let key = script
        .lines()
        .find_map(|line| line.strip_prefix("\\restrict "));
    let Some(key) = key else {
        return script.to_owned();
    };
    let (open, close) = (format!("\\restrict {key}"), format!("\\unrestrict {key}"));
    let kept = script.split_inclusive('\n').filter(|line| {
        let line = line.trim_end_matches('\n');
        line != open && line != close
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_with_the_key_are_taken_out() {
        let script = "--\n\\restrict abc\nSELECT '\n\\unrestrict abd\n';\n\\unrestrict abc\n";
        assert_eq!(
            without_psql_commands(script),
            "--\nSELECT '\n\\unrestrict abd\n';\n"
        );
        assert_eq!(without_psql_commands("SELECT 1;\n"), "SELECT 1;\n");
    }
}
