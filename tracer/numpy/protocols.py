"""NumPy's protocols: functions of plain `numpy` that are called with traced values become ours.

NumPy asks `__array_ufunc__` for its elementwise functions and their methods, `__array_function__` for the
others, and the array API asks `__array_namespace__`. Each answers with the function of the same name in
`tracer.numpy`, `tracer.linalg`, `tracer.fft` or `tracer.special`. Invariant: nothing is answered with other
meaning than NumPy's, so that what we cannot do (`out=`, writing in place) is an error.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from ir.errors import ArgumentError, ArgumentTypeError
from tracer.numpy.borrowed import METHODS
from tracer.numpy.borrowing import borrowed
from tracer.state import state
from tracer.value import Tensor

# Ours do not take these; NumPy's defaults for them mean nothing here.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "casting": ("same_kind",),
    "order": ("K", "C", "A", None),
    "subok": (True, False),
    "dtype": (None,),
    "where": (True,),
    "signature": (None,),
    "sig": (None,),
}
# Reductions and accumulations that have a function of ours; NumPy reduces axis 0 by default.
_REDUCTIONS = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_and": "all",
    "logical_or": "any",
}
_ACCUMULATIONS = {"add": "cumsum", "multiply": "cumprod"}
# Functions of NumPy whose whole purpose is to write into an argument.
_WRITERS = {"copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"}
# Names of NumPy's that ours have under another.
_RENAMED = {"row_stack": "vstack", "round_": "round", "in1d": "isin", "trapz": "trapezoid"}

# Where NumPy takes lists for arrays: positions of those arguments. JAX takes arrays only.
_TWO_ARRAYS = """
    allclose append array_equal convolve correlate cross digitize dot inner intersect1d isclose isin kron outer
    percentile polyval quantile searchsorted setdiff1d setxor1d solve take take_along_axis tensordot union1d vdot
"""
_ARRAYS: dict[str, tuple[int, ...]] = dict.fromkeys(_TWO_ARRAYS.split(), (0, 1))
_ARRAYS |= {"clip": (0, 1, 2), "interp": (0, 1, 2), "where": (0, 1, 2), "compress": (0,), "extract": (0,)}


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """What NumPy calls for `ufunc(...)`, `ufunc.reduce(...)` and the like with a traced value.

    Raises:
      ArgumentTypeError: `out=`, an operation in place, or arguments that ours do not take.
    """
    _active(inputs)
    inputs = tuple([_array(x) for x in inputs]) if method in ("__call__", "outer") else inputs
    name = ufunc.__name__
    if method == "at":
        _in_place(f"{name}.at")
    if kwargs.pop("out", None) is not None:
        _in_place(name)
    fn = _ufunc(ufunc)
    if fn is None:
        raise ArgumentTypeError(
            f"{name}: expected a function that traced values have; there is none of this name"
        )
    if method == "__call__":
        return fn(*inputs, **_known_arguments(name, kwargs))
    if method == "outer":
        _known_arguments(name, kwargs)
        return _outer(fn, *inputs)
    if method == "reduce":
        return _reduce(name, *inputs, **kwargs)
    if method == "accumulate" and name in _ACCUMULATIONS:
        return _accumulate(_ACCUMULATIONS[name], *inputs, **kwargs)
    return _method(name, method)(*inputs, **kwargs)


def array_function(self: Tensor, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """What NumPy calls for its other functions when a traced value is among their arguments.

    Raises:
      ArgumentTypeError: the function writes in place, or there is none of this name.
    """
    if not all(issubclass(t, (Tensor, np.ndarray, np.generic, jax.Array)) for t in types):
        return NotImplemented
    _active((args, kwargs))
    name = func.__name__
    if name in _WRITERS:
        _in_place(name)
    if "out" in kwargs:
        kwargs = dict(kwargs)
        if kwargs.pop("out") is not None:
            _in_place(name)
    fn = getattr(_module(func), _RENAMED.get(name, name), None)
    if name == "clip":
        kwargs = {k.removeprefix("a_"): v for k, v in kwargs.items()}
    if kwargs and fn is not None:
        kwargs = _without_neutral(name, fn, kwargs)
    if fn is None:
        raise ArgumentTypeError(
            f"{func.__module__}.{name}: expected a function that traced values have; there is none of this name"
        )
    lists = _ARRAYS.get(name, ())
    return fn(*[_array(x) if i in lists else x for i, x in enumerate(args)], **kwargs)


# Versions of the array API standard that the later ones extend.
_EARLIER = ("2021.12", "2022.12", "2023.12")


def array_namespace(self: Tensor, /, *, api_version: str | None = None) -> ModuleType:
    """`tracer.numpy`, for code written for the array API.

    Raises:
      ArgumentError: for a version of the standard that is neither ours nor that of `jax.numpy`, nor earlier.
    """
    import tracer.numpy as tnp

    known = [*_EARLIER, *dict.fromkeys((tnp.__array_api_version__, jnp.__array_api_version__))]
    if api_version is not None and api_version not in known:
        raise ArgumentError(f"expected None or an api_version of {known}, got {api_version!r}")
    return tnp


def _active(arguments: Any) -> None:
    """EscapedValueError where a traced value has outlived its trace."""
    if state.trace is None:
        for x in jax.tree_util.tree_leaves(arguments):
            if type(x) is Tensor:
                x.require_active()


def _array(x: Any) -> Any:
    """A list or tuple of numbers and traced values as an array, anything else as it is."""
    if not isinstance(x, (list, tuple)):
        return x
    import tracer.numpy as tnp

    return tnp.asarray(x)


def _in_place(name: str) -> NoReturn:
    raise ArgumentTypeError(
        f"{name}: expected a result of its own, got an array to write into, which a program of values cannot do",
        note="use the returned array; x.at[index].set(values) gives a changed copy",
    )


def _known_arguments(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keywords without those that say what holds anyway."""
    rest = {}
    for key, value in kwargs.items():
        if not any(value is n or (isinstance(n, str) and value == n) for n in _NEUTRAL.get(key, ())):
            if key in _NEUTRAL:
                raise ArgumentTypeError(
                    f"{name}: expected no {key}= for traced values, got {value!r}",
                    note="convert with astype, choose with where",
                )
            rest[key] = value
    return rest


