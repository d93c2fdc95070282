//! The migrations that the app's code holds, read from its folder.
//!
//! Nothing of the code is run: names of files tell, and for Django and Alembic a look into them. Checksums are computed as
//! the tools do it, see `checksums`; Liquibase's change logs are read by `changelog`. Statements of the user's cannot be
//! told this way.

use super::{changelog, checksums};
use pgkeep_model::{
    app::Framework,
    migrations::{CodeMigration, CodeMigrations},
};
use sha2::{Digest, Sha256, Sha384};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How deep Django's apps may lie below the folder, and Flyway's scripts.
const DEEPEST: usize = 8;
/// Folders looked into at most: a mistaken path must not have the whole machine searched.
const MOST_FOLDERS: usize = 20_000;
/// A larger file is no migration that tells its name in a few lines.
const LARGEST: u64 = 4 << 20;

/// The migrations of a framework in a folder, or in the place below it that is usual for the framework; `None` where
/// there are none.
///
/// # Errors
/// A folder or a file that cannot be read.
pub fn in_folder(framework: Framework, folder: &Path) -> io::Result<Option<CodeMigrations>> {
    // A folder that is not there is an error, never an app without migrations.
    fs::read_dir(folder)?;
    if framework == Framework::Liquibase {
        let found = changelog::in_folder(folder)?;
        return Ok((!found.is_empty()).then(|| CodeMigrations::new(framework, found)));
    }
    // The usual place first: a project's own folder holds scripts that only look like migrations.
    let places = usual_places(framework)
        .iter()
        .map(|place| folder.join(place))
        .chain(std::iter::once(folder.to_owned()));
    for place in places.filter(|place| place.is_dir()) {
        let found = match framework {
            Framework::Django => django(&place)?,
            Framework::Flyway => flyway(&place)?,
            _ => flat(framework, &place)?,
        };
        if !found.is_empty() {
            return Ok(Some(CodeMigrations::new(framework, found)));
        }
    }
    Ok(None)
}

fn usual_places(framework: Framework) -> &'static [&'static str] {
    match framework {
        Framework::Rails => &["db/migrate"],
        Framework::Alembic => &["versions", "alembic/versions", "migrations/versions"],
        Framework::Flyway => &["src/main/resources/db/migration", "db/migration", "sql"],
        Framework::Prisma => &["prisma/migrations", "migrations"],
        Framework::Laravel => &["database/migrations", "migrations"],
        Framework::Ecto => &["priv/repo/migrations"],
        Framework::EfCore => &["Migrations"],
        Framework::SeaOrm => &["src", "migration/src"],
        Framework::TypeOrm => &["migrations", "src/migrations", "src/migration"],
        Framework::Dbmate | Framework::Goose | Framework::GolangMigrate => {
            &["db/migrations", "migrations"]
        }
        _ => &["migrations"],
    }
}

/// Migrations that lie side by side in one folder, as files or as folders.
fn flat(framework: Framework, folder: &Path) -> io::Result<Vec<CodeMigration>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let Ok(file) = entry.file_name().into_string() else {
            continue;
        };
        let is_folder = path.is_dir();
        let migration = match framework {
            Framework::Alembic if !is_folder => alembic(&file, &path)?,
            Framework::Prisma if is_folder => prisma(&file, &path)?,
            Framework::Diesel if is_folder => path
                .join("up.sql")
                .is_file()
                .then(|| file.split_once('_').map_or(file.as_str(), |(v, _)| v))
                .map(|version| named(version.replace('-', ""), &file)),
            Framework::Sqlx if !is_folder => sqlx(&file, &path)?,
            Framework::Refinery if !is_folder => refinery(&file, &path)?,
            _ if !is_folder => name_of(framework, &file).map(|name| named(name, stem(&file))),
            _ => None,
        };
        found.extend(migration);
    }
    Ok(found)
}

fn named(name: impl Into<String>, title: &str) -> CodeMigration {
    CodeMigration {
        name: name.into(),
        title: title.to_owned(),
        ..CodeMigration::default()
    }
}

