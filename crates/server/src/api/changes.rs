//! What a definition would change, told by field: how a client learns that a secret is the one that is stored already,
//! which is never given away.
//!
//! Whoever asks could put the definition as well, so the answer tells nothing that the permission does not.

use super::apps::AppBody;
use super::definitions::{seen, sees_everything};
use super::extract::{Json, Name, Path};
use super::notifications::TargetBody;
use super::problem::Problem;
use super::repositories::RepositoryBody;
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::state::AppState;
use pgkeep_catalog::Stored;
use pgkeep_model::access::Permission;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("definitions")
        .add(needs(Permission::Configure), routes!(app))
        .add(needs(Permission::Configure), routes!(repository))
        .add(needs(Permission::Configure), routes!(target))
}

/// The fields in which a definition differs from the one that is stored.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// Paths in the words of the configuration file: `databases[0]`, `drill.admin_url`. Empty where nothing would change.
    pub(super) fields: BTreeSet<String>,
}

impl Changes {
    pub(super) fn between(
        before: &impl Serialize,
        after: &impl Serialize,
    ) -> Result<Self, Problem> {
        let before = serde_json::to_value(before).map_err(Problem::internal)?;
        let after = serde_json::to_value(after).map_err(Problem::internal)?;
        let mut fields = BTreeSet::new();
        differences(&before, &after, String::new(), &mut fields);
        Ok(Self { fields })
    }
}

/// Leaves by path; what is absent, null or an empty list is the same, for it means the default.
fn differences(before: &Value, after: &Value, path: String, found: &mut BTreeSet<String>) {
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let path = match path.as_str() {
                    "" => name.clone(),
                    above => format!("{above}.{name}"),
                };
                let of = |fields: &serde_json::Map<String, Value>| {
                    fields.get(name).cloned().unwrap_or_default()
                };
                differences(&of(old), &of(new), path, found);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for at in 0..old.len().max(new.len()) {
                let of = |items: &[Value]| items.get(at).cloned().unwrap_or_default();
                differences(&of(old), &of(new), format!("{path}[{at}]"), found);
            }
        }
        (old, new) if is_nothing(old) && is_nothing(new) => {}
        (old, new) if old == new => {}
        _ => drop(found.insert(path)),
    }
}

/// Tells in which fields an app would be changed by a put of this definition; nothing is changed.
#[utoipa::path(post, path = "/apps/{name}/changes", params(("name" = String, Path)), request_body = AppBody, responses((status = 200, description = "What would change", body = Changes)))]
async fn app(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
    Json(body): Json<AppBody>,
) -> Result<Json<Changes>, Problem> {
    seen(&who, name.as_str(), "app", name.as_str())?;
    let stored = state.catalog.app(name.as_str()).await?;
    told(stored, |before| body.into_definition(Some(before)))
}

/// Tells in which fields a repository would be changed by a put of this definition; nothing is changed.
#[utoipa::path(post, path = "/repositories/{name}/changes", params(("name" = String, Path)), request_body = RepositoryBody, responses((status = 200, description = "What would change", body = Changes)))]
async fn repository(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
    Json(body): Json<RepositoryBody>,
) -> Result<Json<Changes>, Problem> {
    sees_everything(&who)?;
    let stored = state.catalog.repository(name.as_str()).await?;
    told(stored, |before| body.into_definition(Some(before)))
}

/// Tells in which fields a notification target would be changed by a put of this definition; nothing is changed.
#[utoipa::path(post, path = "/notifications/targets/{name}/changes", params(("name" = String, Path)), request_body = TargetBody, responses((status = 200, description = "What would change", body = Changes)))]
async fn target(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
    Json(body): Json<TargetBody>,
) -> Result<Json<Changes>, Problem> {
    sees_everything(&who)?;
    let stored = state.catalog.target(name.as_str()).await?;
    told(stored, |before| {
        body.into_target(name.as_str(), Some(before))
    })
}

fn told<T: Serialize>(
    stored: Stored<T>,
    put: impl FnOnce(&T) -> T,
) -> Result<Json<Changes>, Problem> {
    let after = put(&stored.value);
    Changes::between(&stored.value, &after).map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_named_by_path_and_absence_is_no_change() {
        let before = json!({ "databases": ["a", "b"], "jobs": 2, "drill": { "admin_url": "x" }, "hooks": [] });
        let after = json!({ "databases": ["a", "c"], "drill": { "admin_url": "x", "every": "1w" }, "files": null });
        let changed = Changes::between(&before, &after).unwrap();
        let expected = ["databases[1]", "drill.every", "jobs"].map(str::to_owned);
        assert_eq!(changed.fields, expected.into());
        assert!(
            Changes::between(&before, &before)
                .unwrap()
                .fields
                .is_empty()
        );
    }
}
