"""Time zones in SQL: the name of the zone that a date function works in, bound when a statement is sent."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from dorm import timezone
from dorm.db.types import TEXT
from dorm.record import Record

if TYPE_CHECKING:
    from dorm.db.dialect import Dialect
    from dorm.sql.compiler import Compiler


class _Zone(Record):
    """Supplies the name of a zone, of the current one for None."""

    dialect: Dialect
    tzinfo: datetime.tzinfo | None

    def __call__(self) -> str:
        return self.dialect.zone_name(timezone.get_current_timezone() if self.tzinfo is None else self.tzinfo)


def zone_sql(compiler: Compiler, tzinfo: datetime.tzinfo | None) -> str:
    """Return a placeholder for the name of *tzinfo*, of the current zone for None."""
    return compiler.supplied(_Zone(compiler.dialect, tzinfo), TEXT)
