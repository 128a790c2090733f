"""The judge pool keeps order and deadlines, and a bad item costs only itself."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import helpers_pool as work
from sharpen.core.seeds import random_for
from sharpen.executors.pool import JudgePool, Loss, Lost, Value


@pytest.fixture(scope="module")
def pool() -> Iterator[JudgePool]:
    with JudgePool() as opened:
        yield opened


def values(items: range) -> list[Value[int] | Lost]:
    return [Value(item) for item in items]


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_results_come_in_the_order_of_the_items(pool: JudgePool, chunk: int) -> None:
    done = pool.map(work.slow_square, range(40), deadline=10, chunk=chunk)
    assert done == [Value(item * item) for item in range(40)]


def test_nothing_to_do_starts_nothing() -> None:
    pool = JudgePool()
    assert pool.map(work.square, [], deadline=1) == []


@pytest.mark.parametrize(("function", "bad"), [(work.hang_on_2, 2), (work.backtrack_on_3, 3)])
def test_a_hung_item_costs_only_itself(pool: JudgePool, function: object, bad: int) -> None:
    start = time.perf_counter()
    done = pool.map(function, range(6), deadline=0.5)  # type: ignore[arg-type]
    assert done[bad] == Lost(Loss.TIMEOUT)
    assert [item for place, item in enumerate(done) if place != bad] == [
        item for place, item in enumerate(values(range(6))) if place != bad
    ]
    assert time.perf_counter() - start < 8


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether a process sleeps")
def test_items_that_hang_asleep_do_not_hold_up_the_others(pool: JudgePool) -> None:
    items = [(2, 0.0), (2, 0.0), *((0, 0.001) for _ in range(30))]
    start = time.perf_counter()
    done = pool.map(work.hang_or_note, items, deadline=3, chunk=1)
    finished = [one.value for one in done if isinstance(one, Value)]
    assert len(finished) == 30 and done[:2] == [Lost(Loss.TIMEOUT)] * 2
    assert max(finished) - start < 3 <= time.perf_counter() - start, "before the hung ones were given up"


def test_no_more_processes_compute_than_it_has(pool: JudgePool) -> None:
    items = [0.9, 0.9, *[0.01] * 20, 0.9, *[0.01] * 20]
    done = pool.map(work.compute_for, items, deadline=1.2, chunk=1)
    spans = [one.value for one in done if isinstance(one, Value)]
    assert max(sum(began <= moment < ended for began, ended in spans) for moment, _ in spans) <= 2


@pytest.mark.parametrize("chunk", [7, 64])
def test_bad_items_cost_their_mates_nothing(pool: JudgePool, tmp_path: Path, chunk: int) -> None:
    rng = random_for("bad items", chunk)
    kinds = ["", *rng.sample(["hang", "hang", "crash", "crash", "raise", *[""] * 294], 299)]
    items = [(n, kind, str(tmp_path)) for n, kind in enumerate(kinds)]
    done = pool.map(work.note_and_fail, items, deadline=0.5, chunk=chunk)
    losses = {"hang": Loss.TIMEOUT, "crash": Loss.CRASH, "raise": Loss.RAISED}
    found = [one.loss if isinstance(one, Lost) else one.value for one in done]
    assert found == [losses.get(kind, n) for n, kind in enumerate(kinds)]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"x"}, "none is done twice"


def test_results_of_all_sizes_arrive_whole(pool: JudgePool) -> None:
    sizes = [0, 1, 300_000, 5_000_000, 7, 262_144, *[100] * 50]
    assert pool.map(work.of_size, sizes, deadline=20) == [Value(bytes(size)) for size in sizes]


def test_no_item_is_done_twice_because_of_a_hung_one(pool: JudgePool, tmp_path: Path) -> None:
    done = pool.map(work.note_and_hang_on_2, [(n, str(tmp_path)) for n in range(6)], deadline=0.5, chunk=6)
    assert [one == Lost(Loss.TIMEOUT) for one in done] == [n == 2 for n in range(6)]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {str(n): "x" for n in range(6)}


def test_a_result_never_turns_up_in_the_next_call(pool: JudgePool) -> None:
    with pytest.raises(AttributeError):
        pool.map(work.square, [3, lambda: 1], deadline=5, chunk=1)  # type: ignore[list-item]
    assert pool.map(work.square, [4, 5], deadline=5, chunk=1) == [Value(16), Value(25)]


def test_crashed_items_cost_only_themselves(pool: JudgePool) -> None:
    done = pool.map(work.crash_on_even, range(6), deadline=5)
    assert [item.loss if isinstance(item, Lost) else item.value for item in done] == [
        Loss.CRASH,
        1,
        Loss.CRASH,
        3,
        Loss.CRASH,
        5,
    ]


def test_what_a_function_may_do_wrong(pool: JudgePool) -> None:
    raised, left, memory, odd, fine = pool.map(work.misbehave, range(5), deadline=20)
    assert isinstance(raised, Lost) and raised.loss is Loss.RAISED
    assert raised.detail.startswith("ValueError: two lines x") and len(raised.detail) < 400
    assert left == Lost(Loss.RAISED, "SystemExit: bye")
    assert memory == Lost(Loss.RAISED, "MemoryError") or sys.platform != "linux"
    assert isinstance(odd, Lost) and odd.loss is Loss.CRASH
    assert fine == Value(4)


def test_a_closed_pool_starts_again(pool: JudgePool) -> None:
    pool.close()
    pool.close()
    assert pool.map(work.square, [3], deadline=5) == [Value(9)]


def test_scripts_need_no_main_guard_and_torch_is_not_forked(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        sys.modules["torch"] = sys
        GUARDED = True
        import helpers_pool
        from sharpen.executors.pool import JudgePool
        with JudgePool(workers=1) as pool:
            print(pool.map(helpers_pool.main_and_torch, [1], deadline=20)[0].value)
            pool.map(helpers_pool.print_it, [1], deadline=20)
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "(False, False)\n", done.stderr
    assert "own words" in done.stderr


def test_a_killed_owner_leaves_no_worker_behind(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import helpers_pool
        from sharpen.executors.pool import JudgePool
        pool = JudgePool(workers=1)
        pool.map(helpers_pool.square, [1], deadline=20)
        print(*pool.processes, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    [worker] = map(int, done.stdout.split())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()
