"""Import of elementwise primitives."""

from __future__ import annotations

import math
from typing import Any

from jax.extend.core import Literal

from ir.core import Value
from ir.op import op_named
from ir.ops import elementwise as ew
from ir.ops.shape import full_like, zeros_like
from lowering.jaxprs.importer import Importer, Unmapped, imports, imports_elementwise
from lowering.jaxprs.versions import NEWER_DERIVATIVES

# Primitives that are the op of the same name.
for _name in (
    "abs", "acos", "add", "asin", "asinh", "atan", "atan2", "atanh", "bessel_i0e", "bessel_i1e",
    "cbrt", "ceil", "clz", "complex", "cos", "cosh", "digamma", "div", "eq", "erf", "erf_inv", "erfc", "exp",
    "exp2", "expm1", "floor", "ge", "gt", "igamma", "igamma_grad_a", "igammac", "imag", "is_finite", "le",
    "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "nextafter",
    "one_minus_square", "polygamma", "population_count", "real", "regularized_incomplete_beta", "rem",
    "rsqrt", "shift_left", "shift_right_arithmetic", "shift_right_logical", "sin", "sinh", "sqrt", "square",
    "stop_gradient", "sub", "tan", "tanh", "zeta", "random_gamma_grad",
    "and", "or", "xor", "not",
):  # fmt: skip
    imports_elementwise(_name, op_named(_name))
imports_elementwise("add_any", ew.add)


@imports("acosh")
def _acosh(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    if not NEWER_DERIVATIVES:
        raise Unmapped  # JAX's derivative is that of x**2 - 1, of the other sign where a real part is negative
    return ew.acosh(operands[0])


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


@imports("copy", "copy_p")
def _same(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return operands[0]


@imports("log2")
def _log2(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """The logarithm, complex numbers part by part; a primitive since jax 0.11.2."""
    out = ew.log(operands[0])
    if not out.type.dtype.is_complex:
        return _scaled(out, 1 / math.log(2))
    return ew.complex(_scaled(ew.real(out), 1 / math.log(2)), _scaled(ew.imag(out), 1 / math.log(2)))


def _scaled(x: Value, factor: float) -> Value:
    return ew.mul(x, full_like(x, factor))  # type: ignore[no-any-return]


@imports("polynomial")
def _polynomial(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """Coefficients of rising powers, by Horner's rule; a primitive since jax 0.11.2."""
    x, *coefficients = [importer.broadcast(v, eqn.outvars[0].aval.shape) for v in operands]
    out = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        out = ew.add(ew.mul(out, x), coefficient)
    return out
