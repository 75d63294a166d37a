"""The schema state: what the models are at one point of the migrations, as values; and historical model classes.

A `ModelState` never changes. A `ProjectState` is a mapping of them; the operations' ``state_forwards`` put new values
into it, and `clone` gives a copy that shares them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field as attribute, replace
from typing import Any, TypeAlias

from dorm.conf.registry import Registry, registry
from dorm.exceptions import FieldDoesNotExist, MigrationError, choices_text, nearest
from dorm.migrations.indexes import column_of
from dorm.migrations.values import comparable, imported, renamed_in
from dorm.models.base import Model, ModelBase
from dorm.models.meta import together
from dorm.queryset.manager import Manager

Key: TypeAlias = str
"""``app_label.model_lower``."""

_NOT_IN_STATE = frozenset({"abstract", "apps", "app_label", "auto_created"})


@dataclass(frozen=True, slots=True, eq=False)
class ModelState:
    """One model: its name, fields, options, bases and the managers that migrations may use.

    Attributes:
        fields: fields by name, in order, bound to no model.
        options: what ``Meta`` gave, plain values only.
        bases: classes, or ``"app.model"`` for models of the state.
        append_only: not None when `MakeTableAppendOnly` protects the table; True when TRUNCATE is refused as well. No
            part of what a model is: two states that differ in it are equal.
    """

    app_label: str
    name: str
    fields: Mapping[str, Any]
    options: Mapping[str, Any] = attribute(default_factory=dict)
    bases: tuple[Any, ...] = (Model,)
    managers: tuple[tuple[str, Any], ...] = ()
    append_only: bool | None = None

    @classmethod
    def made(
        cls,
        app_label: str,
        name: str,
        fields: Iterable[tuple[str, Any]] | Mapping[str, Any],
        options: Mapping[str, Any] | None = None,
        bases: Sequence[Any] | None = None,
        managers: Iterable[tuple[str, Any]] = (),
    ) -> ModelState:
        """Return the state of a model with these parts; names of indexes that have none are made."""
        given = dict(options or {})
        named_fields: dict[str, Any] = dict(fields)
        lowered = tuple(base.lower() if isinstance(base, str) else base for base in bases or (Model,))
        return cls(app_label, name, named_fields, _settled(given), lowered, tuple(managers))

    @classmethod
    def from_model(cls, model: Any) -> ModelState:
        """Return the state of a declared model."""
        meta = model._meta
        columns = () if meta.proxy else [*meta.local_fields, *meta.local_many_to_many]
        ordered = meta.order_with_respect_to is not None
        # The column of order_with_respect_to comes with the option.
        fields = {each.name: unbound(each) for each in columns if not (ordered and each.name == "_order")}
        if getattr(meta.pk, "is_composite", False) and meta.pk.model is model:
            # It has no column of its own, and without it the tables would get an ``id``.
            fields = {meta.pk.name: unbound(meta.pk), **fields}
        options = {
            name: value
            for name, value in meta.given.items()
            if name not in _NOT_IN_STATE and value is not None and not (isinstance(value, (list, tuple)) and not value)
        }
        if "indexes" in options:
            options["indexes"] = [named(index, model) for index in meta.indexes]
        if "constraints" in options:
            options["constraints"] = list(meta.constraints)
        managers = [
            (manager.name, manager) for manager in meta.local_managers if getattr(manager, "use_in_migrations", False)
        ]
        return cls(meta.app_label, meta.object_name, fields, _settled(options), _bases(model), tuple(managers))

    # -- parts ---------------------------------------------------------------------------------------------------
    @property
    def name_lower(self) -> str:
        return self.name.lower()

    @property
    def key(self) -> Key:
        """The key of this model in a state."""
        return f"{self.app_label}.{self.name_lower}"

    @property
    def label(self) -> str:
        """``app_label.Name``."""
        return f"{self.app_label}.{self.name}"

    def __getitem__(self, part: str) -> Any:
        return getattr(self, part)

    @property
    def table(self) -> str:
        """Name of the model's table."""
        return self.options.get("db_table") or f"{self.app_label.rpartition('.')[2]}_{self.name_lower}"

    @property
    def indexes(self) -> list[Any]:
        return list(self.options.get("indexes", ()))

    @property
    def constraints(self) -> list[Any]:
        return list(self.options.get("constraints", ()))

    def get_field(self, name: str) -> Any:
        """Return a field by name; FieldDoesNotExist naming those there are."""
        if name not in self.fields:
            raise FieldDoesNotExist(
                f"{self.label} has no field {name!r} at this point of the migrations.{nearest(name, self.fields)} "
                f"Fields: {choices_text(self.fields)}."
            )
        return self.fields[name]

    def get_index_by_name(self, name: str) -> Any:
        """Return an index of this model by its name; ValueError when there is none."""
        return _by_name(self, "index", self.indexes, name)

    def get_constraint_by_name(self, name: str) -> Any:
        """Return a constraint of this model by its name; ValueError when there is none."""
        return _by_name(self, "constraint", self.constraints, name)

    def with_options(self, **changes: Any) -> ModelState:
        """Return a copy with options set; None takes one away."""
        options = {**self.options, **changes}
        return replace(self, options={name: value for name, value in options.items() if value is not None})

    def with_field(self, name: str, field: Any) -> ModelState:
        """Return a copy with a field added at the end, or replaced in its place."""
        return replace(self, fields={**self.fields, name: field})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelState) and self.content == other.content

    __hash__ = None  # type: ignore[assignment]  # compared by content

    @property
    def content(self) -> Any:
        """All of it in a form that is equal for equal models."""
        return (
            self.app_label,
            self.name,
            [(name, comparable(each)) for name, each in self.fields.items()],
            comparable({name: value for name, value in self.options.items() if value not in ([], (), None)}),
            [base if isinstance(base, str) else comparable(base) for base in self.bases],
            comparable([(name, _manager_parts(manager)) for name, manager in self.managers]),
        )

    def __repr__(self) -> str:
        return f"<ModelState {self.label}>"

    # -- classes -------------------------------------------------------------------------------------------------
    def render(self, apps: StateApps) -> Any:
        """Return a model class with these parts, in the registry *apps*."""
        options = {name: value for name, value in self.options.items() if value is not None}
        if "ordering" in options:
            # Between two steps it may name a field that is gone, or not there yet.
            names = self._names(apps)
            options["ordering"] = [each for each in options["ordering"] if _is_known(each, names)]
        meta = type("Meta", (), {**options, "app_label": self.app_label, "apps": apps})
        bases = tuple(apps.rendered(base) if isinstance(base, str) else base for base in self.bases)
        body: dict[str, Any] = {name: each.clone() for name, each in self.fields.items()}
        body.update({name: copy.copy(manager) for name, manager in self.managers})
        for option in ("default_manager_name", "base_manager_name"):
            # A manager that migrations may not use has a plain one in its place.
            if (name := options.get(option)) is not None:
                body.setdefault(name, Manager())
        body.update({"Meta": meta, "__module__": "__fake__", "__qualname__": self.name})
        return ModelBase(self.name, bases, body)

    def _names(self, apps: StateApps) -> set[str]:
        """Return the names that an ordering may begin with: fields, columns of relations, those of its bases."""
        found = {"pk", "?", "_order", *self.fields, *(f"{name}_id" for name in self.fields)}
        for base in self.bases:
            if isinstance(base, str) and base in apps.states:
                found |= apps.states[base]._names(apps)
            elif not isinstance(base, str) and hasattr(base, "_meta"):
                found |= set(base._meta.names())
        return found


