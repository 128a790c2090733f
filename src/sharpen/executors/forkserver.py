"""Fork-server workers that leave the caller's script alone; POSIX only, imported on first need."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, ForkServerProcess
from types import ModuleType
from typing import Any


class Worker(ForkServerProcess):
    """A worker that does not import the caller's main module again, so scripts need no main guard."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _no_main_module():
            return ForkServerProcess._Popen(process_obj)


class Context(ForkServerContext):
    """The fork server's context, with these workers."""

    Process = Worker


def worker_context(preload: Sequence[str]) -> Context:
    """A context whose fork server, unless it runs already, first imports these modules."""
    context = Context()
    context.set_forkserver_preload(list(preload))
    return context


@contextmanager
def _no_main_module() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
