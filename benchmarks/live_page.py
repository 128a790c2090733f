"""Measures the live page over a long journal: first paint, updates, many readers, and what the writer loses.

    python benchmarks/live_page.py --rows 1000000

Makes a journal of so many rows (kept in --folder for the next time), serves it, and prints a line a measure
with its limit. Painting needs playwright and a Chromium; without them only the server is timed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.budget import Purpose, Usage
from sharpen.core.gate import GateRule
from sharpen.core.journal import Entry, Journal, Wall
from sharpen.core.records import canonical, encode
from sharpen.core.verdict import Scored
from sharpen.experiment.manifest import KEY, Manifest
from sharpen.experiment.spec import RunSpec

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROUND = 1_000
"""Rows of a round."""
CHUNK = 16
"""Attempts of a row."""
NAME = "long"
NO_LIMIT = float("inf")
MAIN = "from sharpen.cli import main; main()"
WALL = canonical(Wall(session="bench", elapsed=1.0, seconds=0.5, model_seconds=0.4)).decode()


class Blobs:
    """Stored results that all rows share: what they say does not matter to how they are found."""

    def __init__(self, store: ArtifactStore) -> None:
        turn = Turn(author=Author.POLICY, text="#### 7", token_ids=(1, 2, 3), logprobs=(-0.1, -0.2, -0.3))
        attempts = [Attempt(task=f"{n % 4:016x}", index=n, policy="p", turns=(turn,)) for n in range(CHUNK)]
        verdicts = [Scored(value=n % 2) for n in range(CHUNK)]
        gate = GateRule().decide([0.0, 1.0, 0.0] * 20, [1.0, 1.0, 0.0] * 20, versions=("0" * 16, "1" * 16))
        self.attempt = store.put(encode(attempts))
        self.judge = store.put(encode(verdicts))
        self.gate = store.put(encode(gate))
        spec = RunSpec(recipe="bench", task="none", settings={})
        self.manifest = store.put(encode(Manifest(spec=spec, identity={"recipe": "bench"})))


def entries(rows: int, blobs: Blobs) -> Iterator[Entry]:
    """Rounds of attempts and verdicts in turn, each closed by a gate, after the manifest."""
    yield Entry(key=KEY, verb="manifest", inputs="", blob=blobs.manifest, purpose=Purpose.EVALUATION)
    for number in range(1, rows):
        at, place = divmod(number, ROUND)
        prefix = f"round.{at + 1}"
        if place == ROUND - 1:
            yield Entry(key=f"{prefix}/gate", verb="gate", inputs="", blob=blobs.gate)
        else:
            verb = ("attempt", "judge")[place % 2]
            blob = blobs.attempt if verb == "attempt" else blobs.judge
            usage = Usage(sampled_tokens=48, model_calls=CHUNK)
            yield Entry(key=f"{prefix}/{verb}/{place // 2}", verb=verb, inputs="", blob=blob, usage=usage)


def make(folder: Path, rows: int) -> None:
    """The journal, unless it is there: written in one go, without the hashes that only the loop checks."""
    path = folder / "journal.sqlite"
    if path.is_file():
        with closing(sqlite3.connect(path)) as database:
            if database.execute("SELECT MAX(seq) FROM rows").fetchone()[0] >= rows:
                return
        shutil.rmtree(folder)
    Journal(folder).close()
    blobs = Blobs(ArtifactStore(folder / "store"))
    bodies = ((entry.key, canonical(entry).decode(), "", WALL) for entry in entries(rows, blobs))
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany("INSERT INTO rows (key, body, hash, wall) VALUES (?, ?, ?, ?)", bodies)


@contextmanager
def served(runs: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """`sharpen ui` in a process of its own: its address, and the header that opens it."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "ui", "--runs", str(runs), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        yield address, {"Authorization": f"Bearer {address.partition('token=')[2]}"}
    finally:
        process.terminate()
        process.wait(10)


def write(folder: Path, seconds: float, work: float) -> None:
    """Compute for `work` seconds, append a row, and again; print how many, and seconds of appending."""
    until, done, appending = time.perf_counter() + seconds, 0, 0.0
    rows = append(folder, 10**9)
    while time.perf_counter() < until:
        begin = time.process_time()
        while time.process_time() - begin < work:
            sum(range(500))
        start = time.perf_counter()
        next(rows)
        appending += time.perf_counter() - start
        done += 1
    sys.stdout.write(f"{done} {appending}\n")


