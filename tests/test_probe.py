"""The machine probe: choices follow from measurements, and are made once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpen.models import probe as module
from sharpen.models.probe import BF16_GAIN, MORE_THREADS_GAIN, Speed, choose, machine_profile, measure_speeds


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path))
    return tmp_path


@given(st.dictionaries(st.integers(1, 64), st.floats(0.1, 1000), min_size=1, max_size=7))
def test_chosen_threads_are_worth_it(rates: dict[int, float]) -> None:
    threads, dtype = choose([Speed(threads=n, dtype="float32", gflops=g) for n, g in rates.items()])
    assert dtype == "float32", "nothing is known of bfloat16"
    fewer = [gflops for count, gflops in rates.items() if count < threads]
    assert all(rates[threads] >= gflops for gflops in fewer) or not fewer
    more = [gflops for count, gflops in rates.items() if count > threads]
    assert all(gflops < MORE_THREADS_GAIN * rates[threads] for gflops in more)


def test_collapse_is_avoided_and_gain_is_taken() -> None:
    assert (
        choose([Speed(threads=1, dtype="float32", gflops=50), Speed(threads=2, dtype="float32", gflops=5)])[0]
        == 1
    )
    assert (
        choose([Speed(threads=1, dtype="float32", gflops=50), Speed(threads=2, dtype="float32", gflops=55)])[
            0
        ]
        == 1
    )
    assert (
        choose([Speed(threads=1, dtype="float32", gflops=50), Speed(threads=2, dtype="float32", gflops=90)])[
            0
        ]
        == 2
    )


@pytest.mark.parametrize("gain, dtype", [(0.01, "float32"), (1.1, "float32"), (BF16_GAIN, "bfloat16")])
def test_bfloat16_must_win_clearly(gain: float, dtype: str) -> None:
    speeds = measure_speeds(4, lambda threads, kind: 10 * threads * (gain if kind == "bfloat16" else 1))
    assert choose(speeds) == (4, dtype)


@pytest.mark.parametrize("cores, counts", [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_thread_counts(cores: int, counts: list[int]) -> None:
    speeds = measure_speeds(cores, lambda threads, kind: 1.0)
    assert [speed.threads for speed in speeds if speed.dtype == "float32"] == counts


def test_real_probe_is_quick_and_remembered(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    start = time.perf_counter()
    machine = machine_profile()
    assert time.perf_counter() - start < 4, "two seconds, and as much for a busy machine"
    assert torch.get_num_threads() == before
    assert 1 <= machine.threads <= machine.cores and machine.cpu and machine.memory_gib > 0
    monkeypatch.setattr(module, "probe", lambda: pytest.fail("measured twice"))
    assert machine_profile() == machine
    changed = machine.model_copy(update={"threads": machine.threads + 1})
    monkeypatch.setattr(module, "probe", lambda: changed)
    assert machine_profile(refresh=True) == changed == machine_profile()


def test_unreadable_profile_is_measured_again(own_cache: Path) -> None:
    machine = machine_profile()
    next(own_cache.glob("machine-*.json")).write_text('{"cpu": ')
    assert machine_profile().cpu == machine.cpu
