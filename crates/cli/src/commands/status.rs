//! `pgkeep status`: the one sentence that counts, then each app, the worst first.

use crate::{
    api::Call,
    args::StatusArgs,
    commands::defined::word,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    session::Session,
};
use console::style;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;

pub fn run(_: &StatusArgs, session: &Session) -> CliResult<Exit> {
    let api = session.api()?;
    let mut status = api.document(&Call::get("/status"))?;
    let pause = match status["queue_paused"] == true {
        true => api.pause()?,
        false => None,
    };
    if let Some(only) = session.named_app() {
        keep_only(&mut status, &only)?;
    }
    let apps = status["apps"].as_array().cloned().unwrap_or_default();
    let alarm = apps.is_empty() || apps.iter().any(|app| app["alarm"] != false);
    session.screen.answer(&status, |text| {
        render(text, &status, &apps);
        if let Some(pause) = &pause {
            text.blank();
            text.line(pause);
        }
    });
    Ok(match alarm {
        true => Exit::Unprotected,
        false => Exit::Done,
    })
}

/// Cuts the status down to one app, which then is the worst.
fn keep_only(status: &mut Value, name: &str) -> CliResult<()> {
    let all = status["apps"].as_array().cloned().unwrap_or_default();
    let Some(app) = all.into_iter().find(|app| app["app"] == name) else {
        return Err(
            CliError::new(Exit::NotFound, format!("the catalog knows no app {name}"))
                .with_hint("`pgkeep app list` shows those that it knows"),
        );
    };
    for field in ["state", "alarm", "sentence"] {
        status[field] = app[field].clone();
    }
    status["apps"] = Value::Array(vec![app]);
    Ok(())
}

fn render(text: &mut Text, status: &Value, apps: &[Value]) {
    let sentence = match status["sentence"].as_str() {
        Some(sentence) if !apps.is_empty() => sentence.to_owned(),
        _ => "nothing is protected: the catalog knows no app".to_owned(),
    };
    text.line(style(sentence).bold().to_string());
    if apps.is_empty() {
        return;
    }
    text.blank();
    let mut table = Rows::new(&[
        Column::Left("app"),
        Column::Left("state"),
        Column::Right("score"),
        Column::Left("newest backup"),
        Column::Left("proven"),
        Column::Left("would be lost"),
        Column::Left("what"),
    ]);
    for app in apps {
        let time = |place: &str| {
            let text = app.pointer(place).and_then(Value::as_str);
            text.and_then(|text| text.parse::<Timestamp>().ok())
                .map(human::time)
                .unwrap_or_else(|| "never".into())
        };
        table.add([
            word(&app["app"]),
            word(&app["state"]).replace('_', " "),
            app["score"].to_string(),
            time("/last_good/time"),
            time("/last_proven_at"),
            app["rpo_seconds"]
                .as_f64()
                .map(human::seconds)
                .unwrap_or_default(),
            word(&app["sentence"]),
        ]);
    }
    text.table(&table);
    let mut lines: Vec<String> = apps.iter().flat_map(costs).collect();
    lines.extend(hints(apps));
    if !lines.is_empty() {
        text.blank();
    }
    lines.iter().for_each(|line| text.line(line));
}

/// What costs nothing and is worth doing; what is of a repository is said once for all apps.
fn hints(apps: &[Value]) -> BTreeSet<String> {
    let findings = apps.iter().filter_map(|app| app["findings"].as_array());
    findings
        .flatten()
        .filter(|finding| finding["state"] == "no_recovery_kit")
        .map(|hint| {
            format!(
                "hint: {}; `pgkeep key kit` prints it",
                word(&hint["sentence"])
            )
        })
        .collect()
}

/// What costs an app points of its score.
fn costs(app: &Value) -> Vec<String> {
    let reasons = app["reasons"].as_array().cloned().unwrap_or_default();
    reasons
        .iter()
        .filter(|reason| reason["held"] == false)
        .map(|reason| {
            format!(
                "{}: -{} {}",
                word(&app["app"]),
                reason["cost"],
                word(&reason["sentence"])
            )
        })
        .collect()
}
