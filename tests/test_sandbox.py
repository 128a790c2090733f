"""Programs that attack: each is stopped and reported, nothing of ours is harmed, the next program runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sharpen.core.errors import BadInput, Unavailable
from sharpen.sandbox import landlock
from sharpen.sandbox.folder import folder_with
from sharpen.sandbox.process import Hold, Level, Limits, Ran, Status, _yard, reached, run_python
from sharpen.sandbox.walls import protections
from sharpen.sandbox.warm import Kind

pytestmark = pytest.mark.skipif(
    not all(wall.stands for wall in protections()), reason="this machine cannot hold foreign code"
)
SECRET = "the answer is 4711"


def run(source: str | bytes, limits: Limits | None = None, **options: object) -> Ran:
    program = source.encode() if isinstance(source, str) else source
    return run_python({"main.py": program}, "main.py", limits=limits, **options)  # type: ignore[arg-type]


WALLED = Hold(most=Level.WALLED)


class Victim(NamedTuple):
    """What must not be touched."""

    folder: Path
    listener: socket.socket

    def tell(self, source: str) -> str:
        """The program, told where everything is."""
        facts = {
            "SECRET": str(self.folder / "secret.txt"),
            "OUTSIDE": str(self.folder),
            "PORT": self.listener.getsockname()[1],
            "PARENT": os.getpid(),
        }
        return "".join(f"{name} = {value!r}\n" for name, value in facts.items()) + source

    def state(self) -> object:
        files = {path: path.read_bytes() for path in self.folder.iterdir()}
        facts = [path.lstat() for path in (self.folder, *files)]
        attributes = [(fact.st_mode, fact.st_uid, fact.st_mtime_ns, fact.st_nlink) for fact in facts]
        return files, attributes, os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0)


@pytest.fixture
def victim() -> Iterator[Victim]:
    """On the file system of the sandbox's own folders: from another one nothing could be renamed anyway."""
    with tempfile.TemporaryDirectory() as place, socket.create_server(("127.0.0.1", 0)) as listener:
        (Path(place) / "secret.txt").write_text(SECRET)
        listener.setblocking(False)
        yield Victim(Path(place), listener)


