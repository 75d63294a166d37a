"""OpenTelemetry: spans of statements and ids on log records, with the real SDK and in interpreters of their own."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import queue
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import dorm
from dorm.contrib import otel
from tests.contrib.models import Customer
from tests.contrib.raw import raw
from tests.support.faces import Face

_exporter = InMemorySpanExporter()


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(_exporter))
        trace.set_tracer_provider(provider)
    _exporter.clear()
    yield _exporter
    otel.uninstrument()
    otel.uninstall_log_correlation()


def _dorm(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if "db.system" in (span.attributes or {})]


@pytest.mark.usefixtures("shop")
async def test_a_span_a_statement(face: Face, exporter: InMemorySpanExporter) -> None:
    otel.instrument()
    otel.instrument()
    with trace.get_tracer("app").start_as_current_span("request") as outer:
        await face(Customer.objects.filter(name="Ann").count)()
        with pytest.raises(dorm.DatabaseError):
            await raw(face, "SELECT nothing FROM nowhere")
    read, failed = _dorm(exporter)
    vendor = dorm.connections["default"].vendor
    assert read.name == "SELECT contrib_tests_customer"
    assert read.attributes is not None
    assert read.attributes["db.system"] == vendor
    assert read.attributes["db.operation"] == "SELECT"
    assert read.attributes["db.sql.table"] == read.attributes["db.collection.name"] == "contrib_tests_customer"
    assert read.attributes["db.dorm.alias"] == "default"
    assert "Ann" not in str(read.attributes)
    assert read.parent is not None
    assert read.parent.span_id == outer.get_span_context().span_id
    assert failed.status.status_code is trace.StatusCode.ERROR
    otel.uninstrument()
    await face(Customer.objects.count)()
    assert len(_dorm(exporter)) == 2


@pytest.mark.usefixtures("shop")
async def test_spans_have_no_values(face: Face, exporter: InMemorySpanExporter, backend: str) -> None:
    await raw(face, "CREATE UNIQUE INDEX one_name ON contrib_tests_customer (name)")
    otel.instrument()
    await face(Customer.objects.create)(name="Zaphod")
    with pytest.raises(dorm.IntegrityError):
        await face(Customer.objects.create)(name="Zaphod")
    await raw(face, "SELECT phone FROM contrib_tests_customer WHERE name = 'Zaphod'")
    spans = _dorm(exporter)
    for span in spans:
        assert "Zaphod" not in str(span.attributes)
        for event in span.events:
            assert "Zaphod" not in str(event.attributes)
    failed = next(span for span in spans if span.events)
    assert failed.attributes is not None
    assert "IntegrityError" in str((failed.events[0].attributes or {})["exception.stacktrace"])
    assert (spans[-1].attributes or {})["db.query.text"] == "SELECT phone FROM contrib_tests_customer WHERE name = ?"
    if backend == "postgresql":
        assert failed.attributes["db.response.status_code"] == "23505"
        assert failed.attributes["server.address"] == dorm.connections["default"].config.host
        assert failed.attributes["db.namespace"] == dorm.connections["default"].config.name
    else:
        assert "server.address" not in failed.attributes


def test_every_record_of_the_process_has_ids(exporter: InMemorySpanExporter) -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger = logging.getLogger("myapp.deep")
    handler = Keep()
    logger.addHandler(handler)
    try:
        for _ in range(3):
            otel.install_log_correlation()
        with trace.get_tracer("app").start_as_current_span("request") as span:
            logger.warning("inside")
        logger.warning("outside")
    finally:
        logger.removeHandler(handler)
    context = span.get_span_context()
    assert records[0].__dict__["otel_trace_id"] == f"{context.trace_id:032x}"
    assert records[0].__dict__["otel_span_id"] == f"{context.span_id:016x}"
    assert records[1].__dict__["otel_trace_id"] == "-"
    otel.uninstall_log_correlation()
    logger.addHandler(handler)
    logger.warning("after")
    logger.removeHandler(handler)
    assert "otel_trace_id" not in records[2].__dict__


def test_ids_by_logger_name(exporter: InMemorySpanExporter) -> None:
    otel.install_log_correlation(["app"])
    factory = logging.getLogRecordFactory()

    def ids(name: str) -> str:
        record = factory(name, logging.INFO, "f", 1, "m", (), None)
        return str(record.__dict__["otel_trace_id"])

    with trace.get_tracer("app").start_as_current_span("request"):
        assert ids("app") != "-"
        assert ids("app.child") != "-"
        assert ids("application") == "-"
    with pytest.raises(TypeError, match="logger_names"):
        otel.install_log_correlation("app")


def test_each_task_has_its_own_ids_and_they_survive_a_queue(exporter: InMemorySpanExporter) -> None:
    waiting: queue.Queue[logging.LogRecord] = queue.Queue()
    logger = logging.getLogger("tasks")
    handler = logging.handlers.QueueHandler(waiting)
    logger.addHandler(handler)
    otel.install_log_correlation()
    spans: dict[str, str] = {}

    async def work(name: str) -> None:
        with trace.get_tracer("app").start_as_current_span(name) as span:
            spans[name] = f"{span.get_span_context().span_id:016x}"
            await asyncio.sleep(0.01)
            logger.warning(name)

    async def main() -> None:
        await asyncio.gather(work("a"), work("b"))

    asyncio.run(main())
    logger.removeHandler(handler)
    found = [waiting.get_nowait() for _ in range(2)]
    assert {each.getMessage(): each.__dict__["otel_span_id"] for each in found} == spans


def test_the_filter_stamps_one_handler() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "m", (), None)
    assert otel.TraceContextLogFilter().filter(record) is True
    assert record.__dict__["otel_span_id"] == "-"


_NOTE = """
import logging
from dorm.contrib.otel import install_log_correlation

install_log_correlation()  # idempotent
logging.basicConfig(
    format="%(asctime)s [trace=%(otel_trace_id)s span=%(otel_span_id)s] %(message)s"
)
logging.getLogger("myapp.child").warning("hello")
"""


@pytest.mark.parametrize("without", [False, True])
def test_the_two_lines_of_the_note_print_ids(without: bool) -> None:
    hide = "import sys; sys.modules['opentelemetry'] = None\n" if without else ""
    found = subprocess.run([sys.executable, "-c", hide + _NOTE], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0
    assert "Logging error" not in found.stderr
    assert "[trace=- span=-] hello" in found.stderr


def test_without_the_api_the_extra_is_named() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None\nfrom dorm.contrib import otel\notel.instrument()"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "dormdb[otel]" in found.stderr
