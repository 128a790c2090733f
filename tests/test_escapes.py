"""The escape list, its short form: every program once, some broken sandboxes, and another user."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from sharpen.attacks.broken import refusal
from sharpen.attacks.escapes import Held, attack_sandbox, escapes, harm_without
from sharpen.attacks.others import NOBODY, python_for_others, said_by_nobody
from sharpen.sandbox.limits import Backend, Hold
from sharpen.sandbox.walls import protections

pytestmark = pytest.mark.skipif(
    not all(wall.stands for wall in protections()), reason="this machine cannot hold foreign code"
)
SLOW = {"S22", "S27", "S34", "S51"}
"""Their waiting is the same as others'; they stand in the full form, `sharpen attack sandbox`."""
SHORT = [one for one in escapes() if not one.broken and one.id not in SLOW]
FEW = [one for one in SHORT if one.id in {"S1", "S5", "S10", "S18", "S35", "S38", "S45", "S55", "X4", "X10"}]


def test_the_list_is_whole() -> None:
    ids = [one.id for one in escapes()]
    assert ids[:60] == [f"S{number}" for number in range(1, 61)] and len(set(ids)) == len(ids)
    assert all(bool(one.program) != bool(one.broken) for one in escapes())


def test_no_program_gets_out() -> None:
    out = [row for row in attack_sandbox(Hold(), SHORT) if row.held is not Held.CONTAINED]
    assert not out


@pytest.mark.parametrize("backend", [Backend.BUBBLEWRAP, Backend.DOCKER])
def test_no_program_gets_out_of_another_back_end(backend: Backend) -> None:
    if not _works(backend):
        pytest.skip(f"{backend} is not installed or does not work here")
    assert {row.held for row in attack_sandbox(Hold(backend=backend), FEW)} == {Held.CONTAINED}


def _works(backend: Backend) -> bool:
    trial = ["bwrap", "--ro-bind", "/", "/", "true"] if backend is Backend.BUBBLEWRAP else ["docker", "info"]
    return (
        bool(shutil.which(trial[0]))
        and not subprocess.run(trial, capture_output=True, check=False).returncode
    )


@pytest.mark.parametrize("name", ["no user namespaces", "Landlock does nothing"])
def test_a_broken_sandbox_refuses(name: str) -> None:
    refused, why = refusal(name)
    assert refused, why


@pytest.mark.parametrize("id", ["S1", "S7", "S24", "S38"])
def test_the_outside_sees_harm(id: str) -> None:
    assert harm_without(next(one for one in escapes() if one.id == id))


@pytest.mark.skipif(os.getuid() != 0, reason="is an ordinary user already")
def test_no_program_of_an_ordinary_user_gets_out() -> None:
    if python_for_others() is None:
        pytest.skip("no Python of this version with which another user may use our packages")
    ids = [one.id for one in FEW]
    program = (
        "from sharpen.attacks.escapes import attack_sandbox, escapes\n"
        "from sharpen.sandbox.limits import Hold\n"
        f"rows = attack_sandbox(Hold(), [one for one in escapes() if one.id in {ids}])\n"
        "print(os.getuid(), {row.held.value for row in rows}, [row.detail for row in rows if row.detail])"
    )
    assert said_by_nobody(program) == f"{NOBODY} {{'contained'}} []\n"
