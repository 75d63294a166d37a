"""Names of engines."""

from __future__ import annotations

ENGINES: dict[str, str] = {
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "psql": "postgresql",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "libsql": "libsql",
    "mysql": "mysql",
    "mysql+pymysql": "mysql",
    "mysql+asyncmy": "mysql",
    "mariadb": "mariadb",
    "cockroachdb": "cockroachdb",
    "duckdb": "duckdb",
}
"""Engine of each URL scheme."""
