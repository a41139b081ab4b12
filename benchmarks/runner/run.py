"""`python -m benchmarks run`: cases by peers, into one file. May import: NumPy and the cases; no peer."""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks.runner import environment, roster
from benchmarks.runner.process import PeerProcess
from benchmarks.runner.record import Row, Run, Settings, Status, read, write
from benchmarks.runner.schedule import Schedule
from benchmarks.runner.units import seconds_text
from benchmarks.suites import registry
from benchmarks.suites.case import SIZES, Case

RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True)
class Work:
    """A case of a size.

    Attributes:
      suite: what `registry` finds it by.
    """

    suite: str
    case: Case
    size: str


def chosen(suites: Iterable[str], pattern: str, sizes: Iterable[str]) -> tuple[list[Work], int]:
    """Cases whose name holds or matches the pattern, and how many of them have no such size."""
    work, without = [], 0
    for size in sizes:
        for suite in suites:
            for case in registry.cases(suite).values():
                if pattern in case.name or fnmatch.fnmatchcase(case.name, pattern):
                    if size in case.sizes:
                        work.append(Work(suite, case, size))
                    else:
                        without += 1
    return work, without


def begun(path: Path | None, settings: Settings, *, resume: bool) -> Run:
    """A new run, or the one in the file.

    Raises:
      ValueError: there is one that cannot be gone on with, or that was not to be.
    """
    here, commit = environment.machine(), environment.commit()
    if path is None or not path.exists():
        return Run(started=environment.now(), machine=here, settings=settings, commits=(commit,))
    if not resume:
        raise ValueError(f"{path} exists: --resume goes on with it")
    run = read(path)
    if run.settings != settings:
        raise ValueError(f"{path}: expected the settings {run.settings}, got {settings}")
    if run.machine != here:
        raise ValueError(f"{path}: expected the machine {run.machine}, this is {here}")
    commits = run.commits if commit in run.commits else (*run.commits, commit)
    return dataclasses.replace(run, commits=commits, finished=None)


def measured(
    run: Run,
    work: Sequence[Work],
    entries: Sequence[roster.Entry],
    *,
    environments: Path = roster.ENVIRONMENTS,
) -> Generator[tuple[Run, list[Row]], None, None]:
    """The run after each case, with the case's new rows. What has a row is not measured again; peers that were not
    installed are asked again.
    """
    infos = dict(run.peers)
    pool: dict[tuple[str, bool], PeerProcess] = {}
    try:
        for each in work:
            have = {row.key for row in run.rows if row.status is not Status.MISSING}
            missing = [
                entry
                for entry in entries
                if (each.case.suite, each.case.name, each.size, entry.name) not in have
            ]
            if not missing:
                yield run, []
                continue
            schedule = Schedule(each.suite, each.size, run.settings, infos, environments, pool)
            rows = schedule.rows(each.case, missing)
            replaced = {row.key for row in rows}
            kept = tuple(row for row in run.rows if row.key not in replaced)
            run = dataclasses.replace(run, rows=(*kept, *rows), peers=dict(infos))
            yield run, rows
    finally:
        for process in pool.values():
            process.close()


def line(row: Row) -> str:
    """A row for the terminal."""
    label = f"{roster.label(row.peer):>16}"
    if row.status is not Status.OK:
        colour = "yellow" if row.status in (Status.DECLINED, Status.MISSING) else "red"
        return f"{label}  [{colour}]{row.status}[/]: {escape(row.reason)}"
    note = f"  ({row.note})" if row.note else ""
    if row.steady is None:
        return f"{label}  ok, error {row.error:.0e}{note}"
    return f"{label}  {seconds_text(row.steady.median_s):>8}, first call {seconds_text(row.first_s)}{note}"


def main(arguments: Sequence[str]) -> int:
    """Runs. With --check, returns 1 if results were wrong or a peer failed."""
    options = _options(arguments)
    console = Console()
    try:
        suites, sizes = (
            options.suite or registry.names(),
            options.size or ["tiny" if options.check else "middle"],
        )
        entries = [roster.entry(name) for name in options.peer or roster.PEERS]
        work, without = chosen(suites, options.case, sizes)
        settings = Settings(options.device, options.seconds, options.timeout, options.check)
        path = options.out or (None if options.check else RESULTS / options.device / "run.json")
        run = begun(path, settings, resume=options.resume)
    except ValueError as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 2
    if without:
        console.print(f"{without} cases have no size {' or '.join(sizes)}")
    before = len(run.rows)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("cases", total=len(work))
        steps = measured(run, work, entries, environments=options.environments)
        for each in work:
            progress.update(task, description=escape(f"{each.case.suite}: {each.case.name}, {each.size}"))
            run, rows = next(steps)
            if rows:
                console.print(
                    escape(f"{each.case.suite}: {each.case.name}, {each.case.quantity.value}, {each.size}")
                )
                for row in rows:
                    console.print(line(row))
                if path:
                    write(run, path)
            progress.advance(task)
        steps.close()
    if path:
        write(dataclasses.replace(run, finished=environment.now()), path)
        console.print(f"{path}: {len(run.rows)} rows, {len(run.rows) - before} of them new")
    bad = [row for row in run.rows if row.status in (Status.WRONG, Status.FAILED, Status.TIMEOUT)]
    if bad:
        console.print(f"[red]{len(bad)} of {len(run.rows)} wrong, failed or out of time[/]")
    return int(bool(bad) and options.check)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks run", description="Measure cases by peers.")
    parser.add_argument("--suite", nargs="+", metavar="S", help="suites, or modules with CASES (all suites)")
    parser.add_argument("--case", default="", metavar="PATTERN", help="part of the name, or a pattern with *")
    parser.add_argument(
        "--peer", nargs="+", metavar="P", help=f"of {', '.join(roster.PEERS)}, or modules (all)"
    )
    parser.add_argument("--size", nargs="+", choices=SIZES, help="middle; with --check, tiny")
    parser.add_argument("--device", choices=("cpu", "gpu", "tpu"), default="cpu")
    parser.add_argument("--out", type=Path, help="results (benchmarks/results/DEVICE/run.json)")
    parser.add_argument("--resume", action="store_true", help="go on with the file, where it stopped")
    parser.add_argument("--check", action="store_true", help="correctness alone, quickly")
    parser.add_argument("--seconds", type=float, default=2.0, help="of timed calls, a case and peer (2)")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one answer of a peer (300)")
    parser.add_argument("--environments", type=Path, default=roster.ENVIRONMENTS, help="(.venvs/peers)")
    return parser.parse_args(arguments)


__all__ = ["Work", "begun", "chosen", "line", "main", "measured"]
