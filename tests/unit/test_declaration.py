"""Declaring models: what is inherited, what ``Meta`` takes, what is refused."""

from __future__ import annotations

import pytest

import dorm
from dorm.conf.registry import Registry


def meta(**options: object) -> type:
    """Return a Meta in an app and registry of the test's own."""
    return type("Meta", (), {"app_label": "declared", "apps": Registry(), **options})


def test_abstract_fields_are_copied_and_meta_is_inherited() -> None:
    class Named(dorm.Model):
        name = dorm.CharField(max_length=10)
        Meta = meta(abstract=True, ordering=["name"], verbose_name="thing")

    class Child(Named):
        age = dorm.IntegerField()

    assert [field.name for field in Child._meta.fields] == ["id", "name", "age"]
    assert Child._meta.get_field("name") is not Named._meta.get_field("name")
    assert Child._meta.get_field("name").model is Child
    assert Child._meta.ordering == ["name"]
    assert Child._meta.verbose_name == "thing"
    assert not Child._meta.abstract
    assert Child._meta.app_label == "declared"


def test_meta_of_a_child_may_extend_the_parents() -> None:
    class Base(dorm.Model):
        name = dorm.CharField(max_length=10)
        Meta = meta(abstract=True, ordering=["name"])

    class Child(Base):
        class Meta(Base.Meta):
            db_table = "kids"

    assert (Child._meta.ordering, Child._meta.db_table, Child._meta.abstract) == (["name"], "kids", False)


def test_fields_of_abstract_parents_can_be_replaced_and_removed() -> None:
    class Base(dorm.Model):
        name = dorm.CharField(max_length=10)
        age = dorm.IntegerField()
        Meta = meta(abstract=True)

    class Child(Base):
        name = dorm.TextField()
        age = None  # type: ignore[assignment]

    assert [type(field).__name__ for field in Child._meta.fields] == ["BigAutoField", "TextField"]
    assert Child.age is None


def test_several_abstract_parents_and_plain_mixins() -> None:
    class Mixin:
        def shout(self) -> str:
            return str(self.name).upper()  # type: ignore[attr-defined]

    class One(dorm.Model):
        name = dorm.CharField(max_length=10)
        Meta = meta(abstract=True, ordering=["name"])

    class Two(dorm.Model):
        size = dorm.IntegerField(default=3)
        Meta = meta(abstract=True)

    class Both(Mixin, One, Two):
        pass

    assert [field.name for field in Both._meta.fields] == ["id", "name", "size"]
    assert Both._meta.ordering == ["name"]
    assert Both(name="x").shout() == "X"


def test_an_abstract_model_makes_no_instances_and_has_no_manager() -> None:
    class Base(dorm.Model):
        Meta = meta(abstract=True)

    with pytest.raises(TypeError, match="Abstract models cannot be instantiated"):
        Base()
    with pytest.raises(AttributeError):
        Base.objects


def test_abstract_child_of_an_abstract_model() -> None:
    class A(dorm.Model):
        x = dorm.IntegerField()
        Meta = meta(abstract=True, ordering=["x"])

    class B(A):
        y = dorm.IntegerField()

        class Meta(A.Meta):
            abstract = True

    class C(B):
        pass

    assert B._meta.abstract
    assert [field.name for field in C._meta.fields] == ["id", "x", "y"]
    assert C._meta.ordering == ["x"]


def test_a_proxy_shares_table_and_fields() -> None:
    class Person(dorm.Model):
        name = dorm.CharField(max_length=10)
        Meta = meta()

    class Sorted(Person):
        Meta = meta(proxy=True, ordering=["name"])

    assert Sorted._meta.proxy
    assert Sorted._meta.concrete_model is Person
    assert Sorted._meta.db_table == Person._meta.db_table
    assert Sorted._meta.fields == Person._meta.fields
    assert Sorted._meta.pk is Person._meta.pk
    assert Sorted._meta.link_to(Person) == ()
    assert issubclass(Sorted.DoesNotExist, Person.DoesNotExist)
    assert Sorted(pk=1) == Person(pk=1)


def test_wrong_proxies_are_refused() -> None:
    class Person(dorm.Model):
        Meta = meta()

    class Other(dorm.Model):
        Meta = meta()

    class Fields(dorm.Model):
        x = dorm.IntegerField()
        Meta = meta(abstract=True)

    with pytest.raises(dorm.FieldError, match="contains model fields: x"):
        type("P", (Person,), {"__module__": __name__, "x": dorm.IntegerField(), "Meta": meta(proxy=True)})
    with pytest.raises(TypeError, match="has no non-abstract model base class"):
        type("P", (dorm.Model,), {"__module__": __name__, "Meta": meta(proxy=True)})
    with pytest.raises(TypeError, match="more than one non-abstract model base class"):
        type("P", (Person, Other), {"__module__": __name__, "Meta": meta(proxy=True)})
    with pytest.raises(TypeError, match="Abstract base class containing model fields not permitted"):
        type("P", (Fields, Person), {"__module__": __name__, "Meta": meta(proxy=True)})


