"""OpenTelemetry: spans of statements and ids on log records, with the real SDK and in interpreters of their own."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

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


def test_a_valid_context_that_is_not_recorded_has_ids(exporter: InMemorySpanExporter) -> None:
    otel.install_log_correlation()
    remote = trace.NonRecordingSpan(trace.SpanContext(trace_id=1, span_id=2, is_remote=True))
    with trace.use_span(remote):
        record = logging.getLogRecordFactory()("x", logging.INFO, "f", 1, "m", (), None)
    assert record.__dict__["otel_trace_id"] == "0" * 31 + "1"
    assert record.__dict__["otel_span_id"] == "0" * 15 + "2"


def test_other_tools_keep_what_is_theirs(exporter: InMemorySpanExporter) -> None:
    before = logging.getLogRecordFactory()

    def theirs(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.__dict__["theirs"] = True
        if args[0] == "stamped":
            record.__dict__["otel_trace_id"] = "of another tool"
        return record

    def record(name: str) -> dict[str, Any]:
        return dict(logging.getLogRecordFactory()(name, logging.INFO, "f", 1, "m", (), None).__dict__)

    logging.setLogRecordFactory(theirs)
    try:
        otel.install_log_correlation()
        otel.install_log_correlation(["app"])
        with trace.get_tracer("app").start_as_current_span("request"):
            assert record("plain")["theirs"]
            assert len(record("plain")["otel_trace_id"]) == 32
            assert record("stamped")["otel_trace_id"] == "of another tool"
            assert "otel_span_id" in record("stamped")
        around = logging.getLogRecordFactory()
        logging.setLogRecordFactory(lambda *args, **kwargs: around(*args, **kwargs))
        otel.uninstall_log_correlation()
        assert "otel_trace_id" not in record("plain"), "a factory around ours goes on without ids"
        otel.install_log_correlation()
        assert record("plain")["otel_trace_id"] == "-"
        otel.uninstall_log_correlation()
        logging.setLogRecordFactory(around)
        otel.uninstall_log_correlation()
        assert logging.getLogRecordFactory() is theirs
    finally:
        logging.setLogRecordFactory(before)


def test_a_span_that_is_broken_costs_no_record(exporter: InMemorySpanExporter) -> None:
    class Broken(trace.NonRecordingSpan):
        def get_span_context(self) -> trace.SpanContext:
            raise RuntimeError("broken")

    otel.install_log_correlation()
    with trace.use_span(Broken(trace.INVALID_SPAN_CONTEXT)):
        record = logging.getLogRecordFactory()("x", logging.INFO, "f", 1, "m", (), None)
    assert record.__dict__["otel_trace_id"] == record.__dict__["otel_span_id"] == "-"


@pytest.mark.parametrize("names", ["app", ["app", 3], b"app"])
def test_names_of_loggers_are_a_list_of_texts(names: Any) -> None:
    before = logging.getLogRecordFactory()
    with pytest.raises(TypeError, match="logger_names"):
        otel.install_log_correlation(names)
    assert logging.getLogRecordFactory() is before


def test_the_ids_of_the_note_are_those_of_the_span() -> None:
    code = (
        "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\n"
        "trace.set_tracer_provider(TracerProvider())\n"
        "with trace.get_tracer('app').start_as_current_span('request') as span:\n"
        + "".join(f"    {line}\n" for line in _NOTE.strip().splitlines())
        + "    adapter = logging.LoggerAdapter(logging.getLogger('myapp'), {})\n    adapter.warning('adapted')\n"
        "context = span.get_span_context()\nprint(f'{context.trace_id:032x} {context.span_id:016x}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    trace_id, span_id = done.stdout.split()
    for message in ("hello", "adapted"):
        assert f"[trace={trace_id} span={span_id}] {message}" in done.stderr
    assert "Logging error" not in done.stderr


@pytest.mark.usefixtures("shop")
async def test_names_and_texts_of_spans(face: Face, exporter: InMemorySpanExporter) -> None:
    otel.instrument("mine")
    vendor = dorm.connections["default"].vendor
    await raw(face, "SELECT 1")
    await raw(
        face, f"SELECT {', '.join(f'name AS column_{number}' for number in range(100))} FROM contrib_tests_customer"
    )
    await face(Customer.objects.create)(name="Ann")
    await face(Customer.objects.filter(name="Ann").update)(name="Bob")
    await face(Customer.objects.filter(name="Bob").delete)()
    spans = _dorm(exporter)
    table = "contrib_tests_customer"
    assert spans[0].name == f"db.{vendor}"
    assert [each.name for each in spans[1:4]] == [f"SELECT {table}", f"INSERT {table}", f"UPDATE {table}"]
    assert f"DELETE {table}" in [each.name for each in spans[4:]]
    attributes = spans[1].attributes or {}
    assert len(str(attributes["db.statement"])) == 1024
    assert {each.instrumentation_scope.name for each in spans if each.instrumentation_scope} == {"mine"}
    assert all((each.attributes or {})["db.dorm.elapsed_ms"] > 0 for each in spans)  # type: ignore[operator]


@pytest.mark.usefixtures("shop")
def test_spans_belong_to_their_threads_and_tasks(exporter: InMemorySpanExporter) -> None:
    otel.instrument()
    parents: dict[str, int] = {}

    def work(name: str) -> None:
        with trace.get_tracer("app").start_as_current_span(name) as span:
            parents[name] = span.get_span_context().span_id
            for _ in range(5):
                Customer.objects.filter(name=name).count()

    async def awork(name: str) -> None:
        with trace.get_tracer("app").start_as_current_span(name) as span:
            parents[name] = span.get_span_context().span_id
            for _ in range(5):
                await Customer.objects.filter(name=name).acount()

    async def main() -> None:
        await asyncio.gather(*(awork(f"task {number}") for number in range(4)))

    threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    asyncio.run(main())
    found = [span.parent.span_id for span in _dorm(exporter) if span.parent is not None]
    assert {each: found.count(each) for each in set(found)} == dict.fromkeys(parents.values(), 5)
    assert len(parents) == 8
