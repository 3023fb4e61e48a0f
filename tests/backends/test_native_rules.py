"""What lowers an operation to native steps, and that every rule and step is found."""

from __future__ import annotations

import lamina as lm
import pytest
from lamina.backends.native import lowering
from lamina.backends.native.rules import RULES
from lamina.core.graph import fusion
from lamina.kernels.numba.activations import CODES
from lamina.kernels.numba.elementwise import ELEMENTWISE
from lamina.kernels.numba.native.steps import STEPS
from lamina.kernels.ops import FUSABLE, OPS


def test_what_is_registered_is_found() -> None:
    rules = RULES
    assert set(rules) <= set(OPS)
    assert ELEMENTWISE
    for name in ELEMENTWISE:  # by the kernel alone
        assert name in STEPS
        assert rules[name] is rules["gelu"]
    for name in set(CODES) - {"linear"}:  # by the code alone
        assert rules[name] is rules["relu"]
        assert rules[f"{name}_backward"] is rules["relu_backward"]


def test_an_activation_of_dense_has_a_number() -> None:
    """Without one no rule takes a layer that ends in it, and all of the layer is walked."""
    assert set(CODES) == set(FUSABLE)


def test_any_other_activation_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "FUSABLE", ("linear",))
    for name in ("softsign", "softsign_backward"):
        monkeypatch.delitem(RULES, name)
    model = lm.Sequential(
        [lm.Dense(5, "softsign"), lm.Dense(1)], "mean_squared_error", backend="numba"
    )
    assert "softsign_backward" in (told := str(lm.explain(model.build(3))))
    assert "walked" not in told


def test_an_operation_has_one_rule() -> None:
    with pytest.raises(AssertionError, match="two rules lower dense"):
        lowering.rule("dense")(lambda low, one, attrs: None)
