//! A whole backup as one portable file, streamed from a server to where it is wanted here.

use super::{files::copy, read, repository_there};
use crate::{
    api::{Api, Call, Http},
    args::ExportArgs,
    commands::package as here,
    error::{CliError, CliResult},
    exit::Exit,
    session::Session,
};
use pgkeep_engine::package::{PackageReport, Place, read_recipients};
use std::io;

/// Where the server says what the package is, before its first byte.
const REPORT: &str = "x-pgkeep-package";

pub fn export(args: &ExportArgs, api: &Api, http: &Http, session: &Session) -> CliResult<Exit> {
    let to = here::target(args.to.as_deref(), session, || {
        Err(
            CliError::usage("a bucket is written to from where the repository is").with_hint(
                "export to a folder here, or let a policy of kind export write to the bucket",
            ),
        )
    })?;
    let mut recipients = args.recipient.clone();
    if let Some(file) = &args.recipients_file {
        recipients.extend(read_recipients(file)?);
    }
    let app = session.named_app();
    let repository = repository_there(api, session)?;
    let found = api.find_backup(&args.backup, app.as_deref(), repository.as_deref())?;
    let call = Call::get(format!("/backups/{}/package", found.entry.id))
        .query("repository", &found.repository)
        .query("recipients", recipients.join(","))
        .query("zstd", args.zstd);
    let mut from = http.download(&call)?;
    let described = from
        .headers()
        .get(REPORT)
        .and_then(|value| value.to_str().ok());
    let described = serde_json::from_str(described.unwrap_or_default()).map_err(|e| {
        CliError::new(
            Exit::Server,
            format!("the server does not say what it sends: {e}"),
        )
    })?;
    let mut report: PackageReport = read(described, "package")?;
    // A name is a name: nothing of it leads elsewhere.
    if report.name.contains('/') {
        return Err(CliError::new(Exit::Server, "the package's name is none"));
    }
    let mut out = io::stdout();
    let mut place = match &to {
        Some(to) => Place::open(to, &report.name, None)?,
        None => Place::stream(&mut out),
    };
    copy(&mut from, &mut place, session)?;
    let placed = place.finish()?;
    report.location = placed.location;
    report.size = placed.size;
    report.sha256 = placed.sha256;
    session.progress.finish();
    here::answer(&report, to.is_none(), session);
    Ok(Exit::Done)
}