def written(folder: Path, seconds: float, work: float) -> tuple[float, float]:
    """Rows a second of a process that computes for `work` seconds before each, and milliseconds of a row."""
    command = [sys.executable, __file__, "--write", str(folder), str(seconds), str(work)]
    done, appending = map(
        float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    )
    return done / seconds, 1e3 * appending / done


async def polls(address: str, headers: dict[str, str], readers: int, seconds: float) -> list[float]:
    """Milliseconds of every answer to readers that each ask once a second."""
    base, taken = address.partition("#")[0], list[float]()
    async with httpx.AsyncClient(
        base_url=base, headers=headers, timeout=30, limits=httpx.Limits(max_connections=readers)
    ) as client:

        async def reader(number: int) -> None:
            await asyncio.sleep(number / readers)
            until = time.perf_counter() + seconds
            while (begin := time.perf_counter()) < until:
                (await client.get("api/run", params={"run": NAME})).raise_for_status()
                taken.append(1e3 * (time.perf_counter() - begin))
                await asyncio.sleep(max(0.0, 1 - (time.perf_counter() - begin)))

        await asyncio.gather(*map(reader, range(readers)))
    return taken


def append(folder: Path, count: int) -> Iterator[str]:
    """Append rows one by one; each key when it is on disk."""
    with closing(sqlite3.connect(folder / "journal.sqlite")) as database:
        database.execute("PRAGMA synchronous = FULL")
        for _ in range(count):
            key = f"news/{time.time_ns()}"
            body = canonical(Entry(key=key, verb="measure", inputs="", blob="0" * 64)).decode()
            with database:
                database.execute(
                    "INSERT INTO rows (key, body, hash, wall) VALUES (?, ?, '', ?)", (key, body, WALL)
                )
            yield key


def painted(address: str, folder: Path) -> Iterator[tuple[str, float, float]]:
    """Milliseconds until a browser shows the list, a run that was never looked at, and a new row."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(address.replace("#", "nothing#"))  # the browser's own start is not the page's
        yield (
            "first paint of the list",
            timed(lambda: (page.goto(address), page.wait_for_selector("tbody tr"))),
            1000,
        )
        page.evaluate(f"location.hash = '#/run/{NAME}'")
        run = f"{address.partition('#')[0]}#/run/{NAME}"
        fresh = browser.new_context(storage_state=page.context.storage_state()).new_page()
        fresh.set_default_timeout(60_000)
        shown = "dl.facts, .number"
        yield "first paint of the run", timed(lambda: (fresh.goto(run), fresh.wait_for_selector(shown))), 1000
        reading = fresh.get_by_text("Reading the journal")
        yield (
            "whole journal read",
            timed(lambda: reading.wait_for(state="detached", timeout=600_000)),
            NO_LIMIT,
        )
        yield from updated(fresh, address, folder)
        browser.close()


UPDATES = 60
WATCH = """() => {
    window.seen = {};
    const look = () => {
        const now = performance.timeOrigin + performance.now();
        for (const cell of document.querySelectorAll("[aria-label='Newest steps'] tbody th")) {
            const key = cell.textContent;
            if (!key.startsWith("news/") || seen[key]) continue;
            seen[key] = [now];
            const painted = () => seen[key].push(performance.timeOrigin + performance.now());
            requestAnimationFrame(() => setTimeout(painted));
        }
    };
    new MutationObserver(look).observe(document.getElementById("main"), {childList: true, subtree: true});
}"""
"""Notes in the page when a row is in it, and when the browser has painted the frame it came with."""


def updated(page: Page, address: str, folder: Path) -> Iterator[tuple[str, float, float]]:
    """Milliseconds from a row's way to the disk on, stage by stage, until it can be seen."""
    page.evaluate(WATCH)
    stages: dict[str, list[float]] = {"on disk": [], "told": [], "in the page": [], "painted": []}
    spread = random.Random(0)
    with heard(address) as told:
        for key in append(folder, UPDATES):
            stages["on disk"].append(time.time_ns() / 1e6)
            until = time.monotonic() + 20
            while len(found := page.evaluate("key => seen[key] ?? []", key)) < 2 or key not in told:
                assert time.monotonic() < until, f"{key} is not shown"
                time.sleep(0.02)
            for stage, at in zip(("told", "in the page", "painted"), (told[key], *found), strict=True):
                stages[stage].append(at)
            for times in stages.values():
                times[-1] -= int(key.partition("/")[2]) / 1e6
            time.sleep(spread.uniform(0.2, 0.8))
    for stage, times in stages.items():
        limit = 200 if stage == "painted" else NO_LIMIT
        yield f"update until {stage}, median", statistics.median(times), limit
        yield f"update until {stage}, 95th percentile", percentile(times, 95), limit


