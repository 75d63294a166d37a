"""Which field describes a column: its class and options, and classes of its own where dorm has none of that type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dorm
from dorm.db.connection import Database
from dorm.db.introspect import FoundColumn
from dorm.exceptions import ImproperlyConfigured, NotSupportedError

_FIELDS: dict[str, str] = {
    "smallint": "SmallIntegerField",
    "integer": "IntegerField",
    "int": "IntegerField",
    "bigint": "BigIntegerField",
    "boolean": "BooleanField",
    "bool": "BooleanField",
    "double precision": "FloatField",
    "double": "FloatField",
    "real": "FloatField",
    "float": "FloatField",
    "text": "TextField",
    "varchar": "CharField",
    "character varying": "CharField",
    "date": "DateField",
    "time": "TimeField",
    "time without time zone": "TimeField",
    "timestamp without time zone": "DateTimeField",
    "timestamp with time zone": "DateTimeField",
    "timestamp": "DateTimeField",
    "datetime": "DateTimeField",
    "interval": "DurationField",
    "uuid": "UUIDField",
    "jsonb": "JSONField",
    "json": "JSONField",
    "bytea": "BinaryField",
    "blob": "BinaryField",
    "inet": "GenericIPAddressField",
    "citext": "CITextField",
    "hstore": "HStoreField",
    "int4range": "IntegerRangeField",
    "int8range": "BigIntegerRangeField",
    "numrange": "DecimalRangeField",
    "daterange": "DateRangeField",
    "tstzrange": "DateTimeRangeField",
}
KEYS = {"SmallIntegerField": "SmallAutoField", "IntegerField": "AutoField", "BigIntegerField": "BigAutoField"}
_TEXTS = ("CharField", "TextField", "CITextField")
_SIZED = re.compile(r"(varchar|character varying|char|character|numeric|decimal)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)\Z")
_NUMBER = re.compile(r"-?\d+(\.\d+)?\Z")
_QUOTED = re.compile(r"'((?:[^']|'')*)'(?:::[\w\s]+(?:\(\d+\))?)?\Z")

_ALIASES = {
    "varchar": "character varying",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "time": "time without time zone",
    "bool": "boolean",
    "int": "integer",
    "int4": "integer",
    "int8": "bigint",
    "float8": "double precision",
    "decimal": "numeric",
}


def normal_type(text: str) -> str:
    """Return a type's text in one spelling."""
    lowered = re.sub(r"\s*([(),])\s*", r"\1", text.lower()).replace(",", ", ").strip()
    lowered = re.sub(r"\s+collate\s+\S+$", "", lowered).replace('"', "")
    head, bracket, rest = lowered.partition("(")
    dimensions = "[]" if head.endswith("[]") else ""
    head = head.removesuffix("[]")
    return _ALIASES.get(head, head) + dimensions + bracket + rest


@dataclass(frozen=True)
class FieldSource:
    """A field as source.

    Attributes:
        kind: name of its class. options: keyword, and source of the value. definitions: classes that the source needs.
        remark: what a reader should know. own: the class is one of *definitions*. first: source of the arguments by
            position. base: the class of dorm's that one of *definitions* is made of.
    """

    kind: str
    options: Mapping[str, str] = field(default_factory=dict)
    definitions: tuple[tuple[str, str], ...] = ()
    remark: str = ""
    own: bool = False
    first: str = ""
    base: str = ""

    def text(self, more: Mapping[str, str] | None = None) -> str:
        """Return the call that makes the field."""
        given = [self.first] if self.first else []
        given += [f"{name}={value}" for name, value in {**self.options, **(more or {})}.items()]
        return f"{'' if self.own else 'dorm.'}{self.kind}({', '.join(given)})"


def field_of(column: FoundColumn, database: Database) -> FieldSource:
    """Return the field for a column; the field's column is of the same type."""
    if column.type.endswith("[]"):
        element = field_of(replace(column, type=column.type[:-2]), database)
        return FieldSource("ArrayField", {}, element.definitions, element.remark, first=element.text())
    if column.values:
        return _enumeration(column)
    kind, options = _nearest(column.type.lower())
    shown = {name: repr(value) for name, value in options.items()}
    if kind and _spelled(kind, options, database) == normal_type(column.type):
        return FieldSource(kind, shown)
    return _of_its_own(kind, shown, column)


