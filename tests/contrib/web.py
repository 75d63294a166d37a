"""Requests to an ASGI application without a server, for tests of either face."""

from __future__ import annotations

import asyncio
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest


def get(app: Any, path: str = "/", *, method: str = "GET", **options: Any) -> httpx.Response:
    """Return the answer to one request, asked on an event loop of its own."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, **options)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, ask()).result()


def chromium() -> str:
    """Return the browser's command; without one tests fail in CI and are skipped elsewhere."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed (scripts/servers installs it on Debian)")
        pytest.skip("chromium is not installed (scripts/servers installs it on Debian)")
    return found
