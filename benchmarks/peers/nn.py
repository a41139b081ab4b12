"""`Library.nn` over any array namespace like NumPy's, as NumPy's users write these functions. May import: the standard
library.
"""

from __future__ import annotations

import math
from typing import Any


class Functions:
    """softmax, log_softmax, logsumexp, relu, gelu, sigmoid, one_hot, as `jax.nn` defines them.

    Args:
      np: the namespace.
    """

    def __init__(self, np: Any) -> None:
        self.np = np

    def logsumexp(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        np = self.np
        largest = np.max(x, axis=axis, keepdims=True)
        total = np.log(np.sum(np.exp(x - largest), axis=axis, keepdims=True)) + largest
        return total if keepdims else np.reshape(total, np.sum(x, axis=axis).shape)

    def softmax(self, x: Any, axis: int = -1) -> Any:
        np = self.np
        raised = np.exp(x - np.max(x, axis=axis, keepdims=True))
        return raised / np.sum(raised, axis=axis, keepdims=True)

    def log_softmax(self, x: Any, axis: int = -1) -> Any:
        np = self.np
        shifted = x - np.max(x, axis=axis, keepdims=True)
        return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))

    def relu(self, x: Any) -> Any:
        return self.np.maximum(x, 0.0)

    def gelu(self, x: Any, approximate: bool = True) -> Any:
        if not approximate:
            raise NotImplementedError("gelu without the approximation by tanh")
        return 0.5 * x * (1.0 + self.np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))

    def sigmoid(self, x: Any) -> Any:
        return 0.5 * (1.0 + self.np.tanh(0.5 * x))

    def one_hot(self, x: Any, num_classes: int) -> Any:
        """Floating, in NumPy's default type."""
        return self.np.eye(num_classes)[x]


__all__ = ["Functions"]
