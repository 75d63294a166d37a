"""The dashboard: who is let in, what its pages show of real statements, and what they never show."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Mount

import dorm
from dorm.contrib import nplusone, slow_explain, sql_allowlist
from dorm.contrib.dashboard import Dashboard, TokenGuard
from dorm.contrib.dashboard.alone import Beside
from dorm.contrib.dashboard.curves import MOST_SERIES, MOST_STEPS, STEP_SECONDS, Curve, Curves, place_of
from dorm.contrib.dashboard.recorder import Recorder
from dorm.db import hooks
from dorm.db.connection import get_async_connection, get_connection
from tests.contrib.models import Customer, Order
from tests.contrib.web import get
from tests.support.faces import Face

PAGES = ["/", "/slow", "/nplusone", "/pools", "/rejections", "/migrations"]
SECRET = "Zaphod<b>Beeblebrox</b>"
EMAIL = "ford@prefect.example"
RAW = f"SELECT name FROM contrib_tests_customer WHERE name = '{SECRET}' AND phone <> 41424344"


def let_in(request: Request) -> bool:
    return True


@pytest.fixture
def made() -> Iterator[Callable[..., Dashboard]]:
    """Makes dashboards that are closed afterwards."""
    all_made: list[Dashboard] = []

    def make(**options: Any) -> Dashboard:
        all_made.append(Dashboard(**{"guard": let_in, **options}))
        return all_made[-1]

    yield make
    for each in all_made:
        each.close()


# -- the guard ---------------------------------------------------------------------------------------------------


def test_there_is_no_dashboard_without_a_guard() -> None:
    with pytest.raises(TypeError, match="guard"):
        Dashboard()  # type: ignore[call-arg]
    for none in (None, True, "yes"):
        with pytest.raises(TypeError, match="never open to everybody"):
            Dashboard(guard=none)  # type: ignore[arg-type]
    assert not hooks.chain.active


@pytest.mark.parametrize("refresh", [0, -1, 1.5, True, "5"])
def test_refresh_out_of_range_is_refused(refresh: Any) -> None:
    with pytest.raises(ValueError, match="refresh_seconds"):
        Dashboard(guard=let_in, refresh_seconds=refresh)
    assert not hooks.chain.active


@pytest.mark.parametrize("answer", [False, None, 1, "yes", object()])
def test_only_true_lets_in(answer: Any, made: Callable[..., Dashboard]) -> None:
    async def slowly(request: Request) -> Any:
        await asyncio.sleep(0)
        return answer

    for guard in (lambda request: answer, slowly):
        for path in [*PAGES, "/template?id=x", "/static/dashboard.js", "/static/../app.py", "/nowhere"]:
            assert get(made(guard=guard), path).status_code == 403


def test_a_guard_may_be_async_and_may_answer_itself(made: Callable[..., Dashboard]) -> None:
    async def user(request: Request) -> Any:
        return request.headers.get("x-user") == "ann" or RedirectResponse("/log-in", 303)

    app = made(guard=user)
    assert get(app, headers={"x-user": "ann"}).status_code == 200
    refused = get(app, headers={"x-user": "bob"})
    assert (refused.status_code, refused.headers["location"]) == (303, "/log-in")


def test_a_guard_that_fails_lets_nobody_in(made: Callable[..., Dashboard]) -> None:
    def broken(request: Request) -> bool:
        raise LookupError("no session store")

    with pytest.raises(LookupError, match="no session store"):
        get(made(guard=broken))


def test_a_token_is_asked_for_once_and_leaves_the_address(made: Callable[..., Dashboard]) -> None:
    guard = TokenGuard()
    app = made(guard=guard)
    assert get(app).status_code == 403
    assert get(app, "/?token=wrong").status_code == 403
    assert get(app, headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert get(app, headers={"Authorization": f"Bearer {guard.token}"}).status_code == 200
    first = get(app, f"/?token={guard.token}&order=p95")
    assert first.status_code == 303
    assert first.headers["location"] == "./?order=p95"
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert get(app, headers={"Cookie": f"dorm_dashboard={guard.token}"}).status_code == 200
    assert get(app, headers={"Cookie": "dorm_dashboard=\xe9".encode("latin-1")}).status_code == 403
    with pytest.raises(ValueError, match="16 characters"):
        TokenGuard("short")


def test_it_only_reads(made: Callable[..., Dashboard]) -> None:
    app = made()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert {get(app, page, method=method).status_code for page in PAGES} == {405}


def test_what_the_browser_may_do(made: Callable[..., Dashboard]) -> None:
    for path in ("/", "/static/dashboard.js", "/nowhere"):
        headers = get(made(), path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"])
def test_no_file_but_the_static_ones_is_served(path: str, made: Callable[..., Dashboard]) -> None:
    assert get(made(), path).status_code == 404


def test_the_licences_of_vendored_scripts_lie_beside_them(made: Callable[..., Dashboard]) -> None:
    folder = Path(slow_explain.__file__).parent / "dashboard" / "static" / "vendor"
    names = sorted(each.name for each in folder.iterdir())
    for library in ("htmx", "uPlot"):
        assert f"{library}.LICENSE.txt" in names
        assert any(name.startswith(f"{library}-") and name.endswith(".js") for name in names)
        assert get(made(), f"/static/vendor/{library}.LICENSE.txt").status_code == 200


# -- pages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_there_without_settings_and_statements(page: str, made: Callable[..., Dashboard]) -> None:
    given, dorm.settings._given = dict(dorm.settings._given), {}
    try:
        assert get(made(), page).status_code == 200
    finally:
        dorm.settings._given.update(given)


def test_nothing_is_collected_unless_a_dashboard_is_there(made: Callable[..., Dashboard]) -> None:
    assert not hooks.chain.active
    app = made()
    assert hooks.chain.active
    app.close()
    app.close()
    assert not hooks.chain.active


async def test_pages_show_templates_and_never_values(
    face: Face, shop: dict[str, Any], made: Callable[..., Dashboard], caplog: pytest.LogCaptureFixture
) -> None:
    app = made()
    dorm.configure(
        SLOW_QUERY_MS=0, SLOW_QUERY_EXPLAIN=True, SLOW_QUERY_EXPLAIN_ANALYZE=True, SLOW_QUERY_EXPLAIN_INTERVAL_S=0
    )
    wrapper: Any = get_async_connection() if face.is_async else get_connection()
    with nplusone.detect(threshold=2):
        for _ in range(3):
            await face(Customer.objects.create)(name=SECRET, email=EMAIL)
            await face(Customer.objects.filter(name=SECRET, email=EMAIL).count)()
            answer = wrapper.execute(RAW)
            _ = await answer if face.is_async else answer
    sql_allowlist.install([], raise_on_violation=False)
    try:
        answer = wrapper.execute(RAW)
        _ = await answer if face.is_async else answer
        found = {page: get(app, page).text for page in PAGES}
        found |= {link: get(app, f"/{link}").text for link in _links(found["/"])}
    finally:
        sql_allowlist.uninstall()
    for page, text in found.items():
        for value in ("Zaphod", "Beeblebrox", "prefect.example", "41424344"):
            assert value not in text, page
    template = "SELECT name FROM contrib_tests_customer WHERE name = ? AND phone &lt;&gt; ?"
    for page in ("/", "/slow", "/nplusone", "/rejections"):
        assert template in found[page], page
    assert "test_dashboard.py:" in found["/nplusone"]
    assert "contrib_tests_customer" in found["/slow"].partition("tree")[2]


def _links(text: str) -> list[str]:
    return [part.partition('"')[0] for part in text.split('href="./')[1:] if part.startswith("template?")]


async def test_counts_are_those_of_the_statements(
    face: Face, shop: dict[str, Any], made: Callable[..., Dashboard]
) -> None:
    app = made()
    for _ in range(7):
        await face(Customer.objects.count)()
    with pytest.raises(dorm.DatabaseError):
        await face(Order.objects.create)(customer_id=None)
    found = {each.template: each for each in app.recorder.templates()}
    counted = next(each for template, each in found.items() if "count(*)" in template.lower())
    assert (counted.count, counted.errors) == (7, 0)
    assert sum(each.errors for each in found.values()) == 1
    assert sum(step.count for step in app.recorder._curves._every.steps) == 8


def test_order_and_unknown_names(shop: dict[str, Any], made: Callable[..., Dashboard]) -> None:
    app = made()
    Customer.objects.count()
    Order.objects.count()
    Order.objects.count()
    text = get(app, "/?order=count").text
    assert text.index("contrib_tests_order") < text.index("contrib_tests_customer")
    assert get(app, "/?order=<script>").status_code == 200
    assert get(app, "/template?id=<script>alert(1)</script>").status_code == 404
    assert get(app, "/migrations?app=nope").status_code == 200
    assert get(app, "/nope").status_code == 404


def test_everything_is_escaped(made: Callable[..., Dashboard], shop: dict[str, Any]) -> None:
    app = made(title="<script>alert(0)</script>")
    with pytest.raises(dorm.DatabaseError):
        get_connection().execute('SELECT "<img src=x onerror=alert(1)>" + \'<b>\' FROM "</pre><script>x"')
    text = get(app).text
    assert "<img" not in text
    assert "<script>alert(0)" not in text
    assert "&lt;script&gt;alert(0)" in text


def test_htmx_gets_the_page_without_its_frame(made: Callable[..., Dashboard]) -> None:
    app = made()
    assert "<html" in get(app).text
    part = get(app, headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert "<h1>Templates" in part.text
    assert part.headers["vary"] == "HX-Request"


@pytest.mark.parametrize("backend", ["postgresql"])
def test_pools_are_shown_over_time(shop: dict[str, Any], made: Callable[..., Dashboard]) -> None:
    app = made()
    with dorm.transaction.atomic():
        Customer.objects.count()
        app.recorder._sampled = 0.0
        Customer.objects.count()
    app.recorder._sampled = 0.0
    text = get(app, "/pools").text
    assert "in use" in text
    assert max(app.recorder.pools()["default"]["in_use"]) == 1


@pytest.mark.parametrize("backend", ["sqlite"])
def test_migrations_are_drawn(
    shop: dict[str, Any], made: Callable[..., Dashboard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, before in (
        ("0001_initial", ""),
        ("0002_more", '("dashed", "0001_initial")'),
        ("0003_x", '("gone", "1")'),
    ):
        path = tmp_path / "dashed" / "migrations" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"dependencies = [{before}]\noperations = []\n")
    for folder in ("dashed", "dashed/migrations"):
        (tmp_path / folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    before = dorm.settings.INSTALLED_APPS
    dorm.configure(INSTALLED_APPS=["dashed"])
    try:
        text = get(made(), "/migrations").text
    finally:
        dorm.configure(INSTALLED_APPS=before)
    assert "0002_more" in text
    assert text.count('<path d="M') == 2
    assert "gone.1 is depended on and has no file" in text


# -- where it is mounted -----------------------------------------------------------------------------------------


def test_mounted_in_starlette(made: Callable[..., Dashboard]) -> None:
    app = Starlette(routes=[Mount("/deep/dorm", made())])
    assert get(app, "/deep/dorm/").status_code == 200
    assert get(app, "/deep/dorm/slow").status_code == 200
    assert get(app, "/deep/dorm/static/dashboard.css").status_code == 200
    assert get(app, "/deep/dorm", follow_redirects=True).status_code == 200


def test_mounted_in_fastapi(made: Callable[..., Dashboard]) -> None:
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()
    app.mount("/dorm", made())
    assert get(app, "/dorm/", follow_redirects=True).status_code == 200
    assert get(app, "/dorm/static/dashboard.css").status_code == 200


def test_mounted_in_litestar(made: Callable[..., Dashboard]) -> None:
    litestar = pytest.importorskip("litestar")
    dashboard = made()

    @litestar.asgi("/dorm", is_mount=True, copy_scope=True)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await dashboard(scope, receive, send)

    app = litestar.Litestar([mounted])
    assert get(app, "/dorm/", follow_redirects=True).status_code == 200
    assert "<h1>Slow queries" in get(app, "/dorm/slow").text
    assert get(app, "/dorm/static/dashboard.css").status_code == 200


def test_beside_an_application(made: Callable[..., Dashboard]) -> None:
    async def theirs(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(f"theirs {scope['path']}")(scope, receive, send)

    app = Beside(made(), theirs)
    assert get(app, "/").text == "theirs /"
    assert get(app, "/dormouse").text == "theirs /dormouse"
    assert "<h1>Pools" in get(app, "/dorm/pools").text
    assert get(app, "/dorm?token=x").headers["location"] == "http://testserver/dorm/?token=x"
    alone = Beside(made())
    assert get(alone, "/").headers["location"] == "http://testserver/dorm/"
    for path in ("dorm", "/dorm/", "/"):
        with pytest.raises(ValueError, match="path"):
            Beside(made(), None, path)


def test_websockets_are_refused(made: Callable[..., Dashboard]) -> None:
    with pytest.raises(RuntimeError, match="HTTP"):
        asyncio.run(made()({"type": "websocket", "path": "/"}, None, None))


# -- bounds ------------------------------------------------------------------------------------------------------


def test_curves_keep_a_window_of_some_templates() -> None:
    curves = Curves()
    now = float(1_000_000 * STEP_SECONDS)
    for number in range(MOST_SERIES + 50):
        curves.add(("default", f"SELECT {number}"), [1.0], 0, now)
    assert len(curves._by_key) == MOST_SERIES
    assert curves.table(("default", f"SELECT {MOST_SERIES + 1}")) is None
    later = now + (MOST_STEPS + 1) * STEP_SECONDS
    curves.add(("default", "SELECT late"), [1.0], 0, later)
    assert list(curves._by_key) == [("default", "SELECT late")]
    for step in range(3 * MOST_STEPS):
        curves.add(("default", "SELECT late"), [1.0], 0, later + step * STEP_SECONDS)
    assert len(curves._by_key["default", "SELECT late"].steps) == MOST_STEPS


@pytest.mark.parametrize("ms", [0.0, 0.005, 0.02, 1.0, 7.3, 1500.0, 10.0**9])
def test_quantiles_are_right_to_a_bin(ms: float) -> None:
    curve = Curve()
    for _ in range(100):
        curve.step(1).add([ms], [place_of(ms)], 0)
    found = curve.steps[-1].quantile(0.95)
    assert found <= max(ms, 0.0)
    if 0.02 <= ms <= 10_000:
        assert found == pytest.approx(ms, rel=0.13)


def test_a_step_without_statements_has_no_time() -> None:
    curve = Curve()
    curve.step(100).add([5.0], [3], 0)
    curve.step(103).add([5.0], [3], 1)
    table = curve.table(now=104.0 * STEP_SECONDS - 1)
    assert table["at"] == [at * STEP_SECONDS for at in (100, 101, 102, 103)]
    assert table["rate"] == [0.1, 0.0, 0.0, 0.11], "the step of now by the seconds it has lasted"
    assert table["p50"][1:3] == [None, None]


@pytest.mark.parametrize("backend", ["sqlite"])
def test_threads_are_counted_exactly(shop: dict[str, Any]) -> None:
    recorder = Recorder()
    recorder.start()
    recorder.start()

    def work() -> None:
        for _ in range(200):
            Customer.objects.count()

    threads = [threading.Thread(target=work) for _ in range(4)]
    begin = time.time()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    recorder.stop()
    Customer.objects.count()
    assert [each.count for each in recorder.templates()] == [800]
    if time.time() - begin < MOST_STEPS * STEP_SECONDS:
        assert sum(step.count for step in recorder._curves._every.steps) == 800
