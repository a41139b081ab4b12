"""Derivatives that do not exist, by op and order, and why.

Each is tested to raise a `DifferentiationError` where it is asked for. What is not listed here must
exist, so that a rule that vanishes fails by the name of its op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.ops.harness import BY_NAME, Case, case, inexact

# Ops without any derivative. (Ops whose results have no tangents do have one: zero.)
NO_DERIVATIVE = {
    "custom_vjp_tangent": "forward mode does not exist for custom_vjp",
    "nextafter": "the neighbour of a float is no differentiable function; JAX has no rule either",
    "igamma_grad_a": "a second derivative by the shape parameter; JAX has no rule either",
    "random_gamma_grad": "a second derivative of gamma samples; JAX has no rule either",
    "householder_product": "JAX has no rule either; qr has one",
    "hessenberg": "JAX has no rule either",
    "tridiagonal": "JAX has no rule either; eigh has one",
    "schur": "JAX has no rule either",
}

# Operands by which an op has no derivative, given how many operands there are.
UNDEFINED: dict[str, Callable[[int], Sequence[int]]] = {
    "polygamma": lambda count: [0],  # the order: nan in JAX
    "regularized_incomplete_beta": lambda count: [0, 1],
    "zeta": lambda count: [0],
    "reduce": lambda count: range(count // 2, count),  # inits, which are identities of the function
    "reduce_window": lambda count: range(count // 2, count),
}


@dataclass(frozen=True)
class Refusal:
    """Derivatives that some cases of an op do not have, although it has others.

    Attributes:
      orders: of "forward", "reverse" and "second" (the forward derivative of the reverse one).
      cases: which cases of the op.
      jax: whether JAX has them.
    """

    op: str
    orders: tuple[str, ...]
    why: str
    cases: Callable[[Case], bool] = lambda c: True
    jax: bool = False


def _is_oblong_svd(c: Case) -> bool:
    rows, columns = c.operands[0].shape[-2:]
    return c.sample.attrs["full_matrices"] and c.sample.attrs["compute_uv"] and rows != columns


REFUSALS = (
    Refusal("igamma", ("second",), "igamma_grad_a has no derivative"),
    Refusal("igammac", ("second",), "igamma_grad_a has no derivative"),
    Refusal("random_gamma", ("second",), "JAX differentiates the iterations that approximate it", jax=True),
    Refusal("reduce_window", ("reverse", "second"), "any function may be reduced by; forward mode alone"),
    Refusal(
        "svd",
        ("forward", "reverse", "second"),
        "the singular vectors that complete a basis are not determined",
        _is_oblong_svd,
    ),
)


def refusal(c: Case, order: str) -> Refusal | None:
    """Why a case has no derivative of an order, if it has none although the op has a rule."""
    return next((r for r in REFUSALS if r.op == c.sample.op and order in r.orders and r.cases(c)), None)


def undefined_operands(c: Case) -> tuple[int, ...]:
    """The float and complex operands by which the op has no derivative."""
    undefined = UNDEFINED.get(c.sample.op, lambda count: ())(len(c.types))
    return tuple([i for i in inexact(c.types) if i in undefined])


def differentiable_operands(c: Case) -> tuple[int, ...]:
    """The operands by which the op has a derivative."""
    undefined = undefined_operands(c)
    return tuple([i for i in inexact(c.types) if i not in undefined])


def kind(name: str, dtype: str) -> str:
    """Whether derivatives are `refused` for the whole op, have `no tangent` to give, or are `tested`."""
    c = case(name, dtype)
    if BY_NAME[name].op in NO_DERIVATIVE:
        return "refused"
    return "tested" if inexact(c.function.out_types) else "no tangent"
