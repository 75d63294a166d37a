"""Which rows and columns a rotation reaches, what it writes and tells; processes and kills are in test_rotation."""

from __future__ import annotations

import asyncio
import base64
import threading
from typing import Any

import pytest

import dorm
from dorm.contrib import encrypted, history
from dorm.contrib.encrypted import (
    EncryptedCharField,
    EncryptedFieldMixin,
    EncryptedTextField,
    arotate_encryption_keys,
    rotate_encryption_keys,
    verify_encryption_keys,
)
from dorm.contrib.softdelete import SoftDeleteModel
from dorm.contrib.tenants_row import TenantModel, current_tenant
from dorm.migrations.operations import MakeTableAppendOnly
from dorm.migrations.schema import create_tables
from dorm.migrations.state import ProjectState
from dorm.signals import post_save, pre_save
from tests.contrib.raw import raw
from tests.support.faces import Face
from tests.support.statements import statements

OLDEST, OLD, HEAD = (base64.b64encode(bytes([number]) * 32).decode() for number in range(1, 4))


class OwnField(EncryptedFieldMixin, dorm.EmailField):
    """A field made from the mixin."""


class Person(dorm.Model):
    number = EncryptedCharField(max_length=40, null=True, db_column="nr")
    seen = dorm.DateTimeField(auto_now=True)

    class Meta:
        app_label = "rotations"


class Nurse(Person):
    email = OwnField(max_length=60, default="")
    notes = EncryptedTextField(deterministic=False, null=True)

    class Meta:
        app_label = "rotations"


@history.track_history
class Case(SoftDeleteModel):
    code = EncryptedCharField(max_length=40, default="")

    class Meta:
        app_label = "rotations"


class Lease(TenantModel):
    code = EncryptedCharField(max_length=40, default="")

    class Meta:
        app_label = "rotations"


class Plain(dorm.Model):
    name = dorm.CharField(max_length=10)

    class Meta:
        app_label = "rotations"


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, Any]) -> None:
    keyed(OLD)
    create_tables([Person, Nurse, Case, Case.history.model, Lease, Plain])  # type: ignore[attr-defined]


def keyed(*keys: str) -> None:
    dorm.configure(FIELD_ENCRYPTION_KEYS=list(keys))


async def _rotate(face: Face, *args: Any, **kwargs: Any) -> Any:
    return await face(rotate_encryption_keys)(*args, **kwargs)


# -- which columns and rows --------------------------------------------------------------------------------------


async def test_inherited_columns_and_fields_of_ones_own(face: Face) -> None:
    nurse = await face(Nurse.objects.create)(number="1", email="a@b.de", notes="n")
    keyed(HEAD, OLD)
    assert await _rotate(face, Nurse, ["email"]) == 1
    assert await face(verify_encryption_keys)(Nurse) == {0: 1, 1: 2}
    assert await _rotate(face, Nurse) == 2  # a row of either table
    assert await _rotate(face, Nurse, ["number", "notes"]) == 0
    keyed(HEAD)
    found = await face(Nurse.objects.get)(number="1", email="a@b.de")
    assert (found.pk, found.notes) == (nurse.pk, "n")


async def test_rows_that_managers_hide_are_rotated_below_models(face: Face) -> None:
    case = await face(Case.objects.create)(code="deleted")
    await face(case.delete)()
    for tenant in ("a", "b"):
        with current_tenant(tenant):
            await face(Lease.objects.create)(code=tenant)
    person = await face(Person.objects.create)(number="1")
    written = await face(Case.history.count)()  # type: ignore[attr-defined]
    saved: list[Any] = []
    receiver = lambda **told: saved.append(told)  # noqa: E731  # kept alive by its name
    for signal in (pre_save, post_save):
        signal.connect(receiver)
    keyed(HEAD, OLD)
    with current_tenant("a"):
        assert await _rotate(face, Case) == 1
        assert await _rotate(face, Lease) == 2
        assert await _rotate(face, Person) == 1
    for signal in (pre_save, post_save):
        signal.disconnect(receiver)
    assert saved == []
    assert await face(Case.history.count)() == written  # type: ignore[attr-defined]
    keyed(HEAD)
    assert (await face(Case.deleted_objects.get)()).code == "deleted"
    assert (await face(Person.objects.get)(number="1")).seen == person.seen
    assert sorted(row.code for row in await face.rows(Lease.unscoped.all())) == ["a", "b"]