/// Under which name the framework writes down the migration in this file; `None` for other files.
fn name_of(framework: Framework, file: &str) -> Option<String> {
    let version = |ends: &[&str]| -> Option<String> {
        ends.iter().find_map(|end| file.strip_suffix(end))?;
        let (digits, rest) = split_digits(file);
        (!digits.is_empty() && rest.starts_with('_')).then(|| digits.to_owned())
    };
    match framework {
        Framework::Rails => version(&[".rb"]),
        Framework::Ecto => version(&[".exs", ".ex"]),
        Framework::Dbmate => version(&[".sql"]),
        Framework::Sqlx if file.ends_with(".down.sql") => None,
        Framework::Sqlx => version(&[".sql"]),
        Framework::Goose if file.ends_with("_test.go") => None,
        Framework::Goose => version(&[".sql", ".go"]),
        Framework::GolangMigrate => version(&[".up.sql", ".up.pgsql"]),
        Framework::Refinery => {
            let rest = file.strip_prefix(['V', 'U'])?;
            let (digits, rest) = split_digits(rest);
            let ends = rest.ends_with(".sql") || rest.ends_with(".rs");
            (!digits.is_empty() && rest.starts_with("__") && ends).then(|| digits.to_owned())
        }
        Framework::SeaOrm => {
            let name = file.strip_suffix(".rs")?;
            let (date, rest) = split_digits(name.strip_prefix('m')?);
            let (time, rest) = split_digits(rest.strip_prefix('_')?);
            let fits = date.len() == 8 && time.len() == 6 && rest.starts_with('_');
            fits.then(|| name.to_owned())
        }
        Framework::Knex | Framework::Sequelize => script(file).map(|_| file.to_owned()),
        Framework::TypeOrm => {
            let name = script(file)?;
            let (time, rest) = split_digits(name);
            let rest = rest.strip_prefix('-')?;
            (time.len() >= 10).then(|| format!("{rest}{time}"))
        }
        Framework::Laravel => {
            let name = file.strip_suffix(".php")?;
            let year = split_digits(name);
            (year.0.len() == 4 && year.1.starts_with('_')).then(|| name.to_owned())
        }
        Framework::EfCore => {
            let name = file.strip_suffix(".cs")?;
            let (time, rest) = split_digits(name);
            let fits = time.len() == 14 && rest.starts_with('_') && !name.ends_with(".Designer");
            fits.then(|| name.to_owned())
        }
        Framework::Django
        | Framework::Alembic
        | Framework::Flyway
        | Framework::Prisma
        | Framework::Diesel
        | Framework::Liquibase
        | Framework::Query => None,
    }
}

