"""Many point look-ups as one query: what resolvers of one request ask for is fetched together.

`DataLoader` serves asyncio code: loads made before the event loop has run everything that is ready are one batch.
`SyncDataLoader` serves blocking code: loads are promises, and the first that is read sends the batch. A loader belongs
to one request: one for the whole process would be a cache across users.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

from dorm.db.context import batch_key, result_key

_log = logging.getLogger("dorm.contrib.dataloader")

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CONCURRENT_CHUNKS: Final = 4
_NOTHING: Final = object()


def _checked_function(batch_fn: Any) -> Any:
    if not callable(batch_fn):
        raise TypeError(f"batch_fn must be callable, not {type(batch_fn).__name__}")
    return batch_fn


def _checked_size(name: str, value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{name} must be a whole number from 1, or None, not {value!r}")
    return value


# -- what a batch function returned ------------------------------------------------------------------------------


def _keyed(items: Iterable[Any], key_attr: str) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for item in items:
        if isinstance(item, tuple) and len(item) == 2:
            found[item[0]] = item[1]
            continue
        key = getattr(item, key_attr, _NOTHING)
        if key is _NOTHING:
            raise TypeError(
                f"batch_fn gave a {type(item).__name__} without the attribute {key_attr!r}: return objects that have "
                "it, (key, value) pairs, or a dict"
            )
        found[key] = item
    return found


def _refused(value: Any) -> TypeError:
    return TypeError(
        f"batch_fn returned a {type(value).__name__}: return a dict, or an iterable of objects or of (key, value) pairs"
    )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes))


async def _agathered(value: Any, key_attr: str) -> Mapping[Any, Any]:
    while inspect.isawaitable(value):
        value = await value
    if isinstance(value, Mapping):
        return value
    if isinstance(value, AsyncIterable):
        return _keyed([item async for item in value], key_attr)
    if _is_sequence(value):
        return _keyed(value, key_attr)
    raise _refused(value)


def _gathered(value: Any, key_attr: str) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    if _is_sequence(value):
        return _keyed(value, key_attr)
    raise _refused(value)


def _warn_about_keys(asked: list[Any], found: Mapping[Any, Any]) -> None:
    if found and not any(key in found for key in asked):
        one, other = type(asked[0]).__name__, type(next(iter(found))).__name__
        _log.warning("batch_fn returned no key that was asked for: %s was asked for, %s returned", one, other)


# -- asyncio -----------------------------------------------------------------------------------------------------


class _Entry:
    """One key under way: who waits for it, and whether its result may be remembered."""

    __slots__ = ("answered", "remember", "waiters")

    def __init__(self) -> None:
        self.waiters: list[asyncio.Future[Any]] = []
        self.answered = False
        self.remember = True

    def answer(self, value: Any) -> None:
        self.answered = True
        for waiter in self.waiters:
            if not waiter.done():
                if isinstance(value, BaseException):
                    waiter.set_exception(value)
                else:
                    waiter.set_result(value)


class _Batch:
    """Keys that go out together, in the order they were first asked for."""

    __slots__ = ("context", "entries", "results", "sent", "transaction")

    def __init__(self, results: Hashable, in_transaction: bool) -> None:
        self.entries: dict[Any, _Entry] = {}
        self.context = contextvars.copy_context()
        self.results = results
        self.transaction = in_transaction
        self.sent = False


class DataLoader(Generic[K, V]):
    """Batches and remembers look-ups of asyncio code.

    Args:
        batch_fn: called with the distinct keys, in the order they were first asked for. It returns, or is a coroutine
            function that returns: a dict, an iterable or async iterable (a queryset, too) of objects with *key_attr* or
            of ``(key, value)`` pairs. An exception as a value fails that key alone.
        max_batch_size: keys of one call; more are sent as several.
        cache: remember results, also that there was none, for the life of the loader; failures are not remembered.
        missing: what a key gives that *batch_fn* left out.
        key_attr: attribute of returned objects that is their key.
        max_concurrency: calls at once; 4 by default, 1 inside a transaction.
    The loader belongs to the event loop of its first use and to that loop's thread. Loads in different transactions or
    of different tenants never share a batch.
    """

    def __init__(
        self,
        batch_fn: Callable[[list[K]], Any],
        *,
        max_batch_size: int | None = None,
        cache: bool = True,
        missing: Any = None,
        key_attr: str = "pk",
        max_concurrency: int | None = None,
    ) -> None:
        self._batch_fn = _checked_function(batch_fn)
        self.max_batch_size = _checked_size("max_batch_size", max_batch_size)
        self.max_concurrency = _checked_size("max_concurrency", max_concurrency)
        self.cache = cache
        self.missing = missing
        self.key_attr = key_attr
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._remembered: dict[tuple[Hashable, Any], Any] = {}
        self._waiting: dict[Hashable, _Batch] = {}
        self._under_way: dict[tuple[Hashable, Any], _Entry] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- loading -------------------------------------------------------------------------------------------------
    async def load(self, key: K) -> V:
        """Return the value of *key*; see the class.

        Raises: what *batch_fn* raised; TypeError: an unhashable key; RuntimeError: another event loop.
        """
        future, leads = self._asked(key)
        if leads is not None:
            await self._lead(leads)
        value: V = await future
        return value

    async def load_many(self, keys: Iterable[K], *, return_exceptions: bool = False) -> list[V]:
        """Return the values of *keys* in their order, duplicates included.

        Args:
            return_exceptions: failures stand in the list; else the first is raised once all have settled.
        """
        asked = [self._asked(key) for key in keys]
        for _, leads in asked:
            if leads is not None:
                await self._lead(leads)
        found: list[Any] = await asyncio.gather(*(future for future, _ in asked), return_exceptions=True)
        if not return_exceptions:
            for value in found:
                if isinstance(value, BaseException):
                    raise value
        return found

    def _asked(self, key: K) -> tuple[asyncio.Future[Any], Hashable | None]:
        """Return what to wait for, and the group whose batch the caller must send by itself (in its transaction)."""
        hash(key)
        loop = self._check_loop()
        future: asyncio.Future[Any] = loop.create_future()
        group = batch_key()
        results = result_key()
        remembered = self._remembered.get((results, key), _NOTHING)
        if remembered is not _NOTHING:
            _settle(future, remembered)
            return future, None
        entry = self._under_way.get((group, key))
        if entry is not None and not entry.answered:
            entry.waiters.append(future)
            return future, None
        entry = self._under_way[group, key] = _Entry()
        entry.waiters.append(future)
        batch = self._waiting.get(group)
        is_first = batch is None
        if batch is None:
            batch = self._waiting[group] = _Batch(results, _in_transaction(group))
        batch.entries[key] = entry
        if not is_first:
            return future, None
        if batch.transaction:
            # Only the task that opened the transaction may use it: it sends the batch itself.
            return future, group
        task = loop.create_task(self._send_later(group), context=batch.context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return future, None

    def _check_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._thread = threading.get_ident()
        elif self._loop is not loop:
            self._waiting.clear()
            self._under_way.clear()
            raise RuntimeError(
                f"this loader belongs to the event loop {self._loop!r} and was used from {loop!r}: make one a request"
            )
        return loop

    def _check_thread(self) -> None:
        if self._loop is not None and self._thread != threading.get_ident():
            raise RuntimeError("a loader is used from the thread of its event loop only")

    # -- batches -------------------------------------------------------------------------------------------------
    async def _lead(self, group: Hashable) -> None:
        try:
            await self._send_later(group)
        except asyncio.CancelledError:
            self._fail(group)
            raise

    async def _send_later(self, group: Hashable) -> None:
        # Twice round the loop: what was ready has had its turn, and so has what waited for a batch before.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        batch = self._waiting.pop(group, None)
        if batch is None:
            return
        batch.sent = True
        keys = [key for key, entry in batch.entries.items() if not entry.answered]
        size = self.max_batch_size or len(keys) or 1
        chunks = [keys[start : start + size] for start in range(0, len(keys), size)]
        most = self.max_concurrency or (1 if batch.transaction else CONCURRENT_CHUNKS)
        if most == 1 or len(chunks) == 1:
            for chunk in chunks:
                await self._fetch(group, batch, chunk)
            return
        limit = asyncio.Semaphore(most)

        async def limited(chunk: list[Any]) -> None:
            async with limit:
                await self._fetch(group, batch, chunk)

        await asyncio.gather(*(limited(chunk) for chunk in chunks))

    async def _fetch(self, group: Hashable, batch: _Batch, keys: list[Any]) -> None:
        """Call the batch function for *keys* and answer whoever waits; it never leaves anybody waiting."""
        try:
            found = await _agathered(self._batch_fn(list(keys)), self.key_attr)
            _warn_about_keys(keys, found)
        except Exception as exc:  # noqa: BLE001  # handed to everybody who waits for it
            self._answer(group, batch, dict.fromkeys(keys, exc))
        except BaseException as exc:
            error = RuntimeError(f"batch_fn ended with {type(exc).__name__}")
            error.__cause__ = exc
            self._answer(group, batch, dict.fromkeys(keys, error))
            raise
        else:
            self._answer(group, batch, {key: found.get(key, self.missing) for key in keys})

    def _answer(self, group: Hashable, batch: _Batch, values: Mapping[Any, Any]) -> None:
        for key, value in values.items():
            entry = batch.entries[key]
            if self._under_way.get((group, key)) is entry:
                del self._under_way[group, key]
            if entry.answered:
                continue
            if self.cache and entry.remember and not isinstance(value, BaseException):
                self._remembered[batch.results, key] = value
            entry.answer(value)

    def _fail(self, group: Hashable) -> None:
        batch = self._waiting.pop(group, None)
        if batch is not None:
            error = RuntimeError("the task that was to send this batch was cancelled")
            self._answer(group, batch, dict.fromkeys(batch.entries, error))

    # -- memory --------------------------------------------------------------------------------------------------
    def prime(self, key: K, value: V | BaseException) -> DataLoader[K, V]:
        """Have *key* give *value* from now on, whoever waits for it included; an exception is raised by its loads.

        What is remembered already is replaced: after a write the newest value counts. Prime after the commit
        (``aon_commit(lambda: loader.prime(...))``), lest a rollback leave a value that never was.
        """
        hash(key)
        self._check_thread()
        if not self.cache:
            _log.warning("prime() does nothing on a loader with cache=False")
            return self
        results = result_key()
        self._remembered[results, key] = value
        for group, batch in list(self._waiting.items()):
            if batch.results == results and key in batch.entries:
                entry = batch.entries.pop(key)
                self._under_way.pop((group, key), None)
                entry.answer(value)
        for (group, waiting), entry in list(self._under_way.items()):
            if waiting == key and group[1] == results and not entry.answered:  # type: ignore[index]  # a pair
                del self._under_way[group, waiting]
                entry.answer(value)
        return self

    def prime_many(self, values: Mapping[K, V]) -> DataLoader[K, V]:
        """`prime` each pair."""
        for key, value in values.items():
            self.prime(key, value)
        return self

    def clear(self, key: K | None = None) -> DataLoader[K, V]:
        """Forget *key*; without a key, or with None, forget everything. A key that is None: `clear_key`.

        Who waits is answered; a result that is under way is not remembered.
        """
        return self.clear_all() if key is None else self.clear_key(key)

    def clear_key(self, key: K | None) -> DataLoader[K, V]:
        """Forget *key*, None included."""
        hash(key)
        self._check_thread()
        for known in [known for known in self._remembered if known[1] == key]:
            del self._remembered[known]
        for group, waiting in list(self._under_way):
            if waiting == key:
                self._let_go(group, waiting)
        return self

    def clear_all(self) -> DataLoader[K, V]:
        """Forget everything."""
        self._check_thread()
        self._remembered.clear()
        for group, waiting in list(self._under_way):
            self._let_go(group, waiting)
        return self

    def _let_go(self, group: Hashable, key: Any) -> None:
        entry = self._under_way[group, key]
        batch = self._waiting.get(group)
        if batch is None or key not in batch.entries:
            # Sent already: the next load asks anew.
            entry.remember = False
            del self._under_way[group, key]


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if isinstance(value, BaseException):
        future.set_exception(value)
    else:
        future.set_result(value)


def _in_transaction(group: Any) -> bool:
    return any(block for _, block in group[0])


# -- blocking code -----------------------------------------------------------------------------------------------


class Promise(Generic[V]):
    """A value that will be fetched with its batch."""

    def __init__(self, loader: SyncDataLoader[Any, V], key: Any) -> None:
        self._loader = loader
        self.key = key

    def result(self) -> V:
        """Return the value; the first promise of a batch that is read sends it."""
        return self._loader._result(self.key)


class SyncDataLoader(Generic[K, V]):
    """Batches and remembers look-ups of blocking code; arguments as of `DataLoader`, *batch_fn* a plain function.

    ``load(key)`` gives a `Promise`; ``load_many(keys)`` the values. For one thread.
    """

    def __init__(
        self,
        batch_fn: Callable[[list[K]], Any],
        *,
        max_batch_size: int | None = None,
        cache: bool = True,
        missing: Any = None,
        key_attr: str = "pk",
    ) -> None:
        self._batch_fn = _checked_function(batch_fn)
        self.max_batch_size = _checked_size("max_batch_size", max_batch_size)
        self.cache = cache
        self.missing = missing
        self.key_attr = key_attr
        self._waiting: dict[Any, None] = {}
        self._values: dict[tuple[Hashable, Any], Any] = {}

    def load(self, key: K) -> Promise[V]:
        """Ask for *key*."""
        if not self.cache or (result_key(), key) not in self._values:
            self._values.pop((result_key(), key), None)
            self._waiting[key] = None
        return Promise(self, key)

    def load_many(self, keys: Iterable[K], *, return_exceptions: bool = False) -> list[V]:
        """Return the values of *keys* in their order; the first failure is raised unless *return_exceptions*."""
        promises = [self.load(key) for key in keys]
        found: list[Any] = []
        for promise in promises:
            try:
                found.append(promise.result())
            except Exception as exc:
                if not return_exceptions:
                    raise
                found.append(exc)
        return found

    def _result(self, key: Any) -> V:
        results = result_key()
        if (results, key) not in self._values:
            self._waiting.setdefault(key)
            self._send(results)
        value = self._values[results, key]
        if isinstance(value, BaseException):
            del self._values[results, key]
            raise value
        found: V = value
        return found

    def _send(self, results: Hashable) -> None:
        keys, self._waiting = list(self._waiting), {}
        size = self.max_batch_size or len(keys)
        for start in range(0, len(keys), size):
            chunk = keys[start : start + size]
            try:
                found = _gathered(self._batch_fn(list(chunk)), self.key_attr)
                _warn_about_keys(chunk, found)
            except Exception as exc:  # noqa: BLE001  # raised by each promise of the chunk
                self._values.update({(results, key): exc for key in chunk})
            else:
                self._values.update({(results, key): found.get(key, self.missing) for key in chunk})

    def prime(self, key: K, value: V) -> SyncDataLoader[K, V]:
        """Have *key* give *value* from now on."""
        self._values[result_key(), key] = value
        self._waiting.pop(key, None)
        return self

    def clear(self, key: K | None = None) -> SyncDataLoader[K, V]:
        """Forget *key*; without a key, or with None, forget everything. A key that is None: `clear_key`."""
        return self.clear_all() if key is None else self.clear_key(key)

    def clear_key(self, key: K | None) -> SyncDataLoader[K, V]:
        """Forget *key*, None included."""
        hash(key)
        self._values = {known: value for known, value in self._values.items() if known[1] != key}
        return self

    def clear_all(self) -> SyncDataLoader[K, V]:
        """Forget everything."""
        self._values = {}
        return self


# -- loaders of models -------------------------------------------------------------------------------------------


def loader_for(model: Any, field: str = "pk", **options: Any) -> DataLoader[Any, Any]:
    """Return a loader of *model*'s rows by a unique field."""
    return DataLoader(lambda keys: model.objects.filter(**{f"{field}__in": keys}), key_attr=field, **options)


