"""The functions of `jax.numpy` that have no implementation of their own here: imported, call by call.

`tracer.numpy.borrowing` says how. Whoever writes one natively takes its line out of here. Names that only
some versions of JAX have are in `BY_VERSION`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.numpy import (
    broadcast_shapes,
    from_dlpack,
    frombuffer,
    fromfile,
    fromiter,
    fromstring,
    get_printoptions,
    index_exp,
    isdtype,
    issubdtype,
    load,
    printoptions,
    promote_types,
    s_,
    set_printoptions,
)

from ir.errors import ArgumentError
from tracer.numpy.borrowing import borrowed, public
from tracer.numpy.dispatch import lift, native, normalize_axes, normalize_axis
from tracer.numpy.indexing import take
from tracer.numpy.manipulation import ravel
from tracer.numpy.queries import answered, of_known
from tracer.value import Tensor

# Elementwise ---------------------------------------------------------------------------------------------

allclose = borrowed(jnp.allclose)
angle = borrowed(jnp.angle)
around = borrowed(jnp.around)
array_equal = borrowed(jnp.array_equal)
array_equiv = borrowed(jnp.array_equiv)
average = borrowed(jnp.average)
bitwise_count = borrowed(jnp.bitwise_count)
copysign = borrowed(jnp.copysign)
fabs = borrowed(jnp.fabs)
float_power = borrowed(jnp.float_power)
fmax = borrowed(jnp.fmax)
fmin = borrowed(jnp.fmin)
frexp = borrowed(jnp.frexp)
gcd = borrowed(jnp.gcd)
heaviside = borrowed(jnp.heaviside)
i0 = borrowed(jnp.i0)
isclose = borrowed(jnp.isclose)
iscomplex = borrowed(jnp.iscomplex)
isneginf = borrowed(jnp.isneginf)
isposinf = borrowed(jnp.isposinf)
isreal = borrowed(jnp.isreal)
lcm = borrowed(jnp.lcm)
ldexp = borrowed(jnp.ldexp)
logaddexp2 = borrowed(jnp.logaddexp2)
modf = borrowed(jnp.modf)
signbit = borrowed(jnp.signbit)
spacing = borrowed(jnp.spacing)
trunc = borrowed(jnp.trunc)
unwrap = borrowed(jnp.unwrap)

# Rearrangement -------------------------------------------------------------------------------------------

append = borrowed(jnp.append)
argwhere = borrowed(jnp.argwhere)
block = borrowed(jnp.block)
choose = borrowed(jnp.choose)
column_stack = borrowed(jnp.column_stack)
copy = borrowed(jnp.copy)
delete = borrowed(jnp.delete, advice="give the indices as NumPy arrays, or assume_unique_indices=True")
diagflat = borrowed(jnp.diagflat)
dsplit = borrowed(jnp.dsplit)
dstack = borrowed(jnp.dstack)
fill_diagonal = borrowed(jnp.fill_diagonal)
fliplr = borrowed(jnp.fliplr)
flipud = borrowed(jnp.flipud)
hsplit = borrowed(jnp.hsplit)
insert = borrowed(jnp.insert)
packbits = borrowed(jnp.packbits)
place = borrowed(jnp.place)
put = borrowed(jnp.put)
put_along_axis = borrowed(jnp.put_along_axis)
resize = borrowed(jnp.resize)
rot90 = borrowed(jnp.rot90)
select = borrowed(jnp.select)
trim_zeros = borrowed(jnp.trim_zeros, advice="keep the zeros, or find the ends outside the traced function")
unpackbits = borrowed(jnp.unpackbits)
unstack = borrowed(jnp.unstack)
vsplit = borrowed(jnp.vsplit)

# Sorting, searching, sets --------------------------------------------------------------------------------

argpartition = borrowed(jnp.argpartition)
argsort = borrowed(jnp.argsort)
bincount = borrowed(jnp.bincount, advice="give length=...")
digitize = borrowed(jnp.digitize)
flatnonzero = borrowed(jnp.flatnonzero)
histogram = borrowed(jnp.histogram)
histogram2d = borrowed(jnp.histogram2d)
histogram_bin_edges = borrowed(jnp.histogram_bin_edges)
histogramdd = borrowed(jnp.histogramdd)
intersect1d = borrowed(jnp.intersect1d)
isin = borrowed(jnp.isin)
lexsort = borrowed(jnp.lexsort)
nonzero = borrowed(jnp.nonzero)
partition = borrowed(jnp.partition)
searchsorted = borrowed(jnp.searchsorted)
setdiff1d = borrowed(jnp.setdiff1d)
setxor1d = borrowed(jnp.setxor1d)
sort = borrowed(jnp.sort)
sort_complex = borrowed(jnp.sort_complex)
union1d = borrowed(jnp.union1d)
unique = borrowed(jnp.unique)
unique_all = borrowed(jnp.unique_all)
unique_counts = borrowed(jnp.unique_counts)
unique_inverse = borrowed(jnp.unique_inverse)
unique_values = borrowed(jnp.unique_values)

# Reductions and statistics -------------------------------------------------------------------------------

corrcoef = borrowed(jnp.corrcoef)
cov = borrowed(jnp.cov)
cumulative_prod = borrowed(jnp.cumulative_prod)
cumulative_sum = borrowed(jnp.cumulative_sum)
diff = borrowed(jnp.diff)
ediff1d = borrowed(jnp.ediff1d)
gradient = borrowed(jnp.gradient)
median = borrowed(jnp.median)
nanargmax = borrowed(jnp.nanargmax)
nanargmin = borrowed(jnp.nanargmin)
nancumprod = borrowed(jnp.nancumprod)
nancumsum = borrowed(jnp.nancumsum)
nanmax = borrowed(jnp.nanmax)
nanmean = borrowed(jnp.nanmean)
nanmedian = borrowed(jnp.nanmedian)
nanmin = borrowed(jnp.nanmin)
nanpercentile = borrowed(jnp.nanpercentile)
nanprod = borrowed(jnp.nanprod)
nanquantile = borrowed(jnp.nanquantile)
nanstd = borrowed(jnp.nanstd)
nansum = borrowed(jnp.nansum)
nanvar = borrowed(jnp.nanvar)
percentile = borrowed(jnp.percentile)
quantile = borrowed(jnp.quantile)
trapezoid = borrowed(jnp.trapezoid)

# Contraction ---------------------------------------------------------------------------------------------

convolve = borrowed(jnp.convolve)
correlate = borrowed(jnp.correlate)
cross = borrowed(jnp.cross)
einsum = borrowed(jnp.einsum)
kron = borrowed(jnp.kron)
matvec = borrowed(jnp.matvec)
vecdot = borrowed(jnp.vecdot)
vecmat = borrowed(jnp.vecmat)

# Polynomials and interpolation ---------------------------------------------------------------------------

interp = borrowed(jnp.interp)
poly = borrowed(jnp.poly)
polyadd = borrowed(jnp.polyadd)
polyder = borrowed(jnp.polyder)
polydiv = borrowed(jnp.polydiv)
polyfit = borrowed(jnp.polyfit)
polyint = borrowed(jnp.polyint)
polymul = borrowed(jnp.polymul)
polysub = borrowed(jnp.polysub)
polyval = borrowed(jnp.polyval)
roots = borrowed(jnp.roots, advice="give strip_zeros=False")
vander = borrowed(jnp.vander)

# Indices, windows and grids ------------------------------------------------------------------------------

bartlett = borrowed(jnp.bartlett)
blackman = borrowed(jnp.blackman)
diag_indices = borrowed(jnp.diag_indices)
diag_indices_from = borrowed(jnp.diag_indices_from)
geomspace = borrowed(jnp.geomspace)
hamming = borrowed(jnp.hamming)
hanning = borrowed(jnp.hanning)
indices = borrowed(jnp.indices)
ix_ = borrowed(jnp.ix_)
kaiser = borrowed(jnp.kaiser)
logspace = borrowed(jnp.logspace)
mask_indices = borrowed(jnp.mask_indices)
ravel_multi_index = borrowed(jnp.ravel_multi_index)
tril_indices = borrowed(jnp.tril_indices)
tril_indices_from = borrowed(jnp.tril_indices_from)
triu_indices = borrowed(jnp.triu_indices)
triu_indices_from = borrowed(jnp.triu_indices_from)
unravel_index = borrowed(jnp.unravel_index)

# What asks for shapes and types: static, inside a trace, too ---------------------------------------------


@answered
def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    """Whether an array, or an array of a dtype, can be converted to a dtype; as `numpy.can_cast`."""
    return bool(jnp.can_cast(from_, to, casting))  # type: ignore[arg-type]


einsum_path = answered(jnp.einsum_path)
iscomplexobj = answered(jnp.iscomplexobj)
isrealobj = answered(jnp.isrealobj)
isscalar = answered(jnp.isscalar)
iterable = answered(jnp.iterable)
result_type = answered(jnp.result_type)


@native(jnp.shape)
def shape(a: Any) -> tuple[int, ...]:
    """The shape, a tuple of ints."""
    return lift(a).shape


@native(jnp.ndim)
def ndim(a: Any) -> int:
    """The number of axes."""
    return lift(a).ndim


@native(jnp.size)
def size(a: Any, axis: int | tuple[int, ...] | None = None) -> int:
    """The number of elements, or of those along axes."""
    t = lift(a)
    if axis is None:
        return t.size
    axes = normalize_axes(axis, t.ndim, "size")
    return math.prod([t.shape[i] for i in axes])


# What prints or writes values ---------------------------------------------------------------------------

array_repr = of_known(jnp.array_repr)
array_str = of_known(jnp.array_str)
save = of_known(jnp.save)
savez = of_known(jnp.savez)

# Masks that are known say how many elements they choose ---------------------------------------------------

_compress, _extract = borrowed(jnp.compress), borrowed(jnp.extract)


def _chosen(condition: Any, size: int | None) -> Any:
    """Indices of the true elements of a flat condition that is known, where no size is given; else None."""
    if size is not None or isinstance(condition, (Tensor, jax.core.Tracer)):
        return None
    return np.flatnonzero(np.asarray(condition))


@native(jnp.compress)
def compress(
    condition: Any,
    a: Any,
    axis: int | None = None,
    *,
    size: int | None = None,
    fill_value: Any = 0,
    out: None = None,
) -> Any:
    """Slices of `a` along an axis where the condition holds; a traced condition needs `size`."""
    chosen = _chosen(condition, size)
    if chosen is None or np.ndim(condition) != 1:
        return _compress(condition, a, axis, size=size, fill_value=fill_value)
    t = lift(a)
    length = t.size if axis is None else t.shape[normalize_axis(axis, t.ndim, "compress")]
    if chosen.size and chosen[-1] >= length:
        raise ArgumentError(
            f"compress: expected the condition to hold for indices below {length}, got {chosen[-1]}"
        )
    return take(t, chosen, axis)


@native(jnp.extract)
def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """Elements of `arr` where the condition holds; a traced condition needs `size`."""
    if _chosen(condition, size) is None:
        return _extract(condition, arr, size=size, fill_value=fill_value)
    return compress(np.ravel(np.asarray(condition)), ravel(arr))


# Functions of functions, which may be written with tracer.numpy or with jax.numpy ------------------------

apply_over_axes = borrowed(jnp.apply_over_axes, calls=True)
fromfunction = borrowed(jnp.fromfunction, calls=True)
piecewise = borrowed(jnp.piecewise, calls=True)


@native(jnp.apply_along_axis)
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """`func1d(line, *args, **kwargs)` of every line along an axis; its results take the place of the axis."""
    from tracer.api.vmap import vmap

    t = lift(arr)
    axis = normalize_axis(axis, t.ndim, "apply_along_axis")

    def fn(line: Any) -> Any:
        return func1d(line, *args, **kwargs)

    for i in range(1, t.ndim - axis):
        fn = vmap(fn, in_axes=i, out_axes=-1)
    for _ in range(axis):
        fn = vmap(fn)
    return fn(t)


def vectorize(
    pyfunc: Callable[..., Any], *, excluded: Any = frozenset(), signature: str | None = None
) -> Any:
    """`pyfunc` of single elements as a function of arrays; see `jax.numpy.vectorize`."""
    return borrowed(jnp.vectorize(pyfunc, excluded=excluded, signature=signature), calls=True)


class PythonUfunc:
    """A function of scalars as an elementwise one, with the methods of a `jax.numpy.ufunc`."""

    def __init__(self, ufunc: Any) -> None:
        self._ufunc = ufunc
        self.nin: int = ufunc.nin
        self.nout: int = ufunc.nout
        self.identity = ufunc.identity
        self.at, self.reduce, self.accumulate, self.outer, self.reduceat = (
            borrowed(getattr(ufunc, method), name=method, calls=True) for method in METHODS
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return borrowed(self._ufunc, name="ufunc", calls=True)(*args, **kwargs)


# Methods of elementwise functions.
METHODS = ("at", "reduce", "accumulate", "outer", "reduceat")


def frompyfunc(func: Callable[..., Any], /, nin: int, nout: int, *, identity: Any = None) -> PythonUfunc:
    """`func` of scalars as an elementwise function; see `jax.numpy.frompyfunc`."""
    return PythonUfunc(jnp.frompyfunc(func, nin, nout, identity=identity))


class Indexed:
    """An object of `jax.numpy` that is indexed to make arrays, for traced values in the index."""

    def __init__(self, made_by: Any, name: str) -> None:
        self._getitem = borrowed(made_by.__getitem__, name=name)
        self.__doc__ = made_by.__doc__

    def __getitem__(self, key: Any) -> Any:
        return self._getitem(key)


c_ = Indexed(jnp.c_, "c_")
mgrid = Indexed(jnp.mgrid, "mgrid")
ogrid = Indexed(jnp.ogrid, "ogrid")
r_ = Indexed(jnp.r_, "r_")

# Names by version ---------------------------------------------------------------------------------------

BY_VERSION: dict[str, Any] = public("minmax top_k", jnp)
for _name in ("float6_e2m3fn", "float6_e3m2fn", "int1", "uint1"):
    if hasattr(jnp, _name):
        BY_VERSION[_name] = getattr(jnp, _name)

__all__ = [
    "allclose", "angle", "append", "apply_along_axis", "apply_over_axes", "argpartition", "argsort",
    "argwhere", "around", "array_equal", "array_equiv", "array_repr", "array_str", "average", "bartlett",
    "bincount", "bitwise_count", "blackman", "block", "broadcast_shapes", "c_", "can_cast", "choose",
    "column_stack", "compress", "convolve", "copy", "copysign", "corrcoef", "correlate", "cov", "cross",
    "cumulative_prod", "cumulative_sum", "delete", "diag_indices", "diag_indices_from", "diagflat", "diff",
    "digitize", "dsplit", "dstack", "ediff1d", "einsum", "einsum_path", "extract", "fabs", "fill_diagonal",
    "flatnonzero", "fliplr", "flipud", "float_power", "fmax", "fmin", "frexp", "from_dlpack", "frombuffer",
    "fromfile", "fromfunction", "fromiter", "frompyfunc", "fromstring", "gcd", "geomspace",
    "get_printoptions", "gradient", "hamming", "hanning", "heaviside", "histogram", "histogram2d",
    "histogram_bin_edges", "histogramdd", "hsplit", "i0", "index_exp", "indices", "insert", "interp",
    "intersect1d", "isclose", "iscomplex", "iscomplexobj", "isdtype", "isin", "isneginf", "isposinf",
    "isreal", "isrealobj", "isscalar", "issubdtype", "iterable", "ix_", "kaiser", "kron", "lcm", "ldexp",
    "lexsort", "load", "logaddexp2", "logspace", "mask_indices", "matvec", "median", "mgrid", "modf",
    "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin",
    "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "ndim", "nonzero", "ogrid",
    "packbits", "partition", "percentile", "piecewise", "place", "poly", "polyadd", "polyder", "polydiv",
    "polyfit", "polyint", "polymul", "polysub", "polyval", "printoptions", "promote_types", "put",
    "put_along_axis", "quantile", "r_", "ravel_multi_index", "resize", "result_type", "roots", "rot90",
    "s_", "save", "savez", "searchsorted", "select", "set_printoptions", "setdiff1d", "setxor1d", "shape",
    "signbit", "size", "sort", "sort_complex", "spacing", "trapezoid", "tril_indices", "tril_indices_from",
    "trim_zeros", "triu_indices", "triu_indices_from", "trunc", "union1d", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "unpackbits", "unravel_index", "unstack", "unwrap",
    "vander", "vecdot", "vecmat", "vectorize", "vsplit",
]  # fmt: skip
