"""Copies and pickles: they go on as the model would have, share nothing, and travel."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import selection
from lamina.backends.registry import BackendStatus

BACKENDS = pytest.mark.parametrize("backend", support.CPU)


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


WAYS = pytest.mark.parametrize("way", [copy.deepcopy, copy.copy, pickled])


def numbers(model: lm.Sequential) -> list[np.ndarray]:
    """All of a model's state, from memory that is not the model's."""
    state = model.state
    counters = np.array([state.step, state.epoch])
    return [counters, *(state.read(segment) for segment in state.layout.segments)]


def going_on(model: lm.Sequential, x: Any, y: Any) -> list[Any]:
    """What a model does next: bit for bit the same for a copy."""
    told = model.fit(x, y, epochs=3, batch_size=5, validation_split=0.2, verbose=0).history
    step = model.train_on_batch(x[:7], y[:7])
    return [told, step, model.evaluate(x, y), *(a.tobytes() for a in numbers(model))]


@WAYS
@BACKENDS
@pytest.mark.parametrize("state", ["new", "built", "trained"])
def test_a_copy_goes_on_as_the_model_would(
    backend: str, way: Callable[[Any], Any], state: str
) -> None:
    model, x, y = support.variety(backend)
    if state == "built":
        model.build((2, 2))
    if state == "trained":
        model.fit(x, y, epochs=2, batch_size=5, verbose=0)
        model.predict(x)
    twin = way(model)
    assert twin.built == model.built
    assert twin.backend is model.backend
    assert twin.backend_reason == model.backend_reason
    assert twin.history == model.history
    assert repr(twin) == repr(model)
    wanted = going_on(model, x, y)
    assert going_on(twin, x, y) == wanted


@WAYS
@BACKENDS
def test_a_copy_shares_no_memory(backend: str, way: Callable[[Any], Any]) -> None:
    model, x, y = support.variety(backend)
    model.fit(x, y, batch_size=5, verbose=0)
    twin, before, p = way(model), numbers(model), model.predict(x)
    for name, flat in model.state.flats.items():
        assert not np.shares_memory(flat, twin.state.flats[name])
    twin.set_weights([np.zeros_like(w) for w in twin.get_weights()])
    np.testing.assert_allclose(twin.predict(x), 1.0 / 3.0)  # it follows its own weights
    twin.fit(x, y, batch_size=5, verbose=0)
    twin.optimizer = replace(twin.optimizer, learning_rate=0.5)
    assert twin.history is not model.history
    assert model.optimizer != twin.optimizer
    assert support.same(numbers(model), before)
    np.testing.assert_array_equal(model.predict(x), p)


@BACKENDS
@pytest.mark.parametrize("way", [copy.deepcopy, pickled])
def test_a_prepared_prediction_is_copied_with_its_weights(
    backend: str, way: Callable[[Any], Any]
) -> None:
    model, x, y = support.variety(backend)
    model.fit(x, y, batch_size=5, verbose=0)
    x = np.ascontiguousarray(x, dtype=model.dtype)
    alone, wanted = way(model.prepare()), model.predict(x)
    both, predictor = way((model, model.prepare()))
    assert both.prepare().state is predictor.state is both.state
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    np.testing.assert_array_equal(alone(x), wanted)
    np.testing.assert_array_equal(predictor(x), wanted)
    both.set_weights([np.zeros_like(w) for w in both.get_weights()])
    np.testing.assert_allclose(predictor(x), 1.0 / 3.0)


def test_a_prepared_prediction_of_an_earlier_device_is_copied_there() -> None:
    x, y = support.classes(20)
    model = support.classifier("numba")
    model.fit(x, y, batch_size=20, verbose=0)
    before, wanted = model.prepare(), model.predict(x)
    model.to("numpy")
    twin = pickled(before)
    assert (twin.state.backend.name, twin.session.backend.name) == ("numba", "numpy")
    np.testing.assert_array_equal(twin(x), wanted)


def test_a_copy_made_by_a_callback_goes_on_from_there() -> None:
    x, y = support.classes(48)

    class Keep(lm.Callback):
        def on_epoch_end(self, model: Any, epoch: int, values: Any) -> None:
            kept.append((copy.deepcopy(model), pickle.dumps(model)))

    kept: list[Any] = []
    model = support.classifier("numba")
    told = model.fit(x, y, 4, 16, callbacks=[Keep()], verbose=0).history["loss"]
    for number, (twin, data) in enumerate(kept[:3]):
        for one in (twin, pickle.loads(data)):
            rest = one.fit(x, y, 3 - number, 16, verbose=0).history["loss"]
            assert rest == told[number + 1 :]
            assert support.same(one.get_weights(), model.get_weights())


class Functional(lm.Backend):
    """NumPy as a library whose arrays cannot be written."""

    name = "functional"
    functional = True

    @property
    def xp(self) -> Any:
        return np


class Locked(Functional):
    """What it holds cannot be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Own(Functional):
    """What it holds knows it."""

    def __init__(self) -> None:
        super().__init__()
        self.methods = [self.kernels]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Functional, Own])
