"""The dashboard in a real browser: every page is drawn, comes again by itself, and breaks none of its own rules."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import dorm
from dorm.contrib import nplusone, sql_allowlist
from dorm.contrib.dashboard import Dashboard, TokenGuard
from dorm.contrib.dashboard.alone import Beside
from dorm.db.connection import get_connection
from tests.contrib.models import Customer
from tests.contrib.web import chromium

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("backend", ["postgresql"])]

LONG = (
    "SELECT "
    + ", ".join(f"c.name AS a_column_with_a_long_name_{n}" for n in range(200))
    + " FROM contrib_tests_customer c"
)


@pytest.fixture
def address(shop: dict[str, Any]) -> Iterator[str]:
    """Address of a dashboard that has something on every page, with a place for the page."""
    guard = TokenGuard()
    dashboard = Dashboard(guard=guard, refresh_seconds=1, title="</title><script>document.title='broken'</script>")
    server = uvicorn.Server(uvicorn.Config(Beside(dashboard), port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        dorm.configure(SLOW_QUERY_MS=0, SLOW_QUERY_EXPLAIN=True, SLOW_QUERY_EXPLAIN_INTERVAL_S=0)
        sql_allowlist.install([], raise_on_violation=False)
        with nplusone.detect(threshold=3):
            for _ in range(5):
                Customer.objects.create(name="<b>Ann</b>")
                list(Customer.objects.filter(name="<b>Ann</b>").order_by("name"))
        get_connection().execute(LONG)
        with pytest.raises(dorm.DatabaseError):
            get_connection().execute('SELECT "<img src=x onerror=alert(1)>" FROM "<script>alert(2)</script>"')
        until = time.monotonic() + 10
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/dorm/%s?token={guard.token}"
    finally:
        server.should_exit = True
        thread.join()
        dashboard.close()
        sql_allowlist.uninstall()


def browse(address: str, folder: Path, *options: str) -> tuple[str, str]:
    """Return the page as the browser has it after five seconds, and what it complained about."""
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--window-size=1200,900", "--virtual-time-budget=5000", "--enable-logging=stderr", *options, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=folder)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize(
    ("page", "wanted", "charts"),
    [
        ("", "a_column_with_a_long_name_7", 2),
        ("slow", "Seq Scan on contrib_tests_customer", 0),
        ("nplusone", "test_dashboard_browser.py:", 0),
        ("pools", "in use", 1),
        ("rejections", "a_column_with_a_long_name_199", 0),
    ],
)
def test_every_page_is_drawn_and_comes_again(page: str, wanted: str, charts: int, address: str, tmp_path: Path) -> None:
    text, complaints = browse(address % page, tmp_path, "--dump-dom")
    assert complaints == ""
    assert wanted in text
    assert text.count("<canvas") == charts
    drawn = re.search(r'data-drawn="(\d+)"', text)
    assert drawn is not None
    assert int(drawn[1]) >= 2, "the page did not ask for itself again"
    assert "<b>Ann" not in text
    assert "<img" not in text
    assert "<title>broken" not in text


@pytest.mark.parametrize("theme", ["0", "1"])
def test_pictures_can_be_taken_in_dark_and_light(theme: str, address: str, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    _, complaints = browse(
        address % "", tmp_path, f"--screenshot={picture}", f"--blink-settings=preferredColorScheme={theme}"
    )
    assert complaints == ""
    from PIL import Image

    with Image.open(picture) as image:
        corner = image.convert("RGB").getpixel((5, image.height - 5))
        colours = image.convert("RGB").getcolors(1_000_000)
    assert isinstance(corner, tuple)
    assert (sum(corner) < 200) == (theme == "0")
    assert colours is not None
    assert len(colours) > 50, "an empty page"


def test_without_a_token_there_is_nothing(address: str, tmp_path: Path) -> None:
    text, _ = browse((address % "").partition("?")[0], tmp_path, "--dump-dom")
    assert "You may not see this page." in text
    assert "contrib_tests" not in text
