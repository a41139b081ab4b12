"""Large arrays are not reshaped, cut or padded: what they are made of, and what they are multiplied with, is.

    l = dot_general(h, w);  f = reshape(l)         becomes    f = dot_general(reshape(h), w)
    g = pad(f, 0);  d = dot_general(h, g)          becomes    d = dot_general(slice(h), f)

So one axis runs through the whole way of a large array, such as that of all tokens of a batch, and the program can be
computed in blocks of it. Products of zeros that pad an array are left out.
"""

from __future__ import annotations

from collections.abc import Callable

from ir.core import Eqn, Function, Value
from ir.op import Builder, building, current_builder
from ir.ops.contraction import dot_general, free_dims
from ir.ops.convert import convert
from ir.ops.reduce import reduce_max, reduce_min, reduce_sum
from ir.ops.shape import (
    broadcast_in_dim,
    constant,
    iota,
    pad,
    reshape,
    reshape_to,
    slice,
)
from ir.passes.blocking.moves import Cut, Merge, Move, move_of
from ir.passes.blocking.region import Program
from ir.passes.dce import dce
from ir.passes.replacing import renamed

# Elementwise ops that give 0 for 0, and for nothing else that matters.
_KEEP_ZERO = (convert,)
# So many equations are written anew at most for one large array.
_FEW = 64


def moved(function: Function, least: float) -> Function:
    """Without reshapes, cuts and zeros of arrays of at least so many bytes, where what is around can do without."""
    if not any(move_of(eqn, least) is not None for eqn in function.eqns):
        return function
    return dce(_Mover(function, least).written())


