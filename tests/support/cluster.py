"""Servers that a test may stop, freeze and start again: a PostgreSQL cluster and a PgBouncer of its own."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import psycopg
import pytest


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def as_postgres() -> list[str]:
    """Return what goes before a command that refuses to run as root; it replaces itself by the command."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


class Cluster:
    """A PostgreSQL server in a temporary folder."""

    def __init__(self) -> None:
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        initdb = found[-1] if found else shutil.which("initdb")
        if initdb is None:
            pytest.skip("no PostgreSQL binaries (initdb) are installed")
        self._bin = os.path.dirname(initdb)
        self._folder = tempfile.mkdtemp(prefix="dorm-cluster-")
        self._data = f"{self._folder}/data"
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        self.port = free_port()

    @property
    def url(self) -> str:
        """Address of its database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _run(self, *command: str) -> None:
        subprocess.run([*as_postgres(), *command], check=True, capture_output=True, cwd=self._folder, timeout=60)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = f"{self._folder}/log"
        self._run(f"{self._bin}/pg_ctl", "-D", self._data, "-w", "-o", options, "-l", log, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server."""
        self._run(f"{self._bin}/pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def _processes(self) -> list[int]:
        postmaster = int(Path(f"{self._data}/postmaster.pid").read_text().split()[0])
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(postmaster)], capture_output=True, text=True
        ).stdout.split()
        return [postmaster, *map(int, children)]

    def freeze(self) -> None:
        """Stop all processes of the server where they are (SIGSTOP)."""
        for pid in self._processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for pid in self._processes():
            with suppress(ProcessLookupError):  # it may have ended since it was listed
                os.kill(pid, signal.SIGCONT)

    def __enter__(self) -> Cluster:
        self._run(f"{self._bin}/initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-N")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if Path(f"{self._data}/postmaster.pid").exists():
            self.thaw()
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class Bouncer:
    """A PgBouncer before the server of *url*, with few connections to it."""

    def __init__(self, url: str, mode: str, size: int = 2) -> None:
        program = shutil.which("pgbouncer") or (
            "/usr/sbin/pgbouncer" if os.access("/usr/sbin/pgbouncer", os.X_OK) else None
        )
        if program is None:
            pytest.skip("PgBouncer is not installed (scripts/servers installs it on Debian)")
        self._program = program
        self._parts = urlsplit(url)
        self._mode = mode
        self._size = size
        self.port = free_port()
        self._folder = tempfile.mkdtemp(prefix="dorm-pgbouncer-")

    @property
    def url(self) -> str:
        """Address of the database through it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}{self._parts.path}"

    def __enter__(self) -> Bouncer:
        ini = f"""
[databases]
* = host={self._parts.hostname} port={self._parts.port or 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = any
pool_mode = {self._mode}
default_pool_size = {self._size}
max_client_conn = 200
logfile = {self._folder}/log
"""
        path = Path(self._folder) / "pgbouncer.ini"
        # auth_type "any" needs a user to log in as.
        path.write_text(ini.replace("port=", "user=postgres port=", 1))
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
            shutil.chown(path, "postgres", "postgres")
        self._process = subprocess.Popen(
            [*as_postgres(), self._program, "-q", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )
        for _ in range(100):
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (Path(self._folder) / "log").read_text()
                time.sleep(0.05)
            else:
                return self
        raise AssertionError("PgBouncer did not start")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)
