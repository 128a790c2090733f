"""The live page in a real browser, as a person uses it. Needs playwright and a Chromium of the system."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers_compare import RECIPE
from helpers_run import START, KillAfter, Killed, engine, loop, task_set
from helpers_ui import LONG, hostile_run, manifest
from sharpen.core.budget import Purpose
from sharpen.core.engine import Done
from sharpen.core.run import Run
from sharpen.core.stats import Interval
from sharpen.experiment.manifest import KEY, Manifest

playwright = pytest.importorskip("playwright.sync_api", reason="the browser is driven through playwright")
pytest.importorskip("fastapi", reason="the extra `ui` is not installed")

from sharpen.ui.serving import Site, open_site  # noqa: E402
from sharpen.ui.shelf import Card, Shelf, State  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
MARK = """() => {
    for (const name of ["figure", "figure svg", "[aria-label='Newest steps'] table"])
        document.querySelector(name).marked = true;
    getSelection().selectAllChildren(document.querySelector("[aria-label='Newest steps'] h2"));
}"""
LEFT = """() => Object.fromEntries(["figure", "svg", "table"].map((name) =>
    [name, [...document.querySelectorAll(name)].filter((each) => each.marked).length]))"""
HELD = '''"""Says nothing of worth, and after its first answers nothing at all before it is let go."""
import itertools
import time
from pathlib import Path

ASKED = itertools.count(1)


def held(prompt, seed):
    number = next(ASKED)
    while number > 20 and not Path(__file__).with_name("go").exists():
        time.sleep(0.03)
    return "no idea"
'''
MAIN = "from sharpen.cli import main; main()"
PATIENCE = 180_000
"""Milliseconds; a machine may be busy, and nothing here is over before it has been looked at."""
VIEWS = (
    "",
    "run/one",
    "run/one/attempts",
    "run/one/trees",
    "run/one/lineage",
    "run/one/changes",
    "run/one/journal",
    "run/one/configuration",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    hostile_run(root / "one")
    hostile_run(root / "two", rounds=2, seed=1)
    return root


@pytest.fixture(scope="module")
def site(runs: Path) -> Iterator[Site]:
    site = open_site(runs, 0)
    serving = threading.Thread(target=site.run)
    serving.start()
    yield site
    site.server.should_exit = True
    serving.join(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        # Who is root in a container has no namespace of users to build Chromium's own sandbox from.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: playwright.Browser, site: Site) -> Iterator[playwright.Page]:
    """The list of runs; whatever the page complains of fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, complaints = context.new_page(), list[str]()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(site.address)
    page.get_by_role("link", name="one", exact=True).wait_for()
    yield page
    context.close()
    assert complaints == []


def go(page: playwright.Page, site: Site, view: str) -> None:
    page.goto(f"http://127.0.0.1:{site.port}/#/{view}")
    page.locator("main h1").wait_for()


