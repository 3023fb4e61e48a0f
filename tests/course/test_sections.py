"""Every section of the course runs by itself, says the same on every backend, and is translated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lamina.course.runner.performance import Performance, perform
from lamina.course.runner.section import SIZE, Section, chosen, reduced, sections
from lamina.course.runner.words import Words

plt = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
for package in ("jupytext", "sklearn"):
    pytest.importorskip(package, reason=f"{package} is not installed")

SECTIONS = sections()
QUICK = ("computation_graph", "backpropagation", "broadcasting")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
TIMED = ("µs",)  # in lines that depend on the machine
# what rounding decides: training in float32, an error that is all that is printed, large weights
ROUGH = (
    "initialisation", "tables_and_images", "scale", "images", "fashion_mnist", "choosing_depth",
    "linear_depth", "choosing_an_activation", "backpropagation", "deep_networks", "dead_units",
    "vanishing_gradients",
)  # fmt: skip


ELSEWHERE = ("vectorization", "hidden_layer")  # it asserts itself; in test_planar.py, and below


@pytest.fixture(autouse=True)
def _no_screen() -> Iterator[None]:
    before = plt.get_backend()
    yield
    plt.switch_backend(before)


def marked(names: tuple[str, ...]) -> list[object]:
    """The sections as parameters, those slow that are not named."""
    return [
        pytest.param(one, id=one.name, marks=() if one.name in names else pytest.mark.slow)
        for one in SECTIONS
    ]


def named(name: str) -> Section:
    (found,) = chosen([name])
    return found


def numbers(done: Performance) -> list[str]:
    lines = [line for line in done.printed.splitlines() if not any(t in line for t in TIMED)]
    return [found for line in lines for found in NUMBER.findall(line)]


def last_digit(number: str) -> float:
    """What one more in its last digit is worth: 0.01 of 3.14, 1e-7 of 2.5e-6."""
    digits, _, power = number.partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def test_every_section_of_the_course_is_there() -> None:
    wanted = ("1.1", "1.2", "1.3", "2.1", "2.2", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "3.1",
              "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "4.1", "4.2", "4.3")  # fmt: skip
    for number in wanted:
        assert chosen([number]), number
    assert len({one.name for one in SECTIONS}) == len(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS, ids=[one.name for one in SECTIONS])
def test_a_section_can_be_handed_out(section: Section) -> None:
    text = section.path.read_text()
    assert len(text.splitlines()) < 80
    assert text.startswith("# %% [markdown]\n# # ")
    lamina = [line for line in text.splitlines() if re.match(r"\s*(import|from) .*lamina", line)]
    assert lamina == ["import lamina as lm"]
    assert not re.search(r"\._[a-z]", text)


@pytest.mark.long
@pytest.mark.parametrize("section", marked(QUICK))
def test_it_runs_in_a_reduced_size_in_both_languages(section: Section) -> None:
    done = perform(section, "numpy", ("en", "zh"), small=True)
    words, texts = done.words["zh"], 0
    for step in done.steps:
        if step.kind == "markdown":
            assert words.text(texts, step.source) != step.source
            texts += 1
        for line in step.printed.splitlines():
            words.line(line)
        for picture in step.pictures:
            assert picture.captions["en"]
            assert picture.captions["en"] != picture.captions["zh"]
            assert "<svg" in picture.drawn["en"]
    assert words.missing == []
    assert texts == len(words.own["text"])
    assert done.printed.strip()


@pytest.mark.long
@pytest.mark.parametrize(
    "section",
    [one for one in SECTIONS if one.name not in (*ROUGH, *ELSEWHERE)],
    ids=lambda one: one.name,
)
def test_numbers_agree_between_backends(section: Section) -> None:
    one, *others = (
        numbers(perform(section, name, small=True)) for name in ("numpy", "numba", "loops")
    )
    for other in others:
        assert len(other) == len(one)
        for told, wanted in zip(other, one, strict=True):
            assert abs(float(told) - float(wanted)) <= 1.01 * last_digit(wanted), (told, wanted)


@pytest.mark.long
def test_the_published_results_come_out() -> None:
    done = perform(named("hidden_layer"), "numba")
    rows = [line.split("\t") for line in done.printed.splitlines() if line.count("\t") == 2]
    assert len(rows) == 9
    assert all(cost == published for _, cost, published in rows[1:])
    assert "logistic regression: 47 % of the points" in done.printed
    for units, right in ((1, "67.50"), (2, "67.25"), (3, "90.75"), (4, "90.50"), (5, "91.25")):
        assert f"{units} hidden units: {right} %" in done.printed


def test_the_course_s_graph_comes_out() -> None:
    done = perform(named("computation_graph"), "numpy")
    assert "J = 33, dJ/da = 3, dJ/db = 6, dJ/dc = 9" in done.printed


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "line", "told", "then"),
    [
        ("activations", 'activation = "relu"', "tanh: ", "relu: "),
        ("deep_networks", "depth = 1", "3 hidden layers: shapes", "1 hidden layers: shapes"),
    ],
)
def test_one_obvious_line_changes_what_it_says(
    name: str, line: str, told: str, then: str, tmp_path: Path
) -> None:
    section = named(name)
    variable = line.split(" = ")[0]
    text, count = re.subn(rf"^{variable} = .*", line, section.path.read_text(), flags=re.M)
    assert count == 1
    copy = tmp_path / section.path.name
    copy.write_text(text)
    before = perform(section, "numpy", small=True).printed
    after = perform(replace(section, path=copy), "numpy", small=True).printed
    assert told in before
    assert then in after
    assert numbers_of(before, told) != numbers_of(after, then)


def numbers_of(printed: str, start: str) -> list[str]:
    (line,) = [one for one in printed.splitlines() if one.startswith(start) and "slope" not in one]
    return NUMBER.findall(line.removeprefix(start))


def test_sizes_are_reduced_where_a_line_says_so() -> None:
    code = "epochs = 5000  # reduced: 50\nrate = 0.1\nsizes = [1, 2]  # reduced: [1]"
    small, changed = reduced(code)
    assert small == "epochs = 50\nrate = 0.1\nsizes = [1]"
    assert changed == {"epochs": ("5000", "50"), "sizes": ("[1, 2]", "[1]")}
    assert any(SIZE.search(one.path.read_text()) for one in SECTIONS)


@pytest.mark.slow
def test_plain_loops_take_reduced_sizes_and_say_so() -> None:
    done = perform(named("gradient_descent"), "loops")
    assert done.changed["epochs"] == ("200", "30")


def test_words_that_have_no_translation_are_told() -> None:
    words = Words(named("images"), "zh")
    assert words.line("is it a 3? 98.1 % of new images right; always no: 89.7 %").startswith("它")
    assert words.line("relu 100") == "relu 100"
    assert words.missing == []
    assert words.line("an unknown sentence with 3 apples") == "an unknown sentence with 3 apples"
    assert words.missing == ["an unknown sentence with 3 apples"]
