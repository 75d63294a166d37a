"""``dorm shell``, ``dbshell``, ``runscript``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from dorm.cli.project import Refused, check_alias, database_option, project_command

NO_CLIENT = 127


def namespace() -> dict[str, Any]:
    """Return what a shell begins with: dorm, its common names, and every model by its name.

    Where several apps have a model of one name it is that of the app which stands first in INSTALLED_APPS.
    """
    import dorm
    from dorm.conf.registry import registry
    from dorm.migrations.apps import installed_apps

    found: dict[str, Any] = {"dorm": dorm, "settings": dorm.settings}
    for name in ("Q", "F", "Count", "Sum", "Avg", "Max", "Min", "transaction"):
        found[name] = getattr(dorm, name)
    order = {app.label: number for number, app in enumerate(installed_apps())}
    models = [model for model in registry.all() if not model._meta.auto_created]
    for model in sorted(models, key=lambda model: order.get(model._meta.app_label, len(order)), reverse=True):
        found[model.__name__] = model
    return found


@project_command()
@click.option("--command", "-c", "code", metavar="CODE", help="Run this code and leave; it may await.")
@click.option("--plain", is_flag=True, help="Python's own shell, also where IPython is installed.")
@click.option("--print-sql", "print_sql", is_flag=True, help="Print each statement.")
def shell(code: str | None, plain: bool, print_sql: bool) -> None:
    """Open a Python shell with the models loaded, in which ``await`` works at the top level."""
    names = namespace()
    if print_sql:
        _echo_statements()
    if code is not None:
        run_code(code, names, "<command>")
        return
    if not sys.stdin.isatty():
        run_code(sys.stdin.read(), names, "<stdin>")
        return
    banner = f"dorm shell: {', '.join(sorted(name for name in names if name[:1].isupper()))}"
    if not plain:
        try:
            from IPython import start_ipython  # type: ignore[import-not-found]  # an optional convenience
        except ImportError:
            pass
        else:
            click.echo(banner)
            start_ipython(argv=["--autoawait=asyncio"], user_ns=names)
            return
    _console(names, banner)


def _echo_statements() -> None:
    from dorm.db.hooks import Observation, chain

    def tell(observation: Observation) -> None:
        if not observation.statement.internal:
            click.secho(f"({observation.elapsed * 1000:.1f} ms) {observation.statement.sql}", dim=True, err=True)

    chain.install_observer(tell)


def run_code(source: str, names: dict[str, Any], file: str) -> None:
    """Run source that may await at its top level."""
    import ast
    import asyncio
    import inspect

    code = compile(source, file, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:

        async def main() -> None:
            await eval(code, names)

        asyncio.run(main())
    else:
        exec(code, names)


def _console(names: dict[str, Any], banner: str) -> None:
    """Python's shell with top-level await: an event loop in a thread of its own runs what awaits."""
    import asyncio
    import code as interactive
    import contextlib
    import threading
    import types

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True, name="dorm-shell").start()

    class Console(interactive.InteractiveConsole):
        def runcode(self, code: types.CodeType) -> None:
            import inspect

            if not code.co_flags & inspect.CO_COROUTINE:
                super().runcode(code)
                return

            async def main() -> Any:
                function = types.FunctionType(code, self.locals)
                return await function()

            try:
                asyncio.run_coroutine_threadsafe(main(), loop).result()
            except SystemExit:
                raise
            except BaseException:  # noqa: BLE001  # a shell shows whatever it is and goes on
                self.showtraceback()

    import ast

    with contextlib.suppress(ImportError):
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    console = Console(names)
    console.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    console.interact(banner, "")


@project_command(tracebacks=True, context_settings={"ignore_unknown_options": True})
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def runscript(path: Path, arguments: tuple[str, ...]) -> None:
    """Run the file PATH with the project loaded; a function ``run(*arguments)`` in it is called."""
    import asyncio
    import inspect
    import runpy

    if not path.is_file():
        raise Refused(f"runscript: there is no file {str(path)!r}.")
    sys.argv = [str(path), *arguments]
    found = runpy.run_path(str(path), run_name="__main__")
    entry = found.get("run")
    if inspect.isfunction(entry) and entry.__code__.co_filename == str(path):
        result = entry(*arguments)
        if inspect.iscoroutine(result):
            asyncio.run(result)


@project_command(models=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@database_option
@click.pass_context
def dbshell(ctx: click.Context, arguments: tuple[str, ...], database: str) -> None:
    """Open the client of the database: psql, sqlite3 or mysql. The password goes through the environment."""
    from dorm.conf.settings import settings
    from dorm.db.backends.engines import engine_of

    check_alias(database)
    config = settings.database(database)
    make = engine_of(config).client
    if make is None:
        raise Refused(f"dbshell: there is no client for the engine {config.engine!r}.")
    client = make(config)
    name = client.arguments[0]
    if shutil.which(name) is None:
        click.echo(f"dbshell: the client {name!r} is not installed, or is not on the PATH.", err=True)
        ctx.exit(NO_CLIENT)
    environment = {**os.environ, **client.environment}
    ctx.exit(subprocess.run([*client.arguments, *arguments], env=environment, check=False).returncode)