def test_unknown_and_contradicting_options_are_refused() -> None:
    with pytest.raises(dorm.ImproperlyConfigured, match=r"no option 'ordring'. Did you mean 'ordering'"):
        type("M", (dorm.Model,), {"__module__": __name__, "Meta": meta(ordring=["x"])})
    with pytest.raises(dorm.ImproperlyConfigured, match="ordering takes a list or a tuple, not str"):
        type("M", (dorm.Model,), {"__module__": __name__, "Meta": meta(ordering="x")})
    with pytest.raises(dorm.FieldError, match="ordering names 'nope'"):
        type("M", (dorm.Model,), {"__module__": __name__, "Meta": meta(ordering=["nope"])})
    with pytest.raises(dorm.ImproperlyConfigured, match="no manager named 'nope'"):
        type("M", (dorm.Model,), {"__module__": __name__, "Meta": meta(default_manager_name="nope")})
    with pytest.raises(dorm.ImproperlyConfigured, match="no manager named 'nope'"):
        type("M", (dorm.Model,), {"__module__": __name__, "Meta": meta(base_manager_name="nope")})


def test_options_have_defaults() -> None:
    class HTTPLog(dorm.Model):
        Meta = meta()

    options = HTTPLog._meta
    assert (options.verbose_name, options.verbose_name_plural) == ("http log", "http logs")
    assert (options.db_table, options.label, options.label_lower) == (
        "declared_httplog",
        "declared.HTTPLog",
        "declared.httplog",
    )
    assert options.default_permissions == ("add", "change", "delete", "view")
    assert (options.permissions, options.get_latest_by, options.select_on_save) == ([], None, False)
    assert (options.managed, options.proxy, options.read_only) == (True, False, False)


def test_get_field_knows_names_attributes_and_reverse_relations() -> None:
    apps = Registry()

    class Author(dorm.Model):
        name = dorm.CharField(max_length=10)
        Meta = meta(apps=apps)

    class Book(dorm.Model):
        author = dorm.ForeignKey(Author)
        Meta = meta(apps=apps)

    assert Book._meta.get_field("author") is Book._meta.get_field("author_id")
    assert Author._meta.get_field("book").target is Book
    assert [relation.name for relation in Author._meta.related_objects] == ["book"]
    assert [each.name for each in Author._meta.get_fields()] == ["book", "id", "name"]
    assert set(Author._meta.fields_map) >= {"book", "id", "name"}
    with pytest.raises(dorm.FieldDoesNotExist, match="Author has no field named 'nope'"):
        Author._meta.get_field("nope")


def test_clashing_fields_are_refused() -> None:
    with pytest.raises(dorm.FieldError, match="has the column 'x', which 'x' uses"):
        type(
            "M",
            (dorm.Model,),
            {
                "__module__": __name__,
                "Meta": meta(),
                "x": dorm.IntegerField(),
                "y": dorm.IntegerField(db_column="x"),
            },
        )
    with pytest.raises(dorm.ImproperlyConfigured, match="two primary keys"):
        type(
            "M",
            (dorm.Model,),
            {
                "__module__": __name__,
                "Meta": meta(),
                "x": dorm.IntegerField(primary_key=True),
                "y": dorm.IntegerField(primary_key=True),
            },
        )
    with pytest.raises(dorm.ImproperlyConfigured, match="a field named 'objects'"):
        type("M", (dorm.Model,), {"__module__": __name__, "Meta": meta(), "objects": dorm.IntegerField()})


def test_managers_are_inherited_in_order() -> None:
    class First(dorm.Manager):  # type: ignore[type-arg]
        pass

    class Second(dorm.Manager):  # type: ignore[type-arg]
        pass

    class Base(dorm.Model):
        things = First()
        Meta = meta(abstract=True)

    class Child(Base):
        others = Second()

    class Plain(Base):
        pass

    class Chosen(Base):
        others = Second()
        Meta = meta(default_manager_name="things")

    class Hidden(Base):
        things = None

    assert [manager.name for manager in Child._meta.managers] == ["others", "things"]
    assert isinstance(Child._default_manager, Second)
    assert isinstance(Plain._default_manager, First)
    assert isinstance(Chosen._default_manager, First)
    assert not hasattr(Child, "objects")
    assert Plain.things.model is Plain  # type: ignore[comparison-overlap]
    assert Child.things.model is Child  # type: ignore[comparison-overlap]
    assert Hidden.things is None
    assert isinstance(Hidden._default_manager, First)
    assert not hasattr(Hidden, "objects")
    assert type(Plain._base_manager) is dorm.Manager
    with pytest.raises(AttributeError, match="Plain instances"):
        Plain().things
    with pytest.raises(AttributeError, match="is abstract"):
        Base.things


