"""Products of matrices that are faster as sums of products.

XLA calls a library for a product of two matrices, however small. On CPUs such a call takes longer than the product of
4 by 4 matrices, batches are as many calls, and a loop that has one is not compiled to one piece of code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# Multiplications of a product of matrices. With fewer, XLA does not call the library.
_FEWEST = 28
# At most so many in a loop, over all batches: 1.1 to 12 times faster, measured for 17 shapes, batches of 1 and 4.
_MOST_REPEATED = 1 << 11
# And in each of a batch: JAX may make batches of a loop later, and then larger sums are up to 4 times slower.
_MOST_REPEATED_EACH = 6**3
# At most so many in each of any batch, where both sides are at least so long: 2 to 7 times faster, for 4 by 4 matrices.
_MOST_BATCHED = 4**3
_SHORTEST_BATCHED = 4


def extents(
    lhs: Sequence[int],
    rhs: Sequence[int],
    lhs_contract: Sequence[int],
    rhs_contract: Sequence[int],
    lhs_batch: Sequence[int],
    rhs_batch: Sequence[int],
) -> tuple[int, int, int, int]:
    """(batch, rows, summed, columns) of the product of two arrays of these shapes, over all axes of each kind."""
    return (
        math.prod([lhs[d] for d in lhs_batch]),
        math.prod([n for d, n in enumerate(lhs) if d not in lhs_contract and d not in lhs_batch]),
        math.prod([lhs[d] for d in lhs_contract]),
        math.prod([n for d, n in enumerate(rhs) if d not in rhs_contract and d not in rhs_batch]),
    )


def is_sum(batch: int, rows: int, summed: int, columns: int, *, repeated: bool) -> bool:
    """Whether (batch, rows, summed) times (batch, summed, columns) is written as a sum; `repeated` in a loop."""
    each = rows * summed * columns
    if needs_no_library(rows, summed, columns) or not batch:
        return False
    if repeated and each <= _MOST_REPEATED_EACH and batch * each <= _MOST_REPEATED:
        return True
    return batch > 1 and min(rows, columns) >= _SHORTEST_BATCHED and each <= _MOST_BATCHED


def needs_no_library(rows: int, summed: int, columns: int) -> bool:
    """Whether XLA writes a product itself: of vectors, of a matrix and a vector, of the smallest matrices."""
    return min(rows, columns) < 2 or summed < 2 or rows * summed * columns < _FEWEST


__all__ = ["extents", "is_sum", "needs_no_library"]
