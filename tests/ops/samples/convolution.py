"""Samples of `ir.ops.convolution`."""

from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from ir.types import f32
from tests.ops.sample import COMPLEX, REAL, Draw, Sample

Shape = tuple[int, ...]
_SPECS = {
    "NCHW": (0, 1, 2, 3), "NHWC": (0, 3, 1, 2), "OIHW": (0, 1, 2, 3), "HWIO": (3, 2, 0, 1),
    "NCW": (0, 1, 2), "OIW": (0, 1, 2), "WNC": (1, 2, 0), "IWO": (2, 0, 1), "NC": (0, 1), "OI": (0, 1),
    "CWN": (2, 0, 1),
}  # fmt: skip


def _conv(
    label: str,
    lhs: Shape,
    rhs: Shape,
    layout: tuple[str, str, str],
    *,
    strides: Shape = (),
    padding: tuple[tuple[int, int], ...] = (),
    lhs_dilation: Shape = (),
    rhs_dilation: Shape = (),
    groups: int = 1,
    batch_groups: int = 1,
    preferred: Any = None,
    dtypes: tuple[str, ...] = (*REAL, *COMPLEX),
    special: Any = None,
) -> Sample:
    ones = (1,) * (len(lhs) - 2)
    window = {
        "window_strides": strides or ones,
        "padding": padding or ((0, 0),) * len(ones),
        "lhs_dilation": lhs_dilation or ones,
        "rhs_dilation": rhs_dilation or ones,
    }
    groups_of = {"feature_group_count": groups, "batch_group_count": batch_groups}

    def reference(x: Any, kernel: Any) -> Any:
        return lax.conv_general_dilated(
            x,
            kernel,
            **window,
            **groups_of,
            dimension_numbers=layout,
            preferred_element_type=None if preferred is None else jnp.dtype(preferred.np),
        )

    specs = {f"{side}_spec": _SPECS[text] for side, text in zip(("lhs", "rhs", "out"), layout, strict=True)}
    return Sample(
        "conv_general",
        lambda d: (d.array(*lhs), d.array(*rhs)),
        reference,
        attrs={**window, **specs, **groups_of, "preferred_type": preferred},
        label=label,
        dtypes=dtypes,
        special=special,
    )


def _special(d: Draw) -> Any:
    if d.dtype.kind in "biuc":  # JAX multiplies complex numbers in another way
        return []
    x = np.array([[[0, 1, np.inf, 2, np.nan, 1, 1]]]).astype(d.dtype)
    return [(x, np.array([[[1, 2]], [[0, 1]]]).astype(d.dtype))]


_1D = ("NCW", "OIW", "NCW")
_2D = ("NHWC", "HWIO", "NHWC")

SAMPLES = [
    _conv("1d", (1, 1, 7), (2, 1, 2), _1D, dtypes=("i32", *REAL, *COMPLEX), special=_special),
    _conv("2d", (2, 5, 4, 3), (3, 2, 3, 2), _2D, padding=((1, 1), (0, 1))),
    _conv("strided", (2, 5, 6, 1), (2, 3, 1, 2), _2D, strides=(2, 3), padding=((1, 0), (2, 1))),
    _conv("dilated", (1, 2, 5), (3, 2, 2), _1D, lhs_dilation=(2,), rhs_dilation=(3,), padding=((1, 2),)),
    _conv(
        "all",
        (1, 2, 6),
        (2, 2, 3),
        _1D,
        strides=(2,),
        lhs_dilation=(3,),
        rhs_dilation=(2,),
        padding=((3, 1),),
    ),
    _conv("cropped", (1, 2, 8), (2, 2, 3), _1D, strides=(2,), padding=((-2, -1),)),
    _conv("wide-padding", (1, 1, 3), (1, 1, 2), _1D, padding=((4, 5),), strides=(2,)),
    _conv("groups", (2, 6, 5), (4, 3, 2), _1D, groups=2, padding=((1, 0),), strides=(2,)),
    _conv("depthwise", (2, 3, 4), (6, 1, 2), _1D, groups=3, rhs_dilation=(2,)),
    _conv("batch-groups", (4, 3, 5), (6, 3, 2), _1D, batch_groups=2, strides=(2,), padding=((1, 1),)),
    _conv("layouts", (5, 2, 3), (3, 2, 4), ("WNC", "IWO", "CWN")),
    _conv("pointwise", (2, 3), (4, 3), ("NC", "OI", "NC")),
    _conv("ones", (1, 1, 1), (1, 1, 1), _1D),
    _conv("no-batch", (0, 2, 5), (3, 2, 2), _1D),
    _conv("no-features", (2, 0, 5), (3, 0, 2), _1D, dtypes=("f32", "f64")),
    _conv("window-too-large", (2, 2, 2), (3, 2, 4), _1D, dtypes=("f32", "f64")),
    _conv("accumulate-f32", (1, 2, 5), (2, 2, 2), _1D, preferred=f32, dtypes=("bf16", "f16", "f32")),
]