def _is_known(ordering: Any, names: set[str]) -> bool:
    """True when an entry of ``ordering`` begins with one of *names*; expressions are left alone."""
    return not isinstance(ordering, str) or ordering.lstrip("-+").partition("__")[0] in names


def _manager_parts(manager: Any) -> Any:
    return manager.deconstruct() if hasattr(manager, "deconstruct") else type(manager)


def _by_name(state: ModelState, kind: str, found: Iterable[Any], name: str) -> Any:
    names = {each.name: each for each in found}
    if name not in names:
        raise ValueError(f"No {kind} named {name} on model {state.name}.{nearest(name, names)}")
    return names[name]


def unbound(field: Any) -> Any:
    """Return a copy of a field that names other models by text instead of holding their classes."""
    _, path, args, kwargs = field.deconstruct()
    made = imported(path)(*args, **kwargs)
    made.creation_counter = field.creation_counter
    return made


def named(index: Any, model: Any) -> Any:
    """Return *index* with the name that it gets on *model*, so that the name stays when fields are renamed."""
    if index.name:
        return index
    meta = model._meta
    made = copy.copy(index)
    made.name = index.name_for(meta.db_table, [column_of(meta, name) for name in index.fields])
    return made


def _settled(options: dict[str, Any]) -> dict[str, Any]:
    """Return options in the one form that they have in states."""
    if "unique_together" in options:
        options["unique_together"] = sorted(together(options["unique_together"] or ()))
    for name in ("ordering", "indexes", "constraints", "permissions"):
        if name in options and options[name] is not None:
            options[name] = list(options[name])
    return options


