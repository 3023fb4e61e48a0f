"""What of a chain is computed in which walk, and what is kept from one walk to the next."""

from __future__ import annotations

from ..chain import Chain, Statement

CHEAP = 3  # operations that are done again sooner than their result is kept for the next walk
CHEAP_OPS = {
    "add", "subtract", "multiply", "maximum", "minimum", "negative", "abs", "where", "clip", "cast",
    "relu", "relu_backward", "leaky_relu", "leaky_relu_backward", "equal", "not_equal", "less",
    "less_equal", "greater", "greater_equal", "sign", "one_hot",
}  # fmt: skip


class Layout:
    """What a chain keeps from walk to walk, and its sums down the rows."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        operands = chain.operands
        self.sums = [
            s.output for s in chain.statements
            if s.over == "rows" and operands[s.output].extent == "column"
        ]  # fmt: skip
        self.stored = {o for o in chain.outputs if not chain.summed(o)}
        self.walks = self._walks()
        self.kept = self._kept()

    def _walks(self) -> int:
        """How many walks there are along the columns of a block."""
        chain, last = self.chain, -1
        for one in chain.statements:
            full = chain.operands[one.output].extent == "full" or any(
                chain.operands[i].extent == "full" for i in one.inputs
            )
            if full:
                last = max(last, self.when(one))
        return last + 1

    def when(self, one: Statement) -> int:
        """The walk in which a statement is computed."""
        return max((self.chain.phases[i] for i in one.inputs), default=0)

    def _kept(self) -> list[int]:
        """Full values that a later walk reads from memory, as it would take long to make them."""
        chain, found = self.chain, list[int]()
        for one in chain.statements:
            made = one.output
            if chain.operands[made].extent != "full" or made in self.stored:
                continue
            later = [
                s for s in chain.statements if made in s.inputs and self.when(s) > self.when(one)
            ]
            if later and self._cost(made, {*self.stored, *found}) > CHEAP:
                found.append(made)
        return found

    def _cost(self, operand: int, kept: set[int]) -> float:
        maker = self.chain.makers.get(operand)
        if maker is None or operand in kept or self.chain.operands[operand].extent != "full":
            return 0
        own = 0 if maker.op == "copy" else 100 if maker.op not in CHEAP_OPS else 1
        return own + sum(self._cost(i, kept) for i in maker.inputs)
