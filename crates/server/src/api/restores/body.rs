//! A restore as a request asks for it, and the job that it becomes.

use super::super::folders::may_write_to;
use super::super::problem::Problem;
use crate::auth::Principal;
use crate::settings::Places;
use pgkeep_catalog::BackupRow;
use pgkeep_model::job::{ProveLevel, RestoreFiles, RestoreMode, RestoreSpec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a restore writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// A new database beside the others.
    Into,
    /// In the place of a live database, by swap.
    Replace,
    /// Inside a live database.
    InPlace,
}

/// Which files of the backup are brought back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Files {
    #[default]
    None,
    /// Together with the database: both are proven before either is used.
    With,
    /// And no database.
    Only,
}

/// How the restored database is compared with the backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prove {
    None,
    Counts,
    #[default]
    Full,
}

impl From<Prove> for ProveLevel {
    fn from(prove: Prove) -> Self {
        match prove {
            Prove::None => ProveLevel::None,
            Prove::Counts => ProveLevel::Counts,
            Prove::Full => ProveLevel::Full,
        }
    }
}

/// A restore as it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreBody {
    // A line of its own would make an object of it in the document.
    #[serde(default)]
    #[schema(inline, nullable = false)]
    mode: Option<Mode>,
    /// Name of the database that is written: new with `into`, live with the others. Needed where one is restored.
    #[serde(default)]
    #[schema(nullable = false)]
    name: Option<String>,
    /// App whose privileged connection is used; the backup's own where absent.
    #[serde(default)]
    pub(super) app: Option<String>,
    /// Which database of the backup, where it holds several.
    #[serde(default)]
    database: Option<String>,
    /// Only these tables, `schema.name`; patterns as pg_dump takes them.
    #[serde(default)]
    #[schema(default = json!([]))]
    tables: Vec<String>,
    #[serde(default)]
    #[schema(default = json!([]))]
    schemas: Vec<String>,
    #[serde(default)]
    #[schema(default = false)]
    schema_only: bool,
    #[serde(default)]
    #[schema(default = false)]
    data_only: bool,
    #[serde(default)]
    #[schema(inline)]
    prove: Prove,
    #[serde(default)]
    jobs: Option<u16>,
    /// Everything belongs to the privileged account.
    #[serde(default)]
    #[schema(default = false)]
    no_owner: bool,
    /// Waives the backup of what is overwritten.
    #[serde(default)]
    #[schema(default = false)]
    skip_safety_backup: bool,
    /// Runs the app's own migrations against the restored database before it is used.
    #[serde(default)]
    #[schema(default = false)]
    migrate: bool,
    /// Runs the app's own checks against it.
    #[serde(default)]
    #[schema(default = false)]
    check: bool,
    /// Role to act as while restoring.
    #[serde(default)]
    role: Option<String>,
    /// Runs VACUUM as well as ANALYZE at the end.
    #[serde(default)]
    #[schema(default = false)]
    vacuum: bool,
    /// Leaves a restored database that fails its migrations or checks, for a look.
    #[serde(default)]
    #[schema(default = false)]
    keep_failed: bool,
    /// Lets the live database refuse writes from the safety backup until the swap.
    #[serde(default)]
    #[schema(default = false)]
    read_only: bool,
    /// Time that sessions on the replaced database are given to end by themselves; the app's where absent.
    #[serde(default)]
    #[schema(maximum = 3_600)]
    grace_secs: Option<u64>,
    #[serde(default)]
    #[schema(inline)]
    files: Files,
    /// Names of trees; all where empty.
    #[serde(default)]
    #[schema(default = json!([]))]
    trees: Vec<String>,
    /// Only files that match, as .gitignore writes patterns. They need `filesInto`.
    #[serde(default)]
    #[schema(default = json!([]))]
    file_globs: Vec<String>,
    /// A folder of the server's machine that does not exist yet or is empty, named from the root. Where absent, each tree is
    /// put in the place of the app's live one, which is kept beside it. Outside the server's own folder for exports it
    /// needs the permission to configure.
    #[serde(default)]
    #[schema(nullable = false)]
    files_into: Option<String>,
    /// How long what is replaced is kept; a day where absent.
    #[serde(default)]
    keep_old_secs: Option<u64>,
    /// The exact phrase of the plan, where data is overwritten.
    #[serde(default)]
    pub(super) confirm: Option<String>,
    /// The hash of the plan that was shown: the restore is refused where it would do something else now.
    #[serde(default)]
    pub(super) plan_hash: Option<String>,
    /// Why; kept in the audit log.
    #[serde(default)]
    pub(super) reason: Option<String>,
}

