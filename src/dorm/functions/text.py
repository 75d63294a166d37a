"""Functions of text."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from dorm.expressions.core import Value
from dorm.expressions.func import Func
from dorm.functions.base import at_least, in_type, kind_of
from dorm.lookups.classes import Transform
from dorm.sql.node import INTEGER_OUTPUT, TEXT_OUTPUT, Output, common_output

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


class Lower(Transform):
    """The text in lower case."""

    function = "LOWER"
    lookup_name = "lower"


class Upper(Transform):
    """The text in upper case."""

    function = "UPPER"
    lookup_name = "upper"


class Trim(Transform):
    """The text without spaces at both ends."""

    function = "TRIM"
    lookup_name = "trim"


class LTrim(Transform):
    """The text without spaces at its start."""

    function = "LTRIM"
    lookup_name = "ltrim"


class RTrim(Transform):
    """The text without spaces at its end."""

    function = "RTRIM"
    lookup_name = "rtrim"


class Length(Transform):
    """Number of characters; None for NULL."""

    function = "LENGTH"
    lookup_name = "length"
    output = INTEGER_OUTPUT


class Reverse(Transform):
    """The characters in reverse order."""

    function = "REVERSE"
    lookup_name = "reverse"


class Ord(Transform):
    """Code point of the first character."""

    function = "UNICODE"
    lookup_name = "ord"
    output = INTEGER_OUTPUT


class Chr(Transform):
    """The character of a code point."""

    function = "CHR"
    lookup_name = "chr"
    output = TEXT_OUTPUT


class _Hash(Transform):
    """A digest of the text's UTF-8 bytes, as hexadecimal text."""

    output = TEXT_OUTPUT


class MD5(_Hash):
    """MD5 of the text, in hexadecimal."""

    function = "MD5"
    lookup_name = "md5"


class SHA1(_Hash):
    """SHA-1 of the text, in hexadecimal (PostgreSQL: with the extension pgcrypto)."""

    function = "SHA1"
    lookup_name = "sha1"


class SHA224(_Hash):
    """SHA-224 of the text, in hexadecimal."""

    function = "SHA224"
    lookup_name = "sha224"


class SHA256(_Hash):
    """SHA-256 of the text, in hexadecimal."""

    function = "SHA256"
    lookup_name = "sha256"


class SHA384(_Hash):
    """SHA-384 of the text, in hexadecimal."""

    function = "SHA384"
    lookup_name = "sha384"


class SHA512(_Hash):
    """SHA-512 of the text, in hexadecimal."""

    function = "SHA512"
    lookup_name = "sha512"


class Concat(Func):
    """Texts one after the other; NULL counts as empty, other types are turned to text.

    Raises: ValueError: fewer than two arguments.
    """

    function = "CONCAT"

    def __init__(self, *expressions: Any, **extra: Any) -> None:
        if len(expressions) < 2:
            raise ValueError("Concat must take at least two expressions")
        super().__init__(*expressions, **extra)

    def infer_output(self) -> Output | None:
        return common_output(self.args, "Expression") or TEXT_OUTPUT

    def render(self, compiler: Compiler) -> str:
        parts = [f"COALESCE({self._text(compiler, arg)}, '')" for arg in self.args]
        return f"({' || '.join(parts)})"

    def _text(self, compiler: Compiler, arg: Any) -> str:
        if kind_of(arg) == "text":
            return str(arg.sql(compiler))
        return compiler.dialect.cast_from(
            arg.sql(compiler), arg.output.sql_type if arg.output is not None else None, TEXT_OUTPUT.sql_type
        )


class Substr(Func):
    """The part that begins at *pos* (from 1) and has *length* characters, or all that follow.

    Raises: ValueError: *pos* is a number below 1.
    """

    function = "SUBSTRING"

    def __init__(self, expression: Any, pos: Any, length: Any = None, **extra: Any) -> None:
        args = [expression, at_least(pos, 1, "'pos' must be greater than 0")]
        if length is not None:
            args.append(length)
        super().__init__(*args, **extra)

    def infer_output(self) -> Output | None:
        return self.args[0].output or TEXT_OUTPUT

    def render(self, compiler: Compiler) -> str:
        name = "Substr" if len(self.args) == 3 else "Substr:2"
        return compiler.dialect.functions[name].format(*[arg.sql(compiler) for arg in self.args])


class Left(Func):
    """The first *length* characters.

    Raises: ValueError: *length* is a number below 1.
    """

    function = "LEFT"
    arity = 2

    def __init__(self, expression: Any, length: Any, **extra: Any) -> None:
        super().__init__(expression, at_least(length, 1, "'length' must be greater than 0."), **extra)

    def infer_output(self) -> Output | None:
        return self.args[0].output or TEXT_OUTPUT


class Right(Left):
    """The last *length* characters.

    Raises: ValueError: *length* is a number below 1.
    """

    function = "RIGHT"


class LPad(Func):
    """The text filled up to *length* characters with *fill_text* at its start; a longer text is cut.

    Raises: ValueError: *length* is a number below 0.
    """

    function = "LPAD"

    def __init__(self, expression: Any, length: Any, fill_text: Any = Value(" "), **extra: Any) -> None:  # noqa: B008
        wanted = length if length is None else at_least(length, 0, "'length' must be greater or equal to 0.")
        super().__init__(expression, wanted, fill_text, **extra)

    def infer_output(self) -> Output | None:
        return self.args[0].output or TEXT_OUTPUT


class RPad(LPad):
    """The text filled up to *length* characters with *fill_text* at its end; a longer text is cut.

    Raises: ValueError: *length* is a number below 0.
    """

    function = "RPAD"


class Repeat(Func):
    """The text *number* times.

    Raises: ValueError: *number* is a number below 0.
    """

    function = "REPEAT"

    def __init__(self, expression: Any, number: Any, **extra: Any) -> None:
        wanted = number if number is None else at_least(number, 0, "'number' must be greater or equal to 0.")
        super().__init__(expression, wanted, **extra)

    def infer_output(self) -> Output | None:
        return self.args[0].output or TEXT_OUTPUT


class Replace(Func):
    """The text with every *text* in it replaced by *replacement*."""

    function = "REPLACE"

    def __init__(self, expression: Any, text: Any, replacement: Any = Value(""), **extra: Any) -> None:  # noqa: B008
        super().__init__(expression, text, replacement, **extra)

    def infer_output(self) -> Output | None:
        return self.args[0].output or TEXT_OUTPUT


class StrIndex(Func):
    """Position (from 1) of the first *substring* in *string*; 0 when it is not there."""

    function = "INSTR"
    arity = 2
    output = INTEGER_OUTPUT

    def __init__(self, string: Any, substring: Any, **extra: Any) -> None:
        super().__init__(string, substring, **extra)


_COLLATION = re.compile(r"^[\w-]+$")


class Collate(Func):
    """The expression with a collation of the database.

    Raises: ValueError: a name that could not be one.
    """

    function = "COLLATE"

    def __init__(self, expression: Any, collation: str) -> None:
        if not isinstance(collation, str) or not _COLLATION.match(collation):
            raise ValueError(f"Invalid collation name: {collation!r}.")
        self.collation = collation
        super().__init__(expression)

    def options(self) -> tuple[Hashable, ...]:
        return (*super().options(), self.collation)

    def render(self, compiler: Compiler) -> str:
        return f"{in_type(compiler, self.args[0], self.output)} COLLATE {compiler.quote(self.collation)}"
