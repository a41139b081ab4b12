"""What becomes of the equations of a loop's body: computed once, for all iterations together, or in turn.

    fixed    the same in every iteration: computed once, before
    folds    a carry that terms are only added to (or integers multiplied, ...): one reduction of all terms
    scanned  what a carry goes through: iterations in turn
    early    what these need: all iterations together, before them
    late     what needs them: all iterations together, after them

Iterations depend on each other through cycles of the graph whose edges lead from an equation to those that
use it, in the same iteration or a later one (Allen and Kennedy 2001, chapter 5: loop distribution).
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ir.contents import has_open_loops
from ir.core import Eqn, Value
from ir.op import Op
from ir.ops.cond import cond
from ir.ops.convert import convert
from ir.ops.elementwise import add, and_, max, min, mul, neg, or_, sub
from ir.ops.logic import eq, ge, gt, le, lt, ne, select
from ir.ops.reduce import reduce_and, reduce_max, reduce_min, reduce_or, reduce_prod, reduce_sum
from ir.ops.shape import broadcast_in_dim, concatenate, reshape, rev, slice, transpose
from ir.passes.rolling.dead import Rows
from ir.passes.rolling.iterations import Before, Each, Inside, Loop
from ir.source import Source

# Bodies that work on arrays of so many elements gain little from computing all iterations together,
_LARGE = 1 << 10
# and not where all iterations together are larger than this, in elements.
_TOGETHER = 1 << 22
# Fewer equations than these, unrolled, are not worth a loop.
_FEWEST_IN_TURN = 64
_FEWEST_TOGETHER = 24

_REDUCTIONS: dict[Op, Op] = {
    add: reduce_sum, sub: reduce_sum, mul: reduce_prod, max: reduce_max, min: reduce_min,
    and_: reduce_and, or_: reduce_or,
}  # fmt: skip
_CHEAP = frozenset(
    {add, and_, broadcast_in_dim, convert, eq, ge, gt, le, lt, mul, ne, neg, reshape, select, sub}
)
_MOVES = frozenset({slice, reshape, transpose, broadcast_in_dim, rev, concatenate})


@dataclass(frozen=True, slots=True)
class Fold:
    """A carry that terms are combined with.

    Attributes:
      nodes: in the order in which they do.
      carried: the operand position of the running value in each of them.
      last: the one whose result the next iteration takes.
      reduction: of all terms.
    """

    nodes: tuple[int, ...]
    carried: tuple[int, ...]
    last: int
    first: Value
    reduction: Op


@dataclass(slots=True)
class Plan:
    """Which equations of a body become what.

    Attributes:
      outside: for each result of each node that is used after the loop, the iterations whose are.
      dead: for each node the iterations in which nothing uses it, if there are such.
      exact: results are rounded as those of the equations.
      order: of the nodes, what is used before those that use it, in the same iteration or a later one.
      apart: results of single iterations that are used one by one.
    """

    loop: Loop
    outside: dict[tuple[int, int], list[int]]
    dead: Sequence[Rows | None]
    exact: bool
    order: list[int] = field(default_factory=list)
    fixed: set[int] = field(default_factory=set)
    folds: list[Fold] = field(default_factory=list)
    scanned: set[int] = field(default_factory=set)
    late: set[int] = field(default_factory=set)
    apart: int = 0

    @property
    def source(self) -> Source:
        """Where the user's loop is."""
        return self.loop.nodes[0].eqn.source

    @property
    def summary(self) -> str:
        """What it becomes, in words."""
        parts = [fold.reduction.name for fold in self.folds]
        if self.scanned:
            parts.append(f"a scan of {len(self.scanned)}")
        if together := len(self.loop.nodes) - len(self.fixed) - len(self.folded) - len(self.scanned):
            parts.append(f"{together} for all iterations at once")
        if self.fixed:
            parts.append(f"{len(self.fixed)} before the loop")
        return ", ".join(parts)

    @property
    def folded(self) -> set[int]:
        return {node for fold in self.folds for node in fold.nodes}


