"""`manage.py validate_backup`: is it stored whole, is every byte right, can it be restored."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgkeep_django import binary, operations
from pgkeep_django.command import PgkeepCommand
from pgkeep_django.conf import config

NOT_PROVEN = 4


class Command(PgkeepCommand):
    """Checks backups."""

    help = "Check that backups are stored whole; with --read-data every byte, with --drill by a restore."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backups", nargs="*", metavar="BACKUP", help="Starts of ids, or latest (default)")
        parser.add_argument("--all", action="store_true", help="All backups of the app")
        parser.add_argument(
            "--read-data", action="store_true", help="Read everything back and compare with the evidence"
        )
        parser.add_argument(
            "--drill", action="store_true", help="Restore into a throwaway database and compare every row"
        )

    def carry_out(self, options: dict[str, Any]) -> None:
        chosen = config()
        definition = operations.app_definition(chosen)
        backups = [] if options["all"] else options["backups"] or ["latest"]
        read = ["--read-data"] if options["read_data"] else []
        answer = binary.ask(
            chosen,
            ["verify", *backups, *read],
            definition,
            show_progress=options["verbosity"] > 0,
            accept=(0, NOT_PROVEN),
        )
        if answer["ok"] and options["drill"]:
            looked_at = [str(backup["id"]) for backup in answer["backups"]]
            answer["drills"] = [operations.drill(backup) for backup in looked_at]
        self.answer(options, answer, *(line for backup in answer["backups"] for line in self._told(backup, options)))
        if not answer["ok"]:
            raise CommandError("damage was found", returncode=NOT_PROVEN)

    def _told(self, backup: dict[str, Any], options: dict[str, Any]) -> list[str]:
        name = f"{str(backup['id'])[:8]} of {str(backup['time'])[:19]}"
        if backup["problems"]:
            return [self.style.ERROR(f"{name}: {problem}") for problem in backup["problems"]]
        how = (
            "restored and proven"
            if options["drill"]
            else "every byte right"
            if options["read_data"]
            else "stored whole"
        )
        return [self.style.SUCCESS(f"{name}: {how}")]
