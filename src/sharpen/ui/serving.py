"""Serving the live page: on loopback, until it is interrupted."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from sharpen.core.errors import BadInput
from sharpen.ui.app import build

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Site:
    """A live page that is ready to be served."""

    port: int
    token: str
    server: uvicorn.Server
    listening: socket.socket

    @property
    def address(self) -> str:
        """Where a browser finds it. What stands behind # is not sent anywhere: the page takes it out."""
        return f"http://{HOST}:{self.port}/#token={self.token}"

    def run(self) -> None:
        """Serve until `server.should_exit`, or a signal."""
        with self.listening:
            self.server.run(sockets=[self.listening])


def open_site(runs: Path, port: int) -> Site:
    """Listen for the page of the runs below a folder; port 0 takes a free one.

    BadInput if the folder is none or the port cannot be had.
    """
    listening = _bound(port)
    try:
        token, port = secrets.token_urlsafe(24), listening.getsockname()[1]
        app = build(runs, token, port)
    except BaseException:
        listening.close()
        raise
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1
    )
    return Site(port, token, uvicorn.Server(config), listening)


def serve(runs: Path, port: int, say: Callable[[str], None]) -> None:
    """Show the runs below a folder until interrupted; `say` is told the address, with the token."""
    site = open_site(runs, port)
    say(site.address)
    with suppress(KeyboardInterrupt):
        site.run()


def _bound(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        problem = "is in use" if taken else f"cannot be listened on: {error}"
        raise BadInput("port", port, problem, remedy="give another --port; 0 takes a free one") from None
    return listening
