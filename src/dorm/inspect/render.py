"""Tables as the source of models; migrated, they describe the same tables."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dorm
from dorm.db.connection import Database, connections
from dorm.db.introspect import FoundColumn, FoundIndex, FoundReference, FoundTable
from dorm.indexes import automatic_name
from dorm.inspect.columns import KEYS, FieldSource, default_of, field_of, raw
from dorm.inspect.definitions import Definition, Part, index_parts, inner, split, unquoted

_OPCLASS = re.compile(r'((?:"(?:[^"]|"")*"|[\w$]+)|.*\))\s+([a-z_]\w*)\Z', re.DOTALL)
"""An expression of a constraint with its operator class behind it."""
_HEAD = """# Models of an existing database, written by 'dorm inspectdb'. Look through them:
# - the order of the classes, on_delete and related_name are yours to decide;
# - record the first migration of them as applied: dorm migrate --fake-initial.
"""


def render_models(
    tables: Iterable[FoundTable], only: Sequence[str] | None = None, *, connection: Any = "default"
) -> str:
    """Return the source of models for *tables*; migrated, they describe the same tables.

    Args:
        only: names of tables; None for all. connection: a connection, or its alias: where the tables were found.
    """
    chosen = [table for table in tables if only is None or table.name in only]
    database = connections[connection if isinstance(connection, str) else connection.alias]
    names = _class_names(chosen)
    made = {table.name: _Names.of(table, names) for table in chosen}
    by_name = {table.name: table for table in chosen}
    models = [_Model(table, by_name, names, made, database) for table in _in_order(chosen)]
    texts = [model.text() for model in models]
    definitions = dict(each for model in models for each in model.definitions)
    imports = "import enum\n\nimport dorm\n" if any("enum.Enum" in text for text in definitions.values()) else ""
    return "\n\n".join(
        [_HEAD + (imports or "import dorm\n"), *[definitions[name] for name in sorted(definitions)], *texts]
    )


def _class_names(tables: Sequence[FoundTable]) -> dict[str, str]:
    found: dict[str, str] = {}
    for table in tables:
        name = "".join(part[:1].upper() + part[1:] for part in re.split(r"\W+|_+", table.name) if part) or "Table"
        name = f"T{name}" if name[0].isdigit() else name
        while name in found.values() or keyword.iskeyword(name):
            name += "Model"
        found[table.name] = name
    return found


def _in_order(tables: Sequence[FoundTable]) -> list[FoundTable]:
    left = list(tables)
    found: list[FoundTable] = []
    while left:
        there = {table.name for table in left}
        ready = [t for t in left if not {r.table for r in t.references} & (there - {t.name})] or left[:1]
        found.extend(ready)
        left = [table for table in left if table not in ready]
    return found


@dataclass(frozen=True)
class _Names:
    """What the columns of a table are called in its model, and which of them are relations."""

    attributes: Mapping[str, str]
    references: Mapping[str, FoundReference]

    @classmethod
    def of(cls, table: FoundTable, models: Mapping[str, str]) -> _Names:
        references = {
            each.columns[0]: each for each in table.references if len(each.columns) == 1 and each.table in models
        }
        taken: set[str] = set()
        attributes: dict[str, str] = {}
        for column in table.columns:
            relation = column.name in references
            name = attributes[column.name] = _attribute(column.name, relation, taken)
            taken.update([name, f"{name}_id"] if relation else [name])
        return cls(attributes, references)


def _attribute(column: str, relation: bool, taken: set[str]) -> str:
    name = re.sub(r"\W", "_", column.lower())
    if relation and name.endswith("_id"):
        name = name[:-3]
    name = re.sub(r"_+", "_", name).strip("_") or "field"
    if name[0].isdigit():
        name = f"number_{name}"
    # What a model has already would be hidden by a field of the name.
    if keyword.iskeyword(name) or name == "objects" or hasattr(dorm.Model, name):
        name += "_field"
    while name in taken or (relation and f"{name}_id" in taken):
        name += "_0"
    return name


@dataclass
class _Model:
    """One model, as it is written."""

    table: FoundTable
    tables: Mapping[str, FoundTable]
    classes: Mapping[str, str]
    made: Mapping[str, _Names]
    database: Database
    definitions: list[tuple[str, str]] = field(default_factory=list)
    handled: set[str] = field(default_factory=set)
    """Names of the indexes and checks that fields bring by themselves."""

    @property
    def attributes(self) -> Mapping[str, str]:
        return self.made[self.table.name].attributes

    def text(self) -> str:
        table = self.table
        lines = [f"class {self.classes[table.name]}(dorm.Model):"]
        key = table.primary_key
        if len(key) > 1:
            lines.append(f"    pk = dorm.CompositePrimaryKey({', '.join(repr(self.attributes[name]) for name in key)})")
        without_key = self._stand_in() if not key else ""
        for column in table.columns:
            lines.append(self._field(column, column.name == without_key))
        for reference in table.references:
            if len(reference.columns) > 1:
                what = f"({', '.join(reference.columns)}) refers to {reference.table} ({', '.join(reference.targets)})"
                lines.append(f"    # {what}: no field of dorm's spans several columns.")
        lines += ["", "    class Meta:", f"        db_table = {table.name!r}"]
        if table.comment:
            lines.append(f"        db_table_comment = {table.comment!r}")
        if table.is_view:
            lines.append("        managed = False")
        lines += _listed("unique_together", self._unique_together())
        lines += _listed("constraints", [*self._checks(), *self._uniques(), *self._exclusions()])
        lines += _listed("indexes", self._indexes())
        return "\n".join(lines) + "\n"

    def _stand_in(self) -> str:
        """Return the column that is taken for the key of a table or view that has none."""
        required = {column.name for column in self.table.columns if not column.null}
        singles = [next(iter(each)) for each in sorted(self.table.candidate_keys) if len(each) == 1]
        return next((name for name in singles if name in required), self.table.columns[0].name)

    # -- fields --------------------------------------------------------------------------------------------------
    def _field(self, column: FoundColumn, stands_in: bool) -> str:
        name = self.attributes[column.name]
        key = self.table.primary_key == (column.name,) or stands_in
        reference = self.made[self.table.name].references.get(column.name)
        more: dict[str, str] = {}
        if reference is not None and self._can_refer(reference):
            source = self._relation(column, reference, key, more)
            plain_column = f"{name}_id"
        else:
            source = self._plain(column, key, more)
            plain_column = name
        if column.name != plain_column:
            more["db_column"] = repr(column.name)
        if key:
            more["primary_key"] = "True"
        elif column.null and column.generated is None:
            more.update(blank="True", null="True")
        if column.comment:
            more["db_comment"] = repr(column.comment)
        self.definitions.extend(source.definitions)
        remark = "there is no primary key: decide which column is to stand for it" if stands_in else source.remark
        return f"    {name} = {source.text(more)}{f'  # {remark}' if remark else ''}"

    def _can_refer(self, reference: FoundReference) -> bool:
        target = self._target(reference)
        return target.primary_key == reference.targets or (
            len(target.primary_key) == 1 and reference.targets in target.candidate_keys
        )

    def _target(self, reference: FoundReference) -> FoundTable:
        return self.tables[reference.table]

    def _relation(self, column: FoundColumn, reference: FoundReference, key: bool, more: dict[str, str]) -> FieldSource:
        target = self.classes[reference.table]
        where = "'self'" if reference.table == self.table.name else repr(target)
        single = (column.name,) in self.table.candidate_keys
        kind = "OneToOneField" if single or key else "ForeignKey"
        if self._target(reference).primary_key != reference.targets:
            more["to_field"] = repr(self.made[reference.table].attributes[reference.targets[0]])
        if kind == "ForeignKey" and not self._automatic_index(column):
            more["db_index"] = "False"
        if (default := default_of(column, kind)) is not None:
            more["db_default"] = default
        more["related_name"] = "'+'"
        return FieldSource(kind, first=f"{where}, dorm.DO_NOTHING")

    def _plain(self, column: FoundColumn, key: bool, more: dict[str, str]) -> FieldSource:
        source = field_of(column, self.database)
        if column.generated is not None:
            more.update(
                expression=repr(column.generated),
                output_field=source.text(),
                db_persist=repr(column.stored),
            )
            return FieldSource("GeneratedField", {}, source.definitions, source.remark)
        if column.auto and key and source.kind in KEYS:
            return FieldSource(KEYS[source.kind])
        if column.auto:
            return FieldSource(
                source.kind, source.options, source.definitions, "the database counts this column", source.own
            )
        if self._positive(column, source):
            source = FieldSource(f"Positive{source.kind}")
        if column.collation and source.kind in ("CharField", "TextField"):
            more["db_collation"] = repr(column.collation)
        if (column.name,) in self.table.candidate_keys and not key:
            more["unique"] = "True"
        elif self._automatic_index(column):
            more["db_index"] = "True"
        if (default := default_of(column, source.base or source.kind)) is not None:
            more["db_default"] = default
        return source

    def _automatic_index(self, column: FoundColumn) -> bool:
        """True when the column has the index that ``db_index`` makes."""
        name = automatic_name(self.table.name, [column.name], "idx")
        found = any(each.name == name and each.columns == (column.name,) for each in self.table.indexes)
        if found:
            self.handled.add(name)
        return found

    def _positive(self, column: FoundColumn, source: FieldSource) -> bool:
        name = automatic_name(self.table.name, [column.name], "check")
        found = source.kind in KEYS and any(each == name for each, _ in self.table.checks)
        if found:
            self.handled.add(name)
        return found

    # -- constraints ---------------------------------------------------------------------------------------------
    def _unique_together(self) -> list[str]:
        found = []
        for each in self.table.indexes:
            if each.unique and self._is_plain(each) and len(each.columns) > 1:
                columns = [str(name) for name in each.columns]
                if each.name == automatic_name(self.table.name, columns, "uniq") or not each.definition:
                    self.handled.add(each.name)
                    found.append(repr(tuple(self.attributes[name] for name in columns)))
        return sorted(found)

    def _is_plain(self, index: FoundIndex) -> bool:
        """True for a set of columns without conditions, expressions, or anything beside them."""
        parts = index_parts(index.definition) if index.definition else None
        return (
            index.where is None
            and not index.deferrable
            and all(name in self.attributes for name in index.columns)
            and (
                parts is None
                or (not parts.include and parts.nulls_distinct and not any(_special(each) for each in parts.parts))
            )
        )

    def _uniques(self) -> list[str]:
        found = []
        for each in self.table.indexes:
            if not each.unique or each.name in self.handled or (self._is_plain(each) and len(each.columns) == 1):
                continue
            parts = index_parts(each.definition)
            if parts is not None:
                found.append(self._index("UniqueConstraint", each, parts))
        return found

    def _checks(self) -> list[str]:
        found = []
        for number, (name, text) in enumerate(self.table.checks, 1):
            condition = re.sub(r"\ACHECK\s*\(|\)(?:\s+NOT VALID|\s+NO INHERIT)*\Z", "", text)
            if name not in self.handled:
                shown = name or f"{self.table.name}_check_{number}"
                found.append(f"dorm.CheckConstraint(condition={raw(condition, True)}, name={shown!r})")
        return found

    def _exclusions(self) -> list[str]:
        found = []
        for name, text in self.table.exclusions:
            using = re.match(r"EXCLUDE\s+USING\s+(\w+)\s*\(", text, re.IGNORECASE)
            if using is None:
                continue
            body, end = inner(text, using.end() - 1)
            rest, more = text[end + 1 :], ""
            include = re.match(r"\s*INCLUDE\s*\(", rest, re.IGNORECASE)
            if include is not None:
                beside, end = inner(rest, include.end() - 1)
                names = [self.attributes[unquoted(name)] for name in split(beside)]
                rest, more = rest[end + 1 :], f", include={names!r}"
            where = re.match(r"\s*WHERE\s*\(", rest, re.IGNORECASE)
            if where is not None:
                condition, end = inner(rest, where.end() - 1)
                rest, more = rest[end + 1 :], f"{more}, condition=dorm.Q({raw(condition, True)})"
            if re.match(r"\s*DEFERRABLE", rest, re.IGNORECASE):
                when = "deferred" if re.search(r"INITIALLY\s+DEFERRED", rest, re.IGNORECASE) else "immediate"
                more += f", deferrable={when!r}"
            pairs = []
            for piece in split(body):
                expression, _, operator = piece.rpartition(" WITH ")
                pairs.append(f"({self._excluded(expression)}, {operator.strip()!r})")
            found.append(
                f"dorm.ExclusionConstraint(name={name!r}, index_type={using[1]!r}, "
                f"expressions=[{', '.join(pairs)}]{more})"
            )
        return found

    def _excluded(self, expression: str) -> str:
        """Return one expression of an exclusion constraint, with its operator class."""
        with_class = _OPCLASS.match(expression)
        shown = with_class[1] if with_class is not None else expression
        plain = unquoted(shown)
        found = repr(self.attributes[plain]) if plain in self.attributes else raw(shown)
        return found if with_class is None else f"dorm.OpClass({found}, name={with_class[2]!r})"

    # -- indexes -------------------------------------------------------------------------------------------------
    def _indexes(self) -> list[str]:
        found = []
        for each in self.table.indexes:
            parts = index_parts(each.definition)
            if not each.unique and not each.constraint and each.name not in self.handled and parts is not None:
                found.append(self._index("Index", each, parts))
        return found

    def _index(self, kind: str, index: FoundIndex, parts: Definition) -> str:
        arguments: list[str] = []
        if any(part.expression or part.nulls for part in parts.parts):
            arguments += [self._expression(part) for part in parts.parts]
        else:
            signs = [f"{'-' if part.descending else ''}{self.attributes[part.column]}" for part in parts.parts]
            if kind == "UniqueConstraint" and any(part.descending for part in parts.parts):
                arguments += [self._expression(part) for part in parts.parts]
            else:
                arguments.append(f"fields={signs!r}")
            if any(part.opclass for part in parts.parts):
                arguments.append(f"opclasses={[part.opclass for part in parts.parts]!r}")
        arguments.append(f"name={index.name!r}")
        if parts.method != "btree":
            arguments.append(f"method={parts.method!r}")
        if index.where is not None:
            arguments.append(f"condition=dorm.Q({raw(index.where, True)})")
        if parts.include:
            arguments.append(f"include={[self.attributes[name] for name in parts.include]!r}")
        if not parts.nulls_distinct:
            arguments.append("nulls_distinct=False")
        if index.deferrable:
            arguments.append(f"deferrable=dorm.Deferrable.{index.deferrable.upper()}")
        return f"dorm.{kind}({', '.join(arguments)})"

    def _expression(self, part: Part) -> str:
        text = f"dorm.F({self.attributes[part.column]!r})" if part.column else raw(part.expression)
        if not part.descending and not part.nulls:
            return text
        nulls = f"nulls_{part.nulls}=True" if part.nulls else ""
        return f"{text}.{'desc' if part.descending else 'asc'}({nulls})"


def _special(part: Part) -> bool:
    return bool(part.expression or part.opclass or part.descending or part.nulls)


def _listed(name: str, items: Sequence[str]) -> list[str]:
    return [f"        {name} = [", *[f"            {each}," for each in items], "        ]"] if items else []
