//! What a writer promises: all or nothing, nothing twice, every failure seen.

mod support;

use pgkeep_model::CancelToken;
use pgkeep_repository::{
    NewFile, Repository, RepositoryError, WriterOptions,
    storage::{
        FileKind, StorageErrorKind,
        faulty::{Fault, Faulty},
        recording::{Operation, Recording},
    },
};
use std::{
    fs,
    io::{Read, Write},
    sync::Arc,
};
use support::*;

#[test]
fn what_is_written_reads_back_whatever_its_size_and_shape() {
    let test = TestRepository::init();
    let contents = [
        ("empty", Vec::new()),
        ("one", vec![7]),
        ("zeros", vec![0; 9 << 20]),
        ("rows", rows(1, 11 << 20)),
        ("deep/er/noise", noise(2, 5 << 20)),
        ("deep/rows", rows(3, 3 << 20)),
    ];
    let files: Vec<_> = contents
        .iter()
        .map(|(path, content)| (*path, content.as_slice()))
        .collect();
    let (id, summary) = back_up(&test.repository, &files);
    assert_eq!(
        summary.bytes_read,
        contents.iter().map(|(_, c)| c.len() as u64).sum::<u64>()
    );
    let repository = test.reopen();
    let snapshot = repository.find_snapshot(&id.to_string()).expect("snapshot");
    for (path, content) in &contents {
        assert!(read(&repository, &snapshot, path) == *content, "{path}");
    }
    let reader = repository.open_snapshot(&snapshot).expect("reader");
    let paths: Vec<_> = reader.files().map(|f| f.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "deep/er/noise",
            "deep/rows",
            "empty",
            "one",
            "rows",
            "zeros"
        ]
    );
    assert_eq!(reader.file("rows").expect("there").mode, 0o640);
    let missing = reader.read_to_vec("nowhere").expect_err("no such file");
    assert!(
        matches!(missing, RepositoryError::FileNotFound { .. }),
        "{missing}"
    );
}

