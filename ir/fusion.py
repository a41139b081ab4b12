"""Which equations a fusing compiler computes together, and so which values have memory of their own: an estimate.

XLA computes what is elementwise, or only moves elements, inside the kernel of whatever uses it, so that it takes no
memory. The rules are those of its instruction fusion, in short:

- an equation that fuses is computed in its consumers if all of these fuse;
- one whose value is costly to compute is not computed twice: it needs one kernel that reads it, and nothing on the
  way there may ask for its elements again and again, as a broadcast does;
- a reshape is the same memory under another shape.

Linear: what a kernel reads is kept in short sets, and a value with more sources has memory of its own. Imports the
core of `ir` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ir.core import Eqn, Function, Value
from ir.machine import current

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
# Elementwise for us, but loops or many instructions for XLA.
_LARGE = frozenset(
    {
        "threefry2x32", "random_seed", "lgamma", "digamma", "polygamma", "zeta", "igamma", "igammac",
        "igamma_grad_a", "random_gamma_grad", "regularized_incomplete_beta", "bessel_i0e", "bessel_i1e", "nextafter",
    }
)  # fmt: skip

_MANY = -1  # kernels: more than one
_SOURCES = 24  # of a fused value; with more it has memory of its own
_NOTHING: frozenset[Value] = frozenset()


@dataclass(frozen=True, slots=True)
class Kernel:
    """What is computed in one go.

    Attributes:
      position: index of the equation that it belongs to.
      eqn: that equation; `None` for what a compiler adds: copies, and arrays filled with zeros.
      reads: values with memory of their own that it reads, params included.
      aligned: those of `reads` of which each element is read only where its own element of the result is
        written, so that the result may take their place.
      writes: its results.
      what: `eqn`; or `copy` or `zeros`, for what a compiler adds.
    """

    position: int
    eqn: Eqn | None
    reads: frozenset[Value]
    aligned: frozenset[Value]
    writes: tuple[Value, ...]
    what: str = "eqn"


@dataclass(frozen=True, slots=True)
class Fusion:
    """The kernels of one function, those inside nested ones left out.

    Attributes:
      kernels: in order.
      roots: for a value that shares the memory of another, that other.
      fused: values that have no memory.
    """

    kernels: tuple[Kernel, ...]
    roots: dict[Value, Value]
    fused: frozenset[Value]

    def root(self, value: Value) -> Value:
        """The value whose memory holds `value`."""
        return self.roots.get(value, value)


def fusion(function: Function, stacked: Sequence[Value] = ()) -> Fusion:
    """The kernels of a function.

    Args:
      function: what is compiled.
      stacked: results that are written into a place of a larger array at the end, as a loop stacks them.
    """
    roots = _roots(function)
    nodes = _nodes(function, roots, current().one_order)
    apart = {roots.get(v, v) for v in stacked}
    kept = {roots.get(v, v) for v in function.results if v not in stacked}
    return _kernels(nodes, _candidates(nodes, kept, apart), roots, apart, len(function.eqns))


# Nodes: equations, and what a compiler adds to them -----------------------------------------------


@dataclass(slots=True)
class _Node:
    """An equation over the values that have memory.

    Attributes:
      op: its name, or that of what was added.
      fuses: whether it can be computed inside another kernel.
      costly: whether its result is not computed twice.
      repeats: whether it asks for elements of its operands again and again.
      aligned: those operands whose place its results may take.
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


def _roots(function: Function) -> dict[Value, Value]:
    roots: dict[Value, Value] = {}
    for eqn in function.eqns:
        if eqn.op.name in _ALIASES and len(eqn.operands) == len(eqn.results):
            for operand, result in zip(eqn.operands, eqn.results, strict=True):
                roots[result] = roots.get(operand, operand)
    return roots