def related_loader(model: Any, field: str, **options: Any) -> DataLoader[Any, list[Any]]:
    """Return a loader of lists: the rows of *model* whose foreign key *field* points at the key."""
    attname = model._meta.get_field(field).attname

    async def batch(keys: list[Any]) -> dict[Any, list[Any]]:
        found: dict[Any, list[Any]] = {key: [] for key in keys}
        async for row in model.objects.filter(**{f"{field}__in": keys}):
            found[getattr(row, attname)].append(row)
        return found

    return DataLoader(batch, **options)


def loaders_for(model: Any, **options: Any) -> dict[str, DataLoader[Any, Any]]:
    """Return a loader for each relation of *model* by its name.

    A foreign key gives its object by key; the other side of a foreign key gives a list by the key of *model*.
    """
    found: dict[str, DataLoader[Any, Any]] = {}
    for each in model._meta.fields:
        if each.is_relation:
            found[each.name] = loader_for(each.target, each.target_field.name, **options)
    for name, relation in model._meta.relations.items():
        forward = getattr(relation, "field", None)
        if forward is not None and not getattr(relation, "many_to_many", False) and not name.endswith("+"):
            accessor = getattr(relation, "accessor", None) or name
            found[accessor] = related_loader(forward.model, forward.name, **options)
    return found


BatchFunction = Callable[[list[Any]], "Awaitable[Any] | Any"]
