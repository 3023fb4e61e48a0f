"""One catalogue of bad inputs: what is said, and that every backend says the same."""

from __future__ import annotations

import re
from typing import Any

import bad_data
import bad_settings
import lamina as lm
import numpy as np
import pytest
import support
from bad_data import YB, X, Y, model, one, put

CATALOGUE = bad_data.CATALOGUE | bad_settings.CATALOGUE


@pytest.mark.parametrize("case", CATALOGUE)
def test_bad_input(case: str) -> None:
    act, kind, fragment = CATALOGUE[case]
    said = []
    for backend in support.CPU:
        with pytest.raises(kind, match=re.escape(fragment)) as caught:
            act(backend)
        assert type(caught.value) is kind
        said.append(str(caught.value))
    assert len(set(said)) == 1


def test_every_error_of_lamina_is_also_a_built_in_one() -> None:
    pairs = {
        "ShapeError": ValueError, "DtypeError": TypeError, "UnknownName": ValueError,
        "BadInput": ValueError, "NotBuilt": RuntimeError, "NotDifferentiable": TypeError,
        "BackendUnavailable": RuntimeError, "CheckpointError": ValueError,
        "DivergenceError": FloatingPointError,
    }  # fmt: skip
    for name, base in pairs.items():
        kind = getattr(lm, name)
        assert issubclass(kind, lm.LaminaError)
        assert issubclass(kind, base)


def test_a_refused_fit_leaves_the_model_as_it_was() -> None:
    made = model("numpy")
    made.fit(X, Y, batch_size=4, verbose=0)
    before = made.get_weights()
    for x, y in ((put(X, (11, 0), np.nan), Y), (X, put(Y, 11, 5)), (X, Y[:3])):
        with pytest.raises(lm.LaminaError):
            made.fit(x, y, batch_size=4)
    assert support.same(made.get_weights(), before)
    assert made.state.epoch == 1


def layouts() -> dict[str, Any]:
    wide = np.zeros((24, 8))
    wide[::2, ::2] = X
    fixed = X.copy()
    fixed.flags.writeable = False
    return {
        "Fortran order": np.asfortranarray(X),
        "negative strides": X[::-1, ::-1].copy()[::-1, ::-1],
        "strided": wide[::2, ::2],
        "read-only": fixed,
        "big-endian": X.astype(">f8"),
        "lists": X.tolist(),
        "tuples": tuple(map(tuple, X.tolist())),
        "list of rows": list(X),
        "long double": X.astype(np.longdouble),
    }


def weights_after(backend: str, x: Any, y: Any = Y, dtype: str = "float64") -> list[np.ndarray]:
    made = model(backend, dtype=dtype)
    made.fit(x, y, epochs=2, batch_size=5, verbose=0)
    return [*made.get_weights(), made.predict(x)]


@pytest.mark.slow
@pytest.mark.parametrize("backend", support.EVERY)
def test_any_layout_of_x_gives_the_same_bits(backend: str) -> None:
    wanted = weights_after(backend, X)
    for name, x in layouts().items():
        assert support.same(weights_after(backend, x), wanted), name


@pytest.mark.slow
@pytest.mark.parametrize("backend", support.EVERY)
def test_any_dtype_of_numbers_gives_the_same_bits(backend: str) -> None:
    whole = np.round(X * 3.0)
    wanted = weights_after(backend, whole)
    kinds = ("int8", "int16", "int32", "int64", "float16", "float32", ">i4", ">f4")
    for kind in kinds:
        assert support.same(weights_after(backend, whole.astype(kind)), wanted), kind
    unsigned = np.abs(whole)
    wanted = weights_after(backend, unsigned)
    for kind in ("uint8", "uint64", ">u2"):
        assert support.same(weights_after(backend, unsigned.astype(kind)), wanted), kind
    flags = X > 0
    assert support.same(weights_after(backend, flags), weights_after(backend, flags.astype(float)))


@pytest.mark.slow
@pytest.mark.parametrize("backend", support.EVERY)
def test_any_shape_and_dtype_of_labels_gives_the_same_bits(backend: str) -> None:
    wanted = weights_after(backend, X)
    columns = (
        Y.reshape(-1, 1),
        Y.astype(float),
        Y.astype("uint8"),
        Y.astype(">i8"),
        Y.tolist(),
        Y[::-1][::-1],
    )
    for y in columns:
        assert support.same(weights_after(backend, X, y), wanted)
    targets = (YB, YB.reshape(-1, 1), YB.astype(bool), YB.astype(int), YB.tolist(), YB.astype("f4"))
    results = []
    for y in targets:
        made = one(backend)
        made.fit(X, y, batch_size=5, verbose=0)
        results.append(made.get_weights())
    assert all(support.same(r, results[0]) for r in results)


def test_a_data_frame_is_an_array_of_numbers() -> None:
    class Frame:
        """What lamina needs of a pandas frame."""

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return X.copy()

    assert support.same(weights_after("numpy", Frame()), weights_after("numpy", X))


def test_what_was_given_is_not_changed() -> None:
    x, y, weights = X.copy(), Y.copy(), np.ones(12)
    for backend in support.CPU:
        made = model(backend)
        made.fit(x, y, epochs=2, batch_size=12, shuffle=False, sample_weight=weights, verbose=0)
        made.predict(x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(weights, 1.0)


def test_weights_at_the_end_of_the_range_stay_finite() -> None:
    x, y = support.classes(12)
    fitted = support.classifier()
    told = fitted.train_on_batch(
        x, y, sample_weight=np.full(12, 1e307), class_weight={0: 1e5, 1: 1e5, 2: 1e5}
    )
    assert told["loss"] == pytest.approx(support.classifier().train_on_batch(x, y)["loss"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"verbose": "loud"}, "verbose is"),
        ({"callbacks": lm.EarlyStopping()}, "callbacks is a list"),
        ({"callbacks": [print]}, "a callback is an object"),
    ],
)
def test_words_of_fit(changes: dict, says: str) -> None:
    x, y = support.classes(12)
    with pytest.raises(lm.BadInput, match=says):
        support.classifier().fit(x, y, **changes)
