"""``dorm rotate-keys``."""

from __future__ import annotations

from typing import Any

import click

from dorm.cli.project import project_command


@project_command("rotate-keys")
@click.option("--model", "labels", multiple=True, metavar="APP.MODEL", help="Only these models; all without.")
@click.option("--database", default="default", show_default=True, metavar="ALIAS")
@click.option("--batch-size", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--dry-run", is_flag=True, help="Count what would be rewritten.")
@click.option("--keep-plain", is_flag=True, help="Leave text that was stored before the column was encrypted.")
@click.option("--verify", is_flag=True, help="Only count values by the key that opens them.")
def rotate_keys(
    labels: tuple[str, ...], database: str, batch_size: int, dry_run: bool, keep_plain: bool, verify: bool
) -> None:
    """Write every encrypted value under the newest key. Run again after an interruption, it goes on."""
    from dorm.contrib import encrypted

    for model in _models(labels):
        name = model._meta.label
        if verify:
            counts = encrypted.verify_encryption_keys(model, using=database)
            click.echo(
                f"{name}: {', '.join(f'key {key}: {n}' for key, n in sorted(counts.items(), key=str)) or 'no values'}"
            )
            continue
        total = model._base_manager.using(database).count()
        with click.progressbar(length=total, label=name) as bar:
            done = 0

            def advance(rewritten: int, examined: int, bar: Any = bar) -> None:
                nonlocal done
                bar.update(examined - done)
                done = examined

            number = encrypted.rotate_encryption_keys(
                model,
                batch_size=batch_size,
                progress=advance,
                using=database,
                dry_run=dry_run,
                encrypt_plain=not keep_plain,
            )
        click.echo(f"{name}: {number} rows {'would be rewritten' if dry_run else 'rewritten'}")


def _models(labels: tuple[str, ...]) -> list[Any]:
    from dorm.conf.registry import registry
    from dorm.contrib import encrypted

    if not labels:
        return [model for model in registry.all() if not model._meta.proxy and encrypted.encrypted_fields(model)]
    return [registry.get(*label.rpartition(".")[::2]) for label in labels]
