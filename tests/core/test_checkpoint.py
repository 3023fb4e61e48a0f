"""Saving and loading: training goes on as if it had not stopped; bad files say what is wrong."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core.checkpoint import digest
from safetensors.numpy import load_file, save_file

pytestmark = pytest.mark.filterwarnings("ignore:this model uses parts of your own")

# Runs in a process of its own; custom.py lies in its working directory.
GO_ON = """
import sys, json, numpy as np, lamina as lm
path, data, out, backend, epochs = sys.argv[1:]
sys.path.insert(0, ".")
import custom
model = lm.load(path, backend=backend, custom=vars(custom))
assert model.backend.name == backend
given = np.load(data)
history = model.fit(given["x"], given["y"], epochs=int(epochs), batch_size=8, verbose=0)
arrays = {str(i): w for i, w in enumerate(model.get_weights())}
for slot in model.state.layout.slots:
    arrays[slot] = model.state.read(slot)
np.savez(out, p=model.predict(given["x"]), **arrays)
print(json.dumps([history.epochs, history.history["loss"], model.state.step]))
"""
CUSTOM = """
from dataclasses import dataclass
import lamina as lm

@dataclass(frozen=True)
class Scale(lm.Layer):
    start: float = 1.0

    def parameters(self, shape):
        return {"scale": lm.Parameter((1, shape[-1]), lm.initializers.Constant(self.start))}

    def forward(self, x, parameters, context):
        return x * parameters["scale"]

def swish(x):
    return x * lm.ops.sigmoid(x)

def gap(y, p):
    return (p - y) ** 2 + 0.1 * abs(p - y)

def falling(step):
    return 0.05 / (1.0 + 0.1 * step)
