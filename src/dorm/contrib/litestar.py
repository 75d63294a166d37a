"""dorm in a Litestar application: a plugin that installs the middlewares of `dorm.contrib.asgi` and warms the pool."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

from dorm.contrib.asgi import NPlusOneMiddleware, OTelDormMiddleware, QueryBudgetMiddleware
from dorm.contrib.pool_autoscale import awarmup_pool

try:
    from litestar.config.app import AppConfig
    from litestar.middleware import DefineMiddleware
    from litestar.plugins import InitPlugin
except ImportError as exc:
    raise ImportError("litestar is not installed: pip install 'dormdb[litestar]'") from exc

_log = logging.getLogger("dorm.contrib.litestar")


class DormPlugin(InitPlugin):
    """Budgets, N+1 detection and traces for each request of a Litestar application, and a warm pool at its start.

    Args:
        budget_timeout_ms: a statement that takes longer is cancelled; None for no limit.
        budget_max_rows: a statement that gives more rows fails; None for no limit.
        nplusone_threshold: a template that runs more often in a request is logged; None for no detection.
        nplusone_raise: raise `NPlusOneError` from the statement that crosses it instead.
        otel: a span of each request around those of its statements, where opentelemetry-api is installed.
        warmup_pool: so many connections are opened when the application starts; None for none.
        using: alias that budget and pool are about.
    Raises: ValueError: a number out of range; at once, not with the first request.
    """

    def __init__(
        self,
        *,
        budget_timeout_ms: float | None = 2000,
        budget_max_rows: int | None = None,
        nplusone_threshold: int | None = 10,
        nplusone_raise: bool = False,
        otel: bool = True,
        warmup_pool: int | None = None,
        using: str = "default",
    ) -> None:
        if warmup_pool is not None and (
            isinstance(warmup_pool, bool) or not isinstance(warmup_pool, int) or warmup_pool < 1
        ):
            raise ValueError(f"warmup_pool must be a whole number from 1, not {warmup_pool!r}")
        self._warmup = warmup_pool
        self._using = using
        self._middlewares: list[tuple[Any, dict[str, Any]]] = []
        if otel and find_spec("opentelemetry") is not None:
            self._middlewares.append((OTelDormMiddleware, {}))
        elif otel:
            _log.info("requests are not traced: opentelemetry-api is not installed (pip install 'dormdb[otel]')")
        if budget_timeout_ms is not None or budget_max_rows is not None:
            limits = {"timeout_ms": budget_timeout_ms, "max_rows": budget_max_rows, "using": using}
            self._middlewares.append((QueryBudgetMiddleware, limits))
        if nplusone_threshold is not None:
            options = {"threshold": nplusone_threshold, "raise_on_detect": nplusone_raise}
            self._middlewares.append((NPlusOneMiddleware, options))
        for middleware, options in self._middlewares:
            if middleware is not OTelDormMiddleware:  # making that one begins to trace
                middleware(_nowhere, **options)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Put the middlewares around all others of the application; Litestar calls it."""
        ours = [DefineMiddleware(middleware, **options) for middleware, options in self._middlewares]
        app_config.middleware = [*ours, *app_config.middleware]
        if self._warmup is not None:
            app_config.on_startup = [*app_config.on_startup, self._warm]
        return app_config

    async def _warm(self) -> None:
        await awarmup_pool(target=self._warmup, using=self._using)


async def _nowhere(scope: Any, receive: Any, send: Any) -> None:
    """Stand for an application while arguments are checked."""


def dorm_plugin(**options: Any) -> DormPlugin:
    """Return a `DormPlugin`; takes the same arguments."""
    return DormPlugin(**options)
