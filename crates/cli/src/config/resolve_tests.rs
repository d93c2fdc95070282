use super::super::{Key, RepositorySettings};
use super::*;

fn places(root: &Path) -> Places {
    Places {
        current_dir: root.join("work"),
        system_config: root.join("etc"),
        user_config: Some(root.join("home")),
    }
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::new(pairs.iter().copied())
}

fn settings(flags: Flags, variables: &[(&str, &str)], file: &str) -> Result<Settings, ConfigError> {
    let root = Path::new("/nowhere");
    let path = root.join("etc/pgkeep.toml");
    let raw = RawConfig::parse(file, &path).unwrap();
    let file = (!file.is_empty()).then_some((path, raw));
    resolve(&flags, &environment(variables), file, &places(root))
}

fn urls(settings: &Settings) -> Vec<(Option<String>, Option<String>)> {
    let url = |db: &Sourced<Database>| db.value.url.as_ref().map(|u| u.expose_secret().to_owned());
    settings
        .databases
        .iter()
        .map(|db| (url(db), db.value.name.clone()))
        .collect()
}

const FILE: &str = r#"
[app.shop]
databases = ["postgres://file/shop", "billing"]
environment = "production"
jobs = 3
[repository.main]
address = "./repo"
"#;

#[test]
fn nothing_at_all_leaves_defaults() {
    let s = settings(Flags::default(), &[], "").unwrap();
    assert!(s.databases.is_empty() && s.repository.is_none() && s.app.is_none());
    assert_eq!(s.compression, Sourced::new(1, Source::Default));
}

#[test]
fn flag_beats_environment_beats_file() {
    let repo_of = |flags: Flags, variables: &[(&str, &str)]| {
        let repository = settings(flags, variables, FILE)
            .unwrap()
            .repository
            .unwrap();
        (
            repository.address.value,
            repository.address.source.to_string(),
        )
    };
    let flag = || Flags {
        repo: Some("./flag".into()),
        ..Flags::default()
    };
    let both = [("PGKEEP_REPO", "/env/repo"), ("BACKUPS_DIR", "/env/dir")];
    assert_eq!(
        repo_of(flag(), &both),
        ("/nowhere/work/flag".into(), "--repo".into())
    );
    assert_eq!(
        repo_of(Flags::default(), &both),
        ("/env/repo".into(), "PGKEEP_REPO".into())
    );
    assert_eq!(
        repo_of(Flags::default(), &both[1..]),
        ("/env/dir".into(), "BACKUPS_DIR".into())
    );
    assert_eq!(repo_of(Flags::default(), &[]).0, "/nowhere/etc/repo");
    let jobs = |variables: &[(&str, &str)]| {
        settings(Flags::default(), variables, FILE)
            .unwrap()
            .jobs
            .value
    };
    assert_eq!((jobs(&[("PGKEEP_JOBS", "9")]), jobs(&[])), (9, 3));
}

#[test]
fn an_app_chosen_by_flag_brings_its_own_databases() {
    let variables = [("DATABASE_URL", "postgres://env/other")];
    let by_flag = settings(
        Flags {
            app: Some("shop".into()),
            ..Flags::default()
        },
        &variables,
        FILE,
    )
    .unwrap();
    assert_eq!(
        urls(&by_flag),
        [
            (Some("postgres://file/shop".into()), None),
            (None, Some("billing".into()))
        ]
    );
    let ambient = settings(Flags::default(), &variables, FILE).unwrap();
    assert_eq!(
        urls(&ambient),
        [(Some("postgres://env/other".into()), None)]
    );
    let flag_url = Flags {
        app: Some("shop".into()),
        database_url: Some("postgres://flag/x".into()),
        ..Flags::default()
    };
    assert_eq!(
        urls(&settings(flag_url, &variables, FILE).unwrap()),
        [(Some("postgres://flag/x".into()), None)]
    );
}

#[test]
fn database_names_select_on_the_server_of_the_connection() {
    let flags = Flags {
        database_url: Some("postgres://h/postgres".into()),
        dbnames: vec!["a".into(), "b".into()],
        ..Flags::default()
    };
    let want = |name: &str| {
        (
            Some("postgres://h/postgres".to_owned()),
            Some(name.to_owned()),
        )
    };
    assert_eq!(
        urls(&settings(flags, &[], "").unwrap()),
        [want("a"), want("b")]
    );
}

#[test]
fn passwords_in_arguments_and_files_are_warned_about_and_never_shown() {
    let flags = Flags {
        database_url: Some("postgres://u:geheim@h/db".into()),
        ..Flags::default()
    };
    let s = settings(
        flags,
        &[],
        "[repository.main]\naddress = \"./r\"\nkey = \"geheim\"\n",
    )
    .unwrap();
    assert_eq!(s.warnings.len(), 2, "{:?}", s.warnings);
    assert!(!format!("{s:?}").contains("geheim"));
}

#[test]
fn keys_are_found_in_their_order() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let of = |flags: &Flags, variables: &[(&str, &str)]| {
        let s = resolve(flags, &environment(variables), None, &places).unwrap();
        s.repository.unwrap()
    };
    let mut flags = Flags {
        repo: Some("/srv/r".into()),
        ..Flags::default()
    };
    let place = of(&flags, &[]);
    assert!(matches!(place.key, Key::None));
    super::super::write_new(&place.key_place.0, &"default".into()).unwrap();
    let secret = |r: RepositorySettings| match r.key {
        Key::Known(key) => key.value.expose_secret().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(secret(of(&flags, &[])), "default");
    assert_eq!(
        secret(of(&flags, &[("BACKUP_ENCRYPTION_KEY", "env")])),
        "env"
    );
    let file = root.path().join("k");
    std::fs::write(&file, "file\n").unwrap();
    let file_text = file.display().to_string();
    assert_eq!(
        secret(of(
            &flags,
            &[
                ("BACKUP_ENCRYPTION_KEY", "env"),
                ("PGKEEP_KEY_FILE", &file_text)
            ]
        )),
        "file"
    );
    flags.key_file = Some(root.path().join("missing"));
    assert!(matches!(of(&flags, &[]).key, Key::MissingFile(_)));
}

#[test]
fn mistakes_in_references_are_named() {
    let wrong_repo = settings(Flags::default(), &[], "[defaults]\nrepository = \"mian\"\n[repository.main]\naddress = \"./r\"\n[repository.two]\naddress = \"./t\"\n").unwrap_err();
    assert_eq!(wrong_repo.hint.as_deref(), Some("did you mean 'main'?"));
    let wrong_app = settings(
        Flags::default(),
        &[],
        "[defaults]\napp = \"x\"\n[app.shop]\n",
    )
    .unwrap_err();
    assert!(wrong_app.message.contains("[app.x]"));
    let wrong_jobs = settings(Flags::default(), &[("PGKEEP_JOBS", "many")], "").unwrap_err();
    assert!(wrong_jobs.message.contains("PGKEEP_JOBS"));
}
