//! What `pgkeep apply` puts into the catalog: the file's apps, repositories, policies and targets, standing on their own.
//!
//! In the catalog nothing counts from a file's folder any more, so paths become absolute, `[defaults]` are filled in, and
//! a key that only lies in its usual place is named. Secrets stay the references that they are: whoever runs a job
//! resolves them.

use super::{
    ConfigError, Environment, KeyPlace, Places, RawConfig, raw::nearest, resolve::absolute,
};
use pgkeep_model::{
    app::{AppDefinition, RepositoryDefinition},
    notice::{Channel, NotificationTarget},
    policy::{Policy, PolicyKind},
    secret::SecretText,
};
use std::{collections::BTreeMap, path::Path};

/// All that can be defined, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    pub apps: BTreeMap<String, AppDefinition>,
    pub repositories: BTreeMap<String, RepositoryDefinition>,
    pub policies: BTreeMap<String, Policy>,
    pub targets: BTreeMap<String, NotificationTarget>,
}

impl Definitions {
    pub fn is_empty(&self) -> bool {
        *self == Definitions::default()
    }
}

/// The definitions of the file at `path`.
pub fn of_file(raw: &RawConfig, path: &Path, places: &Places) -> Result<Definitions, ConfigError> {
    let base = places.current_dir.join(path);
    let base = base.parent().unwrap_or(&places.current_dir);
    let mut definitions = Definitions {
        policies: raw.policy.clone(),
        ..Definitions::default()
    };
    for (name, repository) in &raw.repository {
        let repository = standing_alone(repository, base, places)
            .map_err(|what| ConfigError::new(format!("[repository.{name}] {what}")))?;
        definitions.repositories.insert(name.clone(), repository);
    }
    let only = match &raw.repository.keys().collect::<Vec<_>>()[..] {
        [only] => Some((*only).clone()),
        _ => None,
    };
    for (name, app) in &raw.app {
        let repository = app
            .repository
            .clone()
            .or_else(|| raw.defaults.repository.clone())
            .or_else(|| only.clone());
        if let Some(repository) = &repository {
            known(
                repository,
                &definitions.repositories,
                &format!("[app.{name}] repository"),
            )?;
        }
        let dirs = app.bin_dirs.iter().chain(&raw.defaults.bin_dirs);
        let app = AppDefinition {
            environment: app
                .environment
                .clone()
                .or_else(|| raw.defaults.environment.clone()),
            repository,
            jobs: app.jobs.or(raw.defaults.jobs),
            compression: app.compression.or(raw.defaults.compression),
            bin_dirs: dirs.cloned().collect(),
            ..app.clone()
        };
        let app = absolute_app(app, base);
        definitions.apps.insert(name.clone(), app);
    }
    for (name, target) in &raw.notify {
        let mut target = target.clone();
        absolute_channel(&mut target.channel, base);
        definitions.targets.insert(name.clone(), target);
    }
    for (name, policy) in &mut definitions.policies {
        let place = |field: &str| format!("[policy.{name}] {field}");
        known(&policy.app, &definitions.apps, &place("app"))?;
        for repository in &policy.repositories {
            known(
                repository,
                &definitions.repositories,
                &place("repositories"),
            )?;
        }
        for target in &policy.notify {
            known(target, &definitions.targets, &place("notify"))?;
        }
        let holds_files = |app: &AppDefinition| !app.files.is_empty();
        if policy.kind == PolicyKind::Files
            && !definitions.apps.get(&policy.app).is_some_and(holds_files)
        {
            return Err(ConfigError::new(format!(
                "{} is \"files\", but app {app} has none: describe them as [[app.{app}.files]]",
                place("kind"),
                app = policy.app
            )));
        }
        if let Some(folder) = &mut policy.export_to
            && !folder.starts_with("s3://")
        {
            *folder = absolute(folder, base);
        }
        if let Err(wrong) = policy.validate() {
            let wrong: Vec<String> = wrong
                .iter()
                .map(|e| format!("{} {}", place(&e.field), e.message))
                .collect();
            return Err(ConfigError::new(wrong.join("; ")));
        }
    }
    Ok(definitions)
}

