"""Import of random bits and keys."""

from __future__ import annotations

from typing import Any

from jax import lax

from ir.core import Value
from ir.ops import random as rn
from ir.ops.shape import reshape_to
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.rules.shape import ints
from lowering.jaxprs.types import dtype_of

_TAGS = frozenset({"fry", "rbg", "urbg"})
_ALGORITHMS = {
    lax.RandomAlgorithm.RNG_DEFAULT: "default",
    lax.RandomAlgorithm.RNG_PHILOX: "philox",
    lax.RandomAlgorithm.RNG_THREE_FRY: "three_fry",
}


def _impl(eqn: Any) -> str:
    tag = getattr(eqn.params["impl"], "tag", None)
    if tag not in _TAGS:
        raise Unmapped
    return str(tag)


@imports("random_seed")
def _seed(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return rn.random_seed(operands[0], impl=_impl(eqn))


@imports("random_wrap")
def _wrap(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return rn.random_wrap(operands[0], impl=_impl(eqn))


@imports("random_unwrap")
def _unwrap(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return rn.random_unwrap(operands[0])


@imports("random_clone")
def _clone(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return operands[0]


@imports("random_split")
def _split(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return rn.random_split(operands[0], shape=ints(eqn.params["shape"]))


@imports("random_fold_in")
def _fold_in(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """Scalars go with arrays of any shape, in our op with axes of size 1."""
    rank = max(v.type.rank for v in operands)
    if any(v.type.rank not in (0, rank) for v in operands):
        raise Unmapped
    return rn.random_fold_in(*[v if v.type.rank else reshape_to(v, (1,) * rank) for v in operands])


@imports("random_bits")
def _bits(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p = eqn.params
    return rn.random_bits(operands[0], bit_width=int(p["bit_width"]), shape=ints(p["shape"]))


@imports("threefry2x32")
def _threefry(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    shape = eqn.outvars[0].aval.shape
    return rn.threefry2x32(*[importer.broadcast(v, shape) for v in operands])


@imports("rng_bit_generator")
def _rng_bit_generator(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p = eqn.params
    algorithm = _ALGORITHMS.get(p["algorithm"])
    if algorithm is None or p.get("out_sharding") is not None:
        raise Unmapped
    return rn.rng_bit_generator(
        operands[0], shape=ints(p["shape"]), dtype=dtype_of(p["dtype"]), algorithm=algorithm
    )


@imports("random_gamma")
def _gamma(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return rn.random_gamma(*operands, log_space=bool(eqn.params["log_space"]))
