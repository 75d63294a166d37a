"""The lexical rules of the engines, apart from their dialects: templates are made without any driver."""

from __future__ import annotations

from typing import Final

from dorm.db.lexis import STANDARD, Lexis

POSTGRESQL: Final = STANDARD
SQLITE: Final = Lexis("sqlite", named_marks=True, quoted_names=True, bodies="trigger")
MYSQL: Final = Lexis("mysql", hash_comments=True, spaced_dashes=True, keeps_case=True, backslashes=True)
DUCKDB: Final = Lexis("duckdb", nested_comments=True, dollar_quotes=True)

BY_VENDOR: Final = {"postgresql": POSTGRESQL, "sqlite": SQLITE, "libsql": SQLITE, "mysql": MYSQL, "duckdb": DUCKDB}