async def test_text_of_before_is_encrypted_or_left(face: Face) -> None:
    await raw(face, "INSERT INTO rotations_person (nr, seen) VALUES (%s, '2026-01-01')", "in the clear")
    keyed(HEAD, OLD)
    assert await _rotate(face, Person, encrypt_plain=False) == 0
    assert await face(verify_encryption_keys)(Person) == {"plain": 1}
    assert await _rotate(face, Person) == 1
    assert await face(verify_encryption_keys)(Person) == {0: 1}
    assert (await face(Person.objects.get)(number="in the clear")).number == "in the clear"


@pytest.mark.slow
async def test_ten_thousand_rows_under_three_keys(face: Face) -> None:
    for keys in ([OLDEST], [OLD, OLDEST], [HEAD, OLD, OLDEST]):
        keyed(*keys)
        rows = [Person(number=None if number % 10 == 0 else f"{len(keys)}-{number}") for number in range(3334)]
        await face(Person.objects.bulk_create)(rows)
    calls: list[tuple[int, int]] = []

    def equality_works(rewritten: int, examined: int) -> None:
        calls.append((rewritten, examined))
        if len(calls) % 5 == 0:
            assert [Person.objects.filter(number=f"{n}-3333").count() for n in (1, 2, 3)] == [1, 1, 1]

    async def aequality_works(rewritten: int, examined: int) -> None:
        equality_works(rewritten, examined)

    progress = aequality_works if face.is_async else equality_works
    assert await _rotate(face, Person, progress=progress) == 6000
    assert calls[-1] == (6000, 10002)
    assert await face(verify_encryption_keys)(Person) == {0: 9000}
    with statements() as sent:
        assert await _rotate(face, Person) == 0
    assert not [sql for sql in sent if sql.lstrip().upper().startswith("UPDATE")]
    assert len(sent) < 80  # a page each, and its transaction
    assert not [sql for sql in sent if "OFFSET" in sql]


async def test_rows_that_go_and_come_during_the_walk(face: Face) -> None:
    await face(Person.objects.bulk_create)([Person(number=f"{number}") for number in range(40)])
    keyed(HEAD, OLD)

    def meddle(rewritten: int, examined: int) -> None:
        first, last = Person.objects.earliest("id"), Person.objects.latest("id")
        Person.objects.filter(pk__gte=first.pk, pk__lt=first.pk + 3).delete()  # in batches that were visited
        if examined <= 40:
            Person.objects.create(number=f"new {last.pk}")  # behind the end

    async def ameddle(rewritten: int, examined: int) -> None:
        meddle(rewritten, examined)

    assert await _rotate(face, Person, batch_size=10, progress=ameddle if face.is_async else meddle) == 40
    assert set(await face(verify_encryption_keys)(Person)) == {0}


async def test_a_table_that_refuses_changes_refuses_rotation(face: Face) -> None:
    await face(Person.objects.create)(number="1")
    keyed(HEAD, OLD)
    MakeTableAppendOnly("rotations_person").database_forwards("rotations", "default", ProjectState(), ProjectState())
    for on_error in ("raise", "skip"):
        with pytest.raises(dorm.DatabaseError, match="append-only"):
            await _rotate(face, Person, on_error=on_error)
    assert await face(verify_encryption_keys)(Person) == {1: 1}


# -- batches -----------------------------------------------------------------------------------------------------