def planned(
    loop: Loop, dead: Sequence[Rows | None], last: Mapping[Value, int],
    collected: Callable[[Value, int], bool], *, exact: bool,
) -> Plan | None:  # fmt: skip
    """The plan of a loop, if it pays.

    Args:
      dead: for each node the iterations in which nothing uses it; a scan computes these, nothing else does.
      last: the positions of the last equations that use values.
      collected: whether a value is only put beside others from a position on.
      exact: reductions keep the order of their terms, and powers are rounded as before.
    """
    outside: dict[tuple[int, int], list[int]] = {}
    for j, node in enumerate(loop.nodes):
        for k in range(len(node.eqn.results)):
            rows = [i for i, eqn in enumerate(node.eqns) if last.get(eqn.results[k], -1) >= loop.stop]
            if rows:
                outside[j, k] = rows
    plan = Plan(loop, outside, dead, exact)
    plan.fixed = _fixed(loop)
    users = _users(loop)
    plan.scanned = {
        j for j in range(len(loop.nodes)) if j not in plan.fixed and does_more_together(loop.nodes[j].eqn)
    }
    components = _cycles(users)
    plan.order = [j for group in reversed(components) for j in group]
    for group in components:
        if len(group) == 1 and group[0] not in users[group[0]]:
            continue
        is_live = all(dead[j] is None for j in group)
        fold = _fold(loop, group, users, outside, exact=exact) if is_live else None
        if fold is None:
            plan.scanned.update(group)
        else:
            plan.folds.append(fold)
    moving = set(range(len(loop.nodes))) - plan.fixed
    if _too_large(loop, moving - (set() if exact else _outer_products(plan, users, moving))):
        plan.folds, plan.scanned = [], moving
    elif plan.scanned:
        after = _reachable(users, plan.scanned)
        before = _reachable(_turned(users), plan.scanned)
        plan.scanned |= (after & before) - plan.folded
        plan.late = after - plan.scanned - plan.folded
        plan.scanned |= _enlarging(plan, users)
    if not plan.scanned and any(rows is not None for rows in dead):
        return None
    return plan if _pays(plan, collected) else None


def does_more_together(eqn: Eqn) -> bool:
    """Whether an equation does more for all iterations together than for each: both branches, the longest loop."""
    return eqn.op is cond or has_open_loops(eqn)


def _fixed(loop: Loop) -> set[int]:
    found: set[int] = set()
    for j, node in enumerate(loop.nodes):
        if not node.counts and not any(
            isinstance(o, (Before, Each)) or (isinstance(o, Inside) and o.node not in found)
            for o in node.origins
        ):
            found.add(j)
    return found


def _users(loop: Loop) -> list[set[int]]:
    users: list[set[int]] = [set() for _ in loop.nodes]
    for j, node in enumerate(loop.nodes):
        for origin in node.origins:
            if isinstance(origin, (Inside, Before)):
                users[origin.node].add(j)
    return users


def _turned(users: Sequence[set[int]]) -> list[set[int]]:
    out: list[set[int]] = [set() for _ in users]
    for j, each in enumerate(users):
        for k in each:
            out[k].add(j)
    return out


def _reachable(users: Sequence[set[int]], begin: set[int]) -> set[int]:
    found = set(begin)
    stack = list(begin)
    while stack:
        for k in users[stack.pop()] - found:
            found.add(k)
            stack.append(k)
    return found


