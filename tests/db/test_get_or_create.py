"""get_or_create and update_or_create, and races of processes for one row."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm import F, transaction
from dorm.migrations.schema import create_tables
from dorm.signals import post_save, pre_save
from tests.support.faces import Face
from tests.support.racing import Counter, Loose


class Noisy(dorm.QuerySet[Any]):
    def create(self, **values: Any) -> Any:
        return super().create(**{**values, "text": "made by create"})

    async def acreate(self, **values: Any) -> Any:
        return await super().acreate(**{**values, "text": "made by create"})


class Word(dorm.Model):
    text = dorm.TextField(default="")
    number = dorm.IntegerField(default=0)
    changed = dorm.DateTimeField(auto_now=True)

    objects = dorm.Manager()
    noisy = Noisy.as_manager()

    class Meta:
        app_label = "races"

    @property
    def both(self) -> str:
        return f"{self.text} {self.number}"

    @both.setter
    def both(self, value: str) -> None:
        text, number = value.split()
        self.text, self.number = text, int(number)


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables([Word, Counter, Loose])


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """The statements of the test, first word each."""
    seen: list[str] = []

    def note(sender: Any, sql: str, **told: Any) -> None:
        seen.append(sql.split()[0])

    dorm.pre_query.connect(note)
    yield seen
    dorm.pre_query.disconnect(note)


async def test_found_or_made(face: Face) -> None:
    word, created = await face(Word.objects.get_or_create)(text="a", defaults={"number": 3})
    assert (created, word.text, word.number, word._state.adding) == (True, "a", 3, False)
    again, created = await face(Word.objects.get_or_create)(text="a", defaults={"number": 9})
    assert (again, created, again.number) == (word, False, 3)


async def test_suffixes_are_for_the_search_only_and_functions_are_called(face: Face) -> None:
    word, created = await face(Word.objects.get_or_create)(
        text__iexact="Hello", defaults={"text": "hello", "number": lambda: 7}
    )
    assert (created, word.text, word.number) == (True, "hello", 7)
    assert await face(Word.objects.get_or_create)(text__iexact="HELLO") == (word, False)
    other, _ = await face(Word.objects.get_or_create)(text="p", defaults={"both": "x 5"})
    assert (other.text, other.number) == ("x", 5)


async def test_unknown_names_and_too_many_rows_are_refused(face: Face, sent: list[str]) -> None:
    with pytest.raises(dorm.FieldError, match=r"Invalid field name\(s\) for model Word: 'nope'"):
        await face(Word.objects.get_or_create)(text="a", defaults={"nope": 1})
    with pytest.raises(dorm.FieldError, match=r"Invalid field name\(s\) for model Word: 'nope'"):
        await face(Word.objects.update_or_create)(text="a", defaults={"nope": 1})
    assert "INSERT" not in sent
    await face(Word.objects.bulk_create)([Word(text="a"), Word(text="a")])
    with pytest.raises(Word.MultipleObjectsReturned):
        await face(Word.objects.get_or_create)(text="a")


async def test_a_constraint_that_is_broken_otherwise_is_told(face: Face) -> None:
    await face(Counter.objects.create)(name="a", code="taken")
    with pytest.raises(dorm.IntegrityError):
        await face(Counter.objects.get_or_create)(name="b", defaults={"code": "taken"})
    async with face.atomic():
        with pytest.raises(dorm.IntegrityError):
            await face(Counter.objects.get_or_create)(name="b", defaults={"code": "taken"})
        assert await face(Counter.objects.count)() == 1


async def test_a_unique_set_needs_no_savepoint(face: Face, sent: list[str]) -> None:
    async with face.atomic():
        _, created = await face(Counter.objects.get_or_create)(name="a")
    assert created
    assert [word for word in sent if word in ("INSERT", "SAVEPOINT")] == ["INSERT"]


async def test_receivers_hear_of_a_new_row_once(face: Face) -> None:
    told: list[Any] = []

    def note(sender: Any, instance: Any, **rest: Any) -> None:
        told.append(rest.get("created"))

    pre_save.connect(note, sender=Counter)
    post_save.connect(note, sender=Counter)
    try:
        await face(Counter.objects.get_or_create)(name="a")
        await face(Counter.objects.get_or_create)(name="a")
        await face(Counter.objects.update_or_create)(name="a", defaults={"number": 1})
    finally:
        pre_save.disconnect(note, sender=Counter)
        post_save.disconnect(note, sender=Counter)
    assert told == [None, True, None, False]


async def test_updated_or_made(face: Face) -> None:
    word, created = await face(Word.objects.update_or_create)(text="a", defaults={"number": 1})
    assert (created, word.number) == (True, 1)
    before = word.changed
    word, created = await face(Word.objects.update_or_create)(text="a", defaults={"number": lambda: 2})
    assert (created, word.number) == (False, 2)
    assert (await face(Word.objects.get)()).changed > before
    word, created = await face(Word.objects.update_or_create)(text="a", defaults={"number": F("number") + 5})
    await face(word.refresh_from_db)()
    assert word.number == 7
    word, created = await face(Word.objects.update_or_create)(
        text="b", defaults={"number": 1}, create_defaults={"number": 100}
    )
    assert (created, word.number) == (True, 100)
    word, created = await face(Word.objects.update_or_create)(
        text="b", defaults={"number": 1}, create_defaults={"number": 100}
    )
    assert (created, word.number) == (False, 1)
    word, _ = await face(Word.objects.update_or_create)(text="b", defaults={"both": "c 8"})
    assert (await face(Word.objects.get)(pk=word.pk)).both == "c 8"


async def test_only_what_was_asked_for_is_saved(face: Face) -> None:
    counter = await face(Counter.objects.create)(name="a", number=1)
    told: list[Any] = []

    def interfere(sender: Any, instance: Any, update_fields: Any, **rest: Any) -> None:
        told.append(update_fields)

    pre_save.connect(interfere, sender=Counter)
    try:
        await face(Counter.objects.update_or_create)(name="a", defaults={"number": 2})
    finally:
        pre_save.disconnect(interfere, sender=Counter)
    assert told == [frozenset({"number"})]
    await face(counter.refresh_from_db)()
    assert counter.number == 2


async def test_an_overridden_create_is_honoured(face: Face) -> None:
    word, created = await face(Word.noisy.get_or_create)(text="a")
    assert (created, word.text) == (True, "made by create")


async def test_querysets_restrict_the_search(face: Face) -> None:
    await face(Word.objects.create)(text="a", number=1)
    word, created = await face(Word.objects.filter(number=2).get_or_create)(text="a", defaults={"number": 2})
    assert (created, word.number) == (True, 2)


def test_a_row_that_the_snapshot_hides_may_be_tried_again(backend: str) -> None:
    if backend != "postgresql":
        pytest.skip("SQLite has one writer: nobody makes the row in between")
    with pytest.raises(dorm.OperationalError) as caught, transaction.atomic(isolation="repeatable read"):
        assert Counter.objects.count() == 0
        other = threading.Thread(target=Counter.objects.create, kwargs={"name": "a"})
        other.start()
        other.join()
        Counter.objects.get_or_create(name="a")
    assert caught.value.retryable


class SavedAloud(Counter):
    class Meta:
        app_label = "races"
        proxy = True

    def save(self, **options: Any) -> None:
        super().save(**options)


def test_so_may_a_row_whose_save_is_overridden(backend: str) -> None:
    if backend != "postgresql":
        pytest.skip("SQLite has one writer: nobody makes the row in between")
    tries: list[int] = []

    @transaction.atomic(isolation="repeatable read", retry=2)
    def work() -> bool:
        assert SavedAloud.objects.count() == len(tries)
        if not tries:
            other = threading.Thread(target=Counter.objects.create, kwargs={"name": "a"})
            other.start()
            other.join()
        tries.append(1)
        return SavedAloud.objects.get_or_create(name="a")[1]

    assert work() is False
    assert len(tries) == 2
    Counter.objects.all().delete()
    with pytest.raises(dorm.IntegrityError), transaction.atomic(isolation="repeatable read"):
        Counter.objects.create(name="b", number=1)
        SavedAloud.objects.get_or_create(number=2, defaults={"name": "b"})


RACER = """
import asyncio, json, sys
import dorm
from tests.support.racing import Counter, Loose
dorm.configure(DATABASES={"default": json.loads(sys.argv[1])})
face, how = sys.argv[2:]
print("ready", flush=True)
sys.stdin.readline()
made = 0
async def arace():
    made = 0
    for number in range(60):
        if how == "get":
            _, created = await Counter.objects.aget_or_create(name=f"n{number}", defaults={"number": 1})
        else:
            _, created = await Counter.objects.aupdate_or_create(
                name="one", defaults={"number": dorm.F("number") + 1}, create_defaults={"number": 1})
        made += created
    print(made)
if face == "async":
    asyncio.run(arace())
else:
    for number in range(60):
        if how == "get":
            _, created = Counter.objects.get_or_create(name=f"n{number}", defaults={"number": 1})
        else:
            _, created = Counter.objects.update_or_create(
                name="one", defaults={"number": dorm.F("number") + 1}, create_defaults={"number": 1})
        made += created
    print(made)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["get", "update"])
def test_two_processes_make_each_row_once(empty_database: dict[str, Any], how: str) -> None:

    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, json.dumps(empty_database), face, how],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for face in ("sync", "async")
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    answers = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        answers.append(int(racer.communicate(timeout=100)[0]))
        assert racer.returncode == 0
    if how == "get":
        assert sum(answers) == Counter.objects.count() == 60
    else:
        assert sum(answers) == Counter.objects.count() == 1
        assert Counter.objects.get().number == 120
