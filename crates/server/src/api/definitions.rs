//! What apps, repositories, policies and notification targets have in common as resources.

use super::etag::Expected;
use super::problem::{Code, Problem};
use super::words::ManagedBy;
use crate::auth::Principal;
use crate::state::AppState;
use jiff::Timestamp;
use pgkeep_catalog::{CatalogError, Stored};
use pgkeep_model::app::AppDefinition;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What the catalog knows of a definition besides what it says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    pub name: String,
    /// Grows with every change; also the `ETag`.
    pub revision: i64,
    pub managed_by: ManagedBy,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl<T> From<&Stored<T>> for Standing {
    fn from(stored: &Stored<T>) -> Self {
        Self {
            name: stored.name.clone(),
            revision: stored.revision,
            managed_by: stored.managed_by.into(),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

/// How a definition is put.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PutQuery {
    /// Who has the last word from now on; as before where absent, and `api` of what is new.
    #[param(nullable = false)]
    pub managed_by: Option<ManagedBy>,
}

/// What is stored, if anything is. `If-Match: *` and `If-Match: "7"` ask for something to be there.
pub fn found<T>(
    result: Result<Stored<T>, CatalogError>,
    expected: Expected,
) -> Result<Option<Stored<T>>, Problem> {
    match result {
        Ok(stored) => Ok(Some(stored)),
        Err(CatalogError::NotFound { what, name }) => match expected {
            Expected::Present | Expected::Revision(_) => Err(Problem::new(
                Code::PreconditionFailed,
                format!("there is no {what} named {name}"),
            )),
            Expected::Anything | Expected::Absent => Ok(None),
        },
        Err(error) => Err(error.into()),
    }
}

/// The revision that a put must meet: what was read before, so that masked secrets are put back into what they came from.
pub fn meets<T>(before: Option<&Stored<T>>, expected: Expected) -> Option<i64> {
    match (expected, before) {
        (Expected::Anything | Expected::Present, Some(stored)) => Some(stored.revision),
        (Expected::Anything, None) => Some(0),
        (expected, _) => expected.revision(),
    }
}

/// Who has the last word after a put.
pub fn manager<T>(query: &PutQuery, before: Option<&Stored<T>>) -> pgkeep_catalog::ManagedBy {
    match (query.managed_by, before) {
        (Some(named), _) => named.into(),
        (None, Some(stored)) => stored.managed_by,
        (None, None) => pgkeep_catalog::ManagedBy::Api,
    }
}

/// Refuses what belongs to an app that the account does not see, as if it were not there.
pub fn seen(who: &Principal, app: &str, what: &str, name: &str) -> Result<(), Problem> {
    match who.sees(app) {
        true => Ok(()),
        false => Err(Problem::not_found(what, name)),
    }
}

/// The app that a field names; one that is not there, or not seen, is a mistake in that field.
pub async fn app_in_field(
    state: &AppState,
    who: &Principal,
    name: &str,
) -> Result<AppDefinition, Problem> {
    match state.catalog.app(name).await {
        Ok(stored) if who.sees(name) => Ok(stored.value),
        Ok(_) | Err(CatalogError::NotFound { .. }) => Err(Problem::invalid(
            "app",
            format!("there is no app '{}'", name.escape_debug()),
        )),
        Err(error) => Err(error.into()),
    }
}

/// Settings of the whole server are for those who see all of it.
pub fn sees_everything(who: &Principal) -> Result<(), Problem> {
    match who.apps {
        None => Ok(()),
        Some(_) => Err(Problem::forbidden("this is for accounts that see all apps")),
    }
}

/// A problem with several fields.
pub fn wrong_fields(fields: Vec<(String, String)>) -> Result<(), Problem> {
    let Some((field, message)) = fields.first() else {
        return Ok(());
    };
    let problem = Problem::new(Code::Invalid, format!("{field}: {message}"));
    Err(fields
        .into_iter()
        .fold(problem, |problem, (field, message)| {
            problem.field(field, message)
        }))
}
