//! A repository in a folder that goes with the test, and streams of bytes to put into it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use pgkeep_repository::{
    NewFile, Repository, Snapshot, SnapshotId, SnapshotMeta, WriteSummary, Writer, WriterOptions,
    storage::{LocalStorage, Storage},
};
use pgkeep_testkit::ManualClock;
use secrecy::SecretString;
use std::{
    io::{Read, Write},
    path::PathBuf,
    sync::Arc,
};

pub const PASSWORD: &str = "correct horse";

pub fn password() -> SecretString {
    PASSWORD.into()
}

pub struct TestRepository {
    pub folder: tempfile::TempDir,
    pub clock: Arc<ManualClock>,
    pub repository: Repository,
}

impl TestRepository {
    pub fn init() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::new(ManualClock::at("2026-01-02T03:04:05Z"));
        let repository =
            Repository::init(storage_in(&folder), &password(), clock.clone()).expect("init");
        Self {
            folder,
            clock,
            repository,
        }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("repo").join(below)
    }

    pub fn storage(&self) -> Arc<dyn Storage> {
        storage_in(&self.folder)
    }

    pub fn reopen(&self) -> Repository {
        self.reopen_on(self.storage())
    }

    pub fn reopen_on(&self, storage: Arc<dyn Storage>) -> Repository {
        Repository::open(storage, &password(), self.clock.clone()).expect("open")
    }
}

fn storage_in(folder: &tempfile::TempDir) -> Arc<dyn Storage> {
    Arc::new(LocalStorage::new(folder.path().join("repo")))
}

/// Small packs and two workers, so that little data already takes many packs.
pub fn options() -> WriterOptions {
    WriterOptions {
        workers: 2,
        pack_size: 3 << 20,
        ..WriterOptions::default()
    }
}

pub fn meta() -> SnapshotMeta {
    SnapshotMeta {
        time: "2026-01-02T03:04:05.123456789Z".parse().expect("a time"),
        hostname: "db1".into(),
        username: "backup".into(),
        tags: vec!["app:shop".into()],
        paths: vec!["/shop".into()],
        program_version: "pgkeep 0.1.0".into(),
    }
}

/// Writes content as one stream.
pub fn file(writer: &Writer, path: &str, content: &[u8]) -> NewFile {
    file_of(writer, path, &[content])
}

/// Writes content as several streams, one after the other in the file.
pub fn file_of(writer: &Writer, path: &str, parts: &[&[u8]]) -> NewFile {
    let parts = parts
        .iter()
        .map(|part| {
            let mut stream = writer.stream();
            for piece in part.chunks(70_001) {
                stream.write_all(piece).expect("write");
            }
            stream.finish().expect("finish")
        })
        .collect();
    NewFile {
        path: path.into(),
        mode: 0o640,
        modified: meta().time,
        parts,
    }
}

pub fn back_up(repository: &Repository, files: &[(&str, &[u8])]) -> (SnapshotId, WriteSummary) {
    let writer = repository.writer(options()).expect("writer");
    let files = files
        .iter()
        .map(|(path, content)| file(&writer, path, content))
        .collect();
    writer.publish(files, meta()).expect("publish")
}

pub fn read(repository: &Repository, snapshot: &Snapshot, path: &str) -> Vec<u8> {
    let reader = repository.open_snapshot(snapshot).expect("open snapshot");
    let entry = reader
        .file(path)
        .unwrap_or_else(|| panic!("{path} is in the snapshot"))
        .clone();
    let mut content = Vec::new();
    reader.read(&entry).read_to_end(&mut content).expect("read");
    assert_eq!(content.len() as u64, entry.size, "size of {path}");
    content
}

/// Text that packs like a table's rows do; `seed` chooses which.
pub fn rows(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 80);
    let mut n = 0u64;
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        n += 1;
        writeln!(
            out,
            "{n}\tcustomer {:x}\t2026-01-{:02}\t{}.{:02}\tshipped",
            state,
            n % 28 + 1,
            state % 9000,
            n % 100
        )
        .expect("writing to memory");
    }
    out.truncate(bytes);
    out
}

/// Bytes that do not pack.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(bytes)
    .collect()
}
