"""What settings mean, what is wrong with them, and how they are told to pgkeep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.test import override_settings

from pgkeep_django import databases
from pgkeep_django.conf import config
from pgkeep_django.definition import define
from site_of_test import PROJECT, binary

POSTGRESQL = "django.db.backends.postgresql"


@pytest.fixture
def database() -> Any:
    """The default database's settings, put back afterwards."""
    before = dict(connections.databases["default"])
    yield connections.databases["default"]
    connections.databases["default"].clear()
    connections.databases["default"].update(before)


def identities(**settings: Any) -> set[str]:
    """The checks that have something to say."""
    usual: dict[str, Any] = {
        "PGKEEP_BINARY": str(binary()),
        "PGKEEP_LOCK_DIR": PROJECT,
        "PGKEEP_REPOSITORY": "s3://b/c",
    }
    with override_settings(**{**usual, **settings}):
        return {str(message.id) for message in run_checks(tags=["pgkeep"])}


def test_sane_settings_are_not_talked_about() -> None:
    assert identities() == set()


@pytest.mark.parametrize(
    ("settings", "identity"),
    [
        ({"PGKEEP_REPOSITRY": "/srv"}, "pgkeep.W001"),
        ({"PGKEEP_GUARD_MIGRATE": "yes"}, "pgkeep.E002"),
        ({"PGKEEP_RETRY_AFTER": -1}, "pgkeep.E002"),
        ({"PGKEEP_FILES": ["/srv/media"]}, "pgkeep.E002"),
        ({"PGKEEP_DATABASES": ["other"]}, "pgkeep.E002"),
        ({"PGKEEP_REPOSITORY": "/srv/media/backups", "MEDIA_ROOT": "/srv/media"}, "pgkeep.E004"),
        ({"PGKEEP_REPOSITORY": "/srv/backups", "MEDIA_ROOT": "/srv/backups/media"}, "pgkeep.E004"),
        ({"PGKEEP_REPOSITORY": "/srv/static", "STATIC_ROOT": "/srv/static"}, "pgkeep.E004"),
        ({"PGKEEP_KEY_FILE": "/srv/static/key", "STATIC_ROOT": "/srv/static"}, "pgkeep.E004"),
        ({"PGKEEP_BINARY": "/nowhere/pgkeep"}, "pgkeep.E005"),
        ({"PGKEEP_BINARY": "/bin/true"}, "pgkeep.E005"),
        ({"PGKEEP_BINARY": "/nowhere/pgkeep", "PGKEEP_GUARD_MIGRATE": False}, "pgkeep.W005"),
        ({"PGKEEP_FILES": {"papers": "/nowhere/papers"}}, "pgkeep.W007"),
        ({"PGKEEP_LOCK_DIR": None}, "pgkeep.W009"),
        ({"PGKEEP_LOCK_DIR": "/nowhere/run"}, "pgkeep.W009"),
        ({"MIDDLEWARE": []}, "pgkeep.W009"),
    ],
)
def test_a_fault_is_told(settings: dict[str, Any], identity: str) -> None:
    assert identities(**settings) == {identity}


