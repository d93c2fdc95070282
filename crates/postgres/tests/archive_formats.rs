//! Archives as stock pg_dump makes them are read whole, and those we write are read whole by stock pg_restore.

mod dump_support;

use dump_support::{Dump, pg_restore};
use pgkeep_model::evidence::{Proof, compare};
use pgkeep_postgres::{
    archive::{
        self, ArchiveError, CustomBlock, CustomReader, CustomWriter, DirectoryArchive, TarReader,
        TarWriter, Toc,
    },
    dump::DumpOptions,
};
use pgkeep_testkit::TestPostgres;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read},
    path::{Path, PathBuf},
};

/// Every member of a dump by a name that is the same in all formats.
type Content = BTreeMap<String, Vec<u8>>;

fn pg_dump(server: &TestPostgres, database: &str, args: &[&str], to: &Path) {
    let output = server
        .client("pg_dump")
        .args(args)
        .arg("-f")
        .arg(to)
        .arg("-d")
        .arg(server.dsn_for(database))
        .output()
        .expect("pg_dump runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn all(mut input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_custom(input: impl Read + Send) -> Result<(Toc, Content), ArchiveError> {
    let mut reader = CustomReader::new(input)?;
    let mut content = Content::new();
    while let Some(block) = reader.next_block()? {
        match block {
            CustomBlock::Data { dump_id } => {
                content.insert(dump_id.to_string(), all(reader.data()?)?);
            }
            CustomBlock::LargeObjects { .. } => {
                while let Some(oid) = reader.next_large_object()? {
                    content.insert(format!("blob {oid}"), all(reader.data()?)?);
                }
            }
        }
    }
    Ok((reader.toc().clone(), content))
}

fn read_directory(folder: &Path) -> Result<Content, ArchiveError> {
    let archive = DirectoryArchive::open(folder)?;
    let mut content = Content::new();
    for entry in archive.toc().entries.iter().filter(|e| e.has_data) {
        if entry.is("BLOBS") {
            for (oid, file) in archive.large_objects(entry)? {
                content.insert(format!("blob {oid}"), all(archive.read(&file)?)?);
            }
        } else {
            let file = entry.file().expect("data has a file");
            content.insert(entry.dump_id.to_string(), all(archive.read(file)?)?);
        }
    }
    Ok(content)
}

fn read_tar(input: impl Read) -> Result<Content, ArchiveError> {
    let mut reader = TarReader::new(input)?;
    let mut content = Content::new();
    while let Some((name, _)) = reader.next_member()? {
        let bytes = all(reader.member())?;
        let stem = name.trim_end_matches(".dat");
        match stem.strip_prefix("blob_") {
            Some(oid) => content.insert(format!("blob {oid}"), bytes),
            None if stem.chars().all(|c| c.is_ascii_digit()) => content.insert(stem.into(), bytes),
            None => None,
        };
    }
    Ok(content)
}

/// pg_dump's own archive in every format it has must hold the same members.
fn check_reading(server: &TestPostgres, more_compressions: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    pg_dump(server, "db", &["-Fd", "-Z0"], &at("plain"));
    let expected = read_directory(&at("plain")).expect("a directory dump");
    assert!(
        expected.keys().any(|k| k.starts_with("blob")),
        "no large object in the sample"
    );
    assert!(expected.len() > 20);

    for compression in ["0", "1"].iter().chain(more_compressions) {
        let option = format!("-Z{compression}");
        pg_dump(server, "db", &["-Fc", &option], &at("custom"));
        let bytes = fs::read(at("custom")).expect("the archive");
        let (toc, content) = read_custom(bytes.as_slice()).expect("a custom archive");
        assert!(content == expected, "custom, {compression}");
        assert!(toc.encoding().is_some_and(|e| e == "UTF8"));
        if *compression != "0" {
            let name = format!("folder-{compression}");
            pg_dump(server, "db", &["-Fd", &option], &at(&name));
            let content = read_directory(&at(&name)).expect("a compressed directory dump");
            assert!(content == expected, "directory, {compression}");
        }
    }
    pg_dump(server, "db", &["-Ft"], &at("tar"));
    let tar = BufReader::new(File::open(at("tar")).expect("the tar file"));
    assert!(read_tar(tar).expect("a tar dump") == expected, "tar");
}

/// Archives that we write, from our own dump.
fn check_writing(server: &TestPostgres) {
    let dump = Dump::of(server, "db", &DumpOptions::default());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let schema = server.pg_dump_schema("db");
    let expected = read_directory(&dump.path()).expect("our directory dump");
    for (name, jobs) in [
        ("seek", 1),
        ("seek", 4),
        ("pipe", 1),
        ("stored", 4),
        ("tar", 1),
    ] {
        let path: PathBuf = folder.path().join(name);
        let mut out = BufWriter::new(File::create(&path).expect("a new file"));
        match name {
            "seek" => drop(
                write_custom(&dump, CustomWriter::new(out, dump.toc(), 6))
                    .finish_with_offsets()
                    .expect("written"),
            ),
            "pipe" => drop(
                write_custom(&dump, CustomWriter::new(&mut out, dump.toc(), 1))
                    .finish()
                    .expect("written"),
            ),
            "stored" => drop(
                write_custom(&dump, CustomWriter::new(out, dump.toc(), 0))
                    .finish_with_offsets()
                    .expect("written"),
            ),
            _ => write_tar(&dump, out),
        }
        let file = || BufReader::new(File::open(&path).expect("the archive"));
        let reread = match name {
            "tar" => read_tar(file()).expect("our tar"),
            _ => read_custom(file()).expect("our archive").1,
        };
        assert!(reread == expected, "{name}");
        let copy = format!("copy_{name}_{jobs}");
        pg_restore(server, &copy, &path, jobs);
        assert!(
            server.pg_dump_schema(&copy) == schema,
            "{copy}: the schema differs"
        );
        let found = Dump::of(server, &copy, &DumpOptions::default());
        let differences = compare(
            &dump.dumped.manifest.evidence,
            &found.dumped.manifest.evidence,
            Proof::Full,
        );
        assert!(differences.is_empty(), "{copy}: {differences:#?}");
    }
}

fn write_custom<W: io::Write>(
    dump: &Dump,
    writer: Result<CustomWriter<W>, ArchiveError>,
) -> CustomWriter<W> {
    let mut writer = writer.expect("the header is written");
    let archive = DirectoryArchive::open(dump.path()).expect("our directory dump");
    for entry in dump.toc().entries.iter().filter(|e| e.has_data) {
        if entry.is("BLOBS") {
            writer.begin_large_objects(entry.dump_id).expect("written");
            for (oid, file) in archive.large_objects(entry).expect("a list") {
                writer
                    .large_object(oid, archive.read(&file).expect("a member"))
                    .expect("written");
            }
            writer.end_large_objects().expect("written");
        } else {
            let member = archive
                .read(entry.file().expect("data has a file"))
                .expect("a member");
            writer.data(entry.dump_id, member).expect("written");
        }
    }
    writer
}

fn write_tar(dump: &Dump, out: impl io::Write) {
    let mut writer = TarWriter::new(out, dump.toc(), 1_700_000_000).expect("the header is written");
    for member in dump.dumped.manifest.members.iter().skip(1) {
        let content = File::open(dump.path().join(&member.file)).expect("a member");
        writer
            .member(&member.file, member.size, content)
            .expect("written");
    }
    writer.finish().expect("written");
}

fn check(major: u32, more_compressions: &[&str]) {
    let server = TestPostgres::start(major);
    server.load_everything("db");
    check_reading(&server, more_compressions);
    check_writing(&server);
}

#[test]
fn archives_of_15_are_read_and_written() {
    check(15, &[]);
}

#[test]
fn archives_of_17_are_read_and_written() {
    check(17, &["lz4", "zstd"]);
}

#[test]
fn archives_of_18_are_read_and_written() {
    check(18, &["lz4", "zstd"]);
}

/// A small archive in each format, uncompressed, so that cuts and flips land everywhere.
fn small_archives(server: &TestPostgres) -> (Vec<u8>, Vec<u8>) {
    server.create_database("small");
    server.psql("small", "CREATE TABLE t AS SELECT n, 'text ' || n AS x FROM generate_series(1, 20) n; SELECT lo_from_bytea(0, 'large')");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (custom, tar) = (folder.path().join("custom"), folder.path().join("tar"));
    pg_dump(server, "small", &["-Fc", "-Z0"], &custom);
    pg_dump(server, "small", &["-Ft"], &tar);
    (
        fs::read(custom).expect("an archive"),
        fs::read(tar).expect("an archive"),
    )
}

#[test]
fn every_cut_is_noticed_and_no_flipped_byte_panics() {
    let server = TestPostgres::start(15);
    let (custom, tar) = small_archives(&server);
    read_custom(custom.as_slice()).expect("the whole archive");
    for length in 0..custom.len() {
        let cut = read_custom(&custom[..length]);
        assert!(
            matches!(cut, Err(ArchiveError::Truncated { .. })),
            "{length}: {:?}",
            cut.err()
        );
    }
    // The last 512 bytes and what pads the file are empty blocks that say nothing.
    let end = tar.iter().rposition(|b| *b != 0).expect("content") + 1;
    for length in 0..end {
        let cut = read_tar(&tar[..length]);
        assert!(
            matches!(cut, Err(ArchiveError::Truncated { .. })),
            "{length}: {:?}",
            cut.err()
        );
    }
    for position in 0..custom.len() {
        for bit in [0, 3, 7] {
            let mut flipped = custom.clone();
            flipped[position] ^= 1 << bit;
            drop(read_custom(flipped.as_slice()));
        }
    }
    for position in (0..end).step_by(3) {
        let mut flipped = tar.clone();
        flipped[position] ^= 0x40;
        drop(read_tar(flipped.as_slice()));
    }
}

#[test]
fn foreign_and_newer_files_are_refused_by_name() {
    let server = TestPostgres::start(15);
    let (mut custom, _) = small_archives(&server);
    assert!(matches!(
        read_custom(&b"PK\x03\x04zip"[..]),
        Err(ArchiveError::NotAnArchive(_))
    ));
    custom[6] = 17;
    let newer = read_custom(custom.as_slice());
    assert!(matches!(
        newer,
        Err(ArchiveError::UnknownVersion {
            major: 1,
            minor: 17
        })
    ));
    assert!(matches!(
        archive::read_directory_toc(&custom[..]),
        Err(ArchiveError::UnknownVersion { .. })
    ));
}
