"""Reports in a real browser: drawn without the network, under their own policy, in every light and width."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers_report import toy_run
from sharpen.report.write import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="the browser is driven through playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system")

ATTACK = "</script><script>document.title='out'</script><img src=x onerror=\"document.title='out'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy_run(tmp_path_factory.mktemp("runs") / "toy", say=lambda text: text + ATTACK)
    return write_report(folder).file


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def page(browser: playwright.Browser, report: Path, troubles: list[str]) -> Iterator[playwright.Page]:
    opened = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme="light")
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on(
        "console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None
    )
    opened.on("request", lambda asked: troubles.append(asked.url) if asked.url != report.as_uri() else None)
    opened.goto(report.as_uri())
    playwright.expect(opened.locator("html")).to_have_attribute("data-drawn", "yes")
    yield opened
    opened.close()


def test_draws_every_chart_and_asks_for_nothing(page: playwright.Page, troubles: list[str]) -> None:
    plots = page.locator(".plot")
    assert plots.count() >= 9
    for index in range(plots.count()):
        assert plots.nth(index).locator("svg path, svg line").count() > 2, plots.nth(index).inner_text()
    assert page.title() != "out"
    assert not troubles


def test_sorts_by_keyboard_and_says_how(page: playwright.Page) -> None:
    page.locator("#spending details summary").last.press("Enter")
    table = page.locator("#spending table").last
    heading = table.locator("th", has_text="seconds")

    def column() -> list[float]:
        cells = table.locator("tbody tr td:nth-child(4)")
        return [float(cells.nth(at).get_attribute("data-value") or 0) for at in range(cells.count())]

    for order, reverse in (("ascending", False), ("descending", True)):
        heading.locator("button").press("Enter")
        assert heading.get_attribute("aria-sort") == order
        assert column() == sorted(column(), reverse=reverse) and len(column()) > 2


def test_is_readable_in_the_dark_on_paper_and_on_a_phone(page: playwright.Page) -> None:
    shade = "getComputedStyle(document.body).backgroundColor"
    line = "getComputedStyle(document.querySelector('#plot-score-by-round .mark-line path')).stroke"
    light = page.evaluate(shade), page.evaluate(line)
    page.locator("button.theme").click()
    dark = page.evaluate(shade), page.evaluate(line)
    assert all(one != other for one, other in zip(light, dark, strict=True))
    page.emulate_media(media="print")
    assert (page.evaluate(shade), page.evaluate(line)) == light
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 360, "height": 700})
    # The page forbids eval, which Playwright's own waiting needs after its first look.
    for _ in range(100):
        if page.evaluate("document.documentElement.scrollWidth") <= 360:
            return
        page.wait_for_timeout(50)
    pytest.fail("the page is wider than a phone")


def test_has_a_name_for_everything_that_is_a_picture(page: playwright.Page) -> None:
    for picture in page.locator("[role=img]").all():
        titled = picture.get_attribute("aria-labelledby")
        assert titled and page.locator(f"#{titled}").inner_text()
    assert page.locator("h1").count() == 1
    assert page.locator("main section h2").count() == page.locator("nav a").count()
