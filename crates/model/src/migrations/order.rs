//! What the tools write down, and which migrations they would run: the rules that comparisons rest on.

use crate::app::Framework;
use std::cmp::Ordering;

/// What the order of a tool's migrations means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Whatever is missing is run, wherever it stands.
    Any,
    /// Only what comes after the newest applied one is run; something missing before it is a fault.
    Linear,
    /// Only the newest version is written down.
    Newest,
    /// Only the heads of a graph are written down.
    Heads,
}

impl Framework {
    pub(super) fn order(self) -> Order {
        match self {
            Framework::Alembic => Order::Heads,
            Framework::GolangMigrate => Order::Newest,
            Framework::Flyway | Framework::Refinery | Framework::Goose | Framework::Query => {
                Order::Linear
            }
            _ => Order::Any,
        }
    }

    /// True where migrations belong to parts of the app that are numbered each on their own.
    pub(super) fn has_labels(self) -> bool {
        self == Framework::Django
    }

    /// As it stands in configuration and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Framework::Django => "django",
            Framework::Rails => "rails",
            Framework::Alembic => "alembic",
            Framework::Flyway => "flyway",
            Framework::Liquibase => "liquibase",
            Framework::Prisma => "prisma",
            Framework::Sqlx => "sqlx",
            Framework::Diesel => "diesel",
            Framework::Refinery => "refinery",
            Framework::SeaOrm => "sea_orm",
            Framework::GolangMigrate => "golang_migrate",
            Framework::Goose => "goose",
            Framework::Dbmate => "dbmate",
            Framework::Knex => "knex",
            Framework::Sequelize => "sequelize",
            Framework::TypeOrm => "type_orm",
            Framework::Laravel => "laravel",
            Framework::EfCore => "ef_core",
            Framework::Ecto => "ecto",
            Framework::Query => "query",
        }
    }

    /// As its makers write it.
    pub fn title(self) -> &'static str {
        match self {
            Framework::Django => "Django",
            Framework::Rails => "Rails",
            Framework::Alembic => "Alembic",
            Framework::Flyway => "Flyway",
            Framework::Liquibase => "Liquibase",
            Framework::Prisma => "Prisma",
            Framework::Sqlx => "SQLx",
            Framework::Diesel => "Diesel",
            Framework::Refinery => "Refinery",
            Framework::SeaOrm => "SeaORM",
            Framework::GolangMigrate => "golang-migrate",
            Framework::Goose => "goose",
            Framework::Dbmate => "dbmate",
            Framework::Knex => "Knex",
            Framework::Sequelize => "Sequelize",
            Framework::TypeOrm => "TypeORM",
            Framework::Laravel => "Laravel",
            Framework::EfCore => "EF Core",
            Framework::Ecto => "Ecto",
            Framework::Query => "query",
        }
    }
}

/// Under which a migration is looked for: what is the same to the tool is the same here, such as `01.2` and `1.2.0` to
/// Flyway, or a file with and without its ending to those that run JavaScript and TypeScript alike.
pub(super) fn key(framework: Framework, name: &str) -> String {
    match framework {
        Framework::Flyway if is_repeatable(framework, name) => name.to_owned(),
        Framework::Flyway => {
            let mut parts: Vec<&str> = name
                .split(['.', '_'])
                .map(|part| match part.trim_start_matches('0') {
                    "" => "0",
                    digits => digits,
                })
                .collect();
            while parts.len() > 1 && parts.last() == Some(&"0") {
                parts.pop();
            }
            parts.join(".")
        }
        Framework::Sqlx
        | Framework::Refinery
        | Framework::GolangMigrate
        | Framework::Goose
        | Framework::Ecto => match name.trim_start_matches('0') {
            "" => "0".to_owned(),
            digits => digits.to_owned(),
        },
        Framework::Knex | Framework::Sequelize => [".js", ".ts", ".mjs", ".cjs", ".mts", ".cts"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .unwrap_or(name)
            .to_owned(),
        // A class ends with the time that its file's name begins with; how it is spelled before that is free.
        Framework::TypeOrm => {
            let time = &name[name.len() - digits_at_end(name)..];
            if time.len() >= 10 { time } else { name }.to_owned()
        }
        _ => name.to_owned(),
    }
}

fn digits_at_end(text: &str) -> usize {
    text.bytes().rev().take_while(u8::is_ascii_digit).count()
}

/// True for what Flyway runs again whenever its text changes.
pub(super) fn is_repeatable(framework: Framework, name: &str) -> bool {
    framework == Framework::Flyway && name.starts_with("R__")
}

/// Orders versions number by number, so that `10` comes after `9`; what is no number is ordered as text.
pub(super) fn by_version(a: &str, b: &str) -> Ordering {
    let mut left = a.split(['.', '_']);
    let mut right = b.split(['.', '_']);
    loop {
        let ordering = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u128>(), y.parse::<u128>()) {
                (Ok(x), Ok(y)) => x.cmp(&y),
                _ => x.cmp(y),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}
