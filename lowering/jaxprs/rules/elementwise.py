"""Import of elementwise primitives."""

from __future__ import annotations

from typing import Any

from jax.extend.core import Literal

from ir.core import Value
from ir.op import op_named
from ir.ops import elementwise as ew
from ir.ops.shape import full_like, zeros_like
from lowering.jaxprs.importer import Importer, Unmapped, imports, imports_elementwise

# Primitives that are the op of the same name.
for _name in (
    "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "bessel_i0e", "bessel_i1e",
    "cbrt", "ceil", "clz", "complex", "cos", "cosh", "digamma", "div", "eq", "erf", "erf_inv", "erfc", "exp",
    "exp2", "expm1", "floor", "ge", "gt", "igamma", "igamma_grad_a", "igammac", "imag", "is_finite", "le",
    "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "nextafter", "polygamma",
    "population_count", "real", "regularized_incomplete_beta", "rem", "rsqrt", "shift_left",
    "shift_right_arithmetic", "shift_right_logical", "sin", "sinh", "sqrt", "square",
    "stop_gradient", "sub", "tan", "tanh", "zeta", "random_gamma_grad",
    "and", "or", "xor", "not",
):  # fmt: skip
    imports_elementwise(_name, op_named(_name))
imports_elementwise("add_any", ew.add)


@imports("integer_pow")
def _integer_pow(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return ew.integer_pow(operands[0], y=int(eqn.params["y"]))


@imports("pow")
def _pow(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """A base to an exponent, which may be an integer where the base is not."""
    shape = eqn.outvars[0].aval.shape
    return ew.pow(*[importer.broadcast(v, shape) for v in operands])


@imports("round")
def _round(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return ew.round(operands[0], method=eqn.params["rounding_method"].name.lower())


@imports("sign")
def _sign(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    if operands[0].type.dtype.is_complex:
        raise Unmapped  # JAX takes its derivative to be zero, ours turns
    return ew.sign(operands[0])


@imports("conj")
def _conj(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """Of a real operand, the complex number."""
    (x,) = operands
    return ew.conj(x) if x.type.dtype.is_complex else ew.complex(x, zeros_like(x))


@imports("clamp")
def _clamp(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    lo, x, hi = operands
    if x.type.dtype.is_float and not all(type(eqn.invars[i]) is Literal for i in (0, 2)):
        raise Unmapped  # where bounds cross JAX differentiates by neither, ours by the one that is taken
    shape = x.type.shape
    return ew.clamp(*[importer.broadcast(v, shape) for v in (lo, x, hi)])


@imports("select_n")
def _select(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """Cases numbered by a bool, or by an i32 for any number of them."""
    which, *cases = operands
    which = importer.broadcast(which, cases[0].type.shape)
    if which.type.dtype.kind == "bool":
        if len(cases) == 1:
            return cases[0]
        return ew.select(which, cases[1], cases[0])
    out = cases[-1]
    for i in reversed(range(len(cases) - 1)):
        # Numbers out of range choose the nearest case, as XLA's select does.
        out = ew.select(ew.le(which, full_like(which, i)), cases[i], out)
    return out


@imports("copy", "copy_p", "name")
def _same(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return operands[0]


@imports("one_minus_square")
def _one_minus_square(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """1 - x^2 without cancellation near 1; a primitive since jax 0.12."""
    (x,) = operands
    one = full_like(x, 1)
    return ew.mul(ew.sub(one, x), ew.add(one, x))
