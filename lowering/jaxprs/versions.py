"""What the version of JAX in use does otherwise than earlier ones."""

from __future__ import annotations

import jax

# The derivative of `acosh` is right left of the imaginary axis, and that of `cholesky` is one by the elements that
# are read, those of the lower triangle; before, by all of them as if the operand and its tangent were Hermitian.
NEWER_DERIVATIVES = jax.__version_info__ >= (0, 11, 2)

__all__ = ["NEWER_DERIVATIVES"]
