"""Values, equations and functions: the whole data model of the IR.

    function ::= params eqns results
    eqn      ::= results = op[attrs] operands   (with a source location)
    value    ::= a param or a result of exactly one equation

Values and equations are immutable and compare by identity: a value *is* its definition. Functions
compare and hash by structure (`ir.structure`), up to the names of values and the source locations, so
that a function is its own cache key. An attribute is a hashable Python value; a nested `Function` is one.
Imports `ir.types`, `ir.source` and `ir.errors` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ir.source import UNKNOWN, Source
from ir.types import DType, TensorType, from_numpy

if TYPE_CHECKING:
    from ir.op import Op
    from ir.structure import Structure

Array = npt.NDArray[Any]
Attrs = Mapping[str, Any]

EMPTY_ATTRS: Attrs = {}


class Value:
    """A param of a function or a result of an equation; `name` is a hint for printing only."""

    __slots__ = ("name", "type")
    type: TensorType
    name: str

    def __init__(self, type: TensorType, name: str = "") -> None:
        self.type = type
        self.name = name

    def __repr__(self) -> str:
        return f"%{self.name or '_'}:{self.type}"


class Eqn:
    """`results = op[attrs] operands`, made at the user's `source`."""

    __slots__ = ("attrs", "op", "operands", "results", "source")
    op: Op
    operands: tuple[Value, ...]
    attrs: Attrs
    results: tuple[Value, ...]
    source: Source

    def __init__(
        self,
        op: Op,
        operands: tuple[Value, ...],
        attrs: Attrs,
        results: tuple[Value, ...],
        source: Source = UNKNOWN,
    ) -> None:
        self.op = op
        self.operands = operands
        self.attrs = attrs
        self.results = results
        self.source = source

    def __repr__(self) -> str:
        attrs = ", ".join(f"{k}={v}" for k, v in self.attrs.items())
        return f"{self.results} = {self.op.name}[{attrs}] {self.operands}"


class Dense:
    """An immutable array as an attribute; equal when dtype, shape and bits are equal."""

    __slots__ = ("_hash", "array", "dtype")
    array: Array
    dtype: DType

    def __init__(self, array: Any, dtype: DType | None = None) -> None:
        held = np.asarray(array, dtype=None if dtype is None else dtype.np)
        if held.flags.writeable:
            held = held.copy() if held.base is not None or held is array else held
            held.flags.writeable = False
        self.array = held
        self.dtype = from_numpy(held.dtype) if dtype is None else dtype
        self._hash: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    def item(self) -> Any:
        """The Python scalar of a one-element array."""
        return self.array.item()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Dense)
            and self.dtype is other.dtype
            and self.array.shape == other.array.shape
            and hash(self) == hash(other)
            and self.array.tobytes() == other.array.tobytes()
        )

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.dtype.name, self.array.shape, self.array.tobytes()))
        return self._hash

    def __repr__(self) -> str:
        return f"Dense({self.array.tolist()!r}, {self.dtype})"


