"""One database with the schema for all workers of a run, which each of them clones (PostgreSQL)."""

from __future__ import annotations

import os
from typing import Any

from dorm.conf.databases import database_config
from dorm.conf.settings import settings
from dorm.db.connection import close_all, connections
from dorm.test.databases import make_schema, worker


class Template:
    """Makes the template of each alias, by the first worker that needs it; outside xdist there is none.

    Workers of a run share ``PYTEST_XDIST_TESTRUNUID``; a lock file in the run's temporary folder lets one be first.
    """

    def __init__(self, request: Any) -> None:
        self.run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
        self.folder = request.getfixturevalue("tmp_path_factory").getbasetemp().parent
        self._cloned: set[str] = set()

    def name(self, alias: str, config: Any) -> str | None:
        """Return the name of the template of *alias*, made if it is not there; None where nothing is cloned."""
        if not worker() or not _is_cloned(alias):
            return None
        import fcntl

        name = template_name(config)
        done = self.folder / f"dorm-{self.run}-{alias}.done"
        with open(self.folder / f"dorm-{self.run}-{alias}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                self._make(alias, config, name)
                done.touch()
            # CREATE DATABASE refuses a template that somebody is connected to, also another clone: one at a time.
            self._cloned.add(alias)
        return name

    def _make(self, alias: str, config: Any, name: str) -> None:
        backend: Any = connections[alias].backend
        backend.create_database(config, name)
        # The process that started the workers: this one may end before the others have cloned it.
        backend.mark_database(config, name, os.getppid())
        before = settings.snapshot()
        entry = settings.DATABASES[alias]
        given = {"URL": entry} if isinstance(entry, str) else dict(entry)
        settings.configure(DATABASES={**settings.DATABASES, alias: {**given, "NAME": name}})
        assert database_config(alias, settings.DATABASES[alias]).name == name
        make_schema(alias)
        close_all()
        settings.restore(before)

    def populate(self, alias: str) -> None:
        """Make the schema of a database that is no clone."""
        if alias not in self._cloned:
            make_schema(alias)


def template_name(config: Any) -> str:
    """Return the name of the database that the workers clone."""
    return f"test_{config.name}_template"


def drop_templates() -> None:
    """Drop the template of each alias, where there is one."""
    for alias, entry in settings.DATABASES.items():
        config = database_config(alias, entry)
        if _is_cloned(alias):
            backend: Any = connections[alias].backend
            backend.drop_database(config, template_name(config))


def _is_cloned(alias: str) -> bool:
    """True when the backend copies a database with what is in it faster than a schema is made."""
    return bool(getattr(connections[alias].backend, "clones_databases", False))
