use super::*;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, text).expect("written");
}

/// `name`, or `name?` for an optional one.
fn names(folder: &Path) -> Vec<String> {
    let sets = in_folder(folder).expect("it can be read");
    let shown = |m: &CodeMigration| format!("{}{}", m.name, if m.optional { "?" } else { "" });
    sets.iter().map(shown).collect()
}

#[test]
fn logs_of_every_kind_are_read_through_what_they_include() {
    let place = tempfile::tempdir().expect("a folder");
    let root = place.path().join("src/main/resources");
    write(
        &root,
        "db/changelog/db.changelog-master.yaml",
        "databaseChangeLog:\n\
         - property: { name: a, value: b }\n\
         - include: { file: one.xml, relativeToChangelogFile: true }\n\
         - include: { file: classpath:/db/two.sql, context: demo }\n\
         - include: { file: db/gone.sql }\n\
         - includeAll: { path: db/more/ }\n\
         - include: { file: db/changelog/db.changelog-master.yaml }\n",
    );
    write(
        &root,
        "db/changelog/one.xml",
        "<?xml version=\"1.0\"?>\n<databaseChangeLog xmlns=\"http://www.liquibase.org/xml/ns/dbchangelog\">\
         <!-- <changeSet id=\"no\" author=\"a\"/> -->\
         <changeSet id=\"a &amp; b\" author=\"ann\"><sql>SELECT '&lt;changeSet id=\"x\"/&gt;'</sql></changeSet>\
         <changeSet id=\"2\" author=\"ann\" labels=\"v2\"/><changeSet id=\"3\" author=\"ann\" dbms=\"oracle, h2\"/>\
         <changeSet id=\"4\" author=\"ann\" dbms=\"!h2\" logicalFilePath=\"old/path.xml\"/>\
         <changeSet id=\"5\" author=\"ann\" ignore=\"true\"/></databaseChangeLog>",
    );
    write(
        &root,
        "db/two.sql",
        "\n-- Liquibase Formatted SQL logicalFilePath:two\n--changeset bob:1 dbms:postgresql,h2 context:\"x y\"\nSELECT 1;\n\
         --changeset bob:2 dbms:mysql\n-- changeset \"b: c\":\"3 4\" stripComments:false\nSELECT 2;\n--changesets are many\n",
    );
    write(&root, "db/more/b.sql", "CREATE TABLE plain ();\n");
    write(
        &root,
        "db/more/a.json",
        "{\"databaseChangeLog\": [{\"logicalFilePath\": \"more\"}, {\"changeSet\": {\"id\": 7, \"author\": \"eve\"}}]}",
    );
    write(&root, "db/more/readme.md", "databaseChangeLog");
    assert_eq!(
        names(place.path()),
        [
            "db/changelog/one.xml::a & b::ann",
            "db/changelog/one.xml::2::ann?",
            "old/path.xml::4::ann",
            "two::1::bob?",
            "two::3 4::b: c?",
            "more::7::eve",
            "db/more/b.sql::raw::includeAll",
        ]
    );
}

#[test]
fn the_first_log_is_named_by_properties_or_all_logs_count() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path();
    write(
        folder,
        "a/x.sql",
        "--liquibase formatted sql\n--changeset a:1\n",
    );
    write(folder, "a/y.sql", "SELECT 1;\n");
    write(folder, "b.json", "{\"name\": \"no log\"}");
    assert_eq!(names(folder), ["a/x.sql::1::a"]);
    write(
        folder,
        "liquibase.properties",
        "# x\nliquibase.command.changelog-file: ./a/y.sql\n",
    );
    assert_eq!(names(folder), ["a/y.sql::raw::includeAll"]);
    write(folder, "liquibase.properties", "changeLogFile=gone.xml\n");
    let error = in_folder(folder).expect_err("there is none").to_string();
    assert!(error.contains("gone.xml"), "{error}");
    write(folder, "liquibase.properties", "changeLogFile=broken.xml\n");
    write(
        folder,
        "broken.xml",
        "<databaseChangeLog><changeSet id=\"1\"></databaseChangeLog>",
    );
    let error = in_folder(folder).expect_err("it is broken").to_string();
    assert!(error.starts_with("broken.xml: "), "{error}");
}

#[test]
fn paths_are_those_that_the_database_has_where_one_fits() {
    let set = |name: &str| CodeMigration {
        name: name.to_owned(),
        ..CodeMigration::default()
    };
    let mut code = vec![
        set("db/x.xml::1::a"),
        set("y.xml::1::a"),
        set("z.xml::1::a"),
        set("v/x.xml::2::a"),
        set("deep/w.xml::1::a"),
    ];
    let names = [
        "classpath:app/db/x.xml::1::a",
        "one/y.xml::1::a",
        "two/y.xml::1::a",
        "zz.xml::1::a",
        "x.xml::2::a",
        "deep/w.xml::1::a",
        "other/deep/w.xml::2::a",
    ];
    align(&mut code, &names.map(str::to_owned).into());
    let code: Vec<&str> = code.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(
        code,
        [
            "classpath:app/db/x.xml::1::a",
            "y.xml::1::a",
            "z.xml::1::a",
            "x.xml::2::a",
            "deep/w.xml::1::a",
        ]
    );
}
