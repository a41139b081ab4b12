"""One case by all peers: results are checked, then the peers are asked in turn. May import: NumPy and the cases.

Each peer has a process of its own, that lives for one case; where only correctness is checked, for many.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.peer import VALUE_ONLY
from benchmarks.runner.process import PeerError, PeerProcess
from benchmarks.runner.record import Memory, PeerInfo, Row, Settings, Status, Steady
from benchmarks.runner.roster import ENVIRONMENTS, PEERS, Entry
from benchmarks.suites.case import Case, worst_error
from benchmarks.trees import leaves

# Seconds of a turn, if a call takes less; the pause before it, in which threads of the peer before it go to sleep.
TURN_S, PAUSE_S = 0.05, 0.005
# The first call of a turn is left out where calls take less: what it finds in the caches is the other peers'.
SHORT_S = 1e-3
# Turns that are wanted though they take longer than the time for the case; how many times that is the most.
TURNS, STRETCH = 3, 5.0
MOST_CALLS, MOST_TURNS = 2000, 60
Arrays = list[Any]


@dataclass
class Measured:
    """A peer while its case is measured."""

    process: PeerProcess
    row: Row
    call_s: float = TURN_S
    spent_s: float = 0.0
    times: list[Sequence[float]] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """Of a turn."""
        return int(min(max(TURN_S / max(self.call_s, 1e-9), 1), MOST_CALLS))

    def wants(self, seconds: float) -> bool:
        """Another turn."""
        if len(self.times) >= MOST_TURNS or self.spent_s >= STRETCH * seconds:
            return False
        return self.spent_s < seconds or len(self.times) < TURNS


@dataclass(frozen=True)
class Schedule:
    """What does not change from case to case.

    Attributes:
      suite: what the processes find it by: a name, or a module.
      infos: filled with the peers that started.
      pool: processes that live on, where only correctness is checked, by peer and JAX's double precision. Who makes the
        schedule closes them.
    """

    suite: str
    size: str
    settings: Settings
    infos: dict[str, PeerInfo]
    environments: Path = ENVIRONMENTS
    pool: dict[tuple[str, bool], PeerProcess] = field(default_factory=dict)

    def rows(self, case: Case, entries: Sequence[Entry]) -> list[Row]:
        """A row for every peer, in fresh processes."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            wanted = Expected(self, case, folder)
            done: dict[str, Row] = {}
            running: list[Measured] = []
            for entry in entries:
                try:
                    process = stack.enter_context(self.lent(entry, case))
                except PeerError as error:
                    done[entry.name] = self.refused(case, entry, error)
                    continue
                done[entry.name] = row = self.first(case, process, wanted, folder)
                if row.status is Status.OK:
                    running.append(Measured(process, row))
                elif not self.settings.check:
                    process.close()
            if not self.settings.check:
                self.times(running)
                done |= {each.process.entry.name: each.row for each in running}
        return [done[entry.name] for entry in entries]

    @contextlib.contextmanager
    def lent(self, entry: Entry, case: Case, dtype: str = "") -> Iterator[PeerProcess]:
        """The process of a peer, unless there is a reason not to start it."""
        for name in (entry.name, *entry.family):
            if name in case.declined:
                raise PeerError(Status.DECLINED, case.declined[name])
        if self.settings.device not in entry.devices:
            raise PeerError(Status.DECLINED, f"does not run on {self.settings.device.upper()}")
        x64 = (dtype or case.dtype) == "float64"
        kept = self.pool.get((entry.name, x64))
        if kept is not None and not kept.closed:
            yield kept
            return
        with contextlib.ExitStack() as stack:
            process = stack.enter_context(
                PeerProcess(
                    entry,
                    device=self.settings.device,
                    x64=x64,
                    environments=self.environments,
                    timeout=self.settings.timeout_s,
                )
            )
            self.infos[entry.name] = process.info
            if self.settings.check:
                self.pool[entry.name, x64] = process
                stack.pop_all()
            yield process

    def blank(self, case: Case, entry: Entry) -> Row:
        return Row(
            suite=case.suite,
            case=case.name,
            quantity=case.quantity.value,
            size=self.size,
            dtype=case.dtype,
            parameters=dict(case.sizes[self.size]),
            peer=entry.name,
            status=Status.FAILED,
        )

    def refused(self, case: Case, entry: Entry, error: PeerError) -> Row:
        return dataclasses.replace(self.blank(case, entry), status=error.status, reason=error.reason)

    def first(self, case: Case, process: PeerProcess, wanted: Expected, folder: Path) -> Row:
        """Defines the case, calls it once and checks what comes."""
        timeout, entry = self.settings.timeout_s, process.entry
        try:
            note = self.define(process, case)["note"]
            # What is expected first: without it there is nothing to time.
            expected, source = wanted.arrays()
            got, spent = results(process, folder, timeout)
        except PeerError as error:
            return self.refused(case, entry, error)
        if note == VALUE_ONLY:
            expected = expected[:1]
        error_, reason = compared(got, expected, case.tolerance)
        return dataclasses.replace(
            self.blank(case, entry),
            status=Status.WRONG if reason else Status.OK,
            reason=reason,
            note=note,
            reference=source,
            error=error_,
            tolerance=case.tolerance,
            first_s=None if reason or self.settings.check else spent,
        )

    def define(self, process: PeerProcess, case: Case, dtype: str = "") -> dict[str, Any]:
        return process.ask(
            "define", self.settings.timeout_s, suite=self.suite, case=case.name, size=self.size, dtype=dtype
        )

    def times(self, running: Sequence[Measured]) -> None:
        """Rounds in which every peer has its turn; each begins with another one."""
        seconds, timeout = self.settings.seconds, self.settings.timeout_s
        for each in running:
            with self.fails(each):
                spent = timings(each.process, 1, timeout)
                if spent[0] >= seconds:
                    each.times.append(spent)
                    each.spent_s = spent[0]
                    continue
                # The second call is dearer than those after it.
                spent = timings(each.process, 10 if spent[0] < 0.1 * TURN_S else 1, timeout)
                each.call_s = statistics.median(spent)
        turn = 0
        while wanting := [m for m in running if m.row.status is Status.OK and m.wants(seconds)]:
            for k in range(len(wanting)):
                each = wanting[(turn + k) % len(wanting)]
                time.sleep(PAUSE_S)
                with self.fails(each):
                    left_out = int(each.call_s < SHORT_S)
                    spent = timings(each.process, each.calls + left_out, timeout)
                    each.times.append(spent[left_out:])
                    each.spent_s += sum(spent)
            turn += 1
        for each in running:
            if each.row.status is Status.OK:
                with self.fails(each):
                    reply = each.process.ask("memory", timeout)
                    memory = Memory(each.process.idle_bytes, reply["peak_bytes"], reply["temporaries_bytes"])
                    each.row = dataclasses.replace(each.row, steady=steady(each.times), memory=memory)

    @contextlib.contextmanager
    def fails(self, each: Measured) -> Iterator[None]:
        """A peer that fails while it is measured has no times, and its reason."""
        try:
            yield
        except PeerError as error:
            each.row = dataclasses.replace(
                each.row, status=error.status, reason=f"after the first call: {error.reason}", first_s=None
            )
            each.process.close()


