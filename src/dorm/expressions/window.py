"""Window functions: an expression over the rows around a row, its partition, order and frame."""

from __future__ import annotations

import copy
import re
from collections.abc import Hashable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.exceptions import ImproperlyConfigured, NotSupportedError
from dorm.expressions.core import Expression, OrderBy, as_reference, order_key_sql
from dorm.expressions.types import as_asked
from dorm.sql.convert import as_type
from dorm.sql.node import Node, Output, Scope, output_key
from dorm.sql.row import Row

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler


class WindowFrameExclusion(Enum):
    """Which rows around the current one a frame leaves out."""

    CURRENT_ROW = "CURRENT ROW"
    GROUP = "GROUP"
    TIES = "TIES"
    NO_OTHERS = "NO OTHERS"

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class WindowFrame:
    """The rows of a partition that a window function sees; see `RowRange` and `ValueRange`.

    Args:
        start, end: distance from the current row: negative before it, 0 the row itself, positive after it, None without
            bound. exclusion: a `WindowFrameExclusion`.

    Raises: TypeError: another *exclusion*. ValueError: bounds that are no whole numbers, or *start* behind *end*.
    """

    frame_type: ClassVar[str] = ""

    def __init__(self, start: int | None = None, end: int | None = None, exclusion: Any = None) -> None:
        if exclusion is not None and not isinstance(exclusion, WindowFrameExclusion):
            raise TypeError(
                f"{type(self).__name__}.exclusion must be a WindowFrameExclusion instance or None, not "
                f"{type(exclusion).__name__}."
            )
        for name, bound in (("start", start), ("end", end)):
            if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool)):
                raise ValueError(f"{name} argument must be an integer, zero, or None, but got {bound!r}.")
        if start is not None and end is not None and start > end:
            raise ValueError("start cannot be greater than end.")
        self.start = start
        self.end = end
        self.exclusion: WindowFrameExclusion | None = exclusion

    def key(self) -> Hashable:
        """Return what the text depends on."""
        return (type(self), self.start, self.end, self.exclusion)

    @property
    def is_bounded_by_values(self) -> bool:
        """True when a bound is a distance, not the current row or the end of the partition."""
        return bool(self.start) or bool(self.end)

    def text(self) -> str:
        """Return the clause."""
        exclude = f" EXCLUDE {self.exclusion.value}" if self.exclusion is not None else ""
        return f"{self.frame_type} BETWEEN {_bound(self.start, True)} AND {_bound(self.end, False)}{exclude}"

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.text()}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WindowFrame) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())


class RowRange(WindowFrame):
    """A frame counted in rows."""

    frame_type = "ROWS"


class ValueRange(WindowFrame):
    """A frame of rows by the value they are ordered by."""

    frame_type = "RANGE"


def _bound(distance: int | None, is_start: bool) -> str:
    if distance is None:
        return "UNBOUNDED PRECEDING" if is_start else "UNBOUNDED FOLLOWING"
    if distance == 0:
        return "CURRENT ROW"
    return f"{-distance} PRECEDING" if distance < 0 else f"{distance} FOLLOWING"


_BOUND = r"(UNBOUNDED PRECEDING|UNBOUNDED FOLLOWING|CURRENT ROW|\d{1,9} PRECEDING|\d{1,9} FOLLOWING)"
_FRAME = (
    rf"^(ROWS|RANGE|GROUPS) (BETWEEN {_BOUND} AND {_BOUND}|{_BOUND})"
    r"( EXCLUDE (CURRENT ROW|GROUP|TIES|NO OTHERS))?$"
)


def _checked_frame(frame: Any) -> WindowFrame | str | None:
    """Return *frame*; as text it must be a frame clause and nothing else."""
    if frame is None or isinstance(frame, WindowFrame):
        return frame
    if isinstance(frame, str):
        text = " ".join(frame.upper().split())
        if re.match(_FRAME, text):
            return text
        raise ValueError(f"{frame!r} is no frame: write for example 'ROWS BETWEEN 2 PRECEDING AND CURRENT ROW'.")
    raise TypeError(f"Window.frame takes a RowRange, a ValueRange or text, not {type(frame).__name__}.")


