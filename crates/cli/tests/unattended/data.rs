//! What goes in and out of a server that runs: backups listed, labelled, compared and downloaded, files uploaded, restores
//! planned, confirmed, run and undone.

use crate::{
    asking::{Answer, Asking},
    house::{House, Served},
    pgkeep::scene::{PHRASE, wait_until},
};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::{Shutdown, TcpStream},
};

fn admin<'a>(house: &'a House) -> (Served<'a>, Asking) {
    let served = house.serve();
    let token = served.admin_token();
    let asking = Asking::new(&served, &token);
    (served, asking)
}

fn viewer(house: &House, asking: &Asking) -> Asking {
    let args = ["token", "create", "looks", "--role", "viewer", "--json"];
    let made = house.run(&args).succeeds().json();
    asking.with_token(made["token"].as_str().unwrap())
}

/// Takes a backup of the shop and gives its id.
fn back_up(asking: &Asking, body: &Value) -> String {
    let mut body = body.clone();
    body["app"] = "shop".into();
    let report = asking.result_of(&asking.send("POST", "/backups", &body));
    report["id"].as_str().unwrap().to_owned()
}

fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().unwrap().clone();
    let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
    items.iter().map(id).collect()
}

#[test]
fn backups_are_listed_compared_labelled_downloaded_and_removed() {
    let house = House::new("");
    let (served, asking) = admin(&house);
    let first = back_up(&asking, &json!({ "tags": ["release"] }));
    house.shop.psql("shop", "DELETE FROM events");
    let second = back_up(&asking, &json!({ "description": "after" }));

    listed(&asking, &first, &second);
    described(&asking, &first, &second);
    let stale = asking.get(&format!("/backups/{second}")).expect(200);
    labelled(&asking, &second, stale.header("etag"));
    for format in ["custom", "plain", "directory", "tar"] {
        downloaded(&asking, &second, format);
    }
    let dump = house.pgkeep.path().join("shop.pgcustom");
    let file = asking
        .get(&format!("/backups/{second}/download"))
        .expect(200);
    std::fs::write(&dump, &file.bytes).unwrap();
    let mut list = house.shop.client("pg_restore");
    let output = list.arg("--list").arg(&dump).output().unwrap();
    let contents = String::from_utf8_lossy(&output.stdout);
    assert!(contents.contains("order_lines"), "{contents}");
    let looks = viewer(&house, &asking);
    looks.get(&format!("/backups/{second}")).expect(200);
    let path = format!("/backups/{second}/download");
    looks.get(&path).refused(403, "forbidden");

    let verified = asking.result_of(&asking.send(
        "POST",
        &format!("/backups/{first}/verify"),
        &json!({ "readData": true }),
    ));
    assert!(!verified.is_null());
    let checked = asking.get("/backups?state=checked").expect(200);
    assert_eq!(ids(&checked), [first.as_str()]);

    removed(&asking, &first, &second);
    assert_eq!(served.terminate(), 0);
    counted(&house, &asking, &second);
}

fn listed(asking: &Asking, first: &str, second: &str) {
    let all = asking.get("/backups").expect(200);
    assert_eq!(ids(&all), [second, first], "newest first");
    let page = asking.get("/backups?limit=1&ascending=true").expect(200);
    assert_eq!(ids(&page), [first]);
    let cursor = page.json()["nextCursor"].as_str().unwrap().to_owned();
    let rest = asking.get(&format!("/backups?limit=1&ascending=true&cursor={cursor}"));
    let rest = rest.expect(200);
    assert_eq!(ids(&rest), [second]);
    assert!(rest.json()["nextCursor"].is_null());
    for (query, expected) in [
        ("tag=release", vec![first]),
        ("text=after", vec![second]),
        ("app=shop&kind=full", vec![second, first]),
        ("app=blog", vec![]),
        ("pinned=true", vec![]),
    ] {
        let found = asking.get(&format!("/backups?{query}")).expect(200);
        assert_eq!(ids(&found), expected, "{query}");
    }
    asking
        .get("/backups?limit=0")
        .refused(400, "invalid_request");
}

