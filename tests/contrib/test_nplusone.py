"""The N+1 detector: blocks, the whole process, scopes, call sites."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from typing import Any

import pytest

import dorm
from dorm.contrib import nplusone
from dorm.contrib.nplusone import NPlusOneDetector, NPlusOneError
from tests.contrib.models import Customer, Order
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("shop")


async def _rows(face: Face, number: int) -> list[Any]:
    customer = await face(Customer.objects.create)(name="Ann")
    return [await face(Order.objects.create)(customer=customer, number=each) for each in range(number)]


async def _load(face: Face, times: int) -> None:
    for _ in range(times):
        await face(Customer.objects.get)(name="Ann")


async def test_a_block_raises_at_the_statement_that_crosses_the_threshold(face: Face) -> None:
    await _rows(face, 1)
    with pytest.raises(NPlusOneError, match=r"(faces|test_nplusone)\.py:\d+") as caught:
        with NPlusOneDetector(threshold=3) as detector:
            await _load(face, 10)
    assert list(detector.counts.values()) == [4]
    assert "threshold 3" in str(caught.value)
    assert detector.findings[0][1] == 4


async def test_a_block_collects_and_reports(face: Face) -> None:
    await _rows(face, 1)
    with nplusone.detect(threshold=2) as detector:
        await _load(face, 2)
    assert detector.report() == "no N+1 detected"
    async with nplusone.adetect(threshold=2) as detector:
        await _load(face, 5)
    assert len(detector.findings) == 1
    assert "contrib_tests_customer" in detector.report()
    with nplusone.assert_no_nplusone(threshold=5):
        await _load(face, 5)


async def test_the_hint_names_model_and_relation(face: Face) -> None:
    await _rows(face, 3)
    with nplusone.detect(threshold=2) as detector:
        for _ in range(3):
            await face(Customer.objects.get)(pk=1)
    assert "Order.objects.select_related('customer')" in detector.report()
    with nplusone.detect(threshold=2) as detector:
        for _ in range(3):
            await face.rows(Order.objects.filter(customer_id=1))
    assert "Customer.objects.prefetch_related('orders')" in detector.report()


@pytest.mark.parametrize("threshold", [0, -1, True, 1.5])
def test_a_threshold_is_a_whole_number_from_one(threshold: Any) -> None:
    with pytest.raises(ValueError, match="threshold"):
        NPlusOneDetector(threshold)


async def test_raise_mode_of_the_process_keeps_the_transaction_usable(face: Face) -> None:
    await _rows(face, 1)
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=10)
    with nplusone.request_scope():
        async with face.atomic():
            await face(Customer.objects.create)(name="kept")
            with pytest.raises(NPlusOneError):
                await _load(face, 11)
            # Raised once a key and scope: the same loop goes on.
            await _load(face, 11)
    dorm.configure(DEBUG_NPLUSONE=False)
    assert await face(Customer.objects.filter(name="kept").count)() == 1
    assert nplusone.global_detector() is None


async def test_log_mode_warns_once(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    await _rows(face, 1)
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE=True, DEBUG_NPLUSONE_THRESHOLD=10)
    with nplusone.request_scope(), caplog.at_level(logging.WARNING, logger="dorm.contrib.nplusone"):
        await _load(face, 50)
    assert len(caplog.records) == 1
    assert "faces.py" in caplog.text or "test_nplusone.py" in caplog.text
    detector = nplusone.install_debug_global()
    assert detector is nplusone.install_debug_global() is nplusone.global_detector()
    assert detector is not None
    assert [count for _, count in detector.findings] == [11]


async def test_requests_do_not_add_up(face: Face) -> None:
    await _rows(face, 1)
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=5)
    for _ in range(11):
        with nplusone.request_scope():
            await _load(face, 1)
    with nplusone.request_scope():
        await _load(face, 5)
        with nplusone.ignore_nplusone():
            await _load(face, 20)


def test_threads_do_not_add_up() -> None:
    Customer.objects.create(name="Ann")
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=10)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                Customer.objects.get(name="Ann")
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_gather_is_an_nplusone_and_unrelated_tasks_are_not() -> None:
    Customer.objects.create(name="Ann")
    dorm.configure(DEBUG=True, DEBUG_NPLUSONE="raise", DEBUG_NPLUSONE_THRESHOLD=10)

    async def one() -> None:
        await Customer.objects.aget(name="Ann")

    async def related() -> None:
        await asyncio.gather(*(one() for _ in range(20)))

    async def unrelated() -> None:
        await asyncio.gather(*[asyncio.create_task(one(), context=contextvars.Context()) for _ in range(3)])
        for _ in range(20):
            await asyncio.create_task(one(), context=contextvars.Context())

    with pytest.raises(NPlusOneError):
        asyncio.run(related())
    asyncio.run(unrelated())


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(dorm.ImproperlyConfigured, match="DEBUG_NPLUSONE"):
        dorm.configure(DEBUG_NPLUSONE="loud")
    with pytest.raises(dorm.ImproperlyConfigured, match="DEBUG_NPLUSONE_THRESHOLD"):
        dorm.configure(DEBUG_NPLUSONE_THRESHOLD=0)
    assert nplusone.install_debug_global() is None


def test_outside_debug_there_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    dorm.configure(DEBUG=False, DEBUG_NPLUSONE="log")
    nplusone.install_debug_global()
    assert "outside DEBUG" in caplog.text
