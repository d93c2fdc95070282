"""`manage.py manage_backup_configs`: the policies of a pgkeep server, which say what is backed up when."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgkeep_django import binary, operations
from pgkeep_django.command import PgkeepCommand, passed_on, table
from pgkeep_django.conf import config

ACTIONS = ("list", "show", "create", "edit", "enable", "disable", "delete", "next", "defaults")
SWITCHES = ("hourly", "daily", "weekly", "monthly", "on-demand", "disabled")
NUMBERS = (
    *("keep-days", "keep-max", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly"),
    *("protect-newest", "compression", "day", "count"),
)
TEXTS = ("kind", "cron", "at", "weekday", "time-zone", "jitter", "keep-within", "description", "export-to")
LISTS = ("to", "tag", "notify", "blackout")


class Command(PgkeepCommand):
    """Manages policies."""

    help = (
        "List, make and change the policies of this app; see `pgkeep policy create --help` for what the options mean."
    )

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", choices=ACTIONS, default="list")
        parser.add_argument("name", nargs="?", help="Name of the policy; needed by all but list and defaults")
        for option in SWITCHES:
            parser.add_argument(f"--{option}", action="store_true")
        for option in NUMBERS:
            parser.add_argument(f"--{option}", type=int, metavar="N")
        for option in TEXTS:
            parser.add_argument(f"--{option}")
        for option in LISTS:
            parser.add_argument(f"--{option}", action="append")

    def carry_out(self, options: dict[str, Any]) -> None:
        action, name = options["action"], options["name"]
        chosen = config()
        definition = operations.app_definition(chosen)
        if action == "defaults":
            name = name or definition.app
        if action != "list" and not name:
            raise CommandError(f"{action} needs the name of a policy", returncode=2)
        given = passed_on(options, *SWITCHES, *NUMBERS, *TEXTS, *LISTS)
        command = ["policy", action, *([name] if name else []), *given]
        command += ["--yes"] if action == "delete" else []
        # Only these two are about the app; for the others the policy knows its own.
        about = definition if action in {"list", "create"} else None
        answer = binary.ask(chosen, command, about)
        self.answer(options, answer, *_told(action, name, answer))


def _told(action: str, name: str | None, answer: dict[str, Any]) -> list[str]:
    if action == "delete":
        return [f"Policy {name} is removed; its backups stay."]
    if action == "next":
        return [str(run["local"]) for run in answer["runs"]]
    policies = answer.get("policies", [answer])
    if not policies:
        return ["There is no policy yet: manage.py manage_backup_configs defaults"]
    rows = [
        [
            str(policy["name"]),
            str(policy["definition"]["kind"]),
            str(policy["schedule_words"]),
            str(policy["retention_words"]),
            str(policy["next_run"] or "off")[:19].replace("T", " "),
        ]
        for policy in policies
    ]
    return table(["policy", "kind", "schedule", "keeps", "next run (UTC)"], rows)
