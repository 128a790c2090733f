"""Runs in notebooks: what the frames hold, what a notebook is given to draw, and the example in the docs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sharpen
from helpers_report import toy_run
from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.journal import read_rows
from sharpen.report.notebook import Loaded

pytest.importorskip("pandas", reason="data frames need pandas")
NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_run(tmp_path_factory.mktemp("runs") / "toy", rounds=3)


@pytest.fixture(scope="module")
def run(folder: Path) -> Loaded:
    return sharpen.load(folder)


def test_steps_are_the_rows_of_the_journal(run: Loaded, folder: Path) -> None:
    rows = list(read_rows(folder))
    assert list(run.steps["key"]) == [row.entry.key for row in rows]
    assert run.steps["sampled_tokens"].sum() == sum(row.entry.usage.sampled_tokens for row in rows)


def test_attempts_and_verdicts_agree(run: Loaded) -> None:
    place = ["step", "task", "index", "policy"]
    both = run.attempts.merge(run.verdicts, on=place, validate="one_to_one")
    assert len(both) == len(run.attempts) > 0
    assert (both["score"] == both["value"]).all()
    assert run.attempts["tokens"].sum() == run.steps["sampled_tokens"].sum()


def test_rounds_say_what_the_history_says(run: Loaded) -> None:
    assert list(run.rounds.index) == [1, 2, 3]
    assert list(run.rounds["val.mean"]) == [item.val and item.val.mean for item in run.history.rounds]
    assert list(run.rounds["usage.sampled_tokens"]) == sorted(run.rounds["usage.sampled_tokens"])


def test_plots_are_what_notebooks_draw(run: Loaded) -> None:
    for name, figure in run.charts.items():
        bundle = figure._repr_mimebundle_()
        drawn = {kind: data["$schema"] for kind, data in bundle.items() if kind != "text/plain"}
        assert drawn == {
            f"application/vnd.vegalite.{v}+json": f"https://vega.github.io/schema/vega-lite/{v}.json"
            for v in ("v5", "v6")
        }
        assert figure.chart.name == name and "var(" not in str(bundle)
        assert bundle["text/plain"].startswith(figure.chart.title)
    with pytest.raises(BadInput, match="score-by-round"):
        run.plot("nothing")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SharpenError, match="no run"):
        sharpen.load(tmp_path)


def test_the_name_alone_brings_nothing_heavy() -> None:
    heavy = ("pandas", "pydantic", "numpy", "jinja2")
    program = f"import sys, sharpen; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_in_the_docs_runs(folder: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="notebooks are executed by nbclient")
    pytest.importorskip("ipykernel", reason="notebooks need a kernel")
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.source.startswith("RUN = ")
    first.source = f"RUN = {str(folder)!r}"
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = {
        kind for cell in notebook.cells for out in cell.get("outputs", []) for kind in out.get("data", {})
    }
    assert {"application/vnd.vegalite.v5+json", "text/html", "text/plain"} <= shown
