"""`manage.py sync_backups`: brings the server's list of backups in line with what the repositories hold."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from pgkeep_django import binary, operations
from pgkeep_django.command import PgkeepCommand, table
from pgkeep_django.conf import config

STORAGE = 9


class Command(PgkeepCommand):
    """Reads the list of backups anew."""

    help = (
        "Read the list of backups that the pgkeep server of this machine keeps anew from every repository it knows. "
        "With PGKEEP_CONFIG, the server's own file, what that file describes is taken in as well."
    )

    def carry_out(self, options: dict[str, Any]) -> None:
        chosen = config()
        # What these settings describe must not take the place of what the server was told.
        definition = operations.app_definition(chosen) if chosen.config_file else None
        answer = binary.ask(chosen, ["catalog", "rebuild", "--yes"], definition, accept=(0, STORAGE))
        listed = answer["repositories"]
        rows = [[str(one["repository"]), str(one["backups"]), str(one.get("failed") or "")] for one in listed]
        self.answer(options, answer, *table(["repository", "backups", ""], rows))
        failed = [str(one["repository"]) for one in listed if one.get("failed")]
        if failed:
            raise CommandError(f"could not be listed: {', '.join(failed)}", returncode=STORAGE)
