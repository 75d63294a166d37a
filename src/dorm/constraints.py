"""Constraints of tables: checks, uniqueness, exclusion; databases enforce them, `full_clean` asks beforehand."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Self

from dorm.db.connection import connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.exceptions import FieldError, ValidationError
from dorm.expressions.core import F, OrderBy
from dorm.expressions.predicate import Q
from dorm.models.against import Matches, OperatorCondition, equal, equal_or_null, holds
from dorm.models.state import is_adding
from dorm.queryset.ops import fetch
from dorm.sql.node import Node


class Deferrable(enum.Enum):
    """When a constraint is checked: at COMMIT, or after each statement with leave to be put off."""

    DEFERRED = "deferred"
    IMMEDIATE = "immediate"

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}.{self._name_}"


class BaseConstraint:
    """What all constraints have.

    Args:
        name: name in the database; ``%(app_label)s`` and ``%(class)s`` are filled in for abstract models.
        violation_error_code, violation_error_message: of the ValidationError; ``%(name)s`` is the constraint's name.
    """

    default_violation_error_message: str = "Constraint “%(name)s” is violated."
    violation_error_code: str | None = None
    violation_error_message: str

    def __init__(
        self, *, name: str, violation_error_code: str | None = None, violation_error_message: str | None = None
    ) -> None:
        self.name = name
        if violation_error_code is not None:
            self.violation_error_code = violation_error_code
        self.violation_error_message = (
            self.default_violation_error_message if violation_error_message is None else violation_error_message
        )

    @property
    def is_total_unique(self) -> bool:
        """True when it makes fields unique among all rows."""
        return False

    # -- validation ----------------------------------------------------------------------------------------------
    def validate(
        self, model: Any, instance: Any, exclude: Collection[str] | None = None, using: str = "default"
    ) -> None:
        """Raise ValidationError when *instance* breaks this constraint on the database *using*.

        Args:
            exclude: names of fields; a constraint that is about one of them is not checked.
        """
        run(self.validation(model, instance, exclude, using))

    async def avalidate(
        self, model: Any, instance: Any, exclude: Collection[str] | None = None, using: str = "default"
    ) -> None:
        """Async twin of `validate`."""
        await arun(self.validation(model, instance, exclude, using))

    def validation(self, model: Any, instance: Any, exclude: Collection[str] | None, using: str) -> Operation[None]:
        """Validate as an operation: what a constraint of your own overrides, for both faces at once."""
        raise NotImplementedError(f"{type(self).__name__} has no validation")

    def get_violation_error_message(self) -> str:
        """Return the message of a violation."""
        return self.violation_error_message % {"name": self.name}

    def violated(self) -> ValidationError:
        """Return the error of a violation."""
        return ValidationError(self.get_violation_error_message(), code=self.violation_error_code)

    # -- structure -----------------------------------------------------------------------------------------------
    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return import path, arguments and keywords from which an equal constraint can be made."""
        kwargs: dict[str, Any] = {"name": self.name}
        if self.violation_error_message != self.default_violation_error_message:
            kwargs["violation_error_message"] = self.violation_error_message
        if self.violation_error_code != type(self).violation_error_code:
            kwargs["violation_error_code"] = self.violation_error_code
        return f"{type(self).__module__}.{type(self).__qualname__}", (), kwargs

    def clone(self) -> Self:
        """Return an equal constraint."""
        _, args, kwargs = self.deconstruct()
        return type(self)(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BaseConstraint):
            return NotImplemented
        return self.deconstruct() == other.deconstruct()

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __repr__(self) -> str:
        _, args, kwargs = self.deconstruct()
        shown = [*map(repr, args), *[f"{name}={value!r}" for name, value in kwargs.items()]]
        return f"<{type(self).__qualname__}: {' '.join(shown)}>"


class CheckConstraint(BaseConstraint):
    """A condition that every row fulfils.

    Args:
        condition: a `Q` or a conditional expression over fields of the model; *check* is its older name.
    """

    def __init__(
        self,
        *,
        condition: Any = None,
        check: Any = None,
        name: str,
        violation_error_code: str | None = None,
        violation_error_message: str | None = None,
    ) -> None:
        wanted = condition if check is None else check
        if condition is not None and check is not None:
            raise TypeError("CheckConstraint takes condition or check, which mean the same: give one of them.")
        if not getattr(wanted, "is_condition", False):
            raise TypeError("CheckConstraint.condition must be a Q instance or boolean expression.")
        self.condition: Any = wanted
        super().__init__(
            name=name, violation_error_code=violation_error_code, violation_error_message=violation_error_message
        )

    @property
    def check(self) -> Any:
        """The condition, under its older name."""
        return self.condition

    @operation
    def validation(self, model: Any, instance: Any, exclude: Collection[str] | None, using: str) -> Operation[None]:
        try:
            found = yield from holds(Q(self.condition), model, instance, exclude, connections[using])
        except FieldError:
            # It is about a field that is left out of this validation.
            return
        if found is False:
            raise self.violated()

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        kwargs["condition"] = self.condition
        return path, args, kwargs


