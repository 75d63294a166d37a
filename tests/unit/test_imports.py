"""What `import dorm` and a first query load: a script that touches SQLite pays for nothing else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dorm

ROOT = Path(__file__).parent.parent.parent

_NEVER = (
    "psycopg",
    "psycopg_pool",
    "rich",
    "click",
    "sqlglot",
    "redis",
    "duckdb",
    "pymysql",
    "asyncmy",
    "cryptography",
    "prometheus_client",
    "opentelemetry",
    "importlib.metadata",
    "unittest",
    "sqlite3",
    "http",
    "email",
    "asyncio",
    "concurrent",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "zoneinfo",
    "pickle",
    "random",
    "secrets",
    "hmac",
    "urllib",
    "pathlib",
    "ipaddress",
    "difflib",
    "dataclasses",
    "inspect",
    "uuid",
    "platform",
    "fractions",
    "base64",
)

_NOT_FOR_A_READ = (
    "dorm.migrations",
    "dorm.storage",
    "dorm.relations",
    "dorm.constraints",
    "dorm.search",
    "dorm.tree",
    "dorm.test",
    "dorm.serialize",
    "dorm.inspect",
    "dorm.cache.reading",
    "dorm.cache.api",
    "dorm.cache.signing",
    "dorm.fields.arrays",
    "dorm.fields.composite",
    "dorm.fields.computed",
    "dorm.fields.enums",
    "dorm.fields.files",
    "dorm.fields.ranges",
    "dorm.fields.structured",
    "dorm.functions.json",
    "dorm.functions.numbers",
    "dorm.functions.server",
    "dorm.functions.text",
    "dorm.functions.window",
    "dorm.aggregates.lists",
    "dorm.aggregates.standard",
    "dorm.queryset.cte",
    "dorm.queryset.pickling",
    "dorm.queryset.raw",
    "dorm.queryset.truncate",
    "dorm.queryset.union_with",
    "dorm.queryset.ops.aggregate",
    "dorm.queryset.ops.ask",
    "dorm.queryset.ops.bulk",
    "dorm.queryset.ops.bulk_update",
    "dorm.queryset.ops.delete",
    "dorm.queryset.ops.get_or_create",
    "dorm.queryset.ops.rowwrite",
    "dorm.queryset.ops.save",
    "dorm.queryset.ops.stream",
    "dorm.queryset.ops.write",
    "dorm.models.deletion",
    "dorm.db.schema",
    "dorm.db.tables",
    "dorm.db.introspect",
    "dorm.db.plans",
    "dorm.db.lexer",
    "dorm.db.shown",
    "dorm.db.template",
    "dorm.db.backends.threaded",
    "dorm.db.backends.sqlite.aggregates",
    "dorm.db.backends.sqlite.aio",
    "dorm.db.backends.sqlite.introspect",
    "dorm.db.backends.sqlite.plans",
    "dorm.db.backends.sqlite.rehearsal",
    "dorm.db.backends.sqlite.schema",
)
"""What reading rows from SQLite has no use for."""

_FIRST_ROW = """
import dorm
dorm.configure(DATABASES={"default": {"ENGINE": "sqlite", "NAME": ":memory:"}})
class Note(dorm.Model):
    name = dorm.CharField(max_length=9)
    day = dorm.DateField(null=True)
    class Meta:
        app_label = "first"
        db_table = "sqlite_schema"
assert Note.objects.values_list("name").order_by("name").first() is None
"""

_FIRST_QUERY = """
import dorm
dorm.configure(DATABASES={"default": {"ENGINE": "sqlite", "NAME": ":memory:"}})
class Note(dorm.Model):
    text = dorm.TextField()
    class Meta:
        app_label = "first"
dorm.get_connection().execute_script("CREATE TABLE first_note (id INTEGER PRIMARY KEY, text TEXT)")
Note.objects.create(text="a")
assert Note.objects.get(pk=1).text == "a"
"""


_ASYNC = """
import asyncio
async def main():
    async with dorm.atomic():
        assert await Note.objects.acount() == 0
asyncio.run(main())
"""

_NO_SERVER = """
import dorm
dorm.configure(DATABASES={"default": "postgresql://nobody@127.0.0.1:1/nothing"}, RETRY_ATTEMPTS=1)
class Note(dorm.Model):
    text = dorm.TextField()
    class Meta:
        app_label = "first"
try:
    Note.objects.count()
except dorm.OperationalError:
    pass
