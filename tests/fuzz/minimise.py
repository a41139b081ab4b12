"""Making a program that shows a difference smaller, while it still shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.fuzz.program import Block, Program, Step, Var


def minimise(program: Program, shows: Callable[[Program], bool], seconds: float = 120.0) -> Program:
    """The smallest program found within the time for which `shows` still holds."""
    deadline = time.monotonic() + seconds
    shrunk = True
    while shrunk and time.monotonic() < deadline:
        shrunk = False
        for candidate in smaller(program):
            if time.monotonic() > deadline:
                break
            if shows(candidate):
                program, shrunk = candidate, True
                break
    return program


def smaller(program: Program) -> Iterator[Program]:
    """Programs with less to them, the boldest first."""
    outputs = program.outputs
    if len(outputs) > 1:
        for out in outputs:
            yield program.with_outputs([out])
    defined = [v for s in program.block.steps for v in s.results if v.differentiable]
    for var in defined[:-1]:
        if len(outputs) > 1 or var != outputs[0]:
            earlier = program.with_outputs([var])
            if len(list(earlier.block.all_steps())) < len(list(program.block.all_steps())):
                yield earlier
    for block in _blocks(program.block):
        for i in reversed(range(len(block.steps))):
            step = block.steps[i]
            before = [*block.params, *[v for s in block.steps[:i] for v in s.results]]
            for names in _substitutes(step, before):
                changed = program.block.mapped(lambda s, step=step: None if s is step else s, names)
                yield _with_block(program, changed)
            constant = _constant(step)
            if constant is not None:
                changed = program.block.mapped(
                    lambda s, step=step, constant=constant: constant if s is step else s, {}
                )
                yield _with_block(program, changed)


def _with_block(program: Program, block: Block) -> Program:
    names = {v.name: v for s in block.steps for v in s.results} | {p.name: p for p in block.params}
    outputs = tuple([replace(names[x]) for x in block.operands if x in names])
    return Program(block, outputs, program.inputs).with_outputs(outputs)


def _blocks(block: Block) -> Iterator[Block]:
    yield block
    for step in block.steps:
        for inner in step.blocks:
            yield from _blocks(inner)


def _substitutes(step: Step, before: list[Var]) -> Iterator[dict[str, str]]:
    """Ways to do without a step: each of its results is an earlier variable of the same type."""
    for choice in (0, -1):
        names = {}
        for result in step.results:
            fit = [v for v in before if v.type == result.type]
            if not fit:
                break
            names[result.name] = fit[choice].name
        else:
            yield names


def _constant(step: Step) -> Step | None:
    """The step with constants for its results, unless it is one."""
    if not step.operands and not step.blocks:
        return None
    lines = tuple(
        [f"{{r{i}}} = xp.full({v.shape}, {_number(v)}, np.{v.dtype})" for i, v in enumerate(step.results)]
    )
    lines = tuple([line.replace("np.bool)", "np.bool_)") for line in lines])
    return Step(lines, (), step.results)


def _number(v: Var) -> str:
    return "True" if v.dtype == "bool" else "1" if v.dtype.startswith("int") else "0.7"
