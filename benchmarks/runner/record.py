"""Results as they stand in JSON: the schema, and its reading and writing.

A file is one `Run`; every attribute below is a key of it. Times are in seconds, memory in bytes. May import: the
standard library.
"""

from __future__ import annotations

import json
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

SCHEMA = 1


class Status(StrEnum):
    """What became of a case by a peer. All but `OK` have a reason and no times."""

    OK = "ok"
    # Ran, and its results are not those of the reference.
    WRONG = "wrong"
    # Raised, crashed, or said what is no reply.
    FAILED = "failed"
    # The case or the peer says that there is nothing to measure.
    DECLINED = "declined"
    # The peer is not installed.
    MISSING = "missing"
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class Machine:
    """Where it ran.

    Attributes:
      cpu: the model's name.
      cores: those that the process may use.
      variables: of the environment, that change how libraries run.
    """

    system: str
    cpu: str
    cores: int
    memory_bytes: int
    python: str
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """How it was measured.

    Attributes:
      seconds: of calls that are timed, a case and peer.
      timeout_s: for one answer of a peer: of the first call, say.
      check: correctness alone; no times.
    """

    device: str
    seconds: float
    timeout_s: float
    check: bool = False


@dataclass(frozen=True)
class PeerInfo:
    """A peer that started.

    Attributes:
      device: the device's own name.
    """

    versions: Mapping[str, str]
    device: str


@dataclass(frozen=True)
class Steady:
    """Calls after the first ones.

    Attributes:
      calls: how many are counted.
      turns_s: the median of each turn; between turns the other peers had theirs.
    """

    median_s: float
    lower_quartile_s: float
    upper_quartile_s: float
    least_s: float
    calls: int
    turns_s: tuple[float, ...]


@dataclass(frozen=True)
class Memory:
    """Of the process.

    Attributes:
      idle_bytes: its peak before the case, library loaded.
      peak_bytes: its peak at the end.
      temporaries_bytes: what the compiled program says to need beside arguments and results.
    """

    idle_bytes: int
    peak_bytes: int
    temporaries_bytes: int | None = None


@dataclass(frozen=True)
class Row:
    """A case of a size by a peer.

    Attributes:
      parameters: those of the size.
      reason: why there are no times.
      note: `value only` (no derivative was computed), `dense` (a dense Jacobian for a sparse one).
      reference: `case` or `JAX, float64`.
      error: largest difference relative to the largest entry; none where it is not finite.
      first_s: the first call: trace, compile, run.
    """

    suite: str
    case: str
    quantity: str
    size: str
    dtype: str
    parameters: Mapping[str, Any]
    peer: str
    status: Status
    reason: str = ""
    note: str = ""
    reference: str = ""
    error: float | None = None
    tolerance: float | None = None
    first_s: float | None = None
    steady: Steady | None = None
    memory: Memory | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.suite, self.case, self.size, self.peer


@dataclass(frozen=True)
class Run:
    """A file.

    Attributes:
      started, finished: in UTC; a run that was interrupted is not finished.
      commits: of the repository; several where a run was resumed at another; `+` for changes that are in none.
      peers: those that started, by name.
    """

    started: str
    machine: Machine
    settings: Settings
    commits: tuple[str, ...]
    finished: str | None = None
    peers: Mapping[str, PeerInfo] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    schema: int = SCHEMA


def write(run: Run, path: Path) -> None:
    """At once or not at all: an interruption leaves what was there. Each row is a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    data = asdict(run)
    rows = [json.dumps(row, allow_nan=False, default=_plain) for row in data.pop("rows")]
    head = json.dumps(data, indent=1, allow_nan=False).removesuffix("\n}")
    new.write_text(head + ',\n "rows": [\n  ' + ",\n  ".join(rows) + "\n ]\n}\n")
    os.replace(new, path)


def read(path: Path) -> Run:
    """Raises ValueError for what is not of this schema."""
    try:
        data = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: expected JSON, {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"{path}: expected results of schema {SCHEMA}, got {found}")
    run: Run = _made(Run, data, str(path))
    return run


def _plain(value: Any) -> Any:
    """Parameters of a size that JSON does not have."""
    return value.item() if hasattr(value, "item") else repr(value)


def _made(kind: Any, data: Any, where: str) -> Any:
    """An object of the annotated type, strictly."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if data is None else _made(next(a for a in args if a is not type(None)), data, where)
    if origin is tuple:
        return tuple(_made(args[0], each, f"{where}[{k}]") for k, each in enumerate(data))
    if origin is not None and issubclass(origin, Mapping):
        return {key: _made(args[1], each, f"{where}.{key}") for key, each in data.items()}
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if unknown := set(data) - {f.name for f in fields(kind)}:
            raise ValueError(f"{where}: unknown keys {sorted(unknown)} of {kind}")
        made = {name: _made(hints[name], each, f"{where}.{name}") for name, each in data.items()}
        try:
            return kind(**made)  # type: ignore[operator]
        except TypeError as error:
            raise ValueError(f"{where}: {error}") from error
    if kind is Any:
        return data
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(data)
    if kind is float and isinstance(data, int):
        return float(data)
    if not isinstance(data, kind):
        raise ValueError(f"{where}: expected {kind.__name__}, got {data!r}")
    return data


__all__ = [
    "Machine",
    "Memory",
    "PeerInfo",
    "Row",
    "Run",
    "SCHEMA",
    "Settings",
    "Status",
    "Steady",
    "read",
    "write",
]
