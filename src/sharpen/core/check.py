"""Reports of checks that run before any work: every row says what was wanted and what came."""

from __future__ import annotations

from sharpen.core.errors import BadInput
from sharpen.core.records import Record


class CheckRow(Record):
    """One thing that was tried."""

    case: str
    wanted: str
    got: str
    ok: bool


class CheckReport(Record):
    """All that was tried on one subject."""

    subject: str
    rows: tuple[CheckRow, ...]

    @property
    def ok(self) -> bool:
        """Whether every row is as wanted."""
        return all(row.ok for row in self.rows)

    @property
    def failures(self) -> tuple[CheckRow, ...]:
        """The rows that are not as wanted."""
        return tuple(row for row in self.rows if not row.ok)

    def require(self) -> None:
        """Raise BadInput with the first failure, if there is one."""
        if self.ok:
            return
        first, count = self.failures[0], len(self.failures)
        raise BadInput(
            "check",
            self.subject,
            f"{count} of {len(self.rows)} checks failed; {first.case}: wanted {first.wanted}, got {first.got}",
            remedy="a verifier that fails a check cannot be used: mend it or name another with --verifier",
        )
