"""Reports of checks that run before any work: every row says what was wanted and what came."""

from __future__ import annotations

from enum import StrEnum

from sharpen.core.errors import BadInput
from sharpen.core.records import Record


class Checkable(StrEnum):
    """What can be checked."""

    VERIFIER = "verifier"
    TASK = "task"
    RECIPE = "recipe"


class CheckRow(Record):
    """One thing that was tried."""

    case: str
    wanted: str
    got: str
    ok: bool

    @property
    def outcome(self) -> str:
        """`ok`, or what went wrong."""
        return "ok" if self.ok else f"FAILED: wanted {self.wanted}, got {self.got}"


class CheckReport(Record):
    """All that was tried on one subject."""

    subject: str
    rows: tuple[CheckRow, ...]
    notes: tuple[str, ...] = ()
    """What there is to know besides; nothing that fails."""

    @property
    def ok(self) -> bool:
        """Whether every row is as wanted."""
        return all(row.ok for row in self.rows)

    @property
    def failures(self) -> tuple[CheckRow, ...]:
        """The rows that are not as wanted."""
        return tuple(row for row in self.rows if not row.ok)

    def lines(self) -> list[tuple[str, str]]:
        """Case and outcome, for printing."""
        shown = [
            (row.case, "ok" if row.ok else f"FAILED: wanted {row.wanted}, got {row.got}") for row in self.rows
        ]
        return [
            (self.subject, f"{len(self.rows) - len(self.failures)} of {len(self.rows)} checks passed"),
            *shown,
            *(("note", note) for note in self.notes),
        ]

    def require(self, option: str = "--verifier") -> None:
        """Raise BadInput with the first failure, if there is one; `option` is the one that named it."""
        if self.ok:
            return
        first = self.failures[0]
        counts = f"{len(self.failures)} of {len(self.rows)} checks failed"
        raise BadInput(
            "check",
            self.subject,
            f"{counts}; {first.case}: wanted {first.wanted}, got {first.got}",
            remedy=f"a verifier that fails a check cannot be used: mend it or name another with {option}",
        )