"""


def namespace() -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "custom"}
    import sys
    import types

    module = types.ModuleType("custom")
    sys.modules["custom"] = module  # dataclasses look their module up
    exec(CUSTOM, vars(module))
    found.update(vars(module))
    return found


def classifier(optimizer: Any, backend: str) -> tuple[lm.Sequential, Any, Any]:
    layers = [
        lm.Standardize(), lm.Dense(8, activation="relu", weight_decay=0.01), lm.Dropout(0.3),
        lm.Dense(3, activation="softmax", kernel_initializer=lm.initializers.RandomNormal(0.1)),
    ]  # fmt: skip
    return support.classifier(
        backend, layers=layers, optimizer=optimizer, dtype="float32"
    ), *support.classes(37)


def own(optimizer: Any, backend: str) -> tuple[lm.Sequential, Any, Any]:
    c = namespace()
    layers = [lm.Dense(5, activation=c["swish"]), c["Scale"](0.5), lm.Dense(2)]
    model = lm.Sequential(
        layers, loss=c["gap"], metrics=(c["gap"], "mean_absolute_error"),
        optimizer=lm.SGD(c["falling"], momentum=0.9, nesterov=True), backend=backend, seed=4,
    )  # fmt: skip
    return model, *support.regression(37)


@pytest.mark.long
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("make", "optimizer"),
    [
        (classifier, lm.Adam(0.01, clip_norm=1.0)),
        (classifier, lm.SGD(0.1, momentum=0.9)),
        (classifier, lm.AdamW(0.01, 0.8, 0.99, weight_decay=0.1)),
        (classifier, lm.RMSprop(0.01)),
        (own, None),
    ],
    ids=["adam", "momentum", "adamw", "rmsprop", "own"],
)
def test_going_on_in_a_new_process(make: Any, optimizer: Any, backend: str, tmp_path: Path) -> None:
    model, x, y = make(optimizer, backend)
    (tmp_path / "custom.py").write_text(CUSTOM)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    model.save(tmp_path / "m.safetensors")
    told = support.run_python(
        GO_ON, "m.safetensors", "data.npz", "out.npz", backend, 3, cwd=tmp_path
    )
    history = model.fit(x, y, epochs=3, batch_size=8, verbose=0)
    assert json.loads(told) == [history.epochs, history.history["loss"], model.state.step]
    assert history.epochs == [3, 4, 5]
    with np.load(tmp_path / "out.npz") as out:
        weights = model.get_weights()
        assert support.same([out[str(i)] for i in range(len(weights))], weights)
        slots = model.state.layout.slots
        assert slots
        assert support.same([out[s] for s in slots], [model.state.read(s) for s in slots])
        assert support.same([out["p"]], [model.predict(x)])


def saved(path: Path) -> lm.Sequential:
    x, y = support.classes(16)
    model = support.classifier(layers=[lm.Standardize(), lm.Dense(3, activation="softmax")])
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    model.save(path)
    return model


def test_everything_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = saved(path)
    again = lm.load(path, backend="numba")
    assert again.backend.name == "numba"
    assert again.layers == model.layers
    assert again.optimizer == model.optimizer
    assert (again.loss, again.metrics, again.dtype, again.seed) == (
        model.loss, model.metrics, model.dtype, model.seed,
    )  # fmt: skip
    assert (again.state.step, again.state.epoch) == (4, 2)
    assert support.same(again.get_weights(), model.get_weights())
    again.save(tmp_path / "again.safetensors")
    first, second = load_file(path), load_file(tmp_path / "again.safetensors")
    assert list(first) == list(second)
    assert support.same(list(first.values()), list(second.values()))


def test_a_built_but_untrained_model_still_learns_its_statistics(tmp_path: Path) -> None:
    x, y = support.classes(16)
    layers = [lm.Standardize(), lm.Dense(3, activation="softmax")]
    support.classifier(layers=layers).build(4).save(tmp_path / "m.safetensors")
    again = lm.load(tmp_path / "m.safetensors", backend="numpy")
    again.fit(x, y, batch_size=8, verbose=0)
    np.testing.assert_allclose(
        again.state.array("0.mean")[0], x.mean(axis=0), rtol=1e-12, atol=1e-14
    )


def test_images_come_back(tmp_path: Path) -> None:
    model = support.classifier(layers=[lm.Flatten(), lm.Dense(3, activation="softmax")]).build(
        (3, 2)
    )
    model.save(tmp_path / "m.safetensors")
    x = np.random.default_rng(0).standard_normal((5, 3, 2))
    again = lm.load(tmp_path / "m.safetensors", backend="numpy")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.safetensors")
    tensors = load_file(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(tensors["1.weight"], model.get_weights()[0])
    assert {"0.mean", "0.scale", "1.weight", "1.bias", "mean/1.weight", "square/1.bias"} <= set(
        tensors
    )


def test_custom_objects_must_be_given(tmp_path: Path) -> None:
    model, x, _ = own(None, "numpy")
    model.build(4).save(tmp_path / "m.safetensors")
    names = namespace()
    for name in ("Scale", "swish", "gap", "falling"):
        given = {k: v for k, v in names.items() if k != name}
        with pytest.raises(lm.CheckpointError, match=f"{name!r}: pass custom="):
            lm.load(tmp_path / "m.safetensors", backend="numpy", custom=given)
    again = lm.load(tmp_path / "m.safetensors", backend="numpy", custom=names)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    with pytest.raises(lm.CheckpointError):
        lm.load(tmp_path / "m.safetensors", custom={**names, "Scale": dict})


def test_a_loss_of_one_s_own_with_a_built_in_name_is_not_mixed_up(tmp_path: Path) -> None:
    def mean_squared_error(y: Any, p: Any) -> Any:
        return 100.0 * (p - y) ** 2

    x, y = support.regression(16)
    model = lm.Sequential([lm.Dense(2)], loss=mean_squared_error, backend="numpy", seed=0).build(4)
    model.save(tmp_path / "m.safetensors")
    custom = {"mean_squared_error": mean_squared_error}
    again = lm.load(tmp_path / "m.safetensors", backend="numpy", custom=custom)
    assert again.evaluate(x, y) == model.evaluate(x, y)
    with pytest.raises(lm.CheckpointError, match="mean_squared_error"):
        lm.load(tmp_path / "m.safetensors", backend="numpy")


# Bad files


def stored(path: Path, tensors: dict[str, np.ndarray], words: dict[str, str]) -> None:
    """Writes a file whose checksum fits, so that the checks behind it are reached."""
    save_file(tensors, path, {**words, "digest": digest(tensors, words["model"])})


def rewritten(path: Path, told: Any = None, **metadata: str) -> None:
    """The file again with another description or other metadata."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        words = dict(file.metadata())
    if told is not None:
        words["model"] = json.dumps({**json.loads(words["model"]), **told})
    stored(path, load_file(path), {**words, **metadata})


