"""The warm server of the sandbox: walls itself in, then forks one child per program; never imported.

    python launch.py SOCKET          SOCKET is a file handle, or the path of a socket

Its first message says how to wall itself in; each later one names a program and brings its five handles. It
holds nothing but the standard library: no program, input or answer ever passes through its memory. It ends,
with the program that runs, when the other side of the socket is gone. It needs no file of this package.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import platform
import resource
import select
import signal
import socket
import stat
import sys

TYPE_CHECKING = False
"""As in `typing`, whose import would double the time of a start."""
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType, TracebackType
    from typing import Any, NoReturn

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_SECCOMP, _SUBREAPER, _NO_NEW_PRIVILEGES = 1, 4, 22, 36, 38
_KILL, _FILTER_MODE, _CAPABILITIES_V3 = 9, 2, 0x20080522
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ON_A_FILE = 1 << 1 | 1 << 2 | 1 << 14
"""Rights of Landlock that a file may have which is no folder: write, read, truncate."""
_NEW_PROCESSES = 0x20000000
_NEW_SPACES = 0x10000000 | 0x00020000 | 0x40000000 | 0x08000000 | 0x04000000
"""Namespaces of users, mounts, network, IPC and host name."""
_BIND, _REC, _PRIVATE, _READ_ONLY, _REMOUNT = 4096, 16384, 1 << 18, 1, 32
_NO_SETUID, _NO_DEVICES = 2, 4
_DETACH = 2
_CLONE = {"x86_64": 56, "aarch64": 220}
_PIVOT = {"x86_64": 155, "aarch64": 41}
_LONGEST = 1 << 20
_PIPES = 5
"""Standard input, output and error, the pipe of results, and the one that says that the walls stand."""
LIBC = ctypes.PyDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def main(where: str) -> None:
    """Wall in, say so, serve."""
    if where.isdigit():
        control = socket.socket(fileno=int(where))
    else:
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.connect(where)
    order = json.loads(control.recv(_LONGEST))
    try:
        _wall_in(order)
    except OSError as error:
        _tell(control, {"failed": f"{error.filename2 or error.filename or 'wall'}: {error.strerror}"})
        return
    for name in order["preload"]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    _tell(control, {"ready": True})
    _serve(control, order)


def _serve(control: socket.socket, order: dict[str, Any]) -> None:
    alive, hold = os.pipe()
    code = bytes.fromhex(order["filter"])
    while True:
        said, handles, _, _ = socket.recv_fds(control, _LONGEST, _PIPES)
        if not said:
            return
        run = json.loads(said)
        pid = _fork(_NEW_PROCESSES if order["isolate"] else 0)
        if pid == 0:
            control.close()
            os.close(hold)
            _enter(run, handles, alive, order, code)
            _run(run["entry"])
        for handle in handles:
            os.close(handle)
        if not _attend(control, pid):
            return


def _attend(control: socket.socket, pid: int) -> bool:
    """Wait for the child and say how it ended; False where there is nobody left to tell."""
    ended = os.pidfd_open(pid)
    socket.send_fds(control, [b"{}"], [ended])
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(ended, select.POLLIN)
    there = not any(handle == control.fileno() for handle, _ in poll.poll())
    if not there:
        os.kill(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    os.close(ended)
    _sweep()
    code = os.waitstatus_to_exitcode(status)
    return there and _tell(control, {"code": code, "peak": used.ru_maxrss * 1024})


def _sweep() -> None:
    """Kill what a program without walls left behind; all of it has fallen to this process."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            with open(f"/proc/self/task/{os.getpid()}/children") as listed:
                for child in listed.read().split():
                    os.kill(int(child), signal.SIGKILL)
            os.waitpid(-1, 0)


def _tell(control: socket.socket, said: dict[str, Any]) -> bool:
    try:
        control.send(json.dumps(said).encode())
    except BrokenPipeError:
        return False
    return True


