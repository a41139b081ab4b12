"""Gathering a report: compiles a function step by step, measures each, and asks the models what it costs."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

import ir
from ir import cost
from ir.collector import without_collection
from ir.core import inner_first
from ir.fusion import fusion
from ir.journal import Applied, Step, journal, step
from ir.machine import current
from ir.profile import EqnProfile, profile
from ir.regions import Region, regions
from ir.remarks import remarks
from ir.source import Source
from ir.timeline import timeline
from lowering.kernels import is_one_kernel
from tracer.api.jit import Staged, jit
from tracer.report.model import Compiled, Group, LineCost, Phase, RegionCost, Report, RuleUse, Stage


@without_collection()
def collect(f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], *, compile: bool) -> Report:
    """The report on `f` at these arguments; see `tracer.explain`."""
    staged_of = (f if hasattr(f, "staged") else jit(f)).staged
    with remarks() as found, journal() as steps:
        begin = time.perf_counter()
        staged: Staged = staged_of(*args, **kwargs)
        tracing = time.perf_counter() - begin
        within = len(steps)
        function = staged.traced
        for name, each in staged.passes:
            function = step(name, each, function)
        seconds = time.perf_counter() - begin
    docs = {name: _sentence(each) for name, each in staged.passes}
    before, passes = steps[:within], [each for each in steps[within:] if not each.heading]
    transforming = sum([each.seconds for each in before])
    stages = [
        _stage("trace", staged.traced, tracing - transforming),
        *[_stage(s.name, s.after, s.seconds, docs[s.name], s.rules, s.remarks) for s in passes],
    ]
    phases = [Phase("trace the Python function", tracing - transforming, "trace")]
    phases += _merged([(f"{s.heading}: {s.name}", s.seconds) for s in before], "before")
    phases += _merged([(f"pass {s.name}", s.seconds) for s in passes], "pass")
    compiled = None
    if compile:
        compiled, later = _compiled(staged, function, args, kwargs)
        phases += later
    machine = current()
    costs = profile(function, machine, is_one_kernel)
    return Report(
        name=getattr(f, "__name__", "function"),
        stages=tuple(stages),
        seconds=seconds,
        remarks=tuple(dict.fromkeys(found)),
        groups=_groups(before),
        phases=tuple(phases),
        lines=_lines(costs),
        regions=_regions(costs),
        profile=tuple(costs),
        kernels=sum([len([k for k in fusion(each).kernels if k.eqn]) for each in inner_first(function)]),
        memory=timeline(function),
        compiled=compiled,
        machine=machine,
        device=_device(),
    )


def _regions(costs: Sequence[EqnProfile]) -> tuple[RegionCost, ...]:
    profiled = {id(each.eqn): each for each in costs}
    held: dict[str, tuple[Region, list[EqnProfile]]] = {}
    functions = {id(each.function): each.function for each in costs}
    for function in functions.values():
        for region in regions(function):
            _, members = held.setdefault(region.label, (region, []))
            members += [profiled[id(eqn)] for eqn in region.eqns]
    found = [
        RegionCost(
            label,
            region.name,
            region.source,
            len(members),
            sum([m.flops for m in members]),
            sum([m.bytes for m in members]),
            sum([m.seconds for m in members]),
        )
        for label, (region, members) in held.items()
    ]
    return tuple(sorted(found, key=lambda each: -each.seconds))


def _device() -> str:
    kind, backend = jax.devices()[0].device_kind, jax.default_backend()
    return backend if kind == backend else f"{kind} ({backend})"


def _stage(
    name: str,
    function: ir.Function,
    seconds: float,
    doc: str = "",
    rules: Sequence[Applied] = (),
    said: Sequence[Any] = (),
) -> Stage:
    return Stage(
        name,
        function,
        cost.flops(function),
        cost.bytes_accessed(function),
        cost.live_memory(function).bytes,
        seconds,
        doc,
        _rules(rules),
        tuple(dict.fromkeys(said)),
    )


def _sentence(described: object) -> str:
    """The first sentence or paragraph of a docstring."""
    text = inspect.getdoc(described) or ""
    return " ".join(text.partition("\n\n")[0].split())


@functools.cache
def _rule_docs() -> dict[str, str]:
    from ir.rewrites import RULES

    return {rule.name: " ".join(rule.doc.split()) for rule in RULES}


def _rules(applied: Sequence[Applied]) -> tuple[RuleUse, ...]:
    places: dict[str, list[Source]] = {}
    for name, source in applied:
        places.setdefault(name, []).append(source)
    docs = _rule_docs() if places else {}
    uses = [
        RuleUse(name, len(at), docs.get(name, ""), tuple({str(s): s for s in at}.values()))
        for name, at in places.items()
    ]
    return tuple(sorted(uses, key=lambda use: (-use.count, use.name)))


def _before() -> dict[str, Any]:
    """What functions go through before they are part of the program, by the names of the steps."""
    from ir import transforms
    from ir.passes.pipeline import simplify_inner
    from ir.passes.power_tables import tabulate_powers
    from ir.passes.products import multiply_rows, share_adjoints
    from ir.passes.rolling import roll
    from ir.passes.shifts import stop_shifts
    from ir.passes.simplify import stabilize

    return {
        "guard": transforms.guarded,
        "roll": roll,
        "stabilize": stabilize,
        "stop_shifts": stop_shifts,
        "multiply_rows": multiply_rows,
        "share_adjoints": share_adjoints,
        "tabulate_powers": tabulate_powers,
        "simplify_inner": simplify_inner,
        "value_and_grad": transforms.value_and_grad,
        "jvp": transforms.jvp,
        "vmap": transforms.batch,
    }


def _groups(steps: Sequence[Step]) -> tuple[Group, ...]:
    """The steps by the program that they change, in order of beginning; programs that stayed as they were left out."""
    parts: dict[int, list[Step]] = {}
    for each in steps:
        parts.setdefault(each.part, []).append(each)
    out = []
    for _, found in sorted(parts.items()):
        if all(each.before is each.after for each in found):
            continue
        stages = [_stage("trace", found[0].before, 0.0)]
        docs = {name: _sentence(each) for name, each in _before().items()}
        stages += [
            _stage(s.name, s.after, s.seconds, docs.get(s.name, ""), s.rules, s.remarks) for s in found
        ]
        out.append(Group(found[0].heading, tuple(stages)))
    return tuple(out)


def _merged(phases: Sequence[tuple[str, float]], kind: str) -> list[Phase]:
    """Phases of one name as one, in order of first appearance."""
    total: dict[str, float] = {}
    for name, seconds in phases:
        total[name] = total.get(name, 0.0) + seconds
    return [Phase(name, seconds, kind) for name, seconds in total.items()]


def _compiled(
    staged: Staged, function: ir.Function, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Compiled, list[Phase]]:
    emission = staged.emission(function)
    begin = time.perf_counter()
    traced = emission.trace(*args, **kwargs)
    emitted = time.perf_counter()
    lowered = traced.lower()
    lowering = time.perf_counter()
    made = lowered.compile()
    end = time.perf_counter()
    memory = made.memory_analysis()
    count = made.cost_analysis()
    count = count[0] if isinstance(count, list) and count else count or {}

    def size(name: str) -> int | None:
        return None if memory is None else int(getattr(memory, f"{name}_size_in_bytes"))

    found = Compiled(
        size("argument"),
        size("output"),
        size("temp"),
        size("alias"),
        count.get("flops"),
        count.get("bytes accessed"),
    )
    return found, [
        Phase("emit JAX primitives", emitted - begin, "lower"),
        Phase("JAX: lower to StableHLO", lowering - emitted, "lower"),
        Phase("XLA: compile", end - lowering, "compile"),
    ]


def _lines(costs: Sequence[EqnProfile]) -> tuple[LineCost, ...]:
    places: dict[tuple[str, int, str], list[EqnProfile]] = {}
    for each in costs:
        source = each.eqn.source
        places.setdefault((source.file, source.line, source.function), []).append(each)
    out = []
    for (file, line, function), found in places.items():
        by_bound: dict[str, float] = {}
        for each in found:
            by_bound[each.bound] = by_bound.get(each.bound, 0.0) + each.seconds
        out.append(
            LineCost(
                file,
                line,
                function,
                len(found),
                sum([each.flops for each in found]),
                sum([each.bytes for each in found]),
                sum([each.seconds for each in found]),
                max(by_bound, key=lambda bound: by_bound[bound]),
                all(each.known for each in found),
            )
        )
    return tuple(sorted(out, key=lambda each: (-each.seconds, each.file, each.line)))


__all__ = ["collect"]