async def test_progress_is_told_of_each_batch_that_was_committed(face: Face) -> None:
    await face(Person.objects.bulk_create)([Person(number=None) for _ in range(20)])
    keyed(HEAD, OLD)
    calls: list[tuple[int, int]] = []
    assert await _rotate(face, Person, batch_size=10, progress=lambda *n: calls.append(n)) == 0
    assert calls == [(0, 10), (0, 20)]  # rows of NULLs count as looked at, and an empty batch is not told
    await face(Person.objects.all().delete)()
    await face(Person.objects.bulk_create)([Person(number="x") for _ in range(20)])
    keyed(OLDEST, HEAD, OLD)

    def breaks(rewritten: int, examined: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await _rotate(face, Person, batch_size=10, progress=breaks)
    assert await face(verify_encryption_keys)(Person) == {0: 10, 1: 10}
    first = await face(Person.objects.earliest)("id")
    assert await _rotate(face, Person, start_after=first.pk + 14) == 5
    assert await _rotate(face, Person) == 5


async def test_a_batch_that_fails_leaves_the_ones_before(face: Face) -> None:
    await face(Person.objects.bulk_create)([Person(number="x") for _ in range(10)])
    keyed(HEAD)
    lost = await face(Person.objects.create)(number="under a key that is gone")
    keyed(OLDEST, OLD)
    with pytest.raises(ValueError, match=rf"rotations.Person.number.*primary key {lost.pk}") as caught:
        await _rotate(face, Person, batch_size=5)
    assert "under a key" not in str(caught.value)
    assert await face(verify_encryption_keys)(Person) == {0: 10, "unknown": 1}


async def test_without_keys_or_columns_nothing_is_read(face: Face) -> None:
    with statements() as sent:
        assert await _rotate(face, Plain) == 0
        keyed()
        with pytest.raises(dorm.ImproperlyConfigured, match="FIELD_ENCRYPTION_KEYS"):
            await _rotate(face, Person)
        keyed(HEAD)
        for fields, error, match in (
            (["number", "nothing"], dorm.FieldDoesNotExist, "nothing"),
            (["seen"], TypeError, "Person.seen is not an EncryptedField"),
            ("number", TypeError, "list of names"),
        ):
            with pytest.raises(error, match=match):
                await _rotate(face, Person, fields)
        for size in (0, -1, True, 1.5):
            with pytest.raises(ValueError, match="batch_size"):
                await _rotate(face, Person, batch_size=size)
        with pytest.raises(TypeError, match="model"):
            await _rotate(face, object)
    assert sent == []


# -- two at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("form", ["sync", "async"])
def test_a_second_rotation_waits_for_the_first(form: str, backend: str) -> None:
    Person.objects.bulk_create([Person(number="x") for _ in range(20)])
    keyed(HEAD, OLD)
    begun, go_on, asked = threading.Event(), threading.Event(), threading.Event()
    first: list[int] = []
    second: list[int] = []
    told: list[int] = []

    def hold(rewritten: int, examined: int) -> None:
        begun.set()
        assert go_on.wait(60)

    def watch(sql: str, **_: Any) -> None:
        if begun.is_set() and "pg_try_advisory_lock" in sql:
            asked.set()

    def again() -> None:
        progress = lambda rewritten, examined: told.append(examined)  # noqa: E731
        second.append(
            asyncio.run(arotate_encryption_keys(Person, progress=progress))
            if form == "async"
            else rotate_encryption_keys(Person, progress=progress)
        )

    dorm.pre_query.connect(watch)
    try:
        one = threading.Thread(target=lambda: first.append(rotate_encryption_keys(Person, batch_size=5, progress=hold)))
        one.start()
        assert begun.wait(60)
        other = threading.Thread(target=again)
        other.start()
        assert asked.wait(60)
        assert told == []  # it waits: nothing of it was done
        go_on.set()
        one.join(60)
        other.join(60)
    finally:
        go_on.set()
        dorm.pre_query.disconnect(watch)
    assert (first, second, told) == ([20], [0], [20])
    assert encrypted.verify_encryption_keys(Person) == {0: 20}


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_behind_a_transaction_pooler_values_are_compared_all_the_same(
    face: Face, empty_database: dict[str, Any]
) -> None:
    await face(Person.objects.create)(number="1")
    dorm.configure(DATABASES={"default": {**empty_database, "PGBOUNCER_MODE": "transaction"}})
    keyed(HEAD, OLD)
    assert await _rotate(face, Person) == 1
