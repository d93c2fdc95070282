//! The tables that migration frameworks keep, made by the frameworks themselves.
//!
//! Each project below `crates/postgres/tests/migrations/projects` migrates an empty database with the real framework; what it
//! left there is written down as SQL, with the framework's version in the first line. Frameworks come from crates.io, PyPI,
//! npm and Debian; those that cannot be had that way have fixtures written by hand after their documentation, which this
//! leaves alone. A project of a Rust framework is a package of its own, built outside of this workspace.

use anyhow::{Context, bail, ensure};
use pgkeep_testkit::{TestPostgres, cache_dir};
use std::path::{Path, PathBuf};
use std::process::Command;

const MAJOR: u32 = 17;
const PYTHON_PACKAGES: &[&str] = &["Django~=5.2", "alembic", "psycopg[binary]", "SQLAlchemy"];
const NODE_PACKAGES: &[&str] = &[
    "knex",
    "pg",
    "sequelize",
    "umzug",
    "typeorm",
    "reflect-metadata",
    "dbmate",
    "prisma",
    "@prisma/schema-engine-wasm",
    "@prisma/adapter-pg",
    "@prisma/driver-adapter-utils",
    // The last version that has Liquibase's own jars inside.
    "liquibase@4.28.1",
];
const DEBIAN_PACKAGES: &[&str] = &[
    "ruby-activerecord",
    "ruby-pg",
    "php-cli",
    "php-pgsql",
    "php-illuminate-database",
    "php-illuminate-filesystem",
    "php-illuminate-events",
    "default-jre-headless",
    "libpq-dev",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Make only the fixtures of these frameworks
    #[arg(value_name = "FRAMEWORK")]
    frameworks: Vec<String>,
}

/// How a project's maker is run, and what tells the framework's version.
struct Maker {
    framework: &'static str,
    program: Program,
    script: &'static str,
    version: Version,
}

enum Program {
    Python,
    Node,
    Ruby,
    Php,
    Dbmate,
    /// Java, with npm's package of Liquibase; the project's last change set is left out.
    Liquibase,
    /// A package of its own.
    Cargo,
}

enum Version {
    /// The maker tells it when it is called with `version`.
    Told,
    /// A program's own word.
    Flag(&'static str),
    /// A Debian package's, after a title.
    Package(&'static str, &'static str),
    /// An npm package's, after a title.
    Npm(&'static str, &'static str),
    /// That of a dependency of the maker, after a title.
    Crate(&'static str, &'static str),
}

const MAKERS: &[Maker] = &[
    maker("django", Program::Python, "make.py", Version::Told),
    maker("alembic", Program::Python, "make.py", Version::Told),
    maker("knex", Program::Node, "make.cjs", Version::Told),
    maker("sequelize", Program::Node, "make.cjs", Version::Told),
    maker("typeorm", Program::Node, "make.cjs", Version::Told),
    maker("rails", Program::Ruby, "make.rb", Version::Told),
    maker(
        "laravel",
        Program::Php,
        "make.php",
        Version::Package("Laravel (illuminate/database)", "php-illuminate-database"),
    ),
    maker("dbmate", Program::Dbmate, "", Version::Flag("--version")),
    maker("prisma", Program::Node, "make.cjs", Version::Told),
    maker(
        "liquibase",
        Program::Liquibase,
        "",
        Version::Npm("Liquibase (npm's liquibase)", "liquibase"),
    ),
    maker("sqlx", Program::Cargo, "", Version::Crate("SQLx", "sqlx")),
    maker(
        "diesel",
        Program::Cargo,
        "",
        Version::Crate("Diesel (diesel_migrations)", "diesel_migrations"),
    ),
    maker(
        "refinery",
        Program::Cargo,
        "",
        Version::Crate("Refinery", "refinery-core"),
    ),
    maker(
        "sea_orm",
        Program::Cargo,
        "",
        Version::Crate("SeaORM (sea-orm-migration)", "sea-orm-migration"),
    ),
];

const fn maker(
    framework: &'static str,
    program: Program,
    script: &'static str,
    version: Version,
) -> Maker {
    Maker {
        framework,
        program,
        script,
        version,
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/postgres/tests/migrations");
    for name in &options.frameworks {
        ensure!(
            MAKERS.iter().any(|m| m.framework == name),
            "no fixture is made for {name}: its fixture is written by hand, or there is none"
        );
    }
    let tools = install()?;
    let server = TestPostgres::start(MAJOR);
    let wanted = |m: &&Maker| {
        options.frameworks.is_empty() || options.frameworks.iter().any(|f| f == m.framework)
    };
    for maker in MAKERS.iter().filter(wanted) {
        let sql = make(maker, &folder.join("projects"), &server, &tools)
            .with_context(|| format!("fixture of {}", maker.framework))?;
        let file = folder.join(format!("fixtures/{}.sql", maker.framework));
        std::fs::write(&file, sql).with_context(|| file.display().to_string())?;
        println!("{}", file.display());
    }
    Ok(())
}

/// Where the frameworks are.
struct Tools {
    python: PathBuf,
    node_modules: PathBuf,
}

fn install() -> anyhow::Result<Tools> {
    let folder = cache_dir().join("migrations");
    let python = folder.join("venv/bin/python");
    if !python.is_file() {
        must(
            Command::new("python3")
                .arg("-m")
                .arg("venv")
                .arg(folder.join("venv")),
        )?;
    }
    must(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(PYTHON_PACKAGES),
    )?;
    let npm = folder.join("npm");
    std::fs::create_dir_all(&npm)?;
    must(
        Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
            .arg(&npm)
            .args(NODE_PACKAGES),
    )?;
    let installed = Command::new("dpkg-query")
        .arg("-W")
        .args(DEBIAN_PACKAGES)
        .output()
        .is_ok_and(|out| out.status.success());
    if !installed {
        bail!("install these first: {}", DEBIAN_PACKAGES.join(" "));
    }
    Ok(Tools {
        python,
        node_modules: npm.join("node_modules"),
    })
}

/// Lets the project migrate an empty database and gives what lies there then, as SQL.
fn make(
    maker: &Maker,
    projects: &Path,
    server: &TestPostgres,
    tools: &Tools,
) -> anyhow::Result<String> {
    let project = projects.join(maker.framework).canonicalize()?;
    let database = format!("made_by_{}", maker.framework);
    server.psql(
        "postgres",
        &format!("CREATE DATABASE {database} TEMPLATE template0"),
    );
    let url = server.url_for(&database);
    let program = match maker.program {
        Program::Python => tools.python.clone(),
        Program::Node => "node".into(),
        Program::Ruby => "ruby".into(),
        Program::Php => "php".into(),
        Program::Dbmate => tools.node_modules.join(".bin/dbmate"),
        Program::Liquibase => "java".into(),
        Program::Cargo => build(maker.framework, &project)?,
    };
    let command = || {
        let mut command = Command::new(&program);
        command
            .env("DATABASE_URL", &url)
            .env("NODE_PATH", &tools.node_modules)
            .env("PROJECT", &project);
        if !maker.script.is_empty() {
            command.arg(project.join(maker.script));
        }
        command
    };
    match maker.program {
        Program::Dbmate => must(
            command()
                .env("DATABASE_URL", format!("{url}?sslmode=disable"))
                .args(["--no-dump-schema", "--migrations-dir"])
                .arg(project.join("db/migrations"))
                .arg("up"),
        )?,
        Program::Liquibase => must(&mut liquibase(
            command(),
            &project,
            tools,
            server,
            &database,
        ))?,
        _ => must(&mut command())?,
    };
    let version = match maker.version {
        Version::Told => must(command().arg("version"))?,
        Version::Flag(flag) => must(command().arg(flag))?,
        Version::Package(title, package) => {
            let version =
                must(Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]))?;
            format!("{title} {version}")
        }
        Version::Npm(title, package) => {
            let told = tools.node_modules.join(package).join("package.json");
            let told: serde_json::Value = serde_json::from_slice(&std::fs::read(told)?)?;
            format!("{title} {}", told["version"].as_str().unwrap_or_default())
        }
        Version::Crate(title, name) => {
            let spec = format!("--package={name}");
            let mut cargo = Command::new("cargo");
            cargo.args(["pkgid", &spec, "--manifest-path"]);
            let id = must(cargo.arg(built_in(maker.framework).join("Cargo.toml")))?;
            let version = id.trim().rsplit(['@', '#']).next().unwrap_or_default();
            format!("{title} {version}")
        }
    };
    let dump = must(
        Command::new(server.bin_dir().join("pg_dump"))
            .args(["--no-owner", "--no-privileges", "--inserts", "--dbname"])
            .arg(&url),
    )?;
    Ok(format!(
        "-- Made by {}; see xtask/src/fixtures.rs.\n{}",
        version.trim(),
        essence(&dump)
    ))
}