impl RestoreBody {
    /// What a job would be told to do.
    pub(super) fn spec(
        &self,
        row: &BackupRow,
        who: &Principal,
        places: &Places,
    ) -> Result<RestoreSpec, Problem> {
        super::super::backups::bounded("tables", &self.tables)?;
        super::super::backups::bounded("schemas", &self.schemas)?;
        if self.jobs.is_some_and(|jobs| !(1..=256).contains(&jobs)) {
            return Err(Problem::invalid("jobs", "1 to 256"));
        }
        if self
            .role
            .as_ref()
            .is_some_and(|role| role.is_empty() || role.len() > 63)
        {
            return Err(Problem::invalid("role", "1 to 63 bytes"));
        }
        if self.grace_secs.is_some_and(|secs| secs > 3_600) {
            return Err(Problem::invalid("graceSecs", "at most an hour"));
        }
        let keep = self.keep_old_secs.unwrap_or(86_400);
        if keep > 365 * 86_400 {
            return Err(Problem::invalid("keepOldSecs", "at most a year"));
        }
        Ok(RestoreSpec {
            app: self.app.clone().unwrap_or_else(|| row.app.clone()),
            repository: row.repository.clone(),
            backup: row.id.clone(),
            database: self.database.clone(),
            target: self.target()?,
            tables: self.tables.clone(),
            schemas: self.schemas.clone(),
            schema_only: self.schema_only,
            data_only: self.data_only,
            prove: self.prove.into(),
            jobs: self.jobs,
            no_owner: self.no_owner,
            skip_safety_backup: self.skip_safety_backup,
            keep_old_secs: keep,
            migrate: self.migrate,
            check: self.check,
            role: self.role.clone(),
            vacuum: self.vacuum,
            keep_failed: self.keep_failed,
            read_only: self.read_only,
            grace_secs: self.grace_secs,
            files: self.wanted_files(who, places)?,
            beyond: who.apps.is_none(),
        })
    }

    fn target(&self) -> Result<RestoreMode, Problem> {
        if self.files == Files::Only {
            return Ok(RestoreMode::FilesOnly);
        }
        let Some(mode) = self.mode else {
            return Err(Problem::invalid("mode", "say where the database goes to"));
        };
        let name = self.name.clone().unwrap_or_default();
        if name.is_empty() || name.len() > 63 {
            return Err(Problem::invalid(
                "name",
                "say which database it becomes or replaces, in 1 to 63 bytes",
            ));
        }
        Ok(match mode {
            Mode::Into => RestoreMode::Into(name),
            Mode::Replace => RestoreMode::Replace(name),
            Mode::InPlace => RestoreMode::InPlace(name),
        })
    }

    fn wanted_files(
        &self,
        who: &Principal,
        places: &Places,
    ) -> Result<Option<RestoreFiles>, Problem> {
        super::super::backups::bounded("trees", &self.trees)?;
        super::super::backups::bounded("fileGlobs", &self.file_globs)?;
        if self.files == Files::None {
            let chosen = !self.trees.is_empty() || !self.file_globs.is_empty();
            return match chosen || self.files_into.is_some() {
                true => Err(Problem::invalid(
                    "files",
                    "files are chosen, and none are asked for: `with` or `only`",
                )),
                false => Ok(None),
            };
        }
        match &self.files_into {
            Some(into) => may_write_to("filesInto", into, who, places)?,
            None if matches!(self.mode, Some(Mode::Into | Mode::InPlace)) => {
                return Err(Problem::invalid(
                    "filesInto",
                    "only `replace` puts files in the place of the live ones: say which new folder they go to",
                ));
            }
            None => {}
        }
        Ok(Some(RestoreFiles {
            trees: self.trees.clone(),
            globs: self.file_globs.clone(),
            into: self.files_into.clone(),
        }))
    }
}
