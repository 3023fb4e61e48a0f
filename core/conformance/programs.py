"""The checks of whole programs by name: each runs small networks and yields what differs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from ...backends import batching, guard
from ...backends.contract import Backend
from ...backends.selection import get_backend
from ...backends.state import Control
from .networks import (
    CLASSIFIER,
    DROPOUT,
    NETWORKS,
    NORMS,
    REGRESSION,
    SHARED,
    UNBOUNDED,
    WIDE,
    Network,
)
from .pairs import BATCH, ROWS, SEED, Comparison, Pair, rates

Check = Callable[[Backend, str], Iterator[str]]
PROGRAMS: dict[str, Check] = {}


def program(name: str) -> Callable[[Check], Check]:
    """Enters a check under a name."""

    def enter(check: Check) -> Check:
        PROGRAMS[name] = check
        return check

    return enter


def _two_epochs(network: Network) -> Check:
    def check(backend: Backend, dtype: str) -> Iterator[str]:
        both = Pair(backend, network, dtype).bind("train", network.data(ROWS, ordered=True))
        for _ in range(2):
            yield from both.run()

    return check


for _name, _network in NETWORKS.items():
    PROGRAMS[f"train, {_name}"] = _two_epochs(_network)


@program("train, a last partial batch")
def _partial(backend: Backend, dtype: str) -> Iterator[str]:
    """In pieces from the cursor on, further than there are rows; down to a last batch of one."""
    pair = Pair(backend, CLASSIFIER, dtype)
    both = pair.bind("train", CLASSIFIER.data(ROWS), capacity=8)
    for batch in (BATCH, 8, 2):
        control = Control(batch=batch)
        for steps in (1, 2, 9):
            control.steps, control.learning_rates = steps, rates(steps)
            yield from both.run(control)


@program("train, row weights")
def _weights(backend: Backend, dtype: str) -> Iterator[str]:
    data = REGRESSION.data(ROWS, weighted=True)
    for given in (data, replace(data, order=np.random.default_rng(1).permutation(ROWS))):
        both = Pair(backend, REGRESSION, dtype).bind("train", given)
        yield from both.run()
    assert data.weights is not None
    weightless = np.array(data.weights)
    weightless[BATCH : 2 * BATCH] = 0.0
    both = Pair(backend, CLASSIFIER, dtype).bind(
        "train", replace(CLASSIFIER.data(ROWS), weights=weightless)
    )
    for what in both.run():
        yield f"with a batch that weighs nothing, {what}"


@program("train, a memory map")
def _memory_map(backend: Backend, dtype: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for ordered in (False, True):
            data = CLASSIFIER.data(ROWS, ordered=ordered, weighted=ordered)
            pair = Pair(backend, CLASSIFIER, dtype)
            both = pair.bind("train", data, on_disk=Path(folder, f"{ordered}.npy"))
            for _ in range(2):
                yield from both.run()


@program("train, statistics that move")
def _moving(backend: Backend, dtype: str) -> Iterator[str]:
    """With row weights, a batch that weighs nothing, a last one of one row, and steps not taken."""
    pair, data = Pair(backend, NORMS, dtype), NORMS.data(4 * BATCH + 1, weighted=True)
    assert data.weights is not None
    weightless = np.array(data.weights)
    weightless[BATCH : 2 * BATCH] = 0.0
    weightless[2 * BATCH + 1 : 3 * BATCH] = 0.0
    for weights in (None, data.weights, weightless):
        both = pair.bind("train", replace(data, weights=weights))
        yield from both.run()
    ill = np.array(data.x)
    ill[2 * BATCH] = np.nan
    both = pair.bind("train", replace(data, x=ill))
    for what in both.run():
        yield f"with a loss that is not finite, {what}"
    judging = pair.bind("evaluate", NORMS.data(ROWS, seed=1), 16)
    for what in judging.run(Control(batch=16, steps=2)):
        yield f"in evaluation, {what}"


@program("train, several passes in one run")
def _passes(backend: Backend, dtype: str) -> Iterator[str]:
    """Where the executor offers it: an order for each pass or none, a smaller last batch or not."""
    count = 3
    for rows, ordered in product((4 * BATCH, 4 * BATCH - 3), (True, False)):
        pair = Pair(backend, CLASSIFIER, dtype)
        data = CLASSIFIER.data(rows, weighted=ordered)
        both = pair.bind("train", data)
        yield from _some_passes(both, count, ordered)
        yield from _some_passes(both, count, ordered)
        ill = np.array(data.x)
        ill[2 * BATCH] = np.nan
        both.use(replace(data, x=ill))
        for what in _some_passes(both, count, ordered):
            yield f"with a loss that is not finite, {what}"


def _some_passes(both: Comparison, count: int, ordered: bool) -> Iterator[str]:
    rows = both.block.rows
    steps = batching.count(rows, BATCH)
    rng = np.random.default_rng(2)
    orders = [rng.permutation(rows) if ordered else None for _ in range(count)]
    both.block.reorder(np.concatenate(orders) if ordered else None)  # type: ignore[arg-type]
    control = Control(batch=BATCH, learning_rates=rates(count * steps))
    assert both.binding is not None
    found = both.binding.passes(control, count)
    if found is None:
        yield from both.pair.differences()
        return
    wanted: list[dict[str, float]] = []
    for number, order in enumerate(orders):
        both.plain_block.reorder(order)
        one = Control(BATCH, 0, steps, rates(count * steps)[number * steps :])
        both.plain.run(one)
        if one.stop:
            if not control.stop:
                yield "control.stop is False instead of True"
            step = number * steps + one.nonfinite_step
            if control.nonfinite_step != step:
                yield f"control.nonfinite_step is {control.nonfinite_step} instead of {step}"
            break
        wanted.append({name: one.mean(name) for name in one.sums})
    if len(found) != len(wanted):
        yield f"the means of {len(found)} passes instead of {len(wanted)}"
    for number, (got, want) in enumerate(zip(found, wanted, strict=False)):
        if got.keys() != want.keys():
            yield f"means of {sorted(got)} instead of {sorted(want)}"
            return
        for name, value in want.items():
            yield from both.pair.off(f"the mean of {name} in pass {number}", got[name], value)
    yield from both.pair.differences()


@program("train, dropout")
def _dropout(backend: Backend, dtype: str) -> Iterator[str]:
    """Equal rows, so that only the masks tell one step from the next."""
    data = DROPOUT.data(4 * BATCH)
    data = replace(data, x=np.repeat(data.x[:1], len(data.x), axis=0))
    for seed in (SEED, 3):
        both = Pair(backend, DROPOUT, dtype, seed).bind("train", data)
        for number in range(4):
            for what in both.run(Control(batch=BATCH, steps=2, learning_rates=rates(2))):
                yield f"in run {number}, {what}"


@program("train, a loss that is not finite")
def _nonfinite_loss(backend: Backend, dtype: str) -> Iterator[str]:
    for place, layer in ((12, 0), (ROWS - 1, 0), (0, 1)):
        pair = Pair(backend, REGRESSION, dtype)
        data = REGRESSION.data(ROWS)
        if layer == 0:
            data.x[place] = np.nan
        else:
            numbers = pair.wanted.read("parameters")
            entry = pair.wanted.layout[f"{layer}.weight"]
            numbers[entry.offset] = np.inf
            pair.write("parameters", numbers)
        both = pair.bind("train", data)
        for what in both.run():
            yield f"from row {place}, layer {layer} on, {what}"
        if layer == 0:
            yield from _goes_on(both)


@program("a metric that is not finite")
def _nonfinite_metric(backend: Backend, dtype: str) -> Iterator[str]:
    """It ends neither a training, in a run of one pass or of several, nor an evaluation."""
    data = UNBOUNDED.data(4 * BATCH)
    data.y[2 * BATCH] = 0.0
    pair = Pair(backend, UNBOUNDED, dtype)
    both = pair.bind("train", data)
    yield from both.run()
    yield from _some_passes(both, 3, ordered=True)
    judging = pair.bind("evaluate", data)
    for what in judging.run():
        yield f"in evaluation, {what}"
    data.x[0] = np.nan  # nor does a loss: that of all rows is what was asked for
    judging.use(data)
    for what in judging.run():
        yield f"in evaluation, with a loss that is not finite either, {what}"


@program("train, a gradient that is not finite")
def _nonfinite_gradient(backend: Backend, dtype: str) -> Iterator[str]:
    """A target so far off that its square is finite and the gradient's is not."""
    for place in (12, ROWS - 1):
        pair = Pair(backend, REGRESSION, dtype)
        numbers = pair.wanted.read("parameters")
        entry = pair.wanted.layout["1.weight"]  # small: the gradient of layer 0 stays in bounds
        numbers[entry.offset : entry.offset + entry.size] *= 1e-9
        pair.write("parameters", numbers)
        data = REGRESSION.data(ROWS)
        data.y[place] = 8.0 * guard.largest_norm(dtype)
        both = pair.bind("train", data)
        for what in both.run():
            yield f"from row {place} on, {what}"
        yield from _goes_on(both)


