//! Servers whose certificates no public authority has signed.

use crate::{
    house::{House, Served},
    pgkeep::{Pgkeep, Run},
};
use pgkeep_testkit::{ServerIdentity, self_signed, server_identity};
use std::path::Path;

/// The server's files are these from its next start on.
fn install(house: &House, made: &ServerIdentity) {
    for (from, name) in [(&made.certificate, "tls.crt"), (&made.key, "tls.key")] {
        std::fs::copy(from, house.pgkeep.path().join(name)).unwrap();
    }
}

/// Asks a server by this name, trusting this file.
fn ask(served: &Served<'_>, host: &str, token: &str, ca_file: Option<&Path>) -> Run {
    let url = served.url().replace("http://127.0.0.1", host);
    let elsewhere = Pgkeep::new();
    let mut command = elsewhere.command(&["app", "list", "--json"]);
    command
        .env("PGKEEP_SERVER", url)
        .env("PGKEEP_TOKEN", token)
        .envs(ca_file.map(|path| ("PGKEEP_CA_FILE", path)));
    Run::of(&command.output().unwrap())
}

#[test]
fn a_private_certificate_is_trusted_by_the_file_that_is_named() {
    let house = House::new("tls_cert = \"tls.crt\"\ntls_key = \"tls.key\"\n");
    let (signed, own) = (server_identity(), self_signed());

    install(&house, &signed);
    let served = house.serve();
    let token = served.admin_token();
    let untrusted = ask(&served, "https://localhost", &token, None).fails_with(10);
    for words in ["UnknownIssuer", "--ca-file"] {
        assert!(untrusted.stdout.contains(words), "{}", untrusted.stdout);
    }
    for host in ["https://localhost", "https://127.0.0.1"] {
        let root = Some(signed.root_cert.as_path());
        let apps = ask(&served, host, &token, root).succeeds().json();
        assert_eq!(apps["apps"][0]["name"], "shop", "{apps}");
    }
    let another = ask(&served, "https://localhost", &token, Some(&own.root_cert));
    another.fails_with(10);

    // The option goes before the environment, and a file that is none is told before anything is asked.
    let elsewhere = Pgkeep::new();
    elsewhere.write("empty.pem", "");
    let by_option = |file: &str| {
        let url = served
            .url()
            .replace("http://127.0.0.1", "https://localhost");
        let args = ["app", "list", "--server", &url, "--ca-file", file];
        let mut command = elsewhere.command(&args);
        command
            .env("PGKEEP_TOKEN", &token)
            .env("PGKEEP_CA_FILE", "missing.pem");
        Run::of(&command.output().unwrap())
    };
    by_option(signed.root_cert.to_str().unwrap()).succeeds();
    let missing = by_option("missing.pem").fails_with(2);
    assert!(missing.stderr.contains("cannot read"), "{}", missing.stderr);
    let empty = by_option("empty.pem").fails_with(2);
    assert!(
        empty.stderr.contains("holds no certificate"),
        "{}",
        empty.stderr
    );
    assert_eq!(served.terminate(), 0);

    // One that signed itself, and is marked as an authority's.
    install(&house, &own);
    let served = house.serve();
    let known = Some(own.certificate.as_path());
    ask(&served, "https://localhost", &token, known).succeeds();
    let untrusted = ask(&served, "https://localhost", &token, None).fails_with(10);
    assert!(
        untrusted.stdout.contains("--ca-file"),
        "{}",
        untrusted.stdout
    );
    let another = ask(
        &served,
        "https://localhost",
        &token,
        Some(&signed.root_cert),
    );
    another.fails_with(10);
    let named = ask(&served, "https://127.0.0.1", &token, known).fails_with(10);
    assert!(named.stdout.contains("subjectAltName"), "{}", named.stdout);
    assert_eq!(served.terminate(), 0);
}
