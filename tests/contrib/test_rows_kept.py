"""History, soft deletion, tenants: rows that are kept, marked, kept apart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import dorm
from dorm.contrib import history, tenants_row
from dorm.contrib.softdelete import SoftDeleteModel
from dorm.contrib.tenants_row import NoActiveTenantError, TenantModel, current_tenant
from dorm.db.context import result_key
from dorm.exceptions import SynchronousOnlyOperation
from dorm.migrations.schema import create_tables
from dorm.signals import post_save
from tests.support.faces import Face


@history.track_history
class Article(dorm.Model):
    title = dorm.CharField(max_length=50)
    email = dorm.EmailField(default="", pii=True)

    class Meta:
        app_label = "contrib_tests"


@history.track_history
class Chapter(dorm.Model):
    number = dorm.AutoField(primary_key=True)
    article = dorm.ForeignKey("Printed", null=True)
    before = dorm.OneToOneField("self", null=True)
    pages = dorm.IntegerField(default=1)
    sheets = dorm.GeneratedField(expression=dorm.F("pages") * 2, output_field=dorm.IntegerField())
    changed = dorm.DateTimeField(auto_now=True)

    class Meta:
        app_label = "contrib_tests"


class Printed(dorm.Model):
    isbn = dorm.CharField(max_length=20, primary_key=True)

    class Meta:
        app_label = "contrib_tests"


@history.track_history
class Appendix(Chapter):
    letter = dorm.CharField(max_length=1, unique=True)

    class Meta:
        app_label = "contrib_tests"


class Folder(SoftDeleteModel):
    name = dorm.CharField(max_length=50)

    class Meta:
        app_label = "contrib_tests"


class Note(SoftDeleteModel):
    folder = dorm.ForeignKey(Folder, related_name="notes")

    class Meta:
        app_label = "contrib_tests"


class Payment(TenantModel):
    invoice = dorm.ForeignKey("Invoice", related_name="payments")

    class Meta:
        app_label = "contrib_tests"


class Invoice(TenantModel):
    number = dorm.IntegerField()

    class Meta:
        app_label = "contrib_tests"


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, Any]) -> None:
    tracked: list[Any] = [Article, Chapter, Appendix]
    create_tables([*tracked, *(each.history.model for each in tracked), Printed, Folder, Note, Invoice, Payment])


# -- history -----------------------------------------------------------------------------------------------------


async def test_every_change_has_its_row(face: Face) -> None:
    token = history.set_history_user(7)
    article = await face(Article.objects.create)(title="one", email="a@b.de")
    history.reset_history_user(token)
    article.title = "two"
    await face(article.save)()
    key = article.pk
    await face(article.delete)()
    rows = await face.rows(Article.history.filter(id=key).order_by("history_id"))  # type: ignore[attr-defined]
    assert [(row.history_type, row.title, row.history_user_id) for row in rows] == [
        ("+", "one", 7),
        ("~", "two", None),
        ("-", "two", None),
    ]
    assert Article.history.model._meta.db_table == "contrib_tests_article_history"  # type: ignore[attr-defined]


async def test_history_leaves_with_its_transaction_and_masks(face: Face) -> None:
    with pytest.raises(ZeroDivisionError):
        async with face.atomic():
            await face(Article.objects.create)(title="gone")
            raise ZeroDivisionError
    assert await face(Article.history.count)() == 0  # type: ignore[attr-defined]
    dorm.configure(HISTORY_MASK_PII=True)
    try:
        article = await face(Article.objects.create)(title="x", email="a@b.de")
        assert (await face(Article.history.get)(id=article.pk)).email == "[REDACTED]"  # type: ignore[attr-defined]
    finally:
        dorm.configure(HISTORY_MASK_PII=False)
    row = await face(history.record_history_for)(article, "~", user_id=3)
    assert row.history_user_id == 3
    with pytest.raises(ValueError, match="kind"):
        await face(history.record_history_for)(article, "?")


async def test_rows_of_history_are_whole(face: Face) -> None:
    printed = await face(Printed.objects.create)(isbn="x")
    first = await face(Chapter.objects.create)(article=printed)
    chapter = await face(Chapter.objects.create)(article=printed, before=first, pages=2)
    part = await face(Chapter.objects.only("pages").get)(pk=chapter.pk)
    part.pages = 3
    await face(part.save)()
    await face((await face(Chapter.objects.defer("article", "before").get)(pk=chapter.pk)).delete)()
    await face(printed.delete)()  # history keeps what pointed at it
    names = ("history_type", "article_id", "before_id", "pages", "sheets")
    rows = await face.rows(Chapter.history.filter(number=chapter.pk).order_by("history_id").values_list(*names))  # type: ignore[attr-defined]
    assert rows == [
        ("+", "x", first.pk, 2, 4),
        ("~", "x", first.pk, 3, 6),
        ("-", "x", first.pk, 3, 6),
    ]
    assert await face(Chapter.history.filter(changed=None).count)() == 0  # type: ignore[attr-defined]


async def test_a_child_and_its_parent_have_histories_of_their_own(face: Face) -> None:
    appendix = await face(Appendix.objects.create)(letter="a")
    appendix.letter = "b"
    await face(appendix.save)()
    await face(Appendix.objects.all().delete)()
    kept: Any = Appendix.history  # type: ignore[attr-defined]
    rows = await face.rows(kept.order_by("history_id").values_list("history_type", "letter", "chapter_ptr_id", "pages"))
    key = appendix.pk
    assert rows == [("+", "a", key, 1), ("~", "b", key, 1), ("-", "b", key, 1)]


# -- soft deletion -----------------------------------------------------------------------------------------------


async def test_rows_are_marked_and_come_back(face: Face) -> None:
    folder = await face(Folder.objects.create)(name="a")
    await face(Note.objects.create)(folder=folder)
    assert await face(folder.delete)() == (1, {"contrib_tests.Folder": 1})
    assert folder.is_deleted
    assert await face(Folder.objects.count)() == 0
    assert await face(Folder.all_objects.count)() == 1
    assert await face(Folder.deleted_objects.count)() == 1
    assert await face(Note.objects.count)() == 1
    await face(folder.restore)()
    assert await face(Folder.objects.count)() == 1
    count, labels = await face(folder.delete)(cascade=True)
    assert (count, labels) == (2, {"contrib_tests.Folder": 1, "contrib_tests.Note": 1})
    assert await face(Note.objects.count)() == 0
    assert await face(Folder.deleted_objects.all().restore)() == 1


async def test_a_cascade_that_fails_marks_nothing(face: Face) -> None:
    folder = await face(Folder.objects.create)(name="a")
    await face(Note.objects.create)(folder=folder)

    def refuse(**told: Any) -> None:
        raise ZeroDivisionError

    post_save.connect(refuse, sender=Note)
    with pytest.raises(ZeroDivisionError):
        await face(folder.delete)(cascade=True)
    post_save.disconnect(refuse, sender=Note)
    assert await face(Folder.objects.count)() == 1
    assert await face(Note.objects.count)() == 1


async def test_querysets_mark_and_hard_deletes_remove(face: Face) -> None:
    for name in "abc":
        await face(Folder.objects.create)(name=name)
    assert await face(Folder.objects.filter(name__in=["a", "b"]).delete)() == (2, {"contrib_tests.Folder": 2})
    assert await face(Folder.all_objects.count)() == 3
    await face((await face(Folder.objects.get)(name="c")).delete)(hard=True)
    assert await face(Folder.all_objects.count)() == 2


# -- tenants -----------------------------------------------------------------------------------------------------


async def test_tenants_see_their_own_rows_only(face: Face) -> None:
    for tenant in ("a", "b"):
        with current_tenant(tenant):
            await face(Invoice.objects.create)(number=1)
            await face(Invoice.objects.bulk_create)([Invoice(number=2)])
    with current_tenant("a"):
        assert await face(Invoice.objects.count)() == 2
        mine = await face(Invoice.objects.get)(number=1)
        assert mine.tenant_id == "a"
        assert await face(Invoice.objects.filter(number=1).update)(number=9) == 1
        with pytest.raises(NoActiveTenantError):
            await face(Invoice.objects.all().update)(tenant_id="b")
    assert await face(Invoice.unscoped.count)() == 4
    assert await face(Invoice.unscoped.filter(number=9).count)() == 1
    with current_tenant("b"):
        with pytest.raises(NoActiveTenantError, match="another tenant"):
            await face(mine.save)()
        with pytest.raises(NoActiveTenantError):
            await face(mine.delete)()
        assert await face(Invoice.objects.all().delete)() == (2, {"contrib_tests.Invoice": 2})
    assert await face(Invoice.unscoped.count)() == 2


async def test_keys_name_no_rows_of_another_tenant(face: Face) -> None:
    with current_tenant("b"):
        theirs = await face(Invoice.objects.create)(number=1)
    refused = pytest.raises(NoActiveTenantError, match=r"Payment\.invoice would name a row of another tenant")
    with current_tenant("a"):
        mine, other = await face(Invoice.objects.bulk_create)([Invoice(number=2), Invoice(number=3)])
        paid = await face(Payment.objects.create)(invoice=mine)
        for given in ({"invoice": theirs}, {"invoice_id": theirs.pk}):
            with refused:
                await face(Payment.objects.create)(**given)
            with refused:
                await face(Payment.objects.bulk_create)([Payment(invoice=other), Payment(**given)])
            with refused:
                await face(Payment.objects.update)(**given)
            with refused:
                await face(Payment.objects.get_or_create)(**given)
        paid.invoice_id = theirs.pk
        with refused:
            await face(paid.save)()
        with refused:
            await face(paid.save)(update_fields=["invoice"])
        with refused:
            await face(Payment.objects.bulk_update)([paid], ["invoice"])
        paid.invoice_id = other.pk
        await face(paid.save)()
        assert await face(Payment.objects.update)(invoice=mine) == 1
        assert await face(Payment.objects.update)(invoice_id=dorm.F("invoice_id")) == 1
        assert await face.rows(Payment.objects.values_list("invoice__number", flat=True)) == [2]


async def test_no_road_leads_to_the_rows_of_another_tenant(face: Face) -> None:
    with current_tenant("b"):
        theirs = await face(Invoice.objects.create)(number=1)
    with current_tenant("a"):
        mine = await face(Invoice.objects.create)(number=2)
        with pytest.raises(NoActiveTenantError, match="another tenant's row"):
            await face(Invoice(pk=theirs.pk, number=9).save)()
        with pytest.raises(NoActiveTenantError, match="another tenant's row"):
            await face(Invoice.objects.create)(pk=theirs.pk, number=9)
        with pytest.raises(Invoice.DoesNotExist):
            await face(Invoice(pk=theirs.pk).refresh_from_db)()
        with pytest.raises(NoActiveTenantError, match="unique_fields"):
            await face(Invoice.objects.bulk_create)(
                [Invoice(pk=theirs.pk, number=9)], update_conflicts=True, update_fields=["number"], unique_fields=["id"]
            )
        stolen = Invoice(pk=theirs.pk, number=9)
        stolen.tenant_id = "a"
        assert await face(Invoice.objects.bulk_update)([stolen], ["number"]) == 0
        with pytest.raises(NoActiveTenantError, match="bulk_update"):
            await face(Invoice.objects.bulk_update)([mine], ["tenant_id"])
        assert await face(Invoice.objects.filter(pk=theirs.pk).delete)() == (0, {})
        assert await face(Invoice.objects.get_or_none)(pk=theirs.pk) is None
        assert await face(Invoice.objects.in_bulk)([theirs.pk, mine.pk]) == {mine.pk: mine}
        # What stood there before: written past the manager.
        await face(Payment.unscoped.bulk_create)([Payment(tenant_id="a", invoice_id=theirs.pk)])
        payment = await face(Payment.objects.get)()
        if face.is_async:
            await payment.afetch("invoice")
        with pytest.raises((Invoice.DoesNotExist, SynchronousOnlyOperation)):
            payment.invoice
        assert [each.pk for each in await face.rows(Payment.objects.prefetch_related("invoice"))] == [payment.pk]
        again = Invoice(pk=mine.pk, number=3)
        await face(again.save)()
    await face(theirs.refresh_from_db)()
    assert (theirs.number, theirs.tenant_id) == (1, "b")
    assert await face(Invoice.unscoped.filter(number=3).count)() == 1


async def test_without_a_tenant_nothing_is_read_or_written(face: Face) -> None:
    with pytest.raises(NoActiveTenantError, match="current_tenant"):
        await face(Invoice.objects.count)()
    with pytest.raises(NoActiveTenantError):
        await face(Invoice(number=1).save)()
    with pytest.raises(ValueError, match="tenant"):
        current_tenant("").__enter__()
    with current_tenant(5):
        assert tenants_row.get_active_tenant() == "5"
        assert "5" in str(result_key())


def test_tasks_have_their_own_tenants() -> None:
    async def work(name: str) -> str:
        with current_tenant(name):
            await Invoice.objects.acreate(number=1)
            await asyncio.sleep(0)
            return (await Invoice.objects.aget()).tenant_id

    async def main() -> list[str]:
        return await asyncio.gather(work("a"), work("b"))

    assert asyncio.run(main()) == ["a", "b"]
