"""gmm: the gradient of the posterior of a Gaussian mixture with a Wishart prior."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity
from benchmarks.suites.gradbench.adbench import mixture

# Of the Wishart prior, in all of ADBench's files: precision and additional degrees of freedom.
GAMMA, M = 1.0, 0
# Of the logarithm of the prior: ADBench's published results have it subtracted, which GradBench has put right.
GRADBENCH, ADBENCH = 1.0, -1.0


def log_wishart_constant(d: int) -> float:
    """What the prior of one component adds, whatever the component."""
    n = d + M + 1
    log_gamma = d * (d - 1) / 4 * math.log(math.pi) + sum(math.lgamma((n - i) / 2) for i in range(d))
    return n * d * math.log(GAMMA / math.sqrt(2)) - log_gamma


def below_diagonal(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of what is below the diagonal, column by column."""
    columns, rows = np.triu_indices(d, 1)
    return rows, columns


def logsumexp(lib: Library, x: Any, axis: int) -> Any:
    largest = lib.np.max(x, axis=axis, keepdims=True)
    return lib.np.log(lib.np.sum(lib.np.exp(x - largest), axis=axis)) + lib.np.squeeze(largest, axis=axis)


def log_prior(lib: Library, icf: Any, d: int) -> Any:
    """Of all factors together."""
    xp = lib.np
    squares = xp.sum(xp.exp(icf[:, :d]) ** 2) + xp.sum(icf[:, d:] ** 2)
    return icf.shape[0] * log_wishart_constant(d) + M * xp.sum(icf[:, :d]) - 0.5 * GAMMA**2 * squares


def objective(lib: Library, alphas: Any, means: Any, icf: Any, x: Any, *, sign: float = GRADBENCH) -> Any:
    """The logarithm of the posterior (Srajer, Kukelova and Fitzgibbon 2018, section 4.1).

    Args:
      alphas: f64[k], logarithms of weights up to a constant.
      means: f64[k, d].
      icf: f64[k, d (d + 1) / 2]: logarithms of the diagonal of each factor Q, then what is below it.
      x: f64[n, d].
      sign: of the prior.
    """
    xp = lib.np
    (n, d), k = x.shape, alphas.shape[0]
    diagonal, below = xp.exp(icf[:, :d]), icf[:, d:]
    log_determinants = xp.sum(icf[:, :d], axis=1)
    # Each Q is filled from its elements, a zero put before them for what is above the diagonal.
    at = np.zeros((d, d), np.int32)
    at[np.diag_indices(d)] = np.arange(1, d + 1)
    at[below_diagonal(d)] = np.arange(d + 1, d * (d + 1) // 2 + 1)
    elements = xp.concatenate([xp.zeros_like(alphas)[:, None], diagonal, below], axis=1)
    factors = xp.reshape(elements[:, at.reshape(-1)], (k, d, d))
    centred = x[None, :, :] - means[:, None, :]
    scaled = centred @ xp.swapaxes(factors, 1, 2)
    inner = (alphas + log_determinants)[:, None] - 0.5 * xp.sum(scaled**2, axis=2)
    likelihood = xp.sum(logsumexp(lib, inner, 0)) - n * logsumexp(lib, alphas, 0)
    return likelihood - n * d * 0.5 * math.log(2 * math.pi) + sign * log_prior(lib, icf, d)


def with_jax(lib: Library, alphas: Any, means: Any, icf: Any, x: Any, *, sign: float = GRADBENCH) -> Any:
    """Triangles set into zeros, products by `einsum`, and JAX's `logsumexp`, as GradBench's JAX module has it."""
    xp = lib.np
    (n, d), k = x.shape, alphas.shape[0]
    diagonal, below = xp.exp(icf[:, :d]), icf[:, d:]
    log_determinants = xp.sum(icf[:, :d], axis=1)
    rows, columns = below_diagonal(d)
    triangles = xp.zeros((k, d, d), below.dtype).at[:, rows, columns].set(below)
    centred = x[:, None, :] - means[None, ...]
    scaled = diagonal * centred + xp.einsum("ijk,mik->mij", triangles, centred)
    inner = alphas + log_determinants - 0.5 * xp.sum(scaled**2, axis=2)
    likelihood = xp.sum(lib.nn.logsumexp(inner, axis=1)) - n * lib.nn.logsumexp(alphas, axis=0)
    return likelihood - n * d * 0.5 * math.log(2 * math.pi) + sign * log_prior(lib, icf, d)


def inputs(
    file: str | None = None, d: int = 0, k: int = 0, n: int = 0, kept: int | None = None
) -> tuple[Any, ...]:
    """A file of ADBench, the first `kept` of its points, or the distributions that it was drawn from."""
    if file is not None:
        of = mixture(file)
        return of.alphas, of.means, of.icf, of.x[:kept]
    rng = np.random.default_rng(31337)
    return (
        rng.normal(size=k),
        rng.random((k, d)),
        rng.normal(size=(k, d * (d + 1) // 2)),
        rng.normal(size=(n, d)),
    )


def reference(
    alphas: np.ndarray, means: np.ndarray, icf: np.ndarray, x: np.ndarray, *, sign: float = GRADBENCH
) -> tuple[np.ndarray, ...]:
    """By hand: responsibilities r, and for a component the derivative of -(Q c).(Q c) / 2 by c = x - mean and by Q."""
    d = x.shape[1]
    by_means, by_icf, inner, products = np.empty_like(means), np.empty_like(icf), [], []
    for alpha, mean, elements in zip(alphas, means, icf, strict=True):
        factor = np.diag(np.exp(elements[:d]))
        factor[below_diagonal(d)] = elements[d:]
        scaled = (x - mean) @ factor.T
        inner.append(alpha + elements[:d].sum() - 0.5 * (scaled**2).sum(axis=1))
        products.append((factor, scaled))
    weights = np.exp(np.array(inner) - np.max(inner, axis=0))
    weights /= weights.sum(axis=0)
    prior = np.exp(alphas - alphas.max())
    for i, (factor, scaled) in enumerate(products):
        weighted = weights[i][:, None] * scaled
        by_means[i] = weighted.sum(axis=0) @ factor
        by_factor = -weighted.T @ (x - means[i])
        diagonal = np.diag(factor)
        by_icf[i, :d] = weights[i].sum() + np.diag(by_factor) * diagonal + sign * (M - GAMMA**2 * diagonal**2)
        by_icf[i, d:] = by_factor[below_diagonal(d)] - sign * GAMMA**2 * icf[i, d:]
    return weights.sum(axis=1) - x.shape[0] * prior / prior.sum(), by_means, by_icf


CASES = (
    Case(
        "gradbench", "gmm", objective, inputs,
        {
            "tiny": {"file": "test"}, "small": {"file": "gmm_d2_K5"},
            "middle": {"file": "gmm_d10_K25"}, "large": {"d": 64, "k": 100, "n": 1000},
        },
        Quantity.GRADIENT, (0, 1, 2), reference, spelled={"jax": with_jax}, source="ADBench; GradBench, evals/gmm",
    ),
)  # fmt: skip

__all__ = ["CASES", "objective"]
