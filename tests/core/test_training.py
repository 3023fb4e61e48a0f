"""Training: what `fit` learns and tells, validation, weights of rows."""

from __future__ import annotations

import lamina as lm
import numpy as np
import pytest
import support

every_backend = pytest.mark.parametrize("backend", support.EVERY)


# fit


@every_backend
def test_fit_learns_and_tells(backend: str) -> None:
    x, y = support.classes(45)
    model = support.classifier(backend)
    history = model.fit(x, y, epochs=8, batch_size=10, verbose=0)
    assert isinstance(history, lm.History)
    assert set(history.history) == {"loss", "accuracy"}
    assert [len(v) for v in history.history.values()] == [8, 8]
    assert history.epochs == list(range(1, 9))
    assert len(history.seconds) == 8
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    assert all(type(v) is float for v in history.history["loss"])
    assert model.state.step == 8 * 5


def test_the_history_s_loss_is_the_running_mean_before_each_update() -> None:
    x, y = support.classes(25)
    stepped = support.classifier()
    before = [stepped.train_on_batch(x[i : i + 10], y[i : i + 10]) for i in (0, 10, 20)]
    for name in ("loss", "accuracy"):
        wanted = np.average([b[name] for b in before], weights=[10, 10, 5])
        found = support.classifier().fit(x, y, batch_size=10, shuffle=False, verbose=0)
        assert found.history[name][0] == pytest.approx(wanted, rel=1e-12)


@every_backend
def test_the_last_partial_batch_is_trained_on(backend: str) -> None:
    x, y = support.classes(25)
    whole, cut, stepped = (support.classifier(backend) for _ in range(3))
    whole.fit(x, y, batch_size=10, shuffle=False, verbose=0)
    cut.fit(x[:20], y[:20], batch_size=10, shuffle=False, verbose=0)
    assert (whole.state.step, cut.state.step) == (3, 2)
    cut.train_on_batch(x[20:], y[20:])
    assert all(
        np.allclose(a, b, rtol=0, atol=1e-12)
        for a, b in zip(whole.get_weights(), cut.get_weights(), strict=True)
    )
    stepped.fit(x[:20], y[:20], batch_size=10, shuffle=False, verbose=0)
    assert not support.same(whole.get_weights(), stepped.get_weights())


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_second_fit_goes_on(backend: str) -> None:
    x, y = support.classes(33)
    layers = [lm.Dense(8, activation="relu"), lm.Dropout(0.3), lm.Dense(3, activation="softmax")]
    once, twice = (support.classifier(backend, layers=layers) for _ in range(2))
    long = once.fit(x, y, epochs=6, batch_size=8, verbose=0)
    first = twice.fit(x, y, epochs=2, batch_size=8, verbose=0)
    second = twice.fit(x, y, epochs=4, batch_size=8, verbose=0)
    assert support.same(once.get_weights(), twice.get_weights())
    assert first.history["loss"] + second.history["loss"] == long.history["loss"]
    assert first is not second
    assert second.epochs == [3, 4, 5, 6]


def test_training_is_the_same_bits_each_time_and_another_seed_is_not() -> None:
    x, y = support.classes(33)
    for backend in ("numpy", "numba"):
        runs = [support.classifier(backend, seed=seed) for seed in (7, 7, 8)]
        for model in runs:
            model.fit(x, y, epochs=3, batch_size=8, verbose=0)
        weights = [m.get_weights() for m in runs]
        assert support.same(weights[0], weights[1])
        assert not support.same(weights[0], weights[2])


