"""An alarm when the planner changes its mind about a known query.

A plan is read without running the query, reduced to its structure (node types, joins, indexes, keys, conditions with
``?`` for constants) and compared with a baseline. Other parameters, more rows and new statistics are no drift as long
as the strategy stays; a dropped index is. Very small tables flip to sequential scans and parallel plans depend on load:
record baselines on data of production's size.

Baselines live in the process (`record_baseline`, `compare`) and in a file that goes into version control
(`record_to_file`, `check_file`; ``dorm plans`` on the command line).
"""

from __future__ import annotations

import difflib
import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeAlias

from dorm.contrib.jsonfile import read_object, write_object
from dorm.db.connection import Database, connections
from dorm.db.forks import in_child
from dorm.db.lexer import lexemes
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.plans import without_partitions
from dorm.db.probe import probe
from dorm.db.raw import statement_of
from dorm.db.statement import Statement, Template
from dorm.db.template import UNPARSABLE, first_word, templates

_log = logging.getLogger("dorm.contrib.plan_drift")

Params: TypeAlias = "Sequence[Any] | Mapping[str, Any] | None"

TIMEOUT_MS: Final = 5000
FILE_VERSION: Final = 1
_VERBS = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE")


@dataclass(frozen=True, slots=True)
class CompareResult:
    """A baseline beside the plan of now.

    Attributes:
        baseline, current: canonical texts, one node a line. drifted: they differ.
        note: what else changed: another statement than was recorded, another major version of the server.
    """

    tag: str
    baseline: str
    current: str
    drifted: bool
    note: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A recorded plan."""

    plan: str
    template: str
    vendor: str
    server: str = ""
    recorded_at: str = ""
    fold_partitions: bool = False


_baselines: dict[str, Baseline] = {}
_lock = threading.Lock()


def _forked(module: Any) -> None:
    module._lock = threading.Lock()


in_child(sys.modules[__name__], _forked)


# -- operations --------------------------------------------------------------------------------------------------


@operation
def _captured(sql: str, params: Any, using: str, fold_partitions: bool) -> Operation[Baseline]:
    """Read the plan of *sql* and return it as a baseline."""
    database: Database = connections[using]
    template = _checked(sql, database.vendor)
    meant = statement_of(database, sql, params or None)
    asked = Template(database.dialect.plan_sql(meant.sql, structured=True), prepare=False, natural=True)
    statement = Statement(asked, meant.params, internal=True)
    table = yield from probe(database, statement, TIMEOUT_MS)
    tree = database.dialect.plan_tree(table.rows)
    plan = (without_partitions(tree) if fold_partitions else tree).text()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Baseline(plan, template, database.vendor, (yield from _server(database)), now, fold_partitions)


@operation
def _server(database: Database) -> Operation[str]:
    sql = database.dialect.server_version_sql()
    if not sql:
        return ""
    table = yield from probe(database, Statement(Template(sql, prepare=False), (), internal=True), TIMEOUT_MS)
    return str(table.rows[0][0]).partition(".")[0]


def _checked(sql: str, vendor: str) -> str:
    """Return the template of the one statement that *sql* must be; raise ValueError for anything else."""
    if not isinstance(sql, str) or not sql.strip():
        raise ValueError("sql is empty: give the text of one statement")
    found = templates(sql, vendor)
    if len(found) != 1 or found[0].startswith(UNPARSABLE):
        raise ValueError(f"plans are compared of one statement that can be read, not of {len(found)}: {found[:2]}")
    if first_word(found[0]) not in _VERBS:
        raise ValueError(f"sql begins with {first_word(found[0])!r}: give {', '.join(_VERBS)}, without EXPLAIN")
    words = [each.text.upper() for each in lexemes(sql, vendor) if each.kind == "word"]
    if words[:1] == ["WITH"] and {"INSERT", "UPDATE", "DELETE", "MERGE"} & set(words):
        raise ValueError("sql is a WITH that writes: give the statement that reads, or the write alone")
    return found[0]


@operation
def _record(tag: str, sql: str, params: Any, using: str, fold_partitions: bool) -> Operation[str]:
    if not isinstance(tag, str) or not tag:
        raise ValueError("tag is empty: give the query a name")
    found = yield from _captured(sql, params, using, fold_partitions)
    with _lock:
        _baselines[tag] = found
    return found.plan


@operation
def _compare(tag: str, sql: str, params: Any, using: str) -> Operation[CompareResult]:
    with _lock:
        baseline = _baselines.get(tag)
    if baseline is None:
        raise KeyError(f"no baseline {tag!r} was recorded")
    current = yield from _captured(sql, params, using, baseline.fold_partitions)
    return _result(tag, baseline, current)


def _result(tag: str, baseline: Baseline, current: Baseline) -> CompareResult:
    notes = []
    if baseline.template != current.template:
        _log.warning("baseline %r was recorded for another statement than it is compared with", tag)
        notes.append("another statement")
    if baseline.server and current.server and baseline.server != current.server:
        notes.append(f"recorded on server {baseline.server}, now {current.server}")
    return CompareResult(tag, baseline.plan, current.plan, baseline.plan != current.plan, "; ".join(notes))


# -- both faces --------------------------------------------------------------------------------------------------


def record_baseline(
    tag: str, sql: str, *, params: Params = None, using: str = "default", fold_partitions: bool = False
) -> str:
    """Read the plan of *sql* without running it and keep it as *tag*; return its canonical text.

    Args:
        sql: one SELECT, WITH that reads, INSERT, UPDATE, DELETE or MERGE, with ``%s`` or ``%(name)s`` placeholders.
        params: their values; another call with other values compares as the same query.
        fold_partitions: names of partitions count without their numbers, so that ``orders_2026_02`` may follow
            ``orders_2026_01``; comparisons with this baseline do the same. How many there are still counts.
    In an open block of *using* it runs in a savepoint, else in a read-only transaction of its own.
    Raises: ValueError: something else than one such statement; NotSupportedError: a backend that shows no plans.
    """
    return run(_record(tag, sql, params, using, fold_partitions))


async def arecord_baseline(
    tag: str, sql: str, *, params: Params = None, using: str = "default", fold_partitions: bool = False
) -> str:
    """Async twin of `record_baseline`; baselines are shared."""
    return await arun(_record(tag, sql, params, using, fold_partitions))


def compare(tag: str, sql: str, *, params: Params = None, using: str = "default") -> CompareResult:
    """Compare the plan of *sql* now with the baseline *tag*.

    Raises: KeyError: no such baseline, before anything is sent; else as `record_baseline`.
    """
    return run(_compare(tag, sql, params, using))


async def acompare(tag: str, sql: str, *, params: Params = None, using: str = "default") -> CompareResult:
    """Async twin of `compare`."""
    return await arun(_compare(tag, sql, params, using))


def diff_text(result: CompareResult) -> str:
    """Return the difference as a unified diff of trees; empty when there is none."""
    lines = difflib.unified_diff(
        result.baseline.splitlines(),
        result.current.splitlines(),
        f"baseline:{result.tag}",
        f"current:{result.tag}",
        lineterm="",
        n=50,
    )
    return "\n".join(lines)


def baselines() -> dict[str, str]:
    """Return the recorded plans by tag."""
    with _lock:
        return {tag: baseline.plan for tag, baseline in _baselines.items()}


def reset() -> None:
    """Forget every baseline."""
    with _lock:
        _baselines.clear()


# -- files -------------------------------------------------------------------------------------------------------


def save(path: str | PathLike[str]) -> str:
    """Write the baselines as JSON; return the path."""
    with _lock:
        found = {tag: asdict(baseline) for tag, baseline in _baselines.items()}
    _write(Path(path), found)
    return str(path)


def load(path: str | PathLike[str]) -> int:
    """Read baselines that `save` or `record_to_file` wrote, beside those there are; return how many.

    Raises: FileNotFoundError; ValueError: no such file of this version. Nothing is changed then.
    """
    found = {tag: _baseline(entry) for tag, entry in read_file(path).items()}
    with _lock:
        _baselines.update(found)
    return len(found)


def _baseline(entry: Mapping[str, Any]) -> Baseline:
    texts = {name: str(entry.get(name, "")) for name in ("template", "vendor", "server", "recorded_at")}
    plan = entry["plan"]
    plan = plan if isinstance(plan, str) else "\n".join(plan)
    return Baseline(plan, **texts, fold_partitions=entry.get("fold_partitions") is True)


def read_file(path: str | PathLike[str]) -> dict[str, dict[str, Any]]:
    """Return the entries of a file of plans by tag."""
    found = read_object(Path(path))
    if not isinstance(found.get("plans"), dict):
        raise ValueError(f"{path} is no file of plans: it has no object 'plans'")
    if found.get("version") != FILE_VERSION:
        raise ValueError(
            f"{path} has version {found.get('version')!r}; this dorm reads {FILE_VERSION}: record it again"
        )
    plans: dict[str, dict[str, Any]] = found["plans"]
    for tag, entry in plans.items():
        plan = entry.get("plan") if isinstance(entry, dict) else None
        if not (isinstance(plan, str) or (isinstance(plan, list) and all(isinstance(line, str) for line in plan))):
            raise ValueError(f"{path}: the entry {tag!r} has no 'plan' of text or lines: record it again")
    return plans


def _write(path: Path, plans: Mapping[str, Any]) -> None:
    write_object(path, {"version": FILE_VERSION, "plans": plans}, mode=0o644)


@operation
def _record_to_file(
    path: str | PathLike[str], tag: str, sql: str, params: Any, using: str, fold_partitions: bool
) -> Operation[str]:
    if not isinstance(tag, str) or not tag:
        raise ValueError("tag is empty: give the query a name")
    kept = dict(params) if isinstance(params, Mapping) else list(params or ())
    for place, value in kept.items() if isinstance(kept, dict) else enumerate(kept):
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise TypeError(f"params[{place!r}] is a {type(value).__name__}, which no JSON file holds: give it as text")
    entries = read_file(path) if Path(path).exists() else {}
    found = yield from _captured(sql, params, using, fold_partitions)
    # A list of lines reads well in a review's diff.
    entry = {**asdict(found), "plan": found.plan.splitlines(), "sql": sql, "params": kept, "using": using}
    _write(Path(path), {**entries, tag: entry})
    return found.plan


def record_to_file(
    path: str | PathLike[str],
    tag: str,
    sql: str,
    *,
    params: Params = None,
    using: str = "default",
    fold_partitions: bool = False,
) -> str:
    """Record a plan into a file for version control, beside statement and parameters; return its canonical text.

    Parameters must be such as JSON has; they stand in the file, so give examples, not people's data.
    """
    return run(_record_to_file(path, tag, sql, params, using, fold_partitions))


async def arecord_to_file(
    path: str | PathLike[str],
    tag: str,
    sql: str,
    *,
    params: Params = None,
    using: str = "default",
    fold_partitions: bool = False,
) -> str:
    """Async twin of `record_to_file`."""
    return await arun(_record_to_file(path, tag, sql, params, using, fold_partitions))


@operation
def _check_file(path: str | PathLike[str], tags: Sequence[str] | None) -> Operation[list[CompareResult]]:
    entries = read_file(path)
    unknown = [tag for tag in tags or () if tag not in entries]
    if unknown:
        raise KeyError(f"{path} has no plan {unknown[0]!r}; it has {', '.join(sorted(entries)) or 'none'}")
    results = []
    for tag in tags or sorted(entries):
        entry = entries[tag]
        if not isinstance(entry.get("sql"), str):
            raise ValueError(f"{path}: the entry {tag!r} has no statement 'sql': record it with record_to_file()")
        baseline = _baseline(entry)
        current = yield from _captured(
            entry["sql"], entry.get("params"), entry.get("using", "default"), baseline.fold_partitions
        )
        results.append(_result(tag, baseline, current))
    return results


def check_file(path: str | PathLike[str], tags: Sequence[str] | None = None) -> list[CompareResult]:
    """Compare the plans of a file (or only *tags*) with those of now."""
    return run(_check_file(path, tags))


async def acheck_file(path: str | PathLike[str], tags: Sequence[str] | None = None) -> list[CompareResult]:
    """Async twin of `check_file`."""
    return await arun(_check_file(path, tags))
