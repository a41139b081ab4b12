"""PyTensor's functions under NumPy's names and with NumPy's arguments. May import: PyTensor."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

Tensor = Any


def _symbolic(x: Any, dtype: Any = None) -> Tensor:
    """A number is of the default type: PyTensor would take the smallest that holds it."""
    if dtype is None and isinstance(x, float):
        dtype = pytensor.config.floatX
    return pt.as_tensor(x) if dtype is None else pt.as_tensor(x).astype(dtype)


class _Linalg:
    """`numpy.linalg`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pt.linalg, name)

    @staticmethod
    def multi_dot(arrays: Any) -> Tensor:
        """PyTensor has none: from the left, and its rewrites may choose."""
        return functools.reduce(pt.matmul, arrays)


class Namespace:
    """`pytensor.tensor`, and what NumPy calls otherwise."""

    pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None
    float64, float32, int64, int32, bool_ = "float64", "float32", "int64", "int32", "bool"
    linalg, ndarray = _Linalg(), TensorVariable
    absolute, floor_divide, remainder = staticmethod(pt.abs), staticmethod(pt.int_div), staticmethod(pt.mod)
    logical_and, logical_or = staticmethod(pt.and_), staticmethod(pt.or_)
    logical_not = staticmethod(pt.invert)

    def __getattr__(self, name: str) -> Any:
        return getattr(pt, name)

    def asarray(self, x: Any, dtype: Any = None) -> Tensor:
        return _symbolic(x, dtype)

    array = asarray

    def concatenate(self, arrays: Any, axis: int = 0) -> Tensor:
        return pt.concatenate(list(arrays), axis=axis)

    concat = concatenate

    def stack(self, arrays: Any, axis: int = 0) -> Tensor:
        return pt.stack([_symbolic(x) for x in arrays], axis=axis)

    def hstack(self, arrays: Any) -> Tensor:
        return pt.concatenate(list(arrays), axis=0 if arrays[0].ndim == 1 else 1)

    def vstack(self, arrays: Any) -> Tensor:
        return pt.concatenate([pt.atleast_2d(x) for x in arrays], axis=0)

    def column_stack(self, arrays: Any) -> Tensor:
        return pt.stack(list(arrays), axis=1)

    def shape(self, x: Tensor) -> tuple[int, ...]:
        return tuple(x.type.shape)

    def reshape(self, x: Tensor, shape: Any) -> Tensor:
        return pt.reshape(x, (shape,) if isinstance(shape, int) else tuple(shape))

    def ravel(self, x: Tensor) -> Tensor:
        return x.flatten()

    def transpose(self, x: Tensor, axes: Any = None) -> Tensor:
        return x.T if axes is None else x.transpose(*axes)

    def sort(self, x: Tensor, axis: int = -1) -> Tensor:
        return pt.sort(x, axis=axis)

    def linspace(self, start: float, stop: float, num: int = 50) -> Tensor:
        return pt.linspace(start, stop, num)

    def clip(self, x: Tensor, low: Any = None, high: Any = None) -> Tensor:
        return pt.clip(x, -math.inf if low is None else low, math.inf if high is None else high)

    def inner(self, x: Tensor, y: Tensor) -> Tensor:
        return pt.sum(x * y, axis=-1)

    def vdot(self, x: Tensor, y: Tensor) -> Tensor:
        return pt.sum(x * y)

    def hypot(self, x: Tensor, y: Tensor) -> Tensor:
        return pt.sqrt(x * x + y * y)

    def kron(self, x: Tensor, y: Tensor) -> Tensor:
        return pt.linalg.kron(x, y)

    def einsum(self, subscripts: str, *operands: Any, **_: Any) -> Tensor:
        return pt.einsum(subscripts, *operands)


__all__ = ["Namespace"]
