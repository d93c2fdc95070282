"""Runs pgkeep and reads its answer.

The binary prints one JSON document on standard output. Secrets reach it by its environment; its arguments hold none.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from .conf import Config
from .definition import Definition

#: Settings of the binary that would go against what Django's settings say.
_OVERRIDDEN = ("DATABASE_URL", "DB_ADMIN_URL", "PGKEEP_APP", "PGKEEP_CONFIG", "PGKEEP_SERVER", "PGKEEP_ENVIRONMENT")


class PgkeepError(Exception):
    """What pgkeep was asked for is not done."""

    def __init__(
        self, code: str, exit_code: int, message: str, hint: str | None = None, details: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code
        self.message = message
        self.hint = hint
        self.details = tuple(details)

    def __str__(self) -> str:
        lines = [self.message, *(f"  {line}" for line in self.details), *([f"Hint: {self.hint}"] if self.hint else [])]
        return "\n".join(lines)


def find(config: Config) -> Path:
    """The binary, or an error that says where it was looked for."""
    found = shutil.which(config.binary)
    if found is None:
        raise PgkeepError(
            "no_binary",
            2,
            f"the program {config.binary} was not found",
            "install pgkeep, or set PGKEEP_BINARY to its path",
        )
    return Path(found).absolute()


def version(config: Config) -> str:
    """The binary's version, such as 0.1.0."""
    answer = subprocess.run(  # noqa: S603 (the program of the settings, no shell)
        [str(find(config)), "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    words = answer.stdout.split()
    if answer.returncode != 0 or len(words) != 2 or words[0] != "pgkeep":
        raise PgkeepError("no_binary", 2, f"{config.binary} --version does not answer as pgkeep does")
    return words[1]


def ask(
    config: Config,
    arguments: Sequence[str],
    definition: Definition | None = None,
    show_progress: bool = False,
    accept: Sequence[int] = (0,),
) -> dict[str, Any]:
    """Runs a command of pgkeep to its end and gives its answer.

    With a definition, the command is about that app. Exit codes other than those accepted raise `PgkeepError`. Progress
    goes to standard error where a person looks at it.
    """
    with ExitStack() as stack:
        command = [str(find(config)), *arguments, "--json", *_global_flags(config, definition, stack)]
        watched = show_progress and sys.stderr is not None and sys.stderr.isatty()
        if not watched:
            command.append("--no-progress")
        code, out, err = _run(command, _environment(config, definition), watched)
    return _answer(arguments[0], code, out, err, accept)


def pass_on(config: Config, arguments: Sequence[str], definition: Definition) -> int:
    """Runs a command as it was typed, on this process's own terminal, and gives its exit code."""
    with ExitStack() as stack:
        command, *rest = arguments
        whole = [str(find(config)), command, *_global_flags(config, definition, stack), *rest]
        process = subprocess.Popen(whole, env=_environment(config, definition))  # noqa: S603 (as above)
        with _terminate_with(process):
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:  # the terminal told the binary as well
                    continue


def _global_flags(config: Config, definition: Definition | None, stack: ExitStack) -> list[str]:
    flags: list[str] = []
    if config.server:
        flags += ["--server", config.server]
        flags += ["--token-file", str(config.token_file)] if config.token_file else []
        app = config.app or (definition.app if definition else None)
        return [*flags, "--app", app] if app else flags
    if config.repository:
        flags += ["--repo", config.repository]
    if config.key_file:
        flags += ["--key-file", str(config.key_file)]
    if config.data_dir:
        flags += ["--data-dir", str(config.data_dir)]
    if config.config_file:
        flags += ["--config", str(config.config_file)]
        return [*flags, "--app", config.app] if config.app else flags
    if definition:
        flags += ["--config", stack.enter_context(_written(definition)), "--app", definition.app]
    return flags


@contextmanager
def _written(definition: Definition) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pgkeep-django-") as folder:  # made for the owner only
        path = Path(folder) / "pgkeep.toml"
        path.write_text(definition.toml, encoding="utf-8")
        yield str(path)


def _environment(config: Config, definition: Definition | None) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _OVERRIDDEN}
    if definition is None or config.server:
        return environment
    environment.update(definition.variables)
    if config.config_file:
        # The file may leave the databases out; then they are Django's.
        first = next(iter(definition.variables.values()))
        environment["DATABASE_URL"] = os.environ.get("DATABASE_URL") or first
        if config.admin_url:
            environment["DB_ADMIN_URL"] = config.admin_url
        if config.environment:
            environment["PGKEEP_ENVIRONMENT"] = config.environment
    return environment


def _run(command: list[str], environment: Mapping[str, str], watched: bool) -> tuple[int, str, str]:
    """Runs to the end. Ctrl-C and SIGTERM are left to the binary, which stops without leaving anything half-done."""
    process = subprocess.Popen(  # noqa: S603 (as above)
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if watched else subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    interrupted = False
    with _terminate_with(process):
        while True:
            try:
                out, err = process.communicate()
                break
            except KeyboardInterrupt:  # the terminal told the binary as well
                interrupted = True
    if interrupted and process.returncode == 130:
        raise KeyboardInterrupt
    return process.returncode, out, err or ""


@contextmanager
def _terminate_with(process: subprocess.Popen[Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    before = signal.signal(signal.SIGTERM, forward)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _answer(verb: str, code: int, out: str, err: str, accept: Sequence[int]) -> dict[str, Any]:
    try:
        document = json.loads(out) if out.strip() else {}
    except ValueError:
        document = None
    if isinstance(document, dict) and code in accept and "error" not in document:
        return document
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        message, hint = str(error.get("message", "")), error.get("hint")
        details = [str(line) for line in error.get("details") or []]
        raise PgkeepError(str(error.get("code", "failed")), code, message, None if hint is None else str(hint), details)
    told = err.strip().splitlines()[-1] if err.strip() else "it gave no answer"
    raise PgkeepError("failed", code or 1, f"pgkeep {verb} ended with exit code {code}: {told}")