def _goes_on(both: Comparison) -> Iterator[str]:
    """What differs in a pass over other rows after a run that stopped."""
    both.use(both.pair.network.data(ROWS, seed=1))
    for what in both.run():
        yield f"with other rows after the stop, {what}"


@program("train, a second data block")
def _second_block(backend: Backend, dtype: str) -> Iterator[str]:
    both = Pair(backend, CLASSIFIER, dtype).bind("train", CLASSIFIER.data(ROWS))
    yield from both.run()
    both.use(CLASSIFIER.data(ROWS + 6, seed=1, ordered=True, weighted=True))
    yield from both.run()
    both.use(CLASSIFIER.data(2 * BATCH, seed=2))
    yield from both.run()


@program("train, the order exchanged")
def _order(backend: Backend, dtype: str) -> Iterator[str]:
    both = Pair(backend, CLASSIFIER, dtype).bind("train", CLASSIFIER.data(ROWS, weighted=True))
    rng = np.random.default_rng(3)
    for order in (None, rng.permutation(ROWS), rng.permutation(ROWS), None):
        both.reorder(order)
        yield from both.run()


@program("train, two models on one device")
def _two_models(backend: Backend, dtype: str) -> Iterator[str]:
    """From one executable, and bound before either runs."""
    one, other = (Pair(backend, CLASSIFIER, dtype, seed) for seed in (SEED, 3))
    first = one.bind("train", CLASSIFIER.data(ROWS))
    second = Comparison(other, first.program, first.plain_program, first.executable)
    second.use(CLASSIFIER.data(ROWS + 2, seed=1, ordered=True))
    for _ in range(2):
        for number, both in enumerate((first, second)):
            for what in both.run():
                yield f"model {number}, {what}"
    for number, pair in enumerate((one, other)):
        for what in pair.differences():
            yield f"model {number} in the end, {what}"