fn described(asking: &Asking, first: &str, second: &str) {
    let path = format!("/backups/{}", &first[..8]);
    let shown = asking.get(&path).expect(200).json();
    assert_eq!(shown["id"], first);
    assert_eq!(shown["contents"][0]["name"], "shop");
    assert_eq!(shown["copies"], json!(["main"]));
    let tables = asking
        .get(&format!("{path}/tables?text=events"))
        .expect(200);
    let table = &tables.json()["items"][0];
    assert!(table["rows"].as_u64().unwrap() > 0, "{table}");
    let evidence = asking.get(&format!("{path}/evidence")).expect(200).json();
    assert_eq!(evidence["digest"], shown["evidenceDigest"]);
    let manifest = asking.get(&format!("{path}/manifest")).expect(200).json();
    assert_eq!(manifest["evidence_digest"], shown["evidenceDigest"]);
    let log = asking.get(&format!("{path}/logs")).expect(200).json();
    assert!(!log["items"].as_array().unwrap().is_empty());

    let compare = |from: &str, to: &str| {
        let found = asking.get(&format!("/backups/compare?from={from}&to={to}"));
        found.expect(200).json()
    };
    assert_eq!(compare(first, first)["same"], true);
    let differing = compare(first, second);
    assert_eq!(differing["same"], false);
    assert!(differing.to_string().contains("events"), "{differing:#}");
    asking.get("/backups/deadbeef").refused(404, "not_found");
}

fn labelled(asking: &Asking, backup: &str, etag: &str) {
    let path = format!("/backups/{backup}");
    let change = json!({ "description": "=1+1", "pinned": true, "addTags": ["kept"] });
    let made = asking.send_with("PATCH", &path, &[("if-match", etag)], &change);
    let now = made.expect(200).json();
    assert_eq!(
        (&now["pinned"], &now["tags"]),
        (&true.into(), &json!(["kept"]))
    );
    asking
        .send_with("PATCH", &path, &[("if-match", etag)], &change)
        .refused(412, "precondition_failed");
    assert_eq!(ids(&asking.get("/backups?pinned=true")), [backup]);

    let table = asking.get_with("/backups", &[("accept", "text/csv")]);
    let table = table.expect(200);
    assert!(table.header("content-type").starts_with("text/csv"));
    assert_eq!(
        table.header("content-disposition"),
        "attachment; filename=\"backups.csv\""
    );
    let text = table.text();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with("id,time,app,"), "{text}");
    assert!(text.contains(",'=1+1"), "a formula is no text: {text}");
    let one = asking.get("/backups?format=csv&limit=1").expect(200);
    assert_eq!(one.text().lines().count(), 2, "{}", one.text());
    assert_eq!(one.header("x-cut-off"), "true");
    let same = asking.get("/backups?format=csv").expect(200);
    assert_eq!(same.bytes, table.bytes);
}

/// In full, and in parts as a client asks for them that was cut off.
fn downloaded(asking: &Asking, backup: &str, format: &str) {
    let path = format!("/backups/{backup}/download?format={format}");
    let get = |headers: &[(&str, &str)]| asking.get_with(&path, headers);
    // Before anybody knows how long it is.
    let early = get(&[("range", "bytes=10-19")]).expect(206);
    let whole = get(&[]).expect(200);
    let length = whole.bytes.len();
    assert!(length > 1_000, "{format}: {length}");
    assert_eq!(early.bytes, whole.bytes[10..20], "{format}");
    assert_eq!(whole.header("content-length"), length.to_string());
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert!(whole.header("content-security-policy").contains("sandbox"));
    let name = whole.header("content-disposition");
    assert!(
        name.starts_with("attachment; filename=\"shop_default_shop_"),
        "{name}"
    );
    let etag = whole.header("etag");
    assert_eq!(early.header("etag"), etag);

    let middle = length / 2;
    let ranges = [
        (format!("bytes={middle}-"), middle..length),
        (format!("bytes=0-{}", length + 10), 0..length),
        ("bytes=-7".to_owned(), length - 7..length),
    ];
    for (range, part) in ranges {
        let answer = get(&[("range", &range), ("if-range", etag)]).expect(206);
        assert_eq!(answer.bytes, whole.bytes[part.clone()], "{format} {range}");
        assert_eq!(
            answer.header("content-range"),
            format!("bytes {}-{}/{length}", part.start, part.end - 1)
        );
    }
    let other = get(&[("range", "bytes=5-"), ("if-range", "\"another\"")]);
    assert_eq!(other.expect(200).bytes, whole.bytes, "{format}");
    get(&[("range", &format!("bytes={length}-"))]).refused(416, "range_not_satisfiable");
}

