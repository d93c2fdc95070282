"""The management commands, on a real project with the real program."""

from __future__ import annotations

import os
import signal
import subprocess

from site_of_test import PHRASE, Site, binary


def test_backups_are_made_listed_checked_restored_and_cleaned_up(site: Site) -> None:
    site.stocked()
    missing = site.manage("list_backups").succeeds()
    assert missing.out == "There is no such backup.\n"
    assert "pgkeep.W011" in site.manage("check", "--deploy", "--tag", "pgkeep").succeeds().err
    made = site.manage("backup_database", "-m", "first", "--tag", "a", "--tag", "b", "--pin", "--jobs", "1").succeeds()
    assert f"of {site.database}:" in made.out
    quiet = site.manage("backup_database", "--json", "--database", "default").succeeds().json()
    assert quiet["app"] == "shop"
    listed = site.manage("list_backups", "--tag", "a").succeeds().out
    assert "first" in listed and "a, b, pinned" in listed and "stored" in listed
    told = site.manage("list_backups", "--json").succeeds().json()
    assert [backup["description"] for backup in told] == ["first", ""]

    checked = site.manage("validate_backup", "--read-data").succeeds()
    assert f"{quiet['id'][:8]}" in checked.out and "every byte right" in checked.out
    drilled = site.manage("validate_backup", quiet["id"], "--drill", "--json").succeeds().json()
    assert drilled["ok"] and len(drilled["drills"]) == 1
    assert site.manage("check", "--deploy", "--tag", "pgkeep").succeeds().err == ""

    planned = site.manage("restore_database", "--dry-run", "--json").succeeds().json()
    assert planned["overwrites"] and planned["database"]["target"] == {"mode": "replace", "name": site.database}
    side = f"{site.database}_side"
    site.manage("restore_database", "--into", side, "--table", "public.shop_product").succeeds()
    assert site.ask("SELECT count(*) FROM shop_product", side) == [(2,)]
    taken = site.manage("restore_database", "--into", side, "--dry-run").fails(8)
    assert "Refused" in taken.out

    site.ask("DELETE FROM shop_note")
    site.manage("restore_database", "--confirm", PHRASE.upper()).fails(8)
    assert site.ask("SELECT count(*) FROM shop_note") == [(0,)]
    site.manage("restore_database", quiet["id"][:8], "--confirm", PHRASE).succeeds()
    assert site.ask("SELECT text FROM shop_note") == [("sold\nout",)]
    undone = site.manage("pgkeep", "undo", "--confirm", PHRASE).succeeds()
    assert site.database in undone.out
    assert site.ask("SELECT count(*) FROM shop_note") == [(0,)]

    for _ in range(2):
        site.manage("backup_database").succeeds()
    nothing = site.manage("cleanup_backups").fails(2)
    assert "no rule" in nothing.err
    dry = (
        site.manage("cleanup_backups", "--keep-last", "1", "--protect-newest", "1", "--dry-run", "--json")
        .succeeds()
        .json()
    )
    removed = len(dry["plan"]["remove"])
    assert removed > 0, dry
    assert len(site.backups()) == len(dry["plan"]["keep"]) + removed
    done = site.manage("cleanup_backups", "--keep-last", "1", "--protect-newest", "1", "--prune").succeeds()
    assert f"{removed} backups removed" in done.out
    assert "first" in [backup["description"] for backup in site.backups()], "it is pinned"


def test_errors_end_with_the_codes_of_pgkeep(site: Site) -> None:
    unknown = site.manage("list_backups").fails(6)
    assert "CommandError" in unknown.err and "Hint: " in unknown.err
    site.manage("pgkeep", "init").succeeds()
    assert "CommandError" in site.manage("restore_database", "12345678", "--into", "x").fails(3).err
    assert site.manage("pgkeep", "show", "12345678").fails(3).err.startswith("error: ")
    absent = site.manage("backup_database", PGKEEP_BINARY="/nowhere/pgkeep").fails(2)
    assert "set PGKEEP_BINARY" in absent.err
    printed = site.manage("pgkeep", "--print-config").succeeds().out
    assert '[app."shop"]' in printed and "env:PGKEEP_DJANGO_DATABASE_DEFAULT" in printed


