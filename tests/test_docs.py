"""The documentation is true: the README's recipe runs, and recipe pages are what their sources say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from sharpen.core.recipe import recipe_names
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.spec import RunSpec

ROOT = Path(__file__).parent.parent


def test_the_readmes_recipe_runs(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert program.count("\n") <= 30
    file = tmp_path / "mine.py"
    file.write_text(program)
    sizes = {"train": 12, "val": 6, "test": 6, "control_samples": 2}
    spec = RunSpec(recipe=str(file), task="chain?level=1", settings={"samples": 2}, threads=1, **sizes)
    result = execute(spec, tmp_path / "run", StopAfter(None))
    assert result.recipe == "mine" and len(result.rounds) == 0


def test_generated_pages_are_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    (tmp_path / "ARCHITECTURE.md").write_text((ROOT / "ARCHITECTURE.md").read_text())
    subprocess.run([sys.executable, str(ROOT / "tools" / "make_docs.py")], cwd=tmp_path, check=True)
    made = [Path("docs/results.md"), Path("ARCHITECTURE.md")]
    made += [Path(f"docs/recipes/{name}.md") for name in recipe_names()]
    for file in made:
        assert (ROOT / file).read_text() == (tmp_path / file).read_text(), f"{file}: run `make docs`"
