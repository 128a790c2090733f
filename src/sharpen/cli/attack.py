"""The command that attacks: sandbox, verifiers, judges, environments; one's own included."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from sharpen.attacks.escapes import Escaped, Held, attack_sandbox, escapes
from sharpen.attacks.hacks import Alarms, Attacked, Caught, Summary
from sharpen.attacks.judges import JudgeReport, attack_judge
from sharpen.attacks.subjects import attack_one, attack_shipped, attack_world
from sharpen.cli.output import Json, print_json
from sharpen.core.errors import BadInput
from sharpen.core.policy import Style
from sharpen.judges.asking import Way
from sharpen.sandbox.limits import Backend, Hold, Level
from sharpen.sandbox.process import reached


class What(StrEnum):
    """What can be attacked."""

    SANDBOX = "sandbox"
    VERIFIERS = "verifiers"
    VERIFIER = "verifier"
    JUDGE = "judge"
    ENVIRONMENT = "environment"


def attack(
    what: str,
    subject: str = "",
    /,
    *,
    cases: Path | None = None,
    level: Level | None = None,
    backend: Backend = Backend.KERNEL,
    only: str = "",
    way: Way = Way.AUTO,
    style: Style = Style.PLAIN,
    reference: bool = False,
    json: Json = False,
) -> None:
    """Try to cheat or to get out; exit 1 if anything succeeds, or an honest solution is turned down.

    Parameters
    ----------
    what
        sandbox, verifiers (all that are shipped), verifier, judge or environment; anything else is taken for
        a verifier: `numeric`, `./mine.py:check`, `my_module:check`.
    subject
        The verifier, the judge's model, or the task family that is played in the environment.
    cases
        For a verifier of yours: JSONL or CSV rows with question and answer, and in JSONL optionally `right`
        (a list of right responses) and `metadata` (an object).
    level
        For the sandbox: walled or isolated; the best one if unset. Nothing would hold some of it at base.
    backend
        For the sandbox: kernel, bubblewrap or docker.
    only
        For the sandbox: some escapes of the list, such as S1,S35.
    way
        For a judge: auto, written or choice.
    style
        For a judge: whether it is asked in plain text or in a chat.
    reference
        For a judge: show it the right answer.
    """
    match what:
        case What.SANDBOX:
            ok = _sandbox(_hold(level, backend), only, json=json)
        case What.VERIFIERS:
            ok = _cheated(attack_shipped(), json=json)
        case What.JUDGE:
            ok = _judge(attack_judge(subject or "tiny", way=way, style=style, reference=reference), json=json)
        case What.ENVIRONMENT:
            ok = _cheated(attack_world(subject or "hinted"), json=json)
        case What.VERIFIER:
            ok = _cheated(attack_one(subject or "numeric", cases), json=json)
        case _:
            ok = _cheated(attack_one(what, cases), json=json)
    if not ok:
        sys.exit(1)


def _hold(level: Level | None, backend: Backend) -> Hold:
    if level is Level.BASE:
        raise BadInput("level", level, "a fork bomb would not be held", remedy="walled or isolated")
    return Hold(backend=backend) if level is None else Hold(level, level, backend)


def _write(line: str) -> None:
    sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


def _sandbox(hold: Hold, only: str, *, json: bool) -> bool:
    names = [name for name in only.split(",") if name]
    chosen = [one for one in escapes() if not names or one.id in names]
    level = reached(hold)
    rows = attack_sandbox(hold, chosen, told=None if json else _tell)
    out = [row for row in rows if row.held is Held.ESCAPED]
    if json:
        print_json({"level": level, "backend": hold.backend, "user": os.getuid(), "escapes": rows})
    else:
        refused = sum(row.held is Held.REFUSED for row in rows)
        held = len(rows) - refused - len(out)
        _write(
            f"{len(rows) - len(out)} of {len(rows)} held: {held} contained, {refused} refused, {len(out)} "
            f"escaped; level {level}, back end {hold.backend}, {'root' if os.getuid() == 0 else 'a user'}"
        )
    return not out


def _tell(row: Escaped) -> None:
    _write(f"{row.id:<4} {row.held:<9}  {row.kind:<13}  {row.title:<48}  {row.detail[:120]}")


def _cheated(found: Attacked | Summary, *, json: bool) -> bool:
    if json:
        print_json(found)
        return found.ok
    _rows(found.hacks)
    caught = sum(hack.tried == hack.caught for hack in found.hacks)
    _write(f"{caught} of {len(found.hacks)} hacks that apply earn nothing at {', '.join(found.verifiers)}")
    _honest(found.honest)
    return found.ok


def _rows(rows: Sequence[Caught]) -> None:
    for row in rows:
        errors = f"{row.errors} errors" if row.errors else ""
        earned = "EARNED" if row.earned else "caught"
        _write(
            f"{row.id:<4} {earned}  {row.caught:>4} of {row.tried:<4} {errors:<11} {row.kind:<8} {row.title}"
        )
        for text in row.earned[:3]:
            _write(f"       {text[:150]}")


def _honest(honest: Alarms) -> None:
    if honest.tried:
        _write(f"{honest.alarms} false alarms at {honest.tried} honest solutions")
    for text in honest.examples:
        _write(f"       {text[:150]}")


def _judge(report: JudgeReport, *, json: bool) -> bool:
    if json:
        print_json(report)
        return True
    for key in sorted(report.keys, key=lambda key: -key.passes):
        _write(
            f"{key.passes:>3} of {key.tried - key.errors:<3} passed, {key.errors:>3} errors  {key.key[:60]!r}"
        )
    for what, share in (
        (f"{len(report.keys)} master keys", report.false_passes),
        ("an honest wrong answer", report.wrong_passes),
        ("the right answer", report.right_passes),
    ):
        _write(f"{what:<24} pass {share.percent()}, {share.n} tasks at which the reply could be read")
    return True