class _Mover:
    """Writes a function anew.

    Attributes:
      env: what stands for values of the function.
      known: for values that were merged or cut, and are to be so again, what they are before that is undone.
    """

    def __init__(self, function: Function, least: float) -> None:
        self.function, self.least = function, least
        self.program = Program(function)
        self.env: dict[Value, Value] = {}
        self.known: dict[Value, tuple[Move, Value]] = {}
        self.builder = Builder()

    def written(self) -> Function:
        with building(self.builder):
            for eqn in self.function.eqns:
                self.builder.source = eqn.source
                if not (self._done(eqn) or self._undone(eqn) or self._through(eqn)):
                    operands = [self._whole(v) for v in eqn.operands]
                    self.builder.append(renamed(eqn, dict(zip(eqn.operands, operands, strict=True))))
            results = tuple([self._whole(v) for v in self.function.results])
        return self.function.replace(eqns=tuple(self.builder.eqns), results=results)

    def _whole(self, v: Value) -> Value:
        """The value as it was."""
        if v not in self.env and v in self.known:
            move, x = self.known[v]
            self.env[v] = move.undone(x)
        return self.env.get(v, v)

    # A large array that is merged or cut ---------------------------------------------------------------------

    def _done(self, eqn: Eqn) -> bool:
        move = move_of(eqn, self.least)
        if (
            move is None
            or move.shape(eqn.operands[0].type.shape) != eqn.results[0].type.shape
            or eqn.op is pad
        ):
            return False
        also = self._reaches(eqn.operands[0], move, eqn)
        if also is None:
            return False
        made: dict[Value, Value] = {}
        self.env[eqn.results[0]] = self._pulled(eqn.operands[0], move, made)
        for v in also:
            self._pulled(v, move, made)
        return True

    def _reaches(self, v: Value, move: Move, last: Eqn) -> list[Value] | None:
        """Where the value is computed from products and small arrays, what has to be moved with it.

        It has to be computed for the last equation alone, or for later ones, which read what is merged as it was: that
        costs nothing. Earlier ones are moved too, where they can be.
        """
        seen: set[Value] = set()
        merged = {last}
        also: list[Value] = []
        pending = [v]
        while pending:
            v = pending.pop()
            if v in seen or self._given(v, move) or self._free(v):
                continue
            seen.add(v)
            eqn = self.program.definitions.get(v)
            if eqn is None or len(seen) > _FEW:
                return None
            if eqn.op is dot_general:
                if _owner(eqn, move) is None:
                    return None
            elif eqn.op.elementwise and len(eqn.results) == 1:
                merged.add(eqn)
                pending += eqn.operands
            else:
                return None
            if isinstance(move, Merge):
                early = [u for u in self.program.users[v] if self._before(u, last) and u not in merged]
                also += [u.results[0] for u in early]
                pending += [u.results[0] for u in early]
        others = {user for v in seen for user in self.program.users.get(v, ())} - merged
        if isinstance(move, Cut):
            return also if not others and seen.isdisjoint(self.program.results) else None
        return None if any(self._before(user, last) for user in others) else also

    def _before(self, eqn: Eqn, last: Eqn) -> bool:
        return self.program.positions[eqn] < self.program.positions[last]

    def _given(self, v: Value, move: Move) -> bool:
        return v in self.known and self.known[v][0] == move

    def _free(self, v: Value) -> bool:
        """Whether it costs little to make the value anew, or to move it: one that is small, or spread from such."""
        if v.type.nbytes < self.least / 4:
            return True
        eqn = self.program.definitions.get(v)
        if eqn is None:
            return False
        if eqn.op is constant:
            return bool(eqn.attrs["value"].shape == ())
        return eqn.op is iota or (eqn.op is broadcast_in_dim and eqn.operands[0].type.nbytes < self.least / 4)

    def _pulled(self, v: Value, move: Move, made: dict[Value, Value]) -> Value:
        """The value, moved; computed from what it is made of, moved."""
        if v in made:
            return made[v]
        eqn = self.program.definitions.get(v)
        if self._given(v, move):
            out = self.known[v][1]
        elif eqn is not None and eqn.op in (constant, iota, broadcast_in_dim):
            out = self._spread(eqn, move)
        elif v.type.nbytes < self.least / 4:
            out = move.done(self._whole(v))
        else:
            assert eqn is not None
            if eqn.op is dot_general:
                side = _owner(eqn, move)
                assert side is not None
                out = self._product(eqn, move, side)
            else:
                operands = tuple([self._pulled(u, move, made) for u in eqn.operands])
                out = self.builder.emit(eqn.op, operands, eqn.attrs)[0]
            if not out.name:
                out.name = v.name
            if isinstance(move, Merge):
                self.known[v] = move, out
        made[v] = out
        return out

    def _spread(self, eqn: Eqn, move: Move) -> Value:
        """A constant, positions or a broadcast, moved."""
        shape = eqn.results[0].type.shape
        if eqn.op is constant and eqn.attrs["value"].shape == ():
            return self.builder.emit(constant, (), {**eqn.attrs, "shape": move.shape(shape)})[0]
        if eqn.op is iota:
            axis = eqn.attrs["axis"]
            if axis not in move.dims:
                attrs = {**eqn.attrs, "shape": move.shape(shape), "axis": move.new(axis)}
                return self.builder.emit(iota, (), attrs)[0]
            x, dims = (
                self.builder.emit(iota, (), {**eqn.attrs, "shape": (shape[axis],), "axis": 0})[0],
                (axis,),
            )
        elif eqn.op is broadcast_in_dim:
            x, dims = self._whole(eqn.operands[0]), eqn.attrs["dims"]
        else:
            return move.done(self._whole(eqn.results[0]))
        inside = [d for d in dims if d in move.dims]
        if inside:
            # All of the moved dimensions, in order, at the place of the first.
            at = dims.index(inside[0])
            kept = [*dims[:at], *move.dims, *[d for d in dims[at:] if d not in move.dims]]
            sizes = [shape[d] if d in move.dims else x.type.shape[dims.index(d)] for d in kept]
            x = broadcast_in_dim(x, shape=tuple(sizes), dims=tuple([kept.index(d) for d in dims]))
            x = move.at(at).done(x)
            dims = (*kept[: at + 1], *kept[at + len(move.sizes) :])
        return broadcast_in_dim(x, shape=move.shape(shape), dims=tuple([move.new(d) for d in dims]))  # type: ignore[no-any-return]

    def _product(self, eqn: Eqn, move: Move, side: int) -> Value:
        """A product of which free dimensions of one operand are moved."""
        operands = [self._whole(v) for v in eqn.operands]
        name, first = _owner_dims(eqn, move, side)
        own = move.at(first)
        operands[side] = own.done(operands[side])
        attrs = dict(eqn.attrs)
        for part in ("contract", "batch"):
            attrs[f"{name}_{part}"] = tuple([own.new(d) for d in attrs[f"{name}_{part}"]])
        return self.builder.emit(dot_general, tuple(operands), attrs)[0]

    # A large array that was merged or cut before -------------------------------------------------------------

    def _undone(self, eqn: Eqn) -> bool:
        move = move_of(eqn, self.least)
        if (
            move is None
            or eqn.op is slice
            or move.shape(eqn.results[0].type.shape) != eqn.operands[0].type.shape
        ):
            return False
        if eqn.op is pad:
            made = self.program.definitions.get(eqn.operands[1])
            if made is None or made.op is not constant or made.attrs["value"].array.any():
                return False
        self.known[eqn.results[0]] = move, self._whole(eqn.operands[0])
        return True

    def _through(self, eqn: Eqn) -> bool:
        """Compute from operands before what was undone of them, where that gives the result or the same of it."""
        moves = [self.known[v][0] for v in eqn.operands if v in self.known]
        if not moves or len(eqn.results) != 1:
            return False
        move = moves[0]
        if eqn.op is dot_general:
            return self._through_product(eqn)
        if eqn.op in (reduce_sum, reduce_max, reduce_min):
            return self._through_reduction(eqn, move)
        if eqn.op is reshape and isinstance(move, Merge):
            self.env[eqn.results[0]] = reshape_to(self.known[eqn.operands[0]][1], eqn.results[0].type.shape)
            return True
        if not eqn.op.elementwise or (isinstance(move, Cut) and eqn.op not in _KEEP_ZERO):
            return False
        if not all(self._given(v, move) or self._free(v) for v in eqn.operands):
            return False
        made: dict[Value, Value] = {}
        operands = tuple([self._pulled(v, move, made) for v in eqn.operands])
        self.known[eqn.results[0]] = move, self.builder.emit(eqn.op, operands, eqn.attrs)[0]
        return True

    def _through_reduction(self, eqn: Eqn, move: Move) -> bool:
        inside = [d for d in eqn.attrs["axes"] if d in move.dims]
        if len(inside) not in (0, len(move.sizes)) or (isinstance(move, Cut) and eqn.op is not reduce_sum):
            return False
        axes = tuple(sorted({move.new(d) for d in eqn.attrs["axes"]}))
        out = self.builder.emit(eqn.op, (self.known[eqn.operands[0]][1],), {**eqn.attrs, "axes": axes})[0]
        if inside:
            self.env[eqn.results[0]] = out
        else:
            before = sum(d < move.dim for d in eqn.attrs["axes"])
            self.known[eqn.results[0]] = move.at(move.dim - before), out
        return True

    def _through_product(self, eqn: Eqn) -> bool:
        side = 0 if eqn.operands[0] in self.known else 1
        move, x = self.known[eqn.operands[side]]
        other = eqn.operands[1 - side]
        name, its = ("lhs", "rhs") if side == 0 else ("rhs", "lhs")
        attrs = dict(eqn.attrs)
        contract, partner = attrs[f"{name}_contract"], attrs[f"{its}_contract"]
        rank = eqn.operands[side].type.rank
        free = free_dims(rank, contract, attrs[f"{name}_batch"])
        if all(d in contract for d in move.dims):
            # The other operand is moved as well, where it has the same dimensions side by side.
            at = [partner[contract.index(d)] for d in move.dims]
            if at != list(range(at[0], at[0] + len(at))):
                return False
            own = move.at(at[0])
            y = self.known[other][1] if self._given(other, own) else own.done(self._whole(other))
            pairs = dict.fromkeys((move.new(d), own.new(e)) for d, e in zip(contract, partner, strict=True))
            attrs[f"{name}_contract"], attrs[f"{its}_contract"] = map(tuple, zip(*pairs, strict=True))
            attrs[f"{its}_batch"] = tuple([own.new(d) for d in attrs[f"{its}_batch"]])
            known: Callable[[Value], None] = lambda out: self.env.update({eqn.results[0]: out})  # noqa: E731
        elif all(d in free for d in move.dims):
            y = self._whole(other)
            first = _place(eqn, side, move.dim)
            known = lambda out: self.known.update({eqn.results[0]: (move.at(first), out)})  # noqa: E731
            attrs[f"{name}_contract"] = tuple([move.new(d) for d in contract])
        else:
            return False
        attrs[f"{name}_batch"] = tuple([move.new(d) for d in attrs[f"{name}_batch"]])
        known(current_builder().emit(dot_general, (x, y) if side == 0 else (y, x), attrs)[0])
        return True


