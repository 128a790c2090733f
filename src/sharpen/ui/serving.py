"""Serving the live page: on loopback, until it is interrupted."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from sharpen.core.errors import BadInput
from sharpen.ui.app import build

HOST = "127.0.0.1"


def serve(runs: Path, port: int, say: Callable[[str], None]) -> None:
    """Show the runs below a folder; port 0 takes a free one. `say` is told the address, with the token.

    BadInput if the folder is none or the port cannot be had.
    """
    with _bound(port) as listening:
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(24)
        app = build(runs, token, port)
        # What stands behind # is not sent anywhere: the page takes it out of its address.
        say(f"http://{HOST}:{port}/#token={token}")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[listening])


def _bound(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listening.close()
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        problem = "is in use" if taken else f"cannot be listened on: {error}"
        raise BadInput("port", port, problem, remedy="give another --port; 0 takes a free one") from None
    return listening
