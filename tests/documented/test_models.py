"""The pages "Models", "Model Meta options" and "Model instance reference"."""

from __future__ import annotations

import copy
import datetime
import pickle
from typing import Any

import pytest

import dorm
from dorm import F, Q
from tests.support.faces import Face


class Person(dorm.Model):
    class ShirtSize(dorm.TextChoices):
        SMALL = "S", "Small"
        MEDIUM = "M", "Medium"
        LARGE = "L"

    first_name = dorm.CharField(max_length=30)
    last_name = dorm.CharField("family name", max_length=30, blank=True)
    shirt_size = dorm.CharField(max_length=1, choices=ShirtSize, default=ShirtSize.SMALL)
    born = dorm.DateField(null=True, blank=True)
    friends = dorm.ManyToManyField("self", blank=True)

    class Meta:
        app_label = "doc_models"
        ordering = ["last_name", "first_name"]
        get_latest_by = "born"
        verbose_name_plural = "people"

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}"


class Group(dorm.Model):
    name = dorm.CharField(max_length=128, unique=True)
    members = dorm.ManyToManyField(
        Person, through="Membership", through_fields=("group", "person"), related_name="member_of"
    )

    class Meta:
        app_label = "doc_models"


class Membership(dorm.Model):
    group = dorm.ForeignKey(Group, on_delete=dorm.CASCADE)
    person = dorm.ForeignKey(Person, on_delete=dorm.CASCADE)
    inviter = dorm.ForeignKey(Person, on_delete=dorm.CASCADE, related_name="membership_invites")
    invite_reason = dorm.CharField(max_length=64, default="")
    date_joined = dorm.DateField(default=datetime.date(2020, 1, 1))

    class Meta:
        app_label = "doc_models"
        constraints = [dorm.UniqueConstraint(fields=["person", "group"], name="unique_person_group")]


class CommonInfo(dorm.Model):
    name = dorm.CharField(max_length=100)
    age = dorm.PositiveIntegerField(default=1)
    nicks = dorm.ManyToManyField(
        Person, related_name="%(app_label)s_%(class)s_related", related_query_name="%(class)ss"
    )

    class Meta:
        app_label = "doc_models"
        abstract = True
        ordering = ["name"]


class Student(CommonInfo):
    home_group = dorm.CharField(max_length=5)

    class Meta(CommonInfo.Meta):
        db_table = "student_info"


class Teacher(CommonInfo):
    age = None  # a field of an abstract base can be taken away


class Place(dorm.Model):
    name = dorm.CharField(max_length=50)
    address = dorm.CharField(max_length=80, default="")

    class Meta:
        app_label = "doc_models"

    def __str__(self) -> str:
        return self.name


class Restaurant(Place):
    serves_hot_dogs = dorm.BooleanField(default=False)
    serves_pizza = dorm.BooleanField(default=False)

    class Meta:
        app_label = "doc_models"


class Pizzeria(Restaurant):
    oven = dorm.CharField(max_length=20, default="wood")

    class Meta:
        app_label = "doc_models"


class Waiter(dorm.Model):
    restaurant = dorm.ForeignKey(Restaurant, dorm.CASCADE, related_name="waiters")
    name = dorm.CharField(max_length=50)

    class Meta:
        app_label = "doc_models"


class MyPerson(Person):
    class Meta:
        app_label = "doc_models"
        proxy = True
        ordering = ["-first_name"]

    def shout(self) -> str:
        return self.first_name.upper()


class Question(dorm.Model):
    text = dorm.TextField()

    class Meta:
        app_label = "doc_models"


class Answer(dorm.Model):
    question = dorm.ForeignKey(Question, on_delete=dorm.CASCADE)
    text = dorm.TextField()

    class Meta:
        app_label = "doc_models"
        order_with_respect_to = "question"


class Product(dorm.Model):
    name = dorm.CharField(max_length=20)
    code = dorm.CharField(max_length=10, primary_key=True)
    price = dorm.DecimalField(max_digits=6, decimal_places=2, default="1.00")
    made = dorm.DateTimeField(auto_now_add=True)
    changed = dorm.DateTimeField(auto_now=True)
    stock = dorm.IntegerField(db_default=5)
    double = dorm.GeneratedField(expression=F("stock") * 2, output_field=dorm.IntegerField(), db_persist=True)

    class Meta:
        app_label = "doc_models"