fn removed(asking: &Asking, first: &str, second: &str) {
    let pinned = asking.delete(&format!("/backups/{second}"));
    let problem = pinned.refused(409, "conflict");
    assert!(problem.to_string().contains("pinned"), "{problem}");
    let plan = asking.delete(&format!("/backups/{first}?dryRun=true"));
    let plan = plan.expect(200).json();
    assert_eq!(plan["objections"], json!([]));
    assert_eq!(
        ids(&asking.get("/backups")).len(),
        2,
        "a plan removes nothing"
    );
    let gone = asking.delete(&format!("/backups/{first}"));
    asking.result_of(&gone);
    assert_eq!(ids(&asking.get("/backups")), [second]);
    let download = asking.get(&format!("/backups/{first}/download"));
    download.refused(404, "not_found");
}

/// A download counts once, whatever it is cut into; what is refused counts nothing; nothing is to be had twice for it.
fn counted(house: &House, asking: &Asking, id: &str) {
    let served = house.serve_with(&[("PGKEEP_THROTTLE_BACKUP_DOWNLOAD", "2/hour")]);
    let path = format!("/backups/{id}/download");
    for _ in 0..3 {
        asking.get(&format!("{path}?format=zip")).expect(400);
        let unknown = asking.get("/backups/ffffffffffff/download");
        unknown.refused(404, "not_found");
    }
    let part = |range: &str| asking.get_with(&path, &[("range", range)]);
    let whole = asking.get(&path).expect(200);
    assert!(whole.header("ratelimit").contains("r=1"));
    // As often as a connection breaks, until twice the file was sent.
    let first = part("bytes=0-99").expect(206);
    let rest = part("bytes=100-").expect(206);
    assert!([first.bytes, rest.bytes].concat() == whole.bytes);
    assert!(!rest.headers.contains_key("ratelimit"));
    part("bytes=99999999999-").expect(416);
    // All but the first byte, over and over, is a download of its own each time but one.
    let again = part("bytes=1-").expect(206);
    assert!(again.header("ratelimit").contains("r=0"));
    part("bytes=1-").expect(206);
    part("bytes=1-").refused(429, "throttled");
    asking.get(&path).refused(429, "throttled");
    let package = asking.get(&format!("/backups/{id}/package"));
    package.refused(429, "throttled");
    part("bytes=-2").expect(206);
    assert_eq!(served.terminate(), 0);
}

