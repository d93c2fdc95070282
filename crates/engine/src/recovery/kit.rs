//! The recovery kit: all that a person needs to get the data back without pgkeep.

use super::{IN_THREE_STEPS, stock_restore};
use crate::Result;
use jiff::Timestamp;
use pgkeep_repository::Repository;
use secrecy::{ExposeSecret, SecretString};

/// The kit of a repository that `key` has opened.
pub fn of(
    repository: &Repository,
    address: &str,
    key: &SecretString,
    now: Timestamp,
) -> Result<SecretString> {
    let file = repository.keys().current_file()?;
    Ok(text(address, &repository.id(), key, &file, now))
}

/// The kit's text. It holds the key, so it is a secret itself.
pub fn text(
    address: &str,
    repository_id: &str,
    key: &SecretString,
    (key_file, content): &(String, String),
    now: Timestamp,
) -> SecretString {
    let restic = restic_address(address);
    let load = stock_restore("shop", "./recovered/databases/shop").join("\n  ");
    SecretString::from(format!(
        "\
PGKEEP RECOVERY KIT                                            made {}

Keep this where a fire, a thief or a broken disk that takes the database and the backups does not
take it too: a password manager, or paper in a safe. Whoever has it and can reach the repository can
read every backup. Without the key nobody can.

Repository   {address}
Id           {repository_id}
Key          {}

Recover with pgkeep:

  BACKUP_ENCRYPTION_KEY='<key>' pgkeep list --repo '{address}'
  BACKUP_ENCRYPTION_KEY='<key>' pgkeep restore latest --into recovered --repo '{address}' --admin-url postgres://…

Recover without pgkeep: the repository is in the public format of restic (0.14 or newer), and each
backup holds a directory dump of PostgreSQL. The three pg_restore stay three,
{IN_THREE_STEPS}.

  export RESTIC_PASSWORD='<key>'
  restic -r '{restic}' snapshots
  restic -r '{restic}' restore latest --target ./recovered
  psql -d postgres -f ./recovered/globals.sql          (roles and tablespaces, where they are missing)
  createdb --template=template0 shop
  {load}

The key opens a small file of the repository, in which the real one lies. Should the repository lose that
file, write it again, in one line and without a newline at its end, as {key_file}:

{content}
",
        now.strftime("%Y-%m-%d %H:%M UTC"),
        key.expose_secret()
    ))
}

/// The address in restic's own spelling.
fn restic_address(address: &str) -> String {
    let Some(rest) = address.strip_prefix("s3://") else {
        return address
            .strip_prefix("file://")
            .unwrap_or(address)
            .to_owned();
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let endpoint = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("endpoint="));
    format!(
        "s3:{}/{path}",
        endpoint
            .unwrap_or("https://s3.amazonaws.com")
            .trim_end_matches('/')
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kit_holds_all_that_is_needed() {
        let now = "2026-11-21T08:43:00Z".parse().unwrap();
        let kit = text(
            "s3://bucket/shop?endpoint=http://127.0.0.1:9000&region=x",
            "1a2b",
            &"AAAAA-BBBBB".into(),
            &("keys/3c4d".into(), r#"{"kdf":"scrypt"}"#.into()),
            now,
        );
        insta::assert_snapshot!(kit.expose_secret());
    }
}