/// The app and the repository that the environment alone describes, where it describes both.
pub fn of_environment(environment: &Environment, places: &Places) -> Definitions {
    let address = ["PGKEEP_REPO", "BACKUPS_DIR"]
        .iter()
        .find_map(|name| environment.get(name));
    let (Some(url), Some(address)) = (environment.get("DATABASE_URL"), address) else {
        return Definitions::default();
    };
    let name = match environment.get("PGKEEP_APP") {
        Some(name) => name.to_owned(),
        None => database_of(url).unwrap_or("app").to_owned(),
    };
    let address = absolute(address, &places.current_dir);
    let key = if let Some(file) = environment.get("PGKEEP_KEY_FILE") {
        Some(absolute_secret(
            &format!("file:{file}"),
            &places.current_dir,
        ))
    } else if environment.get("BACKUP_ENCRYPTION_KEY").is_some() {
        Some("env:BACKUP_ENCRYPTION_KEY".into())
    } else {
        key_in_its_place(&address, places)
    };
    let given = |name: &str| environment.get(name).map(|_| format!("env:{name}").into());
    let repository = RepositoryDefinition {
        address: Some(address),
        key,
        access_key_id: given("AWS_ACCESS_KEY_ID"),
        secret_access_key: given("AWS_SECRET_ACCESS_KEY"),
        session_token: given("AWS_SESSION_TOKEN"),
        endpoint: ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
            .iter()
            .find_map(|name| environment.get(name).map(str::to_owned)),
        region: ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .iter()
            .find_map(|name| environment.get(name).map(str::to_owned)),
        ..RepositoryDefinition::default()
    };
    let app = AppDefinition {
        databases: vec!["env:DATABASE_URL".into()],
        admin_url: given("DB_ADMIN_URL"),
        environment: environment.get("PGKEEP_ENVIRONMENT").map(str::to_owned),
        repository: Some("main".into()),
        ..AppDefinition::default()
    };
    Definitions {
        apps: [(name, app)].into(),
        repositories: [("main".to_owned(), repository)].into(),
        ..Definitions::default()
    }
}

fn standing_alone(
    raw: &RepositoryDefinition,
    base: &Path,
    places: &Places,
) -> Result<RepositoryDefinition, &'static str> {
    let address = raw.address.as_deref().ok_or("has no address")?;
    let address = absolute(address, base);
    let secret =
        |text: &Option<SecretText>| text.as_deref().map(|text| absolute_secret(text, base));
    Ok(RepositoryDefinition {
        key: secret(&raw.key).or_else(|| key_in_its_place(&address, places)),
        access_key_id: secret(&raw.access_key_id),
        secret_access_key: secret(&raw.secret_access_key),
        session_token: secret(&raw.session_token),
        address: Some(address),
        ..raw.clone()
    })
}

/// The key file that `init` wrote for this address, if it is there.
fn key_in_its_place(address: &str, places: &Places) -> Option<SecretText> {
    let place = KeyPlace::of(address, places).0;
    place
        .exists()
        .then(|| format!("file:{}", place.display()).into())
}

/// The app with every path in it made absolute.
pub(super) fn absolute_app(mut app: AppDefinition, base: &Path) -> AppDefinition {
    let secrets = app.databases.iter_mut().chain(
        [
            &mut app.admin_url,
            &mut app.fence.pgbouncer,
            &mut app.drill.admin_url,
            &mut app.upgrade.from,
            &mut app.upgrade.to,
        ]
        .into_iter()
        .flatten(),
    );
    for secret in secrets.chain(app.hooks.iter_mut().filter_map(|hook| hook.url.as_mut())) {
        *secret = absolute_secret(secret, base);
    }
    let code = app
        .migrations
        .as_mut()
        .and_then(|migrations| migrations.code.as_mut());
    let paths = app
        .bin_dirs
        .iter_mut()
        .chain(app.files.iter_mut().map(|tree| &mut tree.path))
        .chain(code)
        .chain(&mut app.commands.directory)
        .chain(&mut app.commands.version_file)
        .chain(&mut app.fence.lock_dir)
        .chain(&mut app.drill.scratch);
    for path in paths {
        *path = absolute(path, base);
    }
    app
}

fn absolute_secret(text: &str, base: &Path) -> SecretText {
    match text.strip_prefix("file:") {
        Some(path) => format!("file:{}", absolute(path, base)).into(),
        None => text.into(),
    }
}

