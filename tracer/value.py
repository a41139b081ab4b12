"""`Tensor`, the traced value: behaves like `jax.Array`, records what is done to it.

Operators and methods are those of `tracer.numpy`, attached by `tracer.numpy` when it is imported,
so that each function is written once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import jax
import numpy as np

from ir.core import Value
from ir.errors import ArgumentTypeError, ConcretizationError, TracerError
from tracer.state import state

if TYPE_CHECKING:
    from tracer.trace import Trace

    class _Operators:
        """What `tracer.numpy.methods` attaches, for the type checker."""

        def _binary(self, other: Any, /) -> Tensor: ...
        def _compare(self, other: Any, /) -> Any: ...
        def _unary(self) -> Tensor: ...
        def _method(self, *args: Any, **kwargs: Any) -> Tensor: ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _binary
        __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _binary
        __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _binary
        __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _binary
        __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _binary
        __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _compare
        __neg__ = __pos__ = __abs__ = __invert__ = _unary
        sum = prod = mean = var = std = max = min = ptp = all = any = argmax = argmin = _method
        cumsum = cumprod = round = clip = conj = conjugate = astype = dot = trace = diagonal = _method
        ravel = flatten = squeeze = swapaxes = repeat = take = reshape = transpose = copy = _method
        argpartition = argsort = choose = compress = searchsorted = sort = view = _method

        def nonzero(self, *, size: int | None = None, fill_value: Any = None) -> tuple[Tensor, ...]: ...

        T: Tensor
        mT: Tensor
        real: Tensor
        imag: Tensor
        at: Any

else:
    _Operators = object


# Packages whose code tells traced values from arrays, and the module that calls `isinstance` for
# converted code of users.
_TELL_APART = frozenset({"ir", "lowering", "tracer", "jax", "jaxlib"})
_CALLS_FOR_USERS = "tracer.conversion.calls"


class JaxCallError(TracerError, TypeError):
    """A traced value was handed to JAX; the function it happened in is traced by JAX instead."""


class Tensor(_Operators):
    """A value of a trace.

    Attributes:
      owner: the trace it belongs to.
      value: its value in the IR.
      weak: weakly typed, as the result of Python scalars alone.
    """

    __slots__ = ("__weakref__", "owner", "value", "weak")
    __array_priority__ = 1000

    def __init__(self, owner: Trace, value: Value, weak: bool = False) -> None:
        self.owner = owner
        self.value = value
        self.weak = weak

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """`jax.Array` to users and libraries, so that `isinstance(x, jax.Array)` holds as for tracers of JAX.

        To JAX and to this package it is what it is: they must not take it for an array, and `array * x`
        must stay ours.
        """
        asking = sys._getframe(1).f_globals.get("__name__", "")
        theirs = asking.partition(".")[0] not in _TELL_APART or asking == _CALLS_FOR_USERS
        return jax.Array if theirs else Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.type.shape

    @property
    def dtype(self) -> Any:
        dtype = self.value.type.dtype
        if dtype.kind == "key":
            from tracer.types import struct

            return struct(self.value.type).dtype
        return dtype.np

    @property
    def ndim(self) -> int:
        return len(self.value.type.shape)

    @property
    def size(self) -> int:
        return self.value.type.size

    @property
    def nbytes(self) -> int:
        return self.value.type.nbytes

    @property
    def itemsize(self) -> int:
        return self.value.type.dtype.np.itemsize

    @property
    def weak_type(self) -> bool:
        return self.weak

    @property
    def __jax_array__(self) -> Any:
        """What JAX calls while it traces a function that closes over this value; nothing at other times.

        The operators of its arrays then leave `array * x` to ours.
        """
        if state.trace is not None:
            raise AttributeError("__jax_array__")
        return self.outside

    def outside(self) -> Any:
        """What stands for this value where no trace is active: a tracer of JAX while JAX traces.

        Raises:
          EscapedValueError: nothing does.
        """
        if state.bridge is None:
            from tracer.trace import escaped

            raise escaped(self)
        return state.bridge.outside(self)

    def require_active(self) -> None:
        """EscapedValueError unless the trace is still being recorded, by this thread."""
        trace = state.trace or state.bridge
        while trace is not self.owner:
            if trace is None:
                from tracer.trace import escaped

                raise escaped(self)
            trace = trace.parent

    def __repr__(self) -> str:
        return f"Traced<{self.value.type}>"

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentTypeError(f"len() needs an axis, got a traced scalar {self.value.type}")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise ConcretizationError(f"iteration needs an axis, got a traced scalar {self.value.type}")
        return (self[i] for i in range(self.shape[0]))

    def __hash__(self) -> NoReturn:
        raise ArgumentTypeError(f"traced values are not hashable, got one of type {self.value.type}")

    def __getitem__(self, index: Any) -> Tensor:
        raise NotImplementedError  # replaced by tracer.numpy

    # Where Python needs a concrete value ----------------------------------------------------------

    def _concrete(self, what: str, instead: str, *, cuts: bool = False) -> Any:
        from tracer.concrete import concrete_value

        return concrete_value(self, what, instead, cuts=cuts)

    def __bool__(self) -> bool:
        return bool(
            self._concrete(
                "a Python bool (`if`, `while`, `and`, `or`, `not`, `assert`)",
                "use tracer.cond, tracer.while_loop or tracer.numpy.where, or jit(..., autograph=True)",
            )
        )

    def __float__(self) -> float:
        return float(self._concrete("float()", "keep it an array: x.astype(float)", cuts=True))

    def __int__(self) -> int:
        return int(self._concrete("int()", "keep it an array: x.astype(int), or make it a static argument"))

    def __complex__(self) -> complex:
        return complex(self._concrete("complex()", "keep it an array: x.astype(complex)", cuts=True))

    def __index__(self) -> int:
        return int(
            self._concrete(
                "a Python index (range(), a shape, list[i])",
                "make it a static argument, or use tracer.fori_loop or indexing of a traced array",
            )
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = np.asarray(
            self._concrete(
                "a NumPy array",
                "use tracer.numpy functions instead of numpy's on traced values",
                cuts=True,
            )
        )
        return array if dtype is None else array.astype(dtype)

    def item(self, *args: Any) -> Any:
        """The Python scalar, where the value is known."""
        found = self._concrete("item()", "return the value from the traced function")
        return np.asarray(found).item(*args)

    def tolist(self) -> Any:
        """Nested Python lists, where the value is known."""
        found = self._concrete("tolist()", "return the value from the traced function", cuts=True)
        return np.asarray(found).tolist()
