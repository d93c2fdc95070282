//! Every command says the same here and from afar: the same document with `--json`, the same lines, the same exit code.

use crate::{
    house::{House, Served},
    pgkeep::{Pgkeep, Run, scene::PHRASE},
};
use serde_json::{Map, Value};

/// A folder that belongs to the app.
const EXTRA: &str = "\
[[app.shop.files]]
name = \"media\"
path = \"MEDIA\"
";

pub struct Both<'a> {
    house: &'a House,
    pub served: Served<'a>,
    pub elsewhere: Pgkeep,
    pub token: String,
}

impl<'a> Both<'a> {
    pub fn new(house: &'a House) -> Self {
        let served = house.serve();
        let token = served.admin_token();
        Both {
            house,
            served,
            elsewhere: Pgkeep::new(),
            token,
        }
    }

    pub fn here(&self, args: &[&str]) -> Run {
        self.house.run(args)
    }

    pub fn afar(&self, args: &[&str]) -> Run {
        self.served
            .asked_from_afar(&self.elsewhere, &self.token, args)
    }

    /// Documents and exit codes are equal, but for what passes with the time.
    #[track_caller]
    pub fn same(&self, args: &[&str]) -> Value {
        self.same_but(args, &[])
    }

    /// The same, without these fields.
    #[track_caller]
    pub fn same_but(&self, args: &[&str], passing: &[&str]) -> Value {
        let args = [&["--json"][..], args].concat();
        let (here, afar) = (self.here(&args), self.afar(&args));
        assert_eq!(here.code, afar.code, "{args:?}\n{here:?}\n{afar:?}");
        let steady = |run: &Run| without(steady(run.json()), passing);
        let (here, afar) = (steady(&here), steady(&afar));
        assert_eq!(here, afar, "{args:?}");
        here
    }

    /// Lines are equal as well.
    #[track_caller]
    fn same_lines(&self, args: &[&str]) {
        self.same(args);
        let (here, afar) = (self.here(args), self.afar(args));
        assert_eq!(here.stdout, afar.stdout, "{args:?}");
    }

    /// What changes something is done once on either side: the documents have the same fields, and exit codes are equal.
    #[track_caller]
    fn alike(&self, here: &[&str], afar: &[&str]) {
        let json = &["--json"][..];
        let (here, afar) = ([json, here].concat(), [json, afar].concat());
        let (here, afar) = (self.here(&here), self.afar(&afar));
        assert_eq!(here.code, afar.code, "{here:?}\n{afar:?}");
        assert_eq!(
            shape(&here.json()),
            shape(&afar.json()),
            "{here:?}\n{afar:?}"
        );
    }
}

/// Fields that are another each time.
fn passes(name: &str) -> bool {
    name == "seconds"
        || name.ends_with("_seconds")
        || name.starts_with("keep_current")
        || ["age_secs", "free_bytes", "growth", "sessions"].contains(&name)
}

/// The document without what passes, and with times to the millisecond, which is as closely as the catalog knows them.
fn steady(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, _)| !passes(name))
            .map(|(name, value)| (name, steady(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(steady).collect(),
        Value::String(text) => match text.parse::<jiff::Timestamp>() {
            Ok(time) => time.as_millisecond().into(),
            Err(_) => text.into(),
        },
        other => other,
    }
}

fn without(value: Value, names: &[&str]) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, _)| !names.contains(&name.as_str()))
            .map(|(name, value)| (name, without(value, names)))
            .collect(),
        Value::Array(items) => items.into_iter().map(|item| without(item, names)).collect(),
        other => other,
    }
}

/// Which fields a document has, and of what kind; of a list, what its items have together.
pub fn shape(value: &Value) -> Value {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "text".into(),
        Value::Array(items) => {
            let mut all = Map::new();
            for item in items {
                match shape(item) {
                    Value::Object(fields) => all.extend(fields),
                    other => drop(all.insert("items".into(), other)),
                }
            }
            Value::Array(vec![all.into()])
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), shape(value)))
            .collect(),
    }
}

