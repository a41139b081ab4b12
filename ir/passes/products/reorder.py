"""Products in the order that costs least.

    c = dot_general(A, B);  d = dot_general(c, x)    becomes    b = dot_general(B, x);  d = dot_general(A, b)

Each contraction, with the products, sums and rearrangements that go into it, is read as a network (`network`); if
another order (`order`) is quicker by the model of the machine, it is written in that order (`write`). A product that
several networks use is computed within each of them where that is quicker together.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter

from ir.core import Eqn, Function, Value
from ir.machine import Machine, current
from ir.ops.contraction import dot_general
from ir.ops.elementwise import add, div, mul, neg, sub
from ir.ops.indexing import gather
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim, reshape, slice, transpose
from ir.passes.nested import deep
from ir.passes.products.choices import Choice, Sum, factors, has_range, is_number, pays, within
from ir.passes.products.reading import Reader
from ir.passes.products.terms import Terms
from ir.passes.products.write import write
from ir.passes.replacing import Write, replaced
from ir.remarks import remark
from ir.rewriter import constant_number

_ROOTS = (dot_general, reduce_sum, slice, gather)
# So many products that several networks use are tried within them.
_SHARED = 64
# So many sums that are no work to multiply by, such as reflections, are applied in turn.
_STEPS = 16
# Of more such sums in one product not every choice of their terms is looked at.
_AT_ONCE = 2
# A product of sums is written as the sum of at most so many products.
_TERMS = 6
# What networks read through besides.
_REARRANGED = (broadcast_in_dim, gather, neg, reshape, slice, transpose)


@deep
def reorder_products(function: Function) -> Function:
    """Multiply in the best order, where that pays."""
    ops = {e.op for e in function.eqns}
    if ops.isdisjoint(_ROOTS) or ops.isdisjoint((dot_general, mul, add, sub)):
        return function
    for _ in range(_STEPS):
        products = _Products(function, current())
        steps = products.applied_in_turn()
        if not steps:
            break
        function = replaced(function, steps)
    chosen = products.chosen()
    if not chosen:
        return function
    for eqn in function.eqns:
        if eqn.results and (choice := chosen.get(eqn.results[0])):
            seconds = f"{choice.seconds * 1e6:.3g} us"
            remark("reorder_products", eqn.source, f"multiplied in another order: {seconds}")
    return replaced(function, {v: functools.partial(_written, choice) for v, choice in chosen.items()})


def _written(choice: Choice | Sum, env: dict[Value, Value]) -> Value:
    return functools.reduce(add, [write(p.network, p.order, env) for p in choice.parts])


def _is_plain(eqn: Eqn) -> bool:
    """Whether a contraction is a product of two matrices."""
    a = eqn.attrs
    is_product = not a["lhs_batch"] and len(a["lhs_contract"]) == 1 and a["preferred_type"] is None
    return is_product and all(v.type.rank == 2 for v in eqn.operands)


def _in_turn(eqn: Eqn, inner: Eqn, side: int, env: dict[Value, Value]) -> Value:
    """A product of a product of two matrices, the left or the right operand: first with the nearer one."""
    a, b = eqn.attrs, inner.attrs
    other = eqn.operands[1 - side]
    other = env.get(other, other)
    (axis,), (other_axis,) = (a["lhs_contract"], a["rhs_contract"])[:: 1 if side == 0 else -1]
    matrices = [env.get(v, v) for v in inner.operands]
    summed = b["lhs_contract"][0], b["rhs_contract"][0]

    def dot(matrix: Value, axis: int, x: Value, x_axis: int) -> Value:
        pair, axes = ((matrix, x), (axis, x_axis)) if side == 0 else ((x, matrix), (x_axis, axis))
        return dot_general(  # type: ignore[no-any-return]
            *pair, lhs_contract=(axes[0],), rhs_contract=(axes[1],), precision=a["precision"]
        )

    near = dot(matrices[axis], 1 - summed[axis], other, other_axis)
    return dot(matrices[1 - axis], summed[1 - axis], near, 0 if side == 0 else near.type.rank - 1)


class _Products:
    def __init__(self, function: Function, machine: Machine) -> None:
        self.function, self.machine = function, machine
        self.definitions = {v: eqn for eqn in function.eqns for v in eqn.results}
        self.uses: Counter[Value] = Counter(v for eqn in function.eqns for v in eqn.operands)
        self.readers: dict[Value, list[Eqn]] = {}
        for eqn in function.eqns:
            for v in set(eqn.operands):
                self.readers.setdefault(v, []).append(eqn)
        self.kept = set(function.results)
        self.opened: set[Value] = set()
        self.closed: set[Value] = set()
        self.reader = Reader(self.definitions, self._inner)
        self.terms = Terms(self.reader)

    def _inner(self, value: Value) -> bool:
        """Whether the equation of a value is read where the value is used; always if it is no work to compute again."""
        if value in self.closed:
            return False
        return self._is_own(value) or self._is_no_work(self.definitions.get(value))

    def _is_no_work(self, eqn: Eqn | None) -> bool:
        return eqn is not None and (self.reader.is_outer(eqn) or self.reader.is_multiple(eqn))

    def _is_alone(self, value: Value) -> bool:
        """Whether nothing reads a value besides one equation, nor that for others."""
        while value not in self.kept and self.uses[value] == 1:
            (reader,) = self.readers[value]
            if not (self._is_no_work(reader) or reader.op is broadcast_in_dim):
                return True
            (value,) = reader.results
            if value in self.opened:
                return True
        return False

    def _is_own(self, value: Value) -> bool:
        return value in self.opened or self._is_alone(value)

    def chosen(self) -> dict[Value, Choice | Sum]:
        """The networks to write anew, by the result of their root."""
        found: dict[Value, Choice | Sum] = {}
        covered: set[Value] = set()
        for eqn in reversed(self.function.eqns):
            if eqn.op in _ROOTS and eqn.results[0] not in covered and has_range(eqn.results[0].type.dtype):
                choice = self._best(eqn)
                if choice is not None:
                    found[eqn.results[0]] = choice
                    covered.update(e.results[0] for part in choice.parts for e in part.network.inside)
        self._open(found)
        return {v: choice for v, choice in found.items() if choice.pays}

    def _best(self, eqn: Eqn) -> Choice | Sum | None:
        choice = self._choice(eqn)
        if choice is None:
            return None
        light = sum(map(self._is_light, factors(choice)))
        if light > _AT_ONCE and (by_steps := self._by_steps(eqn, choice, choice.new)) is not None:
            return by_steps
        out = self._multiplied_out(eqn, choice, _TERMS) if light <= _AT_ONCE else None
        by_steps = self._by_steps(eqn, choice, choice.new if out is None else out.new)
        if by_steps is not None:
            return by_steps
        if out is not None:
            return out
        if eqn.op is reduce_sum and len(choice.network.terms) < 2:
            return None  # a multiple of a sum
        if choice.repeats and not self._is_read_by_element(eqn.results[0]):
            choice.repeating = self.machine.seconds(0, eqn.results[0].type.nbytes)
        return choice if choice.network.multiplies and choice.network.terms else None

    def _is_read_by_element(self, value: Value) -> bool:
        return value not in self.kept and all(e.op.elementwise for e in self.readers.get(value, ()))

    def _multiplied_out(self, eqn: Eqn, choice: Choice, most: int) -> Sum | None:
        """The sum of at most so many products, where a factor is a sum and that is quicker.

        Not in narrow types, in which sums of products are rounded once.
        """
        if eqn.results[0].type.dtype.real.bits < 32 or most < 2:
            return None
        count = Counter(factors(choice))
        for value, times in count.items():
            made = self.definitions.get(value)
            if made is None or made.op not in (add, sub) or 2**times > most:
                continue
            if not (self._inner(value) or self._is_light(value)):
                continue
            products = self._products(value)
            if not products and not any(map(self._is_free, made.operands)):
                continue
            if not (choice.takes or self.terms.may(value, times, self.reader.sides)):
                continue
            inside = [found for e in products if (found := self._choice(e)) is not None]
            parts: list[Choice] = []
            seconds = 0.0
            for sides in itertools.product((0, 1), repeat=times):
                self.reader.sides[value] = sides
                part = self._choice(eqn)
                if part is None:
                    break
                out = self._multiplied_out(eqn, part, most - 1 - len(parts))
                parts += part.parts if out is None else out.parts
                seconds += part.new if out is None else out.new
            else:
                seconds += self._adding(eqn.results[0], parts)
                is_gone = self._inner(value) or self._read_by(value, [choice])
                added = 3 * self.machine.seconds(0, value.type.nbytes) if is_gone else 0
                before = choice.seconds + added + sum(p.seconds for p in inside)
                if pays(before, seconds) and len(parts) <= most:
                    del self.reader.sides[value]
                    return Sum(parts, seconds)
            del self.reader.sides[value]
        return None

    def _adding(self, out: Value, parts: list[Choice]) -> float:
        """Seconds to add up products; what is repeated along an axis is not written before."""
        read = sum(not part.repeats for part in parts)
        return (1 + read) * self.machine.seconds(0, out.type.nbytes)

    def _by_steps(self, eqn: Eqn, choice: Choice, seconds: float) -> Choice | Sum | None:
        """A network whose products with light sums are computed one by one, if that is quicker than `seconds`.

        Of several such sums in a chain, as of a matrix that is centred on both sides, multiplying out at once makes
        a product of every choice of their terms.
        """
        steps = [e for e in choice.network.inside if e is not eqn and self._has_light_factor(e)]
        if not steps or eqn.op not in (dot_general, reduce_sum):
            return None
        new = {e.results[0] for e in steps} - self.closed
        if not new:
            return None
        self.closed |= new
        whole = self._best(eqn)
        parts = [self._best(e) for e in steps]
        if whole is None or any(part is None or not part.pays for part in parts):
            self.closed -= new
            return None
        total = whole.seconds + sum(part.seconds for part in parts if part is not None)
        if not pays(seconds, total):
            self.closed -= new
            return None
        return whole

    def _has_light_factor(self, eqn: Eqn) -> bool:
        """Whether an equation is a product with a sum of which every term is no work to multiply by."""
        return eqn.op is dot_general and any(self._is_light(v) for v in eqn.operands)

    def _is_light(self, value: Value) -> bool:
        """Whether a value is a sum that may be multiplied out, of terms that are no work to multiply by.

        Such as an identity matrix and a number everywhere.
        """
        terms = self.terms.of(self.terms.without(value)[0])
        return terms is not None and all(t.is_light for t in terms)

    def applied_in_turn(self) -> dict[Value, Write]:
        """Products of light sums, times something else: the nearest one first."""
        found: dict[Value, Write] = {}
        for eqn in self.function.eqns:
            if eqn.op is not dot_general or eqn.attrs["lhs_batch"] or eqn.attrs["preferred_type"] is not None:
                continue
            for side, v in enumerate(eqn.operands):
                inner = self.definitions.get(v)
                if inner is None or not self._is_alone(v) or not self._is_chain(v):
                    continue
                other = eqn.operands[1 - side]
                if not (self._is_light(other) or self._is_chain(other)) and has_range(v.type.dtype):
                    found[eqn.results[0]] = functools.partial(_in_turn, eqn, inner, side)
                    break
        return found

    def _is_chain(self, value: Value) -> bool:
        """Whether a value is a product of light sums, of so many at most."""
        stack, count = [value], 0
        while stack and count < _STEPS:
            eqn = self.definitions.get(stack.pop())
            if eqn is None or eqn.op is not dot_general or not _is_plain(eqn):
                return False
            others = [v for v in eqn.operands if not self._is_light(v)]
            if not all(map(self._is_alone, others)):
                return False
            stack += others
            count += 1
        return not stack

    def _is_free(self, value: Value) -> bool:
        """Whether a value, but for numbers, is no work to multiply by."""
        eqn = self.definitions.get(value)
        while eqn is not None and (eqn.op is neg or self.reader.is_multiple(eqn)) and self._inner(value):
            constants = [constant_number(self.definitions.get(v)) is not None for v in eqn.operands]
            value = eqn.operands[1 if constants[0] else 0]
            eqn = self.definitions.get(value)
        return self.reader.is_free(value)

    def _products(self, value: Value) -> list[Eqn]:
        """The products that are added up to a value, but for numbers, if nothing else reads them."""
        found: list[Eqn] = []
        stack = [value]
        while stack and len(found) < _TERMS:
            eqn = self.definitions.get(stack.pop())
            if eqn is None or not (eqn.results[0] is value or self._inner(eqn.results[0])):
                continue
            if eqn.op is dot_general or self.reader.is_outer(eqn):
                found.append(eqn)
            elif eqn.op in (add, sub):
                stack += eqn.operands
            elif eqn.op in (neg, transpose, div):
                stack.append(eqn.operands[0])
            elif eqn.op is mul:
                stack += [v for v in eqn.operands if constant_number(self.definitions.get(v)) is None]
        return found

    def _open(self, found: dict[Value, Choice | Sum]) -> None:
        """Compute what several networks use within each, where that is quicker; what comes last is tried first."""
        users: dict[Value, dict[Value, None]] = {}
        for root, choice in found.items():
            for value in factors(choice):
                users.setdefault(value, {})[root] = None
        tried = 0
        for eqn in reversed(self.function.eqns):
            if len(eqn.results) != 1 or tried == _SHARED:
                continue
            (value,) = eqn.results
            sum_of = self._products(value) if eqn.op in (add, sub) and value in users else []
            if value not in found and not sum_of:
                continue
            roots = [root for root in users.get(value, ()) if root in found]
            if not roots:
                continue
            tried += 1
            self.opened.add(value)
            new = {root: self._best(self.definitions[root]) for root in roots}
            before = sum(found[root].seconds for root in roots)
            gone = value not in self.kept and self._read_by(value, [found[root] for root in roots])
            if gone and value in found:
                before += found[value].seconds
            elif gone:
                before += 3 * self.machine.seconds(0, value.type.nbytes)
                before += sum(found[v].seconds for e in sum_of if (v := e.results[0]) in found)
            if pays(before, sum(within(choice, value) for choice in new.values())):
                if gone:
                    for each in (value, *[e.results[0] for e in sum_of]):
                        found.pop(each, None)
                for root, made in new.items():
                    assert made is not None
                    for part in made.parts:
                        part.together = True
                    found[root] = made
                    for factor in factors(made):
                        users.setdefault(factor, {})[root] = None
            else:
                self.opened.discard(value)

    def _read_by(self, value: Value, choices: list[Choice | Sum]) -> bool:
        """Whether nothing but some networks reads a value."""
        inside = {e for choice in choices for part in choice.parts for e in part.network.inside}
        stack = [value]
        while stack:
            for eqn in self.readers.get(stack.pop(), ()):
                if eqn in inside:
                    continue
                if eqn.op not in _REARRANGED or eqn.results[0] in self.kept:
                    return False
                stack.append(eqn.results[0])
        return True

    def _choice(self, eqn: Eqn) -> Choice | None:
        network = self.reader.read(eqn)
        if network is None or not is_number(network.number, eqn.results[0].type.dtype):
            return None
        if not network.terms and network.divisors:
            return None
        if any(0 in value.type.shape for value, _ in network.terms) or eqn.results[0].type.size == 0:
            return None
        contracted = {v for e in network.inside if e.op is dot_general for v in e.operands}
        # (What others read, too, is computed for them.)
        own = [e for e in network.inside if e is eqn or e.op is dot_general or self._is_own(e.results[0])]
        old = sum(self._seconds(e, e.results[0] in contracted) for e in own)
        return Choice(network, old, self.machine)

    def _seconds(self, eqn: Eqn, contracted: bool) -> float:
        """Of an equation as it stands; elementwise products are computed with what uses them, but for contractions."""
        out = eqn.results[0].type
        if eqn.op is dot_general:
            depth = math.prod([eqn.operands[0].type.shape[d] for d in eqn.attrs["lhs_contract"]])
            nbytes = out.nbytes + sum(v.type.nbytes for v in eqn.operands)
            return self.machine.seconds(2 * out.size * depth, nbytes)
        if eqn.op is reduce_sum:
            return self.machine.seconds(0, out.nbytes + eqn.operands[0].type.nbytes)
        fused = not contracted or any(map(self._is_elementwise, eqn.operands))
        return 0.0 if fused else self.machine.seconds(0, 2 * out.nbytes)

    def _is_elementwise(self, value: Value) -> bool:
        """Whether a value is computed element by element, so that what is done to it next costs little."""
        eqn = self.definitions.get(value)
        return eqn is not None and eqn.op.elementwise
