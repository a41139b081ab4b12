"""One program through tracer and through JAX: values, derivatives of both orders, batches of gradients."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import ir
import tracer
from tests.fuzz.program import Program
from tests.fuzz.rounding import moved
from tests.fuzz.spaces import JAX, JAX_BY_EXAMPLES, TRACER, Space

CHECKS = ("value", "grad", "jvp", "hvp", "vmap_grad")


@dataclass(frozen=True)
class Outcome:
    """What became of a program.

    Attributes:
      kind: `agrees`, `discarded` or `differs`.
      why: the check that differs, or why there was nothing to compare.
      detail: the values, or the exception.
    """

    kind: str
    why: str = ""
    detail: str = ""


class Harness:
    """The functions to compare for one program; `checks` says which."""

    def __init__(self, program: Program, checks: Sequence[str]) -> None:
        self.program = program
        # A custom_vjp has no forward mode.
        no_forward = "tr.custom_vjp" in program.source
        self.checks = tuple([c for c in checks if not (c == "jvp" and no_forward)])
        params = program.block.params
        self.argnums = tuple([i for i, p in enumerate(params) if p.differentiable])
        self.mapped = tuple([i for i in self.argnums if i % 2 == 0])
        rng = np.random.default_rng(5)
        self.tangents = tuple([self._direction(rng, np.asarray(program.inputs[i])) for i in self.argnums])
        self.given = (
            *program.inputs,
            *self.tangents,
            *[
                np.stack([program.inputs[i], 0.9 * program.inputs[i]]).astype(program.inputs[i].dtype)
                for i in self.mapped
            ],
        )

    @staticmethod
    def _direction(rng: np.random.Generator, like: Any) -> Any:
        out = rng.uniform(-1, 1, like.shape)
        if like.dtype.kind == "c":
            out = out + 1j * rng.uniform(-1, 1, like.shape)
        return np.asarray(out).astype(like.dtype)

    def everything(self, space: Space) -> Callable[..., dict[str, Any]]:
        """(inputs, tangents, batches) -> results of all checks, over a space."""
        f = self.program.function(space)
        xp, tr = space.xp, space.tr
        count = len(self.program.inputs)
        argnums = self.argnums
        real = [i for i in argnums if self.program.block.params[i].dtype.startswith("float")]

        def loss(*xs: Any) -> Any:
            total = 0.0
            for k, (out, var) in enumerate(zip(f(*xs), self.program.outputs, strict=True)):
                if not var.differentiable:
                    continue
                weights = np.cos(np.arange(var.size) * 1.7 + k).reshape(var.shape)
                if var.dtype.startswith("complex"):
                    total = total + xp.sum(xp.real(out) * weights) + xp.sum(xp.imag(out) * (weights + 0.3))
                else:
                    total = total + xp.sum(out.astype(np.float64) * weights)
            return total

        def call(*given: Any) -> dict[str, Any]:
            xs, tangents, batches = (
                given[:count],
                given[count : count + len(argnums)],
                given[count + len(argnums) :],
            )
            out: dict[str, Any] = {}
            if "value" in self.checks:
                out["value"] = f(*xs)
            if "grad" in self.checks:
                out["grad"] = tr.grad(loss, argnums=argnums)(*xs)

            def at(*some: Any) -> list[Any]:
                full = list(xs)
                for i, x in zip(argnums, some, strict=True):
                    full[i] = x
                return full

            if "jvp" in self.checks:

                def floats(*some: Any) -> list[Any]:
                    outs = f(*at(*some))
                    return [y for y, v in zip(outs, self.program.outputs, strict=True) if v.differentiable]

                out["jvp"] = tr.jvp(floats, tuple([xs[i] for i in argnums]), tuple(tangents))[1]
            if "hvp" in self.checks and real:
                chosen = tuple([xs[i] for i in real])
                along = tuple([t for i, t in zip(argnums, tangents, strict=True) if i in real])

                def slope(*some: Any) -> Any:
                    full = list(xs)
                    for i, x in zip(real, some, strict=True):
                        full[i] = x
                    return tr.grad(loss, argnums=tuple(real))(*full)

                out["hvp"] = tr.jvp(slope, chosen, along)[1]
            if "vmap_grad" in self.checks:
                axes = [0 if i in self.mapped else None for i in range(count)]
                batch = list(xs)
                for i, x in zip(self.mapped, batches, strict=True):
                    batch[i] = x
                out["vmap_grad"] = tr.vmap(tr.grad(loss, argnums=argnums), in_axes=tuple(axes))(*batch)
            return out

        return call


def leaves(results: dict[str, Any]) -> list[tuple[str, Any]]:
    """Arrays with the check each belongs to."""
    return [
        (name, np.asarray(x)) for name in CHECKS for x in jax.tree_util.tree_leaves(results.get(name, ()))
    ]


def difference(
    got: Sequence[tuple[str, Any]], want: Sequence[tuple[str, Any]], rtol: float
) -> tuple[str, str, float] | None:
    """(check, text, size) of the first arrays that differ."""
    if len(got) != len(want):
        return "value", f"{len(got)} arrays instead of {len(want)}", math.inf
    for (check, a), (_, b) in zip(got, want, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return check, f"{a.dtype}{list(a.shape)} instead of {b.dtype}{list(b.shape)}", math.inf
        if a.dtype.kind in "bi":
            if not np.array_equal(a, b):
                return check, f"{a.tolist()}\n  instead of {b.tolist()}", 1.0
            continue
        if not a.size:
            continue
        scale = float(np.max(np.abs(b)))
        off = np.abs(a - b)
        if not np.all(off <= rtol * (np.abs(b) + scale + 1e-3)):
            size = float(np.max(np.where(np.isnan(off), np.inf, off)))
            return check, f"{a.tolist()}\n  instead of {b.tolist()}", size
    return None


def agree(
    program: Program, rng: random.Random, checks: Sequence[str] = CHECKS, ways: Sequence[str] = ()
) -> Outcome:
    """Run the checks of a program.

    Args:
      rng: chooses how tracer runs it, unless `ways` says so: `evaluated` (traced and run by the
        reference evaluator), `optimized` (likewise after the passes), `compiled` (by XLA), `called`
        (outside `jit`, each transform compiled on its own).
    """
    if not ways:
        ways = ["evaluated", "optimized", *rng.choices(["compiled", "called", ""], [4, 1, 5])]
    harness = Harness(program, checks)
    narrow = any(v.dtype == "float32" for s in program.block.all_steps() for v in s.results)
    narrow = narrow or any(p.dtype == "float32" for p in program.block.params)
    rtol = 3e-3 if narrow else 1e-9
    with jax.enable_x64(True):
        compiled = jax.jit(harness.everything(JAX))
        try:
            want = leaves(compiled(*harness.given))
        except Exception as error:  # noqa: BLE001 (counted)
            return Outcome("discarded", f"JAX: {_text(error)[:60]}")
        if not all(np.isfinite(x).all() for _, x in want):
            return Outcome("discarded", "not finite")
        everything = harness.everything(TRACER)
        for way in ways:
            if not way:
                continue
            try:
                got = leaves(run(everything, harness.given, way))
            except Exception as error:  # noqa: BLE001 (reported as a difference)
                return Outcome("differs", way, _text(error))
            found = difference(got, want, rtol)
            if found is None:
                continue
            check, text, size = found
            alone = by_single_ops(harness)
            if alone is None:
                return Outcome("discarded", "ill-conditioned")
            if difference(got, alone, rtol) is None:
                continue
            if size <= 1e3 * sensitivity(compiled, harness.given, want, 1e-6 if narrow else 1e-14):
                return Outcome("discarded", "ill-conditioned")
            if size <= 10 * moved(everything, harness.given, 1e-7 if narrow else 2e-16):
                return Outcome("discarded", "roundings decide")
            return Outcome("differs", f"{check}, {way}", text)
    return Outcome("agrees")


def by_single_ops(harness: Harness) -> list[tuple[str, Any]] | None:
    """What JAX computes one op and one example at a time; `None` where that is not finite.

    In one program XLA may compute a value twice with roundings that differ, so that an element of an
    array is not found where it is compared with their maximum: JAX's gradient is zero then, and wrong.
    A derivative that exists only after rounding is none to compare with.
    """
    with jax.disable_jit():
        out = leaves(harness.everything(JAX_BY_EXAMPLES)(*map(jax.numpy.asarray, harness.given)))
    return out if all(np.isfinite(x).all() for _, x in out) else None


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def failure(program: Program, way: str) -> str:
    """The exception that tracer alone raises for a program, as text; empty where it raises none."""
    harness = Harness(program, CHECKS)
    with jax.enable_x64(True):
        jax.eval_shape(harness.everything(JAX), *harness.given)
        try:
            run(harness.everything(TRACER), harness.given, way)
        except Exception as error:  # noqa: BLE001 (that is the question)
            return _text(error)
    return ""


def run(everything: Callable[..., Any], given: Sequence[Any], way: str) -> Any:
    """Results of the checks by tracer."""
    if way == "compiled":
        return tracer.jit(everything)(*given)
    if way == "called":
        return everything(*map(jax.numpy.asarray, given))
    shapes: list[Any] = []

    def recorded(*args: Any) -> Any:
        out = everything(*args)
        shapes.append(jax.tree_util.tree_structure(out))
        return out

    made = tracer.trace(recorded)(*given) if way == "evaluated" else tracer.jit(recorded).ir(*given)
    return jax.tree_util.tree_unflatten(shapes[0], ir.evaluate(made, *given))


def sensitivity(
    compiled: Callable[..., Any], given: Sequence[Any], want: Sequence[tuple[str, Any]], step: float
) -> float:
    """How far results move when inputs move by about a rounding error."""
    rng = np.random.default_rng(0)
    largest = 0.0
    for _ in range(4):
        near = []
        for x in map(np.asarray, given):
            noise = rng.choice([-1, 1], x.shape) * step
            near.append(x if x.dtype.kind in "bi" else (x * (1 + noise) + noise).astype(x.dtype))
        for (_, a), (_, b) in zip(leaves(compiled(*near)), want, strict=True):
            if a.dtype.kind != "b" and a.size:
                off = np.abs(a - b)
                largest = max(largest, float(np.max(np.where(np.isfinite(off), off, np.inf))))
            elif a.size and not np.array_equal(a, b):
                largest = math.inf
    return largest
