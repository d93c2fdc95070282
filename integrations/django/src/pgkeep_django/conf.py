"""The settings of Django that are about backups, with no doubt left in them.

Settings are read anew at each call, so that `override_settings` works as everywhere in Django.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

DEFAULT_RETRY_AFTER = 30

#: Every setting, with what it is for.
KNOWN = {
    "PGKEEP_BINARY": "the program pgkeep; default: `pgkeep` on the PATH",
    "PGKEEP_APP": "name of the app in the repository; default: the name of the first database",
    "PGKEEP_ENVIRONMENT": "production, staging, …",
    "PGKEEP_REPOSITORY": "a folder, an s3:// address, or a name from the configuration file",
    "PGKEEP_KEY_FILE": "file that holds the repository's key",
    "PGKEEP_CONFIG": "a pgkeep.toml that describes the app instead of these settings",
    "PGKEEP_DATABASES": "aliases that belong to one recovery point; default: every one on PostgreSQL",
    "PGKEEP_ADMIN_URL": "privileged connection string, for restores",
    "PGKEEP_FILES": "folders by name; default: {'media': MEDIA_ROOT}",
    "PGKEEP_FILES_EXCLUDE": "patterns, as .gitignore writes them, of files to leave out",
    "PGKEEP_LOCK_DIR": "folder of .restore.lock and .backup.lock, read by the middleware",
    "PGKEEP_SERVER": "address of a pgkeep server that does the work instead",
    "PGKEEP_TOKEN_FILE": "file that holds the token for that server",
    "PGKEEP_DATA_DIR": "folder of the catalog of a pgkeep server on this machine",
    "PGKEEP_COMMAND_VARIABLES": "variables that the project's settings need; default: all but the usual ones",
    "PGKEEP_GUARD_MIGRATE": "take a backup before `migrate` changes anything; default: not DEBUG",
    "PGKEEP_GUARD_PROVE": "rehearse the restore of that backup before `migrate` goes on; default: False",
    "PGKEEP_GUARD_SKIP_STATE_ONLY": "no backup for migrations that touch no database; default: False",
    "PGKEEP_READ_ONLY_EXEMPT": "paths that are never refused, such as /health/; one ending with / covers what is below",
    "PGKEEP_RETRY_AFTER": "seconds that refused clients are told to wait; default: 30",
}


@dataclass(frozen=True)
class Config:
    """What the settings say."""

    binary: str
    app: str | None
    environment: str | None
    repository: str | None
    key_file: Path | None
    config_file: Path | None
    databases: tuple[str, ...] | None
    admin_url: str | None
    files: Mapping[str, Path]
    files_exclude: tuple[str, ...]
    lock_dir: Path | None
    server: str | None
    token_file: Path | None
    data_dir: Path | None
    command_variables: tuple[str, ...] | None
    guard_migrate: bool
    guard_prove: bool
    guard_skip_state_only: bool
    read_only_exempt: tuple[str, ...]
    retry_after: int


def config() -> Config:
    """Reads the settings; what cannot be meant raises `ImproperlyConfigured` with the setting's name."""
    return Config(
        binary=_text("PGKEEP_BINARY") or os.environ.get("PGKEEP_BINARY") or "pgkeep",
        app=_text("PGKEEP_APP"),
        environment=_text("PGKEEP_ENVIRONMENT"),
        repository=_text("PGKEEP_REPOSITORY"),
        key_file=_path("PGKEEP_KEY_FILE"),
        config_file=_path("PGKEEP_CONFIG") or _from_environment("PGKEEP_CONFIG"),
        databases=_texts("PGKEEP_DATABASES"),
        admin_url=_text("PGKEEP_ADMIN_URL"),
        files=_files(),
        files_exclude=_texts("PGKEEP_FILES_EXCLUDE") or (),
        lock_dir=_path("PGKEEP_LOCK_DIR"),
        server=_text("PGKEEP_SERVER") or os.environ.get("PGKEEP_SERVER") or None,
        token_file=_path("PGKEEP_TOKEN_FILE"),
        data_dir=_path("PGKEEP_DATA_DIR"),
        command_variables=_texts("PGKEEP_COMMAND_VARIABLES"),
        guard_migrate=_switch("PGKEEP_GUARD_MIGRATE", default=not settings.DEBUG),
        guard_prove=_switch("PGKEEP_GUARD_PROVE", default=False),
        guard_skip_state_only=_switch("PGKEEP_GUARD_SKIP_STATE_ONLY", default=False),
        read_only_exempt=_texts("PGKEEP_READ_ONLY_EXEMPT") or (),
        retry_after=_seconds("PGKEEP_RETRY_AFTER", DEFAULT_RETRY_AFTER),
    )


def unknown_settings() -> list[tuple[str, str | None]]:
    """Settings that begin like ours and mean nothing, each with the nearest one that does."""
    names = [name for name in dir(settings) if name.startswith("PGKEEP_") and name not in KNOWN]
    return [(name, next(iter(difflib.get_close_matches(name, KNOWN, n=1)), None)) for name in sorted(names)]


def read_only_mode() -> bool:
    """Whether the app was told to be read-only, by the setting or the variable `READ_ONLY_MODE`."""
    chosen = getattr(settings, "READ_ONLY_MODE", None)
    if chosen is None:
        chosen = os.environ.get("READ_ONLY_MODE", "")
    if isinstance(chosen, str):
        return chosen.strip().lower() in {"1", "true", "yes", "on"}
    return bool(chosen)


def _value(name: str) -> Any:
    return getattr(settings, name, None)


def _text(name: str) -> str | None:
    value = _value(name)
    if value is None or value == "":
        return None
    if isinstance(value, (str, Path)):
        return str(value)
    raise ImproperlyConfigured(f"{name} must be a text, not {type(value).__name__}")


def _path(name: str) -> Path | None:
    text = _text(name)
    return None if text is None else Path(text).absolute()


def _from_environment(name: str) -> Path | None:
    text = os.environ.get(name)
    return Path(text).absolute() if text else None


def _texts(name: str) -> tuple[str, ...] | None:
    value = _value(name)
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) and item for item in value):
        return tuple(value)
    raise ImproperlyConfigured(f"{name} must be a list of texts")


def _switch(name: str, default: bool) -> bool:
    value = _value(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise ImproperlyConfigured(f"{name} must be True or False, not {value!r}")


def _seconds(name: str, default: int) -> int:
    value = _value(name)
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ImproperlyConfigured(f"{name} must be a whole number of seconds, not {value!r}")


def _files() -> Mapping[str, Path]:
    value = _value("PGKEEP_FILES")
    if value is None:
        root = str(settings.MEDIA_ROOT or "")
        return {"media": Path(root).absolute()} if root else {}
    if isinstance(value, Mapping) and all(_names_a_folder(*item) for item in value.items()):
        return {name: Path(path).absolute() for name, path in value.items()}
    raise ImproperlyConfigured("PGKEEP_FILES must be a dictionary of names and folders, such as {'media': MEDIA_ROOT}")


def _names_a_folder(name: Any, path: Any) -> bool:
    return isinstance(name, str) and bool(name) and isinstance(path, (str, Path)) and bool(str(path))