"""


def loaded(source: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after *source*."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", f"{source}\nimport sys\nprint(*sorted(sys.modules))"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return set(done.stdout.split())


def test_import_dorm_loads_no_part_of_it() -> None:
    mine = {name for name in loaded("import dorm") if name.startswith("dorm.")}
    assert mine == set()


def test_a_first_query_on_sqlite_loads_no_optional_driver() -> None:
    modules = loaded(_FIRST_QUERY)
    found = {name for name in modules if name in _NEVER or name.partition(".")[0] in _NEVER}
    assert found == set()
    assert "dorm.db.backends.sqlite" in modules
    assert not any(name.startswith(("dorm.cli", "dorm.contrib", "dorm.demo")) for name in modules)
    assert not any(name.startswith("dorm.db.backends.postgresql") for name in modules)


def test_a_first_row_of_sqlite_loads_what_reads_and_nothing_else() -> None:
    modules = loaded(_FIRST_ROW) - loaded("pass")
    assert "dorm.queryset.ops.fetch" in modules
    assert {name for name in modules if name.partition(".")[0] in _NEVER} == set()
    assert {name for name in modules if name.startswith(tuple(f"{each}." for each in _NOT_FOR_A_READ))} == set()
    assert modules & set(_NOT_FOR_A_READ) == set()


def test_a_first_query_loads_one_package_of_somebody_elses() -> None:
    """All that is neither Python's nor dorm's, by name: nothing slips in."""
    for first in (_FIRST_ROW, _FIRST_QUERY, f"{_FIRST_ROW}{_ASYNC}"):
        assert elses(loaded(first) - loaded("pass")) == {"apsw"}


def test_postgresql_loads_psycopg_and_nothing_of_sqlites() -> None:
    modules = loaded(_NO_SERVER) - loaded("pass")
    assert elses(modules) == {"psycopg", "psycopg_binary", "psycopg_pool", "typing_extensions"}
    assert not any(name.startswith("dorm.db.backends.sqlite") for name in modules)


def elses(modules: set[str]) -> set[str]:
    """Return the packages among *modules* that are neither Python's own nor dorm's, nor made by Cython as it goes."""
    packages = {name.partition(".")[0] for name in modules} - {"dorm", "cython_runtime"}
    return {name for name in packages if name not in sys.stdlib_module_names and not name.startswith("_")}


def test_what_packages_load_late_is_listed_and_told_from_what_they_lack() -> None:
    loaded(
        "import dorm.fields, dorm.cache, dorm.queryset\n"
        "assert {'FileField', 'ArrayField', 'CharField'} <= set(dir(dorm.fields))\n"
        "assert 'get_cache' in dir(dorm.cache) and 'RawQuerySet' in dir(dorm.queryset)\n"
        "from dorm.queryset import ops\n"
        "assert 'bulk' in dir(ops) and ops.bulk.bulk_create\n"
        "for package in (dorm.fields, dorm.cache, dorm.queryset, ops):\n"
        "    assert not hasattr(package, 'nothing_of_that_name')\n"
    )


def test_a_program_without_a_loop_may_block_while_another_thread_loads_asyncio() -> None:
    """What asks for the running loop meets a half-loaded asyncio in `sys.modules`."""
    loaded(
        _FIRST_ROW + "import sys, types\n"
        "sys.modules['asyncio.events'] = types.ModuleType('asyncio.events')\n"
        "with dorm.atomic():\n"
        "    assert Note.objects.count() == 0\n"
        "del sys.modules['asyncio.events']\n"
        "import asyncio\n"
        "async def main():\n"
        "    assert await Note.objects.acount() == 0\n"
        "asyncio.run(main())\n"
    )


PUBLIC = [
    "models",
    "fields",
    "expressions",
    "functions",
    "aggregates",
    "lookups",
    "queryset",
    "manager",
    "constraints",
    "indexes",
    "transaction",
    "signals",
    "exceptions",
    "validators",
    "conf",
    "db.connection",
    "migrations.operations",
    "cache",
    "search",
    "tree",
    "test",
    "serialize",
    "inspect",
    "budget",
    "choices",
    "storage",
    "timezone",
    "contrib.contenttypes",
    "contrib.nplusone",
]


@pytest.mark.parametrize("name", PUBLIC)
def test_any_public_module_may_be_imported_first(name: str) -> None:
    assert f"dorm.{name}" in loaded(f"import dorm.{name}")


def test_a_star_import_gives_every_public_name() -> None:
    loaded("from dorm import *\nassert Model and F and atomic and CharField and functions and ValidationError")
    loaded("from dorm.functions import *\nfrom dorm.aggregates import *\nassert Upper and KT and Sum and StringAgg")


def test_what_is_registered_on_all_fields_serves_types_whose_field_is_not_loaded() -> None:
    loaded(
        _FIRST_ROW + "import sys, uuid\n"
        "class Same(dorm.Lookup):\n"
        "    lookup_name = 'same'\n"
        "    def as_sql(self, compiler, connection):\n"
        "        lhs, one = self.process_lhs(compiler, connection)\n"
        "        rhs, two = self.process_rhs(compiler, connection)\n"
        "        return f'{lhs} = {rhs}', [*one, *two]\n"
        "dorm.Field.register_lookup(Same)\n"
        "value = uuid.uuid4()\n"
        "rows = Note.objects.annotate(key=dorm.Value(value))\n"
        "assert 'dorm.fields.structured' not in sys.modules\n"
        "assert rows.filter(key__same=value).count() == 0\n"
        "class Keyed(dorm.UUIDField): pass\n"
        "assert rows.filter(key__same=value).count() == 0\n"
    )


def test_names_for_type_checkers_are_those_that_are_there() -> None:
    tree = ast.parse(Path(dorm.__file__).read_text())
    (checked,) = [each for each in tree.body if isinstance(each, ast.If)]
    imports = [each for each in checked.body if isinstance(each, ast.ImportFrom)]
    assert len(imports) == len(checked.body)
    told = sorted((each.module, name.name) for each in imports for name in each.names if each.module != "dorm")
    assert told == sorted((module, name) for module, names in dorm._MODULES.items() for name in names)
    modules = sorted(name.name for each in imports for name in each.names if each.module == "dorm")
    assert modules == sorted(dorm._SUBMODULES)
