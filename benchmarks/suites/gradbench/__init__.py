"""The evals of GradBench (https://github.com/gradbench/gradbench), of which gmm, ba, ht and lstm come from ADBench.

One module an eval: its definition, its inputs, and what the result must be, found by other means.
"""

from benchmarks.suites.gradbench import (
    ba,
    det,
    gmm,
    hello,
    ht,
    kmeans,
    llsq,
    lse,
    lstm,
    ode,
    particle,
    saddle,
)

CASES = (
    *hello.CASES,
    *gmm.CASES,
    *ba.CASES,
    *ht.CASES,
    *lstm.CASES,
    *kmeans.CASES,
    *det.CASES,
    *llsq.CASES,
    *lse.CASES,
    *ode.CASES,
    *particle.CASES,
    *saddle.CASES,
)

__all__ = ["CASES"]
