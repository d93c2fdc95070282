"""A throwaway PostgreSQL 15 server, gone when the tests end however they end."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

MAJOR = 15

#: Passwords that break careless quoting.
SUPERUSER_PASSWORD = "super: user's @ 100% \\secret"
PASSWORD = 'a shop\'s pass\\word: @ / 100% "of" tests'

# Ends the server and removes its folder when the tests were killed: then the pipe closes without a word.
_WATCHDOG = """
read -r word && exit 0
if pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null); then kill -QUIT "$pid" 2>/dev/null; sleep 1; fi
rm -rf "$1"
"""


@dataclass
class Server:
    """Where the server listens."""

    port: int
    #: A database that is migrated and filled, to be copied; made by the first test that needs one.
    stock: str | None = None

    @staticmethod
    @contextmanager
    def running() -> Iterator[Server]:
        folder = Path(tempfile.mkdtemp(prefix="pgkeep-django-", dir="/tmp"))
        watchdog = subprocess.Popen(["sh", "-c", _WATCHDOG, "watchdog", str(folder)], stdin=subprocess.PIPE, text=True)
        process = None
        try:
            _initialise(folder)
            # Between finding a free port and taking it, somebody else may take it.
            for _ in range(10):
                server = Server(_free_port())
                process = _as_server_user(_start(folder, server.port))
                if server._is_up(process, folder):
                    break
            else:
                raise AssertionError("no port could be had for the server")
            yield server
        finally:
            if process is not None:
                process.terminate()
                process.wait(60)
            shutil.rmtree(folder)
            watchdog.communicate("done\n")

    def url(self, database: str = "postgres") -> str:
        """The superuser's connection."""
        password = SUPERUSER_PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        return f"host=127.0.0.1 port={self.port} user=postgres dbname='{database}' password='{password}'"

    def ask(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Runs one statement as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def databases(self) -> set[str]:
        """The names of all databases."""
        return {row[0] for row in self.ask("SELECT datname FROM pg_database")}

    def _is_up(self, process: subprocess.Popen[bytes], folder: Path) -> bool:
        """Waits for the server; false where it could not start."""
        deadline = time.monotonic() + 120
        while process.poll() is None:
            try:
                return self.ask("SHOW data_directory") == [(str(folder / "data"),)]
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.02)
        return False


def bin_dir() -> Path:
    """Where the server's programs lie; the same places are looked at as by the tests in Rust."""
    cache = "/var/cache/pgkeep" if os.geteuid() == 0 else str(Path.home() / ".cache/pgkeep")
    places = [
        os.environ.get(f"PGKEEP_PG{MAJOR}_BIN", ""),
        f"{os.environ.get('PGKEEP_CACHE') or cache}/pg/{MAJOR}/bin",
        f"/usr/lib/postgresql/{MAJOR}/bin",
        f"/usr/pgsql-{MAJOR}/bin",
        f"/opt/homebrew/opt/postgresql@{MAJOR}/bin",
    ]
    found = next((Path(place) for place in places if place and (Path(place) / "postgres").is_file()), None)
    assert found, f"PostgreSQL {MAJOR} is not installed: run `make setup`"
    return found


def _initialise(folder: Path) -> None:
    password = folder / "password"
    password.write_text(SUPERUSER_PASSWORD)
    if user := _server_user():
        for path in (folder, password):
            os.chown(path, user.pw_uid, user.pw_gid)
    folder.chmod(0o711)
    command = [str(bin_dir() / "initdb"), "--pgdata", str(folder / "data"), "--username", "postgres", "--no-sync"]
    command += ["--auth", "scram-sha-256", "--pwfile", str(password), "--encoding", "UTF8", "--locale", "C.UTF-8"]
    assert _as_server_user(command).wait(120) == 0


def _start(folder: Path, port: int) -> list[str]:
    command = [str(bin_dir() / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-k", str(folder)]
    for setting in ("listen_addresses=127.0.0.1", "fsync=off", "logging_collector=off", "log_min_messages=panic"):
        command += ["-c", setting]
    return command


def _as_server_user(command: list[str]) -> subprocess.Popen[bytes]:
    user = _server_user()
    who: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    return subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **who)


def _server_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("root runs servers as the account postgres or nobody, and neither exists")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