def _bases(model: Any) -> tuple[Any, ...]:
    """Return the bases of a model with abstract models replaced by what they are based on."""

    def flattened(cls: Any) -> Iterator[Any]:
        for base in cls.__bases__:
            meta = vars(base).get("_meta")
            if meta is not None and meta.abstract:
                yield from flattened(base)
            elif meta is not None:
                yield meta.label_lower
            elif base is not object:
                yield base

    found = tuple(dict.fromkeys(flattened(model)))
    if not any(isinstance(base, str) or issubclass(base, Model) for base in found):
        found = (*found, Model)
    # A base that others derive from comes last, as Python's method resolution order wants it.
    return tuple(base for base in found if base is not Model) + tuple(base for base in found if base is Model)


class ProjectState:
    """The models at one point, by ``app_label.model_lower``."""

    def __init__(self, models: Mapping[Key, ModelState] | None = None, real_apps: Iterable[str] = ()) -> None:
        self.models: dict[Key, ModelState] = dict(models or {})
        self.real_apps = frozenset(real_apps)
        self._apps: StateApps | None = None

    @classmethod
    def from_apps(cls, app_label: str | None = None, source: Registry | None = None) -> ProjectState:
        """Return the state of the declared models, of one app or of all."""
        models = [model for model in (source or registry).all(app_label) if not model._meta.auto_created]
        states = [ModelState.from_model(model) for model in models]
        return cls({state.key: state for state in states})

    def clone(self) -> ProjectState:
        """Return a copy that shares the models' states."""
        made = ProjectState(self.models, self.real_apps)
        made._apps = self._apps
        return made

    # -- changes (of the mapping; the values never change) ------------------------------------------------------
    def add_model(self, state: ModelState) -> None:
        """Add a model, or replace the one of its name."""
        self.models[state.key] = state
        self._apps = None

    def remove_model(self, app_label: str, name: str) -> None:
        """Take a model away."""
        self.get(app_label, name)
        del self.models[f"{app_label}.{name.lower()}"]
        self._apps = None

    def get(self, app_label: str, name: str) -> ModelState:
        """Return a model's state; MigrationError naming those there are."""
        found = self.models.get(f"{app_label}.{name.lower()}")
        if found is None:
            known = [each.name for each in self.models.values() if each.app_label == app_label]
            raise MigrationError(
                f"app {app_label!r} has no model {name!r} at this point of its migrations.{nearest(name, known)} "
                f"Models: {choices_text(known)}."
            )
        return found

    def change_options(self, app_label: str, name: str, **options: Any) -> None:
        """Set options of a model; None takes one away."""
        self.add_model(self.get(app_label, name).with_options(**options))

    def rename_model(self, app_label: str, old: str, new: str) -> None:
        """Rename a model, and repoint what refers to it."""
        before = self.get(app_label, old)
        after = replace(before, name=new)
        del self.models[before.key]
        self.models[after.key] = after
        for state in list(self.models.values()):
            fields = {
                name: _repointed(each, state, app_label, old, f"{app_label}.{new.lower()}")
                for name, each in state.fields.items()
            }
            bases = tuple(after.key if base == before.key else base for base in state.bases)
            if bases != state.bases or any(fields[name] is not state.fields[name] for name in fields):
                self.models[state.key] = replace(state, fields=fields, bases=bases)
        self._apps = None

    def rename_field(self, app_label: str, name: str, old: str, new: str) -> None:
        """Rename a field, and what names it: options, indexes, constraints, keys that refer to it."""
        state = self.get(app_label, name)
        state.get_field(old)
        fields = {new if each == old else each: _with_renamed(value, old, new) for each, value in state.fields.items()}
        options = dict(state.options)
        if options.get("unique_together"):
            options["unique_together"] = [
                tuple(new if part == old else part for part in group) for group in options["unique_together"]
            ]
        for option in ("indexes", "constraints"):
            if options.get(option):
                options[option] = [renamed_in(each, old, new) for each in options[option]]
        if options.get("ordering"):
            options["ordering"] = renamed_ordering(options["ordering"], old, new)
        for option in ("order_with_respect_to", "get_latest_by"):
            if options.get(option) == old:
                options[option] = new
        self.add_model(replace(state, fields=fields, options=options))
        for other in list(self.models.values()):
            for field_name, each in other.fields.items():
                if refers_to(each, other, app_label, name) and getattr(each, "to_field", None) == old:
                    self.add_model(other.with_field(field_name, with_options(each, to_field=new)))

    # -- classes -------------------------------------------------------------------------------------------------
    @property
    def apps(self) -> StateApps:
        """The historical model classes, made when they are asked for."""
        if self._apps is None:
            self._apps = StateApps(self.models)
        return self._apps

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProjectState) and self.models == other.models

    __hash__ = None  # type: ignore[assignment]  # compared by content

    def __repr__(self) -> str:
        return f"<ProjectState of {len(self.models)} models>"


