"""The calls that the unit tests compare, with operands of other values and types."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.conformance.draw import Draw
from tests.conformance.families import Recipe, Recipes
from tests.tracer.cases import Case

WIDER = {"float32": "float64", "complex64": "complex128", "int32": "int64"}


def _redrawn(case: Case, narrow: bool) -> Recipe:
    def recipe(d: Draw) -> Case:
        # Of one sign and order, and near the old ones: what a call needs of its operands stays true.
        factor = d.one([1.0, float(d.rng.uniform(0.85, 1.1))])
        dtype = d.one(["float16", "bfloat16"]) if narrow and d.chance(0.2) else ""

        def moved(x: Any) -> Any:
            if not isinstance(x, (jax.Array, np.ndarray)) or not jnp.issubdtype(x.dtype, jnp.inexact):
                return x
            out = jnp.asarray(np.asarray(x)) * factor
            if dtype and x.dtype == np.float32:
                return out.astype(dtype)
            return (
                out.astype(WIDER[x.dtype.name]) if d.wide and x.dtype.name in WIDER else out.astype(x.dtype)
            )

        args = tuple([moved(x) for x in case.args])
        return dataclasses.replace(case, args=args, gradient=case.gradient and not dtype)

    return recipe


def from_tables(*tables: list[Case], narrow: bool = False) -> Recipes:
    """Recipes of the functions in tables of cases; `narrow` also draws half precision."""
    recipes: Recipes = {}
    for table in tables:
        for case in table:
            recipes.setdefault(case.name, []).append(_redrawn(case, narrow))
    return recipes


def merged(*several: Recipes) -> Recipes:
    out: Recipes = {}
    for recipes in several:
        for name, some in recipes.items():
            out.setdefault(name, []).extend(some)
    return out
