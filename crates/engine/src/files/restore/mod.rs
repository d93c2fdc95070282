//! Bringing file trees back: [`plan`] looks, [`build`] writes each tree into a new folder beside its place and proves it
//! there, [`Built::swap`] puts it in place by rename, and [`undo`] takes that back.
//!
//! Order of effects: a new folder `<dir>.pgkeep-<id>`, marked as unfinished; everything below it, attributes of a folder after
//! its content; a barrier; the proof, which reads every byte from disk again; only then the exchange of names, after which
//! the old folder is kept as `<dir>_before_<time>`. A failure before the exchange leaves the live tree untouched.
//!
//! A snapshot is not trusted: every entry is made relative to its opened folder, under a name that is one component, never
//! through a symbolic link, and inside a folder that nobody else can enter until it is proven.

mod mark;
mod prove;
mod swap;
mod write;

pub(super) use mark::FILE as MARK_FILE;
pub use mark::FolderMark;
pub use swap::{KeptFolder, KeptOf, drop_expired, kept, undo};

use crate::{
    Context, Error, ErrorCode, Result,
    catalog::{self, BackupEntry, ListFilter},
    restore::{self, Refusal, RestorePlan, RestoreReport},
    storage::lock_for_reading,
};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use jiff::Timestamp;
use pgkeep_model::{
    Phase,
    manifest::{FilesManifest, OddFile},
};
use pgkeep_repository::{Node, Repository, SnapshotReader};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

/// Which files to bring back, and to where.
#[derive(Debug, Clone, Default)]
pub struct FilesRequest {
    /// Id of the backup, or `latest`.
    pub backup: String,
    pub app: Option<String>,
    /// Names of trees; empty means all.
    pub trees: Vec<String>,
    /// Only entries that match one of these, as .gitignore writes patterns; empty means everything.
    pub patterns: Vec<String>,
    /// A folder that does not exist yet or is empty, instead of where the trees stand. Several trees become folders in it.
    pub into: Option<PathBuf>,
    /// Where the app's trees stand now, by name; one that is not here goes to where it was read from.
    pub places: BTreeMap<String, PathBuf>,
    /// Refuses trees without an entry in `places`: what a backup says of itself is then not where anything is written.
    pub known_places_only: bool,
    /// Seconds for which a replaced folder is kept.
    pub keep_old_secs: u64,
}

/// What a restore of files would do, before it does it.
#[derive(Serialize)]
pub struct FilesPlan {
    #[serde(flatten)]
    pub summary: FilesSummary,
    #[serde(skip)]
    pub request: FilesRequest,
    #[serde(skip)]
    pub entry: BackupEntry,
    #[serde(skip)]
    trees: Vec<FilesManifest>,
}

/// What a user sees of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FilesSummary {
    pub backup: String,
    pub backup_time: Timestamp,
    pub app: String,
    pub trees: Vec<TreePlan>,
    /// What will be done, in order, in words.
    #[serde(default)]
    pub steps: Vec<String>,
    pub warnings: Vec<String>,
    /// What makes it impossible as asked; [`build`] refuses a plan that has any.
    pub refusals: Vec<Refusal>,
    /// True when a live folder is replaced.
    pub overwrites: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TreePlan {
    pub name: String,
    pub to: PathBuf,
    /// A folder of this name is there and will be kept beside the new one.
    pub replaces: bool,
    pub files: u64,
    pub bytes: u64,
    /// Of the file system that it goes to.
    pub free_bytes: u64,
}

/// What was brought back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FilesReport {
    pub backup: String,
    pub trees: Vec<TreeReport>,
    pub seconds: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TreeReport {
    pub name: String,
    pub to: PathBuf,
    /// Where the replaced folder is kept.
    pub kept_as: Option<PathBuf>,
    pub files: u64,
    pub bytes: u64,
    /// Every byte and attribute was read from disk again and is what the backup holds.
    pub proven: bool,
    /// False where only root may set owners, and the proof left them out.
    pub owners: bool,
    /// What could not be made as it was, with the reason.
    pub odd: Vec<OddFile>,
}

