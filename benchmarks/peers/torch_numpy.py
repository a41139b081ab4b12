"""PyTorch's functions under NumPy's names and with NumPy's arguments. May import: PyTorch.

Functions whose arguments PyTorch itself accepts as NumPy names them are PyTorch's own, so that nothing adds to their
cost. Another name is an AttributeError: where the libraries differ, the difference is written down here.
"""

from __future__ import annotations

import math
from typing import Any

import torch

Tensor = Any

# One tensor; NumPy takes a number too.
_UNARY = (
    "abs", "absolute", "angle", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "ceil", "conj", "cos",
    "cosh", "deg2rad", "exp", "exp2", "expm1", "floor", "imag", "isfinite", "isinf", "isnan", "log", "log10", "log1p",
    "log2", "logical_not", "negative", "positive", "real", "reciprocal", "round", "sign", "signbit", "sin", "sinc",
    "sinh", "sqrt", "square", "tan", "tanh", "trunc",
)  # fmt: skip
# Two tensors, of which NumPy takes numbers for any.
_BINARY = (
    "add", "arctan2", "copysign", "divide", "equal", "floor_divide", "fmod", "greater", "greater_equal", "heaviside",
    "hypot", "less", "less_equal", "logaddexp", "logaddexp2", "logical_and", "logical_or", "logical_xor", "maximum",
    "minimum", "multiply", "not_equal", "remainder", "subtract", "true_divide",
)  # fmt: skip
# The same in both libraries, arguments and all.
_SAME = (
    "all", "any", "arange", "argmax", "argmin", "bincount", "broadcast_to", "column_stack", "count_nonzero", "cross",
    "diagonal", "dot", "empty", "empty_like", "eye", "full", "full_like", "hstack", "inner", "kron", "linspace",
    "logspace", "matmul", "moveaxis", "nan_to_num", "nonzero", "ones_like", "outer", "ravel", "reshape", "roll",
    "searchsorted", "swapaxes", "tile", "trace", "tril", "triu", "vdot", "vstack", "where", "zeros_like",
)  # fmt: skip


def _tensor(x: Any, like: Tensor | None = None) -> Tensor:
    if isinstance(x, torch.Tensor):
        return x
    return torch.as_tensor(x, **({} if like is None else {"dtype": like.dtype, "device": like.device}))


def _unary(f: Any) -> Any:
    return lambda x: f(x if isinstance(x, torch.Tensor) else torch.as_tensor(x))


def _binary(f: Any) -> Any:
    def both(x: Any, y: Any) -> Tensor:
        if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
            return f(x, y)
        like = x if isinstance(x, torch.Tensor) else y if isinstance(y, torch.Tensor) else None
        # A number beside integers keeps its own type.
        like = None if like is not None and not like.is_floating_point() else like
        return f(_tensor(x, like), _tensor(y, like))

    return both


def _reduced(x: Tensor, f: Any, axis: Any, keepdims: bool, **more: Any) -> Tensor:
    """A reduction of PyTorch that needs its dimensions named."""
    dims = tuple(range(x.ndim)) if axis is None else axis
    return f(x, dim=dims, keepdim=keepdims, **more)


