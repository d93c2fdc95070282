//! What apps, repositories, policies and notification targets have in common as resources.

use super::etag::{Expected, Tagged};
use super::problem::{Code, Problem};
use super::words::ManagedBy;
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
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

/// Who changes something, and from where.
pub struct By<'a> {
    pub state: &'a AppState,
    pub who: &'a Principal,
    pub client: &'a Client,
}

/// A put on its way.
pub struct Put<T> {
    before: Option<Stored<T>>,
    /// Who has the last word from now on.
    pub managed_by: pgkeep_catalog::ManagedBy,
    /// What the catalog must meet: what was read before, so that masked secrets are put back into what they came from.
    pub revision: Option<i64>,
}

impl<T> Put<T> {
    /// Of what is stored, if anything is, and what the request says of it.
    pub fn begin(
        stored: Result<Stored<T>, CatalogError>,
        query: &PutQuery,
        expected: Expected,
    ) -> Result<Self, Problem> {
        let before = found(stored, expected)?;
        Ok(Self {
            managed_by: manager(query, before.as_ref()),
            revision: meets(before.as_ref(), expected),
            before,
        })
    }

    /// Of what must not be there yet.
    pub fn fresh() -> Self {
        Self {
            before: None,
            managed_by: pgkeep_catalog::ManagedBy::Api,
            revision: Some(0),
        }
    }

    /// Of what was read and is changed in part.
    pub fn change(before: Stored<T>) -> Self {
        Self {
            managed_by: before.managed_by,
            revision: Some(before.revision),
            before: Some(before),
        }
    }

    /// What is stored so far.
    pub fn before(&self) -> Option<&T> {
        self.before.as_ref().map(|stored| &stored.value)
    }

    /// Writes down what was changed, and answers with what is stored now.
    pub async fn done<S: Serialize, A>(
        self,
        act: Act,
        stored: &Stored<T>,
        by: &By<'_>,
        shown: impl Fn(&T) -> S,
        answer: A,
    ) -> Result<Tagged<A>, Problem> {
        let act = match self.before() {
            Some(before) => act.before(shown(before)),
            None => act,
        };
        act.after(shown(&stored.value))
            .by(&by.state.catalog, by.who, by.client)
            .await?;
        Ok(Tagged::put(self.before.is_none(), stored.revision, answer))
    }
}

/// What is stored, if anything is. `If-Match: *` and `If-Match: "7"` ask for something to be there.
fn found<T>(
    result: Result<Stored<T>, CatalogError>,
    expected: Expected,
) -> Result<Option<Stored<T>>, Problem> {
    match result {
        Ok(stored) => Ok(Some(stored)),
        Err(CatalogError::NotFound { what, name }) => match expected {
            Expected::Present | Expected::Revision(_) => Err(Problem::new(
                Code::PreconditionFailed,
                format!("there is no {what} named {name}"),
            )
            .hint("send `If-None-Match: *` to make it")),
            Expected::Anything | Expected::Absent => Ok(None),
        },
        Err(error) => Err(error.into()),
    }
}

fn meets<T>(before: Option<&Stored<T>>, expected: Expected) -> Option<i64> {
    match (expected, before) {
        (Expected::Anything | Expected::Present, Some(stored)) => Some(stored.revision),
        (Expected::Anything, None) => Some(0),
        (expected, _) => expected.revision(),
    }
}

fn manager<T>(query: &PutQuery, before: Option<&Stored<T>>) -> pgkeep_catalog::ManagedBy {
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
        )
        .see_all("app")),
        Err(error) => Err(error.into()),
    }
}

/// Settings of the whole server are for those who see all of it.
pub fn sees_everything(who: &Principal) -> Result<(), Problem> {
    match who.apps {
        None => Ok(()),
        Some(_) => Err(Problem::forbidden("this is for accounts that see all apps")
            .hint("ask somebody whose account is not limited to some apps")),
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
