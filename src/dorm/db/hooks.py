"""The public chain around statements: hooks that see, change, refuse or repeat them.

A hook is an operation ``hook(request, proceed)``: it does what it wants, and drives ``yield from proceed(request)`` for
the reply. Hooks run in the order of their installation, before a connection is checked out. What dorm sends for itself
is marked ``request.statement.internal``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from dorm.db.operation import Operation
from dorm.db.request import StatementRequest

Proceed: TypeAlias = "Callable[[StatementRequest[Any]], Operation[Any]]"
Hook: TypeAlias = "Callable[[StatementRequest[Any], Proceed], Operation[Any]]"


class Chain:
    """The hooks in force; an immutable tuple that is replaced as a whole."""

    def __init__(self) -> None:
        self.hooks: tuple[tuple[Hook, str | None], ...] = ()
        self._lock = threading.Lock()

    def install(self, hook: Hook, *, alias: str | None = None) -> Callable[[], None]:
        """Add *hook* for the statements of one alias, or of all; return the function that removes it again."""
        entry = (hook, alias)
        with self._lock:
            self.hooks = (*self.hooks, entry)

        def uninstall() -> None:
            with self._lock:
                self.hooks = tuple(each for each in self.hooks if each is not entry)

        return uninstall

    def around(self, request: StatementRequest[Any], last: Proceed) -> Operation[Any]:
        """Return the operation that sends *request* through the hooks and finally through *last*."""
        wanted = [hook for hook, alias in self.hooks if alias is None or alias == request.source.alias]

        def proceed_from(number: int) -> Proceed:
            if number == len(wanted):
                return last
            return lambda inner: wanted[number](inner, proceed_from(number + 1))

        return proceed_from(0)(request)


chain = Chain()
install = chain.install
