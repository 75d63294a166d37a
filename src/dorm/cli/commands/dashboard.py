"""``dorm dashboard``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from dorm.cli.project import Refused, project_command


@project_command("dashboard")
@click.option("--app", "app_path", metavar="MODULE:NAME", help="An ASGI application to serve beside it.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535))
@click.option("--path", default="/dorm", show_default=True, help="Where it lies.")
@click.option("--guard", "guard_path", metavar="MODULE:NAME", help="Judges requests, in place of a token.")
@click.option("--token", envvar="DORM_DASHBOARD_TOKEN", help="The token to ask for; by default a new one each time.")
def dashboard(app_path: str | None, host: str, port: int, path: str, guard_path: str | None, token: str | None) -> None:
    """Serve the dashboard, beside the application that it watches.

    A dashboard shows the statements of its own process: give your application with --app. Alone it shows the graph of
    migrations. Needs the extra "dashboard".
    """
    try:
        import uvicorn

        from dorm.contrib.dashboard import Dashboard, TokenGuard
        from dorm.contrib.dashboard.alone import Beside
    except ImportError as exc:
        raise Refused(f"the dashboard needs {exc.name}: pip install 'dormdb[dashboard]'") from exc
    app = _named(app_path, "--app") if app_path is not None else None
    try:
        guard: Any = _named(guard_path, "--guard") if guard_path is not None else TokenGuard(token)
        shown = Dashboard(guard=guard)
        served = Beside(shown, app, path)
    except (TypeError, ValueError) as exc:
        raise Refused(str(exc)) from exc
    query = f"?token={guard.token}" if isinstance(guard, TokenGuard) else ""
    click.echo(f"http://{host}:{port}{path}/{query}")
    try:
        # No access log: the first visit has the token in its address.
        uvicorn.run(served, host=host, port=port, access_log=False, log_level="warning")
    finally:
        shown.close()


def _named(path: str, option: str) -> Any:
    """Return what ``module:name`` means."""
    module, colon, name = path.partition(":")
    if not colon or not module or not name:
        raise Refused(f"{option} takes MODULE:NAME, not {path!r}")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as exc:
        raise Refused(f"{option}: {exc}") from exc
    return found
