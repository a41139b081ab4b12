"""The integrator of `odeint`: the pair of Dormand and Prince of orders 5 and 4, with steps that adapt.

Sources. [DP] Dormand and Prince 1980, "A family of embedded Runge-Kutta formulae". [S] Shampine 1986, "Some
practical Runge-Kutta formulas": the midpoint of a step. [HNW] Hairer, Norsett and Wanner 1993, "Solving Ordinary
Differential Equations I", sections II.4 (error control, first step) and II.5.

A state is a list of arrays, times are scalars, steps are signed: they have the direction of time. Nothing that
chooses a step has a derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

import tracer.numpy as tnp
from ir.ops.attempt import attempt
from tracer.api.checkpoint import stop_gradient
from tracer.api.loops import while_loop
from tracer.api.scan import scan
from tracer.numpy.dispatch import convert
from tracer.state import state
from tracer.trace import trace_flat
from tracer.value import Tensor

State = list[Tensor]
Field = Callable[[State, Tensor], State]

# [DP] table 2. Stage i is at t + NODES[i] h and weighs the slopes so far by STAGES[i]; the last is the result.
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
# The result of order 5 less that of order 4.
ERROR = (
    35 / 384 - 1951 / 21600, 0.0, 500 / 1113 - 22642 / 50085, 125 / 192 - 451 / 720,
    -2187 / 6784 + 12231 / 42400, 11 / 84 - 649 / 6300, -1 / 60,
)  # fmt: skip
# [S] the state in the middle of a step, of order 4.
MIDDLE = (
    6025192743 / 30085553152 / 2, 0.0, 51252292925 / 65400821598 / 2, -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2, -1776094331 / 19743644256 / 2, 11237099 / 235043384 / 2,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """How to integrate; see `odeint`."""

    rtol: float
    atol: float
    mxstep: float
    hmax: float


@dataclass(frozen=True, slots=True)
class Step:
    """The last step: states and slopes at both ends, the state in its middle, and where it lies.

    Attributes:
      t, begin: its end and its beginning, both the first time where there was none yet.
      h: the next step to try.
    """

    y: State
    f: State
    t: Tensor
    h: Tensor
    begin: Tensor
    old_y: State
    old_f: State
    middle: State

    def leaves(self) -> tuple[Any, ...]:
        return self.y, self.f, self.t, self.h, self.begin, self.old_y, self.old_f, self.middle


def integrate(field: Field, y0: State, ts: Tensor, options: Options, *, differentiable: bool) -> State:
    """The states at all times `ts`, stacked on a leading axis; nan where they were not reached.

    Args:
      field: (y, t) -> dy/dt, of the types of y.
      ts: strictly monotonic times, of shape (T,) with T >= 1.
      differentiable: derivatives are taken through the steps, so that rejected ones must not spoil them.
    """
    first, last = ts[0], ts[-1]
    forwards = last >= first
    f0 = field(y0, first)
    size = stop_gradient(_first_step(field, y0, first, f0, options, forwards))
    start = Step(y0, f0, first, _signed(size, forwards), first, y0, f0, y0)

    def to_output(carry: Any, target: Tensor) -> Any:
        step = _advance(field, Step(*carry), target, forwards, options, differentiable)
        reached = _not_before(step.t, target, forwards)
        # Not as a factor: what was not reached and is not used must not make derivatives nan.
        return step.leaves(), [tnp.where(reached, y, np.nan) for y in _interpolated(step, target)]

    _, ys = scan(to_output, start.leaves(), ts[1:])
    return [tnp.concatenate([a[None], b]) for a, b in zip(y0, ys, strict=True)]


def _signed(size: Any, forwards: Tensor) -> Any:
    return tnp.where(forwards, size, -size)


def _not_before(a: Tensor, b: Tensor, forwards: Tensor) -> Any:
    return tnp.where(forwards, a >= b, a <= b)


def _advance(
    field: Field, step: Step, target: Tensor, forwards: Tensor, options: Options, differentiable: bool
) -> Step:
    """Steps until the last one reaches `target`, there are too many, or they become too small to move on."""

    def goes_on(s: Any) -> Any:
        count, (_, _, t, h, *_) = s
        short = tnp.where(forwards, t < target, t > target)
        # False where h is nan, or so small that t stays: the error cannot be met.
        moves = tnp.where(forwards, t + h > t, t + h < t)
        on = short & moves
        return on if options.mxstep == np.inf else on & (count < int(options.mxstep))

    def advance(s: Any) -> Any:
        count, carry = s
        old = Step(*carry)
        accepted, h, y, f, middle = _try(field, old, options, differentiable)
        t = old.t + old.h
        # After a success the next step is no smaller than what moves t.
        least = _signed(16 * _eps(t) * tnp.abs(t), forwards)
        h = tnp.where(accepted & (tnp.abs(h) < tnp.abs(least)), least, h)
        new = Step(y, f, t, h, old.t, old.y, old.f, middle)
        kept = [
            tnp.where(accepted, a, b)
            if type(a) is Tensor
            else [tnp.where(accepted, u, v) for u, v in zip(a, b, strict=True)]
            for a, b in zip(new.leaves(), old.leaves(), strict=True)
        ]
        kept[3] = stop_gradient(h)
        return count + 1, tuple(kept)

    _, carry = while_loop(goes_on, advance, (np.int32(0), step.leaves()))
    return Step(*carry)


def _try(
    field: Field, step: Step, options: Options, differentiable: bool
) -> tuple[Tensor, Tensor, State, State, State]:
    """One step: (accepted, the next one's size, new state, its slope, state in the middle)."""
    if not differentiable:
        return _formulas(field, step.y, step.f, step.t, step.h, options)
    n = len(step.y)
    operands = [*step.y, *step.f, step.t, step.h]

    def flat(*xs: Tensor) -> Any:
        accepted, h, *parts = _formulas(field, list(xs[:n]), list(xs[n : 2 * n]), xs[-2], xs[-1], options)
        return accepted, h, *[x for part in parts for x in part]

    traced = trace_flat(flat, [x.value.type for x in operands], [False] * len(operands), name="step")
    trace = state.trace
    assert trace is not None
    values = [trace.lift(x).value for x in (*traced.captures, *operands)]
    accepted, h, *rest = [Tensor(trace, v, False) for v in attempt(values, traced.function)]
    return accepted, h, rest[:n], rest[n : 2 * n], rest[2 * n :]


def _formulas(
    field: Field, y: State, f: State, t: Tensor, h: Tensor, options: Options
) -> tuple[Tensor, Tensor, State, State, State]:
    slopes, new = [f], y
    for node, weights in zip(NODES, STAGES, strict=True):
        new = _moved(y, h, weights, slopes)
        slopes.append(field(new, t + node * h))
    error = _moved([tnp.zeros_like(x) for x in y], h, ERROR, slopes)
    ratio = stop_gradient(_norm(error, y, new, options, t))
    h = stop_gradient(h)
    # [HNW] II.4.13: the factor is at least 0.2, 1 after a success, and at most 10. A ratio that is no number
    # means that the step led where the field is not defined.
    least = tnp.where(ratio < 1, 1.0, 0.2)
    factor = tnp.minimum(10.0, tnp.maximum(0.9 * ratio**-0.2, least))
    size = h * tnp.where(ratio < np.inf, factor, 0.2).astype(h.dtype)
    return (
        ratio <= 1,
        tnp.clip(size, -options.hmax, options.hmax),
        new,
        slopes[-1],
        _moved(y, h, MIDDLE, slopes),
    )


def _moved(y: State, h: Tensor, weights: Sequence[float], slopes: Sequence[State]) -> State:
    """y + h (the weighted sum of slopes), leaf by leaf."""
    out = []
    for k, x in enumerate(y):
        terms = [w * slope[k] for w, slope in zip(weights, slopes, strict=True) if w]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        out.append(x + convert(h, x.value.type.dtype) * total)
    return out


def _norm(x: State, a: State, b: State, options: Options, like: Tensor) -> Any:
    """The root of the mean square of x, in units of the tolerance at the larger of a and b ([HNW] II.4.11)."""
    total, count = tnp.zeros_like(like), 0
    for e, u, v in zip(x, a, b, strict=True):
        unit = options.atol + options.rtol * tnp.maximum(tnp.abs(u), tnp.abs(v))
        square = tnp.sum((tnp.abs(e) / unit) ** 2)
        total = total + square.astype(like.dtype)
        count += e.size
    return tnp.sqrt(total / max(1, count))


def _first_step(field: Field, y: State, t: Tensor, f: State, options: Options, forwards: Tensor) -> Any:
    """The size of the first step ([HNW] II.4, "Starting step size")."""
    y, f, t = stop_gradient((y, f, t))

    def norm(x: State) -> Any:
        return _norm(x, y, y, options, t)

    d0, d1 = norm(y), norm(f)
    small = (d0 < 1e-5) | (d1 < 1e-5)
    h0 = tnp.where(small, 1e-6, 0.01 * d0 / tnp.where(small, 1.0, d1))
    step = _signed(h0, forwards)
    slope = field(_moved(y, step, (1.0,), [f]), t + step)
    d2 = norm([a - b for a, b in zip(slope, f, strict=True)]) / h0
    most = tnp.maximum(d1, d2)
    flat = most <= 1e-15
    h1 = tnp.where(flat, tnp.maximum(1e-6, 1e-3 * h0), (0.01 / tnp.where(flat, 1.0, most)) ** 0.2)
    # The probe may have left the domain of the field: then h0 alone.
    h = tnp.where(h1 < np.inf, tnp.minimum(100 * h0, h1), h0)
    return tnp.minimum(tnp.maximum(h, 16 * _eps(t) * tnp.abs(t)), options.hmax)


def _eps(t: Tensor) -> float:
    return float(jnp.finfo(t.dtype).eps)  # type: ignore[no-untyped-call]


def _interpolated(step: Step, target: Tensor) -> State:
    """The state at a time within the last step: the polynomial of order 4 through what is known of it ([S])."""
    width, elapsed = step.t - step.begin, target - step.begin
    # No step was taken where the first times are equal.
    none = width == 0
    at = elapsed / tnp.where(none, 1.0, width)
    out = []
    for y0, y1, middle, f0, f1 in zip(step.old_y, step.y, step.middle, step.old_f, step.f, strict=True):
        h, x, dt = [convert(v, y0.value.type.dtype) for v in (width, at, elapsed)]
        a = -2 * h * f0 + 2 * h * f1 - 8 * y0 - 8 * y1 + 16 * middle
        b = 5 * h * f0 - 3 * h * f1 + 18 * y0 + 14 * y1 - 32 * middle
        c = -4 * h * f0 + h * f1 - 11 * y0 - 5 * y1 + 16 * middle
        out.append(y0 + dt * f0 + x * x * (c + x * (b + x * a)))
    return out
