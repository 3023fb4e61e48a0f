"""What a model holds is freed with the last reference to it, not when the collector comes."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from null_device import NullBackend


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def prepared(model: lm.Sequential, x: Any, y: Any) -> None:
    predictor = model.prepare()
    for rows in (1, 23):
        predictor(np.ascontiguousarray(x[:rows], dtype=model.dtype))


def validated(model: lm.Sequential, x: Any, y: Any) -> None:
    callbacks = [lm.EarlyStopping(), lm.Plateau()]
    model.fit(x, y, 3, 5, validation_split=0.2, callbacks=callbacks, verbose=1)


def refused(model: lm.Sequential, x: Any, y: Any) -> None:
    wrong: list[Callable[[], Any]] = [
        lambda: model.evaluate(x[:, :1], y),
        lambda: model.fit(x, y[:3]),
        lambda: model.set_weights([]),
        lambda: model.fit(x, y, batch_size=5, verbose=0),
    ]
    model.set_weights([1e300 * w for w in model.get_weights()])
    for one in wrong:
        with pytest.raises(lm.LaminaError):
            one()


def streamed(model: lm.Sequential, x: Any, y: Any) -> None:
    model.fit(lambda: [(x, y), (x[:7], y[:7])], epochs=2, verbose=0)


USES: list[Callable[[lm.Sequential, Any, Any], Any]] = [
    lambda model, x, y: model.fit(x, y, 3, 23, verbose=0),
    lambda model, x, y: model.fit(x, y, 2, 5, sample_weight=np.ones(23), verbose=0),
    validated,
    streamed,
    lambda model, x, y: model.train_on_batch(x, y),
    lambda model, x, y: model.predict(x),
    lambda model, x, y: model.evaluate(x, y),
    prepared,
    lambda model, x, y: model.gradients(x, y),
    lambda model, x, y: lm.explain(model),
    lambda model, x, y: lm.profile(model, x, y, steps=1),
    lambda model, x, y: copy.deepcopy(model).predict(x),
    lambda model, x, y: (
        pickle.loads(pickle.dumps(model)).predict(x)
        if not isinstance(model.backend, NullBackend)
        else None
    ),
    lambda model, x, y: model.to("loops").to("numpy").predict(x),
    refused,
]


@pytest.mark.slow
@pytest.mark.parametrize("backend", [*support.CPU, NullBackend])
@pytest.mark.parametrize("use", range(len(USES)))
def test_a_model_is_freed_at_once(backend: Any, use: int) -> None:
    if USES[use] is refused:  # what is compiled while an error is on its way may keep that error
        other, x, y = support.variety(backend if isinstance(backend, str) else backend())
        other.fit(x, y, batch_size=5, verbose=0)
        refused(other, x, y)
    model, x, y = support.variety(backend if isinstance(backend, str) else backend())
    model.fit(x, y, batch_size=5, verbose=0)
    examples = model.session.examples(x, y)
    block = examples.block(model.backend, model.dtype)
    with model.session.lease("train", 5, block) as binding:
        bound = weakref.ref(binding)
    del binding
    parts = [
        weakref.ref(part)
        for part in (model, model.session, model.state, model.prepare(), model.session.graph())
    ]
    if isinstance(model.state.flats["parameters"], np.ndarray):
        parts.append(weakref.ref(model.state.flats["parameters"]))
    USES[use](model, x, y)
    del model
    assert [part() for part in (*parts, bound)] == [None] * (len(parts) + 1)


@pytest.mark.slow
def test_a_saved_and_loaded_model_too(tmp_path: Path) -> None:
    model, x, y = support.variety("numba")
    model.fit(x, y, batch_size=5, verbose=0)
    with pytest.warns(UserWarning, match="parts of your own"):
        model.save(tmp_path / "m.safetensors")
    loaded = lm.load(tmp_path / "m.safetensors", "numba", {"Scale": support.Scale})
    loaded.predict(x)
    states = [weakref.ref(model.state), weakref.ref(loaded.state)]
    del model, loaded
    assert [state() for state in states] == [None, None]
