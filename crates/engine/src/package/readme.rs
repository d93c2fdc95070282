//! The page in a package that says how to take it in with stock tools alone.

use super::{GLOBALS, SUMS, contents::Contents};
use crate::recovery::{IN_THREE_STEPS, shell_word, stock_restore};
use pgkeep_model::manifest::DatabaseContent;
use pgkeep_postgres::tools::dbname_argument;
use std::fmt::Write;

/// `name` is the package's folder, `file` the name that it was written under.
pub(super) fn text(contents: &Contents, name: &str, file: &str) -> String {
    let manifest = &contents.manifest;
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&format!("Backup of {}", manifest.app));
    line("");
    line(&format!(
        "Taken {} by pgkeep {} on {}.",
        crate::shown(manifest.started_at),
        manifest.pgkeep_version,
        manifest.hostname
    ));
    line(&format!(
        "Backup {}, packed {}.",
        contents.backup,
        crate::shown(contents.made_at)
    ));
    line("");
    line("With pgkeep");
    line("");
    line(&format!("    pgkeep import {file}"));
    line("");
    line(
        "checks every sum and row against the evidence in manifest.json and makes a backup of it again.",
    );
    line("");
    line("Without pgkeep");
    line("");
    line("Unpack it:");
    line("");
    line(&format!("    {}", unpack(file)));
    line(&format!("    cd {name}"));
    line(&format!("    sha256sum --check {SUMS}"));
    if manifest.globals {
        line("");
        line("Roles and tablespaces that are missing on the new server come first:");
        line("");
        line(&format!("    psql --dbname postgres --file {GLOBALS}"));
    }
    for packed in &contents.databases {
        let Some(database) = manifest.database(&packed.name) else {
            continue;
        };
        let restored = format!("{}_restored", packed.name);
        let target = shell_word(&restored);
        let (commands, order) = match database.content {
            DatabaseContent::Directory => (
                stock_restore(&restored, &packed.file).to_vec(),
                format!(", {IN_THREE_STEPS}"),
            ),
            DatabaseContent::Plain => {
                let file = shell_word(&packed.file);
                let named = shell_word(&dbname_argument(&restored));
                let command = format!("psql --dbname={named} --file={file}");
                (vec![command], String::new())
            }
        };
        line("");
        line(&format!(
            "Database {} (PostgreSQL {}), into a new database{order}:",
            packed.name, database.server.version
        ));
        line("");
        line(&format!("    createdb --template=template0 {target}"));
        for command in commands {
            line(&format!("    {command}"));
        }
    }
    for tree in &manifest.files {
        line("");
        line(&format!(
            "Files of {}, as they lay in {}:",
            tree.name, tree.source
        ));
        line("");
        line(&format!("    {}", shell_word(&tree.path)));
    }
    for warning in &contents.warnings {
        let _ = write!(out, "\nNote: {warning}\n");
    }
    out
}

fn unpack(file: &str) -> String {
    match (file.strip_suffix(".age"), file) {
        (Some(inner), _) if inner.ends_with(".zst") => {
            format!("age --decrypt --identity KEY_FILE {file} | zstd --decompress | tar --extract")
        }
        (Some(_), _) => format!("age --decrypt --identity KEY_FILE {file} | tar --extract"),
        (None, file) if file.ends_with(".zst") => {
            format!("zstd --decompress --stdout {file} | tar --extract")
        }
        (None, file) => format!("tar --extract --file {file}"),
    }
}
