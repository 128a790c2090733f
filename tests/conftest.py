"""Where helpers and long-form drivers are found, and which tests share a worker."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "tools"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests stay together, for its fixtures' sake; where each recipe is tested, a recipe's do.

    The recipes come first: they take longest, and short tests at the end keep all workers busy.
    """
    items.sort(key=lambda item: item.path.stem != "test_recipes")
    for item in items:
        recipe = getattr(item, "callspec", None)
        name = recipe.params.get("name") if recipe and item.path.stem == "test_recipes" else None
        item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{name or 'all'}"))
