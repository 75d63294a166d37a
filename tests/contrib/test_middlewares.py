"""Middlewares for ASGI applications and the Litestar plugin: budgets, N+1, traces of whole requests."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from typing import Any

import pytest
from litestar import Litestar, get as handles
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import dorm
from dorm.budget import BudgetExceeded
from dorm.contrib import lag_router, otel
from dorm.contrib.asgi import NPlusOneMiddleware, QueryBudgetMiddleware
from dorm.contrib.litestar import DormPlugin, dorm_plugin
from dorm.contrib.nplusone import NPlusOneError
from dorm.db.connection import connections, get_async_connection, get_connection
from tests.contrib.models import Customer
from tests.contrib.web import get

pytestmark = pytest.mark.usefixtures("shop")

LONG_SQLITE = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000000) SELECT count(*) FROM n"
)


def _long(backend: str) -> str:
    return "SELECT pg_sleep(20)" if backend == "postgresql" else LONG_SQLITE


def _site(endpoint: Callable[..., Any]) -> Any:
    return Starlette(routes=[Route("/", endpoint)])


@pytest.mark.parametrize("where", ["coroutine", "task", "worker thread"])
def test_a_statement_over_its_budget_is_cancelled(where: str, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    def blocking(request: Request) -> JSONResponse:
        get_connection().execute(_long(backend))
        return JSONResponse("done")

    async def coroutine(request: Request) -> JSONResponse:
        await get_async_connection().execute(_long(backend))
        return JSONResponse("done")

    async def task(request: Request) -> JSONResponse:
        return await asyncio.create_task(coroutine(request))

    endpoint = {"coroutine": coroutine, "task": task, "worker thread": blocking}[where]
    with pytest.raises(BudgetExceeded, match="100 ms"):
        get(QueryBudgetMiddleware(_site(endpoint), timeout_ms=100))
    assert "GET /: a statement on 'default' took longer" in caplog.text


def test_too_many_rows_fail_and_the_next_request_is_free() -> None:
    Customer.objects.bulk_create([Customer(name=str(number)) for number in range(5)])

    async def rows(request: Request) -> JSONResponse:
        found = [each.name async for each in Customer.objects.all()[: int(request.query_params["n"])]]
        return JSONResponse(found)

    app = QueryBudgetMiddleware(_site(rows), max_rows=3)
    with pytest.raises(BudgetExceeded):
        get(app, "/?n=5")
    assert len(get(app, "/?n=3").json()) == 3
    assert len(get(_site(rows), "/?n=5").json()) == 5


def test_a_budget_opens_no_transaction_and_spares_other_scopes() -> None:
    inside: list[bool] = []

    async def look(request: Request) -> JSONResponse:
        inside.append(get_async_connection().in_atomic_block)
        await Customer.objects.acreate(name="Ann")
        raise RuntimeError("after the write")

    with pytest.raises(RuntimeError):
        get(QueryBudgetMiddleware(_site(look)))
    assert inside == [False]
    assert Customer.objects.count() == 1, "the request is no transaction"
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    for kind in ("lifespan", "websocket"):
        asyncio.run(QueryBudgetMiddleware(app)({"type": kind}, None, None))
    assert seen == ["lifespan", "websocket"]


@pytest.mark.parametrize("options", [{"timeout_ms": 0}, {"timeout_ms": -1}, {"max_rows": -1}])
def test_a_budget_out_of_range_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        QueryBudgetMiddleware(_site(lambda request: None), **options)


def _litestar(plugin: DormPlugin, times: int) -> Any:
    @handles("/", sync_to_thread=False)
    def home() -> int:
        return sum(Customer.objects.filter(name="Ann").count() for _ in range(times))

    return Litestar([home], plugins=[plugin], openapi_config=None, logging_config=None)


def test_the_plugin_watches_every_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="dorm.contrib.asgi")
    try:
        app = _litestar(dorm_plugin(nplusone_threshold=4), 6)
        assert get(app).text == "0"
        assert caplog.text.count("N+1: 5 statements of one template") == 1
        assert "test_middlewares.py" in caplog.text
        app = _litestar(DormPlugin(nplusone_threshold=4, nplusone_raise=True, budget_max_rows=10), 6)
        assert get(app).status_code == 500
        assert get(_litestar(DormPlugin(nplusone_threshold=None), 6)).text == "0"
    finally:
        otel.uninstrument()


def test_the_plugin_takes_only_what_was_asked_for() -> None:
    app = _litestar(DormPlugin(budget_timeout_ms=None, nplusone_threshold=None, otel=False), 1)
    assert app.middleware == []
    assert get(app).text == "0"


@pytest.mark.parametrize("backend", ["postgresql"])
def test_the_plugin_warms_the_pool_of_the_loop() -> None:
    app = _litestar(DormPlugin(warmup_pool=2, otel=False), 1)

    async def start() -> int:
        async with app.lifespan():
            return max(int(each["pool_size"]) for each in connections["default"].pools_stats())

    assert asyncio.run(start()) == 2


@pytest.mark.parametrize(
    "options", [{"warmup_pool": 0}, {"warmup_pool": True}, {"budget_timeout_ms": -5}, {"nplusone_threshold": 0}]
)
def test_the_plugin_refuses_numbers_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        DormPlugin(**options)


def test_nplusone_raises_before_the_statement_is_sent() -> None:
    async def loop(request: Request) -> JSONResponse:
        async with dorm.transaction.atomic():
            await Customer.objects.acreate(name="Ann")
            with pytest.raises(NPlusOneError, match=r"test_middlewares\.py"):
                for _ in range(20):
                    await Customer.objects.acount()
            await Customer.objects.acreate(name="Bob")
        return JSONResponse("done")

    assert get(NPlusOneMiddleware(_site(loop), threshold=5, raise_on_detect=True)).json() == "done"
    assert Customer.objects.count() == 2


def test_the_position_of_a_commit_travels_in_a_cookie_and_a_header() -> None:
    seen: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(lag_router.position.get())
        if scope["path"] == "/write":
            lag_router.position.set("0/16B3748")
        await send({"type": "http.response.start", "status": 200, "headers": []})

    served = lag_router.ReadYourWritesMiddleware(app, header="Dorm-Position")

    async def request(path: str, **headers: str) -> dict[bytes, bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await served({"type": "http", "path": path, "headers": given}, None, send)
        return dict(sent[0]["headers"])

    async def main() -> None:
        answer = await asyncio.create_task(request("/write"), context=contextvars.Context())
        assert answer[b"dorm-position"] == b"0/16B3748"
        assert answer[b"set-cookie"].startswith(b"dorm_position=0-16B3748;")
        for headers in (
            {"dorm_position": "0/16B3748"},
            {"cookie": "dorm_position=0-16B3748"},
            {"cookie": "dorm_position=0-1", "dorm_position": "0/16B3748"},
            {"dorm_position": "0/16B3748'; DROP TABLE x"},
        ):
            assert await asyncio.create_task(request("/", **headers), context=contextvars.Context()) == {}

    asyncio.run(main())
    assert seen == [None, "0/16B3748", "0/16B3748", "0/16B3748", None]
