//! A repository's keys and its recovery kit, changed and made from afar as on the machine that has them.

use crate::{
    house::{House, Served, holds},
    pgkeep::{Pgkeep, Run},
};
use serde_json::Value;
use std::{os::unix::fs::PermissionsExt, path::Path};

const SECOND: &str = "\
[defaults]
repository = \"main\"

[repository.second]
address = \"./second\"

[repository.third]
address = \"./third\"
";

struct Both<'a> {
    house: &'a House,
    served: Served<'a>,
    elsewhere: Pgkeep,
    token: String,
}

impl Both<'_> {
    fn here(&self, args: &[&str]) -> Run {
        self.house.run(&[&["--repo", "main"], args].concat())
    }

    fn afar(&self, args: &[&str]) -> Run {
        let args = [&["--repo", "main"], args].concat();
        self.served
            .asked_from_afar(&self.elsewhere, &self.token, &args)
    }

    /// Done once on either side: exit codes are equal, and documents have the same fields.
    #[track_caller]
    fn alike(&self, here: &[&str], afar: &[&str]) -> (Value, Value) {
        let json = &["--json"][..];
        let (here, afar) = (
            self.here(&[json, here].concat()),
            self.afar(&[json, afar].concat()),
        );
        assert_eq!(here.code, afar.code, "{here:?}\n{afar:?}");
        let (here, afar) = (here.json(), afar.json());
        assert_eq!(fields(&here), fields(&afar));
        (here, afar)
    }

    fn kit_is_confirmed(&self) -> bool {
        let args = ["repository", "show", "main", "--json"];
        let shown = self.afar(&args).succeeds().json();
        shown["recovery_kit"]["confirmed_at"].is_string()
    }
}

fn fields(document: &Value) -> Vec<(&String, bool)> {
    let fields = document.as_object().unwrap().iter();
    fields
        .map(|(name, value)| (name, value.is_null()))
        .collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn keys_are_changed_and_kits_are_made_from_afar_as_here() {
    let house = House::new(SECOND);
    let served = house.serve();
    let token = served.admin_token();
    let both = Both {
        house: &house,
        served,
        elsewhere: Pgkeep::new(),
        token,
    };
    both.afar(&["backup"]).succeeds();

    let list = ["key", "list", "--json"];
    assert_eq!(both.afar(&list).json(), both.here(&list).json());
    let list = ["key", "list"];
    assert_eq!(
        both.afar(&list).succeeds().stdout,
        both.here(&list).succeeds().stdout
    );

    // A key more: made where it is asked for, it opens the repository where that lies.
    let (_, added) = both.alike(
        &["key", "add", "--new-key-file", "here.key", "--label", "one"],
        &["key", "add", "--new-key-file", "afar.key", "--label", "two"],
    );
    let made = both.elsewhere.path().join("afar.key");
    let mode = std::fs::metadata(&made).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    both.here(&["list", "--key-file", made.to_str().unwrap()])
        .succeeds();
    let keys = both.here(&["key", "list", "--json"]).json();
    let keys = keys["keys"].as_array().unwrap();
    let labels: Vec<&str> = keys.iter().map(|k| k["label"].as_str().unwrap()).collect();
    assert_eq!(labels[1..], ["one", "two"]);
    let id = |key: &Value| key["id"].as_str().unwrap().to_owned();
    let (current, one) = (id(&keys[0]), id(&keys[1]));
    for wrong in [
        &["key", "add"][..],
        &["key", "add", "--new-key", "literal"],
        &["key", "remove", "zzz"],
        &["key", "remove", &current],
        &["key", "kit", "--json"],
    ] {
        let (here, afar) = (both.here(wrong), both.afar(wrong));
        assert_ne!(here.code, 0, "{wrong:?}");
        assert_eq!(here.code, afar.code, "{wrong:?}\n{here:?}\n{afar:?}");
        let first = |run: &Run| run.stderr.lines().next().unwrap_or_default().to_owned();
        assert_eq!(first(&here), first(&afar));
    }
    let two = added["added"].as_str().unwrap();
    both.alike(&["key", "remove", &one], &["key", "remove", &two[..8]]);

    // The kit: printed, or in a file that only its owner reads; the server then knows that it was handed out.
    assert!(!both.kit_is_confirmed());
    let kit = both.afar(&["key", "kit"]).succeeds().stdout;
    assert!(both.kit_is_confirmed());
    let undated = |kit: &str| kit.split_once('\n').unwrap().1.to_owned();
    let here = both.here(&["key", "kit"]).succeeds().stdout;
    assert_eq!(undated(&kit), undated(&here));
    both.alike(
        &["key", "kit", "--output", "kit-here.txt"],
        &["key", "kit", "--output", "kit-afar.txt"],
    );
    let file = both.elsewhere.path().join("kit-afar.txt");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    both.afar(&["key", "kit", "--output", "kit-afar.txt"])
        .fails_with(2);

    // Another key in the place of the server's own: it goes on with that one, and so does who works on its machine.
    let (first, second) = both.alike(&["key", "rotate"], &["key", "rotate"]);
    assert!(!both.kit_is_confirmed());
    let place = Path::new(second["key_file"].as_str().unwrap());
    assert_eq!(first["key_file"], second["key_file"]);
    assert_ne!(first["old_key_file"], second["old_key_file"]);
    both.afar(&["backup"]).succeeds();
    both.afar(&["verify"]).succeeds();
    let listed = both.here(&["list", "--json"]).succeeds().json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2);
    let rotated = read(place);
    both.afar(&["key", "rotate", "--new-key-file", "mine.key"])
        .succeeds();
    let mine = read(&both.elsewhere.path().join("mine.key"));
    assert_eq!(mine, read(place));
    both.afar(&["backup"]).succeeds();

    // A repository that is yet to be made, with its kit.
    let init = |name: &'static str| {
        [
            "--repo",
            name,
            "init",
            "--recovery-kit",
            "new.txt",
            "--json",
        ]
    };
    let here = house.run(&init("second")).succeeds().json();
    let afar = both
        .served
        .asked_from_afar(&both.elsewhere, &both.token, &init("third"))
        .succeeds()
        .json();
    assert_eq!(fields(&here), fields(&afar));
    let key = read(Path::new(afar["key_file"].as_str().unwrap()));
    let kit = read(&both.elsewhere.path().join("new.txt"));
    assert!(kit.contains(&key), "{kit}");

    // Where it is told, no key is.
    let log = both.served.log();
    for secret in [&rotated, &mine, &key] {
        assert!(!log.contains(secret.as_str()), "{log}");
        assert!(!holds(&house.data(), secret));
    }
    let audit = both.here(&["audit", "list", "--json"]).succeeds().stdout;
    for action in [
        "repository_key.add",
        "repository_key.remove",
        "repository_key.rotate",
        "recovery_kit.make",
    ] {
        assert!(audit.contains(action), "{action}");
    }
}
