"""Frozen layers, rates of single layers, averages of weights: what a fine-tuning needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support

every_backend = pytest.mark.parametrize("backend", support.EVERY)


@pytest.mark.slow
@every_backend
def test_frozen_arrays_stay_bit_for_bit(backend: str) -> None:
    x, y = support.classes(30)
    settings = {"weight_decay": 0.1}
    layers = [
        lm.Dense(5, "tanh", trainable=False, **settings), lm.Dense(4, "relu", **settings),
        lm.Dense(3, "softmax"),
    ]  # fmt: skip
    model = support.classifier(backend, layers=layers, optimizer=lm.AdamW(0.01)).build(4)
    model.freeze("1.bias", 2)
    before = model.get_weights()
    assert [sorted(layer) for layer in model.gradients(x, y)] == [[], ["weight"], []]
    model.fit(x, y, epochs=3, batch_size=8, verbose=0)
    after = model.get_weights()
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [False, False, True, False, False, False]
    assert lm.check_gradients(model, x, y)
    model.unfreeze(0)
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(after, model.get_weights(), strict=True)]
    assert changed == [True, True, True, False, False, False]


@every_backend
def test_the_others_train_as_if_the_frozen_were_data(backend: str) -> None:
    """Behind frozen layers a model is one on what they give."""
    x, y = support.classes(30)
    whole = support.classifier(backend).build(4)
    whole.freeze(0)
    first, bias, *rest = whole.get_weights()
    hidden = np.maximum(x @ first + bias, 0.0)
    alone = support.classifier(backend, layers=whole.layers[1:]).build(8)
    alone.set_weights(rest)
    for model, data in ((whole, x), (alone, hidden)):
        model.fit(data, y, epochs=4, batch_size=7, shuffle=False, verbose=0)
    for a, b in zip(whole.get_weights()[2:], alone.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_first_weights_do_not_depend_on_what_is_frozen() -> None:
    plain = support.classifier().build(4)
    frozen = support.classifier(
        layers=[lm.Dense(la.units, la.activation, trainable=False) for la in plain.layers]
    ).build(4)
    assert support.same(plain.get_weights(), frozen.get_weights())


@every_backend
def test_nothing_to_train_is_no_error(backend: str) -> None:
    x, y = support.classes(10)
    model = support.classifier(backend).build(4).freeze()
    before = model.get_weights()
    model.fit(x, y, epochs=2, batch_size=4, verbose=0)
    assert support.same(before, model.get_weights())
    assert model.gradients(x, y) == [{} for _ in model.layers]


def test_streams_and_statistics_beside_frozen_layers() -> None:
    x, y = support.classes(12)
    model = support.classifier(layers=[lm.Dense(3, "softmax", trainable=False)])
    model.fit(iter([(x, y)]), epochs=1, verbose=0)
    layers = [lm.Standardize(), lm.Dense(4, "tanh", trainable=False), lm.Dense(3, "softmax")]
    model = support.classifier(layers=layers)
    model.fit(x, y, epochs=1, batch_size=4, verbose=0)
    np.testing.assert_allclose(model.state.array("0.mean")[0], x.mean(0), rtol=1e-12)
    model.set_weights([w + 1.0 for w in model.get_weights()])
    np.testing.assert_allclose(model.state.array("0.mean")[0], x.mean(0), rtol=1e-12)


def test_set_rates_says_what_there_is() -> None:
    model = support.classifier()
    with pytest.raises(lm.NotBuilt):
        model.freeze()
    model.build(4)
    for which in (7, "0.wight", "0"):
        with pytest.raises(lm.BadInput, match=r"there are \['0.weight', '0.bias'"):
            model.freeze(which)
    with pytest.raises(lm.BadInput, match="the factor of 0 must be a number in"):
        model.set_rates({0: -1.0})


@pytest.mark.slow
@every_backend
@pytest.mark.parametrize(
    "optimizer",
    [
        lm.Adam(0.01, amsgrad=True, average=lm.EMA(0.9)), lm.NAdam(0.01), lm.Adagrad(0.1),
        lm.Lion(0.01, weight_decay=0.1), lm.SGD(0.1, average=lm.SWA(start=2, every=3)),
        lm.SGD(lm.schedules.OneCycle(0.3, 40)), lm.SGD(lm.schedules.CosineRestarts(0.3, 5)),
        lm.LBFGS(iterations=3),
    ],
    ids=lambda o: type(o).__name__ + type(o.average).__name__,
)  # fmt: skip
def test_a_file_goes_on_as_if_nothing_had_been(
    optimizer: Any, backend: str, tmp_path: Path
) -> None:
    pytest.importorskip("safetensors")
    x, y = support.classes(30)
    model = support.classifier(backend, optimizer=optimizer).build(4)
    model.set_rates({"0.bias": 0.0, 1: 1.0 if isinstance(optimizer, lm.LBFGS) else 0.25})
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    model.save(tmp_path / "m.safetensors")
    other = lm.load(tmp_path / "m.safetensors", backend=backend)
    assert other.optimizer == optimizer
    assert other.state.layout == model.state.layout
    for each in (model, other):
        each.fit(x, y, epochs=2, batch_size=8, verbose=0)
    for segment in ("parameters", "statistics", *model.state.layout.slots):
        assert support.same([model.state.read(segment)], [other.state.read(segment)])


@every_backend
def test_an_averaged_model_is_one_of_its_own(backend: str) -> None:
    x, y = support.classes(30)
    plain = support.classifier(backend, optimizer=lm.SGD(0.2), seed=3)
    model = support.classifier(backend, optimizer=lm.SGD(0.2, average=lm.SWA(every=2)), seed=3)
    with pytest.raises(lm.BadInput, match="keeps no average"):
        plain.build(4).averaged()
    with pytest.raises(lm.BadInput, match="nothing is averaged yet"):
        model.build(4).averaged()
    seen = []
    for _ in range(3):
        for _ in range(2):
            plain.train_on_batch(x, y)
            model.train_on_batch(x, y)
        seen.append(plain.get_weights())
    assert support.same(plain.get_weights(), model.get_weights())  # it changes no training
    average = model.averaged()
    for got, *taken in zip(average.get_weights(), *seen, strict=True):
        np.testing.assert_allclose(got, np.mean(taken, axis=0), rtol=1e-5, atol=1e-6)
    kept = average.get_weights()
    model.train_on_batch(x, y)
    model.train_on_batch(x, y)
    assert support.same(kept, average.get_weights())
    assert average.evaluate(x, y) != model.evaluate(x, y)
    average.fit(x, y, epochs=1, batch_size=10, verbose=0)


def test_an_average_begins_with_the_weights_of_what_is_unfrozen() -> None:
    x, y = support.classes(30)
    model = support.classifier(optimizer=lm.SGD(0.1, average=lm.EMA(0.9))).build(4).freeze(0)
    model.fit(x, y, epochs=1, batch_size=10, verbose=0)
    first = model.get_weights()[0]
    np.testing.assert_array_equal(model.averaged().get_weights()[0], first)
    model.unfreeze(0)
    np.testing.assert_array_equal(model.averaged().get_weights()[0], first)
    np.testing.assert_array_equal(model.get_weights()[0], first)
