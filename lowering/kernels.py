"""Loops that XLA's CPU back end compiles to one kernel.

An iteration of a small loop takes longer to start its kernels than to run them. XLA makes one kernel of a whole loop
where an iteration reads and writes little: less than 64 KiB since JAX 0.12, less than 1 KiB before, which is a handful
of short vectors. For the earlier versions such loops are marked here, as XLA marks them itself
(`xla/service/cpu/small_while_loop_hoisting_pass.cc`). Inside of such a kernel no library can be called, so a loop is
marked only where each of its ops is known to need none, and only where nobody transforms it any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import jax
from jax import lax
from jax.custom_batching import custom_vmap
from jax.experimental.xla_metadata import set_xla_metadata

import ir
from ir.core import Eqn, Function, Value
from ir.cost import eqn_cost
from ir.machine import CPU, current
from ir.ops.cond import cond
from ir.ops.loops import scan
from ir.ops.while_loop import while_loop
from ir.types import f32, f64
from lowering.small_products import extents, is_sum, needs_no_library

# XLA marks them itself since then.
_MARKS = jax.__version_info__ < (0, 12)
# Elements of an array that an iteration works on; XLA leaves sums of 4,096 numbers to a library.
_LARGEST = 1 << 11
# Those of what is cut and put together along several axes: larger ones are written by vectors only in kernels of
# their own (stencils on grids of 16 to 44 squared took 1.3 to 1.9 times as long in one kernel).
_LARGEST_MOVED = 1 << 7
# Operations of an iteration; more take so long that starting kernels does not count, and XLA shares them among threads.
_MOST = 1 << 18
# LLVM's time for a kernel grows with the square of its length, counted as the elements of all results, at most so many
# of each: it unrolls short vectors and writes a loop for long ones. Up to this length kernels of their own took as
# long to compile (100 operations on vectors of 16, 1,200 on numbers) and 1.1 to 30 times as long to run.
_LONGEST = 1200
_LONG_VECTOR = 12
# Bytes of an iteration which XLA sees to itself.
_SMALLEST = 512
_OF_ITSELF = 1 << 10 if _MARKS else 1 << 16
# Iterations of a loop for which its kernels are worth a thought.
_FEWEST = 4

# Ops that XLA writes itself: those of each element by itself, but for the series and those below.
_WRITTEN = frozenset(
    {"argmax", "argmin", "assume", "bitcast_convert", "broadcast_in_dim", "concatenate", "constant"}
    | {"cummax", "cummin", "cumprod", "cumsum", "dynamic_slice", "dynamic_update_slice", "gather", "iota"}
    | {"pad", "random_bits", "random_fold_in", "random_split", "reduce_and", "reduce_max", "reduce_min"}
    | {"reduce_or", "reduce_prod", "reduce_sum", "reduce_xor", "reshape", "rev", "slice", "transpose"}
)
# (Loops themselves.)
_SERIES = frozenset({"igamma", "igammac", "igamma_grad_a", "polygamma", "random_gamma_grad", "zeta"}) | {
    "regularized_incomplete_beta"
}
# Those of a part of an operand, which may have any size.
_READERS = frozenset({"slice", "dynamic_slice", "gather"})
_MOVERS = frozenset({"concatenate", "dynamic_slice", "dynamic_update_slice", "pad", "slice"})
# Ops that become many operations, about so many.
_LENGTHS = dict.fromkeys(
    ("threefry2x32", "random_bits", "random_fold_in", "random_split"), 60
) | dict.fromkeys(("erf_inv", "lgamma", "digamma", "bessel_i0e", "bessel_i1e"), 20)
# Calls, whose functions belong to the kernel.
_CALLS = frozenset({"call", "fused", "custom_jvp_call", "custom_vjp_call"})

_FINAL: ContextVar[bool] = ContextVar("final", default=False)
_PORTABLE: ContextVar[bool] = ContextVar("portable", default=False)


@contextmanager
def _set(variable: ContextVar[bool], value: bool) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def emitting_for_good() -> AbstractContextManager[None]:
    """What is emitted meanwhile is compiled as it is: JAX may make batches of it, but differentiates none of it."""
    return _set(_FINAL, True)


def for_any_platform() -> AbstractContextManager[None]:
    """What is emitted meanwhile may be compiled for another device than the one at hand."""
    return _set(_PORTABLE, True)


def has_small_loops(function: Function) -> bool:
    """Whether `function` has loops that become one kernel, in itself or in a function of its equations."""
    if not _are_marked():
        return False
    stack = [function]
    while stack:
        for eqn in stack.pop().eqns:
            if (eqn.op is scan or eqn.op is while_loop) and _is_small(*_loop(eqn)):
                return True
            stack.extend(ir.nested_functions(eqn))
    return False


def is_one_kernel(eqn: Eqn) -> bool:
    """Whether an equation is a loop that becomes one kernel on the device at hand, by our marks or XLA's own."""
    if not (eqn.op is scan or eqn.op is while_loop) or current() is not CPU or jax.device_count() != 1:
        return False
    functions, length = _loop(eqn)
    if any(_length(f) == math.inf for f in functions):
        return False
    return (_MARKS and _is_small(functions, length)) or sum(map(_nbytes, functions)) < _OF_ITSELF


