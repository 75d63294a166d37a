"""Middlewares for any ASGI application: budgets, N+1 detection and traces a request. HTTP scopes only."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from dorm.budget import budget
from dorm.contrib import otel
from dorm.contrib.nplusone import NPlusOneDetector, request_scope
from dorm.exceptions import BudgetExceeded

_log = logging.getLogger("dorm.contrib.asgi")

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


class QueryBudgetMiddleware:
    """Limits each statement of a request, in its tasks and worker threads too; no transaction is opened for that.

    Args:
        timeout_ms: a statement that takes longer is cancelled; None for no limit.
        max_rows: a statement that gives more rows fails; None for no limit.
        using: alias that it is about.
    Raises: ValueError: a limit out of range. A request whose statement goes too far gets `BudgetExceeded` from it; when
    nobody handles that, there is one WARNING on ``dorm.contrib.asgi``, and the server answers as to any error.
    """

    def __init__(
        self, app: App, *, timeout_ms: float | None = 2000, max_rows: int | None = None, using: str = "default"
    ) -> None:
        budget(timeout_ms=timeout_ms, max_rows=max_rows, using=using)
        self.app = app
        self.timeout_ms = timeout_ms
        self.max_rows = max_rows
        self.using = using

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limits = budget(timeout_ms=self.timeout_ms, max_rows=self.max_rows, using=self.using, transaction=False)
        async with limits:
            try:
                await self.app(scope, receive, send)
            except BudgetExceeded as exc:
                _log.warning("%s %s: %s", scope.get("method", ""), scope.get("path", ""), exc)
                raise


class NPlusOneMiddleware:
    """Detects N+1 within each request and logs each finding at WARNING on ``dorm.contrib.asgi``.

    Args:
        raise_on_detect: raise from the statement that crosses the threshold. ignore: first keywords not to count.
    """

    def __init__(
        self, app: App, *, threshold: int = 10, raise_on_detect: bool = False, ignore: Iterable[str] | None = None
    ) -> None:
        NPlusOneDetector(threshold, ignore=ignore)
        self.app = app
        self.threshold = threshold
        self.raise_on_detect = raise_on_detect
        self.ignore = ignore

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        detector = NPlusOneDetector(self.threshold, raise_on_detect=self.raise_on_detect, ignore=self.ignore)
        with request_scope(), detector:
            try:
                await self.app(scope, receive, send)
            finally:
                for finding in detector.details:
                    _log.warning("%s %s: %s", scope.get("method", ""), scope.get("path", ""), finding)


class OTelDormMiddleware:
    """Makes a span of each request, the parent of its statements' spans.

    Raises: ImportError: opentelemetry-api is not installed; the message names the extra.
    """

    def __init__(self, app: App, *, tracer_name: str = "dorm") -> None:
        otel.instrument(tracer_name)
        from opentelemetry import trace

        self.app = app
        self._tracer = trace.get_tracer(tracer_name)
        self._kind = trace.SpanKind.SERVER

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method, path = str(scope.get("method", "")), str(scope.get("path", ""))
        attributes = {"http.request.method": method, "url.path": path}
        with self._tracer.start_as_current_span(f"{method} {path}", kind=self._kind, attributes=attributes):
            await self.app(scope, receive, send)
