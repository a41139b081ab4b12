"""Activation functions, elementwise; integers are promoted to float."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ir.core import EMPTY_ATTRS
from ir.ops import elementwise as ew
from ir.ops import special
from tracer.api.custom import builtin_jvp
from tracer.numpy import arithmetic as ar
from tracer.numpy import elementwise as el
from tracer.numpy.dispatch import lift, native


@builtin_jvp
def _relu(x: Any) -> Any:
    return el.maximum(x, 0)


@_relu.defjvp
def _relu_jvp(primals: Any, tangents: Any) -> Any:
    # The derivative at 0 is 0 (Bertoin et al. 2021, "Numerical influence of ReLU'(0)").
    (x,), (t,) = primals, tangents
    return _relu(x), el.where(el.greater(x, 0), t, 0)


@native(jax.nn.relu)
def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0."""
    return _relu(x)


@builtin_jvp
def _relu6(x: Any) -> Any:
    return el.minimum(el.maximum(x, 0), 6.0)


@_relu6.defjvp
def _relu6_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return _relu6(x), el.where(el.logical_and(el.greater(x, 0), el.less(x, 6)), t, 0)


@native(jax.nn.relu6)
def relu6(x: Any) -> Any:
    """min(max(x, 0), 6), with derivative 0 at both kinks."""
    return _relu6(el.as_float(x))


@native(jax.nn.sigmoid)
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    t = el.as_float(x)
    return t.owner.emit1(ew.logistic, (t.value,), EMPTY_ATTRS, t.weak)


@native(jax.nn.silu)
def silu(x: Any) -> Any:
    """x * sigmoid(x)."""
    t = el.as_float(x)
    return el.multiply(t, sigmoid(t))


swish = silu


@native(jax.nn.softplus)
def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return ar.logaddexp(x, 0)


@native(jax.nn.log_sigmoid)
def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x))."""
    return el.negative(softplus(el.negative(el.as_float(x))))


@native(jax.nn.soft_sign)
def soft_sign(x: Any) -> Any:
    """x / (1 + |x|)."""
    t = el.as_float(x)
    return el.divide(t, el.add(1, el.abs(t)))


@native(jax.nn.hard_tanh)
def hard_tanh(x: Any) -> Any:
    """x limited to [-1, 1]."""
    t = lift(x)
    return el.where(el.greater(t, 1), 1, el.where(el.less(t, -1), -1, t))


@native(jax.nn.leaky_relu)
def leaky_relu(x: Any, negative_slope: Any = 1e-2) -> Any:
    """x where x >= 0, else negative_slope * x."""
    t = el.as_float(x)
    return el.where(el.greater_equal(t, 0), t, el.multiply(negative_slope, t))


@native(jax.nn.elu)
def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    t = el.as_float(x)
    positive = el.greater(t, 0)
    return el.where(positive, t, el.multiply(alpha, el.expm1(el.where(positive, 0.0, t))))


@native(jax.nn.celu)
def celu(x: Any, alpha: Any = 1.0) -> Any:
    """max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)."""
    t = el.as_float(x)
    return el.add(el.maximum(t, 0), el.multiply(alpha, el.expm1(el.divide(el.minimum(t, 0), alpha))))


@native(jax.nn.selu)
def selu(x: Any) -> Any:
    """Scaled exponential linear unit (Klambauer et al. 2017, equation 2)."""
    return el.multiply(1.0507009873554804934193349852946, elu(x, 1.6732632423543772848170429916717))


@native(jax.nn.gelu)
def gelu(x: Any, approximate: bool = True) -> Any:
    """x * P(N < x) for a standard normal N, or its tanh approximation (Hendrycks and Gimpel 2016)."""
    t = el.as_float(x)
    if approximate:
        cubic = el.add(t, el.multiply(0.044715, ar.power(t, 3)))
        cdf = el.multiply(0.5, el.add(1.0, el.tanh(el.multiply(float(np.sqrt(2 / np.pi)), cubic))))
        return el.multiply(t, cdf)
    scaled = el.multiply(el.negative(t), float(np.sqrt(0.5)))
    tail = t.owner.emit1(special.erfc, (scaled.value,), EMPTY_ATTRS)
    return el.multiply(el.multiply(0.5, t), tail)


@native(jax.nn.squareplus)
def squareplus(x: Any, b: Any = 4) -> Any:
    """(x + sqrt(x**2 + b)) / 2."""
    t = el.as_float(x)
    return el.divide(el.add(t, el.sqrt(el.add(el.square(t), b))), 2)
