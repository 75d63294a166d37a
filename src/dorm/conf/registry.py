"""The models of this process by (app label, name), and what waits for one that is not declared yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dorm.exceptions import ImproperlyConfigured, choices_text, nearest


class Registry:
    """Models by app label and lower-case name."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], Any] = {}
        self._waiting: list[tuple[str, str, Callable[[Any], None]]] = []

    def register(self, label: str, name: str, model: Any) -> None:
        """Add *model* and call whoever waits for it.

        The same class declared again (a module reloaded, a notebook cell run twice) replaces the former one; another
        class of that name in the app is refused.
        """
        key = (label, name.lower())
        known = self._models.get(key)
        if known is not None and (known.__module__, known.__qualname__) != (model.__module__, model.__qualname__):
            raise ImproperlyConfigured(
                f"{model.__module__}.{name} clashes with {known.__module__}.{known.__name__}: app {label!r} has "
                f"a model of that name. Rename one, or set Meta.app_label."
            )
        self._models[key] = model
        self._call([entry for entry in self._waiting if self._exact(entry[0], entry[1]) is model])

    def when_ready(self, label: str, reference: str, callback: Callable[[Any], None]) -> None:
        """Call *callback* with the model that *reference* means in app *label*, now or once it is declared.

        A bare name means the model of the own app; another app's waits for `settle`.
        """
        found = self._exact(label, reference)
        if found is None:
            self._waiting.append((label, reference, callback))
        else:
            callback(found)

    def settle(self) -> None:
        """Let bare names that the own app does not declare mean the only model of that name in another app.

        Called when somebody needs to know: the first query, a relation that is followed, a name that is not found.
        """
        for entry in list(self._waiting):
            found = self._anywhere(entry[1])
            if found is not None and entry in self._waiting:
                self._waiting.remove(entry)
                entry[2](found)

    def forget(self, model: Any) -> None:
        """Take back a model that was refused after all, and what its fields wait for."""
        self._models = {key: known for key, known in self._models.items() if known is not model}
        self._waiting = [entry for entry in self._waiting if _owner(entry[2]) is not model]

    def _call(self, ready: list[tuple[str, str, Callable[[Any], None]]]) -> None:
        self._waiting = [entry for entry in self._waiting if entry not in ready]
        for label, reference, callback in ready:
            callback(self._exact(label, reference))

    def get(self, label: str, name: str) -> Any:
        """Return a model; LookupError-like `ImproperlyConfigured` naming what exists."""
        found = self._models.get((label, name.lower()))
        if found is None:
            names = [model.__name__ for (app, _), model in self._models.items() if app == label]
            raise ImproperlyConfigured(
                f"no model {name!r} in app {label!r}.{nearest(name, names)} Models there: {choices_text(names)}."
            )
        return found

    def get_model(self, app_label: str, model_name: str | None = None) -> Any:
        """Return a model by app and name, or by ``"app.Model"`` alone.

        Raises: LookupError: there is none. ValueError: a single argument that is not of that form.
        """
        if model_name is None:
            app_label, dot, model_name = app_label.rpartition(".")
            if not dot or not app_label:
                raise ValueError(f"get_model() takes 'app' and 'Model', or 'app.Model', not {model_name!r} alone.")
        try:
            return self.get(app_label, model_name)
        except ImproperlyConfigured as exc:
            raise LookupError(str(exc)) from exc

    def get_models(self) -> list[Any]:
        """Return the models of all apps, in the order of their declaration."""
        return self.all()

    def all(self, label: str | None = None) -> list[Any]:
        """Return the models, of one app or of all, in the order of their declaration."""
        return [model for (app, _), model in self._models.items() if label in (None, app)]

    def pending(self) -> list[str]:
        """Return the references that nothing answers, as ``app.Name``."""
        self.settle()
        return sorted({ref if "." in ref else f"{label}.{ref}" for label, ref, _ in self._waiting})

    @property
    def is_settled(self) -> bool:
        """True when no reference waits."""
        return not self._waiting

    def _exact(self, label: str, reference: str) -> Any | None:
        app, dot, name = reference.rpartition(".")
        return self._models.get((app if dot else label, name.lower()))

    def _anywhere(self, reference: str) -> Any | None:
        if "." in reference:
            return None
        same = [model for (_, lower), model in self._models.items() if lower == reference.lower()]
        return same[0] if len(same) == 1 else None


def _owner(callback: Callable[[Any], None]) -> Any:
    """Return the model whose field waits by *callback*: a method of the field, or a partial one; else None."""
    method = getattr(callback, "func", callback)
    return getattr(getattr(method, "__self__", None), "model", None)


registry = Registry()
