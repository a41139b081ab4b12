"""Random operands: shapes with axes of sizes 0 and 1, every element type, easy values and hard ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

INTEGERS = ("int8", "int16", "int32", "uint8", "uint16", "uint32")
FLOATS = ("float32", "float16", "bfloat16")
COMPLEX = ("complex64",)
WIDE = {"i": ("int64", "uint64"), "f": ("float64",), "c": ("complex128",)}
NAMED = {"b": ("bool",), "i": INTEGERS, "f": FLOATS, "c": COMPLEX}
SCALARS: dict[str, tuple[Any, ...]] = {
    "b": (True, False),
    "i": (0, 3, -2),
    "f": (0.0, 1.5, -0.25),
    "c": (1 + 2j,),
}
# Numbers at which functions are special.
HARD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0)


class Draw:
    """A source of operands.

    Attributes:
      rng: where the numbers come from.
      wide: whether 64-bit types are drawn.
    """

    def __init__(self, rng: np.random.Generator, wide: bool) -> None:
        self.rng = rng
        self.wide = wide

    def one(self, of: Sequence[Any]) -> Any:
        """One of several, each as likely."""
        return of[int(self.rng.integers(len(of)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def size(self, least: int = 0) -> int:
        """The size of an axis: mostly small, sometimes 1 or 0."""
        return max(
            least, int(self.rng.choice([0, 1, 2, 3, 4, 5, 7], p=[0.06, 0.14, 0.2, 0.2, 0.2, 0.12, 0.08]))
        )

    def shape(self, ranks: Sequence[int] = (0, 1, 2, 2, 3), least: int = 0) -> tuple[int, ...]:
        return tuple([self.size(least) for _ in range(self.one(ranks))])

    def dtype(self, kinds: str) -> str:
        """An element type of kind b(ool), i(nteger), f(loat) or c(omplex); floats are more likely."""
        kind = self.one([k for k in kinds for _ in range(3 if k == "f" else 1)])
        wide = WIDE.get(kind, ()) if self.wide else ()
        return str(self.one([*NAMED[kind], *wide, *wide]))

    def array(
        self, shape: Sequence[int], dtype: str, low: float = -2, high: float = 2, hard: bool = False
    ) -> Any:
        """Numbers in [low, high), integers up to `high`; `hard` mixes in special ones."""
        to = jnp.dtype(dtype)
        shape = tuple(shape)
        if to == np.bool_:
            return jnp.asarray(self.rng.random(shape) < 0.5)
        if jnp.issubdtype(to, jnp.integer):
            least = (
                max(int(np.floor(low)), 0) if jnp.issubdtype(to, jnp.unsignedinteger) else int(np.floor(low))
            )
            drawn = self.rng.integers(least, max(int(np.ceil(high)), least), shape, endpoint=True)
            return jnp.asarray(drawn).astype(to)
        out: Any = self.rng.uniform(low, high, shape)
        if hard:
            out = np.where(self.rng.random(shape) < 0.3, self.rng.choice(HARD, shape), out)
        if jnp.issubdtype(to, jnp.complexfloating):
            out = out + 1j * self.rng.uniform(low, high, shape)
        return jnp.asarray(np.asarray(out)).astype(to)

    def broadcasting(self, count: int) -> list[tuple[int, ...]]:
        """Shapes that broadcast against each other."""
        full = self.shape()
        out = []
        for _ in range(count):
            some = [1 if self.chance(0.2) else n for n in full]
            out.append(tuple(some[int(self.rng.integers(len(full) + 1)) :] if self.chance(0.3) else some))
        return out

    def axis(self, rank: int) -> int:
        return int(self.rng.integers(-rank, rank))

    def axes(self, rank: int) -> Any:
        """None, an axis, or several."""
        if rank == 0 or self.chance(0.25):
            return None
        if self.chance(0.6):
            return self.axis(rank)
        count = int(self.rng.integers(0, rank + 1))
        return tuple([int(a) for a in self.rng.permutation(rank)[:count]])

    def scalar(self, kinds: str) -> Any:
        return self.one(SCALARS[self.one(kinds)])
