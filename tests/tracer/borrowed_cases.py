"""A call of every borrowed function, written for the module of either library that has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy

from tests.tracer.cases import Case
from tests.tracer.helpers import array

X, Y = array(3, 4), array(3, 4, seed=1)
P = array(3, 4, seed=2, low=0.2, high=0.9)
Q = array(3, 4, seed=21, low=0.2, high=0.9)
V, W = array(4, seed=3), array(4, seed=31)
T3, U3 = array(2, 3, seed=4), array(2, 3, seed=5)
CUBE = array(2, 4, 6, seed=5)
SQUARE = array(3, 3, seed=6) + 3 * jnp.eye(3)
POSITIVE = SQUARE @ SQUARE.T
SYMMETRIC = (SQUARE + SQUARE.T) / 2
EMPTY = array(0, 4)
N = array(3, 4, dtype=numpy.int32, low=-5, high=5)
M = array(3, 4, dtype=numpy.int32, seed=8, low=1, high=4)
B = array(3, 4, dtype=bool)
C = array(3, 4, dtype=numpy.complex64)
GAPS = jnp.array([[1.0, numpy.nan, -2.0, 0.5], [numpy.nan, 3.0, 2.0, -1.0]])
BYTES = array(3, 4, dtype=numpy.uint8, seed=10, high=200)
KNOTS = jnp.array([-2.0, -1.0, 0.5, 2.0])

NUMPY: list[Case] = []
LINALG: list[Case] = []
FFT: list[Case] = []
SPECIAL: list[Case] = []
NN: list[Case] = []


def adder(cases: list[Case]) -> tuple[Callable[..., None], Callable[..., None]]:
    """(case, each) that add to a table."""

    def case(name: str, call: Any, *args: Any, gradient: bool = True, tol: float | None = None) -> None:
        cases.append(Case(name, call, args, gradient, tol))

    def each(names: str, *operands: tuple[Any, ...], gradient: bool = True, tol: float | None = None) -> None:
        for name in names.split():
            for args in operands:
                call = lambda np, *xs, _name=name: getattr(np, _name)(*xs)
                cases.append(Case(name, call, args, gradient, tol))

    return case, each


# jax.numpy -------------------------------------------------------------------------------------------------

case, each = adder(NUMPY)
each("angle around fabs i0 isneginf isposinf isreal iscomplex signbit trunc", (X,), (EMPTY,))
each("angle around isreal iscomplex", (C,))
each("copysign float_power fmax fmin heaviside logaddexp2 allclose array_equal array_equiv isclose", (P, Q))
each("allclose array_equal array_equiv isclose", (X, X), (N, M))
each("bitwise_count", (N,), (BYTES,))
each("gcd lcm", (N, M))
each("frexp", (X,), gradient=False)
each("modf", (X,))
each("spacing", (X,), gradient=False)
each("unwrap", (X * 4,))
case("ldexp", lambda np, x, n: np.ldexp(x, n), X, M)
case("average", lambda np, x, w: np.average(x, axis=1, weights=w), X, P)
each("average copy", (X,), (N,), (C,))
each("append", (X, Y))
case("append", lambda np, x, y: np.append(x, y, axis=0), X, Y)
case("argwhere", lambda np, b: np.argwhere(b, size=5), B)
case("block", lambda np, x, y: np.block([[x, y], [y, x]]), X, Y)
case("choose", lambda np, n, x, y: np.choose(n % 2, [x, y], mode="clip"), M, X, Y)
case("column_stack", lambda np, v, x: np.column_stack([v, x]), array(3), X)
case("delete", lambda np, x: np.delete(x, 1, axis=0), X)
case("delete", lambda np, x: np.delete(x, numpy.array([0, 2]), axis=1), X)
each("diagflat fliplr flipud rot90", (SQUARE,))
case("dsplit", lambda np, x: np.dsplit(x, 3), CUBE)
case("hsplit", lambda np, x: np.hsplit(x, 2), X)
case("vsplit", lambda np, x: np.vsplit(x, 3), X)
case("dstack", lambda np, x, y: np.dstack([x, y]), X, Y)
case("insert", lambda np, x, y: np.insert(x, 1, y[0], axis=0), X, Y)
case("packbits", lambda np, b: np.packbits(b, axis=1), B)
case("unpackbits", lambda np, b: np.unpackbits(b, axis=1), BYTES)
case("fill_diagonal", lambda np, x: np.fill_diagonal(x, 2.0, inplace=False), SQUARE)
case("place", lambda np, x, b, v: np.place(x, b, v, inplace=False), X, B, V)
case("put", lambda np, x, v: np.put(x, numpy.array([0, 5, 7]), v[:3], inplace=False), X, V)
case(
    "put_along_axis",
    lambda np, x, i, v: np.put_along_axis(x, i, v, axis=1, inplace=False),
    X, array(3, 1, dtype=numpy.int32, high=3), array(3, 1),
)  # fmt: skip
case("resize", lambda np, x: np.resize(x, (2, 9)), X)
case("select", lambda np, b, x, y: np.select([b, ~b], [x, y], default=1.0), B, X, Y)
case("unstack", lambda np, x: np.unstack(x, axis=1), X)
each("argsort sort sort_complex lexsort", (X,), (N,))
case("sort", lambda np, x: np.sort(x, axis=0, descending=True), X)
case("sort", lambda np, x: np.sort(x, axis=None), X)
case("argpartition", lambda np, x: np.sort(x.reshape(-1)[np.argpartition(x.reshape(-1), 4)[:4]]), X)
case("partition", lambda np, x: np.sort(np.partition(x, 2, axis=1)[:, :2], axis=1), X)
case("bincount", lambda np, n: np.bincount(n.reshape(-1), length=6), M)
case("digitize", lambda np, x, k: np.digitize(x, k), X, KNOTS)
case("searchsorted", lambda np, k, x: np.searchsorted(k, x, side="right"), KNOTS, X)
case("flatnonzero", lambda np, b: np.flatnonzero(b, size=4, fill_value=-1), B)
case("nonzero", lambda np, b: np.nonzero(b, size=4), B)
case("histogram", lambda np, x: np.histogram(x, bins=5, range=(-2, 2)), X, gradient=False)
case("histogram2d", lambda np, x, y: np.histogram2d(x, y, bins=3), V, W, gradient=False)
case("histogram_bin_edges", lambda np, x: np.histogram_bin_edges(x, bins=4), X)
case("histogramdd", lambda np, x: np.histogramdd(x, bins=2), array(5, 2), gradient=False)
for _name in ("intersect1d", "setxor1d", "union1d", "setdiff1d"):
    case(_name, lambda np, a, b, _n=_name: getattr(np, _n)(a, b, size=6, fill_value=0), N, M)
case("isin", lambda np, a, b: np.isin(a, b), N, M)
case("unique", lambda np, n: np.unique(n, size=6, return_inverse=True, return_counts=True), N)
for _name in ("unique_all", "unique_counts", "unique_inverse", "unique_values"):
    case(_name, lambda np, n, _n=_name: tuple(getattr(np, _n)(n, size=6, fill_value=0)), N)
each("corrcoef cov", (X,), tol=1e-4)
each("cumulative_prod cumulative_sum ediff1d", (V,))
case("cumulative_sum", lambda np, x: np.cumulative_sum(x, axis=1, include_initial=True), X)
each("diff gradient median trapezoid", (X,), (V,))
case("diff", lambda np, x: np.diff(x, n=2, axis=0), X)
each("nanargmax nanargmin", (V,))
each("nancumprod nancumsum nanmax nanmean nanmedian nanmin nanprod nanstd nansum nanvar", (X,))
_nan = " nancumsum nanmax nanmean nanmin nansum nanvar nanprod"
for _name in _nan.split():
    case(_name, lambda np, x, _n=_name: getattr(np, _n)(x, axis=1), GAPS, gradient=False)
for _name in ("nanpercentile", "percentile"):
    case(_name, lambda np, x, _n=_name: getattr(np, _n)(x, 30.0, axis=1), X)
for _name in ("nanquantile", "quantile"):
    case(_name, lambda np, x, q, _n=_name: getattr(np, _n)(x, q, axis=0), X, jnp.array([0.2, 0.7]))
each("convolve correlate", (V, W))
each("cross", (T3, U3))
case("einsum", lambda np, x, y: np.einsum("ij,kj->ik", x, y), X, Y)
case("einsum", lambda np, x, y, s: np.einsum("ij,kj,kl->il", x, y, s.T), X, Y, SQUARE)
case("einsum", lambda np, x: np.einsum("ii->i", x), SQUARE)
case("einsum", lambda np, x: np.einsum(x, [0, 1], [1]), X)
each("kron", (T3, SQUARE))
each("matvec", (X, V))
each("vecmat", (array(3), X))
each("vecdot", (X, Y), (C, C))
case("interp", lambda np, x, k, f: np.interp(x, k, f), X, KNOTS, V)
case("interp", lambda np, x, k, f: np.interp(x, k, f, left="extrapolate", right=0.5), X * 2, KNOTS, V)
each("poly polyder polyint", (V,), tol=1e-3, gradient=False)
each("polyadd polymul polysub", (V, array(3)))
each("polydiv", (V, array(2, seed=9)), tol=1e-4)
each("polyval", (V, X))
case("polyfit", lambda np, x, y: np.polyfit(x, y, 2), KNOTS, V, tol=1e-3)
case("roots", lambda np, v: np.sort_complex(np.roots(v, strip_zeros=False)), V, gradient=False, tol=1e-3)
each("vander", (V,))
for _name in ("bartlett", "blackman", "hamming", "hanning"):
    case(_name, lambda np, v, _n=_name: getattr(np, _n)(4) * v, V)
case("kaiser", lambda np, v: np.kaiser(4, 1.5) * v, V)
case("diag_indices", lambda np, x: x[np.diag_indices(3)], SQUARE)
case("diag_indices_from", lambda np, x: np.diag_indices_from(x), SQUARE)
case("geomspace", lambda np, a, b: np.geomspace(a, b, 4), P, P + 1)
case("logspace", lambda np, a, b: np.logspace(a, b, 4), P, P + 1)
case("indices", lambda np, x: np.indices((2, 3))[1] + x, T3)
case("ix_", lambda np, x: x[np.ix_(numpy.array([0, 2]), numpy.array([1, 3]))], X)
case("ravel_multi_index", lambda np, n: np.ravel_multi_index((n % 3, n % 4), (3, 4), mode="clip"), M)
case("unravel_index", lambda np, n: np.unravel_index(n, (3, 4)), M)
for _name in ("tril_indices", "triu_indices"):
    case(_name, lambda np, x, _n=_name: x[getattr(np, _n)(3)], SQUARE)
    case(f"{_name}_from", lambda np, x, _n=_name: getattr(np, f"{_n}_from")(x, 1), SQUARE)
case("apply_over_axes", lambda np, x: np.apply_over_axes(np.sum, x, [0, 2]), CUBE)
case("fromfunction", lambda np, x: np.fromfunction(lambda i, j: np.sin(i) * j + x, (2, 3)), T3)
case(
    "piecewise",
    lambda np, x: np.piecewise(x, [x < 0, x > 1], [lambda t: t * t, np.sin, lambda t: t * x[0, 0]]),
    X,
)
case(
    "vectorize", lambda np, x, y: np.vectorize(lambda a, b: np.dot(a, b), signature="(n),(n)->()")(x, y), X, Y
)
case("frompyfunc", lambda np, x, y: np.frompyfunc(lambda a, b: a * b + 1, 2, 1)(x, y), X, Y)
case("frompyfunc", lambda np, x: np.frompyfunc(lambda a, b: a + b, 2, 1, identity=0).reduce(x, axis=1), X)
case("c_", lambda np, v, w: np.c_[v, w], V, W)
case("r_", lambda np, v, w: np.r_[v, 1.0, w], V, W)
case("mgrid", lambda np, x: np.mgrid[0:3, 0:4][0] * x, X)
case("ogrid", lambda np, x: np.ogrid[0:3, 0:4][0] * x, X)
case("minmax", lambda np, x: np.minmax(x), X)
case("top_k", lambda np, x: np.top_k(x, 2), X)
for _name in ("add", "multiply", "maximum", "minimum", "logical_and", "logaddexp"):
    case(_name, lambda np, x, _n=_name: getattr(np, _n).reduce(x, axis=1), X)
    case(_name, lambda np, x, _n=_name: getattr(np, _n).accumulate(x, axis=1), P)
    case(_name, lambda np, v, x, _n=_name: getattr(np, _n).outer(v, x), V, X)
case("add", lambda np, x, v: np.add.at(x, numpy.array([0, 0]), v, inplace=False), X, V)
case("add", lambda np, v: np.add.reduceat(v, numpy.array([0, 2])), V)
for _name in ("argsort", "sort"):
    case(f"Tensor.{_name}", lambda np, x, _n=_name: getattr(x, _n)(axis=0), X)
case("Tensor.argpartition", lambda np, x: x.argpartition(2), X)
case("Tensor.choose", lambda np, n, x: (n % 2).choose([x, -x], mode="clip"), M, X)
case("Tensor.compress", lambda np, x, b: x.compress(b[0], axis=1, size=2), X, B)
case("Tensor.nonzero", lambda np, b: b.nonzero(size=3), B)
case("Tensor.searchsorted", lambda np, k, x: k.searchsorted(x), KNOTS, X)
case("Tensor.view", lambda np, x: (x.view(numpy.int32), x.view(numpy.int16)), X, gradient=False)

# Linear algebra ----------------------------------------------------------------------------------------------

case, each = adder(LINALG)
each("cholesky det slogdet inv pinv matrix_norm expm", (POSITIVE,), tol=1e-3)
each("cond", (POSITIVE,), tol=1e-3)
each("hessenberg", (POSITIVE,), gradient=False, tol=1e-3)
each("diagonal trace matrix_transpose matrix_rank", (SQUARE,))
each("eigh eigvalsh", (SYMMETRIC,), tol=1e-3)
each("norm vector_norm", (X,), (V,))
for _ord in ("fro", "nuc", 1, 2, numpy.inf, -1):
    case("norm", lambda np, x, _o=_ord: np.norm(x, _o), X, tol=1e-3)
each("svdvals", (X,), tol=1e-3)
case("svd", lambda np, x: np.svd(x, full_matrices=False)[1], X, tol=1e-3)
case("qr", lambda np, x: np.qr(x), SQUARE, tol=1e-3)
case("eig", lambda np, x: np.eig(x)[0], POSITIVE, gradient=False, tol=1e-3)
case("eigvals", lambda np, x: np.eigvals(x).real, POSITIVE, tol=1e-3)
each("solve lstsq", (POSITIVE, array(3, 2)), tol=1e-3)
case(
    "solve_triangular", lambda np, a, b: np.solve_triangular(a, b, lower=True), SQUARE, array(3, 2), tol=1e-3
)
each("cross", (T3, U3))
each("matmul", (X, array(4, 2)))
each("outer", (V, W))
each("tensordot", (CUBE, CUBE.reshape(4, 6, 2)))
each("vecdot", (X, Y))
case("matrix_power", lambda np, a: np.matrix_power(a / 4, 3), SQUARE, tol=1e-4)
case("multi_dot", lambda np, a, b, c: np.multi_dot([a, b, c]), X, array(4, 2), array(2, 5))
case("tensorinv", lambda np, a: np.tensorinv(a.reshape(3, 3), ind=1), POSITIVE, tol=1e-3)
each("tensorsolve", (POSITIVE, array(3)), tol=1e-3)
case("block_diag", lambda np, x, y: np.block_diag(x, y), X, T3)
case("cho_factor", lambda np, a: np.cho_factor(a)[0], POSITIVE, tol=1e-3)
case("cho_solve", lambda np, a, b: np.cho_solve(np.cho_factor(a), b), POSITIVE, array(3), tol=1e-3)
case("lu_factor", lambda np, a: np.lu_factor(a), SQUARE, tol=1e-3)
case("lu_solve", lambda np, a, b: np.lu_solve(np.lu_factor(a), b), SQUARE, array(3), tol=1e-3)
each("lu", (SQUARE,), tol=1e-3)
case(
    "expm_frechet", lambda np, a, e: np.expm_frechet(a / 4, e), SQUARE, array(3, 3), gradient=False, tol=1e-3
)
case(
    "funm", lambda np, a: np.funm(a, lambda z: z * z, disp=False)[0].real, SYMMETRIC, gradient=False, tol=1e-3
)
each("polar", (POSITIVE,), gradient=False, tol=1e-3)
case("schur", lambda np, a: np.schur(a), SYMMETRIC, gradient=False, tol=1e-3)
case("rsf2csf", lambda np, t, z: np.rsf2csf(t, z), jnp.triu(SQUARE), jnp.eye(3), gradient=False, tol=1e-3)
case("sqrtm", lambda np, a: np.sqrtm(a), POSITIVE, gradient=False, tol=1e-3)
case("solve_sylvester", lambda np, a, b, q: np.solve_sylvester(a, b, q), POSITIVE, POSITIVE + 1, SQUARE,
     gradient=False, tol=1e-3)  # fmt: skip
case(
    "qr_multiply",
    lambda np, a, c: np.qr_multiply(a, c),
    SQUARE,
    array(3, 3, seed=7),
    gradient=False,
    tol=1e-3,
)
case(
    "eigh_tridiagonal",
    lambda np, d, e: np.eigh_tridiagonal(d, e, eigvals_only=True),
    V,
    array(3),
    gradient=False,
)
each("toeplitz", (V, W))
each("hankel", (V, W))
for _name in ("hilbert", "pascal", "invhilbert", "invpascal", "dft", "helmert"):
    case(_name, lambda np, x, _n=_name: getattr(np, _n)(3), X, tol=1e-3)
case("hadamard", lambda np, x: np.hadamard(4), X)
each("circulant companion fiedler fiedler_companion", (array(4, low=0.5),))
each("leslie", (V, array(3)))
case("convolution_matrix", lambda np, v: np.convolution_matrix(v, 3), V)

# Fourier transforms -------------------------------------------------------------------------------------------

case, each = adder(FFT)
each("fft ifft fft2 ifft2 fftn ifftn fftshift ifftshift rfft rfft2 rfftn ihfft", (X,), tol=1e-4)
each("fft ifft fft2 ifft2 fftn ifftn hfft irfft irfft2 irfftn", (C,), tol=1e-4)
case("fft", lambda np, x: np.fft(x, n=6, axis=0, norm="ortho"), X, tol=1e-4)
case("fftfreq", lambda np, v: np.fftfreq(4, 0.5) * v, V)
case("rfftfreq", lambda np, v: np.rfftfreq(6, 0.5) * v, V)

# Special functions ----------------------------------------------------------------------------------------------

case, each = adder(SPECIAL)
each("digamma entr erf erfc erfinv exp1 expi expit gammaln i0 i0e i1 i1e logit log_ndtr loggamma ndtr ndtri "
     "spence gamma factorial log_softmax softmax logsumexp erfcx dawsn", (P,), tol=1e-3)  # fmt: skip
each("gammasgn", (X,), gradient=False)
each("betaln beta kl_div rel_entr xlogy xlog1py poch owens_t boxcox boxcox1p", (P, Q), tol=1e-3)
each("gammainc gammaincc", (P, Q), tol=1e-3)
each("zeta", (P + 2, Q + 1), tol=1e-3, gradient=False)
case("betainc", lambda np, x: np.betainc(2.0, 0.5, x), P, tol=1e-3)
each("fresnel sici", (P,), tol=1e-3)
each("wofz", (C,), tol=1e-3, gradient=False)
case("bernoulli", lambda np, p: np.bernoulli(4) * p[0, 0], P)
case("bessel_jn", lambda np, z: np.bessel_jn(z, v=2), P.reshape(-1), tol=1e-3)
case("comb", lambda np, n, k: np.comb(n + 4, k), M, M, tol=1e-3)
case("expn", lambda np, x: np.expn(2, x), P, tol=1e-3)
case("polygamma", lambda np, x: np.polygamma(1, x), P, tol=1e-3, gradient=False)
case("multigammaln", lambda np, x: np.multigammaln(x + 3, 2), P, tol=1e-3)
each("hyp1f1", (P, Q, P), tol=1e-3, gradient=False)
case("hyp2f1", lambda np, a, b: np.hyp2f1(a, b, a + b, a / 2), P, Q, tol=1e-3, gradient=False)
case(
    "sph_harm_y",
    lambda np, a: np.sph_harm_y(numpy.array([2]), numpy.array([1]), a[:1], a[1:2], n_max=3),
    V,
    gradient=False,
    tol=1e-3,
)
case("erfcinv", lambda np, x: np.erfcinv(x), P, tol=1e-3)

# Neural networks --------------------------------------------------------------------------------------------------

case, each = adder(NN)
each("glu hard_sigmoid hard_silu hard_swish identity logmeanexp mish sparse_plus sparse_sigmoid tanh", (X,))
each("log1mexp", (P,))
_q, _k, _v = (array(2, 3, 2, 4, seed=s) for s in (1, 2, 3))
each("dot_product_attention", (_q, _k, _v), tol=1e-4)
case(
    "dot_product_attention", lambda np, q, k, v: np.dot_product_attention(q, k, v, is_causal=True), _q, _k, _v
)
