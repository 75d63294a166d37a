"""Saves, relations and deletes in any order, held against a model of the rows in plain Python."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import dorm
from dorm import F, transaction
from dorm.migrations.schema import create_tables


class Place(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "machine"


class Shop(Place):
    stars = dorm.IntegerField(default=0)

    class Meta:
        app_label = "machine"


class Worker(dorm.Model):
    name = dorm.CharField(max_length=20, default="")
    place = dorm.ForeignKey(Place, dorm.CASCADE, null=True, related_name="workers")
    boss = dorm.ForeignKey("self", dorm.SET_NULL, null=True, related_name="team")

    class Meta:
        app_label = "machine"


class Permit(dorm.Model):
    worker = dorm.ForeignKey(Worker, dorm.PROTECT, related_name="permits")

    class Meta:
        app_label = "machine"


class Tag(dorm.Model):
    name = dorm.CharField(max_length=20, unique=True)
    uses = dorm.IntegerField(default=0)
    workers = dorm.ManyToManyField(Worker, related_name="tags")

    class Meta:
        app_label = "machine"


LINKS = Tag.workers.through
MODELS = (Place, Shop, Worker, Permit, Tag, LINKS)
NAMES = st.sampled_from(["a", "b", "c", "d"])
NUMBERS = st.integers(min_value=-5, max_value=5)
PICK = st.integers(min_value=0, max_value=30)


@dataclass
class World:
    """The rows as plain data: names and keys by key."""

    places: dict[int, str] = field(default_factory=dict)
    shops: dict[int, int] = field(default_factory=dict)
    workers: dict[int, tuple[str, int | None, int | None]] = field(default_factory=dict)
    permits: dict[int, int] = field(default_factory=dict)
    tags: dict[int, tuple[str, int]] = field(default_factory=dict)
    links: set[tuple[int, int]] = field(default_factory=set)

    def copy(self) -> World:
        return World(*[type(part)(part) for part in vars(self).values()])

    def without_workers(self, gone: set[int]) -> dict[str, int]:
        """Delete workers that nothing protects; return the counts."""
        links = {link for link in self.links if link[1] in gone}
        self.links -= links
        for key in gone:
            del self.workers[key]
        for key, (name, place, boss) in self.workers.items():
            if boss in gone:
                self.workers[key] = (name, place, None)
        return {"machine.Worker": len(gone), "machine.Tag_workers": len(links)}

    def is_protected(self, gone: set[int]) -> bool:
        return bool(gone.intersection(self.permits.values()))

    def at(self, place: int) -> set[int]:
        return {key for key, worker in self.workers.items() if worker[1] == place}


class Undone(Exception):
    """Rolls a block back."""


class Machine(RuleBasedStateMachine):
    """Each rule does the same to the database and to the world."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.saved: World | None = None
        self.block: Any = None
        self.is_async = False

    @initialize(is_async=st.booleans())
    def start(self, is_async: bool) -> None:
        self.is_async = is_async
        for model in (LINKS, Permit, Worker, Tag, Shop, Place):
            dorm.get_connection().execute_write(f'DELETE FROM "{model._meta.db_table}"')

    def teardown(self) -> None:
        if self.block is not None:
            self.leave(None)
        if self.is_async:
            self.runner.run(dorm.db.connection.close_all_async())
        self.runner.close()

    # -- calls in either face ------------------------------------------------------------------------------------
    def call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.is_async:
            return method(*args, **kwargs)
        twin = getattr(method.__self__, f"a{method.__name__}")
        return self.runner.run(twin(*args, **kwargs))

    def rows(self, qs: Any) -> list[Any]:
        async def read() -> list[Any]:
            return [row async for row in qs]

        return self.runner.run(read()) if self.is_async else list(qs)

    def pick(self, keys: Any, number: int) -> int:
        known = sorted(keys)
        found: int = known[number % len(known)]
        return found

    def leave(self, error: type[Exception] | None) -> None:
        self.block.__exit__(error, error() if error else None, None)
        self.block = None

    # -- blocks (of the sync face, whose calls are no tasks) -----------------------------------------------------
    @precondition(lambda self: self.block is None and not self.is_async)
    @rule()
    def begin(self) -> None:
        self.block = transaction.atomic()
        handle = self.block.__enter__()
        assert handle is not None
        self.saved = self.world.copy()

    @precondition(lambda self: self.block is not None)
    @rule(keep=st.booleans())
    def end(self, keep: bool) -> None:
        self.leave(None if keep else Undone)
        if not keep:
            assert self.saved is not None
            self.world = self.saved

    # -- new rows ------------------------------------------------------------------------------------------------
    @rule(name=NAMES)
    def add_place(self, name: str) -> None:
        place = self.call(Place.objects.create, name=name)
        self.world.places[place.pk] = name

    @rule(name=NAMES, stars=NUMBERS)
    def add_shop(self, name: str, stars: int) -> None:
        shop = Shop(name=name, stars=stars)
        self.call(shop.save)
        self.world.places[shop.pk] = name
        self.world.shops[shop.pk] = stars

    @rule(names=st.lists(NAMES, min_size=1, max_size=3), number=PICK, placed=st.booleans())
    def add_workers(self, names: list[str], number: int, placed: bool) -> None:
        place = self.pick(self.world.places, number) if placed and self.world.places else None
        boss = self.pick(self.world.workers, number) if self.world.workers else None
        made = self.call(
            Worker.objects.bulk_create, [Worker(name=name, place_id=place, boss_id=boss) for name in names]
        )
        for worker in made:
            self.world.workers[worker.pk] = (worker.name, place, boss)

    @precondition(lambda self: self.world.workers)
    @rule(number=PICK)
    def add_permit(self, number: int) -> None:
        key = self.pick(self.world.workers, number)
        permit = self.call(Permit.objects.create, worker_id=key)
        self.world.permits[permit.pk] = key

    @rule(name=NAMES, uses=NUMBERS)
    def tag_exists(self, name: str, uses: int) -> None:
        known = {tag[0]: key for key, tag in self.world.tags.items()}
        tag, created = self.call(Tag.objects.get_or_create, name=name, defaults={"uses": uses})
        assert created == (name not in known)
        if created:
            self.world.tags[tag.pk] = (name, uses)
        assert (tag.pk, tag.uses) == (known.get(name, tag.pk), self.world.tags[tag.pk][1])

    @rule(name=NAMES, uses=NUMBERS)
    def tag_is_set(self, name: str, uses: int) -> None:
        known = {tag[0] for tag in self.world.tags.values()}
        tag, created = self.call(Tag.objects.update_or_create, name=name, defaults={"uses": uses})
        assert created == (name not in known)
        self.world.tags[tag.pk] = (name, uses)

    # -- changes -------------------------------------------------------------------------------------------------
    @precondition(lambda self: self.world.shops)
    @rule(number=PICK, name=NAMES, stars=NUMBERS, partly=st.booleans())
    def change_shop(self, number: int, name: str, stars: int, partly: bool) -> None:
        key = self.pick(self.world.shops, number)
        shop = self.call(Shop.objects.get, pk=key)
        shop.name, shop.stars = name, stars
        self.call(shop.save, update_fields=["name"] if partly else None)
        self.world.places[key] = name
        if not partly:
            self.world.shops[key] = stars

    @rule(name=NAMES, other=NAMES, more=NUMBERS)
    def change_shops(self, name: str, other: str, more: int) -> None:
        keys = [key for key in self.world.shops if self.world.places[key] == name]
        number = self.call(Shop.objects.filter(name=name).update, name=other, stars=F("stars") + more)
        assert number == len(keys)
        for key in keys:
            self.world.places[key] = other
            self.world.shops[key] += more

    @precondition(lambda self: self.world.workers)
    @rule(number=PICK, place=PICK, boss=PICK, name=NAMES, many=st.booleans())
    def move_worker(self, number: int, place: int, boss: int, name: str, many: bool) -> None:
        key = self.pick(self.world.workers, number)
        where = self.pick(self.world.places, place) if self.world.places and place % 3 else None
        above = self.pick(self.world.workers, boss) if boss % 3 else None
        worker = self.call(Worker.objects.get, pk=key)
        worker.place = self.call(Place.objects.get, pk=where) if where is not None else None
        worker.boss_id = above
        worker.name = name
        if many:
            assert self.call(Worker.objects.bulk_update, [worker], ["place", "boss", "name"]) == 1
        else:
            self.call(worker.save)
        self.world.workers[key] = (name, where, above)

    @precondition(lambda self: self.world.tags and self.world.workers)
    @rule(tag=PICK, numbers=st.lists(PICK, max_size=3), how=st.sampled_from(["add", "remove", "set"]))
    def tag_workers(self, tag: int, numbers: list[int], how: str) -> None:
        key = self.pick(self.world.tags, tag)
        workers = {self.pick(self.world.workers, number) for number in numbers}
        manager = self.call(Tag.objects.get, pk=key).workers
        if how == "set":
            self.call(manager.set, list(workers))
            self.world.links = {link for link in self.world.links if link[0] != key}
        else:
            self.call(getattr(manager, how), *workers)
        links = {(key, worker) for worker in workers}
        self.world.links = self.world.links - links if how == "remove" else self.world.links | links

    # -- deletes -------------------------------------------------------------------------------------------------
    @precondition(lambda self: self.world.workers)
    @rule(numbers=st.lists(PICK, min_size=1, max_size=2), whole=st.booleans())
    def delete_workers(self, numbers: list[int], whole: bool) -> None:
        gone = {self.pick(self.world.workers, number) for number in (numbers if whole else numbers[:1])}
        if whole:
            method = Worker.objects.filter(pk__in=gone).delete
        else:
            method = self.call(Worker.objects.get, pk=min(gone)).delete
        self.delete(method, gone, {})

    @precondition(lambda self: self.world.places)
    @rule(number=PICK)
    def delete_place(self, number: int) -> None:
        key = self.pick(self.world.places, number)
        method = self.call(Place.objects.get, pk=key).delete
        shop = {"machine.Shop": 1} if key in self.world.shops else {}
        if self.delete(method, self.world.at(key), {"machine.Place": 1, **shop}):
            del self.world.places[key]
            self.world.shops.pop(key, None)

    @precondition(lambda self: self.world.shops)
    @rule(number=PICK)
    def delete_shop(self, number: int) -> None:
        key = self.pick(self.world.shops, number)
        method = self.call(Shop.objects.get, pk=key).delete
        if self.delete(method, self.world.at(key), {"machine.Place": 1, "machine.Shop": 1}):
            del self.world.places[key], self.world.shops[key]

    @precondition(lambda self: self.world.permits)
    @rule()
    def delete_permits(self) -> None:
        assert self.call(Permit.objects.all().delete)[0] == len(self.world.permits)
        self.world.permits.clear()

    @precondition(lambda self: self.world.tags)
    @rule(number=PICK)
    def delete_tag(self, number: int) -> None:
        key = self.pick(self.world.tags, number)
        links = {link for link in self.world.links if link[0] == key}
        found = self.call(self.call(Tag.objects.get, pk=key).delete)
        assert found == counted({"machine.Tag": 1, "machine.Tag_workers": len(links)})
        del self.world.tags[key]
        self.world.links -= links

    def delete(self, method: Any, workers: set[int], more: dict[str, int]) -> bool:
        """Delete something that takes *workers* along; return whether it went."""
        if self.world.is_protected(workers):
            with pytest.raises(dorm.ProtectedError):
                self.call(method)
            return False
        found = self.call(method)
        assert found == counted({**more, **self.world.without_workers(workers)})
        return True

    # -- what must hold ------------------------------------------------------------------------------------------
    @invariant()
    def the_rows_are_those_of_the_world(self) -> None:
        world = self.world
        assert dict(self.rows(Place.objects.values_list("pk", "name"))) == world.places
        shops = self.rows(Shop.objects.values_list("pk", "name", "stars"))
        assert {key: (name, stars) for key, name, stars in shops} == {
            key: (world.places[key], stars) for key, stars in world.shops.items()
        }
        workers = self.rows(Worker.objects.select_related("place", "boss"))
        assert {row.pk: (row.name, row.place_id, row.boss_id) for row in workers} == world.workers
        assert all(row.place is None or row.place.name == world.places[row.place_id] for row in workers)
        assert dict(self.rows(Permit.objects.values_list("pk", "worker"))) == world.permits
        tags = self.rows(Tag.objects.prefetch_related("workers"))
        assert {row.pk: (row.name, row.uses) for row in tags} == world.tags
        assert {(row.pk, worker.pk) for row in tags for worker in row.workers.all()} == world.links


def counted(counts: dict[str, int]) -> tuple[int, dict[str, int]]:
    found = {label: number for label, number in counts.items() if number}
    return sum(found.values()), found


@pytest.mark.slow
@pytest.mark.timeout(600)  # a failure is shrunk
def test_rows_follow_the_model_of_them(empty_database: object) -> None:
    create_tables(MODELS)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
