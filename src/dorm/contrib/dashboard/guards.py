"""Who may look: a guard is called with each request before anything else happens."""

from __future__ import annotations

import hmac
import inspect
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

Guard: TypeAlias = "Callable[[Request], bool | Response | Awaitable[bool | Response]]"
"""``guard(request)``, a function or a coroutine function: True lets the request in, a response (a redirect to the
log-in page) is sent instead of the page, everything else is 403."""

_COOKIE = "dorm_dashboard"


async def judged(guard: Guard, request: Request) -> Response | None:
    """Return None when *guard* lets *request* in, else the response to send. Errors of the guard are its caller's."""
    answer = guard(request)
    if inspect.isawaitable(answer):
        answer = await answer
    if answer is True:
        return None
    if isinstance(answer, Response):
        return answer
    return PlainTextResponse("You may not see this page.", 403)


class TokenGuard:
    """Lets in who knows a token: ``Authorization: Bearer TOKEN``, or once ``?token=TOKEN``, then by a cookie.

    Args:
        token: at least 16 characters; None makes one, readable as ``token``.
    """

    def __init__(self, token: str | None = None) -> None:
        if token is not None and len(token) < 16:
            raise ValueError("token has less than 16 characters: anybody could guess it")
        self.token = token if token is not None else secrets.token_urlsafe(24)

    def __call__(self, request: Request) -> bool | Response:
        """Judge one request."""
        given = request.query_params.get("token")
        if given is not None and self._is_right(given):
            # The token leaves the address bar: addresses are kept in histories and sent as referrers.
            rest = request.url.remove_query_params("token")
            target = f"./{rest.path.rpartition('/')[2]}{'?' if rest.query else ''}{rest.query}"
            answer = RedirectResponse(target, 303)  # relative: right behind any proxy
            secure = request.url.scheme == "https"
            answer.set_cookie(_COOKIE, self.token, httponly=True, samesite="strict", secure=secure)
            return answer
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_right(bearer.strip()):
            return True
        return self._is_right(request.cookies.get(_COOKIE, ""))

    def _is_right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())
