"""The app as Django knows it, written as a pgkeep.toml.

It holds no secret: connection strings are named by the variable that holds them.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from . import databases
from .conf import Config

#: Variables that hold connection strings are named `PGKEEP_DJANGO_DATABASE_<alias>`, and this one for the admin's.
ADMIN_VARIABLE = "PGKEEP_DJANGO_ADMIN_URL"

#: Variables that the project's commands do not get from here: pgkeep sets them itself or lets them through, or they are
#: about a terminal, or they open backups.
_NOT_THE_PROJECTS = re.compile(
    r"(PG|LC_|XDG_|SSH_|DBUS_|PYTHON|PYENV|CARGO|RUST).*|DATABASE_URL|DB_ADMIN_URL|BACKUPS_DIR|BACKUP_ENCRYPTION_KEY|"
    r"DJANGO_SETTINGS_MODULE|PATH|HOME|USER|LOGNAME|SHELL|SHLVL|TERM|PWD|OLDPWD|LANG|LANGUAGE|TMPDIR|TZ|MAIL|HOSTNAME|"
    r"EDITOR|PAGER|DISPLAY|COLUMNS|LINES|VIRTUAL_ENV|VIRTUAL_ENV_PROMPT|PS1|_|LS_COLORS|LESSOPEN|LESSCLOSE|INVOCATION_ID|"
    r"JOURNAL_STREAM"
)

#: Prints what pgkeep records of the framework.
_VERSIONS = "import django, platform; print('django', django.__version__); print('python', platform.python_version())"


@dataclass(frozen=True)
class Definition:
    """A configuration file, and the variables that it names."""

    app: str
    toml: str
    variables: Mapping[str, str]


def define(config: Config, aliases: list[str] | None = None, files: bool = True, lasting: bool = False) -> Definition:
    """Describes the app, or the part of it that a command is about; `lasting` leaves out what holds only here."""
    aliases = databases.protected(config.databases) if aliases is None else aliases
    if not aliases:
        raise ImproperlyConfigured(
            "no database of DATABASES is on PostgreSQL: there is nothing that pgkeep could protect"
        )
    app = app_name(config, aliases)
    variables = {_variable(alias): databases.connection_string(connections.databases[alias]) for alias in aliases}
    lines = [f"[app.{_text(app)}]", f"databases = {_texts([f'env:{name}' for name in variables])}"]
    if config.admin_url:
        variables[ADMIN_VARIABLE] = config.admin_url
        lines.append(f"admin_url = {_text(f'env:{ADMIN_VARIABLE}')}")
    if config.environment:
        lines.append(f"environment = {_text(config.environment)}")
    if files:
        for name, path in existing_files(config).items():
            lines += ["", f"[[app.{_text(app)}.files]]", f"name = {_text(name)}", f"path = {_text(str(path))}"]
            if config.files_exclude:
                lines.append(f"exclude = {_texts(config.files_exclude)}")
    lines += ["", f"[app.{_text(app)}.migrations]", 'framework = "django"', *_code(config, app, aliases[0], lasting)]
    if config.lock_dir:
        lines += ["", f"[app.{_text(app)}.fence]", f"lock_dir = {_text(str(config.lock_dir))}"]
    return Definition(app, "\n".join(lines) + "\n", variables)


def app_name(config: Config, aliases: list[str]) -> str:
    """What the app is called in the repository."""
    name = config.app or databases.name_of(aliases[0])
    if not name:
        raise ImproperlyConfigured(
            "set PGKEEP_APP: the first database of DATABASES has no NAME that could name the app"
        )
    return name


def existing_files(config: Config) -> dict[str, Path]:
    """The folders to back up. Django makes MEDIA_ROOT with the first upload, so a missing one is no fault there."""
    return {name: path for name, path in config.files.items() if path.is_dir() or not _is_media_root(path)}


def _is_media_root(path: Path) -> bool:
    root = str(settings.MEDIA_ROOT or "")
    return bool(root) and path == Path(root).absolute()


def _code(config: Config, app: str, alias: str, lasting: bool) -> list[str]:
    """Where the migrations lie, and how pgkeep runs `migrate` and checks against a restored copy, beside manage.py."""
    manage = _manage_py()
    if manage is None:
        return []
    run = [sys.executable, str(manage)]
    environment = {"DJANGO_SETTINGS_MODULE": str(settings.SETTINGS_MODULE), databases.REDIRECT: alias}
    environment.update({name: f"env:{name}" for name in _variables(config, lasting)})
    pairs = ", ".join(f"{_text(name)} = {_text(value)}" for name, value in environment.items())
    return [
        f"code = {_text(str(manage.parent))}",
        "",
        f"[app.{_text(app)}.commands]",
        f"directory = {_text(str(manage.parent))}",
        f"migrate = {_texts([*run, 'migrate', '--noinput', '--database', alias])}",
        f"migrate_check = {_texts([*run, 'migrate', '--check', '--database', alias])}",
        f"check = [{_texts([*run, 'check', '--database', alias])}]",
        f"runtime = {_texts([sys.executable, '-c', _VERSIONS])}",
        f"environment = {{ {pairs} }}",
    ]


def _variables(config: Config, lasting: bool) -> list[str]:
    """Names of variables that the project's settings may read; their values stay out of the definition."""
    if config.command_variables is not None:
        return [name for name in config.command_variables if lasting or name in os.environ]
    names = [] if lasting else [name for name in os.environ if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name)]
    return sorted(name for name in names if not _NOT_THE_PROJECTS.fullmatch(name))


def _manage_py() -> Path | None:
    started = Path(sys.argv[0]).absolute()
    candidates = [started] if started.name == "manage.py" else []
    base = getattr(settings, "BASE_DIR", None)
    if base:
        candidates.append(Path(base).absolute() / "manage.py")
    return next((path for path in candidates if path.is_file()), None)


def _variable(alias: str) -> str:
    return "PGKEEP_DJANGO_DATABASE_" + "".join(c if c.isalnum() and c.isascii() else "_" for c in alias).upper()


def _text(value: str) -> str:
    """A TOML string; JSON's rules for one are a part of TOML's, but for the character 127."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _texts(values: list[str] | tuple[str, ...]) -> str:
    return "[" + ", ".join(_text(value) for value in values) + "]"
