"""`manage.py cleanup_backups`: removes backups by a retention rule, the dry run first where wanted."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgkeep_django import binary, operations
from pgkeep_django.command import PgkeepCommand, passed_on
from pgkeep_django.conf import config

RULES = (
    *("keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly"),
    *("keep-within", "keep-tag"),
)


class Command(PgkeepCommand):
    """Removes backups."""

    help = "Remove backups by a retention rule, or what the retention of a --policy no longer wants."

    def add_own_arguments(self, parser: CommandParser) -> None:
        for period in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
            parser.add_argument(f"--keep-{period}", type=int, metavar="N", help=f"Keep the newest of N: {period}")
        parser.add_argument(
            "--keep-within", metavar="SPAN", help="Keep everything made this long before the newest: 30d, 1y6m"
        )
        parser.add_argument("--keep-days", type=int, metavar="DAYS", help="The same in days")
        parser.add_argument(
            "--keep-tag", action="append", metavar="TAG", help="Keep backups with this tag (repeatable)"
        )
        parser.add_argument(
            "--protect-newest", type=int, metavar="N", help="So many of the newest stay in any case (3)"
        )
        parser.add_argument("--tag", action="append", help="Only consider backups with this tag (repeatable)")
        parser.add_argument("--policy", metavar="NAME", help="The retention of this policy instead")
        parser.add_argument("--dry-run", action="store_true", help="Print what would be removed")
        parser.add_argument("--prune", action="store_true", help="Free their space afterwards")

    def carry_out(self, options: dict[str, Any]) -> None:
        chosen = config()
        if options["policy"]:
            command = ["policy", "cleanup", options["policy"], *passed_on(options, "dry-run")]
        else:
            rules = passed_on(options, *RULES)
            rules += ["--keep-within", f"{options['keep_days']}d"] if options["keep_days"] else []
            if not rules:
                raise CommandError("no rule says what to keep: give --keep-days, --keep-last or another", returncode=2)
            command = ["forget", *rules, *passed_on(options, "protect-newest", "tag", "dry-run", "prune")]
        # Whoever runs this command has asked for it; nobody sits at the terminal of the one below.
        command += [] if options["dry_run"] else ["--yes"]
        answer = binary.ask(chosen, command, operations.app_definition(chosen))
        removed, kept = _numbers(answer)
        verb = "would be removed" if options["dry_run"] else "removed"
        self.answer(options, answer, f"{removed} backups {verb}, {kept} stay.")


def _numbers(answer: dict[str, Any]) -> tuple[int, int]:
    plans = answer.get("items") or answer.get("repositories") or [answer.get("plan", {"remove": [], "keep": []})]
    return sum(len(plan["remove"]) for plan in plans), sum(len(plan["keep"]) for plan in plans)
