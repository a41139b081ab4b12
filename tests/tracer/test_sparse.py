"""`sparse_jacobian`, `sparse_hessian`, `sparsity`: equal to the dense derivatives, by few products, in all formats."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from jax.experimental.sparse import BCOO

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.errors import ArgumentError, ArgumentTypeError, DifferentiationError, SparsityError
from tracer.api import sparse, sparse_plan

RNG = np.random.default_rng(0)
FORMATS = ("bcoo", "csr", "dense")


def dense(tree: Any) -> Any:
    """Sparse matrices in a pytree as arrays."""
    is_sparse = lambda x: isinstance(x, BCOO) or scipy.sparse.issparse(x)
    full = lambda x: np.asarray(x.todense() if is_sparse(x) else x)
    return jax.tree_util.tree_map(full, tree, is_leaf=is_sparse)


def assert_same(got: Any, want: Any, rtol: float = 1e-5) -> None:
    got, want = dense(got), dense(want)
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(want)
    for a, b in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(abs(b).max(initial=0), 1))


# Programs ---------------------------------------------------------------------------------------------


def heat(u: Any) -> Any:
    """Two-dimensional heat equation with a source, fixed boundary."""
    v = tnp.pad(u, 1)
    return v[2:, 1:-1] + v[:-2, 1:-1] + v[1:-1, 2:] + v[1:-1, :-2] - 4 * u + 0.1 * tnp.exp(u)


def burgers(u: Any) -> Any:
    """Viscous Burgers' equation, periodic: upwind differences."""
    left, right = tnp.roll(u, 1), tnp.roll(u, -1)
    slope = tnp.where(u > 0, u - left, right - u)
    return -u * slope + 0.3 * (left - 2 * u + right)


def brusselator(state: Any) -> Any:
    """The Brusselator with diffusion in one dimension: two coupled fields."""
    u, v = state["u"], state["v"]
    laplacian = lambda w: tnp.roll(w, 1) - 2 * w + tnp.roll(w, -1)
    return {
        "u": 1 + u * u * v - 4.4 * u + 0.2 * laplacian(u),
        "v": 3.4 * u - u * u * v + 0.2 * laplacian(v),
    }


CAMERAS, POINTS, SEEN = 4, 15, 40
CAMERA_OF = RNG.integers(0, CAMERAS, SEEN)
POINT_OF = RNG.integers(0, POINTS, SEEN)
OBSERVED = RNG.normal(size=(SEEN, 2)).astype(np.float32)


def reprojection(cameras: Any, points: Any) -> Any:
    """Residuals of bundle adjustment: angle-axis rotation, translation, focal length and distortion."""
    camera, x = cameras[CAMERA_OF], points[POINT_OF]
    w = camera[:, :3]
    angle = tnp.sqrt(tnp.sum(w * w, axis=1, keepdims=True) + 1e-6)
    axis = w / angle
    along = tnp.sum(axis * x, axis=1, keepdims=True)
    turned = x * tnp.cos(angle) + tnp.cross(axis, x) * tnp.sin(angle) + axis * along * (1 - tnp.cos(angle))
    moved = turned + camera[:, 3:6]
    image = -moved[:, :2] / (moved[:, 2:] - 5)
    radius = tnp.sum(image * image, axis=1, keepdims=True)
    distortion = 1 + camera[:, 7:8] * radius + camera[:, 8:9] * radius * radius
    return camera[:, 6:7] * distortion * image - OBSERVED


