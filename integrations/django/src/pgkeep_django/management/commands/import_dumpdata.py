"""`manage.py import_dumpdata`: an old backup made by `dumpdata`, loaded into a database of its own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgkeep_django import databases, fixture, operations
from pgkeep_django.command import PgkeepCommand, table
from pgkeep_django.conf import config

NOT_PROVEN = 4


class Command(PgkeepCommand):
    """Takes in a fixture."""

    help = (
        "Load a fixture made by dumpdata (.json or .json.gz) into a new database beside the live one, by Django's own "
        "loader, and compare the rows of every model. The live database is not touched."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="A .json or .json.gz file")
        parser.add_argument(
            "--into", metavar="NAME", help="Name of the new database (default: that of the live one + _import)"
        )
        parser.add_argument(
            "--database", metavar="ALIAS", default="default", help="Alias whose server and models are meant"
        )
        parser.add_argument("--backup", action="store_true", help="Make a backup of the new database")
        parser.add_argument(
            "--drop", action="store_true", help="Drop it in the end: with --backup, only the backup stays"
        )
        parser.add_argument("--keep-failed", action="store_true", help="Leave the new database there after a failure")
        parser.add_argument(
            "-i", "--ignorenonexistent", action="store_true", help="Skip fields and models that are no more"
        )

    def carry_out(self, options: dict[str, Any]) -> None:
        alias, path = options["database"], options["file"]
        if alias not in databases.protected(config().databases):
            raise CommandError(f"{alias} is not one of the databases that are backed up", returncode=2)
        name = options["into"] or f"{databases.name_of(alias)}_import"
        say = (lambda _text: None) if options["json"] or options["verbosity"] < 1 else self.stdout.write
        try:
            counts = fixture.load(path, name, alias, options["ignorenonexistent"], options["keep_failed"], say)
        except fixture.FixtureError as error:
            raise CommandError(str(error), returncode=2) from error
        report: dict[str, Any] = {"database": name, "models": [asdict(count) for count in counts], "backup": None}
        try:
            if options["backup"]:
                report["backup"] = self._back_up(alias, name, path)["id"]
        finally:
            if options["drop"]:
                fixture.drop(alias, name)
        self._answer(options, report, counts)

    def _back_up(self, alias: str, name: str, path: Path) -> dict[str, Any]:
        with fixture.pointed_at(alias, name):
            return operations.backup(
                description=f"taken in from {path.name}", tags=["dumpdata"], aliases=[alias], files=False
            )

    def _answer(self, options: dict[str, Any], report: dict[str, Any], counts: list[fixture.ModelCount]) -> None:
        rows = [[count.model, str(count.in_file), str(count.in_database)] for count in counts]
        lines = table(["model", "in the file", "in the database"], rows)
        if not options["drop"]:
            lines.append(f"Loaded into the database {report['database']}.")
        if report["backup"]:
            lines.append(f"Backup {str(report['backup'])[:8]} is made of it.")
        self.answer(options, report, *lines)
        uneven = [count.model for count in counts if count.in_file != count.in_database]
        if uneven:
            raise CommandError(f"the numbers differ for {', '.join(uneven)}", returncode=NOT_PROVEN)
