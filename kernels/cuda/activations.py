"""Activations in CUDA C++, written by executing their references: one function each, and a switch.

A layer's kernel is told the activation by its number, which is the same for all threads.
"""

from __future__ import annotations

from ..ops import ACTIVATIONS, OPS
from .expressions import Expression, Writer
from .namespace import apply

CODES = {
    name: code
    for code, name in enumerate(
        ("linear", *(a for a in ACTIVATIONS if OPS[a].independent == "elements"))
    )
}  # of activations of single elements


def code(dtype: str) -> str:
    """The functions `activate` and `activate_backward` for a dtype, as text."""
    return _switch(dtype, "", ("x",)) + _switch(dtype, "_backward", ("gradient", "y"))


def _switch(dtype: str, suffix: str, inputs: tuple[str, ...]) -> str:
    taken = ", ".join(f"real {name}" for name in inputs)
    functions, cases = [], []
    for name, number in CODES.items():
        if name == "linear":
            continue
        op, writer = OPS[name + suffix], Writer()
        given = [Expression(writer, text, dtype) for text in inputs]
        attrs = {attr: Expression(writer, attr, dtype) for attr in op.attrs}
        made = apply(op.name, given, attrs)
        body = "\n".join(f"  {line}" for line in writer.lines)
        functions.append(
            f"__device__ inline real {op.name}_of({taken}, real alpha) {{\n"
            f"{body}\n  return {made.text};\n}}\n"
        )
        cases.append(f"    case {number}: return {op.name}_of({', '.join(inputs)}, alpha);\n")
    return (
        "".join(functions)
        + f"__device__ inline real activate{suffix}(int code, real alpha, {taken}) {{\n"
        + f"  switch (code) {{\n{''.join(cases)}  }}\n  return {inputs[0]};\n}}\n"
    )
