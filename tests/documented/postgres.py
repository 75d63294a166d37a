"""Tables of the pages of `contrib.postgres`, with the extensions they need."""

from __future__ import annotations

from typing import Any

import dorm
from dorm.migrations.schema import create_tables


def made(models: tuple[Any, ...], *extensions: str) -> None:
    """Create the tables of *models* in the database ``default``."""
    connection = dorm.connection_for("default")
    for name in extensions:
        connection.execute_script(f'CREATE EXTENSION IF NOT EXISTS "{name}"')
    # Sessions that were open before know nothing of the extensions' types.
    dorm.connections.reset()
    create_tables(models)
