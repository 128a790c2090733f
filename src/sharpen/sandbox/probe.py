"""A server proves itself: before it gets any work, a program in it tries to get out and must fail."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from sharpen.core.errors import Unavailable
from sharpen.sandbox.folder import folder_with
from sharpen.sandbox.limits import Level, Limits, Status
from sharpen.sandbox.warm import REMEDY, Order, Server
from sharpen.sandbox.watch import Watch

_LIMITS = Limits(seconds=20.0)
_AMOUNTS = (256 << 20, 40, 1 << 20, 64)
_COUNTED = ("environment", "memory limit", "file limit")
_WALLED = (
    *("read", "write", "link", "list", "fork", "exec", "signal", "connect", "datagram", "unix", "memory"),
    *("priority", "mount", "namespace", "keys"),
)
_ISOLATED = ("exists",)
_TRIES = """
import ctypes, os, resource, socket
LIBC = ctypes.CDLL(None, use_errno=True)
def must(done):
    if done < 0: raise OSError(ctypes.get_errno(), "")
def overfill():
    with open("big", "wb") as big:
        for _ in range(64): big.write(bytes(1 << 16))
def fork():
    if os.fork() == 0: os._exit(0)
def absent(path):
    os.stat(path)
TRIES = {
    "environment": lambda: os.environ[next(iter(os.environ), "none")],
    "memory limit": lambda: bytearray(300 << 20),
    "file limit": overfill,
    "read": lambda: open(SECRET).read(),
    "write": lambda: open(SECRET + ".new", "w"),
    "link": lambda: os.link(SECRET, "link"),
    "list": lambda: os.listdir("/"),
    "fork": fork,
    "exec": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "signal": lambda: os.kill(PARENT, 0),
    "connect": lambda: socket.create_connection(("127.0.0.1", PORT), 1),
    "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "memory": lambda: open(f"/proc/{PARENT}/mem", "rb"),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 5),
    "mount": lambda: must(LIBC.mount(b"none", b".", b"tmpfs", 0, None)),
    "namespace": lambda: must(LIBC.unshare(0x10000000)),
    "keys": lambda: must(LIBC.syscall(KEYCTL, 0, -3, 0)),
    "exists": lambda: absent(SECRET),
}
def main():
    for name in NAMES:
        try:
            TRIES[name]()
        except (OSError, MemoryError, KeyError):
            continue
        print(name)
main()
print("end", KNOWN, os.getpid())
"""


def require_held(server: Server) -> None:
    """Raises Unavailable if any escape succeeds that this level forbids."""
    secret = server.base / "secret.txt"
    known = secrets.token_hex(8)
    secret.write_text(known)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        open_ways = _tries(server, secret, listener.getsockname()[1], known)
    if open_ways:
        raise Unavailable(
            f"the sandbox was tried and does not hold at level {server.kind.level}: {', '.join(open_ways)}",
            remedy=REMEDY,
        )


def _tries(server: Server, secret: Path, port: int, known: str) -> list[str]:
    names: tuple[str, ...] = _COUNTED
    if server.kind.level is not Level.BASE:
        names += _WALLED
    if server.kind.level is Level.ISOLATED:
        names += _ISOLATED
    facts = {
        "SECRET": str(secret),
        "PORT": port,
        "PARENT": os.getpid(),
        "NAMES": names,
        "KEYCTL": 219 if os.uname().machine == "aarch64" else 250,
        "KNOWN": known[::-1],
    }
    program = "".join(f"{name} = {value!r}\n" for name, value in facts.items()) + _TRIES
    with folder_with({"try.py": program.encode()}, server.home) as folder:
        child = server.run(Order(folder, "try.py", _AMOUNTS, False))
        number = child.pid
        watch = Watch(child, folder, _LIMITS, None)
        try:
            watch.attend(b"")
        finally:
            watch.close()
        ran = watch.report({}, server.kind.level)
    *found, last = ran.stdout.splitlines() or [""]
    if ran.status is not Status.OK or not last.startswith(f"end {known[::-1]} "):
        return [f"the trial ended early ({ran.reason or ran.status})", *found]
    if server.kind.level is Level.ISOLATED and last.endswith(f" {number}"):
        return [*found, "it has the number that it has outside"]
    return found