def _place(eqn: Eqn, side: int, dim: int) -> int:
    """Which dimension of a product is a free dimension of an operand."""
    attrs = eqn.attrs
    lhs = free_dims(eqn.operands[0].type.rank, attrs["lhs_contract"], attrs["lhs_batch"])
    rhs = free_dims(eqn.operands[1].type.rank, attrs["rhs_contract"], attrs["rhs_batch"])
    batch = len(attrs["lhs_batch"])
    return batch + (lhs.index(dim) if side == 0 else len(lhs) + rhs.index(dim))


def _owner(eqn: Eqn, move: Move) -> int | None:
    """The operand of a product that has the dimensions, side by side and to itself."""
    for side in (0, 1):
        found = _owner_dims(eqn, move, side)[1]
        if found >= 0:
            return side
    return None


def _owner_dims(eqn: Eqn, move: Move, side: int) -> tuple[str, int]:
    """The name of an operand, and where in it the dimensions begin; -1 where it has not all."""
    name, x = ("lhs", "rhs")[side], eqn.operands[side]
    free = free_dims(x.type.rank, eqn.attrs[f"{name}_contract"], eqn.attrs[f"{name}_batch"])
    places = {_place(eqn, side, d): d for d in free}
    at = [places.get(d, -1) for d in move.dims]
    return name, at[0] if at[0] >= 0 and at == list(range(at[0], at[0] + len(at))) else -1


__all__ = ["moved"]