class _AcrossRows(BaseConstraint):
    """A constraint between rows: an instance breaks it when another row matches."""

    condition: Q | None

    @operation
    def _other(
        self, model: Any, instance: Any, exclude: Collection[str] | None, using: str, conditions: Iterable[Any]
    ) -> Operation[bool]:
        """Return whether a row other than *instance* fulfils *conditions* and the constraint's own condition."""
        rows = model._default_manager.using(using).filter(*conditions)
        key = getattr(instance, model._meta.pk.attname)
        if not is_adding(vars(instance)) and key is not None:
            rows = rows.exclude(pk=key)
        if self.condition is not None:
            try:
                found = yield from holds(self.condition, model, instance, exclude, connections[using])
            except FieldError:
                return False
            if not found:
                return False
            rows = rows.filter(self.condition)
        return (yield from fetch.exists(rows))


class UniqueConstraint(_AcrossRows):
    """No two rows have the same values.

    Args:
        expressions: expressions in place of *fields*.
        fields: names of fields.
        condition: a `Q`: only rows that fulfil it count.
        deferrable: a `Deferrable` or its value (PostgreSQL).
        include: names of fields kept beside the key in the index (where the backend can; it changes no result).
        opclasses: operator class for each field (PostgreSQL).
        nulls_distinct: False makes NULL equal to NULL (PostgreSQL 15).
    """

    def __init__(
        self,
        *expressions: Any,
        fields: Sequence[str] = (),
        name: str | None = None,
        condition: Q | None = None,
        deferrable: Deferrable | str | None = None,
        include: Sequence[str] | None = None,
        opclasses: Sequence[str] = (),
        nulls_distinct: bool | None = None,
        violation_error_code: str | None = None,
        violation_error_message: str | None = None,
    ) -> None:
        if not name:
            raise ValueError("A unique constraint must be named.")
        self.expressions: tuple[Any, ...] = tuple(F(each) if isinstance(each, str) else each for each in expressions)
        self.fields = (fields,) if isinstance(fields, str) else tuple(fields)
        self.condition = condition
        self.deferrable = _deferrable(deferrable, "UniqueConstraint")
        self.include = tuple(_names(include, "UniqueConstraint.include")) if include else ()
        self.opclasses = tuple(_names(opclasses, "UniqueConstraint.opclasses"))
        self.nulls_distinct = nulls_distinct
        self._check_arguments()
        super().__init__(
            name=name, violation_error_code=violation_error_code, violation_error_message=violation_error_message
        )

    def _check_arguments(self) -> None:
        if not self.expressions and not self.fields:
            raise ValueError("At least one field or expression is required to define a unique constraint.")
        if self.expressions and self.fields:
            raise ValueError("UniqueConstraint.fields and expressions are mutually exclusive.")
        if not isinstance(self.condition, (type(None), Q)):
            raise ValueError("UniqueConstraint.condition must be a Q instance.")
        if self.deferrable is not None:
            for given, what in (
                (self.condition, "conditions"),
                (self.include, "include fields"),
                (self.opclasses, "opclasses"),
                (self.expressions, "expressions"),
            ):
                if given:
                    raise ValueError(f"UniqueConstraint with {what} cannot be deferred.")
        if self.expressions and self.opclasses:
            raise ValueError("UniqueConstraint.opclasses cannot be used with expressions.")
        if not isinstance(self.nulls_distinct, (type(None), bool)):
            raise TypeError("UniqueConstraint.nulls_distinct must be a bool.")
        if self.opclasses and len(self.fields) != len(self.opclasses):
            raise ValueError(
                "UniqueConstraint.fields and UniqueConstraint.opclasses must have the same number of elements."
            )

    @property
    def contains_expressions(self) -> bool:
        """True when it is about expressions."""
        return bool(self.expressions)

    @property
    def is_total_unique(self) -> bool:
        """True when it is about fields, and holds for every row."""
        return self.condition is None and not self.expressions

    @operation
    def validation(self, model: Any, instance: Any, exclude: Collection[str] | None, using: str) -> Operation[None]:
        conditions = self._conditions(model, instance, exclude)
        if conditions is None or not (yield from self._other(model, instance, exclude, using, conditions)):
            return
        usual = self.violation_error_message == self.default_violation_error_message
        if self.fields and self.condition is None and usual:
            # As those of unique=True and unique_together: a code of its own comes with a message of its own.
            raise instance.unique_error_message(model, self.fields)
        raise self.violated()

    def _conditions(self, model: Any, instance: Any, exclude: Collection[str] | None) -> list[Any] | None:
        """Return what rows in conflict fulfil; None when there can be none."""
        compare = equal_or_null if self.nulls_distinct is False else equal
        excluded = frozenset(exclude or ())
        if self.expressions:
            plain = [each.args[0] if isinstance(each, OrderBy) else each for each in self.expressions]
            return _matches([(each, compare) for each in plain], model, instance, excluded)
        for name in self.fields:
            field = model._meta.get_field(name)
            if field.name in excluded or name in excluded:
                return None
            missing = not field.generated and getattr(instance, field.attname) is None
            if missing and self.nulls_distinct is not False:
                return None
        return _matches([(F(name), compare) for name in self.fields], model, instance, excluded)

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        path, _, kwargs = super().deconstruct()
        for name in ("fields", "condition", "deferrable", "include", "opclasses"):
            if getattr(self, name):
                kwargs[name] = getattr(self, name)
        if self.nulls_distinct is not None:
            kwargs["nulls_distinct"] = self.nulls_distinct
        return path, self.expressions, kwargs


