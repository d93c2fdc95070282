"""A backup before `migrate` changes anything.

Django announces each run of `migrate` with `pre_migrate`, once for every app, after the plan is made and before its
first step. The first announcement of a plan that is not empty is the moment: whatever command runs the migrations, the
backup is taken once, only when something is pending, and an error of it stops `migrate` with nothing changed.
"""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import CommandError
from django.db import connections
from django.db.migrations import Migration
from django.db.migrations.operations import AlterModelManagers, AlterModelOptions, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder

from . import binary, databases, operations
from .conf import config

Plan = list[tuple[Migration, bool]]

TAG = "pre-migration"

#: Named in a description; the rest is counted.
_NAMED = 8

#: What pgkeep sets for commands that it runs itself, under a backup or on a copy of its own.
_RUN_BY_PGKEEP = ("PGKEEP_GUARD", "PGKEEP_MOMENT", databases.REDIRECT)

_guarded: Plan | None = None


def before_migrate(*, using: str, plan: Plan, verbosity: int, stdout: Any = None, **_others: Any) -> None:
    """Receives `pre_migrate`."""
    global _guarded
    if plan is _guarded or not plan:
        return
    reason = why_not(using, plan)

    def say(text: str) -> None:
        if verbosity >= 1 and stdout is not None:
            stdout.write(text + "\n")

    if reason is None:
        _take_backup(using, plan, say)
    elif reason:
        say(f"  No backup before migrating: {reason}.")
    _guarded = plan


def why_not(alias: str, plan: Plan) -> str | None:
    """Why no backup is taken: None when one is; an empty text when nobody needs to be told."""
    chosen = config()
    if not chosen.guard_migrate or any(os.environ.get(name) for name in _RUN_BY_PGKEEP):
        return ""
    if not databases.is_postgresql(alias) or not databases.is_as_configured(alias):
        return ""
    if not chosen.config_file and alias not in databases.protected(chosen.databases):
        return ""
    if _is_empty(alias):
        return f"the database {databases.name_of(alias)} is empty"
    if chosen.guard_skip_state_only and all(touches_no_database(migration) for migration, _ in plan):
        return "the pending migrations change nothing in the database"
    return None


def touches_no_database(migration: Migration) -> bool:
    """Whether all of a migration is bookkeeping of Django's own, by the exact type of each operation."""
    return all(_is_state_only(operation) for operation in migration.operations)


def describe(plan: Plan) -> str:
    """The pending migrations in one line."""
    names = [f"{'undo ' if backwards else ''}{migration.app_label}.{migration.name}" for migration, backwards in plan]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return "before migrate: " + ", ".join(names[:_NAMED]) + more


def _is_state_only(operation: Operation) -> bool:
    if type(operation) is SeparateDatabaseAndState:
        return all(_is_state_only(inner) for inner in operation.database_operations)
    return type(operation) in {AlterModelOptions, AlterModelManagers}


def _is_empty(alias: str) -> bool:
    connection = connections[alias]
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
    return not tables - {MigrationRecorder.Migration._meta.db_table}


def _take_backup(alias: str, plan: Plan, say: Any) -> None:
    if connections[alias].in_atomic_block:
        raise CommandError(
            "migrate runs inside a transaction, whose changes a backup cannot see: "
            "run it outside of one, or set PGKEEP_GUARD_MIGRATE = False"
        )
    description = describe(plan)
    say(f"  Backing up {description}")
    try:
        report = operations.backup(tags=[TAG], description=description)
        identity = str(report["id"])
        say(f"  Backup {identity[:8]} is made")
        if config().guard_prove:
            operations.drill(identity)
            say("  It is proven: restored into a throwaway database, every row compared")
    except binary.PgkeepError as error:
        raise CommandError(
            f"no backup could be made, so nothing was migrated: {error}", returncode=error.exit_code
        ) from error
