"""What a model class takes over from the classes it derives from: fields, parent links, managers, ``Meta``."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dorm.classes import standing
from dorm.exceptions import FieldError, ImproperlyConfigured, choices_text, nearest
from dorm.models.options import Options
from dorm.queryset.manager import Manager

if TYPE_CHECKING:
    from dorm.models.base import ModelBase


def meta_in_force(cls: Any, namespace: dict[str, Any]) -> type | None:
    """Return the Meta of a class: its own, else the one an abstract parent left behind."""
    own = namespace.get("Meta")
    meta: type | None = own if own is not None else getattr(cls, "Meta", None)
    return meta


def leave_meta(cls: Any, meta: type | None) -> None:
    """Leave an abstract class's Meta to its children, who are not abstract for that."""
    if meta is not None:
        meta.abstract = False  # type: ignore[attr-defined]  # an option, of whoever wrote the class
        cls.Meta = meta


# -- proxies -----------------------------------------------------------------------------------------------------


def become_proxy(cls: ModelBase, parents: list[Any]) -> None:
    """Make *cls* a proxy of the one concrete model it derives from."""
    concrete: list[Any] = []
    for parent in parents:
        meta = getattr(parent, "_meta", None)
        if meta is None:
            continue
        if meta.abstract:
            if meta.fields:
                raise TypeError(
                    f"Abstract base class containing model fields not permitted for proxy model {cls.__name__!r}: "
                    f"{parent.__name__} declares {choices_text([field.name for field in meta.fields])}."
                )
            continue
        cls._meta.proxy_for_model = cls._meta.proxy_for_model or parent
        if meta.concrete_model not in concrete:
            concrete.append(meta.concrete_model)
    if len(concrete) != 1:
        many = "more than one" if concrete else "no"
        raise TypeError(f"Proxy model {cls.__name__!r} has {many} non-abstract model base class.")
    cls._meta.inherit(concrete[0]._meta, None)


def refuse_fields(cls: ModelBase, own: dict[str, Any]) -> None:
    """Refuse fields declared by a proxy."""
    fields = [name for name, value in own.items() if hasattr(value, "set_attributes_from_name")]
    if fields:
        raise FieldError(f"Proxy model {cls.__name__!r} contains model fields: {choices_text(fields)}.")


# -- fields ------------------------------------------------------------------------------------------------------


def inherit_fields(cls: ModelBase, parents: list[Any], own: dict[str, Any], hidden: set[str]) -> None:
    """Copy the fields of abstract parents into *cls* and link it to its concrete ones.

    Args:
        own: what the class body contributes.
        hidden: plain attributes of the class body, which replace fields of abstract parents.
    """
    links = _declared_links(own, parents)
    taken = set(hidden)
    for base in cls.__mro__[1:]:
        meta = vars(base).get("_meta")
        if base not in parents or meta is None:
            taken.update(name for name in vars(base) if not name.startswith("__") and meta is None)
            continue
        if meta.abstract:
            _copy_fields(cls, meta, {*own, *taken})
        else:
            _link(cls, meta, own, links)
            _copy_private(cls, meta.concrete_model._meta, {*own, *taken})
            taken.update(field.name for field in meta.fields)
    _refuse_same_names(cls)


def _declared_links(own: dict[str, Any], parents: list[Any]) -> dict[Any, Any]:
    """Return the parent links that the class body declares, by the model they lead to."""
    found = {}
    for value in own.values():
        if getattr(value, "parent_link", False):
            found.update({parent: value for parent in _concrete(parents) if _leads_to(value.to, parent._meta)})
    return found


def _concrete(parents: list[Any]) -> set[Any]:
    metas = [vars(base).get("_meta") for parent in parents for base in parent.__mro__]
    return {meta.concrete_model for meta in metas if meta is not None and not meta.abstract}


def _leads_to(reference: Any, meta: Options) -> bool:
    """True when *reference* (a class, "Model" or "app.Model") means the model of *meta*."""
    if not isinstance(reference, str):
        return bool(reference._meta.concrete_model is meta.model)
    app, _, name = reference.rpartition(".")
    return name.lower() == meta.model_name and app in ("", meta.app_label)


def _copy_fields(cls: ModelBase, meta: Options, taken: set[str]) -> None:
    for field in (*meta.local_fields, *meta.local_many_to_many, *meta.private_fields):
        if field.name in taken or cls._meta.find(field.name) is not None:
            continue
        made = field.clone() if hasattr(field, "clone") else copy.deepcopy(field)
        made.contribute_to_class(cls, field.name)
    for parent, link in meta.parents.items():
        if parent not in cls._meta.parents:
            cls._meta.inherit(parent._meta, cls._meta.find(link.name))


def _copy_private(cls: ModelBase, meta: Options, taken: set[str]) -> None:
    """Give *cls* generic relations and keys of its own for those of a concrete parent: its rows have its own type."""
    for field in meta.private_fields:
        if field.name not in taken and not getattr(field, "is_composite", False):
            made = field.clone()
            made.is_inherited = True
            made.contribute_to_class(cls, field.name)


def _link(cls: ModelBase, meta: Options, own: dict[str, Any], links: dict[Any, Any]) -> None:
    """Extend the concrete parent *meta* by the link the class declares, or by one made here."""
    base = meta.concrete_model
    if base in cls._meta.parents:
        return
    known = {field.name for field in meta.fields} | {field.name for field in meta.many_to_many}
    for name, value in own.items():
        if name in known and hasattr(value, "set_attributes_from_name"):
            raise FieldError(
                f"Local field {name!r} in class {cls.__name__!r} clashes with field of the same name from base class "
                f"{base.__name__!r}. Rename it: columns of another table cannot be replaced."
            )
    link = links.get(base)
    if link is None:
        link = _made_link(cls, base, own)
    cls._meta.inherit(base._meta, link)


