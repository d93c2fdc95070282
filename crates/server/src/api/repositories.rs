//! Repositories: where backups live. What is done to look after them is in `upkeep`.

mod keeping;
mod keys;

pub use keeping::{Growth, RecoveryKit};

use super::definitions::{By, Put, PutQuery, Standing, sees_everything, wrong_fields};
use super::etag::{Expected, Tagged};
use super::extract::{Json, Name, OptionalJson, Path, Query};
use super::masks;
use super::paging::PageOf;
use super::problem::Problem;
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::state::AppState;
use crate::status::keeping::{Kept, of_repositories};
use crate::targets::{KeySource, Machine};
use axum::http::StatusCode;
use pgkeep_catalog::Stored;
use pgkeep_engine::keys::write_new;
use pgkeep_engine::{Error, ErrorCode};
use pgkeep_model::access::Permission;
use pgkeep_model::app::RepositoryDefinition;
use pgkeep_model::secret::SecretText;
use pgkeep_model::{CancelToken, Silent};
use pgkeep_repository::generate_key;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa::ToSchema;
use utoipa_axum::routes;

/// How long trying out a repository may take.
const TEST_TIME: Duration = Duration::from_secs(25);

pub fn routes() -> Routes {
    Routes::new("repositories")
        .add(needs(Permission::View), routes!(list))
        .add(needs(Permission::View), routes!(get))
        .add(needs(Permission::Configure).edits(), routes!(put))
        .add(needs(Permission::Configure).edits(), routes!(delete))
        .add(needs(Permission::Configure), routes!(test_unsaved))
        .add(needs(Permission::Operate), routes!(test))
        .add(needs(Permission::Configure).repeatable(), routes!(init))
        .add(
            needs(Permission::Configure),
            routes!(keeping::confirm_recovery_kit),
        )
        .add(needs(Permission::Configure), routes!(keeping::accept_loss))
        .add(needs(Permission::View), routes!(keys::list_keys))
        .add(needs(Permission::Configure), routes!(keys::add_key))
        .add(needs(Permission::Configure), routes!(keys::remove_key))
        .add(needs(Permission::Configure), routes!(keys::rotate_key))
        .add(needs(Permission::Configure), routes!(keys::recovery_kit))
}

/// What is said of a repository. Secrets are `env:NAME`, `file:/path` or the value itself, which is shown as `***`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RepositoryDefinition)]
pub struct RepositoryBody {
    /// A folder, or `s3://bucket/prefix`.
    pub address: Option<String>,
    /// The repository's key. A secret.
    #[schema(value_type = Option<String>)]
    pub key: Option<SecretText>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// A secret.
    #[schema(value_type = Option<String>)]
    pub access_key_id: Option<SecretText>,
    /// A secret.
    #[schema(value_type = Option<String>)]
    pub secret_access_key: Option<SecretText>,
    /// A secret.
    #[schema(value_type = Option<String>)]
    pub session_token: Option<SecretText>,
    pub server_side_encryption: Option<String>,
    pub virtual_host_style: Option<bool>,
    /// Bytes a second, written like `20MiB`.
    pub upload_limit: Option<String>,
    pub download_limit: Option<String>,
    pub retries: Option<u32>,
    /// Written like `30s`.
    pub timeout: Option<String>,
}

/// A repository as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    #[serde(flatten)]
    pub standing: Standing,
    pub definition: RepositoryBody,
    #[serde(default)]
    pub recovery_kit: RecoveryKit,
    /// Absent of object storage, and until it was measured for two days.
    #[serde(default)]
    pub growth: Option<Growth>,
}

/// What trying out a repository found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryTest {
    /// Whether backups could be written there now.
    pub usable: bool,
    /// The repository's own id, where there is one and the key opens it.
    pub id: Option<String>,
    /// Where it is, without secrets.
    pub location: String,
    /// Whether a repository is there; one that is not can be made.
    pub exists: bool,
    pub backups: Option<u64>,
    /// What is wrong, or what the storage was found not to be able to do.
    pub findings: Vec<String>,
    pub took_ms: u64,
}

/// How a repository is to be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct MakeRepository {
    /// Of its key; `pgkeep` where absent.
    #[schema(nullable = false)]
    label: Option<String>,
}

/// What making a repository did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryMade {
    pub id: String,
    pub location: String,
    /// What the storage was found not to be able to do; nothing that is needed.
    pub lacks: Vec<String>,
    /// File of the server's machine that a new key was written to; absent where the key was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>)]
    pub key_file: Option<PathBuf>,
}

