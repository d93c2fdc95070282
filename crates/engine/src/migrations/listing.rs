//! What a program of the app printed as the list of its migrations.
//!
//! One name a line, as the tool writes it down, or as the file is called; so is what the tools print themselves, such as
//! Django's `showmigrations`, Alembic's `history`, the `status` of Rails, dbmate, goose, Sequelize and Laravel, Diesel's
//! `migration list`, SQLx's `migrate info` and Flyway's `info`. Lines that hold no migration are passed over.

use super::files;
use pgkeep_model::{
    app::Framework,
    migrations::{CodeMigration, CodeMigrations, qualified},
};
use std::collections::BTreeSet;

/// The migrations in a list. `recorded` are those that the databases have, for a list does not say what a squashed migration
/// stands for.
pub(super) fn parse(
    framework: Framework,
    lines: &[String],
    recorded: &BTreeSet<String>,
) -> CodeMigrations {
    // What the database knows and the code does not is listed by some, too.
    let lines = lines
        .iter()
        .map(|line| line.trim_end())
        .filter(|line| !line.contains("NO FILE") && !line.contains("FILE NOT FOUND"));
    let found = match framework {
        Framework::Django => django(lines, recorded),
        Framework::Alembic => lines.filter_map(alembic).collect(),
        Framework::Flyway => lines.filter_map(flyway).collect(),
        Framework::Query => lines.filter_map(plain).collect(),
        _ => lines.filter_map(|line| named(framework, line)).collect(),
    };
    CodeMigrations::new(framework, found)
}

fn migration(label: &str, name: &str) -> CodeMigration {
    CodeMigration {
        label: label.to_owned(),
        name: name.to_owned(),
        ..CodeMigration::default()
    }
}

/// A line without the mark that says whether the migration was applied; true where there was one.
fn unmarked(line: &str) -> (&str, bool) {
    let line = line.trim();
    for mark in ["[X]", "[x]", "[ ]", "[-]", "up ", "down ", "up\t", "down\t"] {
        if let Some(rest) = line.strip_prefix(mark) {
            return (rest.trim_start(), true);
        }
    }
    (line, false)
}

/// `label.name`, or names under the label that stands on a line of its own.
fn django<'a>(
    lines: impl Iterator<Item = &'a str>,
    recorded: &BTreeSet<String>,
) -> Vec<CodeMigration> {
    let (mut found, mut squashed, mut label) = (Vec::new(), Vec::new(), "");
    for line in lines {
        let (rest, marked) = unmarked(line);
        let Some(word) = rest.split_whitespace().next() else {
            continue;
        };
        match word.split_once('.') {
            Some((label, name)) if rest == word || marked => found.push(migration(label, name)),
            None if marked && !label.is_empty() => {
                if rest.contains(" squashed migrations)") {
                    squashed.push(found.len());
                }
                found.push(migration(label, word));
            }
            None if rest == word && !line.starts_with(char::is_whitespace) => label = word,
            _ => {}
        }
    }
    let listed: BTreeSet<String> = found.iter().map(|m| qualified(&m.label, &m.name)).collect();
    for at in squashed {
        let squashed: &mut CodeMigration = &mut found[at];
        squashed.replaces = recorded
            .iter()
            .filter(|name| !listed.contains(*name) && stands_for(squashed, name))
            .cloned()
            .collect();
    }
    found
}

/// Whether a squashed migration stands for `label.name`, by the numbers that its name begins with: `0001_squashed_0004_words`.
fn stands_for(squashed: &CodeMigration, name: &str) -> bool {
    let number = |name: &str| -> Option<u32> {
        let digits = name.bytes().take_while(u8::is_ascii_digit).count();
        name[..digits].parse().ok()
    };
    let Some((label, name)) = name.split_once('.') else {
        return false;
    };
    let last = squashed.name.split_once("_squashed_");
    let last = last.and_then(|(_, last)| number(last));
    match (number(&squashed.name), number(name), last) {
        (Some(first), Some(number), Some(last)) => {
            label == squashed.label && (first..=last).contains(&number)
        }
        _ => false,
    }
}

