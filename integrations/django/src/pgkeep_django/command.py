"""What the management commands have in common."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from .binary import PgkeepError


class PgkeepCommand(BaseCommand):
    """A command whose errors end with pgkeep's own exit codes, and which can answer in JSON."""

    # A restore must be possible while a check fails; what concerns backups is looked at by the command itself.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print pgkeep's answer as one JSON document")
        self.add_own_arguments(parser)

    def add_own_arguments(self, parser: CommandParser) -> None:
        """Declares the options of this command."""

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.carry_out(options)
        except PgkeepError as error:
            raise CommandError(str(error), returncode=error.exit_code) from error
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=2) from error

    def carry_out(self, options: dict[str, Any]) -> None:
        """Does what the command is for."""
        raise NotImplementedError

    def answer(self, options: dict[str, Any], document: Any, *lines: str) -> None:
        """Prints the document where JSON was asked for, else the lines."""
        if options["json"]:
            self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False))
        elif options["verbosity"] > 0:
            for line in lines:
                self.stdout.write(line)

    def let_go(self) -> None:
        """Closes this process's own sessions, which would be in the way of a swap."""
        connections.close_all()


def passed_on(options: dict[str, Any], *names: str) -> list[str]:
    """The options that were given, as pgkeep's own of the same names."""
    words: list[str] = []
    for name in names:
        value = options.get(name.replace("-", "_"))
        for item in value if isinstance(value, list) else [value]:
            if item is True:
                words.append(f"--{name}")
            elif item is not None and item is not False:
                words += [f"--{name}", str(item)]
    return words


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of columns."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows]]


def size(count: int) -> str:
    """Bytes for people."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