@pytest.mark.slow
def test_the_history_does_not_depend_on_how_many_steps_a_run_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How many fit into the polite time differs from machine to machine and from run to run."""
    from lamina.core import sources

    x, y = support.classes(301)
    weights = np.random.default_rng(0).random(301)
    told = []
    for seconds in (0.0, 1e9):  # one step at a time; ever more
        monkeypatch.setattr(sources, "POLITE_SECONDS", seconds)
        history = support.classifier().fit(
            x, y, epochs=5, batch_size=3, sample_weight=weights, verbose=0
        )
        told.append(history.history)
    assert told[0] == told[1]


def test_a_seed_is_drawn_and_kept() -> None:
    models = [support.classifier(seed=None).build(4) for _ in range(2)]
    assert models[0].seed != models[1].seed
    again = support.classifier(seed=models[0].seed).build(4)
    assert support.same(again.get_weights(), models[0].get_weights())


def test_shuffle_changes_the_order_each_epoch() -> None:
    x, y = support.classes(32)
    fixed = support.classifier(optimizer=lm.SGD(0.0)).fit(x, y, epochs=2, batch_size=4, verbose=0)
    assert fixed.history["loss"][0] == pytest.approx(fixed.history["loss"][1], rel=1e-12)
    still, mixed = support.classifier(), support.classifier()
    still.fit(x, y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    mixed.fit(x, y, epochs=1, batch_size=4, verbose=0)
    assert not support.same(still.get_weights(), mixed.get_weights())
    from lamina.core.sources import row_order

    orders = [row_order(7, epoch, 32) for epoch in range(3)]
    assert all(sorted(o) == list(range(32)) for o in orders)
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[1], row_order(7, 1, 32))


def test_no_epochs_builds_and_trains_nothing() -> None:
    x, y = support.classes(16)
    model = support.classifier()
    history = model.fit(x, y, epochs=0, batch_size=8)
    assert history.history == {}
    assert support.same(model.get_weights(), support.classifier().build(4).get_weights())


def test_a_batch_larger_than_the_data_warns_and_works() -> None:
    x, y = support.classes(16)
    model = support.classifier()
    with pytest.warns(UserWarning, match="batch_size 32 is larger than the data: 16 rows") as found:
        model.fit(x, y, verbose=0)
    assert found[0].filename == __file__
    assert model.state.step == 1


# Validation


def test_validation_data() -> None:
    x, y = support.classes(40)
    model = support.classifier()
    held = (x[30:], y[30:])
    history = model.fit(x[:30], y[:30], epochs=3, batch_size=10, validation_data=held, verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    after = model.evaluate(*held)
    assert history.history["val_loss"][-1] == pytest.approx(after["loss"], rel=1e-12)
    assert history.history["val_accuracy"][-1] == after["accuracy"]
    plain = support.classifier()
    plain.fit(x[:30], y[:30], epochs=3, batch_size=10, verbose=0)
    assert support.same(plain.get_weights(), model.get_weights())  # it only looked
    weights = np.zeros(10)
    weights[3] = 2.0
    weighed = support.classifier().fit(
        x[:30], y[:30], batch_size=10, validation_data=(*held, weights), verbose=0
    )
    single = support.classifier().fit(
        x[:30], y[:30], batch_size=10, validation_data=(x[33:34], y[33:34]), verbose=0
    )
    assert weighed.history["val_loss"] == pytest.approx(single.history["val_loss"], rel=1e-12)


def test_validation_split() -> None:
    x, y = support.classes(40)
    model = support.classifier()
    weights = np.ones(40)
    history = model.fit(
        x, y, epochs=2, batch_size=8, validation_split=0.25, sample_weight=weights, verbose=0
    )
    assert model.state.step == 2 * 4  # thirty rows are left
    assert len(history.history["val_loss"]) == 2
    from lamina.core.examples import split

    kept, held = split(7, 40, 0.25, y)
    assert sorted([*kept, *held]) == list(range(40))
    assert len(held) == 10
    by_hand = support.classifier()
    told = by_hand.fit(
        x[kept], y[kept], epochs=2, batch_size=8, validation_data=(x[held], y[held]), verbose=0
    )
    assert told.history["val_loss"] == pytest.approx(history.history["val_loss"], rel=1e-12)


# Weights of rows


@every_backend
def test_a_weight_of_zero_is_a_row_left_out(backend: str) -> None:
    x, y = support.classes(12)
    weights = np.ones(12)
    weights[[2, 7]] = 0.0
    keep = weights > 0
    weighed, absent = support.classifier(backend), support.classifier(backend)
    a = weighed.fit(x, y, epochs=5, batch_size=12, shuffle=False, sample_weight=weights, verbose=0)
    b = absent.fit(x[keep], y[keep], epochs=5, batch_size=10, shuffle=False, verbose=0)
    np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=1e-11)
    np.testing.assert_allclose(a.history["accuracy"], b.history["accuracy"], rtol=1e-11)
    for one, other in zip(weighed.get_weights(), absent.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


@every_backend
def test_whole_weights_are_rows_repeated(backend: str) -> None:
    x, y = support.regression(10)
    counts = np.array([1, 3, 2, 1, 1, 2, 1, 4, 1, 2])

    def model() -> lm.Sequential:
        return lm.Sequential(
            [lm.Dense(5, activation="tanh"), lm.Dense(2)], loss="mean_squared_error",
            optimizer=lm.SGD(0.1, momentum=0.9), metrics=("mean_absolute_error",),
            backend=backend, dtype="float64", seed=1,
        )  # fmt: skip

    weighed, repeated = model(), model()
    rows = np.repeat(np.arange(10), counts)
    a = weighed.fit(x, y, epochs=5, batch_size=10, shuffle=False, sample_weight=counts, verbose=0)
    b = repeated.fit(x[rows], y[rows], epochs=5, batch_size=18, shuffle=False, verbose=0)
    for name in ("loss", "mean_absolute_error"):
        np.testing.assert_allclose(a.history[name], b.history[name], rtol=1e-11)
    for one, other in zip(weighed.get_weights(), repeated.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)
    assert weighed.evaluate(x, y, sample_weight=counts)["loss"] == pytest.approx(
        repeated.evaluate(x[rows], y[rows])["loss"], rel=1e-11
    )


def test_only_the_ratio_of_weights_counts() -> None:
    x, y = support.classes(12)
    weights = np.linspace(0.5, 2.0, 12)
    wanted = support.classifier().train_on_batch(x, y, sample_weight=weights)["loss"]
    for scale in (1e-6, 1e6, 1e-307, 1e307):
        found = support.classifier().train_on_batch(x, y, sample_weight=weights * scale)["loss"]
        assert found == pytest.approx(wanted, rel=1e-12)


@every_backend
def test_a_batch_without_weight_changes_nothing_under_plain_descent(backend: str) -> None:
    x, y = support.classes(12)
    weights = np.repeat([1.0, 0.0, 1.0], 4)
    model, other = (support.classifier(backend, optimizer=lm.SGD(0.1)) for _ in range(2))
    told = model.fit(x, y, batch_size=4, shuffle=False, sample_weight=weights, verbose=0)
    losses = [other.train_on_batch(x[i : i + 4], y[i : i + 4])["loss"] for i in (0, 8)]
    assert told.history["loss"][0] == pytest.approx(np.mean(losses), rel=1e-12)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_class_weight() -> None:
    x, y = support.classes(18)
    y[:9] = 0
    by_class = support.classifier().train_on_batch(x, y, class_weight={0: 0.5, 2: 3.0})
    rows = np.array([0.5, 1.0, 3.0])[y]
    assert by_class == support.classifier().train_on_batch(x, y, sample_weight=rows)
    balanced = support.classifier().train_on_batch(x, y, class_weight="balanced")
    counts = np.bincount(y)
    rows = (18 / (3 * counts))[y]
    assert balanced == support.classifier().train_on_batch(x, y, sample_weight=rows)
    assert balanced["loss"] != by_class["loss"]
    both = support.classifier().train_on_batch(
        x, y, sample_weight=np.arange(18.0), class_weight={1: 2}
    )
    product = np.arange(18.0) * np.array([1.0, 2.0, 1.0])[y]
    assert both == support.classifier().train_on_batch(x, y, sample_weight=product)