MODELS = (
    Person,
    Group,
    Membership,
    Student,
    Teacher,
    Place,
    Restaurant,
    Pizzeria,
    Waiter,
    Question,
    Answer,
    Product,
)


# -- fields and options --------------------------------------------------------------------------------------------


def test_choices_and_labels() -> None:
    person = Person(first_name="Fred", shirt_size="L")
    assert person.get_shirt_size_display() == "Large"
    assert Person(shirt_size="?").get_shirt_size_display() == "?"
    assert Person().shirt_size == "S"
    assert Person.ShirtSize.choices == [("S", "Small"), ("M", "Medium"), ("L", "Large")]
    assert Person.ShirtSize.MEDIUM.label == "Medium"
    assert Person.ShirtSize.values == ["S", "M", "L"]
    assert Person.ShirtSize.names == ["SMALL", "MEDIUM", "LARGE"]
    assert str(Person.ShirtSize.SMALL) == "S"
    assert Person.ShirtSize("M") is Person.ShirtSize.MEDIUM


def test_meta_api() -> None:
    meta = Person._meta
    assert meta.verbose_name_plural == "people"
    assert meta.get_field("last_name").verbose_name == "family name"
    assert meta.get_field("first_name").verbose_name == "first name"
    assert meta.label == "doc_models.Person"
    assert meta.label_lower == "doc_models.person"
    assert [f.name for f in meta.many_to_many] == ["friends"]
    assert meta.pk.name == "id"
    with pytest.raises(dorm.FieldDoesNotExist):
        meta.get_field("nothing")
    assert Student._meta.db_table == "student_info"
    assert Student._meta.ordering == ["name"]
    assert "age" not in [f.name for f in Teacher._meta.get_fields()]
    assert MyPerson._meta.concrete_model is Person
    assert MyPerson._meta.proxy


def test_constructor_checks_its_arguments() -> None:
    with pytest.raises(TypeError, match="unexpected"):
        Person(nothing=1)
    person = Person(None, "Ann", "Lee")
    assert (person.pk, person.first_name, person.last_name) == (None, "Ann", "Lee")
    with pytest.raises(IndexError):
        Person(*range(20))
    assert Person(pk=5).id == 5
    assert repr(Person(first_name="A", last_name="B")) == "<Person: A B>"
    assert str(Question()) == "Question object (None)"
    assert str(Question(pk=3)) == "Question object (3)"
    assert Person(first_name="A", last_name="B").full_name == "A B"


def test_equality_and_hash() -> None:
    assert Question(pk=1) == Question(pk=1)
    assert Question(pk=1) != Question(pk=2)
    assert Question() != Question()
    same = Question()
    assert same == same
    assert MyPerson(pk=1) == Person(pk=1)
    assert Restaurant(pk=1) != Place(pk=1)
    assert hash(Question(pk=1)) == hash(Question(pk=1))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Question())


# -- saving --------------------------------------------------------------------------------------------------------


async def test_auto_dates_db_default_and_generated(face: Face) -> None:
    product = await face(Product.objects.create)(code="a", name="A")
    assert (product.stock, product.double) == (5, 10)
    assert product.made is not None
    made, changed = product.made, product.changed
    product.stock = 7
    await face(product.save)()
    assert product.made == made
    assert product.changed >= changed
    await face(product.refresh_from_db)()
    assert product.double == 14
    assert await face(Product.objects.filter(double=14).count)() == 1
    with pytest.raises((AttributeError, ValueError, TypeError)):
        product.double = 3


