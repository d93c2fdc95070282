"""`manage.py trigger_backup`: lets the pgkeep server run a policy now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from pgkeep_django import binary
from pgkeep_django.command import PgkeepCommand
from pgkeep_django.conf import config


class Command(PgkeepCommand):
    """Runs a policy."""

    help = "Let the pgkeep server run a policy now, and watch it unless --no-wait is given."

    def add_own_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", help="Name of the policy")
        parser.add_argument("--no-wait", action="store_true", help="Do not wait for its end")

    def carry_out(self, options: dict[str, Any]) -> None:
        wait = ["--no-wait"] if options["no_wait"] else []
        answer = binary.ask(
            config(), ["policy", "run", options["policy"], *wait], show_progress=options["verbosity"] > 0
        )
        self.answer(
            options, answer, *(f"Job {job['id']} of {options['policy']}: {job['state']}" for job in answer["jobs"])
        )
