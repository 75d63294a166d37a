"""Databases for tests: one a worker, and a transaction around each test that both faces share."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dorm.conf.databases import database_config
from dorm.conf.settings import settings
from dorm.db.backends.engines import engine_of
from dorm.db.connection import close_all, connections
from dorm.db.operation import run
from dorm.exceptions import NotSupportedError
from dorm.test.folders import Folder, drop_stale_folders
from dorm.transaction import Handle, Options, enter, leave


@contextmanager
def rolled_back(aliases: Sequence[str] = ("default",)) -> Generator[None]:
    """Run a block in a transaction of each alias that is rolled back at the end.

    Blocking and asyncio code, in any event loop and thread, see the same transaction: the test, and what it tests.
    ``atomic`` inside is a savepoint, also a durable one; ``on_commit`` callbacks are kept (see
    `captureOnCommitCallbacks`). The tasks of a loop take turns with their blocks, since those of one connection nest.
    """
    handles: list[Handle] = []
    try:
        for alias in aliases:
            handle = run(enter(Options(alias, of_test=True)))
            handles.append(handle)
            connections[alias].pin(handle.block)
        yield
    finally:
        for handle in reversed(handles):
            handle.database.pin(None)
            handle.set_rollback()
            run(leave(handle, None))


def worker() -> str:
    """Return the name of this worker of pytest-xdist; empty where there is none."""
    return os.environ.get("PYTEST_XDIST_WORKER", "")


class TestDatabases:
    """Makes a database for tests beside each one that is configured, and drops it again.

    The name is that of ``TEST["NAME"]``, else ``test_`` and the name, with the worker's behind it. A new database
    gets its schema from the migrations, and from the models of apps that have none. What a killed run left on the
    server is dropped before.

    Args:
        keep: leave them there, and take those that are there: only what is new in the schema is made.
        populate: makes the schema of an alias; default: as said.
        template: gives the name of a database to clone for an alias (PostgreSQL), or None.
    """

    __test__ = False
    """For pytest: this is no test."""

    def __init__(
        self,
        keep: bool = False,
        populate: Callable[[str], None] | None = None,
        template: Callable[[str, Any], str | None] | None = None,
    ) -> None:
        self.keep = keep
        self.template = template
        self.populate = populate or make_schema
        self._before: Any = None
        self._made: list[Callable[[], None]] = []

    def create(self) -> None:
        """Make them, and let the settings name them."""
        configured = dict(settings.DATABASES)
        self._before = settings.snapshot()
        made: dict[str, Any] = {}
        for alias, entry in configured.items():
            config = database_config(alias, entry)
            mirror = config.test.get("MIRROR")
            if mirror:
                continue
            made[alias] = self._one(alias, entry, config)
        for alias, entry in configured.items():
            mirror = database_config(alias, entry).test.get("MIRROR")
            if mirror:
                made[alias] = made[mirror]
        close_all()
        settings.configure(DATABASES=made)
        for alias, entry in configured.items():
            if not database_config(alias, entry).test.get("MIRROR"):
                self.populate(alias)

    def _one(self, alias: str, entry: Any, config: Any) -> Any:
        given: dict[str, Any] = {"URL": entry} if isinstance(entry, str) else dict(entry)
        suffix = f"_{worker()}" if worker() else ""
        if engine_of(config).in_file:
            return {**given, "NAME": self._file(config, suffix)}
        name = f"{config.test.get('NAME') or f'test_{config.name}'}{suffix}"
        creator: Any = connections[alias].backend
        make = getattr(creator, "create_database", None)
        if make is None:
            raise NotSupportedError(f"databases for tests cannot be made on {config.engine}: create {name!r} by hand.")
        if hasattr(creator, "drop_stale_databases"):
            creator.drop_stale_databases(config)
        if self.keep and creator.has_database(config, name):
            return {**given, "NAME": name}
        make(config, name, None if self.template is None else self.template(alias, config))
        if not self.keep and hasattr(creator, "mark_database"):
            creator.mark_database(config, name)
        self._made.append(lambda: creator.drop_database(config, name))
        return {**given, "NAME": name}

    def _file(self, config: Any, suffix: str) -> str:
        """Return where the file of a database is to lie."""
        named = config.test.get("NAME")
        if named == ":memory:" or (config.name in ("", ":memory:") and not named):
            return ":memory:"
        if named:
            path = Path(f"{named}{suffix}")
            if not self.keep:
                _remove(path)
            self._made.append(lambda: _remove(path))
            return str(path)
        if self.keep:
            return str(Path(config.name).with_name(f"test_{Path(config.name).stem}{suffix}.db"))
        drop_stale_folders()
        folder = Folder()
        self._made.append(folder.remove)
        return str(folder.path / f"{Path(config.name).stem}{suffix}.db")

    def drop(self) -> None:
        """Drop them, and let the settings be as before."""
        close_all()
        if self._before is not None:
            settings.restore(self._before)
        if not self.keep:
            for drop in self._made:
                drop()
        self._made.clear()


def _remove(path: Path) -> None:
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        each.unlink(missing_ok=True)


def make_schema(alias: str) -> None:
    """Apply all migrations, and make the tables of apps that have none."""
    from dorm.migrations import api

    api.migrate(alias)
    api.create_unmigrated(alias)
