"""What needs more than the database: file trees, and the fence around a restore."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from site_of_test import PHRASE, Site

# Asks the site as a browser would, and notes what it answered.
PROBE = """
import json, os, sys
import django
django.setup()
from django.test import Client
answers = [Client().post("/"), Client().get("/")]
with open("probed", "w") as file:
    json.dump([[answer.status_code, answer.content.decode()] for answer in answers], file)
"""


def test_writes_are_refused_while_the_database_is_being_replaced(site: Site) -> None:
    site.stocked()
    site.manage("backup_database").succeeds()
    (site.folder / "probe.py").write_text(PROBE)
    toml = site.folder / "pgkeep.toml"
    hook = f'[[app.shop.hooks]]\non = "before_swap"\ncommand = ["{sys.executable}", "probe.py"]\n'
    printed = site.manage("pgkeep", "--print-config").succeeds().out
    toml.write_text(printed + hook)
    site.extra["DJANGO_SETTINGS_MODULE"] = "website.settings"
    site.manage("restore_database", "--confirm", PHRASE, PGKEEP_CONFIG=str(toml)).succeeds()
    refused, read = json.loads((site.folder / "probed").read_text())
    assert refused == [503, '{"detail": "Read-only maintenance"}']
    assert read == [200, "GET was let through"]
    assert list((site.folder / "run").iterdir()) == [], "nothing refuses writes any more"


def test_a_restored_database_is_migrated_before_it_takes_the_place_of_the_live_one(site: Site) -> None:
    site.stocked()
    site.manage("backup_database").succeeds()
    site.add_migration("0002_colour", 'migrations.AddField("product", "colour", models.TextField(default="red"))')
    shown = site.manage("restore_database", "--migrate", "--confirm", PHRASE).succeeds()
    assert "proof: full" in shown.out
    assert site.ask("SELECT DISTINCT colour FROM shop_product") == [("red",)]
    assert site.manage("migrate", "--check").succeeds()

    broken = 'migrations.RunSQL("UPDATE shop_product SET colour = 1 / (price * 0)::int")'
    site.add_migration("0003_broken", broken, after="0002_colour")
    site.ask("DELETE FROM shop_note")
    failed = site.manage("restore_database", "--migrate", "--confirm", PHRASE)
    assert failed.code != 0
    assert "division by zero" in failed.err
    assert site.ask("SELECT count(*) FROM shop_note") == [(0,)], "the live database is as it was"


def test_media_belongs_to_the_recovery_point(site: Site) -> None:
    site.stocked()
    with_media = site.manage("backup_database", "--json").succeeds().json()
    shown = site.manage("pgkeep", "show", with_media["id"], "--json").succeeds().json()
    [tree] = shown["manifest"]["files"]
    assert (tree["name"], tree["files"]) == ("media", 1)
    without = site.manage("backup_database", "--no-media", "--json").succeeds().json()
    assert not site.manage("pgkeep", "show", without["id"], "--json").succeeds().json()["manifest"].get("files")
    picture = Path(site.folder / "media/pictures/lamp.jpg")
    assert picture.read_bytes() == b"a picture of a lamp"
