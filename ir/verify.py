"""The invariants of the IR, checked.

A function is well formed when
  its params are distinct values, and every result of an equation is a value defined nowhere else;
  every operand and every result of the function is a param or the result of an equation above;
  the attributes of an equation are those of its op, in canonical order and of canonical types;
  the result types are those that the op's type rule gives for the operand types;
  nested functions are closed and well formed.
Linear in the number of equations; a function that is nested many times is checked once. Imports
the core of `ir` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ir.core import Dense, Eqn, Function, Opaque, Value, nested_functions
from ir.errors import TracerError, VerificationError
from ir.op import REQUIRED, Op
from ir.printer import eqn_text
from ir.types import DType, TensorType

_ATTR_TYPES: Final = frozenset(
    {type(None), bool, int, float, complex, str, DType, TensorType, Dense, Opaque, Function}
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a function stands: in an equation of `outer`, or nowhere."""

    function: Function
    outer: _Place | None

    def path(self) -> str:
        names = [self.function.name]
        at = self.outer
        while at is not None:
            names.append(at.function.name)
            at = at.outer
        return "/".join(reversed(names))


def verify(function: Function) -> None:
    """Check every invariant of the IR.

    Raises:
      VerificationError: the first that does not hold; the message names the function (with those
        around it), the equation, and the source line that made it.
    """
    seen = {id(function)}
    todo = [_Place(function, None)]
    while todo:
        place = todo.pop()
        below: list[_Place] = []
        for nested in _verify_body(place):
            if id(nested) not in seen:
                seen.add(id(nested))
                below.append(_Place(nested, place))
        todo.extend(reversed(below))


def _verify_body(place: _Place) -> list[Function]:
    """Check a function without those inside it, which are returned."""
    function = place.function
    for part in ("params", "eqns", "results"):
        if type(getattr(function, part)) is not tuple:
            raise _error(place, f"expected the {part} as a tuple, got {_kind(getattr(function, part))}")
    defined: set[Value] = set()
    for i, param in enumerate(function.params):
        _check_value(place, param, f"param {i}")
        if param in defined:
            raise _error(place, f"param {i} ({_named(param)}) is the same value as a param before it")
        defined.add(param)
    nested: list[Function] = []
    for index, eqn in enumerate(function.eqns):
        found: Any = eqn
        if not isinstance(found, Eqn) or not isinstance(eqn.op, Op):
            raise _error(place, f"equation {index}: expected an equation of an op, got {eqn!r}")
        for i, operand in enumerate(eqn.operands):
            if operand not in defined:
                raise _undefined(place, operand, f"operand {i}", eqn, index)
        if eqn.attrs or eqn.op.attrs:
            _check_attrs(place, eqn, index)
            nested.extend(nested_functions(eqn))
        _check_types(place, eqn, index)
        for i, result in enumerate(eqn.results):
            if result in defined:
                raise _error(place, f"result {i} ({_named(result)}) is defined twice", eqn, index)
            defined.add(result)
    for i, result in enumerate(function.results):
        if result not in defined:
            raise _undefined(place, result, f"result {i} of the function")
    return nested


def _check_value(place: _Place, value: Any, what: str, eqn: Eqn | None = None, index: int = 0) -> None:
    if not isinstance(value, Value):
        raise _error(place, f"{what}: expected a value, got {_kind(value)}", eqn, index)
    if not isinstance(value.type, TensorType):
        raise _error(place, f"{what}: expected a value with a type, got the type {value.type!r}", eqn, index)


