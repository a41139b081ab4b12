"""A training step as a case: loss, gradient, and the update of an optimiser over the tree of parameters.

A model gives its loss twice, over `Library` and in PyTorch's idiom; the step around both is here. The updates are
those of Sutskever et al. (2013, momentum as PyTorch has it) and of Adam (Kingma and Ba 2015, algorithm 1). Their state
is drawn at random, as after some steps: from zeros, Adam's first update would be the sign of the gradient, which
rounding decides where that is zero. All inputs are numbers that bfloat16 holds, so that no result differs because an
input was rounded. May import: NumPy; torch inside the functions that PyTorch calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity

Loss = Callable[..., Any]
DECAY, FIRST, SECOND, EPSILON = 0.9, 0.9, 0.999, 1e-8
# Largest differences from float64, relative to the largest entry of a leaf.
TOLERANCE = {"float32": 2e-4, "bfloat16": 0.15}


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`f` of every leaf of dicts, lists and tuples that are nested alike."""
    if isinstance(tree, dict):
        return {k: tree_map(f, v, *(r[k] for r in rest)) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)([tree_map(f, *parts) for parts in zip(tree, *rest, strict=True)])
    return f(tree, *rest)


def momentum(lib: Library, params: Any, state: Any, gradient: Any, rate: float) -> tuple[Any, Any]:
    """SGD: v <- decay v + g, p <- p - rate v."""
    velocity = tree_map(lambda v, g: DECAY * v + g, state["velocity"], gradient)
    return tree_map(lambda p, v: p - rate * v, params, velocity), {"velocity": velocity}


def adam(lib: Library, params: Any, state: Any, gradient: Any, rate: float) -> tuple[Any, Any]:
    """Adam: means of g and g**2, corrected for their start, and p <- p - rate m / (sqrt(v) + epsilon)."""
    step = state["step"] + 1
    mean = tree_map(lambda m, g: FIRST * m + (1 - FIRST) * g, state["mean"], gradient)
    square = tree_map(lambda v, g: SECOND * v + (1 - SECOND) * g * g, state["square"], gradient)
    of_mean, of_square = 1 / (1 - FIRST**step), 1 / (1 - SECOND**step)
    params = tree_map(
        lambda p, m, v: p - rate * (of_mean * m) / (lib.np.sqrt(of_square * v) + EPSILON),
        params,
        mean,
        square,
    )
    return params, {"mean": mean, "square": square, "step": step}


def torch_momentum(params: Any, state: Any, gradient: Any, rate: float) -> tuple[Any, Any]:
    """As `momentum`, in the operations of `torch.optim.SGD`.

    `g.add(v, alpha=DECAY)` would be one operation less, but the compiler of PyTorch 2.13 loses its alpha where g is a
    product of matrices.
    """
    velocity = tree_map(lambda v, g: v.mul(DECAY).add_(g), state["velocity"], gradient)
    return tree_map(lambda p, v: p.sub(v, alpha=rate), params, velocity), {"velocity": velocity}


def torch_adam(params: Any, state: Any, gradient: Any, rate: float) -> tuple[Any, Any]:
    """As `adam`, in the fused operations that `torch.optim` is made of."""
    step = state["step"] + 1
    mean = tree_map(lambda m, g: m.lerp(g, 1 - FIRST), state["mean"], gradient)
    square = tree_map(lambda v, g: v.mul(SECOND).addcmul_(g, g, value=1 - SECOND), state["square"], gradient)
    of_mean, of_square = 1 / (1 - FIRST**step), 1 / (1 - SECOND**step)

    def updated(p: Any, m: Any, v: Any) -> Any:
        return p.addcdiv(m.mul(of_mean), v.mul(of_square).sqrt_().add_(EPSILON), value=-rate)

    return tree_map(updated, params, mean, square), {"mean": mean, "square": square, "step": step}


