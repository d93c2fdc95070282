//! A stored pack goes bad: it is named, other backups restore, and repair and the next backup heal it. A lost config or key
//! file is not taken for a place without backups.

use crate::pgkeep::scene::Scene;

#[test]
fn a_flipped_bit_is_named_repaired_and_healed_by_the_next_backup() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    let known = scene.packs();
    scene.add_bulk(2);
    let (second, _) = scene.backup();
    let packs = scene.packs();
    let added = packs.iter().filter(|pack| !known.contains(pack));
    let pack = added
        .max_by_key(|pack| pack.metadata().unwrap().len())
        .unwrap();
    let name = pack.file_name().unwrap().to_string_lossy().into_owned();
    flip_a_bit(pack);

    let check = scene.run(&["check", "--read-data"]).fails_with(4);
    assert!(check.stdout.contains(&name), "{}", check.stdout);
    let affected = format!("affects snapshot {}: databases/shop/", &second[..8]);
    assert!(check.stdout.contains(&affected), "{}", check.stdout);
    assert!(
        !check.stdout.contains(&format!("snapshot {}", &first[..8])),
        "{}",
        check.stdout
    );
    scene.run(&["verify", &second, "--read-data"]).fails_with(4);
    let failed = scene
        .run(&["restore", &second, "--into", "broken"])
        .fails_with(4);
    assert!(
        failed.stderr.contains(&name[..8]) && failed.stderr.contains("hint:"),
        "{}",
        failed.stderr
    );
    assert!(!scene.databases().contains("broken"));
    scene
        .run(&["restore", &first, "--into", "whole"])
        .succeeds();

    let files_before = scene.packs();
    let plan = scene.run(&["check", "--repair", "--dry-run"]).fails_with(4);
    assert!(
        plan.stdout.contains("a repair would") && plan.stdout.contains(&name[..8]),
        "{}",
        plan.stdout
    );
    assert_eq!(
        scene.packs(),
        files_before,
        "a dry run changed the repository"
    );

    let repaired = scene
        .run(&["check", "--repair", "--json"])
        .fails_with(4)
        .json();
    assert_eq!(repaired["repaired"]["packs_dropped"], 1, "{repaired:#}");
    assert_eq!(repaired["repaired"]["blobs_lost"], 1, "{repaired:#}");
    let open = scene.run(&["check"]).fails_with(4);
    assert!(open.stdout.contains(&affected), "{}", open.stdout);

    scene.run(&["backup"]).succeeds();
    scene.run(&["check", "--read-data"]).succeeds();
    scene.run(&["verify", "--read-data"]).succeeds();
    scene
        .run(&["restore", &second, "--into", "healed"])
        .succeeds();
    assert_eq!(scene.ask("healed", "SELECT count(*) FROM bulk"), "2000");
    let nothing = scene.run(&["check", "--repair"]).succeeds();
    assert!(
        nothing.stdout.contains("every backup is whole"),
        "{}",
        nothing.stdout
    );
}

fn flip_a_bit(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Objects are read-only for everybody but root.
    let mut permissions = path.metadata().unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    std::fs::set_permissions(path, permissions).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_repository_that_lost_its_config_or_key_file_is_brought_back_and_never_cleared() {
    let scene = Scene::new();
    let (id, _) = scene.backup();
    scene.run(&["key", "kit", "--output", "kit.txt"]).succeeds();
    let place = scene.pgkeep.path().join("backups");

    std::fs::remove_file(place.join("config")).unwrap();
    for command in ["list", "backup", "init"] {
        let lost = scene.run(&[command]).fails_with(4);
        assert!(
            lost.stderr.contains("lost its config file")
                && lost.stderr.contains("check --repair")
                && lost.stderr.contains("clear nothing"),
            "{command}: {}",
            lost.stderr
        );
    }
    let repaired = scene.run(&["check", "--repair"]).succeeds();
    assert!(
        repaired.stderr.contains("made anew with the key"),
        "{}",
        repaired.stderr
    );

    std::fs::remove_dir_all(place.join("keys")).unwrap();
    std::fs::create_dir(place.join("keys")).unwrap();
    let lost = scene.run(&["list"]).fails_with(4);
    assert!(
        lost.stderr.contains("lost all its key files") && lost.stderr.contains("recovery kit"),
        "{}",
        lost.stderr
    );
    let kit = std::fs::read_to_string(scene.pgkeep.path().join("kit.txt")).unwrap();
    let (_, after) = kit.split_once("end, as ").expect("the file's name");
    let (name, content) = after.split_once(":\n\n").expect("its content");
    std::fs::write(place.join(name), content.trim_end()).unwrap();

    assert_eq!(scene.backups(), [id.as_str()]);
    scene.run(&["verify", "--read-data"]).succeeds();
    scene.run(&["restore", &id, "--into", "side"]).succeeds();

    let data = place.join("data");
    std::fs::rename(&data, place.join("elsewhere")).unwrap();
    std::fs::create_dir(&data).unwrap();
    scene.run(&["drill", &id]).fails_with(4);
    let list = scene.run(&["list"]).succeeds();
    assert!(list.stdout.contains("drill failed"), "{}", list.stdout);

    for snapshot in std::fs::read_dir(place.join("snapshots")).unwrap() {
        std::fs::write(snapshot.unwrap().path(), "nonsense").unwrap();
    }
    let verify = scene.run(&["verify"]).fails_with(4);
    assert!(
        verify.stdout.contains("cannot be read"),
        "{}",
        verify.stdout
    );
}
