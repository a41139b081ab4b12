"""Fourier transforms, those of `tracer.numpy.fft`."""

from tracer.numpy import fft as _fft
from tracer.numpy.fft import *  # noqa: F403 (the same names)

__all__: list[str] = []
__all__ += _fft.__all__