def array(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


JACOBIANS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Any, int]] = {
    # name: function, arguments, argnums, products that it takes
    "heat": (heat, (array(8, 9),), 0, 7),
    "burgers": (burgers, (array(12),), 0, 3),
    "brusselator": (brusselator, ({"u": array(9), "v": array(9)},), 0, 6),
    "bundle adjustment": (reprojection, (array(CAMERAS, 9), array(POINTS, 3)), (0, 1), 12),
    "wide": (lambda x: tnp.stack([tnp.sum(x[:7] ** 2), tnp.sum(x[7:] ** 3)]), (array(20),), 0, 1),
    "scalar": (lambda x: tnp.sum(x**2), (array(20),), 0, 1),
    "of a scalar": (lambda x: tnp.sin(x) * np.arange(5, dtype=np.float32), (np.float32(0.3),), 0, 1),
    "constant": (lambda x: tnp.round(x), (array(4),), 0, 0),
    "nothing": (lambda x: x * 2, (array(0),), 0, 0),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobian(name: str, mode: str | None, format: str) -> None:
    f, args, argnums, _ = JACOBIANS[name]
    want = tr.jacobian(f, argnums)(*args)
    got = tr.sparse_jacobian(f, argnums, mode=mode, format=format)(*args)
    if format == "csr":
        sizes = jax.tree_util.tree_map(np.size, f(*args))
        flat = lambda rows: lambda x: np.asarray(x).reshape(rows, np.size(x) // max(rows, 1))
        of = jax.tree_util.tree_structure(sizes)
        parts = of.flatten_up_to(want)
        rows = jax.tree_util.tree_leaves(sizes)
        want = of.unflatten([jax.tree_util.tree_map(flat(n), w) for n, w in zip(rows, parts, strict=True)])
    assert_same(got, want)


@pytest.mark.parametrize("name", JACOBIANS)
def test_jacobian_takes_few_products(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f, args, argnums, count = JACOBIANS[name]
    found = []
    monkeypatch.setattr(
        sparse, "jacobian_plan", lambda *a: found.append(sparse_plan.jacobian_plan(*a)) or found[-1]
    )
    tr.sparse_jacobian(f, argnums)(*args)
    assert found[0].count <= count


def rosenbrock(x: Any) -> Any:
    return tnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def arrow(x: Any) -> Any:
    return tnp.sum(tnp.sin(x[1:] * x[0]) + x[1:] ** 2)


HESSIANS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Any, int]] = {
    "separable": (lambda x: tnp.sum(tnp.exp(x) * x), (array(20),), 0, 1),
    "rosenbrock": (rosenbrock, (array(20),), 0, 3),
    "arrow": (arrow, (array(20),), 0, 2),
    "heat": (lambda u: tnp.sum(heat(u) ** 2), (array(6, 7),), 0, 14),
    "coupled": (
        lambda s: sum(tnp.sum(w**3) for w in brusselator(s).values()), ({"u": array(9), "v": array(9)},), 0, 12
    ),
    "two arguments": (lambda x, y: tnp.sum(x * y**2) + tnp.sum(x[1:] * x[:-1]), (array(8), array(8)), (0, 1), 4),
    "one of two": (lambda x, y: tnp.sum(x * y**2), (array(8), array(8)), 1, 1),
    "bundle adjustment": (
        lambda c, p: 0.5 * tnp.sum(reprojection(c, p) ** 2), (array(CAMERAS, 9), array(POINTS, 3)), (0, 1), 40
    ),
    "linear": (lambda x: tnp.sum(x), (array(8),), 0, 0),
    "of a scalar": (lambda x: tnp.sin(x), (np.float32(0.3),), 0, 1),
}  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", HESSIANS)
def test_hessian(name: str, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f, args, argnums, count = HESSIANS[name]
    found = []
    monkeypatch.setattr(
        sparse, "hessian_plan", lambda *a: found.append(sparse_plan.hessian_plan(*a)) or found[-1]
    )
    got = tr.sparse_hessian(f, argnums, format=format)(*args)
    want = tr.hessian(f, argnums)(*args)
    if format == "csr":
        sizes = [np.size(x) for x in jax.tree_util.tree_leaves([args[k] for k in np.atleast_1d(argnums)])]
        leaves, tree = jax.tree_util.tree_flatten(want)
        rows = np.repeat(sizes, len(sizes))
        want = tree.unflatten([np.asarray(x).reshape(n, -1) for x, n in zip(leaves, rows, strict=True)])
    assert_same(got, want, rtol=2e-4)
    assert found[0].count <= count


# Where it runs ----------------------------------------------------------------------------------------


def test_inside_jit() -> None:
    x = array(12)
    want = tr.jacobian(burgers)(x)
    assert_same(tr.jit(tr.sparse_jacobian(burgers))(x), want)
    assert_same(jax.jit(tr.sparse_jacobian(burgers))(x), want)
    assert_same(
        tr.jit(lambda x: 2 * tr.sparse_jacobian(burgers)(x).data)(x), 2 * tr.sparse_jacobian(burgers)(x).data
    )
    assert_same(tr.jit(lambda x: tr.sparse_jacobian(burgers)(x) @ x)(x), want @ x)
    assert_same(tr.jit(lambda x: tr.sparse_jacobian(burgers, format="dense")(x))(x), want)


def test_results_are_sorted_and_unique() -> None:
    found = tr.sparse_jacobian(heat)(array(4, 5))
    assert found.indices_sorted and found.unique_indices
    order = np.ravel_multi_index(np.asarray(found.indices).T, found.shape)
    assert (np.diff(order) > 0).all()


def test_derivatives_of_it() -> None:
    x = array(12)
    log_diagonal = lambda x: tnp.sum(tr.sparse_hessian(rosenbrock)(x).data ** 2)
    reference = lambda x: jnp.sum(
        jax.hessian(lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))(x) ** 2
    )
    assert_same(tr.grad(log_diagonal)(x), np.asarray(jax.grad(reference)(x)), rtol=1e-4)


def test_vmap() -> None:
    x = array(3, 12)
    got = tr.vmap(lambda x: tr.sparse_jacobian(burgers)(x).data)(x)
    assert_same(got, np.stack([tr.sparse_jacobian(burgers)(row).data for row in x]))


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 100])
def test_chunks(chunk_size: int) -> None:
    x = array(12)
    assert_same(tr.sparse_jacobian(burgers, chunk_size=chunk_size)(x), tr.jacobian(burgers)(x))
    assert_same(
        tr.sparse_jacobian(burgers, mode="reverse", chunk_size=chunk_size)(x), tr.jacobian(burgers)(x)
    )
    assert_same(tr.sparse_hessian(rosenbrock, chunk_size=chunk_size)(x), tr.hessian(rosenbrock)(x))


