//! `pgkeep doctor`: what would make a backup or a restore fail, each with its remedy.

use crate::{
    api::{Api, Call},
    args::DoctorArgs,
    commands::on_server,
    config::{Key, Source},
    error::CliResult,
    exit::Exit,
    output::Text,
    session::Session,
};
use console::style;
use pgkeep_engine::doctor::{self, DoctorReport, DoctorRequest, Finding, Severity};
use pgkeep_server::settings::{CatalogPlace, Places};

/// States of an app that nothing else here would find out.
const TROUBLES: [&str; 5] = [
    "shrunk",
    "vanished",
    "nobody_works",
    "clock_wrong",
    "unheard",
];

pub fn run(args: &DoctorArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::doctor(args, &api, session);
    }
    let settings = session.settings_for(&args.connection)?;
    let context = session.context(&settings);
    let repository = match &settings.repository {
        Some(chosen) => match &chosen.key {
            Key::Known(key) => Some(session.address(chosen, key.value.clone())?),
            Key::MissingFile(_) | Key::None => {
                session.screen.warn(&format!(
                    "no key is known for repository {}, so it is not looked at",
                    chosen.address.value
                ));
                None
            }
        },
        None => None,
    };
    let admin = match (&args.target_url, &settings.admin_url) {
        (Some(url), _) => {
            Some(session.resolve_connection(Some(url), &Source::Flag("--target-url"))?)
        }
        (None, Some(_)) => Some(session.admin(&settings)?),
        (None, None) => None,
    };
    let request = DoctorRequest {
        databases: session.databases(&settings)?,
        admin,
        pgbouncer: session.application(&settings, None)?.fence.pgbouncer,
        repository,
    };
    let mut report = doctor::run(&request, &context)?;
    report.findings.extend(troubles_here(session));
    session.progress.finish();
    Ok(answer(&report, session))
}

/// What the catalog of this machine knows.
fn troubles_here(session: &Session) -> Vec<Finding> {
    let here = |places: &Places| match &places.catalog {
        CatalogPlace::Sqlite(path) => path.exists(),
        CatalogPlace::Postgres(_) => true,
    };
    if !session.catalog_places().is_ok_and(|places| here(&places)) {
        return Vec::new();
    }
    match session.api() {
        Ok(api) => troubles(&api, session.named_app().as_deref()),
        Err(e) => vec![warning("catalog".into(), e.to_string())],
    }
}

/// What a catalog knows that makes a green light a lie. One that cannot be asked is a finding, too.
pub fn troubles(api: &Api, only: Option<&str>) -> Vec<Finding> {
    let asked = api.document(&Call::get("/status"));
    let status = match asked {
        Ok(status) => status,
        Err(e) => return vec![warning("catalog".into(), e.to_string())],
    };
    let mut found = Vec::new();
    for app in status["apps"].as_array().into_iter().flatten() {
        let name = app["app"].as_str().unwrap_or_default();
        if only.is_some_and(|only| only != name) {
            continue;
        }
        for finding in app["findings"].as_array().into_iter().flatten() {
            if TROUBLES.iter().any(|state| finding["state"] == *state) {
                let sentence = finding["sentence"].as_str().unwrap_or_default();
                found.push(warning(format!("app {name}"), sentence.to_owned()));
            }
        }
    }
    found
}

fn warning(subject: String, message: String) -> Finding {
    Finding {
        subject,
        severity: Severity::Warning,
        message,
        remedy: None,
    }
}

/// Shows what was found; the exit code says whether anything stands in the way.
pub fn answer(report: &DoctorReport, session: &Session) -> Exit {
    session.screen.answer(report, |text| render(text, report));
    match report.healthy {
        true => Exit::Done,
        false => Exit::Failed,
    }
}

fn render(text: &mut Text, report: &DoctorReport) {
    for finding in &report.findings {
        let mark = match finding.severity {
            Severity::Good => style("ok     ").green(),
            Severity::Note => style("note   ").dim(),
            Severity::Warning => style("warning").yellow(),
            Severity::Problem => style("problem").red().bold(),
        };
        text.line(format!("{mark}  {}: {}", finding.subject, finding.message));
        if let Some(remedy) = &finding.remedy {
            text.line(format!("         {} {remedy}", style("remedy:").cyan()));
        }
    }
    text.blank();
    let problems = report
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Problem)
        .count();
    let warnings = report
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Warning)
        .count();
    text.line(match (problems, warnings) {
        (0, 0) => "nothing stands in the way of a backup or a restore".to_owned(),
        _ => format!("problems: {problems}, warnings: {warnings}"),
    });
}