/// Looks at backup and target; changes nothing.
pub fn plan(
    repository: &Repository,
    request: &FilesRequest,
    context: &Context,
) -> Result<FilesPlan> {
    context.progress.phase(Phase::Check, None);
    let filter = ListFilter {
        app: request.app.clone(),
        ..ListFilter::default()
    };
    let detail = catalog::show(repository, &request.backup, &filter)?;
    let manifest = &detail.manifest;
    let trees = chosen(&manifest.files, &request.trees)?;
    matcher(&request.patterns)?;
    let mut summary = FilesSummary {
        backup: detail.entry.id.clone(),
        backup_time: manifest.started_at,
        app: manifest.app.clone(),
        trees: Vec::new(),
        steps: Vec::new(),
        warnings: Vec::new(),
        refusals: Vec::new(),
        overwrites: false,
    };
    if !request.patterns.is_empty() && request.into.is_none() {
        summary.refusals.push(Refusal {
            message: "single files do not replace a whole tree".into(),
            remedy: "say which new folder they go to (--files-into)".into(),
        });
    }
    if request.into.is_none() && manifest.hostname != context.hostname {
        summary.warnings.push(format!(
            "the files were read on {}, this is {}",
            manifest.hostname, context.hostname
        ));
    }
    if !is_root() {
        summary.warnings.push(
            "only root may set owners: the files will belong to the account of this process".into(),
        );
    }
    for tree in &trees {
        if tree.unreadable_count > 0 {
            summary.warnings.push(format!(
                "files {}: the backup lacks {} that could not be read",
                tree.name,
                crate::counted(tree.unreadable_count as usize, "file")
            ));
        }
        if request.known_places_only
            && request.into.is_none()
            && !request.places.contains_key(&tree.name)
        {
            summary.refusals.push(Refusal {
                message: format!(
                    "the app has no files {}, so nothing says where they belong",
                    tree.name
                ),
                remedy: "add them to the app, or say which new folder they go to".into(),
            });
        }
        let to = destination(tree, request, trees.len());
        let planned = look(tree, to, request, &mut summary.refusals);
        summary.overwrites |= planned.replaces;
        summary.trees.push(planned);
    }
    summary.steps = steps(&summary.trees, request);
    Ok(FilesPlan {
        summary,
        request: request.clone(),
        entry: detail.entry,
        trees,
    })
}

fn chosen(all: &[FilesManifest], names: &[String]) -> Result<Vec<FilesManifest>> {
    let known = || {
        let names: Vec<&str> = all.iter().map(|tree| tree.name.as_str()).collect();
        names.join(", ")
    };
    if all.is_empty() {
        return Err(Error::not_found("the backup holds no files")
            .hint("`pgkeep list --kind files` shows backups that do"));
    }
    if let Some(name) = names
        .iter()
        .find(|name| all.iter().all(|t| t.name != **name))
    {
        return Err(
            Error::not_found(format!("the backup holds no files {name}"))
                .hint(format!("it holds {}", known())),
        );
    }
    Ok(all
        .iter()
        .filter(|tree| names.is_empty() || names.contains(&tree.name))
        .cloned()
        .collect())
}

fn steps(trees: &[TreePlan], request: &FilesRequest) -> Vec<String> {
    let what = match request.patterns.is_empty() {
        true => "files",
        false => "what matches of files",
    };
    let built = trees.iter().map(|tree| {
        format!(
            "write {what} {} to a new folder beside {} and read every byte of it again",
            tree.name,
            tree.to.display()
        )
    });
    let placed = trees.iter().map(|tree| match tree.replaces {
        true => format!(
            "put it in the place of {}, which is kept beside it",
            tree.to.display()
        ),
        false => format!("give it the name {}", tree.to.display()),
    });
    built.chain(placed).collect()
}

fn destination(tree: &FilesManifest, request: &FilesRequest, trees: usize) -> PathBuf {
    match &request.into {
        None => match request.places.get(&tree.name) {
            Some(place) => place.clone(),
            None => PathBuf::from(&tree.source),
        },
        Some(into) if trees == 1 => into.clone(),
        Some(into) => into.join(crate::backup::safe_name(&tree.name)),
    }
}