def _check_attrs(place: _Place, eqn: Eqn, index: int) -> None:
    got, wanted = list(eqn.attrs), list(eqn.op.attrs)
    if got != wanted:
        if sorted(got) == sorted(wanted):
            raise _error(place, f"expected attributes in the order {wanted}, got {got}", eqn, index)
        missing = [name for name in wanted if name not in eqn.attrs]
        unknown = [name for name in got if name not in eqn.op.attrs]
        defaults = [name for name in missing if eqn.op.attrs[name] is not REQUIRED]
        detail = "".join(
            f"; {word} {names}"
            for word, names in (("missing", missing), ("unknown", unknown), ("not filled in", defaults))
            if names
        )
        raise _error(place, f"expected attributes {wanted}, got {got}{detail}", eqn, index)
    for name, value in eqn.attrs.items():
        if type(value) in _ATTR_TYPES:
            continue
        if type(value) is not tuple or (bad := _not_canonical(value, 0)) is not None:
            culprit = value if type(value) is not tuple else bad
            raise _error(
                place,
                f"attribute {name}: expected plain hashable values, tuples, types, arrays or functions, "
                f"got {_kind(culprit)}",
                eqn,
                index,
            )


def _not_canonical(items: tuple[Any, ...], depth: int) -> Any:
    """What may not be in a tuple, or `None`; functions may stand in the outermost only."""
    for item in items:
        kind = type(item)
        if kind is tuple:
            if (bad := _not_canonical(item, depth + 1)) is not None:
                return bad
        elif kind not in _ATTR_TYPES or (depth and kind is Function):
            return item
    return None


def _check_types(place: _Place, eqn: Eqn, index: int) -> None:
    for i, result in enumerate(eqn.results):
        _check_value(place, result, f"result {i}", eqn, index)
    try:
        types = eqn.op.infer(tuple([v.type for v in eqn.operands]), eqn.attrs)
    except TracerError as error:
        raise _error(place, error.message, eqn, index) from error
    except Exception as error:
        shown = ", ".join([str(v.type) for v in eqn.operands])
        reason = f"the type rule does not take ({shown}): {type(error).__name__}: {error}"
        raise _error(place, reason, eqn, index) from error
    if len(types) != len(eqn.results):
        raise _error(place, f"expected {len(types)} results, got {len(eqn.results)}", eqn, index)
    for i, (type_, result) in enumerate(zip(types, eqn.results, strict=True)):
        if result.type is not type_:
            wanted = f"result {i} ({_named(result)}): expected {type_}"
            raise _error(place, f"{wanted} by the type rule of {eqn.op.name}, got {result.type}", eqn, index)


# Messages -----------------------------------------------------------------------------------------


def _undefined(
    place: _Place, value: Any, what: str, eqn: Eqn | None = None, index: int = 0
) -> VerificationError:
    if not isinstance(value, Value):
        return _error(place, f"{what}: expected a value, got {_kind(value)}", eqn, index)
    shown = f"{what} ({_named(value)})"
    if any(value is v for e in place.function.eqns for v in e.results):
        return _error(place, f"{shown} is used before it is defined", eqn, index)
    outer = place.outer
    while outer is not None:
        if value in outer.function.params or any(value in e.results for e in outer.function.eqns):
            return _error(
                place,
                f"{shown} is free: it belongs to {outer.path()}, and a nested function is closed",
                eqn,
                index,
            )
        outer = outer.outer
    return _error(place, f"{shown} is defined nowhere in the function", eqn, index)


def _error(place: _Place, message: str, eqn: Eqn | None = None, index: int = 0) -> VerificationError:
    if eqn is None:
        return VerificationError(f"{place.path()}: {message}")
    return VerificationError(
        f"{place.path()}, equation {index}: {eqn.op.name}: {message.removeprefix(eqn.op.name + ': ')}",
        note="  " + _excerpt(eqn, place.function),
        source=eqn.source,
    )


def _excerpt(eqn: Eqn, function: Function) -> str:
    operands: Sequence[Any] = eqn.operands
    if all(isinstance(v, Value) for v in (*operands, *eqn.results, *function.params)):
        return eqn_text(eqn, function)
    return repr(eqn)


def _named(value: Value) -> str:
    return value.name or f"a {value.type}"


def _kind(value: Any) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:60] + '…'}"
