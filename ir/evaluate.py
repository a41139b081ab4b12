"""The reference evaluator: runs a function with NumPy, one equation at a time.

Slow and plain on purpose; every other way of running a function is tested against it.

A key is one NumPy element while a function runs, of a structured dtype that holds its words, so that
whatever rearranges arrays rearranges keys. Outside, keys are their raw words, with a trailing axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.core import Array, Eqn, Function, Value
from ir.errors import EvaluationError, TracerError
from ir.types import KEY_WORDS, DType

_KEY_ELEMENT = {f"key<{tag}>": np.dtype([(tag, np.uint32, (words,))]) for tag, words in KEY_WORDS.items()}


def evaluate(function: Function, *arrays: Any) -> tuple[Array, ...]:
    """Results of `function` at the given arrays, one for each param.

    Keys are passed and returned as their raw words, with a trailing axis.

    Raises:
      EvaluationError: a wrong number, shape or dtype of arguments; an op that has no evaluation.
    """
    if len(arrays) != len(function.params):
        raise EvaluationError(
            f"{function.name}: expected {len(function.params)} arguments, got {len(arrays)}"
        )
    env: dict[Value, Array] = {}
    for i, (param, given) in enumerate(zip(function.params, arrays, strict=True)):
        array = packed(given, param.type.dtype)
        if array.dtype != element_dtype(param.type.dtype) or array.shape != param.type.shape:
            found = np.asarray(given)
            raise EvaluationError(
                f"{function.name}: expected {param.type} for param {i}, got {found.dtype}{list(found.shape)}"
            )
        env[param] = array
    with np.errstate(all="ignore"):
        for eqn in function.eqns:
            env.update(zip(eqn.results, _step(eqn, [env[v] for v in eqn.operands]), strict=True))
    return tuple([key_words(env[v]) for v in function.results])


def element_dtype(dtype: DType) -> np.dtype[Any]:
    """The NumPy dtype of the arrays that stand for values of `dtype` while a function runs."""
    return _KEY_ELEMENT[dtype.name] if dtype.kind == "key" else dtype.np


def packed(array: Any, dtype: DType) -> Array:
    """`array` as it is held for a value of `dtype`: raw words of keys become one element each.

    Elements are taken too, so that an op which evaluates a nested function may pass either.
    """
    held = np.asarray(array)
    if dtype.kind != "key" or held.dtype != dtype.np:
        return held
    element = _KEY_ELEMENT[dtype.name]
    if held.shape[-1:] != element[0].shape:
        raise EvaluationError(
            f"expected {element[0].shape[0]} words for each {dtype}, got shape {held.shape}"
        )
    return np.ascontiguousarray(held).view(element)[..., 0]


def key_words(array: Array) -> Array:
    """The raw words of keys held as elements, in a trailing axis; any other array as it is."""
    return array if array.dtype.names is None else array[array.dtype.names[0]]


def _step(eqn: Eqn, operands: list[Array]) -> list[Array]:
    rule = eqn.op.eval
    if rule is None:
        raise EvaluationError(f"{eqn.op.name} has no reference evaluation", source=eqn.source)
    try:
        out = rule(*operands, **eqn.attrs)
    except TracerError as error:
        error.source = error.source or eqn.source
        raise
    outs = out if isinstance(out, tuple) else (out,)
    results = []
    for value, result in zip(eqn.results, outs, strict=True):
        array = packed(result, value.type.dtype).astype(element_dtype(value.type.dtype), copy=False)
        if array.shape != value.type.shape:
            raise EvaluationError(
                f"{eqn.op.name} evaluated to shape {array.shape}, its type rule says {value.type}",
                source=eqn.source,
            )
        results.append(array)
    return results
