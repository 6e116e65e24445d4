"""The pages in a real browser: they render, ask for nothing, show values, sort, and can be used by everybody."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from snnconvert.report.comparison import render_comparison
from snnconvert.report.page import render_page
from tests.report.conftest import resnet20_context
from tests.report.test_comparison import RUNS

PAGES: dict[str, Callable[[], bytes]] = {
    "report": lambda: render_page(resnet20_context()),
    "comparison": lambda: render_comparison(RUNS),
}
VIEWS = {"wide": (1280, "light"), "narrow": (360, "dark"), "wide and dark": (1280, "dark")}
every_page = pytest.mark.parametrize("page", PAGES)
every_view = pytest.mark.parametrize("view", VIEWS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium: Debian's, started once."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        try:
            found = running.chromium.launch(executable_path=program, args=arguments)
        except playwright.Error as problem:
            pytest.skip(f"Chromium does not start here: {str(problem).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a page of ours; whatever it complains of or asks for fails the test."""
    trouble: list[str] = []
    contexts = []

    def call(page: str, view: str = "wide", **options: Any) -> Any:
        path = tmp_path / f"{page}.html"
        path.write_bytes(PAGES[page]())
        width, scheme = VIEWS[view]
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        contexts.append(context)
        shown = context.new_page()
        shown.on("console", lambda said: trouble.append(f"console: {said.text}"))
        shown.on("pageerror", lambda problem: trouble.append(f"error: {problem}"))
        shown.on("request", lambda asked: None if asked.url == path.as_uri() else trouble.append(f"asks {asked.url}"))
        shown.goto(path.as_uri())
        return shown

    yield call
    for context in contexts:
        context.close()
    assert trouble == []


@every_view
@every_page
def test_pages_fit_and_can_be_read_by_all(opened: Callable, page: str, view: str) -> None:
    """No sideways scrolling of the page, and no violation of the rules that axe-core knows, contrast among them."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    shown = opened(page, view)
    assert shown.evaluate("document.documentElement.scrollWidth") <= VIEWS[view][0]
    result = axe.Axe().run(shown)
    assert result.violations_count == 0, result.generate_report()


@every_page
def test_pages_are_complete_without_scripts(opened: Callable, page: str) -> None:
    shown = opened(page, java_script_enabled=False)
    assert shown.locator("h1").inner_text()
    assert shown.locator("svg.curve").count() >= 1
    assert shown.locator("tbody tr").count() >= 3
    assert shown.locator("button").count() == 0  # none that would do nothing


@every_page
def test_what_a_marker_stands_for_shows_where_it_is_pointed_at(opened: Callable, page: str) -> None:
    shown = opened(page)
    mark = shown.locator("svg.curve g.mark").last
    value, marker = mark.locator("text.value"), mark.locator("circle.hit")
    assert not value.is_visible()
    marker.scroll_into_view_if_needed()
    marker.hover()
    assert value.is_visible()
    assert "%" in value.text_content()
    assert "T = " in value.text_content()
    box, picture = value.bounding_box(), mark.locator("xpath=ancestor::*[local-name()='svg']").bounding_box()
    assert picture["x"] <= box["x"]
    assert box["x"] + box["width"] <= picture["x"] + picture["width"]
    shown.mouse.move(0, 0)
    assert not value.is_visible()


def test_a_table_sorts_by_mouse_and_by_keyboard(opened: Callable) -> None:
    shown = opened("comparison")

    def order() -> list[str]:
        return [name.strip() for name in shown.locator("#runs tbody th").all_inner_texts()]

    assert order() == ["a", "b", "c"]
    accuracy = shown.locator("#runs thead th", has_text="accuracy")
    accuracy.locator("button").click()
    assert order() == ["c", "a", "b"]
    assert accuracy.get_attribute("aria-sort") == "descending"
    accuracy.locator("button").press("Enter")
    assert order() == ["b", "a", "c"]
    assert accuracy.get_attribute("aria-sort") == "ascending"
    shown.locator("#runs thead button", has_text="steps to 99").click()
    assert order()[-1] == "b"  # who has no value comes last, whichever way
    assert accuracy.get_attribute("aria-sort") is None
    shown.locator("#runs thead button", has_text="run").first.click()
    assert order() == ["c", "b", "a"]


@every_page
def test_pages_can_be_printed(opened: Callable, page: str) -> None:
    shown = opened(page, "wide and dark")
    content = shown.pdf()
    assert content.startswith(b"%PDF")
    shown.emulate_media(media="print", color_scheme="dark")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