def test_the_token_is_asked_for_and_does_not_stay_in_the_address(
    browser: playwright.Browser, site: Site
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{site.port}/")
        page.get_by_label("Token").fill(site.token)
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("link", name="two", exact=True).wait_for(timeout=PATIENCE)
        page.goto(site.address)
        page.get_by_role("link", name="two", exact=True).wait_for(timeout=PATIENCE)
        assert site.token not in page.url


def test_a_score_is_written_as_the_command_line_writes_it(page: playwright.Page) -> None:
    scores = [part / 16 for part in range(-16, 17)] + [part / 4000 for part in range(-40, 41)]
    ends = [(score, score / 3, -score) for score in (*scores, 0.0, -0.0, 13 / 16, 1e-9)]
    for signed in (False, True):
        found = [Interval(mean=mean, low=low, high=high, n=16) for mean, low, high in ends]
        said = page.evaluate(
            "async ([found, signed]) => {const {interval} = await import('./format.js');"
            "return found.map((each) => interval(each, signed))}",
            [[item.model_dump() for item in found], signed],
        )
        assert said == [item.percent(signed=signed) for item in found]
    assert found[-2].percent(signed=False).startswith("81.2%")


GAIN = Interval(mean=-0.125, low=-0.4125, high=0.1625, n=16)
CARD = Card(
    name="chain-of-thought/runs/more-samples-16-s0",
    state=State.BUDGET,
    stopped_by="sampled_tokens",
    recipe="recursive_introspection",
    task="jsonl:/data/questions-of-the-last-year.jsonl?split=hard&level=3",
    model="openai:https://inference.somewhere.example:8443/v1?model=org/a-model-of-32b-instruct",
    after=GAIN,
    delta=GAIN,
    rows=123_456,
)


@pytest.mark.parametrize("width", [1280, 400])
def test_the_gain_is_in_sight_however_long_the_names(
    page: playwright.Page, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(Shelf, "cards", lambda _: [CARD])
    page.set_viewport_size({"width": width, "height": 700})
    page.reload()
    row = page.locator("tbody tr", has_text="more-samples")
    gain, box = row.locator("td.score").first, page.locator(".wide")
    playwright.expect(gain).to_have_text(GAIN.percent(signed=True))
    place, around = gain.bounding_box(), box.bounding_box()
    assert place is not None and around is not None
    assert place["x"] + place["width"] <= around["x"] + around["width"]
    if width == 1280:
        assert box.evaluate("(box) => box.scrollWidth - box.clientWidth") == 0
    for text in (CARD.recipe, CARD.task, CARD.model):
        cell = row.get_by_title(text, exact=True)
        assert cell.evaluate("(cell) => cell.scrollWidth > cell.clientWidth")


@pytest.mark.parametrize(
    ("state", "resumes", "budgets"),
    [(State.DONE, 0, 0), (State.BUDGET, 1, 1), (State.UNFINISHED, 1, 0), (State.EMPTY, 0, 0)],
)
def test_only_what_is_left_to_do_is_offered(
    page: playwright.Page,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    state: State,
    resumes: int,
    budgets: int,
) -> None:
    found = Shelf.card
    monkeypatch.setattr(
        Shelf, "card", lambda shelf, name: found(shelf, name).model_copy(update={"state": state})
    )
    go(page, site, "run/two")
    page.locator("#state", has_text=state).wait_for()
    resume, budget = page.get_by_role("button", name="Resume"), page.get_by_label("New budget")
    assert (resume.count(), budget.count()) == (resumes, budgets)
    if budgets:
        resume.click()
        assert budget.evaluate("(field) => field.validity.valueMissing && field === document.activeElement")


def test_search_and_compare(page: playwright.Page) -> None:
    page.get_by_label("Search").fill("TWO")
    page.keyboard.press("Enter")
    page.get_by_text("1 of 2 runs").wait_for()
    page.get_by_label("compare two").check()
    page.get_by_label("Search").fill("")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("2 of 2 runs").wait_for()
    page.get_by_label("compare one").press("Space")
    page.get_by_role("link", name="Compare 2 runs").click()
    page.get_by_role("heading", name="2 runs side by side").wait_for()
    page.locator("figure[data-chart=curves] svg").wait_for()
    assert page.get_by_role("row", name="settings.rounds 2 3").count() == 1


def test_what_a_policy_wrote_is_text(page: playwright.Page, site: Site) -> None:
    go(page, site, "run/one/attempts?outcome=wrong")
    page.locator("tbody tr", has_not_text="#").first.get_by_role("link").first.click()
    page.locator("article.policy").wait_for()
    text = page.locator("article.policy pre.text")
    assert "<script>document.title='harmed'</script><img src=x" in text.inner_text()
    assert text.locator(".spelled").all_inner_texts() == ["\\x1b", "\\x1b", "\\u{202e}", "\\x00", "\\x07"]
    page.get_by_label("Tokens, shaded").check()
    assert [item.get_attribute("class") for item in page.locator("article .token").all()] == [
        "token p0",
        "token p2",
        "token p5",
    ]
    more = page.get_by_role("button", name="Next part")
    for _ in range(3):
        before = more.inner_text()
        more.click()
        playwright.expect(more).not_to_contain_text(before)
    assert f"64,000 of {len(LONG):,}" in more.inner_text()
    assert page.title() != "harmed"
    assert page.locator("main :is(img, script, iframe, object)").count() == 0
    go(page, site, "run/one")
    page.locator(".warnings li").wait_for()
    assert page.locator("main :is(img, script, iframe, object)").count() == 0
    assert page.title() != "harmed"


def test_changes_are_told_in_words_and_as_text(page: playwright.Page, site: Site) -> None:
    go(page, site, "run/one/changes")
    page.locator("figure[data-chart=flows] svg").wait_for()
    page.locator("figure[data-chart=growth-memory] svg").wait_for()
    playwright.expect(page.get_by_role("link", name="changes")).to_have_attribute("aria-current", "page")
    wrong = page.locator(".pair > div", has=page.locator(".verdict.wrong")).first
    playwright.expect(wrong.locator("h4")).to_contain_text("✗ wrong (0)")
    playwright.expect(wrong.locator("pre").first).to_contain_text("<script>document.title='harmed'</script>")
    wrong.locator("summary").press("Enter")
    playwright.expect(wrong.locator("details p")).to_contain_text("that are not shown here")
    assert page.locator("main :is(img, script, iframe, object)").count() == 0
    assert page.title() != "harmed"


def test_a_tree_is_walked_zoomed_and_moved(page: playwright.Page, site: Site) -> None:
    go(page, site, "run/one/trees")
    page.get_by_role("row", name="41").get_by_role("link").click()
    tree = page.get_by_role("tree")
    tree.wait_for()
    assert tree.get_by_role("treeitem").count() == 41
    tree.get_by_role("treeitem", name="node 0,").focus()
    for key, number in (("ArrowDown", 1), ("ArrowRight", 2), ("ArrowUp", 0)):
        page.keyboard.press(key)
        page.get_by_role("heading", name=f"Node {number}", exact=True).wait_for()
    assert "step 0 <script>" in page.locator("aside pre").inner_text()
    box = tree.get_attribute("viewBox")
    page.get_by_role("button", name="zoom in").click()
    closer = tree.get_attribute("viewBox")
    area = tree.bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + 40, area["y"] + 40)
    page.mouse.down()
    page.mouse.move(area["x"] + 140, area["y"] + 90, steps=4)
    page.mouse.up()
    assert len({box, closer, tree.get_attribute("viewBox")}) == 3
    page.get_by_role("button", name="show all").click()
    left, _, width, _ = map(float, (tree.get_attribute("viewBox") or "").split())
    assert left < 0 and width > 40 * 46


def test_a_run_is_followed_while_it_goes_on(page: playwright.Page, site: Site, runs: Path) -> None:
    made = engine(runs / "growing", KillAfter(12))
    about = manifest("toy")
    made.step(KEY, "manifest", about.identity, Manifest, Purpose.EVALUATION, lambda: Done(about))
    with pytest.raises(Killed):
        loop(Run(made), task_set(), START, 4)
    page.get_by_role("row", name="growing").get_by_text("running").wait_for()
    page.get_by_role("link", name="growing").click()
    page.get_by_role("cell", name="12", exact=True).first.wait_for()
    made.journal.close()
    page.locator("#state", has_text="unfinished").wait_for()
    made = engine(runs / "growing")
    loop(Run(made), task_set(), START, 4)
    page.get_by_role("row", name="round.4/gate").wait_for()
    page.locator("figure[data-chart=score-by-round] svg").wait_for()
    made.journal.close()


def test_what_a_reader_did_stays_while_the_run_goes_on(page: playwright.Page, site: Site, runs: Path) -> None:
    hostile_run(runs / "read", rounds=2)
    page.set_viewport_size({"width": 900, "height": 500})
    go(page, site, "run/read")
    chart = page.locator("figure[data-chart=score-by-round]")
    chart.locator("svg").wait_for()
    chart.get_by_text("Numbers").click()
    rows = chart.locator("tbody tr")
    playwright.expect(rows).to_have_count(3)
    link = page.get_by_role("link", name="The whole journal")
    link.focus()
    page.evaluate(MARK)
    before = link.bounding_box()
    assert before is not None and page.evaluate("scrollY") > 0
    hostile_run(runs / "read", rounds=4)
    page.get_by_role("row", name="round.4/gate").wait_for()
    playwright.expect(rows).to_have_count(5)
    playwright.expect(link).to_be_focused()
    assert page.evaluate(LEFT) == {"figure": 1, "svg": 1, "table": 1}
    after = link.bounding_box()
    assert after is not None and abs(after["y"] - before["y"]) < 2
    assert page.evaluate("getSelection().toString()").startswith("Newest")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who holds a run is told by Linux alone")
def test_start_watch_stop_and_resume(page: playwright.Page, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(HELD)
    (tmp_path / "nothing.py").write_text(RECIPE)
    small = "--task chain?level=2 --train 12 --val 8 --test 8 --control-samples 2 --chunk-rows 4 --threads 1"
    model, out = f"scripted:{tmp_path}/script.py:held", str(runs / "real")
    started = subprocess.Popen(
        [
            sys.executable,
            "-c",
            MAIN,
            "run",
            f"{tmp_path}/nothing.py",
            *small.split(),
            "--model",
            model,
            "--out",
            out,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        running = page.get_by_role("row", name="real").get_by_text("running")
        while not running.count():
            assert started.poll() is None, started.communicate()[1]
            page.wait_for_timeout(100)
        page.get_by_role("link", name="real").click()
        page.get_by_role("cell", name="method").first.wait_for()
        page.get_by_role("button", name="Stop").click()
        page.locator("#state", has_text="unfinished").wait_for()
        assert "nothing done is lost" in started.communicate(timeout=PATIENCE / 1000)[1]
    finally:
        started.kill()
    assert not (runs / "real" / "result.json").exists()
    page.get_by_role("button", name="Resume").click()
    page.locator("#state", has_text="running").wait_for()
    (tmp_path / "go").touch()
    page.locator("#state", has_text="done").wait_for()
    page.locator("figure[data-chart=test-scores] svg").wait_for()


def test_dark_and_narrow(page: playwright.Page, site: Site) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    page.emulate_media(color_scheme="dark")
    for view in VIEWS:
        go(page, site, view)
        page.wait_for_timeout(250)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{view} is {wide} pixels too wide"
    assert contrast(page) > 7
    page.get_by_role("button", name="Dark or light").click()
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert contrast(page) > 7


def contrast(page: playwright.Page) -> float:
    """Of the text and its ground, as WCAG counts it."""
    colours = page.evaluate(
        "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
    )
    light, dark = sorted((luminance(colour) for colour in colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


NAMELESS = """() => [...document.querySelectorAll("a, button, input, select, summary, [role=treeitem]")]
    .filter((each) => !(each.textContent.trim() || each.getAttribute("aria-label") || each.labels?.length))
    .map((each) => each.outerHTML.slice(0, 200))"""


def test_everything_has_a_name_and_can_be_reached(page: playwright.Page, site: Site) -> None:
    for view in VIEWS:
        go(page, site, view)
        page.wait_for_timeout(150)
        assert page.evaluate(NAMELESS) == []
        assert page.locator("h1").count() == 1
    go(page, site, "")
    page.get_by_role("link", name="one", exact=True).press("Enter")
    page.locator("h1", has_text="one").wait_for()
    playwright.expect(page.locator("h1")).to_be_focused()
    page.get_by_role("link", name="attempts").press("Enter")
    page.get_by_role("heading", name="Attempts", exact=True).wait_for()