class ExclusionConstraint(_AcrossRows):
    """No two rows of which all *expressions* match by their operators (PostgreSQL).

    Args:
        expressions: pairs of a field's name or an expression, and an operator such as ``"&&"`` or ``"="``.
        index_type: ``"gist"``, ``"spgist"`` or ``"hash"``.
        condition: a `Q`: only rows that fulfil it count.
        deferrable: a `Deferrable` or its value.
        include: names of fields kept beside the key in the index.
    """

    def __init__(
        self,
        *,
        name: str,
        expressions: Iterable[tuple[Any, str]],
        index_type: str | None = None,
        condition: Q | None = None,
        deferrable: Deferrable | str | None = None,
        include: Sequence[str] | None = None,
        violation_error_code: str | None = None,
        violation_error_message: str | None = None,
    ) -> None:
        if index_type and index_type.lower() not in ("gist", "spgist", "hash"):
            raise ValueError("Exclusion constraints only support GiST, SP-GiST, or Hash indexes.")
        self.expressions: tuple[Any, ...] = tuple(tuple(pair) for pair in expressions)
        if not self.expressions:
            raise ValueError("At least one expression is required to define an exclusion constraint.")
        if not all(len(each) == 2 for each in self.expressions):
            raise ValueError("The expressions must be a list of 2-tuples.")
        if not isinstance(condition, (type(None), Q)):
            raise ValueError("ExclusionConstraint.condition must be a Q instance.")
        self.index_type = (index_type or "gist").lower()
        self.condition = condition
        try:
            self.deferrable = _deferrable(deferrable, "ExclusionConstraint")
            self.include = tuple(_names(include, "ExclusionConstraint.include")) if include else ()
        except TypeError as exc:
            raise ValueError(*exc.args) from None
        super().__init__(
            name=name, violation_error_code=violation_error_code, violation_error_message=violation_error_message
        )

    @operation
    def validation(self, model: Any, instance: Any, exclude: Collection[str] | None, using: str) -> Operation[None]:
        pairs = [
            (F(expression) if isinstance(expression, str) else expression, _by_operator(operator))
            for expression, operator in self.expressions
        ]
        conditions = _matches(pairs, model, instance, frozenset(exclude or ()))
        if conditions is not None and (yield from self._other(model, instance, exclude, using, conditions)):
            raise self.violated()

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        kwargs["expressions"] = self.expressions
        if self.index_type != "gist":
            kwargs["index_type"] = self.index_type
        for name in ("condition", "deferrable", "include"):
            if getattr(self, name):
                kwargs[name] = getattr(self, name)
        return path, args, kwargs


def _matches(
    pairs: Iterable[tuple[Node, Callable[[Node, Node], Node]]], model: Any, instance: Any, excluded: frozenset[str]
) -> list[Matches] | None:
    """Return the conditions that rows match *instance* in each expression; None when one is about an excluded field."""
    found = [Matches(expression, model, instance, excluded, compare) for expression, compare in pairs]
    return None if any(match.is_excluded for match in found) else found


def _by_operator(operator: str) -> Callable[[Node, Node], Node]:
    return lambda row, own: OperatorCondition(row, operator, own)


def _deferrable(given: Any, where: str) -> Deferrable | None:
    if given is None or isinstance(given, Deferrable):
        return given
    try:
        return Deferrable(given)
    except ValueError:
        raise TypeError(f"{where}.deferrable must be a Deferrable instance.") from None


def _names(given: Any, what: str) -> Sequence[str]:
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"{what} must be a list or tuple.")
    return given
