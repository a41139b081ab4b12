"""Samples of `ir.ops.checkpoint`. Bodies are typed, so there is one sample for each dtype."""

import ir
from ir.ops.checkpoint import checkpoint_name
from ir.ops.elementwise import mul, sin
from ir.ops.reduce import reduce_sum
from tests.ops.sample import Sample
from tests.ops.samples.calls import SHAPE, _body, _body_reference, _types


def _saving(dtype: str) -> ir.Function:
    """`_body`, which saves the sine."""

    def body(x, y):
        kept = checkpoint_name(sin(x), name="sine", saved=True)
        return mul(kept, y), reduce_sum(checkpoint_name(x, name="x"), axes=(0,))

    return ir.build(_types(dtype), body, "body")


SAMPLES = [
    Sample(
        "checkpoint",
        lambda d: (d.array(*SHAPE), d.array(*SHAPE)),
        _body_reference,
        {"function": function(dtype), "barrier": barrier},
        (dtype,),
        f"{kind}_{dtype}",
    )
    for dtype in ("f32", "f64")
    for kind, function, barrier in (
        ("plain", _body, False),
        ("barrier", _body, True),
        ("saving", _saving, False),
    )
]
SAMPLES += [
    Sample("checkpoint_name", lambda d: (d.array(*SHAPE),), lambda x: x, {"name": "x"}),
    Sample("checkpoint_name", lambda d: (d.array(*SHAPE),), lambda x: x, {"saved": True}, label="saved"),
]
