"""Pictures in a user's tasks: read with limits, part of what a task is, and seen, or else refused."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("PIL")

from PIL import Image

from helpers_endpoint import Endpoint
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.dialogue import Picture
from sharpen.core.errors import BadInput
from sharpen.core.journal import read_rows
from sharpen.core.policy import PromptForm
from sharpen.core.records import decode
from sharpen.core.task import Task, TaskSet
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.spec import RunSpec
from sharpen.models.dialogue import CHAT_MARK, read
from sharpen.tasks.shown import MOST_SIDE, decoded, picture_in
from sharpen.tasks.source import load_tasks

COLOURS = ("red", "green", "blue", "white", "black", "yellow")
QUESTION = "Which colour is it?"


def painted(colour: str, side: int = 2, kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, format=kind)
    return buffer.getvalue()


def url_of(data: bytes, media: str = "png") -> str:
    return f"data:image/{media};base64,{b64encode(data).decode()}"


def write(folder: Path, *, splits: bool = True, named: str = "image") -> Path:
    """One question about many pictures: as files, below a folder, and as addresses."""
    (folder / "shots").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for place, colour in enumerate(COLOURS):
        (folder / "shots" / f"{colour}.png").write_bytes(painted(colour))
        shown = f"shots/{colour}.png" if place % 2 else url_of(painted(colour))
        row = {"question": QUESTION, "answer": colour, named: shown}
        rows.append({**row, "split": ("train", "val", "test")[place % 3]} if splits else row)
    file = folder / "colours.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def everything(tasks: TaskSet) -> list[Task]:
    return [*tasks.train, *tasks.val, *tasks.open_test()]


def test_a_question_about_another_picture_is_another_task(tmp_path: Path) -> None:
    tasks = everything(load_tasks(str(write(tmp_path / "one"))))
    assert sorted(task.answer for task in tasks) == sorted(COLOURS)
    assert all(task.pictures == (Picture.of(painted(task.answer)),) for task in tasks)
    assert {task.key for task in tasks} == {
        task.key for task in everything(load_tasks(str(write(tmp_path / "two"))))
    }
    assert all(decode(Task, task.model_dump_json().encode()) == task for task in tasks)
    (bare,) = {Task.ask(QUESTION, "red", family="colours").key}
    assert bare not in {task.key for task in tasks}


def test_questions_about_one_picture_stay_together(tmp_path: Path) -> None:
    rows = [
        {"question": f"How many {thing} are in it?", "answer": side, "image": url_of(painted("red", side))}
        for side in range(1, 31)
        for thing in ("dots", "lines and rings")
    ]
    file = tmp_path / "counts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = load_tasks(str(file), train=99, val=99, test=99)
    parts = [{task.pictures for task in part} for part in (tasks.train, tasks.val, tasks.open_test())]
    assert sum(map(len, parts)) == 30 and all(parts) and not tasks.notes


@pytest.mark.parametrize(
    "named, problem",
    [
        ("shots/none.png", "no such file in .*check the path"),
        ("../../etc/passwd", "beside the tasks.*put it in"),
        ("/etc/passwd", "beside the tasks"),
        ("link.png", "beside the tasks"),
        ("http://127.0.0.1/x.png", "'http://127.0.0.1/x.png': is an address.*never fetched.*a file beside"),
        ("words.png", "no PNG, JPEG, GIF or WebP"),
        ("data:text/html;base64,AAAA", "no data: URL"),
        ("data:image/png;base64,!!", "no base64"),
        ([], None),
        ([1], "no path"),
        (["shots/red.png"] * 17, "no path"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_line(tmp_path: Path, named: Any, problem: str | None) -> None:
    file = write(tmp_path / "tasks")
    (tmp_path / "outside.png").write_bytes(painted("red"))
    (file.parent / "link.png").symlink_to(tmp_path / "outside.png")
    (file.parent / "words.png").write_text("words")
    file.write_text(
        file.read_text() + json.dumps({"question": "x y z", "answer": 1, "image": named, "split": "train"})
    )
    if problem is None:
        load_tasks(str(file))
        return
    with pytest.raises(BadInput, match=problem) as caught:
        load_tasks(str(file))
    assert f"colours.jsonl:{len(COLOURS) + 1}" in str(caught.value)


def test_pictures_beyond_the_limits_are_not_unpacked() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    buffer = BytesIO()
    long = BytesIO()
    Image.new("L", (MOST_SIDE + 1, 1)).save(long, format="PNG")
    frames = [Image.new("L", (2, 2), shade) for shade in (0, 255)]
    frames[0].save(buffer, format="GIF", save_all=True, append_images=frames[1:])
    for data in (
        bomb + chunk(b"IEND", b""),
        long.getvalue(),
        buffer.getvalue(),
        painted("red", 99)[:120],
    ):
        with pytest.raises(BadInput, match="PNG, JPEG, GIF or WebP"):
            decoded(data, "it")
    assert decoded(painted("red", 9, "JPEG"), "it").media == "image/jpeg"
    assert picture_in(url_of(painted("red", 9, "WEBP"), "webp")).media == "image/webp"


@settings(max_examples=150)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]), st.data())
def test_damaged_pictures_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    whole = bytearray(painted("red", 9, kind))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(12, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decoded(bytes(whole), "it").bytes == whole
    except BadInput as error:
        assert "it" in str(error)


@pytest.fixture
def server() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


def spec_of(model: str, file: Path, **more: Any) -> RunSpec:
    asked = {"train": 2, "val": 2, "test": 2, "control_samples": 2, "threads": 1, "max_tokens": 9}
    return RunSpec(recipe="self_refine", model=model, task=str(file), **{**asked, **more})


def test_a_run_over_pictures(server: Endpoint, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    seen = {b64encode(painted(colour)).decode(): colour for colour in COLOURS}
    server.says = lambda asked: next((colour for data, colour in seen.items() if data in asked), "blind")
    spec = spec_of(f"openai:m@{server.url}?images=true", write(tmp_path), settings={"turns": 1})
    result = execute(spec, tmp_path / "run", StopAfter(None))
    assert result.test.before.mean == result.test.after.mean == 1 and result.coverage == 1
    assert all(str(body["messages"]).count("data:image/png") == 1 for body in server.asked)
    store = ArtifactStore(tmp_path / "run" / "store")
    rows = [row.entry for row in read_rows(tmp_path / "run") if row.entry.verb == "attempt"]
    made = [attempt for row in rows for attempt in decode(tuple[Attempt, ...], store.get(row.blob))]
    prompts = [attempt.turns[0].text for attempt in made]
    assert prompts and all("base64" not in text and "sha256:" in text for text in prompts)
    shown = {
        picture.data
        for text in prompts
        for message in read(text.removeprefix(CHAT_MARK))
        for picture in message.pictures
    }
    assert shown <= {Picture.of(painted(colour)).told.data for colour in COLOURS}


@pytest.mark.parametrize(
    "model, more, problem",
    [
        ("tiny", {}, "cannot see"),
        ("scripted:echo", {"style": "plain"}, "shows no pictures"),
        ("scripted:echo", {"shots": 1, "style": "chat"}, "has a picture"),
    ],
)
def test_who_cannot_see_refuses_before_any_work(
    tmp_path: Path, model: str, more: dict[str, Any], problem: str
) -> None:
    with pytest.raises(BadInput, match=problem):
        execute(spec_of(model, write(tmp_path), **more), tmp_path / "run", StopAfter(None))
    assert not (tmp_path / "run" / "journal.sqlite").exists()


def test_plain_text_has_no_place_for_pictures() -> None:
    with pytest.raises(BadInput, match="no place for pictures"):
        PromptForm().text(Task.ask(QUESTION, "red", pictures=(Picture.of(painted("red")),)))
