//! Each case is a connection string, an environment, and what must come out.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn env(pairs: &[(&str, &str)]) -> Environment {
    Environment::new(pairs.iter().copied())
}

fn resolve(url: &str, pairs: &[(&str, &str)]) -> ConnectOptions {
    ConnectOptions::resolve(Some(url), &env(pairs)).expect("options resolve")
}

fn refuse(url: &str) -> OptionsError {
    ConnectOptions::resolve(Some(url), &env(&[("PGUSER", "u")])).expect_err("options are refused")
}

fn password(options: &ConnectOptions) -> Option<String> {
    options
        .password_for(&options.hosts[0])
        .map(|p| p.expose_secret().to_owned())
}

#[test]
fn a_url_is_decoded_part_by_part() {
    let o = resolve(
        "postgresql://a%40b:p%3Aw%2F%25@db.example.org:5433/my%20db?sslmode=verify-full&application_name=x%26y",
        &[],
    );
    assert_eq!((o.user.as_str(), o.dbname.as_str()), ("a@b", "my db"));
    assert_eq!(password(&o).as_deref(), Some("p:w/%"));
    assert_eq!(o.hosts[0].to_string(), "db.example.org:5433");
    assert_eq!(
        (o.sslmode, o.application_name.as_str()),
        (SslMode::VerifyFull, "x&y")
    );
}

#[test]
fn hosts_come_as_lists_sockets_and_ipv6() {
    let o = resolve("postgres://u@h1:1111,[2001:db8::1]:2222,h3/d", &[]);
    let shown: Vec<_> = o.hosts.iter().map(Host::to_string).collect();
    assert_eq!(shown, ["h1:1111", "[2001:db8::1]:2222", "h3:5432"]);
    let o = resolve("postgres://u@%2Fvar%2Frun%2Fx:6000/d", &[]);
    assert_eq!(
        o.hosts[0].socket_path(),
        Some("/var/run/x/.s.PGSQL.6000".into())
    );
    let o = resolve("postgres:///d?host=/sock&port=7000&user=u", &[]);
    assert_eq!(o.hosts[0].socket_path(), Some("/sock/.s.PGSQL.7000".into()));
    let o = resolve("host=a,b hostaddr=127.0.0.1,::1 port=5 user=u", &[]);
    assert_eq!(o.hosts.len(), 2);
    assert_eq!(o.hosts[1].port, 5);
}

#[test]
fn key_value_strings_know_quotes_and_escapes() {
    let o = resolve(
        r"host = h dbname='it\'s here' password='a b\\c' user=u connect_timeout=0",
        &[],
    );
    assert_eq!(o.dbname, "it's here");
    assert_eq!(password(&o).as_deref(), Some(r"a b\c"));
    assert_eq!(o.connect_timeout, None);
    assert_eq!(resolve("shop", &[("PGUSER", "u")]).dbname, "shop");
}

#[test]
fn the_environment_fills_what_the_url_leaves_open() {
    let vars = [
        ("PGHOST", "envhost"),
        ("PGPORT", "6543"),
        ("PGUSER", "envuser"),
        ("PGPASSWORD", "envpass"),
        ("PGSSLMODE", "disable"),
        ("PGDATABASE", ""),
    ];
    let o = resolve("postgres://urluser@/", &vars);
    assert_eq!(o.user, "urluser");
    assert_eq!(o.dbname, "urluser");
    assert_eq!(o.hosts[0].to_string(), "envhost:6543");
    assert_eq!(password(&o).as_deref(), Some("envpass"));
    assert_eq!(o.sslmode, SslMode::Disable);
}

#[test]
fn what_is_not_known_is_refused_with_the_nearest_known() {
    let e = refuse("postgres://u@h/d?sslmod=require");
    assert_eq!(e.to_string(), "unknown connection parameter \"sslmod\"");
    assert_eq!(e.hint().as_deref(), Some("did you mean \"sslmode\"?"));
    assert!(matches!(
        refuse("host=h pgbouncer=true"),
        OptionsError::UnknownKeyword { nearest: None, .. }
    ));
    assert!(
        refuse("sslmode=verify_full")
            .to_string()
            .contains("verify-full")
    );
    assert!(matches!(
        refuse("mysql://u@h/d"),
        OptionsError::Malformed(_)
    ));
    assert!(matches!(
        refuse("sslcrl=/x"),
        OptionsError::Unsupported { .. }
    ));
    assert!(matches!(refuse("port=99999"), OptionsError::Invalid { .. }));
    assert!(matches!(
        refuse("host=a,b,c port=1,2"),
        OptionsError::Invalid { .. }
    ));
}

