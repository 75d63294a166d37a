"""Options of foreign keys, and the objects behind them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import dorm
from dorm.migrations.schema import create_tables
from tests.support.faces import Face, names
from tests.support.relations import LINKED, Country, Group, Passport, Person, Post


@pytest.fixture
def tables(empty_database: dict[str, object]) -> None:
    create_tables(LINKED)


_numbers = itertools.count()


def label() -> str:
    return f"keys{next(_numbers)}"


def model(name: str, app: str, bases: tuple[type, ...] = (dorm.Model,), meta: Any = None, **members: Any) -> Any:
    """Declare a model."""
    options = type("Meta", (), {"app_label": app, **(meta or {})})
    return type(dorm.Model)(name, bases, {"__module__": __name__, "Meta": options, **members})


# -- the object and its key --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tables")
async def test_a_key_may_refer_to_another_unique_field(face: Face) -> None:
    at = await face(Country.objects.create)(name="Austria", code="AT")
    ann = await face(Person.objects.create)(name="Ann", country=at)
    assert ann.country_id == "AT"
    found = await face(Person.objects.select_related("country").get)(country=at)
    assert found.country == at
    assert await face.rows(Person.objects.filter(country="AT")) == [ann]
    assert await face.rows(Person.objects.filter(country__in=[at])) == [ann]
    assert await face.rows(Person.objects.filter(country__code="AT", country__name="Austria")) == [ann]
    assert await face.rows(at.people.all()) == [ann]  # type: ignore[attr-defined]  # reverse attributes have no type
    assert await face.rows(Country.objects.filter(people=ann)) == [at]
    (prefetched,) = await face.rows(Country.objects.prefetch_related("people"))
    assert list(prefetched.people.all()) == [ann]


@pytest.mark.usefixtures("tables")
async def test_the_query_name_may_differ_from_the_accessor(face: Face) -> None:
    ann = await face(Person.objects.create)(name="Ann")
    post = await face(Post.objects.create)(title="A", author=ann, editor=ann)
    assert await face.rows(Person.objects.filter(edits__title="A")) == [ann]
    assert await face.rows(ann.edited.all()) == [post]  # type: ignore[attr-defined]  # as above
    with pytest.raises(dorm.FieldError, match="edited"):
        Person.objects.filter(edited__title="A")


@pytest.mark.usefixtures("tables")
async def test_the_cached_object_is_kept_true_to_the_key(face: Face) -> None:
    ann, bob = [await face(Person.objects.create)(name=name) for name in ("Ann", "Bob")]
    post = await face(Post.objects.create)(title="A", author=ann)
    assert post.author is ann
    post.author_id = bob.pk
    await face(post.fetch)("author")
    assert post.author == bob
    post.author = ann
    assert post.author_id == ann.pk
    post.editor = ann
    post.editor = None
    assert (post.editor, post.editor_id) == (None, None)
    with pytest.raises(ValueError, match=r'Cannot assign Post: "Post\.author" must be a "Person" instance'):
        post.author = post  # type: ignore[assignment]  # this is what is refused


async def test_a_required_object_that_is_not_there(backend: str) -> None:
    missing = Post.author.RelatedObjectDoesNotExist
    assert issubclass(missing, Person.DoesNotExist)
    assert issubclass(missing, AttributeError)
    with pytest.raises(missing, match="Post has no author"):
        Post(title="A").author
    assert not hasattr(Post(title="A"), "author")
    assert Post(title="A").editor is None


@pytest.mark.usefixtures("tables")
async def test_an_object_saved_after_it_was_assigned_gives_its_key(face: Face) -> None:
    ann = Person(name="Ann")
    post = Post(title="A", author=ann)
    with pytest.raises(ValueError, match="unsaved related object 'author'"):
        await face(post.save)()
    await face(ann.save)()
    await face(post.save)()
    assert (await face(Post.objects.get)()).author_id == ann.pk


@pytest.mark.usefixtures("tables")
async def test_an_instance_of_another_model_is_no_condition(face: Face) -> None:
    ann = await face(Person.objects.create)(name="Ann")
    with pytest.raises(ValueError, match=r'Cannot query "Person object": Must be "Country" instance'):
        Person.objects.filter(country=ann)
    with pytest.raises(ValueError, match="Must be"):
        Person.objects.filter(country__in=[ann])


# -- related managers --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tables")
async def test_rows_of_the_reverse_carry_their_parent(face: Face) -> None:
    ann = await face(Person.objects.create)(name="Ann")
    await face(Post.objects.create)(title="A", author=ann)
    manager: Any = ann.posts  # type: ignore[attr-defined]  # reverse attributes have no type
    (post,) = await face.rows(manager.filter(title="A"))
    assert post.author is ann
    assert (await face(manager.get)()).author is ann
    assert (await face(manager.first)()).author is ann
    assert (await face.stream(manager.all()))[0].author is ann
    assert await face(manager.values("title").get)() == {"title": "A"}


@pytest.mark.usefixtures("tables")
async def test_add_remove_clear_and_set(face: Face) -> None:
    ann, bob = [await face(Person.objects.create)(name=name) for name in ("Ann", "Bob")]
    one, two, three = [await face(Post.objects.create)(title=title, author=ann) for title in "ABC"]
    edited: Any = ann.edited  # type: ignore[attr-defined]  # as above
    await face(edited.add)(one, two)
    assert one.editor is ann
    assert names(await face.rows(edited.all()), "title") == ["A", "B"]
    await face(edited.remove)(one)
    assert one.editor is None
    with pytest.raises(Person.DoesNotExist, match="is not related"):
        await face(edited.remove)(three)
    await face(edited.set)([two, three])
    assert names(await face.rows(edited.all()), "title") == ["B", "C"]
    await face(edited.set)([one], clear=True, bulk=False)
    assert names(await face.rows(edited.all()), "title") == ["A"]
    await face(edited.clear)(bulk=False)
    assert not await face(edited.exists)()
    posts: Any = bob.posts  # type: ignore[attr-defined]  # as above
    await face(posts.set)([one])
    assert names(await face.rows(posts.all()), "title") == ["A"]
    for refused in ("remove", "clear", "aremove", "aclear"):
        assert not hasattr(posts, refused)
    with pytest.raises(ValueError, match=r"isn't saved\. Use bulk=False"):
        await face(posts.add)(Post(title="D"))
    await face(posts.add)(Post(title="D"), bulk=False)
    with pytest.raises(TypeError, match="'Post' instance expected, got Person"):
        await face(posts.add)(ann)
    with pytest.raises(TypeError, match=r"Use posts\.set\(\) instead"):
        bob.posts = []  # type: ignore[attr-defined]  # this is what is refused
    assert await face(posts.count)() == 2


@pytest.mark.usefixtures("tables")
async def test_rows_that_point_here_are_found_or_made(face: Face) -> None:
    ann, bob = [await face(Person.objects.create)(name=name) for name in ("Ann", "Bob")]
    await face(Post.objects.create)(title="A", author=bob)
    posts: Any = ann.posts  # type: ignore[attr-defined]  # reverse attributes have no type
    post, made = await face(posts.get_or_create)(title="A", defaults={"editor": bob})
    assert (post.author, post.editor, made) == (ann, bob, True)
    assert await face(posts.get_or_create)(title="A") == (post, False)
    changed, made = await face(posts.update_or_create)(title="A", defaults={"editor": None})
    assert (changed.editor_id, made) == (None, False)


@pytest.mark.usefixtures("tables")
async def test_managers_have_the_methods_of_the_models_own(face: Face) -> None:
    ann = await face(Person.objects.create)(name="Ann")
    post = await face(Post.objects.create)(title="A", author=ann)
    manager: Any = ann.posts  # type: ignore[attr-defined]  # reverse attributes have no type
    assert await face.rows(manager.titled("A")) == [post]
    assert await face.rows(manager.titled("B")) == []
    assert await face.rows(manager(manager="objects").all()) == [post]
    assert isinstance(manager, dorm.RelatedManager)


@pytest.mark.usefixtures("tables")
async def test_an_unsaved_instance_has_no_rows(face: Face) -> None:
    manager: Any = Person(name="new").posts  # type: ignore[attr-defined]  # reverse attributes have no type
    for call in (manager.count, manager.create):
        with pytest.raises(ValueError, match="needs to have a primary key value before this relationship"):
            await face(call)()


# -- declaration -------------------------------------------------------------------------------------------------


def test_self_means_the_class_itself_whoever_else_has_its_name() -> None:
    one, two = label(), label()
    model("Node", one)
    node = model("Node", two, parent=dorm.ForeignKey("self", null=True), links=dorm.ManyToManyField("self"))
    assert node.parent.target is node
    assert node.links.target is node


def test_a_name_that_is_declared_later() -> None:
    app = label()
    book = model("Book", app, author=dorm.ForeignKey("Composer", related_name="books"))
    with pytest.raises(dorm.ImproperlyConfigured, match="'Composer', which is no model yet"):
        book.author.target
    author = model("Composer", app)
    assert book.author.target is author
    assert author.books.rel is book.author.remote_field
    with_app = model("Other", app, author=dorm.ForeignKey(f"{app}.Composer"))
    assert with_app.author.target is author


def test_names_of_the_reverse_by_class() -> None:
    app = label()
    target = model("Target", app)
    key = dorm.ForeignKey(target, related_name="%(app_label)s_%(class)s_all", related_query_name="%(model_name)s_q")
    base = model("Base", app, meta={"abstract": True}, target=key)
    one, two = model("One", app, (base,)), model("Two", app, (base,))
    assert hasattr(target, f"{app}_one_all")
    assert hasattr(target, f"{app}_two_all")
    assert {"one_q", "two_q"} <= set(target._meta.relations)
    assert one.target.remote_field.related_model is one
    assert two.target.field is two.target


def test_a_plus_leaves_the_other_end_without_a_name() -> None:
    app = label()
    target = model("Target", app)
    model("One", app, target=dorm.ForeignKey(target, related_name="+"))
    assert not hasattr(target, "one_set")
    with pytest.raises(dorm.FieldError):
        target.objects.filter(one=1)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"one": {}, "two": {}}, "clashes"),
        ({"one": {"related_name": "title"}}, "clashes with"),
        ({"one": {"related_name": "x"}, "two": {"related_name": "x", "related_query_name": "y"}}, "accessor of"),
        ({"one": {"related_name": "not an identifier"}}, "is no Python identifier"),
        ({"one": {"related_name": "two__in"}}, "must not end with an underscore or contain two"),
    ],
)
def test_clashing_names_are_refused(members: dict[str, Any], message: str) -> None:
    app = label()
    target = model("Target", app, title=dorm.CharField(max_length=10))
    keys = {name: dorm.ForeignKey(target, **options) for name, options in members.items()}
    with pytest.raises(dorm.ImproperlyConfigured, match=message):
        model("Pointing", app, **keys)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"on_delete": "CASCADE"}, TypeError, "on_delete takes CASCADE"),
        ({"on_delete": dorm.SET_NULL}, dorm.ImproperlyConfigured, "needs null=True"),
        ({"on_delete": dorm.SET_DEFAULT}, dorm.ImproperlyConfigured, "needs a default"),
    ],
)
def test_contradicting_options_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dorm.ForeignKey("Person", **options)
    with pytest.raises(TypeError, match="first argument"):
        dorm.ForeignKey(int)  # type: ignore[arg-type, type-var]  # this is what is refused


def test_relations_as_the_model_lists_them() -> None:
    meta = Person._meta
    found = {relation.get_accessor_name(): relation for relation in meta.related_objects}
    assert found["posts"].related_model is Post
    assert found["posts"].field is Post.author
    assert (found["posts"].one_to_many, found["passport"].one_to_one, found["groups"].many_to_many) == (
        True,
        True,
        True,
    )
    assert repr(found["posts"]) == "<ManyToOneRel: links.post>"
    assert Post._meta.get_field("author").many_to_one
    assert Post._meta.get_field("tags").remote_field.through is Post.tags.through
    assert [field.name for field in Post._meta.many_to_many] == ["tags", "hidden"]


def test_no_constraint_lets_keys_dangle(empty_database: dict[str, object]) -> None:
    app = label()
    target = model("Target", app)
    loose = model("Loose", app, target=dorm.ForeignKey(target, db_constraint=False, null=True))
    create_tables([target, loose])
    row = loose.objects.create(target_id=99)
    with pytest.raises(target.DoesNotExist, match="Target matching query does not exist"):
        loose.objects.get(pk=row.pk).target


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Post.editor, {"to": "links.person", "on_delete": dorm.SET_NULL, "related_name": "edited"}),
        (Person.country, {"to": "links.country", "to_field": "code", "null": True}),
        (Passport.person, {"to": "links.person", "on_delete": dorm.CASCADE}),
        (Post.hidden, {"to": "links.tag", "related_name": "+", "db_table": "links_hidden"}),
        (Group.members, {"through": "links.membership", "through_fields": ("group", "person")}),
        (Person.follows, {"related_name": "followers", "symmetrical": False}),
    ],
)
def test_relations_are_taken_apart_and_made_again(field: Any, expected: dict[str, Any]) -> None:
    _name, path, args, kwargs = field.deconstruct()
    assert expected.items() <= kwargs.items()
    assert "unique" not in kwargs
    made = type(field)(*args, **kwargs)
    assert made.deconstruct()[1:] == (path, args, kwargs)


@pytest.mark.usefixtures("tables")
async def test_of_an_object_and_a_key_the_key_decides(face: Face) -> None:
    ann, bob = [await face(Person.objects.create)(name=name) for name in ("Ann", "Bob")]
    for values in ({"author": ann, "author_id": bob.pk}, {"author_id": bob.pk, "author": ann}):
        post = Post(title="A", **values)
        assert post.author_id == bob.pk
        await face(post.save)()
        assert (await face(Post.objects.select_related("author").get)(pk=post.pk)).author == bob
    assert Post(author=Person(name="new"), author_id=bob.pk).author_id == bob.pk
    assert Post(author=None, author_id=bob.pk).author_id == bob.pk
    assert Post(author=ann, author_id=None).author_id is None
    kept = Post(author=ann, author_id=ann.pk)
    assert kept.author is ann
    assert (await face(Post.objects.create)(title="B", author=ann, author_id=bob.pk)).author_id == bob.pk
    with pytest.raises(ValueError, match="Cannot assign"):
        Post(author=Country(name="Austria"), author_id=bob.pk)
    with pytest.raises(TypeError, match="both positional and keyword"):
        Post(1, "A", ann.pk, author=ann)
