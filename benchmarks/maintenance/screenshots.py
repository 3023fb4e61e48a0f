"""Photographs a page as people see it: phone and desk, light and dark, by a Chromium unseen.

`python benchmarks/maintenance/screenshots.py page.html FOLDER` writes one PNG for each width and
colour scheme, and fails where the page fetches anything, says an error on the console, or is wider
than the screen. It talks to Chromium through a pipe (the DevTools protocol), so it needs nothing
else.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer
from lamina.core.command.console import honest
from lamina.kernels.errors import BadInput, LaminaError
from lamina.kernels.files import write

NAMES = ("chromium", "chromium-browser", "google-chrome")
SCHEMES = ("light", "dark")
SETTLE = 0.3  # seconds for a page to raise what it will raise
ANSWER = 60.0  # seconds for an answer


def _start(path: str, profile: str) -> tuple[int, int, int]:
    """Starts Chromium: where to write to it, where it answers, and its process."""
    words = [path, "--headless", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
             f"--user-data-dir={profile}", "about:blank"]  # fmt: skip
    if os.geteuid() == 0:
        words.insert(1, "--no-sandbox")  # Chromium has none for root
    pipes = [*os.pipe(), *os.pipe()]
    # It reads descriptor 3 and writes 4, so ours must be none of these.
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 10) for each in pipes]
    for each in pipes:
        os.close(each)
    theirs_in, tell, hear, theirs_out = high
    actions = [
        (os.POSIX_SPAWN_DUP2, theirs_in, 3), (os.POSIX_SPAWN_DUP2, theirs_out, 4),
        *((os.POSIX_SPAWN_OPEN, each, os.devnull, os.O_RDWR, 0) for each in (0, 1, 2)),
    ]  # fmt: skip
    process = os.posix_spawn(path, words, os.environ, file_actions=actions)
    os.close(theirs_in)
    os.close(theirs_out)
    os.set_blocking(hear, False)
    return tell, hear, process


class Browser:
    """A Chromium that is told what to do; `said` is all that it reported unasked."""

    def __init__(self) -> None:
        path = next(filter(None, map(shutil.which, NAMES)), None)
        if path is None:
            raise BadInput("no Chromium on this machine: on Debian, apt-get install chromium")
        self.said: list[dict[str, Any]] = []
        self.number, self.session, self.rest = 0, "", b""
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.tell, self.hear, self.process = _start(path, self.profile.name)
        try:
            self._attach()
        except LaminaError:
            self.close()
            raise

    def _attach(self) -> None:
        """Takes the first page, and has it report what it does."""
        found = self.ask("Target.getTargets")["targetInfos"]
        page = next(each for each in found if each["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends Chromium and forgets its profile."""
        os.kill(self.process, signal.SIGTERM)
        os.waitpid(self.process, 0)
        os.close(self.tell)
        os.close(self.hear)
        self.profile.cleanup()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command's answer. Raises: LaminaError where it is refused, or does not come."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.tell, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + ANSWER
        answer: dict[str, Any] | None = None
        while answer is None and time.monotonic() < end:
            for found in self._read():  # what came behind the answer is kept too
                if found.get("id") == self.number:
                    answer = found
                else:
                    self.said.append(found)
        if answer is None:
            raise LaminaError(f"Chromium did not answer {method} within {ANSWER:.0f} s")
        if "error" in answer:
            raise LaminaError(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def _read(self) -> list[dict[str, Any]]:
        """All whole messages that have come."""
        try:
            found = os.read(self.hear, 1 << 20)
        except BlockingIOError:
            time.sleep(0.01)
            return []
        if not found:
            raise LaminaError("Chromium ended before it answered")
        *whole, self.rest = (self.rest + found).split(b"\0")
        return [json.loads(each) for each in whole]

    def evaluate(self, script: str) -> Any:
        """What an expression is on the page."""
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get(
            "value"
        )

    def open(self, page: Path, width: int, scheme: str) -> None:
        """Shows a page on a screen of a width. Raises: LaminaError where the page is at fault."""
        self.said.clear()
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
            mobile=width < 600,
        )  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.ask("Emulation.setEmulatedMedia", features=[feature])
        address = page.resolve().as_uri()
        self.ask("Page.navigate", url=address)
        end = time.monotonic() + ANSWER
        while not any(each.get("method") == "Page.loadEventFired" for each in self.said):
            if time.monotonic() > end:
                raise LaminaError(f"{page.name} did not load within {ANSWER:.0f} s")
            self.evaluate("0")  # whatever it reports comes before the answer
            time.sleep(0.02)
        time.sleep(SETTLE)
        seen = self.evaluate("[innerWidth, document.documentElement.scrollWidth]")
        if seen != [width, width]:
            raise LaminaError(f"{page.name} at {width} px: screen and page are {seen} px wide")
        faults = [fault for each in self.said if (fault := _fault(each, address))]
        if faults:
            raise LaminaError(f"{page.name}: " + "; ".join(faults))

    def photograph(self, target: Path, top: float, height: float, width: int) -> None:
        """Writes a piece of the page as PNG."""
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        found = self.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        write(target, base64.b64decode(found["data"]))


