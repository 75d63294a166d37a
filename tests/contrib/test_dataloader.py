"""Loaders: batches, duplicates, failures, cancellation, context, priming and clearing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import dorm
from dorm.contrib import dataloader
from dorm.contrib.dataloader import DataLoader, SyncDataLoader
from dorm.contrib.querylog import query_log
from dorm.db.context import register_context
from tests.contrib.models import Customer, Order


def _counting(calls: list[list[Any]], values: dict[Any, Any] | None = None) -> Any:
    async def batch(keys: list[Any]) -> dict[Any, Any]:
        calls.append(keys)
        await asyncio.sleep(0)
        return {key: (values or {}).get(key, key * 10) for key in keys}

    return batch


# -- batches -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shop")
def test_a_thousand_loads_are_one_query() -> None:
    Customer.objects.bulk_create([Customer(name=f"c{number}") for number in range(100)])
    pks = [customer.pk for customer in Customer.objects.all()]

    async def main() -> None:
        loader: DataLoader[int, Any] = DataLoader(lambda keys: Customer.objects.filter(pk__in=keys))
        with query_log() as log:
            found = await asyncio.gather(*(loader.load(pk) for pk in pks * 10))
            assert [each.pk for each in found] == pks * 10
            assert found[0] is found[100]
            assert await loader.load(pks[0]) is found[0]
            assert await loader.load(-1) is None
        assert log.count == 2

    asyncio.run(main())


def test_continuations_of_a_batch_coalesce() -> None:
    calls: list[list[Any]] = []

    async def main() -> None:
        loader: DataLoader[int, Any] = DataLoader(_counting(calls))

        async def chain(key: int) -> None:
            await loader.load(key)
            await loader.load(key + 100)

        await asyncio.gather(*(chain(key) for key in range(5)))

    asyncio.run(main())
    assert calls == [[0, 1, 2, 3, 4], [100, 101, 102, 103, 104]]


@pytest.mark.parametrize("form", ["dict", "pairs", "objects", "async iterable", "sync dict", "awaitable of pairs"])
def test_every_shape_of_result(form: str) -> None:
    class Thing:
        def __init__(self, pk: int) -> None:
            self.pk = pk

    async def pairs(keys: list[int]) -> Any:
        return [(key, f"v{key}") for key in keys]

    async def things(keys: list[int]) -> Any:
        for key in keys:
            yield Thing(key)

    functions: dict[str, Any] = {
        "dict": _counting([]),
        "pairs": lambda keys: [(key, f"v{key}") for key in keys],
        "objects": lambda keys: (Thing(key) for key in keys),
        "async iterable": things,
        "sync dict": lambda keys: {key: key for key in keys},
        "awaitable of pairs": pairs,
    }

    async def main() -> Any:
        return await DataLoader(functions[form]).load_many([3, 1, 3])

    found = asyncio.run(main())
    assert len(found) == 3
    assert found[0] is found[2] or found[0] == found[2]


def test_failures_are_of_their_keys() -> None:
    calls: list[list[int]] = []

    async def batch(keys: list[int]) -> dict[int, Any]:
        calls.append(keys)
        if 3 in keys:
            raise OSError("down")
        return {key: ValueError("bad") if key == 1 else key for key in keys}

    async def main() -> None:
        loader: DataLoader[int, int] = DataLoader(batch, max_batch_size=2)
        found = await loader.load_many([1, 2, 3, 4], return_exceptions=True)
        assert [type(each).__name__ for each in found] == ["ValueError", "int", "OSError", "OSError"]
        with pytest.raises(ValueError, match="bad"):
            await loader.load_many([2, 1])
        assert calls[-1] == [1]

    asyncio.run(main())


@pytest.mark.parametrize("result", [5, "text", [object()], None])
def test_other_shapes_are_refused(result: Any) -> None:
    async def main() -> None:
        await DataLoader(lambda keys: result).load(1)

    with pytest.raises(TypeError, match="batch_fn"):
        asyncio.run(main())


def test_a_cancelled_waiter_harms_nobody() -> None:
    calls: list[list[Any]] = []

    async def main() -> None:
        loader: DataLoader[int, Any] = DataLoader(_counting(calls))
        one, two = asyncio.create_task(loader.load(1)), asyncio.create_task(loader.load(1))
        await asyncio.sleep(0)
        one.cancel()
        assert await two == 10
        with pytest.raises(asyncio.CancelledError):
            await one

    asyncio.run(main())
    assert calls == [[1]]


def test_keys_of_the_wrong_type_are_told(caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(DataLoader(lambda keys: {"1": "x"}).load_many([1]))
    assert "int was asked for, str returned" in caplog.text


def test_one_loop_only() -> None:
    loader: DataLoader[int, Any] = DataLoader(_counting([]))
    assert asyncio.run(loader.load_many([1])) == [10]
    with pytest.raises(RuntimeError, match="event loop"):
        asyncio.run(loader.load_many([2]))


@pytest.mark.parametrize("size", [0, -1, True, 1.5])
def test_wrong_arguments(size: Any) -> None:
    with pytest.raises(ValueError, match="max_batch_size"):
        DataLoader(lambda keys: {}, max_batch_size=size)
    with pytest.raises(TypeError, match="batch_fn"):
        DataLoader(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        asyncio.run(DataLoader(lambda keys: {}).load_many([[]]))  # type: ignore[type-var]


def test_a_batch_that_is_cancelled_or_gives_up_leaves_nobody_waiting() -> None:
    async def batch(keys: list[int]) -> dict[int, int]:
        raise asyncio.CancelledError

    async def main() -> None:
        loader: DataLoader[int, int] = DataLoader(batch)
        async with asyncio.timeout(10):
            found = await asyncio.gather(*(loader.load(key) for key in (1, 2, 1)), return_exceptions=True)
            assert {str(each) for each in found} == {"batch_fn ended with CancelledError"}
            with pytest.raises(RuntimeError, match="CancelledError"):
                await loader.load(1)  # failures are not remembered, and the key is asked for again

    asyncio.run(main())


def test_chunks_run_at_once_up_to_the_limit() -> None:
    now = most = 0

    async def batch(keys: list[int]) -> dict[int, int]:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(5):
            await asyncio.sleep(0)
        now -= 1
        return dict.fromkeys(keys, 0)

    for limit in (1, 3):
        most = 0
        loader: DataLoader[int, int] = DataLoader(batch, max_batch_size=1, max_concurrency=limit)
        asyncio.run(loader.load_many(range(9)))  # type: ignore[arg-type]  # a coroutine
        assert most == limit


def test_what_has_no_key_names_the_attribute_and_another_loop_both() -> None:
    loader: DataLoader[int, Any] = DataLoader(lambda keys: [object()], key_attr="number")
    with pytest.raises(TypeError, match="'number'"):
        asyncio.run(loader.load_many([1]))
    with pytest.raises(RuntimeError) as caught:
        asyncio.run(loader.load_many([2]))
    assert str(caught.value).count("_UnixSelectorEventLoop") == 2


def test_whoever_waits_is_answered_when_everything_is_cleared() -> None:
    calls: list[list[Any]] = []

    async def main() -> None:
        loader: DataLoader[int, Any] = DataLoader(_counting(calls))
        waiting = [asyncio.create_task(loader.load(key)) for key in (1, 2)]
        await asyncio.sleep(0)
        loader.clear_all()
        assert await asyncio.gather(*waiting) == [10, 20]
        with pytest.raises(TypeError):
            loader.prime([], 1)  # type: ignore[type-var]
        loader.clear(5)  # a key that nobody knows

    asyncio.run(main())
    assert calls == [[1, 2]]


# -- context -----------------------------------------------------------------------------------------------------


def test_different_tenants_never_share_a_batch_or_a_result() -> None:
    import contextvars

    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="")
    register_context("tests", tenant.get)
    calls: list[tuple[str, list[int]]] = []

    async def batch(keys: list[int]) -> dict[int, str]:
        calls.append((tenant.get(), keys))
        return {key: f"{tenant.get()}{key}" for key in keys}

    async def main() -> list[str]:
        loader: DataLoader[int, str] = DataLoader(batch)

        async def of(name: str) -> str:
            tenant.set(name)
            return await loader.load(1)

        first = await asyncio.gather(of("a"), of("b"))
        return [*first, *await asyncio.gather(of("b"), of("a"))]

    try:
        assert asyncio.run(main()) == ["a1", "b1", "b1", "a1"]
    finally:
        register_context("tests", lambda: None)
    assert calls == [("a", [1]), ("b", [1])]


@pytest.mark.usefixtures("shop")
def test_inside_a_transaction_the_owner_loads() -> None:
    async def main() -> None:
        async with dorm.transaction.atomic():
            customer = await Customer.objects.acreate(name="Ann")
            loader: DataLoader[int, Any] = DataLoader(
                lambda keys: Customer.objects.filter(pk__in=keys), max_batch_size=1
            )
            found = await loader.load_many([customer.pk, -1])
            assert found[0].name == "Ann"
            assert found[1] is None

    asyncio.run(main())


# -- prime and clear ---------------------------------------------------------------------------------------------


def test_prime_and_clear() -> None:
    calls: list[list[Any]] = []

    async def main() -> None:
        loader: DataLoader[int, Any] = DataLoader(_counting(calls))
        loader.prime(7, "first").prime(7, "second")
        assert await loader.load(7) == "second"
        loader.prime(8, ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await loader.load(8)
        waiting = asyncio.create_task(loader.load(9))
        await asyncio.sleep(0)
        loader.prime(9, "primed")
        assert await waiting == "primed"
        assert calls == []
        loader.clear(7)
        assert await loader.load(7) == 70
        loader.clear_all()
        assert await loader.load(7) == 70
        assert calls == [[7], [7]]

    asyncio.run(main())


def test_clear_while_a_batch_is_under_way() -> None:
    calls: list[list[Any]] = []

    async def main() -> None:
        ready = asyncio.Event()

        async def batch(keys: list[int]) -> dict[int, int]:
            calls.append(keys)
            await ready.wait()
            return {key: len(calls) for key in keys}

        loader: DataLoader[int, int] = DataLoader(batch)
        waiting = asyncio.create_task(loader.load(1))
        await asyncio.sleep(0.01)
        loader.clear()
        late = asyncio.create_task(loader.load(1))
        await asyncio.sleep(0.01)
        ready.set()
        assert await waiting == 2
        assert await late == 2
        assert len(calls) == 2
        primed = asyncio.create_task(loader.load(2))
        ready.clear()
        await asyncio.sleep(0.01)
        loader.prime(2, 99)
        assert await primed == 99
        ready.set()
        await asyncio.sleep(0.01)
        assert await loader.load(2) == 99

    asyncio.run(main())


def test_without_cache(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[list[Any]] = []

    async def main() -> None:
        loader: DataLoader[int, Any] = DataLoader(_counting(calls), cache=False)
        loader.prime(1, "x")
        await asyncio.gather(loader.load(1), loader.load(1))
        await loader.load(1)

    asyncio.run(main())
    assert calls == [[1], [1]]
    assert "cache=False" in caplog.text


def test_another_thread_is_refused() -> None:
    async def main() -> None:
        loader: DataLoader[int, Any] = DataLoader(_counting([]))
        await loader.load(1)
        with pytest.raises(RuntimeError, match="thread"):
            await asyncio.to_thread(loader.clear_all)

    asyncio.run(main())


# -- blocking code and models ------------------------------------------------------------------------------------


def test_the_sync_sibling() -> None:
    calls: list[list[int]] = []

    def batch(keys: list[int]) -> dict[int, Any]:
        calls.append(keys)
        return {key: ValueError("bad") if key == 3 else key * 10 for key in keys if key != 4}

    loader: SyncDataLoader[int, Any] = SyncDataLoader(batch)
    one, two = loader.load(1), loader.load(2)
    assert (two.result(), one.result()) == (20, 10)
    assert loader.load_many([1, 4, 2]) == [10, None, 20]
    with pytest.raises(ValueError, match="bad"):
        loader.load(3).result()
    assert calls == [[1, 2], [4], [3]]
    assert loader.prime(9, "p").load(9).result() == "p"
    loader.clear_all()
    assert loader.load(1).result() == 10


def test_none_is_a_key_too() -> None:
    calls: list[list[Any]] = []

    def batch(keys: list[Any]) -> dict[Any, Any]:
        calls.append(keys)
        return {key: None for key in keys if key == 1}

    async def main() -> None:
        loader: DataLoader[Any, Any] = DataLoader(batch, missing="absent")
        wanted = [None, "absent"]  # None in a mapping is a value; what is left out is missing
        assert await loader.load_many([1, None]) == wanted
        loader.clear_key(None)
        assert await loader.load_many([1, None]) == wanted
        assert calls == [[1, None], [None]]
        loader.clear(None)
        assert await loader.load_many([1, None]) == wanted
        assert calls == [[1, None], [None], [1, None]]
        assert loader.clear("never asked for") is loader
        for refuses in (loader.clear, loader.clear_key):
            with pytest.raises(TypeError, match="unhashable"):
                refuses([])

    asyncio.run(main())
    calls.clear()
    loader: SyncDataLoader[Any, Any] = SyncDataLoader(batch, missing="absent")
    for forget in (loader.clear_key, loader.clear):
        assert loader.load_many([1, None]) == [None, "absent"]
        forget(None)
    assert loader.load_many([1, None]) == [None, "absent"]
    assert calls == [[1, None], [None], [1, None]]
    for forget in (loader.clear, loader.clear_key):
        with pytest.raises(TypeError, match="unhashable"):
            forget([])


@pytest.mark.usefixtures("shop")
def test_loaders_of_relations() -> None:
    ann, bob = Customer.objects.create(name="Ann"), Customer.objects.create(name="Bob")
    orders = [Order.objects.create(customer=ann, number=number) for number in range(3)]

    async def main() -> None:
        with query_log() as log:
            found = await dataloader.loaders_for(Order)["customer"].load_many([order.customer.pk for order in orders])
            assert {each.name for each in found} == {"Ann"}
            lists = await dataloader.loaders_for(Customer)["orders"].load_many([ann.pk, bob.pk])
            assert [len(each) for each in lists] == [3, 0]
        assert log.count == 2

    asyncio.run(main())
