"""What is told while training: callbacks, and the lines that are printed."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import lamina as lm
import pytest
import support

# Callbacks


class Recorder(lm.Callback):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_fit_begin(self, model: Any) -> None:
        self.seen.append("begin")

    def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
        self.seen.append((epoch, sorted(values)))
        if epoch == 3:
            model.stop_training = True

    def on_fit_end(self, model: Any, history: Any) -> None:
        self.seen.append(("end", len(history.epochs)))


def test_callbacks() -> None:
    x, y = support.classes(16)
    recorder, model = Recorder(), support.classifier()
    model.fit(x, y, epochs=9, batch_size=8, callbacks=[recorder], verbose=0)
    names = ["accuracy", "loss"]
    assert recorder.seen == ["begin", (1, names), (2, names), (3, names), ("end", 3)]
    model.fit(x, y, epochs=2, batch_size=8, callbacks=(recorder,), verbose=0)
    assert recorder.seen[5:] == ["begin", (4, names), (5, names), ("end", 2)]


def misled() -> tuple[lm.Sequential, dict[str, Any]]:
    """A training whose validation loss only rises: the held-out labels are wrong."""
    x, y = support.classes(40)
    return support.classifier(optimizer=lm.SGD(0.2)), {
        "x": x, "y": y, "batch_size": 10, "validation_data": (x, (y + 1) % 3), "verbose": 0,
    }  # fmt: skip


def test_early_stopping_restores_the_best() -> None:
    model, data = misled()
    once, _ = misled()
    once.fit(**data, epochs=1)
    stop = lm.EarlyStopping(patience=3)
    history = model.fit(**data, epochs=50, callbacks=[stop])
    values = history.history["val_loss"]
    assert len(values) == 4  # the first is the best, three are waited for
    assert min(values) == values[0] == stop.best
    assert stop.best_epoch == 1
    assert support.same(model.get_weights(), once.get_weights())
    model, data = misled()
    model.fit(
        **data, epochs=50, callbacks=[lm.EarlyStopping(patience=2, restore_best_weights=False)]
    )
    longer, _ = misled()
    longer.fit(**data, epochs=3)
    assert support.same(model.get_weights(), longer.get_weights())


def test_early_stopping_monitors_what_it_is_told() -> None:
    model, data = misled()
    stop = lm.EarlyStopping(monitor="loss", patience=2)
    assert len(model.fit(**data, epochs=8, callbacks=[stop]).epochs) == 8  # the loss falls
    model, data = misled()
    stop = lm.EarlyStopping(monitor="val_accuracy", patience=2)
    history = model.fit(**data, epochs=30, callbacks=[stop])
    assert stop.best == max(history.history["val_accuracy"])  # more is better
    model, data = misled()
    with pytest.raises(lm.BadInput, match="no 'val_f1' in the history; it has loss, accuracy"):
        model.fit(**data, callbacks=[lm.EarlyStopping(monitor="val_f1")])
    x, y = support.classes(16)
    still = support.classifier(optimizer=lm.SGD(0.0))
    with pytest.warns(UserWarning, match="EarlyStopping watches the training loss"):
        history = still.fit(
            x,
            y,
            epochs=9,
            batch_size=16,
            shuffle=False,
            callbacks=[lm.EarlyStopping(patience=2)],
            verbose=0,
        )
    assert len(history.epochs) == 3  # without validation it watches the loss


def test_checkpoint_callback(tmp_path: Path) -> None:
    x, y = support.classes(16)
    path = tmp_path / "m.safetensors"
    model = support.classifier()
    model.fit(x, y, epochs=5, batch_size=8, callbacks=[lm.Checkpoint(path, every=2)], verbose=0)
    kept = lm.load(path, backend="numpy")
    assert (kept.state.epoch, kept.state.step) == (4, 8)
    kept.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert support.same(kept.get_weights(), model.get_weights())
    with pytest.raises(lm.BadInput, match="every must be a whole number"):
        lm.Checkpoint(path, every=0)


# What is printed


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = support.classes(16)
    support.classifier().fit(x, y, epochs=3, batch_size=8)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines, 1):
        assert line.startswith(f"epoch {number}/3  loss ")
        assert "accuracy" in line
        assert line.endswith("examples/s")
        assert "\x1b" not in line
    support.classifier().fit(x, y, epochs=200, batch_size=8)
    lines = capsys.readouterr().out.splitlines()
    assert 10 <= len(lines) <= 25
    assert lines[-1].startswith("epoch 200/200")
    support.classifier().fit(x, y, epochs=2, batch_size=8, validation_split=0.25)
    assert "val_loss" in capsys.readouterr().out
    for quiet in (0, False):
        support.classifier().fit(x, y, epochs=3, batch_size=8, verbose=quiet)
        assert capsys.readouterr() == ("", "")


def test_a_progress_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    x, y = support.classes(16)
    support.classifier().fit(x, y, epochs=3, batch_size=8)
    text = terminal.getvalue()
    assert "epoch 3/3" in text
    assert "loss" in text
    assert "examples/s" in text
