"""``dorm migrations-graph``: what the files say, without importing any of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dorm.migrations.apps import App
from dorm.migrations.static import dot, mermaid, read_graph
from tests.support.cli import Scratch

HEAD = "raise RuntimeError('a migration was imported')\n"


@pytest.fixture
def project(scratch: Scratch) -> Scratch:
    """Apps whose packages, models and migrations must not be imported, on a database that must not be opened."""
    scratch.settings("postgresql://u:p@unreachable.invalid/shop", "['blog', 'shop']")
    for app in ("blog", "shop"):
        scratch.write(f"{app}/__init__.py", "raise RuntimeError('an app was imported')\n")
        scratch.write(f"{app}/models.py", "raise RuntimeError('models were imported')\n")
    migration(scratch, "blog", "0001_initial")
    migration(scratch, "shop", "0001_initial", "dependencies = [('blog', '0001_initial')]")
    return scratch


def migration(scratch: Scratch, app: str, name: str, text: str = "dependencies = []") -> Path:
    return scratch.write(f"{app}/migrations/{name}.py", f"{HEAD}{text}\noperations = []\n")


def edges(scratch: Scratch, kind: str = "depends") -> list[tuple[str, str]]:
    found = json.loads(scratch.ok("migrations-graph", "--format", "json"))
    return [(each["from"], each["to"]) for each in found["edges"] if each["kind"] == kind]


def test_nothing_is_imported_and_no_database_is_opened(project: Scratch) -> None:
    ran = project.run("migrations-graph")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        'graph TD\n    blog_0001_initial["blog.0001_initial"]\n    shop_0001_initial["shop.0001_initial"]\n'
        "    blog_0001_initial --> shop_0001_initial\n"
    )


def test_only_files_of_migrations_count_and_apps_without_are_skipped(project: Scratch) -> None:
    for name in ("__init__", "helpers", "0002-dashed", "x_0003"):
        migration(project, "blog", name)
    project.write("blog/migrations/0004_folder.py/keep", "")
    project.write("plain/__init__.py", "")
    settings = (project.folder / "settings.py").read_text().replace("'shop'", "'shop', 'plain', 'not_there'")
    (project.folder / "settings.py").write_text(settings)
    ran = project.run("migrations-graph", "--format", "json")
    assert [each["name"] for each in json.loads(ran.out)["nodes"]] == ["0001_initial", "0001_initial"]
    assert "'not_there', which cannot be found" in ran.err
    assert "plain" not in ran.err


@pytest.mark.parametrize(
    "text",
    [
        "dependencies = [('blog', '0001_initial')]",
        "dependencies: list[tuple[str, str]] = [('blog', '0001_initial')]",
        "dependencies = (('blog', '0001_initial'),)",
        "dependencies = [] + [('blog', '0001_initial')]",
        "dependencies = []\ndependencies += [('blog', '0001_initial')]",
        "dependencies = [*[('blog', '0001_initial')], ('blog', '0001_initial')]",
        "class Migration:\n    dependencies = [('blog', '0001_initial')]",
        "dependencies = [('blog', '__first__')]",
    ],
)
def test_dependencies_are_read_however_they_are_written(project: Scratch, text: str) -> None:
    migration(project, "shop", "0001_initial", text)
    apps = [App(name, name, project.folder / name) for name in ("blog", "shop")]
    assert read_graph(apps).edges == [(("blog", "0001_initial"), ("shop", "0001_initial"))]


def test_what_stands_in_functions_is_not_meant(project: Scratch) -> None:
    migration(project, "shop", "0001_initial", "def f():\n    dependencies = [('blog', '0001_initial')]")
    assert edges(project) == []


def test_what_is_no_literal_is_told_with_file_and_line_and_the_rest_is_kept(project: Scratch) -> None:
    path = migration(project, "shop", "0001_initial", "dependencies = [\n    made(),\n    ('blog', '0001_initial'),\n]")
    ran = project.run("migrations-graph")
    assert f"warning: {path}:3: an element of dependencies is no literal pair" in ran.err
    assert "blog_0001_initial --> shop_0001_initial" in ran.out


def test_squashed_migrations_have_dashed_edges_and_stand_for_files_that_are_gone(project: Scratch) -> None:
    replaces = "replaces = [('blog', '0001_initial'), ('blog', '0002_gone')]"
    migration(project, "blog", "0001_squashed_0002_gone", f"dependencies = []\n{replaces}")
    migration(project, "shop", "0002_next", "dependencies = [('shop', '0001_initial'), ('blog', '0002_gone')]")
    assert "blog_0001_initial -.-> blog_0001_squashed_0002_gone" in project.ok("migrations-graph", "--check")
    assert '"blog.0001_initial" -> "blog.0001_squashed_0002_gone" [style=dashed];' in project.ok(
        "migrations-graph", "--format", "dot"
    )
    assert ("blog.0001_squashed_0002_gone", "shop.0002_next") in edges(project)


def test_the_order_is_that_of_apps_numbers_and_names_and_edges_come_once(project: Scratch) -> None:
    for name in ("9_b", "10_a", "9_a"):
        migration(project, "blog", name, "dependencies = [('blog', '0001_initial'), ('blog', '0001_initial')]")
    found = json.loads(project.ok("migrations-graph", "--format", "json"))
    assert [each["name"] for each in found["nodes"]][:4] == ["0001_initial", "9_a", "9_b", "10_a"]
    assert [each["to"] for each in found["edges"]] == ["blog.9_a", "blog.9_b", "blog.10_a", "shop.0001_initial"]


def test_missing_files_are_drawn_and_named(project: Scratch) -> None:
    migration(project, "shop", "0001_initial", "dependencies = [('gone', '0007_x')]")
    ran = project.run("migrations-graph")
    assert (ran.code, "gone.0007_x is depended on and has no file" in ran.err) == (0, True)
    assert 'gone_0007_x["gone.0007_x"]' in ran.out
    assert "class gone_0007_x missing" in ran.out
    assert '"gone.0007_x" [style=dashed,color=red];' in project.ok("migrations-graph", "--format", "dot")
    assert project.run("migrations-graph", "--check").code == 1


def test_each_cycle_and_several_last_migrations_are_named(project: Scratch) -> None:
    migration(project, "blog", "0001_initial", "dependencies = [('blog', '0002_b'), ('blog', '0003_c')]")
    migration(project, "blog", "0002_b", "dependencies = [('blog', '0001_initial')]")
    migration(project, "blog", "0003_c", "dependencies = [('blog', '0001_initial')]")
    ran = project.run("migrations-graph")
    assert ran.code == 0
    assert "cycle: blog.0001_initial -> blog.0002_b -> blog.0001_initial" in ran.err
    assert "cycle: blog.0001_initial -> blog.0003_c -> blog.0001_initial" in ran.err
    assert "blog_0002_b --> blog_0001_initial" in ran.out
    assert project.run("migrations-graph", "--check").code == 1
    for name in ("0001_initial", "0002_b", "0003_c"):
        migration(project, "blog", name, "" if name == "0001_initial" else "dependencies = [('blog', '0001_initial')]")
    ran = project.run("migrations-graph", "--check")
    assert (ran.code, "blog has 2 last migrations: 0002_b, 0003_c" in ran.err) == (1, True)


def test_files_that_cannot_be_parsed_stay_in_the_graph(project: Scratch) -> None:
    path = project.write("blog/migrations/0002_bad.py", "dependencies = [(\n")
    (project.folder / "blog/migrations/0003_nul.py").write_bytes(b"\0")
    (project.folder / "blog/migrations/0004_lost.py").symlink_to("nowhere.py")
    (project.folder / "blog/migrations/0005_old.py").write_bytes(
        b"# -*- coding: latin-1 -*-\n# \xe9\ndependencies = [('blog', '0001_initial')]\n"
    )
    ran = project.run("migrations-graph")
    assert ran.code == 0
    assert f"warning: {path}: SyntaxError: '(' was never closed" in ran.err
    assert "class blog_0002_bad,blog_0003_nul,blog_0004_lost broken" in ran.out
    assert "blog_0001_initial --> blog_0005_old" in ran.out
    assert '"blog.0002_bad" [color=red];' in project.ok("migrations-graph", "--format", "dot")


def test_contrib_apps_stand_under_the_label_that_others_depend_on(scratch: Scratch) -> None:
    scratch.settings(apps="['site.auth', 'shop']")
    scratch.write("site/__init__.py", "raise RuntimeError('a parent was imported')\n")
    scratch.write("site/auth/__init__.py", "")
    scratch.write("site/auth/models.py", "class User(dorm.Model):\n    class Meta:\n        app_label = 'auth'\n")
    migration(scratch, "site/auth", "0001_initial")
    scratch.write("shop/__init__.py", "")
    migration(scratch, "shop", "0001_initial", "dependencies = [('auth', '0001_initial')]")
    ran = scratch.run("migrations-graph", "--check")
    assert (ran.code, ran.err) == (0, "")
    assert "auth_0001_initial --> shop_0001_initial" in ran.out


def test_one_app_and_a_file(project: Scratch) -> None:
    migration(project, "blog", "0002_alone", "dependencies = [('blog', '0001_initial')]")
    shown = project.ok("migrations-graph", "--app", "shop")
    assert "blog_0001_initial --> shop_0001_initial" in shown
    assert "0002_alone" not in shown
    ran = project.run("migrations-graph", "--app", "shup")
    assert (ran.code, ran.out) == (1, "")
    assert "Did you mean 'shop'? Apps: blog, shop" in ran.err
    assert project.ok("migrations-graph", "--app", "shop", "--output", "graph.md") == ""
    assert (project.folder / "graph.md").read_text() == shown
    ran = project.run("migrations-graph", "--output", "no/such/folder/graph.md")
    assert (ran.code, "FileNotFoundError" in ran.err, len(ran.err.splitlines())) == (1, True, 1)
    assert not (project.folder / "no").exists()
    (project.folder / "folder").mkdir()
    assert project.run("migrations-graph", "--output", "folder").code == 2


def test_wrong_use_exits_with_two(project: Scratch) -> None:
    ran = project.run("migrations-graph", "--format", "png")
    assert (ran.code, "'mermaid', 'dot', 'json'" in ran.err) == (2, True)
    project.write("settings.py", "import nothing_of_that_name\n")
    ran = project.run("migrations-graph")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)


def test_both_texts_hold_to_their_grammars(project: Scratch) -> None:
    migration(project, "blog", "0002_ärger", "dependencies = [('blog', '0001_initial'), ('a\"b\\\\', '0001_x-y')]")
    migration(project, "blog", "0002__rger", "dependencies = [('blog', '0002_ärger')]")
    graph = read_graph([App(name, name, project.folder / name) for name in ("blog", "shop")])
    lines = mermaid(graph).splitlines()
    names = re.findall(r'^    ([A-Za-z0-9_]+)\["[^"]*"\]$', "\n".join(lines), re.MULTILINE)
    assert len(names) == len(set(names)) == len(graph.nodes) + len(graph.missing)
    node = r"[A-Za-z0-9_]+"
    for line in lines[1 + len(names) :]:
        assert re.fullmatch(rf"    ({node} (-->|-\.->) {node}|classDef missing .*|class {node} missing)", line), line
    text = dot(graph)
    quoted = r'"(?:[^"\\]|\\.)*"'
    for line in text.splitlines()[2:-1]:
        assert re.fullmatch(rf"    {quoted}( -> {quoted})?( \[[a-z=,]+\])?;", line), line
    if shutil.which("dot"):
        drawn = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=False)
        assert (drawn.returncode, drawn.stderr) == (0, "")
        assert "ärger" in drawn.stdout
