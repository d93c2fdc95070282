//! The keys that open a repository, and the recovery kit of the one that the server uses.
//!
//! A key comes in with the body of a request and is kept nowhere: not in the log, the audit log, or the answers that are
//! kept for repeated requests, which is why these routes take no `Idempotency-Key`. A change runs to its end and is written
//! down even where nobody waits for the answer any more.

use super::{TEST_TIME, seen};
use crate::api::definitions::sees_everything;
use crate::api::extract::{Json, Name, Path};
use crate::api::paging::PageOf;
use crate::api::problem::{Code, Problem};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::{Client, request_id};
use crate::state::AppState;
use crate::targets::{KeySource, Machine};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use pgkeep_catalog::Stored;
use pgkeep_engine::keys::{self, BY_HAND};
use pgkeep_engine::recovery::kit;
use pgkeep_engine::storage::{self, RepositoryAddress};
use pgkeep_model::access::Permission;
use pgkeep_model::app::RepositoryDefinition;
use pgkeep_model::{CancelToken, Silent};
use pgkeep_repository::{KeyInfo, Repository};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// A change is not broken off: the storage's own limits end each of its steps.
const TO_ITS_END: Duration = Duration::from_secs(3_600);
const LONGEST_LABEL: usize = 200;
const ROTATE: &str = "repository_key.rotate";

/// One key of a repository, without what it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryKey {
    pub id: String,
    pub label: String,
    pub created_at: Timestamp,
    /// Who made it, and where.
    pub username: String,
    pub hostname: String,
    /// Whether the server opens the repository with it.
    pub current: bool,
}

