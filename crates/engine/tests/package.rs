//! A whole backup as one portable file: read by stock tools, and taken in again with its evidence.

mod support;

use age::secrecy::ExposeSecret;
use pgkeep_engine::{
    ErrorCode,
    catalog::{self, ListFilter, Origin},
    package::{self, PackageReport, PackageRequest, PackageSource, PackageTarget, TakeInRequest},
};
use pgkeep_repository::storage::{S3Options, StorageOptions};
use pgkeep_testkit::{ObjectStore, ShopSize, TestPostgres};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use support::{Place, into, restore_request};

fn packing() -> PackageRequest {
    PackageRequest {
        backup: "latest".into(),
        app: None,
        recipients: Vec::new(),
        compress: false,
    }
}

fn taking(path: &Path) -> TakeInRequest {
    TakeInRequest {
        from: PackageSource::File(path.to_owned()),
        identities: Vec::new(),
        app: None,
        environment: None,
        description: String::new(),
        tags: vec!["taken".into()],
        compression_level: 1,
        from_afar: false,
        max_bytes: None,
        origin: Origin::default(),
    }
}

impl Place {
    fn package(&self, request: &PackageRequest, to: &PackageTarget) -> PackageReport {
        package::write(&self.repository, request, to, &self.context)
            .unwrap_or_else(|e| panic!("package: {e} ({:?})", e.hint))
    }
}

#[allow(clippy::disallowed_methods)] // stock programs are what is tested here
fn run(program: impl AsRef<Path>, arguments: &[&str], folder: &Path) {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_package_is_read_by_stock_tools_and_taken_in_again_proven() {
    let server = TestPostgres::start(17);
    server.load_everything("everything");
    let place = Place::new();
    place.backup(&server, "everything");
    let out = place.folder.path().join("out");
    let written = place.package(&packing(), &PackageTarget::Folder(out.clone()));
    let tar = PathBuf::from(written.location.clone().expect("a file"));

    // By hand, as its README says.
    run("tar", &["--extract", "--file", &written.name], &out);
    let unpacked = out.join(written.name.strip_suffix(".tar").expect("a tar file"));
    run(
        "sha256sum",
        &["--check", "--strict", "SHA256SUMS"],
        &unpacked,
    );
    let readme = fs::read_to_string(unpacked.join("README.txt")).expect("a page");
    let lines: Vec<&str> = readme
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("pg_restore"))
        .collect();
    assert_eq!(lines.len(), 3, "{readme}");
    server.psql(
        "postgres",
        "CREATE DATABASE everything_restored TEMPLATE template0",
    );
    let target = format!("--dbname={}", server.url_for("everything_restored"));
    for line in lines {
        let words: Vec<&str> = line
            .split_whitespace()
            .skip(1)
            .map(|word| match word {
                "--dbname=everything_restored" => target.as_str(),
                word => word,
            })
            .collect();
        run(server.bin_dir().join("pg_restore"), &words, &unpacked);
    }
    assert_eq!(
        server.pg_dump_schema("everything"),
        server.pg_dump_schema("everything_restored")
    );

    // By another pgkeep.
    let other = Place::new();
    assert!(package::looks_like_package(&tar));
    let taken = package::take_in(&other.repository, &taking(&tar), &other.context)
        .unwrap_or_else(|e| panic!("{e} {:?}", e.details));
    let filter = ListFilter::default();
    let before = catalog::show(&place.repository, "latest", &filter).expect("there");
    let after = catalog::show(&other.repository, &taken.id, &filter).expect("there");
    assert_eq!(
        after.manifest.evidence_digest,
        before.manifest.evidence_digest
    );
    assert_eq!(after.manifest.started_at, before.manifest.started_at);
    assert_eq!(after.entry.tags, ["taken"]);
    for (a, b) in after
        .manifest
        .databases
        .iter()
        .zip(&before.manifest.databases)
    {
        assert_eq!(a.properties, b.properties);
        assert_eq!(
            a.members, b.members,
            "the same chunks, cut in the same places"
        );
    }
    let report = other.restore(&restore_request(&server, into("again")));
    assert!(report.proof.proven(), "{:#?}", report.proof.differences);

    // A package is as good as its last byte: cut short or changed anywhere, nothing is published.
    let whole = fs::read(&tar).expect("readable");
    let broken = out.join("broken.tar");
    let refused = |bytes: &[u8], what: &str| {
        let none = Place::new();
        fs::write(&broken, bytes).expect("room");
        let error =
            package::take_in(&none.repository, &taking(&broken), &none.context).expect_err(what);
        assert_eq!(error.code, ErrorCode::Damaged, "{what}: {error}");
        assert!(
            catalog::list(&none.repository, &filter)
                .expect("lists")
                .is_empty()
        );
    };
    refused(&whole[..whole.len() / 2], "cut in the middle");
    let sums = find(&whole, b"  databases/everything.pgcustom");
    refused(&whole[..sums], "cut in its sums");
    let mut changed = whole.clone();
    let row = find(&whole, b"\\.\n\n\n") - 3;
    changed[row] ^= 1;
    refused(&changed, "a changed row");

    // One that holds more than is wanted is no damage, and trying again does not help.
    let none = Place::new();
    let little = TakeInRequest {
        max_bytes: Some(20_000),
        ..taking(&tar)
    };
    let error = package::take_in(&none.repository, &little, &none.context).expect_err("too much");
    assert_eq!(error.code, ErrorCode::InvalidRequest, "{error}");
    assert!(
        error
            .hint
            .is_some_and(|hint| hint.contains("upload_max_expanded"))
    );
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes
        .windows(what.len())
        .rposition(|window| window == what)
        .expect("it is in there")
}

