"""The pytest plugin: ``pytest_plugins = ["dorm.test.plugin"]``, or by itself where dorm is installed.

With ``dorm_settings = project.settings`` in the ini file the settings are loaded, and every run (every worker of
pytest-xdist) gets databases of its own. Without it the databases are those that the tests configure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("dorm")
    group.addoption("--dorm-settings", metavar="MODULE", help="Settings module of dorm for the tests.")
    group.addoption(
        "--reuse-db", action="store_true", help="Keep the databases, and take those that an earlier run kept."
    )
    parser.addini("dorm_settings", "Settings module of dorm for the tests.", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "dorm_db(databases=('default',)): run the test in a transaction of these aliases, rolled back."
    )
    name = config.getoption("--dorm-settings") or config.getini("dorm_settings")
    if name:
        from dorm.conf.project import import_models, load_settings

        load_settings(str(name))
        import_models()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Drop the templates that the workers cloned, once all of them have ended."""
    config = session.config
    if hasattr(config, "workerinput") or not _has_settings(config) or config.getoption("--reuse-db"):
        return
    if getattr(config.option, "numprocesses", None):
        from dorm.test.template import drop_templates

        drop_templates()


def _has_settings(config: pytest.Config) -> bool:
    return bool(config.getoption("--dorm-settings") or config.getini("dorm_settings"))


@pytest.fixture(scope="session")
def dorm_databases(request: pytest.FixtureRequest) -> Iterator[None]:
    """Databases of this run's own, where the ini file names settings."""
    if not _has_settings(request.config):
        yield
        return
    from dorm.test.databases import TestDatabases
    from dorm.test.template import Template

    template = Template(request)
    databases = TestDatabases(
        keep=bool(request.config.getoption("--reuse-db")), populate=template.populate, template=template.name
    )
    databases.create()
    yield
    databases.drop()


def _aliases(request: pytest.FixtureRequest) -> tuple[str, ...]:
    marker = request.node.get_closest_marker("dorm_db")
    found: Any = marker.kwargs.get("databases", marker.args[0] if marker.args else None) if marker else None
    if found is None:
        return ("default",)
    if found == "__all__":
        from dorm.conf.settings import settings

        return tuple(settings.DATABASES)
    return tuple(found)


@pytest.fixture
def transactional_db(request: pytest.FixtureRequest, dorm_databases: None) -> Iterator[None]:
    """Run the test in a transaction that is rolled back; blocking and asyncio code share it."""
    from dorm.test.databases import rolled_back

    with rolled_back(_aliases(request)):
        yield


@pytest.fixture
def atransactional_db(request: pytest.FixtureRequest, dorm_databases: None) -> Iterator[None]:
    """The same as `transactional_db`: the transaction is shared by both faces, in whatever event loop."""
    from dorm.test.databases import rolled_back

    with rolled_back(_aliases(request)):
        yield


@pytest.fixture(autouse=True)
def _dorm_marked(request: pytest.FixtureRequest) -> None:
    """Tests marked ``dorm_db`` get the transaction without naming the fixture."""
    if request.node.get_closest_marker("dorm_db") is not None:
        request.getfixturevalue("transactional_db")


@pytest.fixture
def assert_num_queries() -> Any:
    """`dorm.test.assertNumQueries`."""
    from dorm.test.capture import assertNumQueries

    return assertNumQueries
