"""Which databases of Django's `DATABASES` are meant, and how pgkeep reaches them.

A connection string holds the password, so it travels in the environment of the one process that needs it, and nowhere
else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

#: What Django passes to libpq by OPTIONS and pgkeep understands; the rest is about Django's own connections.
_KEYWORDS = (
    "channel_binding",
    "connect_timeout",
    "hostaddr",
    "options",
    "passfile",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
)

#: Set by a definition made here, for the app's commands that pgkeep runs: the alias that they are to work on.
REDIRECT = "PGKEEP_DJANGO_ALIAS"

_names_at_start: dict[str, str] = {}


def is_postgresql(alias: str) -> bool:
    """Whether the alias is a PostgreSQL database, by whatever engine builds on Django's."""
    engine = str(connections.databases[alias].get("ENGINE", ""))
    return connections[alias].vendor == "postgresql" if engine else False


def protected(chosen: tuple[str, ...] | None) -> list[str]:
    """The aliases that make up one recovery point: those chosen, else every one on PostgreSQL, each database once."""
    if chosen is not None:
        for alias in chosen:
            if alias not in connections.databases:
                raise ImproperlyConfigured(f"PGKEEP_DATABASES names {alias!r}, which DATABASES does not have")
            if not is_postgresql(alias):
                raise ImproperlyConfigured(f"PGKEEP_DATABASES names {alias!r}, which is not on PostgreSQL")
    aliases: list[str] = []
    seen: set[tuple[str, str, str]] = set()
    for alias in sorted(chosen or connections.databases, key=lambda alias: alias != "default"):
        database = connections.databases[alias]
        mirror = (database.get("TEST") or {}).get("MIRROR")
        where = (str(database.get("HOST", "")), str(database.get("PORT", "")), name_of(alias))
        if not is_postgresql(alias) or (chosen is None and mirror) or where in seen:
            continue
        seen.add(where)
        aliases.append(alias)
    return aliases


def name_of(alias: str) -> str:
    """The database's name as Django has it; empty where a service file gives it."""
    return str(connections.databases[alias].get("NAME") or "")


def connection_string(database: Mapping[str, Any]) -> str:
    """The connection as libpq's pairs of keyword and value, password included."""
    options = database.get("OPTIONS") or {}
    pairs = {
        "host": database.get("HOST"),
        "port": database.get("PORT"),
        "user": database.get("USER"),
        "password": database.get("PASSWORD"),
        "dbname": database.get("NAME"),
    }
    pairs.update({key: options[key] for key in _KEYWORDS if options.get(key) is not None})
    return " ".join(f"{key}={_quoted(str(value))}" for key, value in pairs.items() if value not in (None, ""))


def remember_names() -> None:
    """Notes which databases the settings name, before a test runner puts its own in their place."""
    for alias, database in connections.databases.items():
        _names_at_start[alias] = str(database.get("NAME") or "")


def is_as_configured(alias: str) -> bool:
    """Whether the alias still leads to the database that the settings name, and not to a test's or a side database."""
    return _names_at_start.get(alias) == name_of(alias)


def redirect() -> None:
    """Points one alias at the database that pgkeep runs this command for, by libpq's variables.

    A restored copy is migrated and checked before it takes the place of the live database; settings that name the live
    database outright would let the command work on that one.
    """
    alias = os.environ.get(REDIRECT)
    name = os.environ.get("PGDATABASE")
    if not alias or not name:
        return
    if alias not in connections.databases:
        raise ImproperlyConfigured(f"{REDIRECT} is {alias!r}, which DATABASES does not have")
    database = connections.databases[alias]
    options = dict(database.get("OPTIONS") or {})
    for key in (*_KEYWORDS, "pool"):
        if key not in {"options", "connect_timeout"}:
            options.pop(key, None)  # libpq takes what is absent from its variables
    database.update(NAME=name, HOST="", PORT="", USER=os.environ.get("PGUSER", ""), PASSWORD="", OPTIONS=options)
    connections[alias].close()


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
