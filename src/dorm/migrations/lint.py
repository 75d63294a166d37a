"""Looking for migrations that would stop a live database, or could not be undone."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dorm.migrations import operations as ops
from dorm.migrations.apps import migration_files
from dorm.migrations.loader import read_migration
from dorm.migrations.operations.base import Operation
from dorm.migrations.operations.online import AddFieldOnline

CODES = {
    "DORM-M001": "a NOT NULL column with a default is added to a table that exists",
    "DORM-M002": "a column changes its type, which may write the whole table anew under an exclusive lock",
    "DORM-M003": "an index is built while writers wait: build it concurrently",
    "DORM-M004": "RunPython without reverse_code cannot be undone",
    "DORM-M005": "a field is removed at once: code that still runs reads it",
}
"""What each rule finds."""

_NOQA = re.compile(r"#\s*noqa:\s*([A-Z0-9,\s-]*DORM-M\d+[A-Z0-9,\s-]*)", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """One finding: rule, file, operation, and what to do."""

    code: str
    file: str
    operation: str
    message: str


@dataclass
class LintResult:
    """What was found."""

    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when nothing was found."""
        return not self.findings

    def to_json(self) -> str:
        """Return the findings as JSON."""
        return json.dumps({"ok": self.ok, "findings": [asdict(each) for each in self.findings]}, indent=2)

    def to_text(self) -> str:
        """Return the findings, one a line."""
        if self.ok:
            return "No findings."
        return "\n".join(f"{each.file}: {each.code} {each.operation}: {each.message}" for each in self.findings)

    def only(self, codes: Collection[str]) -> LintResult:
        """Return the findings of some rules."""
        wanted = {full_code(code) for code in codes}
        return LintResult([each for each in self.findings if each.code in wanted])


def full_code(code: str) -> str:
    """Return ``DORM-M001`` for it and for ``M001``; ValueError for a rule that is none."""
    found = code.upper() if code.upper().startswith("DORM-") else f"DORM-{code.upper()}"
    if found not in CODES:
        raise ValueError(f"there is no rule {code!r}. Rules: {', '.join(CODES)}.")
    return found


def lint_operations(operations: Sequence[Operation], *, file: str = "", suppressed: Collection[str] = ()) -> LintResult:
    """Look at the operations of one migration, in order; tables that it makes itself are not live.

    Args:
        suppressed: codes that are not told.
    """
    silent = {full_code(code) for code in suppressed}
    made: set[str] = set()
    findings = []
    for operation in _flat(operations):
        if isinstance(operation, ops.CreateModel):
            made.add(operation.name_lower)
        for code, message in _check(operation, made):
            if code not in silent:
                findings.append(Finding(code, file, operation.describe(), message))
    return LintResult(findings)


def _flat(operations: Sequence[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, ops.SeparateDatabaseAndState):
            yield from _flat(operation.database_operations)
        else:
            yield operation


def _check(operation: Operation, made: set[str]) -> Iterator[tuple[str, str]]:
    model = getattr(operation, "model_name_lower", None)
    if isinstance(operation, ops.RunPython) and operation.reverse_code is None:
        yield "DORM-M004", "give it reverse_code, or RunPython.noop where there is nothing to undo."
    if model is None or model in made:
        return
    if isinstance(operation, ops.AddField) and not isinstance(operation, AddFieldOnline):
        given = operation.field.has_default() or getattr(operation.field, "has_db_default", False)
        if not operation.field.null and given and not getattr(operation.field, "many_to_many", False):
            yield "DORM-M001", "use AddFieldOnline, fill the rows with BackfillBatch, then SetNotNullOnline."
    if isinstance(operation, ops.AlterField) and not getattr(operation.field, "many_to_many", False):
        yield "DORM-M002", "check with 'dorm migrate --plan' whether the table is written anew; AlterColumnTypeOnline."
    if isinstance(operation, ops.AddIndex) and not operation.concurrently:
        yield "DORM-M003", "use AddIndex(..., concurrently=True) in a migration with atomic = False."
    if isinstance(operation, ops.RemoveField):
        yield "DORM-M005", "deploy code that does not use it first; then remove it, with '# noqa: DORM-M005'."


def lint_migration_file(path: str | Path, app_label: str | None = None) -> LintResult:
    """Look at one file; ``# noqa: DORM-M00X`` in it silences a rule."""
    path = Path(path)
    label = app_label or path.resolve().parent.parent.name
    text = path.read_text(encoding="utf-8")
    suppressed = [code for match in _NOQA.finditer(text) for code in re.findall(r"DORM-M\d+", match.group(1).upper())]
    migration = read_migration(label, path)
    return lint_operations(migration.operations, file=str(path), suppressed=suppressed)


def lint_directory(folder: str | Path, app_label: str | None = None) -> LintResult:
    """Look at the migrations of a folder, in order."""
    result = LintResult()
    for path in migration_files(Path(folder)):
        result.findings.extend(lint_migration_file(path, app_label).findings)
    return result