def _loop(eqn: Eqn) -> tuple[list[Function], float]:
    """What a loop runs, and how often, infinite where that is not known."""
    return list(ir.nested_functions(eqn)), eqn.attrs.get("length", math.inf)


def as_loop(
    run: Callable[..., tuple[Any, ...]],
    operands: Sequence[Any],
    functions: Sequence[Function],
    length: float = math.inf,
) -> tuple[Any, ...]:
    """`run(*operands)`, a loop over these functions; as one kernel, where that is small and may be.

    Args:
      length: iterations, if they are known.
    """
    if not (_FINAL.get() and _are_marked() and _is_small(functions, length)):
        return run(*operands)

    def inside(*xs: Any) -> tuple[Any, ...]:
        inner = set_xla_metadata(inlineable="true", xla_cpu_small_call="false")  # type: ignore[no-untyped-call]
        with _set(_FINAL, False), inner:
            return (*run(*xs), *_used(xs))

    @custom_vmap
    def loop(*xs: Any) -> tuple[Any, ...]:
        xs = lax.optimization_barrier(xs)  # type: ignore[no-untyped-call]
        with set_xla_metadata(inlineable="false", xla_cpu_small_call="true"):  # type: ignore[no-untyped-call]
            return tuple(jax.jit(inside)(*xs))

    @loop.def_vmap
    def _(size: int, batched: Sequence[bool], *xs: Any) -> Any:
        axes = tuple([0 if b else None for b in batched])
        outs = jax.vmap(lambda *each: (*run(*each), *_used(each)), axes, axis_size=size)(*xs)
        return outs, tuple([True] * len(outs))

    outs = loop(*operands)
    return tuple(outs[: len(outs) - len(operands)])


def _used(xs: Sequence[Any]) -> tuple[Any, ...]:
    """A part of each, for the results of a kernel.

    XLA aborts at a kernel with an operand that is not used. What it simplifies may leave one so; and it moves constants
    into the functions of calls, for which the operands stand behind a barrier.
    """
    parts = [x if x.ndim == 0 else lax.slice(x, (0,) * x.ndim, (1,) * x.ndim) for x in xs]
    return tuple(lax.optimization_barrier(parts))  # type: ignore[no-untyped-call]


def _are_marked() -> bool:
    return _MARKS and not _PORTABLE.get() and current() is CPU and jax.device_count() == 1


