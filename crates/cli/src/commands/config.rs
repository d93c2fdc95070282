//! `pgkeep config`: the settings in force, each with where it comes from, secrets masked.

use crate::{
    args::ConfigCommand,
    config::{Key, Settings, masked_url},
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows},
    session::Session,
};
use secrecy::ExposeSecret;
use serde::Serialize;

pub fn run(command: &ConfigCommand, session: &Session) -> CliResult<Exit> {
    match command {
        ConfigCommand::Show => show(session),
        ConfigCommand::Path => path(session),
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    file: Option<String>,
    settings: Vec<Setting>,
}

#[derive(Debug, Serialize)]
struct Setting {
    name: String,
    value: String,
    source: String,
}

fn show(session: &Session) -> CliResult<Exit> {
    let settings = session.settings()?;
    if let Some(unknown) = &settings.unknown_app {
        session.screen.warn(&unknown.message);
    }
    let of_databases = settings.databases.iter().map(|db| &db.value.warning);
    for warning in of_databases.chain([&settings.admin_warning]).flatten() {
        session.screen.warn(warning);
    }
    let answer = Answer {
        file: settings.file.as_ref().map(|f| f.display().to_string()),
        settings: rows(&settings),
    };
    session.screen.answer(&answer, |text| {
        match &answer.file {
            Some(file) => text.line(format!("configuration file: {file}")),
            None => text.line("no configuration file"),
        }
        text.blank();
        let mut table = Rows::new(&[
            Column::Left("setting"),
            Column::Left("value"),
            Column::Left("from"),
        ]);
        for row in &answer.settings {
            table.add([row.name.clone(), row.value.clone(), row.source.clone()]);
        }
        text.table(&table);
    });
    Ok(Exit::Done)
}

fn rows(settings: &Settings) -> Vec<Setting> {
    let mut rows = Vec::new();
    let mut add = |name: &str, value: String, source: String| {
        rows.push(Setting {
            name: name.into(),
            value,
            source,
        })
    };
    if let Some(app) = &settings.app {
        add("app", app.value.clone(), app.source.to_string());
    }
    if let Some(environment) = &settings.environment {
        add(
            "environment",
            environment.value.clone(),
            environment.source.to_string(),
        );
    }
    for database in &settings.databases {
        let url = database
            .value
            .url
            .as_ref()
            .map(|url| masked_url(url.expose_secret()));
        let shown = match (url, &database.value.name) {
            (Some(url), Some(name)) => format!("{name} at {url}"),
            (Some(url), None) => url,
            (None, name) => name.clone().unwrap_or_default(),
        };
        add("database", shown, database.source.to_string());
    }
    if let Some(admin) = &settings.admin_url {
        add(
            "admin_url",
            masked_url(admin.value.expose_secret()),
            admin.source.to_string(),
        );
    }
    if let Some(repository) = &settings.repository {
        add(
            "repository",
            repository.address.value.clone(),
            repository.address.source.to_string(),
        );
        match &repository.key {
            Key::Known(key) => add("key", "****".into(), key.source.to_string()),
            Key::MissingFile(file) => add(
                "key",
                format!("missing: {}", file.value.display()),
                file.source.to_string(),
            ),
            Key::None => add(
                "key",
                "none".into(),
                format!("looked for in {}", repository.key_place.0.display()),
            ),
        }
    }
    add(
        "jobs",
        settings.jobs.value.to_string(),
        settings.jobs.source.to_string(),
    );
    add(
        "compression",
        settings.compression.value.to_string(),
        settings.compression.source.to_string(),
    );
    rows
}

fn path(session: &Session) -> CliResult<Exit> {
    match session.config_file()? {
        Some((path, _)) => {
            let path = path.display().to_string();
            session
                .screen
                .answer(&serde_json::json!({ "file": path }), |text| {
                    text.line(&path)
                });
            Ok(Exit::Done)
        }
        None => {
            let looked: Vec<String> = session
                .places
                .candidates()
                .iter()
                .map(|p| p.display().to_string())
                .collect();
            Err(
                CliError::new(Exit::NotFound, "there is no configuration file")
                    .with_hint(format!("looked for {}", looked.join(", "))),
            )
        }
    }
}
