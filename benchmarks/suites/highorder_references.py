"""What the derivatives of `highorder` are, by other means than nested differentiation. May import: NumPy.

A power series in one variable is an array (order + 1, ...) of its coefficients; products and the recurrences of sine,
cosine and tanh are those of Griewank and Walther (2008), table 13.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.models.training import tree_map


def variable(x: Any, order: int) -> Any:
    """The series x + t."""
    series = np.zeros((order + 1, *np.shape(x)))
    series[0], series[1:2] = x, 1
    return series


def product(a: Any, b: Any) -> Any:
    """Of two series."""
    return np.stack([sum(a[j] * b[k - j] for j in range(k + 1)) for k in range(len(a))])


def sine(u: Any) -> Any:
    """s' = u' c and c' = -u' s."""
    s, c = np.zeros_like(u), np.zeros_like(u)
    s[0], c[0] = np.sin(u[0]), np.cos(u[0])
    for k in range(1, len(u)):
        s[k] = sum(j * u[j] * c[k - j] for j in range(1, k + 1)) / k
        c[k] = -sum(j * u[j] * s[k - j] for j in range(1, k + 1)) / k
    return s


def tanh(u: Any) -> Any:
    """y' = (1 - y**2) u'."""
    y, slope = np.zeros_like(u), np.zeros_like(u)
    y[0] = np.tanh(u[0])
    slope[0] = 1 - y[0] ** 2
    for k in range(1, len(u)):
        y[k] = sum(j * u[j] * slope[k - j] for j in range(1, k + 1)) / k
        slope[k] = -sum(y[j] * y[k - j] for j in range(k + 1))
    return y


def sine_chain(x: Any, order: int) -> Any:
    """Coefficients of the chain of sines: (order + 1, points)."""
    start = y = variable(x, order)
    for _ in range(3):
        y = start + sine(y)
    return product(sine(y), start)


def scalar_network(x: Any, params: Any, order: int) -> Any:
    """Coefficients of a network of one input: (order + 1, points)."""
    *hidden, last = params
    y = variable(x, order)[..., None]
    for p in hidden:
        y = y @ p["w"]
        y[0] += p["b"]
        y = tanh(y)
    y = y @ last["w"]
    y[0] += last["b"]
    return y[..., 0]


def network_hessian(x: Any, params: Any) -> Any:
    """First and second derivatives carried through the layers: J (inputs, units), H (inputs, inputs, units)."""
    *hidden, last = params
    jacobian, hessian = np.eye(len(x)), np.zeros((len(x), len(x), len(x)))
    for p in hidden:
        y = np.tanh(x @ p["w"] + p["b"])
        slope, curvature = 1 - y**2, -2 * y * (1 - y**2)
        jacobian, hessian = jacobian @ p["w"], hessian @ p["w"]
        hessian = slope * hessian + curvature * jacobian[:, None] * jacobian[None]
        x, jacobian = y, slope * jacobian
    return (hessian @ last["w"])[..., 0]


def network_laplacian(x: Any, params: Any) -> Any:
    """The trace of each point's Hessian, of which the layers need no more than the Laplacian of each unit."""
    *hidden, last = params
    points, inputs = x.shape
    jacobian, total = np.broadcast_to(np.eye(inputs), (points, inputs, inputs)), np.zeros((points, inputs))
    for p in hidden:
        y = np.tanh(x @ p["w"] + p["b"])
        slope, curvature = 1 - y**2, -2 * y * (1 - y**2)
        jacobian = jacobian @ p["w"]
        total = slope * (total @ p["w"]) + curvature * np.sum(jacobian**2, axis=1)
        x, jacobian = y, slope[:, None] * jacobian
    return (total @ last["w"])[:, 0]


def loss_hvp(params: Any, x: Any, y: Any, vector: Any, step: float = 1e-30) -> Any:
    """The imaginary part of the gradient at `params + i step vector`, over the step (Squire and Trapp 1998)."""
    w1, b1, w2 = tree_map(lambda p, v: p + 1j * step * v, params, vector)
    h = np.tanh(x @ w1 + b1)
    error = 2 * (h @ w2 - y) / len(y)
    back = np.outer(error, w2) * (1 - h**2)
    gradient = x.T @ back, np.sum(back, axis=0), h.T @ error
    return tree_map(lambda g: np.imag(g) / step, gradient)


def rosenbrock_hessian(x: Any) -> Any:
    """Tridiagonal."""
    n = len(x)
    diagonal = np.zeros(n)
    diagonal[:-1] += 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    diagonal[1:] += 200
    beside = -400 * x[:-1]
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)


__all__ = [
    "loss_hvp",
    "network_hessian",
    "network_laplacian",
    "rosenbrock_hessian",
    "scalar_network",
    "sine_chain",
]