def test_chunks_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """One product at a time where two do not fit."""
    sizes = []
    whole = sparse.map_
    monkeypatch.setattr(
        sparse,
        "map_",
        lambda f, xs, batch_size: sizes.append(batch_size) or whole(f, xs, batch_size=batch_size),
    )
    tr.sparse_jacobian(burgers)(array(12))
    monkeypatch.setattr(sparse, "_BYTES", 1)
    tr.sparse_jacobian(burgers)(array(12))
    assert sizes == [3, 1]


def test_double_precision() -> None:
    with jax.enable_x64(True):
        x = RNG.normal(size=12)
        got = tr.sparse_jacobian(burgers)(x)
        assert got.data.dtype == np.float64 and got.indices.dtype == np.int32
        assert_same(got, tr.jacobian(burgers)(x), rtol=1e-13)
        assert_same(tr.sparse_hessian(rosenbrock)(x), tr.hessian(rosenbrock)(x), rtol=1e-13)
        mixed = {"u": x, "v": x.astype(np.float32)}
        f = lambda p: tnp.sum(p["u"] ** 2 * p["v"] ** 3)
        assert_same(tr.sparse_hessian(f)(mixed), tr.hessian(f)(mixed))


def test_aux() -> None:
    x = array(12)
    jacobian, aux = tr.sparse_jacobian(lambda x: (burgers(x), {"u": x, "name": "aux"}), has_aux=True)(x)
    assert_same(jacobian, tr.jacobian(burgers)(x))
    assert_same(aux["u"], x)
    assert aux["name"] == "aux"
    hessian, aux = tr.sparse_hessian(lambda x: (rosenbrock(x), x + 1), has_aux=True)(x)
    assert_same(hessian, tr.hessian(rosenbrock)(x))
    assert_same(aux, x + 1)


