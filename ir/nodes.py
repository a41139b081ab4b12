"""What a compiler makes of the equations of a function before it fuses them: nodes over the values that have memory.

A reshape is the same memory under another type. What is copied is a node of its own: operands that are wanted in
another order of their axes, or of columns instead of rows, or in f32; loops stack upon zeros.

Linear. Imports the core of `ir` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ir.core import Eqn, Function, Value
from ir.machine import Machine
from ir.types import DType, TensorType, bf16, f16, f32

# The same memory under another type.
_ALIASES = frozenset(
    {"reshape", "optimization_barrier", "sharding_constraint", "assume", "checkpoint_name", "stop_gradient"}
)
_MOVES = frozenset(
    {
        "broadcast_in_dim", "iota", "constant", "pad", "slice", "concatenate", "rev", "transpose", "dynamic_slice",
        "dynamic_update_slice", "gather", "bitcast_convert", "reshape",
    }
)  # fmt: skip
REDUCES = frozenset(
    {
        "reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_and", "reduce_or", "reduce_xor", "reduce",
        "argmax", "argmin",
    }
)  # fmt: skip
# Elementwise ops that are computed again rather than kept.
_CHEAP = frozenset(
    {
        "convert", "reduce_precision", "eq", "ne", "lt", "le", "gt", "ge", "select", "and", "or", "xor", "not",
        "shift_left", "shift_right_logical", "shift_right_arithmetic", "neg", "add", "sub", "mul", "square",
        "one_minus_square", "abs", "sign", "max", "min", "clamp", "floor", "ceil", "round", "is_finite", "complex",
        "real", "imag", "conj", "rem", "integer_pow", "sin", "cos",
    }
)  # fmt: skip
# What the library that reduces arrays of floats computes on the way.
SUMMED = frozenset(
    {
        "exp", "tanh", "log", "log1p", "expm1", "sqrt", "rsqrt", "abs", "neg", "floor", "ceil", "round", "sign",
        "logistic", "erf", "integer_pow", "square", "pow", "add", "sub", "mul", "div", "max", "min", "convert",
        "broadcast_in_dim", "constant", "transpose", "reshape", "pad", "one_minus_square",
    }
)  # fmt: skip
_SUMS = frozenset({"reduce_sum", "reduce_max", "reduce_min"})
# In runs, each added up by itself, to which what comes before is added by whatever uses them.
CUMULATIVE = frozenset({"cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"})
RUN = 16
# Of a library that stores matrices by columns, as the caller does not.
_BY_COLUMNS = "by columns"
_LIBRARY = frozenset(
    {
        "cholesky", "lu", "qr", "svd", "eigh", "eig", "schur", "triangular_solve", "hessenberg", "tridiagonal",
        "householder_product",
    }
)  # fmt: skip
# Those of them that leave a result in the place of their last operand.
_IN_PLACE = frozenset({"cholesky", "lu", "qr", "eigh", "triangular_solve", "hessenberg", "tridiagonal"})
# Elementwise for us, but loops or many instructions for XLA.
_LARGE = frozenset(
    {
        "threefry2x32", "random_seed", "lgamma", "digamma", "polygamma", "zeta", "igamma", "igammac",
        "igamma_grad_a", "random_gamma_grad", "regularized_incomplete_beta", "bessel_i0e", "bessel_i1e", "nextafter",
    }
)  # fmt: skip


@dataclass(slots=True)
class Node:
    """An equation over the values that have memory.

    Attributes:
      op: its name, or that of what was added.
      fuses: whether it can be computed inside another kernel.
      costly: whether its result is not computed twice.
      repeats: whether it asks for elements of its operands again and again.
      aligned: those operands whose place its results may take.
      sums: a reduction by a library, in which others of `SUMMED` alone are computed, and not twice.
    """

    position: int
    eqn: Eqn | None
    op: str
    operands: tuple[Value, ...]
    results: tuple[Value, ...]
    fuses: bool
    costly: bool = False
    repeats: bool = False
    aligned: tuple[Value, ...] = ()
    sums: bool = False


def roots_of(function: Function) -> dict[Value, Value]:
    """For a value that is the memory of another under another type, that other."""
    roots: dict[Value, Value] = {}
    for eqn in function.eqns:
        if eqn.op.name in _ALIASES and len(eqn.operands) == len(eqn.results):
            for operand, result in zip(eqn.operands, eqn.results, strict=True):
                roots[result] = roots.get(operand, operand)
    return roots


class _Copies:
    """Copies of values, each made once, right after what it copies."""

    def __init__(self, roots: dict[Value, Value]) -> None:
        self.roots = roots
        self.made: dict[Value, list[Node]] = {}
        self.known: dict[tuple[Value, Any], Value] = {}

    def of(self, value: Value, position: int, how: Any, what: str, type_: TensorType) -> Value:
        """A copy of a value, of that type, for the equation at a position."""
        root = self.roots.get(value, value)
        copy = self.known.get((root, how))
        if copy is None:
            copy = self.known[root, how] = Value(type_, root.name)
            self.made.setdefault(root, []).append(Node(position, None, what, (root,), (copy,), True))
        return copy


def nodes_of(
    function: Function, roots: dict[Value, Value], machine: Machine, outside: frozenset[Value]
) -> list[Node]:
    """Equations that are more than another name, with copies right after what they copy.

    Args:
      function: what is compiled.
      roots: see `roots_of`.
      machine: what for.
      outside: memory of the caller's, in which matrices are stored by rows.
    """
    copies = _Copies(roots)
    zeros: dict[Any, Node] = {}
    plain: list[Node] = []
    by_rows = _by_rows(function, roots, outside)
    for i, eqn in enumerate(function.eqns):
        if eqn.results and all(result in roots for result in eqn.results):
            continue
        operands = [roots.get(v, v) for v in eqn.operands]
        widens = machine.widens and _is_narrow_product(eqn)
        for k, how, what in _copied(eqn, machine.one_order, widens):
            if how == _BY_COLUMNS and operands[k] not in outside:
                continue  # computed by columns
            type_ = operands[k].type
            if what == "wide":
                type_ = type_.with_dtype(f32)
            elif what == "runs":
                type_ = _in_runs(type_, eqn.attrs["axis"])
            elif what == "places":
                type_ = _whole_places(eqn)
            operands[k] = copies.of(operands[k], i, how, what, type_)
        node = _node(i, eqn, tuple(operands))
        if machine.sums_apart and eqn.op.name in _SUMS:
            node.sums = eqn.results[0].type.dtype.is_inexact
        if eqn.op.name == "scan":
            # What a loop stacks is written over zeros: one array for all loops that stack of this type.
            for result in eqn.results[eqn.attrs["num_carry"] :]:
                zero = zeros.get(result.type)
                if zero is None:
                    zero = zeros[result.type] = Node(i, None, "zeros", (), (Value(result.type),), False)
                    plain.append(zero)
                node.operands += zero.results
                node.aligned += zero.results
        plain.append(node)
        if widens:
            plain += _after(node, "wide", node.results, f32)
        elif eqn.op.name in CUMULATIVE and eqn.operands[0].type.shape[eqn.attrs["axis"]] > RUN:
            plain += _after(node, "runs", node.results, axis=eqn.attrs["axis"])
            if eqn.results[0] in outside:
                plain[-1].aligned = ()  # what the caller has is not in runs
        elif eqn.op.name in _LIBRARY:
            plain += _after(node, "copy", [v for v in node.results if v.type.rank >= 2 and v in by_rows])
        elif (
            eqn.op.name == "gather"
            and machine.one_order
            and not _trailing(eqn.attrs["offset_dims"], eqn.results[0])
        ):
            plain += _after(node, "copy", node.results)
    out: list[Node] = []
    for value in function.params:
        out += copies.made.get(value, ())
    for node in out:
        node.position = 0
    for node in plain:
        out.append(node)
        for value in node.results:
            for copy_of_it in copies.made.get(value, ()):
                copy_of_it.position = node.position
                out.append(copy_of_it)
    return out


def _by_rows(function: Function, roots: dict[Value, Value], outside: frozenset[Value]) -> frozenset[Value]:
    """Results of a library that are returned, or only read by what fuses, which then brings them into rows."""
    if not outside:
        return outside
    given = [roots.get(v, v) for e in function.eqns if e.op.name in _LIBRARY for v in e.results]
    if not given:
        return outside
    others = [e for e in function.eqns if not (e.op.elementwise or e.op.name in _MOVES)]
    read = {roots.get(v, v) for eqn in others for v in eqn.operands}
    return frozenset([v for v in given if v in outside or v not in read])


def _in_runs(type_: TensorType, axis: int) -> TensorType:
    """Along an axis as many elements as whole runs have."""
    shape = list(type_.shape)
    shape[axis] = -(-shape[axis] // RUN) * RUN
    return TensorType(tuple(shape), type_.dtype)


def _whole_places(eqn: Eqn) -> TensorType:
    """The indices of a scatter with those along its batching axes, which are written beside them."""
    type_, attrs = eqn.operands[1].type, eqn.attrs
    count = len(attrs["scatter_dims_to_operand_dims"]) + len(attrs["operand_batching_dims"])
    return TensorType((*type_.shape[:-1], count), type_.dtype)


def _after(
    node: Node, what: str, copied: Sequence[Value], dtype: DType | None = None, axis: int | None = None
) -> list[Node]:
    """Have some results of a node be copies of what it writes: of another type, in another order, or in runs."""
    node.fuses = False
    out, results = [], []
    for result in node.results:
        if result not in copied:
            results.append(result)
            continue
        type_ = result.type if dtype is None else result.type.with_dtype(dtype)
        written = Value(type_ if axis is None else _in_runs(type_, axis), result.name)
        aligned = (written,) if axis is not None else ()
        out.append(Node(node.position, None, what, (written,), (result,), True, aligned=aligned))
        results.append(written)
    node.results = tuple(results)
    return out


def _is_narrow_product(eqn: Eqn) -> bool:
    return eqn.op.name in ("dot_general", "conv_general") and eqn.results[0].type.dtype in (bf16, f16)


def _copied(eqn: Eqn, one_order: bool, widens: bool) -> list[tuple[int, Any, str]]:
    """Operands that are copied before: which, how, and what that is called."""
    if eqn.op.name in _LIBRARY:
        return [(k, _BY_COLUMNS, "copy") for k, v in enumerate(eqn.operands) if v.type.rank >= 2]
    if eqn.op.name in CUMULATIVE:
        type_, axis = eqn.operands[0].type, eqn.attrs["axis"]
        whole = type_.shape[axis] <= RUN or (axis == type_.rank - 1 and type_.shape[axis] % RUN == 0)
        return [] if whole else [(0, ("runs", axis), "runs")]
    if eqn.op.name.startswith("scatter") and eqn.attrs["operand_batching_dims"]:
        return [(1, "places", "places"), (2, "places", "copy")]
    orders = dict(_orders(eqn)) if one_order else {}
    if widens:
        return [(k, ("wide", orders.get(k)), "wide") for k in range(2)]
    return [(k, order, "copy") for k, order in orders.items()]


def _node(position: int, eqn: Eqn, operands: tuple[Value, ...]) -> Node:
    name = eqn.op.name
    fuses = len(eqn.results) == 1 and (
        name in _MOVES or name in REDUCES or (eqn.op.elementwise and name not in _LARGE)
    )
    aligned: tuple[Value, ...] = ()
    if eqn.op.elementwise or name in ("while_loop", "replay", "while_record", "sort"):
        aligned = operands
    elif name in {"dynamic_update_slice", "scatter"} or name.startswith("scatter_"):
        aligned = operands[:1]
    elif name in _IN_PLACE:
        aligned = operands[-1:]
    elif name == "scan":
        first = eqn.attrs["num_consts"]
        aligned = operands[first : first + eqn.attrs["num_carry"]]
    return Node(
        position,
        eqn,
        name,
        operands,
        eqn.results,
        fuses,
        costly=not (name in _MOVES or name in _CHEAP),
        repeats=name in ("broadcast_in_dim", "gather"),
        aligned=aligned,
    )


def _orders(eqn: Eqn) -> list[tuple[int, tuple[int, ...]]]:
    """Which operands of a convolution or a contraction are copied before, and in which order of their axes."""
    attrs = eqn.attrs
    if eqn.op.name == "conv_general":
        rank = eqn.operands[0].type.rank
        wanted = ((0, rank - 1, *range(1, rank - 1)), (rank - 1, rank - 2, *range(rank - 2)))
        orders = (attrs["lhs_spec"], attrs["rhs_spec"])
        return [(k, orders[k]) for k in range(2) if orders[k] != wanted[k]]
    if eqn.op.name.startswith("scatter") and not attrs["operand_batching_dims"]:
        windows = attrs["update_window_dims"]
        rank = eqn.operands[2].type.rank
        order = (*[d for d in range(rank) if d not in windows], *windows)
        return [] if _trailing(windows, eqn.operands[2]) else [(2, order)]
    if eqn.op.name != "dot_general":
        return []
    out = []
    for k, side in enumerate(("lhs", "rhs")):
        shape = eqn.operands[k].type.shape
        batch, contract = attrs[f"{side}_batch"], attrs[f"{side}_contract"]
        if batch == tuple(range(len(batch))) and len(contract) == 1 and len(shape) == len(batch) + 2:
            continue  # a product of matrices, of either order
        free = tuple([d for d in range(len(shape)) if d not in batch and d not in contract])
        order = (*batch, *free, *contract) if k == 0 else (*batch, *contract, *free)
        moved = [d for d in order if shape[d] != 1]
        if moved != sorted(moved):
            out.append((k, order))
    return out


def _trailing(dims: Sequence[int], value: Value) -> bool:
    """Whether these are the last dimensions, those of one element left out."""
    shape = value.type.shape
    long = [d for d in range(len(shape)) if shape[d] != 1]
    inside = [d for d in long if d in dims]
    return not inside or inside == long[len(long) - len(inside) :]
