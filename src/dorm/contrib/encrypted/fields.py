"""The fields, and the lookups they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from dorm.contrib.encrypted.keys import V1, V2, is_marked, keys, opened, written_form
from dorm.contrib.pii import REDACTED, is_masking
from dorm.db.secret_names import add_secret_names
from dorm.db.types import TEXT, SqlType
from dorm.exceptions import FieldError
from dorm.fields import CharField, TextField
from dorm.lookups import Lookup


class EncryptedFieldMixin:
    """Makes a field of text store ciphertext: put it before the field's class.

    Args:
        deterministic: the same text gives the same ciphertext, so that ``=`` and ``in`` work, under any configured key;
            False allows no comparison but ``isnull``.
    """

    deterministic: bool

    def __init__(self, *args: Any, deterministic: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deterministic = deterministic

    @property
    def sql_type(self) -> SqlType:
        """The column holds text of any length: ciphertext is longer than what it hides."""
        return TEXT

    def contribute_to_class(self, cls: Any, name: str) -> None:
        """Become a field of *cls*; values of the column are masked in logs."""
        super().contribute_to_class(cls, name)  # type: ignore[misc]  # the field's
        add_secret_names([self.column])  # type: ignore[attr-defined]  # the field's

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        """As the field's, with ``deterministic``."""
        name, path, args, kwargs = super().deconstruct()  # type: ignore[misc]  # the field's
        if not self.deterministic:
            kwargs["deterministic"] = False
        return name, path, args, kwargs

    @property
    def hides_values(self) -> bool:
        """True: errors carry no value."""
        return True

    def encrypted(self, text: str) -> str:
        """Return *text* as it is stored now."""
        return keys()[0].encrypt(text, deterministic=self.deterministic, form=written_form())

    def ciphertexts(self, text: str) -> list[str]:
        """Return every form in which *text* may be stored, for comparisons; FieldError unless deterministic."""
        if not self.deterministic:
            raise FieldError(f"{self} is not deterministic: it cannot be compared, only read and tested for NULL.")
        return [key.encrypt(text, deterministic=True, form=form) for key in keys() for form in (V1, V2)]

    def decrypted(self, stored: str) -> str:
        """Return what *stored* hides; ValueError when no configured key fits.

        A personal value that is going to be masked is not decrypted (`dorm.contrib.pii.masking`).
        """
        if is_masking() and self.pii:  # type: ignore[attr-defined]  # the field's
            return REDACTED
        if not is_marked(stored):
            return stored
        found = opened(stored, keys())
        if found is None:
            raise ValueError(f"could not decrypt a value of {self}: it was written under none of the configured keys")
        return found[1]

    def bind(self, dialect: Any) -> Callable[[Any], Any]:
        """Return what encrypts a value on its way to the driver."""
        return lambda value: self.encrypted(str(value))

    def load(self, dialect: Any) -> Callable[[Any], Any]:
        """Return what decrypts a value on its way back."""
        return self.decrypted


class EncryptedCharField(EncryptedFieldMixin, CharField[Any]):
    """Encrypted text of at most *max_length* characters (checked by validation)."""

    __module__ = "dorm.contrib.encrypted"


class EncryptedTextField(EncryptedFieldMixin, TextField[Any]):
    """Encrypted text of any length."""

    __module__ = "dorm.contrib.encrypted"


class _OneOf(Lookup):
    """Equality under every key: membership in the ciphertexts that the text may have.

    They stand in the compiled statement, so it is compiled each time.
    """

    cacheable: ClassVar[bool] = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        """Return ``column IN (...)``."""
        field: Any = self.lhs.output
        texts = self.rhs if isinstance(self.rhs, (tuple, list, set, frozenset)) else (self.rhs,)
        values = [each for text in texts if text is not None for each in field.ciphertexts(str(text))]
        left, params = self.process_lhs(compiler, connection)
        if not values:
            return "1 = 0", []
        return f"{left} IN ({', '.join(['%s'] * len(values))})", [*params, *values]


class _Exact(_OneOf):
    lookup_name = "exact"
    cacheable = False


class _In(_OneOf):
    lookup_name = "in"
    cacheable = False


def _refusing(name: str) -> type[Lookup]:
    class Refused(Lookup):
        lookup_name = name
        cacheable = False

        def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
            """Refuse."""
            raise FieldError(
                f"{self.lhs.output} is encrypted: lookup {name!r} is not possible, only exact, in, isnull."
            )

    return Refused


for _field in (EncryptedCharField, EncryptedTextField):
    _field.register_lookup(_Exact)
    _field.register_lookup(_In)
    for _name in (
        "iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "gt", "gte", "lt",
        "lte", "range", "regex", "iregex",
    ):  # fmt: skip
        _field.register_lookup(_refusing(_name))
