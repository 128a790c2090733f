"""From an opened policy to a server that listens."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from sharpen.core.errors import Unavailable
from sharpen.core.policy import Decoding
from sharpen.core.task import Task
from sharpen.serve.answering import Asked, answer
from sharpen.serve.app import Limits, application
from sharpen.serve.served import Served


def prove(served: Served) -> None:
    """Answer one question, so that what cannot be served is said before anybody asks."""
    answer(served, [Asked(Task.ask("1+1", ""), Decoding(max_tokens=2), seed=0)])


def listen(served: Served, limits: Limits, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until the process is told to stop; Unavailable if the port is taken."""
    prove(served)
    with _bound(host, port) as bound:
        real = bound.getsockname()[1]
        config = uvicorn.Config(application(served, limits), log_level="warning", access_log=False)
        say(f"serving  {served.name} (policy {served.policy.version}) at http://{host}:{real}/v1")
        say("also     /health and /metrics; stop with Ctrl-C")
        # The signal that ended the server is raised once more when it has ended.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[bound])
        say("stopped")


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise Unavailable(
            f"{host}:{port} cannot be listened at: {error.strerror}", remedy="give another --port"
        ) from error
    return bound