def test_a_backend_of_one_s_own_pickles_by_itself(
    kind: type[lm.Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "__own__", kind, raising=False)  # a class that pickle can find
    kind.__module__, kind.__qualname__ = "pathlib", "Path.__own__"
    model, x, y = support.variety(kind())
    model.fit(x, y, batch_size=5, verbose=0)
    twins = [copy.deepcopy(model), pickled(model)]
    assert twins[0].backend is model.backend
    assert type(twins[1].backend) is kind
    assert twins[1].backend is not model.backend
    wanted = going_on(model, x, y)
    assert [going_on(twin, x, y) for twin in twins] == [wanted, wanted]


def test_a_backend_that_cannot_be_pickled_is_told() -> None:
    model = support.classifier(Locked()).build(4)
    with pytest.raises(lm.BadInput, match=r"backend 'functional' cannot be pickled.*lock"):
        pickle.dumps(model)
    assert support.same(copy.deepcopy(model).get_weights(), model.get_weights())
    assert pickled(model.to("numpy")).backend.name == "numpy"


def test_a_model_comes_back_where_its_device_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y = support.variety("numba")
    model.fit(x, y, batch_size=5, verbose=0)
    data, weights = pickle.dumps([model, model.prepare()]), model.get_weights()

    def missing(name: str, index: int = 0) -> BackendStatus:
        fine = name == "numpy"
        return BackendStatus(name, fine, reason="" if fine else "no such device", fix="buy one")

    monkeypatch.setattr(selection, "status", missing)
    with pytest.warns(UserWarning, match="'numba:0' cannot run here.*no such device") as told:
        back, predictor = pickle.loads(data)
    assert len(told) == 1
    assert "is on numpy now" in str(told[0].message)
    assert back.backend.name == predictor.state.backend.name == "numpy"
    assert "numba" in back.backend_reason
    assert support.same(back.get_weights(), weights)
    model.to("numpy")
    assert going_on(back, x, y) == going_on(model, x, y)


def test_a_plug_in_that_is_not_installed_is_missing_too() -> None:
    with pytest.warns(UserWarning, match="unknown backend 'elsewhere'.* now"):
        found = selection.restored("elsewhere", 1)
    assert found is lm.get_backend("auto")


def test_a_device_is_pickled_by_name_and_number() -> None:
    for status in lm.backends():
        if status.available:
            backend = lm.get_backend(status.name)
            assert pickled(backend) is backend
            assert copy.deepcopy([backend])[0] is backend
    assert len(pickle.dumps(lm.get_backend("numba"))) < 200


PARTS = [
    lm.Dense(3, "relu", weight_decay=0.1), lm.Dense(3, lm.ops.tanh), lm.Flatten(), lm.Dropout(0.5),
    lm.Standardize(), lm.SGD(0.1, 0.9), lm.RMSprop(), lm.Adam(lm.schedules.Cosine(0.1, 5)),
    lm.AdamW(lm.schedules.WarmUp(3, lm.schedules.Exponential(0.1, 5))), lm.schedules.Step(0.1, 2),
    lm.EarlyStopping(patience=2), lm.Plateau(), lm.LogFile("log.csv"), lm.Checkpoint("m"),
    lm.History({"loss": [1.0]}, [1], [0.5]), lm.initializers.get("he"), lm.ops.matmul,
    lm.ops.concatenate, lm.backends(),
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_parts_of_a_model_copy_and_pickle(part: Any) -> None:
    for way in (copy.copy, copy.deepcopy, pickled):
        assert way(part) == part


def test_callbacks_that_have_seen_a_training_do_too() -> None:
    x, y = support.classes(48)
    callbacks = [lm.EarlyStopping(), lm.Plateau()]
    support.classifier().fit(x, y, 3, callbacks=callbacks, validation_data=(x, y), verbose=0)
    assert pickled(callbacks) == copy.deepcopy(callbacks) == callbacks


def test_a_divergence_is_pickled_with_what_it_tells() -> None:
    error = pickled(lm.DivergenceError("too far", 3, 1, lm.History(epochs=[1])))
    assert (str(error), error.step, error.layer) == ("too far", 3, 1)
    assert error.history.epochs == [1]


def test_a_table_s_encoding_comes_along(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,kind\n" + "1.5,red,yes\n2.5,blue,no\n" * 6)
    data = lm.datasets.load(str(path))
    model = support.classifier().build(4)
    model.encoding, model.origin = data.encoding, {"data": str(path)}
    for twin in (pickled(model), copy.deepcopy(model)):
        assert twin.encoding == data.encoding is not None
        assert twin.origin == model.origin is not twin.origin
    assert pickled(data).encoding == data.encoding


def test_functions_of_one_s_own() -> None:
    x, y = support.regression(20)
    model = lm.Sequential([support.Scale(), lm.Dense(2)], support.huber, seed=0, backend="numpy")
    model.fit(x, y, batch_size=5, verbose=0)
    assert going_on(pickled(model), x, y) == going_on(model, x, y)
    nameless = lm.Sequential([lm.Dense(2)], lambda y, p: (y - p) ** 2, backend="numpy").build(4)
    assert support.same(copy.deepcopy(nameless).get_weights(), nameless.get_weights())
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(nameless)


# Other processes


@pytest.mark.long
@BACKENDS
def test_other_processes_go_on_bit_for_bit(backend: str) -> None:
    model, x, y = support.variety(backend)
    model.fit(x, y, batch_size=5, verbose=0)
    fit = partial(model.fit, x, y, epochs=2, batch_size=5, verbose=0)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = [pool.apply_async(fit) for _ in range(2)]
        results += [pool.apply_async(model.prepare(), (np.ascontiguousarray(x, model.dtype),))]
        results += [pool.apply_async(copy.deepcopy, (model,))]
        one, other, p, back = [r.get(support.PATIENCE) for r in results]
    assert one.history == other.history == copy.deepcopy(model).fit(
        x, y, epochs=2, batch_size=5, verbose=0
    ).history  # fmt: skip
    np.testing.assert_array_equal(p, model.predict(x))
    assert going_on(back, x, y) == going_on(model, x, y)


@pytest.mark.long
@BACKENDS
def test_joblib_dumps_hashes_and_sends_to_two_workers(backend: str, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    model, x, y = support.variety(backend)
    model.fit(x, y, batch_size=5, verbose=0)
    joblib.dump(model, tmp_path / "m.joblib")
    assert joblib.hash(model) == joblib.hash(copy.deepcopy(model))
    before = joblib.hash(model)
    twin = joblib.load(tmp_path / "m.joblib")
    twin.train_on_batch(x, y)
    assert joblib.hash(model) == before
    assert joblib.hash(twin) != before
    fit = joblib.delayed(model.fit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what joblib says of its workers
        told = joblib.Parallel(2, backend="loky")(
            fit(x, y, epochs=2, batch_size=5, verbose=0) for _ in range(4)
        )
    wanted = model.fit(x, y, epochs=2, batch_size=5, verbose=0).history
    assert [one.history for one in told] == [wanted] * 4


EVERY = [
    lm.SGD(0.1, 0.9, nesterov=True, average=lm.SWA(start=2, every=3)),
    lm.RMSprop(lm.schedules.Step(0.01, 3), average=lm.EMA(0.9)),
    lm.Adam(lm.schedules.OneCycle(0.01, 30), amsgrad=True, average=lm.EMA(0.9, start=1)),
    lm.AdamW(lm.schedules.CosineRestarts(0.01, 5, factor=2), amsgrad=True, clip_norm=1.0),
    lm.NAdam(lm.schedules.WarmUp(3, lm.schedules.Cosine(0.01, 30))),
    lm.Adagrad(lm.schedules.Exponential(0.1, 10), average=lm.SWA()),
    lm.Lion(0.01, weight_decay=0.1),
    lm.LBFGS(iterations=3),
]


@pytest.mark.slow
@BACKENDS
@pytest.mark.parametrize("optimizer", EVERY, ids=lambda o: type(o).__name__)
def test_copies_with_every_optimizer_go_on(backend: str, optimizer: Any) -> None:
    """With frozen arrays and rates of their own, which are copied too; and then let go of."""
    full = isinstance(optimizer, lm.LBFGS)
    x, y = support.classes(30)
    model = support.classifier(backend, optimizer=optimizer).build(4)
    model.set_rates({"0.bias": 0.0, 1: 1.0 if full else 0.25})
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    copies = [copy.deepcopy(model), pickled(model)]
    for twin in copies:
        assert twin.optimizer == optimizer
        assert twin.state.layout == model.state.layout
        assert all(map(np.array_equal, numbers(twin), numbers(model)))
    told = []
    for each in (model, *copies):
        found = [each.fit(x, y, 2, 8, verbose=0, accumulate=1 if full else 3).history]
        each.unfreeze("0.bias")
        found.append(each.fit(x, y, 1, 8, verbose=0).history)
        if each.optimizer.average is not None:
            found += [w.tobytes() for w in each.averaged().get_weights()]
        told.append([*found, *(a.tobytes() for a in numbers(each))])
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("optimizer", EVERY, ids=lambda o: type(o).__name__)
def test_optimizers_and_their_parts_copy(way: Callable[[Any], Any], optimizer: Any) -> None:
    for part in (optimizer, optimizer.average, optimizer.learning_rate):
        assert way(part) == part
        assert repr(way(part)) == repr(part)


def test_an_averaged_model_keeps_what_its_model_has() -> None:
    x, y = support.classes(30)
    x = x * 1e-3 + 1e9  # what the host takes off before rounding goes with it
    model = support.classifier(
        layers=[lm.Standardize(), lm.Dense(3, "softmax")], dtype="float32",
        optimizer=lm.SGD(0.1, average=lm.EMA(1e-12)), metrics=("accuracy", "f1"),
    )  # fmt: skip
    model.fit(x, y, epochs=3, batch_size=8, verbose=0)
    other = model.averaged()  # an average that keeps nothing is the weights
    assert other.evaluate(x, y) == pytest.approx(model.evaluate(x, y), rel=1e-5)
    assert other.optimizer.average is None
    assert "average" not in other.state.layout.slots
    assert not any(
        np.shares_memory(flat, model.state.flats[name]) for name, flat in other.state.flats.items()
    )
    other.fit(x, y, batch_size=8, verbose=0)
    assert model.state.step == 12
