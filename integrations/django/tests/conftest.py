"""A PostgreSQL server for all tests, and a real project for each that asks for one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import django
import pytest

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS / "project"))
os.environ["DJANGO_SETTINGS_MODULE"] = "website.settings"
for name in [
    name for name in os.environ if name.startswith(("PGKEEP_", "SHOP_")) and not name.startswith("PGKEEP_TEST")
]:
    if not name.startswith(("PGKEEP_CACHE", "PGKEEP_PG")):
        del os.environ[name]
for name in ("DATABASE_URL", "DB_ADMIN_URL", "BACKUPS_DIR", "READ_ONLY_MODE"):
    os.environ.pop(name, None)
django.setup()

from server import Server  # noqa: E402
from site_of_test import Site  # noqa: E402


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server.running() as started:
        yield started


@pytest.fixture
def site(server: Server, tmp_path: Path) -> Iterator[Site]:
    made = Site.make(server, tmp_path)
    yield made
    made.close()
