"""Which fields stand for a SQL type: what is registered on them serves results of functions of that type too."""

from __future__ import annotations

from dorm.fields.base import Field
from dorm.fields.numbers import BooleanField, DecimalField, FloatField, IntegerField
from dorm.fields.temporal import DateField, DateTimeField, DurationField, TimeField
from dorm.fields.text import CharField, TextField
from dorm.lookups import dates, json, server
from dorm.lookups.registry import fields_for_kind


def tell() -> None:
    """Make the fields known to the lookups, and dorm's own lookups and transforms to the fields."""
    dates.register()
    json.register()
    server.register()
    for kind in ("smallint", "integer", "bigint"):
        fields_for_kind(kind, IntegerField)
    for kind in ("varchar", "text"):
        fields_for_kind(kind, CharField, TextField)
    for kind in ("timestamp", "timestamptz"):
        fields_for_kind(kind, DateTimeField)
    fields_for_kind("boolean", BooleanField)
    fields_for_kind("double", FloatField)
    fields_for_kind("numeric", DecimalField)
    fields_for_kind("date", DateField)
    fields_for_kind("time", TimeField)
    fields_for_kind("interval", DurationField)
    for kind in ("uuid", "json", "bytes"):
        fields_for_kind(kind, Field)  # until the field's own module is loaded: nothing is registered on it before