class Opaque:
    """A named Python object as an attribute (a rule that is traced on demand); equal where the objects are.

    It prints as its name and does not parse back: inline it, or differentiate, first.
    """

    __slots__ = ("name", "obj")

    def __init__(self, name: str, obj: Any) -> None:
        self.name = name
        self.obj = obj

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and (self.obj is other.obj or self.obj == other.obj)

    def __hash__(self) -> int:
        return hash((Opaque, self.obj))

    def __repr__(self) -> str:
        return f"<{self.name}>"


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A closed straight-line program.

    Two functions are equal when they differ only in names and source locations.

    Attributes:
      params: inputs, captured values included.
      eqns: equations in an order in which every value is defined before it is used.
      results: outputs; a param may be a result, and a value may be returned twice.
      name: what a person calls it.
    """

    params: tuple[Value, ...]
    eqns: tuple[Eqn, ...]
    results: tuple[Value, ...]
    name: str = "f"
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def in_types(self) -> tuple[TensorType, ...]:
        return tuple([p.type for p in self.params])

    @property
    def out_types(self) -> tuple[TensorType, ...]:
        return tuple([r.type for r in self.results])

    def key(self) -> Structure:
        """What equal functions have in common, one object; linear in the equations when first asked for."""
        found = self._cache.get("structure")
        if found is None:
            from ir.structure import structure

            found = structure(self)
        return found

    def __hash__(self) -> int:
        return hash(self.key())

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Function):
            return NotImplemented
        return self.key() is other.key()

    def __str__(self) -> str:
        from ir.printer import to_text

        return to_text(self)

    def __repr__(self) -> str:
        return f"<Function {self.name}: {len(self.params)} params, {len(self.eqns)} eqns>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Function, (self.params, self.eqns, self.results, self.name)

    def replace(
        self,
        *,
        params: tuple[Value, ...] | None = None,
        eqns: tuple[Eqn, ...] | None = None,
        results: tuple[Value, ...] | None = None,
        name: str | None = None,
    ) -> Function:
        """A copy with some fields changed."""
        return Function(
            self.params if params is None else params,
            self.eqns if eqns is None else eqns,
            self.results if results is None else results,
            self.name if name is None else name,
        )


def attr_key(value: Any) -> Any:
    """A hashable stand-in that tells 1, 1.0 and True, and 0.0 and -0.0, apart."""
    kind = type(value)
    if kind is tuple:
        return tuple([attr_key(v) for v in value])
    if kind is float:
        return (float, value.hex())
    if kind is bool or kind is int or kind is complex:
        return (kind, repr(value))
    return value.key() if kind is Function else value


def nested_functions(eqn: Eqn) -> Iterator[Function]:
    """Functions among the attributes of an equation, also inside tuples."""
    for value in eqn.attrs.values():
        if isinstance(value, Function):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Function))


def running_functions(eqn: Eqn) -> Iterator[Function]:
    """Of the functions among the attributes those that run with the equation, in place of its derivatives."""
    unrun = eqn.op.unrun
    for name, value in eqn.attrs.items():
        if name in unrun:
            continue
        if isinstance(value, Function):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Function))


def holders(function: Function) -> tuple[int, ...]:
    """Positions of the equations that hold functions."""
    found = function._cache.get("holders")
    if found is None:
        found = tuple(
            [
                i
                for i, eqn in enumerate(function.eqns)
                if eqn.attrs
                and any(type(a) is Function or type(a) is tuple for a in eqn.attrs.values())
                and next(nested_functions(eqn), None) is not None
            ]
        )
        function._cache["holders"] = found
    return found


def inner_first(function: Function, unless: str | None = None) -> Iterator[Function]:
    """The function and all inside it, each once, a nested one before those that hold it. No recursion.

    Args:
      unless: leave out functions that have this in their cache, with what is inside them.
    """
    if unless is not None and unless in function._cache:
        return
    seen = {id(function)}
    stack = [(function, _below(function))]
    while stack:
        top, rest = stack[-1]
        below = next(rest, None)
        if below is None:
            stack.pop()
            yield top
        elif id(below) not in seen and (unless is None or unless not in below._cache):
            seen.add(id(below))
            stack.append((below, _below(below)))


def _below(function: Function) -> Iterator[Function]:
    return (nested for i in holders(function) for nested in nested_functions(function.eqns[i]))


def map_nested(attrs: Attrs, change: Callable[[Function], Function]) -> Attrs:
    """`attrs` with every nested function changed; the same object when nothing changed."""
    out: dict[str, Any] | None = None
    for name, value in attrs.items():
        new = value
        if isinstance(value, Function):
            new = change(value)
        elif isinstance(value, tuple) and any(isinstance(item, Function) for item in value):
            items = tuple(change(item) if isinstance(item, Function) else item for item in value)
            new = value if all(a is b for a, b in zip(items, value, strict=True)) else items
        if new is not value:
            out = dict(attrs) if out is None else out
            out[name] = new
    return attrs if out is None else out