def _fault(said: dict[str, Any], address: str) -> str:
    """What a report of the browser holds against a page; nothing for most."""
    method, found = said.get("method"), said.get("params", {})
    if method == "Network.requestWillBeSent":
        url = str(found["request"]["url"])
        return "" if url == address or url.startswith("data:") else f"it fetches {url}"
    if method == "Runtime.exceptionThrown":
        return str(
            found["exceptionDetails"].get("exception", {}).get("description", "an exception")
        )
    if method == "Log.entryAdded" and found["entry"]["level"] in ("error", "warning"):
        return str(found["entry"]["text"])
    if method == "Runtime.consoleAPICalled" and found["type"] in ("error", "warning", "assert"):
        return " ".join(str(each.get("value", "")) for each in found["args"])
    return ""


def take(page: Path, folder: Path, widths: list[int], height: int, at: str = "") -> list[Path]:
    """One file for each width and scheme: so many pixels from the top, or from the element `at`.

    Raises: LaminaError where the page is at fault, BadInput without a Chromium.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    with Browser() as browser:
        for width in widths:
            for scheme in SCHEMES:
                browser.open(page, width, scheme)
                top = 0.0
                if at:
                    place = (
                        f"document.getElementById({json.dumps(at)})?.getBoundingClientRect().top"
                    )
                    top = browser.evaluate(f"{place} + scrollY") or 0.0
                whole = browser.evaluate("document.documentElement.scrollHeight") - top
                name = f"{page.stem}{'-' * bool(at)}{at}-{width}-{scheme}.png"
                browser.photograph(folder / name, top, min(height, whole), width)
                found.append(folder / name)
    return found


app = typer.Typer(add_completion=False)


@app.command()
def main(
    page: Annotated[Path, typer.Argument(help="What lamina bench report wrote.")],
    folder: Annotated[Path, typer.Argument(help="Where the PNG files go.")],
    width: Annotated[list[int] | None, typer.Option(help="Pixels; 390 and 1280 if none.")] = None,
    height: Annotated[int, typer.Option(help="Pixels of the page, from its top.")] = 2800,
    at: Annotated[str, typer.Option(help="Begin at this section: story, operations, ...")] = "",
) -> None:
    """Photographs a page on a phone and a desk, in light and dark, and checks that it is whole."""
    with honest():
        if not page.is_file():
            raise BadInput(f"there is no page {page}: lamina bench report writes one")
        for path in take(page, folder, width or [390, 1280], height, at):
            typer.echo(f"wrote {path} ({path.stat().st_size / 1024:,.0f} KiB)")


if __name__ == "__main__":
    app()
