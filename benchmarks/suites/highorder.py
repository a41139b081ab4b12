"""Derivatives of derivatives: nested to sixth order, Hessians, products with them, Laplacians, Taylor coefficients.

The references are other means than nesting: power series in one variable, derivatives carried through a network by
hand, complex steps, closed forms (`benchmarks/suites/highorder_references.py`). May import: NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.suites import highorder_references as references
from benchmarks.suites.case import Case, Library, Quantity
from benchmarks.suites.models.layers import dense

SUITE = "highorder"
TAYLOR = 6


def network(lib: Library, params: Any, x: Any) -> Any:
    """A perceptron of tanh on one point (n,), a number."""
    *hidden, last = params
    for p in hidden:
        x = lib.np.tanh(x @ p["w"] + p["b"])
    return (x @ last["w"] + last["b"])[0]


def sine_chain(lib: Library, x: Any) -> Any:
    """sin(x + sin(x + sin(x + sin(x)))) * x."""
    y = x
    for _ in range(3):
        y = x + lib.np.sin(y)
    return lib.np.sin(y) * x


def scalar_network(lib: Library, x: Any, params: Any) -> Any:
    """`network` with a single input."""
    return network(lib, params, x[None])


def rosenbrock(lib: Library, x: Any) -> Any:
    """The sum over i of 100 (x[i+1] - x[i]**2)**2 + (1 - x[i])**2."""
    return lib.np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def nth_derivative(f: Callable[..., Any]) -> Callable[..., Any]:
    """A program: the derivative of some order at every point, by that many nested gradients."""

    def program(lib: Library, x: Any, *params: Any, order: int) -> Any:
        g: Callable[..., Any] = lambda x: f(lib, x, *params)  # noqa: E731
        for _ in range(order):
            g = lib.grad(g)
        return lib.vmap(g)(x)

    return program


def taylor(lib: Library, x: Any, *, order: int) -> Any:
    """Taylor coefficients of `sine_chain` at every point, up to an order, by nested `jvp`s: (order + 1, points)."""

    def derivatives(f: Callable[..., Any], count: int) -> Callable[..., Any]:
        if not count:
            return lambda x: [f(x)]

        def both(x: Any) -> Any:
            return lib.jvp(f, (x,), (lib.np.ones_like(x),))[1]

        return lambda x: [f(x), *derivatives(both, count - 1)(x)]

    rows = derivatives(lambda x: sine_chain(lib, x), order)(x)
    return lib.np.stack([row / math.factorial(k) for k, row in enumerate(rows)])


def laplacian(lib: Library, x: Any, params: Any) -> Any:
    """The sum of second derivatives of a network at every point, by products with the Hessian."""
    units = lib.np.eye(x.shape[1], dtype=x.dtype)

    def at(x: Any) -> Any:
        def second(e: Any) -> Any:
            return lib.hvp(lambda x: network(lib, params, x), (x,), (e,)) @ e

        return lib.np.sum(lib.vmap(second)(units))

    return lib.vmap(at)(x)


def mean_square(lib: Library, params: Any, x: Any, y: Any) -> Any:
    """Loss of a network of one hidden layer; params = (w1, b1, w2)."""
    w1, b1, w2 = params
    return lib.np.mean((lib.np.tanh(x @ w1 + b1) @ w2 - y) ** 2)


def at_network(lib: Library, x: Any, params: Any) -> Any:
    return network(lib, params, x)


def _points(points: int, **_: Any) -> tuple[Any, ...]:
    return (np.random.default_rng(0).uniform(-2, 2, points),)


def _scalar_network(points: int, hidden: int, **_: Any) -> tuple[Any, ...]:
    rng = np.random.default_rng(1)
    return rng.uniform(-1, 1, points), dense(rng, 1, hidden, hidden, 1)


def _network_at_point(inputs: int, hidden: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(2)
    return rng.standard_normal(inputs), dense(rng, inputs, hidden, hidden, 1)


def _network_at_points(points: int, inputs: int, hidden: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((points, inputs)), dense(rng, inputs, hidden, hidden, 1)


def _loss(inputs: int, hidden: int, batch: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(4)

    def params() -> tuple[Any, ...]:
        (p, q) = dense(rng, inputs, hidden, 1)
        return p["w"], p["b"], q["w"][:, 0]

    x, y = rng.standard_normal((batch, inputs)), rng.standard_normal(batch)
    return params(), x, y, params()


def _order(order: int, **_: Any) -> Mapping[str, Any]:
    return {"order": order}


def _nth(order: int) -> list[Case]:
    def sizes(**middle: int) -> dict[str, dict[str, int]]:
        large = {**middle, "points": 10 * middle["points"]}
        return {
            "tiny": {"points": 5, "order": order, **({"hidden": 4} if "hidden" in middle else {})},
            "small": {**middle, "points": middle["points"] // 10, "order": order},
            "middle": {**middle, "order": order},
            "large": {**large, "order": order},
        }

    return [
        Case(
            suite=SUITE,
            name=f"chain of sines, derivative {order}",
            program=nth_derivative(sine_chain),
            inputs=_points,
            sizes=sizes(points=100_000),
            quantity=Quantity.CALL,
            reference=lambda x: references.sine_chain(x, order)[order] * math.factorial(order),
            static=_order,
            source="a chain of elementary functions; the reference is power series arithmetic",
        ),
        Case(
            suite=SUITE,
            name=f"network, derivative {order}",
            program=nth_derivative(scalar_network),
            inputs=_scalar_network,
            sizes=sizes(points=10_000 if order < 5 else 2000, hidden=32),
            quantity=Quantity.CALL,
            reference=lambda x, p: references.scalar_network(x, p, order)[order] * math.factorial(order),
            static=_order,
            source="a perceptron of one input; the reference is power series arithmetic",
        ),
    ]


CASES = [
    *(case for order in (3, 4, 5, 6) for case in _nth(order)),
    Case(
        suite=SUITE,
        name="Taylor coefficients",
        program=taylor,
        inputs=_points,
        sizes={
            "tiny": {"points": 5, "order": TAYLOR},
            "small": {"points": 1000, "order": TAYLOR},
            "middle": {"points": 20_000, "order": TAYLOR},
            "large": {"points": 200_000, "order": TAYLOR},
        },
        quantity=Quantity.CALL,
        reference=lambda x: references.sine_chain(x, TAYLOR),
        static=_order,
        source="a chain of elementary functions; the reference is power series arithmetic",
    ),
    Case(
        suite=SUITE,
        name="network, Hessian",
        program=at_network,
        inputs=_network_at_point,
        sizes={
            "tiny": {"inputs": 4, "hidden": 5},
            "small": {"inputs": 32, "hidden": 64},
            "middle": {"inputs": 384, "hidden": 512},
            "large": {"inputs": 768, "hidden": 1024},
        },
        quantity=Quantity.HESSIAN,
        reference=references.network_hessian,
        source="a perceptron of two hidden layers; the reference carries second derivatives forward",
    ),
    Case(
        suite=SUITE,
        name="network, Hessian-vector product",
        program=mean_square,
        inputs=_loss,
        sizes={
            "tiny": {"inputs": 3, "hidden": 4, "batch": 5},
            "small": {"inputs": 32, "hidden": 64, "batch": 64},
            "middle": {"inputs": 256, "hidden": 512, "batch": 256},
            "large": {"inputs": 784, "hidden": 2048, "batch": 1024},
        },
        quantity=Quantity.HESSIAN_VECTOR_PRODUCT,
        reference=references.loss_hvp,
        source="Pearlmutter 1994; the reference is a complex step of a gradient by hand",
    ),
    Case(
        suite=SUITE,
        name="network, Laplacian",
        program=laplacian,
        inputs=_network_at_points,
        sizes={
            "tiny": {"points": 3, "inputs": 3, "hidden": 4},
            "small": {"points": 32, "inputs": 8, "hidden": 32},
            "middle": {"points": 1000, "inputs": 16, "hidden": 64},
            "large": {"points": 4000, "inputs": 32, "hidden": 128},
        },
        quantity=Quantity.CALL,
        reference=references.network_laplacian,
        source="physics-informed networks, Poisson's equation; the reference carries derivatives forward",
    ),
    Case(
        suite=SUITE,
        name="Rosenbrock, Hessian",
        program=rosenbrock,
        inputs=lambda n: (np.random.default_rng(5).uniform(-1.5, 1.5, n),),
        sizes={"tiny": {"n": 5}, "small": {"n": 100}, "middle": {"n": 2000}, "large": {"n": 4000}},
        quantity=Quantity.HESSIAN,
        reference=references.rosenbrock_hessian,
        source="Rosenbrock 1960, in n dimensions; closed form",
    ),
]

__all__ = ["CASES"]