#[test]
fn an_upload_is_resumed_and_becomes_a_backup_and_what_is_refused_leaves_nothing() {
    let house = House::new(
        "upload_max_file = \"2MiB\"\nupload_max_expanded = \"6MiB\"\nupload_per_user = 3\n",
    );
    let (served, asking) = admin(&house);
    let first = back_up(&asking, &json!({}));
    let file = asking.get(&format!("/backups/{first}/download"));
    let dump = file.expect(200).bytes;
    let waiting = || {
        let files = std::fs::read_dir(house.pgkeep.path().join("data/incoming"));
        files.map_or(0, |files| files.flatten().count())
    };

    let upload = resumed(&served, &asking, &dump);
    let complete = format!("/backups/uploads/{upload}/complete");
    let taken_in = asking.send("POST", &complete, &json!({ "app": "shop", "tags": ["in"] }));
    let report = asking.result_of(&taken_in);
    let shown = asking.get(&format!("/backups/{}", report["id"].as_str().unwrap()));
    let shown = shown.expect(200).json();
    assert_eq!(
        (&shown["kind"], &shown["tags"]),
        (&"import".into(), &json!(["in"]))
    );
    assert_eq!(shown["description"], "uploaded as ../../shop \"1\".dump");
    assert_eq!(waiting(), 0, "what became a backup is not kept twice");
    let gone = asking.get(&format!("/backups/uploads/{upload}"));
    gone.refused(404, "not_found");

    let whole = asking.send_bytes("POST", "/backups/upload?app=shop", &[], &dump);
    asking.result_of(&whole);
    let to_restore = asking.send_bytes("POST", "/backups/upload-restore?app=shop", &[], &dump);
    let report = asking.result_of(&to_restore);
    let plan = format!("/backups/{}/restore/plan", report["id"].as_str().unwrap());
    let plan = asking.send("POST", &plan, &json!({ "mode": "into", "name": "side" }));
    assert_eq!(plan.expect(200).json()["refusals"], json!([]));

    refused(&asking, &dump);
    assert_eq!(waiting(), 0, "what was refused is gone");
    let uploads = asking.get("/backups/uploads").expect(200).json();
    assert_eq!(uploads["items"], json!([]));

    house.shop.psql(
        "shop",
        "CREATE TABLE wide AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 8000)",
    );
    let wide = back_up(&asking, &json!({}));
    let small = asking.get(&format!("/backups/{wide}/download?format=plain"));
    let small = small.expect(200).bytes;
    assert!(small.len() < 1 << 20, "{}", small.len());
    let bomb = asking.send_bytes("POST", "/backups/upload?app=shop", &[], &small);
    let job = asking.job_of(&bomb);
    assert_eq!(job["state"], "failed", "{job:#}");
    assert!(
        job["error"].to_string().contains("upload_max_expanded"),
        "{job:#}"
    );
    assert_eq!(waiting(), 0, "what can never become a backup is gone");

    let packed = asking.get(&format!("/backups/{wide}/package?zstd=true"));
    let packed = packed.expect(200).bytes;
    assert!(packed.len() < 1 << 20, "{}", packed.len());
    let bomb = asking.send_bytes("POST", "/backups/upload?app=shop", &[], &packed);
    let error = asking.job_of(&bomb)["error"].clone();
    assert_eq!(error["code"], "invalid_request", "{error:#}");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("upload_max_expanded"), "{hint}");
    assert_eq!(waiting(), 0, "nor is such a package kept");
    let uploads = asking.get("/backups/uploads").expect(200).json();
    assert_eq!(uploads["items"], json!([]));
}

/// Brings a file in by chunks, one of which breaks off; gives its id.
fn resumed(served: &Served<'_>, asking: &Asking, dump: &[u8]) -> String {
    let begun = asking.send(
        "POST",
        "/backups/uploads",
        &json!({ "fileName": "../../shop \"1\".dump", "sizeBytes": dump.len() }),
    );
    let id = begun.expect(201).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/backups/uploads/{id}");
    let add = |at: usize, bytes: &[u8]| {
        let at = at.to_string();
        asking.send_bytes("PATCH", &path, &[("upload-offset", &at)], bytes)
    };
    let third = dump.len() / 3;
    let stored = add(0, &dump[..third]).expect(204);
    assert_eq!(stored.header("upload-offset"), third.to_string());
    add(0, &dump[..third]).refused(409, "wrong_state");
    add(third + 1, &dump[third + 1..]).refused(409, "wrong_state");
    let early = asking.send(
        "POST",
        &format!("{path}/complete"),
        &json!({ "app": "shop" }),
    );
    early.refused(409, "wrong_state");

    let address = served.url().replace("http://", "");
    let mut broken = TcpStream::connect(&address).unwrap();
    let head = format!(
        "PATCH /api/v1{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/octet-stream\r\nUpload-Offset: {third}\r\nContent-Length: {}\r\n\r\n",
        asking.token(),
        2 * third
    );
    broken.write_all(head.as_bytes()).unwrap();
    broken.write_all(&dump[third..2 * third]).unwrap();
    broken.shutdown(Shutdown::Write).unwrap();
    let offset = || {
        let shown = asking.get(&path).expect(200);
        shown.header("upload-offset").parse::<usize>().unwrap()
    };
    let there = 2 * third;
    wait_until("the server has stored what came", || offset() == there);
    wait_until("the broken request lets go of the file", || {
        let rest = add(there, &dump[there..]);
        let busy = rest.status == 409 && rest.json()["code"] == "request_in_progress";
        assert!(busy || rest.status == 204, "{}", rest.text());
        !busy
    });
    assert_eq!(offset(), dump.len());
    id
}

