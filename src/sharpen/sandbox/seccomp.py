"""Which acts a process may ask the kernel for: a filter of system calls (seccomp).

The filter is made here, as the bytes of a classic BPF program, and put on in the child by `launch.py`.
docs.kernel.org/userspace-api/seccomp_filter.html; numbers: the kernel's syscall tables of x86-64 and arm64.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Mapping
from typing import NamedTuple

_LOAD, _AND, _EQUAL, _ABOVE, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16

_DENY = _ERRNO | errno.EPERM
_IGNORE = _ERRNO
"""Reported as done and not done: permission bits and times mean nothing in the folder of a program."""
_UNKNOWN = _ERRNO | errno.ENOSYS
_UNSUPPORTED = _ERRNO | errno.ENOTSUP
_LAST = 462
"""The last system call (of Linux 6.10) that was looked at; later ones do not exist for the program."""

_BOTH = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "pidfd_open": 434, "clone3": 435, "openat2": 437, "pidfd_getfd": 438, "process_madvise": 440,
    "mount_setattr": 442, "memfd_secret": 447, "process_mrelease": 448, "fchmodat2": 452, "statmount": 457,
    "listmount": 458,
}  # fmt: skip
_X86_64 = {
    "open": 2, "ioctl": 16, "shmget": 29, "socket": 41, "connect": 42, "accept": 43, "bind": 49,
    "listen": 50, "socketpair": 53, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62,
    "semget": 64, "msgget": 68, "fcntl": 72, "truncate": 76, "chmod": 90, "fchmod": 91, "chown": 92,
    "fchown": 93, "lchown": 94, "ptrace": 101, "rt_sigqueueinfo": 129, "utime": 132, "setpriority": 141,
    "sched_setparam": 142, "sched_setscheduler": 144, "pivot_root": 155, "prctl": 157, "chroot": 161,
    "mount": 165, "umount2": 166, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197,
    "lremovexattr": 198, "fremovexattr": 199, "tkill": 200, "sched_setaffinity": 203, "tgkill": 234,
    "utimes": 235, "mq_open": 240, "add_key": 248, "request_key": 249, "keyctl": 250, "ioprio_set": 251,
    "inotify_add_watch": 254, "migrate_pages": 256, "openat": 257, "fchownat": 260, "futimesat": 261,
    "fchmodat": 268, "unshare": 272, "move_pages": 279, "utimensat": 280, "accept4": 288,
    "rt_tgsigqueueinfo": 297, "perf_event_open": 298, "prlimit64": 302, "setns": 308,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "sched_setattr": 314,
    "memfd_create": 319, "bpf": 321, "execveat": 322, "userfaultfd": 323, "shmat": 30, "shmctl": 31,
    "semop": 65, "semctl": 66, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "syslog": 103,
    "semtimedop": 220, "mq_unlink": 241, "fanotify_init": 300, "fanotify_mark": 301, "personality": 135,
    "modify_ldt": 154, "io_setup": 206, "io_submit": 209, "splice": 275, "tee": 276, "vmsplice": 278,
    "sync": 162, "syncfs": 306, "getxattr": 191, "lgetxattr": 192, "listxattr": 194, "llistxattr": 195,
    "name_to_handle_at": 303, "open_by_handle_at": 304,
}  # fmt: skip
_ARM64 = {
    "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
    "fremovexattr": 16, "fcntl": 25, "inotify_add_watch": 27, "ioctl": 29, "ioprio_set": 30, "umount2": 39,
    "mount": 40, "pivot_root": 41, "truncate": 45, "chroot": 51, "fchmod": 52, "fchmodat": 53,
    "fchownat": 54, "fchown": 55, "openat": 56, "utimensat": 88, "unshare": 97, "ptrace": 117,
    "sched_setparam": 118, "sched_setscheduler": 119, "sched_setaffinity": 122, "kill": 129, "tkill": 130,
    "tgkill": 131, "rt_sigqueueinfo": 138, "setpriority": 140, "prctl": 167, "mq_open": 180, "msgget": 186,
    "semget": 190, "shmget": 194, "socket": 198, "socketpair": 199, "bind": 200, "listen": 201,
    "accept": 202, "connect": 203, "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220,
    "execve": 221, "migrate_pages": 238, "move_pages": 239, "rt_tgsigqueueinfo": 240,
    "perf_event_open": 241, "accept4": 242, "prlimit64": 261, "setns": 268, "process_vm_readv": 270,
    "process_vm_writev": 271, "kcmp": 272, "sched_setattr": 274, "memfd_create": 279, "bpf": 280,
    "execveat": 281, "userfaultfd": 282, "shmat": 196, "shmctl": 195, "semop": 193, "semctl": 191,
    "msgsnd": 189, "msgrcv": 188, "msgctl": 187, "syslog": 116, "semtimedop": 192, "mq_unlink": 181,
    "fanotify_init": 262, "fanotify_mark": 263, "personality": 92, "io_setup": 0, "io_submit": 2,
    "splice": 76, "tee": 77, "vmsplice": 75, "sync": 81, "syncfs": 267, "getxattr": 8, "lgetxattr": 9,
    "listxattr": 11, "llistxattr": 12, "name_to_handle_at": 264, "open_by_handle_at": 265,
}  # fmt: skip
_MACHINES: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "x86_64": (0xC000003E, _X86_64),
    "aarch64": (0xC00000B7, _ARM64),
}


class _Check(NamedTuple):
    """A call that depends on one argument: `then` if its masked value is among these, `otherwise` if not."""

    call: str
    argument: int
    mask: int
    values: tuple[int, ...]
    then: int
    otherwise: int


_THREAD = 0x10000
_READ_TRUNCATING, _MODE_AND_TRUNCATE = 0x200, 0x203
"""O_RDONLY with O_TRUNC empties a file that may only be read where Landlock is older than version 3."""
_CHECKS = (
    _Check("clone", 0, _THREAD, (_THREAD,), _ALLOW, _DENY),
    _Check("open", 1, _MODE_AND_TRUNCATE, (_READ_TRUNCATING,), _DENY, _ALLOW),
    _Check("openat", 2, _MODE_AND_TRUNCATE, (_READ_TRUNCATING,), _DENY, _ALLOW),
    # A stream pair wakes event loops; a datagram pair could be turned to a socket outside.
    _Check("socketpair", 1, 0xF, (1,), _ALLOW, _DENY),
    _Check("prlimit64", 0, 0xFFFFFFFF, (0,), _ALLOW, _DENY),
    # The owner of a file handle can be any process, which then gets a signal of the child's choice.
    _Check("fcntl", 1, 0xFFFFFFFF, (8, 10, 15, 1024), _DENY, _ALLOW),
    _Check("ioctl", 1, 0xFFFFFFFF, (0x8901, 0x8902, 0x5412, 0x541C), _DENY, _ALLOW),
    # Not to die with its parent; to leave dumps of its memory; to keep the other half of a core idle.
    _Check("prctl", 0, 0xFFFFFFFF, (1, 4, 62), _DENY, _ALLOW),
)
# A sync of all disks waits for everybody's data, and cannot be killed meanwhile.
_IGNORED = frozenset(
    (
        *("chmod", "fchmod", "fchmodat", "fchmodat2", "utime", "utimes", "utimensat", "futimesat"),
        *("sync", "syncfs"),
    )
)
_ABSENT = frozenset(("clone3", "openat2", "statmount", "listmount"))
"""Calls whose flags a filter cannot see (without them the C library uses the older ones), or that tell of
places outside."""
_LACKING = frozenset(("getxattr", "lgetxattr", "listxattr", "llistxattr"))
"""Landlock does not guard the attributes of files outside; to copy a file, Python asks for them."""


def machine() -> str | None:
    """This machine's name if its system calls are known here."""
    return platform.machine() if platform.machine() in _MACHINES else None


