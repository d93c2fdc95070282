"""The pages of the guide that are about Django, followed to the letter."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote

import guide
from server import PASSWORD, bin_dir
from site_of_test import ROOT, USER, Site, binary

GUIDE = ROOT / "docs/guide"


def test_the_page_on_django_is_right(site: Site) -> None:
    settings = site.folder / "website/settings.py"
    lines = settings.read_text().replace('"pgkeep_django", ', "").splitlines()
    settings.write_text("\n".join(line for line in lines if "pgkeep" not in line.lower()) + "\n")
    guide.follow(GUIDE / "django.md", site.folder, environment(site))


def test_a_guarded_deployment_goes_wrong_and_back(site: Site) -> None:
    site.stocked()
    settings = site.folder / "website/settings.py"
    chosen = {name: value for name, value in site.settings.items() if name != "PGKEEP_BINARY"}
    settings.write_text(settings.read_text() + "".join(f"{name} = {value!r}\n" for name, value in chosen.items()))
    escaped = quote(PASSWORD, safe="")
    url = f"postgres://{USER}:{escaped}@127.0.0.1:{site.server.port}/{site.database}"
    guide.follow(GUIDE / "deployment-gone-wrong.md", site.folder, {**environment(site), "DATABASE_URL": url})


def environment(site: Site) -> dict[str, str]:
    """What a reader's shell has: the project's variables, Python, pgkeep and PostgreSQL's programs."""
    site.settings = {}
    programs = [Path(sys.executable).parent, binary().parent, bin_dir()]
    return {
        **site.environment(),
        "PATH": ":".join([*map(str, programs), os.environ["PATH"]]),
        "DB_ADMIN_URL": site.server.url(),
    }
