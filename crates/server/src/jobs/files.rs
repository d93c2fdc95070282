//! Files of a restore: brought back by a job, put back by an undo, removed when their time is over.
//!
//! A tree goes to where its app says that it stands, never to where a backup says that it came from: an uploaded package
//! would otherwise choose which folder of this machine is replaced.

use super::{Done, Failure, Work, copies::make_private_folder, restore::refuse};
use pgkeep_engine::{
    Context, Error, Result,
    files::restore::{self as files, FilesPlan, FilesRequest, KeptFolder, KeptOf},
};
use pgkeep_model::{app::AppDefinition, job::RestoreSpec};
use pgkeep_repository::Repository;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// How long what an undo swaps out is kept, in seconds.
const ONE_DAY: u64 = 24 * 60 * 60;

/// The files of a restore as the engine takes them; `None` where it brings none back.
pub fn files_request(spec: &RestoreSpec, app: &AppDefinition) -> Option<FilesRequest> {
    let wanted = spec.files.as_ref()?;
    Some(FilesRequest {
        backup: spec.backup.clone(),
        app: (spec.backup == "latest").then(|| spec.app.clone()),
        trees: wanted.trees.clone(),
        patterns: wanted.globs.clone(),
        into: wanted.into.as_ref().map(PathBuf::from),
        places: places(app),
        known_places_only: true,
        keep_old_secs: spec.keep_old_secs,
    })
}

/// Where the app's trees stand, by name.
fn places(app: &AppDefinition) -> BTreeMap<String, PathBuf> {
    app.files
        .iter()
        .map(|tree| (tree.name.clone(), PathBuf::from(&tree.path)))
        .collect()
}

pub(super) fn plan(
    work: &Work<'_>,
    repository: &Repository,
    spec: &RestoreSpec,
    app: &AppDefinition,
    context: &Context,
) -> std::result::Result<Option<FilesPlan>, Failure> {
    let Some(request) = files_request(spec, app) else {
        return Ok(None);
    };
    let plan = files::plan(repository, &request, context)?;
    refuse("restore", &plan.summary.refusals)?;
    if let Some(into) = &request.into
        && into.starts_with(work.places.exports())
    {
        make_private_folder(work, into)?;
    }
    Ok(Some(plan))
}

/// Brings back files and no database.
pub(super) fn restore(
    work: &Work<'_>,
    repository: &Repository,
    plan: Option<FilesPlan>,
    context: &Context,
) -> std::result::Result<Done, Failure> {
    let plan = plan.ok_or_else(|| Failure::invalid("nothing says which files to bring back"))?;
    (work.still_ours)()?;
    work.done(&files::execute(repository, &plan, context)?)
}

/// The folders of the app's trees that restores replaced and keep, newest first, with the names of their trees.
pub fn kept(app: &AppDefinition) -> Vec<(String, KeptFolder)> {
    let named = |folder: KeptFolder| {
        let tree = app
            .files
            .iter()
            .find(|tree| folder.of == Path::new(&tree.path));
        tree.map(|tree| (tree.name.clone(), folder))
    };
    let paths: Vec<PathBuf> = places(app).into_values().collect();
    files::kept(&paths).into_iter().filter_map(named).collect()
}

/// The newest kept folder of each of these trees of the app.
pub fn kept_of(app: &AppDefinition, trees: &[String]) -> Result<Vec<KeptFolder>> {
    let all = kept(app);
    let newest = |name: &String| {
        let found = all.iter().find(|(tree, _)| tree == name);
        found.map(|(_, folder)| folder.clone()).ok_or_else(|| {
            Error::not_found(format!("no restore keeps a folder of files {name}"))
                .hint("a replaced folder is kept for the time that its restore was given")
        })
    };
    trees.iter().map(newest).collect()
}

/// Puts these folders back in their places.
pub(super) fn put_back(folders: &[KeptFolder], context: &Context) -> Result<Vec<KeptOf>> {
    folders
        .iter()
        .map(|folder| files::undo(folder, ONE_DAY, context))
        .collect()
}

/// Removes replaced folders whose time is over.
pub(super) fn drop_expired(work: &Work<'_>, app: &AppDefinition, context: &Context) {
    let paths: Vec<PathBuf> = places(app).into_values().collect();
    for dropped in files::drop_expired(&paths, context) {
        work.progress
            .item(&format!("removed {}: its time was over", dropped.display()));
    }
}