/// `parent, parent -> revision (head), words`: without the parents a revision says nothing.
fn alembic(line: &str) -> Option<CodeMigration> {
    let (parents, rest) = line.split_once(" -> ")?;
    let end = rest.find([' ', ',']).unwrap_or(rest.len());
    let words = rest.split_once(", ").map_or("", |(_, words)| words);
    let revision = &rest[..end];
    Some(CodeMigration {
        name: revision.to_owned(),
        title: match words {
            "" => String::new(),
            words => format!("{revision} ({words})"),
        },
        parents: parents
            .split(',')
            .map(str::trim)
            .filter(|parent| *parent != "<base>")
            .map(str::to_owned)
            .collect(),
        ..CodeMigration::default()
    })
}

/// A row of Flyway's own table, or the name of a file, or a version.
fn flyway(line: &str) -> Option<CodeMigration> {
    if let Some(row) = line.trim().strip_prefix('|') {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let &[category, version, description, _, _, state, ..] = cells.as_slice() else {
            return None;
        };
        // What only the database knows.
        if state.starts_with("Missing") || state.starts_with("Future") || state == "Deleted" {
            return None;
        }
        return match (category, version) {
            ("Versioned", version) => Some(migration("", version)),
            ("Repeatable", "") => {
                let name = format!("R__{}", description.replace(' ', "_"));
                Some(migration("", &name))
            }
            _ => None,
        };
    }
    let word = line.split_whitespace().next()?;
    if let Some((name, title)) = files::flyway_name(word) {
        return Some(CodeMigration {
            title,
            ..migration("", &name)
        });
    }
    word.starts_with(|c: char| c.is_ascii_digit())
        .then(|| migration("", word))
}

/// A name, or a group and a name with a tab between them.
fn plain(line: &str) -> Option<CodeMigration> {
    let line = line.trim();
    match line.split_once('\t') {
        _ if line.is_empty() => None,
        Some((label, name)) => Some(migration(label.trim(), name.trim())),
        None => Some(migration("", line)),
    }
}

