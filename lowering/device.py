"""The machine that programs are compiled for, as the optimiser is told of it."""

from __future__ import annotations

import jax

from ir.machine import ACCELERATOR, CPU, Machine, answer


def machine() -> Machine:
    """That of JAX's default backend."""
    return CPU if jax.default_backend() == "cpu" else ACCELERATOR


answer(machine)

__all__ = ["machine"]