def renamed_ordering(ordering: Sequence[Any], old: str, new: str) -> list[Any]:
    """Return an ``ordering`` in which the field *old* is called *new*."""
    found = []
    for each in ordering:
        if isinstance(each, str) and (each.removeprefix("-") == old or each.removeprefix("-").startswith(f"{old}__")):
            sign = "-" if each.startswith("-") else ""
            each = sign + new + each.removeprefix("-")[len(old) :]
        elif not isinstance(each, str):
            each = renamed_in(each, old, new)
        found.append(each)
    return found


def _with_renamed(field: Any, old: str, new: str) -> Any:
    """Return a field of a model in which the field *old* is called *new* now."""
    changes: dict[str, Any] = {}
    expression = getattr(field, "expression", None) if getattr(field, "generated", False) else None
    if expression is not None and not isinstance(expression, str):
        renamed = renamed_in(expression, old, new)
        if renamed is not expression:
            changes["expression"] = renamed
    for option in ("unique_for_date", "unique_for_month", "unique_for_year"):
        if getattr(field, option, None) == old:
            changes[option] = new
    return with_options(field, **changes) if changes else field


def with_options(field: Any, **changes: Any) -> Any:
    """Return a field like *field* with other options."""
    _, path, args, kwargs = field.deconstruct()
    made = imported(path)(*args, **{**kwargs, **changes})
    made.creation_counter = field.creation_counter
    return made


# -- relations ---------------------------------------------------------------------------------------------------


def reference_key(reference: Any, state: ModelState | None, app_label: str | None = None) -> Key:
    """Return the key of the model that *reference* (a class, "self", "Model" or "app.Model") means in a model."""
    if not isinstance(reference, str):
        found: str = reference._meta.label_lower
        return found
    if reference == "self" and state is not None:
        return state.key
    label, _, name = reference.rpartition(".")
    label = label or app_label or (state.app_label if state is not None else "")
    return f"{label}.{name.lower()}"


