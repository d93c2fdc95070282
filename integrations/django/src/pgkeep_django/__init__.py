"""Backups and proven restores of a Django application on PostgreSQL, by the program pgkeep.

The package is thin: everything that touches data is done by the binary `pgkeep`, which is told by settings named
`PGKEEP_*` and answers in JSON. What must happen inside Django happens here: requests are refused while the database is
being replaced (`middleware`), a backup is taken before `migrate` changes anything (`guard`), settings are checked
(`checks`), and fixtures made by `dumpdata` are read by Django's own loader (`fixture`).
"""

__version__ = "0.1.0"
