"""`manage.py pgkeep …`: any command of pgkeep, with this project's databases, folders and repository filled in."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from pgkeep_django import binary, operations
from pgkeep_django.conf import config


class Command(BaseCommand):
    """Passes a command on."""

    help = (
        "Run any command of pgkeep with this project's databases, folders and repository filled in, such as "
        "`manage.py pgkeep doctor`. `manage.py pgkeep --print-config` prints what it is told."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--print-config", action="store_true", help="Print the pgkeep.toml that stands for these settings"
        )
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help="A command of pgkeep and its options")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = config()
        if options["print_config"]:
            self.stdout.write(operations.app_definition(chosen, lasting=True).toml)
            return
        definition = operations.app_definition(chosen)
        if not options["arguments"]:
            raise CommandError("give a command of pgkeep, such as `manage.py pgkeep doctor`", returncode=2)
        connections.close_all()
        try:
            code = binary.pass_on(chosen, options["arguments"], definition)
        except binary.PgkeepError as error:
            raise CommandError(str(error), returncode=error.exit_code) from error
        if code != 0:
            raise SystemExit(code)