fn house() -> House {
    let house = House::new("");
    let media = house.pgkeep.path().join("media");
    std::fs::create_dir(&media).unwrap();
    std::fs::write(media.join("a.txt"), "a picture").unwrap();
    house.describe(&EXTRA.replace("MEDIA", &media.display().to_string()));
    house.shop.psql(
        "shop",
        "CREATE TABLE django_migrations (id serial PRIMARY KEY, app text, name text, applied timestamptz DEFAULT now());
         INSERT INTO django_migrations (app, name) VALUES ('shop', '0001_initial'), ('shop', '0002_more')",
    );
    house
}

#[test]
fn what_is_looked_at_and_planned_is_the_same_from_afar() {
    let house = house();
    let both = Both::new(&house);
    let backup = |tag: &str| {
        let made = both
            .afar(&["backup", "--tag", tag, "--json"])
            .succeeds()
            .json();
        made["id"].as_str().unwrap()[..8].to_owned()
    };
    let first = backup("pre-migration");
    house.shop.psql(
        "shop",
        "ALTER TABLE orders ADD COLUMN seen boolean; DELETE FROM order_lines;
         INSERT INTO django_migrations (app, name) VALUES ('shop', '0003_seen')",
    );
    let second = backup("nightly");
    house.shop.psql("shop", "DROP TABLE order_lines CASCADE");
    let (first, second) = (first.as_str(), second.as_str());

    for args in [
        &["show", first][..],
        &["diff", first, second],
        &["diff", first, "live"],
        &["diff", "live", first, "--database", "shop"],
        &["schema", "diff", first, second],
        &["schema", "diff", first],
        &["schema", "diff", "live", second, "--database", "shop"],
        &["migrations"],
        &["migrations", "--backup", first],
        &["verify"],
        &["verify", first, "--read-data"],
        &["check"],
        &["check", "--read-data"],
        &["check", "--repair", "--dry-run"],
        &["prune", "--dry-run"],
        &["prune", "--dry-run", "--grace", "0s", "--max-unused", "0%"],
        &[
            "forget",
            "--keep-last",
            "1",
            "--protect-newest",
            "1",
            "--dry-run",
        ],
        &[
            "forget",
            "--keep-daily",
            "7",
            "--tag",
            "nightly",
            "--app",
            "shop",
            "--dry-run",
        ],
        &["forget", first, "--dry-run"],
        &["policy", "list"],
        &["app", "list"],
        &["repository", "list"],
    ] {
        both.same_lines(args);
    }
    // The place is an address here, a name there; the age of a backup grows between two looks.
    for args in [
        &["restore", first, "--into", "beside", "--dry-run"][..],
        &["restore", first, "--replace", "--dry-run"],
        &[
            "restore",
            first,
            "--replace",
            "--with-files",
            "--grace",
            "1s",
            "--dry-run",
        ],
        &["restore", first, "--files-only", "--dry-run"],
        &[
            "restore",
            first,
            "--in-place",
            "--table",
            "public.orders",
            "--dry-run",
        ],
        &["rollback-migration", "--dry-run"],
        &["undo", "--list"],
    ] {
        both.same(args);
    }
    // How much is free on a disk is another figure each time.
    both.alike(&["doctor"], &["doctor"]);
    // What is wrong is wrong on either side.
    for args in [
        &["forget"][..],
        &["forget", first, "--keep-last", "1"],
        &["forget", "--keep-last", "1", "--force"],
        &["show", "deadbeef"],
        &["restore", first],
        &["restore", first, "--replace"],
        &["restore", first, "--into", "x", "--files", "media"],
        &["undo", "shop"],
        &["undo", "shop", "--to", "nothing", "--dry-run"],
        &["rollback-migration"],
        &["migrations", "--backup", "deadbeef"],
        &["diff", "deadbeef", "live"],
        &["diff", first, "live", "--database", "nothing"],
    ] {
        let (here, afar) = (both.here(args), both.afar(args));
        assert_eq!(here.code, afar.code, "{args:?}\n{here:?}\n{afar:?}");
        assert_ne!(here.code, 0, "{args:?}");
    }
    both.same(&["rollback-migration", "--app", "shop", "--dry-run"]);
}

