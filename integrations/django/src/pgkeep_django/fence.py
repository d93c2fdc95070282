"""Whether the database is being replaced just now, told by the lock file that pgkeep keeps fresh."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

RESTORE_LOCK = ".restore.lock"

#: A holder renews its heartbeat every few seconds; one this old is gone, killed with its machine perhaps.
STALE_AFTER = timedelta(seconds=60)


@dataclass(frozen=True)
class Lock:
    """Who holds the database."""

    holder: str
    heartbeat: datetime

    def is_fresh(self, now: datetime) -> bool:
        return now - self.heartbeat <= STALE_AFTER


def restore_lock(folder: Path) -> Lock | None:
    """The lock in this folder. One that cannot be read counts by the file's own time: in doubt the fence stands."""
    path = folder / RESTORE_LOCK
    try:
        changed = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return Lock("somebody", datetime.now(timezone.utc))
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Lock(str(document.get("holder", "somebody")), _time(document["heartbeat"]))
    except FileNotFoundError:  # let go meanwhile
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Lock("somebody", changed)


def is_fenced(folder: Path | None) -> bool:
    """Whether a restore is replacing the database now."""
    lock = restore_lock(folder) if folder else None
    return lock is not None and lock.is_fresh(datetime.now(timezone.utc))


def _time(text: str) -> datetime:
    # Python before 3.11 knows neither Z nor nine digits of a second.
    whole, _, rest = text.partition(".")
    digits = rest.rstrip("Z") if rest else ""
    if not digits.isdigit() and rest:
        return datetime.fromisoformat(text)
    time = datetime.fromisoformat(whole.rstrip("Z"))
    microseconds = int(digits[:6].ljust(6, "0")) if digits else 0
    time = time.replace(microsecond=microseconds)
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
