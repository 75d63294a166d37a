"""The page "Database transactions"."""

from __future__ import annotations

import pytest

import dorm
from dorm import transaction
from tests.support.faces import Face


class Thing(dorm.Model):
    name = dorm.CharField(max_length=10, unique=True)
    active = dorm.BooleanField(default=True)

    class Meta:
        app_label = "doc_tx"


class Part(Thing):
    size = dorm.IntegerField(default=0)

    class Meta:
        app_label = "doc_tx"


MODELS = (Thing, Part)


async def names(face: Face) -> list[str]:
    return sorted(await face.rows(Thing.objects.values_list("name", flat=True)))


async def test_commit_and_rollback(face: Face) -> None:
    async with face.atomic():
        await face(Thing.objects.create)(name="a")
    with pytest.raises(RuntimeError):
        async with face.atomic():
            await face(Thing.objects.create)(name="b")
            raise RuntimeError
    assert await names(face) == ["a"]


async def test_inner_block_rolls_back_alone(face: Face) -> None:
    async with face.atomic():
        await face(Thing.objects.create)(name="a")
        with pytest.raises(dorm.IntegrityError):
            async with face.atomic():
                await face(Thing.objects.create)(name="b")
                await face(Thing.objects.create)(name="a")
        await face(Thing.objects.create)(name="c")
    assert await names(face) == ["a", "c"]


async def test_swallowed_error_breaks_the_block(face: Face) -> None:
    with pytest.raises(transaction.TransactionManagementError):
        async with face.atomic():
            await face(Thing.objects.create)(name="a")
            with pytest.raises(dorm.IntegrityError):
                async with face.atomic(savepoint=False):
                    await face(Thing.objects.create)(name="a")
            await face(Thing.objects.count)()
    assert await names(face) == []


async def test_savepoint_false_marks_the_outer_block(face: Face) -> None:
    with pytest.raises(RuntimeError):
        async with face.atomic():
            await face(Thing.objects.create)(name="a")
            async with face.atomic(savepoint=False):
                raise RuntimeError
    assert await names(face) == []


async def test_durable(face: Face) -> None:
    with pytest.raises(RuntimeError, match="durable"):
        async with face.atomic():
            async with face.atomic(durable=True):
                pass
    async with face.atomic(durable=True):
        await face(Thing.objects.create)(name="a")
    assert await names(face) == ["a"]


async def test_on_commit(face: Face) -> None:
    seen: list[str] = []
    async with face.atomic():
        transaction.on_commit(lambda: seen.append("first"))
        with pytest.raises(RuntimeError):
            async with face.atomic():
                transaction.on_commit(lambda: seen.append("dropped"))
                raise RuntimeError
        async with face.atomic():
            transaction.on_commit(lambda: seen.append("second"))
        assert seen == []
    assert seen == ["first", "second"]
    if not face.is_async:
        transaction.on_commit(lambda: seen.append("now"))
        assert seen[-1] == "now"
    with pytest.raises(TypeError):
        transaction.on_commit("not callable")


async def test_robust_callbacks(face: Face) -> None:
    seen: list[str] = []

    def fail() -> None:
        raise ValueError("boom")

    async with face.atomic():
        transaction.on_commit(fail, robust=True)
        transaction.on_commit(lambda: seen.append("later"))
    assert seen == ["later"]
    with pytest.raises(ValueError, match="boom"):
        async with face.atomic():
            await face(Thing.objects.create)(name="kept")
            transaction.on_commit(fail)
    assert await names(face) == ["kept"]


async def test_set_rollback(face: Face) -> None:
    async with face.atomic() as block:
        await face(Thing.objects.create)(name="a")
        block.set_rollback(True)
    assert await names(face) == []


def test_savepoints_by_hand(empty_database: object) -> None:
    with transaction.atomic():
        Thing.objects.create(name="a")
        sid = transaction.savepoint()
        Thing.objects.create(name="b")
        transaction.savepoint_rollback(sid)
        sid = transaction.savepoint()
        Thing.objects.create(name="c")
        transaction.savepoint_commit(sid)
    assert sorted(Thing.objects.values_list("name", flat=True)) == ["a", "c"]


def test_decorators_and_autocommit(empty_database: object) -> None:
    @transaction.atomic
    def make(name: str, fail: bool = False) -> None:
        Thing.objects.create(name=name)
        if fail:
            raise RuntimeError

    make("a")
    with pytest.raises(RuntimeError):
        make("b", fail=True)

    @transaction.atomic(durable=True)
    def durable() -> None:
        Thing.objects.create(name="c")

    durable()
    assert sorted(Thing.objects.values_list("name", flat=True)) == ["a", "c"]
    assert transaction.get_autocommit() is True
    transaction.set_autocommit(False)
    try:
        Thing.objects.create(name="d")
        transaction.rollback()
        Thing.objects.create(name="e")
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert sorted(Thing.objects.values_list("name", flat=True)) == ["a", "c", "e"]


async def test_count_and_aggregate_of_rows_to_be_locked_lock_nothing(face: Face) -> None:
    rows = Thing.objects.select_for_update()
    assert await face(rows.count)() == 0
    assert await face(rows.aggregate)(n=dorm.Count("pk")) == {"n": 0}


async def test_of_takes_the_link_to_the_table_of_a_parent(backend: str, face: Face) -> None:
    rows = Part.objects.select_for_update(of=("self", "thing_ptr"))
    async with face.atomic():
        if backend == "sqlite":
            with pytest.raises(dorm.NotSupportedError):
                await face.rows(rows)
            return
        assert await face.rows(rows) == []
    with pytest.raises(dorm.FieldError, match="Choices are: self"):
        async with face.atomic():
            await face.rows(Part.objects.select_for_update(of=("thing",)))