fn refused(asking: &Asking, dump: &[u8]) {
    let begin = |body: Value| asking.send("POST", "/backups/uploads", &body);
    begin(json!({ "sizeBytes": 3 << 20 })).refused(413, "too_large");
    begin(json!({ "sha256": "short" })).refused(422, "invalid");
    begin(json!({ "fileName": "two\nlines" })).refused(422, "invalid");

    // More than was announced, and more than is allowed.
    let id = |answer: Answer| answer.expect(201).json()["id"].as_str().unwrap().to_owned();
    let small = format!("/backups/uploads/{}", id(begin(json!({ "sizeBytes": 10 }))));
    let add = |path: &str, bytes: &[u8]| {
        asking.send_bytes("PATCH", path, &[("upload-offset", "0")], bytes)
    };
    add(&small, &dump[..11]).refused(413, "too_large");
    let chunk = asking.send_bytes("PATCH", &small, &[], &dump[..5]);
    chunk.refused(400, "invalid_request");
    let large = [dump, &vec![b'x'; 2 << 20]].concat();
    let answer = asking.send_bytes("POST", "/backups/upload?app=shop", &[], &large);
    answer.refused(413, "too_large");

    // Not what a dump looks like, whatever it is called; and not the bytes that were announced.
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let answer = asking.send_bytes(
        "POST",
        "/backups/upload?app=shop&fileName=shop.dump",
        &[],
        picture,
    );
    answer.refused(422, "invalid");
    let form =
        b"--xYzZY\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nPGDMP\r\n--xYzZY--\r\n";
    let page = b"<!DOCTYPE html><title>Sign in</title>";
    for (headers, body, words) in [
        (
            &[("content-type", "multipart/form-data; boundary=xYzZY")][..],
            &form[..],
            "a form",
        ),
        (&[], form, "a form"),
        (&[], page, "a web page"),
        (&[], b"{\"jobs\": 1}", "JSON"),
        (&[], b"PK\x03\x04\x14\0\0\0", "a zip archive"),
        (&[], b"CREATE TABLE t (x int);\n", "not a script"),
        (&[], b"", "empty"),
    ] {
        let answer = asking.send_bytes("POST", "/backups/upload?app=shop", headers, body);
        assert_eq!(answer.status, 422, "{words}: {}", answer.text());
        assert!(answer.text().contains(words), "{words}: {}", answer.text());
        let tells_how = answer.text().contains("curl --data-binary");
        assert!(tells_how || !["a form", "a web page", "JSON", "empty"].contains(&words));
    }
    // In chunks, the one that shows it is refused, and the upload is gone.
    let chunked = format!("/backups/uploads/{}", id(begin(json!({}))));
    add(&chunked, &page[..1]).expect(204);
    let second = asking.send_bytes(
        "PATCH",
        &chunked,
        &[("upload-offset", "1")],
        &page.repeat(20),
    );
    second.refused(422, "invalid");
    asking.get(&chunked).refused(404, "not_found");
    let digest = "0".repeat(64);
    let other = format!("/backups/upload?app=shop&sha256={digest}");
    let answer = asking.send_bytes("POST", &other, &[], dump);
    answer.refused(422, "invalid");
    let nowhere = asking.send_bytes("POST", "/backups/upload?app=nothing", &[], dump);
    nowhere.refused(422, "invalid");

    // Three at a time; each may be given up.
    let more = [id(begin(json!({}))), id(begin(json!({})))];
    begin(json!({})).refused(409, "conflict");
    let [kept, _] = &more;
    add(&format!("/backups/uploads/{kept}"), &dump[..100]).expect(204);
    asking.delete(&small).expect(204);
    for id in &more {
        let path = format!("/backups/uploads/{id}");
        asking.delete(&path).expect(204);
        asking.delete(&path).refused(404, "not_found");
    }
}