def test_a_manager_made_from_a_queryset_hands_on_its_public_methods() -> None:
    class Rows(dorm.QuerySet):  # type: ignore[type-arg]
        def old(self) -> Rows:
            return self

        def _private(self) -> None: ...

        def hidden(self) -> None: ...

        hidden.queryset_only = True  # type: ignore[attr-defined]

        def _shown(self) -> int:
            return 1

        _shown.queryset_only = False  # type: ignore[attr-defined]

    made = dorm.Manager.from_queryset(Rows, "Rowed")

    class Thing(dorm.Model):
        objects = made()
        Meta = meta()

    manager = Thing.objects
    assert type(manager).__name__ == "Rowed"
    assert isinstance(manager.old(), Rows)  # type: ignore[attr-defined]
    assert isinstance(manager.filter(pk=1).exclude(pk=2).values("id"), Rows)
    assert manager._shown() == 1  # type: ignore[attr-defined]
    assert not hasattr(manager, "_private")
    assert not hasattr(manager, "hidden")


def test_a_reloaded_class_replaces_the_former_one() -> None:
    apps = Registry()

    def declare() -> type[dorm.Model]:
        class Thing(dorm.Model):
            Meta = meta(apps=apps)

        return Thing

    declare()
    second = declare()
    assert apps.get("declared", "Thing") is second


def test_the_setting_chooses_the_implicit_key() -> None:
    before = dict(dorm.settings._given)
    try:
        dorm.configure(DATABASES={}, DEFAULT_AUTO_FIELD="dorm.fields.SmallAutoField")

        class Small(dorm.Model):
            Meta = meta()

        assert type(Small._meta.pk) is dorm.SmallAutoField
        assert Small._meta.pk.auto_created
        for path, message in (
            ("dorm.fields.Nope", "could not be imported"),
            ("dorm.fields.TextField", "must subclass AutoField"),
        ):
            dorm.configure(DEFAULT_AUTO_FIELD=path)
            with pytest.raises(dorm.ImproperlyConfigured, match=message):
                type("M", (dorm.Model,), {"__module__": __name__, "Meta": meta()})
    finally:
        dorm.settings._given.clear()
        dorm.settings._given.update(before)


def test_a_refused_class_leaves_nothing_behind() -> None:
    apps = Registry()

    class Place(dorm.Model):
        Meta = meta(apps=apps)

    for attributes in (
        {"one": dorm.ForeignKey(Place), "two": dorm.ForeignKey(Place)},
        {"one": dorm.ForeignKey(Place, related_name="refused"), "Meta": meta(apps=apps, ordering=["nope"])},
        {"one": dorm.ForeignKey(Place), "pk": dorm.IntegerField()},
        {"many": dorm.ManyToManyField(Place), "Meta": meta(apps=apps, ordering=["nope"])},
        {"one": dorm.ForeignKey("Later"), "Meta": meta(apps=apps, unique_together=["nope"])},
    ):
        with pytest.raises((dorm.FieldError, dorm.ImproperlyConfigured)):
            type("Refused", (dorm.Model,), {"__module__": __name__, "Meta": meta(apps=apps), **attributes})
    with pytest.raises(dorm.FieldError):
        type("Refused", (Place,), {"__module__": __name__, "Meta": meta(apps=apps, ordering=["nope"])})
    assert Place._meta.relations == {}
    assert Place._meta.heirs == []
    assert not hasattr(Place, "refused_set")
    assert not hasattr(Place, "refused")
    assert apps.all() == [Place]
    assert apps.pending() == []

    class Refused(dorm.Model):
        place = dorm.ForeignKey(Place)
        Meta = meta(apps=apps)

    assert [relation.name for relation in Place._meta.related_objects] == ["refused"]


def test_meta_is_a_class() -> None:
    with pytest.raises(dorm.ImproperlyConfigured, match=r"M.Meta is a class, not int"):
        type("M", (dorm.Model,), {"__module__": __name__, "Meta": 3})
