"""``dorm doctor``."""

from __future__ import annotations

import sys
from typing import Any

import click

from dorm.cli.project import FAILED, ProjectCommand, Refused, format_option, print_json


class DoctorCommand(ProjectCommand):
    """Loads the settings one by one, so that those that are refused become findings."""

    def _load(self, settings_module: str | None) -> None:
        from dorm.cli import checks
        from dorm.conf.project import import_models, load_settings
        from dorm.conf.settings import settings
        from dorm.exceptions import ImproperlyConfigured

        checks.REFUSED.clear()

        def lenient(given: dict[str, Any]) -> None:
            for name, value in given.items():
                try:
                    settings.configure(**{name: value})
                except ImproperlyConfigured as exc:
                    checks.REFUSED.append((name, str(exc)))
            if not settings.is_configured:
                settings.configure(DEBUG=False)

        load_settings(settings_module, lenient)
        import_models()


@click.command(cls=DoctorCommand)
@click.option("--strict", is_flag=True, help="Notes fail too.")
@format_option
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave out this check (may be repeated).")
@click.option("--connect", is_flag=True, help="Also try to connect to each database.")
@click.pass_context
def doctor(ctx: click.Context, strict: bool, form: str, ignore: tuple[str, ...], connect: bool) -> None:
    """Look for misconfiguration before it is deployed. Warnings exit with 1; nothing is changed."""
    from dorm.cli import checks

    unknown = sorted({code.upper() for code in ignore} - set(checks.codes()))
    if unknown and not checks.has_plug_ins():
        raise Refused(f"doctor: there is no check {unknown[0]!r}. Checks: {', '.join(checks.codes())}.")
    findings = checks.run_checks(ignore=set(ignore), connect=connect)
    warnings = [each for each in findings if each.severity == "warning"]
    notes = [each for each in findings if each.severity == "note"]
    if form == "json":
        print_json({"warnings": [_value(each) for each in warnings], "notes": [_value(each) for each in notes]})
    else:
        _print(warnings, notes)
    if warnings or (strict and notes):
        ctx.exit(FAILED)


def _value(finding: object) -> dict[str, str]:
    return {name: str(getattr(finding, name)) for name in ("code", "message", "hint")}


def _print(warnings: list[Any], notes: list[Any]) -> None:
    encoding = sys.stdout.encoding or "ascii"
    dash, dot = ("—", "·") if _can_say("—·", encoding) else ("-", "|")
    click.echo(f"dorm doctor {dash} {len(warnings)} warning(s), {len(notes)} note(s)")
    for title, mark, found in (("warnings", "!", warnings), ("notes", dot, notes)):
        if found:
            click.echo(f"{title}:")
        for each in found:
            value = _value(each)
            click.echo(f"  {mark} {value['code']} {value['message']}{' ' + value['hint'] if value['hint'] else ''}")
    if not warnings and not notes:
        click.echo("All clear.")


def _can_say(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