impl RepositoryBody {
    /// The definition as it may be shown.
    pub fn shown(definition: &RepositoryDefinition) -> Self {
        let secret =
            |text: &Option<SecretText>| text.as_deref().map(masks::secret).map(SecretText::from);
        Self {
            address: definition.address.as_deref().map(masks::connection_or_path),
            key: secret(&definition.key),
            endpoint: definition.endpoint.clone(),
            region: definition.region.clone(),
            access_key_id: secret(&definition.access_key_id),
            secret_access_key: secret(&definition.secret_access_key),
            session_token: secret(&definition.session_token),
            server_side_encryption: definition.server_side_encryption.clone(),
            virtual_host_style: definition.virtual_host_style,
            upload_limit: definition.upload_limit.clone(),
            download_limit: definition.download_limit.clone(),
            retries: definition.retries,
            timeout: definition.timeout.clone(),
        }
    }

    /// What to store; masked secrets are those of `before`.
    pub fn into_definition(self, before: Option<&RepositoryDefinition>) -> RepositoryDefinition {
        let keep = |sent: Option<SecretText>, stored: Option<&Option<SecretText>>| {
            sent.map(|text| masks::unmask(text, stored.and_then(Option::as_ref), masks::secret))
        };
        RepositoryDefinition {
            address: self.address,
            key: keep(self.key, before.map(|b| &b.key)),
            endpoint: self.endpoint,
            region: self.region,
            access_key_id: keep(self.access_key_id, before.map(|b| &b.access_key_id)),
            secret_access_key: keep(self.secret_access_key, before.map(|b| &b.secret_access_key)),
            session_token: keep(self.session_token, before.map(|b| &b.session_token)),
            server_side_encryption: self.server_side_encryption,
            virtual_host_style: self.virtual_host_style,
            upload_limit: self.upload_limit,
            download_limit: self.download_limit,
            retries: self.retries,
            timeout: self.timeout,
        }
    }
}

impl Repository {
    fn of(stored: &Stored<RepositoryDefinition>, known: &BTreeMap<String, Kept>) -> Self {
        let kept = known.get(&stored.name);
        Self {
            standing: stored.into(),
            definition: RepositoryBody::shown(&stored.value),
            recovery_kit: kept.map(RecoveryKit::from).unwrap_or_default(),
            growth: kept.and_then(|kept| kept.growth).map(Growth::from),
        }
    }
}

/// Lists the repositories.
#[utoipa::path(get, path = "/repositories", responses((status = 200, description = "All repositories", body = PageOf<Repository>)))]
async fn list(state: AppState, who: Principal) -> Result<Json<PageOf<Repository>>, Problem> {
    let names = visible(&state, &who).await?;
    let repositories = state.catalog.repositories().await?;
    let known = of_repositories(&state.catalog).await?;
    let items = repositories
        .iter()
        .filter(|repository| {
            names
                .as_ref()
                .is_none_or(|names| names.contains(&repository.name))
        })
        .map(|repository| Repository::of(repository, &known))
        .collect();
    Ok(Json(PageOf::whole(items)))
}

/// Names of the repositories that an account sees: those that its apps and their policies go to; all where absent.
pub async fn visible(state: &AppState, who: &Principal) -> Result<Option<Vec<String>>, Problem> {
    let Some(apps) = &who.apps else {
        return Ok(None);
    };
    let mut names = Vec::new();
    for app in state.catalog.apps().await? {
        if apps.contains(&app.name) {
            names.extend(app.value.repository);
        }
    }
    for policy in state.catalog.policies().await? {
        if apps.contains(&policy.value.app) {
            names.extend(policy.value.repositories);
        }
    }
    Ok(Some(names))
}

/// Refuses a repository that the account does not see, as if it were not there.
pub async fn seen(state: &AppState, who: &Principal, name: &str) -> Result<(), Problem> {
    match visible(state, who).await? {
        Some(names) if !names.iter().any(|seen| seen == name) => {
            Err(Problem::not_found("repository", name))
        }
        _ => Ok(()),
    }
}

/// Refuses a field that names a repository which is not there, or which the account does not see: what is written there
/// would be seen by those of other apps, and tell the account of theirs.
pub async fn known_in_field(
    state: &AppState,
    who: &Principal,
    field: &str,
    name: &str,
) -> Result<(), Problem> {
    let is_there = state.catalog.repository(name).await.is_ok();
    if is_there && seen(state, who, name).await.is_ok() {
        return Ok(());
    }
    Err(Problem::invalid(
        field,
        format!("there is no repository '{}'", name.escape_debug()),
    )
    .see_all("repository"))
}

