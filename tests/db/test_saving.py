"""Saving: which of INSERT and UPDATE, which columns, expressions, defaults, receivers, overridden methods."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm import F, Func, Value
from dorm.migrations.schema import create_tables
from dorm.signals import post_save, pre_save
from tests.support.faces import Face

_numbers = itertools.count(1)


def upper(text: str) -> Func:
    return Func(Value(text), function="UPPER", output_field=dorm.TextField())


class Note(dorm.Model):
    title = dorm.CharField(max_length=50)
    body = dorm.TextField(default="")
    reads = dorm.IntegerField(default=0)

    class Meta:
        app_label = "saving"


class Numbered(dorm.Model):
    """The key comes from a default."""

    number = dorm.IntegerField(primary_key=True, default=lambda: next(_numbers))
    text = dorm.TextField(default="")

    class Meta:
        app_label = "saving"


class Selecting(dorm.Model):
    text = dorm.TextField(default="")

    class Meta:
        app_label = "saving"
        select_on_save = True


class Bare(dorm.Model):
    class Meta:
        app_label = "saving"


class Frozen(dorm.Model):
    text = dorm.TextField(default="")

    class Meta:
        app_label = "saving"
        read_only = True


class Made(dorm.Model):
    """Columns that the database fills."""

    width = dorm.IntegerField(db_default=7)
    height = dorm.IntegerField(default=2)
    name = dorm.CharField(max_length=20, db_default="abc")

    class Meta:
        app_label = "saving"


class Shouting(dorm.Model):
    """Overrides both faces."""

    text = dorm.TextField()

    class Meta:
        app_label = "saving"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.text = self.text.upper()
        super().save(*args, **kwargs)

    async def asave(self, *args: Any, **kwargs: Any) -> None:
        self.text = self.text.upper()
        await super().asave(*args, **kwargs)


class Whispering(dorm.Model):
    """Overrides the operation, once for both faces."""

    text = dorm.TextField()

    class Meta:
        app_label = "saving"

    def _save_operation(self, *args: Any, **kwargs: Any) -> Any:
        self.text = self.text.lower()
        return super()._save_operation(*args, **kwargs)


class SyncOnly(dorm.Model):
    text = dorm.TextField()

    class Meta:
        app_label = "saving"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.text += "!"
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        return super().delete(*args, **kwargs)


MODELS = [Note, Numbered, Selecting, Bare, Frozen, Made, Shouting, Whispering, SyncOnly]


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables(MODELS)


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """The statements of the test, first word each."""
    seen: list[str] = []

    def note(sender: Any, sql: str, **told: Any) -> None:
        seen.append(sql.split()[0])

    dorm.pre_query.connect(note)
    yield seen
    dorm.pre_query.disconnect(note)


async def test_a_new_row_is_one_insert_and_a_loaded_one_one_update(face: Face, sent: list[str]) -> None:
    note = Note(title="a")
    await face(note.save)()
    assert sent == ["INSERT"]
    note.title = "b"
    await face(note.save)()
    assert sent == ["INSERT", "UPDATE"]
    await face(Note(pk=note.pk + 1, title="c").save)()
    assert sent[2:] == ["UPDATE", "INSERT"]


async def test_values_of_other_classes_are_prepared_as_ever(face: Face) -> None:
    class Text(str):
        pass

    class Number(int):
        pass

    note = await face(Note.objects.create)(title=Text("t"), body=7, reads=Number(3))
    other = await face(Note.objects.create)(title="u", reads=True)
    third = Note(title="v", reads="5")
    await face(third.save)()
    rows = await face.rows(Note.objects.order_by("pk").values_list("pk", "title", "body", "reads"))
    assert rows == [(note.pk, "t", "7", 3), (other.pk, "u", "", 1), (third.pk, "v", "", 5)]
    assert {type(value) for row in rows for value in row} == {int, str}
    with pytest.raises(dorm.InvalidValue, match="out of range"):
        await face(Note.objects.create)(title="w", reads=2**31)
    with pytest.raises(TypeError, match="unexpected keyword argument 'titel'"):
        Note(titel="x")
    assert (Note(reads=1).title, Note(title="y").reads, Note().pk) == ("", 0, None)


async def test_a_key_from_a_default_skips_the_update(face: Face, sent: list[str]) -> None:
    made = Numbered(text="x")
    assert made.pk is not None
    await face(made.save)()
    assert sent == ["INSERT"]
    with pytest.raises(dorm.IntegrityError):
        await face(Numbered(pk=made.pk).save)()
    await face(Numbered(pk=made.pk, text="y").save)(force_update=True)
    assert (await face(Numbered.objects.get)(pk=made.pk)).text == "y"


async def test_a_key_of_none_gets_its_default(face: Face, sent: list[str]) -> None:
    created = await face(Numbered.objects.create)(number=None)
    forced = Numbered(number=None)
    await face(forced.save)(force_insert=True)
    plain = Numbered(number=None)
    await face(plain.save)()
    assert sent == ["INSERT"] * 3
    numbers = [created.pk, forced.pk, plain.pk]
    assert await face.rows(Numbered.objects.order_by("pk").values_list("pk", flat=True)) == sorted(numbers)
    assert None not in numbers


async def test_a_model_of_a_key_alone(face: Face, sent: list[str]) -> None:
    bare = Bare()
    await face(bare.save)()
    await face(bare.save)()
    assert sent == ["INSERT", "SELECT"]
    assert await face(Bare.objects.count)() == 1


async def test_select_on_save_looks_first(face: Face, sent: list[str]) -> None:
    row = await face(Selecting.objects.create)(text="a")
    sent.clear()
    await face(row.save)()
    assert sent == ["SELECT", "UPDATE"]
    sent.clear()
    await face(row.save)(force_update=True)
    assert sent == ["UPDATE"]
    sent.clear()
    await face(Selecting(pk=row.pk + 1).save)()
    assert sent == ["SELECT", "INSERT"]


async def test_contradictions_and_unknown_names_are_refused_early(face: Face, sent: list[str]) -> None:
    note = Note(title="a")
    for options in ({"force_update": True}, {"update_fields": ["title"]}):
        with pytest.raises(ValueError, match="Cannot force both insert and updating in model saving"):
            await face(note.save)(force_insert=True, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Cannot force an update in save\(\) with no primary key"):
        await face(note.save)(force_update=True)
    with pytest.raises(ValueError, match=r"do not exist in this model.*id"):
        await face(note.save)(update_fields=["id"])
    with pytest.raises(TypeError, match="force_insert must be a bool or tuple"):
        await face(note.save)(force_insert=[Note])
    with pytest.raises(TypeError, match=r"Invalid force_insert member. 1 must be a model subclass"):
        await face(note.save)(force_insert=(1,))
    with pytest.raises(TypeError, match=r"Invalid force_insert member. Bare must be a base of Note"):
        await face(note.save)(force_insert=(Bare,))
    await face(note.save)(update_fields=[])
    assert sent == []
    with pytest.raises(dorm.DatabaseError, match="Save with update_fields did not affect any rows"):
        await face(Note(pk=99, title="x").save)(update_fields=["title"])
    with pytest.raises(dorm.DatabaseError, match="Forced update did not affect any rows"):
        await face(Note(pk=99, title="x").save)(force_update=True)


async def test_deferred_columns_are_not_written(face: Face) -> None:
    made = await face(Note.objects.create)(title="a", body="b")
    part = await face(Note.objects.only("title").get)(pk=made.pk)
    await face(Note.objects.update)(body="changed elsewhere", title="c")
    part.title = "mine"
    await face(part.save)()
    whole = await face(Note.objects.get)()
    assert (whole.title, whole.body) == ("mine", "changed elsewhere")
    part.reads = 5
    await face(part.save)()
    assert (await face(Note.objects.get)()).reads == 5


async def test_expressions_in_attributes(face: Face) -> None:
    note = await face(Note.objects.create)(title="a", reads=1)
    note.reads = F("reads") + 2
    note.title = upper("shout")
    await face(note.save)()
    await face(note.refresh_from_db)()
    assert (note.title, note.reads) == ("SHOUT", 3)
    # As Django documents it, an expression stays and is applied by each save.
    note.reads = F("reads") + 1
    await face(note.save)()
    await face(note.save)()
    await face(note.refresh_from_db)()
    assert note.reads == 5
    made = await face(Note.objects.create)(title=upper("new"), reads=Value(2) + Value(3))
    assert (made.title, made.reads) == ("NEW", 5)
    with pytest.raises(ValueError, match="can only be used to update, not to insert"):
        await face(Note.objects.create)(title="x", reads=F("reads") + 1)
    with pytest.raises(dorm.FieldError, match="Aggregate functions are not allowed"):
        await face(Note.objects.create)(title="x", reads=dorm.Count("id"))


async def test_values_made_by_the_database_are_brought_back(face: Face, sent: list[str]) -> None:
    made = await face(Made.objects.create)()
    assert (made.width, made.name, made.height) == (7, "abc", 2)
    other = await face(Made.objects.create)(width=1)
    assert (other.width, other.name) == (1, "abc")
    assert sent == ["INSERT", "INSERT"]


async def test_read_only_models_refuse_every_write(face: Face, sent: list[str]) -> None:
    row = Frozen(text="x")
    for call in (
        lambda: face(row.save)(),
        lambda: face(Frozen.objects.create)(text="x"),
        lambda: face(Frozen(pk=1).delete)(),
        lambda: face(Frozen.objects.all().delete)(),
        lambda: face(Frozen.objects.update)(text="y"),
        lambda: face(Frozen.objects.bulk_create)([row]),
        lambda: face(Frozen.objects.bulk_update)([Frozen(pk=1)], ["text"]),
        lambda: face(Frozen.objects.bulk_update_when)([({"pk": 1}, {"text": "x"})]),
        lambda: face(Frozen.objects.get_or_create)(text="x"),
        lambda: face(Frozen.objects.update_or_create)(text="x"),
    ):
        sent.clear()
        with pytest.raises(dorm.ReadOnlyModelError, match="Frozen is read only"):
            await call()
        assert not {"INSERT", "UPDATE", "DELETE"}.intersection(sent)


async def test_receivers_are_told_what_happened(face: Face) -> None:
    told: list[Any] = []

    def before(sender: Any, instance: Any, raw: bool, using: str, update_fields: Any, **rest: Any) -> None:
        told.append(("pre", instance.pk is None, raw, using, update_fields))

    async def after(sender: Any, instance: Any, created: bool, raw: bool, update_fields: Any, **rest: Any) -> None:
        told.append(("post", created, raw, update_fields))

    def after_sync(sender: Any, instance: Any, created: bool, **rest: Any) -> None:
        told.append(("post sync", created))

    pre_save.connect(before, sender=Note)
    post_save.connect(after, sender=Note)
    post_save.connect(after_sync, sender=Note)
    try:
        note = Note(title="a")
        await face(note.save)()
        await face(note.save)(update_fields=["title"])
        await face(note.save_base)(raw=True)
        await face(Note.objects.update)(title="quiet")
    finally:
        pre_save.disconnect(before, sender=Note)
        post_save.disconnect(after, sender=Note)
        post_save.disconnect(after_sync, sender=Note)
    fields = frozenset({"title"})
    expected = [
        ("pre", True, False, "default", None),
        ("post", True, False, None),
        ("post sync", True),
        ("pre", False, False, "default", fields),
        ("post", False, False, fields),
        ("post sync", False),
        ("pre", False, True, "default", None),
        ("post", False, True, None),
        ("post sync", False),
    ]
    assert told == expected if face.is_async else [each for each in expected if each[0] != "post"]


async def test_what_a_receiver_raises_aborts_the_save(face: Face) -> None:
    def refuse(sender: Any, **told: Any) -> None:
        raise PermissionError("no")

    pre_save.connect(refuse, sender=Note)
    try:
        with pytest.raises(PermissionError):
            await face(Note.objects.create)(title="a")
    finally:
        pre_save.disconnect(refuse, sender=Note)
    assert await face(Note.objects.count)() == 0


async def test_overridden_saves_are_honoured(face: Face) -> None:
    loud = await face(Shouting.objects.create)(text="hey")
    assert loud.text == "HEY"
    found, created = await face(Shouting.objects.get_or_create)(text="x", defaults={"text": "y"})
    assert (found.text, created) == ("Y", True)
    loud.text = "low"
    await face(loud.save)()
    assert (await face(Shouting.objects.get)(pk=loud.pk)).text == "LOW"
    quiet = await face(Whispering.objects.create)(text="HEY")
    assert quiet.text == "hey"
    quiet.text = "AGAIN"
    await face(quiet.save)()
    assert (await face(Whispering.objects.get)()).text == "again"


async def test_a_save_overridden_for_one_face_is_refused_in_the_other(face: Face, sent: list[str]) -> None:
    row = SyncOnly(text="x")
    if not face.is_async:
        row.save()
        assert row.text == "x!"
        row.delete()
        return
    for call in (row.asave, lambda: SyncOnly.objects.acreate(text="x")):
        with pytest.raises(dorm.exceptions.DormError, match=r"overrides save\(\) but not asave\(\)"):
            await call()
    with pytest.raises(dorm.exceptions.DormError, match=r"overrides delete\(\) but not adelete\(\)"):
        await SyncOnly(pk=1).adelete()
    assert sent == []


async def test_a_failed_save_leaves_only_a_rollback(face: Face) -> None:
    note = await face(Note.objects.create)(title="a")
    with pytest.raises(dorm.IntegrityError):
        async with face.atomic():
            await face(Note(pk=note.pk, title="b").save)(force_insert=True)
    async with face.atomic():
        with pytest.raises(dorm.IntegrityError):
            async with face.atomic():
                await face(Note(pk=note.pk, title="b").save)(force_insert=True)
        await face(Note.objects.create)(title="after the savepoint")
    with pytest.raises(dorm.TransactionManagementError):
        async with face.atomic():
            with pytest.raises(dorm.IntegrityError):
                await face(Note(pk=note.pk, title="b").save)(force_insert=True)
            await face(Note.objects.count)()
    assert await face(Note.objects.count)() == 2


# -- rows that a trigger drops -----------------------------------------------------------------------------------


_DROPS = {
    "sqlite": """
        CREATE TRIGGER drops BEFORE INSERT ON {table} WHEN NEW.{column} = 'drop' BEGIN SELECT RAISE(IGNORE); END;
    """,
    "postgresql": """
        CREATE FUNCTION drops() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.{column} = 'drop' THEN RETURN NULL; END IF; RETURN NEW; END $$;
        CREATE TRIGGER drops BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION drops();
    """,
}


def drop_rows(backend: str, model: Any, column: str) -> None:
    script = _DROPS[backend].format(table=model._meta.db_table, column=column)
    dorm.get_connection().execute_script(script)


async def test_a_row_that_a_trigger_drops_is_an_error_that_says_so(face: Face, backend: str) -> None:
    drop_rows(backend, Note, "title")
    what = r"^Note: 1 row was sent to saving_note and 0 came back: a trigger or a rule"
    new = Note(title="drop")
    with pytest.raises(dorm.DatabaseError, match=what):
        await face(new.save)()
    assert new.pk is None
    assert new._state.adding
    with pytest.raises(dorm.DatabaseError, match=what):
        await face(Note.objects.get_or_create)(title="drop")
    with pytest.raises(dorm.DatabaseError, match=what):
        await face(Note.objects.create)(title="drop", body=upper("a"))
    async with face.atomic():
        await face(Note.objects.create)(title="kept")
        with pytest.raises(dorm.DatabaseError, match=what):
            await face(Note.objects.create)(title="drop")
        # The database refused nothing: the block goes on.
        await face(Note.objects.create)(title="kept")
    assert await face(Note.objects.count)() == 2


async def test_of_many_rows_of_which_a_trigger_drops_one_none_is_kept(face: Face, backend: str) -> None:
    drop_rows(backend, Note, "title")
    objs = [Note(title=title) for title in ("a", "drop", "b")]
    with pytest.raises(dorm.DatabaseError, match=r"^Note: 3 rows were sent to saving_note and 2 came back"):
        await face(Note.objects.bulk_create)(objs)
    assert await face(Note.objects.count)() == 0


async def test_a_dropped_row_of_which_nothing_is_asked_is_no_error(face: Face, backend: str) -> None:
    drop_rows(backend, Note, "title")
    await face(Note(pk=7, title="drop").save)(force_insert=True)
    await face(Note.objects.bulk_create)([Note(pk=8, title="drop"), Note(pk=9, title="kept")])
    assert await face(Note.objects.get)() == Note(pk=9)


async def test_a_dropped_row_with_columns_that_the_database_fills_is_an_error(face: Face, backend: str) -> None:
    drop_rows(backend, Made, "name")
    for row in (Made(pk=7, name="drop"), Made(name="drop")):
        with pytest.raises(dorm.DatabaseError, match="Made: 1 row was sent"):
            await face(row.save)(force_insert=True)
    assert await face(Made.objects.count)() == 0
