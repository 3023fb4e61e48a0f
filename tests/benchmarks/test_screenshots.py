"""The page in a real browser, where there is one: whole, quiet, narrow, and answering."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lamina.benchmarks.report import page
from lamina.kernels.errors import LaminaError
from maintenance import script
from sample_result import sample
from typer.testing import CliRunner

screenshots = script("screenshots")
NAMES, Browser, app = screenshots.NAMES, screenshots.Browser, screenshots.app

pytestmark = [
    pytest.mark.skipif(not any(map(shutil.which, NAMES)), reason="no Chromium on this machine"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page([("sample.json", sample())]))
    return path


@pytest.mark.long
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_is_quiet_and_as_wide_as_the_screen(
    width: int, browser: Browser, report: Path
) -> None:
    browser.open(report, width, "light")
    light = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    browser.open(report, width, "dark")
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") != light


@pytest.mark.long
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("<script>missing()</script>", "missing is not defined"),
        ("<script>console.error('oh')</script>", "oh"),
        ("<img src='other.png'>", "it fetches file:"),
        ("<div style='width: 500px'>wide</div>", "px wide"),
    ],
)
def test_a_page_at_fault_is_refused(body: str, told: str, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    start = "<!doctype html><link rel=icon href=data:,><meta name=viewport content=width=390>"
    path.write_text(start + body)
    with pytest.raises(LaminaError, match=told):
        browser.open(path, 390, "light")
    path.write_text(f"{start}<p>good</p>")
    browser.open(path, 390, "light")


def key(browser: Browser, name: str) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.ask("Input.dispatchKeyEvent", type=kind, key=name)


@pytest.mark.long
def test_keys_walk_along_the_marks_and_the_line_below_names_them(
    browser: Browser, report: Path
) -> None:
    browser.open(report, 1280, "light")
    browser.ask("Emulation.setFocusEmulationEnabled", enabled=True)
    browser.evaluate("document.querySelector('#roofline a.mark').focus()")
    told = "document.querySelector('#roofline .tip').textContent"
    first = browser.evaluate(told)
    assert "GFLOP/s" in first
    key(browser, "ArrowRight")
    second = browser.evaluate(told)
    assert second == browser.evaluate("document.activeElement.getAttribute('aria-label')")
    assert second != first
    stops = (
        "document.querySelectorAll('#roofline figure:first-of-type a.mark[tabindex=\"0\"]').length"
    )
    assert browser.evaluate(stops) == 1


@pytest.mark.long
def test_one_crossing_is_shown_and_all_are_without_the_script(
    browser: Browser, report: Path
) -> None:
    shown = "[...document.querySelectorAll('.curves > div')].filter(e => e.offsetHeight).length"
    browser.open(report, 390, "dark")
    every = browser.evaluate("document.querySelectorAll('.curves > div').length")
    assert every > 8
    assert browser.evaluate(shown) == 1
    script = (
        "{const s = document.querySelector('select.choice'); s.selectedIndex = 3;"
        " s.dispatchEvent(new Event('change')); document.getElementById(s.value).offsetHeight}"
    )
    assert browser.evaluate(script) > 0
    assert browser.evaluate(shown) == 1
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(report, 390, "dark")
        assert browser.evaluate(shown) == every
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)


def tap(browser: Browser, x: float, y: float) -> None:
    point: dict[str, Any] = {"x": x, "y": y}
    browser.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
    browser.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


@pytest.mark.long
def test_the_first_tap_names_a_mark_and_the_second_goes_to_its_row(
    browser: Browser, report: Path
) -> None:
    browser.open(report, 390, "light")
    browser.ask("Emulation.setTouchEmulationEnabled", enabled=True)
    script = (
        "document.documentElement.style.scrollBehavior = 'auto';"
        "window.m = document.querySelector('#peers a.mark'); m.scrollIntoView({block: 'center'});"
        "{const b = m.querySelector('.dot').getBoundingClientRect();"
        " [b.x + b.width / 2, b.y + b.height / 2]}"
    )
    place = browser.evaluate(script)
    tap(browser, *place)
    assert browser.evaluate("location.hash") == ""
    told = browser.evaluate("document.querySelector('#peers .tip').textContent")
    assert told.startswith("2-4-1, batch 400")
    tap(browser, *place)
    assert browser.evaluate("location.hash").startswith("#row-1-")
    assert browser.evaluate("document.querySelectorAll('tr:target').length") == 1


@pytest.mark.long
def test_the_command_writes_a_picture_for_each_width_and_scheme(
    report: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, [str(report), str(tmp_path), "--height", "500", "--at", "story"])
    assert done.exit_code == 0, done.output
    assert len(list(tmp_path.glob("page-story-*.png"))) == 4
    for path in tmp_path.glob("*.png"):
        head = path.read_bytes()[:24]
        size = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
        assert head[1:4] == b"PNG"
        assert size == (int(path.stem.split("-")[2]), 500)
    assert "no page" in CliRunner().invoke(app, ["none.html", str(tmp_path)]).stderr
