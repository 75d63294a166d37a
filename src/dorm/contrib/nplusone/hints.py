"""What would mend a statement that is repeated, as far as the models tell."""

from __future__ import annotations

import logging
import re
from typing import Any

from dorm.conf.registry import registry
from dorm.exceptions import ImproperlyConfigured

_log = logging.getLogger("dorm.contrib.nplusone")

_BY_COLUMN = re.compile(
    r'^SELECT .* FROM ["`]?(?P<table>\w+)["`]?(?: AS ["`]?\w+["`]?)? WHERE .*?'
    r'["`]?(?P<column>\w+)["`]? (?:= \?|= ANY\(|IN\()'
)


def hint_for(template: str) -> str:
    """Return what would fetch the rows of *template* at once, naming model and relation; empty if it is no look-up.

    Never raises: it is asked for in the middle of a user's statement.
    """
    try:
        return _hint(template)
    except Exception:  # noqa: BLE001  # a stated boundary: a report without its hint is worth more than none
        _log.exception("no hint for %s", template)
        return ""


def _hint(template: str) -> str:
    found = _BY_COLUMN.match(template)
    if found is None:
        return ""
    table, column = found["table"], found["column"]
    models = registry.all()
    model = next((each for each in models if each._meta.db_table == table), None)
    if model is None:
        return "fetch the rows at once: select_related(), prefetch_related(), or __in"
    if column == model._meta.pk.column:
        return _forward_hint(model, models)
    field = next((each for each in model._meta.fields if each.column == column), None)
    if field is not None and field.is_relation:
        return _reverse_hint(model, field)
    return f"fetch the rows at once: {model.__name__}.objects.filter({column}__in=[...]) or in_bulk()"


def _forward_hint(model: Any, models: list[Any]) -> str:
    paths = [
        f"{each.__name__}.objects.select_related({field.name!r})"
        for each in models
        for field in each._meta.fields
        if field.is_relation and _target(field) is model
    ]
    if not paths:
        return f"fetch the rows at once: {model.__name__}.objects.in_bulk(keys)"
    return f"fetch {model.__name__} with its owner: {' or '.join(paths[:3])}, or fetch_mode(FETCH_PEERS)"


def _target(field: Any) -> Any:
    """Return the model that a relation points at; None while it is not declared, and for generic ones."""
    try:
        return field.target
    except (AttributeError, ImproperlyConfigured):
        return None


def _reverse_hint(model: Any, field: Any) -> str:
    owner: Any = _target(field)
    if owner is not None:
        for name, relation in owner._meta.relations.items():
            accessor = getattr(relation, "accessor", name)
            # Relations named "+" have none.
            if getattr(relation, "field", None) is field and accessor:
                return f"fetch them with {owner.__name__}.objects.prefetch_related({accessor!r})"
    return f"fetch them with {model.__name__}.objects.filter({field.name}__in=[...])"