def program(name: str) -> bytes:
    """The filter for a machine, as an array of `struct sock_filter`."""
    identity, own = _MACHINES[name]
    numbers = {**own, **_BOTH}
    code = [(_LOAD, 0, 0, _MACHINE_AT), (_EQUAL, 1, 0, identity), (_RETURN, 0, 0, _KILL)]
    code += [(_LOAD, 0, 0, _NUMBER_AT), (_ABOVE, 0, 1, _LAST), (_RETURN, 0, 0, _UNKNOWN)]
    for check in _CHECKS:
        if check.call in numbers:
            code += _argument(check, numbers.pop(check.call))
    for call, number in numbers.items():
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _answer(call))]
    code += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in code)


def _answer(call: str) -> int:
    if call in _ABSENT:
        return _UNKNOWN
    if call in _LACKING:
        return _UNSUPPORTED
    return _IGNORE if call in _IGNORED else _DENY


def _argument(check: _Check, number: int) -> list[tuple[int, int, int, int]]:
    tests = [(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * check.argument), (_AND, 0, 0, check.mask)]
    count = len(check.values)
    tests += [(_EQUAL, count - place, 0, value) for place, value in enumerate(check.values)]
    tests += [(_RETURN, 0, 0, check.otherwise), (_RETURN, 0, 0, check.then)]
    return [(_EQUAL, 0, len(tests), number), *tests]
