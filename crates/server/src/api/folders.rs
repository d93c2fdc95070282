//! Places outside the server that a request names: folders of its machine, and buckets.

use super::problem::{Code, Problem};
use crate::auth::Principal;
use crate::own_folder;
use crate::settings::Places;
use pgkeep_model::access::Permission;
use std::path::{Component, Path};

/// A folder anywhere on the server's machine is for those who may say where an app's files are; others get theirs in the
/// server's own folder for exports. `field` is the request's.
pub fn may_write_to(
    field: &str,
    folder: &str,
    who: &Principal,
    places: &Places,
) -> Result<(), Problem> {
    let path = Path::new(folder);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain || folder.len() > 4_000 || folder.contains('\0') {
        return Err(Problem::invalid(
            field,
            "the path of a folder from the root, without `..`",
        ));
    }
    let own = places.exports();
    if !may_choose(who) && (!path.starts_with(&own) || path == own) {
        return Err(Problem::new(
            Code::Forbidden,
            format!(
                "this account may write to folders below {} alone",
                own.display()
            ),
        )
        .field(field, "not a folder that this account may write to")
        .hint("name a new folder below that; any other needs `configure`, and to see all apps"));
    }
    // For everybody: what a restore left there is no place to follow links through.
    match own_folder::leads_out(&own, path) {
        None => Ok(()),
        Some(link) => Err(Problem::new(
            Code::Forbidden,
            format!(
                "{} is no folder, and below {} no link is followed",
                link.display(),
                own.display()
            ),
        )
        .field(field, "leads through something that is no folder")
        .hint("name a folder that is not inside of what was restored")),
    }
}

/// Whoever may say where an app's files are, of every app, may choose any folder and bucket.
fn may_choose(who: &Principal) -> bool {
    who.may(Permission::Configure) && who.apps.is_none()
}

/// As [`may_write_to`], where `s3://bucket/folder` may stand, too.
pub fn may_export_to(
    field: &str,
    place: &str,
    who: &Principal,
    places: &Places,
) -> Result<(), Problem> {
    if !place.starts_with("s3://") {
        return may_write_to(field, place, who, places);
    }
    if place.len() > 1_000 || place.chars().any(char::is_control) {
        return Err(Problem::invalid(
            field,
            "s3://bucket/folder, at most 1000 bytes",
        ));
    }
    match may_choose(who) {
        true => Ok(()),
        false => Err(
            Problem::new(Code::Forbidden, "this account may not choose a bucket")
                .field(field, "not a place that this account may write to")
                .hint("it needs `configure`, and to see all apps"),
        ),
    }
}
