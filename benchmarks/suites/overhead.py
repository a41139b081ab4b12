"""What a call costs beside its arithmetic: functions so small that dispatch is all. May import: NumPy and the cases."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity

# The arrays have few elements at every size; of trees, the leaves are counted.
_VECTOR = {"tiny": {"n": 4}, "middle": {"n": 16}}
_TREE = {
    "tiny": {"leaves": 10},
    "small": {"leaves": 50},
    "middle": {"leaves": 200},
    "large": {"leaves": 1000},
}


def _vector(n: int) -> tuple[Any, ...]:
    return (np.linspace(-1.0, 2.0, n),)


def _scalar(n: int) -> tuple[Any, ...]:
    del n
    return (np.asarray(0.7),)


def _tree(leaves: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    return ({f"p{k:04}": rng.normal(size=3) for k in range(leaves)},)


def elementwise(lib: Library, x: Any) -> Any:
    return lib.np.sin(x) * 2.0


def small(lib: Library, x: Any) -> Any:
    return lib.np.sum(lib.np.tanh(x) ** 2 + lib.np.sin(x) * x)


def small_reference(x: Any) -> Any:
    t = np.tanh(x)
    return np.sum(t**2 + np.sin(x) * x), 2 * t * (1 - t**2) + np.cos(x) * x + np.sin(x)


def scalar(lib: Library, x: Any) -> Any:
    return lib.np.exp(-(x**2)) * lib.np.sin(3.0 * x)


def scalar_reference(x: Any) -> Any:
    weight = np.exp(-(x**2))
    value = weight * np.sin(3 * x)
    return value, 3 * weight * np.cos(3 * x) - 2 * x * value


def squares(lib: Library, tree: Any) -> Any:
    """Of all elements of a tree."""
    total = 0.0
    for leaf in tree.values():
        total = total + lib.np.sum(leaf**2)
    return total


def squares_reference(tree: Any) -> Any:
    return sum(np.sum(leaf**2) for leaf in tree.values()), {key: 2 * leaf for key, leaf in tree.items()}


CASES = (
    Case(
        "overhead", "value of a vector", elementwise, _vector, _VECTOR,
        quantity=Quantity.VALUE, reference=lambda x: np.sin(x) * 2,
    ),
    Case("overhead", "gradient by a vector", small, _vector, _VECTOR, reference=small_reference),
    Case(
        "overhead", "value of a scalar", scalar, _scalar, _VECTOR,
        quantity=Quantity.VALUE, reference=lambda x: scalar_reference(x)[0],
    ),
    Case("overhead", "gradient by a scalar", scalar, _scalar, _VECTOR, reference=scalar_reference),
    Case(
        "overhead", "value of a tree", squares, _tree, _TREE,
        quantity=Quantity.VALUE, reference=lambda tree: squares_reference(tree)[0],
    ),
    Case("overhead", "gradient by a tree", squares, _tree, _TREE, reference=squares_reference),
)  # fmt: skip

__all__ = ["CASES"]
