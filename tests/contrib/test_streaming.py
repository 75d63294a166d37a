"""Exports: forms, masks whatever way personal data comes in, bounded memory."""

from __future__ import annotations

import asyncio
import base64
import csv
import datetime
import decimal
import io
import json
import re
import uuid
from typing import Any

import pytest

import dorm
from dorm.contrib import pii, streaming
from dorm.contrib.encrypted import EncryptedCharField
from dorm.expressions import RawSQL
from dorm.functions import Concat, Lower
from dorm.migrations.schema import create_tables
from tests.contrib.models import Customer, Order
from tests.support.faces import Face
from tests.support.statements import statements

pytestmark = pytest.mark.usefixtures("tables")


class Owner(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "streaming_tests"


class Birth(dorm.Model):
    day = dorm.DateField(pii=True)
    at = dorm.DateTimeField(pii=True)

    class Meta:
        app_label = "streaming_tests"


class Hidden(dorm.Model):
    """A column of another name than its field's."""

    mail = dorm.EmailField(pii=True, db_column="electronic_address")
    owner = dorm.ForeignKey(Owner, null=True, pii=True, related_name="hidden")

    class Meta:
        app_label = "streaming_tests"


@pytest.fixture
def tables(shop: Any) -> None:
    create_tables([Owner, Hidden, Birth])


SECRET = "ann@example.com"


async def _bytes(face: Face, name: str, source: Any, **options: Any) -> bytes:
    if face.is_async:
        return b"".join([chunk async for chunk in getattr(streaming, f"a{name}")(source, **options)])
    return b"".join(getattr(streaming, name)(source, **options))


async def _data(face: Face) -> None:
    customer = await face(Customer.objects.create)(name="Ann", email=SECRET, phone=5551234)
    await face(Order.objects.create)(customer=customer, number=1)
    await face(Hidden.objects.create)(mail=SECRET)


_SOURCES = {
    "all": lambda: Customer.objects.all(),
    "manager": lambda: Customer.objects,
    "values": lambda: Customer.objects.values(),
    "values_list": lambda: Customer.objects.values_list("id", "email", "phone"),
    "named": lambda: Customer.objects.values_list("email", named=True),
    "flat": lambda: Customer.objects.values_list("email", flat=True),
    "annotated": lambda: Customer.objects.annotate(shown=Lower("email")),
    "annotated values": lambda: Customer.objects.annotate(shown=Lower("email")).values("shown"),
    "joined": lambda: Order.objects.values("customer__email", "number"),
    "reverse": lambda: Customer.objects.values("orders__number", "email"),
    "select_related": lambda: Order.objects.select_related("customer"),
    "aggregate": lambda: Order.objects.values("number").annotate(most=dorm.Max("customer__email")),
    "union": lambda: Customer.objects.values("name").union(Customer.objects.values("email")),
    "raw": lambda: Customer.objects.annotate(x=RawSQL("email", [])).values("x"),
    "raw queryset": lambda: Customer.objects.raw("SELECT id, name, email, phone FROM contrib_tests_customer"),
    "db_column": lambda: Hidden.objects.all(),
    "db_column values": lambda: Hidden.objects.values("mail"),
    "only": lambda: Customer.objects.only("email"),
    "case": lambda: Customer.objects.annotate(
        x=dorm.Case(dorm.When(name="Ann", then=dorm.F("email")), default=dorm.Value("-"))
    ).values("x"),
    "concat": lambda: Customer.objects.values_list(
        Concat("name", dorm.Value(" "), "email", output_field=dorm.TextField()), flat=True
    ),
    "of an annotation": lambda: Customer.objects.annotate(a=dorm.F("email")).annotate(b=Lower("a")).values("b"),
    "of an alias": lambda: Customer.objects.alias(a=dorm.F("email")).values(b=Lower("a")),
    "subquery": lambda: Order.objects.annotate(
        x=dorm.Subquery(Customer.objects.filter(pk=dorm.OuterRef("customer_id")).values("email")[:1])
    ).values("x"),
    "subquery on objects": lambda: Order.objects.annotate(
        x=dorm.Subquery(Customer.objects.filter(pk=dorm.OuterRef("customer_id")).values("email")[:1])
    ),
    "window": lambda: Customer.objects.annotate(x=dorm.Window(dorm.Max("email"), partition_by=[dorm.F("name")])).values(
        "x"
    ),
    "several joins": lambda: Order.objects.values_list("customer__orders__customer__email"),
    "union of objects": lambda: Customer.objects.filter(name="Ann").union(Customer.objects.filter(name="Bob")),
}


@pytest.mark.parametrize("form", ["stream_json", "stream_jsonl", "stream_ndjson_pretty", "stream_csv"])
@pytest.mark.parametrize("source", _SOURCES)
async def test_personal_data_never_shows(face: Face, form: str, source: str) -> None:
    await _data(face)
    masked = await _bytes(face, form, _SOURCES[source](), mask_pii=True)
    assert SECRET.encode() not in masked
    assert b"5551234" not in masked
    assert masked
    if source not in ("select_related",):
        assert SECRET.encode() in await _bytes(face, form, _SOURCES[source]())


@pytest.mark.parametrize("form", ["stream_json", "stream_jsonl", "stream_ndjson_pretty", "stream_csv"])
async def test_days_of_personal_data_never_show(face: Face, form: str) -> None:
    at = datetime.datetime(1987, 3, 4, 5, tzinfo=datetime.UTC)
    await face(Birth.objects.create)(day=at.date(), at=at)
    for source in (
        Birth.objects.dates("day", "year"),
        Birth.objects.datetimes("at", "month"),
        Birth.objects.values("day__year"),
        Birth.objects.with_cte(births=dorm.CTE("SELECT 1 AS n")).values_list("day", flat=True),
    ):
        assert b"1987" in await _bytes(face, form, source)
        masked = await _bytes(face, form, source, mask_pii=True)
        assert masked
        assert b"1987" not in masked


async def test_what_a_cte_reads_of_personal_data_never_shows(face: Face) -> None:
    await _data(face)
    people = dorm.CTE("SELECT email AS reached FROM contrib_tests_customer")
    shown = dorm.RawSQL("SELECT reached FROM people", [], output_field=dorm.TextField())
    source = Order.objects.with_cte(people=people).annotate(x=shown).values("x")
    assert SECRET.encode() in await _bytes(face, "stream_json", source)
    assert SECRET.encode() not in await _bytes(face, "stream_json", source, mask_pii=True)


_LISTS: dict[str, Any] = {
    "list": lambda rows: rows,
    "generator": lambda rows: (row for row in rows),
    "mixed": lambda rows: [*rows, {"a": 1}, (1, 2), 3],
}


@pytest.mark.parametrize("form", ["stream_json", "stream_jsonl", "stream_ndjson_pretty", "stream_csv"])
@pytest.mark.parametrize("kind", [*_LISTS, "async generator"])
async def test_instances_are_masked_whatever_carries_them(face: Face, form: str, kind: str) -> None:
    await _data(face)
    rows = [*await face.rows(Customer.objects.all()), *await face.rows(Hidden.objects.all())]

    async def agenerator() -> Any:
        for row in rows:
            yield row

    if kind == "async generator" and not face.is_async:
        with pytest.raises(TypeError, match="iterable"):
            await _bytes(face, form, agenerator(), mask_pii=True)
        return
    source = agenerator() if kind == "async generator" else _LISTS[kind](rows)
    masked = await _bytes(face, form, source, mask_pii=True)
    assert SECRET.encode() not in masked
    assert b"5551234" not in masked
    assert rows[0].email == SECRET  # the objects themselves stay


@pytest.mark.parametrize("form", ["stream_json", "stream_jsonl", "stream_ndjson_pretty", "stream_csv"])
async def test_without_personal_data_not_a_byte_differs(face: Face, form: str) -> None:
    await _data(face)
    for source in (Order.objects.all(), Order.objects.values(), Order.objects.values_list("number", flat=True)):
        assert await _bytes(face, form, source, mask_pii=True) == await _bytes(face, form, source)
    plain = [{"a": 1, "email": SECRET}, (SECRET, 2), SECRET]  # rows without a model pass
    assert await _bytes(face, form, plain, mask_pii=True) == await _bytes(face, form, plain)


async def test_raw_sql_is_told_and_other_columns_stay(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    await _data(face)
    source = Customer.objects.annotate(opaque=RawSQL("phone", [])).values("name", "opaque", "id")
    rows = json.loads(await _bytes(face, "stream_json", source, mask_pii=1))
    assert next(iter(rows[0].items())) == ("name", "Ann")
    assert rows[0]["id"] == 1
    assert rows[0]["opaque"] is None
    assert [record.name for record in caplog.records if "'opaque'" in record.getMessage()] == ["dorm.contrib.streaming"]


async def test_what_fails_in_mid_stream_leaves_the_list_open(face: Face) -> None:
    def breaks() -> Any:
        yield {"a": 1}
        raise ZeroDivisionError

    sent: list[bytes] = []
    with pytest.raises(ZeroDivisionError):
        if face.is_async:
            async for chunk in streaming.astream_json(breaks(), chunk_size=1, mask_pii=True):
                sent.append(chunk)
        else:
            for chunk in streaming.stream_json(breaks(), chunk_size=1, mask_pii=True):
                sent.append(chunk)
    assert b"".join(sent) == b'[{"a":1}'


async def test_masking_sends_no_further_statement(face: Face) -> None:
    await _data(face)
    with statements() as sent:
        await _bytes(face, "stream_json", Order.objects.select_related("customer").defer("number"), mask_pii=True)
    assert len([sql for sql in sent if "contrib_tests" in sql]) == 1


async def test_forms(face: Face) -> None:
    await _data(face)
    rows = json.loads(await _bytes(face, "stream_json", Customer.objects.all(), mask_pii=True))
    assert rows == [{"id": 1, "name": "Ann", "email": "[REDACTED]", "phone": None}]
    assert await _bytes(face, "stream_json", Customer.objects.none()) == b"[]"
    assert await _bytes(face, "stream_jsonl", Customer.objects.none()) == b""
    table = await _bytes(face, "stream_csv", Customer.objects.all(), columns=["name", "nothing"])
    assert list(csv.reader(io.StringIO(table.decode()))) == [["name", "nothing"], ["Ann", ""]]


def test_values_of_every_type() -> None:
    row = {
        "date": datetime.date(2026, 1, 2),
        "span": datetime.timedelta(minutes=1),
        "money": decimal.Decimal("1.50"),
        "id": uuid.UUID(int=1),
        "raw": b"\xff",
        "text": "ä\n",
    }
    found = json.loads(b"".join(streaming.stream_jsonl([row])))
    assert found == {
        "date": "2026-01-02",
        "span": 60.0,
        "money": "1.50",
        "id": "00000000-0000-0000-0000-000000000001",
        "raw": "ff",
        "text": "ä\n",
    }
    assert b"".join(streaming.stream_jsonl([(1, 2), 3])) == b'{"col_0":1,"col_1":2}\n{"value":3}\n'
    guarded = b"".join(streaming.stream_csv([{"a": "=1+1"}], guard_formulas=True))
    assert guarded == b"a\r\n'=1+1\r\n"
    with pytest.raises(ValueError, match="chunk_size"):
        streaming.stream_json([], chunk_size=0)


async def test_numbers_that_json_has_no_form_for_are_text(face: Face) -> None:
    rows = [{"a": float("nan"), "b": {"c": [float("inf"), -float("inf"), 1.5]}}, {"a": 2.0, "b": None}]
    for name in ("stream_json", "stream_jsonl", "stream_ndjson_pretty"):
        text = (await _bytes(face, name, rows)).decode()
        assert '"NaN"' in text
        assert re.search(r"[^\"](NaN|-?Infinity)[^\"]", text) is None
    assert json.loads(await _bytes(face, "stream_json", rows)) == [
        {"a": "NaN", "b": {"c": ["Infinity", "-Infinity", 1.5]}},
        {"a": 2.0, "b": None},
    ]


def test_instances_are_masked_in_copies_and_lists() -> None:
    customer = Customer.objects.create(name="Ann", email=SECRET)
    assert SECRET.encode() not in b"".join(streaming.stream_jsonl([customer], mask_pii=True))
    assert customer.email == SECRET
    assert pii.has_pii_fields(Customer)
    assert [field.name for field in pii.pii_fields(Customer)] == ["email", "phone"]
    assert pii.mask_dict(Customer, {"email": SECRET, "phone": 5, "other": 1}) == {
        "email": "[REDACTED]",
        "phone": None,
        "other": 1,
    }
    assert pii.mask_instance(customer).email == "[REDACTED]"


async def test_a_row_is_anonymised_for_good(face: Face) -> None:
    await _data(face)
    await face(pii.anonymize_row)(await face(Customer.objects.get)(name="Ann"))
    found = await face(Customer.objects.get)(name="Ann")
    assert (found.email, found.phone) == ("[REDACTED]", None)


def test_the_first_bytes_come_before_the_last_row() -> None:
    Customer.objects.bulk_create([Customer(name=str(number)) for number in range(50)])
    chunks = streaming.stream_jsonl(Customer.objects.all(), chunk_size=10)
    assert next(chunks).count(b"\n") == 10
    chunks.close()  # type: ignore[attr-defined]  # a generator


class Resident(dorm.Model):
    name = dorm.CharField(max_length=50)
    number = EncryptedCharField(max_length=40, null=True, pii=True)
    ward = EncryptedCharField(max_length=40, default="w")

    class Meta:
        app_label = "contrib_tests"


class Stay(dorm.Model):
    resident = dorm.ForeignKey(Resident, related_name="stays")

    class Meta:
        app_label = "contrib_tests"


_ENCRYPTED = {
    "objects": lambda: Resident.objects.defer("ward"),
    "values": lambda: Resident.objects.values("number", "name"),
    "flat": lambda: Resident.objects.values_list("number", flat=True),
    "joined": lambda: Stay.objects.values("resident__number"),
    "raw": lambda: Resident.objects.raw("SELECT id, name, number FROM contrib_tests_resident"),
    "annotated": lambda: Resident.objects.annotate(shown=dorm.F("number")).values("shown"),
}


@pytest.mark.parametrize("source", _ENCRYPTED)
async def test_encrypted_personal_data_is_masked_without_being_decrypted(face: Face, source: str) -> None:
    create_tables([Resident, Stay])
    keys = [base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2)]
    dorm.configure(FIELD_ENCRYPTION_KEYS=keys[:1])
    resident = await face(Resident.objects.create)(name="Ann", number=SECRET)
    await face(Stay.objects.create)(resident=resident)
    dorm.configure(FIELD_ENCRYPTION_KEYS=keys[1:])  # nobody here could read it
    for form in ("stream_jsonl", "stream_csv"):
        masked = await _bytes(face, form, _ENCRYPTED[source](), mask_pii=True)
        assert b"[REDACTED]" in masked
        assert b"v2:" not in masked
        with pytest.raises(ValueError, match="could not decrypt"):
            await _bytes(face, form, _ENCRYPTED[source]())
    assert not pii.is_masking()
    with pytest.raises(ValueError, match=r"could not decrypt.*ward"):
        await _bytes(face, "stream_jsonl", Resident.objects.all(), mask_pii=True)


def test_masking_ends_where_the_consumer_goes_on() -> None:
    Customer.objects.bulk_create([Customer(name=str(number), email=SECRET) for number in range(30)])
    chunks = streaming.stream_jsonl(Customer.objects.all(), chunk_size=10, mask_pii=True)
    for _ in chunks:
        assert not pii.is_masking()
        break
    chunks.close()  # type: ignore[attr-defined]  # a generator
    assert dorm.pool_stats()["in_use"] == 0

    async def main() -> None:
        found = streaming.astream_jsonl(Customer.objects.all(), chunk_size=10, mask_pii=True)
        async for _ in found:
            assert not pii.is_masking()
            break
        await found.aclose()  # type: ignore[attr-defined]  # a generator
        assert dorm.pool_stats()["in_use"] == 0

    asyncio.run(main())


class Card(dorm.Model):
    number = dorm.IntegerField(pii=True)
    holder = dorm.CharField(max_length=20, pii=True)

    class Meta:
        app_label = "contrib_tests"


async def test_errors_about_personal_data_show_none(face: Face) -> None:
    create_tables([Card])
    card = await face(Card.objects.create)(number=492900112, holder=SECRET)
    failures = [
        (lambda: face(pii.anonymize_row)(card), ValueError, "takes no NULL"),
        (
            lambda: _bytes(face, "stream_json", Card.objects.all(), mask_pii=True, chunk_size=0),
            ValueError,
            "chunk_size",
        ),
        (lambda: _bytes(face, "stream_json", card, mask_pii=True), TypeError, "a source is"),
    ]
    for use, error, match in failures:
        with pytest.raises(error, match=match) as caught:
            await use()
        assert "492900112" not in f"{caught.value!r} {caught.value}"
        assert SECRET not in f"{caught.value!r} {caught.value}"
    assert pii.mask_instance(Card(number=1, holder=SECRET)).holder == "[REDACTED]"
    with pytest.raises(TypeError, match="str is no model"):
        pii.pii_fields(SECRET)
