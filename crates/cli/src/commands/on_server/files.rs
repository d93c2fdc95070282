//! Backups as files: downloaded from a server, and uploaded to one.

use super::{folders::unpack, one_app, read, report_of, repository_there};
use crate::{
    api::{Api, Call},
    args::{ExportArgs, ExportFormat, ImportArgs},
    commands::{backup, export as here, restore::chosen_database},
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use pgkeep_engine::export::{self, ExportMeta, ExportReport, Hashing};
use pgkeep_model::manifest::Manifest;
use serde_json::{Value, json};
use std::{
    fs::OpenOptions,
    io::{IsTerminal, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

pub fn export(args: &ExportArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let Api::There(http) = api else {
        return Err(CliError::usage("there is no server to download from"));
    };
    if args.package {
        return super::package::export(args, api, http, session);
    }
    let app = session.named_app();
    let repository = repository_there(api, session)?;
    let found = api.find_backup(&args.backup, app.as_deref(), repository.as_deref())?;
    let manifest: Manifest = read(
        api.raw(
            &Call::get(format!("/backups/{}/manifest", found.entry.id))
                .query("repository", &found.repository),
        )?,
        "manifest",
    )?;
    let name = chosen_database(args.database.as_deref(), &found.entry)?;
    let database = manifest.databases.iter().find(|db| db.name == name);
    let database = database
        .ok_or_else(|| CliError::strange_answer("the manifest does not hold the database"))?;
    let format = here::format_of(args);
    let word = match args.format {
        ExportFormat::Custom => "custom",
        ExportFormat::Plain => "plain",
        ExportFormat::Directory => "directory",
        ExportFormat::Tar => "tar",
    };
    let is_folder = args.format == ExportFormat::Directory;
    let call = Call::get(format!("/backups/{}/download", found.entry.id))
        .query("repository", &found.repository)
        .query("format", word)
        .query("database", &name);
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if to_stdout && (session.screen.json || std::io::stdout().is_terminal()) {
        return Err(
            CliError::usage("a dump belongs neither into JSON nor on a terminal")
                .with_hint("redirect standard output, or give --output FILE"),
        );
    }
    let name = export::file_name(&manifest, &name, format);
    let path = match &args.output {
        Some(path) if path.is_dir() && !is_folder => path.join(name),
        Some(path) => path.clone(),
        None => session.places.current_dir.join(name),
    };
    let mut from = http.download(&call)?;
    let (size, sum) = if to_stdout {
        let mut out = Hashing::new(std::io::stdout().lock());
        copy(&mut from, &mut out, session)?;
        out.finish().map_err(pgkeep_engine::Error::from)?
    } else if is_folder {
        // It travels as one file.
        unpack(&mut from, &path, session)?
    } else {
        into_file(&mut from, &path, session)?
    };
    let meta = ExportMeta::of(&found.entry.id, &manifest, database, format, size, sum);
    let mut report = ExportReport {
        path: None,
        meta_path: None,
        meta,
    };
    if !to_stdout {
        report.meta_path = Some(export::write_meta(&path, &report.meta)?);
        report.path = Some(path);
    }
    here::answer(&report, session);
    Ok(Exit::Done)
}

/// Writes beside the file first, so that a download that breaks off is never taken for whole.
fn into_file(from: &mut impl Read, path: &Path, session: &Session) -> CliResult<(u64, String)> {
    let failed = |e: std::io::Error| CliError::file(Exit::Storage, "write", path, &e);
    if path.exists() {
        return Err(CliError::new(
            Exit::Refused,
            format!("{} exists already and is not overwritten", path.display()),
        )
        .with_hint("give another name with --output"));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(failed)?;
    let mut out = Hashing::new(&file);
    let done = copy(from, &mut out, session).and_then(|_| {
        let written = out.finish().map_err(failed)?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&partial, path).map_err(failed)?;
        Ok(written)
    });
    if done.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    done
}

/// Copies until the end, or until Ctrl-C.
pub fn copy(from: &mut impl Read, to: &mut impl Write, session: &Session) -> CliResult<u64> {
    let mut buffer = vec![0; 1 << 18];
    let mut written = 0;
    loop {
        if session.cancel.is_cancelled() {
            return Err(pgkeep_model::Cancelled.into());
        }
        let n = from.read(&mut buffer).map_err(|e| {
            CliError::new(Exit::Server, format!("the download broke off: {e}"))
                .with_hint("nothing of it was kept; try again")
        })?;
        if n == 0 {
            break;
        }
        to.write_all(&buffer[..n])
            .map_err(|e| download_unwritten(&e))?;
        written += n as u64;
    }
    to.flush().map_err(|e| download_unwritten(&e))?;
    Ok(written)
}

fn download_unwritten(error: &std::io::Error) -> CliError {
    CliError::new(Exit::Storage, format!("cannot write the download: {error}"))
        .with_hint("make room, or name another place with --output")
}

pub fn import(args: &ImportArgs, api: &Api, session: &Session) -> CliResult<Exit> {
    let Api::There(http) = api else {
        return Err(CliError::usage("there is no server to upload to"));
    };
    if !args.identity.is_empty() {
        return Err(
            CliError::usage("a server is sent no keys, so --identity opens nothing there")
                .with_hint(
                    "open the package here with `age --decrypt`, and import what comes of it",
                ),
        );
    }
    if args.file.to_string_lossy().starts_with("s3://") {
        return Err(
            CliError::usage("a package in a bucket is taken in where the repository is")
                .with_hint("run this on the server's machine, or download the package first"),
        );
    }
    let app = one_app(api, session)?;
    let repository = repository_there(api, session)?;
    let path = super::sending::send(&args.file, api, http, session)?;
    let mut body = json!({
        "app": app,
        "description": args.description.clone().unwrap_or_default(),
        "tags": args.tag,
    });
    for (name, value) in [
        ("repository", repository.map(Value::from)),
        ("database", args.database.clone().map(Value::from)),
        ("environment", args.environment.clone().map(Value::from)),
        ("compression", args.compression.map(Value::from)),
    ] {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    let call = Call::post(format!("{path}/complete")).body(body);
    let (report, document) = report_of(api, &call, session)?;
    backup::answer(&report, &document, false, session);
    Ok(Exit::Done)
}
