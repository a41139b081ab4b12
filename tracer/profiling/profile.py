"""`profile(f)(*args)`: run a compiled function on the device and say which of the user's lines took the time."""

from __future__ import annotations

import functools
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax

import ir
from ir import machine
from ir.errors import ArgumentError, ArgumentTypeError
from ir.profile import EqnProfile
from ir.profile import profile as cost_of_each
from ir.regions import labels
from ir.source import UNKNOWN, Source
from lowering.kernels import is_one_kernel
from tracer.api.jit import jit, kept
from tracer.profiling.events import Operation, operations, recorded
from tracer.profiling.report import LineTime, Profile, RegionTime

# Calls are recorded for about so many seconds, and so many at least and at most.
_SECONDS = 0.5
_LEAST, _MOST = 3, 50
# Around a label in a path of scopes stand `/`, and the parentheses of JAX's own transforms.
_PARTS = re.compile(r"[/()]")


def profile(f: Callable[..., Any], *, calls: int | None = None) -> Callable[..., Profile]:
    """`profile(f)(*args)` measures `f` on the device and attributes the time to regions and source lines.

    The program that runs is the one that `f` runs otherwise: its parts are told apart by the names that every
    program of tracer carries in XLA's metadata. JAX's own profiler records it.

    Args:
      f: a function, or what `tracer.jit` made of one.
      calls: how many calls are recorded; by default as many as take half a second, 3 to 50.

    Returns:
      A function that takes the arguments of `f` and returns the profile.

    Raises:
      ArgumentError: `calls` is no integer or less than 1.
      ArgumentTypeError: by the function: an argument is a type, not an array.
      ProfileError: by the function: another profile is being taken, or the device records no operations.
    """
    if calls is not None and (type(calls) is not int or calls < 1):
        raise ArgumentError(f"profile: expected calls to be an integer of at least 1, got {calls!r}")
    jitted: Any = f if hasattr(f, "staged") else jit(f)

    @functools.wraps(f)
    def measure(*args: Any, **kwargs: Any) -> Profile:
        for leaf in jax.tree_util.tree_leaves((args, kwargs)):
            if isinstance(leaf, jax.ShapeDtypeStruct):
                raise ArgumentTypeError(
                    f"profile: expected arrays, as the function is run, got the type {leaf}; "
                    "tr.explain takes types, and says what the model expects"
                )
        module, known = operations(jitted.lower(*args, **kwargs).compile().as_text())
        parts = _parts(jitted.ir(*args, **kwargs))

        def run(count: int) -> list[float]:
            times = []
            for _ in range(count):
                given, named = kept((args, kwargs), getattr(jitted, "donated", None))
                begin = time.perf_counter()
                jax.block_until_ready(jitted(*given, **named))  # type: ignore[no-untyped-call]
                times.append(time.perf_counter() - begin)
            return times

        run(1)
        first = run(1)[0]
        count = calls or min(max(int(_SECONDS / max(first, 1e-9)), _LEAST), _MOST)
        seconds = statistics.median(run(count))
        watched: list[float] = []
        found = recorded(lambda: watched.extend(run(count)), module)
        times = seconds, statistics.median(watched)
        return _profile(getattr(f, "__name__", "function"), count, times, found, known, parts)

    return measure


@dataclass(slots=True)
class _Part:
    """All regions of one label.

    Attributes:
      flops, nbytes: of a call; 0 where the trips of loops depend on data.
      seconds: by the cost model.
      lines: those of each line.
    """

    seconds: float = 0.0
    flops: float = 0.0
    nbytes: float = 0.0
    lines: dict[tuple[str, int], tuple[Source, float]] = field(default_factory=dict)

    def add(self, cost: EqnProfile) -> None:
        """One more equation."""
        self.seconds += cost.seconds
        if cost.known:
            self.flops += cost.flops
            self.nbytes += cost.bytes
        sources = [source for source in cost.eqn.source.all() if source is not UNKNOWN]
        for source in sources:
            key = source.file, source.line
            _, before = self.lines.get(key, (source, 0.0))
            self.lines[key] = source, before + cost.seconds / len(sources)


def _parts(program: ir.Function) -> dict[str, _Part]:
    """What is known of the regions of the program and of the functions inside it, by label."""
    out: dict[str, _Part] = defaultdict(_Part)
    for cost in cost_of_each(program, machine.current(), is_one_kernel):
        label = labels(cost.function).get(cost.eqn)
        if label is not None:
            out[label].add(cost)
    return dict(out)


def _profile(
    name: str,
    calls: int,
    seconds: tuple[float, float],
    found: Mapping[str, tuple[float, int]],
    known: Mapping[str, Operation],
    parts: Mapping[str, _Part],
) -> Profile:
    times: dict[str, float] = defaultdict(float)
    launches: dict[str, float] = defaultdict(float)
    for op, (total, count) in found.items():
        shares = _shares(known.get(op, Operation(op, ())), parts)
        for label, share in shares.items():
            times[label] += share * total / calls
        launches[next(iter(shares))] += count / calls
    nothing = _Part()
    by_region = [
        RegionTime(
            label,
            tuple([source for source, _ in parts.get(label, nothing).lines.values()]),
            times[label],
            launches[label],
            parts.get(label, nothing).flops,
            parts.get(label, nothing).nbytes,
        )
        for label in sorted(times, key=times.__getitem__, reverse=True)
    ]
    busy, by_line = sum(times.values()), tuple(_lines(times, parts))
    return Profile(name, calls, *seconds, busy, tuple(by_region), by_line)


def _shares(operation: Operation, parts: Mapping[str, _Part]) -> dict[str, float]:
    """The regions that an operation belongs to, and their shares in it by what they cost; its opcode for XLA's own.

    A kernel may hold several: a product with what is done to it next.
    """
    labels = dict.fromkeys([scope for path in operation.op_names if (scope := _innermost(path, parts))])
    if not labels:
        return {f"({operation.opcode})": 1.0}
    costs = {label: parts[label].seconds for label in labels}
    whole = sum(costs.values())
    return {label: cost / whole if whole else 1 / len(costs) for label, cost in costs.items()}


def _innermost(path: str, parts: Mapping[str, _Part]) -> str | None:
    """The innermost region in whose name something was emitted."""
    return next((scope for scope in reversed(_PARTS.split(path)) if scope in parts), None)


def _lines(times: Mapping[str, float], parts: Mapping[str, _Part]) -> Iterable[LineTime]:
    """Time of every line, the dearest first."""
    found: dict[tuple[str, int], tuple[Source, float]] = {}
    for label, seconds in times.items():
        lines = parts[label].lines if label in parts else {}
        whole = sum([weight for _, weight in lines.values()])
        for key, (source, weight) in lines.items():
            share = weight / whole if whole else 1 / len(lines)
            found[key] = source, found.get(key, (source, 0.0))[1] + seconds * share
    return [LineTime(source, s) for source, s in sorted(found.values(), key=lambda each: -each[1])]


__all__ = ["profile"]
