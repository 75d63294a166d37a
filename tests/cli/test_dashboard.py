"""``dorm dashboard``: a server beside an application, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.support.cli import _SRC, Scratch


def _fetch(address: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        with opener.open(address, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def _free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_it_serves_the_application_and_the_dashboard(blog: Scratch) -> None:
    blog.write(
        "site_app.py",
        """
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        from dorm.db.connection import get_connection

        def home(request):
            get_connection().execute("SELECT 4711 AS answer")
            return PlainTextResponse("home")

        app = Starlette(routes=[Route("/", home)])
        """,
    )
    port = _free_port()
    command = [sys.executable, "-m", "dorm", "dashboard", "--app", "site_app:app", "--port", str(port)]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("DORM_", "PG"))}
    server = subprocess.Popen(
        command,
        cwd=blog.folder,
        env={**inherited, "PYTHONPATH": _SRC, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith(f"http://127.0.0.1:{port}/dorm/?token=")
        for _ in range(100):
            try:
                home = _fetch(f"http://127.0.0.1:{port}/")
                break
            except urllib.error.URLError:
                import time

                time.sleep(0.1)
        assert home == (200, "home")
        assert _fetch(address.partition("?")[0])[0] == 403
        status, text = _fetch(address)
        assert status == 200
        assert "SELECT ? AS answer" in text
        assert "4711" not in text
    finally:
        server.terminate()
        _, errors = server.communicate(timeout=20)
    assert "Traceback" not in errors
    assert "token" not in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--app", "nope:app"], "No module named 'nope'"),
        (["--app", "blog.models"], "MODULE:NAME"),
        (["--guard", "blog.models:nope"], "has no attribute 'nope'"),
        (["--token", "short"], "16 characters"),
        (["--path", "dorm"], "begin with a slash"),
    ],
)
def test_wrong_use_is_refused(arguments: list[str], said: str, blog: Scratch) -> None:
    ran = blog.run("dashboard", *arguments)
    assert ran.code == 2
    assert said in ran.err
