"""A copy of the test project with a database, a repository and a home of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from server import PASSWORD, Server

PROJECT = Path(__file__).parent / "project"
ROOT = Path(__file__).resolve().parents[3]
PHRASE = "I understand this will irreversibly overwrite data"

# Notes what it is called with, then becomes the real program.
_WITNESS = """#!/bin/sh
printf '%s\\n' "$*" >> '{log}'
exec '{binary}' "$@"
"""

USER = "shop"

_numbers = count(1)


def binary() -> Path:
    """The program under test."""
    chosen = os.environ.get("PGKEEP_TEST_BINARY")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    found = Path(chosen) if chosen else target / "debug/pgkeep"
    assert found.is_file(), f"{found} is not there: cargo build -p pgkeep"
    return found.absolute()


@dataclass
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str

    def succeeds(self) -> Run:
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self

    def fails(self, code: int) -> Run:
        assert self.code == code, f"exit code {self.code}, not {code}\n{self.out}\n{self.err}"
        return self

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Site:
    """The project in a folder of the test."""

    server: Server
    folder: Path
    database: str
    settings: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def make(server: Server, folder: Path) -> Site:
        number = next(_numbers)
        site = Site(server, folder / "site", f"shop{number}")
        shutil.copytree(PROJECT, site.folder, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("home", "run"):
            (site.folder / name).mkdir()
        if number == 1:
            password = PASSWORD.replace("'", "''")
            server.ask(f"CREATE ROLE {USER} LOGIN CREATEDB PASSWORD '{password}'")
        server.ask(f"CREATE DATABASE {site.database} OWNER {USER}")
        witness = site.folder / "pgkeep"
        witness.write_text(_WITNESS.format(log=site.folder / "calls", binary=binary()))
        witness.chmod(0o755)
        site.settings = {
            "PGKEEP_BINARY": str(witness),
            "PGKEEP_APP": "shop",
            "PGKEEP_REPOSITORY": str(folder / "backups"),
            "PGKEEP_ADMIN_URL": server.url(),
        }
        return site

    def close(self) -> None:
        """Drops what the test made on the shared server."""
        for name in self.server.databases():
            if name == self.database or name.startswith(f"{self.database}_"):
                self.server.ask(f'DROP DATABASE "{name}" WITH (FORCE)')

    def stocked(self) -> Site:
        """A repository is made, the database is migrated and filled."""
        self.manage("pgkeep", "init").succeeds()
        kept = self.folder.parents[1] / "stock-media"
        if self.server.stock is None:
            self.manage("migrate").succeeds()
            self.manage("stock").succeeds()
            shutil.copytree(self.folder / "media", kept)
            self.server.ask(f"CREATE DATABASE stock TEMPLATE {self.database} OWNER {USER}")
            self.server.stock = "stock"
        else:
            self.server.ask(f"DROP DATABASE {self.database}")
            self.server.ask(f"CREATE DATABASE {self.database} TEMPLATE {self.server.stock} OWNER {USER}")
            shutil.copytree(kept, self.folder / "media")
        return self

    def manage(self, *arguments: str, **settings: Any) -> Run:
        """Runs manage.py as a person would, perhaps with other settings."""
        done = subprocess.run(
            [sys.executable, "-W", "error", "manage.py", *arguments],
            cwd=self.folder,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def environment(self, **settings: Any) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "PGKEEP_CACHE", "PYTHONPATH") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.folder / "home"),
            "SHOP_PORT": str(self.server.port),
            "SHOP_DATABASE": self.database,
            "SHOP_USER": USER,
            "SHOP_PASSWORD": PASSWORD,
            "SHOP_SETTINGS": json.dumps({**self.settings, **settings}),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PGKEEP_DATA_DIR": str(self.folder / "data"),
            **self.extra,
        }

    def ask(self, sql: str, database: str | None = None) -> list[tuple[Any, ...]]:
        return self.server.ask(sql, database or self.database)

    def backups(self) -> list[dict[str, Any]]:
        """The backups of the app, oldest first, asked of the program itself."""
        listed = subprocess.run(
            [str(binary()), "list", "--json", "--app", "shop", "--repo", self.settings["PGKEEP_REPOSITORY"]],
            cwd=self.folder / "home",  # where no pgkeep.toml lies
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert listed.returncode == 0, listed.stderr
        found: list[dict[str, Any]] = json.loads(listed.stdout)["backups"]
        return found

    def add_migration(self, name: str, operations: str, after: str = "0001_initial") -> None:
        """Writes a migration of the shop."""
        (self.folder / f"shop/migrations/{name}.py").write_text(
            "from django.db import migrations, models\n\n\n"
            "class Migration(migrations.Migration):\n"
            f'    dependencies = [("shop", "{after}")]\n'
            f"    operations = [{operations}]\n"
        )

    def calls(self) -> str:
        """The command lines that pgkeep was started with."""
        log = self.folder / "calls"
        return log.read_text() if log.exists() else ""