@program("train, the state moved")
def _moved(backend: Backend, dtype: str) -> Iterator[str]:
    """From the device to NumPy and back again; what it was moved from stays as it was."""
    data = CLASSIFIER.data(ROWS)
    pair = Pair(backend, CLASSIFIER, dtype)
    yield from pair.bind("train", data).run()
    before, at = pair.state, pair.state.step
    left = {segment: before.read(segment) for segment in before.layout.segments}
    host = before.moved(get_backend("numpy"))
    pair.state = host
    yield from pair.differences()
    pair.state = host.moved(backend)
    yield from pair.differences()
    yield from pair.bind("train", data).run()
    same = all(np.array_equal(before.read(name), left[name]) for name in left)
    if before.step != at or not same:
        yield "the state that was moved changed with its copy"


@program("evaluate")
def _evaluate(backend: Backend, dtype: str) -> Iterator[str]:
    """Between epochs of training, on rows of its own, in batches of another size."""
    for network in (CLASSIFIER, REGRESSION, DROPOUT):
        pair = Pair(backend, network, dtype)
        training = pair.bind("train", network.data(ROWS))
        judging = pair.bind("evaluate", network.data(ROWS - 2, seed=1, weighted=True), 16)
        for _ in range(2):
            yield from judging.run(Control(batch=16, steps=2))
            yield from training.run()


