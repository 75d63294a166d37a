"""The dashboard beside an application in one server, as ``dorm dashboard --app`` runs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Mount

App: TypeAlias = "Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]"

PATH: Final = "/dorm"


class Beside:
    """Serves *dashboard* below *path* and everything else, start and end of the server too, by *app*.

    Without *app* the root leads to the dashboard.
    """

    def __init__(self, dashboard: App, app: App | None = None, path: str = PATH) -> None:
        if not path.startswith("/") or path.endswith("/"):
            raise ValueError(f"path must begin with a slash and not end with one, not {path!r}")
        self.path = path
        self._mount = Mount(path, dashboard)
        self._dashboard = dashboard
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve one request, or tell the application that the server starts or ends."""
        if scope["type"] == "http":
            path = str(scope["path"])
            if path == self.path or (self._app is None and path == "/"):
                # The query goes along: a first visit has its token there.
                target = Request(scope).url.replace(path=f"{self.path}/")
                await RedirectResponse(target, 307)(scope, receive, send)
                return
            if path.startswith(f"{self.path}/") or self._app is None:
                _, below = self._mount.matches(scope)
                scope.update(below)
                await self._dashboard(scope, receive, send)
                return
        await (self._app if self._app is not None else self._dashboard)(scope, receive, send)