/// The migration that a word in a list names: as the framework writes it down, or as its file is called.
pub(super) fn listed(framework: Framework, word: &str) -> Option<CodeMigration> {
    let (digits, rest) = split_digits(word);
    let begins_with_number = !digits.is_empty();
    let name = match framework {
        Framework::Rails
        | Framework::Ecto
        | Framework::Dbmate
        | Framework::Sqlx
        | Framework::Goose
        | Framework::GolangMigrate => {
            let fits = begins_with_number && (rest.is_empty() || rest.starts_with('_'));
            (fits && !rest.contains(".down.")).then(|| digits.to_owned())
        }
        Framework::Diesel => begins_with_number.then(|| {
            let version = word.split_once('_').map_or(word, |(version, _)| version);
            version.replace('-', "")
        }),
        Framework::Refinery if begins_with_number => rest.is_empty().then(|| digits.to_owned()),
        Framework::Refinery => {
            let (digits, rest) = split_digits(word.strip_prefix(['V', 'U'])?);
            (!digits.is_empty() && rest.starts_with("__")).then(|| digits.to_owned())
        }
        Framework::SeaOrm => name_of(framework, &format!("{}.rs", stem(word))),
        Framework::Laravel => name_of(framework, &format!("{}.php", stem(word))),
        Framework::EfCore => name_of(framework, &format!("{}.cs", stem(word))),
        Framework::TypeOrm => {
            let time = word.bytes().rev().take_while(u8::is_ascii_digit).count();
            name_of(framework, word).or_else(|| (time >= 10).then(|| word.to_owned()))
        }
        Framework::Knex | Framework::Sequelize => {
            (begins_with_number || script(word).is_some()).then(|| word.to_owned())
        }
        Framework::Prisma => begins_with_number.then(|| word.to_owned()),
        Framework::Django
        | Framework::Alembic
        | Framework::Flyway
        | Framework::Liquibase
        | Framework::Query => None,
    }?;
    let title = match name == word {
        true => String::new(),
        false => stem(word).to_owned(),
    };
    Some(named(name, &title))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// The name without its ending, for JavaScript and TypeScript; declarations alone are no migration.
fn script(file: &str) -> Option<&str> {
    let (name, ending) = file.rsplit_once('.')?;
    let known = ["js", "ts", "cjs", "mjs", "cts", "mts"].contains(&ending);
    (known && !name.ends_with(".d")).then_some(name)
}

/// The file's name without its ending, or endings such as `.up.sql`.
fn stem(file: &str) -> &str {
    let name = file.rsplit_once('.').map_or(file, |(name, _)| name);
    name.strip_suffix(".up").unwrap_or(name)
}

/// SQLx keeps the SHA-384 of a file; a second file of the same version would only take the change back.
fn sqlx(file: &str, path: &Path) -> io::Result<Option<CodeMigration>> {
    let Some(version) = name_of(Framework::Sqlx, file) else {
        return Ok(None);
    };
    let mut migration = named(version, stem(file));
    migration.checksums = vec![hex::encode(Sha384::digest(fs::read(path)?))];
    Ok(Some(migration))
}

/// Refinery keeps a hash of name, version and text of what is SQL.
fn refinery(file: &str, path: &Path) -> io::Result<Option<CodeMigration>> {
    let Some(version) = name_of(Framework::Refinery, file) else {
        return Ok(None);
    };
    let mut migration = named(version.as_str(), stem(file));
    let name = file
        .strip_suffix(".sql")
        .and_then(|name| Some(name.split_once("__")?.1));
    if let (Some(name), Ok(text)) = (name, String::from_utf8(fs::read(path)?)) {
        migration.checksums = checksums::refinery(name, &version, &text);
    }
    Ok(Some(migration))
}

/// Prisma keeps the SHA-256 of `migration.sql`, and lets line endings differ.
fn prisma(folder: &str, path: &Path) -> io::Result<Option<CodeMigration>> {
    let text = match fs::read(path.join("migration.sql")) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut migration = named(folder, folder);
    if !text.contains(&b'\r') {
        migration.checksums = vec![hex::encode(Sha256::digest(&text))];
    }
    Ok(Some(migration))
}

/// Flyway's scripts and classes, with the checksums of scripts. Folders are looked into.
fn flyway(folder: &Path) -> io::Result<Vec<CodeMigration>> {
    let mut found = Vec::new();
    walk(folder, &mut |path, file| {
        if let Some((name, title)) = flyway_name(file) {
            let mut migration = named(name, &title);
            if file.ends_with(".sql") {
                let repeatable = migration.name.starts_with("R__");
                migration.checksums = checksums::flyway(&fs::read(path)?, repeatable)
                    .into_iter()
                    .collect();
            }
            found.push(migration);
        }
        Ok(())
    })?;
    Ok(found)
}

/// `V1_2__words.sql` is version 1.2, `R__words.sql` is run again whenever it changes; the second is the title.
pub(super) fn flyway_name(file: &str) -> Option<(String, String)> {
    let (prefix, words) = file.split_once("__")?;
    match prefix.strip_prefix('V').map(|v| v.replace('_', ".")) {
        Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) => {
            Some((version, stem(file).to_owned()))
        }
        None if prefix == "R" => {
            let name = format!("R__{}", stem(words));
            Some((name.clone(), name))
        }
        _ => None,
    }
}

