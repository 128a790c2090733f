"""A run that stands still says what it waits for, and one that moves says nothing."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from sharpen.core.artifact import ArtifactStore
from sharpen.report.silence import Silence, place_of


def test_a_disk_that_stands_still_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    store, told = ArtifactStore(tmp_path), threading.Event()

    def tell(text: str) -> None:
        said.append(text)
        told.set()

    monkeypatch.setattr(os, "fsync", lambda _: told.wait(60))
    with Silence(tell, first=0.01):
        store.put(b"x")
    assert said[0].endswith("s for the disk (core/artifact.py)")
    assert store.get(store.put(b"x")) == b"x"


def test_what_is_heard_of_is_not_silent() -> None:
    said: list[str] = []
    with Silence(said.append, first=30.0) as silence:
        for _ in range(3):
            silence.heard()
            time.sleep(0.01)
    assert said == [] and not silence._thread.is_alive()


def test_no_place_is_nothing() -> None:
    assert place_of(None) == ""
