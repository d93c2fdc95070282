"""Migrates a database as a Django project does: libraries' apps and own ones, one migration left to be run."""

import os
import sys
from urllib.parse import urlparse

import django
from django.conf import settings
from django.core.management import call_command

if sys.argv[1:] == ["version"]:
    print("Django", django.get_version())
    sys.exit()
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
url = urlparse(os.environ["DATABASE_URL"])
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": url.hostname,
            "PORT": url.port,
            "USER": url.username,
            "PASSWORD": url.password or "",
            "NAME": url.path.lstrip("/"),
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "shop", "accounts.apps.AccountsConfig"],
    USE_TZ=True,
)
django.setup()
call_command("migrate", verbosity=0)
call_command("migrate", "shop", "0001_squashed_0002_price", verbosity=0)