#[test]
fn what_is_done_is_told_alike_from_afar() {
    let house = house();
    let both = Both::new(&house);
    for (tag, pinned) in [
        ("a", false),
        ("b", false),
        ("pre-migration", true),
        ("d", false),
    ] {
        let pin: &[&str] = if pinned { &["--pin"] } else { &[] };
        both.afar(&[&["backup", "--tag", tag], pin].concat())
            .succeeds();
    }
    let ids = || -> Vec<String> {
        let listed = both.here(&["list", "--json"]).succeeds().json();
        let all = listed["backups"].as_array().unwrap().clone();
        all.iter()
            .map(|b| b["id"].as_str().unwrap()[..8].to_owned())
            .collect()
    };
    let all = ids();

    // Packages: what is written is the same file, and opens.
    let dump = ["export", "latest", "--output", "shop.pgcustom"];
    both.alike(&dump, &dump);
    let facts = |folder: &std::path::Path| {
        let facts = std::fs::read(folder.join("shop.pgcustom.meta.json")).unwrap();
        let mut facts: Value = serde_json::from_slice(&facts).unwrap();
        let sum = facts["sha256"].take();
        let summed = assert_cmd::Command::new("sha256sum")
            .arg(folder.join("shop.pgcustom"))
            .output()
            .unwrap();
        let summed = String::from_utf8(summed.stdout).unwrap();
        assert_eq!(summed.split(' ').next(), sum.as_str());
        facts
    };
    // A file here gets the places of its tables written into it afterwards, which a stream cannot.
    assert_eq!(facts(house.pgkeep.path()), facts(both.elsewhere.path()));
    both.alike(
        &["export", "latest", "--package"],
        &["export", "latest", "--package"],
    );
    let package = both.afar(&[
        "export",
        "latest",
        "--package",
        "--zstd",
        "--to",
        "out",
        "--json",
    ]);
    let package = package.succeeds().json();
    let file = both
        .elsewhere
        .path()
        .join(package["location"].as_str().unwrap());
    assert_eq!(
        std::fs::metadata(&file).unwrap().len(),
        package["size"].as_u64().unwrap()
    );
    let again = both.afar(&["export", "latest", "--package", "--zstd", "--to", "out"]);
    again.fails_with(8);
    both.afar(&["export", "latest", "--package", "--to", "s3://b/c"])
        .fails_with(2);
    both.afar(&["export", "latest", "--package", "--recipient", "age1nobody"])
        .fails_with(2);

    // Restores of databases and of files, and their undoing.
    let into = |name: &'static str| ["restore", "latest", "--into", name];
    both.alike(&into("one"), &into("two"));
    let folder = |name: &str| house.pgkeep.path().join(name).display().to_string();
    let (one, two) = (folder("found-one"), folder("found-two"));
    both.alike(
        &["restore", "latest", "--files-only", "--files-into", &one],
        &["restore", "latest", "--files-only", "--files-into", &two],
    );
    let with_files = [
        "restore",
        "latest",
        "--replace",
        "--with-files",
        "--confirm",
        PHRASE,
    ];
    both.alike(&with_files, &with_files);
    let refused = both.afar(&["undo", "shop"]).fails_with(8);
    assert!(
        refused.stderr.contains("in the place of database shop"),
        "{}",
        refused.stderr
    );
    // What the undo of the database leaves is told, with what takes it back.
    let folders = "pgkeep undo --files media";
    assert!(refused.stderr.contains(folders), "{}", refused.stderr);
    both.alike(
        &["undo", "shop", "--confirm", PHRASE],
        &["undo", "shop", "--confirm", PHRASE],
    );
    both.same(&["undo", "--list"]);
    both.alike(&["undo", "--drop-expired"], &["undo", "--drop-expired"]);
    let back = ["rollback-migration", "--app", "shop", "--confirm", PHRASE];
    both.alike(&back, &back);

    // Letting go: by rule, by name, and what must not go by mistake.
    let newest = ids().last().unwrap().clone();
    let kept = both.afar(&["forget", &newest]).fails_with(8);
    assert!(kept.stderr.contains("--force"), "{}", kept.stderr);
    let by_rule = |keep: &'static str| {
        [
            "forget",
            "--keep-last",
            keep,
            "--protect-newest",
            "1",
            "--prune",
            "--yes",
        ]
    };
    both.alike(&by_rule("5"), &by_rule("4"));
    both.afar(&["forget", &all[2], "--yes"]).fails_with(8);
    let gone = both.afar(&[
        "forget", &newest, "--force", "--reason", "a test", "--yes", "--json",
    ]);
    assert_eq!(
        gone.succeeds().json()["report"]["removed"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert!(!ids().contains(&newest));
    both.alike(&["prune", "--grace", "0s"], &["prune", "--grace", "0s"]);
    let audit = both.here(&["audit", "list", "--json"]).succeeds().stdout;
    for action in [
        "backup.forget",
        "restore.undo",
        "repository.prune",
        "backup.download",
    ] {
        assert!(audit.contains(action), "{action}");
    }

    // Damage is found, shown, mended.
    let broken = break_a_pack(&house);
    both.same(&["check", "--repair", "--dry-run"]);
    let mended = both.afar(&["check", "--repair", "--json"]);
    assert!([0, 4].contains(&mended.code), "{mended:?}");
    assert_eq!(mended.json()["repaired"]["packs_dropped"], 1, "{broken}");
    both.same(&["check"]);
}

/// Flips a byte in the middle of the largest pack.
fn break_a_pack(house: &House) -> String {
    let data = house.pgkeep.path().join("backups/data");
    let folders = std::fs::read_dir(data).unwrap().flatten();
    let packs = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
    let pack = packs
        .max_by_key(|pack| pack.metadata().unwrap().len())
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut permissions = std::fs::metadata(&pack).unwrap().permissions();
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "the file is the test's own"
    )]
    permissions.set_readonly(false);
    std::fs::set_permissions(&pack, permissions).unwrap();
    std::fs::write(&pack, bytes).unwrap();
    pack.display().to_string()
}