async def test_saving_rules(face: Face) -> None:
    product = Product(code="x", name="X")
    assert product._state.adding
    await face(product.save)()
    assert not product._state.adding
    assert product._state.db == "default"
    product.name = "changed"
    product.price = 9
    await face(product.save)(update_fields=["name"])
    found = await face(Product.objects.get)(code="x")
    assert (found.name, str(found.price)) == ("changed", "1.00")
    await face(found.save)(update_fields=[])
    with pytest.raises(ValueError, match=r"do not exist|names"):
        await face(found.save)(update_fields=["nope"])
    with pytest.raises(dorm.DatabaseError):
        await face(Product(code="new", name="n").save)(update_fields=["name"])
    with pytest.raises(dorm.IntegrityError):
        await face(Product(code="x", name="n").save)(force_insert=True)
    with pytest.raises(ValueError):
        await face(found.save)(force_insert=True, force_update=True)
    only = await face(Product.objects.only("name").get)(code="x")
    only.name = "again"
    await face(only.save)()
    assert (await face(Product.objects.get)(code="x")).stock == 5


async def test_refresh_from_db(face: Face) -> None:
    product = await face(Product.objects.create)(code="x", name="X")
    await face(Product.objects.filter(pk="x").update)(name="Y", stock=8)
    await face(product.refresh_from_db)(fields=["name"])
    assert (product.name, product.stock) == ("Y", 5)
    await face(product.refresh_from_db)()
    assert product.stock == 8
    await face(product.refresh_from_db)(from_queryset=Product.objects.filter(stock=8))
    with pytest.raises(Product.DoesNotExist):
        await face(product.refresh_from_db)(from_queryset=Product.objects.filter(stock=9))


async def test_deleting_an_instance(face: Face) -> None:
    product = await face(Product.objects.create)(code="x", name="X")
    assert await face(product.delete)() == (1, {"doc_models.Product": 1})
    question = await face(Question.objects.create)(text="q")
    await face(question.delete)()
    assert question.pk is None
    with pytest.raises(ValueError, match=r"None|key"):
        await face(question.delete)()


async def test_pickle_and_copy(face: Face) -> None:
    question = await face(Question.objects.create)(text="q")
    again = pickle.loads(pickle.dumps(question))
    assert again == question
    assert again.text == "q"
    assert again._state.db == "default"
    duplicate = copy.copy(question)
    duplicate.text = "z"
    assert question.text == "q"


async def test_next_and_previous(face: Face) -> None:
    people = [
        await face(Person.objects.create)(first_name=str(day), born=datetime.date(2000, 1, day)) for day in (1, 2, 3)
    ]
    group = await face(Group.objects.create)(name="g")
    await face(Membership.objects.create)(group=group, person=people[0], inviter=people[1])
    assert (await face(Person.objects.latest)()) == people[2]
    membership = await face(Membership.objects.get)()
    with pytest.raises(Membership.DoesNotExist):
        await face(membership.get_next_by_date_joined)()
    other = await face(Membership.objects.create)(
        group=group, person=people[1], inviter=people[0], date_joined=datetime.date(2021, 1, 1)
    )
    assert await face(membership.get_next_by_date_joined)() == other
    assert await face(other.get_previous_by_date_joined)() == membership
    assert not hasattr(people[0], "get_next_by_born")  # nullable dates have none


# -- relationships -------------------------------------------------------------------------------------------------


async def test_extra_fields_on_many_to_many(face: Face) -> None:
    ringo = await face(Person.objects.create)(first_name="Ringo", last_name="Starr")
    paul = await face(Person.objects.create)(first_name="Paul", last_name="McCartney")
    john = await face(Person.objects.create)(first_name="John", last_name="Lennon")
    beatles = await face(Group.objects.create)(name="The Beatles")
    await face(Membership.objects.create)(person=ringo, group=beatles, inviter=paul, invite_reason="drummer")
    assert await face.rows(beatles.members.all()) == [ringo]
    assert await face.rows(ringo.member_of.all()) == [beatles]
    await face(beatles.members.add)(john, through_defaults={"inviter": paul, "date_joined": datetime.date(1960, 8, 1)})
    made = await face(beatles.members.create)(first_name="George", through_defaults={"inviter": paul})
    await face(beatles.members.set)([john, paul, ringo, made], through_defaults={"inviter": paul})
    assert await face(beatles.members.count)() == 4
    await face(beatles.members.remove)(made)
    assert await face(Membership.objects.filter(group=beatles, person=john).count)() == 1
    assert await face.rows(Group.objects.filter(members__first_name__startswith="Paul")) == [beatles]
    assert await face.rows(
        Person.objects.filter(member_of__name="The Beatles", membership__date_joined__lt=datetime.date(1961, 1, 1))
    ) == [john]
    ringos = await face(Membership.objects.get)(group=beatles, person=ringo)
    assert ringos.invite_reason == "drummer"
    ringos = await face(ringo.membership_set.get)(group=beatles)
    assert ringos.invite_reason == "drummer"
    await face(beatles.members.clear)()
    assert await face(Membership.objects.count)() == 0


