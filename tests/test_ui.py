"""The live page's server: what it tells, whom it refuses, and that it acts on nothing but runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers_ui import HOSTILE, LONG, hostile_run

pytest.importorskip("fastapi", reason="the extra `ui` is not installed")
pytest.importorskip("httpx", reason="the server is tested through httpx")

from starlette.testclient import TestClient

from sharpen.core.budget import Purpose
from sharpen.core.errors import BadInput, Busy, SharpenError
from sharpen.core.journal import Journal
from sharpen.core.records import encode
from sharpen.experiment.rounds import Steps, rounds_of
from sharpen.experiment.show import list_runs
from sharpen.report.history import read_history
from sharpen.report.page import KEPT
from sharpen.report.run_page import run_page
from sharpen.ui.app import build
from sharpen.ui.attempts import PAGE, PIECE
from sharpen.ui.control import Control
from sharpen.ui.desk import Opened
from sharpen.ui.holders import Holders
from sharpen.ui.serving import open_site
from sharpen.ui.shelf import Shelf, State

TOKEN, PORT = "t" * 32, 7000
KEY = {"Authorization": f"Bearer {TOKEN}"}
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    hostile_run(root / "one")
    hostile_run(root / "league" / "two", rounds=2, seed=1)
    (root / "torn").mkdir()
    (root / "torn" / "journal.sqlite").write_bytes(b"not a journal")
    Journal(root / "empty").close()
    (root / "secret.txt").write_text("mine")
    (root / "link").symlink_to(root.parent)
    (root / os.fsdecode(b"no-text-\xff")).mkdir()
    Journal(root / os.fsdecode(b"no-text-\xff")).close()
    return root


@pytest.fixture(scope="module")
def client(runs: Path) -> TestClient:
    return TestClient(build(runs, TOKEN, PORT), base_url=f"http://127.0.0.1:{PORT}")


@pytest.fixture(scope="module")
def ask(client: TestClient) -> Ask:
    def ask(path: str, **fields: object) -> Any:
        answer = client.get(f"/api/{path}", params=fields, headers=KEY)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


def addresses(client: TestClient) -> list[tuple[str, str]]:
    routes = [route for route in client.app._app.routes if route.path.startswith("/api/")]
    return [(method, route.path) for route in routes for method in route.methods]


def test_everything_needs_the_token(client: TestClient) -> None:
    found = addresses(client)
    assert len(found) > 10
    for method, path in found:
        for headers in (
            {},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": TOKEN},
            {"Cookie": f"token={TOKEN}"},
        ):
            answer = client.request(method, path, params={"run": "one", "token": TOKEN}, headers=headers)
            assert answer.status_code == 401, path
            assert "one" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:7001"},
        {"Host": "evil.example:7000"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:7000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_are_refused_even_with_the_token(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/api/runs", headers=KEY | headers).status_code == 403
    assert client.post("/api/run/stop", json={"run": "one"}, headers=KEY | headers).status_code == 403


def test_the_command_lists_the_same_runs(ask: Ask, runs: Path) -> None:
    assert {card["name"] for card in ask("runs")["items"]} == {run.name for run in list_runs(runs)}


def test_requests_are_small(client: TestClient) -> None:
    body = json.dumps({"run": "one", "budget": "x" * 20_000})
    answer = client.post("/api/run/resume", content=body, headers=KEY | {"Content-Type": "application/json"})
    assert answer.status_code == 413
    endless = client.post("/api/run/resume", content=iter([b"{}"]), headers=KEY)
    assert endless.status_code == 413


def test_every_answer_forbids_what_the_page_does_not_need(client: TestClient) -> None:
    for path in ("/", "/app.js", "/charts.js", "/theme.json", "/api/runs", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in headers


def test_the_page_is_all_there_is(client: TestClient) -> None:
    assert client.get("/").status_code == client.get("/charts.js").status_code == 200
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/static/../app.py", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/",
        "../",
        "one/../one",
        "./one",
        "one/",
        "link/one",
        "league",
        "secret.txt",
        "/etc",
        "one\x00",
    ],
)
def test_only_runs_of_the_list_are_opened(client: TestClient, runs: Path, name: str) -> None:
    absolute = str(runs / "one")
    for wanted in (name, absolute):
        for path in ("run", "run/charts", "run/attempts", "run/lineage", "run/changes", "run/configuration"):
            assert client.get(f"/api/{path}", params={"run": wanted}, headers=KEY).status_code == 404
        for path in ("run/stop", "run/resume"):
            assert client.post(f"/api/{path}", json={"run": wanted}, headers=KEY).status_code == 404


def test_the_list(ask: Ask) -> None:
    found = ask("runs")
    states = {card["name"]: card["state"] for card in found["items"]}
    assert states == {"one": "unfinished", "league/two": "unfinished", "torn": "unreadable", "empty": "empty"}
    assert [card["name"] for card in ask("runs", q="league scripted SEED=0")["items"]] == ["league/two"]
    assert [card["name"] for card in ask("runs", state="empty")["items"]] == ["empty"]
    assert ask("runs", q="nothing of the kind")["found"] == 0
    assert ask("runs", begin=3)["items"] == found["items"][3:]


def test_a_run_is_told_as_its_journal_has_it(ask: Ask, runs: Path) -> None:
    known, history = ask("run", run="one"), read_history(runs / "one")
    assert known["rows"] == known["added"] == len(history.rows)
    usage = history.used[Purpose.METHOD].model_dump()
    assert {meter: known["spent"][meter] for meter in usage} == usage
    assert known["newest"][0]["key"] == history.rows[-1].entry.key
    assert HOSTILE in known["warnings"][0]["text"]


def test_rounds_are_those_of_the_report(ask: Ask, runs: Path) -> None:
    while ask("run", run="one")["waiting"]:
        time.sleep(0.05)
    history = read_history(runs / "one")
    whole = rounds_of(Steps((row.entry for row in history.rows), history.store), None)
    charts = {chart["name"]: chart for chart in ask("run/charts", run="one")}
    told = {row[0]: row[1] for row in charts["score-by-round"]["table"]["rows"]}
    assert told == {0: history.base_val.mean, **{item.round: item.val.mean for item in whole}}
    tokens = [row[2] for row in charts["usage-by-round"]["table"]["rows"] if row[1] == "sampled"]
    assert tokens == [item.usage.sampled_tokens for item in whole]


def test_attempts_come_page_by_page_whole_and_once(ask: Ask, runs: Path) -> None:
    found: list[tuple[int, int]] = []
    where: dict[str, int] = {}
    while True:
        page = ask("run/attempts", run="one", **where)
        assert len(page["items"]) <= PAGE
        found += [(line["row"], line["place"]) for line in page["items"]]
        if page["row"] is None:
            break
        where = {"row": page["row"], "place": page["place"]}
    history = read_history(runs / "one")
    counts = {
        seq: len(history.load(row.entry.blob, list[Any]))
        for seq, row in enumerate(history.rows, 1)
        if row.entry.verb == "attempt"
    }
    assert sorted(found) == [(seq, place) for seq, many in counts.items() for place in range(many)]
    rows = [row for row, _ in found]
    assert rows == sorted(rows, reverse=True)


def test_attempts_are_filtered(ask: Ask) -> None:
    wrong = ask("run/attempts", run="one", outcome="wrong")["items"]
    assert wrong and all(line["value"] == 0 for line in wrong)
    key = wrong[0]["task"]
    assert {line["task"] for line in ask("run/attempts", run="one", task=key[:6])["items"]} == {key}
    assert ask("run/attempts", run="one", task="zzz")["items"] == []


def test_a_long_trace_comes_in_pieces(ask: Ask) -> None:
    lines = ask("run/attempts", run="one", outcome="wrong")["items"]
    line = next(line for line in lines if line["index"] == 0)
    where = {"run": "one", "row": line["row"], "place": line["place"]}
    trace = ask("run/attempt", **where)
    asked, said = trace["turns"]
    assert (asked["author"], said["author"], said["logprobs"]) == ("template", "policy", [-0.01, -0.7, -6.0])
    text = said["text"]["text"]
    assert said["text"]["total"] == len(LONG) and len(text) == PIECE
    while len(text) < len(LONG):
        text += ask("run/text", **where, turn=1, begin=len(text))["text"]
    assert text == LONG


def test_trees_and_lineage(ask: Ask) -> None:
    first, second = ask("run/trees", run="one")["items"]
    assert (first["nodes"], first["ends"], second["nodes"]) == (5, 3, 41)
    where = {"run": "one", "row": first["row"], "place": first["place"]}
    nodes = ask("run/tree", **where)["nodes"]
    assert [node["parent"] for node in nodes] == [None, 0, 0, 1, 1]
    assert [node["y"] for node in nodes] == [0, 1, 1, 2, 2]
    assert HOSTILE.strip() in ask("run/node", **where, number=2)["text"]
    lineage = ask("run/lineage", run="one")["nodes"]
    assert lineage[0]["kind"] == "start" and len(lineage) > 2


def test_changes_are_those_of_the_report(ask: Ask, runs: Path) -> None:
    told, page = ask("run/changes", run="one"), run_page(read_history(runs / "one"))
    sections = {section.name: section for section in page.sections}
    assert told["note"] == ""
    for name in ("changed", "grown"):
        section = sections[told[name]["name"]]
        assert told[name] == json.loads(encode(section)) and section.charts
    sides = [example["before"] for example in told["changed"]["examples"]]
    assert {side["kind"] for side in sides} <= {"right", "wrong"}
    texts = [side["text"] for side in sides if side["kind"] == "wrong"]
    assert texts and all(HOSTILE.strip() in text["start"] for text in texts)
    assert len(texts[0]["rest"]) <= KEPT < texts[0]["dropped"]
    assert ask("run/changes", run="empty") == {"changed": None, "grown": None, "note": ""}


def test_changes_of_a_long_journal_are_left_to_the_report(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sharpen.ui.desk.MOST_ROWS", 3)
    told = Opened(runs / "one").changes()
    assert told.changed is None and told.grown is None
    assert "at most 3" in told.note and "sharpen report" in told.note


def test_changes_are_read_again_once_there_is_more(tmp_path: Path) -> None:
    hostile_run(tmp_path / "run", rounds=1)
    opened = Opened(tmp_path / "run")
    first = opened.changes()
    assert opened.changes() is first
    hostile_run(tmp_path / "run", rounds=3)
    assert opened.changes().grown != first.grown


def test_runs_side_by_side(ask: Ask, client: TestClient) -> None:
    found = ask("compare", run=["one", "league/two"])
    assert [row[0] for row in found["scores"]["rows"]] == ["one", "league/two"]
    assert ["settings.rounds", "3", "2"] in found["differences"]["rows"]
    assert client.get("/api/compare", params={"run": ["one"]}, headers=KEY).status_code == 404


@pytest.mark.parametrize(
    "fields",
    [{"row": -1}, {"row": 2**60}, {"row": "x"}, {"outcome": "great"}, {"run": "x" * 2000}, {"place": 10**20}],
)
def test_fields_are_checked(client: TestClient, fields: dict[str, object]) -> None:
    asked = {"run": "one", **fields}
    assert client.get("/api/run/attempts", params=asked, headers=KEY).status_code == 422


def test_what_is_not_there(client: TestClient) -> None:
    for path, fields in [
        ("attempt", {"place": 10**6}),
        ("tree", {"place": 7}),
        ("node", {"place": 0, "number": 99}),
    ]:
        asked = {"run": "one", "row": 2, **fields}
        assert client.get(f"/api/run/{path}", params=asked, headers=KEY).status_code == 404


def test_a_folder_and_a_port_are_needed(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        Shelf(tmp_path / "nothing")
    site = open_site(tmp_path, 0)
    with site.listening:
        assert site.listening.getsockname()[0] == "127.0.0.1"
        with pytest.raises(BadInput, match="in use"):
            open_site(tmp_path, site.port)


HOLDER = """
import signal, sys, time
from pathlib import Path
from sharpen.core.journal import Journal
journal = Journal(Path(sys.argv[1]))
if sys.argv[2] == "plain":  # as Python begins, unless whoever started the tests ignores the signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if sys.argv[2] == "term":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
try:
    print("held", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(5)
"""


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def hold(how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "run"), how]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who holds a run is told by Linux alone")
@pytest.mark.parametrize(("how", "code"), [("plain", 5), ("term", 7)])
def test_stopping_is_a_clean_request(
    tmp_path: Path, hold: Callable[[str], subprocess.Popen[str]], how: str, code: int
) -> None:
    process, shelf, control = hold(how), Shelf(tmp_path), Control()
    assert Holders().of(tmp_path / "run") == process.pid
    with pytest.raises(Busy):
        control.resume(tmp_path / "run", "")
    assert control.stop(tmp_path / "run").process == process.pid
    assert process.wait(20) == code
    assert Holders().of(tmp_path / "run") is None
    assert shelf.card("run").state is State.EMPTY
    with pytest.raises(SharpenError, match="not going on"):
        control.stop(tmp_path / "run")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who holds a run is told by Linux alone")
def test_what_would_not_end_cleanly_is_left_alone(
    tmp_path: Path, hold: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = hold("deaf")
    with pytest.raises(SharpenError, match="does not listen"):
        Control().stop(tmp_path / "run")
    assert process.poll() is None


def test_a_number_in_a_file_is_nobody(tmp_path: Path) -> None:
    """A lock file that names a process that does not hold it, as after a crash: nothing is signalled."""
    Journal(tmp_path / "run").close()
    called: list[int] = []
    before = signal.signal(signal.SIGINT, lambda *_: called.append(1))
    try:
        (tmp_path / "run" / "lock").write_text(str(os.getpid()))
        with pytest.raises(SharpenError, match="not going on"):
            Control().stop(tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not called


def test_a_budget_is_checked_before_anything_starts(client: TestClient) -> None:
    answer = client.post("/api/run/resume", json={"run": "one", "budget": "--out=/tmp/x"}, headers=KEY)
    assert answer.status_code == 404 and "no such meter" in answer.json()["error"]
