"""The ASGI application: who is let in, which pages there are, what the browser may do with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from dorm.contrib.dashboard import pages, shown
from dorm.contrib.dashboard.guards import Guard, judged
from dorm.contrib.dashboard.recorder import Recorder

_HERE: Final = Path(__file__).parent
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGES: Final = {
    "": ("Templates", pages.templates),
    "slow": ("Slow queries", pages.slow),
    "nplusone": ("N+1", pages.nplusone),
    "pools": ("Pools", pages.pools),
    "rejections": ("Allow-list", pages.rejections),
    "migrations": ("Migrations", pages.migrations),
}
"""Path below the mount: what stands in the menu, and the function that gathers what the page shows."""

Scope = MutableMapping[str, Any]


class Dashboard:
    """A live view of this process as an ASGI application, to be mounted: ``app.mount("/dorm", Dashboard(guard=...))``.

    It collects from when it is made until `close`. Every request, that for a script included, first asks the guard.

    Args:
        guard: called with each request (`starlette.requests.Request`), a function or a coroutine function. True lets
            it in; a response is sent instead; anything else is 403. There is no default.
        title: what stands above the pages.
        refresh_seconds: how often an open page asks for itself again, from 1.
    Raises: TypeError: no guard that can be called. ValueError: *refresh_seconds* is no whole number from 1.
    """

    def __init__(self, *, guard: Guard, title: str = "dorm", refresh_seconds: int = 5) -> None:
        if not callable(guard):
            raise TypeError(
                f"guard must be a function that judges a request, not {type(guard).__name__}: the dashboard is never "
                "open to everybody; TokenGuard() lets in who knows a token"
            )
        if isinstance(refresh_seconds, bool) or not isinstance(refresh_seconds, int) or refresh_seconds < 1:
            raise ValueError(f"refresh_seconds must be a whole number from 1, not {refresh_seconds!r}")
        self.recorder = Recorder()
        self._guard = guard
        self._common = {
            "title": title,
            "refresh": refresh_seconds,
            "menu": [(path, _PAGES[path][0]) for path in _PAGES],
        }
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(shown.FILTERS)
        routes: list[Route | Mount] = [Route(f"/{path}", self._page(path), methods=["GET"]) for path in _PAGES]
        routes.append(Route("/template", self._page("template"), methods=["GET"]))
        routes.append(Mount("/static", StaticFiles(directory=_HERE / "static")))
        self._app = Starlette(routes=routes)
        self.recorder.start()

    def close(self) -> None:
        """Stop collecting; the pages show what there was."""
        self.recorder.stop()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the dashboard serves HTTP, not {scope['type']}")
        if scope["path"].endswith("/") and not scope.get("raw_path", b"/").partition(b"?")[0].endswith(b"/"):
            # Litestar ends the path of what is mounted in a slash that the address has not.
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        refused = await judged(self._guard, Request(scope, receive))
        await (refused if refused is not None else self._app)(scope, receive, _with_headers(send))

    def _page(self, path: str) -> Callable[[Request], Response]:
        title, gather = _PAGES.get(path, ("Template", pages.template))

        def serve(request: Request) -> Response:
            if not path and not request.scope["path"].endswith("/"):
                # Links are relative to the mount, so that it may lie anywhere, behind proxies too.
                return RedirectResponse(f"{request.scope['path'].rpartition('/')[2]}/", 307)
            self.recorder.sample()
            found = gather(self.recorder, request.query_params)
            if found is None:
                return PlainTextResponse("There is nothing of this name (any more).", 404)
            query = f"?{request.url.query}" if request.url.query else ""
            text = self._environment.get_template(f"{path or 'templates'}.html").render(
                **self._common,
                layout="part.html" if "hx-request" in request.headers else "page.html",
                page=title,
                path=path,
                here=f"./{path}{query}",
                **found,
            )
            return HTMLResponse(text, headers={"Vary": "HX-Request"})

        return serve


def _with_headers(send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> Any:
    """Return a *send* that adds what keeps the pages to themselves."""
    added = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *added]
        await send(message)

    return sending
