"""Errors a person can act on: each says in one line what is wrong and what to do."""

from __future__ import annotations


class SharpenError(Exception):
    """Something the user can mend; `remedy` says how."""

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(f"{problem}  ->  {remedy}")
        self.problem = problem
        self.remedy = remedy


class BadInput(SharpenError):
    """A value the user gave is not acceptable; names the field and the value."""

    def __init__(self, field: str, value: object, problem: str, *, remedy: str) -> None:
        super().__init__(f"{field} = {value!r}: {problem}", remedy=remedy)
        self.field = field
        self.value = value


class TooLong(BadInput):
    """A prompt has more tokens than its model takes."""


class Damaged(SharpenError):
    """A stored file or journal row does not match its hash."""


class Mismatch(SharpenError):
    """A run on disk was made by something else than what wants to continue it."""


class Busy(SharpenError):
    """Another process holds the run."""


class Sealed(SharpenError):
    """The test split was asked for before the end, or twice."""


class Unavailable(SharpenError):
    """A registry, endpoint, package or device that is needed cannot be reached."""


class BudgetExhausted(SharpenError):
    """A budget ran out; the run ends cleanly and can continue with a larger one."""

    def __init__(self, meter: str, used: float, limit: float) -> None:
        super().__init__(
            f"budget of {limit:g} {meter} is used up ({used:g})",
            remedy=f"resume with --budget {meter}={2 * limit:g}",
        )
        self.meter = meter
