"""Solutions of differential equations whose derivatives solve differential equations, too.

With dy/dt = f(y, t, c) and the states y_i at times t_i, a change of y_0, of c and of the times gives

    dv/dt = (df/dy) v + (df/dc) dc,    v(t_0) = dy_0 - f_0 dt_0,    dy_i = v(t_i) + f_i dt_i

and the transpose of this map, for cotangents g_i of y_i, integrates backwards, with a jump by g_i at t_i,

    dl/dt = -(df/dy)^T l,    dm/dt = -(df/dc)^T l,    g_i^T f_i is the cotangent of t_i, -l(t_0)^T f_0 that of t_0

(Pontryagin et al. 1962; Chen, Rubanova, Bettencourt and Duvenaud 2018, appendices B and C). The states that the way
back needs start at y_i for every interval, so that nothing but the results is kept. Both maps are made of
solutions like this one, and so have derivatives of every order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tracer.numpy as tnp
from ir import transforms
from ir.core import Function, Opaque, Value
from ir.op import build, inline
from ir.ops.arithmetic import neg
from ir.ops.calls import Rule, custom_jvp_call
from ir.ops.carries import at
from ir.ops.linear_call import linear_call
from ir.ops.shape import zeros
from ir.transforms.jvp import push
from ir.types import TensorType
from tracer.api.dopri import Options, integrate
from tracer.api.implicit import _inlined
from tracer.api.scan import scan
from tracer.numpy.dispatch import convert
from tracer.state import state
from tracer.trace import trace_flat
from tracer.value import Tensor

Tensors = Sequence[Tensor]


class OdeRule(Rule):
    """The derivative of a solution.

    Attributes:
      field: (constants, y, t) -> dy/dt.
      num_constants: how many constants the field takes.
      options: of the integrator.
      moves: which of (constants, y0, times) have tangents.
    """

    def __init__(
        self, field: Function, num_constants: int, options: Options, moves: tuple[bool, ...] | None = None
    ) -> None:
        super().__init__("odeint", self._traced)
        self.field = field
        self.num_constants = num_constants
        self.options = options
        inexact = tuple([t.dtype.is_inexact for t in field.in_types])
        self.moves = inexact if moves is None else moves

    def moving(self, moves: tuple[bool, ...]) -> OdeRule:
        if moves == self.moves:
            return self
        return OdeRule(self.field, self.num_constants, self.options, moves)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OdeRule) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash((OdeRule, self._parts))

    @property
    def _parts(self) -> tuple[Any, ...]:
        return self.field, self.num_constants, self.options, self.moves

    def _traced(self, types: Sequence[TensorType]) -> Function:
        """(constants, y0, times, tangents of those that may have some) -> (states, their tangents)."""
        n, count = self.num_constants, len(types)
        inexact = at([t.dtype.is_inexact for t in types])
        maps = _Maps(self, types)
        body = _solver(self.field, n, self.options, types)
        jvp = Opaque("odeint", OdeRule(self.field, n, self.options))

        def rule(*values: Value) -> Sequence[Value]:
            operands = values[:count]
            given = dict(zip(inexact, values[count:], strict=True))
            ys = _tuple(custom_jvp_call(*operands, function=body, jvp=jvp))
            residuals = (*operands[:n], *ys, operands[-1])
            dys = linear_call(
                *residuals,
                *[given[k] for k in at(self.moves)],
                function=maps.forward(),
                transpose=maps.backward(),
                num_residuals=len(residuals),
            )
            return (*ys, *_tuple(dys))

        return build([*types, *[types[k] for k in inexact]], rule, "jvp_odeint")


def solve(field: Function, constants: Tensors, y0: Tensors, ts: Tensor, options: Options) -> list[Tensor]:
    """The states at all times, recorded as one call with the derivative above.

    Args:
      field: (constants, y, t) -> dy/dt.
    """
    trace = state.trace
    assert trace is not None
    values = [trace.lift(x).value for x in (*constants, *y0, ts)]
    n = len(constants)
    body = _solver(field, n, options, [v.type for v in values])
    rule = Opaque("odeint", OdeRule(field, n, options))
    outs = trace.emit(custom_jvp_call, tuple(values), {"function": body, "jvp": rule})
    return [Tensor(trace, v, False) for v in outs]


def _solver(field: Function, n: int, options: Options, types: Sequence[TensorType]) -> Function:
    """(constants, y0, times) -> states."""

    def program(*xs: Tensor) -> list[Tensor]:
        constants, y0, ts = xs[:n], list(xs[n:-1]), xs[-1]

        def slope(y: Any, t: Any) -> Any:
            return _inlined(field, (*constants, *y, t))

        return integrate(slope, y0, ts, options, differentiable=False)

    return _recorded(program, types, "odeint")


class _Maps:
    """The linear maps of a solution's tangents and cotangents, as functions.

    The residuals are (constants, states at all times, times), the tangents those that move.
    """

    def __init__(self, rule: OdeRule, types: Sequence[TensorType]) -> None:
        self.rule = rule
        self.n = n = rule.num_constants
        self.field = rule.field
        self.count = len(types) - n - 1
        self.constants, self.y0, self.times = list(types[:n]), list(types[n:-1]), types[-1]
        length = self.times.shape[0]
        self.ys = [t.with_shape((length, *t.shape)) for t in self.y0]
        self.residuals = [*self.constants, *self.ys, self.times]
        self.moving_constants = list(rule.moves[:n])
        self.moving_y0 = list(rule.moves[n:-1])
        self.time_moves = rule.moves[-1]
        flags = [*[False] * n, *[True] * (self.count + 1)]
        self.slopes = transforms.batch(self.field, flags, length, all_results=True)[0]

    def forward(self) -> Function:
        """(residuals, tangents) -> tangents of the states at all times."""
        tangents = [
            t for t, m in zip((*self.constants, *self.y0, self.times), self.rule.moves, strict=True) if m
        ]

        def program(*xs: Tensor) -> list[Tensor]:
            constants, ys, ts, dx = self._split(xs)
            moved = iter(dx)
            dconstants = [next(moved) for m in self.moving_constants if m]
            y0 = [y[0] for y in ys]
            v0 = [next(moved) if m else tnp.zeros_like(y) for m, y in zip(self.moving_y0, y0, strict=True)]
            dts = next(moved) if self.time_moves else None
            slopes = _inlined(self.slopes, (*constants, *ys, ts)) if dts is not None else []
            if dts is not None:
                v0 = [v - f[0] * convert(dts[0], f.value.type.dtype) for v, f in zip(v0, slopes, strict=True)]
            field = self._tangent_field()
            vs = solve(field, [*constants, *dconstants], [*y0, *v0], ts, self.rule.options)[self.count :]
            if dts is None:
                return vs
            return [v + f * _along(dts, f) for v, f in zip(vs, slopes, strict=True)]

        return _recorded(program, [*self.residuals, *tangents], "tangent_odeint")

    def _tangent_field(self) -> Function:
        """(constants, their tangents, y, v, t) -> slopes of y and v."""
        moving = [t for t, m in zip(self.constants, self.moving_constants, strict=True) if m]
        time = self.field.in_types[-1]

        def field(*values: Value) -> Sequence[Value]:
            constants, rest = values[: self.n], values[self.n :]
            dconstants, (*states, t) = rest[: len(moving)], rest[len(moving) :]
            given = iter(dconstants)
            tangents = [next(given) if m else None for m in self.moving_constants]
            y, v = states[: self.count], states[self.count :]
            slopes, moved = push(self.field, (*constants, *y, t), (*tangents, *v, None))
            return (*slopes, *[zeros(s.type) if d is None else d for s, d in zip(slopes, moved, strict=True)])

        return build([*self.constants, *moving, *self.y0, *self.y0, time], field, "tangent_field")

    def backward(self) -> Function:
        """(residuals, cotangents of the states at all times) -> cotangents of what moves."""
        moving = [k for k, m in enumerate(self.moving_constants) if m]

        def program(*xs: Tensor) -> list[Tensor]:
            constants, ys, ts, gs = self._split(xs)
            field = self._adjoint_field(moving)

            def interval(carry: Any, given: Any) -> Any:
                adjoint, sums = carry
                ends, y, g = given
                adjoint = [a + b for a, b in zip(adjoint, g, strict=True)]
                start = [*y, *adjoint, *sums]
                outs = [x[1] for x in solve(field, constants, start, ends, self.rule.options)]
                return (outs[self.count : 2 * self.count], outs[2 * self.count :]), None

            first = ([tnp.zeros_like(g[0]) for g in gs], [tnp.zeros_like(constants[k]) for k in moving])
            ends = tnp.stack([ts[1:], ts[:-1]], axis=1)
            each = (ends, [y[1:] for y in ys], [g[1:] for g in gs])
            (adjoint, sums), _ = scan(interval, first, each, reverse=True)
            of_y0 = [a + g[0] for a, g, m in zip(adjoint, gs, self.moving_y0, strict=True) if m]
            of_times = [self._of_times(constants, ys, ts, gs, adjoint)] if self.time_moves else []
            return [*sums, *of_y0, *of_times]

        return _recorded(program, [*self.residuals, *self.ys], "adjoint_odeint")

    def _of_times(self, constants: Tensors, ys: Tensors, ts: Tensor, gs: Tensors, adjoint: Tensors) -> Any:
        total: Any = tnp.zeros_like(ts)
        slopes = _inlined(self.slopes, (*constants, *ys, ts))
        for f, g, a in zip(slopes, gs, adjoint, strict=True):
            weights = tnp.concatenate([-a[None], g[1:]])
            product = tnp.real(f * weights)
            total = total + tnp.sum(product, axis=tuple(range(1, product.ndim))).astype(ts.dtype)
        return total

    def _adjoint_field(self, moving: Sequence[int]) -> Function:
        """(constants, y, l, m, t) -> slopes of y, l and m."""
        wanted = [*self.moving_constants, *[True] * self.count, False]
        turned = transforms.vjp(self.field, wanted, [True] * self.count)
        sums = [self.constants[k] for k in moving]

        def field(*values: Value) -> Sequence[Value]:
            constants, (*states, t) = values[: self.n], values[self.n :]
            y, adjoint = states[: self.count], states[self.count : 2 * self.count]
            outs = inline(turned, (*constants, *y, t, *adjoint))
            slopes, cts = outs[: self.count], [neg(x) for x in outs[self.count :]]
            return (*slopes, *cts[len(moving) :], *cts[: len(moving)])

        types = [*self.constants, *self.y0, *self.y0, *sums, self.field.in_types[-1]]
        return build(types, field, "adjoint_field")

    def _split(self, xs: Tensors) -> tuple[list[Tensor], list[Tensor], Tensor, list[Tensor]]:
        n, m = self.n, self.n + self.count
        return list(xs[:n]), list(xs[n:m]), xs[m], list(xs[m + 1 :])


def _along(dts: Tensor, like: Tensor) -> Any:
    """A number for each time, to multiply what is stacked over the times."""
    out = tnp.reshape(dts, (dts.shape[0], *[1] * (like.ndim - 1)))
    return convert(out, like.value.type.dtype)


def _recorded(program: Callable[..., Any], types: Sequence[TensorType], name: str) -> Function:
    """A function of arguments alone."""
    traced = trace_flat(program, types, [False] * len(types), name=name)
    assert not traced.captures
    return traced.function


def _tuple(out: Any) -> tuple[Any, ...]:
    return out if isinstance(out, tuple) else (out,)


__all__ = ["OdeRule", "solve"]
