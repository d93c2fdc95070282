//! Files that leave and enter: exports to a folder of this machine or a bucket, and imports of finished uploads.

use super::{Done, Failure, Work, rows};
use crate::own_folder;
use pgkeep_engine::{
    Context, Error, ErrorCode,
    catalog::Origin,
    export::{self, ExportFormat, ExportRequest, ExportTarget},
    import::{self, ImportRequest},
    package::{self, PackageRequest, PackageSource, PackageTarget, TakeInRequest},
};
use pgkeep_model::{
    app::RepositoryDefinition,
    job::{DumpFormat, ExportSpec, ImportSpec},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(super) fn export(work: &Work<'_>, spec: &ExportSpec) -> Result<Done, Failure> {
    let context = work.context(None);
    let repository = work.open(&spec.repository, &context)?;
    let to = Some(spec.to.as_str()).filter(|to| !to.is_empty());
    let usual = work.places.exports();
    if spec.package {
        let request = PackageRequest {
            backup: spec.backup.clone(),
            app: None,
            recipients: spec.recipients.clone(),
            compress: spec.zstd,
        };
        let to = package_target(work, to, usual, &spec.repository, &context)?;
        return work.done(&package::write(&repository, &request, &to, &context)?);
    }
    if to.is_some_and(is_bucket) {
        return Err(Failure::invalid("only a package is written to a bucket")
            .hint("ask for a package, or for a folder"));
    }
    let folder = to.map_or(usual, PathBuf::from);
    make_private_folder(work, &folder)?;
    let request = ExportRequest {
        backup: spec.backup.clone(),
        app: None,
        database: spec.database.clone(),
        format: match spec.format {
            DumpFormat::Custom => ExportFormat::Custom,
            DumpFormat::Plain => ExportFormat::Plain,
            DumpFormat::Directory => ExportFormat::Directory,
            DumpFormat::Tar => ExportFormat::Tar,
        },
    };
    let to = ExportTarget::Folder(folder);
    work.done(&export::run(&repository, &request, &to, &context)?)
}

fn is_bucket(to: &str) -> bool {
    to.starts_with("s3://")
}

/// Where a package goes: a folder, which is made where it is missing, or a bucket. A bucket is reached as the repository
/// that lies in it, else as the one that the backup is in.
pub(super) fn package_target(
    work: &Work<'_>,
    to: Option<&str>,
    usual: PathBuf,
    repository: &str,
    context: &Context,
) -> Result<PackageTarget, Failure> {
    let Some(address) = to.filter(|to| is_bucket(to)) else {
        let folder = to.map_or(usual, PathBuf::from);
        make_private_folder(work, &folder)?;
        return Ok(PackageTarget::Folder(folder));
    };
    let bucket = |address: &str| {
        let rest = address.strip_prefix("s3://")?;
        rest.split(['/', '?']).next().map(str::to_owned)
    };
    let all = work.wait(|catalog| async move { catalog.repositories().await })?;
    let same =
        |known: &RepositoryDefinition| known.address.as_deref().and_then(bucket) == bucket(address);
    let (name, definition) = match all.into_iter().find(|known| same(&known.value)) {
        Some(found) => (found.name, found.value),
        None => (
            repository.to_owned(),
            work.repository_definition(repository)?,
        ),
    };
    let cancel = context.cancel.clone();
    let options = work
        .machine
        .storage_options(&name, address, &definition, cancel)?;
    Ok(PackageTarget::Bucket {
        address: address.to_owned(),
        options: Box::new(options),
    })
}

/// Makes a folder that only this account can look into; one that is there stays as it is. It is the last step before
/// something is written to it.
pub(super) fn make_private_folder(work: &Work<'_>, folder: &Path) -> Result<(), Failure> {
    Ok(own_folder::make(&work.places.exports(), folder)?)
}

/// A finished upload becomes a backup; its file goes when it is one, and when it can never be one.
pub(super) fn import(work: &Work<'_>, spec: &ImportSpec) -> Result<Done, Failure> {
    // An upload's id is made by the server; what is not one must not reach the file system.
    if spec.upload.is_empty()
        || !spec
            .upload
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-')
    {
        return Err(Failure::invalid("this is no id of an upload"));
    }
    let path = work.places.incoming().join(&spec.upload);
    let app = work.app(&spec.app)?;
    let context = work.context(Some(&app));
    let repository = work.open(&spec.repository, &context)?;
    let origin = Origin {
        policy: None,
        job: Some(work.job.id.clone()),
    };
    let environment = spec.environment.clone().or(app.environment.clone());
    let compression_level = spec.compression.or(app.compression).unwrap_or(1);
    let taken = match package::looks_like_package(&path) {
        true => {
            let request = TakeInRequest {
                from_afar: true,
                from: PackageSource::File(path.clone()),
                identities: Vec::new(),
                app: Some(spec.app.clone()),
                environment,
                description: spec.description.clone(),
                tags: spec.tags.clone(),
                compression_level,
                max_bytes: spec.max_bytes,
                origin,
            };
            package::take_in(&repository, &request, &context)
        }
        false => {
            let request = ImportRequest {
                path: path.clone(),
                app: spec.app.clone(),
                environment: environment.unwrap_or_default(),
                database: spec.database.clone(),
                description: match spec.description.as_str() {
                    "" => format!("uploaded as {}", spec.file_name),
                    given => given.to_owned(),
                },
                tags: spec.tags.clone(),
                compression_level,
                max_bytes: spec.max_bytes,
                origin,
            };
            import::run(&repository, &request, &context)
        }
    };
    let report = match taken {
        Ok(report) => report,
        Err(e) => {
            // What is no dump, or a damaged one, will not become one.
            if matches!(e.code, ErrorCode::Damaged | ErrorCode::InvalidRequest) {
                clear_away(work, &spec.upload, &path);
            }
            return Err(as_named(e, &path, &spec.file_name).into());
        }
    };
    super::backup::keep_only_if_ours(work, &repository, &report)?;
    rows::record_new(work, &spec.repository, &repository, &report)?;
    clear_away(work, &spec.upload, &path);
    work.done(&report)
}

/// An error that calls the file by the name that its sender knows, not by its place here.
fn as_named(mut error: Error, path: &Path, file_name: &str) -> Error {
    let name = match file_name {
        "" => "the file",
        name => name,
    };
    error.message = error.message.replace(&path.display().to_string(), name);
    error
}

/// Removes an upload that has served; what cannot be removed now goes when it expires.
fn clear_away(work: &Work<'_>, upload: &str, path: &Path) {
    let removed = match fs::remove_file(path) {
        Ok(()) => work
            .wait(|catalog| async move { catalog.drop_upload(upload).await })
            .map(drop),
        Err(e) => Err(Error::from(e).into()),
    };
    if let Err(e) = removed {
        work.progress
            .warn(&format!("upload {upload} cannot be removed yet: {e}"));
    }
}