class _Linalg:
    """`numpy.linalg`."""

    solve, inv, cholesky, det = torch.linalg.solve, torch.linalg.inv, torch.linalg.cholesky, torch.linalg.det
    slogdet, eigh, eigvalsh, qr = (
        torch.linalg.slogdet,
        torch.linalg.eigh,
        torch.linalg.eigvalsh,
        torch.linalg.qr,
    )
    multi_dot, matrix_power = staticmethod(torch.linalg.multi_dot), staticmethod(torch.linalg.matrix_power)
    pinv, lstsq = staticmethod(torch.linalg.pinv), staticmethod(torch.linalg.lstsq)

    @staticmethod
    def norm(x: Tensor, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
        return torch.linalg.norm(x, ord=ord, dim=axis, keepdim=keepdims)

    @staticmethod
    def svd(x: Tensor, full_matrices: bool = True, compute_uv: bool = True) -> Any:
        return torch.linalg.svd(x, full_matrices) if compute_uv else torch.linalg.svdvals(x)


class Namespace:
    """`numpy`, as far as programs of cases use it."""

    pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None
    float64, float32, bfloat16, float16 = torch.float64, torch.float32, torch.bfloat16, torch.float16
    int64, int32, bool_ = torch.int64, torch.int32, torch.bool
    complex64, complex128 = torch.complex64, torch.complex128
    linalg, ndarray = _Linalg(), torch.Tensor

    def __init__(self) -> None:
        for name in _SAME:
            setattr(self, name, getattr(torch, name))
        for name in _UNARY:
            setattr(self, name, _unary(getattr(torch, name)))
        for name in _BINARY:
            setattr(self, name, _binary(getattr(torch, name)))
        self.concatenate = self.concat = torch.cat
        self.rint, self.mod = _unary(torch.round), _binary(torch.remainder)

    def asarray(self, x: Any, dtype: Any = None) -> Tensor:
        return torch.as_tensor(x, dtype=dtype)

    array = asarray

    def zeros(self, shape: Any, dtype: Any = None) -> Tensor:
        return torch.zeros(shape, dtype=dtype)

    def ones(self, shape: Any, dtype: Any = None) -> Tensor:
        return torch.ones(shape, dtype=dtype)

    def identity(self, n: int, dtype: Any = None) -> Tensor:
        return torch.eye(n, dtype=dtype)

    def shape(self, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape)

    def power(self, x: Any, y: Any) -> Tensor:
        return torch.pow(x, y)

    def sum(self, x: Tensor, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
        return torch.sum(x, dim=axis, keepdim=keepdims, dtype=dtype)

    def mean(self, x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        return torch.mean(x, dim=axis, keepdim=keepdims)

    def max(self, x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        return _reduced(x, torch.amax, axis, keepdims)

    def min(self, x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        return _reduced(x, torch.amin, axis, keepdims)

    amax, amin = max, min

    def var(self, x: Tensor, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        return torch.var(x, dim=axis, correction=ddof, keepdim=keepdims)

    def std(self, x: Tensor, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        return torch.std(x, dim=axis, correction=ddof, keepdim=keepdims)

    def prod(self, x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return torch.prod(x) if axis is None else torch.prod(x, dim=axis, keepdim=keepdims)

    def cumsum(self, x: Tensor, axis: int | None = None) -> Tensor:
        return torch.cumsum(x.ravel(), 0) if axis is None else torch.cumsum(x, axis)

    def cumprod(self, x: Tensor, axis: int | None = None) -> Tensor:
        return torch.cumprod(x.ravel(), 0) if axis is None else torch.cumprod(x, axis)

    def sort(self, x: Tensor, axis: int = -1) -> Tensor:
        return torch.sort(x, dim=axis).values

    def argsort(self, x: Tensor, axis: int = -1) -> Tensor:
        return torch.argsort(x, dim=axis, stable=True)

    def clip(self, x: Tensor, low: Any = None, high: Any = None) -> Tensor:
        return torch.clamp(x, low, high)

    def stack(self, arrays: Any, axis: int = 0) -> Tensor:
        return torch.stack([_tensor(x) for x in arrays], axis)

    def transpose(self, x: Tensor, axes: Any = None) -> Tensor:
        return torch.permute(x, tuple(reversed(range(x.ndim))) if axes is None else tuple(axes))

    permute_dims = transpose

    def expand_dims(self, x: Tensor, axis: int) -> Tensor:
        return torch.unsqueeze(x, axis)

    def squeeze(self, x: Tensor, axis: Any = None) -> Tensor:
        return torch.squeeze(x) if axis is None else torch.squeeze(x, axis)

    def flip(self, x: Tensor, axis: Any = None) -> Tensor:
        axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        return torch.flip(x, tuple(axes))

    def repeat(self, x: Tensor, repeats: Any, axis: int | None = None) -> Tensor:
        return torch.repeat_interleave(x, repeats, dim=axis)

    def split(self, x: Tensor, sections: Any, axis: int = 0) -> Any:
        return torch.tensor_split(x, sections, dim=axis)

    def take(self, x: Tensor, indices: Any, axis: int | None = None) -> Tensor:
        if axis is None:
            return torch.take(x, indices)
        index: list[Any] = [slice(None)] * x.ndim
        index[axis] = indices
        return x[tuple(index)]

    def take_along_axis(self, x: Tensor, indices: Tensor, axis: int) -> Tensor:
        return torch.take_along_dim(x, indices, axis)

    def pad(self, x: Tensor, widths: Any, mode: str = "constant", constant_values: float = 0.0) -> Tensor:
        """Constants alone, of a width for all sides, or a pair for each axis."""
        if mode != "constant":
            raise NotImplementedError(f"pad with mode {mode!r}")
        pairs = [(widths, widths)] * x.ndim if isinstance(widths, int) else list(widths)
        if isinstance(pairs[0], int):
            pairs = [tuple(pairs)] * x.ndim
        flat = [width for pair in reversed(pairs) for width in pair]
        return torch.nn.functional.pad(x, flat, value=constant_values)

    def einsum(self, subscripts: str, *operands: Any, **_: Any) -> Tensor:
        return torch.einsum(subscripts, *operands)

    def tensordot(self, x: Tensor, y: Tensor, axes: Any = 2) -> Tensor:
        dims = [[a] if isinstance(a, int) else list(a) for a in axes] if not isinstance(axes, int) else axes
        return torch.tensordot(x, y, dims=dims)

    def diag(self, x: Tensor, k: int = 0) -> Tensor:
        return torch.diag(x, k)

    def diff(self, x: Tensor, n: int = 1, axis: int = -1) -> Tensor:
        return torch.diff(x, n, dim=axis)

    def meshgrid(self, *arrays: Tensor, indexing: str = "xy") -> Any:
        return torch.meshgrid(*arrays, indexing=indexing)


class NN:
    """`Library.nn` by PyTorch's own."""

    relu, sigmoid = staticmethod(torch.relu), staticmethod(torch.sigmoid)

    @staticmethod
    def softmax(x: Tensor, axis: int = -1) -> Tensor:
        return torch.softmax(x, axis)

    @staticmethod
    def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
        return torch.log_softmax(x, axis)

    @staticmethod
    def logsumexp(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        return _reduced(x, torch.logsumexp, axis, keepdims)

    @staticmethod
    def gelu(x: Tensor, approximate: bool = True) -> Tensor:
        return torch.nn.functional.gelu(x, approximate="tanh" if approximate else "none")

    @staticmethod
    def one_hot(x: Tensor, num_classes: int) -> Tensor:
        return torch.nn.functional.one_hot(x, num_classes).to(torch.get_default_dtype())


__all__ = ["NN", "Namespace"]
