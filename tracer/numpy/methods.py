"""Operators and methods of traced values: the functions of this package, attached."""

from __future__ import annotations

import builtins
import functools
from typing import Any, NoReturn

import jax

from ir.errors import ArgumentTypeError
from tracer.numpy import arithmetic as ar
from tracer.numpy import contraction as co
from tracer.numpy import elementwise as el
from tracer.numpy import indexing as ix
from tracer.numpy import manipulation as ma
from tracer.numpy import reductions as rd
from tracer.numpy.borrowed import compress
from tracer.numpy.borrowing import borrowed
from tracer.numpy.updates import At
from tracer.state import state
from tracer.value import Tensor

_SCALARS = frozenset({int, float, complex, bool, Tensor})


def _operand(x: Any) -> bool:
    """Whether `x` is something an operator takes; anything else gets NotImplemented, as in Python."""
    return (
        type(x) in _SCALARS
        or hasattr(x, "dtype")
        or hasattr(x, "__jax_array__")
        or isinstance(x, (int, float, complex))
    )


def _binary(fn: Any) -> tuple[Any, Any]:
    def forward(self: Tensor, other: Any) -> Any:
        if state.trace is None:
            self.require_active()
        return fn(self, other) if type(other) is Tensor or _operand(other) else NotImplemented

    def reflected(self: Tensor, other: Any) -> Any:
        if state.trace is None:
            self.require_active()
        return fn(other, self) if _operand(other) else NotImplemented

    return forward, reflected


_BINARY = {
    "add": el.add,
    "sub": el.subtract,
    "mul": el.multiply,
    "truediv": el.divide,
    "floordiv": ar.floor_divide,
    "mod": ar.remainder,
    "divmod": ar.divmod,
    "pow": ar.power,
    "matmul": co.matmul,
    "and": el.bitwise_and,
    "or": el.bitwise_or,
    "xor": el.bitwise_xor,
    "lshift": el.left_shift,
    "rshift": el.right_shift,
}
for _name, _fn in _BINARY.items():
    _forward, _reflected = _binary(_fn)
    setattr(Tensor, f"__{_name}__", _forward)
    setattr(Tensor, f"__r{_name}__", _reflected)
_COMPARE = {
    "eq": el.equal,
    "ne": el.not_equal,
    "lt": el.less,
    "le": el.less_equal,
    "gt": el.greater,
    "ge": el.greater_equal,
}
for _name, _fn in _COMPARE.items():
    setattr(Tensor, f"__{_name}__", _binary(_fn)[0])


def _unary(fn: Any) -> Any:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        if state.trace is None:
            self.require_active()
        return fn(self, *args, **kwargs)

    method.__name__ = getattr(fn, "__name__", "method")
    method.__doc__ = fn.__doc__
    return method


_UNARY = {
    "neg": el.negative,
    "pos": el.positive,
    "abs": el.abs,
    "invert": el.bitwise_not,
}
for _name, _fn in _UNARY.items():
    setattr(Tensor, f"__{_name}__", _unary(_fn))


def _getitem(self: Tensor, index: Any) -> Any:
    if state.trace is None:  # while JAX traces a function that closes over the value
        outside = jax.tree_util.tree_map(lambda i: i.outside() if type(i) is Tensor else i, index)
        return self.outside()[outside]
    return ix.getitem(self, index)


def _at(self: Tensor) -> Any:
    return self.outside().at if state.trace is None else At(self)


def _varargs(fn: Any) -> Any:
    """A method that takes a shape or axes as one tuple or as several arguments."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        if state.trace is None:
            self.require_active()
        if not args:
            return fn(self, **kwargs)
        one = len(args) == 1 and (args[0] is None or isinstance(args[0], (tuple, list)))
        return fn(self, args[0] if one else args, **kwargs)

    return method


def _round(self: Tensor, ndigits: int | None = None) -> Any:
    if ndigits is not None:
        return el.round(self, ndigits)
    return el.astype(el.round(self), int)


_METHODS = {
    "sum": rd.sum,
    "prod": rd.prod,
    "mean": rd.mean,
    "var": rd.var,
    "std": rd.std,
    "max": rd.max,
    "min": rd.min,
    "ptp": rd.ptp,
    "all": rd.all,
    "any": rd.any,
    "argmax": rd.argmax,
    "argmin": rd.argmin,
    "cumsum": rd.cumsum,
    "cumprod": rd.cumprod,
    "round": el.round,
    "clip": el.clip,
    "conj": el.conjugate,
    "conjugate": el.conjugate,
    "astype": el.astype,
    "dot": co.dot,
    "trace": co.trace,
    "diagonal": co.diagonal,
    "ravel": ma.ravel,
    "flatten": ma.ravel,
    "squeeze": ma.squeeze,
    "swapaxes": ma.swapaxes,
    "repeat": ma.repeat,
    "take": ix.take,
}
_ATTACHED: dict[str, Any] = {
    **{name: _unary(fn) for name, fn in _METHODS.items()},
    "reshape": _varargs(ma.reshape),
    "transpose": _varargs(ma.transpose),
    "T": property(_unary(ma.transpose)),
    "mT": property(_unary(ma.matrix_transpose)),
    "real": property(_unary(el.real)),
    "imag": property(_unary(el.imag)),
    "__getitem__": _getitem,
    "at": property(_at),
    "__round__": _round,
    "copy": lambda self: self,
    "block_until_ready": lambda self: self,
}


def _of_jax(name: str) -> Any:
    """The method of this name of JAX's arrays, imported call by call."""

    @functools.wraps(getattr(jax.Array, name))
    def method(x: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(x, name)(*args, **kwargs)

    return borrowed(method)


def _no_setitem(self: Tensor, index: Any, value: Any) -> NoReturn:
    raise ArgumentTypeError(
        "x[index] = value: expected a traced value to be left as it is, got an assignment",
        note="use x = x.at[index].set(value)",
    )


def _contains(self: Tensor, item: Any) -> bool:
    return builtins.bool(rd.any(el.equal(self, item)))


_BORROWED = ("argpartition", "argsort", "choose", "nonzero", "searchsorted", "sort", "view")
_ATTACHED |= {name: _unary(_of_jax(name)) for name in _BORROWED}
_ATTACHED |= {
    "compress": _unary(lambda self, condition, *args, **kwargs: compress(condition, self, *args, **kwargs)),
    "__contains__": _contains,
    "__copy__": lambda self: self,
    "__deepcopy__": lambda self, memo: self,
    "__setitem__": _no_setitem,
}
for _name, _attached in _ATTACHED.items():
    setattr(Tensor, _name, _attached)
