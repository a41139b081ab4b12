"""Attention and cross-entropy as they are first written: gradients through tracer and through JAX.

Temporaries are what XLA says of the compiled program; times are medians, both sides in turn in one process. Writes
`benchmarks/results/memory.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

import tracer as tr
import tracer.numpy as tnp
from benchmarks.loop_programs.core import normal, steady, worst_error
from benchmarks.tables import markdown, table

RESULTS = Path(__file__).parent / "results" / "memory.md"
COLUMNS = ("program", "tracer, MB", "JAX, MB", "tracer / JAX", "tracer, ms", "JAX, ms", "tracer / JAX")
HEADS, WIDTH = 4, 64


def _softmax(xp: Any, s: Any) -> Any:
    e = xp.exp(s - xp.max(s, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def _scores(xp: Any, q: Any, k: Any) -> Any:
    return q @ xp.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def attention(xp: Any, nn: Any, q: Any, k: Any, v: Any) -> Any:
    return xp.mean((nn.softmax(_scores(xp, q, k)) @ v) ** 2)


def by_hand(xp: Any, nn: Any, q: Any, k: Any, v: Any) -> Any:
    return xp.mean((_softmax(xp, _scores(xp, q, k)) @ v) ** 2)


def causal(xp: Any, nn: Any, q: Any, k: Any, v: Any) -> Any:
    t = q.shape[-2]
    allowed = xp.arange(t)[:, None] >= xp.arange(t)
    return xp.mean((nn.softmax(xp.where(allowed, _scores(xp, q, k), -1e9)) @ v) ** 2)


def projected(xp: Any, nn: Any, q: Any, k: Any, v: Any) -> Any:
    """With a layer after it, so that the way back does not follow row by row."""
    o = nn.softmax(_scores(xp, q, k)) @ v
    return xp.mean(xp.tanh(xp.einsum("bhtd,hde->bte", o, k[0, :, :WIDTH])) ** 2)


def one_hot(xp: Any, nn: Any, h: Any, w: Any, y: Any) -> Any:
    p = nn.one_hot(y, w.shape[1])
    return -xp.mean(xp.sum(p * xp.log(nn.softmax(h @ w)), axis=-1))


def taken(xp: Any, nn: Any, h: Any, w: Any, y: Any) -> Any:
    return -xp.mean(xp.take_along_axis(nn.log_softmax(h @ w), y[:, None], axis=1))


# Program: (the loss, whether it is of attention)
PROGRAMS: dict[str, tuple[Callable[..., Any], bool]] = {
    "attention": (attention, True),
    "attention, softmax by hand": (by_hand, True),
    "causal attention": (causal, True),
    "attention and a layer": (projected, True),
    "cross-entropy, one-hot": (one_hot, False),
    "cross-entropy, taken": (taken, False),
}


def operands(of_attention: bool, size: int) -> tuple[Any, ...]:
    """Queries, keys and values of so many tokens; or activations, weights of 31 times as many classes, and labels."""
    if of_attention:
        return tuple([normal(k, 1, HEADS, size, WIDTH) for k in range(3)])
    tokens, classes = size // 4, size * 31 // 4
    labels = np.random.default_rng(0).integers(0, classes, tokens).astype(np.int32)
    return normal(0, tokens, 256) / 10, normal(1, 256, classes) / 10, jnp.asarray(labels)


def compiled(name: str) -> tuple[Any, Any]:
    """The gradient through tracer and through JAX."""
    loss, of_attention = PROGRAMS[name]
    nums = (0, 1, 2) if of_attention else (0, 1)
    ours = tr.jit(tr.grad(lambda *args: loss(tnp, tr.nn, *args), argnums=nums))
    return ours, jax.jit(jax.grad(lambda *args: loss(jnp, jax.nn, *args), argnums=nums))


def main(*, quick: bool = False) -> None:
    """Measure and print the table."""
    size = 256 if quick else 4096
    rows = []
    for name in track(PROGRAMS, description=f"{size:,} tokens"):
        args = operands(PROGRAMS[name][1], size)
        sides = compiled(name)
        temporaries = [
            side.lower(*args).compile().memory_analysis().temp_size_in_bytes / 1e6 for side in sides
        ]
        if worst_error(sides[0](*args), sides[1](*args)) > 1e-3:
            raise ArithmeticError(f"{name}: tracer's gradient is not JAX's")
        ours, theirs = steady(sides, args, 0.05 if quick else 4.0)
        rows.append((
            name, *[f"{mb:.1f}" for mb in temporaries], f"{temporaries[0] / temporaries[1]:.3f}",
            f"{1e3 * ours:.0f}", f"{1e3 * theirs:.0f}", f"{ours / theirs:.2f}",
        ))  # fmt: skip
    title = f"Gradients, float32: attention of {size:,} tokens in {HEADS} heads of {WIDTH}; cross-entropy of "
    title += f"{size // 4:,} tokens and {size * 31 // 4:,} classes"
    Console().print(table(title, COLUMNS, rows))
    if not quick:
        lines = ["# Memory", "", __doc__.strip().splitlines()[0], f"{title}.", ""]
        RESULTS.write_text("\n".join([*lines, *markdown(COLUMNS, rows), ""]))


if __name__ == "__main__":
    main()
