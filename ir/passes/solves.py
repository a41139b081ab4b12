"""Systems are solved for what their solutions are multiplied with, where that is less.

    x = linear_solve(A, b);  y = dot_general(x, v)      becomes      c = dot_general(b, v);  y = linear_solve(A, c)

The columns of `b` are solved for one by one, so that a sum of columns of `x` solves for the sum of those of `b`.
With the identity for `b`, the inverse of a matrix times a vector is the solution for the vector; `without_inverses`
does so for as many columns and more, so that none is multiplied by an inverse. Where the sum is over the rows of `x`
instead, the transposed system is solved: u' A^-1 b = (A^-T u)' b. A product of few columns is multiplied after it:
A^-1 (u v') = (A^-1 u) v'. Columns and rows that are taken of a solution are such products, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ir.core import Eqn, Function, Value
from ir.op import Builder
from ir.ops.calls import stop_gradient
from ir.ops.contraction import dot_general, free_dims
from ir.ops.convert import convert
from ir.ops.elementwise import abs as abs_op
from ir.ops.elementwise import and_, div, eq, gt, is_finite, mul, neg, select
from ir.ops.linear_solve import linear_solve
from ir.ops.matrix import eye
from ir.ops.reduce import reduce_max
from ir.ops.shape import broadcast_in_dim, full_like, move_axis, permute, reshape_to, transpose
from ir.passes.blocking.axes import axes
from ir.passes.nested import deep
from ir.passes.parts.places import Definition, Taken, taken
from ir.passes.products.reorder import reorder_products
from ir.passes.replacing import replaced
from ir.passes.selections.systems import system
from ir.remarks import remark
from ir.rewriter import index_axis

# To solve for a column takes longer than to multiply it: of very many columns the inverse is found first.
_OF_INVERSE = 2

# What one system is solved for may be the solution of another: of so many in a row.
_ROUNDS = 4

_FUNCTIONS = ("matvec", "solve", "vecmat", "transpose_solve")
_TRANSPOSED = ("vecmat", "transpose_solve", "matvec", "solve")


@dataclass(frozen=True)
class _Use:
    """A product with a solution, or a part that is taken of one.

    Attributes:
      eqn: the product.
      side: which operand is the solution.
      axis: that of the solution which is summed over, or of which places are taken.
      count: columns of the other operand, or places.
      taken: what is taken.
    """

    eqn: Eqn
    side: int
    axis: int
    count: int
    taken: Taken | None = None


@deep
def solve_products(function: Function) -> Function:
    """Multiply before solving, where fewer columns are left to solve for."""
    return _solved(function, inverses=False)


@deep
def without_inverses(function: Function) -> Function:
    """As `solve_products`; also solve for what an inverse is multiplied with, instead of for the inverse.

    Solutions that are vectors then give products of these, which are multiplied in the best order.
    """
    before = function
    for _ in range(_ROUNDS):
        new = _solved(function, inverses=True)
        if new is function:
            break
        function = new
    return function if function is before else reorder_products(function)


def _solved(function: Function, *, inverses: bool) -> Function:
    solved = {e.results[0]: e for e in function.eqns if e.op is linear_solve and len(e.results) == 1}
    if not solved:
        return function
    made = {v: e for e in function.eqns for v in e.results}
    uses: dict[Value, list[_Use] | None] = {v: [] for v in solved}
    for v in function.results:
        uses[v] = None
    for eqn in function.eqns:
        for v in set(eqn.operands) & solved.keys():
            use, found = _use(eqn, v, made.get), uses[v]
            uses[v] = None if use is None or found is None else [*found, use]
    chosen: dict[Eqn, _Written] = {}
    for v, eqn in solved.items():
        is_inverse = is_identity(eqn.operands[-1], made.get)
        for use in _cheaper(v, uses[v] or [], is_inverse=is_inverse and inverses):
            attrs = _resized(eqn, use.axis, use.count, _FUNCTIONS)
            if attrs is not None:
                chosen[use.eqn] = _Written(eqn, use, attrs, use.axis, is_inverse)
            elif v.type.rank == 2 and eqn.attrs["transpose_solve"] is not None:
                column = 1 - use.axis
                attrs = _resized(eqn, column, use.count, _TRANSPOSED)
                if attrs is not None:
                    chosen[use.eqn] = _Written(eqn, use, attrs, column, is_inverse)
    few = {e: low for e in solved.values() if (low := _low_rank(e, made)) is not None}
    if not chosen and not few:
        return function
    for eqn in chosen:
        remark("solve_products", eqn.source, "multiplied before the system is solved")
    for eqn in few:
        remark("solve_products", eqn.source, "multiplied after the system is solved, for fewer columns")
    writes = {eqn.results[0]: low.write for eqn, low in few.items()}
    return replaced(function, writes | {eqn.results[0]: each.write for eqn, each in chosen.items()})


def _use(eqn: Eqn, value: Value, definition: Definition) -> _Use | None:
    """The product that an equation is, of the solution with something else, or what it takes of the solution."""
    part = taken(eqn, definition) if eqn.operands[0] is value else None
    if part is not None and len(part.parts) == 1:
        ((axis, places),) = part.parts.items()
        return _Use(eqn, 0, axis, places.count, part)
    if eqn.op is not dot_general or eqn.operands[0] is eqn.operands[1] or eqn.attrs["lhs_batch"]:
        return None
    side = 0 if eqn.operands[0] is value else 1
    contract = eqn.attrs[("lhs_contract", "rhs_contract")[side]]
    if len(contract) != 1 or eqn.results[0].type.dtype is not value.type.dtype:
        return None
    other = eqn.operands[1 - side].type
    return _Use(eqn, side, contract[0], other.size // max(1, value.type.shape[contract[0]]))


def _cheaper(solution: Value, uses: list[_Use], *, is_inverse: bool) -> list[_Use]:
    """The products, if all together take less to solve for than the solution and to multiply."""
    if len({use.axis for use in uses}) != 1 and not (is_inverse and uses):
        return []
    columns, least = sum(use.count for use in uses), min(solution.type.shape)
    return uses if columns < least or (is_inverse and columns <= _OF_INVERSE * least) else []


def is_identity(value: Value, definition: Definition) -> bool:
    """Whether a value is made as an identity matrix."""
    eqn = definition(value)
    while eqn is not None and eqn.op in (transpose, convert):
        inner = definition(eqn.operands[0])
        if eqn.op is convert and inner is not None and inner.op is eq:
            axes = [index_axis(v, definition) for v in inner.operands]
            return value.type.rank == 2 and None not in axes and set(axes) == {0, 1}
        eqn = inner
    return False


@dataclass(frozen=True)
class _Written:
    """A product that becomes a solution.

    Attributes:
      attrs: of the new system.
      column: the axis along which its right-hand sides stand side by side.
      is_inverse: the right-hand sides were those of an inverse.
    """

    solve: Eqn
    use: _Use
    attrs: dict[str, Function | None]
    column: int
    is_inverse: bool

    def write(self, env: dict[Value, Value]) -> Value:
        """The new result; `env` has what stands for others."""
        use, column = self.use, self.column
        *constants, b = [env.get(v, v) for v in self.solve.operands]
        if use.taken is not None:
            return self._part(use.taken, constants, b, lambda v: env.get(v, v))
        other = use.eqn.operands[1 - use.side]
        other = env.get(other, other)
        (axis,) = use.eqn.attrs[("rhs_contract", "lhs_contract")[use.side]]
        free = [d for d in range(other.type.rank) if d != axis]
        shape = tuple([other.type.shape[d] for d in free])
        columns = reshape_to(permute(other, (axis, *free)), (other.type.shape[axis], math.prod(shape)))
        precision = use.eqn.attrs["precision"]
        if column == use.axis:
            c = columns
            if not self.is_inverse:
                c = dot_general(b, columns, lhs_contract=(column,), rhs_contract=(0,), precision=precision)
            x = linear_solve(*constants, move_axis(c, c.type.rank - 1, column), **self.attrs)
        else:
            u = linear_solve(*constants, move_axis(columns, 1, column), **self.attrs)
            if self.is_inverse:
                x = move_axis(u, use.axis, 1)
            else:
                x = dot_general(u, b, lhs_contract=(use.axis,), rhs_contract=(use.axis,), precision=precision)
            column = 0
        rest = tuple([n for d, n in enumerate(x.type.shape) if d != column])
        if use.side == 0:
            return reshape_to(move_axis(x, column, len(rest)), (*rest, *shape))
        return reshape_to(move_axis(x, column, 0), (*shape, *rest))

    def _part(self, found: Taken, constants: list[Value], b: Value, now: Callable[[Value], Value]) -> Value:
        """What is taken of the solution."""
        ((axis, places),) = found.parts.items()
        if self.column == axis:
            part = linear_solve(*constants, places.take(b, axis, now), **self.attrs)
        else:
            n = self.solve.results[0].type.shape[axis]
            columns = places.take(eye((n, n), b.type.dtype), 1, now)
            u = linear_solve(*constants, move_axis(columns, 1, self.column), **self.attrs)
            if self.is_inverse:
                part = move_axis(move_axis(u, axis, 1), 0, axis)
            else:
                product = dot_general(u, b, lhs_contract=(axis,), rhs_contract=(axis,), precision="highest")
                part = move_axis(product, 0, axis)
        (out,) = self.use.eqn.results
        return found.result(part, out.type.shape, self.solve.results[0].type.shape, now)


@dataclass(frozen=True)
class _Columns:
    """An array with its free axis first and then those that are summed over.

    Attributes:
      perm: the order of its axes.
    """

    value: Value
    perm: tuple[int, ...]

    def write(self, env: dict[Value, Value]) -> Value:
        """A matrix of columns."""
        now = permute(env.get(self.value, self.value), self.perm)
        n = now.type.shape[0]
        return reshape_to(now, (n, now.type.size // n))


@dataclass(frozen=True)
class _Thin:
    """A matrix that is a product of two with few columns, up to its sign.

    Attributes:
      sides: the columns for its rows, and for its columns.
    """

    sides: tuple[_Columns, _Columns]
    rank: int
    precision: Any
    minus: bool


@dataclass(frozen=True)
class _LowRank:
    """A system whose right-hand sides are a product of two arrays that is summed over few elements.

    Attributes:
      attrs: of the system with one of them, which has few columns.
      axis: that of the right-hand sides along which a system runs.
    """

    solve: Eqn
    thin: _Thin
    attrs: dict[str, Function | None]
    axis: int

    def write(self, env: dict[Value, Value]) -> Value:
        """The new result; `env` has what stands for others."""
        constants = [env.get(v, v) for v in self.solve.operands[:-1]]
        left, right = _balanced(*[side.write(env) for side in self.thin.sides], first=self.axis == 0)
        if self.axis == 0:
            left = linear_solve(*constants, neg(left) if self.thin.minus else left, **self.attrs)
        else:
            rows = transpose(neg(right) if self.thin.minus else right, perm=(1, 0))
            right = transpose(linear_solve(*constants, rows, **self.attrs), perm=(1, 0))
        return dot_general(  # type: ignore[no-any-return]
            left, right, lhs_contract=(1,), rhs_contract=(1,), precision=self.thin.precision
        )


def _balanced(left: Value, right: Value, *, first: bool) -> tuple[Value, Value]:
    """The same product, with columns of at most 1 where no system is solved: on the side that is not the first.

    Then what is solved for is the largest column of u v', and overflows where that does; A^-1 u may have no range.
    """
    solved, other = (left, right) if first else (right, left)
    size = reduce_max(abs_op(stop_gradient(other)), axes=(0,))
    solved = mul(solved, _scale(size, solved, divides=False))
    other = div(other, _scale(size, other, divides=True))
    return (solved, other) if first else (other, solved)


def _scale(size: Value, columns: Value, *, divides: bool) -> Value:
    """The size of each column, 1 for inf and NaN, and for a divisor 0; as no number, which a product would take out."""
    wide = broadcast_in_dim(size, shape=columns.type.shape, dims=(1,))
    is_size = is_finite(wide)
    if divides:
        is_size = and_(is_size, gt(wide, full_like(wide, 0)))
    scale = select(is_size, wide, full_like(wide, 1))
    if scale.type.dtype is not columns.type.dtype:
        scale = convert(scale, dtype=columns.type.dtype)
    return scale  # type: ignore[no-any-return]


def _low_rank(eqn: Eqn, made: dict[Value, Eqn]) -> _LowRank | None:
    """A system that is solved for fewer columns if what it is solved for is multiplied later."""
    b = eqn.operands[-1]
    if b.type.rank != 2 or b.type.dtype.real.bits < 32 or (read := system(eqn)) is None:
        return None
    thin = _thin(b, made)
    if thin is None or 2 * thin.rank > b.type.shape[1 - read.axis]:
        return None
    attrs = _resized(eqn, 1 - read.axis, thin.rank, _FUNCTIONS)
    return None if attrs is None else _LowRank(eqn, thin, attrs, read.axis)


def _vector(value: Value) -> _Columns:
    """A vector, which may have axes of one element besides: these are summed over."""
    (wide,) = [d for d, n in enumerate(value.type.shape) if n != 1] or [0]
    return _Columns(value, (wide, *[d for d in range(value.type.rank) if d != wide]))


def _thin(value: Value, made: dict[Value, Eqn]) -> _Thin | None:
    """What a matrix is a product of; vectors, where it is one of two that are repeated."""
    minus = turned = False
    while (eqn := made.get(value)) is not None and eqn.op in (neg, transpose):
        minus ^= eqn.op is neg
        turned ^= eqn.op is transpose and eqn.attrs["perm"] == (1, 0)
        (value,) = eqn.operands
    if eqn is None or value.type.size == 0 or any(v.type.dtype is not value.type.dtype for v in eqn.operands):
        return None
    if eqn.op is mul:
        vectors: dict[tuple[int, ...], Value] = {}
        for v in eqn.operands:
            repeated = made.get(v)
            if repeated is not None and repeated.op is broadcast_in_dim:
                (x,) = repeated.operands
                wide = [
                    d
                    for d, n in zip(repeated.attrs["dims"], x.type.shape, strict=True)
                    if n == value.type.shape[d]
                ]
                if x.type.size == math.prod([value.type.shape[d] for d in wide]):
                    vectors[tuple(wide)] = x
        if vectors.keys() != {(0,), (1,)}:
            return None
        pair = [_vector(vectors[0,]), _vector(vectors[1,])]
        rank, precision = 1, None
    elif eqn.op is dot_general:
        a, x = eqn.attrs, eqn.operands[0]
        if (
            a["lhs_batch"]
            or len(a["lhs_contract"]) > 1
            or len(free_dims(x.type.rank, a["lhs_contract"], ())) != 1
        ):
            return None
        pair = []
        for v, contract in zip(eqn.operands, (a["lhs_contract"], a["rhs_contract"]), strict=True):
            (free,) = free_dims(v.type.rank, contract, ())
            pair.append(_Columns(v, (free, *contract)))
        rank = math.prod([x.type.shape[d] for d in a["lhs_contract"]])
        precision = a["precision"]
    else:
        return None
    return _Thin((pair[1], pair[0]) if turned else (pair[0], pair[1]), rank, precision, minus)


def _resized(eqn: Eqn, axis: int, count: int, names: tuple[str, ...]) -> dict[str, Function | None] | None:
    """The functions of a system, those of `names` in their places, for so many columns; None where they mix columns."""
    made: dict[str, Function | None] = {}
    for name, function in zip(_FUNCTIONS, [eqn.attrs[name] for name in names], strict=True):
        made[name] = None if function is None else _of_size(function, axis, count)
        if function is not None and made[name] is None:
            return None
    return made


def _of_size(function: Function, axis: int, size: int) -> Function | None:
    """A function of constants and an array, for another size of one axis that its result has, too."""
    *constants, x = function.params
    if x.type.shape[axis] < 2 or len(function.results) != 1:
        return None
    given = Value(x.type.with_shape((*x.type.shape[:axis], size, *x.type.shape[axis + 1 :])), x.name)
    env, dims = {x: given}, {x: axis}
    builder = Builder()
    for eqn in function.eqns:
        operands = tuple([env.get(v, v) for v in eqn.operands])
        has = [dims.get(v) for v in eqn.operands]
        builder.source = eqn.source
        if all(d is None for d in has):
            env.update(zip(eqn.results, builder.copy(eqn, operands), strict=True))
            continue
        along = next((a for a in axes(eqn) if list(a.operands) == has and a.combine is None), None)
        if along is None or along.counts:
            return None
        attrs = eqn.attrs if along.resized is None else along.resized(size)
        env.update(zip(eqn.results, builder.emit(eqn.op, operands, attrs), strict=True))
        dims.update({v: d for v, d in zip(eqn.results, along.results, strict=True) if d is not None})
    (out,) = function.results
    if dims.get(out) != axis:
        return None
    return Function((*constants, given), tuple(builder.eqns), (env[out],), function.name)
