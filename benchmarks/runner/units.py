"""Figures for people. May import: the standard library.

Apart from `tracer.units`, as the process that runs the peers loads neither tracer nor JAX.
"""

from __future__ import annotations


def seconds_text(seconds: float | None) -> str:
    """Three digits and a unit."""
    return "" if seconds is None else _scaled(seconds, ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")))


def bytes_text(count: float | None) -> str:
    return "" if count is None else _scaled(count, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")))


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    scale, unit = next((u for u in units if abs(value) >= u[0]), units[-1])
    shown = value / scale
    return f"{shown:,.0f} {unit}" if abs(shown) >= 100 else f"{shown:.3g} {unit}"


def ratio_text(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


__all__ = ["bytes_text", "ratio_text", "seconds_text"]