@contextmanager
def heard(address: str) -> Iterator[dict[str, float]]:
    """When a listener without a page is told of each new row, in milliseconds of the epoch."""
    base, _, token = address.partition("#token=")
    told: dict[str, float] = {}
    closing_down = threading.Event()

    def listen() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.stream("GET", f"{base}api/run/events?run={NAME}", headers=headers, timeout=30) as answer:
            for line in answer.iter_lines():
                if closing_down.is_set():
                    return
                if line.startswith("data:"):
                    for step in json.loads(line[5:])["newest"]:
                        told.setdefault(step["key"], time.time_ns() / 1e6)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    yield told
    closing_down.set()


def timed(act: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    begin = time.perf_counter()
    act()
    return 1e3 * (time.perf_counter() - begin)


def percentile(values: Sequence[float], part: int) -> float:
    """The value below which so many percent lie."""
    return statistics.quantiles(values, n=100)[part - 1]


def answers(address: str, headers: dict[str, str]) -> Iterator[tuple[str, float, float]]:
    """Milliseconds of the server's answers."""
    with httpx.Client(base_url=address.partition("#")[0], headers=headers, timeout=60) as client:
        paths = (
            "runs",
            f"run?run={NAME}",
            f"run/steps?run={NAME}",
            f"run/attempts?run={NAME}",
            f"run/charts?run={NAME}",
        )
        for path in paths:
            yield (
                f"first answer to {path.partition('?')[0]}",
                timed(lambda p=path: client.get(f"api/{p}").raise_for_status()),
                1000,
            )


def slowdown(runs: Path, seconds: float, rounds: int) -> Iterator[tuple[str, float, float]]:
    """Percent that a writer loses to one page that follows it, with runs alone and watched in turn."""
    folder = runs / NAME
    for title, work in (("appending only", 0.0), ("computing 20 ms a row", 0.02)):
        lost = []
        for _ in range(rounds):
            alone = written(folder, seconds, work)[0]
            with served(runs) as (address, headers), watching(address, headers):
                watched = written(folder, seconds, work)[0]
            lost.append(100 * (1 - watched / alone))
        yield f"writer's slow-down in percent, {title}", statistics.median(lost), 1


@contextmanager
def watching(address: str, headers: dict[str, str]) -> Iterator[None]:
    """A page's stream of events, read until the journal has been taken in, and then on."""
    command = [sys.executable, "-c", STREAM, address.partition("#")[0], json.dumps(headers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.wait(10)


STREAM = f"""
import json, sys, httpx
told = False
address, headers = sys.argv[1] + "api/run/events?run={NAME}", json.loads(sys.argv[2])
with httpx.stream("GET", address, headers=headers, timeout=None) as answer:
    for line in answer.iter_lines():
        if line.startswith("data:") and not told:
            known = json.loads(line[5:])
            if known["added"] >= known["rows"] and known["waiting"] < 2:
                told = True
                print("read", flush=True)
"""


def main() -> None:
    """Everything, in order."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--folder", type=Path, default=Path("runs/live-page-benchmark"))
    asked.add_argument("--readers", type=int, default=50)
    asked.add_argument(
        "--seconds", type=float, default=20.0, help="of polling, and of each stretch of writing"
    )
    asked.add_argument(
        "--rounds", type=int, default=5, help="stretches of writing, alone and watched in turn"
    )
    given = asked.parse_args()
    runs: Path = given.folder
    show("journal made, s", timed(lambda: make(runs / NAME, given.rows)) / 1e3, NO_LIMIT)
    with served(runs) as (address, headers):
        for line in answers(address, headers):
            show(*line)
    if shutil.which("chromium"):
        with served(runs) as (address, _):
            for line in painted(address, runs / NAME):
                show(*line)
    with served(runs) as (address, headers), watching(address, headers):
        taken = asyncio.run(polls(address, headers, given.readers, given.seconds))
        show(f"{given.readers} readers, median", statistics.median(taken), 300)
        show(f"{given.readers} readers, 95th percentile", percentile(taken, 95), 300)
    for line in slowdown(runs, given.seconds, given.rounds):
        show(*line)


def show(name: str, value: float, limit: float) -> None:
    """A measure with its limit."""
    verdict = "" if limit == NO_LIMIT else f"  limit {limit:g}  {'ok' if value <= limit else 'MISSED'}"
    sys.stdout.write(f"{name:<52} {value:10.1f}{verdict}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
    else:
        main()