def test_keywords_and_other_arguments() -> None:
    f = lambda x, scale, *, shift: scale * x**2 + shift * tnp.roll(x, 1)
    x = array(6)
    got = tr.sparse_jacobian(f)(x, 2.0, shift=3.0)
    assert_same(got, tr.jacobian(f)(x, 2.0, shift=3.0))


def test_functions_of_jax() -> None:
    f = lambda x: jnp.sin(x[1:]) * jnp.cumsum(x)[:-1] + x[np.array([0, 0, 3, 2, 1])]
    x = array(6)
    assert_same(tr.sparse_jacobian(f)(x), np.asarray(jax.jacobian(f)(x)))


def test_autograph() -> None:
    def f(x: Any) -> Any:
        if x[0] > 0:
            return x**2
        return x**3

    x = array(6)
    assert_same(tr.sparse_jacobian(f, autograph=True)(x), tr.jacobian(f, autograph=True)(x))


def test_complex_results_by_forward_mode() -> None:
    f = lambda x: tnp.exp(1j * x) * tnp.roll(x, 1)
    x = array(6)
    assert_same(tr.sparse_jacobian(f)(x), tr.jacfwd(f)(x))


def test_rules_for_reverse_mode_alone() -> None:
    @tr.custom_vjp
    def cube(x: Any) -> Any:
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, ct: (3 * x * x * ct,))
    f = lambda x: cube(x) * x[0]
    x = array(7)
    assert_same(tr.sparse_jacobian(f)(x), tr.jacobian(f)(x))
    with pytest.raises(DifferentiationError, match="custom_vjp"):
        tr.sparse_jacobian(f, mode="forward")(x)


# Indices ----------------------------------------------------------------------------------------------


def edges(x: Any, pairs: Any) -> Any:
    return x[pairs[:, 0]] - tnp.sin(x[pairs[:, 1]])


PAIRS = np.array([[0, 3], [5, 1], [2, 2]])


def test_index_arrays_are_followed() -> None:
    """As constants, as arguments outside jit, as values that follow from constants within."""
    x = array(8)
    want = tr.jacobian(edges)(x, PAIRS)
    for pairs in (PAIRS, jnp.asarray(PAIRS)):
        assert tr.sparsity(edges)(x, pairs).nnz == 5
        assert tr.sparsity(lambda x, p=pairs: edges(x, p))(x).nnz == 5
        assert_same(tr.sparse_jacobian(edges)(x, pairs), want)
    inside = tr.jit(lambda x: tr.sparse_jacobian(lambda u: edges(u, tnp.asarray(PAIRS) + 0))(x))(x)
    assert inside.nse == 5
    assert_same(inside, want)
    # Within jit the values of an argument are not known: every row may depend on everything.
    unknown = tr.jit(tr.sparse_jacobian(edges))(x, PAIRS)
    assert unknown.nse == 24
    assert_same(unknown, want)


def test_new_indices_make_a_new_pattern() -> None:
    x = array(8)
    j = tr.sparse_jacobian(edges)
    for pairs in (PAIRS, PAIRS[::-1].copy(), np.array([[7, 6], [6, 5], [5, 4]])):
        assert_same(j(x, pairs), tr.jacobian(edges)(x, pairs))


def test_patterns_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = sparse_plan.jacobian_pattern
    monkeypatch.setattr(sparse_plan, "jacobian_pattern", lambda *a: calls.append(a) or real(*a))
    f = lambda x: x**2 * 1.2345
    j = tr.sparse_jacobian(f)
    for _ in range(3):
        j(array(5))
        tr.sparse_jacobian(lambda x: x**2 * 1.2345)(array(5))  # the same program
    assert len(calls) == 1
    j(array(6))
    assert len(calls) == 2


def test_values_that_matter_for_the_pattern_alone_are_no_constants() -> None:
    """A float argument that is zero now need not be so the next time."""
    f = lambda x, mask: x * mask
    x = array(6)
    j = tr.sparse_jacobian(f)
    assert_same(j(x, np.zeros(6, np.float32)), np.zeros((6, 6), np.float32))
    assert_same(j(x, np.ones(6, np.float32)), np.eye(6, dtype=np.float32))