def torch_value_and_grad(loss: Callable[[Any], Any], params: Any) -> tuple[Any, Any]:
    """Value and gradient by the tree of parameters.

    Eager code takes the tape of `torch.autograd`, which costs less an operation than `torch.func`; the compiler
    follows `torch.func` without a break of its graph.
    """
    import torch

    if torch.compiler.is_compiling():
        gradient, value = torch.func.grad_and_value(loss)(params)
        return value, gradient
    params = tree_map(lambda p: p.detach().requires_grad_(), params)
    leaves: list[Any] = []
    tree_map(leaves.append, params)
    value = loss(params)
    gradients = iter(torch.autograd.grad(value, leaves))
    return value.detach(), tree_map(lambda _: next(gradients), params)


OPTIMIZERS = {"momentum": (momentum, torch_momentum), "adam": (adam, torch_adam)}


def rounded(v: Any) -> Any:
    """The nearest number of 8 significant bits, those of bfloat16."""
    if v.dtype.kind != "f":
        return v
    significand, exponent = np.frexp(v)
    return np.ldexp(np.round(significand * 256) / 256, exponent)


def state_of(optimizer: str, params: Any, rng: np.random.Generator) -> Any:
    """What the optimiser remembers after some steps."""

    def normal(p: Any) -> Any:
        return 0.01 * rng.standard_normal(p.shape)

    if optimizer == "momentum":
        return {"velocity": tree_map(normal, params)}
    return {
        "mean": tree_map(normal, params),
        "square": tree_map(lambda p: rng.uniform(1e-4, 4e-4, p.shape), params),
        "step": np.asarray(100, np.int32),
    }


def training_cases(
    name: str,
    loss: Loss,
    torch_loss: Loss,
    inputs: Callable[..., tuple[Any, ...]],
    sizes: Mapping[str, Mapping[str, Any]],
    *,
    optimizer: str,
    rate: float,
    static: tuple[str, ...] = (),
    source: str,
    seed: int = 2,
) -> list[Case]:
    """The case of a model in float32 and in bfloat16. Its results: loss, parameters and state after the step.

    Args:
      loss: `loss(library, params, *batch, **static)`.
      torch_loss: `torch_loss(params, *batch, **static)`, over tensors.
      inputs: `inputs(rng, **size)`: the parameters, then the batch.
      optimizer: "momentum" or "adam".
      rate: learning rate.
      static: which keyword arguments of a size the losses take.
      seed: of the inputs. Of a few examples, one at the kink of a relu decides much of the gradient, and bfloat16 may
        decide otherwise than float64: a seed is one with which that does not happen at size `tiny`.
    """
    update, torch_update = OPTIMIZERS[optimizer]

    def case_inputs(**size: Any) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        params, *batch = inputs(rng, **size)
        drawn: tuple[Any, ...] = (params, state_of(optimizer, params, rng), *batch)
        return tuple(tree_map(rounded, part) for part in drawn)

    def step(lib: Library, params: Any, state: Any, *batch: Any, **options: Any) -> Any:
        value, gradient = lib.value_and_grad(lambda p: loss(lib, p, *batch, **options))(params)
        return value, *update(lib, params, state, gradient, rate)

    def torch_step(_: Any, params: Any, state: Any, *batch: Any, **options: Any) -> Any:
        value, gradient = torch_value_and_grad(lambda p: torch_loss(p, *batch, **options), params)
        return value, *torch_update(params, state, gradient, rate)

    return [
        Case(
            suite="models",
            name=f"{name}, {dtype}",
            program=step,
            inputs=case_inputs,
            sizes=sizes,
            quantity=Quantity.CALL,
            dtype=dtype,
            tolerance=tolerance,
            spelled={"torch": torch_step},
            static=lambda **size: {k: size[k] for k in static},
            source=source,
        )
        for dtype, tolerance in TOLERANCE.items()
    ]


__all__ = ["training_cases", "tree_map"]
