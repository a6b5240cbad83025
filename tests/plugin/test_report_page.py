"""The page of --fork-report in a real browser: 10,000 tests, sorted, searched, and shown by keys alone.

Needs playwright and a Chromium, its own or the system's; skipped where there is none.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_forkiso import _report_html, _report_json

from helpers import wait_for
from report_data import NASTY, make_records, make_run

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 10_000
SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of a large run."""
    records = make_records(COUNT, 4)
    spans = [span for test in records.tests if (span := test.span())]
    path = tmp_path_factory.mktemp("page") / "report.html"
    document = _report_json.make_document(records, make_run(stopped=max(stop for _, stop in spans)))
    path.write_text(_report_html.to_text(document), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a browser."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as play:
        own = Path(play.chromium.executable_path)
        found = str(own) if own.exists() else next(filter(None, map(shutil.which, SYSTEM_BROWSERS)), None)
        if found is None:
            pytest.skip("no Chromium is installed")
        made = play.chromium.launch(executable_path=found, args=["--no-sandbox"])  # CI runs as root
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(params=["light", "dark"])
def page(browser: Any, page_file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Open the page; afterwards no script may have failed, and nothing else may have been loaded."""
    opened = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme=request.param)
    opened.set_default_timeout(10_000)
    errors: list[str] = []
    requests: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text))
    opened.on("request", lambda each: requests.append(each.url))
    opened.goto(page_file.as_uri())
    yield opened
    assert not errors
    assert requests == [page_file.as_uri()]
    opened.close()


def rows(page: Any) -> list[list[str]]:
    """Give the texts of the rows that are in the page."""
    found: list[list[str]] = page.eval_on_selector_all(
        "#table-body .row",
        """rows => rows.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)
                       .map(row => [...row.children].map(cell => cell.innerText))""",
    )
    return found


def column(page: Any, name: str) -> list[str]:
    """Give the texts of a column, as far as they are in the page."""
    heads = page.locator("#table-head button").all_inner_texts()
    return [row[heads.index(name)] for row in rows(page)]


def head(page: Any, name: str) -> Any:
    """Give the button that sorts by a column."""
    return page.locator("#table-head").get_by_role("button", name=name, exact=True)


def test_it_shows_what_there_is(page: Any) -> None:
    """Title, counts, the ten slowest and largest; of 10,000 rows only those that can be seen are made."""
    assert page.title() == "project · forkiso report"
    assert page.inner_text("#count") == "10,000 tests"
    assert page.locator("#slowest li").count() == page.locator("#largest li").count() == 10
    assert 10 < page.locator("#table-body .row").count() < 60
    assert page.get_attribute("#table", "aria-rowcount") == str(COUNT + 1)
    counts = page.locator(".chip b").all_inner_texts()
    assert sum(int(count.replace(",", "")) for count in counts) == COUNT


def test_how_many_at_a_time(page: Any) -> None:
    """A test that ends while its successor in the lane has begun is not counted twice: jobs are all there can be."""
    tile = page.locator("#tiles div", has=page.get_by_text("At a time", exact=True))
    assert 3.9 < float(tile.locator("dd").evaluate("value => value.firstChild.textContent")) <= 4
    assert tile.locator("small").inner_text() == "of 4"


def test_sorting(page: Any) -> None:
    """A click sorts from the largest, another one from the smallest; the head says so."""
    slowest = page.locator("#slowest .value").all_inner_texts()
    head(page, "Time").click()
    assert column(page, "Time")[:10] == slowest
    assert page.get_by_role("columnheader", name="Time").get_attribute("aria-sort") == "descending"
    head(page, "Time").click()
    assert page.get_by_role("columnheader", name="Time").get_attribute("aria-sort") == "ascending"
    assert column(page, "Time")[0].endswith(("µs", "ms"))
    head(page, "Outcome").click()
    crashed = int(page.locator(".chip", has_text="crashed").locator("b").inner_text())
    assert column(page, "Outcome")[: crashed + 1] == ["crashed"] * crashed + ["failed"]
    page.eval_on_selector("#table", "table => { table.scrollTop = table.scrollHeight }")
    page.locator("#table-body .row", has_text="passed").first.wait_for()


def test_searching(page: Any) -> None:
    """By several words, by signal, by a chip, by all together; / goes to the field."""
    page.keyboard.press("/")
    page.keyboard.type("part_012 number[1234]")
    assert page.inner_text("#count") == "1 of 10,000 tests"
    page.fill("#search", "sigsegv")
    crashed = int(page.locator(".chip", has_text="crashed").locator("b").inner_text())
    assert page.inner_text("#count") == f"{crashed} of 10,000 tests"
    page.locator(".chip", has_text="passed").click()
    assert page.inner_text("#count") == "0 of 10,000 tests"
    page.fill("#search", "")
    passed = page.locator(".chip", has_text="passed").locator("b").inner_text()
    assert page.inner_text("#count") == f"{passed} of 10,000 tests"


def test_any_id_is_text(page: Any) -> None:
    """A parameter that would end the script is shown as it is."""
    page.fill("#search", "document.title")
    assert page.inner_text("#count") == "1 of 10,000 tests"
    page.locator("#table-body .row").first.click()
    assert NASTY.replace("\u2028", "") in page.inner_text("#details h2").replace("\u2028", "").replace("\n", "")
    assert page.title() == "project · forkiso report"
    assert page.locator("#details script").count() == 0


def test_keys(page: Any) -> None:
    """The list and the details by keys alone; where the focus was, it is again."""
    page.focus("#table")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("PageDown")
    page.keyboard.press("End")
    assert page.locator("#table-body [aria-selected=true]").inner_text().startswith("10,000")
    page.keyboard.press("Enter")
    assert page.is_visible("#details")
    assert page.evaluate("document.activeElement.id") == "details-close"
    page.keyboard.press("Escape")
    assert not page.is_visible("#details")
    assert page.evaluate("document.activeElement.id") == "table"


def test_the_timeline(page: Any) -> None:
    """It is painted in many colours; keys and clicks choose tests; zooming changes what is painted."""
    colours = """canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size }"""
    picture = "canvas => canvas.toDataURL()"
    wait_for(lambda: page.eval_on_selector("#timeline", colours) > 6, "it is painted")
    before = page.eval_on_selector("#timeline", picture)
    page.focus("#timeline")
    page.keyboard.press("+")
    wait_for(lambda: page.eval_on_selector("#timeline", picture) != before, "it is painted anew")
    page.keyboard.press("0")
    page.keyboard.press("ArrowRight")
    first = page.inner_text("#announcer")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert first
    assert page.inner_text("#announcer") != first
    page.click("#timeline", position={"x": 700, "y": 40})
    assert "job 1" in page.inner_text("#details dl")


def test_a_timeline_of_many_tests(page: Any) -> None:
    """Where tests are too narrow to be told apart, a part has as much of the picture as it had of the time."""
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )  # it is painted
    shares = page.evaluate("""() => {
        const names = ["fork", "setup", "call", "teardown", "rest"];
        const canvas = document.getElementById("timeline");
        const data = canvas.getContext("2d").getImageData(100, 24, canvas.width - 100, canvas.height - 24).data;
        const probe = canvas.parentElement.appendChild(document.createElement("i"));
        const colours = names.map(name => {
            probe.style.color = `var(--${name})`;
            return getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number) });
        const painted = names.map(() => 0);
        for (let at = 0; at < data.length; at += 4) {
            const isThere = colour => colour.every((value, part) => Math.abs(data[at + part] - value) < 3);
            const found = colours.findIndex(isThere);
            if (found >= 0) painted[found]++;
        }
        const spent = names.map(() => 0);
        for (const test of readModel().tests)
            for (const [name, start, stop] of test.spans) spent[names.indexOf(name)] += stop - start;
        const parts = values => values.map(value => value / values.reduce((sum, each) => sum + each, 0));
        const [inPicture, ofTime] = [parts(painted), parts(spent)];
        return names.map((name, index) => [name, inPicture[index], ofTime[index]]) }""")
    for name, in_picture, of_time in shares:
        assert in_picture > 0, name
        assert abs(in_picture - of_time) < 0.1, (name, in_picture, of_time)  # edges are of mixed colours


def test_light_and_dark(page: Any) -> None:
    """As the system has it, and the other way round at a click."""
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    page.click("#theme")
    assert page.evaluate(background) != before


def test_saving(page: Any) -> None:
    """The data of the page, as --fork-report=FILE.json has it."""
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "project-forkiso.json"
    assert '"pytest-forkiso report"' in Path(download.value.path()).read_text()
