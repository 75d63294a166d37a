"""What ``dorm doctor`` looks at: small functions that give findings. Others register under ``dorm.checks``."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dorm.conf.plug_ins import plug_ins
from dorm.conf.settings import settings
from dorm.constraints import UniqueConstraint
from dorm.db.backends import engine_names
from dorm.db.backends.engines import Engine, engine_of
from dorm.exceptions import ImproperlyConfigured
from dorm.migrations.reset import hosts_of, is_local_host

PLUG_INS = "dorm.checks"
"""Entry-point group: each loads to a function that gives `Finding` objects, called with the settings."""


@dataclass(frozen=True)
class Finding:
    """One finding: a stable code, ``"warning"`` or ``"note"``, what is wrong, and how to mend it."""

    code: str
    severity: str
    message: str
    hint: str = ""


_ABSENT = object()
REFUSED: list[tuple[str, str]] = []
"""Settings that `configure` refused, with the reasons: ``dorm doctor`` loads them one by one to tell of all."""

_CODES = {"POOL_SATURATION_WARN": "D423", "DEBUG_NPLUSONE": "D427", "DEBUG_NPLUSONE_THRESHOLD": "D427"}

Check = Callable[[], Iterable[Finding]]
_CHECKS: dict[str, Check] = {}


def check(*found: str) -> Callable[[Check], Check]:
    """Decorator: a function is the check of these codes."""

    def register(fn: Check) -> Check:
        for code in found:
            _CHECKS[code] = fn
        return fn

    return register


def codes() -> list[str]:
    """Return the codes there are; other packages' checks have codes of their own."""
    return sorted([*_CHECKS, "D420"])


def has_plug_ins() -> bool:
    """True when another package brings checks."""
    return bool(plug_ins(PLUG_INS))


def run_checks(ignore: set[str] | frozenset[str] = frozenset(), connect: bool = False) -> list[Finding]:
    """Return what all checks find; one that crashes is a warning itself."""
    checks: list[tuple[str, Callable[[], Iterable[Finding]]]] = []
    for code, fn in _CHECKS.items():
        if fn not in [each for _, each in checks]:
            checks.append((code, fn))
    for each in plug_ins(PLUG_INS):
        checks.append((each.name, lambda each=each: each.load()(settings)))  # type: ignore[misc]  # bound by default
    if connect:
        checks.append(("D420", _reachable))
    found: list[Finding] = []
    for code, fn in checks:
        try:
            found.extend(fn())
        except Exception as exc:  # noqa: BLE001  # a check that crashes must be seen, and must not hide the others
            what = f"check {code} failed: {type(exc).__name__}: {exc}"
            found.append(Finding(code, "warning", what, f"Mend that, or leave it out: --ignore {code}."))
    left_out = {code.upper() for code in ignore}
    return [each for each in found if each.code.upper() not in left_out]


# -- settings ----------------------------------------------------------------------------------------------------


def _setting(name: str, default: Any = None) -> Any:
    return getattr(settings, name, default)


def _flag(name: str) -> bool:
    given = settings.given(name)
    if given is not None:
        return bool(given)
    return os.environ.get(f"DORM_{name}", "").lower() in ("1", "true", "yes", "on")


def _number(name: str, default: Any) -> Any:
    given = settings.given(name, _ABSENT)
    if given is not _ABSENT:
        return given
    text = os.environ.get(f"DORM_{name}")
    if text is None:
        return default
    if text.lower() in ("none", ""):
        return None
    try:
        return float(text)
    except ValueError:
        return default


def _configs() -> Iterator[Any]:
    databases = _setting("DATABASES", {})
    for alias in databases if isinstance(databases, Mapping) else ():
        yield settings.database(alias)


