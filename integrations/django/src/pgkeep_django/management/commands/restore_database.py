"""`manage.py restore_database`: shows the plan, asks for the phrase where data is overwritten, restores."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgkeep_django import binary, databases, operations
from pgkeep_django.command import PgkeepCommand, passed_on
from pgkeep_django.conf import config

REFUSED = 8


class Command(PgkeepCommand):
    """Restores a backup."""

    help = (
        "Restore a backup in the place of the live database, or beside it with --into. "
        "A new database is built and proven first; the replaced one is kept for a while."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", nargs="?", default="latest", help="The start of its id, or latest (default)")
        parser.add_argument("--database", metavar="ALIAS", help="Which alias, where the backup holds several databases")
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--into", metavar="NAME", help="Restore into a new database of this name")
        mode.add_argument("--in-place", action="store_true", help="Empty the live database and restore into it")
        parser.add_argument("--dry-run", "--plan", action="store_true", help="Print the plan and change nothing")
        parser.add_argument("--confirm", metavar="PHRASE", help=f"The phrase that allows it: {operations.PHRASE!r}")
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="Ask nothing; --confirm is needed then",
        )
        parser.add_argument(
            "--migrate", action="store_true", help="Run `migrate` on the restored database before the swap"
        )
        parser.add_argument(
            "--table", action="append", metavar="PATTERN", help="Only this table, as schema.table (repeatable)"
        )
        parser.add_argument("--schema", action="append", metavar="PATTERN", help="Only this schema (repeatable)")
        parser.add_argument("--schema-only", action="store_true", help="Definitions without rows")
        parser.add_argument("--data-only", action="store_true", help="Rows without definitions")
        parser.add_argument("--prove", choices=["full", "counts", "none"], help="How to prove the restored database")
        parser.add_argument("--keep-old", metavar="TIME", help="How long the replaced database is kept (24h)")
        parser.add_argument("--grace", metavar="TIME", help="Time that sessions get to end by themselves (5s)")
        parser.add_argument("--no-safety-backup", action="store_true", help="Skip the backup of what is replaced")
        parser.add_argument("--no-owner", action="store_true", help="Everything belongs to the restoring role")
        parser.add_argument("--jobs", type=int, help="Tables and indexes restored at once")

    def carry_out(self, options: dict[str, Any]) -> None:
        chosen = config()
        definition = operations.app_definition(chosen)
        command = ["restore", options["backup"], *self._choices(options)]
        self.let_go()
        plan = binary.ask(chosen, [*command, "--dry-run"], definition, accept=(0, REFUSED))
        refusals = [str(refusal) for refusal in plan.get("refusals", [])]
        if options["dry_run"]:
            self.answer(options, plan, *self._told(plan))
            if refusals:
                raise CommandError("; ".join(refusals), returncode=REFUSED)
            return
        if not options["json"] and options["verbosity"] > 0:
            self.stdout.writelines(line + "\n" for line in self._told(plan))
        if refusals:
            raise CommandError("; ".join(refusals), returncode=REFUSED)
        if plan.get("overwrites"):
            command += ["--confirm", self._phrase(options, plan)]
        report = binary.ask(chosen, command, definition, show_progress=options["verbosity"] > 0)
        self.answer(options, report, *self._done(report))

    def _choices(self, options: dict[str, Any]) -> list[str]:
        words = passed_on(
            options,
            *(
                "into",
                "in-place",
                "migrate",
                "table",
                "schema",
                "schema-only",
                "data-only",
                "prove",
                "keep-old",
                "grace",
            ),
            *("no-safety-backup", "no-owner", "jobs"),
        )
        if not (options["into"] or options["in_place"] or options["data_only"]):
            words.append("--replace")
        if options["database"]:
            words += ["--database", databases.name_of(options["database"])]
        return words

    def _told(self, plan: dict[str, Any]) -> list[str]:
        lines = [f"Backup {str(plan['backup'])[:8]} of {plan['backup_time']}"]
        lines += [f"  {number}. {step}" for number, step in enumerate(plan.get("steps", []), 1)]
        lines += [self.style.WARNING(f"  Warning: {warning}") for warning in plan.get("warnings", [])]
        return lines + [self.style.ERROR(f"  Refused: {refusal}") for refusal in plan.get("refusals", [])]

    def _phrase(self, options: dict[str, Any], plan: dict[str, Any]) -> str:
        phrase = options["confirm"]
        if phrase is None and options["interactive"] and not options["json"] and _is_terminal():
            name = plan["database"]["target"]["name"]
            phrase = input(f"This overwrites the database {name}. Type '{operations.PHRASE}' to go on: ")
        if phrase is None or phrase.strip() != operations.PHRASE:
            raise CommandError(
                f"nothing was changed: a confirmation is required, --confirm '{operations.PHRASE}'", returncode=REFUSED
            )
        return operations.PHRASE

    def _done(self, report: dict[str, Any]) -> list[str]:
        proof = report["proof"]
        lines = [self.style.WARNING(str(warning)) for warning in report.get("warnings", [])]
        held = f"{report['tables']} tables, {report['rows']} rows"
        lines.append(self.style.SUCCESS(f"Restored {report['database']}: {held}, proof: {proof['level']}"))
        if report.get("kept_as"):
            lines.append(f"The old database is kept as {report['kept_as']} until {report['kept_until']}.")
            lines.append("Swap back: manage.py pgkeep undo")
        return lines


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
