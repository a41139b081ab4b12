"""Re-rolling of unrolled loops."""

from ir.passes.rolling.roll import roll, roll_exact

__all__ = ["roll", "roll_exact"]