def _wall_in(order: dict[str, Any]) -> None:
    """Everything that all programs share: namespaces, the files that exist, the files that may be touched."""
    _must(LIBC.prctl(_SUBREAPER, 1, 0, 0, 0), "subreaper")
    if order["isolate"]:
        _isolate(order)
    _must(LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no new privileges")
    if order["walls"]:
        _restrict(bytes.fromhex(order["ruleset"]), order["rules"])


def _isolate(order: dict[str, Any]) -> None:
    """A world with its own users, network and IPC; few folders exist in it, read-only but for one."""
    uid, gid, root = os.getuid(), os.getgid(), order["root"]
    _must(LIBC.unshare(_NEW_SPACES), "namespaces")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as target:
            target.write(text)
    _mount("none", "/", _REC | _PRIVATE)
    _mount("tmpfs", root, _NO_SETUID | _NO_DEVICES, kind="tmpfs")
    for path in order["shown"]:
        _show(path, root)
    _show(order["home"], root, writable=True)
    _mount("none", root, _BIND | _REMOUNT | _READ_ONLY | _NO_SETUID | _NO_DEVICES)
    os.chdir(root)
    _must(LIBC.syscall(_PIVOT[platform.machine()], b".", b"."), "pivot_root")
    _must(LIBC.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def _show(path: str, root: str, *, writable: bool = False) -> None:
    target = root + path
    if os.path.lexists(target) or not os.path.exists(path):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.mkdir(target)
    else:
        open(target, "x").close()
    _mount(path, target, _BIND | _REC)
    # Flags that the outer mount has cannot be taken off from within; their numbers are those of statvfs.
    kept = os.statvfs(target).f_flag & (1 | 2 | 4 | 8 | 1024 | 2048)
    _mount("none", target, _BIND | _REMOUNT | kept | (0 if writable else _READ_ONLY) | _NO_SETUID)


def _mount(source: str, target: str, flags: int, *, kind: str = "none") -> None:
    words = [word.encode() for word in (source, target, kind)]
    _must(LIBC.mount(*words, ctypes.c_ulong(flags), None), f"mount of {target}")


def _restrict(attributes: bytes, rules: Sequence[tuple[str, int]]) -> None:
    """A layer of Landlock with these rules; paths that do not exist are passed over."""
    ruleset = LIBC.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    _must(min(0, ruleset), "Landlock ruleset")
    for path, rights in rules:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError):
            continue
        rights &= ~0 if stat.S_ISDIR(os.fstat(place).st_mode) else _ON_A_FILE
        rule = rights.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
        _must(LIBC.syscall(_ADD_RULE, ruleset, 1, rule, 0), f"Landlock rule for {path}")
        os.close(place)
    _must(LIBC.syscall(_RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def _fork(flags: int) -> int:
    """Fork, into a new namespace of processes if that is asked."""
    if not flags:
        return os.fork()
    LIBC.PyOS_BeforeFork()
    pid: int = LIBC.syscall(_CLONE[platform.machine()], ctypes.c_long(flags | signal.SIGCHLD), 0, 0, 0, 0)
    if pid == 0:
        LIBC.PyOS_AfterFork_Child()
    else:
        LIBC.PyOS_AfterFork_Parent()
        _must(min(0, pid), "namespace of processes")
    return pid


def _enter(run: dict[str, Any], handles: list[int], alive: int, order: dict[str, Any], code: bytes) -> None:
    """In the child: its handles, limits and walls; then the word that they stand."""
    high = [os.dup2(handle, 200 + place, inheritable=False) for place, handle in enumerate([*handles, alive])]
    for place, handle in enumerate(high):
        os.dup2(handle, place)
    os.closerange(_PIPES + 1, 1 << 16)
    result, ready, alive = _PIPES - 2, _PIPES - 1, _PIPES
    os.setsid()
    _must(LIBC.prctl(_SET_DEATH_SIGNAL, _KILL, 0, 0, 0), "death signal")
    # Programs that collect dumps do not heed its limits, and keep what they get outside of its folder.
    _must(LIBC.prctl(_SET_DUMPABLE, 0, 0, 0, 0), "no dumps")
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)
    os.close(alive)
    os.chdir(run["folder"])
    _limit(*run["limits"])
    header, nothing = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
    if order["walls"]:
        _restrict(bytes.fromhex(order["ruleset"]), [("/", order["read"]), (run["folder"], order["own"])])
    _must(LIBC.capset(header, nothing), "capabilities")
    if order["walls"]:
        program = _Program(len(code) // 8, code)
        _must(LIBC.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(program), 0, 0), "seccomp")
    os.write(ready, b"!")
    os.close(ready)
    if not run["result"]:
        os.close(result)
    os.environ.clear()
    sys.path[:0] = [os.getcwd()]
    sys.path += order["paths"]


def _limit(memory: int, cpu: int, file_bytes: int, handles: int) -> None:
    for kind, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, handles),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))


def _must(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)


def _run(entry: str) -> NoReturn:
    """As `python ENTRY` would, with errors that do not show this file.

    The end is Python's in all that a program can tell, but its modules are not torn down one by one: that
    would touch, and so copy, most of the memory that it shares with this server.
    """
    here = os.getcwd()
    sys.excepthook = _without_this_file
    sys.argv[:] = [entry]
    module = type(sys)("__main__")
    module.__file__ = entry
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = module
    status = _called(lambda: exec(_compiled(entry), module.__dict__))
    if "threading" in sys.modules:
        status = _called(sys.modules["threading"]._shutdown) or status
    _called(atexit._run_exitfuncs)
    own = [each for each in sys.modules.values() if (getattr(each, "__file__", None) or "").startswith(here)]
    for names in (module.__dict__, *(each.__dict__ for each in own)):
        names.update(dict.fromkeys(names.keys() - {"__builtins__"}))
    gc.collect()
    os._exit(_called(_flush) or status)


def _compiled(entry: str) -> CodeType:
    with open(entry, "rb") as source:
        return compile(source.read(), entry, "exec")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


def _called(function: Callable[[], object]) -> int:
    """The exit status that Python gives a program which ends like this; what it raised is shown."""
    try:
        function()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException as error:  # noqa: BLE001  # foreign code raises anything; it is shown
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _without_this_file(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


if __name__ == "__main__":
    main(sys.argv[1])
