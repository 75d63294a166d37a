"""Fixtures: `backend` and `face` are parametrised, `database` is a fresh database of that backend with the tables."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from psycopg import sql

import dorm
from dorm.conf.databases import database_config
from dorm.conf.settings import settings
from dorm.db.backends.postgresql import backend as POSTGRESQL
from dorm.db.connection import close_all
from dorm.migrations.schema import create_tables
from tests.support.faces import Face
from tests.support.models import MODELS
from tests.support.servers import postgresql_url

# The same examples each time; DORM_TEST_RANDOM=1 looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True, database=None)
if not os.environ.get("DORM_TEST_RANDOM"):
    hypothesis.settings.load_profile("same")

_SQLITE_OPTIONS = {"synchronous": "OFF"}
"""Tests lose nothing when the machine loses power."""


def pytest_configure() -> None:
    """Let Ctrl-C interrupt, which a shell takes from what it starts in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Take what the collection of thousands of tests made out of the garbage collector's sight.

    Beside millions of objects that stay, it would look for garbage too rarely, and take seconds each time.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutine tests: in the face of their `face` fixture, else by asyncio.run."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in wanted}
    coroutine = pyfuncitem.obj(**arguments)
    face: Any = pyfuncitem.funcargs.get("face")
    if face is None:
        asyncio.run(coroutine)
    else:
        face.run(coroutine)
    return True


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Keep the level of the root logger: some web frameworks set it when an application is made."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Face:
    return Face(request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def postgresql_database() -> Iterator[str]:
    """URL of a database of this run's own."""
    server = postgresql_url()
    if server is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is neither running nor installed")
        pytest.skip("PostgreSQL is neither running nor installed")
    name = f"dorm_test_{os.getpid()}"
    config = database_config("default", {"URL": server})
    # What runs that were killed left behind goes first.
    POSTGRESQL.drop_stale_databases(config)
    POSTGRESQL.create_database(config, name)
    POSTGRESQL.mark_database(config, name)
    with psycopg.connect(server, autocommit=True) as connection:
        # As with SQLite: what these tests commit need not outlive the machine. Faults have servers of their own.
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))
    yield f"{server.rpartition('/')[0]}/{name}"
    POSTGRESQL.drop_database(config, name)


@pytest.fixture
def database_settings(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The DATABASES entry of an empty database."""
    if backend == "sqlite":
        return {"ENGINE": "sqlite", "NAME": str(tmp_path / "test.db"), "OPTIONS": _SQLITE_OPTIONS}
    url: str = request.getfixturevalue("postgresql_database")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return {"URL": url, "MIN_POOL_SIZE": 0}


@pytest.fixture
def empty_database(database_settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """dorm configured with alias ``default`` on a database without tables."""
    before = dict(settings._given)
    dorm.configure(DATABASES={"default": database_settings})
    yield database_settings
    if settings.CACHES:
        # Said aloud: the cache watches writes from the chain as long as there is one.
        dorm.configure(CACHES={})
    close_all()
    dorm.connections.reset()
    settings._given.clear()
    settings._given.update(before)


@pytest.fixture
def database(empty_database: dict[str, Any]) -> dict[str, Any]:
    """dorm configured with the tables of `tests.support.models`."""
    create_tables(MODELS)
    return empty_database
