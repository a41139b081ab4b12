"""Reverse mode: linearize, then transpose.

Linearizing pushes tangents through the function into a builder that sorts equations: whatever
depends on a tangent is linear and set apart, the rest is the primal program. Transposing runs the
linear equations backwards. (Radul, Paszke, Frostig, Johnson, Maclaurin: "You Only Linearize Once",
POPL 2023.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ir.core import Eqn, Function, Value
from ir.errors import DifferentiationError, TracerError
from ir.op import Builder, Linear, Tangents, building, current_builder
from ir.ops.elementwise import add
from ir.ops.shape import full_like, zeros
from ir.source import Source
from ir.transforms.jvp import push, tangent_params


class LinearBuilder(Builder):
    """A builder that keeps equations which depend on given linear values apart."""

    __slots__ = ("linear", "linear_eqns")

    def __init__(self, linear: Iterable[Value], source: Source | None = None) -> None:
        super().__init__(source)
        self.linear = set(linear)
        self.linear_eqns: list[Eqn] = []

    def append(self, eqn: Eqn) -> None:
        if self.linear.isdisjoint(eqn.operands):
            self.eqns.append(eqn)
        else:
            eqn.source = eqn.source.derived()  # (an equation of a tangent is new here)
            self.linear_eqns.append(eqn)
            self.linear.update(eqn.results)


@dataclass(frozen=True, slots=True)
class Linearized:
    """A function split into its primal program and the linear map at that point.

    Attributes:
      params, eqns, results: the primal program.
      tangent_params: inputs of the linear map, `None` where not asked for.
      linear_eqns: equations of the linear map; they use primal values as constants.
      tangent_results: its outputs, `None` where zero.
    """

    params: tuple[Value, ...]
    eqns: tuple[Eqn, ...]
    results: tuple[Value, ...]
    tangent_params: Tangents
    linear_eqns: tuple[Eqn, ...]
    tangent_results: Tangents


def linearize(function: Function, nonzero: Sequence[bool]) -> Linearized:
    """Linearize with respect to the params where `nonzero`."""
    tangents = tangent_params(function.in_types, nonzero)
    builder = LinearBuilder(t for t in tangents if t is not None)
    with building(builder):
        results, out = push(function, function.params, tangents)
    return Linearized(
        function.params, tuple(builder.eqns), results, tangents, tuple(builder.linear_eqns), out
    )


def pull(
    linear_eqns: Sequence[Eqn],
    linear_inputs: Sequence[Value],
    outputs: Sequence[Value | None],
    cotangents: Sequence[Value | None],
) -> Tangents:
    """Append the transpose of linear equations to the current builder.

    Args:
      linear_inputs: values with respect to which the equations are linear.
      outputs: outputs of the linear map; `None` for zero.
      cotangents: a cotangent for each output; `None` for zero.

    Returns:
      The cotangent of each linear input, `None` for zero.
    """
    builder = current_builder()
    outer_source = builder.source
    ct_of: dict[Value, Value] = {}
    linear = set(linear_inputs)
    for eqn in linear_eqns:
        linear.update(eqn.results)

    def accumulate(value: Value, ct: Value) -> None:
        if ct.type is not value.type:
            raise DifferentiationError(f"a cotangent {ct.type} was computed for a value {value.type}")
        held = ct_of.get(value)
        ct_of[value] = ct if held is None else add(held, ct)

    for output, ct in zip(outputs, cotangents, strict=True):
        if output is not None and ct is not None:
            accumulate(output, ct)
    for eqn in reversed(linear_eqns):
        cts = tuple([ct_of.pop(r, None) for r in eqn.results])
        if not any(cts):
            continue
        builder.source = eqn.source.within(outer_source).derived()
        first = len(builder.eqns)
        rule = eqn.op.transpose
        if rule is None:
            raise DifferentiationError(f"{eqn.op.name} has no transpose rule", source=eqn.source)
        operands = tuple([Linear(v.type) if v in linear else v for v in eqn.operands])
        try:
            outs = rule(cts, operands, **eqn.attrs)
            for value, out in zip(eqn.operands, outs, strict=True):
                if out is not None and value in linear:
                    accumulate(value, out)
        except TracerError as error:
            error.source = error.source or eqn.source
            raise
        for made in builder.eqns[first:]:  # rules of custom functions have lines of their own
            made.source = made.source.derived()
    builder.source = outer_source
    return tuple([ct_of.get(v) for v in linear_inputs])


def _or_zeros(cts: Tangents, likes: Sequence[Value]) -> tuple[Value, ...]:
    return tuple([zeros(v.type) if ct is None else ct for ct, v in zip(cts, likes, strict=True)])


def vjp(function: Function, nonzero: Sequence[bool], seeded: Sequence[bool]) -> Function:
    """The program (params, cotangents of the seeded results) -> (results, cotangents of params).

    Args:
      nonzero: params whose cotangents are wanted.
      seeded: results that get a cotangent; the others have zero.
    """
    split = linearize(function, nonzero)
    seeds = tuple([Value(r.type) if s else None for r, s in zip(function.results, seeded, strict=True)])
    wrt = tuple([t for t in split.tangent_params if t is not None])
    builder = Builder()
    with building(builder):
        cts = _or_zeros(pull(split.linear_eqns, wrt, split.tangent_results, seeds), wrt)
    params = (*function.params, *[s for s in seeds if s is not None])
    eqns = (*split.eqns, *builder.eqns)
    return Function(params, eqns, (*split.results, *cts), f"vjp_{function.name}")


def _source(eqns: Sequence[Eqn], value: Value) -> Source | None:
    """The line of the derivative with respect to a value, if an equation makes that."""
    return next((eqn.source.derived() for eqn in reversed(eqns) if value in eqn.results), None)


def value_and_grad(function: Function, nonzero: Sequence[bool]) -> Function:
    """params -> (results, gradients of the first result, which must be a scalar)."""
    split = linearize(function, nonzero)
    out = split.results[0]
    if out.type.shape != () or not out.type.dtype.is_inexact:
        raise DifferentiationError(f"expected a float scalar to differentiate, got {out.type}")
    wrt = tuple([t for t in split.tangent_params if t is not None])
    builder = Builder(_source(split.eqns, out))
    with building(builder):
        seed = full_like(out, 1)
        builder.source = None
        rest = [None] * (len(split.results) - 1)
        cts = _or_zeros(pull(split.linear_eqns, wrt, split.tangent_results, (seed, *rest)), wrt)
    return Function(
        function.params, (*split.eqns, *builder.eqns), (*split.results, *cts), f"grad_{function.name}"
    )


def free_values(eqns: Sequence[Eqn], results: Sequence[Value], bound: Iterable[Value]) -> tuple[Value, ...]:
    """Values used by the equations or returned, but neither bound nor defined there; in order."""
    known = set(bound)
    free: dict[Value, None] = {}
    for eqn in eqns:
        for v in eqn.operands:
            if v not in known:
                free.setdefault(v)
        known.update(eqn.results)
    for v in results:
        if v not in known:
            free.setdefault(v)
    return tuple(free)


def split_linearize(function: Function, nonzero: Sequence[bool]) -> tuple[Function, Function, int]:
    """(forward, tangent map, number of residuals).

    forward: params -> (results, residuals). tangent map: (residuals, tangents) -> tangents of the
    float and complex results.
    """
    split = linearize(function, nonzero)
    tangents = tuple([t for t in split.tangent_params if t is not None])
    builder = Builder()
    with building(builder):
        outs = tuple(
            [
                zeros(r.type) if t is None else t
                for r, t in zip(split.results, split.tangent_results, strict=True)
                if r.type.dtype.is_inexact
            ]
        )
    eqns = (*split.linear_eqns, *builder.eqns)
    residuals = free_values(eqns, outs, tangents)
    forward = Function(function.params, split.eqns, (*split.results, *residuals), f"fwd_{function.name}")
    tangent_map = Function((*residuals, *tangents), eqns, outs, f"lin_{function.name}")
    return forward, tangent_map, len(residuals)


def split_vjp(
    function: Function, nonzero: Sequence[bool], seeded: Sequence[bool]
) -> tuple[Function, Function, int]:
    """(forward, backward, number of residuals).

    forward: params -> (results, residuals). backward: (residuals, cotangents of the seeded
    results) -> cotangents of the params where `nonzero`.
    """
    joint = vjp(function, nonzero, seeded)
    count = len(function.results)
    # The backward part is what depends on a seed: sort the joint program by that.
    seeds = joint.params[len(function.params) :]
    builder = LinearBuilder(seeds)
    for eqn in joint.eqns:
        builder.append(eqn)
    cts = joint.results[count:]
    backward_eqns = list(builder.linear_eqns)
    residuals = free_values(backward_eqns, cts, seeds)
    forward = Function(
        function.params, tuple(builder.eqns), (*joint.results[:count], *residuals), f"fwd_{function.name}"
    )
    backward = Function((*residuals, *seeds), tuple(backward_eqns), cts, f"bwd_{function.name}")
    return forward, backward, len(residuals)


def transpose(function: Function, linear: Sequence[bool], seeded: Sequence[bool]) -> Function:
    """Transpose a function that is linear in some params.

    Args:
      linear: params in which the function is linear.
      seeded: results that get a cotangent.

    Returns:
      The program (other params, cotangents of seeded results) -> cotangents of linear params.
    """
    inputs = tuple([p for p, is_linear in zip(function.params, linear, strict=True) if is_linear])
    others = tuple([p for p, is_linear in zip(function.params, linear, strict=True) if not is_linear])
    sorted_ = LinearBuilder(inputs)
    for eqn in function.eqns:
        sorted_.append(eqn)
    seeds = tuple([Value(r.type) if s else None for r, s in zip(function.results, seeded, strict=True)])
    outputs = tuple([r if r in sorted_.linear else None for r in function.results])
    return _transposed(function, others, sorted_, inputs, outputs, seeds)


def transpose_map(function: Function, linear: Sequence[bool]) -> Function:
    """`transpose` of a function that is linear as a whole, for all its results.

    It may compute a derivative together with the primal values, as the JVP of a loop does.
    """
    from ir.transforms.parting import parted

    others = tuple([p for p, is_linear in zip(function.params, linear, strict=True) if not is_linear])
    tangents = tangent_params(function.in_types, linear)
    inputs = tuple([t for t in tangents if t is not None])
    sorted_ = LinearBuilder(inputs)
    with building(sorted_):
        found = parted(function, function.params, tangents, 0)
    if found is None:
        return transpose(function, linear, [True] * len(function.results))
    seeds = tuple([Value(t) for t in function.out_types])
    return _transposed(function, others, sorted_, inputs, found[1], seeds)


def _transposed(
    function: Function, others: tuple[Value, ...], sorted_: LinearBuilder, inputs: tuple[Value, ...],
    outputs: Tangents, seeds: Tangents,
) -> Function:  # fmt: skip
    builder = Builder()
    with building(builder):
        cts = _or_zeros(pull(sorted_.linear_eqns, inputs, outputs, seeds), inputs)
    params = (*others, *[s for s in seeds if s is not None])
    return Function(params, (*sorted_.eqns, *builder.eqns), cts, f"transpose_{function.name}")
