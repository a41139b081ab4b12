"""Functions of `tracer.numpy`, `tracer.special` and `tracer.nn` that share a signature, with random calls of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.conformance.draw import Draw
from tests.tracer.cases import Case

Recipe = Callable[[Draw], Case]
Recipes = dict[str, list[Recipe]]


def add(recipes: Recipes, names: str, make: Callable[[str], Recipe]) -> None:
    for name in names.split():
        recipes.setdefault(name, []).append(make(name))


def smooth(*arrays: Any) -> bool:
    """Whether gradients are compared: narrow types agree in values only, whose rounding is theirs alone."""
    return all(a.dtype.itemsize >= 4 or a.dtype.kind in "biu" for a in arrays)


def unary(low: float = -2, high: float = 2, kinds: str = "bifc", gradient: bool = True) -> Any:
    """f(x)."""

    def make(name: str) -> Recipe:
        def recipe(d: Draw) -> Case:
            hard = d.chance(0.3)
            x = d.array(d.shape(), d.dtype(kinds), low, high, hard)
            moves = gradient and not hard and smooth(x)
            return Case(name, lambda np, x: getattr(np, name)(x), (x,), moves)

        return recipe

    return make


def binary(
    low: float = -2, high: float = 2, kinds: str = "bifc", gradient: bool = True, mixed: bool = True
) -> Any:
    """f(x, y), broadcast, of one type or of two; one of them may be a Python number."""

    def make(name: str) -> Recipe:
        def recipe(d: Draw) -> Case:
            hard = d.chance(0.2)
            first = d.dtype(kinds)
            second = d.dtype(kinds) if mixed and d.chance(0.5) else first
            a, b = d.broadcasting(2)
            x, y = d.array(a, first, low, high, hard), d.array(b, second, low, high, hard)
            moves = gradient and not hard and smooth(x, y)
            if mixed and d.chance(0.2):
                s = d.scalar(kinds)
                if d.chance(0.5):
                    return Case(name, lambda np, x: getattr(np, name)(x, s), (x,), moves and bool(s))
                return Case(name, lambda np, y: getattr(np, name)(s, y), (y,), moves and bool(s))
            return Case(name, lambda np, x, y: getattr(np, name)(x, y), (x, y), moves)

        return recipe

    return make


def reduction(kinds: str = "bifc", gradient: bool = True, initial: bool = False, where: bool = True) -> Any:
    """f(x, axis, keepdims, initial, where)."""

    def make(name: str) -> Recipe:
        def recipe(d: Draw) -> Case:
            hard = d.chance(0.15)
            x = d.array(d.shape(), d.dtype(kinds), hard=hard)
            options: dict[str, Any] = {"axis": d.axes(x.ndim)}
            if d.chance(0.4):
                options["keepdims"] = d.chance(0.5)
            if initial and d.chance(0.4):
                options["initial"] = d.one([1, 2, 0])
            moves = gradient and not hard and smooth(x)
            if where and d.chance(0.25):
                if initial:
                    options.setdefault("initial", 1)
                mask = d.array(x.shape, "bool")
                # Of nothing mean and deviation are 0 / 0.
                moves = moves and name not in ("mean", "var", "std")
                return Case(name, lambda np, x, m: getattr(np, name)(x, where=m, **options), (x, mask), moves)
            return Case(name, lambda np, x: getattr(np, name)(x, **options), (x,), moves)

        return recipe

    return make


def along(kinds: str = "bifc", gradient: bool = True, least: int = 0) -> Any:
    """f(x, axis=axis)."""

    def make(name: str) -> Recipe:
        def recipe(d: Draw) -> Case:
            x = d.array(d.shape((1, 2, 3), least), d.dtype(kinds))
            axis = d.axis(x.ndim)
            call = lambda np, x: getattr(np, name)(x, axis=axis)
            return Case(name, call, (x,), gradient and smooth(x))

        return recipe

    return make


def of_shape(
    call: Callable[[Draw, tuple[int, ...]], Callable[..., Any]],
    ranks: tuple[int, ...] = (1, 2, 3),
    least: int = 0,
) -> Any:
    """f(x, ...) of an array of any type: what else it takes is drawn for its shape."""

    def make(name: str) -> Recipe:
        def recipe(d: Draw) -> Case:
            x = d.array(d.shape(ranks, least), d.dtype("bifc"))
            return Case(name, call(d, x.shape), (x,), smooth(x))

        return recipe

    return make


NUMPY: Recipes = {}

add(NUMPY, "exp exp2 expm1 sin cos tan sinh cosh tanh arcsinh asinh arctan atan", unary())
add(NUMPY, "log log1p sqrt log2 log10", unary(0.1, 3))
add(NUMPY, "cbrt deg2rad rad2deg radians degrees floor ceil trunc rint isposinf isneginf", unary(kinds="bif"))
add(NUMPY, "arcsin asin arccos acos arctanh atanh", unary(-0.9, 0.9))
add(NUMPY, "arccosh acosh", unary(1.1, 3))
add(NUMPY, "negative positive square conj conjugate real imag angle iscomplex isreal", unary())
add(NUMPY, "sign", unary(kinds="bif"))  # z / |z| has a derivative; JAX takes it for zero
add(NUMPY, "abs absolute fabs reciprocal", unary(0.3, 2))
add(NUMPY, "isfinite isinf isnan logical_not bitwise_count signbit i0 nan_to_num", unary(kinds="bif"))
add(NUMPY, "sinc", unary(0.5, 2, "f"))  # at integers ours is 0, JAX's what pi lacks of being pi
add(NUMPY, "bitwise_not invert bitwise_invert", unary(kinds="bi"))
add(NUMPY, "ravel zeros_like ones_like copy atleast_1d atleast_2d atleast_3d fix", unary())
add(NUMPY, "add subtract multiply equal not_equal", binary())
add(NUMPY, "less less_equal greater greater_equal", binary())
add(NUMPY, "logical_and logical_or logical_xor", binary())
add(NUMPY, "divide true_divide", binary(0.5, 3))
add(NUMPY, "minimum maximum fmin fmax", binary(kinds="bif"))
add(NUMPY, "arctan2 atan2 hypot copysign nextafter heaviside logaddexp logaddexp2", binary(kinds="if"))
add(NUMPY, "floor_divide remainder mod fmod divmod", binary(0.6, 9, "if", gradient=False))
add(NUMPY, "power pow float_power", binary(0.5, 3, "if"))
add(NUMPY, "bitwise_and bitwise_or bitwise_xor", binary(kinds="bi"))
add(NUMPY, "left_shift right_shift bitwise_left_shift bitwise_right_shift", binary(0, 5, "i"))
add(NUMPY, "gcd lcm", binary(-9, 9, "i"))
add(NUMPY, "isclose allclose array_equal array_equiv", binary(kinds="bif"))
add(NUMPY, "sum prod", reduction(initial=True))
add(NUMPY, "mean var std", reduction())
add(NUMPY, "all any", reduction(kinds="bif", where=False))  # JAX drops imaginary parts; ours are NumPy's
add(NUMPY, "count_nonzero", reduction(where=False))
add(NUMPY, "max min amax amin", reduction(kinds="bif", initial=True))
add(NUMPY, "ptp", reduction(kinds="if", where=False))
add(NUMPY, "nansum nanprod nanmean nanvar nanstd", reduction(kinds="bif", where=False))
add(NUMPY, "nanmax nanmin", reduction(kinds="f", where=False))
add(NUMPY, "median nanmedian", reduction(kinds="if", where=False))
add(NUMPY, "cumsum cumprod nancumsum nancumprod", along())
add(NUMPY, "argmax argmin", along(kinds="bif", least=1))
add(NUMPY, "sort argsort", along(kinds="bif"))
add(NUMPY, "flip", along())
add(NUMPY, "diff gradient trapezoid", along(kinds="if", least=2))


def _permutation(d: Draw, shape: tuple[int, ...]) -> Any:
    order = tuple([int(a) for a in d.rng.permutation(len(shape))])
    return lambda np, x: np.transpose(x, order)


def _reshaped(d: Draw, shape: tuple[int, ...]) -> Any:
    total = int(np.prod(shape))
    return d.one(
        [
            lambda np, x: np.reshape(x, (total,)),
            lambda np, x: np.reshape(x, (1, total, 1)),
            lambda np, x: np.reshape(x, tuple(reversed(shape)), order="F"),
        ]
    )


def _padded(d: Draw, shape: tuple[int, ...]) -> Any:
    widths = [(d.size(), d.size()) for _ in shape]
    mode = d.one(["constant", "edge", "reflect", "wrap", "symmetric"])
    return lambda np, x: np.pad(x, widths, mode=mode)


def _indexed(d: Draw, shape: tuple[int, ...]) -> Any:
    axis, n = d.axis(len(shape)), shape[-1]
    at = d.rng.integers(-n - 1, n + 1, d.shape((0, 1, 2))).astype(np.int32)
    mode = d.one([None, "clip", "wrap", "fill"])
    if n == 0:
        return lambda np, x: x[..., :0]
    return d.one(
        [
            lambda np, x: np.take(x, at, axis=axis, mode=mode),
            lambda np, x: np.take(x, at, mode=mode),
            lambda np, x: x[..., at],
            lambda np, x: x[..., ::-2],
        ]
    )


def _updated(d: Draw, shape: tuple[int, ...]) -> Any:
    n = shape[0]
    at = d.rng.integers(0, max(n, 1), (2,)).astype(np.int32)
    how = d.one(["set", "add", "multiply", "min", "max"])
    if n < 2:
        return lambda np, x: x[1:]
    if how in ("set",):
        at = np.int32([0, n - 1])
    if how in ("min", "max"):
        return lambda np, x: getattr(np.real(x).at[at], how)(1)
    return lambda np, x: getattr(x.at[at], how)(1)


def bound(name: str, *args: Any, **options: Any) -> Any:
    """The call of a function with all but its operand."""
    return lambda np, x: getattr(np, name)(x, *args, **options)


def offset(name: str) -> Recipe:
    """f(x, k) of the diagonal k."""
    return of_shape(lambda d, s: bound(name, d.size() - 3), (2, 3))(name)  # type: ignore[no-any-return]


def _rotation(d: Draw, shape: tuple[int, ...]) -> Any:
    return bound("rot90", k=d.size() - 2)


add(NUMPY, "transpose permute_dims", of_shape(_permutation))
add(NUMPY, "reshape", of_shape(_reshaped))
add(NUMPY, "pad", of_shape(_padded))
add(NUMPY, "take", of_shape(_indexed))
add(NUMPY, "put", of_shape(_updated))
add(NUMPY, "moveaxis", of_shape(lambda d, s: bound("moveaxis", d.axis(len(s)), d.axis(len(s)))))
add(NUMPY, "swapaxes", of_shape(lambda d, s: bound("swapaxes", d.axis(len(s)), d.axis(len(s)))))
add(NUMPY, "expand_dims", of_shape(lambda d, s: bound("expand_dims", d.axis(len(s) + 1))))
add(NUMPY, "squeeze", of_shape(lambda d, s: bound("squeeze")))
add(NUMPY, "roll", of_shape(lambda d, s: bound("roll", d.size() - 2, axis=d.axis(len(s)))))
add(NUMPY, "repeat", of_shape(lambda d, s: bound("repeat", d.size(), axis=d.axis(len(s)))))
add(NUMPY, "tile", of_shape(lambda d, s: bound("tile", d.shape((1, 2)))))
add(NUMPY, "tril triu trace diagonal", offset)
add(NUMPY, "diag", of_shape(lambda d, s: bound("diag", d.size() - 3), (1, 2)))
add(NUMPY, "rot90", of_shape(_rotation, (2, 3)))
add(NUMPY, "flipud fliplr matrix_transpose", lambda name: of_shape(lambda d, s: bound(name), (2, 3))(name))
add(NUMPY, "array_split", of_shape(lambda d, s: bound("array_split", d.size(1), axis=d.axis(len(s)))))
add(NUMPY, "broadcast_to", of_shape(lambda d, s: bound("broadcast_to", (d.size(), *s))))
add(NUMPY, "astype", of_shape(lambda d, s: bound("astype", d.dtype("bifc"))))


def _ranked(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        x, q = d.array(d.shape((1, 2), 1), d.dtype("f")), d.one([0, 0.3, 0.5, 1])
        share = q if "quantile" in name else 100 * q
        return Case(name, lambda np, x: getattr(np, name)(x, share, axis=0), (x,), False)

    return recipe


add(NUMPY, "quantile percentile nanquantile nanpercentile", _ranked)


def _joined(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        shape = list(d.shape((1, 2, 3)))
        axis = d.axis(len(shape))
        arrays = []
        for _ in range(d.one([1, 2, 3])):
            if name != "stack":
                shape[axis] = d.size()
            arrays.append(d.array(shape, d.dtype("bifc")))
        return Case(name, lambda np, *xs: getattr(np, name)(xs, axis=axis), tuple(arrays), smooth(*arrays))

    return recipe


add(NUMPY, "concatenate concat stack", _joined)


def _product(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        n, m, k, b = d.size(), d.size(), d.size(), d.size()
        pairs: dict[str, Any] = {
            "matmul": [
                ((n, m), (m, k)),
                ((m,), (m,)),
                ((b, n, m), (m, k)),
                ((b, n, m), (1, m, k)),
                ((n, m), (m,)),
            ],
            "dot": [((n, m), (m, k)), ((m,), (m,)), ((), (n, m)), ((n, m), (b, m, k))],
            "inner": [((n, m), (k, m)), ((m,), (m,))],
            "outer": [((n,), (m,)), ((n, k), (m,))],
            "vdot": [((n, m), (n, m)), ((m,), (m,))],
            "kron": [((n, m), (k, b)), ((n,), (m,))],
            "tensordot": [((n, m, k), (m, k, b))],
            "vecdot": [((n, m), (n, m)), ((b, n, m), (n, m))],
            "matvec": [((n, m), (m,)), ((b, n, m), (b, m))],
            "vecmat": [((n,), (n, m))],
            "convolve": [((n + 1,), (m + 1,))],
            "correlate": [((n + 1,), (m + 1,))],
        }
        a, c = d.one(pairs[name])
        first = d.dtype("bifc")
        x, y = d.array(a, first), d.array(c, first if d.chance(0.6) else d.dtype("bifc"))
        return Case(name, lambda np, x, y: getattr(np, name)(x, y), (x, y), smooth(x, y))

    return recipe


add(NUMPY, "matmul dot inner outer vdot kron tensordot vecdot matvec vecmat convolve correlate", _product)


def _where(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        m, a, b = d.broadcasting(3)
        x, y, c = d.array(a, d.dtype("bifc")), d.array(b, d.dtype("bifc")), d.array(m, "bool")
        if d.chance(0.3):
            s = d.scalar("bifc")
            return Case(name, lambda np, c, x: np.where(c, x, s), (c, x), smooth(x))
        return Case(name, lambda np, c, x, y: np.where(c, x, y), (c, x, y), smooth(x, y))

    return recipe


def _clip(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        x = d.array(d.shape(), d.dtype("if"), hard=d.chance(0.2))
        low, high = d.one([(-1, 1), (None, 0.5), (0, None), (-1.0, 1)])
        return Case(name, lambda np, x: np.clip(x, low, high), (x,), False)

    return recipe


add(NUMPY, "where", _where)
add(NUMPY, "clip", _clip)


def _sought(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        dtype = d.dtype("if")
        knots, x = np.sort(d.array((d.size(1),), dtype)), d.array(d.shape(), dtype)
        side = d.one(["left", "right"])
        return Case(name, lambda np, k, x: np.searchsorted(k, x, side=side), (knots, x), False)

    return recipe


def _einsum(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        n = {c: d.size() for c in "ijkl"}
        subscripts = d.one(
            ["ij,jk->ik", "ij,ij->", "ij->ji", "ijk,kl->lij", "ij,j->i", "i,j->ij", "ij->", "kij->ki"]
        )
        operands = subscripts.split("->")[0].split(",")
        dtype = d.dtype("ifc")
        arrays = tuple([d.array([n[c] for c in o], dtype) for o in operands])
        return Case(name, lambda np, *xs: np.einsum(subscripts, *xs), arrays, smooth(*arrays))

    return recipe


add(NUMPY, "searchsorted", _sought)
add(NUMPY, "einsum", _einsum)

# Special functions -----------------------------------------------------------------------------------------

SPECIAL: Recipes = {}
add(SPECIAL, "erf erfc expit log_ndtr ndtr i0e i1e i0 i1 softmax log_softmax logsumexp", unary(-3, 3, "f"))
add(SPECIAL, "gammaln digamma gamma loggamma spence entr exp1 factorial", unary(0.5, 4, "f"))
add(SPECIAL, "erfinv", unary(-0.9, 0.9, "f"))
add(SPECIAL, "logit ndtri", unary(0.1, 0.9, "f"))
add(SPECIAL, "xlogy xlog1py rel_entr kl_div beta betaln", binary(0.3, 3, "f", mixed=False))
add(SPECIAL, "gammainc gammaincc", binary(0.5, 3, "f", mixed=False))
add(SPECIAL, "zeta", binary(1.5, 4, "f", gradient=False, mixed=False))

# Fourier transforms ----------------------------------------------------------------------------------------

FFT: Recipes = {}


def _transformed(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        real = name in ("rfft", "ihfft")
        dtype = "float64" if d.wide and d.chance(0.5) else "float32"
        if not real and d.chance(0.5):
            dtype = dtype.replace("float64", "complex128").replace("float32", "complex64")
        x = d.array(d.shape((1, 2, 3), 1), dtype)
        axis, norm = d.axis(x.ndim), d.one([None, "ortho", "forward", "backward"])
        n = d.one([None, d.size(2)])
        return Case(name, lambda np, x: getattr(np, name)(x, n=n, axis=axis, norm=norm), (x,), True, 1e-4)

    return recipe


def _transformed_axes(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        dtype = "float32" if name.startswith("r") or d.chance(0.5) else "complex64"
        x = d.array(d.shape((2, 3), 2), dtype)
        norm = d.one([None, "ortho"])
        return Case(name, lambda np, x: getattr(np, name)(x, norm=norm), (x,), True, 1e-4)

    return recipe


add(FFT, "fft ifft rfft irfft hfft ihfft", _transformed)
add(FFT, "fft2 ifft2 fftn ifftn rfft2 rfftn irfft2 irfftn", _transformed_axes)
add(FFT, "fftshift ifftshift", unary())