def _nodes(function: Function, roots: dict[Value, Value], one_order: bool) -> list[_Node]:
    """Equations that are more than another name, with copies right after what they copy."""
    made: dict[Value, list[_Node]] = {}  # copies of values
    copies: dict[tuple[Value, tuple[int, ...]], Value] = {}
    zeros: dict[Any, _Node] = {}
    plain: list[_Node] = []
    for i, eqn in enumerate(function.eqns):
        if eqn.results and all(result in roots for result in eqn.results):
            continue
        operands = list(eqn.operands)
        for k, order in _orders(eqn) if one_order else ():
            root = roots.get(operands[k], operands[k])
            copy = copies.get((root, order))
            if copy is None:
                copy = copies[root, order] = Value(root.type, root.name)
                made.setdefault(root, []).append(_Node(i, None, "copy", (root,), (copy,), True))
            operands[k] = copy
        node = _node(i, eqn, tuple([roots.get(v, v) for v in operands]))
        if eqn.op.name == "scan":
            # What a loop stacks is written over zeros: one array for all loops that stack of this type.
            for result in eqn.results[eqn.attrs["num_carry"] :]:
                zero = zeros.get(result.type)
                if zero is None:
                    zero = zeros[result.type] = _Node(i, None, "zeros", (), (Value(result.type),), False)
                    plain.append(zero)
                node.operands += zero.results
                node.aligned += zero.results
        if eqn.op.name == "gather" and one_order and not _trailing(eqn.attrs["offset_dims"], eqn.results[0]):
            # Gathered first, and then brought into the order that is wanted.
            (result,) = node.results
            node.results, node.fuses = (Value(result.type, result.name),), False
            plain.append(node)
            node = _Node(i, None, "copy", node.results, (result,), True)
        plain.append(node)
    out: list[_Node] = []
    for value in function.params:
        out += made.get(value, ())
    for node in out:
        node.position = 0
    for node in plain:
        out.append(node)
        for value in node.results:
            for copy_of_it in made.get(value, ()):
                copy_of_it.position = node.position
                out.append(copy_of_it)
    return out


def _node(position: int, eqn: Eqn, operands: tuple[Value, ...]) -> _Node:
    name = eqn.op.name
    fuses = len(eqn.results) == 1 and (
        name in _MOVES or name in REDUCES or (eqn.op.elementwise and name not in _LARGE)
    )
    aligned: tuple[Value, ...] = ()
    if eqn.op.elementwise or name in ("while_loop", "replay", "while_record"):
        aligned = operands
    elif name in {"dynamic_update_slice", "scatter"} or name.startswith("scatter_"):
        aligned = operands[:1]
    elif name == "scan":
        first = eqn.attrs["num_consts"]
        aligned = operands[first : first + eqn.attrs["num_carry"]]
    return _Node(
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
    if eqn.op.name.startswith("scatter"):
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


# Kernels ------------------------------------------------------------------------------------------


def _candidates(nodes: Sequence[_Node], kept: set[Value], stacked: set[Value]) -> set[Value]:
    """Values that are computed in their consumers, found backwards."""
    fused: set[Value] = set()
    refused = set(kept)
    # For each value the kernel that reads it or `_MANY`, and whether a reader wants elements repeatedly.
    kernel: dict[Value, int] = {value: len(nodes) + n for n, value in enumerate(stacked)}
    repeated: set[Value] = set()
    for i in reversed(range(len(nodes))):
        node = nodes[i]
        here, again = i, node.repeats
        if node.fuses and (result := node.results[0]) not in refused and result in kernel:
            once = kernel[result] != _MANY and result not in repeated
            if once or not node.costly:
                fused.add(result)
                here = kernel[result]
                again = again or result in repeated
        for operand in node.operands:
            if not node.fuses:
                refused.add(operand)
            held = kernel.get(operand)
            kernel[operand] = here if held is None or held == here else _MANY
            if again:
                repeated.add(operand)
    return fused


def _kernels(
    nodes: Sequence[_Node], fused: set[Value], roots: dict[Value, Value], stacked: set[Value], end: int
) -> Fusion:
    reads: dict[Value, frozenset[Value]] = {}
    aligned: dict[Value, frozenset[Value]] = {}
    kernels: list[Kernel] = []
    for node in nodes:
        sources = frozenset().union(*[reads.get(v, (v,)) for v in node.operands])
        places = frozenset().union(*[aligned.get(v, (v,)) for v in node.aligned])
        result = node.results[0] if len(node.results) == 1 else None
        if result is not None and result in fused and len(sources) <= _SOURCES:
            reads[result], aligned[result] = sources, places
        else:
            what = "eqn" if node.eqn is not None else node.op
            kernels.append(Kernel(node.position, node.eqn, sources, places & sources, node.results, what))
    for value in stacked:
        if value in reads:
            kernels.append(Kernel(end, None, reads[value], _NOTHING, ()))
    return Fusion(tuple(kernels), roots, frozenset(reads))


__all__ = ["REDUCES", "Fusion", "Kernel", "fusion"]