def _without_neutral(name: str, fn: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keywords without those that the function does not have, if they say what holds anyway."""
    names = inspect.signature(fn).parameters
    if any(p.kind is p.VAR_KEYWORD for p in names.values()):
        return kwargs
    missing = {k: v for k, v in kwargs.items() if k not in names}
    left = _known_arguments(name, missing)
    if left:
        raise ArgumentTypeError(
            f"{name}: expected only arguments of tracer.numpy.{name}, got {', '.join(left)}"
        )
    return {k: v for k, v in kwargs.items() if k in names}


# Elementwise functions -----------------------------------------------------------------------------------


def _ufunc(ufunc: Any) -> Callable[..., Any] | None:
    """The function of ours with the name of a ufunc of NumPy's or SciPy's."""
    name = ufunc.__name__
    if getattr(np, name, None) is ufunc:
        import tracer.numpy as tnp

        return getattr(tnp, name, None)
    scipy_special = sys.modules.get("scipy.special")
    if scipy_special is not None and getattr(scipy_special, name, None) is ufunc:
        from tracer import special

        return getattr(special, name, None)
    return None


def _outer(fn: Callable[..., Any], a: Any, b: Any) -> Any:
    import tracer.numpy as tnp

    a, b = tnp.asarray(a), tnp.asarray(b)
    return fn(tnp.reshape(a, (*a.shape, *[1] * b.ndim)), b)


def _reduce(
    name: str,
    a: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    **kwargs: Any,
) -> Any:
    import tracer.numpy as tnp

    if out is not None:
        _in_place(name)
    given = {k: v for k, v in kwargs.items() if v is not np._NoValue}
    if given.get("where") is True:
        del given["where"]
    if name not in _REDUCTIONS:
        return _method(name, "reduce")(a, axis=axis, dtype=dtype, keepdims=keepdims, **given)
    if dtype is not None:
        if name not in ("add", "multiply"):
            raise ArgumentTypeError(
                f"{name}.reduce: expected no dtype=, got {dtype}", note="convert with astype"
            )
        given["dtype"] = dtype
    return getattr(tnp, _REDUCTIONS[name])(a, axis=axis, keepdims=keepdims, **given)


def _accumulate(ours: str, a: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
    import tracer.numpy as tnp

    if out is not None:
        _in_place(ours)
    return getattr(tnp, ours)(a, axis=axis, dtype=dtype)


def _method(name: str, method: str) -> Any:
    """A method of the ufunc of this name; ArgumentTypeError where JAX has none."""
    ufunc = getattr(jax.numpy, name, None)
    if method not in METHODS or not isinstance(ufunc, jax.numpy.ufunc):
        raise ArgumentTypeError(f"{name}.{method}: expected a method that traced values have; there is none")
    return borrowed(getattr(ufunc, method), name=f"{name}.{method}")


# Other functions -----------------------------------------------------------------------------------------


def _module(func: Any) -> Any:
    """The module of ours that has the functions of one of NumPy's."""
    import tracer.numpy as tnp

    home = str(func.__module__)
    if home.startswith("numpy.linalg"):
        return tnp.linalg
    return tnp.fft if home.startswith("numpy.fft") else tnp


Tensor.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = array_function  # type: ignore[attr-defined]
Tensor.__array_namespace__ = array_namespace  # type: ignore[attr-defined]