#[test]
fn segments_written_side_by_side_lie_in_order_and_can_be_read_alone() {
    let test = TestRepository::init();
    let writer = test.repository.writer(options()).expect("writer");
    let segments: Vec<Vec<u8>> = (0..6).map(|n| rows(n, 2_500_000)).collect();
    let parts = std::thread::scope(|scope| {
        let running: Vec<_> = segments
            .iter()
            .map(|segment| {
                let mut stream = writer.stream();
                scope.spawn(move || {
                    segment
                        .chunks(9_999)
                        .for_each(|piece| stream.write_all(piece).expect("write"));
                    stream.finish().expect("finish")
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect::<Vec<_>>()
    });
    let counts: Vec<usize> = parts.iter().map(|p| p.chunks as usize).collect();
    let file = NewFile {
        path: "table".into(),
        mode: 0o600,
        modified: meta().time,
        parts,
    };
    let (id, _) = writer.publish(vec![file], meta()).expect("publish");
    let snapshot = test
        .repository
        .find_snapshot(&id.to_string())
        .expect("snapshot");
    assert!(read(&test.repository, &snapshot, "table") == segments.concat());

    let reader = test.repository.open_snapshot(&snapshot).expect("reader");
    let entry = reader.file("table").expect("there");
    let before: usize = counts[..3].iter().sum();
    let mut third = Vec::new();
    reader
        .read_chunks(entry, before..before + counts[3])
        .read_to_end(&mut third)
        .expect("read");
    assert!(third == segments[3]);
    let mut beyond = Vec::new();
    reader
        .read_chunks(entry, 1_000..2_000)
        .read_to_end(&mut beyond)
        .expect("read");
    assert!(beyond.is_empty());
}

#[test]
fn a_second_run_stores_only_what_changed() {
    let test = TestRepository::init();
    let table = rows(1, 24 << 20);
    let (_, first) = back_up(&test.repository, &[("table", &table)]);
    assert_eq!(first.bytes_new, first.bytes_read);
    assert!(
        first.bytes_added < first.bytes_new / 2,
        "rows pack well: {first:?}"
    );
    let (_, same) = back_up(&test.repository, &[("table", &table)]);
    assert_eq!(
        (same.bytes_new, same.packs),
        (0, 0),
        "not even the tree is new: {same:?}"
    );

    let mut changed = table.clone();
    changed.splice(10 << 20..(10 << 20) + 5, *b"a longer row");
    let (id, third) = back_up(&test.repository, &[("table", &changed)]);
    assert!(
        third.bytes_new < 5 << 20,
        "only chunks near the change: {third:?}"
    );
    let snapshot = test
        .repository
        .find_snapshot(&id.to_string())
        .expect("snapshot");
    assert!(read(&test.repository, &snapshot, "table") == changed);
}

#[test]
fn the_same_content_met_by_several_workers_is_stored_once() {
    let test = TestRepository::init();
    let content = rows(1, 6 << 20);
    let files: Vec<(String, &[u8])> = (0..8)
        .map(|n| (format!("copy-{n}"), content.as_slice()))
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, c)| (path.as_str(), *c)).collect();
    let (_, summary) = back_up(&test.repository, &files);
    assert_eq!(summary.bytes_new, content.len() as u64);
    assert_eq!(summary.bytes_read, 8 * content.len() as u64);
}

#[test]
fn nothing_is_referenced_before_it_is_durable() {
    let test = TestRepository::init();
    let recording = Arc::new(Recording::new(test.storage()));
    let repository = test.reopen_on(recording.clone());
    back_up(&repository, &[("table", &noise(1, 20 << 20))]);
    let steps: Vec<_> = recording
        .writes()
        .into_iter()
        .map(|call| (call.operation, call.kind))
        .collect();
    let first = |kind| {
        steps
            .iter()
            .position(|s| *s == (Operation::Put, Some(kind)))
    };
    let last = |kind| {
        steps
            .iter()
            .rposition(|s| *s == (Operation::Put, Some(kind)))
    };
    let flush_between =
        |from: usize, to: usize| steps[from..to].contains(&(Operation::Flush, None));
    let (pack, index) = (
        last(FileKind::Pack).expect("packs"),
        first(FileKind::Index).expect("index"),
    );
    let snapshot = first(FileKind::Snapshot).expect("snapshot");
    assert!(pack < index && flush_between(pack, index), "{steps:?}");
    assert!(
        index < snapshot && flush_between(index, snapshot),
        "{steps:?}"
    );
    assert!(steps.len() > 5, "several packs: {steps:?}");
}

#[test]
fn a_failing_store_fails_the_run_and_leaves_no_snapshot() {
    for (kind, error) in [
        (FileKind::Pack, StorageErrorKind::NoSpace),
        (FileKind::Index, StorageErrorKind::Other),
        (FileKind::Snapshot, StorageErrorKind::PermissionDenied),
    ] {
        let test = TestRepository::init();
        let (before, _) = back_up(&test.repository, &[("table", &rows(1, 1 << 20))]);
        let faulty = Arc::new(Faulty::new(test.storage()));
        let repository = test.reopen_on(faulty.clone());
        let writer = repository.writer(options()).expect("writer");
        faulty.on_nth(Operation::Put, Some(kind), 1, Fault::Fail(error));
        let mut stream = writer.stream();
        let content = noise(2, 40 << 20);
        let written = content
            .chunks(100_000)
            .try_for_each(|piece| stream.write_all(piece));
        let outcome = match written
            .map_err(RepositoryError::from_io)
            .and_then(|()| stream.finish())
        {
            Ok(part) => {
                let file = NewFile {
                    path: "t".into(),
                    mode: 0o600,
                    modified: meta().time,
                    parts: vec![part],
                };
                writer.publish(vec![file], meta()).map(drop)
            }
            Err(e) => Err(e),
        };
        let failure = outcome.expect_err("the store failed");
        assert!(
            matches!(&failure, RepositoryError::Storage(e) if e.kind == error),
            "{failure}"
        );
        faulty.heal();
        let again = test.reopen();
        let ids: Vec<_> = again
            .snapshots()
            .expect("list")
            .iter()
            .map(|s| s.id)
            .collect();
        assert_eq!(ids, [before]);
        assert!(read(&again, &again.snapshots().expect("list")[0], "table") == rows(1, 1 << 20));
        let (id, _) = back_up(&again, &[("table", &content)]);
        let snapshot = again.find_snapshot(&id.to_string()).expect("snapshot");
        assert!(read(&again, &snapshot, "table") == content);
    }
}

#[test]
fn an_unpublished_run_leaves_its_work_for_the_next() {
    let test = TestRepository::init();
    let content = noise(1, 30 << 20);
    {
        let writer = test.repository.writer(options()).expect("writer");
        let mut stream = writer.stream();
        stream.write_all(&content).expect("write");
        // Neither finished nor published.
        drop(stream);
        drop(writer);
    }
    assert!(test.repository.snapshots().expect("list").is_empty());
    let (_, summary) = back_up(&test.repository, &[("table", &content)]);
    assert!(
        summary.bytes_new < summary.bytes_read / 2,
        "what was stored is not stored again: {summary:?}"
    );
}

#[test]
fn cancelling_ends_streams_and_publishing_alike() {
    let test = TestRepository::init();
    let cancel = CancelToken::new();
    let with_token = || WriterOptions {
        cancel: cancel.clone(),
        ..options()
    };
    let writer = test.repository.writer(with_token()).expect("writer");
    let mut stream = writer.stream();
    stream.write_all(&rows(1, 5 << 20)).expect("write");
    let part = {
        let mut other = writer.stream();
        other.write_all(b"x").expect("write");
        other.finish().expect("finish")
    };
    cancel.cancel();
    let refused = RepositoryError::from_io(stream.write_all(b"more").expect_err("cancelled"));
    assert!(
        matches!(refused, RepositoryError::Cancelled(_)),
        "{refused}"
    );
    let file = NewFile {
        path: "t".into(),
        mode: 0o600,
        modified: meta().time,
        parts: vec![part],
    };
    let refused = writer.publish(vec![file], meta()).expect_err("cancelled");
    assert!(
        matches!(refused, RepositoryError::Cancelled(_)),
        "{refused}"
    );
    assert!(test.repository.snapshots().expect("list").is_empty());
    assert!(matches!(
        test.repository.writer(with_token()),
        Err(RepositoryError::Cancelled(_))
    ));
}

#[test]
fn a_stream_of_another_writer_or_a_path_that_leaves_the_tree_is_refused() {
    let test = TestRepository::init();
    let one = test.repository.writer(options()).expect("writer");
    let other = test.repository.writer(options()).expect("writer");
    let stray = file(&one, "t", b"x");
    assert!(other.publish(vec![stray], meta()).is_err());
    let escaping = file(&one, "../t", b"x");
    assert!(one.publish(vec![escaping], meta()).is_err());
    assert!(test.repository.snapshots().expect("list").is_empty());
}

#[test]
fn packs_that_went_missing_or_short_are_stored_again() {
    let test = TestRepository::init();
    let content = noise(1, 12 << 20);
    back_up(&test.repository, &[("table", &content)]);
    let packs = packs(&test);
    let [.., short, gone] = packs.as_slice() else {
        panic!("at least two packs: {packs:?}")
    };
    fs::remove_file(gone).expect("removed");
    let bytes = fs::read(short).expect("read");
    fs::remove_file(short).expect("removed");
    fs::write(short, &bytes[..bytes.len() - 1]).expect("written");

    let repository = test.reopen();
    let snapshot = repository.find_snapshot("latest").expect("snapshot");
    let reader = repository
        .open_snapshot(&snapshot)
        .expect("the tree is whole");
    let mut stream = reader.read(reader.file("table").expect("there"));
    let lost = RepositoryError::from_io(
        stream
            .read_to_end(&mut Vec::new())
            .expect_err("a pack is gone"),
    );
    assert!(lost.is_damage(), "{lost}");

    let (id, summary) = back_up(&repository, &[("table", &content)]);
    assert_eq!(summary.packs_quarantined, 2);
    assert!(
        summary.bytes_new > 0 && summary.bytes_new < content.len() as u64,
        "{summary:?}"
    );
    let repository = test.reopen();
    for id in [id.to_string(), snapshot.id.to_string()] {
        let snapshot = repository.find_snapshot(&id).expect("snapshot");
        assert!(
            read(&repository, &snapshot, "table") == content,
            "the old backup is mended as well"
        );
    }
}

#[test]
fn a_flipped_bit_is_an_error_that_names_blob_and_pack() {
    let test = TestRepository::init();
    let (id, _) = back_up(
        &test.repository,
        &[("a", &rows(1, 2 << 20)), ("b", &noise(2, 100))],
    );
    let (mut damaged, mut seen) = (0, 0);
    for shard in fs::read_dir(test.path("data")).expect("data") {
        for pack in fs::read_dir(shard.expect("entry").path()).expect("shard") {
            let path = pack.expect("entry").path();
            let mut bytes = fs::read(&path).expect("read");
            seen += 1;
            if bytes.len() < 100_000 {
                continue; // The tree.
            }
            bytes[50] ^= 0x10;
            fs::remove_file(&path).expect("removed");
            fs::write(&path, &bytes).expect("written");
            damaged += 1;
        }
    }
    assert_eq!((seen, damaged), (2, 1));
    let repository = test.reopen();
    let snapshot = repository.find_snapshot(&id.to_string()).expect("snapshot");
    let reader = repository
        .open_snapshot(&snapshot)
        .expect("trees are whole");
    let errors: Vec<_> = ["a", "b"]
        .into_iter()
        .filter_map(|path| reader.read_to_vec(path).err())
        .collect();
    assert_eq!(
        errors.len(),
        1,
        "only the file whose chunk was hit: {errors:?}"
    );
    assert!(
        matches!(errors[0], RepositoryError::DamagedBlob { .. }),
        "{:?}",
        errors[0]
    );
}

#[test]
fn a_level_that_does_not_exist_is_refused_at_once_or_clamped_by_zstd() {
    let test = TestRepository::init();
    for level in [-5, 1, 19] {
        let writer = test
            .repository
            .writer(WriterOptions {
                compression_level: level,
                ..options()
            })
            .expect("writer");
        let content = rows(level as u64, 2 << 20);
        let table = file(&writer, "t", &content);
        let (id, _) = writer.publish(vec![table], meta()).expect("publish");
        let snapshot = test
            .repository
            .find_snapshot(&id.to_string())
            .expect("snapshot");
        assert!(read(&test.repository, &snapshot, "t") == content);
    }
}

#[test]
fn a_reader_survives_a_repository_that_grows_under_it() {
    let test = TestRepository::init();
    let (first, _) = back_up(&test.repository, &[("t", &rows(1, 1 << 20))]);
    let repository: Repository = test.reopen();
    assert!(
        read(
            &repository,
            &repository.find_snapshot(&first.to_string()).expect("there"),
            "t"
        ) == rows(1, 1 << 20)
    );
    let (second, _) = back_up(&test.repository, &[("t", &rows(2, 1 << 20))]);
    assert!(
        read(
            &repository,
            &repository
                .find_snapshot(&second.to_string())
                .expect("there"),
            "t"
        ) == rows(2, 1 << 20)
    );
}

#[test]
fn chunks_before_a_truncated_end_of_their_pack_are_still_read() {
    let test = TestRepository::init();
    let content = noise(1, 9 << 20);
    let writer = test
        .repository
        .writer(WriterOptions {
            workers: 1,
            pack_size: 64 << 20,
            ..options()
        })
        .expect("writer");
    let table = file(&writer, "table", &content);
    writer.publish(vec![table], meta()).expect("publish");
    let pack = packs(&test).pop().expect("the largest is that of the data");
    let bytes = fs::read(&pack).expect("read");
    fs::remove_file(&pack).expect("removed");
    fs::write(&pack, &bytes[..bytes.len() / 2]).expect("written");

    let repository = test.reopen();
    let snapshot = repository.find_snapshot("latest").expect("snapshot");
    let reader = repository
        .open_snapshot(&snapshot)
        .expect("the tree is whole");
    let mut stream = reader.read(reader.file("table").expect("there"));
    let mut got = Vec::new();
    let error = stream.read_to_end(&mut got).expect_err("half is gone");
    assert!(RepositoryError::from_io(error).is_damage());
    assert!(
        got.len() >= 2 << 20 && content.starts_with(&got),
        "{} bytes",
        got.len()
    );
    let again = stream.read(&mut [0; 10]).expect_err("the error stays");
    assert!(RepositoryError::from_io(again).is_damage());
}

/// All packs, smallest first.
fn packs(test: &TestRepository) -> Vec<std::path::PathBuf> {
    let mut packs = Vec::new();
    for shard in fs::read_dir(test.path("data")).expect("data") {
        for pack in fs::read_dir(shard.expect("entry").path()).expect("shard") {
            packs.push(pack.expect("entry").path());
        }
    }
    packs.sort_by_key(|p| fs::metadata(p).expect("there").len());
    packs
}