TIME = {
    "endless loop": "while True: pass",
    "sleep": "import time\ntime.sleep(100)",
    "waits for input": "import sys, time\nsys.stdin.read()\ntime.sleep(100)",
    "ignores signals": "import signal, time\n"
    "for n in range(1, 65):\n"
    "    try: signal.signal(n, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\n"
    "while True: pass",
    "closes its output": "import os, time\nos.closerange(0, 64)\ntime.sleep(100)",
    "catches everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
}
MEMORY = {
    "eight gigabytes": "x = bytearray(8 << 30)",
    "grows": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "big number": "x = 1 << (8 << 33)",
}
AMOUNTS = {
    "output flood": "while True: print('x' * 10_000)",
    "error flood": "import sys\nwhile True: sys.stderr.write('x' * 10_000)",
    "thousands of files": "for n in range(10 ** 9): open(str(n), 'w').close()",
    "thousands of folders": "import os\nwhile True:\n    os.mkdir('d')\n    os.chdir('d')",
    "locked folders": "import os\nos.umask(0o777)\nfor n in range(10 ** 9): os.mkdir(str(n))",
    "many large files": "for n in range(10 ** 9): open(str(n), 'wb').write(b'x' * (1 << 20))",
    "threads": "import threading, time\nthreading.stack_size(1 << 16)\n"
    "while True: threading.Thread(target=time.sleep, args=(100,)).start()",
    "aborts": "import os\nos.abort()",
    "deep recursion": "import sys\nsys.setrecursionlimit(10 ** 9)\n"
    "class A:\n    def __repr__(self): return repr(self)\nrepr(A())",
    "bad pointer": "import ctypes\nctypes.string_at(1)",
}
FORBIDDEN = {
    "fork bomb": "import os\nwhile True: os.fork()",
    "daemon": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(100)",
    "shell": "import os\nif os.system('echo > ' + OUTSIDE + '/made'): raise PermissionError",
    "other program": "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'true'])",
    "writes by absolute path": "open(OUTSIDE + '/made', 'w')",
    "writes by dots": "open('../made', 'w')",
    "writes by link": "import os\nos.symlink(OUTSIDE, 'link')\nopen('link/made', 'w')",
    "writes by hard link": "import os\ntry: os.link(SECRET, 'link')\n"
    "except OSError as error: raise PermissionError from error\nopen('link', 'w')",
    "renames ours": "import os\nos.rename(SECRET, 'mine')",
    "replaces ours": "import os\nopen('mine', 'w').close()\nos.replace('mine', SECRET)",
    "deletes ours": "import os\nos.unlink(SECRET)",
    "deletes our folder": "import shutil\nshutil.rmtree(OUTSIDE)",
    "truncates ours": "import os\nos.truncate(SECRET, 0)",
    "truncates while reading": "import os\nos.open(SECRET, os.O_RDONLY | os.O_TRUNC)",
    "changes an owner": "import os\nos.chown(SECRET, 1, 1)",
    "sets an attribute": "import os\nos.setxattr(SECRET, 'user.x', b'')",
    "reads ours": "print(open(SECRET).read())",
    "lists ours": "import os\nprint(os.listdir(OUTSIDE))",
    "watches ours": "import ctypes, os\nl = ctypes.CDLL(None, use_errno=True)\n"
    "if l.inotify_add_watch(l.inotify_init(), SECRET.encode(), 0xfff) < 0: raise PermissionError",
    "reads users": "print(open('/etc/passwd').read())",
    "reads our environment": "print(open(f'/proc/{PARENT}/environ').read())",
    "reads our memory": "print(open(f'/proc/{PARENT}/mem', 'rb').read(1))",
    "lists processes": "import os\nprint(os.listdir('/proc'))",
    "reads a disk": "import os\nprint(os.open('/dev/vda', os.O_RDONLY))",
    "kills us": "import os\nos.kill(os.getppid(), 9)",
    "kills all": "import os\nos.kill(-1, 9)",
    "stops us": "import os, signal\nos.kill(PARENT, signal.SIGSTOP)",
    "limits us": "import resource\nresource.prlimit(PARENT, resource.RLIMIT_CPU, (1, 1))",
    "slows us": "import os\nos.setpriority(os.PRIO_PROCESS, PARENT, 19)",
    "moves us": "import os\nos.sched_setaffinity(PARENT, {0})",
    "signals us by a file": "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETSIG, 9)\n",
    "owns a file for us": "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, PARENT)\n",
    "raises its limits": "import resource\ntry: resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n"
    "except ValueError as error: raise PermissionError from error",
    "connects": "import socket\nsocket.create_connection(('127.0.0.1', PORT))",
    "datagram": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "unix datagram": "import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "makes a device": "import os, stat\nos.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0))",
    "becomes root again": "import os\nos.setgroups([0])",
    "new root": "import os\nos.chroot('.')",
}


class Expected(NamedTuple):
    programs: dict[str, str]
    limits: Limits
    status: Status
    reason: str


EXPECTED = (
    Expected(TIME, Limits(seconds=0.5), Status.TIMEOUT, "deadline"),
    Expected(MEMORY, Limits(memory=128 << 20), Status.MEMORY, "MemoryError"),
    Expected(AMOUNTS, Limits(), Status.STOPPED, ""),
    Expected(FORBIDDEN, Limits(), Status.STOPPED, "PermissionError"),
)
CASES = [pytest.param(source, kind, id=name) for kind in EXPECTED for name, source in kind.programs.items()]


@pytest.mark.parametrize(("source", "kind"), CASES)
def test_attacks(victim: Victim, source: str, kind: Expected) -> None:
    before = victim.state()
    ran = run(victim.tell(source), kind.limits, hold=WALLED)
    assert ran.status == kind.status, ran
    assert ran.reason.startswith(kind.reason) and "\n" not in ran.reason and ran.reason
    assert len(ran.stdout) <= kind.limits.output and len(ran.stderr) <= kind.limits.output
    assert SECRET not in ran.stdout + ran.stderr and "root:" not in ran.stdout
    assert victim.state() == before
    with pytest.raises(BlockingIOError):
        victim.listener.accept()