async def test_symmetrical_self_relation(face: Face) -> None:
    ann = await face(Person.objects.create)(first_name="Ann")
    bob = await face(Person.objects.create)(first_name="Bob")
    await face(ann.friends.add)(bob)
    assert await face.rows(bob.friends.all()) == [ann]
    assert await face.rows(Person.objects.filter(friends=bob)) == [ann]
    await face(bob.friends.remove)(ann)
    assert await face(ann.friends.count)() == 0


async def test_related_names_with_placeholders(face: Face) -> None:
    ann = await face(Person.objects.create)(first_name="Ann")
    student = await face(Student.objects.create)(name="s", home_group="1")
    await face(student.nicks.add)(ann)
    assert await face.rows(ann.doc_models_student_related.all()) == [student]
    assert await face.rows(Person.objects.filter(students__name="s")) == [ann]
    assert await face.rows(Person.objects.filter(teachers__name="s")) == []


# -- inheritance ---------------------------------------------------------------------------------------------------


async def test_multi_table_inheritance(face: Face) -> None:
    place = await face(Place.objects.create)(name="Park")
    rest = await face(Restaurant.objects.create)(name="Bob's Cafe", address="x", serves_pizza=True)
    assert await face(Place.objects.count)() == 2
    assert await face.rows(Restaurant.objects.filter(name="Bob's Cafe", serves_pizza=True)) == [rest]
    assert (await face(Place.objects.select_related("restaurant").get)(name="Bob's Cafe")).restaurant == rest
    base = await face(Place.objects.select_related("restaurant").get)(name="Park")
    with pytest.raises(Restaurant.DoesNotExist):
        base.restaurant
    assert place == base
    rest.name, rest.serves_pizza = "Bob's", False
    await face(rest.save)()
    assert (await face(Place.objects.get)(pk=rest.pk)).name == "Bob's"
    assert rest.place_ptr_id == rest.id == rest.pk
    assert await face(Place.objects.filter(restaurant__serves_pizza=False).count)() == 1
    assert await face(Place.objects.filter(restaurant__isnull=True).count)() == 1
    assert await face(Restaurant.objects.update)(name="N", serves_hot_dogs=True) == 1
    assert await face(Place.objects.filter(name="N").count)() == 1
    _total, counts = await face(rest.delete)()
    assert counts == {"doc_models.Restaurant": 1, "doc_models.Place": 1}
    assert await face(Place.objects.count)() == 1


async def test_three_levels_and_relations_of_parents(face: Face) -> None:
    pizzeria = await face(Pizzeria.objects.create)(name="Da Ugo", serves_pizza=True, oven="gas")
    found = await face(Pizzeria.objects.get)(name="Da Ugo")
    assert (found.name, found.serves_pizza, found.oven) == ("Da Ugo", True, "gas")
    waiter = await face(Waiter.objects.create)(restaurant=pizzeria, name="W")
    assert await face.rows(Pizzeria.objects.filter(waiters__name="W")) == [pizzeria]
    assert await face.rows(pizzeria.waiters.all()) == [waiter]
    assert await face.rows(Waiter.objects.filter(restaurant__name="Da Ugo")) == [waiter]
    assert await face.rows(Waiter.objects.filter(restaurant__pizzeria__oven="gas")) == [waiter]
    assert await face(Pizzeria.objects.values_list("name", "oven").get)() == ("Da Ugo", "gas")
    assert [p.name for p in await face.rows(Pizzeria.objects.order_by("-name", "oven"))] == ["Da Ugo"]
    _total, counts = await face(Place.objects.filter(name="Da Ugo").delete)()
    assert counts == {
        "doc_models.Waiter": 1,
        "doc_models.Pizzeria": 1,
        "doc_models.Restaurant": 1,
        "doc_models.Place": 1,
    }


