"""ContentType: a row for each model, so that rows can point at any of them."""

from __future__ import annotations

from typing import Any

from dorm.conf.registry import registry
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.router import router
from dorm.exceptions import ImproperlyConfigured
from dorm.fields import CharField
from dorm.models.base import Model
from dorm.queryset.manager import Manager
from dorm.queryset.ops import bulk, fetch
from dorm.transaction import on_rollback


class ContentTypeManager(Manager["ContentType"]):
    """Finds content types, each once a process and database."""

    use_in_migrations = True

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[str, Any], ContentType] = {}

    def clear_cache(self) -> None:
        """Forget all content types that were looked up."""
        self._known.clear()

    # -- what is known -------------------------------------------------------------------------------------------
    def alias_for(self, instance: Any = None) -> str:
        """Return the database that content types are read from; *instance* is whose they are."""
        if self._db is not None:
            return self._db
        hints = {} if instance is None else {"instance": instance}
        return (instance._state.db if instance is not None else None) or router.db_for_read(ContentType, hints)

    def known(self, alias: str, key: Any) -> ContentType | None:
        """Return a content type that was looked up before, by its id or by (app label, model name)."""
        return self._known.get((alias, key))

    def _keep(self, alias: str, found: ContentType) -> ContentType:
        self._known[alias, found.pk] = found
        self._known[alias, (found.app_label, found.model)] = found
        return found

    # -- operations ----------------------------------------------------------------------------------------------
    @operation
    def of_models(
        self, models: tuple[Any, ...], for_concrete_models: bool, alias: str | None = None
    ) -> Operation[list[ContentType]]:
        """Return the content types of *models* (classes or instances) in order, made where there are none yet."""
        alias = self.alias_for() if alias is None else alias
        keys = [key_of(model, for_concrete_models) for model in models]
        unknown = list(dict.fromkeys(key for key in keys if self.known(alias, key) is None))
        if unknown:
            yield from self._look_up(alias, unknown)
            missing = [key for key in unknown if self.known(alias, key) is None]
            if missing:
                made = [ContentType(app_label=label, model=name) for label, name in missing]
                # Another process may make them at the same time: whoever comes second reads what is there.
                yield from bulk.bulk_create(ContentType.objects.using(alias), made, bulk.Options(ignore_conflicts=True))
                yield from self._look_up(alias, missing)
                on_rollback(self.clear_cache, alias)
        return [self._known[alias, key] for key in keys]

    @operation
    def _look_up(self, alias: str, keys: list[tuple[str, str]]) -> Operation[None]:
        labels, names = {label for label, _ in keys}, {name for _, name in keys}
        rows = ContentType.objects.using(alias).filter(app_label__in=sorted(labels), model__in=sorted(names))
        for row in (yield from fetch.fetch(rows)):
            self._keep(alias, row)

    @operation
    def of_id(self, key: Any, alias: str | None = None) -> Operation[ContentType]:
        """Return the content type with this id."""
        alias = self.alias_for() if alias is None else alias
        found = self.known(alias, key)
        if found is None:
            found = self._keep(alias, (yield from fetch.get(ContentType.objects.using(alias), (), {"pk": key})))
        return found

    @operation
    def of_key(self, app_label: str, model: str) -> Operation[ContentType]:
        """Return the content type with this natural key."""
        alias = self.alias_for()
        found = self.known(alias, (app_label, model))
        if found is None:
            wanted = {"app_label": app_label, "model": model}
            found = self._keep(alias, (yield from fetch.get(ContentType.objects.using(alias), (), wanted)))
        return found

    # -- faces ---------------------------------------------------------------------------------------------------
    def get_for_model(self, model: Any, for_concrete_model: bool = True) -> ContentType:
        """Return the content type of a model class or instance; it is made where there is none yet.

        Args:
            for_concrete_model: a proxy counts as the model whose table it has.
        """
        return run(self.of_models((model,), for_concrete_model))[0]

    async def aget_for_model(self, model: Any, for_concrete_model: bool = True) -> ContentType:
        """Async twin of `get_for_model`."""
        return (await arun(self.of_models((model,), for_concrete_model)))[0]

    def get_for_models(self, *models: Any, for_concrete_models: bool = True) -> dict[Any, ContentType]:
        """Return the content types of several models by model, with few statements."""
        return dict(zip(models, run(self.of_models(models, for_concrete_models)), strict=True))

    async def aget_for_models(self, *models: Any, for_concrete_models: bool = True) -> dict[Any, ContentType]:
        """Async twin of `get_for_models`."""
        return dict(zip(models, await arun(self.of_models(models, for_concrete_models)), strict=True))

    def get_for_id(self, id: Any) -> ContentType:
        """Return the content type with this id.

        Raises: ContentType.DoesNotExist.
        """
        return run(self.of_id(id))

    async def aget_for_id(self, id: Any) -> ContentType:
        """Async twin of `get_for_id`."""
        return await arun(self.of_id(id))

    def get_by_natural_key(self, app_label: str, model: str) -> ContentType:
        """Return the content type of the model called *model* (lower case) of an app.

        Raises: ContentType.DoesNotExist.
        """
        return run(self.of_key(app_label, model))

    async def aget_by_natural_key(self, app_label: str, model: str) -> ContentType:
        """Async twin of `get_by_natural_key`."""
        return await arun(self.of_key(app_label, model))


