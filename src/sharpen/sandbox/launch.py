"""Puts the walls around its own process and then runs a program; started by `process`, never imported.

    python launch.py ENTRY RULESET READY FILTER MEMORY CPU FILE HANDLES [IMPORT_PATH ...]

RULESET and READY are file handles: the Landlock ruleset, and the pipe that gets one byte when all walls
stand. FILTER is the seccomp program in hexadecimal, the rest are limits. It needs no file of this package,
and nothing that follows the walls can fail to the outside.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

TYPE_CHECKING = False
"""As in `typing`, whose import would double the time of a start."""
if TYPE_CHECKING:
    from types import TracebackType

_SET_DEATH_SIGNAL, _SET_SECCOMP, _NO_NEW_PRIVILEGES = 1, 22, 38
_KILL, _FILTER_MODE, _RESTRICT_SELF, _CAPABILITIES_V3 = 9, 2, 446, 0x20080522


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def main(words: list[str]) -> None:
    """Set limits and walls, say so, and hand over to the program."""
    entry, ruleset, ready, code, *amounts = words[:8]
    memory, cpu, file_bytes, handles = map(int, amounts)
    for kind, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, handles),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    _walls(int(ruleset), bytes.fromhex(code))
    os.write(int(ready), b"!")
    os.close(int(ready))
    os.environ.clear()
    sys.path[:0] = [os.getcwd()]
    sys.path += words[8:]
    _run(entry)


def _walls(ruleset: int, code: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()
    _must(libc.prctl(_SET_DEATH_SIGNAL, _KILL, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)
    _must(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _must(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    header, nothing = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
    _must(libc.capset(header, nothing))
    program = _Program(len(code) // 8, code)
    _must(libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0))


def _must(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _run(entry: str) -> None:
    """As `python ENTRY` would, with errors that do not show this file."""
    sys.excepthook = _without_this_file
    sys.argv[:] = [entry]
    module = type(sys)("__main__")
    module.__file__ = entry
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = module
    with open(entry, "rb") as source:
        code = compile(source.read(), entry, "exec")
    exec(code, module.__dict__)


def _without_this_file(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


if __name__ == "__main__":
    main(sys.argv[1:])