@check("D421", "D427")
def nplusone() -> Iterator[Finding]:
    """The N+1 detector outside DEBUG, and its values."""
    value = _setting("DEBUG_NPLUSONE", False)
    if value not in (False, True, "log", "raise", None):
        what = f"DEBUG_NPLUSONE takes False, True, 'log' or 'raise', not {value!r}."
        yield Finding("D427", "warning", what, "Set it to DEBUG.")
    threshold = _setting("DEBUG_NPLUSONE_THRESHOLD", 10)
    if isinstance(threshold, bool) or not isinstance(threshold, int) or threshold < 1:
        what = f"DEBUG_NPLUSONE_THRESHOLD takes a whole number from 1, not {threshold!r}."
        yield Finding("D427", "warning", what, "Leave it out: 10 is the default.")
    if value and not _setting("DEBUG", False):
        hint = "Set it to False, or to DEBUG."
        yield Finding("D421", "warning", "DEBUG_NPLUSONE is active outside DEBUG.", hint)


@check("D422")
def slow_explain() -> Iterator[Finding]:
    """EXPLAIN of statements that are not slow."""
    slow = _number("SLOW_QUERY_MS", 500.0)
    if _flag("SLOW_QUERY_EXPLAIN") and not _setting("DEBUG", False) and (slow is None or slow < 100):
        yield Finding(
            "D422",
            "warning",
            f"SLOW_QUERY_EXPLAIN=True with SLOW_QUERY_MS={slow} explains nearly every statement.",
            "Let SLOW_QUERY_MS be 100 or more.",
        )


@check("D423")
def saturation() -> Iterator[Finding]:
    """The share of a pool in use that is worth a warning."""
    value = _setting("POOL_SATURATION_WARN", 0.8)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or not 0 < value <= 1:
        yield Finding(
            "D423", "warning", f"POOL_SATURATION_WARN takes a number between 0 and 1, not {value!r}.", "Try 0.8."
        )
    elif value == 1:
        yield Finding("D423", "note", "POOL_SATURATION_WARN=1 warns only when a pool is full.", "Try 0.8.")


@check("D428")
def refused() -> Iterator[Finding]:
    """Settings that dorm refuses."""
    for name, reason in REFUSED:
        what = reason if name in reason else f"{name}: {reason}"
        yield Finding(_CODES.get(name, "D428"), "warning", what, "Nothing that uses these settings starts.")


@check("D424")
def routers() -> Iterator[Finding]:
    """Routers whose breaker never cools down; a setting of the wrong kind."""
    given = settings.given("DATABASE_ROUTERS", [])
    for entry in given:
        seen: set[int] = set()
        try:
            router = _loaded(entry)
        except _NOT_THERE as exc:
            what = f"DATABASE_ROUTERS names {entry!r}, which cannot be imported: {exc}."
            yield Finding("D424", "warning", what, "Write the dotted path of a class: 'package.module.Router'.")
            continue
        while router is not None and id(router) not in seen:
            seen.add(id(router))
            if getattr(router, "cooldown_seconds", None) == 0:
                name = type(router).__name__ if not isinstance(router, type) else router.__name__
                yield Finding(
                    "D424", "warning", f"{name} has cooldown_seconds=0: a dead replica is tried by every read.",
                    "Give it some seconds.",
                )  # fmt: skip
                break
            router = next(
                (getattr(router, n) for n in ("router", "inner", "wrapped", "_router") if hasattr(router, n)), None
            )


_NOT_THERE = (ImportError, AttributeError, ValueError)


def _loaded(entry: Any) -> Any:
    """Return what a setting names by its dotted path, or holds."""
    if not isinstance(entry, str):
        return entry
    module, _, name = entry.rpartition(".")
    return getattr(import_module(module), name)


@check("D425", "D426")
def allow_list() -> Iterator[Finding]:
    """The SQL allow-list of this process, or of the setting ``SQL_ALLOWLIST``."""
    if _setting("DEBUG", False):
        return
    declared = _setting("SQL_ALLOWLIST", None)
    active, ddl = _allow_list_state()
    if declared is None and not active:
        yield Finding(
            "D425",
            "note",
            "sql_allowlist is not active in this process (what a server's start-up code installs is not seen here).",
            "Declare SQL_ALLOWLIST in the settings to have it checked.",
        )
    if ddl or (isinstance(declared, Mapping) and declared.get("allow_ddl")):
        yield Finding("D426", "warning", "the SQL allow-list allows DDL outside DEBUG.", "Set allow_ddl=False.")


