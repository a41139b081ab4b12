"""The public names of our modules against those of JAX: present, with the same parameters, or listed here."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tracer.value import Tensor

_scipy_linalg = importlib.import_module("jax.scipy.linalg")
_linalg = SimpleNamespace(**{**vars(_scipy_linalg), **vars(jnp.linalg)})
MODULES: dict[str, tuple[Any, Any]] = {
    "numpy": (tnp, jnp),
    "numpy.linalg": (tnp.linalg, jnp.linalg),
    "numpy.fft": (tnp.fft, jnp.fft),
    "linalg": (tr.linalg, _linalg),
    "fft": (tr.fft, jnp.fft),
    "special": (tr.special, importlib.import_module("jax.scipy.special")),
    "random": (tr.random, jax.random),
    "nn": (tr.nn, jax.nn),
    "nn.initializers": (tr.nn.initializers, jax.nn.initializers),
    "tree": (tr.tree, jax.tree),
}
# Names that are missing, with the reason.
MISSING = {
    "numpy": {
        "ComplexWarning": "a warning of NumPy's, of no use as a name",
        "ndarray": "the type of JAX's arrays, which traced values are not",
        "ufunc": "the type of JAX's ufuncs, which our functions are not",
    },
    "random": {"random_gamma_p": "a primitive of JAX's that left its implementation by accident"},
}
# Parameters that ours do not have, with the reason.
NO_PARAMETERS = {"out_sharding": "the IR has no shardings inside a program; jit takes those of its operands"}
# Functions with other parameters, with the reason.
OTHER = {"numpy": {"array": "jnp takes *args only to reject them", "logical_not": "one operand, by position"}}


def parameters(fn: Any) -> Iterator[tuple[str, Any]]:
    """Parameters that can be given by keyword, or are given by position in this order."""
    for p in inspect.signature(fn).parameters.values():
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and not p.name.startswith("_"):
            yield p.name, p.kind


def names(module: Any) -> list[str]:
    return [n for n in vars(module) if not n.startswith("_")]


@pytest.mark.parametrize("name", MODULES)
def test_names(name: str) -> None:
    ours, theirs = MODULES[name]
    public = {n for n in names(theirs) if name != "linalg" or not inspect.ismodule(getattr(theirs, n))}
    missing = public - set(dir(ours)) - MISSING.get(name, {}).keys()
    assert missing == set()
    assert MISSING.get(name, {}).keys() & set(dir(ours)) == set()
    assert len(ours.__all__) == len(set(ours.__all__))
    assert all(hasattr(ours, n) for n in ours.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_parameters(name: str) -> None:
    ours, theirs = MODULES[name]
    wrong = []
    for n in ours.__all__:
        fn, other = getattr(ours, n), getattr(theirs, n, None)
        if not callable(other) or inspect.isclass(other) or n in OTHER.get(name, {}):
            continue
        if other is np.can_cast:  # has no signature before NumPy 2.4
            continue
        if isinstance(other, jnp.ufunc):  # takes *args, and out= and where= only to reject them
            continue
        missing = [
            p for p, _ in parameters(other) if p not in dict(parameters(fn)) and p not in NO_PARAMETERS
        ]
        if missing:
            wrong.append(f"{n} lacks {missing}")
    assert wrong == []


def test_methods_of_arrays() -> None:
    elsewhere = {
        # Where an array lies is not known of a traced value.
        *(
            "addressable_data",
            "addressable_shards",
            "committed",
            "copy_to_host_async",
            "device",
            "global_shards",
        ),
        *("is_fully_addressable", "is_fully_replicated", "sharding", "to_device"),
        # JAX has them only to say that it does not have them.
        *("byteswap", "flat"),
    }
    public = {n for n in dir(jax.Array) if not n.startswith("_")}
    assert public - set(dir(Tensor)) == elsewhere & public
    assert elsewhere & set(dir(Tensor)) == set()


def test_documentation_says_where_it_comes_from() -> None:
    assert "Defined by `jax.numpy.interp`" in (tnp.interp.__doc__ or "")
    assert inspect.signature(tnp.interp) == inspect.signature(jnp.interp)


def test_modules_are_found_without_being_imported() -> None:
    assert {"fft", "linalg", "random", "special", "tree"} <= set(dir(tr)) & set(tr.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tr.nothing


def test_trees_take_traced_values_as_leaves() -> None:
    f = lambda t: lambda x: t.map(lambda a: a * 2, {"a": x, "b": [x, x + 1]})
    assert tr.jit(f(tr.tree))(1.0) == f(jax.tree)(1.0)