fn named(framework: Framework, line: &str) -> Option<CodeMigration> {
    // goose writes the time before, and two hyphens between.
    let line = line.rsplit_once(" -- ").map_or(line, |(_, name)| name);
    let (line, _) = unmarked(line);
    let line = line.strip_prefix("Migration '").unwrap_or(line);
    let mut words = line
        .split([' ', '\t', '|', '\''])
        .filter(|word| !word.is_empty());
    let word = match framework {
        // A number may stand before the name; names may be anything but end with a time.
        Framework::TypeOrm => words.find(|word| word.len() > 10)?,
        Framework::Laravel => words.find(|word| word.contains('_'))?,
        Framework::Liquibase => return line.contains("::").then(|| migration("", line)),
        Framework::Sqlx => words.next()?.split('/').next()?,
        _ => words.next()?,
    };
    files::listed(framework, word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Framework::*;

    #[test]
    fn lists_are_understood_as_the_frameworks_print_them() {
        let cases: &[(Framework, &str, &str)] = &[
            (
                Django,
                "admin\n [X] 0001_initial\n [ ] 0002_more (2 squashed migrations)\nauth\n (no migrations)\n",
                "admin.0001_initial admin.0002_more",
            ),
            (
                Django,
                "[X]  auth.0001_initial\n[ ]  shop.0002_price\n",
                "auth.0001_initial shop.0002_price",
            ),
            (Django, "a.0001_x\na.0002_y\n", "a.0001_x a.0002_y"),
            (
                Alembic,
                "3c, 2b -> 4d (head) (mergepoint), merge\n1a -> 3c, stock\n1a -> 2b, price\n<base> -> 1a (branchpoint), products\n",
                "1a 2b<1a 3c<1a 4d<3c,2b",
            ),
            (
                Rails,
                "database: shop\n\n Status   Migration ID    Migration Name\n---------\n   up     20240101000000  Create products\n   up     20230101000000  ********** NO FILE **********\n  down    20240102000000  Create orders\n",
                "20240101000000 20240102000000",
            ),
            (
                Ecto,
                "Repo: Shop.Repo\n\n  Status    Migration ID    Migration Name\n---\n  up        20240101000000  products\n",
                "20240101000000",
            ),
            (
                Dbmate,
                "[X] 20240101000000_products.sql\n[ ] 20240102000000_orders.sql\n\nApplied: 1\nPending: 1\n",
                "20240101000000 20240102000000",
            ),
            (
                Diesel,
                "Migrations:\n  [X] 00000000000000_diesel_initial_setup\n  [ ] 2024-01-01-000000_products\n",
                "00000000000000 20240101000000",
            ),
            (
                Sqlx,
                "20240101000000/installed products\n20240102000000/pending orders\n",
                "20240101000000 20240102000000",
            ),
            (
                SeaOrm,
                "Checking status of migration...\nMigration 'm20240101_000001_products'... Applied\n",
                "m20240101_000001_products",
            ),
            (
                Goose,
                "    Applied At                  Migration\n    ====\n    Sun Jan  6 11:25:03 2013 -- 001_basics.sql\n    Pending                  -- 002_next.go\n",
                "001 002",
            ),
            (
                Knex,
                "Found 1 Completed Migration file/files.\n20240101000000_products.js\nNo Pending Migration files Found.\n",
                "20240101000000_products.js",
            ),
            (Sequelize, "up 1-a.js\ndown 2-b.ts\n", "1-a.js 2-b.ts"),
            (
                TypeOrm,
                "query: SELECT 1\n[X] 1 Products1704067200000\n[ ] Stock1704240000000\n",
                "Products1704067200000 Stock1704240000000",
            ),
            (
                Laravel,
                "  Migration name ....... Batch / Status\n  2024_01_01_000000_create_products_table .... [1] Ran\n| No | 2024_01_02_000000_create_orders_table | |\n",
                "2024_01_01_000000_create_products_table 2024_01_02_000000_create_orders_table",
            ),
            (
                EfCore,
                "Build started...\nBuild succeeded.\n20240101000000_Products\n20240102000000_Orders (Pending)\n",
                "20240101000000_Products 20240102000000_Orders",
            ),
            (
                Flyway,
                "Schema version: 1.1\n\n+---+\n| Category | Version | Description | Type | Installed On | State | Undoable |\n| Versioned | 1.1 | products | SQL | 2024-01-05 | Success | No |\n| Versioned | 0.9 | gone | SQL | 2024-01-05 | Missing | No |\n| Repeatable |  | all orders | SQL |  | Pending | |\n",
                "1.1 R__all_orders",
            ),
            (Flyway, "V1_2__a.sql\nR__b.sql\n3\n", "1.2 3 R__b"),
            (Refinery, "V1__a.sql\nU2__b\n3\n", "1 2 3"),
            (
                GolangMigrate,
                "000001_a.up.sql\n000001_a.down.sql\n2\n",
                "000001 2",
            ),
            (
                Prisma,
                "20240101000000_products\n",
                "20240101000000_products",
            ),
            (
                Liquibase,
                "a/changelog.xml::odd name::ann\n",
                "a/changelog.xml::odd name::ann",
            ),
            (Query, "one\n\nshop\ttwo\n", "one shop.two"),
        ];
        for (framework, text, expected) in cases {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let said: Vec<String> = parse(*framework, &lines, &BTreeSet::new())
                .migrations
                .iter()
                .map(|m| {
                    let name = qualified(&m.label, &m.name);
                    match m.parents.as_slice() {
                        [] => name,
                        parents => format!("{name}<{}", parents.join(",")),
                    }
                })
                .collect();
            assert_eq!(said.join(" "), *expected, "{framework:?}");
        }
    }

    #[test]
    fn a_squashed_migration_stands_for_those_of_its_numbers() {
        let text = "shop\n [X] 0002_squashed_0004_price (3 squashed migrations)\n [X] 0005_more\n";
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let recorded = [
            "shop.0001_a",
            "shop.0002_b",
            "shop.0002_squashed_0004_price",
            "shop.0004_d",
            "shop.0005_more",
            "auth.0003_c",
        ];
        let code = parse(Django, &lines, &recorded.map(str::to_owned).into());
        assert_eq!(code.migrations[0].replaces, ["shop.0002_b", "shop.0004_d"]);
        assert!(code.migrations[1].replaces.is_empty());
    }
}