def _allow_list_state() -> tuple[bool, bool]:
    try:
        module: Any = import_module("dorm.contrib.sql_allowlist")
    except ImportError:
        return False, False
    return bool(module.is_installed()), bool(module.allows_ddl())


# -- databases ---------------------------------------------------------------------------------------------------


def _engine(config: Any) -> Engine | None:
    try:
        return engine_of(config)
    except ImproperlyConfigured:
        return None


@check("D412")
def engines() -> Iterator[Finding]:
    """Engines that nothing can connect to."""
    for config in _configs():
        where, engine = f"DATABASES[{config.alias!r}]", _engine(config)
        known = engine_names()
        if engine is None or config.engine not in known:
            what = f"{where} has ENGINE {config.engine!r}, for which there is no backend."
            yield Finding("D412", "warning", what, f"Engines: {', '.join(known)}.")
        elif missing := engine.missing_drivers():
            what = f"{where} needs the driver {missing[0]!r}, which is not installed."
            yield Finding("D412", "warning", what, f"pip install 'dormdb[{config.engine}]'")


@check("D401", "D402", "D403", "D404")
def pools() -> Iterator[Finding]:
    """Pools and encryption of each database."""
    for config in _configs():
        engine = _engine(config)
        if engine is None or not engine.by_libpq:
            continue
        where = f"DATABASES[{config.alias!r}]"
        if config.max_pool_size < 2:
            yield Finding("D401", "warning", f"{where} has MAX_POOL_SIZE={config.max_pool_size}.", "Give it 2 or more.")
        elif config.max_pool_size > 100:
            hint = "A server has some hundred connections in all: use PgBouncer."
            yield Finding("D401", "note", f"{where} has MAX_POOL_SIZE={config.max_pool_size}.", hint)
        if config.pool_timeout > 60:
            hint = "A request that waits longer than a minute for a connection is lost: 30 is plenty."
            yield Finding("D402", "warning", f"{where} has POOL_TIMEOUT={config.pool_timeout:g}.", hint)
        remote = [host for host in hosts_of(config) or () if not is_local_host(host)]
        if remote and not config.options.get("sslmode") and not os.environ.get("PGSSLMODE"):
            hint = "Set OPTIONS['sslmode'] to 'verify-full', or 'require'."
            yield Finding("D403", "warning", f"{where} goes to {', '.join(remote)} without sslmode.", hint)
        if config.shares_sessions:
            hint = "Give them an alias of their own that connects to the server directly."
            what = f"{where} goes through PgBouncer, where migrations, advisory locks and LISTEN have no session."
            yield Finding("D404", "note", what, hint)


@check("D405")
def retries() -> Iterator[Finding]:
    """Repeating of reads whose connection was lost."""
    if settings.knobs.retry_attempts <= 1:
        what = "RETRY_ATTEMPTS is 1: a read whose connection was lost is not repeated."
        yield Finding("D405", "note", what, "Let it be 3, so that a restart of the server is no error of a page.")


@check("D406")
def read_after_write() -> Iterator[Finding]:
    """Reads of what was just written, with replicas."""
    if settings.given("DATABASE_ROUTERS") and _setting("READ_AFTER_WRITE_WINDOW", 3.0) in (0, None):
        yield Finding(
            "D406",
            "note",
            "READ_AFTER_WRITE_WINDOW is off: a read may go to a replica that lacks the write before it.",
            "Let it be some seconds, more than replicas lag.",
        )


@check("D407")
def unindexed_keys() -> Iterator[Finding]:
    """Foreign keys without an index."""
    from dorm.conf.registry import registry

    for model in registry.all():
        meta = model._meta
        if not meta.managed or meta.proxy or meta.auto_created:
            continue
        first = {index.fields[0].removeprefix("-") for index in meta.indexes if index.fields and not index.condition}
        first |= {group[0] for group in meta.unique_together}
        first |= {
            each.fields[0]
            for each in meta.constraints
            if getattr(each, "fields", ()) and getattr(each, "condition", None) is None
        }
        for field in meta.local_fields:
            if field.is_relation and not field.db_index and not field.unique and field.name not in first:
                yield Finding(
                    "D407",
                    "warning",
                    f"{meta.label}.{field.name} has no index: deleting what it points at reads the whole table.",
                    "Set db_index=True, or add an index that begins with it.",
                )


