//! What schema versions mean for a restore.

use super::{
    code::{of_code, with_backups},
    compare_with_code, of_database, sentence,
};
use crate::{Context, restore::RestoreRequest};
use pgkeep_model::{
    manifest::{DatabaseManifest, Manifest},
    migrations::{Comparison, Relation, compare_all_knowing, listed},
};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};

/// How the schema version of a backup stands to the database that it is restored over, and to the code.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MigrationPlan {
    /// The backup's versions, each in a few words.
    pub backup: Vec<String>,
    /// The app's version when the backup was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// The backup as seen from the live database; empty where there is none.
    pub target: Vec<Comparison>,
    /// The backup as seen from the code; empty where the code's folder is not known.
    pub code: Vec<Comparison>,
    /// What the code would run on the restored database, as far as it is known.
    pub forward: Vec<String>,
    /// All of it in sentences.
    pub words: Vec<String>,
}

/// What is found for a plan: the plan's own part, what a user should know, and what forbids `--migrate`.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    pub plan: Option<MigrationPlan>,
    pub warnings: Vec<String>,
    /// Message and remedy.
    pub refusals: Vec<(String, String)>,
}

/// Compares the backup with what is live and with the code. What cannot be found out is a warning.
pub(crate) fn make(
    repository: &Repository,
    request: &RestoreRequest,
    manifest: &Manifest,
    database: &DatabaseManifest,
    target_exists: bool,
    context: &Context,
) -> Planned {
    let app = &request.around.application;
    let configured = app.migrations.as_ref();
    let mut planned = Planned::default();
    let options = request.admin.with_dbname(request.target.name());
    let live = match target_exists {
        false => None,
        true => match of_database(&options, configured, context) {
            Ok(found) => {
                planned.warnings.extend(found.warnings);
                Some(found.states)
            }
            Err(e) => {
                let name = request.target.name();
                planned
                    .warnings
                    .push(format!("the schema version of {name} is not known: {e}"));
                None
            }
        },
    };
    let have = &database.migrations;
    if have.is_empty() && live.as_ref().is_none_or(Vec::is_empty) {
        return planned;
    }
    let states = have.iter().chain(live.iter().flatten());
    let database = target_exists.then_some(&options);
    let code = of_code(app, database, states, &mut planned.warnings, context);
    let states = have.iter().chain(live.iter().flatten());
    let known = with_backups(&code, states, repository, Some(manifest.app.clone()));
    let mut plan = MigrationPlan {
        backup: have.iter().map(|state| state.describe()).collect(),
        app_version: manifest
            .application
            .as_ref()
            .and_then(|a| a.version.clone()),
        target: live
            .map(|live| compare_all_knowing(have, &live, &known))
            .unwrap_or_default(),
        code: compare_with_code(have, &code),
        ..MigrationPlan::default()
    };
    let name = request.target.name();
    for comparison in &plan.target {
        plan.words.push(sentence(comparison, "the backup", name));
    }
    for comparison in &plan.code {
        plan.words
            .push(sentence(comparison, "the backup", "the code"));
        let missing = comparison.relation.missing();
        match &comparison.relation {
            Relation::Older { .. } => plan.forward.extend_from_slice(missing),
            Relation::Newer { surplus } => planned.behind(
                request,
                format!(
                    "the code does not know {} that the backup has: {}",
                    crate::counted(surplus.len(), "migration"),
                    listed(surplus)
                ),
            ),
            Relation::Diverged { .. } => {
                planned.behind(request, sentence(comparison, "the backup", "the code"));
            }
            Relation::Same | Relation::Unknown { .. } => {}
        }
    }
    for state in have.iter().filter(|state| !state.unfinished.is_empty()) {
        planned.warnings.push(format!(
            "when the backup was made, {} was at work or had failed: {}",
            state.framework.title(),
            listed(&state.unfinished)
        ));
    }
    if !plan.forward.is_empty() {
        let names = listed(&plan.forward);
        plan.words.push(match request.around.migrate {
            true => {
                format!("the app's own migrations will run before the database is used: {names}")
            }
            false => format!(
                "the code will want to run {names}; --migrate does it before the database is used"
            ),
        });
    }
    planned.plan = Some(plan);
    planned
}

impl Planned {
    /// The code is behind the backup: a warning, and a refusal where it is asked to migrate.
    fn behind(&mut self, request: &RestoreRequest, message: String) {
        match request.around.migrate {
            true => self.refusals.push((
                message,
                "deploy the code that belongs to the backup first, or leave out --migrate".into(),
            )),
            false => self
                .warnings
                .push(format!("{message}: deploy the code that belongs to it")),
        }
    }
}
