"""L-BFGS: a minimisation over all rows, by SciPy."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..backends.state import Control
from ..kernels.errors import BadInput
from .callbacks import Listeners
from .history import Reporter
from .interrupt import Interrupt
from .optimizers import LBFGS
from .session import Kind, means
from .sources import ArraySource

MOST = 2**31 - 1  # that SciPy counts to


class FullBatch(ArraySource):
    """Arrays, minimised over all rows by SciPy's L-BFGS-B."""

    kind: ClassVar[Kind] = "gradients"

    def bind(self) -> None:
        """Takes a binding of its own. Raises: BadInput where layers have rates of their own."""
        if self.session.state.layout.rescaled:
            raise BadInput("LBFGS has one step for all weights: a rate is 0 (frozen) or 1")
        if any(e.moving for e in self.session.state.layout.entries):
            raise BadInput(
                "LBFGS sees all rows in each step, BatchNorm those of a batch: freeze the layer, or"
                " use another optimizer"
            )
        super().bind()

    def epoch(self, interrupt: Interrupt, reporter: Reporter, told: Listeners | None) -> Control:
        """One minimisation. The loss that the `Control` tells is that of the weights before it."""
        from scipy.optimize import minimize

        self.follow()
        settings, state = self.session.optimizer, self.state
        assert isinstance(settings, LBFGS)
        self.block.reorder(None)
        start = state.read("parameters")
        known = [self._cost(start)]  # which SciPy asks for first
        first = last = known[0][0]

        def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal last
            last, value, gradient = known.pop() if known else self._cost(parameters)
            if last.stop:
                raise FloatingPointError
            return value, gradient

        def between(parameters: np.ndarray) -> None:
            if interrupt.asked:
                raise StopIteration

        if first.stop:
            return first
        options = {
            "maxiter": min(settings.iterations, MOST), "maxcor": settings.history, "ftol": 0.0,
            "gtol": settings.tolerance, "maxfun": min(25 * settings.iterations, MOST),
        }  # fmt: skip
        try:
            found = minimize(
                cost, start.astype(np.float64), jac=True, method="L-BFGS-B", callback=between,
                options=options,
            )  # fmt: skip
        except FloatingPointError:
            state.write("parameters", start)
            return last
        except BaseException:
            state.write("parameters", start)
            raise
        state.write("parameters", found.x)
        state.step += int(found.nit)
        reporter.batches(self.rows, means(first))
        if told is not None:
            told.ends(first)
        return first

    def _cost(self, parameters: np.ndarray) -> tuple[Control, float, np.ndarray]:
        """What a pass over the rows says, the cost and its gradient, (n,) float64."""
        state, control = self.state, Control(batch=self.batch)
        state.write("parameters", parameters)
        gradient = np.zeros(len(parameters))
        while control.cursor < self.rows and not control.stop:
            before = control.weight_sum
            with state.turn:  # another thread's gradient would lie in the same segment
                self.binding.run(control)
                found = state.read("gradients").astype(np.float64)
            gradient += (control.weight_sum - before) * found
        gradient /= control.weight_sum or 1.0
        value = control.mean("loss")
        for entry in state.layout.entries:
            if entry.trainable and entry.decay:
                place = slice(entry.offset, entry.offset + entry.size)
                weights = parameters[place].astype(np.float64)
                gradient[place] += entry.decay * weights
                value += 0.5 * entry.decay * float(weights @ weights)
        if not (control.stop or np.isfinite(gradient).all()):
            control.stop = True
        return control, value, gradient
