"""`manage.py backup_database`: one recovery point of the databases and MEDIA_ROOT."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from pgkeep_django import operations
from pgkeep_django.command import PgkeepCommand, passed_on, size


class Command(PgkeepCommand):
    """Makes a backup."""

    help = "Back up the databases and MEDIA_ROOT as one recovery point."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--database", action="append", metavar="ALIAS", help="Only this alias of DATABASES (repeatable)"
        )
        parser.add_argument(
            "--kind", help="full, incremental, differential, database or files; see `pgkeep backup --help`"
        )
        parser.add_argument("-m", "--description", default="", help="Words to find it again by")
        parser.add_argument("--tag", action="append", default=[], help="Tag to find it again by (repeatable)")
        parser.add_argument("--pin", action="store_true", help="Keep it whatever the retention rule says")
        parser.add_argument("--no-media", action="store_true", help="Leave the file trees out")
        parser.add_argument("--jobs", type=int, help="Tables read at once")
        parser.add_argument("--compression", type=int, help="zstd level, from -7 (fastest) to 22 (smallest)")
        parser.add_argument(
            "--exclude-table-data",
            action="append",
            metavar="PATTERN",
            help="Leave out rows of such tables (repeatable)",
        )
        parser.add_argument(
            "--lock-timeout", metavar="TIME", help="How long to wait for a locked table before trying again"
        )
        parser.add_argument("--read-back", choices=["sizes", "full"], help="How to check what was stored")

    def carry_out(self, options: dict[str, Any]) -> None:
        report = operations.backup(
            description=options["description"],
            tags=options["tag"],
            pin=options["pin"],
            kind=options["kind"],
            aliases=options["database"],
            files=not options["no_media"],
            more=passed_on(options, "jobs", "compression", "exclude-table-data", "lock-timeout", "read-back"),
            show_progress=options["verbosity"] > 0,
        )
        databases = ", ".join(str(database["name"]) for database in report.get("databases", []))
        lines = [self.style.WARNING(str(warning)) for warning in report.get("warnings", [])]
        identity, rows = str(report["id"])[:8], report.get("rows", 0)
        added = size(int(report.get("bytes_added", 0)))
        lines.append(self.style.SUCCESS(f"Backup {identity} of {databases or 'files'}: {rows} rows, {added} added"))
        self.answer(options, report, *lines)
