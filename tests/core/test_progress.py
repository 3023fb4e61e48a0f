"""What a training shows: the line on a terminal at every width, plain lines, epochs and speed."""

from __future__ import annotations

import io
import re
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import lamina as lm
import pytest
from lamina.core import history
from lamina.core.history import Bar, Lines, Reporter, fitted, reporter
from lamina.kernels import compilation

from .. import support

VALUES = {"loss": 0.1234, "accuracy": 0.97, "val_loss": 0.2345, "val_accuracy": 0.9512}
WIDTHS = (20, 25, 40, 60, 80, 130)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch, width: int = 120, **environment: str) -> Terminal:
    """Puts a terminal of a width in the place of the output."""
    found = Terminal()
    monkeypatch.setattr(sys, "stdout", found)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": str(width), **environment}.items():
        monkeypatch.setenv(name, value)
    return found


def last_line(terminal: Terminal) -> str:
    """What stands on it in the end."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    return re.split(r"[\r\n]", text.rstrip())[-1].rstrip()


def shown(terminal: Terminal, names: int) -> str:
    """The line in the middle of a training."""
    values = dict(list(VALUES.items())[:names])
    bar = Bar(60, 1000)
    for number in range(12):
        bar.epoch(number + 1, 1.0, values)
    bar.batches(500, values)
    bar.spent = 75.0
    bar.close()
    return last_line(terminal)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("names", [1, 2, 4])
def test_the_epoch_and_the_loss_are_always_there(
    monkeypatch: pytest.MonkeyPatch, width: int, names: int
) -> None:
    line = shown(terminal(monkeypatch, width), names)
    assert line.startswith("epoch 13/60")
    assert len(line) <= width
    if width >= 25:
        assert "loss 0.1234" in line


@pytest.mark.parametrize(
    ("width", "there", "gone"),
    [
        (25, [], ["left", "━", "accuracy", "examples/s"]),
        (40, ["4:45 left"], ["━", "accuracy", "examples/s"]),
        (60, ["4:45 left", "━━", "accuracy 0.9700"], ["val_loss", "examples/s"]),
        (80, ["4:45 left", "━━", "accuracy 0.9700", "val_loss 0.2345"], ["examples/s"]),
        (130, ["4:45 left", "━━", "val_accuracy 0.9512", "167 examples/s"], []),
    ],
)
def test_what_matters_least_goes_first(
    monkeypatch: pytest.MonkeyPatch, width: int, there: list[str], gone: list[str]
) -> None:
    line = shown(terminal(monkeypatch, width), 4)
    assert all(text in line for text in there), line
    assert not any(text in line for text in gone), line


def test_fitted_drops_by_rank_and_keeps_the_order() -> None:
    pieces = [history.Piece(rank, str(rank) * 4) for rank in (0, 3, 1, 2)]
    for width, ranks in ((100, [0, 3, 1, 2]), (22, [0, 3, 1, 2]), (21, [0, 1, 2]), (1, [0, 1])):
        assert [piece.rank for piece in fitted(pieces, width)] == ranks


def test_without_colour_the_bar_ends_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coloured = terminal(monkeypatch, 130)
    assert shown(coloured, 2).count("━") == 24
    assert "\x1b[3" in coloured.getvalue()
    plain = terminal(monkeypatch, 130, NO_COLOR="1")
    assert shown(plain, 2).count("━") == 5  # of 24, as 12.5 of 60 epochs are done
    assert "\x1b[3" not in plain.getvalue()


def test_times() -> None:
    assert [history.minutes(s) for s in (0.4, 65, 3599.7, 7209)] == [
        "0:00", "1:05", "1:00:00", "2:00:09",
    ]  # fmt: skip


def test_batches_of_an_iterable_have_a_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    x, y = support.classes(16)
    support.classifier().fit(lambda: iter([(x, y), (x, y)]), epochs=3)
    last = last_line(screen)
    assert "epoch 3/3" in last
    assert "examples/s" in last
    assert "in 0:0" in last


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_draw_has_plain_lines(
    monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    terminal(monkeypatch, TERM=term)
    assert isinstance(reporter("auto", 3, 10, 0), Lines)
    monkeypatch.setattr(sys, "stdout", None)
    assert type(reporter("auto", 3, 10, 0)) is Reporter


def test_epochs_are_counted_over_the_models_life(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = support.classes(16)
    model = support.classifier()
    for epochs, last in ((2, 2), (3, 5), (1, 6)):
        model.fit(x, y, epochs=epochs, batch_size=8)
        lines = capsys.readouterr().out.splitlines()
        wanted = [f"epoch {n}/{last}" for n in range(last - epochs + 1, last + 1)]
        assert [line.split("  ")[0] for line in lines] == wanted


class Slow(lm.Callback):
    """Stands for a kernel that is first needed in the middle of a training."""

    def on_fit_begin(self, model: lm.Sequential) -> None:
        run = model.backend.compile

        def compile_now(program: Any) -> Any:
            with compilation.compiling("a kernel"):
                time.sleep(0.3)
            return run(program)

        model.backend.compile = compile_now  # type: ignore[method-assign]


@pytest.mark.slow
def test_compilation_is_no_training_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "_tally", compilation._Tally(announced=True))
    x, y = support.classes(16)
    model = support.classifier(backend=lm.get_backend("numpy"))
    try:
        held = (x, y)  # its program is compiled when the first epoch is over
        start = time.perf_counter()
        found = model.fit(x, y, epochs=2, batch_size=8, validation_data=held, callbacks=[Slow()])
        assert time.perf_counter() - start > 0.3
    finally:
        del model.backend.compile
    assert 0 <= min(found.seconds) <= max(found.seconds) < 0.25
    assert float(re.findall(r"(\S+) s  ", capsys.readouterr().out)[0]) < 0.25


def test_in_a_notebook_one_display_is_kept_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, thing: Any) -> None:
            shown.append(thing._repr_html_())

    def display(thing: Any, display_id: bool = False) -> Handle:
        assert display_id
        shown.append(thing._repr_html_())
        return Handle()

    ipython, module = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=None)  # type: ignore[attr-defined]
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    support.classifier().fit(*support.classes(), epochs=3)
    assert 'value="0.000"' in shown[0]
    assert 'value="1.000"' in shown[-1]
    assert "epoch 3/3  loss" in shown[-1]