@check("D408")
def storages() -> Iterator[Finding]:
    """The setting STORAGES."""
    given = _setting("STORAGES", {})
    if not isinstance(given, Mapping):
        what = f"STORAGES is a dict, not a {type(given).__name__}."
        yield Finding("D408", "warning", what, "Give it {'default': {'BACKEND': 'dotted.path.of.a.Storage'}}.")
    elif given and "default" not in given:
        yield Finding("D408", "warning", "STORAGES has no 'default'.", "Add one: FileField uses it.")
    else:
        for alias, entry in given.items():
            if not isinstance(entry, Mapping) or "BACKEND" not in entry:
                what = f"STORAGES[{alias!r}] has no 'BACKEND'."
                yield Finding("D408", "warning", what, "Name the class: {'BACKEND': 'dotted.path.of.a.Storage'}.")
                continue
            try:
                _loaded(entry["BACKEND"])
            except _NOT_THERE as exc:
                what = f"STORAGES[{alias!r}] has BACKEND {entry['BACKEND']!r}, which cannot be imported: {exc}."
                yield Finding("D408", "warning", what, "Name a class that is there, or install what it needs.")


@check("D409")
def special_models() -> Iterator[Finding]:
    """Models that are read only: writing them is refused."""
    from dorm.conf.registry import registry

    names = [model._meta.label for model in registry.all() if getattr(model._meta, "read_only", False)]
    if names:
        what = f"these models are read only: {', '.join(names)}."
        yield Finding("D409", "note", what, "Writing to them raises. Take Meta.read_only away where it is not meant.")


@check("D410")
def tenants() -> Iterator[Finding]:
    """Models of tenants whose rows everybody sees, or whose values tell of other tenants' rows."""
    module: Any = sys.modules.get("dorm.contrib.tenants_row")
    if module is None:
        return
    from dorm.conf.registry import registry

    for model in registry.all():
        meta = model._meta
        if not issubclass(model, module.TenantModel):
            continue
        manager = model._default_manager
        if not isinstance(manager, module.TenantManager):
            what = f"{meta.label}.{manager.name} shows the rows of all tenants."
            yield Finding("D410", "warning", what, "Let the first manager be a TenantManager.")
        alone = [field.name for field in meta.local_fields if field.unique and not field.primary_key]
        alone += [", ".join(group) for group in meta.unique_together if "tenant_id" not in group]
        alone += [
            each.name
            for each in meta.constraints
            if isinstance(each, UniqueConstraint) and each.fields and "tenant_id" not in each.fields
        ]
        if alone:
            what = f"{meta.label} has values that are unique over all tenants ({'; '.join(alone)})."
            hint = "A tenant learns of another one's rows by the error: make them unique together with tenant_id."
            yield Finding("D410", "note", what, hint)


@check("D411")
def encryption_keys() -> Iterator[Finding]:
    """Keys of encrypted fields: a rotation that has not ended."""
    keys = _setting("FIELD_ENCRYPTION_KEYS", None)
    if isinstance(keys, (list, tuple)) and len(keys) > 1:
        what = f"FIELD_ENCRYPTION_KEYS holds {len(keys)} keys: values under the older ones may be left."
        yield Finding("D411", "note", what, "Run 'dorm rotate-keys', then take the older keys away.")


def _reachable() -> Iterator[Finding]:
    from dorm.db.health import health_check

    for config in _configs():
        found = health_check(config.alias)
        if found["status"] != "ok":
            what = f"DATABASES[{config.alias!r}] cannot be reached: {found.get('error')}"
            yield Finding("D420", "warning", what, "Check host, port, name and password, and that the server runs.")
