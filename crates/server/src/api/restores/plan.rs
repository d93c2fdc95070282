//! What a restore would do to a database and to files, and the hash by which a plan is known again.

use super::super::backups::look;
use super::super::problem::{Code, Problem};
use super::body::RestoreBody;
use crate::agreed;
use crate::auth::Principal;
use crate::jobs::{changes, files_request, restore_request};
use crate::state::AppState;
use crate::territory::Territory;
use jiff::Timestamp;
use pgkeep_engine::files::restore::{self as files, FilesSummary};
use pgkeep_engine::restore::{self, PHRASE, PlanSummary};
use pgkeep_model::Silent;
use pgkeep_model::job::{RestoreMode, RestoreSpec};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// What a restore would do, and what stands in its way.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    backup: String,
    backup_time: Timestamp,
    app: String,
    /// Seconds between the backup and now: what a replacement loses.
    age_secs: i64,
    /// The document that `pgkeep restore --dry-run --json` prints of a database; null where only files are brought back.
    #[schema(value_type = Option<Object>)]
    summary: Option<PlanSummary>,
    /// What happens to files; null where none are brought back.
    files: Option<PlannedFiles>,
    /// In order, in words.
    steps: Vec<String>,
    warnings: Vec<String>,
    refusals: Vec<Refusal>,
    /// Live data is overwritten.
    overwrites: bool,
    /// To be sent as `confirm`, exactly; absent where nothing is overwritten.
    phrase: Option<String>,
    /// A second person must say yes.
    needs_approval: bool,
    /// To be sent as `planHash`.
    hash: String,
}

/// What a restore would do to files. Warnings and refusals stand with those of the whole plan, too.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlannedFiles {
    backup: String,
    backup_time: Timestamp,
    app: String,
    trees: Vec<PlannedTree>,
    steps: Vec<String>,
    warnings: Vec<String>,
    refusals: Vec<Refusal>,
    /// A live folder is replaced.
    overwrites: bool,
}

/// Where one tree would go.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlannedTree {
    name: String,
    /// On the server's machine.
    to: String,
    /// A folder of this name is there and is kept beside the new one.
    replaces: bool,
    /// How many the tree holds; what matches, where only some are asked for, is known once they are there.
    files: u64,
    bytes: u64,
    /// Of the file system that it goes to.
    free_bytes: u64,
}

/// A reason to stop, and the way out.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    message: String,
    remedy: String,
}

impl From<&restore::Refusal> for Refusal {
    fn from(refusal: &restore::Refusal) -> Self {
        Self {
            message: refusal.message.clone(),
            remedy: refusal.remedy.clone(),
        }
    }
}

impl From<FilesSummary> for PlannedFiles {
    fn from(summary: FilesSummary) -> Self {
        let tree = |tree: files::TreePlan| PlannedTree {
            name: tree.name,
            to: tree.to.display().to_string(),
            replaces: tree.replaces,
            files: tree.files,
            bytes: tree.bytes,
            free_bytes: tree.free_bytes,
        };
        Self {
            backup: summary.backup,
            backup_time: summary.backup_time,
            app: summary.app,
            trees: summary.trees.into_iter().map(tree).collect(),
            steps: summary.steps,
            warnings: summary.warnings,
            refusals: summary.refusals.iter().map(Into::into).collect(),
            overwrites: summary.overwrites,
        }
    }
}

/// What the engine says of both parts. At least one is there.
pub struct Planned {
    database: Option<PlanSummary>,
    files: Option<FilesSummary>,
    /// The state of the app's and the repository's definition.
    definitions: Vec<String>,
}

impl Planned {
    /// Live data is overwritten.
    pub fn overwrites(&self) -> bool {
        self.database.as_ref().is_some_and(|plan| plan.overwrites)
            || self.files.as_ref().is_some_and(|plan| plan.overwrites)
    }

    /// The texts of both parts, the database's first.
    fn texts(
        &self,
        of_database: impl Fn(&PlanSummary) -> &Vec<String>,
        of_files: impl Fn(&FilesSummary) -> &Vec<String>,
    ) -> Vec<String> {
        let mut texts = self.database.as_ref().map(of_database).cloned();
        let more = self.files.as_ref().map(of_files).cloned();
        texts
            .get_or_insert_default()
            .extend(more.unwrap_or_default());
        texts.unwrap_or_default()
    }

