"""Before JAX is imported for the first time: what it computes on, and no window opened."""

import os
from importlib.metadata import version


def add_xla_flags(*flags: str) -> None:
    """Flags for XLA in this process and its children, unless it has them."""
    held = os.environ.get("XLA_FLAGS", "").split()
    os.environ["XLA_FLAGS"] = " ".join([*held, *[f for f in flags if f not in held]])


os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
# Continuous integration compiles some ten thousand programs that it runs once. XLA's older emitter of kernels,
# which jaxlib 0.10 still has, takes two thirds of the time for that. Elsewhere, and from jaxlib 0.11 on, the
# tests run with the one that users have.
if os.environ.get("CI") and version("jaxlib").startswith("0.10."):
    add_xla_flags("--xla_cpu_use_fusion_emitters=false")