async def test_proxy_models(face: Face) -> None:
    person = await face(Person.objects.create)(first_name="foo")
    proxy = await face(MyPerson.objects.get)(first_name="foo")
    assert proxy.shout() == "FOO"
    assert proxy == person
    made = await face(MyPerson.objects.create)(first_name="zed")
    assert await face(Person.objects.count)() == 2
    assert [p.first_name for p in await face.rows(MyPerson.objects.all())] == ["zed", "foo"]
    assert type(await face(Person.objects.get)(pk=made.pk)) is Person
    total, _ = await face(MyPerson.objects.filter(pk=made.pk).delete)()
    assert total == 1


def test_field_names_may_not_clash_with_a_concrete_parent() -> None:
    with pytest.raises((dorm.FieldError, dorm.ImproperlyConfigured)):

        class Clash(Place):
            name = dorm.IntegerField()

            class Meta:
                app_label = "doc_models"


# -- order_with_respect_to -----------------------------------------------------------------------------------------


async def test_order_with_respect_to(face: Face) -> None:
    question = await face(Question.objects.create)(text="?")
    one, two, three = [await face(Answer.objects.create)(question=question, text=text) for text in "abc"]
    assert list(await face(question.get_answer_order)()) == [one.pk, two.pk, three.pk]
    await face(question.set_answer_order)([three.pk, one.pk, two.pk])
    assert [a.text for a in await face.rows(Answer.objects.all())] == ["c", "a", "b"]
    assert await face(one.get_next_in_order)() == two
    assert await face(one.get_previous_in_order)() == three


# -- validation ----------------------------------------------------------------------------------------------------


async def test_full_clean(face: Face) -> None:
    person = Person(first_name="", shirt_size="?")
    with pytest.raises(dorm.ValidationError) as caught:
        await face(person.full_clean)()
    assert set(caught.value.message_dict) == {"first_name", "shirt_size"}
    assert caught.value.message_dict["first_name"] == ["This field cannot be blank."]
    assert caught.value.message_dict["shirt_size"] == ["Value '?' is not a valid choice."]
    await face(person.full_clean)(exclude=["first_name", "shirt_size"])
    long = Person(first_name="x" * 31, last_name="y")
    with pytest.raises(dorm.ValidationError) as caught:
        await face(long.full_clean)()
    assert caught.value.message_dict == {"first_name": ["Ensure this value has at most 30 characters (it has 31)."]}
    assert caught.value.error_dict["first_name"][0].code == "max_length"


async def test_unique_checks(face: Face) -> None:
    await face(Group.objects.create)(name="g")
    with pytest.raises(dorm.ValidationError) as caught:
        await face(Group(name="g").full_clean)()
    assert caught.value.message_dict == {"name": ["Group with this Name already exists."]}
    ann = await face(Person.objects.create)(first_name="Ann")
    group = await face(Group.objects.get)()
    await face(Membership.objects.create)(group=group, person=ann, inviter=ann)
    twice: Any = Membership(group=group, person=ann, inviter=ann, invite_reason="x")
    with pytest.raises(dorm.ValidationError) as caught:
        await face(twice.full_clean)()
    assert caught.value.message_dict == {"__all__": ["Membership with this Person and Group already exists."]}
    with pytest.raises(dorm.IntegrityError):
        await face(twice.save)()
    bad = Membership(group=group, person_id=987654, inviter=ann, invite_reason="x")
    with pytest.raises(dorm.ValidationError) as caught:
        await face(bad.full_clean)()
    assert caught.value.message_dict == {"person": ["person instance with id 987654 is not a valid choice."]}


async def test_unsaved_related_objects_are_refused(face: Face) -> None:
    with pytest.raises(ValueError, match="unsaved related object"):
        await face(Answer(question=Question(text="x"), text="y").save)()
    with pytest.raises(ValueError):
        await face.rows(Answer.objects.filter(question=Question(text="x")))
    with pytest.raises(ValueError, match="Question"):
        Answer(question=Place(name="x"))
    question = Question(text="later")
    answer = Answer(question=question, text="y")
    await face(question.save)()
    await face(answer.save)()
    assert answer.question_id == question.pk
    assert await face(Answer.objects.filter(Q(question=question)).count)() == 1
