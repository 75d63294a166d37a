"""Raw SQL of tests, in the face of the test."""

from __future__ import annotations

from typing import Any

import dorm
from dorm.db.operation import arun, run
from dorm.db.perform import perform
from dorm.db.request import FetchTable, Script
from dorm.db.statement import Statement, Template
from tests.support.faces import Face


async def raw(face: Face, sql: str, *params: Any, using: str = "default") -> list[Any]:
    """Send *sql* with ``%s`` placeholders and return its rows."""
    database = dorm.connections[using]
    statement = Statement(Template(database.dialect.raw_sql(sql, bool(params))), params)
    request = FetchTable(database, statement)
    found = await arun(perform(request)) if face.is_async else run(perform(request))
    return found.rows


async def script(face: Face, sql: str) -> None:
    """Send a text of several statements."""
    request = Script(dorm.connections["default"], Statement(Template(sql)))
    if face.is_async:
        await arun(perform(request))
    else:
        run(perform(request))
