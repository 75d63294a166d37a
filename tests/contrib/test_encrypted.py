"""Encrypted fields and key rotation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import dorm
from dorm.contrib import encrypted
from dorm.contrib.encrypted import EncryptedCharField, EncryptedTextField, rotate_encryption_keys
from dorm.db.connection import get_connection
from dorm.migrations.schema import create_tables
from dorm.signals import post_save
from tests.contrib.raw import raw
from tests.support.faces import Face


class Patient(dorm.Model):
    name = dorm.CharField(max_length=50)
    number = EncryptedCharField(max_length=40, null=True)
    notes = EncryptedTextField(deterministic=False, default="")

    class Meta:
        app_label = "contrib_tests"


KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(1, 4)]


@pytest.fixture(autouse=True)
def keyed(empty_database: dict[str, Any]) -> None:
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[0]])
    create_tables([Patient])


async def _stored(face: Face) -> list[Any]:
    return await raw(face, "SELECT number, notes FROM contrib_tests_patient ORDER BY id")


async def test_values_are_ciphertext_in_the_table_and_text_in_python(face: Face) -> None:
    await face(Patient.objects.create)(name="Ann", number="123-45", notes="v1:not encrypted")
    ((number, notes),) = await _stored(face)
    assert number.startswith(f"v2:{encrypted.keys()[0].id}:")
    assert "123-45" not in number
    assert notes != "v1:not encrypted"
    found = await face(Patient.objects.get)(name="Ann")
    assert (found.number, found.notes) == ("123-45", "v1:not encrypted")
    await face(Patient.objects.filter(name="Ann").update)(number="new")
    assert (await face(Patient.objects.get)(number="new")).name == "Ann"
    assert await face.rows(Patient.objects.values_list("number", flat=True)) == ["new"]
    await face(Patient.objects.bulk_create)([Patient(name=str(n), number=str(n)) for n in range(3)])
    assert all(stored.startswith("v2:") for stored, _ in await _stored(face))
    assert await face(Patient.objects.filter(number__in=["0", "2", "x"]).count)() == 2


async def test_equality_under_every_key_and_nothing_else(face: Face) -> None:
    await face(Patient.objects.create)(name="old", number="same")
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[1], KEYS[0]])
    await face(Patient.objects.create)(name="new", number="same")
    await face(Patient.objects.create)(name="none")
    assert await face(Patient.objects.filter(number="same").count)() == 2
    assert await face(Patient.objects.exclude(number="same").count)() == 1
    assert await face(Patient.objects.filter(number__isnull=True).count)() == 1
    assert await face(Patient.objects.filter(number=None).count)() == 1
    for lookup in ("contains", "gt", "startswith", "iexact", "range"):
        with pytest.raises(dorm.FieldError, match="encrypted"):
            await face(
                Patient.objects.filter(**{f"number__{lookup}": ("a", "b") if lookup == "range" else "a"}).count
            )()
    with pytest.raises(dorm.FieldError, match="deterministic"):
        await face(Patient.objects.filter(notes="x").count)()


async def test_a_wrong_key_names_the_field_and_no_value(face: Face) -> None:
    await face(Patient.objects.create)(name="Ann", number="123-45")
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[2]])
    with pytest.raises(ValueError, match=r"could not decrypt.*number") as caught:
        await face(Patient.objects.get)(name="Ann")
    assert "123" not in str(caught.value)
    assert KEYS[2] not in str(caught.value)


@pytest.mark.parametrize("keys", [[], ["short"], ["x" * 44], [5], KEYS[0]])
def test_wrong_keys_are_refused(keys: Any) -> None:
    dorm.configure(FIELD_ENCRYPTION_KEYS=keys)
    with pytest.raises(dorm.ImproperlyConfigured, match="FIELD_ENCRYPTION_KEY"):
        Patient.objects.create(name="Ann", number="1")


async def test_the_first_format_is_read_compared_and_written_on_demand(face: Face) -> None:
    key, secret = encrypted.keys()[0], base64.b64decode(KEYS[0])
    nonce = hmac.new(secret, b"same", hashlib.sha256).digest()[:12]
    specified = "v1:" + base64.b64encode(nonce + AESGCM(secret).encrypt(nonce, b"same", None)).decode()
    assert key.encrypt("same", deterministic=True) == specified
    await raw(face, "INSERT INTO contrib_tests_patient (name, number, notes) VALUES (%s, %s, '')", "one", specified)
    await face(Patient.objects.create)(name="two", number="same")
    dorm.configure(FIELD_ENCRYPTION_FORMAT="v1")
    await face(Patient.objects.create)(name="three", number="same")
    assert [stored[:3] for stored, _ in await _stored(face)] == ["v1:", "v2:", "v1:"]
    assert await face(Patient.objects.filter(number="same").count)() == 3
    assert {each.number for each in await face.rows(Patient.objects.all())} == {"same"}
    dorm.configure(FIELD_ENCRYPTION_FORMAT="v2")
    assert await face(rotate_encryption_keys)(Patient) == 1  # the notes that were plain
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[1], KEYS[0]])
    assert await face(rotate_encryption_keys)(Patient) == 3
    assert [stored[:12] for stored, _ in await _stored(face)] == [f"v2:{encrypted.keys()[0].id}:"] * 3
    dorm.configure(FIELD_ENCRYPTION_FORMAT="v9")
    with pytest.raises(dorm.ImproperlyConfigured, match="FIELD_ENCRYPTION_FORMAT takes"):
        await face(Patient.objects.create)(name="four", number="same")
    dorm.configure(FIELD_ENCRYPTION_FORMAT="v2")


class Account(dorm.Model):
    pk: Any = dorm.CompositePrimaryKey("bank", "number")
    bank = dorm.IntegerField()
    number = dorm.CharField(max_length=20)
    secret = EncryptedCharField(max_length=40, null=True, unique=True)

    class Meta:
        app_label = "contrib_tests"


async def test_keys_of_several_columns_are_walked(face: Face) -> None:
    create_tables([Account])
    rows = [
        Account(bank=bank, number=f"{number:02d}", secret=f"{bank}-{number}") for bank in (1, 2) for number in range(7)
    ]
    await face(Account.objects.bulk_create)(rows)
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[1], KEYS[0]])
    calls: list[tuple[int, int]] = []
    assert await face(rotate_encryption_keys)(Account, batch_size=5, progress=lambda *n: calls.append(n)) == 14
    assert calls == [(5, 5), (10, 10), (14, 14)]
    assert await face(rotate_encryption_keys)(Account, start_after=(1, "06")) == 0
    assert await face(encrypted.verify_encryption_keys)(Account, batch_size=4) == {0: 14}
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[2]])
    with pytest.raises(ValueError, match=r"could not decrypt contrib_tests.Account.secret .* primary key \(1, '00'\)"):
        await face(rotate_encryption_keys)(Account)


async def test_two_rows_with_one_text_under_two_keys(face: Face) -> None:
    create_tables([Account])
    await face(Account.objects.create)(bank=1, number="a", secret="same")
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[1], KEYS[0]])
    await face(Account.objects.create)(bank=2, number="b", secret="same")
    with pytest.raises(dorm.IntegrityError) as caught:
        await face(rotate_encryption_keys)(Account)
    assert "(1, 'a') and (2, 'b')" in str(caught.value)
    assert "same text" in str(caught.value)


async def _mixed(face: Face, rows: int) -> None:
    for number in range(3):
        dorm.configure(FIELD_ENCRYPTION_KEYS=list(reversed(KEYS[: number + 1])))
        await face(Patient.objects.bulk_create)(
            [Patient(name=f"{number}", number=None if each % 5 == 0 else f"{number}-{each}") for each in range(rows)]
        )


async def test_rotation_brings_everything_to_the_head_key(face: Face) -> None:
    await _mixed(face, 40)
    await raw(
        face, "INSERT INTO contrib_tests_patient (name, number, notes) VALUES (%s, %s, %s)", "plain", "legacy", ""
    )
    calls: list[tuple[int, int]] = []
    saved: list[Any] = []
    receiver = lambda **told: saved.append(told)  # noqa: E731  # kept alive by its name
    post_save.connect(receiver, sender=Patient)
    before = await face(encrypted.verify_encryption_keys)(Patient)
    assert before[0] > 0
    assert before[1] > 0
    assert before["plain"] == 2
    assert await face(rotate_encryption_keys)(Patient, dry_run=True) == 81
    rewritten = await face(rotate_encryption_keys)(Patient, batch_size=50, progress=lambda *n: calls.append(n))
    assert rewritten == 81
    assert calls == [(50, 50), (80, 100), (81, 121)]
    post_save.disconnect(receiver, sender=Patient)
    assert saved == []
    assert list(await face(encrypted.verify_encryption_keys)(Patient)) == [0]
    assert await face(rotate_encryption_keys)(Patient) == 0
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[2]])
    assert (await face(Patient.objects.get)(number="legacy")).name == "plain"
    assert await face(Patient.objects.filter(number="0-1").count)() == 1


async def test_a_value_that_no_key_opens(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    await face(Patient.objects.create)(name="a", number="one")
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[1]])
    await face(Patient.objects.create)(name="b", number="two")
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[2], KEYS[1]])
    with pytest.raises(ValueError, match=r"number.*primary key 1"):
        await face(rotate_encryption_keys)(Patient)
    assert await face(rotate_encryption_keys)(Patient, on_error="skip") == 1
    assert "none of the configured keys" in caplog.text
    counts = await face(encrypted.verify_encryption_keys)(Patient)
    assert counts["unknown"] == 2


async def test_writers_go_on_during_a_rotation(face: Face) -> None:
    await _mixed(face, 20)
    changed: list[Any] = []

    def meddle(rewritten: int, examined: int) -> None:
        # Between two batches somebody changes rows behind and ahead of the walk, and removes one.
        first, last = Patient.objects.earliest("id"), Patient.objects.latest("id")
        for row in (first, last):
            Patient.objects.filter(pk=row.pk).update(number=f"changed {examined}")
            changed.append((row.pk, f"changed {examined}"))
        Patient.objects.filter(pk=first.pk + 1).delete()

    if face.is_async:

        async def ameddle(rewritten: int, examined: int) -> None:
            meddle(rewritten, examined)

        await encrypted.arotate_encryption_keys(Patient, batch_size=10, progress=ameddle)
    else:
        rotate_encryption_keys(Patient, batch_size=10, progress=meddle)
    for pk, text in dict(changed).items():
        assert Patient.objects.get(pk=pk).number == text
    assert list(await face(encrypted.verify_encryption_keys)(Patient)) == [0]


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"fields": ["nothing"]}, dorm.FieldDoesNotExist, "nothing"),
        ({"fields": ["name"]}, TypeError, "not an EncryptedField"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"progress": 5}, TypeError, "progress"),
        ({"on_error": "ignore"}, ValueError, "on_error"),
    ],
)
async def test_wrong_arguments(face: Face, kwargs: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        await face(rotate_encryption_keys)(Patient, **kwargs)
    with pytest.raises(TypeError, match="model"):
        await face(rotate_encryption_keys)("Patient")


def test_a_single_key_setting() -> None:
    assert KEYS[0] not in repr(encrypted.keys())
    key = base64.b64encode(os.urandom(32)).decode()
    dorm.configure(FIELD_ENCRYPTION_KEYS=[], FIELD_ENCRYPTION_KEY=key)
    Patient.objects.create(name="x", number="1")
    assert Patient.objects.get(number="1").name == "x"
    dorm.configure(FIELD_ENCRYPTION_KEY="")


def test_a_table_that_refuses_updates_refuses_rotation(backend: str) -> None:
    Patient.objects.create(name="x", number="1")
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[1], KEYS[0]])
    with get_connection().atomic():
        for sql in _APPEND_ONLY[backend]:
            get_connection().execute(sql)
    with pytest.raises(dorm.DatabaseError):
        rotate_encryption_keys(Patient)
    assert encrypted.verify_encryption_keys(Patient) == {1: 2}


_APPEND_ONLY = {
    "sqlite": [
        "CREATE TRIGGER no BEFORE UPDATE ON contrib_tests_patient BEGIN SELECT RAISE(ABORT, 'append only'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'append only'; END $$",
        "CREATE TRIGGER no BEFORE UPDATE ON contrib_tests_patient FOR EACH ROW EXECUTE FUNCTION no()",
    ],
}
