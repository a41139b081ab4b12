"""A case: a computation, its inputs, its derivative wanted, and what the result must be.

A case belongs to no library. `program` is written once over `Library`, whose array functions are those that NumPy,
JAX, tracer and, through adapters, the other peers share; where a peer's users would write it otherwise (PyTorch
without `scan`, JAX with `fori_loop` where tracer takes the plain loop), `spelled` holds their way of writing it.
May import: NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import numpy as np

# Names of sizes, from the one of continuous integration (milliseconds in NumPy) upwards. A case has `tiny` and `middle`
# at least.
SIZES = ("tiny", "small", "middle", "large")


class Quantity(Enum):
    """What is computed of a program, with respect to `argnums`."""

    VALUE = "value"
    GRADIENT = "gradient"
    VALUE_AND_GRADIENT = "value and gradient"
    JACOBIAN = "Jacobian"
    # Values of the elements that are not zero, in the order of rows, then columns.
    SPARSE_JACOBIAN = "sparse Jacobian"
    HESSIAN = "Hessian"
    # The last input is the vector.
    HESSIAN_VECTOR_PRODUCT = "Hessian-vector product"
    # The program takes derivatives itself, as `Library.grad`, ...
    CALL = "call"


class Library(Protocol):
    """What a program may use; each peer has one."""

    np: Any
    """The array namespace, as `numpy`."""
    nn: Any
    """softmax, log_softmax, logsumexp, relu, gelu, sigmoid, one_hot."""

    def scan(self, f: Callable[..., Any], init: Any, xs: Any, length: int | None = None) -> Any: ...
    def while_loop(self, cond: Callable[..., Any], body: Callable[..., Any], init: Any) -> Any: ...
    def vmap(self, f: Callable[..., Any], in_axes: Any = 0) -> Callable[..., Any]: ...
    def grad(self, f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]: ...
    def value_and_grad(self, f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]: ...
    def jvp(self, f: Callable[..., Any], primals: Any, tangents: Any) -> Any: ...
    def hvp(self, f: Callable[..., Any], primals: Any, vectors: Any) -> Any: ...
    def conv(self, x: Any, w: Any, strides: Sequence[int] | None = None, padding: Any = "SAME") -> Any:
        """Correlation of (batch, *spatial, features) with kernels (*spatial, features, features of the result).

        `padding` is "SAME", "VALID" or a pair (low, high) for each spatial axis; strides are 1 by default.
        """

    def max_pool(self, x: Any, window: Sequence[int], strides: Sequence[int], padding: Any = "VALID") -> Any:
        """Maximum over windows of (batch, *spatial, features); arguments as for `conv`."""

    def segment_sum(self, data: Any, ids: Any, count: int) -> Any:
        """(count, ...): row k is the sum of the rows of `data` whose id is k."""


@dataclass(frozen=True)
class Case:
    """One row of a suite.

    Attributes:
      suite, name: `gradbench` and `gmm`; the name may hold a variant after a comma.
      program: `program(library, *inputs, **static)`; a scalar for gradients, a vector for Jacobians.
      inputs: `inputs(**sizes[name])`, the same at every call: a tuple of trees (tuples, lists, dicts) of NumPy arrays,
        float64 or integer; peers convert the floating ones to `dtype`.
      sizes: keyword arguments of `inputs`, by name of the size.
      quantity: what is computed.
      argnums: inputs with respect to which it is differentiated.
      reference: `reference(*inputs)` in float64 by other means than `program`: published values, a closed form, or an
        implementation of its own with a derivative worked out by hand or complex step. None: the peers are compared
        with JAX in float64.
      dtype: `float64`, `float32` or `bfloat16`.
      tolerance: largest difference relative to the largest entry of a leaf of the results.
      spelled: by peer (`jax`, `torch`, `tensorflow`, `pytensor`, `autograd`, `numpy`, ...) a program that is called
        as `program` is, where that peer's users write it otherwise.
      declined: by peer, the reason why it has no row.
      static: keyword arguments of `program` that are Python values, from the sizes.
      source: where definition and data come from.
    """

    suite: str
    name: str
    program: Callable[..., Any]
    inputs: Callable[..., tuple[Any, ...]]
    sizes: Mapping[str, Mapping[str, Any]]
    quantity: Quantity = Quantity.VALUE_AND_GRADIENT
    argnums: int | tuple[int, ...] = 0
    reference: Callable[..., Any] | None = None
    dtype: str = "float64"
    tolerance: float = 1e-8
    spelled: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    declined: Mapping[str, str] = field(default_factory=dict)
    static: Callable[..., Mapping[str, Any]] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if missing := {"tiny", "middle"} - set(self.sizes):
            raise ValueError(f"case {self.name!r}: expected sizes tiny and middle, {sorted(missing)} missing")


def worst_error(got: Any, want: Any) -> float:
    """Largest difference relative to the largest entry of each array of two lists; infinite for NaN, other shapes."""
    worst = 0.0
    for a, b in zip(got, want, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if a.shape != b.shape:
            return float("inf")
        if not a.size:
            continue
        error = float(np.max(np.abs(a - b)) / max(float(np.max(np.abs(b))), 1e-30))
        worst = max(worst, error if np.isfinite(error) else float("inf"))
    return worst


__all__ = ["SIZES", "Case", "Library", "Quantity", "worst_error"]
