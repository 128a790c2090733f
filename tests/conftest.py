"""Where helpers and long-form drivers are found, and how tests share the machine."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "tools"))

RECIPES = "test_recipes"
LONG = (RECIPES, "test_compare", "test_cli", "test_kill", "test_verifiers", "test_ui_browser")
IN_MEMORY, ENOUGH = Path("/dev/shm"), 6 << 30


def pytest_configure() -> None:
    """One thread a worker; runs in memory where there is plenty, as syncs of a disk take long."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    usual = settings.get_profile("ci" if "CI" in os.environ else "default")
    # A machine that has other things to do is no failure.
    settings.register_profile("calm", usual, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("calm")
    if IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free >= ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first: short files at the end keep all workers busy."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay together, for its fixtures' sake; where each recipe is tested, a recipe's do.

    The option `--dist loadgroup` would do, but with pytest 9.2 it groups nothing and does not say so.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            return file + test.partition("[")[2] if Path(file).stem == RECIPES else file

    return ByFile(config, log)
