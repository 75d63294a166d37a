"""What the autodetector cannot know: renames, and values for rows that exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dorm.exceptions import MigrationError
from dorm.fields.base import NOT_PROVIDED


class Questioner:
    """Answers without asking anybody: nothing is a rename, and no value is made up."""

    def ask_rename_model(self, old: Any, new: Any) -> bool:
        """Was the model *old* renamed to *new*?"""
        return False

    def ask_rename(self, model_name: str, old_name: str, new_name: str, field: Any) -> bool:
        """Was the field *old_name* renamed to *new_name*?"""
        return False

    def ask_not_null_addition(self, field_name: str, model_name: str) -> Any:
        """Return the value that rows get in a new column that may not be NULL; NOT_PROVIDED for none."""
        return NOT_PROVIDED

    def ask_not_null_alteration(self, field_name: str, model_name: str) -> Any:
        """Return the value for rows that hold NULL where it is forbidden now; NOT_PROVIDED for none."""
        return NOT_PROVIDED


class RefusingQuestioner(Questioner):
    """Refuses, with the ways out, where a value is needed and nobody can be asked."""

    def ask_not_null_addition(self, field_name: str, model_name: str) -> Any:
        raise MigrationError(
            f"the new field {model_name}.{field_name} may not be NULL and has no default, so rows that exist have no "
            "value for it. Give it default=... or db_default=..., let it be null=True, or run makemigrations on a "
            "terminal, where a value for those rows can be given."
        )


class InteractiveQuestioner(RefusingQuestioner):
    """Asks on the terminal.

    Args:
        ask: shows a text and returns what is typed. say: shows a line.
    """

    def __init__(self, ask: Callable[[str], str], say: Callable[[str], None]) -> None:
        self.ask = ask
        self.say = say

    def _yes(self, question: str) -> bool:
        while True:
            answer = self.ask(f"{question} [y/N] ").strip().lower()
            if answer in ("", "n", "no"):
                return False
            if answer in ("y", "yes"):
                return True

    def ask_rename_model(self, old: Any, new: Any) -> bool:
        return self._yes(f"Was the model {old.app_label}.{old.name} renamed to {new.name}?")

    def ask_rename(self, model_name: str, old_name: str, new_name: str, field: Any) -> bool:
        return self._yes(f"Was {model_name}.{old_name} renamed to {model_name}.{new_name} (a {type(field).__name__})?")

    def ask_not_null_addition(self, field_name: str, model_name: str) -> Any:
        self.say(
            f"It is impossible to add a non-nullable field '{field_name}' to {model_name} without specifying a "
            "default: rows that exist need a value."
        )
        return self._value()

    def ask_not_null_alteration(self, field_name: str, model_name: str) -> Any:
        self.say(f"{model_name}.{field_name} may not be NULL any more: rows that hold NULL need a value.")
        return self._value()

    def _value(self) -> Any:
        import datetime
        import decimal
        import uuid

        names = {"datetime": datetime, "decimal": decimal, "uuid": uuid}
        self.say("Type a Python expression for them (datetime, decimal and uuid are there), or 'exit'.")
        while True:
            text = self.ask(">>> ").strip()
            if text in ("exit", "quit", ""):
                raise MigrationError("no value was given; nothing was written.")
            try:
                return eval(text, dict(names))
            except Exception as exc:  # noqa: BLE001  # whatever the text does wrong is shown, and asked again
                self.say(f"{type(exc).__name__}: {exc}")
