"""What Django code asks pgkeep for, as functions. The management commands are a way to say the same by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from . import binary, places
from .conf import Config, config
from .definition import Definition, define

#: What must be said before a live database is overwritten; pgkeep itself asks for it.
PHRASE = "I understand this will irreversibly overwrite data"


def backup(
    *,
    description: str = "",
    tags: Sequence[str] = (),
    pin: bool = False,
    kind: str | None = None,
    aliases: list[str] | None = None,
    files: bool = True,
    more: Sequence[str] = (),
    show_progress: bool = False,
) -> dict[str, Any]:
    """Makes a backup and gives the report."""
    chosen = config()
    arguments = ["backup", *more]
    arguments += ["--description", description] if description else []
    arguments += [part for tag in tags for part in ("--tag", tag)]
    arguments += ["--pin"] if pin else []
    arguments += ["--kind", kind] if kind else []
    return binary.ask(chosen, arguments, app_definition(chosen, aliases, files), show_progress)


def backups(more: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The backups of the app, oldest first."""
    chosen = config()
    answer = binary.ask(chosen, ["list", *more], app_definition(chosen))
    return list(answer["backups"])


def drill(backup: str, more: Sequence[str] = ()) -> dict[str, Any]:
    """Rehearses a restore in a throwaway database; a proof that fails raises."""
    chosen = config()
    return binary.ask(chosen, ["drill", backup, *more], app_definition(chosen))


def app_definition(
    chosen: Config, aliases: list[str] | None = None, files: bool = True, lasting: bool = False
) -> Definition:
    """The app that commands are about; settings that would publish the backups are refused."""
    for fault, remedy in places.misplaced(chosen):
        raise ImproperlyConfigured(f"{fault}: {remedy}")
    return define(chosen, aliases, files, lasting)
