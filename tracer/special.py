"""Special functions of `jax.scipy.special`."""

from __future__ import annotations

import jax.scipy.special as jsp

from tracer.numpy.borrowing import borrowed, public

bernoulli = borrowed(jsp.bernoulli)
bessel_jn = borrowed(jsp.bessel_jn)
beta = borrowed(jsp.beta)
betainc = borrowed(jsp.betainc)
betaln = borrowed(jsp.betaln)
digamma = borrowed(jsp.digamma)
entr = borrowed(jsp.entr)
erf = borrowed(jsp.erf)
erfc = borrowed(jsp.erfc)
erfinv = borrowed(jsp.erfinv)
exp1 = borrowed(jsp.exp1)
expi = borrowed(jsp.expi)
expit = borrowed(jsp.expit)
expn = borrowed(jsp.expn)
factorial = borrowed(jsp.factorial)
fresnel = borrowed(jsp.fresnel)
gamma = borrowed(jsp.gamma)
gammainc = borrowed(jsp.gammainc)
gammaincc = borrowed(jsp.gammaincc)
gammaln = borrowed(jsp.gammaln)
gammasgn = borrowed(jsp.gammasgn)
hyp1f1 = borrowed(jsp.hyp1f1)
hyp2f1 = borrowed(jsp.hyp2f1)
i0 = borrowed(jsp.i0)
i0e = borrowed(jsp.i0e)
i1 = borrowed(jsp.i1)
i1e = borrowed(jsp.i1e)
kl_div = borrowed(jsp.kl_div)
log_ndtr = borrowed(jsp.log_ndtr)
log_softmax = borrowed(jsp.log_softmax)
loggamma = borrowed(jsp.loggamma)
logit = borrowed(jsp.logit)
logsumexp = borrowed(jsp.logsumexp)
multigammaln = borrowed(jsp.multigammaln)
ndtr = borrowed(jsp.ndtr)
ndtri = borrowed(jsp.ndtri)
poch = borrowed(jsp.poch)
polygamma = borrowed(jsp.polygamma)
rel_entr = borrowed(jsp.rel_entr)
sici = borrowed(jsp.sici)
softmax = borrowed(jsp.softmax)
spence = borrowed(jsp.spence)
sph_harm_y = borrowed(jsp.sph_harm_y)
xlog1py = borrowed(jsp.xlog1py)
xlogy = borrowed(jsp.xlogy)
zeta = borrowed(jsp.zeta)

__all__ = [
    "bernoulli", "bessel_jn", "beta", "betainc", "betaln", "digamma", "entr", "erf", "erfc", "erfinv",
    "exp1", "expi", "expit", "expn", "factorial", "fresnel", "gamma", "gammainc", "gammaincc", "gammaln",
    "gammasgn", "hyp1f1", "hyp2f1", "i0", "i0e", "i1", "i1e", "kl_div", "log_ndtr", "log_softmax",
    "loggamma", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri", "poch", "polygamma", "rel_entr",
    "sici", "softmax", "spence", "sph_harm_y", "xlog1py", "xlogy", "zeta",
]  # fmt: skip

# What only some versions of JAX have.
_BY_VERSION = public("boxcox boxcox1p comb dawsn erfcinv erfcx owens_t wofz", jsp)
globals().update(_BY_VERSION)
__all__ += list(_BY_VERSION)
