"""Samples of `ir.ops.linear_solve`: a triangular and a diagonal system at once, with an integer besides."""

import numpy as np
from jax import numpy as jnp

import ir
from ir.ops.contraction import dot_general
from ir.ops.decompositions import triangular_solve
from ir.ops.elementwise import div, mul
from ir.ops.linear_solve import linear_solve  # noqa: F401 (declares the op)
from ir.ops.reduce import argmax
from ir.ops.shape import constant, expand_dims, reshape
from ir.types import dtype_named, i32
from tests.ops.sample import COMPLEX, Sample

N, M = 3, 2


def _functions(dtype: str, counted: bool) -> dict[str, ir.Function]:
    """Functions of (matrix, diagonal, x, y) whose system has the lower part of the matrix."""
    element = dtype_named(dtype)
    shapes = ((N, N), (M,), (N,), (M,))
    types = [ir.TensorType(shape, element) for shape in shapes]
    mask = ir.Dense(np.tri(N).astype(element.np), element)
    lower = lambda a: mul(a, constant(value=mask, shape=(N, N)))

    def times(axis: int):
        return lambda a, d, x, y: (
            dot_general(lower(a), x, lhs_contract=(axis,), rhs_contract=(0,)),
            mul(d, y),
        )

    def solved(turned: bool):
        def solve(a, d, x, y):
            column = triangular_solve(a, expand_dims(x, (1,)), left_side=True, lower=True, transpose_a=turned)
            return reshape(column, shape=(N,)), div(y, d)

        return solve

    def with_count(a, d, x, y):
        place = argmax(x, axis=0, dtype=i32)
        return (*solved(False)(a, d, x, y), place)

    made = {
        "matvec": times(1),
        "solve": with_count if counted else solved(False),
        "vecmat": times(0),
        "transpose_solve": solved(True),
    }
    return {name: ir.build(types, f, name) for name, f in made.items()}


def _reference(a, d, x, y):
    return jnp.linalg.solve(jnp.tril(a), x), y / d


def _counted(a, d, x, y):
    return (*_reference(a, d, x, y), jnp.argmax(x).astype("int32"))


def _draw(d):
    return d.array(N, N) + 4 * np.eye(N, dtype=d.dtype), d.array(M, low=1.0), d.array(N), d.array(M)


SAMPLES = [
    Sample("linear_solve", _draw, _reference, _functions(dtype, False), (dtype,), dtype)
    for dtype in ("f32", "f64", *COMPLEX)
]
SAMPLES += [
    Sample("linear_solve", _draw, _counted, _functions(dtype, True), (dtype,), f"counted_{dtype}")
    for dtype in ("f32", "f64")
]
