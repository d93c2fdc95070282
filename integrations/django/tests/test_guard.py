"""A backup before `migrate`, on a real project."""

from __future__ import annotations

from server import PASSWORD, SUPERUSER_PASSWORD
from site_of_test import PHRASE, USER, Site

DROP_PRICE = 'migrations.RemoveField("product", "price")'
PRICES = "SELECT price::text FROM shop_product ORDER BY name"


def test_a_destructive_migration_is_preceded_by_a_backup_that_brings_the_data_back(site: Site) -> None:
    first = site.manage("pgkeep", "init").succeeds() and site.manage("migrate").succeeds()
    assert f"No backup before migrating: the database {site.database} is empty." in first.out
    site.manage("stock").succeeds()
    assert site.backups() == []

    site.add_migration("0002_drop_price", DROP_PRICE)
    migrated = site.manage("migrate", PGKEEP_GUARD_PROVE=True).succeeds()
    assert "Backing up before migrate: shop.0002_drop_price" in migrated.out
    assert "It is proven" in migrated.out
    [backup] = site.backups()
    assert backup["tags"] == ["pre-migration"]
    assert backup["description"] == "before migrate: shop.0002_drop_price"
    assert backup["validity"]["proven_at"]

    assert "Backing up" not in site.manage("migrate").succeeds().out, "nothing is pending"

    refused = site.manage("restore_database", backup["id"], "--noinput").fails(8)
    assert "a confirmation is required" in refused.err
    restored = site.manage("restore_database", backup["id"], "--confirm", PHRASE).succeeds()
    assert "proof: full" in restored.out
    assert site.ask(PRICES) == [("9.90",), ("120.00",)]
    for password in (PASSWORD, SUPERUSER_PASSWORD):
        assert password not in site.calls()
        assert password[3:9] not in site.calls()


def test_nothing_is_migrated_where_no_backup_can_be_made(site: Site) -> None:
    site.stocked()
    site.add_migration("0002_drop_price", DROP_PRICE)
    stopped = site.manage("migrate", PGKEEP_REPOSITORY=str(site.folder / "nowhere")).fails(6)
    assert "no backup could be made, so nothing was migrated" in stopped.err
    assert site.ask(PRICES) == [("9.90",), ("120.00",)]
    off = site.manage("migrate", PGKEEP_GUARD_MIGRATE=False).succeeds()
    assert "Backing up" not in off.out
    assert site.backups() == []


def test_the_guard_keeps_out_of_the_way_where_it_protects_nothing(site: Site) -> None:
    site.stocked()
    site.manage("test", "shop", "-v", "0").succeeds()
    site.add_migration("0002_words", 'migrations.AlterModelOptions("product", {"ordering": ["name"]})')
    site.add_migration(
        "0003_more_words",
        "migrations.SeparateDatabaseAndState("
        'state_operations=[migrations.AddField("product", "colour", models.TextField(default=""))])',
        after="0002_words",
    )
    harmless = site.manage("migrate", PGKEEP_GUARD_SKIP_STATE_ONLY=True).succeeds()
    assert "No backup before migrating: the pending migrations change nothing in the database." in harmless.out
    site.add_migration("0004_sql", 'migrations.RunSQL("SELECT 1", "SELECT 1")', after="0003_more_words")
    assert site.backups() == []
    assert "Backing up" in site.manage("migrate", PGKEEP_GUARD_SKIP_STATE_ONLY=True).succeeds().out
    assert len(site.backups()) == 1
    site.ask("DELETE FROM shop_note")
    backwards = site.manage("migrate", "shop", "zero", "--skip-checks").succeeds()
    assert "undo shop.0002_words, undo shop.0001_initial" in backwards.out
    assert len(site.backups()) == 2


def test_a_command_that_pgkeep_runs_works_on_the_database_that_pgkeep_names(site: Site) -> None:
    site.stocked()
    site.manage("backup_database").succeeds()
    copy = f"{site.database}_copy"
    site.manage("restore_database", "--into", copy).succeeds()
    site.add_migration("0002_drop_price", DROP_PRICE)
    passfile = site.folder / "pass"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passfile.write_text(f"*:*:*:*:{escaped}\n")
    passfile.chmod(0o600)
    variables = {
        **{"PGHOST": "127.0.0.1", "PGPORT": str(site.server.port), "PGUSER": USER, "PGDATABASE": copy},
        **{"PGPASSFILE": str(passfile), "PGKEEP_APP": "shop", "PGKEEP_DJANGO_ALIAS": "default"},
    }
    site.extra.update(variables)
    site.manage("migrate").succeeds()
    site.extra.clear()
    assert site.ask(PRICES) == [("9.90",), ("120.00",)], "the live database is as it was"
    assert site.ask("SELECT count(*) FROM django_migrations WHERE name = '0002_drop_price'", copy) == [(1,)]
    assert len(site.backups()) == 1
