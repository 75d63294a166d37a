"""AsyncMigrationExecutor: the async twin of `dorm.migrations.executor.MigrationExecutor`, on the same operations."""

from __future__ import annotations

from typing import Any

from dorm.db.operation import arun
from dorm.migrations.executor import (
    _NOTHING,
    _UP_TO_DATE,
    BaseExecutor,
    CapturedStatement,
    Statements,
)


class AsyncMigrationExecutor(BaseExecutor):
    """Applies and undoes migrations in asyncio code."""

    async def amigrate(
        self,
        app_label: str | None = None,
        migrations_dir: Any = None,
        dry_run: bool = False,
        fake: bool = False,
        fake_initial: bool = False,
    ) -> Statements | None:
        """Async twin of `MigrationExecutor.migrate`."""
        return await arun(
            self._go(
                app_label,
                migrations_dir,
                None,
                dry_run=dry_run,
                fake=fake,
                fake_initial=fake_initial,
                nothing=_UP_TO_DATE,
            )
        )

    async def arollback(
        self, app_label: str, migrations_dir: Any, target: str, *, dry_run: bool = False, fake: bool = False
    ) -> Statements | None:
        """Async twin of `MigrationExecutor.rollback`."""
        return await arun(
            self._go(app_label, migrations_dir, target, dry_run=dry_run, fake=fake, only_back=True, nothing=_NOTHING)
        )

    async def amigrate_to(
        self, app_label: str, migrations_dir: Any, target: str, *, dry_run: bool = False, fake: bool = False
    ) -> Statements | None:
        """Async twin of `MigrationExecutor.migrate_to`."""
        return await arun(self._go(app_label, migrations_dir, target, dry_run=dry_run, fake=fake, nothing=_UP_TO_DATE))

    async def ashow_migrations(self, app_label: str, migrations_dir: Any = None) -> list[tuple[str, bool]]:
        """Async twin of `MigrationExecutor.show_migrations`."""
        return await arun(self._shown(app_label, migrations_dir))

    async def asql_for(
        self, app_label: str, migrations_dir: Any, name: str, *, backwards: bool = False
    ) -> list[CapturedStatement]:
        """Async twin of `MigrationExecutor.sql_for`."""
        return await arun(self._sql_for(app_label, migrations_dir, name, backwards))
