"""Drawing a random program. Operations are in `tests.fuzz.steps` and `tests.fuzz.nesting`.

Every variable carries an interval that holds its values, so that logarithms, roots and quotients are
drawn where they are smooth and numbers stay of moderate size.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np

from tests.fuzz.program import FLOATS, INTEGERS, Block, Program, Step, Var

MOST_ELEMENTS = 27


class Generator:
    """Draws steps into a block.

    Attributes:
      rng: where choices come from.
      scope: variables that may be used, the latest last.
      steps: of the block so far.
      params: of the block.
      depth: how many functions enclose it.
      forward: whether forward mode may be taken of it: then it has no custom_vjp.
    """

    def __init__(self, rng: random.Random, sizes: Sequence[int]) -> None:
        self.rng = rng
        self.sizes = tuple(sizes)
        self.scope: list[Var] = []
        self.steps: list[Step] = []
        self.params: tuple[Var, ...] = ()
        self.depth = 0
        self.forward = False
        self.count = 0

    # Variables ------------------------------------------------------------------------------------

    def fresh(self, prefix: str = "v") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def shape(self, most: int = 3) -> tuple[int, ...]:
        rank = self.rng.choice([0, 1, 1, 2, 2, 2, 3][: 2 * most + 1])
        return tuple([self.rng.choice(self.sizes) for _ in range(rank)])

    def choose(self, fits: Callable[[Var], bool]) -> Var | None:
        """A variable that fits, more often a late one."""
        found = [v for v in self.scope if fits(v)]
        if not found:
            return None
        return found[max(self.rng.randrange(len(found)), self.rng.randrange(len(found)))]

    def emit(
        self, line: str, operands: Sequence[Var], dtype: str, shape: Sequence[int], *interval: float
    ) -> Var:
        """A step with one result, whose values lie in the interval."""
        result = Var(self.fresh(), dtype, tuple(int(n) for n in shape), *interval)
        self.add(Step((f"{{r0}} = {line}",), tuple([v.name for v in operands]), (result,)))
        return result

    def add(self, step: Step) -> None:
        self.steps.append(step)
        self.scope.extend(step.results)

    def bounded(self, x: Var, limit: float = 20.0) -> Var:
        """`x`, made smaller where it may exceed the limit."""
        if x.bound <= limit:
            return x
        if x.dtype not in FLOATS:
            return self.emit("{0} / (1 + xp.abs({0}) ** 2)", [x], x.dtype, x.shape, 0, 1)
        return self.emit("{0} / xp.sqrt(1 + {0} * {0})", [x], x.dtype, x.shape, -1, 1)

    def real(self, fits: Callable[[Var], bool] = lambda v: True, limit: float = 20.0) -> Var | None:
        """A bounded float variable that fits."""
        found = self.choose(lambda v: v.dtype in FLOATS and fits(v))
        return None if found is None else self.bounded(found, limit)

    def double(self, fits: Callable[[Var], bool] = lambda v: True, limit: float = 20.0) -> Var | None:
        """Likewise, of double precision."""
        return self.real(lambda v: v.dtype == "float64" and fits(v), limit)

    def integer(self, fits: Callable[[Var], bool] = lambda v: True) -> Var | None:
        return self.choose(lambda v: v.dtype in INTEGERS and v.bound < 1e6 and fits(v))

    def like(self, x: Var) -> Var | None:
        """Another bounded variable that broadcasts with `x` to something small."""

        def fits(y: Var) -> bool:
            try:
                shape = np.broadcast_shapes(x.shape, y.shape)
            except ValueError:
                return False
            return len(shape) <= 3 and math.prod(shape) <= MOST_ELEMENTS

        return self.real(fits)

    # Blocks ---------------------------------------------------------------------------------------

    def block(
        self,
        params: Sequence[Var],
        steps: int,
        finish: Callable[[Generator], tuple[str, Sequence[Var]]],
        *,
        closed: bool = False,
        forward: bool = False,
        name: str = "",
        decorator: str = "",
    ) -> Block:
        """A nested function.

        Args:
          params: its parameters, which the body uses most.
          steps: about how many it has.
          finish: draws the last steps; the returned expression and its operands.
          closed: uses no outer variables.
          forward: has no custom_vjp inside.
        """
        outer = self.scope, self.steps, self.params, self.forward
        self.scope = [*([] if closed else self.scope[-6:]), *params]
        self.steps = []
        self.params = tuple(params)
        self.forward = self.forward or forward
        self.depth += 1
        self.draw(steps)
        returned, operands = finish(self)
        made = Block(
            name or self.fresh("f"),
            tuple(params),
            tuple(self.steps),
            returned,
            tuple([v.name for v in operands]),
            decorator,
        )
        self.scope, self.steps, self.params, self.forward = outer
        self.depth -= 1
        return made.without_dead_steps()

    def draw(self, count: int) -> None:
        """Append about `count` steps."""
        from tests.fuzz.nesting import NESTED
        from tests.fuzz.steps import FLAT

        while len(self.steps) < count:
            nested = self.depth < 3 and self.rng.random() < 0.14 / (1 + self.depth)
            kinds = NESTED if nested else FLAT
            (kind,) = self.rng.choices([k for k, _ in kinds], [w for _, w in kinds])
            kind(self)


def value(rng: np.random.Generator, var: Var) -> np.ndarray:
    """An input within the interval of a variable."""
    if var.dtype == "bool":
        return rng.random(var.shape) < 0.5
    if var.dtype in INTEGERS:
        return rng.integers(int(var.lo), int(var.hi) + 1, var.shape).astype(var.dtype)
    out = rng.uniform(var.lo, var.hi, var.shape)
    if var.dtype.startswith("complex"):
        out = (out + 1j * rng.uniform(var.lo, var.hi, var.shape)) / math.sqrt(2)
    return np.asarray(out).astype(var.dtype)


def generate(rng: random.Random) -> Program:
    """A random program: 5 to 60 steps, one to five inputs; what no step uses, the latest of it, is output."""
    sizes = rng.choice([(2, 3), (1, 3), (2,), (3,), (1, 2, 3), (2, 3)])
    if rng.random() < 0.05:
        sizes = (0, *sizes)
    gen = Generator(rng, sizes)
    inputs: list[Var] = []

    def add(dtype: str, lo: float, hi: float) -> None:
        inputs.append(Var(f"x{len(inputs)}", dtype, gen.shape(), lo, hi))

    for _ in range(rng.choice([1, 1, 2, 2, 3])):
        add("float64", *rng.choice([(-1.5, 1.5), (0.3, 1.7), (-1.5, -0.2)]))
    if rng.random() < 0.15:
        add("float32", -1.5, 1.5)
    if rng.random() < 0.2:
        add("complex128", -1.5, 1.5)
    if rng.random() < 0.3:
        add(rng.choice(["int32", "int64"]), 0, 2)
    if rng.random() < 0.15:
        add("bool", 0, 1)
    gen.scope = list(inputs)
    gen.draw(rng.choice([5, 8, 12, 16, 24, 60]))
    used = set().union(*[step.uses for step in gen.steps])
    free = [v for v in gen.scope if v.name not in used and v not in inputs]
    outputs = [v for v in free if v.differentiable][-5:] or [v for v in gen.scope if v.differentiable][-1:]
    outputs += [v for v in free if not v.differentiable][-2:]
    block = Block("program", tuple(inputs), tuple(gen.steps), "", ())
    numbers = np.random.default_rng(rng.getrandbits(32))
    return Program(block, (), tuple([value(numbers, v) for v in inputs])).with_outputs(outputs)
