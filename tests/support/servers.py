"""PostgreSQL for tests: the server named by DORM_TEST_POSTGRESQL, one that runs here, or a private one."""

from __future__ import annotations

import atexit
import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time
from functools import cache
from typing import Any

import psycopg

_LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"


@cache
def postgresql_url() -> str | None:
    """Return the URL of a server whose databases may be created and dropped; None when none can be had."""
    given = os.environ.get("DORM_TEST_POSTGRESQL")
    if given:
        return given
    if _answers(_LOCAL):
        return _LOCAL
    return _private()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def busy_sessions(url: str, seconds: float = 20.0) -> list[Any]:
    """Return what other sessions of the database are still busy with after *seconds*; [] as soon as they are not.

    A server process that works for a client which has left takes its time to notice.
    """
    end = time.monotonic() + seconds
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            busy = connection.execute(
                "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND state <> 'idle'"
            ).fetchall()
            if not busy or time.monotonic() > end:
                return busy
            time.sleep(0.02)


def _private() -> str | None:
    """Start a server of our own from installed binaries; it ends with this process."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    initdb = found[-1] if found else shutil.which("initdb")
    if initdb is None:
        return None
    folder = tempfile.mkdtemp(prefix="dorm-postgresql-")
    as_user: list[str] = []
    if os.geteuid() == 0:
        # The server refuses to run as root.
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = f"{folder}/data"
    subprocess.run([*as_user, initdb, "-D", data, "-U", "postgres", "-A", "trust"], check=True, capture_output=True)
    control = [*as_user, os.path.join(os.path.dirname(initdb), "pg_ctl"), "-D", data, "-w"]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run([*control, "-o", options, "-l", f"{folder}/log", "start"], check=True, capture_output=True)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(subprocess.run, [*control, "-m", "immediate", "stop"], capture_output=True)
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"