/// Shows a repository.
#[utoipa::path(get, path = "/repositories/{name}", params(("name" = String, Path)), responses((status = 200, description = "The repository", body = Repository)))]
async fn get(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
) -> Result<Tagged<Repository>, Problem> {
    seen(&state, &who, name.as_str()).await?;
    let repository = state.catalog.repository(name.as_str()).await?;
    let known = of_repositories(&state.catalog).await?;
    Ok(Tagged::ok(
        repository.revision,
        Repository::of(&repository, &known),
    ))
}

/// Makes or changes what is said of a repository. The storage is not touched; see `init` and `test`.
#[utoipa::path(put, path = "/repositories/{name}", params(("name" = String, Path), PutQuery), request_body = RepositoryBody, responses(
    (status = 200, description = "Changed", body = Repository),
    (status = 201, description = "Made", body = Repository),
))]
async fn put(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Query(query): Query<PutQuery>,
    expected: Expected,
    Json(body): Json<RepositoryBody>,
) -> Result<Tagged<Repository>, Problem> {
    sees_everything(&who)?;
    let name = name.as_str();
    let put = Put::begin(state.catalog.repository(name).await, &query, expected)?;
    let definition = body.into_definition(put.before());
    check_definition(&state.machine, name, &definition)?;
    let stored = state
        .catalog
        .put_repository(name, &definition, put.managed_by, put.revision)
        .await?;
    let known = of_repositories(&state.catalog).await?;
    let answer = Repository::of(&stored, &known);
    let act = Act::done("repository.put", format!("repository/{name}"));
    let by = By {
        state: &state,
        who: &who,
        client: &client,
    };
    put.done(act, &stored, &by, RepositoryBody::shown, answer)
        .await
}

fn check_definition(
    machine: &Machine,
    name: &str,
    definition: &RepositoryDefinition,
) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    if definition
        .address
        .as_deref()
        .is_none_or(|text| text.trim().is_empty())
    {
        wrong.push(("address".to_string(), "is missing".to_string()));
    }
    let secrets = [
        ("key", &definition.key),
        ("accessKeyId", &definition.access_key_id),
        ("secretAccessKey", &definition.secret_access_key),
        ("sessionToken", &definition.session_token),
    ];
    for (field, text) in secrets {
        if text.as_deref() == Some(masks::MASK) {
            wrong.push((field.to_string(), "is masked; give it anew".to_string()));
        }
    }
    wrong_fields(wrong)?;
    // Secrets may be on other machines only; everything else must be understood here and now.
    let mut without_secrets = definition.clone();
    for secret in [
        &mut without_secrets.key,
        &mut without_secrets.access_key_id,
        &mut without_secrets.secret_access_key,
    ] {
        *secret = secret.as_ref().map(|_| "-".into());
    }
    without_secrets.session_token = None;
    without_secrets.key.get_or_insert_with(|| "-".into());
    machine
        .repository_address(name, &without_secrets, CancelToken::new())
        .map(|_| ())
        .map_err(Problem::from)
}