# Patterns that are given ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [np.asarray, lambda p: p.tolist(), jnp.asarray, scipy.sparse.csr_array, scipy.sparse.coo_matrix, BCOO.fromdense],
    ids=["array", "list", "jax", "csr", "coo", "bcoo"],
)  # fmt: skip
def test_given_patterns(kind: Any) -> None:
    x = array(8)
    shown = tr.sparsity(burgers)(x).dense()
    assert_same(
        tr.sparse_jacobian(burgers, sparsity=kind(shown.astype(np.float32)))(x), tr.jacobian(burgers)(x)
    )
    diagonal = kind(np.eye(8, dtype=np.float32))
    f = lambda x: tnp.sum(x**4)
    assert_same(tr.sparse_hessian(f, sparsity=diagonal)(x), tr.hessian(f)(x))


def test_patterns_pass_through() -> None:
    x = array(8)
    pattern = tr.sparsity(burgers)(x)
    assert_same(tr.jit(tr.sparse_jacobian(burgers, sparsity=pattern))(x), tr.jacobian(burgers)(x))
    hessian = tr.sparsity(rosenbrock, hessian=True)(x)
    assert_same(tr.sparse_hessian(rosenbrock, sparsity=hessian)(x), tr.hessian(rosenbrock)(x))
    assert repr(pattern) == "Pattern(8 x 8, 24 elements)"


def test_half_a_symmetric_pattern_is_enough() -> None:
    x = array(8)
    half = np.triu(tr.sparsity(rosenbrock, hessian=True)(x).dense())
    assert_same(tr.sparse_hessian(rosenbrock, sparsity=half)(x), tr.hessian(rosenbrock)(x))


def test_sparsity_inside_jit() -> None:
    found = []
    tr.jit(lambda x: found.append(tr.sparsity(burgers)(x)) or x)(array(8))
    assert found[0].nnz == 24


# Errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tr.sparse_jacobian(burgers, format="csc")(x), ArgumentError, "expected a format of bcoo, csr"),
        (lambda x: tr.sparse_jacobian(burgers, mode="both")(x), ArgumentError, "expected a mode of 'forward'"),
        (lambda x: tr.sparse_jacobian(burgers, order="best")(x), ArgumentError, "expected an order of natural"),
        (lambda x: tr.sparse_jacobian(burgers, chunk_size=0)(x), ArgumentError, "chunk_size to be an int of at"),
        (lambda x: tr.sparse_hessian(rosenbrock, format="csc")(x), ArgumentError, "sparse_hessian: expected a format"),
        (lambda x: tr.sparse_jacobian(burgers)(x.astype(int)), ArgumentTypeError, "expected elements of kind float"),
        (lambda x: tr.sparse_jacobian(burgers)(x.astype(complex)), ArgumentTypeError, "expected elements of kind"),
        (lambda x: tr.sparse_jacobian(lambda x: x > 0)(x), ArgumentTypeError, "the result: expected elements of kind"),
        (lambda x: tr.sparse_jacobian(lambda x: x + 1j, mode="reverse")(x), ArgumentTypeError, "kind float, got c64"),
        (lambda x: tr.sparse_jacobian(burgers, 3)(x), ArgumentTypeError, "argnums 3 do not fit"),
        (lambda x: tr.sparse_hessian(burgers)(x), ArgumentTypeError, "expected a scalar result"),
        (lambda x: tr.sparse_jacobian(burgers, sparsity=np.eye(3))(x), SparsityError, r"of shape \(8, 8\)"),
        (lambda x: tr.sparse_jacobian(burgers, sparsity=np.ones(3))(x), SparsityError, "expected a matrix"),
        (lambda x: tr.sparse_jacobian(burgers, sparsity="band")(x), ArgumentTypeError, "expected a matrix"),
        (lambda x: tr.jit(tr.sparse_jacobian(burgers, format="csr"))(x), ArgumentError, "outside jit"),
        (lambda x: jax.jit(tr.sparse_jacobian(burgers, format="csr"))(x), ArgumentError, "outside jit"),
        (lambda x: tr.sparse_jacobian(lambda x: (x, x, x), has_aux=True)(x), ArgumentTypeError, "has_aux=True"),
    ],
)  # fmt: skip
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(array(8))