#[test]
fn a_restore_is_planned_confirmed_run_once_and_undone_and_a_drill_proves() {
    let house = House::new("");
    let (_served, asking) = admin(&house);
    let backup = back_up(&asking, &json!({}));
    house.shop.psql("shop", "DROP TABLE order_lines CASCADE");
    let has_lines = || {
        let sql = "SELECT to_regclass('order_lines') IS NOT NULL";
        house.shop.psql("shop", sql).trim() == "t"
    };
    let path = format!("/backups/{}/restore", &backup[..8]);
    let replace = json!({ "mode": "replace", "name": "shop" });
    let plan = asking.send("POST", &format!("{path}/plan"), &replace);
    let plan = plan.expect(200).json();
    assert_eq!(
        (&plan["overwrites"], &plan["phrase"], &plan["refusals"]),
        (&true.into(), &PHRASE.into(), &json!([]))
    );
    assert!(!has_lines(), "a plan changes nothing");
    let looks = viewer(&house, &asking);
    looks
        .send("POST", &path, &replace)
        .refused(403, "forbidden");

    let with = |confirm: &str, hash: &str| {
        let mut body = replace.clone();
        body["confirm"] = confirm.into();
        body["planHash"] = hash.into();
        body
    };
    let hash = plan["hash"].as_str().unwrap();
    let start = |body: &Value| asking.send_with("POST", &path, &[("idempotency-key", "one")], body);
    let problem = start(&with("yes", hash)).refused(422, "invalid");
    assert_eq!(problem["fields"][0]["field"], "confirm");
    start(&with(PHRASE, "another")).refused(409, "plan_changed");
    let begun = start(&with(PHRASE, hash));
    let again = start(&with(PHRASE, hash)).expect(202);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json()["jobId"], begun.json()["jobId"]);
    let report = asking.result_of(&begun);
    assert!(has_lines());
    assert_eq!(report["proof"]["differences"], json!([]));
    let restores = asking.get("/restores?app=shop").expect(200);
    assert_eq!(ids(&restores), [begun.json()["jobId"].as_str().unwrap()]);
    let kept = asking.get("/restores/kept?app=shop").expect(200).json();
    assert_eq!(kept["items"][0]["name"], report["kept_as"]);

    let undo = format!("/restores/{}/undo", begun.json()["jobId"].as_str().unwrap());
    asking
        .send("POST", &undo, &json!({ "confirm": "yes" }))
        .refused(422, "invalid");
    let undone = asking.send("POST", &undo, &json!({ "confirm": PHRASE }));
    asking.result_of(&undone);
    assert!(!has_lines(), "the database that was replaced is back");

    let aside = asking.send("POST", &path, &json!({ "mode": "into", "name": "aside" }));
    asking.result_of(&aside);
    let aside = format!("/restores/{}/undo", aside.json()["jobId"].as_str().unwrap());
    asking
        .send("POST", &aside, &json!({ "confirm": PHRASE }))
        .refused(409, "wrong_state");
    let taken = asking.send("POST", &path, &json!({ "mode": "into", "name": "aside" }));
    taken.refused(409, "conflict");

    let drill = |sql: &str| {
        let body = json!({ "app": "shop", "backup": backup, "assertions": [sql] });
        asking.job_of(&asking.send("POST", "/drills", &body))
    };
    let good = drill("SELECT count(*) > 0 FROM order_lines");
    assert_eq!(good["result"]["proven"], true, "{good:#}");
    let proven = asking.get("/backups?state=proven").expect(200);
    assert_eq!(ids(&proven), [backup.as_str()]);
    let bad = drill("SELECT false");
    assert_eq!(
        (&bad["state"], &bad["result"]["proven"]),
        (&"failed".into(), &false.into()),
        "{bad:#}"
    );
    let drills = asking.get("/drills?app=shop").expect(200);
    assert_eq!(
        ids(&drills),
        [bad["id"].as_str().unwrap(), good["id"].as_str().unwrap()]
    );
    let one = asking
        .get(&format!("/drills/{}", ids(&drills)[0]))
        .expect(200);
    assert_eq!(one.json()["id"], bad["id"]);
}