/// Forgets a repository, and the catalog's list of what is in it. What is stored stays; while apps or policies name it, it is
/// refused.
#[utoipa::path(delete, path = "/repositories/{name}", params(("name" = String, Path)), responses((status = 204, description = "Forgotten")))]
async fn delete(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    expected: Expected,
) -> Result<StatusCode, Problem> {
    sees_everything(&who)?;
    let name = name.as_str();
    let before = state.catalog.repository(name).await?;
    state
        .catalog
        .delete_repository(name, expected.revision())
        .await?;
    Act::done("repository.delete", format!("repository/{name}"))
        .before(RepositoryBody::shown(&before.value))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tries out a repository that is not stored yet: reaches the storage, writes, reads, lists and deletes a small object, and
/// opens the repository with its key.
#[utoipa::path(post, path = "/repositories/test", request_body = RepositoryBody, responses((status = 200, description = "What was found", body = RepositoryTest)))]
async fn test_unsaved(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<RepositoryBody>,
) -> Result<Json<RepositoryTest>, Problem> {
    sees_everything(&who)?;
    let definition = body.into_definition(None);
    check_definition(&state.machine, "test", &definition)?;
    Act::done("repository.test", "repository")
        .by(&state.catalog, &who, &client)
        .await?;
    try_out(&state, "test".into(), definition).await.map(Json)
}

/// Tries out a stored repository; see `POST /repositories/test`.
#[utoipa::path(post, path = "/repositories/{name}/test", params(("name" = String, Path)), responses((status = 200, description = "What was found", body = RepositoryTest)))]
async fn test(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
) -> Result<Json<RepositoryTest>, Problem> {
    seen(&state, &who, name.as_str()).await?;
    let stored = state.catalog.repository(name.as_str()).await?;
    Act::done("repository.test", format!("repository/{name}"))
        .by(&state.catalog, &who, &client)
        .await?;
    try_out(&state, stored.name, stored.value).await.map(Json)
}

async fn try_out(
    state: &AppState,
    name: String,
    definition: RepositoryDefinition,
) -> Result<RepositoryTest, Problem> {
    let machine = state.machine.clone();
    state
        .blocking
        .run(TEST_TIME, move |cancel| {
            Ok::<_, Problem>(look(&machine, &name, &definition, cancel))
        })
        .await
}

/// What cannot be done is a finding, not an error.
fn look(
    machine: &Machine,
    name: &str,
    definition: &RepositoryDefinition,
    cancel: CancelToken,
) -> RepositoryTest {
    use pgkeep_repository::storage;
    let began = Instant::now();
    let mut test = RepositoryTest {
        usable: false,
        id: None,
        location: masks::connection_or_path(definition.address.as_deref().unwrap_or_default()),
        exists: false,
        backups: None,
        findings: Vec::new(),
        took_ms: 0,
    };
    let outcome = (|| -> pgkeep_engine::Result<()> {
        let address = machine.repository_address(name, definition, cancel.clone())?;
        let store = storage::open(&address.address, &address.options)?;
        test.location = store.location();
        let probe = storage::probe(&*store);
        test.findings.extend(probe.lacks());
        let usable = probe.is_usable();
        let context = machine.context(None, cancel, Arc::new(Silent));
        match pgkeep_engine::storage::open(&address, &context) {
            Ok(repository) => {
                test.exists = true;
                test.id = Some(repository.id());
                test.backups = repository.snapshots().ok().map(|list| list.len() as u64);
                test.usable = usable;
                Ok(())
            }
            Err(error) => Err(error),
        }
    })();
    if let Err(error) = outcome {
        test.findings.push(match error.hint {
            Some(hint) => format!("{}; {hint}", error.message),
            None => error.message,
        });
    }
    test.took_ms = began.elapsed().as_millis() as u64;
    test
}

/// Makes the repository that a definition names, in a place that is empty. Where the definition names a key file that is
/// missing, or no key at all, a random key is made and written there first.
#[utoipa::path(post, path = "/repositories/{name}/init", params(("name" = String, Path)), request_body(content = Option<MakeRepository>), responses((status = 201, description = "Made", body = RepositoryMade)))]
async fn init(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    OptionalJson(body): OptionalJson<MakeRepository>,
) -> Result<(StatusCode, Json<RepositoryMade>), Problem> {
    sees_everything(&who)?;
    let label = body.label.unwrap_or_else(|| "pgkeep".into());
    keys::check(None, &label)?;
    let stored = state.catalog.repository(name.as_str()).await?;
    let machine = state.machine.clone();
    let made = state
        .blocking
        .run(TEST_TIME, move |cancel| {
            make(&machine, &stored, &label, cancel)
        })
        .await?;
    Act::done("repository.init", format!("repository/{name}"))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// The key's file is written before the repository, so no repository can exist whose key was never kept.
fn make(
    machine: &Machine,
    stored: &Stored<RepositoryDefinition>,
    label: &str,
    cancel: CancelToken,
) -> pgkeep_engine::Result<RepositoryMade> {
    let (name, definition) = (&stored.name, &stored.value);
    let address = definition.address.as_deref().unwrap_or_default();
    let missing = match machine.key_source(address, definition) {
        KeySource::File(file) if file.is_absolute() && !file.exists() => Some(file),
        KeySource::Nowhere(usual) if !address.is_empty() => Some(usual),
        _ => None,
    };
    if let Some(file) = &missing {
        write_new(file, &generate_key()).map_err(|e| {
            Error::new(
                ErrorCode::RepositoryAccess,
                format!("cannot write the new key to {}: {e}", file.display()),
            )
            .hint("the account that runs pgkeep must be able to write there, or bring a key: file:/path or env:NAME in the repository's definition")
        })?;
    }
    let made = machine
        .repository_address(name, definition, cancel.clone())
        .and_then(|address| {
            let context = machine.context(None, cancel, Arc::new(Silent));
            pgkeep_engine::storage::init(&address, label, &context)
        });
    if let (Err(error), Some(file)) = (&made, &missing)
        && matches!(error.code, ErrorCode::Refused | ErrorCode::InvalidRequest)
    {
        // Another repository or other files are there, which this key does not open. After any other failure the key may be
        // in force, and stays for the next attempt.
        let _ = std::fs::remove_file(file);
    }
    made.map(|made| RepositoryMade {
        id: made.id,
        location: made.location,
        lacks: made.lacks,
        key_file: missing,
    })
}