def _is_small(functions: Sequence[Function], length: float = math.inf) -> bool:
    """Whether a loop over these functions makes a kernel that compiles, and in no more time than several."""
    if length < _FEWEST:
        return False
    return sum(map(_length, functions)) <= _LONGEST and sum(map(_nbytes, functions)) > _SMALLEST


def _nbytes(function: Function) -> int:
    """Bytes of what an iteration gets and of what it computes."""
    values = [*function.params, *[v for eqn in function.eqns for v in eqn.results]]
    return sum([v.type.size * v.type.dtype.np.itemsize for v in values])


def _length(function: Function) -> float:
    """How long the code of one kernel is; infinite where it cannot be one."""
    found: float | None = function._cache.get("kernel_length")
    if found is None:
        # (What is among the results of the call is copied where it is a carry that XLA updates in place.)
        may_be = all(map(_is_filled, function.params)) and all(
            v.type.size <= _LARGEST for v in function.results
        )
        may_be = may_be and sum(map(_work, function.eqns)) <= _MOST
        length = sum(map(_length_of, function.eqns)) if may_be else math.inf
        found = function._cache["kernel_length"] = length
    return found


def _work(eqn: Eqn) -> int:
    """Operations of an equation, without those of loops in it, which are looked at by themselves."""
    if eqn.op.name in _CALLS:
        return sum(map(_work, eqn.attrs["function"].eqns))
    return 0 if list(ir.nested_functions(eqn)) else eqn_cost(eqn).flops


def _length_of(eqn: Eqn) -> float:
    name, attrs = eqn.op.name, eqn.attrs
    if attrs.get("lanes"):
        return math.inf
    if not all(map(_is_filled, eqn.operands)):
        return math.inf
    if name in _CALLS:
        return _length(attrs["function"])
    if eqn.op is scan or eqn.op is while_loop or eqn.op is cond:
        return sum(map(_length, ir.nested_functions(eqn)))
    if name == "dot_general":
        return _length_of_product(eqn)
    if name not in _WRITTEN and not (eqn.op.elementwise and name not in _SERIES):
        return math.inf
    if name == "dynamic_update_slice":
        worked_on: Sequence[Value] = eqn.operands[1:2]
    elif name in _READERS:
        worked_on = eqn.results
    else:
        worked_on = (*eqn.operands, *eqn.results)
    if not all(map(_fits, worked_on)) or (name in _MOVERS and any(map(_is_large_grid, worked_on))):
        return math.inf
    return _LENGTHS.get(name, 1) * min(max([v.type.size for v in worked_on], default=0), _LONG_VECTOR)


def _is_filled(value: Value) -> bool:
    return value.type.size > 0


def _fits(value: Value) -> bool:
    type_ = value.type
    if type_.dtype.is_float and type_.dtype.bits < 32:
        return False  # every operation would round by itself
    return 0 < type_.size <= _LARGEST


def _is_large_grid(value: Value) -> bool:
    return value.type.size > _LARGEST_MOVED and sum([n > 1 for n in value.type.shape]) > 1


def _length_of_product(eqn: Eqn) -> float:
    lhs, rhs = [v.type for v in eqn.operands]
    attrs = eqn.attrs
    wanted = attrs["preferred_type"]
    if lhs.dtype not in (f32, f64) or rhs.dtype != lhs.dtype or wanted not in (None, lhs.dtype):
        return math.inf
    axes = [attrs[name] for name in ("lhs_contract", "rhs_contract", "lhs_batch", "rhs_batch")]
    batch, rows, summed, columns = extents(lhs.shape, rhs.shape, *axes)
    if batch * rows * summed * columns > _LARGEST * 2:
        return math.inf
    as_sum = wanted is None and is_sum(batch, rows, summed, columns, repeated=True)
    if not (needs_no_library(rows, summed, columns) or as_sum):
        return math.inf
    return float(2 * min(batch * rows * columns, _LONG_VECTOR))


__all__ = ["as_loop", "emitting_for_good", "for_any_platform", "has_small_loops", "is_one_kernel"]
