"""`dorm.tree`: descendants and ancestors, whatever the keys look like and whatever the data is."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest

import dorm
from dorm import RawSQL, tree
from dorm.migrations.schema import create_tables
from tests.support.faces import Face, names


class Folder(dorm.Model):
    name = dorm.CharField(max_length=20)
    parent = dorm.ForeignKey("self", null=True, related_name="children", on_delete=dorm.SET_NULL)

    class Meta:
        app_label = "trees"


class Shelf(Folder):
    room = dorm.CharField(max_length=20, default="")
    above = dorm.ForeignKey("self", null=True, related_name="below", on_delete=dorm.SET_NULL)

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]  # as every child declares it
        app_label = "trees"


class Named(dorm.Model):
    """Keys are texts, and rows are linked by another unique column than the key."""

    code = dorm.CharField(max_length=20, primary_key=True)
    label = dorm.CharField(max_length=20, unique=True)
    parent = dorm.ForeignKey("self", null=True, on_delete=dorm.SET_NULL)
    leads = dorm.ForeignKey("self", null=True, to_field="label", related_name="led", on_delete=dorm.SET_NULL)
    depth = dorm.IntegerField(default=5)
    owner = dorm.ForeignKey(Folder, null=True, on_delete=dorm.SET_NULL)

    class Meta:
        app_label = "trees"


class Limb(dorm.Model):
    """Keys are UUIDs, and the table's columns have other names than the fields."""

    key = dorm.UUIDField(primary_key=True, default=uuid.uuid4, db_column="limb_key")
    grown = dorm.DateTimeField(null=True, db_column="grown_at")
    upper = dorm.ForeignKey("self", null=True, on_delete=dorm.CASCADE, db_column="upper_limb")

    class Meta:
        app_label = "trees"


class Pair(dorm.Model):
    pk: Any = dorm.CompositePrimaryKey("a", "b")
    a = dorm.IntegerField()
    b = dorm.IntegerField()

    class Meta:
        app_label = "trees"


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, Any]) -> None:
    create_tables([Folder, Shelf, Named, Limb, Pair])


@pytest.fixture
def folders(tables: None) -> dict[str, Folder]:
    made: dict[str, Folder] = {}
    for name, parent in (("root", None), ("a", "root"), ("b", "root"), ("a1", "a"), ("a2", "a"), ("deep", "a1")):
        made[name] = Folder.objects.create(name=name, parent=made.get(parent or ""))
    return made


async def test_descendants_and_ancestors(face: Face, folders: dict[str, Folder]) -> None:
    below = await face(tree.descendants)(Folder, parent_field="parent", root_pk=folders["a"].pk)
    assert [(row["name"], row["depth"]) for row in below] == [("a", 0), ("a1", 1), ("a2", 1), ("deep", 2)]
    above = await face(tree.ancestors)(Folder, parent_field="parent", leaf_pk=folders["deep"].pk, fields=["name"])
    assert above == [{"name": name, "depth": depth} for depth, name in enumerate(("deep", "a1", "a", "root"))]
    assert await face(tree.descendants)(Folder, parent_field="parent", root_pk=-1) == []


async def test_the_cte_of_a_tree(face: Face, folders: dict[str, Folder]) -> None:
    cte = tree.descendants_cte(Folder, parent_field="parent", root_pk=folders["a"].pk, cte_name="below")
    found = Folder.objects.with_cte(below=cte).filter(pk__in=RawSQL("SELECT id FROM below"))
    assert names(await face.rows(found.order_by("name"))) == ["a", "a1", "a2", "deep"]
    assert await face(found.exclude(name="a").update)(name="x") == 3
    up = tree.ancestors_cte(Folder, parent_field="parent", leaf_pk=folders["b"].pk)
    assert (
        await face(Folder.objects.with_cte(ancestors=up).filter(pk__in=RawSQL("SELECT id FROM ancestors")).count)() == 2
    )


async def test_a_cycle_ends(face: Face, folders: dict[str, Folder]) -> None:
    await face(Folder.objects.filter(name="a").update)(parent=folders["deep"])
    below = await face(tree.descendants)(Folder, parent_field="parent", root_pk=folders["a"].pk)
    assert sorted(row["name"] for row in below) == ["a", "a1", "a2", "deep"]
    marked = await face(tree.descendants)(Folder, parent_field="parent", root_pk=folders["a"].pk, cycle_field="again")
    assert [row["name"] for row in marked if row["again"]] == ["a"]


