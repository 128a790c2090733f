"""Dry runs: nobody is asked who could send a bill, and what is told says what it rests on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers_endpoint import Endpoint
from sharpen.core.check import Checkable
from sharpen.core.journal import Entry, Wall
from sharpen.experiment.check import check
from sharpen.experiment.evaluate import evaluate
from sharpen.experiment.execute import execute
from sharpen.experiment.predict import Forecast, Silent, predict
from sharpen.experiment.spec import RunSpec


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    yield server
    server.close()


def written(folder: Path, rows: int, repeated: int = 0) -> Path:
    """A file of sums, some of which are there twice, with another answer."""
    sums = [(f"What is {a} plus {3 * a % 50}?", a + 3 * a % 50) for a in range(rows)]
    twice = [(question, answer + 1) for question, answer in sums[:repeated]]
    path = folder / "sums.jsonl"
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in [*sums, *twice]))
    return path


def forecast(endpoint: Endpoint, task: Path, kind: str = "openai", *, paying: bool = False) -> Forecast:
    url = endpoint.url.removesuffix("/v1") if kind == "anthropic" else endpoint.url
    spec = RunSpec(
        recipe="self_refine", model=f"{kind}:m@{url}", task=str(task), train=8, val=4, test=4, max_tokens=50
    )
    return predict(spec, paying=paying)


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini"])
def test_a_dry_run_sends_an_endpoint_nothing(
    kind: str, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind != "gemini":
        pytest.importorskip(kind)
    monkeypatch.setenv(f"{kind.upper()}_API_KEY", "secret")
    found = forecast(endpoint, written(tmp_path, 60), kind)
    assert (endpoint.asked, endpoint.looked) == ([], 0)
    assert found.measuring.model_calls >= 8 and found.measuring.sampled_tokens >= 8 * 50
    told = dict(found.lines())
    assert "predicted seconds" not in told and "50 tokens" in told["predicted how"]


def test_a_comparison_measures_an_endpoint_and_plays_the_rest(endpoint: Endpoint, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    found = forecast(endpoint, written(tmp_path, 60), paying=True)
    assert len(endpoint.asked) == 64 and endpoint.looked == 1
    assert found.tokens_per_second > 0 and "predicted seconds" in dict(found.lines())


def test_sizes_and_what_was_left_out_are_told_before_any_work(tmp_path: Path) -> None:
    """By a dry run, a check, an evaluation and a run."""
    path = str(written(tmp_path, 90, repeated=30))
    spec = RunSpec(recipe="self_refine", model="scripted:digits", task=path, test=10, threads=1)
    told = predict(spec).tasks
    sizes = dict(told)["tasks"]
    assert "train (of 256 wanted)" in sizes and "val (of 100 wanted)" in sizes and "10 test" in sizes
    notes = {text for name, text in told if name == "note"}
    assert {
        "30 repeated questions were left out",
        "30 of them had another answer than the first",
    } <= notes
    assert notes >= set(check(Checkable.TASK, path).notes) >= {"30 repeated questions were left out"}
    scored = evaluate(spec, samples=1)
    assert scored.tasks == told and dict(scored.lines())["split"].startswith("val: ")
    heard: list[tuple[str, str]] = []
    with pytest.raises(StopIteration):
        execute(spec, tmp_path / "run", _Stops(), tell=lambda name, text: heard.append((name, text)))
    assert tuple(heard) == told


class _Stops(Silent):
    """Ends a run at its first row."""

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        raise StopIteration