fn absolute_channel(channel: &mut Channel, base: &Path) {
    let secrets: Vec<&mut SecretText> = match channel {
        Channel::Email {
            password, ca_file, ..
        } => {
            if let Some(file) = ca_file {
                *file = absolute(file, base);
            }
            password.iter_mut().collect()
        }
        Channel::Webhook { url, secret } => {
            [Some(url), secret.as_mut()].into_iter().flatten().collect()
        }
        Channel::Slack { url }
        | Channel::Discord { url }
        | Channel::Teams { url }
        | Channel::DeadManPing { url } => vec![url],
    };
    for secret in secrets {
        *secret = absolute_secret(secret, base);
    }
}

fn known<T>(name: &str, all: &BTreeMap<String, T>, place: &str) -> Result<(), ConfigError> {
    if all.contains_key(name) {
        return Ok(());
    }
    let error = ConfigError::new(format!("{place}: there is no '{name}' in the file"));
    Err(match nearest(name, all.keys().map(String::as_str)) {
        Some(alike) => error.with_hint(format!("did you mean '{alike}'?")),
        None => error,
    })
}

/// The database's name in a connection string.
fn database_of(url: &str) -> Option<&str> {
    let name = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1.split(['?', '#']).next()?,
        None => url
            .split_whitespace()
            .find_map(|pair| pair.strip_prefix("dbname="))?,
    };
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            current_dir: "/here".into(),
            system_config: "/etc".into(),
            user_config: Some("/home/nobody/.config".into()),
        }
    }

    fn of(text: &str) -> Result<Definitions, ConfigError> {
        let raw = RawConfig::parse(text, Path::new("pgkeep.toml")).unwrap();
        of_file(&raw, Path::new("/srv/conf/pgkeep.toml"), &places())
    }

    #[test]
    fn a_file_stands_alone_once_it_is_taken_in() {
        let all = of("
            [defaults]
            jobs = 3
            environment = \"staging\"
            [repository.disk]
            address = \"./backups\"
            key = \"file:disk.key\"
            [app.shop]
            databases = [\"file:url\", \"env:URL\"]
            [policy.nightly]
            app = \"shop\"
            [notify.chat]
            channel = \"slack\"
            url = \"file:slack.url\"
        ")
        .unwrap();
        let app = &all.apps["shop"];
        assert_eq!(app.databases, ["file:/srv/conf/url", "env:URL"]);
        assert_eq!(app.repository.as_deref(), Some("disk"));
        assert_eq!(app.jobs, Some(3));
        assert_eq!(app.environment.as_deref(), Some("staging"));
        let repository = &all.repositories["disk"];
        assert_eq!(repository.address.as_deref(), Some("/srv/conf/backups"));
        assert_eq!(repository.key.as_deref(), Some("file:/srv/conf/disk.key"));
        assert_eq!(all.policies["nightly"].name, "nightly");
        assert_eq!(
            all.targets["chat"].channel,
            Channel::Slack {
                url: "file:/srv/conf/slack.url".into()
            }
        );
    }

    #[test]
    fn names_that_are_nowhere_are_refused_with_their_nearest() {
        let hint = |text: &str| of(text).unwrap_err().hint;
        assert_eq!(
            hint("[app.shop]\n[policy.n]\napp = \"shpo\"\n").as_deref(),
            Some("did you mean 'shop'?")
        );
        assert_eq!(
            hint("[app.shop]\nrepository = \"man\"\n[repository.main]\naddress = \"/b\"\n")
                .as_deref(),
            Some("did you mean 'main'?")
        );
        assert!(
            of("[repository.main]\n")
                .unwrap_err()
                .message
                .contains("address")
        );
    }

    #[test]
    fn the_environment_alone_describes_an_app_by_references() {
        let environment = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            Environment::new(pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
        };
        let url = (
            "DATABASE_URL",
            "postgres://u:geheim@db/shop?sslmode=require",
        );
        let all = of_environment(
            &environment(&[
                url,
                ("BACKUPS_DIR", "./b"),
                ("BACKUP_ENCRYPTION_KEY", "geheim"),
            ]),
            &places(),
        );
        assert_eq!(all.apps["shop"].databases, ["env:DATABASE_URL"]);
        let main = &all.repositories["main"];
        assert_eq!(main.address.as_deref(), Some("/here/b"));
        assert_eq!(main.key.as_deref(), Some("env:BACKUP_ENCRYPTION_KEY"));
        assert!(!format!("{all:?}").contains("geheim"));
        assert!(of_environment(&environment(&[url]), &places()).is_empty());
    }
}