#[test]
fn a_package_in_a_bucket_opens_for_its_recipients_alone() {
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    place.backup(&server, "shop");
    let key = age::x25519::Identity::generate();
    let stranger = age::x25519::Identity::generate();
    let key_file = |name: &str, key: &age::x25519::Identity| {
        let path = place.folder.path().join(name);
        fs::write(
            &path,
            format!("# a key\n{}\n", key.to_string().expose_secret()),
        )
        .expect("room");
        path
    };
    let (own, other) = (key_file("own", &key), key_file("other", &stranger));

    let store = ObjectStore::rclone();
    let options = StorageOptions {
        s3: Some(S3Options {
            access_key_id: store.access_key_id().into(),
            secret_access_key: store.secret_access_key().to_owned().into(),
            session_token: None,
            endpoint: None,
            region: None,
            server_side_encryption: None,
            virtual_host_style: false,
        }),
        ..StorageOptions::default()
    };
    let to = PackageTarget::Bucket {
        address: store.repository("packages"),
        options: Box::new(options.clone()),
    };
    let request = PackageRequest {
        recipients: vec![key.to_public().to_string()],
        compress: true,
        ..packing()
    };
    let written = place.package(&request, &to);
    assert!(written.name.ends_with(".tar.zst.age"), "{}", written.name);
    let again = package::write(&place.repository, &request, &to, &place.context);
    assert!(again.expect_err("it is there").message.contains("exists"));
    let stored = store
        .bucket_folder()
        .expect("rclone keeps a folder")
        .join("packages")
        .join(&written.name);
    assert_eq!(fs::metadata(&stored).expect("whole").len(), written.size);

    let none = Place::new();
    for identities in [vec![], vec![other.clone()]] {
        let request = TakeInRequest {
            identities,
            ..taking(&stored)
        };
        let error = package::take_in(&none.repository, &request, &none.context)
            .expect_err("nobody's business");
        assert_eq!(error.code, ErrorCode::InvalidRequest, "{error}");
        assert!(error.hint.expect("a hint").contains("--identity"));
    }
    let in_bucket = |name: &str| PackageSource::Bucket {
        address: store.repository(&format!("packages/{name}")),
        options: Box::new(options.clone()),
    };
    let request = TakeInRequest {
        from: in_bucket(&written.name),
        identities: vec![other, own],
        app: Some("copy".into()),
        ..taking(&stored)
    };
    let taken = package::take_in(&none.repository, &request, &none.context)
        .unwrap_or_else(|e| panic!("{e} {:?}", e.details));
    assert_eq!((taken.app.as_str(), taken.rows), ("copy", written.rows));
    let missing = TakeInRequest {
        from: in_bucket("nothing.tar"),
        ..request
    };
    let error = package::take_in(&none.repository, &missing, &none.context);
    let error = error.expect_err("there is none").message;
    assert!(
        error.contains("no such object") && error.contains("nothing.tar"),
        "{error}"
    );
}
