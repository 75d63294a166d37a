"""The page "Signals"."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import dorm
from dorm import signals
from tests.support.faces import Face


class Pizza(dorm.Model):
    name = dorm.CharField(max_length=20)
    toppings = dorm.ManyToManyField("Topping")

    class Meta:
        app_label = "doc_signals"


class Topping(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_signals"


class Slice(dorm.Model):
    pizza = dorm.ForeignKey(Pizza, dorm.CASCADE)

    class Meta:
        app_label = "doc_signals"


MODELS = (Pizza, Topping, Slice)


@contextmanager
def listening(signal: Any, sender: Any = None) -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    """Collect what *signal* sends."""
    seen: list[tuple[Any, dict[str, Any]]] = []

    def receive(sender: Any, **kwargs: Any) -> None:
        seen.append((sender, kwargs))

    signal.connect(receive, sender=sender, weak=False)
    try:
        yield seen
    finally:
        signal.disconnect(receive, sender=sender)


async def test_save_and_delete_signals(face: Face) -> None:
    with (
        listening(signals.pre_save, Pizza) as before,
        listening(signals.post_save, Pizza) as after,
        listening(signals.pre_delete, Pizza) as dying,
        listening(signals.post_delete, Pizza) as dead,
    ):
        pizza = Pizza(name="x")
        await face(pizza.save)()
        assert [kwargs["instance"] for _, kwargs in before] == [pizza]
        assert {key: after[0][1][key] for key in ("instance", "created", "raw", "using", "update_fields")} == {
            "instance": pizza,
            "created": True,
            "raw": False,
            "using": "default",
            "update_fields": None,
        }
        await face(pizza.save)(update_fields=["name"])
        assert after[1][1]["created"] is False
        assert after[1][1]["update_fields"] == frozenset({"name"})
        await face(Topping.objects.create)(name="t")
        assert len(after) == 2
        await face(Slice.objects.create)(pizza=pizza)
        key = pizza.pk
        await face(pizza.delete)()
        assert dying[0][1]["instance"] is pizza
        assert (dying[0][1]["using"], dying[0][1]["origin"]) == ("default", pizza)
        assert len(dead) == 1
        assert key is not None


async def test_cascades_and_queryset_deletes_send_signals(face: Face) -> None:
    pizza = await face(Pizza.objects.create)(name="x")
    await face(Slice.objects.create)(pizza=pizza)
    with listening(signals.pre_delete, Slice) as dying, listening(signals.post_delete, Pizza) as dead:
        await face(Pizza.objects.all().delete)()
    assert len(dying) == 1
    assert len(dead) == 1


async def test_bulk_writes_send_none(face: Face) -> None:
    with listening(signals.pre_save) as before, listening(signals.post_save) as after:
        await face(Pizza.objects.bulk_create)([Pizza(name="a")])
        await face(Pizza.objects.update)(name="b")
    assert before == []
    assert after == []


async def test_init_signals(face: Face) -> None:
    await face(Pizza.objects.create)(name="x")
    with listening(signals.pre_init, Pizza) as before, listening(signals.post_init, Pizza) as after:
        Pizza(name="y")
        assert len(before) == 1
        assert after[0][1]["instance"].name == "y"
        await face(Pizza.objects.get)()
        assert len(after) == 2
    await face(Pizza.objects.get)()
    assert len(after) == 2


async def test_m2m_changed(face: Face) -> None:
    pizza = await face(Pizza.objects.create)(name="p")
    one = await face(Topping.objects.create)(name="1")
    two = await face(Topping.objects.create)(name="2")
    with listening(signals.m2m_changed, Pizza.toppings.through) as seen:
        await face(pizza.toppings.add)(one)
        assert [k["action"] for _, k in seen] == ["pre_add", "post_add"]
        last = seen[-1][1]
        assert (last["instance"], last["reverse"], last["model"], last["pk_set"], last["using"]) == (
            pizza,
            False,
            Topping,
            {one.pk},
            "default",
        )
        await face(pizza.toppings.add)(one, two)
        assert seen[-1][1]["pk_set"] == {two.pk}
        await face(two.pizza_set.remove)(pizza)
        assert (seen[-1][1]["action"], seen[-1][1]["reverse"], seen[-1][1]["model"]) == ("post_remove", True, Pizza)
        assert seen[-1][1]["pk_set"] == {pizza.pk}
        await face(pizza.toppings.clear)()
        assert (seen[-2][1]["action"], seen[-1][1]["action"], seen[-1][1]["pk_set"]) == (
            "pre_clear",
            "post_clear",
            None,
        )
        count = len(seen)
        await face(pizza.toppings.set)([one, two])
        assert [k["action"] for _, k in seen[count:]] == ["pre_add", "post_add"]
        count = len(seen)
        await face(pizza.toppings.set)([two])
        assert [k["action"] for _, k in seen[count:]] == ["pre_remove", "post_remove"]


async def test_receivers_abort_and_change_a_save(face: Face) -> None:
    def upper(sender: Any, instance: Any, **_: Any) -> None:
        instance.name = instance.name.upper()

    def refuse(sender: Any, instance: Any, **_: Any) -> None:
        raise ValueError("no")

    signals.pre_save.connect(upper, sender=Pizza)
    try:
        pizza = await face(Pizza.objects.create)(name="x")
    finally:
        assert signals.pre_save.disconnect(upper, sender=Pizza)
    assert (await face(Pizza.objects.get)(pk=pizza.pk)).name == "X"
    signals.post_save.connect(refuse, sender=Pizza)
    try:
        with pytest.raises(ValueError, match="no"):
            await face(Pizza.objects.create)(name="y")
    finally:
        signals.post_save.disconnect(refuse, sender=Pizza)


async def test_async_receivers(face: Face) -> None:
    seen: list[str] = []

    async def receive(sender: Any, instance: Any, **_: Any) -> None:
        await face(Topping.objects.count)()
        seen.append(instance.name)

    signals.post_save.connect(receive, sender=Pizza)
    try:
        if face.is_async:
            await face(Pizza.objects.create)(name="x")
            assert seen == ["x"]
    finally:
        signals.post_save.disconnect(receive, sender=Pizza)


def test_own_signals(empty_database: Any) -> None:
    done = dorm.Signal(raise_exceptions=True)
    seen: list[Any] = []

    @signals.receiver(done, dispatch_uid="once")
    def receive(sender: Any, size: int, **_: Any) -> int:
        seen.append(size)
        return size

    done.connect(receive, dispatch_uid="once")
    assert done.send(sender="me", size=3) == [(receive, 3)]
    assert seen == [3]

    def fail(**_: Any) -> None:
        raise RuntimeError("x")

    done.connect(fail)
    results = dict(done.send_robust(sender="me", size=1))
    assert isinstance(results[fail], RuntimeError)
    with pytest.raises(RuntimeError):
        done.send(sender="me", size=1)
    assert done.disconnect(fail)
    assert not done.disconnect(fail)

    def temporary(**_: Any) -> None:
        seen.append("temporary")

    done.connect(temporary)
    del temporary
    gc.collect()
    done.send(sender="me", size=5)
    assert "temporary" not in seen
