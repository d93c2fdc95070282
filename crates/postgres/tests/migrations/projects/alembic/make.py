"""Migrates a database by Alembic up to two heads, before the revision that merges them."""

import os
import sys

import alembic
from alembic import command
from alembic.config import Config

if sys.argv[1:] == ["version"]:
    print("Alembic", alembic.__version__)
    sys.exit()
sys.dont_write_bytecode = True
config = Config()
config.set_main_option("script_location", os.path.dirname(os.path.abspath(__file__)))
command.upgrade(config, "2b3c4d5e6f70")
command.upgrade(config, "3c4d5e6f7081")
