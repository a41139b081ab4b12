"""What a random program is: blocks of steps with known types, which print as Python.

    block ::= a Python function: params, steps, a returned expression
    step  ::= lines of Python that define variables from others; nested functions are blocks of it

The text is written over `tr`, `xp` and `nn`, which are `tracer`, its numpy and nn, or those of JAX, so
that one program runs over both. Names are unique in a program; nested functions may use outer ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.fuzz.spaces import Space

FLOATS = ("float32", "float64")
INTEGERS = ("int32", "int64")


@dataclass(frozen=True)
class Var:
    """A variable with its type and an interval that holds its values (their absolute value if complex)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    lo: float = -math.inf
    hi: float = math.inf

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bound(self) -> float:
        return max(abs(self.lo), abs(self.hi))

    @property
    def type(self) -> tuple[str, tuple[int, ...]]:
        return self.dtype, self.shape

    @property
    def differentiable(self) -> bool:
        return self.dtype in FLOATS or self.dtype.startswith("complex")


@dataclass(frozen=True)
class Step:
    """Lines with fields: `{0}`, `{1}` for operands, `{r0}` for results, `{f0}` for nested functions."""

    lines: tuple[str, ...]
    operands: tuple[str, ...]
    results: tuple[Var, ...]
    blocks: tuple[Block, ...] = ()

    def render(self, indent: str) -> Iterator[str]:
        fields = {f"r{i}": v.name for i, v in enumerate(self.results)}
        fields.update({f"f{i}": b.name for i, b in enumerate(self.blocks)})
        for block in self.blocks:
            yield from block.render(indent)
        for line in self.lines:
            yield indent + line.format(*self.operands, **fields)

    @property
    def uses(self) -> set[str]:
        return set(self.operands).union(*[b.free for b in self.blocks])


@dataclass(frozen=True)
class Block:
    """A function; `returned` is an expression with fields for `operands`."""

    name: str
    params: tuple[Var, ...]
    steps: tuple[Step, ...]
    returned: str
    operands: tuple[str, ...]
    decorator: str = ""

    def render(self, indent: str = "") -> Iterator[str]:
        if self.decorator:
            yield f"{indent}@{self.decorator}"
        yield f"{indent}def {self.name}({', '.join(p.name for p in self.params)}):"
        for step in self.steps:
            yield from step.render(indent + "    ")
        yield f"{indent}    return {self.returned.format(*self.operands)}"

    @property
    def free(self) -> set[str]:
        used = set(self.operands).union(*[s.uses for s in self.steps])
        return used - {p.name for p in self.params} - {v.name for s in self.steps for v in s.results}

    def without_dead_steps(self) -> Block:
        live = set(self.operands)
        kept = []
        for step in reversed(self.steps):
            if live.isdisjoint(v.name for v in step.results):
                continue
            clean = replace(step, blocks=tuple([b.without_dead_steps() for b in step.blocks]))
            live |= clean.uses
            kept.append(clean)
        return replace(self, steps=tuple(reversed(kept)))

    def all_steps(self) -> Iterator[Step]:
        """Its steps and those of the functions inside."""
        for step in self.steps:
            for block in step.blocks:
                yield from block.all_steps()
            yield step

    def mapped(self, change: Callable[[Step], Step | None], names: dict[str, str]) -> Block:
        """With every step changed, or dropped for None, and operands renamed."""
        steps = []
        for step in self.steps:
            new = change(step)
            if new is None:
                continue
            steps.append(
                replace(
                    new,
                    operands=tuple([names.get(x, x) for x in new.operands]),
                    blocks=tuple([b.mapped(change, names) for b in new.blocks]),
                )
            )
        operands = tuple([names.get(x, x) for x in self.operands])
        return replace(self, steps=tuple(steps), operands=operands)


@dataclass(frozen=True)
class Program:
    """A block that returns a tuple of variables, and the values of its inputs."""

    block: Block
    outputs: tuple[Var, ...]
    inputs: tuple[Any, ...]

    @property
    def source(self) -> str:
        return "\n".join(self.block.render())

    def function(self, space: Space) -> Callable[..., tuple[Any, ...]]:
        """The program as a Python function over a space."""
        scope: dict[str, Any] = {"np": np, "tr": space.tr, "xp": space.xp, "nn": space.nn}
        exec(compile(self.source, "<program>", "exec"), scope)
        return scope[self.block.name]  # type: ignore[no-any-return]

    def with_outputs(self, outputs: Sequence[Var]) -> Program:
        returned = "(" + "".join(f"{{{i}}}, " for i in range(len(outputs))) + ")"
        names = tuple([v.name for v in outputs])
        block = replace(self.block, returned=returned, operands=names)
        return Program(block.without_dead_steps(), tuple(outputs), self.inputs)

    def __str__(self) -> str:
        header = [f"{p.name} = {_literal(x)}" for p, x in zip(self.block.params, self.inputs, strict=True)]
        return "\n".join([*header, "", self.source])


def _literal(x: Any) -> str:
    return f"np.array({np.asarray(x).tolist()!r}, np.{np.asarray(x).dtype.name})"
