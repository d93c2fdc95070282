"""What Django's system checks say of the settings. `check --deploy` also opens the repository."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 (Django's name)
from django.core.exceptions import ImproperlyConfigured

from . import binary, databases, definition, operations, places
from .conf import Config, config, unknown_settings

TAG = "pgkeep"
MIDDLEWARE = "pgkeep_django.middleware.ReadOnlyModeMiddleware"

#: The oldest binary that answers as this package expects.
OLDEST = (0, 1)


def register_all() -> None:
    """Makes the checks known to Django."""
    register(settings_are_sane, TAG)
    register(repository_answers, TAG, deploy=True)


def settings_are_sane(app_configs: Sequence[AppConfig] | None, **_options: Any) -> list[CheckMessage]:
    """Looks at settings and folders; starts nothing but `pgkeep --version`."""
    messages: list[CheckMessage] = [
        Warning(
            f"the setting {name} is not known to pgkeep",
            hint=f"did you mean {nearest}?" if nearest else "see pgkeep_django.conf.KNOWN",
            id="pgkeep.W001",
        )
        for name, nearest in unknown_settings()
    ]
    try:
        chosen = config()
        aliases = databases.protected(chosen.databases)
        if not aliases:
            messages.append(Error("no database of DATABASES is on PostgreSQL", id="pgkeep.E003"))
        elif not chosen.server and not chosen.config_file:
            definition.define(chosen)
    except ImproperlyConfigured as error:
        return [*messages, Error(str(error), id="pgkeep.E002")]
    messages += _binary(chosen)
    messages += [Error(fault, hint=remedy, id="pgkeep.E004") for fault, remedy in places.misplaced(chosen)]
    messages += _files(chosen)
    messages += _fence(chosen)
    return messages


def repository_answers(app_configs: Sequence[AppConfig] | None, **_options: Any) -> list[CheckMessage]:
    """Opens the repository and looks for a backup."""
    try:
        if not operations.backups(["--limit", "1"]):
            return [Warning("there is no backup of this app yet", hint="manage.py backup_database", id="pgkeep.W011")]
    except ImproperlyConfigured:
        return []  # told by the other check
    except binary.PgkeepError as error:
        return [Error(f"the backups cannot be listed: {error.message}", hint=error.hint, id="pgkeep.E010")]
    return []


def _binary(chosen: Config) -> Iterator[CheckMessage]:
    kind = Error if chosen.guard_migrate else Warning
    letter = "E" if chosen.guard_migrate else "W"
    try:
        found = binary.version(chosen)
    except (binary.PgkeepError, OSError) as error:
        message, hint = (error.message, error.hint) if isinstance(error, binary.PgkeepError) else (str(error), None)
        yield kind(message, hint=hint, id=f"pgkeep.{letter}005")
        return
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield kind(f"pgkeep {found} is too old", hint=f"install {oldest} or newer", id=f"pgkeep.{letter}006")


def _files(chosen: Config) -> Iterator[CheckMessage]:
    for name, path in definition.existing_files(chosen).items():
        if not path.is_dir():
            yield Warning(f"PGKEEP_FILES names {name!r}, but {path} is not a folder", id="pgkeep.W007")
    if chosen.key_file and _is_open(chosen.key_file):
        yield Warning(
            f"PGKEEP_KEY_FILE ({chosen.key_file}) can be read by others",
            hint=f"chmod 600 {chosen.key_file}",
            id="pgkeep.W008",
        )


def _is_open(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _fence(chosen: Config) -> Iterator[CheckMessage]:
    middleware = list(settings.MIDDLEWARE or [])
    installed = MIDDLEWARE in middleware
    if chosen.lock_dir and not installed:
        yield Warning(
            "PGKEEP_LOCK_DIR is set, but nothing refuses writes while the database is replaced",
            hint=f"put {MIDDLEWARE} first in MIDDLEWARE",
            id="pgkeep.W009",
        )
    if installed and not chosen.lock_dir:
        yield Warning(
            "ReadOnlyModeMiddleware does not see restores: PGKEEP_LOCK_DIR is not set",
            hint="set PGKEEP_LOCK_DIR to a folder that pgkeep and every web process share",
            id="pgkeep.W009",
        )
    if chosen.lock_dir and not os.access(chosen.lock_dir, os.R_OK | os.X_OK):
        yield Warning(f"PGKEEP_LOCK_DIR ({chosen.lock_dir}) cannot be read or is not there", id="pgkeep.W009")