async def test_keys_of_any_text(face: Face) -> None:
    # Each would close a cycle for a pattern, for a comparison without case, or where keys are only strung together.
    keys = ["a", "A", "a_b", "axb", "a%b", "x/y", "y", "~1", "/", "~", "é"]
    above = None
    for number, key in enumerate(keys):
        await face(Named.objects.create)(code=key, label=f"l{number}", parent_id=above)
        above = key
    below = await face(tree.descendants)(Named, parent_field="parent", root_pk="a", fields=["code"])
    assert below == [{"code": key, "depth": depth} for depth, key in enumerate(keys)]
    up = await face(tree.ancestors)(Named, parent_field="parent", leaf_pk="é", fields=["pk"])
    assert [row["code"] for row in up] == keys[::-1]
    await face(Named.objects.filter(code="a").update)(parent="é")
    assert len(await face(tree.descendants)(Named, parent_field="parent", root_pk="a", fields=["code"])) == len(keys)


async def test_a_foreign_key_to_another_column_and_a_key_by_name(face: Face) -> None:
    for code, label, leads in (("k1", "one", None), ("k2", "two", "one"), ("k3", "three", "two")):
        await face(Named.objects.create)(code=code, label=label, leads_id=leads)
    below = await face(tree.descendants)(Named, parent_field="leads", root_pk="k1", fields=["code"])
    assert [row["code"] for row in below] == ["k1", "k2", "k3"]
    below = await face(tree.descendants)(
        Named, parent_field="leads", root_pk="two", fields=["code", "leads"], pk_column="label"
    )
    assert [(row["code"], row["leads_id"]) for row in below] == [("k2", "one"), ("k3", "two")]


async def test_a_tree_of_a_child_model(face: Face) -> None:
    top = await face(Shelf.objects.create)(name="top", room="x")
    await face(Shelf.objects.create)(name="low", room="y", above=top)
    below = await face(tree.descendants)(Shelf, parent_field="above", root_pk=top.pk)
    assert [(row["room"], row["depth"]) for row in below] == [("x", 0), ("y", 1)]
    for wrong in ({"parent_field": "parent"}, {"parent_field": "above", "fields": ["name"]}):
        with pytest.raises(dorm.FieldError, match="no column of the table trees_shelf"):
            await face(tree.descendants)(Shelf, root_pk=top.pk, **wrong)


async def test_what_is_refused(face: Face) -> None:
    wrong: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
        (dorm.FieldDoesNotExist, "no field named 'nope'", Folder, {"parent_field": "nope"}),
        (dorm.FieldDoesNotExist, "no field named 'nope'", Folder, {"parent_field": "parent", "fields": ["nope"]}),
        (ValueError, "Named.owner leads to Folder", Named, {"parent_field": "owner", "fields": ["code"]}),
        (ValueError, "column 'depth' itself", Named, {"parent_field": "parent"}),
        (ValueError, "column 'name' itself", Folder, {"parent_field": "parent", "cycle_field": "name"}),
        (ValueError, "Column aliases cannot contain", Folder, {"parent_field": "parent", "cycle_field": 'x"; --'}),
        (ValueError, "key of several columns", Pair, {"parent_field": "a"}),
    ]
    for error, match, model, given in wrong:
        with pytest.raises(error, match=match):
            await face(tree.descendants)(model, root_pk=1, **given)
        with pytest.raises(error, match=match):
            await face(tree.ancestors)(model, leaf_pk=1, **given)
    with pytest.raises(ValueError, match="Column aliases cannot contain"):
        tree.descendants_cte(Folder, parent_field="parent", root_pk=1, cte_name="x y")


