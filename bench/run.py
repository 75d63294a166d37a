"""Runs the contestants against each other: one process each, turn by turn in changing order, answers compared."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import cores, tables
from bench.scenarios import Scenario

ROOT = Path(__file__).parent.parent
SECONDS_A_TURN = 0.04
"""What the reference is given to do in one turn of the clock."""


@dataclass(frozen=True)
class Contestant:
    """Somebody who takes part.

    Args:
        name: what the table calls it.
        module: what `bench.worker` imports.
        python: interpreter of its environment.
        path: PYTHONPATH, for another checkout of dorm.
    """

    name: str
    module: str
    python: str = sys.executable
    path: str = f"{ROOT}:{ROOT / 'src'}"


@dataclass
class Result:
    """Times of one contestant in one scenario, one entry a round."""

    scenario: str
    contestant: str
    n: int
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    cpu_ratios: list[float] = field(default_factory=list)
    error: str = ""

    def quartiles(self, cpu: bool = False) -> tuple[float, float, float]:
        """Return the quartiles of the ratios to the reference, of wall or of client CPU time."""
        ratios = self.cpu_ratios if cpu else self.ratios
        if len(ratios) < 2:
            return (ratios[0] if ratios else float("nan"),) * 3
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return low, middle, high

    def per_call(self) -> float:
        """Return the median of the time of one call in seconds."""
        return statistics.median(self.seconds) / self.n


class Worker:
    """A contestant's process and its database."""

    def __init__(self, contestant: Contestant, url: str) -> None:
        self.contestant = contestant
        self.url = url
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # it lives as long as the process
        environment = {**os.environ, "PYTHONPATH": contestant.path, "PYTHONHASHSEED": "0"}
        environment.pop("DORM_CHECK_OPERATIONS", None)
        self._process = subprocess.Popen(
            [contestant.python, "-m", "bench.worker", contestant.module, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            text=True,
            cwd=ROOT,
        )
        self.offered: list[str] = self._answer()["ready"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None, "a worker speaks on a pipe"
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"{self.contestant.name} ended:\n{self._log.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def turn(self, scenario: str, n: int) -> dict[str, Any]:
        """Have it do *scenario* n times."""
        assert self._process.stdin is not None, "a worker listens on a pipe"
        self._process.stdin.write(json.dumps({"scenario": scenario, "n": n}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin is not None, "a worker listens on a pipe"
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


# -- databases ---------------------------------------------------------------------------------------------------


@contextmanager
def sqlite_copies() -> Iterator[Callable[[int], str]]:
    """Give what makes the path of a fresh copy of the tables."""
    folder = Path(tempfile.mkdtemp(prefix="dorm-bench-"))
    try:
        master = folder / "master.db"
        tables.make_sqlite(master)

        def copy(number: int) -> str:
            return str(shutil.copy(master, folder / f"{number}.db"))

        yield copy
    finally:
        shutil.rmtree(folder)


@contextmanager
def postgresql_copies(server: str) -> Iterator[Callable[[int], str]]:
    """Give what makes the URL of a fresh copy of the tables on *server*."""
    import psycopg

    prefix = f"dorm_bench_{os.getpid()}"
    base = server.rpartition("/")[0]
    made = [f"{prefix}_master"]
    with psycopg.connect(server, autocommit=True) as db:
        try:
            db.execute(f"CREATE DATABASE {made[0]}".encode())
            tables.make_postgresql(f"{base}/{made[0]}")

            def copy(number: int) -> str:
                made.append(f"{prefix}_{number}")
                db.execute(f"CREATE DATABASE {made[-1]} TEMPLATE {made[0]}".encode())
                return f"{base}/{made[-1]}"

            yield copy
        finally:
            for name in made:
                db.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


class Auditor:
    """Looks into a contestant's database by the bare driver, and puts it back in order."""

    def __init__(self, url: str) -> None:
        self._is_sqlite = not url.startswith("postgresql:")
        if not self._is_sqlite:
            import psycopg

            self._db: Any = psycopg.connect(url, autocommit=True)
        else:
            self._db = sqlite3.connect(url, isolation_level=None, timeout=30)
            self._db.execute("PRAGMA synchronous = OFF")

    def look(self, scenario: Scenario) -> str:
        """Return what the turn left behind."""
        return repr(self._db.execute(scenario.checked).fetchall()) if scenario.checked else ""

    def sessions(self) -> list[int]:
        """Return the server's processes that serve the contestant; none where it has no server."""
        if self._is_sqlite:
            return []
        listed = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return [pid for (pid,) in self._db.execute(listed)]

    def clean(self, scenario: Scenario) -> None:
        """Undo a turn."""
        for text in scenario.cleans:
            self._db.execute(text)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


# -- the contest -------------------------------------------------------------------------------------------------


def contest(
    copies: Callable[[int], str],
    contestants: list[Contestant],
    scenarios: list[Scenario],
    rounds: int,
    tell: Callable[[str], None],
) -> list[Result]:
    """Measure *contestants* (the first is the reference) in every scenario they offer."""
    results: list[Result] = []
    with ExitStack() as stack:
        workers: list[tuple[Worker, Auditor]] = []
        for number, contestant in enumerate(contestants):
            url = copies(number)
            try:
                worker = Worker(contestant, url)
            except RuntimeError as exc:
                tell(str(exc))
                continue
            auditor = Auditor(url)
            stack.callback(worker.end)
            stack.callback(auditor.close)
            workers.append((worker, auditor))
        for scenario in scenarios:
            taking = [pair for pair in workers if scenario.name in pair[0].offered]
            if len(taking) > 1 and taking[0][0].contestant is contestants[0]:
                tell(scenario.title)
                results += _measured(scenario, taking, rounds)
    return results


def _measured(scenario: Scenario, workers: list[tuple[Worker, Auditor]], rounds: int) -> list[Result]:
    n, wanted = _calibrated(scenario, *workers[0])
    results = {id(worker): Result(scenario.name, worker.contestant.name, n) for worker, _ in workers}
    reference = id(workers[0][0])
    random.seed(scenario.name)
    for number in range(rounds + 1):
        seconds: dict[int, float] = {}
        for worker, auditor in random.sample(workers, len(workers)):
            result = results[id(worker)]
            if result.error:
                continue
            answer = _turn(scenario, worker, auditor, n)
            if "error" in answer:
                result.error = answer["error"]
            elif answer["digest"] != wanted:
                result.error = "another answer than the driver's"
            elif number:
                # The first round warms caches up and is not counted.
                seconds[id(worker)] = answer["seconds"]
                result.seconds.append(answer["seconds"])
                result.cpu.append(answer["cpu"])
        for key, spent in seconds.items():
            results[key].ratios.append(spent / seconds[reference])
            results[key].cpu_ratios.append(results[key].cpu[-1] / max(results[reference].cpu[-1], 1e-9))
    return list(results.values())


def _turn(scenario: Scenario, worker: Worker, auditor: Auditor, n: int) -> dict[str, Any]:
    auditor.clean(scenario)
    _place(worker, auditor)
    answer = worker.turn(scenario.name, n)
    if "digest" in answer:
        answer["digest"] += auditor.look(scenario)
    auditor.clean(scenario)
    return answer


def _place(worker: Worker, auditor: Auditor) -> None:
    sessions = auditor.sessions() if cores.may_be_placed() else []
    if sessions:
        # PermissionError: a server of another user. Its place is left to the kernel, for every contestant alike.
        with suppress(PermissionError):
            cores.place(worker.pid, sessions)


def _calibrated(scenario: Scenario, worker: Worker, auditor: Auditor) -> tuple[int, str]:
    """Return how often the scenario is done in a turn, and the right answer."""
    _turn(scenario, worker, auditor, 1)
    probe = min(scenario.most, 20)
    spent = _turn(scenario, worker, auditor, probe)
    if "error" in spent:
        raise RuntimeError(f"{worker.contestant.name} fails at {scenario.name}: {spent['error']}")
    n = max(1, min(scenario.most, int(SECONDS_A_TURN / spent["seconds"] * probe)))
    answer = _turn(scenario, worker, auditor, n)
    return n, answer["digest"]
