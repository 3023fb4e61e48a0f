"""The page, the notebooks and the command of the course."""

from __future__ import annotations

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from lamina.__main__ import app
from lamina.course.runner import page as pages
from lamina.course.runner.notebook import translated
from lamina.course.runner.performance import Performance, perform
from lamina.course.runner.section import chosen, sections
from lamina.course.runner.words import Words, template
from maintenance import script
from typer.testing import CliRunner

plt = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
for package in ("jupytext", "latex2mathml", "sklearn"):
    pytest.importorskip(package, reason=f"{package} is not installed")

LANGUAGES = ("en", "zh")


class Ids(HTMLParser):
    """All ids, references to them, and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.inner: set[str] = set()
        self.outer: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            elif name in ("href", "src", "xlink:href"):
                known = str(value)
                (self.inner if known.startswith("#") else self.outer).add(known)


@pytest.fixture(scope="module")
def done() -> list[Performance]:
    before = plt.get_backend()
    wanted = chosen(["computation_graph", "logistic_gradient", "backpropagation"])
    found = [perform(one, "numpy", LANGUAGES, small=True) for one in wanted]
    plt.switch_backend(before)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_whole_and_fetches_nothing(language: str, done: list[Performance]) -> None:
    text = pages.page(done, language, "other.html")
    assert f'<html lang="{language}">' in text
    found = Ids(text)
    assert len(set(found.ids)) == len(found.ids)
    assert {one.removeprefix("#") for one in found.inner} <= set(found.ids)
    assert {one for one in found.outer if not one.startswith("data:")} == {"other.html"}
    assert "@import" not in text
    assert text.count("<figure>") == text.count("<figcaption>") == 2
    assert "<math" in text
    assert "$" not in re.sub(r"<svg.*?</svg>|<pre>.*?</pre>", "", text, flags=re.S)
    alone = re.sub(r"<svg.*?</svg>", "", pages.page(done, language), flags=re.S)
    chinese = re.search("[一-鿿]", alone)
    assert (chinese is not None) == (language == "zh")


def test_both_languages_have_the_same_numbers(done: list[Performance]) -> None:
    english, chinese = (re.findall(r'class="said">(.*?)</pre>', pages.page(done, one), re.S)
                        for one in LANGUAGES)  # fmt: skip
    assert english != chinese
    for one, other in zip(english, chinese, strict=True):
        assert sorted(template(one)[1]) == sorted(template(other)[1])


def test_lines_with_tabs_are_tables_and_markup_is_escaped(done: list[Performance]) -> None:
    step = done[0].steps[1]
    step.printed, before = "a\tb\n1\t<2>\nplain <b>\n", step.printed
    try:
        text = pages.page(done[:1], "en")
    finally:
        step.printed = before
    assert '<th scope="col">a</th><th scope="col">b</th>' in text
    assert "<td>&lt;2&gt;</td>" in text
    assert '<pre class="said">plain &lt;b&gt;</pre>' in text


def test_the_command_lists_the_sections() -> None:
    listed = CliRunner().invoke(app, ["course"]).stdout.splitlines()
    assert len(listed) == len(sections())
    assert listed[0].split() == ["1.1–1.2", "tables_and_images", "From", "features", "to", "a",
                                 "label"]  # fmt: skip
    assert "计算图" in CliRunner().invoke(app, ["course", "--language", "zh"]).stdout


@pytest.mark.slow
def test_the_command_runs_one_and_writes_its_pictures(tmp_path: Path) -> None:
    command = ["course", "2.6", "--backend", "numpy", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "J = 33, dJ/da = 3" in done.stdout
    (path,) = tmp_path.iterdir()
    assert path.name == "s2_5_computation_graph-1.svg"
    assert "J = 3(a + bc)" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["2.10"], "section '2.10'"),
        (["vectorisation"], "vectorization"),
        (["2.6", "--language", "de"], "language 'de'"),
        (["2.6", "--backend", "nump"], "numpy"),
    ],
)
def test_what_is_unknown_is_said(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["course", *arguments])
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_missing_package_is_told_with_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("jupytext", "sklearn.datasets"):
        with monkeypatch.context() as there:
            there.setitem(sys.modules, missing, None)
            done = CliRunner().invoke(app, ["course", "tables_and_images", "--backend", "numpy"])
        assert done.exit_code == 1
        assert 'pip install "lamina[course]"' in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_notebooks_have_no_outputs_and_are_the_same_again(language: str, tmp_path: Path) -> None:
    command = ["course", "all", "--notebook", "--language", language, "--out", str(tmp_path)]
    assert CliRunner().invoke(app, command).exit_code == 0
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == len(sections())
    before = [path.read_bytes() for path in paths]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert [path.read_bytes() for path in paths] == before
    for path in paths:
        cells = json.loads(path.read_text())["cells"]
        assert all(not cell.get("outputs") for cell in cells)
        for cell in cells[2:]:
            if cell["cell_type"] == "code":
                compile("".join(cell["source"]), str(path), "exec")


def test_a_notebook_s_words_are_translated_and_its_keys_are_not() -> None:
    words = Words(chosen(["gradient_descent"])[0], "zh")
    code = 'ax.plot(x, label="cost"); ax.set(ylabel="cost"); cost = h["loss"]; print("µ")'
    assert translated(f"{code}\nplt.xlabel('epoch')", words) == (
        "ax.plot(x, label='代价'); ax.set(ylabel='代价'); cost = h[\"loss\"]; print(\"µ\")"
        "\nplt.xlabel('轮次')"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "language"), [("gradient_descent", "zh"), ("choosing_an_activation", "en")]
)
def test_a_notebook_runs_from_top_to_bottom(name: str, language: str, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    import nbformat
    from lamina.course.runner.notebook import write

    (section,) = chosen([name])
    notebook = nbformat.read(write(section, tmp_path, language, "numpy", small=True), 4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    kinds = [kind for cell in notebook.cells for output in cell.get("outputs", ())
             for kind in output.get("data", {})]  # fmt: skip
    assert "image/svg+xml" in kinds


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_browser_finds_no_fault_with_the_page(
    language: str, done: list[Performance], tmp_path: Path
) -> None:
    screenshots = script("screenshots")
    if not any(map(shutil.which, screenshots.NAMES)):
        pytest.skip("no Chromium on this machine")
    path = tmp_path / "page.html"
    path.write_text(pages.page(done, language), encoding="utf-8")
    with screenshots.Browser() as browser:
        for width in (390, 1280):
            for scheme in ("light", "dark"):
                browser.open(path, width, scheme)  # refuses what fetches, complains or is too wide
