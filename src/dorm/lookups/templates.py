"""Lookups for everybody made of a piece of SQL: ``register_lookup("divisible_by", "{col} %% %s = 0")``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

from dorm.lookups.classes import Lookup
from dorm.lookups.registry import check_free, for_all, unknown
from dorm.sql.plan import renew

_PLACES = re.compile(r"\{col\}|%%|%s")


class TemplateLookup(Lookup):
    """A lookup whose SQL is a template."""

    from_template: ClassVar[bool] = True
    template: ClassVar[str] = ""
    transform: ClassVar[Any] = None
    prepare_rhs = False

    def get_prep_lookup(self) -> Any:
        return self.rhs if isinstance(self.rhs, tuple) else type(self).transform(self.rhs)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        lhs, params = self.process_lhs(compiler, connection)
        rhs, own = self.process_rhs(compiler, connection)
        made: list[Any] = []

        def place(match: re.Match[str]) -> str:
            if match.group() == "%%":
                return "%%"
            made.extend(params if match.group() == "{col}" else own)
            return lhs if match.group() == "{col}" else rhs

        return _PLACES.sub(place, self.template), made


def identity(value: Any) -> Any:
    """Return *value*."""
    return value


def register_lookup(name: str, sql_template: str, value_transform: Callable[[Any], Any] = identity) -> None:
    """Register a lookup for every type, in the whole process.

    Args:
        name: what stands behind the last ``__``.
        sql_template: SQL with ``{col}`` for the left side, ``%s`` for the value and ``%%`` for a percent sign.
        value_transform: applied to the value before it is bound.

    Raises: ValueError: the name of a lookup of dorm's own, or a template without its places.
    """
    check_free(name)
    if "{col}" not in sql_template or "%s" not in sql_template:
        raise ValueError(f"the template of {name!r} needs {{col}} for the column and %s for the value.")
    for_all[name] = type(
        "TemplateLookup",
        (TemplateLookup,),
        {"lookup_name": name, "template": sql_template, "transform": staticmethod(value_transform),
         "cacheable": False, "__module__": __name__},
    )  # fmt: skip
    renew()


def unregister_lookup(name: str) -> None:
    """Take back a lookup that `register_lookup` registered.

    Raises: FieldError: there is none of that name.
    """
    if not getattr(for_all.get(name), "from_template", False):
        raise unknown(name)
    del for_all[name]
    renew()