def test_a_project_may_bring_its_own_configuration_file(site: Site) -> None:
    site.manage("pgkeep", "init").succeeds()
    toml = site.folder / "pgkeep.toml"
    definition = site.manage("pgkeep", "--print-config").succeeds().out
    toml.write_text(definition.replace("databases =", "jobs = 1\ndatabases ="))
    site.manage("migrate", PGKEEP_GUARD_MIGRATE=False).succeeds()
    site.manage("backup_database", PGKEEP_CONFIG=str(toml)).succeeds()
    assert [backup["app"] for backup in site.backups()] == ["shop"]
    assert f"--config {toml}" in site.calls()


def test_policies_of_a_server_are_managed_and_run(site: Site) -> None:
    site.stocked()
    toml = site.folder / "server.toml"
    definition = site.manage("pgkeep", "--print-config").succeeds().out
    repository = site.settings["PGKEEP_REPOSITORY"]
    toml.write_text(
        f'[defaults]\nrepository = "main"\n{definition}\n[repository.main]\naddress = "{repository}"\n'
        '[server]\nlisten = "127.0.0.1:0"\n'
    )
    environment = site.environment()
    variables = _variables(site)
    with subprocess.Popen(
        [str(binary()), "serve", "--config", str(toml)],
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=site.folder,
    ) as serve:
        try:
            assert serve.stdout is not None
            said = []
            for line in serve.stdout:
                said.append(line)
                if "listens on" in line:
                    break
            else:
                raise AssertionError("".join(said))
            _policies(site)
            _from_elsewhere(site, said[-1].split()[-1])
        finally:
            os.kill(serve.pid, signal.SIGTERM)
            serve.communicate(timeout=300)
    # Made without the server, so that its list does not know it.
    site.manage("backup_database").succeeds()
    synced = site.manage("sync_backups", PGKEEP_CONFIG=str(toml)).succeeds()
    assert "main        3" in synced.out


def _policies(site: Site) -> None:
    assert "There is no policy yet" in site.manage("manage_backup_configs").succeeds().out
    made = site.manage("manage_backup_configs", "create", "nightly", "--daily", "--at", "02:00", "--keep-days", "30")
    assert "daily at 02:00" in made.succeeds().out
    assert "03:30" in site.manage("manage_backup_configs", "edit", "nightly", "--at", "03:30").succeeds().out
    assert "03:30" in site.manage("manage_backup_configs", "next", "nightly", "--count", "1").succeeds().out
    assert site.manage("manage_backup_configs", "show", "nightly", "--json").succeeds().json()["name"] == "nightly"
    assert "off" in site.manage("manage_backup_configs", "disable", "nightly").succeeds().out
    ran = site.manage("trigger_backup", "nightly").succeeds()
    assert "succeeded" in ran.out
    assert len(site.backups()) == 1
    cleaned = site.manage("cleanup_backups", "--policy", "nightly", "--dry-run").succeeds()
    assert "0 backups would be removed, 1 stay" in cleaned.out
    assert "removed" in site.manage("manage_backup_configs", "delete", "nightly").succeeds().out
    assert site.manage("manage_backup_configs", "show").fails(2)
    site.manage("trigger_backup", "nightly").fails(3)


def _from_elsewhere(site: Site, url: str) -> None:
    """The same commands, done by the server: nothing of the repository is known here."""
    password, token = site.folder / "password", site.folder / "token"
    password.write_text("correct horse battery staple")
    site.manage(
        "pgkeep", "user", "create", "deployer", "--role", "operator", "--password-file", str(password)
    ).succeeds()
    made = site.manage("pgkeep", "token", "create", "django", "--owner", "deployer", "--role", "operator", "--json")
    token.write_text(made.succeeds().json()["token"])
    there = {"PGKEEP_SERVER": url, "PGKEEP_TOKEN_FILE": str(token), "PGKEEP_REPOSITORY": None, "PGKEEP_ADMIN_URL": None}
    report = site.manage("backup_database", "-m", "from elsewhere", **there).succeeds()
    assert f"of {site.database}:" in report.out
    assert "from elsewhere" in site.manage("list_backups", **there).succeeds().out
    assert "stored whole" in site.manage("validate_backup", **there).succeeds().out
    assert site.manage("restore_database", "--dry-run", **there).fails(6)


def _variables(site: Site) -> dict[str, str]:
    """What the definition names, for a server that Django does not start."""
    script = (
        "import json; from pgkeep_django import conf, definition; "
        "print(json.dumps(dict(definition.define(conf.config()).variables)))"
    )
    shown: dict[str, str] = site.manage("shell", "-v", "0", "-c", script).succeeds().json()
    return shown
