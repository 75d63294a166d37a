"""What commands share: loading the project, errors as one line, exit codes, output."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from dorm.exceptions import DormError, ImproperlyConfigured, error_text

FAILED, REFUSED = 1, 2


class Refused(click.ClickException):
    """Wrong use, or something that is refused: exit code 2."""

    exit_code = REFUSED

    def show(self, file: Any = None) -> None:
        click.echo(self.format_message(), err=True)


class ProjectCommand(click.Command):
    """A command on a project: takes ``--settings`` and ``--traceback``, loads the project, prints errors as one line.

    Args:
        models: import the models of the apps too.
        tracebacks: it runs the user's own program, whose errors are shown as Python shows them.
    """

    def __init__(self, *args: Any, models: bool = True, tracebacks: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.imports_models = models
        self.shows_tracebacks = tracebacks
        self.params.append(
            click.Option(["--settings", "settings_module"], metavar="MODULE", help="Dotted path of the settings.")
        )
        self.params.append(click.Option(["--traceback"], is_flag=True, help="Show where an error came from."))

    def invoke(self, ctx: click.Context) -> Any:
        settings_module = ctx.params.pop("settings_module", None)
        traceback = ctx.params.pop("traceback", False)
        try:
            self._load(settings_module)
        except Exception as exc:
            if traceback:
                raise
            raise Refused(f"{self.name}: {_text(exc)}{_place(exc)}") from exc
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            # Whoever reads the output may stop when he has enough ("| head"): click ends without a word.
            raise
        except Exception as exc:
            if traceback or self.shows_tracebacks:
                raise
            more = (
                "" if isinstance(exc, (DormError, OSError, ValueError)) else " (--traceback shows where it came from)"
            )
            click.echo(f"{self.name}: {_text(exc)}{more}", err=True)
            ctx.exit(REFUSED if isinstance(exc, ImproperlyConfigured) else FAILED)

    def _load(self, settings_module: str | None) -> None:
        from dorm.conf.project import import_models, load_settings

        load_settings(settings_module)
        if self.imports_models:
            import_models()


def _text(exc: BaseException) -> str:
    """Return an error as one line, with the notes it carries."""
    text = error_text(exc)
    if isinstance(exc, SyntaxError) and exc.filename:
        text = f"{exc.filename}:{exc.lineno}: SyntaxError: {exc.msg}"
    notes = getattr(exc, "__notes__", [])
    return "; ".join([" ".join(text.split()).removesuffix("." if notes else ""), *notes])


def _place(exc: BaseException) -> str:
    """Return `` (file:line)`` of the project's own code that an error came from; nothing when it is dorm's."""
    own = str(Path(__file__).parent.parent)
    found, trace = "", exc.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith((own, "<")) and "site-packages" not in file and not file.startswith(sys.base_prefix):
            found = f" ({file}:{trace.tb_lineno})"
        trace = trace.tb_next
    return found


def project_command(
    name: str | None = None, *, models: bool = True, tracebacks: bool = False, **options: Any
) -> Callable[[Any], click.Command]:
    """Decorator: make a function a command on a project."""

    def made(fn: Any) -> click.Command:
        command: click.Command = click.command(
            name, cls=ProjectCommand, models=models, tracebacks=tracebacks, **options
        )(fn)
        return command

    return made


def database_option(fn: Any) -> Any:
    """Decorator: the option ``--database ALIAS``."""
    return click.option("--database", default="default", metavar="ALIAS", help="Key of DATABASES.")(fn)


def format_option(fn: Any) -> Any:
    """Decorator: the options ``--format text|json`` and ``--json``; the function takes the choice as *form*."""

    @functools.wraps(fn)
    def call(*args: Any, form: str, as_json: bool, **kwargs: Any) -> Any:
        return fn(*args, form="json" if as_json else form, **kwargs)

    short = click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
    choice = click.option(
        "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For programs."
    )
    return choice(short(call))


def check_alias(alias: str) -> None:
    """Refuse an alias that is none."""
    from dorm.conf.settings import settings
    from dorm.exceptions import choices_text, nearest

    databases = settings.DATABASES
    if alias not in databases:
        raise Refused(
            f"there is no database {alias!r} in DATABASES.{nearest(alias, databases)} "
            f"Aliases: {choices_text(databases)}."
        )


def write_file(path: Path, pieces: Iterable[str]) -> None:
    """Write a file as a whole: where that fails, what was there before is there still."""
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as file:  # a pipe or a device
            file.writelines(pieces)
        return
    import tempfile  # dear for commands that write nothing

    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}-", delete=False
    ) as file:
        try:
            file.writelines(pieces)
            file.close()
            mode = path.stat().st_mode if path.exists() else 0o666 & ~_umask()
            os.chmod(file.name, mode)
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, default=str))


def is_terminal() -> bool:
    """True when a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
