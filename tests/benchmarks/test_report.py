"""The page and README's tables say what the rows say, and need nothing from outside."""

from __future__ import annotations

import doctest
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from lamina.__main__ import app
from lamina.benchmarks import words
from lamina.benchmarks.report import charts, factors, markdown, page, write
from lamina.benchmarks.report.source import Source
from lamina.benchmarks.report.svg import Scale
from lamina.benchmarks.result import Ceiling, Result, Row
from lamina.core import markup
from lamina.kernels.errors import BadInput
from sample_result import ENVIRONMENT, rounds, sample
from typer.testing import CliRunner

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """Reads a page strictly: an end tag must close the tag that was opened last."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.marked: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        found = {name: value or "" for name, value in attrs}
        assert len(found) == len(attrs), f"an attribute twice in {tag}"
        self.ids += [found["id"]] if "id" in found else []
        self.attributes += [(tag, name, value) for name, value in found.items()]
        if tag == "a" and "mark" in found.get("class", "").split():
            self.marked.append((found["class"], found["aria-label"]))
        if tag not in markup.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def row(variant: str = "fused", *seconds: float, **more: Any) -> Row:
    known: dict[str, Any] = {"kind": "op", "case": "add 64", "backend": "numpy", "op": "add"}
    return Row(variant=variant, seconds=seconds, **{"size": 64, **known, **more})


def result(*rows: Row) -> Result:
    return Result("quick", ENVIRONMENT, list(rows), [Ceiling("numpy", "float32", 100.0, 10.0)])


WHOLE = page([("suite.json", sample(peers=False)), ("peers.json", sample(ops=False))])


@pytest.mark.parametrize("module", [markup, words])
def test_docstrings(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


def test_the_page_is_well_formed_and_every_link_has_its_target() -> None:
    found = Page(WHOLE)
    assert len(set(found.ids)) == len(found.ids)
    links = [value for tag, name, value in found.attributes if tag == "a" and name == "href"]
    assert len(links) > 300
    assert all(link.startswith("#") and link[1:] in found.ids for link in links)
    assert found.tags["main"] == found.tags["h1"] == 1
    assert found.tags["svg"] > 20


def test_every_row_is_in_the_table_and_every_mark_leads_to_one() -> None:
    found = Page(WHOLE)
    rows = [place for place in found.ids if place.startswith("row-")]
    assert len(rows) == len(sample(peers=False).rows) + len(sample(ops=False).rows)
    told = "".join(found.words)
    for each in sample().rows:
        assert each.key.split("/", 1)[1] in told
    assert len(found.marked) > 300


def test_nothing_comes_from_outside() -> None:
    found = Page(WHOLE)
    for tag, name, value in found.attributes:
        if name in ("src", "href", "action", "data", "srcset", "poster"):
            assert value.startswith(("#", "data:")), (tag, name, value)
        assert not name.startswith("on"), (tag, name)
    assert not re.search(r"@import|url\(|https?://|//[a-z]+\.", WHOLE)
    assert not re.search(r"fetch\(|XMLHttp|WebSocket|import\(|document\.write|innerHTML", WHOLE)


def test_charts_take_any_width_and_follow_the_scheme() -> None:
    assert "viewBox" not in WHOLE
    assert "prefers-color-scheme: dark" in WHOLE
    assert {v for t, n, v in Page(WHOLE).attributes if t == "svg" and n == "width"} == {"100%"}
    assert not [1 for _, n, _ in Page(WHOLE).attributes if n in ("fill", "stroke", "style")]


def test_colours_have_contrast() -> None:
    style = (Path(markup.__file__).parent / "base.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", style, re.S)

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for scheme in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        assert len(colours) == 23
        for name in set(colours) - {"paper", "card", "line", "mark"}:
            for ground in ("paper", "card"):
                pair = sorted((luminance(colours[name]), luminance(colours[ground])))
                ratio = (pair[1] + 0.05) / (pair[0] + 0.05)
                mark = name[0] in "sf" and name[1:].isdigit() and name not in ("f1", "f2")
                assert ratio >= (3.0 if mark else 4.5), name  # words in pictures are f1 and f2


@pytest.mark.parametrize("field", ["case", "op", "backend", "variant", "reason", "dtype"])
@pytest.mark.parametrize("status", ["ok", "skipped"])
def test_words_from_a_result_are_escaped(field: str, status: str) -> None:
    evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;"
    seconds = (1.0, 2.0) if status == "ok" else ()
    rows = [
        replace(each, seconds=seconds, status=status, flops=9.0, bytes=9.0, **{field: evil})
        for each in (row(), row(kind="story"), row(kind="training", unit="step"))
    ]
    rows += [replace(each, size=9) for each in rows]
    made = result(*rows)
    made.environment = {**ENVIRONMENT, "processor": evil, evil: {evil: [evil]}}
    found = Page(page([(f"{evil}.json", made)]))
    assert found.tags["script"] == 1
    assert found.tags["img"] == 0
    assert evil in found.text


@pytest.mark.parametrize("environment", [{}, ENVIRONMENT])
def test_an_empty_result_says_how_to_measure(environment: dict[str, Any]) -> None:
    found = Page(page([("empty.json", Result("quick", environment))]))
    assert found.text.count("Not measured yet") == 7  # all but the machine
    assert "lamina bench peers does it" in found.text
    assert "0 rows: none" in found.text


@pytest.mark.long
def test_few_rows_make_a_page() -> None:
    whole = sample()
    for each in (*whole.rows, replace(whole.rows[0], size=0, flops=0.0, seconds=(0.0,))):
        Page(page([("one.json", Result("quick", {}, [each]))]))


def test_what_was_not_timed_is_shown_with_its_reason() -> None:
    found = Page(WHOLE)
    assert "wrong numba kernels, sum 1024 : off by 0.25 from the oracle" in found.text
    assert "skipped cupy fused, dense 64 : CuPy is not installed" in found.text
    assert "skipped cupy 5 captured" in found.text
    assert "341 ok, 2 skipped, 1 wrong" in found.text
    assert ("span", "class", "wrong") in found.attributes


def test_extrapolated_figures_are_marked() -> None:
    rows = row("loops", 2.0, backend="loops", measured=8), row("vectorised", 0.5)
    found = Page(page([("a.json", result(*rows))]))
    assert "~4.0× · 500 ms" in found.text
    assert "1× · ~2 s" in found.text
    assert "8 of 64" in found.text
    loops = [name for class_, name in found.marked if "faint" in class_]
    assert loops
    assert all("extrapolated from 8" in name for name in loops)
    exact = Page(page([("a.json", result(replace(rows[0], measured=0), rows[1]))]))
    assert "4.0× · 500 ms" in exact.text
    assert "~4.0×" not in exact.text


def test_the_story_has_its_factors() -> None:
    steps = (
        ("1 loops over examples and features", 8.0),
        ("2 loop over examples", 2.0),
        ("4 fused", 0.1),
    )
    rows = [row(name, s, s, kind="story", case="logistic", unit="step") for name, s in steps]
    found = Page(page([("a.json", result(*rows))]))
    assert "From the first step to the last: 80× as fast" in found.text
    assert "4.0× as fast as the step before" in found.text
    assert "20× as fast as the step before" in found.text
    assert "80× the first" in found.text
    assert found.text.count("logistic: from loops to fused") == 1


def test_a_difference_within_the_noise_is_said() -> None:
    near = row("vectorised", 1.0, 1.2), row("fused", 0.9, 1.1)
    apart = row("vectorised", 1.0, 1.2), row("fused", 0.8, 0.9)
    assert "within the noise" in Page(page([("a.json", result(*near))])).marked[1][1]
    assert "within the noise" not in Page(page([("a.json", result(*apart))])).marked[1][1]


def test_what_counts_as_one() -> None:
    loops, compiled = row("loops", 9.0, backend="loops"), row("compiled loops", 2.0)
    plain, fused = row("vectorised", 3.0), row("fused", 1.0)
    assert factors.baseline([fused, plain, compiled, loops]) is loops
    assert factors.baseline([fused, plain, compiled, replace(loops, status="wrong")]) is compiled
    assert factors.baseline([fused, plain]) is plain
    assert factors.baseline([replace(plain, seconds=())]) is None


def test_peers_are_held_against_the_fastest_of_lamina() -> None:
    def step(backend: str, *seconds: float, case: str = "net") -> Row:
        return row("", *seconds, kind="training", case=case, backend=backend, unit="step")

    rows = [step("numpy", 4.0), step("numba", 2.0), step("torch", 6.0), step("jax", 1.0)]
    rows += [step("numba", 2.0, case="other"), step("torch", 24.0, case="other")]
    found = Page(page([("a.json", result(*rows))]))
    assert "2 s numba 6 s 3.0× 1 s 0.50×" in found.text
    assert "geometric mean 1× 6.0× over 2 0.50× over 1" in found.text
    assert ("span", "class", "ahead") in found.attributes
    # the fastest peer of each network: 0.5 and 12, so 2.4 in the mean
    assert "2.4× the speed of the fastest other library in a training step" in found.text


def test_a_crossing_lies_where_the_lines_meet() -> None:
    def at(size: int, variant: str, seconds: float) -> Row:
        return row(variant, seconds, size=size, case=f"add {size}")

    # one costs 1 whatever the size; the other as much as the size: they meet at 100
    rows = [at(10, "a", 100.0), at(10, "b", 10.0), at(10_000, "a", 100.0), at(10_000, "b", 1e4)]
    first, (found,) = factors.crossings(rows, lambda each: each.size)
    assert (first, found.winner, found.loser) == ("numpy b", "numpy a", "numpy b")
    assert found.size == pytest.approx(100.0)
    assert found.seconds == pytest.approx(100.0)
    assert "from about 100 elements on numpy a" in Page(page([("a.json", result(*rows))])).text


def test_noise_makes_no_crossing() -> None:
    def at(size: int, variant: str, *seconds: float) -> Row:
        return row(variant, *seconds, size=size, case=f"add {size}")

    rows = [at(1, "a", 1.0, 1.1), at(1, "b", 1.4, 1.5), at(2, "a", 1.0, 1.4), at(2, "b", 0.9, 1.1)]
    assert factors.crossings(rows, lambda each: each.size) == ("numpy a", [])
    rows[3] = at(2, "b", 0.8, 0.9)
    assert len(factors.crossings(rows, lambda each: each.size)[1]) == 1


def test_a_way_that_starts_later_takes_the_lead_where_it_starts() -> None:
    rows = [row("a", 1.0, size=1), row("a", 2.0, size=2), row("b", 1.0, size=2)]
    _, (found,) = factors.crossings(rows, lambda each: each.size)
    assert (found.size, found.seconds) == (2, 1.0)


def test_the_roof_has_its_corner() -> None:
    (figure,) = charts.roofline(Source(1, "a", result(row("fused", 1.0, flops=1e9, bytes=1e9))))
    # 100 GFLOP/s over 10 GB/s meet at 10 flops a byte: the axes go from 0.1 to 100 and 0.1 to 1000
    corner = f"{Scale(0.1, 100.0).at(10.0):.2f}%", f"{100 - Scale(0.1, 1000.0).at(100.0):.2f}%"
    assert f'x2="{corner[0]}" y2="{corner[1]}" class="roof"' in figure
    assert f'x1="{corner[0]}" y1="{corner[1]}"' in figure
    (mark,) = Page(figure).marked
    assert "1 GFLOP/s" in mark[1]


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0], [3e-9, 7e5], [0.4, 2.0], [0.0]])
def test_a_scale_holds_its_values(values: list[float]) -> None:
    for scale in (Scale.around(values), Scale.around(values, room=1.15, decades=False)):
        ticks = scale.ticks()
        assert scale.low < scale.high
        assert 1 <= len(ticks) <= 9
        assert ticks == sorted(set(ticks))
        for value in [*values, *ticks]:
            assert 0.0 <= scale.at(value) <= 100.0
        assert all(scale.low * 0.99 <= value <= scale.high * 1.01 for value in values if value)


# README's tables


def saved(folder: Path, made: Result, name: str = "a.json") -> Path:
    path = folder / name
    made.write(path)
    return path


def test_the_tables_for_readme(tmp_path: Path) -> None:
    rows = [
        row(name, s, kind="story", case="logistic", unit="step", backend=b)
        for b, name, s in (("loops", "1 loops over all", 8.0), ("numpy", "3 vectorised", 2e-3),
                           ("numba", "4 fused", 1e-3))
    ]  # fmt: skip
    for size, scale in ((64, 1.0), (4096, 10.0)):
        rows += [
            row("loops", 3.0 * scale, backend="loops", size=size, case=f"add {size}", measured=9),
            row("vectorised", 0.3 * scale, size=size, case=f"add {size}"),
            row("fused", 0.1 * scale, size=size, case=f"add {size}"),
        ]
    for backend, took in (("numba", 1.234e-6), ("numpy", 5.6e-3), ("torch", 1.0)):
        rows.append(row("", took, kind="training", case="net", backend=backend, unit="step"))
    told = markdown.block([saved(tmp_path, result(*rows))], tmp_path)
    assert "| logistic, per step | 8 s | 2 ms (4,000×) | 1 ms (8,000×) |" in told
    assert "| `add`, 4,096 elements | ~30 s | 3 s (~10×) | 1 s (~30×) |" in told
    assert "| network | numpy | numba |" in told
    assert "| net | 5,600 | 1.23 |" in told
    assert "[a.json](a.json)" in told
    assert "Made-up processor, 2 cores" in told
    assert "torch" not in told


def test_readme_is_rewritten_between_its_marks_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    path = saved(tmp_path, sample())
    readme.write_text(f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n")
    assert markdown.files(readme) == []
    markdown.rewrite(readme, [path])
    once = readme.read_text()
    assert once.startswith(f"before\n{markdown.BEGIN}\n")
    assert once.endswith(f"\n{markdown.END}\nafter\n")
    assert "old" not in once
    assert markdown.block([path], tmp_path) in once
    assert markdown.files(readme) == [path]
    markdown.rewrite(readme, markdown.files(readme))
    assert readme.read_text() == once


def test_readme_without_marks_and_results_without_rows_are_refused(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing\n")
    with pytest.raises(BadInput, match="bench:begin"):
        markdown.rewrite(readme, [saved(tmp_path, sample())])
    with pytest.raises(BadInput, match="no rows for README"):
        markdown.block([saved(tmp_path, result())], tmp_path)
    with pytest.raises(BadInput, match="cannot be read"):
        markdown.rewrite(tmp_path / "none.md", [])


# The command


def run(*words_: object) -> Any:
    return CliRunner().invoke(app, ["bench", "report", *map(str, words_)])


def test_the_command_writes_what_is_asked(tmp_path: Path) -> None:
    path = saved(tmp_path, sample())
    done = run(path)
    assert done.exit_code == 0
    assert f"wrote {tmp_path / 'a.html'}" in done.output
    write([path], tmp_path / "same.html")
    assert (tmp_path / "a.html").read_text() == (tmp_path / "same.html").read_text()
    (tmp_path / "a.html").unlink()
    assert run(path, "--markdown", "-").stdout.startswith("Time, and how many times as fast")
    assert run(path, "--markdown", tmp_path / "t.md").exit_code == 0
    assert (tmp_path / "t.md").read_text() == markdown.block([path], tmp_path) + "\n"
    assert not (tmp_path / "a.html").exists()


def test_results_of_one_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    paths = saved(tmp_path, sample(ops=False)), saved(tmp_path / "b", sample(peers=False))
    assert run(*paths, "--html", tmp_path / "both.html").exit_code == 0
    found = Page((tmp_path / "both.html").read_text())
    assert "b/a.json" in found.text


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    path = saved(tmp_path, sample())
    (tmp_path / "broken.json").write_text("{")
    for words_, told in (
        ((tmp_path / "none.json",), "cannot be read"),
        ((tmp_path / "broken.json",), "is no result of lamina bench"),
        ((path, "--html", path), "is the result itself"),
        ((path, "--html", tmp_path / "no" / "a.html"), "No such file"),
        ((path, "--readme", tmp_path / "none.md"), "cannot be read"),
    ):
        done = run(*words_)
        assert done.exit_code != 0
        assert told in done.output
        assert "Traceback" not in done.output
    assert Result.read(path).rows == sample().rows


def test_the_sample_is_the_same_each_time() -> None:
    assert rounds(1.0, "a") == rounds(1.0, "a") != rounds(1.0, "b")
