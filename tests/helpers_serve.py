"""A server that listens in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from sharpen.serve.app import Limits, application
from sharpen.serve.served import Served


@contextmanager
def listening(served: Served, limits: Limits | None = None) -> Iterator[str]:
    config = uvicorn.Config(application(served, limits), port=0, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
