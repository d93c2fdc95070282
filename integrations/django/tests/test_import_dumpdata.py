"""Old backups made by `dumpdata`, taken in without touching the live database."""

from __future__ import annotations

import gzip
import json

from site_of_test import PHRASE, Site

TABLES = (
    *("shop_product", "shop_note", "auth_user_user_permissions"),
    "(SELECT id, username, password FROM auth_user)",  # JSON has less digits for times than the database
)
RELATED = "SELECT from_product_id, to_product_id FROM shop_product_related ORDER BY 1"


def fingerprint(site: Site, database: str | None = None) -> list[object]:
    rows = [site.ask(f"SELECT string_agg(t::text, '|' ORDER BY id) FROM {table} AS t", database) for table in TABLES]
    return [*rows, site.ask(RELATED, database)]


def test_a_fixture_is_loaded_beside_the_live_database_and_counted(site: Site) -> None:
    site.stocked()
    whole = site.folder / "whole.json.gz"
    site.manage("dumpdata", "--output", str(whole)).succeeds()
    some = site.folder / "some.json"
    natural = ["--natural-foreign", "--natural-primary", "--exclude", "contenttypes", "--exclude", "auth.permission"]
    site.manage("dumpdata", *natural, "--output", str(some)).succeeds()
    before = fingerprint(site)
    site.ask("DELETE FROM shop_note")
    after = fingerprint(site)

    side = f"{site.database}_import"
    loaded = site.manage("import_dumpdata", str(whole), "--json").succeeds().json()
    assert loaded["database"] == side
    counts = {model["model"]: (model["in_file"], model["in_database"]) for model in loaded["models"]}
    assert counts["shop.product"] == (2, 2) and counts["shop.note"] == (1, 1) and counts["auth.user"] == (1, 1)
    assert all(in_file == in_database for in_file, in_database in counts.values())
    assert fingerprint(site, side) == before
    assert fingerprint(site) == after, "the live database is not touched"
    assert "already" in site.manage("import_dumpdata", str(whole)).fails(2).err

    second = f"{site.database}_second"
    told = site.manage("import_dumpdata", str(some), "--into", second, "--backup", "--drop").succeeds()
    assert "shop.product" in told.out and "Backup" in told.out
    assert second not in site.server.databases()
    [backup] = site.backups()
    assert (backup["tags"], backup["databases"]) == (["dumpdata"], [second])
    site.manage("restore_database", backup["id"], "--confirm", PHRASE).succeeds()
    assert site.ask(
        "SELECT n.text, m.model FROM shop_note n JOIN django_content_type m ON m.id = n.content_type_id"
    ) == [("sold\nout", "product")]


def test_what_cannot_be_loaded_leaves_nothing_behind(site: Site) -> None:
    site.stocked()
    before = site.server.databases()
    cases = {
        "garbage.json": b"not json",
        "cut.json.gz": gzip.compress(json.dumps([{"model": "shop.note"}] * 100).encode())[:40],
        "other.json": b'{"rows": []}',
    }
    for name, content in cases.items():
        (site.folder / name).write_bytes(content)
        site.manage("import_dumpdata", name).fails(2)
    broken = [{"model": "shop.product", "pk": 1, "fields": {"name": "a", "price": "1", "colour": "red"}}]
    (site.folder / "broken.json").write_text(json.dumps(broken))
    failed = site.manage("import_dumpdata", "broken.json")
    assert failed.code != 0 and "colour" in failed.err
    assert site.server.databases() == before
    kept = site.manage("import_dumpdata", "broken.json", "--ignorenonexistent", "--drop").succeeds()
    assert "shop.product  1            1" in kept.out
    assert site.server.databases() == before
