"""What is compared with what: modules, random calls of their functions, and names that are compared elsewhere."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

import tracer as tr
import tracer.numpy as tnp
from tests.conformance.families import FFT, NUMPY, SPECIAL, Recipes
from tests.conformance.networks import NN, REFERENCE
from tests.conformance.samplers import RANDOM
from tests.conformance.tables import from_tables, merged
from tests.tracer import borrowed_cases, numpy_cases


@dataclass(frozen=True)
class Module:
    """Attributes:
    ours, theirs: the two modules.
    recipes: random calls by name of function.
    elsewhere: functions without, with the reason.
    """

    ours: Any
    theirs: Any
    recipes: Recipes
    elsewhere: frozenset[str] = frozenset()


_scipy_linalg = importlib.import_module("jax.scipy.linalg")
_linalg = SimpleNamespace(**{**vars(_scipy_linalg), **vars(jnp.linalg)})
_NO_ARRAYS = (  # they answer with Python objects, print, or read and write files: tests/tracer
    "array_repr array_str broadcast_shapes can_cast einsum_path from_dlpack frombuffer fromfile fromiter fromstring "
    "get_printoptions iscomplexobj isdtype isrealobj isscalar issubdtype iterable load printoptions promote_types "
    "result_type save savez set_printoptions"
).split()
_NEED_VALUES = ("mask_indices", "trim_zeros")  # JAX has no compiled reference for them

MODULES: dict[str, Module] = {
    "numpy": Module(
        tnp,
        jnp,
        merged(
            from_tables(numpy_cases.CASES, narrow=True), from_tables(borrowed_cases.NUMPY, narrow=True), NUMPY
        ),
        frozenset([*_NO_ARRAYS, *_NEED_VALUES]),
    ),
    "linalg": Module(tr.linalg, _linalg, from_tables(borrowed_cases.LINALG)),
    "fft": Module(tr.fft, jnp.fft, merged(from_tables(borrowed_cases.FFT), FFT)),
    "special": Module(
        tr.special,
        importlib.import_module("jax.scipy.special"),
        merged(from_tables(borrowed_cases.SPECIAL), SPECIAL),
    ),
    "nn": Module(
        tr.nn,
        REFERENCE,
        merged(from_tables(borrowed_cases.NN), NN),
        # Settings, and what is for GPUs that have block-scaled formats alone.
        frozenset(["get_scaled_dot_general_config", "scaled_dot_general", "scaled_matmul"]),
    ),
    "random": Module(
        tr.random,
        jax.random,
        RANDOM,
        frozenset(["key_dtype", "key_impl", "Key"]),  # they answer with Python objects, or are a type
    ),
}


def functions(module: Any) -> set[str]:
    """Public functions of a module of ours."""
    scalar = type(jnp.float32)
    return {
        n
        for n in module.__all__
        if not n.startswith("_")
        and callable(f := getattr(module, n))
        and not inspect.isclass(f)
        and not inspect.ismodule(f)
        and not isinstance(f, scalar)
    }
