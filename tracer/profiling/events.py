"""What the profiler of JAX recorded: seconds of every operation of XLA.

A program is run under `jax.profiler.trace`; the trace holds an event for each operation that ran, on the
thread or stream that ran it, with the name of the operation (`hlo_op`) and of its program (`hlo_module`).
Operations that run others, such as loops, enclose the events of these: their own time is what is left.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from ir.errors import ProfileError

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?(?P<name>[\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(
    r"^\s+(?:ROOT )?%?(?P<name>[\w.\-]+) = .*? (?P<opcode>[\w\-]+)\((?P<operands>[^()]*)"
)
_CALLS = re.compile(r"calls=%?([\w.\-]+)")
_OP_NAME = re.compile(r'op_name="((?:[^"\\]|\\.)*)"')
_MODULE = re.compile(r"HloModule (?P<name>[\w.\-]+)")
_NAME = re.compile(r"%?([A-Za-z_][\w.\-]*)")
# What says nothing about those beside it.
_PASSES_ON = frozenset(
    {"parameter", "tuple", "get-tuple-element", "while", "conditional", "call", "constant"}
)
# How far names are carried to instructions that have none.
_HOPS = 4
# Lines of a device that repeat the events of its streams, put together otherwise.
_DERIVED = re.compile(r"XLA |Steps|Framework|Source|TensorFlow")


@dataclass(frozen=True, slots=True)
class Operation:
    """An instruction of a compiled program.

    Attributes:
      opcode: such as `fusion`, `dot`, `while`.
      op_names: paths of named scopes under which it was emitted, or what it is made of; the first ones say most.
    """

    opcode: str
    op_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Event:
    name: str
    start: float
    end: float


def operations(text: str) -> tuple[str, dict[str, Operation]]:
    """(name of the module, its instructions by name) from the text of a compiled program.

    A fusion has the names of what is inside it, too. Passes of XLA drop names: what has none, such as a change of
    layout, has those of what reads it, or else of what it reads.
    """
    module = _MODULE.search(text)
    names: dict[str, tuple[str, ...]] = {}
    inside: dict[str, list[str]] = defaultdict(list)
    read: dict[str, list[str]] = {}
    opcodes: dict[str, str] = {}
    calls: dict[str, str] = {}
    computation = ""
    for line in text.splitlines():
        if instruction := _INSTRUCTION.match(line):
            name = instruction["name"]
            scope, called = _OP_NAME.search(line), _CALLS.search(line)
            names[name] = (scope[1],) if scope else ()
            inside[computation].extend(names[name])
            opcodes[name] = instruction["opcode"]
            calls[name] = called[1] if called else ""
            read[name] = _NAME.findall(instruction["operands"])
        elif head := _COMPUTATION.match(line):
            computation = head["name"]
    names = {name: (*found, *inside.get(calls[name], ())) for name, found in names.items()}
    known = _with_neighbours(names, read, {n for n, op in opcodes.items() if op in _PASSES_ON})
    return (module["name"] if module else ""), {n: Operation(opcodes[n], known[n]) for n in names}


def _with_neighbours(
    names: dict[str, tuple[str, ...]], read: dict[str, list[str]], neutral: set[str]
) -> dict[str, tuple[str, ...]]:
    """Names for instructions that have none, from those around them."""
    readers: dict[str, list[str]] = defaultdict(list)
    for name, operands in read.items():
        for operand in operands:
            readers[operand].append(name)
    for around in (readers, read):
        for _ in range(_HOPS):
            found = {}
            for name in [name for name, own in names.items() if not own and name not in neutral]:
                near = [names.get(other, ()) for other in around.get(name, ()) if other not in neutral]
                found[name] = next((each for each in near if each), ())
            names = {**names, **found}
    return names


def recorded(run: Callable[[], Any], module: str) -> dict[str, tuple[float, int]]:
    """(seconds, how many times) of every operation of a module while `run` runs.

    Raises:
      ProfileError: the profiler is in use already, or recorded no operation of the module.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            jax.profiler.start_trace(folder, profiler_options=options)
        except RuntimeError as error:
            raise ProfileError(f"expected that no other profile is being taken, got: {error}") from error
        try:
            run()
        finally:
            jax.profiler.stop_trace()  # type: ignore[no-untyped-call]
        files = sorted(Path(folder).rglob("*.xplane.pb"))
        with warnings.catch_warnings():
            # Where warnings are errors, one about how JAX 0.12 declares its types would end the process.
            warnings.simplefilter("ignore", DeprecationWarning)
            found = _of_files(files, module)
    if not found:
        raise ProfileError(f"expected the profiler to record operations of {module}, got none")
    return found


def _of_files(files: Iterable[Path], module: str) -> dict[str, tuple[float, int]]:
    seconds: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for file in files:
        for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
            for line in plane.lines:
                if plane.name.startswith("/device:") and _DERIVED.match(line.name):
                    continue
                for name, own in _own_times(_events(line, module)):
                    seconds[name] += own
                    counts[name] += 1
    return {name: (seconds[name], counts[name]) for name in seconds}


def _events(line: Any, module: str) -> list[_Event]:
    out = []
    for event in line.events:
        stats = dict(event.stats)
        if stats.get("hlo_module") == module and (name := stats.get("hlo_op")):
            start = event.start_ns * 1e-9
            out.append(_Event(str(name), start, start + event.duration_ns * 1e-9))
    return out


def _own_times(events: list[_Event]) -> Iterable[tuple[str, float]]:
    """Each event with its duration less that of the events inside it."""
    stack: list[tuple[_Event, list[float]]] = []
    for event in sorted(events, key=lambda e: (e.start, -e.end)):
        while stack and stack[-1][0].end <= event.start:
            yield _closed(stack)
        stack.append((event, []))
    while stack:
        yield _closed(stack)


def _closed(stack: list[tuple[_Event, list[float]]]) -> tuple[str, float]:
    event, inside = stack.pop()
    whole = event.end - event.start
    if stack:
        stack[-1][1].append(whole)
    return event.name, max(whole - sum(inside), 0.0)