def _given_through(field: Any) -> Any:
    return field.deconstruct()[3].get("through")


def references_of(field: Any, state: ModelState | None, app_label: str | None = None) -> list[Key]:
    """Return the keys of the models that a field refers to: its target and its given through model."""
    if not getattr(field, "is_relation", False) or getattr(field, "to", None) is None:
        return []
    found = [reference_key(field.to, state, app_label)]
    if getattr(field, "many_to_many", False):
        through = _given_through(field)
        if through is not None:
            found.append(reference_key(through, state, app_label))
    return found


def refers_to(field: Any, state: ModelState, app_label: str, name: str) -> bool:
    """True when *field* of the model *state* refers to that model."""
    return f"{app_label}.{name.lower()}" in references_of(field, state)


def _repointed(field: Any, state: ModelState, app_label: str, old: str, new: Key) -> Any:
    key = f"{app_label}.{old.lower()}"
    if key not in references_of(field, state):
        return field
    changes: dict[str, Any] = {}
    if field.to != "self" and reference_key(field.to, state) == key:
        changes["to"] = new
    through = _given_through(field) if getattr(field, "many_to_many", False) else None
    if through is not None and reference_key(through, state) == key:
        changes["through"] = new
    return with_options(field, **changes) if changes else field


# -- historical classes ------------------------------------------------------------------------------------------


class StateApps(Registry):
    """The model classes of one state; each is made when it is asked for."""

    def __init__(self, models: Mapping[Key, ModelState]) -> None:
        super().__init__()
        self.states = dict(models)
        self.connection: Any = None
        self._complete = False

    def rendered(self, key: Key) -> Any:
        """Return one model's class; what it refers to may not be there yet."""
        label, _, name = key.rpartition(".")
        found = self._models.get((label, name))
        if found is not None:
            return found
        state = self.states.get(key)
        if state is None:
            raise MigrationError(
                f"no model {key!r} at this point of the migrations: a dependency on its migration is missing."
            )
        return state.render(self)

    def with_targets(self, key: Key) -> Any:
        """Return one model's class, with the classes that its columns and many-to-many tables refer to."""
        model = self.rendered(key)
        state = self.states[key]
        for field in state.fields.values():
            for target in references_of(field, state):
                self._with_key(target)
        return model

    def _with_key(self, key: Key) -> None:
        """Make a model's class and, where its key is a reference, the class behind it."""
        self.rendered(key)
        state = self.states[key]
        for base in state.bases:
            if isinstance(base, str):
                self._with_key(base)
        for field in state.fields.values():
            if getattr(field, "is_relation", False) and (field.unique or field.primary_key):
                for target in references_of(field, state):
                    if (target.rpartition(".")[0], target.rpartition(".")[2]) not in self._models:
                        self._with_key(target)

    def complete(self) -> StateApps:
        """Make all classes, so that reverse relations are there."""
        if not self._complete:
            self._complete = True
            for key in self.states:
                self.rendered(key)
        return self

    # -- for code of the user ------------------------------------------------------------------------------------
    def get_model(self, app_label: str, model_name: str | None = None) -> Any:
        """Return a historical model: ``get_model("app", "Model")`` or ``get_model("app.Model")``.

        Raises: LookupError.
        """
        if model_name is None:
            app_label, _, model_name = app_label.rpartition(".")
        key = f"{app_label}.{model_name.lower()}"
        if key not in self.states:
            known = [state.name for state in self.states.values() if state.app_label == app_label]
            raise LookupError(
                f"App {app_label!r} doesn't have a {model_name!r} model at this point of the migrations."
                f"{nearest(model_name, known)} Models: {choices_text(known)}. If it is another app's, add its "
                "migration to the dependencies."
            )
        self.complete()
        return self.rendered(key)

    def get_models(self) -> list[Any]:
        """Return all historical models."""
        self.complete()
        return [self.rendered(key) for key in self.states]

    def __getitem__(self, key: str) -> Any:
        return self.get_model(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self.states
