"""Recording a Python function as an `ir.Function`.

A `Trace` is a builder whose captures are explicit: whatever the function uses from outside (a value
of an enclosing trace, a concrete array) becomes a leading param, remembered in `captures`.
Invariant: the thread's innermost trace is restored on every exit, and a finished trace rejects use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

import ir
from ir.collector import without_collection
from ir.core import EMPTY_ATTRS, Attrs, Dense, Eqn, Value
from ir.errors import ArgumentError, ArgumentTypeError, ConcretizationError, EscapedValueError, TracerError
from ir.op import Builder, Op, building
from ir.ops.shape import constant
from ir.source import UNKNOWN, Source, capture
from ir.types import DType, Shape, TensorType
from tracer.leaves import merged
from tracer.names import name_results
from tracer.state import ACTIVE, state
from tracer.types import canonical, dtype_of, scalar_dtype, type_of
from tracer.value import JaxCallError, Tensor

if TYPE_CHECKING:
    from tracer.bridge import Bridge
    from tracer.concrete import Inputs

# NumPy arrays up to this many bytes become constants of a compiled function, larger ones captures. What an
# un-jitted transform closes over may be new at every call and is captured, whatever its size.
CONSTANT_BYTES = 4096
_PYTHON_SCALARS = frozenset({bool, int, float, complex})
_scalar_constants: dict[tuple[Any, DType], Dense] = {}


class Constants:
    """Which values of a trace follow from none of its arguments, and the equations that make these.

    Attributes:
      made: the equation of each such value.
      moving: the other values.
    """

    __slots__ = ("made", "moving", "seen")

    def __init__(self) -> None:
        self.made: dict[Value, Eqn] = {}
        self.moving: set[Value] = set()
        self.seen = 0

    def read(self, eqns: Sequence[Eqn], args: Sequence[Value]) -> None:
        """Take note of the equations that were recorded since."""
        self.moving.update(args)
        for eqn in eqns[self.seen :]:
            if self.moving.isdisjoint(eqn.operands):
                self.made.update(dict.fromkeys(eqn.results, eqn))
            else:
                self.moving.update(eqn.results)
        self.seen = len(eqns)


class Trace(Builder):
    """Records the equations of one Python function.

    Attributes:
      parent: the enclosing trace of this thread, or what stands for it while JAX traces, if any.
      captures: outer object by id, with the param that stands for it.
      inputs: what the params stand for, where those are known now (an un-jitted transform), so
        that `bool()` of a traced value can be answered; otherwise `None`.
      known: values that were computed to answer such questions.
      numbers: constants of one number by the id of the number, which is kept for good, and their shape.
      embeds: whether small arrays become constants.
      constants: what follows from no argument, as far as that was asked for.
      copies: small arrays that are captured, by id, and what they held then; shared with enclosing traces.
    """

    __slots__ = (
        "active",
        "args",
        "captures",
        "constants",
        "copies",
        "embeds",
        "inputs",
        "known",
        "numbers",
        "parent",
    )
    inherits = False  # the user's code has lines of its own, also where a rule is recorded

    def __init__(
        self, parent: Trace | Bridge | None, inputs: Inputs | None = None, embeds: bool | None = None
    ) -> None:
        # Where an enclosing trace records a rule of our own, so does this one.
        super().__init__(UNKNOWN if isinstance(parent, Trace) and parent.source is UNKNOWN else None)
        self.parent = parent
        self.captures: dict[int, tuple[Any, Value, bool]] = {}
        self.active = True
        self.inputs = inputs
        self.args: tuple[Value, ...] = ()
        self.known: dict[Value, Any] = {}
        self.numbers: dict[tuple[int, Shape], Value] = {}
        self.constants = Constants()
        outer = parent if parent is None or isinstance(parent, Trace) else parent.parent
        self.copies: dict[int, tuple[Any, Any]] = {} if outer is None else outer.copies
        if embeds is None:
            embeds = inputs is None if outer is None else outer.embeds
        self.embeds: bool = embeds

    def emit(self, op: Op, operands: tuple[Value, ...], attrs: Attrs = EMPTY_ATTRS) -> tuple[Value, ...]:
        # The same as Builder.emit, with the source looked up from the user's frame.
        try:
            types = op.infer(tuple([v.type for v in operands]), attrs)
        except TracerError as error:
            if error.source is None:
                error.source = self.source or capture(2)
            raise
        results = tuple([Value(t) for t in types])
        self.eqns.append(Eqn(op, operands, attrs, results, self.source or capture(2)))
        return results

    def emit1(self, op: Op, operands: tuple[Value, ...], attrs: Attrs, weak: bool = False) -> Tensor:
        """`emit` for ops with one result, as a traced value."""
        return Tensor(self, self.emit(op, operands, attrs)[0], weak)

    def lift(self, x: Any) -> Tensor:
        """`x` as a value of this trace.

        Raises:
          EscapedValueError: a traced value whose trace has ended.
          ArgumentTypeError: not an array or number.
        """
        kind = type(x)
        if kind is Tensor:
            if x.owner is self:
                return x  # type: ignore[no-any-return]
            outer = self.parent
            while outer is not x.owner:
                if outer is None:
                    raise escaped(x)
                outer = outer.parent
            return self.captured(x, x.value.type, x.weak)
        if kind in _PYTHON_SCALARS:
            return self.scalar(x, scalar_dtype(kind), (), kind is not bool)
        if hasattr(x, "__jax_array__") and not isinstance(x, jax.Array):
            return self.lift(x.__jax_array__())
        type_, weak = type_of(x)
        if isinstance(x, (np.ndarray, np.generic)) and x.nbytes <= CONSTANT_BYTES:
            if self.embeds or not x.ndim:
                return self.embedded(x, type_, weak)
            x = self._copied(x)
        return self.captured(x, type_, weak)

    def embedded(self, x: Any, type_: TensorType, weak: bool = False) -> Tensor:
        """An array as a constant."""
        dense = Dense(np.array(x, type_.dtype.np), type_.dtype)
        return self.emit1(constant, (), {"value": dense, "shape": type_.shape}, weak)

    def _copied(self, x: Any) -> Any:
        """What `x` holds now: the array may be written before the program runs."""
        found = self.copies.get(id(x))
        if found is None or (found[1] is not x and found[1].tobytes() != x.tobytes()):
            copy = np.array(x)
            found = self.copies[id(x)] = (x, copy)
            self.copies[id(copy)] = (copy, copy)
        return found[1]

    def scalar(self, x: Any, dtype: DType, shape: tuple[int, ...], weak: bool = False) -> Tensor:
        """A constant of `shape` whose elements equal the Python number `x`."""
        # Zeros of both signs compare equal, also as the part of a complex number.
        key = (x, dtype) if x and type(x) is not complex else None
        dense = _scalar_constants.get(key) if key is not None else None
        if dense is None:
            dense = Dense(_number(x, dtype), dtype)
            if key is None or len(_scalar_constants) >= 10_000:
                return self.emit1(constant, (), {"value": dense, "shape": shape}, weak)
            _scalar_constants[key] = dense
        held = self.numbers.get((id(dense), shape))
        if held is None:
            (held,) = self.emit(constant, (), {"value": dense, "shape": shape})
            self.numbers[id(dense), shape] = held
        return Tensor(self, held, weak)

    def captured(self, x: Any, type_: TensorType, weak: bool) -> Tensor:
        """The param that stands for the outer object `x`."""
        held = self.captures.get(id(x))
        if held is None:
            name = x.value.name if type(x) is Tensor else ""
            held = self.captures[id(x)] = (x, Value(type_, name or "captured"), weak)
        return Tensor(self, held[1], held[2])


def _number(x: Any, dtype: DType) -> Any:
    """A Python number in an element type; ints out of its range wrap around, as in JAX."""
    try:
        return np.array(x, dtype.np)
    except OverflowError as error:
        limit = 2 ** (scalar_dtype(int).bits - 1)
        if not -limit <= x < limit:
            raise ArgumentError(f"expected a number that fits {dtype}, got {x}") from error
        return np.array(x, scalar_dtype(int).np).astype(dtype.np)


@dataclass(frozen=True, slots=True)
class Traced:
    """A traced function.

    Attributes:
      function: params are the captures, then the flat arguments.
      captures: the outer objects, in the order of the params.
      out_tree: structure of the Python result.
      out_weak: which flat results are weakly typed.
      fixed: leaves of the Python result that are no results of `function`, by position among all.
    """

    function: ir.Function
    captures: tuple[Any, ...]
    out_tree: Any
    out_weak: tuple[bool, ...]
    fixed: Mapping[int, Any] = field(default_factory=dict)

    def unflatten(self, results: Sequence[Any]) -> Any:
        """The Python result with these in the place of the flat results."""
        leaves: Sequence[Any] = results
        if self.fixed:
            leaves = merged(self.fixed, results, self.out_tree.num_leaves)
        return jax.tree_util.tree_unflatten(self.out_tree, leaves)


# Marks an exception that tracing by JAX did not help against: enclosing functions need not try.
_FINAL = "tried_by_jax"


@without_collection()
def trace_flat(
    fn: Callable[..., Any],
    types: Sequence[TensorType],
    weak: Sequence[bool],
    *,
    name: str = "f",
    names: Sequence[str] = (),
    inputs: Inputs | None = None,
    has_aux: bool = False,
    embeds: bool | None = None,
    begin: Callable[[Sequence[Tensor]], None] | None = None,
) -> Traced:
    """Record `fn`, which takes one traced value for each type and returns a pytree.

    Args:
      fn: the function, of flat arguments.
      types, weak: types of the arguments, and which are weakly typed.
      name: of the function, for printing.
      names: of the arguments, for printing.
      inputs: the arguments, where control flow on values may be answered by evaluation.
      has_aux: `fn` returns `(result, aux)`; leaves of `aux` that do not depend on the arguments may be
        any objects and are returned as they are.
      embeds: whether small arrays become constants; as in the enclosing trace by default.
      begin: is given the traced arguments before `fn` runs, once for every attempt at tracing it.

    Raises:
      ArgumentTypeError: a result is no array and no number.
    """
    params = tuple([Value(t, names[i] if i < len(names) else "") for i, t in enumerate(types)])
    parent = state.trace or state.bridge
    try:
        trace, results, tree, fixed = _recorded(
            fn, Trace(parent, inputs, embeds), params, weak, name, has_aux, begin
        )
    except Exception as error:
        from tracer.bridge import handed_to_jax, raised_by_jax, through_jax

        if getattr(error, _FINAL, False) or not handed_to_jax(error):
            raise
        by_jax = functools.partial(through_jax, fn, name)
        try:
            trace, results, tree, fixed = _recorded(
                by_jax, Trace(parent, inputs, embeds), params, weak, name, has_aux, begin
            )
        except Exception as again:
            if not isinstance(again, JaxCallError):  # for which an enclosing function may be traced by JAX
                for each in (error, again):
                    setattr(each, _FINAL, True)
            # What JAX said first only shows that the function calls it: the cause is what it says now.
            if raised_by_jax(error):
                raise again from None
            if not isinstance(error, ConcretizationError):
                error.add_note(f"traced by JAX instead, it raised {type(again).__name__}: {again}")
            raise error from None
    captures = tuple(trace.captures.values())
    name_results(trace.eqns)
    function = ir.Function(
        (*[value for _, value, _ in captures], *params),
        tuple(trace.eqns),
        tuple([r.value for r in results]),
        name,
    )
    weak_results = tuple([r.weak for r in results])
    return Traced(function, tuple([x for x, _, _ in captures]), tree, weak_results, fixed)


def _is_of(trace: Trace, x: Any) -> bool:
    """Whether `x` is a value of `trace`, or an object that stands for one."""
    if type(x) is not Tensor and hasattr(x, "__jax_array__") and not isinstance(x, (type, jax.Array)):
        x = x.__jax_array__()
    return type(x) is Tensor and x.owner is trace


def _recorded(
    fn: Callable[..., Any],
    trace: Trace,
    params: tuple[Value, ...],
    weak: Sequence[bool],
    name: str,
    has_aux: bool,
    begin: Callable[[Sequence[Tensor]], None] | None,
) -> tuple[Trace, list[Tensor], Any, dict[int, Any]]:
    """Run `fn` while `trace` records: (trace, results, structure of all leaves, leaves that are none)."""
    outer = state.trace
    trace.args = params
    state.trace = trace
    ACTIVE.add(id(trace))
    try:
        with building(trace):
            args = [Tensor(trace, v, w) for v, w in zip(params, weak, strict=True)]
            if begin is not None:
                begin(args)
            out = fn(*args)
            leaves, tree = jax.tree_util.tree_flatten(out)
            fixed: dict[int, Any] = {}
            if has_aux:
                start = len(jax.tree_util.tree_leaves(out[0]))
                fixed = {i: x for i, x in enumerate(leaves) if i >= start and not _is_of(trace, x)}
                leaves = [x for i, x in enumerate(leaves) if i not in fixed]
            results = [_lifted_result(trace, leaf, name) for leaf in leaves]
    finally:
        ACTIVE.discard(id(trace))
        state.trace = outer
        trace.active = False
    return trace, results, tree, fixed


def _lifted_result(trace: Trace, leaf: Any, name: str) -> Tensor:
    try:
        return trace.lift(leaf)
    except ArgumentTypeError as error:
        error.message = f"{name} returned something that is no array: {error.message}"
        raise


def escaped(tensor: Tensor) -> EscapedValueError:
    """The error for a traced value whose trace has ended."""
    eqn = next((e for e in tensor.owner.eqns if tensor.value in e.results), None)
    where: Source = eqn.source if eqn is not None else capture(2)
    made = "made" if eqn is not None else "an argument of the traced function; used"
    when = "in another thread than that of its trace" if tensor.owner.active else "after its trace had ended"
    return EscapedValueError(
        f"a traced value of type {tensor.value.type} was used {when} ({made} at {where}); "
        "return it from the traced function instead of storing it"
    )


__all__ = ["CONSTANT_BYTES", "Trace", "Traced", "canonical", "dtype_of", "escaped", "trace_flat"]
