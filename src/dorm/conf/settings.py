"""The settings object: what ``dorm.configure`` sets, with defaults, checks and the values of the environment."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from dorm.conf.databases import DatabaseConfig, database_config
from dorm.conf.fetch_modes import FETCH_PEERS, FetchMode
from dorm.exceptions import ConnectionDoesNotExist, ImproperlyConfigured, choices_text, nearest
from dorm.record import Record

_NUMBER = (int, float)
_ANY = (object, bool)
_DEFAULTS: dict[str, tuple[Any, tuple[type, ...]]] = {
    "DATABASES": ({}, (Mapping,)),
    "INSTALLED_APPS": ([], (list, tuple)),
    "DEFAULT_AUTO_FIELD": ("dorm.fields.BigAutoField", (str,)),
    "DATABASE_ROUTERS": ([], (list, tuple)),
    "DEBUG": (False, (bool,)),
    "SLOW_QUERY_MS": (500.0, (*_NUMBER, type(None))),
    "SLOW_QUERY_EXPLAIN": (False, _ANY),
    "SLOW_QUERY_EXPLAIN_ANALYZE": (False, _ANY),
    "SLOW_QUERY_EXPLAIN_TIMEOUT_MS": (5000, _NUMBER),
    "SLOW_QUERY_EXPLAIN_INTERVAL_S": (60.0, _NUMBER),
    "DEBUG_NPLUSONE": (False, (bool, str)),
    "DEBUG_NPLUSONE_THRESHOLD": (10, (int,)),
    "POOL_SATURATION_WARN": (0.8, _ANY),
    "QUERY_COUNT_WARN": (None, (int, type(None))),
    "READ_AFTER_WRITE_WINDOW": (3.0, (*_NUMBER, type(None))),
    "RETRY_ATTEMPTS": (3, (int,)),
    "RETRY_BACKOFF": (0.1, _NUMBER),
    "DEFAULT_FETCH_MODE": (FETCH_PEERS, (str,)),
    "CACHES": ({}, (dict,)),
    "CACHE_SIGNING_KEY": ("", (str,)),
    "CACHE_REQUIRE_SIGNING_KEY": (False, (bool,)),
    "CACHE_INSECURE_PICKLE": (False, (bool,)),
    "SECRET_KEY": ("", (str,)),
    "SEARCH_CONFIG": ("english", (str,)),
    "USE_TZ": (False, (bool,)),
    "TIME_ZONE": ("UTC", (str,)),
}
"""Default and types of every setting that dorm reads."""

_LONGEST_MS = 2**31 - 1

_ACCEPTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "DEBUG_NPLUSONE": (
        lambda value: isinstance(value, bool) or value.lower() in ("log", "raise"),
        "False, True, 'log' or 'raise'",
    ),
    "DEFAULT_FETCH_MODE": (
        lambda value: value in [mode.value for mode in FetchMode],
        "FETCH_ONE, FETCH_PEERS, FETCH_RAISE or their names 'one', 'peers', 'raise'",
    ),
    "DEBUG_NPLUSONE_THRESHOLD": (lambda value: value >= 1, "a whole number from 1"),
    "SLOW_QUERY_MS": (lambda value: value is None or value >= 0, "a number from 0, or None"),
    "SLOW_QUERY_EXPLAIN_TIMEOUT_MS": (lambda value: 1 <= value <= _LONGEST_MS, f"a number from 1 to {_LONGEST_MS}"),
    "SLOW_QUERY_EXPLAIN_INTERVAL_S": (lambda value: 0 <= value < math.inf, "a number from 0"),
    "QUERY_COUNT_WARN": (lambda value: value is None or value >= 0, "a whole number from 0, or None"),
    "RETRY_ATTEMPTS": (lambda value: value >= 1, "a whole number from 1, which is once"),
    "RETRY_BACKOFF": (lambda value: 0 <= value < math.inf, "a number from 0"),
}
"""Settings of which not every value of the type is accepted: the test, and what is accepted in words."""

_log = logging.getLogger("dorm.conf")


class Knobs(Record):
    """Settings that each statement reads, environment applied; made anew by every `configure`.

    Attributes:
        slow_query_seconds: statements at or above it are logged; None for never.
        retry_attempts: tries of a read whose connection was lost.
        retry_backoff: seconds before the second try; doubled each time.
        fetch_mode: what a late load does where the queryset did not say.
        environment: what the environment said of ``SLOW_QUERY_MS``; `FIXED` when it was configured.
    """

    slow_query_seconds: float | None
    retry_attempts: int
    retry_backoff: float
    fetch_mode: FetchMode
    environment: object


FIXED: Final = object()
"""Stands for an environment that is not asked."""

_ABSENT = object()


def _kept_environment(*names: str) -> tuple[Mapping[Any, object], list[Any]]:
    """Return the environment and the names of variables in it, at the price of a dict look-up where that can be had.

    Each statement asks. `os.environ` keeps encoded names and values in a dict; by its own methods it is ten times
    slower.
    """
    kept, encoded = getattr(os.environ, "_data", None), getattr(os.environ, "encodekey", None)
    if isinstance(kept, dict) and encoded is not None:
        return kept, [encoded(name) for name in names]
    return os.environ, list(names)


ENVIRONMENT, (SLOW_QUERY, SLOW_EXPLAIN) = _kept_environment("DORM_SLOW_QUERY_MS", "DORM_SLOW_QUERY_EXPLAIN")
"""The environment, and in it what it says of ``SLOW_QUERY_MS`` and ``SLOW_QUERY_EXPLAIN``, to be compared with
`Knobs.environment` and with what it said before."""


@lru_cache(256)
def _suggestion(name: str, names: tuple[str, ...]) -> str:
    """Return what to propose for an unknown name; kept, for ``getattr(settings, name, default)`` is asked often."""
    return nearest(name, names)


class Settings:
    """Settings as attributes; upper-case names of the user's own are allowed beside dorm's."""

    DATABASES: Mapping[str, Any]
    INSTALLED_APPS: list[str]
    DATABASE_ROUTERS: list[Any]
    DEFAULT_AUTO_FIELD: str
    DEBUG: bool
    SLOW_QUERY_MS: float | None
    READ_AFTER_WRITE_WINDOW: float | None
    RETRY_ATTEMPTS: int
    RETRY_BACKOFF: float
    DEFAULT_FETCH_MODE: str
    USE_TZ: bool
    TIME_ZONE: str

    def __init__(self) -> None:
        self._given: dict[str, Any] = {}
        self._callbacks: list[Callable[[frozenset[str]], None]] = []
        self._ignored: dict[str, str] = {}
        self.knobs = self._made_knobs()

    def __getattr__(self, name: str) -> Any:
        given = self.__dict__["_given"]
        if name in given:
            return given[name]
        if not name.isupper():
            raise AttributeError(name)
        if not given:
            raise ImproperlyConfigured(
                f"setting {name} was read before dorm was configured: call dorm.configure(DATABASES={{...}}) first, or "
                "have a settings.py beside the script or in the working directory, or name one in DORM_SETTINGS."
            )
        if name in _DEFAULTS:
            return _DEFAULTS[name][0]
        raise AttributeError(f"there is no setting {name!r}.{_suggestion(name, (*_DEFAULTS, *given))}")

    @property
    def is_configured(self) -> bool:
        """True once `configure` was called."""
        return bool(self._given)

    def configure(self, **given: Any) -> None:
        """Set settings; those not given stay. Everything is checked before anything is changed."""
        for name, value in given.items():
            _check(name, value)
        if "DATABASES" in given:
            for alias, entry in given["DATABASES"].items():
                database_config(alias, entry)
        before = dict(self._given)
        self._given.update(given)
        try:
            self.knobs = self._made_knobs()
        except ImproperlyConfigured:
            self._given = before
            raise
        for callback in list(self._callbacks):
            callback(frozenset(given))

    def given(self, name: str, default: Any = None) -> Any:
        """Return what `configure` was given for a setting, else *default*; neither environment nor defaults count."""
        return self._given.get(name, default)

    def snapshot(self) -> dict[str, Any]:
        """Return all that was configured, for `restore`."""
        return dict(self._given)

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Make the configuration what it was when *snapshot* was taken, also for what was not set then."""
        changed = {
            name
            for name in {*self._given, *snapshot}
            if self._given.get(name, _ABSENT) is not snapshot.get(name, _ABSENT)
        }
        self._given = dict(snapshot)
        self.knobs = self._made_knobs()
        if changed:
            for callback in list(self._callbacks):
                callback(frozenset(changed))

    def on_change(self, callback: Callable[[frozenset[str]], None]) -> None:
        """Call *callback* with the names that each further `configure` sets."""
        self._callbacks.append(callback)

    def discover(self) -> None:
        """Configure a process that configured nothing from the project's settings, where there are any."""
        if not self._given:
            import_module("dorm.conf.project").discover()

    def database(self, alias: str) -> DatabaseConfig:
        """Return the checked entry of an alias.

        Raises: ConnectionDoesNotExist: an unknown alias; the message names those there are.
        """
        self.discover()
        databases = self.DATABASES
        if alias not in databases:
            raise ConnectionDoesNotExist(
                f"there is no database {alias!r} in DATABASES.{nearest(alias, databases)} "
                f"Aliases: {choices_text(databases)}."
            )
        return database_config(alias, databases[alias])

    def _made_knobs(self) -> Knobs:
        slow = self._knob("SLOW_QUERY_MS", float)
        return Knobs(
            None if slow is None else slow / 1000,
            self._knob("RETRY_ATTEMPTS", int) or 1,
            self._knob("RETRY_BACKOFF", float) or 0.0,
            FetchMode(self._given.get("DEFAULT_FETCH_MODE", FETCH_PEERS)),
            FIXED if "SLOW_QUERY_MS" in self._given else ENVIRONMENT.get(SLOW_QUERY),
        )

    def current_knobs(self) -> Knobs:
        """Return the knobs with the environment read again."""
        self.knobs = self._made_knobs()
        return self.knobs

    def _knob(self, name: str, convert: Callable[[str], Any]) -> Any:
        """Return what was configured, else the environment's value, else the default."""
        text = os.environ.get(f"DORM_{name}")
        if name in self._given or text is None:
            return self._given.get(name, _DEFAULTS[name][0])
        default, types = _DEFAULTS[name]
        accepted, words = _ACCEPTED.get(name, (lambda value: True, "a number"))
        if text.lower() in ("none", ""):
            if type(None) in types:
                return None
        elif (value := _converted(text, convert)) is not _ABSENT and accepted(value):
            return value
        if self._ignored.get(name) != text:
            self._ignored[name] = text
            _log.warning("the environment variable DORM_%s takes %s; its value is ignored", name, words)
        return default

    def number(self, name: str) -> float:
        """Return a setting that is a number: as configured, else of the environment, else its default."""
        value: float = self._knob(name, float)
        return value

    def flag(self, name: str) -> bool:
        """Return a switch: as configured, else of the environment (1, true, yes, on), else its default."""
        if name not in self._given:
            text = os.environ.get(f"DORM_{name}")
            if text is not None:
                return text.strip().lower() in ("1", "true", "yes", "on")
        return bool(self._given.get(name, _DEFAULTS[name][0]))


def _converted(text: str, convert: Callable[[str], Any]) -> Any:
    try:
        return convert(text)
    except ValueError:
        return _ABSENT


def _check(name: str, value: Any) -> None:
    if not name.isupper():
        raise ImproperlyConfigured(f"settings are upper-case names: {name!r} is not.{nearest(name.upper(), _DEFAULTS)}")
    if name not in _DEFAULTS:
        return
    types = _DEFAULTS[name][1]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        names = " or ".join("None" if each is type(None) else each.__name__ for each in types)
        raise ImproperlyConfigured(f"{name} takes {names}, not {type(value).__name__}.")
    if name in _ACCEPTED and not _ACCEPTED[name][0](value):
        raise ImproperlyConfigured(f"{name} takes {_ACCEPTED[name][1]}, not {value!r}.")


settings = Settings()


def configure(**given: Any) -> None:
    """Set settings by keyword; may be called again, what is not given stays.

    Raises: ImproperlyConfigured: a value of the wrong type, or a ``DATABASES`` entry that is wrong. Nothing is changed.
    """
    settings.configure(**given)
