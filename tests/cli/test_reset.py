"""``dorm reset`` on real databases: everything undone and applied, or the schema dropped and made anew."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import Scratch

SHOP = """
class Order(dorm.Model):
    author = dorm.ForeignKey("blog.Author", dorm.CASCADE)
"""
ROWS = """
from blog.models import Author
from shop.models import Order
Order.objects.create(author=Author.objects.create(name='Ann'))
"""
COUNT = "from shop.models import Order\nprint(Order.objects.count())"
STRANGE = """
import dorm
db = dorm.get_connection()
db.execute("CREATE TABLE left_over (id integer)")
db.execute("CREATE VIEW seen AS SELECT * FROM shop_order")
"""
TABLES = "from dorm.inspect import introspect_tables\nprint(sorted(t.name for t in introspect_tables()))"


def script(project: Scratch, source: str) -> str:
    project.write("script.py", source)
    return project.ok("runscript", "script.py")


@pytest.fixture
def two_apps(blog: Scratch, database_settings: dict[str, Any]) -> Scratch:
    """Two apps, one with a key to the other, on an empty database of each backend, with a row in each table."""
    blog.write("settings.py", f"DATABASES = {{'default': {database_settings!r}}}\nINSTALLED_APPS = ['blog', 'shop']\n")
    blog.app("shop", SHOP)
    blog.ok("makemigrations")
    blog.ok("migrate")
    script(blog, ROWS)
    return blog


def test_everything_is_undone_dependants_first_and_applied_again(two_apps: Scratch) -> None:
    before = script(two_apps, TABLES)
    shown = two_apps.ok("reset", "--dry-run")
    assert 'DROP TABLE "shop_order"' in shown
    assert script(two_apps, COUNT) == "1\n"
    out = two_apps.ok("reset").splitlines()
    assert out == [
        "Unapplying shop.0001_initial... OK",
        "Unapplying blog.0001_initial... OK",
        "Applying blog.0001_initial... OK",
        "Applying shop.0001_initial... OK",
        "Reset 'default': 2 undone, 2 applied.",
    ]
    assert script(two_apps, COUNT) == "0\n"
    assert script(two_apps, TABLES) == before
    assert two_apps.ok("migrate", "--check") == ""


def test_what_cannot_be_undone_is_named_and_the_schema_can_be_dropped(two_apps: Scratch) -> None:
    before = script(two_apps, TABLES)
    two_apps.write(
        "blog/migrations/0002_sql.py",
        "from dorm import migrations\n\ndependencies = [('blog', '0001_initial')]\n"
        "operations = [migrations.RunSQL('SELECT 1')]\n",
    )
    two_apps.ok("migrate")
    script(two_apps, STRANGE)
    ran = two_apps.run("reset")
    assert ran.code == 1
    assert ran.err.startswith("blog.0002_sql cannot be undone.\nNothing was changed.")
    assert "--drop-schema" in ran.err
    assert script(two_apps, COUNT) == "1\n"
    assert "DROP " in two_apps.ok("reset", "--drop-schema", "--dry-run")
    assert script(two_apps, COUNT) == "1\n"
    assert two_apps.run("reset", "--drop-schema", "--app", "blog").code == 2
    assert two_apps.ok("reset", "--drop-schema").splitlines()[-1] == "Reset 'default': schema dropped, 3 applied."
    assert script(two_apps, COUNT) == "0\n"
    assert script(two_apps, TABLES) == before
    assert "No migrations to apply" in two_apps.ok("migrate")


def test_a_step_that_fails_leaves_everything_as_it_was(two_apps: Scratch) -> None:
    two_apps.write(
        "shop/migrations/0002_data.py",
        "from dorm import migrations\n\ndef fill(app_label, registry):\n"
        "    registry.get_model('blog', 'Author').objects.get(name='Ann')\n\n"
        "dependencies = [('shop', '0001_initial')]\n"
        "operations = [migrations.RunPython(fill, migrations.RunPython.noop)]\n",
    )
    two_apps.ok("migrate")
    for arguments in ([], ["--drop-schema"]):
        ran = two_apps.run("reset", *arguments)
        assert ran.code == 1
        assert "in shop.0002_data, operation 'Raw Python operation' (0002_data.py:4)" in ran.err
        assert "Traceback" not in ran.err
        assert script(two_apps, COUNT) == "1\n"
        assert two_apps.ok("migrate", "--check") == ""


def test_migrations_without_files_are_named(two_apps: Scratch) -> None:
    two_apps.write("settings.py", (two_apps.folder / "settings.py").read_text().replace(", 'shop'", ""))
    ran = two_apps.run("reset", "--drop-schema", "--dry-run")
    assert ran.code == 0
    ran = two_apps.run("reset")
    assert "shop.0001_initial is recorded and has no file" in ran.err
