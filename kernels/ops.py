"""The operation table: one row for every operation that a graph, a program or a device can name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from . import network_rules, rules, samples
from .errors import unknown
from .op import REQUIRED, Attrs, Cost, Indices, Op, Specs, Tolerance
from .rules import Rule
from .samples import Maker
from .spec import ITEMSIZE, Spec, length
from .vectorized import reference

EXACT = {"float32": Tolerance(0.0, 0.0), "float64": Tolerance(0.0, 0.0)}
ROUNDED = {"float32": Tolerance(4e-7, 1e-30), "float64": Tolerance(1e-15, 1e-300)}
SMOOTH = {"float32": Tolerance(2e-6, 1e-7), "float64": Tolerance(4e-15, 1e-15)}
SUMMED = {"float32": Tolerance(5e-6, 1e-6), "float64": Tolerance(1e-14, 1e-14)}

OPS: dict[str, Op] = {}


def traffic(specs: Iterable[Spec]) -> float:
    """Bytes when every array is touched once."""
    return float(sum(length(s) * ITEMSIZE[s.dtype] for s in specs))


def per_element(flops: float) -> Any:
    """Cost of so many operations per element of the largest array, each array touched once."""

    def cost(inputs: Specs, outputs: Specs, attrs: Attrs) -> Cost:
        largest = max((length(s) for s in (*inputs, *outputs)), default=0)
        return Cost(flops * largest, traffic(inputs) + traffic(outputs))

    return cost


def product_cost(inputs: Specs, outputs: Specs, attrs: Attrs) -> Cost:
    """2 m n k: every output element is a sum of k products."""
    inner = inputs[0].shape[-2 if attrs.get("transpose_a") else -1]
    flops = 2.0 * length(outputs[0]) * float(inner)  # type: ignore[arg-type]
    return Cost(flops, traffic(inputs) + traffic(outputs))


def dense_backward_cost(inputs: Specs, outputs: Specs, attrs: Attrs) -> Cost:
    """One product for the weight's gradient and one for the input's where it is asked for."""
    gradient, x = inputs[:2]
    products = 2.0 if attrs["input"] else 1.0
    flops = products * 2.0 * length(gradient) * float(x.shape[-1])  # type: ignore[arg-type]
    return Cost(flops, traffic(inputs) + traffic(outputs))


def row(
    signature: str,
    infer: Rule,
    draw: Maker,
    *,
    attrs: dict[str, Any] | None = None,
    cost: Any = None,
    tolerance: dict[str, Tolerance] = ROUNDED,
    expression: str | None = None,
    **facts: Any,
) -> None:
    """Adds a row; `signature` reads `name: input, optional? -> output`.

    infer: the specs of the outputs, from those of the inputs. draw: its `Op.samples`. cost: see
    `Op`; None is one floating-point operation for each element.
    expression: the reference's name where it is not the operation's. facts: the fields of `Op` that
    have defaults.
    """
    name, rest = signature.split(": ")
    inputs, outputs = (tuple(part.split(", ")) for part in rest.split(" -> "))
    OPS[name] = Op(
        name=name,
        inputs=inputs,
        outputs=outputs,
        attrs=attrs or {},
        infer=infer,
        reference=reference(expression or name),
        cost=cost or per_element(1.0),
        tolerance=tolerance,
        samples=draw,
        **facts,
    )


def fusable() -> tuple[str, ...]:
    """What `dense` can apply, by name."""
    return ("linear", *(op.name for op in OPS.values() if op.in_dense))


def get(name: str) -> Op:
    """The row of that name. Raises: UnknownName with the nearest spelling."""
    if name not in OPS:
        raise unknown("operation", name, OPS)
    return OPS[name]


def _arithmetic() -> None:
    pair, normal = ("a", "b"), samples.normal
    row(
        "matmul: a, b -> y", rules.matmul, samples.matmul,
        attrs={"transpose_a": False, "transpose_b": False},
        cost=product_cost, tolerance=SUMMED, measured=samples.square_matmul, hot=True,
    )  # fmt: skip
    for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum"):
        draw = samples.elementwise(normal, samples.positive if name == "divide" else normal)
        row(
            f"{name}: a, b -> y",
            rules.elementwise(name, pair, floats=name == "divide"), draw,
            overwrites=((0, 1),), hot=name in ("add", "multiply"),
            independent="elements", ufunc=name,
        )  # fmt: skip
    row(
        "power: a, b -> y", rules.elementwise("power", pair, floats=True),
        samples.elementwise(samples.positive, normal),
        tolerance=SMOOTH, overwrites=((0, 1),), cost=per_element(20.0),
        independent="elements", ufunc="power",
    )  # fmt: skip
    comparisons = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    for name in comparisons:
        ordered = name not in ("equal", "not_equal")  # booleans have no order, but can be equal
        rule = rules.elementwise(name, pair, result="bool", numbers=ordered)
        row(
            f"{name}: a, b -> y", rule, samples.elementwise(normal, normal), tolerance=EXACT,
            independent="elements", ufunc=name, derivative="zero",
        )  # fmt: skip
    three = samples.elementwise(normal, normal, normal, condition=True)
    row(
        "where: condition, a, b -> y", rules.where, three, tolerance=EXACT,
        independent="elements",
    )  # fmt: skip
    draws = {"log": samples.positive, "log1p": samples.positive, "sqrt": samples.positive}
    for name in ("negative", "exp", "log", "log1p", "expm1", "sqrt", "abs", "sign", "erf"):
        exact = name in ("negative", "abs", "sign")
        row(
            f"{name}: x -> y", rules.elementwise(name, ("x",), floats=not exact),
            samples.elementwise(draws.get(name, normal)),
            expression="absolute" if name == "abs" else None,
            tolerance=EXACT if exact else SMOOTH, cost=per_element(1.0 if exact else 10.0),
            overwrites=((0,),), hot=name == "exp", independent="elements",
            ufunc=None if name == "erf" else name,  # NumPy has no error function
            derivative="zero" if name == "sign" else None,
        )  # fmt: skip
    row(
        "clip: x -> y", rules.clip,
        samples.elementwise(normal, low=-0.5, high=0.75),
        attrs={"low": REQUIRED, "high": REQUIRED}, overwrites=((0,),), independent="elements",
    )  # fmt: skip


def _reductions_and_shapes() -> None:
    over = {"axis": None, "keepdims": False}
    for name in ("sum", "mean", "max"):
        row(
            f"{name}: x -> y",
            rules.reduction(name, empty=name == "sum", floats=name != "max"),
            samples.reduction, attrs=over, tolerance=EXACT if name == "max" else SUMMED,
            hot=name == "sum",
        )  # fmt: skip
    row(
        "argmax: x -> y", rules.reduction("argmax", result="int32"), samples.argmax,
        attrs={"axis": -1, "keepdims": False}, tolerance=EXACT, derivative="zero",
    )  # fmt: skip
    row(
        "transpose: x -> y", rules.transpose, samples.transpose,
        attrs={"axes": REQUIRED}, tolerance=EXACT, view=True, cost=per_element(0.0),
    )  # fmt: skip
    for name in ("reshape", "broadcast_to"):
        row(
            f"{name}: x -> y", getattr(rules, name), getattr(samples, name),
            attrs={"shape": REQUIRED}, tolerance=EXACT, view=True, cost=per_element(0.0),
        )  # fmt: skip
    cut = {"starts": REQUIRED, "stops": REQUIRED, "steps": REQUIRED}
    row(
        "slice: x -> y", rules.slice, samples.slice,
        attrs=cut, tolerance=EXACT, view=True, cost=per_element(0.0),
    )  # fmt: skip
    row(
        "unslice: x -> y", rules.unslice, samples.unslice,
        attrs={"shape": REQUIRED, **cut}, tolerance=EXACT, view=True, cost=per_element(0.0),
    )  # fmt: skip
    row(
        "concatenate: a, b -> y", rules.concatenate, samples.concatenate,
        attrs={"axis": 0}, tolerance=EXACT, cost=per_element(0.0),
    )  # fmt: skip
    row(
        "cast: x -> y", rules.cast, samples.cast, attrs={"dtype": REQUIRED},
        tolerance={"float32": Tolerance(0.0, 0.0), "float64": Tolerance(1e-7, 0.0)},
        cost=per_element(0.0), independent="elements",
    )  # fmt: skip
    row(
        "gather_rows: x, indices -> y", rules.gather_rows, samples.gather_rows,
        tolerance=EXACT, cost=per_element(0.0), measured=samples.wide_gather, hot=True,
        indices=Indices(1, "rows", axis=0),
    )  # fmt: skip
    row(
        "scatter_rows: x, indices -> y", rules.scatter_rows, samples.scatter_rows,
        attrs={"rows": REQUIRED}, tolerance=SUMMED, indices=Indices(1, "rows", attr="rows"),
    )  # fmt: skip
    row(
        "pick: x, labels -> y", rules.pick, samples.pick, tolerance=EXACT, independent="rows",
        indices=Indices(1, "columns", axis=-1),
    )  # fmt: skip
    row(
        "one_hot: labels -> y", rules.one_hot, samples.one_hot,
        attrs={"classes": REQUIRED, "dtype": REQUIRED}, tolerance=EXACT, independent="rows",
        indices=Indices(0, "classes", attr="classes"), derivative="zero",
    )  # fmt: skip


def _activations() -> None:
    def activation(
        name: str,
        derivative: Literal["x", "y"],
        points: samples.Draw = samples.unit,
        independent: Literal["elements", "rows"] = "elements",
        ufunc: str | None = None,
        in_dense: bool = False,
        **attrs: Any,
    ) -> None:
        """Two rows: the activation, and its derivative times the gradient.

        points: draws what the derivative is tested at. in_dense: see `Op`; kernels that have a
        number for each activation of a layer have one for it then.
        """
        whole = independent == "rows"
        rule = rules.along_last if whole else rules.like_first
        draw = samples.rowwise if whole else samples.elementwise
        row(
            f"{name}: x -> y", rule(name, ("x",)), draw(samples.wide, **attrs),
            attrs=attrs, tolerance=SMOOTH, cost=per_element(10.0), overwrites=((0,),), hot=True,
            independent=independent, derivative=derivative, ufunc=ufunc, in_dense=in_dense,
        )  # fmt: skip
        # The broadcasting samples of `elementwise` are not for a rule that wants one shape.
        row(
            f"{name}_backward: gradient, {derivative} -> x",
            rule(f"{name}_backward", ("gradient", derivative)),
            samples.rowwise(samples.normal, points, **attrs), attrs=attrs, tolerance=SMOOTH,
            cost=per_element(4.0), overwrites=((0, 1),), hot=True, independent=independent,
        )  # fmt: skip

    activation("sigmoid", "y", in_dense=True)
    activation("tanh", "y", ufunc="tanh", in_dense=True)
    activation("relu", "y", samples.normal, in_dense=True)
    activation("leaky_relu", "y", samples.normal, in_dense=True, alpha=0.01)
    activation("elu", "y", in_dense=True, alpha=1.0)
    activation("softplus", "y", in_dense=True)
    activation("selu", "y", in_dense=True)
    activation("hard_sigmoid", "y", in_dense=True)
    activation("softsign", "y", in_dense=True)
    activation("gelu", "x", samples.normal)
    activation("gelu_tanh", "x", samples.normal)
    activation("silu", "x", samples.normal)
    activation("mish", "x", samples.normal)
    activation("hard_swish", "x", samples.normal)
    activation("softmax", "y", samples.simplex, "rows")
    activation("log_softmax", "y", independent="rows")


def _losses() -> None:
    def loss(name: str, draw: Maker, labels: bool, result: str, **more: Any) -> None:
        target = "labels" if labels else "targets"
        first, out = {
            "rows": ("p", "loss"), "like": ("p", "gradient"), "total": ("z", "p, loss"),
        }[result]  # fmt: skip
        rule = network_rules.row_loss(name, labels=labels, result=result)
        row(
            f"{name}: {first}, {target}, weights? -> {out}", rule, draw,
            tolerance=SUMMED, cost=per_element(10.0), hot=True, independent="rows",
            indices=Indices(1, "columns", axis=-1) if labels else None, **more,
        )  # fmt: skip

    classes = samples.row_loss(samples.simplex, classes=True)
    probabilities = samples.row_loss(samples.unit, classes=False)
    numbers = samples.row_loss(samples.normal, classes=False)
    loss("cross_entropy", classes, True, "rows")
    loss("binary_cross_entropy", probabilities, False, "rows")
    loss("mean_squared_error", numbers, False, "rows")
    loss("mean_squared_error_backward", numbers, False, "like", overwrites=((0, 1),))
    loss(
        "softmax_cross_entropy", samples.row_loss(samples.wide, classes=True), True, "total",
        overwrites=((0,),),
    )  # fmt: skip
    loss("softmax_cross_entropy_backward", classes, True, "like")
    loss(
        "sigmoid_binary_cross_entropy", samples.row_loss(samples.wide, classes=False), False,
        "total", overwrites=((0,),),
    )  # fmt: skip
    loss("sigmoid_binary_cross_entropy_backward", probabilities, False, "like")


def _layers() -> None:
    activation, known = {"activation": "linear", "alpha": 0.01}, fusable()
    row(
        "dense: x, weight, bias? -> y", network_rules.dense, samples.dense(known),
        attrs=activation, cost=product_cost, tolerance=SUMMED, measured=samples.square_dense,
        hot=True,
    )  # fmt: skip
    row(
        "dense_backward: gradient, x, weight, y? -> weight, bias, x",
        network_rules.dense_backward, samples.dense_backward(known),
        attrs={**activation, "bias": True, "input": True},
        cost=dense_backward_cost, tolerance=SUMMED, measured=samples.square_dense_backward,
        hot=True,
    )  # fmt: skip
    row(
        "dropout_mask: seed, counter, first? -> mask", network_rules.dropout_mask,
        samples.dropout_mask,
        attrs={"shape": REQUIRED, "rate": REQUIRED, "stream": REQUIRED, "dtype": REQUIRED},
        cost=per_element(30.0), hot=True, derivative="zero",
    )  # fmt: skip


def _updates() -> None:
    def update(name: str, slots: str, stepped: bool, flops: float, **attrs: Any) -> None:
        inputs = ["parameter", "gradient", *slots.split(), "learning_rate"] + ["step"] * stepped
        outputs = ["parameter", *slots.split()]
        places = tuple((inputs.index(o),) for o in outputs)
        draw = samples.update(len(slots.split()), stepped, **attrs)
        defaults = dict.fromkeys(attrs, REQUIRED)
        row(
            f"{name}: {', '.join(inputs)} -> {', '.join(outputs)}",
            network_rules.update(name, tuple(inputs), tuple(outputs)), draw, attrs=defaults,
            cost=per_element(flops),
            tolerance=SMOOTH, overwrites=places, hot=True,
            # the planner lays the parameters that decay before the others: there a place counts
            independent=None if "decayed" in attrs else "elements", decays="decayed" in attrs,
        )  # fmt: skip

    adam = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    update("sgd_update", "", False, 2.0)
    update("momentum_update", "velocity", False, 4.0, momentum=0.9)
    update("nesterov_update", "velocity", False, 6.0, momentum=0.9)
    update("rmsprop_update", "square", False, 8.0, rho=0.9, epsilon=1e-8)
    update("adam_update", "mean square", True, 12.0, **adam)
    update("adamw_update", "mean square", True, 13.0, **adam, weight_decay=0.01, decayed=3)
    update("adagrad_update", "square", False, 7.0, epsilon=1e-8)
    update("amsgrad_update", "mean square largest", True, 13.0, **adam)
    update("nadam_update", "mean square", True, 14.0, **adam, momentum_decay=0.004)
    update("lion_update", "mean", False, 8.0, beta1=0.9, beta2=0.99)
    row(
        "shrink: parameter, learning_rate -> parameter",
        network_rules.update("shrink", ("parameter", "learning_rate"), ("parameter",)),
        samples.flat(1, 0.01, weight_decay=0.3, decayed=3),
        attrs={"weight_decay": REQUIRED, "decayed": REQUIRED}, overwrites=((0,),),
        cost=per_element(1.0), decays=True,
    )  # fmt: skip
    averaged = ("average", "parameter", "step")
    row(
        "average_update: average, parameter, step -> average",
        network_rules.update("average_update", averaged, ("average",)),
        samples.flat(2, 8, decay=0.9, start=2, every=3), tolerance=SUMMED,
        attrs={"decay": REQUIRED, "start": REQUIRED, "every": REQUIRED}, overwrites=((0,),),
        cost=per_element(3.0), independent="elements",
    )  # fmt: skip
    row(
        "keep: parameter -> before", rules.flat("keep", ("parameter",)), samples.flat(1),
        tolerance=EXACT, cost=per_element(0.0), independent="elements",
    )  # fmt: skip
    row(
        "assign: statistics, observed -> statistics", network_rules.assign, samples.assign,
        tolerance=EXACT, overwrites=((0,),), cost=per_element(0.0),
    )  # fmt: skip
    row(
        "rescale: parameter, before -> parameter", rules.flat("rescale", ("parameter", "before")),
        samples.flat(2, factor=0.1, start=2, stop=9),
        attrs={"factor": REQUIRED, "start": REQUIRED, "stop": REQUIRED},
        tolerance=SUMMED, overwrites=((0,),), cost=per_element(3.0),
    )  # fmt: skip
    row(
        "clip_norm: gradient -> gradient", rules.like_first("clip_norm", ("gradient",)),
        samples.flat(1, maximum=0.5),
        attrs={"maximum": REQUIRED}, tolerance=SUMMED, overwrites=((0,),), cost=per_element(3.0),
    )  # fmt: skip
    row(
        "add_decay: gradient, parameter -> gradient",
        rules.flat("add_decay", ("gradient", "parameter")),
        samples.flat(2, coefficient=0.3, start=2, stop=9),
        attrs={"coefficient": REQUIRED, "start": REQUIRED, "stop": REQUIRED},
        overwrites=((0,),), cost=per_element(2.0), decays=True,
    )  # fmt: skip


_arithmetic()
_reductions_and_shapes()
_activations()
_losses()
_layers()
_updates()

ACTIVATIONS = tuple(name for name, op in OPS.items() if op.derivative in ("x", "y"))
PIECEWISE_CONSTANT = tuple(name for name, op in OPS.items() if op.derivative == "zero")
FUSABLE = fusable()