RAW = """
import ctypes, errno, os, platform
call = ctypes.CDLL(None, use_errno=True).syscall
ARM = platform.machine() == "aarch64"
tries = {
    "socket": (198 if ARM else 41, 2, 1, 0), "clone": (220 if ARM else 56, 17, 0, 0, 0, 0),
    "clone3": (435, None, 0), "io_uring": (425, 8, bytes(120)), "memfd": (279 if ARM else 319, b"x", 0),
    "ptrace": (117 if ARM else 101, 16, os.getppid(), 0, 0), "pidfd": (434, os.getppid(), 0),
    "vm_readv": (270 if ARM else 310, os.getppid(), None, 0, None, 0, 0),
    "unshare": (97 if ARM else 272, 0x10000000), "shmget": (194 if ARM else 29, 0, 4096, 0o1600),
    "keyctl": (219 if ARM else 250, 0, -3, 0), "bpf": (280 if ARM else 321, 0, bytes(120), 120),
    "later than all": (463, 0, 0, 0), "openat2": (437, -100, b"/etc/passwd", bytes(24), 24),
    "tgkill": (131 if ARM else 234, os.getppid(), os.getppid(), 9),
    "prctl": (167 if ARM else 157, 1, 0, 0, 0, 0),
}
for name, (number, *arguments) in tries.items():
    done = call(number, *arguments)
    if done != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        print(name, done, errno.errorcode.get(ctypes.get_errno()))
print("end")
"""


def test_raw_system_calls() -> None:
    assert run(RAW, hold=WALLED).stdout == "end\n"


def test_modes_and_times_are_left_as_they_are(victim: Victim) -> None:
    before = victim.state()
    assert (
        run(victim.tell("import os\nos.chmod(SECRET, 0o777)\nos.utime(SECRET, (1, 1))")).status == Status.OK
    )
    assert victim.state() == before


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        ("", Status.OK, 0),
        ("import sys; sys.exit(0)", Status.OK, 0),
        ("import sys; sys.exit(7)", Status.FAILED, 7),
        ("import sys; sys.exit('why')", Status.FAILED, 1),
        ("import os; os._exit(255)", Status.FAILED, 255),
        ("1/0", Status.FAILED, 1),
        ("def f(:", Status.FAILED, 1),
        (b"\xff\xfe\x00", Status.FAILED, 1),
    ],
)
def test_ends(source: str, status: Status, code: int) -> None:
    ran = run(source)
    assert (ran.status, ran.exit_code) == (status, code), ran


def test_errors_show_the_program_only() -> None:
    ran = run("def f():\n    return 1/0\nf()\n")
    assert ran.reason == "ZeroDivisionError: division by zero"
    assert ran.stderr.startswith(
        'Traceback (most recent call last):\n  File "main.py", line 3, in <module>\n'
    )


def test_input_and_output() -> None:
    echo = "import sys\nfor line in sys.stdin: print(len(line), line[0])"
    assert run(echo, stdin="é\nab\n").stdout == "2 é\n3 a\n"
    large = "x" * 3_000_000
    assert run("import sys; print(len(sys.stdin.read()))", stdin=large).stdout == "3000000\n"
    assert run("print(1)", stdin=large).status == Status.OK
    assert run("print('\\ud800'.encode('utf-8', 'replace'))", stdin="\ud800").status == Status.OK
    assert run("import os; os.write(1, b'\\xff\\xfe ok')").stdout == "\ufffd\ufffd ok"


def test_two_runs_are_alike() -> None:
    source = "import os, sys\nprint(hash('a'), set('abcdef'), dict(os.environ), sys.argv, os.listdir())"
    assert run(source).stdout == run(source).stdout
    assert "{} ['main.py'] ['main.py']" in run(source).stdout


