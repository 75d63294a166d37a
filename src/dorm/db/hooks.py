"""The public chain around statements: gates that refuse, hooks that change or repeat, observers that look.

All three are installed here and nowhere else, and each ``install`` returns the function that takes it out again:

- A *gate* is a function ``gate(request)`` that runs before a connection is checked out and before a pending BEGIN. What
  it raises reaches the caller; nothing was sent.
- A *hook* is an operation ``hook(request, proceed)``: it does what it wants, I/O of either face included, and drives
  ``yield from proceed(request)`` for the reply. Hooks run in the order of their installation.
- An *observer* is a function ``observe(observation)`` that is told what became of a statement. Its errors are logged.

What dorm sends for itself is marked ``request.statement.internal`` and passes by whoever didn't ask for it. With
nothing installed a statement pays one check (`Chain.active`).
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeAlias

from dorm.conf.settings import ENVIRONMENT, FIXED, SLOW_EXPLAIN, settings
from dorm.db.forks import in_child
from dorm.db.operation import Operation
from dorm.db.request import StatementRequest
from dorm.db.statement import Statement

_log = logging.getLogger("dorm.db.hooks")

Proceed: TypeAlias = "Callable[[StatementRequest[Any]], Operation[Any]]"
Hook: TypeAlias = "Callable[[StatementRequest[Any], Proceed], Operation[Any]]"
Gate: TypeAlias = "Callable[[StatementRequest[Any]], None]"
Uninstall: TypeAlias = "Callable[[], None]"


class Observation:
    """What became of one statement.

    Attributes:
        statement: text, parameters, and whether dorm sent it for itself.
        alias: key of ``DATABASES``.
        vendor: public name of the engine.
        elapsed: seconds from the request to the reply.
        error: what was raised, or None.
        rows: rows fetched or touched; None where nobody counted.
        kind: ``"statement"``, or ``"control"`` for BEGIN, COMMIT, savepoints and their like.
    """

    __slots__ = ("alias", "elapsed", "error", "kind", "rows", "statement", "vendor")

    def __init__(
        self,
        statement: Statement,
        alias: str,
        vendor: str,
        elapsed: float,
        error: BaseException | None = None,
        rows: int | None = None,
        kind: str = "statement",
    ) -> None:
        self.statement = statement
        self.alias = alias
        self.vendor = vendor
        self.elapsed = elapsed
        self.error = error
        self.rows = rows
        self.kind = kind

    @property
    def sql(self) -> str:
        """Text with placeholders."""
        return self.statement.template.sql

    @property
    def params(self) -> Sequence[Any]:
        """Parameters, unmasked."""
        return self.statement.params

    @property
    def elapsed_ms(self) -> float:
        """Elapsed time in milliseconds."""
        return self.elapsed * 1000

    def __repr__(self) -> str:
        return f"Observation({self.alias!r}, {self.sql!r}, {self.elapsed_ms:.3f} ms)"


Observer: TypeAlias = "Callable[[Observation], None]"


class _Entry(NamedTuple):
    call: Any
    alias: str | None
    internal: bool

    def serves(self, alias: str, internal: bool) -> bool:
        return (self.alias is None or self.alias == alias) and (self.internal or not internal)


class _Links:
    """What is in force for one alias."""

    __slots__ = ("gates", "hooks", "observers", "sender")

    def __init__(self, gates: tuple[Gate, ...], hooks: tuple[Hook, ...], observers: tuple[Observer, ...]) -> None:
        self.gates = gates
        self.hooks = hooks
        self.observers = observers
        self.sender: tuple[Proceed, Proceed] | None = None
        """What sends last, and that with the hooks around it."""

    def around(self, last: Proceed) -> Proceed:
        """Return *last* with the hooks around it, the first one outermost, and the observers innermost."""
        proceed = _observed(self.observers, last) if self.observers else last
        for hook in reversed(self.hooks):
            proceed = _linked(hook, proceed)
        self.sender = (last, proceed)
        return proceed


class Chain:
    """Gates, hooks and observers in force; tuples that are replaced as a whole.

    Attributes:
        active: False when there is nothing to do: the one check that a statement pays.
        environment: what the environment said of the switch that is read again at each statement; `FIXED` once it is
            configured.
    """

    def __init__(self) -> None:
        self.active = False
        self._entries: dict[str, tuple[_Entry, ...]] = {"gate": (), "hook": (), "observer": ()}
        self._links: dict[tuple[str, bool], _Links] = {}
        self._waiting: tuple[str, ...] = ()
        self.environment: object = FIXED
        self._forked()
        in_child(self, Chain._forked)

    def _forked(self) -> None:
        self._lock = threading.RLock()

    # -- who is in it --------------------------------------------------------------------------------------------
    def install(self, hook: Hook, *, alias: str | None = None, internal: bool = False) -> Uninstall:
        """Put *hook* around the statements of one alias, or of all; *internal* ones only when asked for.

        Returns: the function that removes it again; calling it twice does no harm.
        """
        return self._add("hook", hook, alias, internal)

    def install_gate(self, gate: Gate, *, alias: str | None = None, internal: bool = False) -> Uninstall:
        """Have *gate* judge each statement before anything is sent; arguments and result as in `install`."""
        return self._add("gate", gate, alias, internal)

    def install_observer(self, observer: Observer, *, alias: str | None = None, internal: bool = False) -> Uninstall:
        """Tell *observer* about each statement that was sent; arguments and result as in `install`."""
        return self._add("observer", observer, alias, internal)

    def _add(self, kind: str, call: Any, alias: str | None, internal: bool) -> Uninstall:
        if not callable(call):
            raise TypeError(f"a {kind} must be callable, not {type(call).__name__}")
        entry = _Entry(call, alias, internal)
        with self._lock:
            self._entries[kind] = (*self._entries[kind], entry)
            self._changed()

        def uninstall() -> None:
            with self._lock:
                self._entries[kind] = tuple(each for each in self._entries[kind] if each is not entry)
                self._changed()

        return uninstall

    def _changed(self) -> None:
        self._links = {}
        self.active = bool(self._waiting) or any(self._entries.values())

    def _in_force(self, alias: str, internal: bool) -> _Links:
        if self._waiting:
            self._load()
        links = self._links
        found = links.get((alias, internal))
        if found is None:
            with self._lock:
                entries = self._entries
                found = _Links(*(
                    tuple(each.call for each in entries[kind] if each.serves(alias, internal))
                    for kind in ("gate", "hook", "observer")
                ))  # fmt: skip
                self._links[alias, internal] = found
        return found

    # -- modules that settings switch on -------------------------------------------------------------------------
    def follow_settings(self, names: frozenset[str] | None = None) -> None:
        """Have the modules that settings switch on look at them again, unloaded ones at the next statement."""
        self.environment = FIXED if settings.given("SLOW_QUERY_EXPLAIN") is not None else ENVIRONMENT.get(SLOW_EXPLAIN)
        wanted = []
        for module, (switch, watched) in _BY_SETTING.items():
            if names is not None and not names & watched:
                continue
            if names is not None and module in sys.modules:
                import_module(module).apply_settings()
            elif settings.flag(switch):
                wanted.append(module)
        with self._lock:
            self._waiting = tuple(dict.fromkeys([*self._waiting, *wanted]))
            self._changed()

    def follow_environment(self) -> None:
        """Look at the switch again: the next statement finds that its variable is not what `environment` says."""
        self.follow_settings(frozenset({"SLOW_QUERY_EXPLAIN"}))

    def _load(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, ()
            for module in waiting:
                import_module(module).apply_settings()
            self._changed()

    # -- statements ----------------------------------------------------------------------------------------------
    def around(self, request: StatementRequest[Any], last: Proceed, admitted: bool = False) -> Operation[Any]:
        """Return the operation that sends *request* through gates and hooks and finally through *last*.

        Args:
            admitted: the gates have seen it already (`admit`).
        """
        links = self._links.get((request.source.alias, request.statement.internal))
        if links is None or self._waiting:
            links = self._in_force(request.source.alias, request.statement.internal)
        if not admitted:
            for gate in links.gates:
                gate(request)
        kept = links.sender
        return (kept[1] if kept is not None and kept[0] is last else links.around(last))(request)

    def admit(self, request: StatementRequest[Any]) -> None:
        """Let the gates judge a request now, before its connection is checked out or a transaction begun for it."""
        for gate in self._in_force(request.source.alias, request.statement.internal).gates:
            gate(request)

    def tell(self, observation: Observation) -> None:
        """Tell the observers about a statement that was sent past `around`: transaction control, pipelines, COPY."""
        found = self._in_force(observation.alias, observation.statement.internal)
        _tell(found.observers, observation)


def _linked(hook: Hook, proceed: Proceed) -> Proceed:
    return lambda request: hook(request, proceed)


def _observed(observers: tuple[Observer, ...], last: Proceed) -> Proceed:
    def send(request: StatementRequest[Any]) -> Operation[Any]:
        source = request.source
        start = perf_counter()
        try:
            reply = yield from last(request)
        except BaseException as exc:
            elapsed = perf_counter() - start
            _tell(observers, Observation(request.statement, source.alias, source.vendor, elapsed, exc))
            raise
        elapsed = perf_counter() - start if request.timed else 0.0
        rows = len(reply) if type(reply) is list else reply if type(reply) is int and reply >= 0 else None
        _tell(observers, Observation(request.statement, source.alias, source.vendor, elapsed, None, rows))
        return reply

    return send


def _tell(observers: tuple[Observer, ...], observation: Observation) -> None:
    for observer in observers:
        try:
            observer(observation)
        except Exception:  # noqa: BLE001  # a stated boundary: an observer never breaks the user's statement
            _log.exception("observer %s raised", getattr(observer, "__qualname__", observer))


_BY_SETTING: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "dorm.contrib.slow_explain": ("SLOW_QUERY_EXPLAIN", frozenset({"SLOW_QUERY_EXPLAIN"})),
    "dorm.contrib.nplusone": ("DEBUG_NPLUSONE", frozenset({"DEBUG", "DEBUG_NPLUSONE", "DEBUG_NPLUSONE_THRESHOLD"})),
}
"""Modules that a setting switches on: the switch, and all settings they read. Each has an ``apply_settings`` function;
they lie above this layer, so they are named here and imported when they are wanted."""

chain = Chain()
install = chain.install
install_gate = chain.install_gate
install_observer = chain.install_observer


settings.on_change(chain.follow_settings)
chain.follow_settings()
