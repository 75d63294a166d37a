"""What routers decide: the database of related rows, relations, and what a task reads after it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm.db.router import clear_read_after_write_window
from dorm.exceptions import ConnectionDoesNotExist
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Shelf(dorm.Model):
    class Meta:
        app_label = "routed"


class Volume(dorm.Model):
    shelf = dorm.ForeignKey(Shelf, dorm.CASCADE, null=True, related_name="volumes")
    readers = dorm.ManyToManyField("Reader", related_name="volumes")
    name = dorm.CharField(max_length=20, default="")

    class Meta:
        app_label = "routed"


class Reader(dorm.Model):
    class Meta:
        app_label = "routed"


class Card(dorm.Model):
    reader = dorm.OneToOneField(Reader, dorm.CASCADE)

    class Meta:
        app_label = "routed"


class PrimaryAndReplica:
    """Reads from one database, writes to another; both are one to relations."""

    def __init__(self, read: Any = "replica", write: Any = "default", relation: bool | None = True) -> None:
        self.read, self.write, self.relation = read, write, relation
        self.hints: list[tuple[str, type[Any], Any]] = []

    def db_for_read(self, model: type[Any], **hints: Any) -> Any:
        self.hints.append(("read", model, hints.get("instance")))
        return self.read

    def db_for_write(self, model: type[Any], **hints: Any) -> Any:
        self.hints.append(("write", model, hints.get("instance")))
        return self.write

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        return self.relation


MODELS = (Shelf, Reader, Volume, Card)
ALIASES = ("default", "replica")


@pytest.fixture(autouse=True)
def databases(empty_database: dict[str, Any], tmp_path: Path) -> Iterator[None]:
    """Two databases with the same rows: two shelves, the first with two volumes, two readers with a card each."""
    replica = {"ENGINE": "sqlite", "NAME": str(tmp_path / "replica.db"), "OPTIONS": {"synchronous": "OFF"}}
    dorm.configure(DATABASES={"default": empty_database, "replica": replica}, READ_AFTER_WRITE_WINDOW=None)
    for alias in ALIASES:
        create_tables(MODELS, using=alias)
        for _ in range(2):
            Shelf.objects.using(alias).create()
            Card.objects.using(alias).create(reader=Reader.objects.using(alias).create())
        for _ in range(2):
            Volume.objects.using(alias).create(shelf_id=1)
    yield
    dorm.configure(DATABASE_ROUTERS=[])
    clear_read_after_write_window()


def routed(*routers: Any, window: float | None = None) -> None:
    dorm.configure(DATABASE_ROUTERS=list(routers), READ_AFTER_WRITE_WINDOW=window)


async def placed(face: Face) -> tuple[list[Any], list[Any]]:
    """Return the keys and names of the volumes in the primary, and in the replica."""
    found = [
        await face.rows(Volume.objects.using(alias).order_by("pk").values_list("pk", "shelf_id", "name"))
        for alias in ALIASES
    ]
    return found[0], found[1]


UNTOUCHED = [(1, 1, ""), (2, 1, "")]


@pytest.mark.parametrize(
    ("method", "arguments", "options", "wanted"),
    [
        ("create", (), {"name": "n"}, [*UNTOUCHED, (3, 1, "n")]),
        ("get_or_create", (), {"name": "n"}, [*UNTOUCHED, (3, 1, "n")]),
        ("update_or_create", (), {"pk": 1, "defaults": {"name": "n"}}, [(1, 1, "n"), (2, 1, "")]),
        ("update", (), {"name": "n"}, [(1, 1, "n"), (2, 1, "n")]),
        ("bulk_create", ([Volume(name="n")],), {}, [*UNTOUCHED, (3, None, "n")]),
        ("clear", (), {}, [(1, None, ""), (2, None, "")]),
        ("set", ([],), {}, [(1, None, ""), (2, None, "")]),
    ],
)
async def test_related_rows_are_written_where_routers_say(
    face: Face, method: str, arguments: Any, options: Any, wanted: list[Any]
) -> None:
    routed(PrimaryAndReplica())
    shelf = await face(Shelf.objects.get)(pk=1)
    assert shelf._state.db == "replica"
    await face(getattr(shelf.volumes, method))(*arguments, **options)
    assert await placed(face) == (wanted, UNTOUCHED)


async def test_rows_of_a_replica_are_added_and_deleted_in_the_primary(face: Face) -> None:
    routed(PrimaryAndReplica())
    empty, full = await face(Shelf.objects.get)(pk=2), await face(Shelf.objects.get)(pk=1)
    with pytest.raises(ValueError, match="isn't saved"):
        await face(empty.volumes.add)(await face(Volume.objects.get)(pk=1))
    await face(empty.volumes.add)(await face(Volume.objects.using("default").get)(pk=1))
    await face(full.volumes.remove)(await face(Volume.objects.get)(pk=2))
    assert await placed(face) == ([(1, 2, ""), (2, None, "")], UNTOUCHED)
    await face(empty.volumes.all().delete)()
    assert await placed(face) == ([(2, None, "")], UNTOUCHED)


async def test_pairs_are_written_where_routers_say(face: Face) -> None:
    routed(PrimaryAndReplica())
    volume = await face(Volume.objects.get)(pk=1)
    pairs = Volume.readers.through.objects

    async def there() -> tuple[int, int]:
        return await face(pairs.using("default").count)(), await face(pairs.using("replica").count)()

    await face(volume.readers.add)(await face(Reader.objects.get)(pk=1), 2)
    assert await there() == (2, 0)
    await face(volume.readers.remove)(2)
    assert await there() == (1, 0)
    await face(volume.readers.set)([2])
    assert await there() == (1, 0)
    made = await face(volume.readers.create)()
    assert (made._state.db, await there()) == ("default", (2, 0))
    await face(volume.readers.clear)()
    assert await there() == (0, 0)


async def test_routers_are_told_whose_rows_are_read(face: Face) -> None:
    router = PrimaryAndReplica(read=None, write=None)
    shelf = await face(Shelf.objects.using("replica").get)(pk=1)
    routed(router)
    volumes = await face.rows(shelf.volumes.all())
    # Without an answer it is the database of the instance.
    assert {each._state.db for each in volumes} == {"replica"}
    assert router.hints == [("read", Volume, shelf)]
    if not face.is_async:
        volume: Any = Volume.objects.using("replica").get(pk=1)
        assert (volume.shelf, volume.shelf._state.db) == (shelf, "replica")
        assert router.hints[-1] == ("read", Shelf, volume)
        for answer, alias in ((None, "replica"), ("default", "default")):
            router.read = answer
            reader: Any = Reader.objects.using("replica").get(pk=2)
            assert reader.card._state.db == alias
    router.read = "default"
    assert {each._state.db for each in await face.rows(shelf.volumes.all())} == {"default"}
    assert {each._state.db for each in await face.rows(shelf.volumes.using("replica"))} == {"replica"}


async def test_related_rows_are_read_where_this_task_wrote_them(face: Face) -> None:
    routed(PrimaryAndReplica(), window=60.0)
    shelf, volume = await face(Shelf.objects.get)(pk=1), await face(Volume.objects.get)(pk=1)
    assert await face(volume.readers.count)() == 0
    await face(volume.readers.add)(1)
    assert await face(volume.readers.count)() == 1
    assert await face(shelf.volumes.count)() == 2
    await face(shelf.volumes.create)(name="n")
    assert await face(shelf.volumes.count)() == 3
    assert await face(Volume.objects.count)() == 3
    clear_read_after_write_window()
    assert await face(shelf.volumes.count)() == 2
    assert await face(volume.readers.count)() == 0


async def test_relations_that_a_router_forbids(face: Face) -> None:
    shelf, reader = await face(Shelf.objects.get)(pk=1), await face(Reader.objects.get)(pk=1)
    volume = await face(Volume.objects.get)(pk=1)
    routed(PrimaryAndReplica(read="default", relation=False))
    with pytest.raises(ValueError, match="prevents this relation"):
        volume.shelf = shelf
    with pytest.raises(ValueError, match="prevents this relation"):
        Volume(shelf=shelf)
    with pytest.raises(ValueError, match="prevents this relation"):
        await face(shelf.volumes.add)(volume)
    with pytest.raises(ValueError, match="Cannot add a Reader"):
        await face(volume.readers.add)(reader)
    with pytest.raises(ValueError, match="Cannot add a Reader"):
        await face(volume.readers.create)()
    assert await face(Reader.objects.count)() == 2, "the row was rolled back with its relation"
    await face(volume.readers.add)(reader.pk)


async def test_an_answer_that_is_no_alias_names_those_that_exist(face: Face) -> None:
    for answer in ("nowhere", 5):
        routed(PrimaryAndReplica(read=answer, write=answer))
        for call in (Shelf.objects.count, Shelf.objects.create):
            with pytest.raises(ConnectionDoesNotExist, match="default, replica"):
                await face(call)()
    routed(PrimaryAndReplica(read="", write=None))
    assert (await face(Shelf.objects.create)())._state.db == "default"


class Reconfiguring:
    """Named in the settings by its path; while it is made, somebody configures another router."""

    def __init__(self) -> None:
        routed(PrimaryAndReplica(write="replica"))


def test_routers_that_are_configured_while_the_former_ones_load_are_asked() -> None:
    dorm.configure(DATABASE_ROUTERS=[f"{__name__}.Reconfiguring"])
    assert Shelf.objects.create()._state.db == "replica"
