//! libpq's connection service file (`pg_service.conf`): named groups of settings.

use super::{Environment, OptionsError, keywords::Settings};
use std::path::PathBuf;

/// Fills what the connection string left open from the service that it, or `PGSERVICE`, names.
pub(super) fn fill(settings: &mut Settings, env: &Environment) -> Result<(), OptionsError> {
    let Some(name) = settings
        .get("service")
        .or(env.get("PGSERVICE"))
        .map(str::to_owned)
    else {
        return Ok(());
    };
    let mut looked_in = Vec::new();
    for file in candidates(env) {
        looked_in.push(file.display().to_string());
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => {
                return Err(OptionsError::ServiceFile {
                    file: file.display().to_string(),
                    reason: e.to_string(),
                });
            }
        };
        if fill_from_text(settings, &name, &text, &file.display().to_string())? {
            return Ok(());
        }
    }
    Err(OptionsError::NoService {
        name,
        looked_in: looked_in.join(", "),
    })
}

/// `PGSERVICEFILE`, else the user's file; then the system's.
fn candidates(env: &Environment) -> Vec<PathBuf> {
    let user = env
        .get("PGSERVICEFILE")
        .map(PathBuf::from)
        .or_else(|| env.home_file(".pg_service.conf"));
    let system = env.get("PGSYSCONFDIR").unwrap_or("/etc/postgresql-common");
    user.into_iter()
        .chain([PathBuf::from(system).join("pg_service.conf")])
        .collect()
}

fn fill_from_text(
    settings: &mut Settings,
    service: &str,
    text: &str,
    file: &str,
) -> Result<bool, OptionsError> {
    let mut found = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            if found {
                break;
            }
            found = section == service;
        } else if found {
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| OptionsError::ServiceFile {
                    file: file.to_owned(),
                    reason: format!("line {} is not key=value", number + 1),
                })?;
            settings.set_default(key.trim(), value.trim())?;
        }
    }
    Ok(found)
}