def _nearest(spelled: str) -> tuple[str, dict[str, Any]]:
    sized = _SIZED.match(spelled)
    if sized is None:
        return _FIELDS.get(spelled, ""), {}
    if sized[1] in ("numeric", "decimal"):
        return "DecimalField", {"max_digits": int(sized[2]), "decimal_places": int(sized[3] or 0)}
    return "CharField", {"max_length": int(sized[2])}


def _spelled(kind: str, options: dict[str, Any], database: Database) -> str:
    """Return the type that a field has in the database; empty where it has no such columns, or no such options."""
    try:
        found = getattr(dorm, kind)(**options).db_type(database)
    except (NotSupportedError, ImproperlyConfigured):
        return ""
    return normal_type(found or "")


def _of_its_own(kind: str, options: dict[str, str], column: FoundColumn) -> FieldSource:
    """Return a class for a type that no field of dorm has; it reads values as the nearest one does."""
    # Decimals are stored in a way of dorm's own where the type is another one: those values are left as they are.
    base = kind if kind and kind != "DecimalField" else "Field"
    given = options if base == kind else {}
    if not column.type:
        return FieldSource("TextField", {}, (), "the column has no type: this is a guess")
    # Numbers keep apart: numeric(1, 12) and numeric(11, 2) are two types.
    words = re.sub(r"\W+", " ", re.sub(r"(?<=\d)\W+(?=\d)", "_", column.type)).title().replace(" ", "")
    name = f"{words or 'Typed'}Column"
    text = (
        f'class {name}(dorm.{base}):\n    """A column of the type {column.type}."""\n\n'
        f"    def db_type(self, connection):\n        return {column.type!r}\n"
    )
    return FieldSource(name, given, ((name, text),), own=True, base=base)


def _enumeration(column: FoundColumn) -> FieldSource:
    type_name = column.type.strip('"')
    name = "".join(part[:1].upper() + part[1:] for part in re.split(r"\W+|_+", type_name) if part) or "Values"
    lines = [f"class {name}(enum.Enum):", f'    """The values of the type {type_name}."""', ""]
    taken: set[str] = set()
    for number, value in enumerate(column.values):
        member = re.sub(r"\W+", "_", value).strip("_").upper()
        if not member or member[0].isdigit() or member in taken or member == "MRO":
            member = f"VALUE_{number}"
        taken.add(member)
        lines.append(f"    {member} = {value!r}")
    options = {"native": "True", "type_name": repr(type_name)}
    return FieldSource("EnumField", options, ((name, "\n".join(lines) + "\n"),), first=name)


def default_of(column: FoundColumn, kind: str) -> str | None:
    """Return the source of the default that the database gives a column; None where it gives none."""
    given = (column.default or "").strip()
    if not given or re.match(r"null(::.*)?\Z", given, re.IGNORECASE):
        return None
    while given.startswith("(") and _closes_at_end(given):
        given = given[1:-1].strip()
    if kind.endswith("IntegerField") and re.fullmatch(r"-?\d+", given):
        return given
    if kind == "FloatField" and _NUMBER.match(given):
        return given
    if kind == "BooleanField" and given.lower() in ("true", "false", "0", "1"):
        return repr(given.lower() in ("true", "1"))
    quoted = _QUOTED.match(given)
    if quoted and kind in _TEXTS:
        return repr(quoted[1].replace("''", "'"))
    return raw(given)


def raw(sql: str, condition: bool = False) -> str:
    """Return the source of SQL text as an expression."""
    text = sql.replace("%", "%%")
    return f"dorm.RawSQL({text!r}{', output_field=dorm.BooleanField()' if condition else ''})"


def _closes_at_end(text: str) -> bool:
    """True when the first parenthesis is closed by the last one."""
    depth, quoted = 0, False
    for place, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif not quoted and char in "()":
            depth += 1 if char == "(" else -1
            if not depth:
                return place == len(text) - 1
    return False