class Expected:
    """What a case must give: by its reference, or by JAX in float64. Found when it is first asked for."""

    def __init__(self, schedule: Schedule, case: Case, folder: Path) -> None:
        self.schedule, self.case, self.folder = schedule, case, folder
        self._found: Arrays | PeerError | None = None

    def arrays(self) -> tuple[Arrays, str]:
        """With the name of the source.

        Raises:
          PeerError: there is none, or it failed.
        """
        if self._found is None:
            try:
                self._found = self._own() if self.case.reference else self._by_jax()
            except PeerError as error:
                self._found = PeerError(Status.FAILED, f"no reference: {error.reason}")
        if isinstance(self._found, PeerError):
            raise self._found
        return self._found, "case" if self.case.reference else "JAX, float64"

    def _own(self) -> Arrays:
        case = self.case
        assert case.reference is not None
        try:
            made = case.reference(*case.inputs(**case.sizes[self.schedule.size]))
        except Exception as error:
            raise PeerError(Status.FAILED, f"{type(error).__name__}: {error}") from error
        return [np.asarray(leaf) for leaf in leaves(made)]

    def _by_jax(self) -> Arrays:
        schedule, case = self.schedule, dataclasses.replace(self.case, declined={})
        with schedule.lent(PEERS["jax"], case, "float64") as process:
            schedule.define(process, case, "float64")
            return results(process, self.folder, schedule.settings.timeout_s)[0]


def results(process: PeerProcess, folder: Path, timeout: float) -> tuple[Arrays, float]:
    """Of one call, with its seconds."""
    path = folder / f"{process.entry.name}.npz"
    reply = process.ask("evaluate", timeout, calls=1, results=str(path))
    with np.load(path) as found:
        arrays = [found[name] for name in sorted(found.files)]
    path.unlink()
    return arrays, round(reply["timings"][0]["nanoseconds"] * 1e-9, 9)


def timings(process: PeerProcess, calls: int, timeout: float) -> list[float]:
    """Seconds of each call."""
    reply = process.ask("evaluate", timeout + TURN_S, calls=calls)
    return [round(each["nanoseconds"] * 1e-9, 9) for each in reply["timings"]]


def compared(got: Arrays, expected: Arrays, tolerance: float) -> tuple[float | None, str]:
    """The error, where it is finite, and what is wrong, if anything."""
    if len(got) != len(expected):
        return None, f"{len(got)} arrays, expected {len(expected)}"
    got, expected = [_real(a) for a in got], [_real(a) for a in expected]
    for k, (a, b) in enumerate(zip(got, expected, strict=True)):
        if a.shape != b.shape:
            return None, f"array {k} has shape {a.shape}, expected {b.shape}"
    error = worst_error(got, expected)
    if not np.isfinite(error):
        return None, "not finite where the reference is"
    return error, "" if error <= tolerance else f"error {error:.1e}, allowed {tolerance:.0e}"


def _real(array: Any) -> Any:
    """Complex numbers as pairs."""
    array = np.asarray(array)
    return np.stack([array.real, array.imag], -1) if array.dtype.kind == "c" else array


def steady(turns: Sequence[Sequence[float]]) -> Steady:
    """Quartiles over all calls, medians by turn."""
    calls = np.concatenate([np.asarray(turn) for turn in turns])
    lower, middle, upper = (round(float(q), 10) for q in np.quantile(calls, (0.25, 0.5, 0.75)))
    return Steady(
        median_s=middle,
        lower_quartile_s=lower,
        upper_quartile_s=upper,
        least_s=float(calls.min()),
        calls=len(calls),
        turns_s=tuple(round(statistics.median(turn), 10) for turn in turns),
    )


__all__ = ["Expected", "Schedule", "compared", "results", "steady", "timings"]
