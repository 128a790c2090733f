"""The command that serves an improved policy."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.policy import Style

LOOPBACK = ("127.0.0.1", "localhost", "::1")
KEY_VARIABLE = "SHARPEN_API_KEY"
_NEEDED = ("starlette", "uvicorn", "prometheus_client", "jsonschema")


def serve(
    target: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    style: Style | None = None,
    instruction: str | None = None,
    max_tokens: int | None = None,
    threads: int | None = None,
    dtype: str | None = None,
    rows: int = 64,
    waiting: int = 256,
    seconds: float = 600.0,
) -> None:
    """Serve a run's policy, or a model, as an OpenAI-compatible endpoint.

    Clients name the run's folder, or the model, as their model. A seed makes an answer repeatable.

    Parameters
    ----------
    target
        Folder of a finished run, or a model's name or folder.
    host
        Address to listen at; other than loopback only with a key in SHARPEN_API_KEY.
    port
        Port to listen at.
    style
        How a question is put: plain text or chat; as it was improved if unset.
    instruction
        Text before the question; as it was improved if unset.
    max_tokens
        Longest answer where a request names none.
    threads
        Compute threads.
    dtype
        Number type of the model.
    rows
        Most samples that are drawn together.
    waiting
        Most requests in line; more are turned away with 503.
    seconds
        Most seconds that a request may take.
    """
    key = os.environ.get(KEY_VARIABLE, "")
    if host not in LOOPBACK and not key:
        raise BadInput(
            "host", host, "is open to others", remedy=f"set a key in {KEY_VARIABLE}, or use loopback"
        )
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise Unavailable(f"serving needs {', '.join(missing)}", remedy="pip install 'sharpen[serve]'")
    from sharpen.executors.pool import JudgePool
    from sharpen.serve.app import Limits
    from sharpen.serve.listening import listen
    from sharpen.serve.served import Choice, new_scratch, open_served

    choice = Choice(style, instruction, max_tokens, threads, dtype)
    hosts = ("127.0.0.1", "localhost") if host in LOOPBACK else ("*",)
    limits = Limits(rows=rows, waiting=waiting, seconds=seconds, key=key, hosts=hosts)
    with JudgePool() as pool, new_scratch() as scratch:
        served = open_served(target, choice, pool, Path(scratch))
        listen(served, limits, host, port, say=lambda text: print(text, file=sys.stderr, flush=True))
