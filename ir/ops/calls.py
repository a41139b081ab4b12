"""Ops that hold a function: call and custom derivatives; and identities that hold none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ir.core import Function, Opaque, Value
from ir.errors import CustomRuleError, DifferentiationError, IRTypeError, ShapeError
from ir.op import Linear, Op, current_builder, inline
from ir.ops.families import ANY, LINEAR, ZERO, materialize, op, unary
from ir.ops.shape import move_axis, zeros
from ir.types import TensorType


def _results(out: Any) -> tuple[Any, ...]:
    return out if isinstance(out, tuple) else (out,)


def call_type(*types: TensorType, function: Function, **_: Any) -> tuple[TensorType, ...]:
    """Type rule of ops that apply `function` to their operands."""
    if types != function.in_types:
        raise IRTypeError(f"{function.name}: expected operands {function.in_types}, got {types}")
    return function.out_types


def call_eval(*arrays: Any, function: Function, **_: Any) -> tuple[Any, ...]:
    """Evaluation of such ops."""
    from ir.evaluate import evaluate

    return evaluate(function, *arrays)


def call_flops(operands: Any, results: Any, *, function: Function, **_: Any) -> int:
    """Cost of such ops."""
    from ir.cost import flops

    return flops(function)


def _body(function: Function, **_: Any) -> Function:
    return function


def prune_call(used_results: list[bool], *, of: Op, function: Function, **attrs: Any) -> Any:
    """A call `of` the function that computes and takes no more than the results in use need."""
    from ir.ops.carries import at, chosen, live_part, used

    body = live_part(function.replace(results=tuple(chosen(function.results, used_results))), effects=True)
    read = used(body)
    if all(used_results) and all(read):
        return None
    body = body.replace(params=tuple(chosen(body.params, read)))
    return of, at(read), {"function": body, **attrs}, at(used_results)


# call: no more than its body; transforms inline it ------------------------------------------------


def _call_differentiate(operands: Any, tangents: Any, *, function: Function) -> Any:
    from ir.transforms.jvp import push

    return push(function, operands, tangents)


def _call_batch(operands: Any, batched: Any, size: int, *, function: Function) -> Any:
    from ir.transforms.batch import batch_into

    return batch_into(function, operands, batched, size)


def transpose_call(cts: Any, operands: Any, *, function: Function, of: Op, **attrs: Any) -> Any:
    """Cotangents by a call `of` the transposed function."""
    from ir.transforms.linearize import transpose

    is_linear = [isinstance(x, Linear) for x in operands]
    back = transpose(function, is_linear, [ct is not None for ct in cts])
    others = [x for x in operands if not isinstance(x, Linear)]
    outs = iter(_results(of(*others, *[ct for ct in cts if ct is not None], function=back, **attrs)))
    return tuple([next(outs) if linear else None for linear in is_linear])


def _call_transpose(cts: Any, operands: Any, *, function: Function) -> Any:
    return transpose_call(cts, operands, function=function, of=call)


def _call(name: str) -> Op:
    def prune(used_results: list[bool], *, function: Function) -> Any:
        return prune_call(used_results, of=made, function=function)

    made = op(
        name,
        attrs=("function",),
        type=call_type,
        eval=call_eval,
        jvp=None,
        differentiate=_call_differentiate,
        transpose=_call_transpose,
        batch=_call_batch,
        flops=call_flops,
        prune=prune,
        inline=_body,
    )
    return made


call: Op = _call("call")

# fused: a region of the program that runs as one kernel or a few, in print ------------------------

fused: Op = _call("fused")


# Custom derivatives -------------------------------------------------------------------------------


class Rule:
    """A derivative rule in Python, traced to a function on demand and once for each use.

    Args:
      name: the user's name for it.
      trace: operand types of the custom function -> the rule as a function.
      captures: how many leading operands are what the custom function or its rules close over. They are
        not differentiated: the rules take them, and neither take nor give tangents of theirs.
    """

    def __init__(
        self, name: str, trace: Callable[[tuple[TensorType, ...]], Function], captures: int = 0
    ) -> None:
        self.name = name
        self.captures = captures
        self._trace = trace
        self._known: dict[tuple[TensorType, ...], Function] = {}
        self._batched: dict[tuple[int, tuple[bool, ...]], Opaque] = {}

    def function(self, types: Sequence[TensorType]) -> Function:
        key = tuple(types)
        if key not in self._known:
            self._known[key] = self._trace(key)
        return self._known[key]

    def unchanged(self) -> bool:
        """Whether tracing again gives what is known: the rule may read what has changed since."""
        return all(self._trace(types) == known for types, known in self._known.items())

    def moving(self, moves: tuple[bool, ...]) -> Rule:
        """The rule where only these operands have tangents, with the same operands and results.

        Most rules do not ask; what they give for the others is not used.
        """
        return self

    def batched(self, size: int, captured: tuple[bool, ...] = ()) -> Opaque:
        """The rule over a leading batch axis of every operand and result; always the same one.

        Args:
          size: of the batch.
          captured: which of the captures have the axis.
        """
        made = Opaque(self.name, _BatchedRule(self, size, captured))
        return self._batched.setdefault((size, captured), made)


class _BatchedRule(Rule):
    """A rule over a leading batch axis; equal where the rules are."""

    def __init__(self, of: Rule, size: int, captured: tuple[bool, ...]) -> None:
        super().__init__(of.name, self._trace_batched, of.captures)
        self.of = of
        self.size = size
        self.captured = captured

    def _trace_batched(self, types: tuple[TensorType, ...]) -> Function:
        from ir.transforms.batch import batch

        of_operands = (*self.captured, *[True] * (len(types) - self.captures))
        inner = self.of.function(
            [t.with_shape(t.shape[1:]) if b else t for t, b in zip(types, of_operands, strict=True)]
        )
        flags = (*self.captured, *[True] * (len(inner.params) - self.captures))
        return batch(inner, flags, self.size, all_results=True)[0]

    def moving(self, moves: tuple[bool, ...]) -> Rule:
        of = self.of.moving(moves)
        return self if of is self.of else of.batched(self.size, self.captured).obj

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _BatchedRule)
            and (self.size, self.captured) == (other.size, other.captured)
            and self.of == other.of
        )

    def __hash__(self) -> int:
        return hash((_BatchedRule, self.of, self.size, self.captured))


def _is_still(rule: Rule, function: Function, tangents: Sequence[Any]) -> bool:
    """Whether the results do not move: what moves is closed over, and by the rules alone.

    Raises:
      CustomRuleError: something that is closed over moves otherwise.
    """
    captured, arguments = tangents[: rule.captures], tangents[rule.captures :]
    moved = {p: t for p, t in zip(function.params, captured, strict=False) if t is not None}
    if not moved:
        return False
    used = {v for eqn in function.eqns for v in eqn.operands}.union(function.results)
    if any(t is not None for t in arguments) or not used.isdisjoint(moved):
        raise CustomRuleError(
            f"{rule.name} is differentiated by a value of type {next(iter(moved)).type} that it or its rules "
            "close over; the rules say nothing of that: pass the value as an argument"
        )
    return True


def _custom_batch(operands: Any, batched: Any, size: int, *, function: Function, **rules: Any) -> Any:
    from ir.transforms.batch import batch

    # All arguments and results carry the batch, so that the rules see one layout; where an argument
    # had none, the transpose of its broadcast sums the cotangents. What is closed over stays as it is.
    captures = next(rule.obj.captures for rule in rules.values())
    captured = tuple(batched[:captures])
    wanted = (*captured, *[True] * (len(operands) - captures))
    body, flags = batch(function, wanted, size, all_results=True)
    full = [materialize(v, b, size) if w else v for v, b, w in zip(operands, batched, wanted, strict=True)]
    the_op = custom_jvp_call if "jvp" in rules else custom_vjp_call
    lifted = {name: rule.obj.batched(size, captured) for name, rule in rules.items()}
    return _results(the_op(*full, function=body, **lifted)), flags


def opened(function: Function, operands: Sequence[Value]) -> tuple[Value, ...]:
    """`inline`, calls included: one that computes primals and tangents at once would count as linear."""
    builder = current_builder()
    env = dict(zip(function.params, operands, strict=True))
    for eqn in function.eqns:
        ins = tuple([env[v] for v in eqn.operands])
        outs = opened(eqn.attrs["function"], ins) if eqn.op is call else builder.copy(eqn, ins)
        env.update(zip(eqn.results, outs, strict=True))
    return tuple([env[v] for v in function.results])


def _custom_jvp_differentiate(operands: Any, tangents: Any, *, function: Function, jvp: Opaque) -> Any:
    from ir.transforms.linearize import LinearBuilder
    from ir.transforms.parting import parted

    if _is_still(jvp.obj, function, tangents):
        outs = _results(custom_jvp_call(*operands, function=function, jvp=jvp))
        return outs, (None,) * len(outs)
    every = list(zip(operands, tangents, strict=True))[jvp.obj.captures :]
    inexact = [(v, t) for v, t in every if v.type.dtype.is_inexact]
    given = [zeros(v.type) if t is None else t for v, t in inexact]
    rule = jvp.obj.moving(tuple([t is not None for t in tangents]))
    program = rule.function([v.type for v in operands])
    count = len(function.results)
    found = None
    if isinstance(current_builder(), LinearBuilder):
        still = [None] * len(operands)
        found = parted(program, (*operands, *given), (*still, *given), count)
    if found is not None:
        outs, every_dout = found
        douts = iter(every_dout[count:])
    else:
        outs = opened(program, (*operands, *given))
        douts = iter(outs[count:])
    return outs[:count], tuple([next(douts) if t.dtype.is_inexact else None for t in function.out_types])


def _body_transpose(cts: Any, operands: Any, *, function: Function, **rules: Any) -> Any:
    """A custom function as part of a linear map, as a rule may use one, is transposed as its body."""
    return _call_transpose(cts, operands, function=function)


custom_jvp_call = op(
    "custom_jvp_call",
    attrs=("function", "jvp"),
    type=call_type,
    eval=call_eval,
    jvp=None,
    differentiate=_custom_jvp_differentiate,
    transpose=_body_transpose,
    batch=_custom_batch,
    flops=call_flops,
    inline=_body,
)


def _custom_vjp_differentiate(
    operands: Any, tangents: Any, *, function: Function, fwd: Opaque, bwd: Opaque
) -> Any:
    if _is_still(fwd.obj, function, tangents):
        outs = _results(custom_vjp_call(*operands, function=function, fwd=fwd, bwd=bwd))
        return outs, (None,) * len(outs)
    captured = operands[: fwd.obj.captures]
    types = tuple([v.type for v in operands])
    given = [t for t in tangents if t is not None]
    wanted = tuple([t is not None for t in tangents])
    outs = inline(fwd.obj.moving(wanted).function(types), operands)
    count = len(function.results)
    results, residuals = outs[:count], outs[count:]
    back = bwd.obj.moving(wanted)
    out_types = tuple([t for t in function.out_types if t.dtype.is_inexact])
    douts = iter(
        _results(
            custom_vjp_tangent(
                *captured,
                *residuals,
                *given,
                bwd=bwd if back is bwd.obj else Opaque(bwd.name, back),
                in_types=types,
                wanted=wanted,
                out_types=out_types,
            )
        )
    )
    return results, tuple([next(douts) if t.dtype.is_inexact else None for t in function.out_types])


custom_vjp_call = op(
    "custom_vjp_call",
    attrs=("function", "fwd", "bwd"),
    type=call_type,
    eval=call_eval,
    jvp=None,
    differentiate=_custom_vjp_differentiate,
    transpose=_body_transpose,
    batch=_custom_batch,
    flops=call_flops,
    inline=_body,
)


def _tangent_transpose(
    cts: Any, operands: Any, *, bwd: Opaque, in_types: Any, wanted: Any, out_types: Any
) -> Any:
    count = len(operands) - sum(wanted)
    residuals = operands[:count]
    if any(isinstance(r, Linear) for r in residuals):
        raise CustomRuleError(f"the backward rule of {bwd.name} is not linear in its cotangent")
    given = [zeros(t) if ct is None else ct for ct, t in zip(cts, out_types, strict=True)]
    grads = inline(bwd.obj.function(in_types), (*residuals, *given))
    of_argument = iter(grads)
    captures = bwd.obj.captures
    per_operand = [
        next(of_argument) if i >= captures and t.dtype.is_inexact else None for i, t in enumerate(in_types)
    ]
    return (*[None] * count, *[g for g, w in zip(per_operand, wanted, strict=True) if w])


def _no_forward_mode(*_: Any, bwd: Opaque, **__: Any) -> Any:
    raise DifferentiationError(
        f"{bwd.name} has a custom_vjp rule, which gives reverse-mode derivatives only; "
        "forward mode (jvp, jacfwd, linearize) needs custom_jvp"
    )


# The linear map of a custom_vjp function: only its transpose is known.
custom_vjp_tangent = op(
    "custom_vjp_tangent",
    attrs=("bwd", "in_types", "wanted", "out_types"),
    type=lambda *types, bwd, in_types, wanted, out_types: out_types,
    eval=_no_forward_mode,
    jvp=None,
    transpose=_tangent_transpose,
    batch=lambda operands, batched, size, **attrs: _no_forward_mode(**attrs),
)


# Barriers -----------------------------------------------------------------------------------------

stop_gradient = unary("stop_gradient", on=ANY, eval=lambda x: x, jvp=ZERO, weight=0)


def _barrier_jvp(tangents: Any, operands: Any, results: Any) -> Any:
    given = [t for t in tangents if t is not None]
    outs = iter(_results(optimization_barrier(*given)))
    return tuple([None if t is None else next(outs) for t in tangents])


def _barrier_transpose(cts: Any, operands: Any) -> Any:
    given = [ct for ct in cts if ct is not None]
    outs = iter(_results(optimization_barrier(*given)))
    return tuple([None if ct is None else next(outs) for ct in cts])


# Identity that XLA may not look through: keeps recomputed values from being merged with the first.
optimization_barrier: Op = op(
    "optimization_barrier",
    type=lambda *types: types,
    eval=lambda *arrays: arrays,
    jvp=_barrier_jvp,
    transpose=_barrier_transpose,
    batch=lambda operands, batched, size: (_results(optimization_barrier(*operands)), batched),
    flops=lambda operands, results: 0,
)


def _sharding_batch(operands: Any, batched: Any, size: int, *, sharding: Opaque) -> Any:
    """The batch goes last, where a sharding of fewer axes leaves it unconstrained."""
    x = move_axis(operands[0], 0, operands[0].type.rank - 1)
    out = sharding_constraint(x, sharding=sharding)
    return (move_axis(out, out.type.rank - 1, 0),), (True,)


# `sharding` is an `Opaque` around a device sharding.
sharding_constraint: Op = op(
    "sharding_constraint",
    type=lambda x, *, sharding: x,
    eval=lambda x, *, sharding: x,
    jvp=LINEAR,
    transpose=lambda cts, operands, *, sharding: (sharding_constraint(cts[0], sharding=sharding),),
    batch=_sharding_batch,
    attrs=("sharding",),
    flops=lambda operands, results, **_: 0,
)


# What may be said of a matrix.
PROPERTIES: Final = ("lower_triangular", "upper_triangular", "diagonal", "positive_definite", "orthogonal")


def _assume_type(x: TensorType, *, properties: tuple[str, ...]) -> TensorType:
    if not properties or any(p not in PROPERTIES for p in properties):
        raise IRTypeError(f"assume: expected properties of {', '.join(PROPERTIES)}, got {properties}")
    if x.rank < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"assume: expected square matrices, got {x}")
    if not x.dtype.is_inexact:
        raise IRTypeError(f"assume: expected elements of floating point or complex type, got {x}")
    return x


# Identity: matrices that have these properties, as the caller says. Tangents need not have them.
assume: Op = op(
    "assume",
    type=_assume_type,
    eval=lambda x, *, properties: x,
    jvp=lambda tangents, operands, results, *, properties: tuple(tangents),
    batch=lambda operands, batched, size, *, properties: (
        (assume(operands[0], properties=properties),),
        (True,),
    ),
    attrs=("properties",),
    flops=lambda operands, results, **_: 0,
)
