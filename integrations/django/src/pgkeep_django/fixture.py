"""Reads a fixture made by `dumpdata` into a database of its own, by Django's own loader.

The code of a project may reach for its default database by name (routers, data migrations), so the alias itself is
pointed at the new database meanwhile; the live one is never connected to. Order of effects: read the whole fixture →
create the database → migrate it → empty it → make content types where the fixture has none → load → count → make what
content types and permissions are still missing. A failure drops the database that was made, unless it is to be kept.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from django.apps import apps
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import connections

CONTENT_TYPE = "contenttypes.contenttype"
PERMISSION = "auth.permission"


class FixtureError(Exception):
    """The fixture cannot be taken in."""


@dataclass(frozen=True)
class ModelCount:
    """Rows of one model: in the fixture, and in the database after loading."""

    model: str
    in_file: int
    in_database: int


def read_counts(path: Path) -> dict[str, int]:
    """Objects per model, the same object named twice counted once; refuses what is not a fixture."""
    try:
        content = path.read_bytes()
        objects = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    except (OSError, EOFError, ValueError) as error:
        raise FixtureError(f"{path} cannot be read as a fixture: {error}") from error
    if not isinstance(objects, list) or not all(isinstance(item, dict) and "model" in item for item in objects):
        raise FixtureError(f"{path} is JSON, but not what dumpdata writes: a list of objects with their model")
    counts: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    for item in objects:
        model, key = str(item["model"]).lower(), item.get("pk")
        if key is not None:
            if (model, json.dumps(key)) in seen:
                continue
            seen.add((model, json.dumps(key)))
        counts[model] += 1
    return dict(counts)


def load(
    path: Path,
    name: str,
    alias: str = "default",
    ignore_nonexistent: bool = False,
    keep_failed: bool = False,
    say: Callable[[str], None] = lambda _text: None,
) -> list[ModelCount]:
    """Makes the database `name` beside the alias's own and loads the fixture into it."""
    in_file = read_counts(path)
    say(f"{path.name}: {sum(in_file.values())} objects of {len(in_file)} models")
    create(alias, name)
    try:
        with pointed_at(alias, name):
            say(f"Migrating {name}")
            call_command("migrate", database=alias, verbosity=0, interactive=False)
            _make_room(alias, in_file)
            say("Loading")
            _load(path, alias, ignore_nonexistent)
            counts = _counts(in_file, alias)
            emit_post_migrate_signal(verbosity=0, interactive=False, db=alias)
    except BaseException:
        if not keep_failed:
            drop(alias, name)
        raise
    return counts


def create(alias: str, name: str) -> None:
    """Makes an empty database like the alias's own, which must not exist yet."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if cursor.fetchone():
            raise FixtureError(f"there is a database {name} already: choose another name, or drop it first")
        cursor.execute(
            "SELECT pg_encoding_to_char(encoding), datcollate, datctype "
            "FROM pg_database WHERE datname = current_database()"
        )
        encoding, collate, ctype = cursor.fetchone()
    with _server(alias) as cursor:
        quote = connection.ops.quote_name
        create_database = f"CREATE DATABASE {quote(name)} TEMPLATE template0 ENCODING %s LC_COLLATE %s LC_CTYPE %s"
        cursor.execute(create_database, [encoding, collate, ctype])


def drop(alias: str, name: str) -> None:
    """Drops a database that `create` made."""
    with _server(alias) as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {connections[alias].ops.quote_name(name)}")


@contextmanager
def pointed_at(alias: str, name: str) -> Iterator[None]:
    """Lets an alias lead to another database of the same server meanwhile."""
    connection = connections[alias]
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


@contextmanager
def _server(alias: str) -> Iterator[Any]:
    """A cursor outside of the alias's database and of any transaction, as Django's test runner gets one."""
    nodb: Any = connections[alias]._nodb_cursor()
    with nodb as cursor:
        yield cursor


def _make_room(alias: str, in_file: dict[str, int]) -> None:
    """Empties what migrations filled. Content types that the fixture refers to without holding them are made first."""
    call_command("flush", database=alias, verbosity=0, interactive=False, inhibit_post_migrate=True)
    if CONTENT_TYPE in in_file:
        return
    emit_post_migrate_signal(verbosity=0, interactive=False, db=alias)
    for label in in_file:
        if apps.is_installed("django.contrib.auth") and label == PERMISSION:
            _model(label)._base_manager.using(alias).all().delete()


def _load(path: Path, alias: str, ignore_nonexistent: bool) -> None:
    call_command("loaddata", str(path), database=alias, verbosity=0, ignore=ignore_nonexistent)


def _counts(in_file: dict[str, int], alias: str) -> list[ModelCount]:
    counts = []
    for label, objects in sorted(in_file.items()):
        model = _model(label, missing_ok=True)
        rows = model._base_manager.using(alias).count() if model else 0
        counts.append(ModelCount(label, objects, rows))
    return counts


def _model(label: str, missing_ok: bool = False) -> Any:
    try:
        return apps.get_model(label)
    except LookupError:
        if missing_ok:
            return None
        raise
