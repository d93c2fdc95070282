"""What Django is told when it starts."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import pre_migrate


class PgkeepConfig(AppConfig):
    """Connects the guard of `migrate` and registers the checks."""

    name = "pgkeep_django"
    label = "pgkeep"
    verbose_name = "Backups (pgkeep)"

    def ready(self) -> None:
        from . import checks, databases, guard

        databases.redirect()
        databases.remember_names()
        checks.register_all()
        pre_migrate.connect(guard.before_migrate, dispatch_uid="pgkeep.guard")