#[test]
fn no_text_ever_shows_the_password() {
    let canary = "c4n4ry!x";
    let o = resolve(&format!("postgres://u:{canary}@h/d"), &[]);
    for text in [
        format!("{o:?}"),
        o.to_string(),
        format!("{:?}", Settings::parse("password=c4n4ry!x")),
    ] {
        assert!(!text.contains(canary), "{text}");
    }
    for bad in [
        format!("postgres://u:{canary}%zz@h/d"),
        format!("host=h password={canary} extra"),
        format!("password='{canary}"),
        format!("password=x {canary} user=u"),
    ] {
        let e = refuse(&bad);
        assert!(!format!("{e} {e:?}").contains(canary), "{e}");
    }
    assert!(!format!("{:?}", env(&[("PGPASSWORD", canary)])).contains(canary));
}

#[test]
fn the_password_file_is_matched_and_its_permissions_checked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("pass");
    std::fs::write(
        &file,
        "# comment\nother:*:*:*:no\nh:5432:d:u:one\\:two\n*:*:e:*:three\nlocalhost:*:*:*:sock\n",
    )
    .expect("file is written");
    let path = file.to_str().expect("utf-8");
    let set_mode = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode))
            .expect("mode is set");
    };
    set_mode(0o600);
    let o = resolve("postgres://u@h/d", &[("PGPASSFILE", path)]);
    assert_eq!(password(&o).as_deref(), Some("one:two"));
    assert_eq!(password(&o.with_dbname("e")).as_deref(), Some("three"));
    assert_eq!(password(&o.with_dbname("f")), None);
    let o = resolve("host=/tmp user=u dbname=zz", &[("PGPASSFILE", path)]);
    assert_eq!(password(&o).as_deref(), Some("sock"));
    set_mode(0o640);
    let o = resolve("postgres://u@h/d", &[("PGPASSFILE", path)]);
    assert_eq!(password(&o), None);
    assert!(o.warnings[0].contains("chmod 0600"), "{:?}", o.warnings);
}

#[test]
fn a_service_stands_between_the_url_and_the_environment() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("pg_service.conf");
    std::fs::write(
        &file,
        "[other]\nhost=no\n\n[shop]\n# c\nhost=svc\nport=7001\nuser=svcuser\n[last]\nhost=x\n",
    )
    .expect("file is written");
    let path = file.to_str().expect("utf-8");
    let vars = [
        ("PGSERVICEFILE", path),
        ("PGPORT", "9"),
        ("PGSERVICE", "shop"),
    ];
    let o = resolve("postgres://urluser@/d", &vars);
    assert_eq!(
        (o.user.as_str(), o.hosts[0].to_string().as_str()),
        ("urluser", "svc:7001")
    );
    let dir_path = dir.path().to_str().expect("utf-8");
    let o = resolve("service=last user=u", &[("PGSYSCONFDIR", dir_path)]);
    assert_eq!(o.hosts[0].to_string(), "x:5432");
    let e = ConnectOptions::resolve(Some("service=gone user=u"), &env(&vars))
        .expect_err("no such service");
    assert!(matches!(e, OptionsError::NoService { .. }));
}

#[test]
fn root_certificates_raise_the_mode_as_in_libpq() {
    let o = resolve("postgres://u@h/d?sslmode=require&sslrootcert=/ca.pem", &[]);
    assert_eq!(o.sslmode, SslMode::VerifyCa);
    let o = resolve("postgres://u@h/d?sslrootcert=system", &[]);
    assert_eq!(
        (o.sslmode, o.sslrootcert),
        (SslMode::VerifyFull, RootCertificates::System)
    );
    assert!(matches!(
        refuse("sslrootcert=system sslmode=require"),
        OptionsError::Invalid { .. }
    ));
}