impl From<KeyInfo> for RepositoryKey {
    fn from(key: KeyInfo) -> Self {
        Self {
            id: key.id,
            label: key.label,
            created_at: key.created,
            username: key.username,
            hostname: key.hostname,
            current: key.current,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddKey {
    #[schema(value_type = String, format = Password, min_length = 1)]
    key: SecretString,
    /// What it is for.
    #[serde(default)]
    #[schema(required = false, max_length = 200)]
    label: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateKey {
    /// The new key; the server makes one where it is absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 1, nullable = false)]
    key: Option<SecretString>,
    /// What it is for.
    #[serde(default)]
    #[schema(required = false, max_length = 200)]
    label: String,
}

/// A key that was added or removed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyId {
    pub id: String,
}

/// What the change of the server's own key did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedKey {
    /// Of the new key.
    pub id: String,
    /// File of the server's machine that holds the new key.
    #[schema(value_type = String)]
    pub key_file: PathBuf,
    /// File of the server's machine that the old key is kept in: copies of the repository made before open with it.
    #[schema(value_type = String)]
    pub old_key_file: PathBuf,
}

/// Lists the keys that open a repository, the oldest first.
#[utoipa::path(get, path = "/repositories/{name}/keys", params(("name" = String, Path)), responses((status = 200, description = "All keys", body = PageOf<RepositoryKey>)))]
pub(super) async fn list_keys(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
) -> Result<Json<PageOf<RepositoryKey>>, Problem> {
    seen(&state, &who, name.as_str()).await?;
    let stored = state.catalog.repository(name.as_str()).await?;
    let machine = state.machine.clone();
    let keys = state
        .blocking
        .run(TEST_TIME, move |cancel| {
            let repository = open(&machine, &stored, cancel)?;
            repository.keys().list().map_err(of)
        })
        .await?;
    Ok(Json(PageOf::whole(
        keys.into_iter().map(RepositoryKey::from).collect(),
    )))
}

/// Adds a key that opens the repository. The key itself is kept nowhere.
#[utoipa::path(post, path = "/repositories/{name}/keys", params(("name" = String, Path)), request_body = AddKey, responses((status = 201, description = "Added", body = KeyId)))]
pub(super) async fn add_key(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Json(body): Json<AddKey>,
) -> Result<(axum::http::StatusCode, Json<KeyId>), Problem> {
    let change = Change::of(state, who, client, &name).await?;
    check(Some(&body.key), &body.label)?;
    let label = body.label.clone();
    let work = move |machine: &Machine, stored: &Stored<_>| {
        let repository = open(machine, stored, CancelToken::new())?;
        repository.keys().add(&body.key, &body.label).map_err(of)
    };
    let told = move |id: &String| (None, Some(json!({ "id": id, "label": label })));
    let id = change.carry_out("repository_key.add", work, told).await?;
    Ok((axum::http::StatusCode::CREATED, Json(KeyId { id })))
}

/// Removes a key, by its id or the first digits of it. Never the one that the server uses, and so never the last one.
#[utoipa::path(delete, path = "/repositories/{name}/keys/{id}", params(("name" = String, Path), ("id" = String, Path)), responses((status = 200, description = "Removed", body = KeyId)))]
pub(super) async fn remove_key(
    state: AppState,
    who: Principal,
    client: Client,
    Path((name, wanted)): Path<(Name, String)>,
) -> Result<Json<KeyId>, Problem> {
    let change = Change::of(state, who, client, &name).await?;
    let work = move |machine: &Machine, stored: &Stored<_>| {
        let repository = open(machine, stored, CancelToken::new())?;
        repository.keys().remove(&wanted).map_err(of)
    };
    let told = |id: &String| (Some(json!({ "id": id })), None);
    let id = change
        .carry_out("repository_key.remove", work, told)
        .await?;
    Ok(Json(KeyId { id }))
}

/// Gives the repository a new key in the place of the one that the server uses, and puts it into the server's key file. The
/// key in that file opens the repository at every moment, so jobs go on meanwhile. Refused, with nothing changed, where the
/// key comes from no file, where the file cannot be replaced or serves another repository, too, and where workers on other
/// machines have files of their own. Asks for a new recovery kit.
#[utoipa::path(post, path = "/repositories/{name}/keys/rotate", params(("name" = String, Path)), request_body = RotateKey, responses((status = 200, description = "Changed", body = RotatedKey)))]
pub(super) async fn rotate_key(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Json(body): Json<RotateKey>,
) -> Result<Json<RotatedKey>, Problem> {
    let change = Change::of(state, who, client, &name).await?;
    check(body.key.as_ref(), &body.label)?;
    let state = change.state.clone();
    no_other_machines(&state).await?;
    let others = state.catalog.repositories().await?;
    let work = move |machine: &Machine, stored: &Stored<_>| {
        let place = own_file(machine, stored, &others)?;
        let (address, repository) = open_with_address(machine, stored)?;
        let before = repository.keys().current_id().to_owned();
        let old = &address.password;
        let rotated = keys::rotate(&repository, &place, old, body.key, &body.label)?;
        Ok((before, place, rotated))
    };
    let told = |(before, place, rotated): &(String, PathBuf, keys::Rotated)| {
        let after = json!({ "id": rotated.id, "file": place, "oldFile": rotated.old_file });
        (Some(json!({ "id": before })), Some(after))
    };
    let (_, key_file, rotated) = change.carry_out(ROTATE, work, told).await?;
    match rotated.not_retired {
        Some(error) => Err(error.into()),
        None => Ok(Json(RotatedKey {
            id: rotated.id,
            key_file,
            old_key_file: rotated.old_file,
        })),
    }
}

/// Makes the recovery kit of the key that the server uses: address, key, and how to recover with stock tools. It opens every
/// backup in the repository, so it needs the permission `download` as well. It is kept nowhere; that it is in a safe place is
/// said by `recovery-kit/confirm`.
#[utoipa::path(post, path = "/repositories/{name}/recovery-kit", params(("name" = String, Path)), responses((status = 200, description = "The kit", content_type = "text/plain", body = String)))]
pub(super) async fn recovery_kit(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
) -> Result<Response, Problem> {
    if !who.may(Permission::Download) {
        return Err(Problem::forbidden(
            "a recovery kit opens every backup, so it needs the permission `download`, too",
        ));
    }
    let change = Change::of(state, who, client, &name).await?;
    let work = |machine: &Machine, stored: &Stored<RepositoryDefinition>| {
        let (at, repository) = open_with_address(machine, stored)?;
        let id = repository.keys().current_id().to_owned();
        let now = machine.clock.now();
        Ok((id, kit::of(&repository, &at.address, &at.password, now)?))
    };
    let told = |(id, _): &(String, SecretString)| (None, Some(json!({ "id": id })));
    let (_, kit) = change.carry_out("recovery_kit.make", work, told).await?;
    let mut response = kit.expose_secret().to_owned().into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Before and after, for the audit log.
type Told = (Option<Value>, Option<Value>);

/// Somebody's change of the keys of a repository.
struct Change {
    state: AppState,
    who: Principal,
    client: Client,
    stored: Stored<RepositoryDefinition>,
}

impl Change {
    async fn of(
        state: AppState,
        who: Principal,
        client: Client,
        name: &Name,
    ) -> Result<Self, Problem> {
        sees_everything(&who)?;
        let stored = state.catalog.repository(name.as_str()).await?;
        Ok(Self {
            state,
            who,
            client,
            stored,
        })
    }

    /// Does the work on a thread where blocking is allowed and writes it down, in a task of its own.
    async fn carry_out<T: Send + 'static>(
        self,
        action: &'static str,
        work: impl FnOnce(&Machine, &Stored<RepositoryDefinition>) -> Result<T, Problem>
        + Send
        + 'static,
        told: impl FnOnce(&T) -> Told + Send + 'static,
    ) -> Result<T, Problem> {
        let tasks = self.state.tasks.clone();
        let request = request_id::current().unwrap_or_else(request_id::make);
        let done = tasks.spawn(request_id::scope(request, async move {
            let Change {
                state,
                who,
                client,
                stored,
            } = self;
            let name = stored.name.clone();
            let object = format!("repository/{name}");
            let machine = state.machine.clone();
            let done = state
                .blocking
                .run(TO_ITS_END, move |_| work(&machine, &stored))
                .await;
            let act = match &done {
                Ok(value) => {
                    let (before, after) = told(value);
                    let mut act = Act::done(action, object);
                    if let Some(before) = before {
                        act = act.before(before);
                    }
                    if let Some(after) = after {
                        act = act.after(after);
                    }
                    act
                }
                Err(problem) if problem.code == Code::Refused => {
                    Act::refused(action, object, &problem.detail)
                }
                Err(problem) => Act::failed(action, object, &problem.detail),
            };
            if done.is_ok() && action == ROTATE {
                outdate_kits(&state, &name).await?;
            }
            act.by(&state.catalog, &who, &client).await?;
            done
        }));
        done.await.map_err(Problem::internal)?
    }
}

fn open(
    machine: &Machine,
    stored: &Stored<RepositoryDefinition>,
    cancel: CancelToken,
) -> Result<Repository, Problem> {
    let context = machine.context(None, cancel, Arc::new(Silent));
    Ok(machine.open_repository(&stored.name, &stored.value, &context)?)
}

/// The repository, and the address with the key that it was opened with.
fn open_with_address(
    machine: &Machine,
    stored: &Stored<RepositoryDefinition>,
) -> Result<(RepositoryAddress, Repository), Problem> {
    let address = machine.repository_address(&stored.name, &stored.value, CancelToken::new())?;
    let context = machine.context(None, CancelToken::new(), Arc::new(Silent));
    let opened = storage::open(&address, &context);
    let opened = opened.map_err(|e| e.context(format!("repository {}", stored.name)));
    Ok((address, opened?))
}

/// An error of the repository's, with the status that the engine gives it.
fn of(error: pgkeep_repository::RepositoryError) -> Problem {
    pgkeep_engine::Error::from(error).into()
}

pub(super) fn check(key: Option<&SecretString>, label: &str) -> Result<(), Problem> {
    if key.is_some_and(|key| key.expose_secret().is_empty()) {
        return Err(Problem::invalid("key", "is empty"));
    }
    match label.chars().count() {
        0..=LONGEST_LABEL => Ok(()),
        _ => Err(Problem::invalid(
            "label",
            format!("is longer than {LONGEST_LABEL} characters"),
        )),
    }
}

/// The file that the server reads the repository's key from, if only that is meant by it.
fn own_file(
    machine: &Machine,
    stored: &Stored<RepositoryDefinition>,
    others: &[Stored<RepositoryDefinition>],
) -> Result<PathBuf, Problem> {
    let refused = |why: String| Problem::new(Code::Refused, why).hint(BY_HAND);
    let name = &stored.name;
    let source = |of: &Stored<RepositoryDefinition>| {
        let address = of.value.address.as_deref().unwrap_or_default();
        machine.key_source(address, &of.value)
    };
    let file = match source(stored) {
        KeySource::File(file) => file,
        KeySource::Variable(variable) => {
            return Err(refused(format!(
                "the key of repository {name} comes from the variable {variable} of the server's environment, which cannot be changed from here"
            )));
        }
        KeySource::Definition(_) => {
            return Err(refused(format!(
                "the key of repository {name} stands in its definition, not in a file that could be replaced"
            )));
        }
        KeySource::Nowhere(_) => {
            return Err(refused(format!("no key is known for repository {name}")));
        }
    };
    let own = std::fs::canonicalize(&file).ok();
    let shares = |other: &&Stored<RepositoryDefinition>| match source(other) {
        KeySource::File(its) => own.is_some() && std::fs::canonicalize(its).ok() == own,
        _ => false,
    };
    let mut elsewhere = others
        .iter()
        .filter(|other| other.value.address != stored.value.address);
    match elsewhere.find(shares) {
        None => Ok(file),
        Some(other) => Err(refused(format!(
            "{} is the key file of repository {}, too, which would not open with the new key",
            file.display(),
            other.name
        ))),
    }
}

/// Workers of other machines read key files of their own, which nobody changes there.
async fn no_other_machines(state: &AppState) -> Result<(), Problem> {
    let own = &state.machine.hostname;
    let nodes = state.catalog.nodes().await?;
    match nodes.iter().find(|node| node.alive && node.host != *own) {
        None => Ok(()),
        Some(node) => Err(Problem::new(
            Code::Refused,
            format!(
                "a worker on {} reads the key from a file of its own, which cannot be changed from here",
                node.host
            ),
        )
        .hint(BY_HAND)),
    }
}

/// The kits made before hold a key that opens nothing any more, under whatever name the repository is known.
async fn outdate_kits(state: &AppState, name: &str) -> Result<(), Problem> {
    let all = state.catalog.repositories().await?;
    let own = all.iter().find(|stored| stored.name == name);
    let address = own.and_then(|own| own.value.address.as_deref());
    for same in &all {
        if same.value.address.as_deref() == address {
            state.catalog.forget_recovery_kit(&same.name).await?;
        }
    }
    Ok(())
}
