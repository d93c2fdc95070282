//! Apps: what is protected.

use super::accepted::{Accepted, enqueue, new_job};
use super::application::{Commands, Drill, Fence, FileTree, Hook, Migrations, Upgrade};
use super::changes::Changes;
use super::definitions::{By, Put, PutQuery, Standing, seen, wrong_fields};
use super::etag::{Expected, Tagged};
use super::extract::{Json, Name, Path, Query};
use super::masks;
use super::paging::PageOf;
use super::problem::Problem;
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::state::AppState;
use axum::http::StatusCode;
use pgkeep_catalog::Stored;
use pgkeep_model::access::Permission;
use pgkeep_model::app::AppDefinition;
use pgkeep_model::job::{AppSpec, JobSpec};
use pgkeep_model::secret::SecretText;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("apps")
        .add(needs(Permission::View), routes!(list))
        .add(needs(Permission::View), routes!(get))
        .add(needs(Permission::Configure).edits(), routes!(put))
        .add(needs(Permission::Configure).edits(), routes!(delete))
        .add(needs(Permission::Operate).repeatable(), routes!(doctor))
}

/// What is said of an app. Secrets are `env:NAME`, `file:/path` or the value itself, which is shown as `***`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = AppDefinition)]
pub struct AppBody {
    /// Connection strings, or plain names of databases on the server that libpq's variables lead to.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
    pub databases: Vec<SecretText>,
    /// Privileged connection for restores and drills.
    #[schema(value_type = Option<String>)]
    pub admin_url: Option<SecretText>,
    /// `production`, `staging`, ...
    pub environment: Option<String>,
    /// Name of the repository that its backups go to.
    pub repository: Option<String>,
    /// Tables read at the same time.
    pub jobs: Option<u16>,
    /// zstd level.
    pub compression: Option<i32>,
    pub exclude_table_data: Vec<String>,
    pub schemas: Vec<String>,
    /// Folders of PostgreSQL's client programs.
    pub bin_dirs: Vec<String>,
    /// Folders that belong to the same recovery point as the databases.
    pub files: Vec<FileTree>,
    /// How the app's schema version is found out.
    pub migrations: Option<Migrations>,
    pub commands: Commands,
    pub hooks: Vec<Hook>,
    pub fence: Fence,
    pub drill: Drill,
    pub upgrade: Upgrade,
}

/// An app as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct App {
    #[serde(flatten)]
    pub standing: Standing,
    pub definition: AppBody,
}

impl AppBody {
    /// The definition as it may be shown.
    pub fn shown(app: &AppDefinition) -> Self {
        Self {
            databases: app
                .databases
                .iter()
                .map(|text| masks::connection(text).into())
                .collect(),
            admin_url: app
                .admin_url
                .as_deref()
                .map(masks::connection)
                .map(Into::into),
            environment: app.environment.clone(),
            repository: app.repository.clone(),
            jobs: app.jobs,
            compression: app.compression,
            exclude_table_data: app.exclude_table_data.clone(),
            schemas: app.schemas.clone(),
            bin_dirs: app.bin_dirs.clone(),
            files: app.files.iter().cloned().map(FileTree::from).collect(),
            migrations: app.migrations.clone().map(Migrations::from),
            commands: app.commands.clone().into(),
            hooks: app.hooks.iter().map(Hook::shown).collect(),
            fence: Fence::shown(&app.fence),
            drill: Drill::shown(&app.drill),
            upgrade: Upgrade::shown(&app.upgrade),
        }
    }

    /// What to store; masked secrets are those of `before`.
    pub fn into_definition(self, before: Option<&AppDefinition>) -> AppDefinition {
        let databases = before.map_or(&[][..], |app| &app.databases[..]);
        let admin = before.and_then(|app| app.admin_url.as_ref());
        AppDefinition {
            databases: self
                .databases
                .into_iter()
                .map(|text| masks::unmask(text, databases, masks::connection))
                .collect(),
            admin_url: self
                .admin_url
                .map(|text| masks::unmask(text, admin, masks::connection)),
            environment: self.environment,
            repository: self.repository,
            jobs: self.jobs,
            compression: self.compression,
            exclude_table_data: self.exclude_table_data,
            schemas: self.schemas,
            bin_dirs: self.bin_dirs,
            files: self.files.into_iter().map(Into::into).collect(),
            migrations: self.migrations.map(Into::into),
            commands: self.commands.into(),
            hooks: self
                .hooks
                .into_iter()
                .map(|hook| hook.into_hook(before.map_or(&[], |app| &app.hooks)))
                .collect(),
            fence: self.fence.into_fence(before.map(|app| &app.fence)),
            drill: self.drill.into_drill(before.map(|app| &app.drill)),
            upgrade: self.upgrade.into_upgrade(before.map(|app| &app.upgrade)),
        }
    }
}

impl App {
    fn of(stored: &Stored<AppDefinition>) -> Self {
        Self {
            standing: stored.into(),
            definition: AppBody::shown(&stored.value),
        }
    }
}

/// Lists the apps.
#[utoipa::path(get, path = "/apps", responses((status = 200, description = "All apps that the account sees", body = PageOf<App>)))]
async fn list(state: AppState, who: Principal) -> Result<Json<PageOf<App>>, Problem> {
    let apps = state.catalog.apps().await?;
    let items = apps
        .iter()
        .filter(|app| who.sees(&app.name))
        .map(App::of)
        .collect();
    Ok(Json(PageOf::whole(items)))
}