async def test_moved_nodes(face: Face, folders: dict[str, Folder]) -> None:
    async def below(name: str) -> list[tuple[str, int]]:
        rows = await face(tree.descendants)(Folder, parent_field="parent", root_pk=folders[name].pk)
        return sorted((row["name"], row["depth"]) for row in rows)

    folders["a1"].parent = folders["b"]
    await face(folders["a1"].save)()
    assert await below("a") == [("a", 0), ("a2", 1)]
    assert await below("b") == [("a1", 1), ("b", 0), ("deep", 2)]
    async with face.atomic():
        await face(Folder.objects.filter(name="b").update)(parent=None)
        assert await below("b") == [("a1", 1), ("b", 0), ("deep", 2)], "the rows of the open transaction"
    assert await below("root") == [("a", 1), ("a2", 2), ("root", 0)]
    up = await face(tree.ancestors)(Folder, parent_field="parent", leaf_pk=folders["deep"].pk)
    assert [row["name"] for row in up] == ["deep", "a1", "b"]
    await face(folders["a1"].delete)()
    assert await below("b") == [("b", 0)]
    assert await below("deep") == [("deep", 0)]


async def test_a_row_that_is_its_own_parent_and_a_long_chain(face: Face, tables: None) -> None:
    own = await face(Folder.objects.create)(name="own")
    await face(Folder.objects.filter(pk=own.pk).update)(parent=own)
    await face(Folder.objects.create)(name="child", parent=own)
    for walk, start in ((tree.descendants, "root_pk"), (tree.ancestors, "leaf_pk")):
        rows = await face(walk)(Folder, parent_field="parent", **{start: own.pk}, fields=["name"])
        assert rows[0] == {"name": "own", "depth": 0}
        assert len(rows) == (2 if walk is tree.descendants else 1)
        marked = await face(walk)(
            Folder, parent_field="parent", **{start: own.pk}, fields=["name"], cycle_field="again"
        )
        assert {"name": "own", "depth": 1, "again": True} in marked
        assert {"name": "own", "depth": 0, "again": False} in marked
    chain = [Folder(pk=1000 + n, name=f"n{n}", parent_id=999 + n if n else None) for n in range(300)]
    await face(Folder.objects.bulk_create)(chain)
    rows = await face(tree.descendants)(Folder, parent_field="parent", root_pk="1000", fields=["pk"])
    assert [row["depth"] for row in rows] == list(range(300))
    assert [row["id"] for row in rows] == list(range(1000, 1300))


async def test_the_depth_of_a_cte_is_a_column_to_ask_for(face: Face, folders: dict[str, Folder]) -> None:
    cte = tree.descendants_cte(
        Folder, parent_field="parent", root_pk=folders["root"].pk, fields=["pk"], cycle_field="again"
    )
    start = Folder.objects.with_cte(descendants=cte)
    near = start.filter(pk__in=RawSQL("SELECT id FROM descendants WHERE depth <= %s", (1,)))
    assert sorted(names(await face.rows(near))) == ["a", "b", "root"]
    depth = RawSQL(
        "(SELECT depth FROM descendants WHERE descendants.id = trees_folder.id)", output_field=dorm.IntegerField()
    )
    deep = start.annotate(depth=depth).filter(depth__gte=2).order_by("-depth", "name")
    assert await face.rows(deep.values_list("name", "depth")) == [("deep", 3), ("a1", 2), ("a2", 2)]
    assert await face(near.filter(pk__in=RawSQL("SELECT id FROM descendants WHERE again = 1")).count)() == 0
    assert (await face(near.exclude(name="root").delete)())[0] == 2


async def test_values_are_those_of_the_fields(face: Face, tables: None) -> None:
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9)
    top = await face(Limb.objects.create)(grown=moment)
    low = await face(Limb.objects.create)(upper=top)
    for start in (top.pk, str(top.pk)):
        below = await face(tree.descendants)(Limb, parent_field="upper", root_pk=start)
        assert below == [
            {"key": top.pk, "grown": moment, "upper_id": None, "depth": 0},
            {"key": low.pk, "grown": None, "upper_id": top.pk, "depth": 1},
        ]
    above = await face(tree.ancestors)(Limb, parent_field="upper", leaf_pk=low.pk, fields=["grown"])
    assert above == [{"grown": None, "depth": 0}, {"grown": moment, "depth": 1}]
    cte = tree.ancestors_cte(Limb, parent_field="upper", leaf_pk=low.pk, cte_name="up")
    assert await face(Limb.objects.with_cte(up=cte).filter(pk__in=RawSQL("SELECT limb_key FROM up")).count)() == 2
    with pytest.raises(dorm.InvalidValue):
        await face(tree.descendants)(Limb, parent_field="upper", root_pk="no key")
