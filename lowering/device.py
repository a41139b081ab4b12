"""The machine that programs are compiled for, as the optimiser is told of it."""

from __future__ import annotations

from dataclasses import replace

import jax

from ir.machine import ACCELERATOR, CPU, Machine, answer


def machine() -> Machine:
    """That of JAX's default backend."""
    found = CPU if jax.default_backend() == "cpu" else ACCELERATOR
    counted: bool = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
    return found if counted else replace(found, counted_bits=False)


answer(machine)

__all__ = ["machine"]
