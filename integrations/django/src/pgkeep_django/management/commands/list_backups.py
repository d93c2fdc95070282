"""`manage.py list_backups`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from pgkeep_django import operations
from pgkeep_django.command import PgkeepCommand, passed_on, table


class Command(PgkeepCommand):
    """Lists backups."""

    help = "List the backups of this app and how well each is proven."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kind", help="Only this kind")
        parser.add_argument("--tag", action="append", help="Only backups with this tag (repeatable: all of them)")
        parser.add_argument("--environment", help="Only this environment")
        parser.add_argument("--since", metavar="TIME", help="Not before this time: a date, or a time ago such as 7d")
        parser.add_argument("--until", metavar="TIME", help="Not after this time")
        parser.add_argument("-n", "--limit", type=int, help="At most so many, the newest")

    def carry_out(self, options: dict[str, Any]) -> None:
        more = passed_on(options, "kind", "tag", "environment", "since", "until", "limit")
        backups = operations.backups(more)
        if not backups:
            self.answer(options, backups, "There is no such backup.")
            return
        rows = [_row(backup) for backup in backups]
        lines = table(["backup", "time (UTC)", "kind", "databases", "state", "tags", "description"], rows)
        self.answer(options, backups, *lines)


def _row(backup: dict[str, Any]) -> list[str]:
    tags = [*backup["tags"], *(["pinned"] if backup["pinned"] else [])]
    return [
        str(backup["id"])[:8],
        str(backup["time"])[:19].replace("T", " "),
        str(backup["kind"]),
        ", ".join(backup["databases"]),
        _state(backup["validity"]),
        ", ".join(tags),
        str(backup["description"]),
    ]


def _state(validity: dict[str, Any]) -> str:
    for mark, word in (
        ("damaged_at", "damaged"),
        ("drill_failed_at", "drill failed"),
        ("proven_at", "proven"),
        ("checked_at", "checked"),
    ):
        if validity.get(mark):
            return word
    return "stored"
