"""Fourier transforms of `jax.numpy.fft`."""

from __future__ import annotations

import jax.numpy as jnp

from tracer.numpy.borrowing import borrowed

fft = borrowed(jnp.fft.fft)
fft2 = borrowed(jnp.fft.fft2)
fftfreq = borrowed(jnp.fft.fftfreq)
fftn = borrowed(jnp.fft.fftn)
fftshift = borrowed(jnp.fft.fftshift)
hfft = borrowed(jnp.fft.hfft)
ifft = borrowed(jnp.fft.ifft)
ifft2 = borrowed(jnp.fft.ifft2)
ifftn = borrowed(jnp.fft.ifftn)
ifftshift = borrowed(jnp.fft.ifftshift)
ihfft = borrowed(jnp.fft.ihfft)
irfft = borrowed(jnp.fft.irfft)
irfft2 = borrowed(jnp.fft.irfft2)
irfftn = borrowed(jnp.fft.irfftn)
rfft = borrowed(jnp.fft.rfft)
rfft2 = borrowed(jnp.fft.rfft2)
rfftfreq = borrowed(jnp.fft.rfftfreq)
rfftn = borrowed(jnp.fft.rfftn)

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft",
    "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip
