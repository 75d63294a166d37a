"""``dorm lint-migrations``."""

from __future__ import annotations

import click

from dorm.cli.project import FAILED, Refused, format_option, project_command


@project_command("lint-migrations")
@click.argument("apps", nargs=-1)
@format_option
@click.option("--rule", "rules", multiple=True, metavar="CODE", help="Only this rule (may be repeated).")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 whatever is found.")
@click.pass_context
def lint_migrations(
    ctx: click.Context, apps: tuple[str, ...], form: str, rules: tuple[str, ...], exit_zero: bool
) -> None:
    """Look for migrations that are unsafe on a live database, in all apps or in APPS."""
    from dorm.migrations.apps import installed_apps, resolve_label
    from dorm.migrations.lint import LintResult, full_code, lint_directory

    try:
        wanted = [full_code(rule) for rule in rules]
    except ValueError as exc:
        raise Refused(f"lint-migrations: {exc}") from exc
    found = installed_apps()
    labels = [resolve_label(app, [each.label for each in found]) for app in apps]
    result = LintResult()
    for app in found:
        if not labels or app.label in labels:
            result.findings.extend(lint_directory(app.migrations_dir, app.label).findings)
    if wanted:
        result = result.only(wanted)
    click.echo(result.to_json() if form == "json" else result.to_text())
    if not result.ok and not exit_zero:
        ctx.exit(FAILED)
