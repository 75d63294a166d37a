"""PostgreSQL's binary arrays, packed by columns: the same bytes as element by element, read back by psycopg."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format

from dorm.db.backends.postgresql.packed import DUMPERS, BoolArray, DoubleArray, Int8Array, Packed, TextArray

_KINDS: dict[type[Packed], st.SearchStrategy[Any]] = {
    Int8Array: st.integers(-(2**63), 2**63 - 1),
    DoubleArray: st.floats(allow_nan=False),
    BoolArray: st.booleans(),
    TextArray: st.text(st.characters(exclude_categories=["Cs"])) | st.just("x" * 300),
}


@given(st.data())
@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_arrays_are_read_as_they_were_given(kind: type[Packed], data: st.DataObject) -> None:
    values = data.draw(st.lists(_KINDS[kind] | st.none(), max_size=30))
    dumper = DUMPERS[kind](kind)
    packed = dumper.dump(kind(values))
    assert packed is not None
    loader = Transformer().get_loader(dumper.oid, Format.BINARY)
    assert loader.load(bytes(packed)) == values
    assert PyFormat.from_pq(dumper.format) is PyFormat.BINARY


@pytest.mark.parametrize(("kind", "values"), [(Int8Array, [1, 2.5]), (Int8Array, ["1"]), (DoubleArray, [1.0, "2"])])
def test_values_of_another_type_are_refused(kind: type[Packed], values: list[Any]) -> None:
    with pytest.raises(struct.error):
        DUMPERS[kind](kind).dump(kind(values))


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(OverflowError):
        DUMPERS[Int8Array](Int8Array).dump(Int8Array([2**63]))
