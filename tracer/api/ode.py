"""`odeint`: initial value problems, differentiated through the steps or by the adjoint equation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ir.errors import ArgumentError, ArgumentTypeError
from tracer.api.adjoint_ode import solve
from tracer.api.arguments import function_name, tree_flatten, tree_unflatten
from tracer.api.conform import conformed
from tracer.api.dopri import Options, integrate
from tracer.api.implicit import _inlined, _Like
from tracer.numpy.dispatch import lift
from tracer.state import state
from tracer.trace import trace_flat
from tracer.value import Tensor

_ADJOINTS = ("discrete", "continuous")


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *args: Any,
    rtol: float = 1.4e-8,
    atol: float = 1.4e-8,
    mxstep: float = math.inf,
    hmax: float = math.inf,
    adjoint: str = "discrete",
) -> Any:
    """The solution of dy/dt = func(y, t, *args) from `y0` at `t[0]`, at all times `t`; as JAX's function of this name.

    Steps of the Runge-Kutta pair of Dormand and Prince (1980) of orders 5 and 4 adapt to the tolerances; times in
    between are interpolated to order 4 (Shampine 1986).

    The result has derivatives by `y0`, `t`, `args` and by traced values that `func` closes over, of any order, in
    forward and in reverse mode:

    * "discrete": of the very steps that were taken, as the program says. Reverse mode keeps some of the steps and
      takes those in between again, as `while_loop` does. The sizes of the steps count as given.
    * "continuous": the adjoint equation is solved backwards in time, by the same method to the same
      tolerances (Chen et al. 2018). It keeps the results alone, and its gradient is that of the result up to the
      tolerances. As the state is integrated backwards too, problems that forget their past fast make it
      inaccurate; more times in `t` help.

    Args:
      func: `(y, t, *args) -> dy/dt`, of the structure, shapes and dtypes of `y0`.
      y0: pytree of floating point or complex arrays.
      t: floating point array of shape (T,), T >= 1, increasing or decreasing throughout; that it does is not
        checked. Accuracy in time is that of its dtype.
      args: pytrees of arrays.
      rtol, atol: the error of a step is at most `atol + rtol * abs(y)`, in the root of the mean square of all
        elements.
      mxstep: the most steps between two times; the next ones go on from there.
      hmax: the largest step, in units of `t`.

    Returns:
      Pytree like `y0`, with a leading axis of T. It is nan at times that were not reached: after `mxstep` steps, or
      where `func` gives nan for however small a step. Derivatives of such elements are zero if they are discrete;
      continuous ones are nan altogether.

    Raises:
      ArgumentTypeError: `t` is no floating point array of one axis; `y0` is not floating point; `func` returns
        another structure or other types, with the name of the leaf.
      ArgumentError: no times; options outside their range.

    Examples:
      >>> decay = lambda y, t, k: -k * y
      >>> last = lambda k: tr.odeint(decay, 1.0, np.float32([0, 1]), k, rtol=1e-6, atol=1e-6)[-1]
      >>> print(f"{last(0.5):.4f} {tr.grad(last)(0.5):.4f}")  # exp(-k), -exp(-k)
      0.6065 -0.6065
    """
    options = _options(rtol, atol, mxstep, hmax)
    if adjoint not in _ADJOINTS:
        raise ArgumentError(f"odeint: expected adjoint to be one of {_ADJOINTS}, got {adjoint!r}")
    if state.trace is None:
        from tracer.api.jacobians import _one_program

        def whole(y0: Any, t: Any, args: Any) -> Any:
            return odeint(func, y0, t, *args, rtol=rtol, atol=atol, mxstep=mxstep, hmax=hmax, adjoint=adjoint)

        return _one_program(whole)(y0, t, args)
    ts = lift(t)
    if len(ts.shape) != 1 or not ts.value.type.dtype.kind == "float":
        raise ArgumentTypeError(
            f"odeint: expected t to be a floating point array of one axis, got {ts.value.type}"
        )
    if not ts.shape[0]:
        raise ArgumentError("odeint: expected at least one time, got none")
    like = _Like("odeint", y0)
    trace = state.trace
    begin = [Tensor(trace, v, False) for v in like.values]
    arg_leaves, arg_tree = tree_flatten(args)
    extras = [lift(x) for x in arg_leaves]
    n = like.count

    def flat(*leaves: Any) -> Any:
        y, time, rest = leaves[:n], leaves[n], leaves[n + 1 :]
        return func(like.tree_of(y), time, *tree_unflatten(arg_tree, rest))

    types = [*like.types, ts.value.type.with_shape(()), *[x.value.type for x in extras]]
    weak = [*[False] * (n + 1), *[x.weak for x in extras]]
    traced = trace_flat(flat, types, weak, name=function_name(func))
    constants = [*[trace.lift(x) for x in traced.captures], *extras]
    # The constants first: what the function closes over, then the arguments.
    count = len(traced.captures)
    slopes = conformed("odeint", traced, like.tree, like.types)
    params = slopes.params
    variables = params[count : count + n + 1]
    field = slopes.replace(params=(*params[:count], *params[count + n + 1 :], *variables))
    if adjoint == "continuous":
        return like.tree_of(solve(field, constants, begin, ts, options))

    def slope(y: Any, time: Any) -> Any:
        return _inlined(field, (*constants, *y, time))

    return like.tree_of(integrate(slope, begin, ts, options, differentiable=True))


def _options(rtol: Any, atol: Any, mxstep: Any, hmax: Any) -> Options:
    numbers = {"rtol": rtol, "atol": atol, "mxstep": mxstep, "hmax": hmax}
    for name, x in numbers.items():
        if isinstance(x, (str, bytes)) or not hasattr(x, "__float__"):
            raise ArgumentTypeError(f"odeint: expected {name} to be a number, got {type(x).__name__}")
    values = {name: float(x) for name, x in numbers.items()}
    for name in ("rtol", "atol"):
        if not 0 <= values[name] < math.inf:
            raise ArgumentError(f"odeint: expected {name} >= 0, got {numbers[name]!r}")
    if not values["mxstep"] >= 1 or (values["mxstep"] != math.inf and values["mxstep"] % 1):
        raise ArgumentError(f"odeint: expected mxstep to be a positive int or inf, got {mxstep!r}")
    if not values["hmax"] > 0:
        raise ArgumentError(f"odeint: expected hmax > 0, got {hmax!r}")
    return Options(**values)


__all__ = ["odeint"]