/// Shows an app.
#[utoipa::path(get, path = "/apps/{name}", params(("name" = String, Path)), responses((status = 200, description = "The app", body = App)))]
async fn get(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
) -> Result<Tagged<App>, Problem> {
    seen(&who, name.as_str(), "app", name.as_str())?;
    let app = state.catalog.app(name.as_str()).await?;
    Ok(Tagged::ok(app.revision, App::of(&app)))
}

/// Makes or changes an app.
#[utoipa::path(put, path = "/apps/{name}", params(("name" = String, Path), PutQuery), request_body = AppBody, responses(
    (status = 200, description = "Changed", body = App),
    (status = 201, description = "Made", body = App),
))]
async fn put(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Query(query): Query<PutQuery>,
    expected: Expected,
    Json(body): Json<AppBody>,
) -> Result<Tagged<App>, Problem> {
    let name = name.as_str();
    seen(&who, name, "app", name)?;
    let put = Put::begin(state.catalog.app(name).await, &query, expected)?;
    let definition = body.into_definition(put.before());
    refuse_beyond(&who, name, put.before(), &definition)?;
    check(&state, &definition).await?;
    let stored = state
        .catalog
        .put_app(name, &definition, put.managed_by, put.revision)
        .await?;
    let act = Act::done("app.put", format!("app/{name}")).app(Some(name));
    let by = By {
        state: &state,
        who: &who,
        client: &client,
    };
    put.done(act, &stored, &by, AppBody::shown, App::of(&stored))
        .await
}

/// What an account that sees some apps only may change in their definitions: how its app is backed up and drilled, but not
/// where the server connects to, which folders it reads and writes, or what it runs there with all of its own rights.
const WITHIN: [&str; 14] = [
    "environment",
    "jobs",
    "compression",
    "exclude_table_data",
    "schemas",
    "fence.read_only",
    "fence.grace",
    "drill.commands",
    "drill.amcheck",
    "drill.every",
    "drill.objective",
    "drill.databases_only",
    "drill.leave_free",
    "drill.max_load_percent",
];

fn refuse_beyond(
    who: &Principal,
    name: &str,
    before: Option<&AppDefinition>,
    after: &AppDefinition,
) -> Result<(), Problem> {
    if who.apps.is_none() {
        return Ok(());
    }
    let Some(before) = before else {
        return Err(Problem::forbidden(format!(
            "app {name} is not defined yet, and an account that sees some apps only defines none"
        ))
        .hint("ask somebody who sees all apps to define it"));
    };
    let changes = Changes::between(before, after)?;
    let field = |path: &str| path.split('[').next().unwrap_or(path).to_owned();
    let beyond: BTreeSet<String> = (changes.fields.iter())
        .map(|path| field(path))
        .filter(|field| !WITHIN.contains(&field.as_str()))
        .collect();
    if beyond.is_empty() {
        return Ok(());
    }
    let named: Vec<&str> = beyond.iter().map(String::as_str).collect();
    Err(Problem::forbidden(format!(
        "an account that sees some apps only cannot change {} of app {name}",
        named.join(", ")
    ))
    .hint(
        "ask somebody who sees all apps: this says where the server connects to, reads, writes or what it runs",
    ))
}

async fn check(state: &AppState, app: &AppDefinition) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    let mut say = |field: &str, message: &str| wrong.push((field.to_string(), message.to_string()));
    if app.databases.is_empty() || app.databases.iter().any(|text| text.trim().is_empty()) {
        say("databases", "names no database");
    }
    if app.databases.iter().any(|text| text.contains(masks::MASK)) {
        say(
            "databases",
            "a masked password that belongs to no stored connection; give it anew",
        );
    }
    if app.jobs == Some(0) {
        say("jobs", "at least one table is read at a time");
    }
    if app
        .compression
        .is_some_and(|level| !(-7..=22).contains(&level))
    {
        say("compression", "is a zstd level, -7 to 22");
    }
    if let Some(repository) = &app.repository
        && !exists(state.catalog.repository(repository).await)?
    {
        say("repository", "there is no repository of this name");
    }
    wrong_fields(wrong)
}

/// Whether something of this name is there.
pub fn exists<T>(result: Result<T, pgkeep_catalog::CatalogError>) -> Result<bool, Problem> {
    match result {
        Ok(_) => Ok(true),
        Err(pgkeep_catalog::CatalogError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Forgets an app. Its backups stay in their repositories; while policies name it, it is refused.
#[utoipa::path(delete, path = "/apps/{name}", params(("name" = String, Path)), responses((status = 204, description = "Forgotten")))]
async fn delete(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    expected: Expected,
) -> Result<StatusCode, Problem> {
    let name = name.as_str();
    seen(&who, name, "app", name)?;
    let before = state.catalog.app(name).await?;
    state.catalog.delete_app(name, expected.revision()).await?;
    Act::done("app.delete", format!("app/{name}"))
        .app(Some(name))
        .before(AppBody::shown(&before.value))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Looks whether all that backups and restores of an app need is there: tools, privileges, repository, space.
#[utoipa::path(post, path = "/apps/{name}/doctor", params(("name" = String, Path)), responses((status = 202, description = "A job looks", body = Accepted)))]
async fn doctor(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
) -> Result<Accepted, Problem> {
    seen(&who, name.as_str(), "app", name.as_str())?;
    let app = state.catalog.app(name.as_str()).await?;
    let act = Act::done("app.doctor", format!("app/{}", app.name)).app(Some(&app.name));
    let spec = JobSpec::Doctor(AppSpec { app: app.name });
    let accepted = enqueue(&state, new_job(&state, &who, spec)).await?;
    act.by(&state.catalog, &who, &client).await?;
    Ok(accepted)
}