def test_an_open_key_file_is_told(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    key.chmod(0o644)
    assert identities(PGKEEP_KEY_FILE=key) == {"pgkeep.W008"}
    key.chmod(0o600)
    assert identities(PGKEEP_KEY_FILE=key) == set()


def test_an_unknown_setting_is_told_with_the_nearest() -> None:
    with override_settings(PGKEEP_REPOSITRY="x", PGKEEP_BINARY=str(binary())):
        [message] = [message for message in run_checks(tags=["pgkeep"]) if message.id == "pgkeep.W001"]
    assert message.hint == "did you mean PGKEEP_REPOSITORY?"


def test_commands_refuse_to_publish_backups() -> None:
    inside = override_settings(
        PGKEEP_REPOSITORY="/srv/media/backups", MEDIA_ROOT="/srv/media", PGKEEP_BINARY="/nowhere"
    )
    with inside, pytest.raises(CommandError, match="lie inside") as caught:
        call_command("backup_database")
    assert caught.value.returncode == 2


def test_the_guard_is_on_unless_the_project_is_being_debugged() -> None:
    assert config().guard_migrate
    with override_settings(DEBUG=True):
        assert not config().guard_migrate
    with override_settings(DEBUG=True, PGKEEP_GUARD_MIGRATE=True):
        assert config().guard_migrate


def test_a_connection_is_written_as_pairs_that_no_character_breaks(database: Any) -> None:
    database.update(HOST="/run/postgres", PORT=6432, USER="o'brien", PASSWORD="a b\\c'd", NAME="shop one")
    database["OPTIONS"] = {"sslmode": "verify-full", "pool": True, "isolation_level": 3, "connect_timeout": 5}
    assert databases.connection_string(database) == (
        "host='/run/postgres' port='6432' user='o\\'brien' password='a b\\\\c\\'d' dbname='shop one' "
        "connect_timeout='5' sslmode='verify-full'"
    )
    database.update(HOST="", PORT="", USER="", PASSWORD="", NAME="", OPTIONS={"service": "shop", "passfile": ".pgpass"})
    assert databases.connection_string(database) == "passfile='.pgpass' service='shop'"


def test_replicas_and_other_engines_do_not_belong_to_a_recovery_point() -> None:
    usual = {**connections.databases["default"], "ENGINE": POSTGRESQL, "NAME": "billing", "TEST": {}}
    more = {
        "replica": {**usual, "NAME": "shop", "TEST": {"MIRROR": "default"}},
        "same": usual,
        "billing": usual,
        "light": {**usual, "ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    }
    connections.databases.update(more)
    try:
        assert databases.protected(None) == ["default", "same"]
        assert databases.protected(("replica", "billing")) == ["replica", "billing"]
        with pytest.raises(ImproperlyConfigured, match="light"):
            databases.protected(("light",))
    finally:
        for alias in more:
            del connections.databases[alias]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python reads TOML since 3.11")
def test_the_definition_names_everything_and_holds_no_secret(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.version_info >= (3, 11):
        import tomllib

        database.update(PASSWORD="hunter2", NAME='shop "one"\x7f')
        (tmp_path / "media").mkdir()
        monkeypatch.setenv("SHOP_TOKEN", "hunter4")
        with override_settings(
            PGKEEP_ADMIN_URL="postgres://admin:hunter3@db/postgres",
            PGKEEP_ENVIRONMENT="production",
            PGKEEP_FILES_EXCLUDE=["cache/"],
            MEDIA_ROOT=tmp_path / "media",
        ):
            made = define(config())
            lasting = define(config(), lasting=True)
        assert "SHOP_TOKEN" not in lasting.toml
        assert "hunter" not in made.toml
        [app] = tomllib.loads(made.toml)["app"].values()
        assert made.app == 'shop "one"\x7f'
        assert app["databases"] == ["env:PGKEEP_DJANGO_DATABASE_DEFAULT"]
        assert app["admin_url"] == "env:PGKEEP_DJANGO_ADMIN_URL"
        assert app["environment"] == "production"
        assert app["files"] == [{"name": "media", "path": str(tmp_path / "media"), "exclude": ["cache/"]}]
        assert app["migrations"] == {"framework": "django", "code": str(PROJECT)}
        assert app["fence"] == {"lock_dir": str(PROJECT / "run")}
        assert app["commands"]["migrate"][1:] == [
            *(str(PROJECT / "manage.py"), "migrate", "--noinput", "--database", "default")
        ]
        variables = app["commands"]["environment"]
        assert variables["SHOP_TOKEN"] == "env:SHOP_TOKEN"
        assert not {"PATH", "HOME", "DATABASE_URL", "PGPASSWORD"} & set(variables)
        assert "password='hunter2'" in made.variables["PGKEEP_DJANGO_DATABASE_DEFAULT"]


def test_a_media_root_that_is_not_there_yet_is_left_out(tmp_path: Path) -> None:
    with override_settings(MEDIA_ROOT=tmp_path / "media"):
        assert "files" not in define(config()).toml
        (tmp_path / "media").mkdir()
        assert str(tmp_path / "media") in define(config()).toml
    with override_settings(MEDIA_ROOT=""):
        assert "files" not in define(config()).toml
