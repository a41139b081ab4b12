"""Which equations a fusing compiler computes together, and so which values have memory of their own: an estimate.

XLA computes what is elementwise, or only moves elements, inside the kernel of whatever uses it, so that it takes no
memory. The rules are those of its instruction fusion, in short:

- an equation that fuses is computed in its consumers if all of these fuse;
- one whose value is costly to compute is not computed twice: it needs one kernel that reads it, and nothing on the
  way there may ask for its elements again and again, as a broadcast does;
- a library that reduces arrays computes some operations on the way, those that nothing else reads;
- a reshape is the same memory under another shape.

Linear: what a kernel reads is kept in short sets, and a value with more sources has memory of its own. Imports the
core of `ir` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ir.core import Eqn, Function, Value
from ir.machine import current
from ir.nodes import REDUCES, SUMMED, Node, nodes_of, roots_of

# A library's reduction takes what they repeat, not the array.
_REPEATED = frozenset({"broadcast_in_dim", "constant"})
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
      what: `eqn`; or `copy`, `wide`, `runs`, `places` or `zeros`, for what a compiler adds (`ir.nodes`).
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


def fusion(function: Function, stacked: Sequence[Value] = (), *, whole: bool = False) -> Fusion:
    """The kernels of a function.

    Args:
      function: what is compiled.
      stacked: results that are written into a place of a larger array at the end, as a loop stacks them.
      whole: it is a program, whose params and results are memory of the caller's.
    """
    roots = roots_of(function)
    caller = (*function.params, *[roots.get(v, v) for v in function.results]) if whole else ()
    nodes = nodes_of(function, roots, current(), frozenset(caller))
    apart = {roots.get(v, v) for v in stacked}
    kept = {roots.get(v, v) for v in function.results if v not in stacked}
    return _kernels(nodes, _candidates(nodes, kept, apart), roots, apart, len(function.eqns))


# Kernels ------------------------------------------------------------------------------------------


def _candidates(nodes: Sequence[Node], kept: set[Value], stacked: set[Value]) -> set[Value]:
    """Values that are computed in their consumers, found backwards."""
    fused: set[Value] = set()
    refused = set(kept)
    # For each value the kernel that reads it or `_MANY`, and whether a reader wants elements repeatedly.
    kernel: dict[Value, int] = {value: len(nodes) + n for n, value in enumerate(stacked)}
    repeated: set[Value] = set()
    summed: set[Value] = set()  # read by a library's reduction
    for i in reversed(range(len(nodes))):
        node = nodes[i]
        here, again, sums = i, node.repeats, node.sums
        if node.fuses and (result := node.results[0]) not in refused and result in kernel:
            once = kernel[result] != _MANY and result not in repeated
            known = node.op in SUMMED and (kernel[result] != _MANY or node.op in _REPEATED)
            if (once or not node.costly) and (known or result not in summed):
                fused.add(result)
                here = kernel[result]
                again = again or result in repeated
                sums = sums or result in summed
        for operand in node.operands:
            if not node.fuses:
                refused.add(operand)
            held = kernel.get(operand)
            kernel[operand] = here if held is None or held == here else _MANY
            if again:
                repeated.add(operand)
            if sums:
                summed.add(operand)
    return fused


def _kernels(
    nodes: Sequence[Node], fused: set[Value], roots: dict[Value, Value], stacked: set[Value], end: int
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
