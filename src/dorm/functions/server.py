"""Functions that PostgreSQL has of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dorm.db.types import UUID
from dorm.expressions.func import Func
from dorm.functions.dates import Now
from dorm.lookups.server import require
from dorm.sql.node import TypedOutput

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


class RandomUUID(Func):
    """A version 4 UUID that the server makes, another one for each row.

    Raises: NotSupportedError: where the backend is not PostgreSQL, when the query is compiled.
    """

    function = "GEN_RANDOM_UUID"
    is_volatile = True
    arity = 0
    output = TypedOutput(UUID)

    def render(self, compiler: Compiler) -> str:
        require(compiler, "function RandomUUID")
        return "GEN_RANDOM_UUID()"


class TransactionNow(Now):
    """The time at which the transaction began; that of the statement is `Now`.

    Raises: NotSupportedError: where the backend is not PostgreSQL, when the query is compiled.
    """

    def render(self, compiler: Compiler) -> str:
        require(compiler, "function TransactionNow")
        return self.local(compiler, "CURRENT_TIMESTAMP")
