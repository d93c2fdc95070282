"""Which folder may lie in which: backups in a folder that a web server serves are published, and folders that hold each
other would be backed up into themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from .conf import Config


def repository_folder(config: Config) -> Path | None:
    """The repository's folder, where it is one: by the setting, else by the binary's own variables."""
    address = config.repository or os.environ.get("PGKEEP_REPO") or os.environ.get("BACKUPS_DIR")
    if not address or "://" in address or (config.config_file and "/" not in address):
        return None
    return Path(address).absolute()


def misplaced(config: Config) -> Iterator[tuple[str, str]]:
    """Each fault as a sentence and what to do about it."""
    served = dict(_served())
    folders = {**{f"the folder {name!r} of PGKEEP_FILES": path for name, path in config.files.items()}, **served}
    repository = repository_folder(config)
    if repository:
        for name, path in folders.items():
            if _within(repository, path):
                yield f"the backups in {repository} lie inside {name} ({path})", "move the repository elsewhere"
            elif _within(path, repository):
                yield (
                    f"{name} ({path}) lies inside the folder of the backups, {repository}",
                    "move one of them elsewhere",
                )
    private = {"PGKEEP_KEY_FILE": config.key_file, "PGKEEP_TOKEN_FILE": config.token_file}
    for setting, file in private.items():
        for name, path in served.items():
            if file and _within(file, path):
                yield f"{setting} ({file}) lies inside {name} ({path}), which is served", "move it elsewhere"


def _served() -> Iterator[tuple[str, Path]]:
    for name in ("MEDIA_ROOT", "STATIC_ROOT"):
        root = getattr(settings, name, None)
        if root:
            yield name, Path(root).absolute()


def _within(inner: Path, outer: Path) -> bool:
    inner, outer = inner.resolve(), outer.resolve()
    return inner == outer or outer in inner.parents
