//! The Django package: lints, types, and its tests on each supported release of Django, against the real program.
//!
//! Each release has an environment of its own in the cache folder, made from pinned versions and made anew when those change.
//! The package is installed as users get it, from a wheel, into a folder of the checkout.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use pgkeep_testkit::cache_dir;

/// The releases with long-term support, the newest last.
const RELEASES: &[&str] = &["4.2", "5.2"];
const PACKAGE: &str = "integrations/django";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this release of Django (repeatable)
    #[arg(long)]
    release: Vec<String>,
    /// Test target/debug/pgkeep as it lies there instead of building it, such as after other tests
    #[arg(long)]
    use_built: bool,
    /// Passed to pytest
    #[arg(last = true)]
    pytest: Vec<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let releases = choose(&options.release)?;
    let program = program(options.use_built)?;
    let newest = environment(RELEASES.last().expect("there is a release"))?;
    lint(&newest)?;
    let package = install(&newest)?;
    let tests: Vec<Tests> = releases
        .into_iter()
        .map(|release| Tests::begin(release, &package, &program, &options.pytest))
        .collect::<anyhow::Result<_>>()?;
    let mut failed = Vec::new();
    for tests in tests {
        let release = tests.release;
        if !tests.finish()? {
            failed.push(release);
        }
    }
    ensure!(
        failed.is_empty(),
        "tests failed with Django {}",
        failed.join(", ")
    );
    Ok(())
}

fn choose(wanted: &[String]) -> anyhow::Result<Vec<&'static str>> {
    if wanted.is_empty() {
        return Ok(RELEASES.to_vec());
    }
    wanted
        .iter()
        .map(|name| {
            let known = RELEASES.iter().find(|release| *release == name);
            known.copied().with_context(|| {
                format!(
                    "Django {name} is not tested; there are {}",
                    RELEASES.join(", ")
                )
            })
        })
        .collect()
}

/// The program under test; built, unless what lies there is asked for.
pub(crate) fn program(use_built: bool) -> anyhow::Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join("debug/pgkeep");
    if !use_built || !program.is_file() {
        succeed(
            Command::new("cargo")
                .args(["build", "--locked", "-p", "pgkeep"])
                .current_dir(root()),
        )?;
    }
    Ok(program)
}

/// The folder of Python's environment for a release; made where its versions are not what the files say.
fn environment(release: &str) -> anyhow::Result<PathBuf> {
    let folder = cache_dir().join("django").join(release);
    let requirements = root().join(PACKAGE).join("requirements");
    let mut files = vec![
        requirements.join("tools.txt"),
        requirements.join(format!("{release}.txt")),
    ];
    if Some(&release) == RELEASES.last() {
        files.push(requirements.join("lint.txt"));
    }
    let mut wanted = String::new();
    for file in &files {
        wanted += &std::fs::read_to_string(file)
            .with_context(|| format!("reading {}", file.display()))?;
    }
    let stamp = folder.join("pgkeep-stamp");
    if std::fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == wanted) {
        return Ok(folder);
    }
    println!(
        "django: installing Django {release} into {}",
        folder.display()
    );
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("removing {}", folder.display()))?;
    }
    let venv = Command::new("python3")
        .args(["-m", "venv"])
        .arg(&folder)
        .status();
    if !venv.is_ok_and(|status| status.success()) {
        bail!(
            "python3 cannot make an environment: install Python 3.10 or newer with its venv module, or run `make setup`"
        );
    }
    let mut install = Command::new(folder.join("bin/pip"));
    install.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "--retries",
        "8",
    ]);
    for file in files.iter().filter(|file| !file.ends_with("tools.txt")) {
        install.arg("--requirement").arg(file);
    }
    succeed(&mut install)?;
    std::fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(folder)
}

fn lint(environment: &Path) -> anyhow::Result<()> {
    let cache = root().join("target/django");
    let tool = |name: &str| {
        let mut command = Command::new(environment.join("bin").join(name));
        command
            .current_dir(root().join(PACKAGE))
            .env("RUFF_CACHE_DIR", cache.join("ruff"));
        command
    };
    succeed(tool("ruff").args(["check", "--quiet"]))?;
    succeed(tool("ruff").args(["format", "--check", "--quiet"]))?;
    succeed(tool("mypy").arg("--cache-dir").arg(cache.join("mypy")))
}

/// Builds the wheel and unpacks it into a folder of the checkout.
fn install(environment: &Path) -> anyhow::Result<PathBuf> {
    let place = root().join("target/django");
    let (wheels, package) = (place.join("wheels"), place.join("package"));
    for folder in [&wheels, &package] {
        if folder.exists() {
            std::fs::remove_dir_all(folder)
                .with_context(|| format!("removing {}", folder.display()))?;
        }
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let pip = |verb: &str| {
        let mut command = Command::new(environment.join("bin/pip"));
        command.args([
            verb,
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-index",
        ]);
        command
    };
    succeed(
        pip("wheel")
            .args(["--no-build-isolation", "--wheel-dir"])
            .arg(&wheels)
            .arg(root().join(PACKAGE)),
    )?;
    let mut found = std::fs::read_dir(&wheels)?;
    let wheel = found.next().context("no wheel was built")??.path();
    succeed(pip("install").arg("--target").arg(&package).arg(wheel))?;
    Ok(package)
}

/// The tests with one release, on their way.
struct Tests {
    release: &'static str,
    child: std::process::Child,
}

impl Tests {
    fn begin(
        release: &'static str,
        package: &Path,
        program: &Path,
        more: &[String],
    ) -> anyhow::Result<Tests> {
        let environment = environment(release)?;
        let mut pytest = Command::new(environment.join("bin/python"));
        pytest.args(["-m", "pytest", "--durations=3"]);
        if Some(&release) != RELEASES.last() {
            // The pages of the guide are for the newest release.
            pytest.arg("--ignore=tests/test_guides.py");
        }
        let child = pytest
            .args(more)
            .current_dir(root().join(PACKAGE))
            .env("PYTHONPATH", package)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PGKEEP_TEST_BINARY", program)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("starting pytest with Django {release}"))?;
        Ok(Tests { release, child })
    }

    /// Shows what the tests said when they are at their end; gives whether they passed.
    fn finish(self) -> anyhow::Result<bool> {
        let ended = self.child.wait_with_output()?;
        println!("--- Django {}", self.release);
        print!("{}", String::from_utf8_lossy(&ended.stdout));
        Ok(ended.status.success())
    }
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the checkout")
}