#[test]
fn a_command_is_guarded_where_its_code_is() {
    let house = house();
    let both = Both::new(&house);
    let change = |name: &str| {
        let url = house.shop.url_for("shop");
        format!(
            "psql -q '{url}' -c \"ALTER TABLE orders ADD COLUMN {name} int; \
             INSERT INTO django_migrations (app, name) VALUES ('shop', '{name}')\""
        )
    };
    let (one, two) = (change("seen_here"), change("seen_afar"));
    both.alike(
        &["guard", "--", "sh", "-c", &one],
        &["guard", "--", "sh", "-c", &two],
    );
    let failing = format!("{}; echo $PGKEEP_BACKUP; exit 7", change("half_done"));
    let args = [
        "guard",
        "--prove",
        "counts",
        "--on-failure",
        "restore",
        "--json",
        "--",
    ];
    let failed = both.afar(&[&args[..], &["sh", "-c", &failing]].concat());
    assert_eq!(failed.code, 7, "{failed:?}");
    let report = failed.json();
    assert_eq!(report["proven"], true);
    assert_eq!(report["applied"][0]["name"], "shop.half_done");
    assert_eq!(report["restored"][0]["database"], "shop", "{report:#}");
    assert_eq!(report["warnings"], Value::Array(Vec::new()));
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'half_done'";
    assert_eq!(house.shop.psql("shop", columns).trim(), "0");
    let jobs = both.here(&["job", "list", "--json"]).succeeds().json();
    let guards: Vec<&Value> = jobs["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|job| job["kind"] == "guard")
        .collect();
    let states: Vec<&str> = guards
        .iter()
        .map(|job| job["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states,
        ["failed", "succeeded", "succeeded"],
        "newest first, of which one ran here"
    );
    // What cannot be run is found before anything is done.
    let missing = ["guard", "--", "no-such-command"];
    assert_eq!(both.here(&missing).code, both.afar(&missing).code);
}