/// `<app>/migrations/NNNN_*.py` below the folder, by app label.
fn django(folder: &Path) -> io::Result<Vec<CodeMigration>> {
    let mut found = Vec::new();
    walk(folder, &mut |path, file| {
        let parent = path.parent().filter(|p| p.ends_with("migrations"));
        let (Some(app), Some(name)) = (parent.and_then(Path::parent), file.strip_suffix(".py"))
        else {
            return Ok(());
        };
        if name.starts_with(['_', '~']) {
            return Ok(());
        }
        let text = read_text(path)?;
        // What is no class of this name is no migration to Django either.
        if !text.contains("class Migration") {
            return Ok(());
        }
        let label = django_label(app)?;
        let strings = assigned(&text, "replaces").map(quoted).unwrap_or_default();
        let pairs = strings.chunks_exact(2);
        found.push(CodeMigration {
            label,
            name: name.to_owned(),
            replaces: pairs
                .map(|pair| format!("{}.{}", pair[0], pair[1]))
                .collect(),
            ..CodeMigration::default()
        });
        Ok(())
    })?;
    Ok(found)
}

/// The label that the app's configuration gives, else the folder's name.
fn django_label(app: &Path) -> io::Result<String> {
    let configuration = app.join("apps.py");
    if configuration.is_file() {
        let text = read_text(&configuration)?;
        if let Some(label) = assigned(&text, "label")
            .map(quoted)
            .unwrap_or_default()
            .pop()
        {
            return Ok(label);
        }
    }
    let name = app.file_name().unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// `revision` and `down_revision` of a file of Alembic's.
fn alembic(file: &str, path: &Path) -> io::Result<Option<CodeMigration>> {
    if !file.ends_with(".py") {
        return Ok(None);
    }
    let text = read_text(path)?;
    let strings = |name: &str| assigned(&text, name).map(quoted).unwrap_or_default();
    let Some(revision) = strings("revision").pop() else {
        return Ok(None);
    };
    let mut parents = strings("down_revision");
    parents.extend(strings("depends_on"));
    Ok(Some(CodeMigration {
        name: revision,
        title: stem(file).to_owned(),
        parents,
        ..CodeMigration::default()
    }))
}

/// What is assigned to a name in Python: the rest of the line, or up to the closing bracket.
fn assigned<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut from = 0;
    for line in text.split_inclusive('\n') {
        let start = from;
        from += line.len();
        let Some(rest) = line.trim_start().strip_prefix(name) else {
            continue;
        };
        // `name = ...` or `name: Type = ...`, and no other word that begins alike.
        if !rest.starts_with([' ', '=', ':']) {
            continue;
        }
        let Some(equals) = line.find('=') else {
            continue;
        };
        let value = &text[start + equals + 1..];
        let line = value.lines().next().unwrap_or_default();
        return Some(match line.trim_start().chars().next() {
            Some('(') => up_to_closing(value, '(', ')'),
            Some('[') => up_to_closing(value, '[', ']'),
            _ => line,
        });
    }
    None
}

fn up_to_closing(text: &str, open: char, close: char) -> &str {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return &text[..i];
            }
        }
    }
    text
}

/// The texts in quotes, without those in comments.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        while let Some(start) = rest.find(['"', '\'', '#']) {
            let mark = &rest[start..=start];
            if mark == "#" {
                break;
            }
            let Some(end) = rest[start + 1..].find(mark) else {
                break;
            };
            found.push(rest[start + 1..start + 1 + end].to_owned());
            rest = &rest[start + end + 2..];
        }
    }
    found
}

fn read_text(path: &Path) -> io::Result<String> {
    match path.metadata()?.len() > LARGEST {
        true => Ok(String::new()),
        false => Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned()),
    }
}

/// Every file below a folder, but for what tools and virtual environments put there.
pub(super) fn walk(
    folder: &Path,
    visit: &mut dyn FnMut(&Path, &str) -> io::Result<()>,
) -> io::Result<()> {
    let mut open: Vec<(PathBuf, usize)> = vec![(folder.to_owned(), 0)];
    let mut seen = 0;
    while let Some((folder, depth)) = open.pop() {
        seen += 1;
        if seen > MOST_FOLDERS {
            return Err(io::Error::other(format!(
                "more than {MOST_FOLDERS} folders: name the folder that holds the migrations"
            )));
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                let foreign = [
                    "node_modules",
                    "site-packages",
                    "venv",
                    "__pycache__",
                    "target",
                ];
                if depth < DEEPEST && !name.starts_with('.') && !foreign.contains(&name.as_str()) {
                    open.push((path, depth + 1));
                }
            } else {
                visit(&path, &name)?;
            }
        }
    }
    Ok(())
}
