"""Engines on a cluster of several nodes: a node is killed, then the driver; the run stays what it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers_compare import ASKED, RECIPE
from helpers_run import contents
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.journal import read_rows
from sharpen.executors.source import open_hands, open_pool

MODEL = '''"""Notes who answers, and stops at each gate that stands after so many answers."""
import os, time
from pathlib import Path

HERE = Path({folder!r})

def answer(prompt, seed):
    with open(HERE / "noted", "a") as notes:
        notes.write(f"{{os.getpid()}}\\n")
    while any(said() >= int(gate.suffix[1:]) for gate in HERE.glob("gate.*")):
        time.sleep(0.02)
    return f"#### {{seed % 7}}"

def said():
    return (HERE / "noted").read_bytes().count(b"\\n")
'''
NODE = {"num_cpus": 2, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that does no work, and two nodes, on this machine."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {**NODE, "num_cpus": 0, "include_dashboard": False}
        found = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(2):
                found.add_node(**NODE)
            found.wait_for_nodes()
            yield found
        finally:
            found.shutdown()


def test_more_engines_than_there_is_room_for(cluster: Any) -> None:
    executor = f"ray:{cluster.address}?engines=4"
    with open_pool(executor) as pool, pytest.raises(BadInput, match="4 CPUs, one of them for judges"):
        open_hands(executor, pool, print)


def test_nodes_and_drivers_may_die(cluster: Any, tmp_path: Path) -> None:
    recipe, noted = tmp_path / "nothing.py", tmp_path / "noted"
    recipe.write_text(RECIPE)
    (tmp_path / "slow.py").write_text(MODEL.format(folder=str(tmp_path)))
    asked = {**ASKED, "model": f"scripted:{tmp_path / 'slow.py'}:answer", "train": 32, "chunk_rows": 2}
    engines = ("--executor", f"ray:{cluster.address}?engines=2")
    near, far, gates = tmp_path / "near", tmp_path / "far", [tmp_path / "gate.12", tmp_path / "gate.36"]
    assert started(recipe, near, asked).wait() == 0
    noted.unlink()
    for gate in gates:
        gate.touch()
    nodes = list(cluster.worker_nodes)

    driver = started(recipe, far, asked, *engines)
    until(noted, 12, driver)
    cluster.remove_node(nodes[0], allow_graceful=False)
    gates[0].unlink()
    until(noted, 36, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    gates[1].unlink()
    cluster.add_node(**NODE)
    assert 0 < rows(far) < rows(near)
    assert started(recipe, far, asked, *engines).wait() == 0

    assert contents(far) == contents(near)
    answered = {int(line) for line in noted.read_text().split()}
    assert len(answered) >= 4, "two engines before, two after"
    assert driver.pid not in answered


def test_a_wrong_address_is_refused_at_once() -> None:
    pytest.importorskip("ray")
    with pytest.raises(Unavailable, match="no Ray cluster at 127"):
        open_pool("ray:127.0.0.1:1?engines=2")


def started(recipe: Path, out: Path, asked: dict[str, Any], *more: str) -> subprocess.Popen[bytes]:
    options = [part for name, value in asked.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-c", "from sharpen.cli import main; main()", "run", str(recipe), *options]
    return subprocess.Popen([*command, "--out", str(out), *more], stdout=subprocess.DEVNULL)


def rows(folder: Path) -> int:
    return len(list(read_rows(folder)))


def until(noted: Path, wanted: int, driver: subprocess.Popen[bytes]) -> None:
    while not noted.exists() or noted.read_bytes().count(b"\n") < wanted:
        assert driver.poll() is None, "the run was to be stopped on its way"
        time.sleep(0.02)