def key_of(model: Any, for_concrete_model: bool) -> tuple[str, str]:
    """Return (app label, model name) of a model class or instance."""
    meta = model._meta.concrete_model._meta if for_concrete_model else model._meta
    return meta.app_label, meta.model_name


content_types = ContentTypeManager()
"""``ContentType.objects``, as type checkers know it."""


class ContentType(Model):
    """A model: which app it belongs to, and what it is called."""

    app_label = CharField(max_length=100)
    model = CharField("python model class name", max_length=100)

    objects = content_types

    class Meta:
        app_label = "contenttypes"
        db_table = "django_content_type"
        verbose_name = "content type"
        verbose_name_plural = "content types"
        unique_together = [("app_label", "model")]

    def __str__(self) -> str:
        return self.app_labeled_name

    @property
    def name(self) -> str:
        """The model's verbose name; its name where there is no such model any more."""
        found = self.model_class()
        return self.model if found is None else str(found._meta.verbose_name)

    @property
    def app_labeled_name(self) -> str:
        """App and verbose name."""
        found = self.model_class()
        return self.model if found is None else f"{found._meta.app_label} | {found._meta.verbose_name}"

    def model_class(self) -> type[Model] | None:
        """Return the model, None where there is none any more."""
        try:
            found: type[Model] = registry.get(self.app_label, self.model)
        except ImproperlyConfigured:
            return None
        return found

    def natural_key(self) -> tuple[str, str]:
        """Return (app label, model name)."""
        return self.app_label, self.model

    def _rows(self, using: str | None) -> Any:
        model: Any = self.model_class()
        if model is None:
            raise ImproperlyConfigured(
                f"the content type {self.app_label}.{self.model} has no model: import the module that declares it."
            )
        return model._base_manager.using(using or self._state.db)

    def get_object_for_this_type(self, using: str | None = None, **kwargs: Any) -> Any:
        """Return the one row of the model that matches.

        Args:
            using: alias to look in; else that of this content type.
        """
        return run(fetch.get(self._rows(using), (), kwargs))

    async def aget_object_for_this_type(self, using: str | None = None, **kwargs: Any) -> Any:
        """Async twin of `get_object_for_this_type`."""
        return await arun(fetch.get(self._rows(using), (), kwargs))

    def get_all_objects_for_this_type(self, **kwargs: Any) -> Any:
        """Return the rows of the model that match, as a queryset."""
        return self._rows(None).filter(**kwargs)
