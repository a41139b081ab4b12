"""Samples of `ir.ops.fft`."""

from typing import Any

from jax import numpy as jnp

from tests.ops.sample import COMPLEX, Sample


def _fft(kind: str, shape: tuple[int, ...], lengths: tuple[int, ...]) -> Sample:
    transform = getattr(jnp.fft, kind + "n")
    axes = tuple(range(-len(lengths), 0))

    def reference(x: Any) -> Any:
        if 0 in (*shape, *lengths):
            real = jnp.zeros((), x.dtype).real.dtype
            out = (*shape[: len(shape) - len(lengths)], *lengths)
            if kind == "rfft":
                out = (*out[:-1], lengths[-1] // 2 + 1 if lengths[-1] else 0)
            return jnp.zeros(out, real if kind == "irfft" else jnp.result_type(real, jnp.complex64))
        return transform(x, s=lengths, axes=axes)

    return Sample(
        "fft",
        lambda d: (d.array(*shape),),
        reference,
        attrs={"kind": kind, "lengths": lengths},
        label=f"{kind}-{'x'.join(map(str, shape))}-{'x'.join(map(str, lengths))}",
        dtypes=("f32", "f64") if kind == "rfft" else COMPLEX,
    )


SAMPLES = [
    *(_fft(kind, (2, 5), (5,)) for kind in ("fft", "ifft", "rfft")),
    *(_fft(kind, (2, 3, 4), (3, 4)) for kind in ("fft", "ifft", "rfft")),
    *(_fft(kind, (1,), (1,)) for kind in ("fft", "ifft", "rfft", "irfft")),
    *(_fft(kind, (2, 0), (0,)) for kind in ("fft", "ifft", "rfft", "irfft")),
    *(_fft(kind, (0, 3), (3,)) for kind in ("fft", "ifft", "rfft")),
    _fft("fft", (2, 3, 4), (2, 3, 4)),
    _fft("rfft", (3, 2), (2,)),
    _fft("rfft", (2, 3, 6), (2, 3, 6)),
    _fft("irfft", (2, 4), (6,)),
    _fft("irfft", (2, 4), (7,)),
    _fft("irfft", (3, 2), (2,)),
    _fft("irfft", (2, 3, 3), (3, 5)),
    _fft("irfft", (2, 3, 3), (2, 3, 4)),
    _fft("irfft", (0, 3), (4,)),
]