@program("gradients")
def _gradients(backend: Backend, dtype: str) -> Iterator[str]:
    """Of all rows in one batch, in a plan for more, for every network."""
    for name, network in NETWORKS.items():
        for weighted in (False, True):
            data = network.data(ROWS, weighted=weighted)
            both = Pair(backend, network, dtype).bind("gradients", data, 32)
            for what in both.run(Control(batch=ROWS)):
                yield f"{name}, {what}"


@program("gradients, a parameter used twice")
def _shared(backend: Backend, dtype: str) -> Iterator[str]:
    both = Pair(backend, SHARED, dtype).bind("gradients", SHARED.data(ROWS), 32)
    for rows in (ROWS, 7):
        yield from both.run(Control(batch=rows))


@program("predict")
def _predict(backend: Backend, dtype: str) -> Iterator[str]:
    """Batches one after the other, then other rows; with an order, then one batch alone."""
    for network in NETWORKS.values():
        both = Pair(backend, network, dtype).bind("predict", network.data(ROWS), 16)
        yield from both.run(Control(batch=16, steps=2))
        both.use(network.data(3, seed=1, ordered=True))
        yield from both.run(Control(batch=16))


@program("predict, from new weights")
def _new_weights(backend: Backend, dtype: str) -> Iterator[str]:
    """After an epoch of training, and after the parameters were replaced."""
    for network, rows in ((CLASSIFIER, ROWS), (WIDE, 3 * ROWS)):
        pair = Pair(backend, network, dtype)
        training = pair.bind("train", network.data(ROWS))
        predicting = pair.bind("predict", network.data(rows, seed=1), 128)
        for _ in range(2):
            yield from predicting.run(Control(batch=128))
            yield from training.run()
        pair.write("parameters", pair.wanted.read("parameters")[::-1].copy())
        yield from predicting.run(Control(batch=128))


@program("predict, two models on one device")
def _two_predictions(backend: Backend, dtype: str) -> Iterator[str]:
    """Each is read after both ran."""
    one, other = (Pair(backend, CLASSIFIER, dtype, seed) for seed in (SEED, 3))
    first = one.bind("predict", CLASSIFIER.data(ROWS), 32)
    second = Comparison(other, first.program, first.plain_program, first.executable)
    second.use(CLASSIFIER.data(ROWS, seed=1))
    for both in (first, second):
        yield from both.run(Control(batch=32))
    for number, both in enumerate((first, second)):
        for what in both.output("prediction"):
            yield f"model {number} in the end, {what}"


@program("predict, small calls")
def _small_calls(backend: Backend, dtype: str) -> Iterator[str]:
    """The short cut, where the executor offers one; what it gave stays as it was."""
    pair = Pair(backend, CLASSIFIER, dtype)
    both = pair.bind("predict", CLASSIFIER.data(ROWS), 16)
    binding, given = both.binding, []
    assert binding is not None
    for seed, rows in enumerate((1, 7, 16, 7, 7)):
        if seed == 4:
            pair.write("parameters", pair.wanted.read("parameters")[::-1].copy())
        data = CLASSIFIER.data(rows, seed=seed)
        got = binding.apply(data.columns(dtype)["x"])
        both.use(data)
        both.plain.run(Control(batch=16))
        if got is not None:
            given.append((got, both.plain.read("prediction")))
            yield from pair.off(f"the prediction of {rows} rows", *given[-1])
    for got, want in given:
        yield from pair.off("an earlier prediction", got, want)


@program("explain")
def _explain(backend: Backend, dtype: str) -> Iterator[str]:
    """Every instruction has a line."""
    for name, network in NETWORKS.items():
        made = network.program("train", dtype, BATCH)
        lines = [line[:2] for line in backend.compile(made).explain()]
        wanted = [(stage, one.op) for stage, one in made.instructions()]
        if lines != wanted:
            yield f"{name}: it tells of {lines} instead of {wanted}"
