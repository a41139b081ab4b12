"""Numbers with units, for people: three digits and a prefix."""

from __future__ import annotations

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _scaled(value: float) -> tuple[float, str]:
    """A number below 999.5, and the prefix that it is of."""
    power = 0
    while value >= 999.5 and power < len(_PREFIXES) - 1:
        value /= 1000
        power += 1
    return value, _PREFIXES[power]


def count(value: float) -> str:
    """1234567 is `1.23 M`; below 1000 the number itself."""
    if value < 1000:
        return f"{value:g} " if value == int(value) else f"{_three(value)} "
    number, prefix = _scaled(value)
    return f"{_three(number)} {prefix}"


def size(value: float) -> str:
    """Bytes: 1234567 is `1.23 MB`."""
    return f"{count(value)}B"


def amount(value: float, unit: str = "") -> str:
    """As short as it goes, for columns of listings: 950, 1.23k, 4M; with a unit, 1.23 kB."""
    number, prefix = _scaled(value)
    digits = f"{number:.3g}" if prefix else f"{number:.0f}"
    return f"{digits} {prefix}{unit}" if unit else f"{digits}{prefix}"


def duration(seconds: float) -> str:
    """Seconds: 0.00123 is `1.23 ms`."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= 0.9995 * scale:
            return f"{_three(seconds / scale)} {unit}"
    return f"{_three(seconds / 1e-9)} ns"


__all__ = ["amount", "count", "duration", "size"]