    /// The files are written first and put in place last.
    fn steps(&self) -> Vec<String> {
        let Some((database, files)) = self.database.as_ref().zip(self.files.as_ref()) else {
            return self.texts(|plan| &plan.steps, |plan| &plan.steps);
        };
        let (written, placed) = files.steps.split_at(files.steps.len() / 2);
        [written, &database.steps, placed].concat()
    }

    fn refusals(&self) -> Vec<Refusal> {
        let database = self.database.iter().flat_map(|plan| &plan.refusals);
        let files = self.files.iter().flat_map(|plan| &plan.refusals);
        database.chain(files).map(Into::into).collect()
    }

    /// By which it is known again; see [`agreed`].
    pub fn hash(&self) -> String {
        agreed::of_restore(
            &self.definitions,
            self.database.as_ref(),
            self.files.as_ref(),
        )
    }

    /// Refuses a restore that cannot be done, that is not what was shown, or that nobody has confirmed.
    pub fn agreed(&self, body: &RestoreBody) -> Result<(), Problem> {
        if let Some(first) = self.refusals().first() {
            return Err(Problem::new(
                Code::Conflict,
                format!("cannot restore as asked: {}", first.message),
            )
            .hint(first.remedy.clone()));
        }
        if let Some(shown) = &body.plan_hash
            && *shown != self.hash()
        {
            return Err(Problem::new(
                Code::PlanChanged,
                "the restore would do something else than the plan that was shown",
            )
            .hint("look at a new plan"));
        }
        if self.overwrites() && body.confirm.as_deref() != Some(PHRASE) {
            return Err(Problem::invalid(
                "confirm",
                format!("this overwrites live data: it must be exactly \"{PHRASE}\""),
            ));
        }
        Ok(())
    }

    /// The plan as it is shown.
    pub fn shown(self, state: &AppState) -> Plan {
        let overwrites = self.overwrites();
        let (backup, backup_time, app) = match (&self.database, &self.files) {
            (Some(plan), _) => (plan.backup.clone(), plan.backup_time, plan.app.clone()),
            (None, Some(plan)) => (plan.backup.clone(), plan.backup_time, plan.app.clone()),
            (None, None) => unreachable!("a restore brings back a database, files or both"),
        };
        Plan {
            age_secs: match &self.database {
                Some(plan) => plan.age_secs,
                None => (state.catalog.now() - backup_time).get_seconds().max(0),
            },
            backup,
            backup_time,
            app,
            steps: self.steps(),
            warnings: self.texts(|plan| &plan.warnings, |plan| &plan.warnings),
            refusals: self.refusals(),
            overwrites,
            phrase: overwrites.then(|| PHRASE.to_owned()),
            needs_approval: overwrites && state.settings.auth.two_person_restore,
            hash: self.hash(),
            summary: self.database,
            files: self.files.map(Into::into),
        }
    }
}

/// Makes the plan on a thread where blocking is allowed.
pub async fn make(
    state: &AppState,
    who: &Principal,
    spec: &RestoreSpec,
) -> Result<Planned, Problem> {
    if !who.sees(&spec.app) {
        return Err(Problem::not_found("app", &spec.app));
    }
    let app = state.catalog.app(&spec.app).await?;
    let repository = state.catalog.repository(&spec.repository).await?;
    let definitions = vec![agreed::state_of(&app), agreed::state_of(&repository)];
    let app = app.value;
    let territory = Territory::of(&state.catalog, &state.machine, &spec.app, spec.beyond).await?;
    // Before the server is asked: what it says of another app's database is not for everybody.
    let name = spec.target.database().unwrap_or_default();
    territory.may_name(name)?;
    let territory = Arc::new(territory);
    let (machine, asked, known) = (state.machine.clone(), spec.clone(), territory.clone());
    let mut planned = look(state, &spec.repository, move |repository, context| {
        let context = machine.context(Some(&app), context.cancel.clone(), Arc::new(Silent));
        let database = match asked.target {
            RestoreMode::FilesOnly => None,
            _ => {
                let request = restore_request(&asked, &app, &known, &machine)?;
                Some(restore::plan(repository, &request, &context)?.summary)
            }
        };
        let files = match files_request(&asked, &app) {
            None => None,
            Some(request) => Some(files::plan(repository, &request, &context)?.summary),
        };
        Ok(Planned {
            database,
            files,
            definitions,
        })
    })
    .await?;
    if let Some(plan) = &mut planned.database {
        if changes(spec, plan) {
            territory.may_change(name)?;
        }
        plan.warnings.extend(territory.warning(name));
    }
    Ok(planned)
}
