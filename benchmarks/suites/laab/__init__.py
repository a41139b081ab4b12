"""Linear Algebra Awareness Benchmarks (LAAB): expressions as they are first written, and as an expert writes them.

All test sets of the paper and of the later versions: products of general and structured matrices, common
subexpressions, chains, algebraic rewrites, code motion; and systems besides. Single precision, as there; n is 3,000
there (`large`). Structured matrices are data there, and no compiler can know of them; the form `said` is ours.
"""

from __future__ import annotations

from benchmarks.suites.laab.expressions import EXPRESSIONS
from benchmarks.suites.laab.products import PRODUCTS
from benchmarks.suites.laab.systems import SYSTEMS

TESTS = (*PRODUCTS, *EXPRESSIONS, *SYSTEMS)
CASES = tuple(case for test in TESTS for case in test.cases())
# By the name of each case of a naive form, the case by hand.
BY_HAND = {name: by_hand for test in TESTS for name, by_hand in test.counterparts().items()}

__all__ = ["BY_HAND", "CASES", "TESTS"]
