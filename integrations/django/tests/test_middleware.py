"""Who is refused while the database is being replaced."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from django.test import AsyncClient, Client, override_settings

from pgkeep_django.fence import STALE_AFTER, is_fenced, restore_lock


def lock(folder: Path, age: timedelta = timedelta(), **changes: Any) -> Path:
    """A lock file as pgkeep writes it."""
    heartbeat = (datetime.now(timezone.utc) - age).strftime("%Y-%m-%dT%H:%M:%S.%f123Z")
    path = folder / ".restore.lock"
    document = {"holder": "restore 3f2a", "host": "db1", "pid": 1, "started": heartbeat, "heartbeat": heartbeat}
    path.write_text(json.dumps({**document, "database": "shop", **changes}))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    with override_settings(PGKEEP_LOCK_DIR=tmp_path):
        yield tmp_path


def test_unsafe_methods_are_refused_while_a_restore_holds_the_database(folder: Path) -> None:
    client = Client()
    assert client.post("/").content == b"POST was let through"
    held = lock(folder)
    for method in ("post", "put", "patch", "delete"):
        refused = getattr(client, method)("/")
        assert refused.status_code == 503
        assert refused.json() == {"detail": "Read-only maintenance"}
        assert refused.headers["Retry-After"] == "30"
        assert refused.headers["Cache-Control"] == "no-store"
    for method in ("get", "options", "trace"):
        assert getattr(client, method)("/").status_code == 200
    assert client.head("/").status_code == 200
    held.unlink()
    assert client.post("/").status_code == 200


def test_async_requests_are_treated_alike(folder: Path) -> None:
    async def scene() -> None:
        client = AsyncClient()
        assert (await client.post("/")).content == b"POST was let through"
        lock(folder)
        refused = await client.post("/")
        assert (refused.status_code, refused.json()) == (503, {"detail": "Read-only maintenance"})
        assert (await client.get("/")).content == b"GET was let through"

    asyncio.run(scene())


def test_a_lock_whose_holder_is_gone_refuses_nobody(folder: Path) -> None:
    lock(folder, age=STALE_AFTER + timedelta(seconds=5))
    assert Client().post("/").status_code == 200
    lock(folder, age=STALE_AFTER - timedelta(seconds=30))
    assert Client().post("/").status_code == 503


@pytest.mark.parametrize("content", ["", "{", "[]", '{"heartbeat": 5}', '{"heartbeat": "soon"}', "\x00"])
def test_a_lock_that_cannot_be_read_counts_by_the_time_of_its_file(folder: Path, content: str) -> None:
    path = folder / ".restore.lock"
    path.write_text(content)
    assert is_fenced(folder)
    long_ago = (datetime.now(timezone.utc) - STALE_AFTER * 2).timestamp()
    os.utime(path, (long_ago, long_ago))
    assert not is_fenced(folder)


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T15:00:00Z", "2026-11-21T15:00:00.5Z", "2026-11-21T15:00:00.500000001Z", "2026-11-21T16:00:00+01:00"],
)
def test_heartbeats_are_read_in_every_spelling(folder: Path, text: str) -> None:
    lock(folder, heartbeat=text)
    found = restore_lock(folder)
    assert found is not None
    assert found.heartbeat.replace(microsecond=0) == datetime(2026, 11, 21, 15, tzinfo=timezone.utc)
    assert found.holder == "restore 3f2a"


def test_a_folder_that_is_not_there_fences_nobody(tmp_path: Path) -> None:
    assert not is_fenced(None)
    assert not is_fenced(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("value", "refused"), [(True, True), ("on", True), ("0", False), (False, False), (None, False)]
)
def test_read_only_mode_refuses_without_a_restore(value: Any, refused: bool) -> None:
    with override_settings(READ_ONLY_MODE=value, PGKEEP_LOCK_DIR=None, PGKEEP_RETRY_AFTER=7):
        answer = Client().post("/")
    assert answer.status_code == (503 if refused else 200)
    assert answer.headers.get("Retry-After") == ("7" if refused else None)


def test_read_only_mode_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READ_ONLY_MODE", "Yes")
    assert Client().post("/").status_code == 503
    with override_settings(READ_ONLY_MODE=False):
        assert Client().post("/").status_code == 200, "the setting goes before the environment"


def test_exempt_paths_are_let_through() -> None:
    with override_settings(READ_ONLY_MODE=True, PGKEEP_READ_ONLY_EXEMPT=["/health/", "/hooks/paid"]):
        assert Client().post("/health/").status_code == 200
        assert Client().post("/hooks/paid").status_code == 200
        assert Client().post("/hooks/paid2").status_code == 503
        assert Client().post("/").status_code == 503