fn look(
    tree: &FilesManifest,
    to: PathBuf,
    request: &FilesRequest,
    refusals: &mut Vec<Refusal>,
) -> TreePlan {
    let mut refuse = |message: String, remedy: &str| {
        refusals.push(Refusal {
            message,
            remedy: remedy.into(),
        });
    };
    let shown = to.display().to_string();
    let found = std::fs::symlink_metadata(&to).ok();
    if let Some(found) = &found {
        let empty = || std::fs::read_dir(&to).is_ok_and(|mut entries| entries.next().is_none());
        if !found.is_dir() {
            refuse(
                format!("{shown} is no folder"),
                "give another place (--files-into)",
            );
        } else if request.into.is_some() && !empty() {
            refuse(
                format!("{shown} holds files"),
                "give a folder that is empty or does not exist yet",
            );
        } else if swap::is_mount_point(&to) {
            refuse(
                format!("{shown} is a mount point, which cannot be renamed"),
                "restore into a new folder below it (--files-into), and move the files",
            );
        }
    }
    let mut free_bytes = 0;
    match existing_parent(&to) {
        Some(parent) => {
            if let Ok(space) = rustix::fs::statvfs(parent) {
                free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
                if request.patterns.is_empty() && free_bytes < tree.bytes {
                    refuse(
                        format!(
                            "{} has {free_bytes} bytes free, the tree needs {} beside the old one",
                            parent.display(),
                            tree.bytes
                        ),
                        "make room, or give a place on another disk (--files-into)",
                    );
                }
            }
        }
        None => refuse(
            format!("there is no folder above {shown}"),
            "give an absolute path",
        ),
    }
    TreePlan {
        name: tree.name.clone(),
        replaces: found.is_some() && request.into.is_none(),
        to,
        files: tree.files,
        bytes: tree.bytes,
        free_bytes,
    }
}

/// The nearest folder above that exists; the ones between are made.
fn existing_parent(path: &Path) -> Option<&Path> {
    path.ancestors()
        .skip(1)
        .find(|parent| !parent.as_os_str().is_empty() && parent.is_dir())
}

fn matcher(patterns: &[String]) -> Result<Option<Gitignore>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        builder
            .add_line(None, pattern)
            .map_err(|e| Error::invalid(format!("pattern {pattern:?}: {e}")))?;
    }
    let built = builder.build();
    Ok(Some(
        built.map_err(|e| Error::invalid(format!("patterns: {e}")))?,
    ))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Trees that stand proven beside their places. Dropping it removes them again.
pub struct Built {
    trees: Vec<BuiltTree>,
    backup: String,
    keep_old_secs: u64,
    begun: Instant,
}

struct BuiltTree {
    report: TreeReport,
    /// The new folder; `None` once it is in place.
    folder: Option<PathBuf>,
    /// What the backup says of the tree's own folder.
    root: Node,
    replaces: bool,
}

impl Drop for Built {
    fn drop(&mut self) {
        for tree in &mut self.trees {
            if let Some(folder) = tree.folder.take() {
                swap::remove(&folder);
            }
        }
    }
}

/// Writes every tree of the plan beside its place, and proves it. The live trees stay as they are.
pub fn build(repository: &Repository, plan: &FilesPlan, context: &Context) -> Result<Built> {
    if let Some(refusal) = plan.summary.refusals.first() {
        return Err(Error::refused(&refusal.message).hint(&refusal.remedy));
    }
    let _lock = lock_for_reading(repository, "restore", context)?;
    let reader = repository.open_snapshot(&plan.entry.snapshot)?;
    let matcher = matcher(&plan.request.patterns)?;
    let total = plan.summary.trees.iter().map(|tree| tree.bytes).sum();
    context.progress.phase(Phase::Data, Some(total));
    let mut built = Built {
        trees: Vec::new(),
        backup: plan.summary.backup.clone(),
        keep_old_secs: plan.request.keep_old_secs,
        begun: Instant::now(),
    };
    for (planned, tree) in plan.summary.trees.iter().zip(&plan.trees) {
        context.progress.item(&format!("files {}", tree.name));
        let root = reader.node(&tree.path)?.ok_or_else(|| {
            let missing = format!("{} is missing from the snapshot", tree.path);
            Error::new(ErrorCode::Damaged, missing)
        })?;
        let folder = swap::new_folder(&planned.to, &plan.summary.backup, context)?;
        built.trees.push(BuiltTree {
            report: TreeReport {
                name: tree.name.clone(),
                to: planned.to.clone(),
                kept_as: None,
                files: 0,
                bytes: 0,
                proven: false,
                owners: is_root(),
                odd: Vec::new(),
            },
            folder: Some(folder.clone()),
            root: root.clone(),
            replaces: planned.replaces,
        });
        let report = &mut built.trees.last_mut().expect("just added").report;
        let written = write::tree(&reader, &root, &folder, matcher.as_ref(), report, context)?;
        prove_one(&reader, tree, &root, &folder, &written, report, context)?;
    }
    Ok(built)
}

