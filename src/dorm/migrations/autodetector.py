"""State against state: the operations that lead from one to the other, in an order that works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field as attribute
from typing import Any

from dorm.fields.base import NOT_PROVIDED
from dorm.migrations import operations as ops
from dorm.migrations.arrange import Planned, chunks, in_order
from dorm.migrations.graph import Graph
from dorm.migrations.migration import Migration, Node
from dorm.migrations.operations.base import Operation
from dorm.migrations.operations.indexes import same_definition
from dorm.migrations.optimise import optimise
from dorm.migrations.questions import Questioner
from dorm.migrations.state import ModelState, ProjectState, references_of, with_options
from dorm.migrations.values import comparable

_OPTIONS_APART = ("unique_together", "indexes", "constraints", "order_with_respect_to")
"""Options of a new model that come after its relations, since they may name them."""

_NOT_IN_DATABASE = ("violation_error_message", "violation_error_code")


@dataclass
class _Found:
    """Operations with what they make and need, in the order they were found."""

    planned: list[Planned] = attribute(default_factory=list)

    def add(self, app: str, operation: Operation, makes: Iterable[Any] = (), needs: Iterable[Any] = ()) -> None:
        self.planned.append(Planned(app, operation, frozenset(makes), frozenset(needs), len(self.planned)))


class MigrationAutodetector:
    """Finds what changed between two states.

    Args:
        rename_hints: ``{"models": {app: {Old: New}}, "fields": {"app.Model": {old: new}}}``.
        detect_renames: take what disappeared and what appeared with the same content for a rename, where there is only
            one candidate.
        questioner: who answers what the states do not say.
    """

    def __init__(
        self,
        from_state: ProjectState,
        to_state: ProjectState,
        rename_hints: Mapping[str, Any] | None = None,
        detect_renames: bool = False,
        questioner: Questioner | None = None,
    ) -> None:
        self.from_state = from_state
        self.to_state = to_state
        self.hints = rename_hints or {}
        self.detect_renames = detect_renames
        self.questioner = questioner or Questioner()

    # -- results -------------------------------------------------------------------------------------------------
    def changes(self, app_label: str | None = None) -> dict[str, list[Operation]]:
        """Return the operations by app label, of one app or of all; apps without changes are left out."""
        found: dict[str, list[Operation]] = {}
        for app, _, operations, _ in self._chunks():
            if app_label in (None, app):
                found.setdefault(app, []).extend(operations)
        return found

    def migrations(
        self, graph: Graph | None = None, labels: Sequence[str] | None = None, migrated: Iterable[str] = ()
    ) -> list[Migration]:
        """Return migrations without names, with their dependencies, in an order that works.

        Args:
            graph: the migrations there are; what they make is depended on.
            labels: apps to look at, with what they need of others.
        """
        groups = self._chunks()
        if labels is not None:
            groups = _closure(groups, set(labels))
        made: dict[tuple[str, int], Migration] = {}
        result: list[Migration] = []
        counts: dict[str, int] = {}
        for app, level, operations, needs in groups:
            count = counts[app] = counts.get(app, 0) + 1
            leaf = graph.leaf_nodes(app) if graph is not None else []
            migration = Migration(app_label=app, operations=operations)
            dependencies: list[Any] = []
            if count > 1:
                dependencies.append(next(each for each in reversed(result) if each.app_label == app))
            elif leaf:
                dependencies.extend(leaf)
            else:
                migration.initial = True
            dependencies.extend(self._needed(app, needs, made, graph, migrated))
            migration.dependencies = dependencies
            made[(app, level)] = migration
            result.append(migration)
        return result

    def _needed(
        self,
        app: str,
        needs: frozenset[Any],
        made: Mapping[tuple[str, int], Migration],
        graph: Graph | None,
        migrated: Iterable[str],
    ) -> list[Any]:
        """Return the migrations of other apps that one depends on: planned ones, else the last one there is."""
        found: list[Any] = []
        for label, level in sorted(needs, key=lambda each: (each[0], -1 if each[1] is None else each[1])):
            if label == app:
                continue
            if level is not None and (label, level) in made:
                found = [each for each in found if not (isinstance(each, Migration) and each.app_label == label)]
                found.append(made[(label, level)])
            elif level is None and not any(isinstance(each, Migration) and each.app_label == label for each in found):
                leaves: list[Node] = graph.leaf_nodes(label) if graph is not None else []
                found.extend(leaves[:1])
        return found

    def _chunks(self) -> list[tuple[str, int, list[Operation], frozenset[Any]]]:
        """Return (app, level, operations, (app, level or None) it needs) in an order that works."""
        found = self._detect()
        ordered = in_order(found.planned)
        return [(app, level, optimise(part, app), needs) for app, level, part, needs in chunks(ordered)]

    # -- detection -----------------------------------------------------------------------------------------------
    def _detect(self) -> _Found:
        found = _Found()
        old = self.from_state.clone()
        old._apps = None
        new = self.to_state
        self._renamed_models(old, new, found)
        self._renamed_fields(old, new, found)
        created = [key for key in new.models if key not in old.models]
        deleted = [key for key in old.models if key not in new.models and key.rpartition(".")[0] not in old.real_apps]
        both = [key for key in new.models if key in old.models]
        for key in _parents_first(created, new):
            self._create(new.models[key], found)
        for key in deleted:
            self._delete(old.models[key], old, found)
        for key in both:
            self._change(old.models[key], new.models[key], found)
        return found

    # -- renames -------------------------------------------------------------------------------------------------
    def _renamed_models(self, old: ProjectState, new: ProjectState, found: _Found) -> None:
        for key in sorted(key for key in new.models if key not in old.models):
            added = new.models[key]
            gone = [
                state
                for name, state in sorted(old.models.items())
                if name not in new.models and state.app_label == added.app_label
            ]
            before = self._former_model(added, gone)
            if before is None:
                continue
            operation = ops.RenameModel(before.name, added.name)
            operation.state_forwards(added.app_label, old)
            found.add(
                added.app_label,
                operation,
                makes=[("model", key), ("renamed", key)],
                needs=_needs_of(added),
            )

    def _former_model(self, added: ModelState, gone: Sequence[ModelState]) -> ModelState | None:
        hinted = self.hints.get("models", {}).get(added.app_label, {})
        for state in gone:
            if hinted.get(state.name) == added.name or hinted.get(state.name_lower) == added.name:
                return state
        alike = [state for state in gone if _same_fields(state, added)]
        if self.detect_renames and len(alike) == 1:
            return alike[0]
        for state in alike:
            if self.questioner.ask_rename_model(state, added):
                return state
        return None

    def _renamed_fields(self, old: ProjectState, new: ProjectState, found: _Found) -> None:
        for key in [key for key in new.models if key in old.models]:
            after = new.models[key]
            for name in [name for name in after.fields if name not in old.models[key].fields]:
                before = old.models[key]
                gone = [each for each in before.fields if each not in after.fields]
                former = self._former_field(before, after, name, gone)
                if former is None:
                    continue
                field = after.fields[name]
                operation = ops.RenameField(after.name, former, name)
                wanted = field.db_column
                if wanted is not None and wanted != before.fields[former].db_column:
                    # The column keeps its name: say so first, so that the rename does not touch it.
                    kept = with_options(before.fields[former], db_column=wanted)
                    alter = ops.AlterField(after.name, former, kept)
                    alter.state_forwards(after.app_label, old)
                    found.add(after.app_label, alter, needs=[("renamed", key)])
                operation.state_forwards(after.app_label, old)
                found.add(
                    after.app_label,
                    operation,
                    makes=[("field", key, name), ("renamed field", key)],
                    needs=[("renamed", key), *_targets(field, after)],
                )

    def _former_field(self, before: ModelState, after: ModelState, name: str, gone: Sequence[str]) -> str | None:
        hinted = {
            **self.hints.get("fields", {}).get(f"{after.app_label}.{after.name}", {}),
            **self.hints.get("fields", {}).get(after.key, {}),
        }
        for each in gone:
            if hinted.get(each) == name:
                return each
        field = after.fields[name]
        alike = [each for each in gone if _same_field(before.fields[each], field, each)]
        if self.detect_renames and len(alike) == 1:
            return alike[0]
        for each in alike:
            if self.questioner.ask_rename(after.name, each, name, field):
                return each
        return None

    # -- models --------------------------------------------------------------------------------------------------
    def _create(self, state: ModelState, found: _Found) -> None:
        app, key = state.app_label, state.key
        related = {name: each for name, each in state.fields.items() if _targets(each, state)}
        keys = [name for name, each in related.items() if each.primary_key]
        first = {name: each for name, each in state.fields.items() if name not in related or name in keys}
        options = {name: value for name, value in state.options.items() if name not in _OPTIONS_APART}
        needs: list[Any] = [("model", base) for base in state.bases if isinstance(base, str)]
        needs += [target for name in keys for target in _targets(related[name], state) if target != ("model", key)]
        needs += [("gone", key.rpartition(".")[0], state.table)]
        operation = ops.CreateModel(state.name, list(first.items()), options, state.bases, state.managers)
        found.add(app, operation, makes=[("model", key), *[("field", key, name) for name in first]], needs=needs)
        if not state.options.get("managed", True):
            # An unmanaged model is what the database has: all of it at once.
            operation.fields = list(state.fields.items())
            return
        for name, each in related.items():
            if name not in first:
                needs = [("model", key), *_targets(each, state)]
                found.add(app, ops.AddField(state.name, name, each), makes=[("field", key, name)], needs=needs)
        self._add_options(state, found, [("field", key, name) for name in state.fields])

    def _add_options(self, state: ModelState, found: _Found, needs: Sequence[Any]) -> None:
        app, name = state.app_label, state.name
        if state.options.get("order_with_respect_to"):
            order = state.options["order_with_respect_to"]
            found.add(app, ops.AlterOrderWithRespectTo(name, order), needs=needs)
        for index in state.indexes:
            found.add(app, ops.AddIndex(name, index), needs=needs)
        if state.options.get("unique_together"):
            found.add(app, ops.AlterUniqueTogether(name, state.options["unique_together"]), needs=needs)
        for constraint in state.constraints:
            found.add(app, ops.AddConstraint(name, constraint), needs=needs)

    def _delete(self, state: ModelState, old: ProjectState, found: _Found) -> None:
        app, key = state.app_label, state.key
        made = [("deleted", key), ("gone", app, state.table)]
        needs: list[Any] = []
        for name, each in state.fields.items():
            targets = _targets(each, state)
            if targets and not each.primary_key and state.options.get("managed", True):
                if any(name in group for group in state.options.get("unique_together") or ()):
                    found.add(app, ops.AlterUniqueTogether(state.name, None), makes=[("no unique", key)])
                    needs.append(("no unique", key))
                found.add(
                    app,
                    ops.RemoveField(state.name, name),
                    makes=[("removed", key, name)],
                    needs=[("no unique", key), ("no index", key)],
                )
                needs.append(("removed", key, name))
        for other in old.models.values():
            for name, each in other.fields.items():
                if other.key != key and ("model", key) in _targets(each, other):
                    needs += [("removed", other.key, name), ("altered", other.key, name), ("deleted", other.key)]
            if key in other.bases:
                needs.append(("deleted", other.key))
        circular = {("deleted", each.key) for each in old.models.values() if each.key in _keys(state)}
        found.add(app, ops.DeleteModel(state.name), makes=made, needs=[each for each in needs if each not in circular])

    # -- changes of a model --------------------------------------------------------------------------------------
    def _change(self, old: ModelState, new: ModelState, found: _Found) -> None:
        app, key = new.app_label, new.key
        if old is new:
            return
        before = [("renamed", key), ("renamed field", key)]
        managed = new.options.get("managed", True)
        if managed and old.options.get("managed", True) and not new.options.get("proxy"):
            self._remove_indexes(old, new, found, before)
            self._change_together(old, new, found, before, removal=True)
            self._change_fields(old, new, found, before)
            fields = [*before, ("no index", key), *[("field", key, name) for name in new.fields]]
            fields += [("altered", key, name) for name in new.fields]
            self._change_together(old, new, found, fields, removal=False)
            self._add_indexes(old, new, found, fields)
            if (old.options.get("db_table") or None) != (new.options.get("db_table") or None):
                found.add(app, ops.AlterModelTable(new.name, new.options.get("db_table")), needs=before)
            comment = new.options.get("db_table_comment") or None
            if (old.options.get("db_table_comment") or None) != comment:
                found.add(app, ops.AlterModelTableComment(new.name, comment), needs=before)
            order = new.options.get("order_with_respect_to")
            if old.options.get("order_with_respect_to") != order:
                found.add(app, ops.AlterOrderWithRespectTo(new.name, order), needs=fields)
        self._change_options(old, new, found, before)
        managers = (comparable([*map(_manager, old.managers)]), comparable([*map(_manager, new.managers)]))
        if managers[0] != managers[1]:
            found.add(app, ops.AlterModelManagers(new.name, new.managers), needs=before)

    def _change_options(self, old: ModelState, new: ModelState, found: _Found, needs: Sequence[Any]) -> None:
        def relevant(state: ModelState) -> dict[str, Any]:
            return {
                name: value
                for name, value in state.options.items()
                if name in ops.AlterModelOptions.ALTER_OPTION_KEYS and value not in (None, [], ())
            }

        before, after = relevant(old), relevant(new)
        if comparable(before) != comparable(after):
            found.add(new.app_label, ops.AlterModelOptions(new.name, after), needs=needs)

    def _change_together(
        self, old: ModelState, new: ModelState, found: _Found, needs: Sequence[Any], removal: bool
    ) -> None:
        before = {tuple(group) for group in old.options.get("unique_together") or ()}
        after = {tuple(group) for group in new.options.get("unique_together") or ()}
        if before == after:
            return
        if removal and before - after:
            operation = ops.AlterUniqueTogether(new.name, before & after)
            found.add(new.app_label, operation, makes=[("no index", new.key)], needs=needs)
        if not removal and after - before:
            found.add(new.app_label, ops.AlterUniqueTogether(new.name, after), needs=needs)

    def _change_fields(self, old: ModelState, new: ModelState, found: _Found, before: Sequence[Any]) -> None:
        app, key = new.app_label, new.key
        for name in [name for name in old.fields if name not in new.fields]:
            self._remove_field(new, name, found, before)
        for name, field in new.fields.items():
            if name not in old.fields:
                self._add_field(new, name, field, found, [*before, ("removed", key, name)])
            elif comparable(old.fields[name]) != comparable(field):
                if _compatible(old.fields[name], field):
                    self._alter_field(old, new, name, found, before)
                else:
                    self._remove_field(new, name, found, before)
                    self._add_field(new, name, field, found, [*before, ("removed", key, name)])
        _ = app

    def _remove_field(self, state: ModelState, name: str, found: _Found, before: Sequence[Any]) -> None:
        key = state.key
        needs = [*before, ("no index", key)]
        found.add(state.app_label, ops.RemoveField(state.name, name), makes=[("removed", key, name)], needs=needs)

    def _add_field(self, state: ModelState, name: str, field: Any, found: _Found, needs: Sequence[Any]) -> None:
        preserve = True
        if _needs_value(field):
            value = self.questioner.ask_not_null_addition(name, state.name)
            if value is not NOT_PROVIDED:
                field, preserve = with_options(field, default=value), False
        operation = ops.AddField(state.name, name, field, preserve)
        made = [("field", state.key, name)]
        found.add(state.app_label, operation, makes=made, needs=[*needs, *_targets(field, state)])

    def _alter_field(self, old: ModelState, new: ModelState, name: str, found: _Found, needs: Sequence[Any]) -> None:
        before, field = old.fields[name], new.fields[name]
        preserve = True
        if before.null and not field.null and _needs_value(field):
            value = self.questioner.ask_not_null_alteration(name, new.name)
            if value is not NOT_PROVIDED:
                field, preserve = with_options(field, default=value), False
        operation = ops.AlterField(new.name, name, field, preserve)
        found.add(
            new.app_label,
            operation,
            makes=[("altered", new.key, name)],
            needs=[*needs, ("no index", new.key), *_targets(field, new)],
        )

    def _remove_indexes(self, old: ModelState, new: ModelState, found: _Found, needs: Sequence[Any]) -> None:
        made = [("no index", new.key)]
        for index in _gone(old.indexes, new.indexes):
            if _renamed(index, old.indexes, new.indexes) is None:
                found.add(new.app_label, ops.RemoveIndex(new.name, name=index.name), makes=made, needs=needs)
        for constraint in _gone(old.constraints, new.constraints):
            if _replacement(constraint, new.constraints) is None:
                found.add(new.app_label, ops.RemoveConstraint(new.name, name=constraint.name), makes=made, needs=needs)

    def _add_indexes(self, old: ModelState, new: ModelState, found: _Found, needs: Sequence[Any]) -> None:
        for index in _gone(old.indexes, new.indexes):
            renamed = _renamed(index, old.indexes, new.indexes)
            if renamed is not None:
                found.add(new.app_label, ops.RenameIndex(new.name, renamed.name, index.name), needs=needs)
        renames = [_renamed(index, old.indexes, new.indexes) for index in _gone(old.indexes, new.indexes)]
        for index in _gone(new.indexes, old.indexes):
            if not any(index is each for each in renames):
                found.add(new.app_label, ops.AddIndex(new.name, index), needs=needs)
        for constraint in _gone(new.constraints, old.constraints):
            if _replacement(constraint, old.constraints) is not None:
                found.add(new.app_label, ops.AlterConstraint(new.name, constraint.name, constraint), needs=needs)
            else:
                found.add(new.app_label, ops.AddConstraint(new.name, constraint), needs=needs)


# -- comparing ---------------------------------------------------------------------------------------------------


def _targets(field: Any, state: ModelState) -> list[tuple[str, str]]:
    """Return the resources ("model", key) that a field needs."""
    return [("model", key) for key in references_of(field, state)]


def _keys(state: ModelState) -> set[str]:
    return {key for each in state.fields.values() for key in references_of(each, state)}


def _needs_of(state: ModelState) -> list[Any]:
    return [target for each in state.fields.values() for target in _targets(each, state) if target[1] != state.key]


def _needs_value(field: Any) -> bool:
    """True when rows that exist would have no value in a new column."""
    return not (
        field.null
        or field.has_default()
        or getattr(field, "has_db_default", False)
        or getattr(field, "many_to_many", False)
        or getattr(field, "generated", False)
        or (field.blank and field.empty_strings_allowed)
        or field.primary_key
        or getattr(field, "auto_now", False)
        or getattr(field, "auto_now_add", False)
    )


def _compatible(old: Any, new: Any) -> bool:
    many = (getattr(old, "many_to_many", False), getattr(new, "many_to_many", False))
    generated = (getattr(old, "generated", False), getattr(new, "generated", False))
    if generated[0] and generated[1]:
        # Another expression is another column.
        return bool(
            comparable(old.deconstruct()[3].get("expression")) == comparable(new.deconstruct()[3].get("expression"))
        )
    return many[0] == many[1] and generated[0] == generated[1]


def _same_field(old: Any, new: Any, old_name: str) -> bool:
    a, b = comparable(old), comparable(new)
    if a == b:
        return True
    # A field that keeps its column under the old name was renamed too.
    return bool(new.db_column == old_name and comparable(with_options(old, db_column=new.db_column)) == b)


def _same_fields(old: ModelState, new: ModelState) -> bool:
    def content(state: ModelState) -> list[Any]:
        return sorted(((name, comparable(each)) for name, each in state.fields.items()), key=lambda pair: str(pair[0]))

    def own(value: Any, state: ModelState) -> Any:
        """Return *value* with references of the model to itself made alike."""
        if isinstance(value, (list, tuple)):
            return [own(each, state) for each in value]
        if isinstance(value, dict):
            return {k: own(each, state) for k, each in value.items()}
        return "self" if value == state.key else value

    return bool(own(content(old), old) == own(content(new), new))


def _manager(pair: tuple[str, Any]) -> Any:
    name, manager = pair
    return name, manager.deconstruct() if hasattr(manager, "deconstruct") else type(manager)


def _gone(old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    there = [comparable(each) for each in new]
    return [each for each in old if comparable(each) not in there]


def _renamed(index: Any, old: Sequence[Any], new: Sequence[Any]) -> Any:
    """Return the index of *new* that is *index* under another name; None when it is gone."""
    alike = [each for each in _gone(new, old) if same_definition(each, index) and each.name != index.name]
    return alike[0] if len(alike) == 1 else None


def _replacement(constraint: Any, others: Sequence[Any]) -> Any:
    """Return the constraint of that name that differs only in what the database does not know."""

    def content(each: Any) -> Any:
        path, args, kwargs = each.deconstruct()
        return comparable((path, args, {k: v for k, v in kwargs.items() if k not in _NOT_IN_DATABASE}))

    found = [each for each in others if each.name == constraint.name and content(each) == content(constraint)]
    return found[0] if found else None


def _parents_first(keys: Sequence[str], state: ProjectState) -> list[str]:
    found: list[str] = []

    def visit(key: str) -> None:
        if key in found or key not in keys:
            return
        for base in state.models[key].bases:
            if isinstance(base, str):
                visit(base)
        found.append(key)

    for key in keys:
        visit(key)
    return found


def _closure(
    groups: Sequence[tuple[str, int, list[Operation], frozenset[Any]]], labels: set[str]
) -> list[tuple[str, int, list[Operation], frozenset[Any]]]:
    """Return the groups of some apps, and those they need."""
    by_key = {(app, level): needs for app, level, _, needs in groups}
    wanted = {key for key in by_key if key[0] in labels}
    stack = list(wanted)
    while stack:
        for need in by_key[stack.pop()]:
            if need in by_key and need not in wanted:
                wanted.add(need)
                stack.append(need)
    return [group for group in groups if (group[0], group[1]) in wanted]
