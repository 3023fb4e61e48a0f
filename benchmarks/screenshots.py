"""Photographs a page as people see it: phone and desk, light and dark, by a Chromium unseen.

`python -m lamina.benchmarks.screenshots page.html FOLDER` writes one PNG for each width and colour
scheme, and fails where the page fetches anything, says an error on the console, or is wider than
the screen. It talks to Chromium through a pipe (the DevTools protocol), so it needs nothing else.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer

from ..core.console import honest
from ..kernels.errors import BadInput, LaminaError

NAMES = ("chromium", "chromium-browser", "google-chrome")
SCHEMES = ("light", "dark")
SETTLE = 0.3  # seconds for a page to raise what it will raise
ANSWER = 60.0  # seconds for an answer


class Browser:
    """A Chromium that is told what to do; `said` is all that it reported unasked."""

    def __init__(self) -> None:
        path = next(filter(None, map(shutil.which, NAMES)), None)
        if path is None:
            raise BadInput("no Chromium on this machine: on Debian, apt-get install chromium")
        self.said: list[dict[str, Any]] = []
        self.number, self.session, self.rest = 0, "", b""
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        ours, self.tell = os.pipe()
        self.hear, theirs = os.pipe()
        words = [path, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                 "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}",
                 "about:blank"]  # fmt: skip
        # Chromium reads descriptor 3 and writes descriptor 4.
        line = f"exec {shlex.join(words)} 3<&{ours} 4>&{theirs}"
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", line], pass_fds=(ours, theirs),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ours)
        os.close(theirs)
        os.set_blocking(self.hear, False)
        (page,) = [
            each for each in self.ask("Target.getTargets")["targetInfos"] if each["type"] == "page"
        ]
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
        self.process.terminate()
        self.process.wait()
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
        while time.monotonic() < end:
            for found in self._read():
                if found.get("id") == self.number:
                    if "error" in found:
                        raise LaminaError(f"{method}: {found['error']['message']}")
                    return dict(found["result"])
                self.said.append(found)
        raise LaminaError(f"Chromium did not answer {method} within {ANSWER:.0f} s")

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
        while self.evaluate("document.readyState") != "complete":
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
        target.write_bytes(base64.b64decode(found["data"]))


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
    height: Annotated[int, typer.Option(help="Pixels of the page, from its top.")] = 3600,
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