def test_traced_patterns_are_an_error() -> None:
    with pytest.raises(ArgumentTypeError, match="expected a sparsity pattern with values"):
        jax.jit(lambda p: tr.sparse_jacobian(burgers, sparsity=p)(array(8)))(np.eye(8))


def test_csr_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ArgumentError, match="needs SciPy, which is not installed"):
        tr.sparse_jacobian(burgers, format="csr")


def test_the_program_is_compressed() -> None:
    """The compiled program holds no matrix of the full size."""
    n = 200
    function = tr.jit(tr.sparse_jacobian(burgers)).ir(array(n))
    ir.verify(function)
    assert max(v.type.size for eqn in function.eqns for v in eqn.results) <= 4 * 3 * n


# What NumPy and XLA may round otherwise ---------------------------------------------------------------

NUMBERS = np.arange(1, 400, dtype=np.float32)
ROUNDED: dict[str, Any] = {
    "comparison": lambda x: tnp.where(tnp.exp(tnp.log(NUMBERS)) > NUMBERS, x, 2 * x[::-1]),
    "index": lambda x: x[tnp.floor(tnp.log2(2.0 ** (NUMBERS % 20))).astype(int)],
    "cube root": lambda x: x[tnp.floor(tnp.cbrt(NUMBERS**3)).astype(int) - 1],
    "difference of products": lambda x: tnp.where(
        NUMBERS * NUMBERS / 3 - NUMBERS * (NUMBERS / 3) == 0, x, x[::-1]
    ),
    "norms": lambda x: tnp.where(
        tnp.sqrt(tnp.cumsum(NUMBERS**2)) <= tnp.hypot(NUMBERS, x[0] * 0 + 3), x, x[::-1]
    ),
    "in a call": lambda x: tr.checkpoint(lambda x, c: tnp.where(c > NUMBERS, x, x[::-1]))(
        x, tnp.exp(tnp.log(NUMBERS))
    ),
    "in a loop": lambda x: tr.scan(
        lambda c, n: (c, tnp.where(tnp.exp(n) > 50, c[0], c[1])), x, tnp.log(NUMBERS)
    )[1],
}


@pytest.mark.parametrize("f", ROUNDED.values(), ids=ROUNDED)
@pytest.mark.parametrize("jitted", [False, True])
def test_patterns_do_not_depend_on_how_constants_are_rounded(f: Any, jitted: bool) -> None:
    x = np.linspace(0.5, 1.5, len(NUMBERS)).astype(np.float32)
    wrap = tr.jit if jitted else lambda f: f
    got = wrap(tr.sparse_jacobian(f, format="dense"))(x)
    np.testing.assert_array_equal(got, wrap(tr.jacobian(f))(x))
    scalar = lambda x: tnp.sum(f(x) ** 2)
    got = wrap(tr.sparse_hessian(scalar, format="dense"))(x)
    np.testing.assert_allclose(got, wrap(tr.hessian(scalar))(x), rtol=1e-6, atol=1e-6)


def test_scaled_constants_keep_their_zeros() -> None:
    band = np.diag(np.ones(49), 1) - 2 * np.eye(50) + np.diag(np.ones(49), -1)
    for f in (
        lambda u: (band / 0.1**2) @ u,
        lambda u: (tnp.asarray(band) * 0.5 / 3).T @ u**2,
        lambda u: -(tnp.eye(50) - 0.1 * tnp.asarray(band)) @ u,
    ):
        assert tr.sparsity(f)(np.ones(50)).nnz == 148


def test_filters_of_zeros() -> None:
    kernel = np.zeros((2, 1, 3), np.float32)
    kernel[1, 0] = 1, -2, 1
    f = lambda z: jax.lax.conv_general_dilated(z.reshape(1, 1, 8), kernel, (1,), "SAME")
    x = np.arange(8, dtype=np.float32)
    np.testing.assert_array_equal(tr.sparse_jacobian(f, format="dense")(x), jax.jacobian(f)(x))
