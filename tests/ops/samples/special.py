"""Samples of `ir.ops.special`.

Evaluation is exact to a few units of f64 and rounded once; XLA computes in the type itself, with
approximations good to about 1e-6 in f32 and 1e-13 in f64, less next to zeros and for large arguments.
"""

from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.scipy import special as jsp

from tests.ops.sample import REAL, Draw, Sample

XLA = {"bf16": 2e-2, "f16": 3e-3, "f32": 2e-5, "f64": 1e-11}
WHY = "XLA's f32 and f64 approximations; narrow floats are computed in f32 and rounded once"


def specials(*columns: Any) -> Any:
    """Special operands: one column of numbers for each operand."""
    return lambda d: [tuple(np.array(column).astype(d.dtype) for column in columns)]


def sample(op: str, reference: Any, *ranges: tuple[float, float], **options: Any) -> Sample:
    """Operands drawn from one range each."""

    def operands(d: Draw) -> tuple[Any, ...]:
        return tuple(d.array(3, 4, low=low, high=high) for low, high in ranges)

    return Sample(op, operands, reference, dtypes=REAL, **{"rtol": XLA, "why": WHY, **options})


def gamma_sample_slope(a: Any, x: Any) -> Any:
    """The implicit derivative -(dP/da) / (dP/dx) of a gamma sample."""
    wide = [v.astype(jnp.float64) for v in (a, x)]
    density = jnp.exp((wide[0] - 1) * jnp.log(wide[1]) - wide[1] - jsp.gammaln(wide[0]))
    return (-lax.igamma_grad_a(*wide) / density).astype(a.dtype)


EDGES = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0)
POSITIVE = (0.3, 4)

SAMPLES = [
    sample("erf", jsp.erf, (-2, 2), special=specials(EDGES)),
    sample("erfc", jsp.erfc, (-2, 2), special=specials(EDGES)),
    sample("erf_inv", jsp.erfinv, (-0.9, 0.9), special=specials((np.nan, 0.0, 1.0, -1.0, 2.0))),
    sample("lgamma", jsp.gammaln, POSITIVE, special=specials((np.nan, np.inf, -np.inf, 0.0, -1.0, 2.0))),
    sample("lgamma", jsp.gammaln, (-2.35, -2.1), label="negative"),
    Sample("lgamma", lambda d: (d.array(0, 2),), jsp.gammaln, dtypes=REAL, label="empty"),
    sample("digamma", jsp.digamma, POSITIVE, special=specials((np.nan, np.inf, 1.0, -1.0))),
    Sample(
        "polygamma",
        lambda d: (d.ints(3, 4, low=0, high=4).astype(d.dtype), d.array(3, 4, low=0.5, high=4)),
        lambda m, x: jsp.polygamma(m.astype(jnp.int32), x),
        dtypes=REAL,
        special=specials((0, 1, 2, 1), (1.0, np.nan, 1.0, np.inf)),
        rtol={**XLA, "f32": 1e-4},
        why=WHY,
    ),
    sample("zeta", jsp.zeta, (1.5, 4), (0.5, 4), special=specials((1.0, 0.5, np.nan), (1.0, 2.0, 1.0))),
    sample(
        "igamma",
        jsp.gammainc,
        POSITIVE,
        POSITIVE,
        special=specials((1, 1, 0, -1, 2, np.nan), (0, np.inf, 0, 1, -1, 1)),
    ),
    sample(
        "igammac",
        jsp.gammaincc,
        POSITIVE,
        POSITIVE,
        special=specials((1, 1, 0, -1, 2, np.nan), (0, np.inf, 0, 1, -1, 1)),
    ),
    sample("igamma_grad_a", lax.igamma_grad_a, POSITIVE, POSITIVE, special=specials((1, -1, 2), (0, 1, -1))),
    sample("random_gamma_grad", gamma_sample_slope, POSITIVE, POSITIVE),
    sample(
        "regularized_incomplete_beta",
        jsp.betainc,
        POSITIVE,
        POSITIVE,
        (0.1, 0.9),
        special=specials((1, 2, -1, 1, 0, np.nan), (2, 2, 1, -1, 1, 1), (0, 1, 0.5, 0.5, 0.5, 0.5)),
    ),
    sample("bessel_i0e", jsp.i0e, (-3, 3), special=specials(EDGES)),
    sample("bessel_i0e", jsp.i0e, (9, 30), label="large"),
    sample("bessel_i1e", jsp.i1e, (-3, 3), special=specials(EDGES)),
    sample("bessel_i1e", jsp.i1e, (9, 30), label="large"),
]
