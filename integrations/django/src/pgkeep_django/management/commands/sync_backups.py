"""`manage.py sync_backups`: brings the server's list of backups in line with what the repositories hold."""

from __future__ import annotations

from typing import Any

from pgkeep_django import binary
from pgkeep_django.command import PgkeepCommand
from pgkeep_django.conf import config


class Command(PgkeepCommand):
    """Reads the list of backups anew."""

    help = "Read the list of backups that the pgkeep server of this machine keeps anew from every repository."

    def carry_out(self, options: dict[str, Any]) -> None:
        answer = binary.ask(config(), ["catalog", "rebuild", "--yes"])
        self.answer(options, answer, self.style.SUCCESS("The list of backups is what the repositories hold."))
