"""A small shop. What differs between tests comes from variables named `SHOP_*`, settings from `SHOP_SETTINGS`."""

import json
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "only for tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "pgkeep_django", "shop"]
MIDDLEWARE = [
    "pgkeep_django.middleware.ReadOnlyModeMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "website.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("SHOP_HOST", "127.0.0.1"),
        "PORT": os.environ.get("SHOP_PORT", "1"),
        "NAME": os.environ.get("SHOP_DATABASE", "shop"),
        "USER": os.environ.get("SHOP_USER", "shop"),
        "PASSWORD": os.environ.get("SHOP_PASSWORD", ""),
        "OPTIONS": {"connect_timeout": 20},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick, for tests
MEDIA_ROOT = BASE_DIR / "media"
PGKEEP_LOCK_DIR = BASE_DIR / "run"

globals().update(json.loads(os.environ.get("SHOP_SETTINGS", "{}")))
