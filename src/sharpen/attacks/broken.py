"""Sandboxes that are broken: the kernel itself is made to lack a feature for one process, or to lie about it.

    python -m sharpen.attacks.broken "no Landlock"

A filter of system calls answers in the kernel's place, for that process and all it starts. The sandbox must
refuse to run a program there. Where only namespaces are missing, it must refuse the level that needs them,
and say of what it runs that it was not isolated.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from sharpen.core.errors import Unavailable
from sharpen.sandbox.limits import AS_USUAL, Backend, Hold, Level

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_SET_SECCOMP, _NO_NEW_PRIVILEGES, _FILTER_MODE = 22, 38, 2
_NUMBERS = {
    "x86_64": {"prctl": 157, "capset": 126, "unshare": 272, "setrlimit": 160, "prlimit64": 302},
    "aarch64": {"prctl": 167, "capset": 91, "unshare": 97, "setrlimit": 164, "prlimit64": 261},
}
_BOTH = {"landlock_create_ruleset": 444, "landlock_restrict_self": 446}


class Lie(NamedTuple):
    """What the kernel answers to some system calls."""

    calls: Sequence[str]
    answer: int
    first: int | None = None
    """Only where this is the call's first argument."""


class Broken(NamedTuple):
    """A sandbox that lacks something."""

    lies: Sequence[Lie] = ()
    hold: Hold = AS_USUAL
    path: str | None = None
    """Where programs are looked for, if not where they are."""
    falls_to: Level | None = None
    """What is still reached where less is asked for; none where nothing may run."""


SUCCESS = _ERRNO
"""Done, says the kernel, and does nothing."""
BROKEN = {
    "no bubblewrap": Broken(hold=Hold(backend=Backend.BUBBLEWRAP), path="/nowhere"),
    "no user namespaces": Broken(
        [Lie(["unshare"], _ERRNO | errno.EPERM)], Hold(least=Level.ISOLATED), falls_to=Level.WALLED
    ),
    "no Landlock": Broken([Lie(["landlock_create_ruleset"], _ERRNO | errno.ENOSYS)]),
    "no seccomp": Broken([Lie(["prctl"], _ERRNO | errno.EINVAL, _SET_SECCOMP)]),
    "helper killed": Broken([Lie(["capset"], _KILL)]),
    "Landlock does nothing": Broken([Lie(["landlock_restrict_self"], SUCCESS)]),
    "seccomp does nothing": Broken([Lie(["prctl"], SUCCESS, _SET_SECCOMP)]),
    "limits do nothing": Broken([Lie(["setrlimit", "prlimit64"], SUCCESS)]),
}


def refusal(name: str) -> tuple[bool, str]:
    """Whether a sandbox that is broken like this refuses, and what it says; tried in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, name], capture_output=True, text=True, timeout=280, check=False
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return False, f"the trial failed: {' '.join(done.stderr.split())[-200:]}"
    told = json.loads(lines[-1])
    return bool(told["refused"]), str(told["why"])


def main(name: str) -> None:
    """Break this process's sandbox, try it, and write down what it did."""
    broken = BROKEN[name]
    if broken.path is not None:
        os.environ["PATH"] = broken.path
    for lie in broken.lies:
        _install(lie)
    refused, why = _tried(broken.hold)
    if refused and broken.falls_to is not None:
        least = Hold(least=broken.falls_to)
        ran, level = _tried(least)
        refused, why = not ran and level == broken.falls_to, f"{why}; at {level} it runs"
    sys.stdout.write(json.dumps({"refused": refused, "why": why}) + "\n")


def _tried(hold: Hold) -> tuple[bool, str]:
    """Whether it refused; and why, or else at which level a program ran."""
    from sharpen.sandbox.process import run_python

    try:
        return False, run_python({"main.py": b"print(1)"}, "main.py", hold=hold).level
    except Unavailable as error:
        return True, error.problem


def _install(lie: Lie) -> None:
    numbers = {**_NUMBERS[platform.machine()], **_BOTH}
    code = [(_LOAD, 0, 0, 0)]
    for call in lie.calls:
        tests = [] if lie.first is None else [(_LOAD, 0, 0, 16), (_EQUAL, 0, 1, lie.first)]
        body = [*tests, (_RETURN, 0, 0, lie.answer)]
        code += [(_EQUAL, 0, len(body), numbers[call]), *body]
        code += [] if lie.first is None else [(_LOAD, 0, 0, 0)]
    code.append((_RETURN, 0, 0, _ALLOW))
    data = b"".join(struct.pack("=HBBI", *line) for line in code)
    libc = ctypes.CDLL(None, use_errno=True)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    program = Program(len(code), data)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "no filter can be set")


if __name__ == "__main__":
    main(sys.argv[1])