def _cycles(users: Sequence[set[int]]) -> list[list[int]]:
    """Strongly connected components (Tarjan 1972), users before what they use, without recursion."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    held: list[int] = []
    is_held: set[int] = set()
    out: list[list[int]] = []
    for root in range(len(users)):
        if root in index:
            continue
        work = [(root, iter(sorted(users[root])))]
        index[root] = low[root] = len(index)
        held.append(root)
        is_held.add(root)
        while work:
            at, rest = work[-1]
            follower = next(rest, None)
            if follower is None:
                work.pop()
                if work:
                    low[work[-1][0]] = builtins.min(low[work[-1][0]], low[at])
                if low[at] == index[at]:
                    group = []
                    while True:
                        member = held.pop()
                        is_held.discard(member)
                        group.append(member)
                        if member == at:
                            break
                    out.append(sorted(group))
            elif follower not in index:
                index[follower] = low[follower] = len(index)
                held.append(follower)
                is_held.add(follower)
                work.append((follower, iter(sorted(users[follower]))))
            elif follower in is_held:
                low[at] = builtins.min(low[at], index[follower])
    return out


def _fold(
    loop: Loop, group: Sequence[int], users: Sequence[set[int]], outside: dict[tuple[int, int], list[int]],
    *, exact: bool,
) -> Fold | None:  # fmt: skip
    members = set(group)
    ops = {loop.nodes[j].eqn.op for j in group}
    first_op = loop.nodes[group[0]].eqn.op
    if first_op not in _REDUCTIONS or len({_REDUCTIONS.get(op) for op in ops}) > 1:
        return None
    # Where several terms are the largest, the derivatives of a reduction are not those of its steps; and products
    # in another order may overflow on the way.
    rounds = loop.nodes[group[0]].eqn.results[0].type.dtype.is_inexact
    if rounds and (exact or first_op in (max, min, mul)):
        return None
    carried, begins = [], []
    for j in group:
        node = loop.nodes[j]
        inner = [
            k for k, o in enumerate(node.origins) if isinstance(o, (Inside, Before)) and o.node in members
        ]
        if len(inner) != 1 or not users[j] <= members or (node.eqn.op is sub and inner[0] != 0):
            return None
        carried.append(inner[0])
        origin = node.origins[inner[0]]
        if isinstance(origin, Before):
            begins.append(origin)
    if len(begins) != 1 or begins[0].trips != 1:
        return None
    last = begins[0].node
    for j in group:
        if (rows := outside.get((j, 0))) and (j != last or rows != [loop.trips - 1]):
            return None
    return Fold(tuple(group), tuple(carried), last, begins[0].first[0], _REDUCTIONS[first_op])


def _enlarging(plan: Plan, users: Sequence[set[int]]) -> set[int]:
    """What a scan takes in though it needs no turn: cheap to compute there from less than it would read."""
    loop = plan.loop
    size = [math.prod(node.eqn.results[0].type.shape) for node in loop.nodes]
    moving: dict[int, int] = {}  # elements that differ from iteration to iteration and determine the node
    for j in plan.order:
        node = loop.nodes[j]
        if j in plan.fixed:
            moving[j] = 0
        elif node.counts or any(isinstance(o, Before) for o in node.origins):
            moving[j] = size[j]
        else:
            parts = [
                moving[o.node] if isinstance(o, Inside) else math.prod(o.values[0].type.shape)
                for o in node.origins
                if isinstance(o, (Inside, Each))
            ]
            moving[j] = builtins.min(size[j], sum(parts))
    found: set[int] = set()
    for j in reversed(plan.order):
        apart = j in plan.fixed or j in plan.scanned or j in plan.late or j in plan.folded
        if apart or loop.nodes[j].eqn.op not in _CHEAP or moving[j] >= size[j]:
            continue
        if users[j] <= plan.scanned | found and (j, 0) not in plan.outside:
            found.add(j)
    return found


def _too_large(loop: Loop, moving: set[int]) -> bool:
    sizes = [math.prod(r.type.shape) for j in moving for r in loop.nodes[j].eqn.results]
    largest = builtins.max(sizes, default=0)
    return largest >= _LARGE and largest * loop.trips > _TOGETHER


def _outer_products(plan: Plan, users: Sequence[set[int]], moving: set[int]) -> set[int]:
    """Nodes that add up outer products: all together, these become one product of matrices, which holds no terms."""
    nodes, found = plan.loop.nodes, set()
    for fold in plan.folds:
        if len(fold.nodes) > 1 or fold.reduction is not reduce_sum:
            continue
        (last,) = fold.nodes
        term = nodes[last].origins[1 - fold.carried[0]]
        if not isinstance(term, Inside) or nodes[term.node].eqn.op is not mul or users[term.node] != {last}:
            continue
        factors = [o.node for o in nodes[term.node].origins if isinstance(o, Inside) and o.node in moving]
        if all(nodes[j].eqn.op is broadcast_in_dim and users[j] == {term.node} for j in factors):
            sizes = [math.prod(nodes[j].eqn.operands[0].type.shape) for j in factors]
            if len(factors) == 2 and math.prod(sizes) == math.prod(nodes[last].eqn.results[0].type.shape):
                found |= {last, term.node, *factors}
    return found


def _pays(plan: Plan, collected: Callable[[Value, int], bool]) -> bool:
    loop = plan.loop
    moving = [j for j in range(len(loop.nodes)) if j not in plan.fixed]
    if moving and all(loop.nodes[j].eqn.op in _MOVES for j in moving):
        return False
    total = loop.trips * len(loop.nodes)
    if loop.level:
        return True
    if total < (_FEWEST_IN_TURN if plan.scanned else _FEWEST_TOGETHER):
        return False
    # These have to be taken out again.
    plan.apart = sum(
        not collected(loop.nodes[j].eqns[i].results[k], loop.stop)
        for (j, k), rows in plan.outside.items()
        if j not in plan.fixed
        for i in rows
    )
    return 2 * plan.apart + len(loop.nodes) < total