class Window(Expression):
    """An aggregate or a window function over the rows that share a partition with a row.

    Args:
        expression: an aggregate, or a function such as `Rank`.
        partition_by: a field name or expression, or several: rows with equal values see each other. None: all rows.
        order_by: a field name (``"-date"`` for descending) or expression, or several.
        frame: the rows around the current one that count; the database's default when None.
        output_field: type of the result, where it does not follow.

    Raises: ValueError: an expression that has no meaning over rows, or an *order_by* that is none.
        ImproperlyConfigured: a ranking function without *order_by*.
    """

    is_window = True

    def __init__(
        self,
        expression: Any,
        partition_by: Any = None,
        order_by: Any = None,
        frame: Any = None,
        output_field: Output | None = None,
    ) -> None:
        if not getattr(expression, "window_compatible", getattr(expression, "is_aggregate", False)):
            raise ValueError(f"Expression {type(expression).__name__!r} isn't compatible with OVER clauses.")
        partition = _listed(partition_by)
        order = _ordering(order_by)
        if getattr(expression, "needs_order", False) and not order:
            raise ImproperlyConfigured(f"{type(expression).__name__} ranks rows by their order: give order_by.")
        self.partitions = len(partition)
        self.args = (expression, *partition, *order)
        self.frame = _checked_frame(frame)
        self.output = output_field

    @property
    def source_expression(self) -> Node:
        """The function that is computed."""
        return self.args[0]

    def options(self) -> tuple[Hashable, ...]:
        frame = self.frame.key() if isinstance(self.frame, WindowFrame) else self.frame
        return (output_key(self.output), self.partitions, frame)

    def infer_output(self) -> Output | None:
        return self.args[0].output

    def resolve(self, scope: Scope) -> Node:
        source, *others = [arg.resolve(scope) for arg in self.args]
        partition = [each for arg in others[: self.partitions] for each in _columns(arg)]
        order = [each for arg in others[self.partitions :] for each in _columns(arg)]
        made = self.rebuilt((source, *partition, *order))
        made.partitions = len(partition)
        if self.output is None or source.output is None:
            return made
        # The type that was asked for may have another form than what is computed.
        made.output = source.output
        shown = as_type(made, self.output)
        if shown is made:
            shown = copy.copy(made)
        shown.output = as_asked(self.output)
        return shown

    @property
    def contains_aggregate(self) -> bool:
        # The function itself is computed over the window, not over a group.
        source = self.args[0]
        return any(arg.contains_aggregate for arg in (*source.args, *self.args[1:]))

    @property
    def nullable(self) -> bool:
        return self.args[0].nullable

    def sql(self, compiler: Compiler) -> str:
        dialect = compiler.dialect
        if not dialect.supports_window_functions:
            raise NotSupportedError("This backend does not support window expressions.")
        if (
            isinstance(self.frame, ValueRange)
            and self.frame.is_bounded_by_values
            and not dialect.supports_range_distances
        ):
            raise NotSupportedError(
                f"{dialect.display_name} only supports UNBOUNDED together with PRECEDING and FOLLOWING."
            )
        source: Any = self.args[0]
        function = source.bare(compiler) if source.is_aggregate else source.sql(compiler)
        parts = []
        partition = self.args[1 : 1 + self.partitions]
        if partition:
            parts.append(f"PARTITION BY {', '.join(arg.sql(compiler) for arg in partition)}")
        order = self.args[1 + self.partitions :]
        if order:
            parts.append(f"ORDER BY {', '.join(order_key_sql(compiler, key) for key in order)}")
        if self.frame is not None:
            parts.append(str(self.frame))
        text = f"{function} OVER ({' '.join(parts)})"
        return str(source.with_default(compiler, text)) if source.is_aggregate else text


def refuse_as_groups(columns: Iterable[tuple[str, Node]]) -> None:
    """Refuse to group by window functions, which are computed when the groups are made.

    Args:
        columns: what is selected, by name.
    Raises: NotSupportedError.
    """
    for name, column in columns:
        if column.contains_window:
            raise NotSupportedError(
                f"Cannot group by {name!r}: a window function is computed after the rows are grouped. "
                "Annotate it after the aggregate, or leave it out of values()."
            )


def _columns(key: Node) -> Iterable[Node]:
    """Yield *key*; that of a composite key as one of each of its columns."""
    inner = key.args[0] if isinstance(key, OrderBy) else key
    for column in inner.args if isinstance(inner, Row) else ():
        yield key.rebuilt((column,)) if isinstance(key, OrderBy) else column
    if not isinstance(inner, Row):
        yield key


def _listed(given: Any) -> tuple[Node, ...]:
    if given is None:
        return ()
    several: Iterable[Any] = given if isinstance(given, (list, tuple)) else (given,)
    return tuple(as_reference(each) for each in several)


def _ordering(given: Any) -> tuple[Node, ...]:
    if given is None:
        return ()
    if not isinstance(given, (list, tuple, str, Node)):
        raise ValueError(
            "Window.order_by must be either a string reference to a field, an expression, or a list or tuple of them."
        )
    several = given if isinstance(given, (list, tuple)) else (given,)
    return tuple(_order_key(each) for each in several)


def _order_key(given: Any) -> Node:
    if isinstance(given, str) and given.startswith("-"):
        return OrderBy(given[1:], descending=True)
    return as_reference(given)
