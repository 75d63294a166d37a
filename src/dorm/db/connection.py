"""Connections by alias, as users know them: the handles of both faces, and what concerns all databases at once."""

from __future__ import annotations

from dorm.db.database import (
    Connections,
    Database,
    close_all,
    close_all_async,
    connections,
    pool_stats,
    reset_connections,
)
from dorm.db.health import ahealth_check, health_check
from dorm.transaction.handle import (
    AsyncConnectionHandle,
    ConnectionHandle,
    aconnection_for,
    connection_for,
    get_async_connection,
    get_connection,
)

__all__ = [
    "AsyncConnectionHandle",
    "ConnectionHandle",
    "Connections",
    "Database",
    "aconnection_for",
    "ahealth_check",
    "close_all",
    "close_all_async",
    "connection_for",
    "connections",
    "get_async_connection",
    "get_connection",
    "health_check",
    "pool_stats",
    "reset_connections",
]