def test_missing_foreign_and_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"

    def refused(match: str, target: Path = path) -> None:
        with pytest.raises(lm.CheckpointError, match=match):
            lm.load(target, backend="numpy")

    refused("there is no file")
    refused("there is no file", tmp_path)
    for junk in (b"", b"hello", b"\x00" * 64, os.urandom(200), b"\xff" * 16):
        path.write_bytes(junk)
        refused("no safetensors file, or is damaged")
    save_file({"w": np.ones(3)}, path)
    refused("a safetensors file, but no model of lamina")
    saved(path)
    whole = path.read_bytes()
    for length in (4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused("is damaged")
    path.write_bytes(whole + b"x")
    refused("is damaged")


def test_newer_versions_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    saved(path)
    for version in ("2", "99", "", "x"):
        rewritten(path, version=version)
        with pytest.raises(lm.CheckpointError, match=f"{version!r}.*upgrade lamina"):
            lm.load(path, backend="numpy")


@pytest.mark.parametrize(
    "told",
    [
        {"layers": 3},
        {"layers": []},
        {"layers": [{"class": "Dense", "units": 3, "odd": 1}]},
        {"layers": [{"class": "Dense", "units": 0}]},
        {"layers": [{"class": "Dense", "units": 5}]},
        {"optimizer": {"class": "Adam", "learning_rate": "fast"}},
        {"optimizer": {"class": "Dense", "units": 3}},
        {"loss": "unheard"},
        {"metrics": ["unheard"]},
        {"metrics": 4},
        {"dtype": "int8"},
        {"dtype": "float32"},
        {"features": [9]},
        {"features": []},
        {"step": "many"},
        {"seed": -1},
    ],
    ids=lambda told: json.dumps(told)[:50],
)
def test_descriptions_that_do_not_fit(told: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    saved(path)
    rewritten(path, told)
    with pytest.raises(lm.CheckpointError) as caught:
        lm.load(path, backend="numpy")
    assert "checksum" not in str(caught.value)


def test_a_description_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    saved(path)
    for text in ("{", "[]", "null", '"x"'):
        rewritten(path, model=text)
        with pytest.raises(lm.CheckpointError, match="does not describe a model"):
            lm.load(path, backend="numpy")


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    saved(path)
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        words = file.metadata()
    tensors = load_file(path)
    for change, match in (
        (
            {"1.weight": tensors["1.weight"].T.copy()},
            r"1.weight is float64\[3, 4\].*float64\[4, 3\]",
        ),
        ({"1.weight": tensors["1.weight"].astype("float32")}, "1.weight is float32"),
        ({"extra": np.ones(2)}, "do not fit its description: extra"),
    ):
        stored(path, {**tensors, **change}, words)
        with pytest.raises(lm.CheckpointError, match=match):
            lm.load(path, backend="numpy")
    del tensors["square/1.bias"]
    stored(path, tensors, words)
    with pytest.raises(lm.CheckpointError, match=r"square/1\.bias"):
        lm.load(path, backend="numpy")


# Failing writes


def test_an_unbuilt_model_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(lm.NotBuilt):
        support.classifier().save(tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_whole(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    model = saved(path)
    before = path.read_bytes()
    x, y = support.classes(16)
    model.fit(x, y, batch_size=8, verbose=0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), full)
        with pytest.raises(OSError, match="No space left"):
            model.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
    model.save(path)
    assert path.read_bytes() != before
    assert support.same(lm.load(path, backend="numpy").get_weights(), model.get_weights())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    model = support.classifier().build(4)
    with pytest.raises(OSError, match="nowhere"):
        model.save(tmp_path / "nowhere" / "m.safetensors")


def test_settings_that_no_file_can_hold_are_refused(tmp_path: Path) -> None:
    class Callable:
        def __call__(self, shape: Any, rng: Any) -> Any:
            return np.zeros(shape)

    layers = [lm.Dense(3, activation="softmax", kernel_initializer=Callable())]
    model = support.classifier(layers=layers).build(4)
    with pytest.raises(lm.BadInput, match="cannot be written to a file"):
        model.save(tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_save_says_what_load_will_need(tmp_path: Path) -> None:
    def huber(y: Any, p: Any) -> Any:
        return abs(p - y)

    class Own(lm.Layer):
        def forward(self, x: Any, parameters: Any, context: Any) -> Any:
            return x * 2.0

    model = lm.Sequential([Own(), lm.Dense(1)], huber, backend="numpy", seed=0).build(2)
    path = tmp_path / "m.safetensors"
    says = "lm.load will need custom={'Own': Own, 'huber': huber}"
    with pytest.warns(UserWarning, match=re.escape(says)):
        model.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save(path)  # said once
    with pytest.raises(lm.CheckpointError, match="'Own'"):
        lm.load(path)
    lm.load(path, custom={"Own": Own, "huber": huber})
