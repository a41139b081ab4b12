"""The pass: parts that are put into zeros, and then parts that are taken."""

from __future__ import annotations

from ir.core import Function
from ir.passes.cse import cse
from ir.passes.nested import deep
from ir.passes.parts.support import in_support
from ir.passes.parts.wanted import as_wanted


@deep
def compute_parts(function: Function) -> Function:
    """Compute values where they are read, and not zero.

    (What multiplies a part is taken where that stands, and may be read nowhere else then.)
    """
    for step in (in_support, as_wanted):
        new = step(function)
        function = function if new is function else cse(new)
    return function


__all__ = ["compute_parts"]