def test_modules_files_and_packages() -> None:
    files = {
        "main.py": b"import lib.tool\nopen('out.txt', 'w').write(lib.tool.X)",
        "lib/tool.py": b"X = 'hi'",
    }
    ran = run_python(files, "main.py", keep=["out.txt", "absent", "lib"])
    assert ran.files == {"out.txt": b"hi"}
    assert "No module named 'numpy'" in run("import numpy").reason
    assert "No module named 'sharpen'" in run("import sharpen").reason
    wide = Limits(seconds=30, memory=4 << 30)
    assert run("import numpy; print(numpy.ones(2))", wide, packages=True).stdout == "[1. 1.]\n"


def test_a_large_file_ends_at_its_limit() -> None:
    ran = run("open('a', 'wb').write(bytes(1 << 22))", Limits(file_bytes=1000), keep=["a"])
    assert "File too large" in ran.reason and ran.files == {"a": bytes(1000)}


def test_kept_files_follow_no_link(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    from sharpen.sandbox.folder import read_kept

    with folder_with({"a": b"1"}) as folder:
        (folder / "link").symlink_to(victim.folder / "secret.txt")
        (folder / "up").symlink_to(victim.folder)
        os.mkfifo(folder / "pipe")
        assert read_kept(folder, ["a", "link", "up/secret.txt", "pipe"], 100) == {"a": b"1"}
    for name in ("../secret.txt", str(victim.folder / "secret.txt"), "", "a//b", "."):
        with pytest.raises(BadInput):
            run_python({"main.py": b"", name: b""}, "main.py")


def test_nothing_stays_behind() -> None:
    assert reached(WALLED) == Level.WALLED
    handles = os.listdir("/proc/self/fd")
    for name in ("thousands of folders", "locked folders", "output flood"):
        assert run(AMOUNTS[name], Limits(entries=100), hold=WALLED).status == Status.STOPPED
    [server] = _yard(os.getpid()).idle(Kind(Level.WALLED))
    assert not list(server.home.iterdir())
    assert os.listdir("/proc/self/fd") == handles
    assert run("print(6 * 7)").stdout == "42\n"


def test_a_program_dies_with_us(tmp_path: Path) -> None:
    source = (
        "from sharpen.sandbox.process import Limits, run_python\n"
        "run_python({'m.py': b'import time\\ntime.sleep(600)'}, 'm.py', limits=Limits(seconds=600))"
    )
    ours = subprocess.Popen([sys.executable, "-c", source], env={**os.environ, "TMPDIR": str(tmp_path)})
    [program] = _until(lambda: [pid for pid in _descendants(ours.pid) if _sleeps(pid)])
    ours.kill()
    ours.wait()
    _until(lambda: not _sleeps(program))


def _descendants(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [one for child in children for one in (child, *_descendants(child))]


def _sleeps(pid: int) -> bool:
    """Whether it is there and in the program's sleep, past the walls."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "Seccomp:\t2" in status and "State:\tZ" not in status


def _until(condition: object) -> list[int]:
    for _ in range(600):
        if found := condition():  # type: ignore[operator]
            return found
        time.sleep(0.05)
    raise AssertionError("did not happen in 30 seconds")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes(program: bytes) -> None:
    assert run(program).status in Status


def test_without_a_wall_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    _yard(os.getpid()).clear()
    monkeypatch.setattr(landlock, "version", lambda: 0)
    with pytest.raises(Unavailable, match="Landlock"):
        run("print(1)")


def test_a_launch_that_fails_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _yard(os.getpid()).clear()
    monkeypatch.setattr("sharpen.sandbox.seccomp.program", lambda name: b"\xff" * 8)
    with pytest.raises(Unavailable, match="did not start"):
        run("print(1)")


def test_the_doctor_knows() -> None:
    from sharpen.experiment import doctor

    findings = [*doctor._machine(), *doctor._walls(), doctor._tried("sandbox", doctor._sandbox)]
    assert {finding.state for finding in findings} == {doctor.State.OK}
    assert "held" in findings[-1].detail