/// Where a package is built: beside this workspace's own output, so that it is no part of the workspace.
fn built_in(framework: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/fixtures/{framework}"))
}

/// Builds a project that is a package of its own; its program.
fn build(framework: &str, project: &Path) -> anyhow::Result<PathBuf> {
    let folder = built_in(framework);
    std::fs::create_dir_all(folder.join("src"))?;
    std::fs::copy(project.join("Cargo.toml"), folder.join("Cargo.toml"))?;
    for entry in std::fs::read_dir(project.join("src"))? {
        let path = entry?.path();
        let name = path.file_name().context("a file has a name")?;
        std::fs::copy(&path, folder.join("src").join(name))?;
    }
    let target = folder.with_file_name("build");
    must(
        Command::new("cargo")
            .args([
                "build",
                "--quiet",
                "-j2",
                "--config=profile.dev.debug=false",
            ])
            .arg("--manifest-path")
            .arg(folder.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target),
    )?;
    Ok(target.join(format!("debug/made-by-{}", framework.replace('_', "-"))))
}

/// Runs all change sets but the last one.
fn liquibase(
    mut java: Command,
    project: &Path,
    tools: &Tools,
    server: &TestPostgres,
    database: &str,
) -> Command {
    let home = tools.node_modules.join("liquibase/dist/liquibase");
    java.arg("-cp")
        .arg(home.join("internal/lib/*"))
        .arg("liquibase.integration.commandline.LiquibaseCommandLine")
        .arg("--show-banner=false")
        .arg(format!("--search-path={}", project.display()))
        .arg("update-count")
        .args(["--changelog-file=changelog.xml", "--contexts=production"])
        .arg("--count=6")
        .arg(format!(
            "--url=jdbc:postgresql://127.0.0.1:{}/{database}",
            server.port()
        ))
        .arg("--username=postgres");
    java
}

/// What a dump says, without comments, settings and psql's own commands.
fn essence(dump: &str) -> String {
    let mut text = String::new();
    for line in dump.lines() {
        let noise = line.is_empty()
            || line.starts_with("--")
            || line.starts_with('\\')
            || line.starts_with("SET ")
            || line.starts_with("SELECT pg_catalog.set_config");
        if !noise {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Runs a program that must succeed; what it printed.
fn must(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
