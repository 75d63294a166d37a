"""Functions that make JSON documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dorm.db.types import JSON
from dorm.expressions.core import Value
from dorm.expressions.func import Func
from dorm.sql.node import Node, Output, TypedOutput

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

_JSON = TypedOutput(JSON)


class _MadeJSON(Func):
    output = _JSON

    def infer_output(self) -> Output | None:
        return _JSON

    def part(self, compiler: Compiler, node: Node) -> str:
        """Return the text of one value, as JSON takes it."""
        text = node.sql(compiler)
        return text if node.output is None else compiler.dialect.json_part(text, node.output.sql_type)


class JSONObject(_MadeJSON):
    """A JSON object of keys and expressions: ``JSONObject(name="name", age=F("age") * 2)``.

    Strings are names of fields.
    """

    function = "JSON_OBJECT"

    def __init__(self, **fields: Any) -> None:
        args: list[Any] = []
        for key, value in fields.items():
            args += [Value(key), value]
        super().__init__(*args)

    def render(self, compiler: Compiler) -> str:
        keys = [compiler.dialect.json_key(key.sql(compiler)) for key in self.args[::2]]
        values = [self.part(compiler, value) for value in self.args[1::2]]
        pairs = ", ".join(f"{key}, {value}" for key, value in zip(keys, values, strict=True))
        return f"{compiler.dialect.functions.get('JSONObject', self.function)}({pairs})"


class JSONArray(_MadeJSON):
    """A JSON list of expressions; NULL becomes JSON's null."""

    function = "JSON_ARRAY"

    def render(self, compiler: Compiler) -> str:
        values = ", ".join(self.part(compiler, value) for value in self.args)
        return f"{compiler.dialect.functions.get('JSONArray', self.function)}({values})"