fn prove_one(
    reader: &SnapshotReader,
    tree: &FilesManifest,
    root: &Node,
    folder: &Path,
    written: &write::Written,
    report: &mut TreeReport,
    context: &Context,
) -> Result<()> {
    if written.partial && written.entries == 0 {
        return Err(
            Error::not_found(format!("nothing in files {} matches", tree.name))
                .hint("patterns are written as in .gitignore, relative to the tree"),
        );
    }
    context.progress.phase(Phase::Prove, Some(report.bytes));
    let found = prove::tree(reader, root, folder, written, context)?;
    if !found.differences.is_empty() {
        return Err(Error::new(
            ErrorCode::ProofFailed,
            format!(
                "files {} are not on disk as the backup holds them",
                tree.name
            ),
        )
        .details(found.differences)
        .hint("nothing was replaced; look at the disk"));
    }
    if !written.partial && report.odd.is_empty() && found.digest != tree.digest {
        return Err(Error::new(
            ErrorCode::ProofFailed,
            format!(
                "files {} have digest {}, the backup says {}",
                tree.name, found.digest, tree.digest
            ),
        )
        .hint("`pgkeep verify` reads the backup again; nothing was replaced"));
    }
    report.proven = true;
    Ok(())
}

impl Built {
    /// Each tree with the folder that it stands in until it is put in place.
    pub fn folders(&self) -> impl Iterator<Item = (&TreeReport, &Path)> {
        self.trees
            .iter()
            .filter_map(|tree| Some((&tree.report, tree.folder.as_deref()?)))
    }

    /// Puts the proven trees in place. The replaced ones are kept beside them.
    pub fn swap(mut self, context: &Context) -> Result<FilesReport> {
        context.progress.phase(Phase::Swap, None);
        for tree in &mut self.trees {
            let folder = tree.folder.take().expect("not in place yet");
            let placed = FolderMark::remove(&folder)
                .and_then(|()| write::open_to_others(&tree.root, &folder, tree.report.owners))
                .and_then(|()| {
                    swap::put_in_place(
                        &folder,
                        &tree.report.to,
                        tree.replaces,
                        &self.backup,
                        self.keep_old_secs,
                        context,
                    )
                });
            match placed {
                Ok(kept) => tree.report.kept_as = kept,
                Err(e) => {
                    tree.folder = Some(folder);
                    return Err(e.context(tree.report.to.display()));
                }
            }
        }
        Ok(FilesReport {
            backup: self.backup.clone(),
            trees: self.trees.iter().map(|tree| tree.report.clone()).collect(),
            seconds: self.begun.elapsed().as_secs_f64(),
        })
    }
}

/// Restores a database and files as one: the files are proven beside their place first, then the database is restored and
/// proven; only when both are does either move, the files directly after the database. No files are put in place where the
/// database is not proven.
pub fn execute_with_database(
    repository: &Repository,
    files: &FilesPlan,
    database: RestorePlan,
    context: &Context,
) -> Result<(RestoreReport, Option<FilesReport>)> {
    let built = build(repository, files, context)?;
    let whole = files.request.trees.is_empty()
        && files.request.patterns.is_empty()
        && restore::is_of_the_whole(&database);
    let report = restore::execute(repository, database, context)?;
    if !report.proof.differences.is_empty() {
        return Ok((report, None));
    }
    let placed = built.swap(context).map_err(|e| {
        e.context("the database is restored, its files are not in place")
            .hint("`pgkeep undo` takes the database back; or restore the files alone")
    })?;
    if whole {
        restore::note_proof(repository, &files.entry, &report, context);
    }
    Ok((report, Some(placed)))
}

/// Carries a plan of files alone out.
pub fn execute(
    repository: &Repository,
    plan: &FilesPlan,
    context: &Context,
) -> Result<FilesReport> {
    build(repository, plan, context)?.swap(context)
}