def _made_link(cls: ModelBase, base: Any, own: dict[str, Any]) -> Any:
    # Relations stand on models; the class is named where the first child of a concrete model needs it.
    from dorm.relations import OneToOneField

    name = f"{base._meta.model_name}_ptr"
    if name in own:
        raise FieldError(
            f"Auto-generated field {name!r} in class {cls.__name__!r} for parent_link to base class "
            f"{base.__name__!r} clashes with declared field of the same name. "
            f"Declare it as OneToOneField({base.__name__}, CASCADE, parent_link=True) or rename it."
        )
    link: Any = OneToOneField(base, parent_link=True, auto_created=True)
    link.creation_counter = -1
    link.contribute_to_class(cls, name)
    return link


def _refuse_same_names(cls: ModelBase) -> None:
    """Refuse two parents whose tables have columns of the same name."""
    seen: dict[str, Any] = {}
    for parent in cls._meta.parents:
        for field in parent._meta.fields:
            other = seen.setdefault(field.name, field)
            if other is not field:
                raise FieldError(
                    f"The field {field.name!r} from parent model {field.model._meta.label!r} clashes with the field "
                    f"{other.name!r} from parent model {other.model._meta.label!r} (both in {cls.__name__}). "
                    "Give one of the parents a primary key or field of another name."
                )


def take_key(cls: ModelBase) -> bool:
    """Make the first parent link the primary key of a class that declares none; return False without parents."""
    meta = cls._meta
    if getattr(meta, "pk", None) is not None:
        return True
    if not meta.parents:
        return False
    link = next(iter(meta.parents.values()))
    if not getattr(link, "parent_link", False):
        raise ImproperlyConfigured(f"Add parent_link=True to {link}.")
    link.primary_key = True
    link.unique = True
    meta._take_key(link)
    return True


# -- refused classes ---------------------------------------------------------------------------------------------


def undo(cls: Any) -> None:
    """Forget a class that was refused half-way: its reverse relations, its place among heirs, its registration."""
    apps = cls._meta.apps
    apps.forget(cls)
    for between in [model for model in apps.all() if model._meta.auto_created is cls]:
        undo(between)
    for model in {*apps.all(), *cls._meta.parents, cls._meta.concrete_model} - {cls}:
        meta = model._meta
        meta._heirs = [heir for heir in meta._heirs if heir is not cls._meta]
        for relation in meta.drop_relations(cls):
            if relation.accessor in vars(model):
                delattr(model, relation.accessor)


# -- managers ----------------------------------------------------------------------------------------------------


def settle_managers(cls: Any) -> None:
    """Give the class its own managers, copies of inherited ones, ``objects`` when there is none, and the defaults.

    An inherited manager stays a manager of the class where its name is taken by something else (``objects = None``): as
    the default one it goes on to serve, only the attribute is what the class body says.
    """
    meta: Options = cls._meta
    managers: dict[str, Manager[Any]] = {}
    for manager in _managers_in_order(cls):
        if manager.name in managers:
            continue
        mine = manager if manager.model is cls else manager.copied_for(cls)
        managers[manager.name] = mine
        if isinstance(standing(cls, manager.name), Manager):
            setattr(cls, manager.name, mine)
    if not managers and not meta.abstract:
        if meta.find("objects") is not None:
            raise ImproperlyConfigured(
                f"Model {cls.__name__} must specify a custom Manager, because it has a field named 'objects'."
            )
        made: Manager[Any] = Manager()
        made.auto_created = True
        made.contribute_to_class(cls, "objects")
        managers["objects"] = made
    meta.managers_map = MappingProxyType(managers)
    if not meta.abstract:
        cls._default_manager = meta.default_manager = _default(cls, managers)
        cls._base_manager = meta.base_manager = _base(cls, managers)


def _managers_in_order(cls: Any) -> Iterator[Manager[Any]]:
    """Yield the managers of the class and of the models it derives from, each class's in their own order."""
    for each in cls.__mro__:
        meta = vars(each).get("_meta")
        if meta is not None:
            yield from sorted(meta.local_managers, key=lambda manager: manager.creation_counter)


def _inherited_name(cls: Any, option: str) -> str | None:
    """Return the manager's name in force for *option*: the class's own, else the nearest parent's."""
    for each in cls.__mro__:
        meta = vars(each).get("_meta")
        if meta is None:
            continue
        name: str | None = getattr(meta, option)
        if name is not None:
            return name
        if option == "default_manager_name" and meta.local_managers:
            return None
    return None


def _named(cls: Any, managers: dict[str, Manager[Any]], name: str, option: str) -> Manager[Any]:
    found = managers.get(name)
    if found is None:
        raise ImproperlyConfigured(
            f"{cls.__name__} has no manager named {name!r} (Meta.{option}).{nearest(name, managers)} "
            f"Managers: {choices_text(managers)}."
        )
    return found


def _default(cls: Any, managers: dict[str, Manager[Any]]) -> Manager[Any]:
    name = _inherited_name(cls, "default_manager_name")
    if name is not None:
        return _named(cls, managers, name, "default_manager_name")
    return next(iter(managers.values()))


def _base(cls: Any, managers: dict[str, Manager[Any]]) -> Manager[Any]:
    name = _inherited_name(cls, "base_manager_name")
    if name is not None:
        return _named(cls, managers, name, "base_manager_name")
    made: Manager[Any] = Manager()
    made.name = "_base_manager"
    made.model = cls
    made.auto_created = True
    return made
