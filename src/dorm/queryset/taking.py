"""Generated functions that take what a call of ``filter`` was given to the values of its step.

One is made for the names and types of a call: with them it is known which values pass as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from dorm.sql.exact import Exact, exact_of
from dorm.sql.plan import Prepare, Take


def taking(given: Sequence[Any], places: Sequence[int], prepares: Sequence[Prepare | None]) -> Take | None:
    """Return the function from values of the types of those *given* to a step's; None where they are the same tuple.

    Args:
        places: where among what was given each value of the step stands. prepares: what is applied to it.
    """
    items, names = [], []
    for place, prepare in zip(places, prepares, strict=True):
        exact = _exact(prepare)
        if prepare is None or (exact is not None and exact.cls is type(given[place]) and exact.low is None):
            items.append(f"given[{place}], ")
            continue
        name = f"p{place}"
        names.append((name, prepare))
        if exact is not None and exact.cls is type(given[place]):
            items.append(f"v if {exact.low} <= (v := given[{place}]) <= {exact.high} else {name}(v), ")
        else:
            items.append(f"{name}(given[{place}]), ")
    if not names and list(places) == list(range(len(given))):
        return None
    # The source holds positions, names made here and bounds of numbers, never a user's text.
    parameters = ", ".join(name for name, _ in names)
    made: Take = _made(f"lambda {parameters}: lambda given: ({''.join(items)})")(*[each for _, each in names])
    return made


def _exact(prepare: Prepare | None) -> Exact | None:
    """Return the values that *prepare* gives back as they are, where it is known for some."""
    field = getattr(prepare, "__self__", None)
    return exact_of(field) if field is not None and prepare == getattr(field, "prepare", None) else None


@lru_cache(maxsize=500)
def _made(source: str) -> Callable[..., Take]:
    made: Callable[..., Take] = eval(source)
    return made
