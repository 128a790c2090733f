"""Where helpers and long-form drivers are found, which tests share a worker, and how those share the machine."""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "tools"))

os.environ.setdefault("OMP_NUM_THREADS", "1")  # The workers are as many as the cores; read by torch on import.

IN_MEMORY, ENOUGH = Path("/dev/shm"), 6 << 30


def pytest_configure() -> None:
    """Runs are journaled to memory where there is plenty: thousands of syncs of a disk prove nothing more."""
    if IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free >= ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests stay together, for its fixtures' sake; where each recipe is tested, a recipe's do.

    The recipes come first: they take longest, and short tests at the end keep all workers busy.
    """
    items.sort(key=lambda item: item.path.stem != "test_recipes")
    for item in items:
        recipe = getattr(item, "callspec", None)
        name = recipe.params.get("name") if recipe and item.path.stem == "test_recipes" else None
        item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{name or 'all'}"))
